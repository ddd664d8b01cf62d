use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::stream::{self, LocalBoxStream};
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{
    Body, Bytes, Document, DocumentRead, Error, Listed, Object, PutNew, Remote, Result, Stored, Swap, Token,
};

type Competitor = Box<dyn FnOnce(&Memory)>;

/// A remote that counts its requests and moves objects by copying them.
#[derive(Default)]
pub struct Memory {
    pub objects: RefCell<BTreeMap<String, Bytes>>,
    pub documents: RefCell<BTreeMap<String, (u64, Vec<u8>)>>,
    pub requests: Cell<usize>,
    /// Runs once, right before the next swap.
    pub before_swap: RefCell<Option<Competitor>>,
}

impl Memory {
    fn count(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Replaces a document with its text after an edit, without asking for its token.
    pub fn edit(&self, key: &str, edit: impl FnOnce(String) -> String) {
        let mut documents = self.documents.borrow_mut();
        let (version, bytes) = documents.get_mut(key).unwrap();
        *bytes = edit(String::from_utf8(bytes.clone()).unwrap()).into_bytes();
        *version += 1;
    }
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
    async fn get(&self, key: &str) -> Result<Option<Object<'_>>> {
        self.count();
        let object = self.objects.borrow().get(key).cloned();
        Ok(object.map(|bytes| Box::pin(stream::iter([Ok(bytes)])) as Object))
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.count();
        let bytes = read_all(body)?;
        self.objects.borrow_mut().insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<PutNew> {
        if self.objects.borrow().contains_key(key) {
            self.count();
            return Ok(PutNew::Exists);
        }
        self.put(key, body).await.map(|()| PutNew::Created)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.count();
        self.objects.borrow_mut().remove(key);
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str, _: &Entry) -> Result<bool> {
        self.count();
        let Some(bytes) = self.objects.borrow_mut().remove(from) else { return Ok(false) };
        self.objects.borrow_mut().insert(to.to_owned(), bytes);
        Ok(true)
    }

    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        self.count();
        Ok(match self.documents.borrow().get(key) {
            None => DocumentRead::Absent,
            Some((version, _)) if known == Some(&token(*version)) => DocumentRead::Unchanged,
            Some((version, bytes)) => {
                DocumentRead::Changed(Document { bytes: bytes.clone(), token: token(*version) })
            }
        })
    }

    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        self.count();
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
        self.count();
        let documents = self.documents.borrow();
        let found = documents.iter().filter(|(key, _)| key.starts_with(prefix));
        let found: Vec<_> = found
            .map(|(key, (version, _))| Ok(Listed { key: key.clone(), token: Some(token(*version)) }))
            .collect();
        Box::pin(stream::iter(found))
    }

    fn list_objects(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        self.count();
        let objects = self.objects.borrow();
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let found: Vec<_> =
            found.map(|(key, bytes)| Ok(Stored { key: key.clone(), size: bytes.len() as u64 })).collect();
        Box::pin(stream::iter(found))
    }
}
