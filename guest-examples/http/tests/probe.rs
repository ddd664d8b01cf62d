//! Stores that keep their word, and stores that don't, as the probe finds them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::Poll;

use futures_util::future::poll_fn;
use futures_util::stream::LocalBoxStream;
use lockkeeper_http::probe::Trust;
use lockkeeper_http::{Conditional, certain_swap};
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{
    Body, Document, DocumentRead, Error, Listed, Object, PutNew, Remote, Result, Stored, Swap, Token,
};

/// How a store treats conditions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Every write is carried out.
    IgnoresAll,
    /// A write of a new document is checked, a replacement is carried out.
    IgnoresVersions,
    /// Nothing is ever the expected version.
    RefusesVersions,
    /// It looks, and then writes, with room for another writer in between.
    LooksThenWrites,
}

struct Store {
    manner: Manner,
    documents: RefCell<BTreeMap<String, (u64, Vec<u8>)>>,
    writes: Cell<u64>,
}

impl Store {
    fn new(manner: Manner) -> Self {
        Self { manner, documents: RefCell::default(), writes: Cell::new(0) }
    }

    fn version(&self, key: &str) -> Option<u64> {
        self.documents.borrow().get(key).map(|(version, _)| *version)
    }
}

impl Conditional for Store {
    async fn swap(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        let expected = expected.map(|token| token.0.parse().unwrap());
        let met = self.version(key) == expected;
        let carried_out = match self.manner {
            Manner::Honest | Manner::LooksThenWrites => met,
            Manner::IgnoresAll => true,
            Manner::IgnoresVersions => met || expected.is_some(),
            Manner::RefusesVersions => met && expected.is_none(),
        };
        if self.manner == Manner::LooksThenWrites {
            others_first().await;
        }
        if !carried_out {
            return Ok(Swap::Mismatch);
        }
        self.writes.set(self.writes.get() + 1);
        let version = self.writes.get();
        self.documents.borrow_mut().insert(key.to_owned(), (version, bytes.to_vec()));
        Ok(Swap::Swapped(Token(version.to_string())))
    }

    fn wrong_token(&self) -> Token {
        Token(u64::MAX.to_string())
    }
}

/// Lets everything else that can run, run.
async fn others_first() {
    let mut waited = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Remote for Store {
    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        Ok(match self.documents.borrow().get(key) {
            None => DocumentRead::Absent,
            Some((version, _)) if known.is_some_and(|known| known.0 == version.to_string()) => {
                DocumentRead::Unchanged
            }
            Some((version, bytes)) => {
                DocumentRead::Changed(Document { bytes: bytes.clone(), token: Token(version.to_string()) })
            }
        })
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.documents.borrow_mut().remove(key);
        Ok(())
    }

    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        certain_swap(self, key, expected, bytes).await
    }

    async fn get(&self, _: &str) -> Result<Option<Object<'_>>> {
        unreachable!("the probe works on documents")
    }

    async fn put(&self, _: &str, _: Body) -> Result<()> {
        unreachable!("the probe works on documents")
    }

    async fn put_new(&self, _: &str, _: Body) -> Result<PutNew> {
        unreachable!("the probe works on documents")
    }

    async fn rename(&self, _: &str, _: &str, _: &Entry) -> Result<bool> {
        unreachable!("the probe works on documents")
    }

    fn list_documents(&self, _: &str) -> LocalBoxStream<'_, Result<Listed>> {
        unreachable!("the probe knows its key")
    }

    fn list_objects(&self, _: &str) -> LocalBoxStream<'_, Result<Stored>> {
        unreachable!("the probe knows its key")
    }
}

fn tried(manner: Manner) -> (Store, Result<()>) {
    let store = Store::new(manner);
    let result = pollster::block_on(Trust::new("the store".to_owned()).writes(&store, "probe/"));
    (store, result)
}

fn refusal(manner: Manner) -> String {
    match tried(manner) {
        (store, Err(Error::Config(failure))) => {
            assert!(store.documents.borrow().is_empty(), "the probe left something behind");
            failure.message
        }
        (_, other) => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_honours_conditions_is_trusted_and_left_as_it_was() {
    let (store, result) = tried(Manner::Honest);
    assert_eq!(result, Ok(()));
    assert!(store.documents.borrow().is_empty());
}

#[test]
fn a_store_is_tried_once() {
    let store = Store::new(Manner::Honest);
    let trust = Trust::new("the store".to_owned());
    let tries = [(); 3].map(|()| {
        pollster::block_on(trust.writes(&store, "probe/")).unwrap();
        store.writes.get()
    });
    assert_eq!(tries, [tries[0]; 3]);
}

#[test]
fn a_store_that_accepts_every_write_is_refused_by_its_name() {
    let message = refusal(Manner::IgnoresAll);
    assert!(message.contains("the store can't be trusted") && message.contains("4 writers"), "{message}");
}

#[test]
fn a_store_that_ignores_versions_only_is_refused() {
    assert!(refusal(Manner::IgnoresVersions).contains("a version that it never was"));
}

#[test]
fn a_store_that_replaces_nothing_is_refused() {
    assert!(refusal(Manner::RefusesVersions).contains("replace one version of an object, 0 did"));
}

#[test]
fn a_store_that_looks_and_then_writes_is_caught_by_several_writers_at_once() {
    assert!(refusal(Manner::LooksThenWrites).contains("at once"));
}

#[test]
fn a_write_whose_answer_was_lost_is_found_to_be_there() {
    pollster::block_on(async {
        let store = Store::new(Manner::Honest);
        let lost = store.swap("k", None, b"mine").await.unwrap();
        assert_eq!(certain_swap(&store, "k", None, b"mine").await.unwrap(), lost);
        assert_eq!(certain_swap(&store, "k", None, b"another's").await.unwrap(), Swap::Mismatch);
    });
}
