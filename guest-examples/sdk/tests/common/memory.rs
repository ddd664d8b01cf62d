use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use futures_util::stream::{self, LocalBoxStream};
use lockkeeper_sdk::shard::{Entry, Shard};
use lockkeeper_sdk::{
    Body, Bytes, Document, DocumentRead, Error, Listed, Object, Page, PutNew, Remote, Result, Stored, Swap,
    Token, pages,
};

type Competitor = Box<dyn FnOnce(&Memory)>;

/// A remote that counts its requests and moves objects by copying them.
#[derive(Default)]
pub struct Memory {
    pub objects: RefCell<BTreeMap<String, Bytes>>,
    pub documents: RefCell<BTreeMap<String, (u64, Vec<u8>)>>,
    pub requests: Cell<usize>,
    /// How many of these were answered with "still the version that you know".
    pub unchanged: Cell<usize>,
    /// How many requests may run at once; each takes a few turns then, unless it is one.
    pub in_flight: Cell<usize>,
    busy: Cell<usize>,
    /// How many requests ran at once.
    pub most_busy: Cell<usize>,
    /// Runs once, right before the next swap.
    pub before_swap: RefCell<Option<Competitor>>,
}

impl Memory {
    /// A remote that takes so many requests at once.
    pub fn concurrent(in_flight: usize) -> Self {
        Self { in_flight: Cell::new(in_flight), ..Self::default() }
    }

    /// What a call costs.
    pub fn cost(&self, call: impl FnOnce()) -> usize {
        self.requests.set(0);
        self.unchanged.set(0);
        call();
        self.requests.get()
    }

    fn count(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Counts a request and lets others go on meanwhile.
    async fn begin(&self) -> Busy<'_> {
        self.count();
        self.busy.set(self.busy.get() + 1);
        self.most_busy.set(self.most_busy.get().max(self.busy.get()));
        let busy = Busy(&self.busy);
        if self.in_flight.get() > 1 {
            for _ in 0..self.requests.get() % 5 {
                pause().await;
            }
        }
        busy
    }

    /// The shards of the index.
    pub fn shards(&self) -> Vec<Shard> {
        let documents = self.documents.borrow();
        let shards = documents.values().map(|(_, bytes)| {
            let scope: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            Shard::parse(scope["scope"].as_str().unwrap(), bytes).unwrap()
        });
        shards.collect()
    }

    /// Replaces a document with its text after an edit, without asking for its token.
    pub fn edit(&self, key: &str, edit: impl FnOnce(String) -> String) {
        let mut documents = self.documents.borrow_mut();
        let (version, bytes) = documents.get_mut(key).unwrap();
        *bytes = edit(String::from_utf8(bytes.clone()).unwrap()).into_bytes();
        *version += 1;
    }
}

/// A request that is under way.
struct Busy<'a>(&'a Cell<usize>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Lets every other task have a turn.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

fn read_all(mut body: Body) -> Result<Bytes> {
    let bytes = body.read(usize::MAX).map_err(|error| Error::fatal(error.to_string()))?;
    assert_eq!(bytes.len() as u64, body.size());
    Ok(bytes)
}

fn token(version: u64) -> Token {
    Token(version.to_string())
}

impl Remote for Memory {
    fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    async fn get(&self, key: &str) -> Result<Option<Object<'_>>> {
        let _busy = self.begin().await;
        let object = self.objects.borrow().get(key).cloned();
        Ok(object.map(|bytes| Box::pin(stream::iter([Ok(bytes)])) as Object))
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        let _busy = self.begin().await;
        let bytes = read_all(body)?;
        self.objects.borrow_mut().insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<PutNew> {
        let _busy = self.begin().await;
        if self.objects.borrow().contains_key(key) {
            return Ok(PutNew::Exists);
        }
        let bytes = read_all(body)?;
        self.objects.borrow_mut().insert(key.to_owned(), bytes);
        Ok(PutNew::Created)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let _busy = self.begin().await;
        self.objects.borrow_mut().remove(key);
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str, _: &Entry) -> Result<bool> {
        let _busy = self.begin().await;
        let Some(bytes) = self.objects.borrow_mut().remove(from) else { return Ok(false) };
        self.objects.borrow_mut().insert(to.to_owned(), bytes);
        Ok(true)
    }

    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        let _busy = self.begin().await;
        Ok(match self.documents.borrow().get(key) {
            None => DocumentRead::Absent,
            Some((version, _)) if known == Some(&token(*version)) => {
                self.unchanged.set(self.unchanged.get() + 1);
                DocumentRead::Unchanged
            }
            Some((version, bytes)) => {
                DocumentRead::Changed(Document { bytes: bytes.clone(), token: token(*version) })
            }
        })
    }

    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        let _busy = self.begin().await;
        if let Some(competitor) = self.before_swap.take() {
            competitor(self);
        }
        let mut documents = self.documents.borrow_mut();
        let held = documents.get(key).map(|(version, _)| *version);
        if held.map(token).as_ref() != expected {
            return Ok(Swap::Mismatch);
        }
        let version = held.unwrap_or_default() + 1;
        documents.insert(key.to_owned(), (version, bytes.to_vec()));
        Ok(Swap::Swapped(token(version)))
    }

    fn list_documents(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>> {
        let prefix = prefix.to_owned();
        pages(async move |from: Option<String>| {
            let _busy = self.begin().await;
            let documents = self.documents.borrow();
            Ok(page(&documents, &prefix, from, |key, (version, _)| Listed {
                key: key.to_owned(),
                token: Some(token(*version)),
            }))
        })
    }

    fn list_objects(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        let prefix = prefix.to_owned();
        pages(async move |from: Option<String>| {
            let _busy = self.begin().await;
            let objects = self.objects.borrow();
            Ok(page(&objects, &prefix, from, |key, bytes| Stored {
                key: key.to_owned(),
                size: bytes.len() as u64,
            }))
        })
    }
}

/// Up to a thousand entries of a map, as stores list them.
fn page<V, T>(
    map: &BTreeMap<String, V>,
    prefix: &str,
    from: Option<String>,
    item: impl Fn(&str, &V) -> T,
) -> Page<T, String> {
    let from = from.unwrap_or_else(|| prefix.to_owned());
    let mut found = map.range(from..).take_while(|(key, _)| key.starts_with(prefix));
    let items = found.by_ref().take(1000).map(|(key, value)| item(key, value)).collect();
    Page { items, next: found.next().map(|(key, _)| key.clone()) }
}
