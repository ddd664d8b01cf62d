use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Read;

use lockkeeper_sdk::{Document, Error, PutNew, Remote, Result, Swap, Token};

type Competitor = Box<dyn FnOnce(&Memory)>;

/// A remote that counts its requests and moves objects by copying them.
#[derive(Default)]
pub struct Memory {
    pub objects: RefCell<BTreeMap<String, Vec<u8>>>,
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

impl Remote for Memory {
    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + '_>>> {
        self.count();
        let object = self.objects.borrow().get(key).cloned();
        Ok(object.map(|bytes| Box::new(std::io::Cursor::new(bytes)) as Box<dyn Read>))
    }

    fn put(&self, key: &str, body: &mut dyn Read, size: u64) -> Result<()> {
        self.count();
        let mut bytes = Vec::new();
        let read = body.read_to_end(&mut bytes).map_err(|error| Error::fatal(error.to_string()))?;
        assert_eq!(read as u64, size);
        self.objects.borrow_mut().insert(key.to_owned(), bytes);
        Ok(())
    }

    fn put_new(&self, key: &str, body: &mut dyn Read, size: u64) -> Result<PutNew> {
        if self.objects.borrow().contains_key(key) {
            self.count();
            return Ok(PutNew::Exists);
        }
        self.put(key, body, size).map(|()| PutNew::Created)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.count();
        self.objects.borrow_mut().remove(key);
        Ok(())
    }

    fn read_document(&self, key: &str) -> Result<Option<Document>> {
        self.count();
        let documents = self.documents.borrow();
        Ok(documents
            .get(key)
            .map(|(version, bytes)| Document { bytes: bytes.clone(), token: Token(version.to_string()) }))
    }

    fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        self.count();
        if let Some(competitor) = self.before_swap.take() {
            competitor(self);
        }
        let mut documents = self.documents.borrow_mut();
        let held = documents.get(key).map(|(version, _)| *version);
        if held.map(|version| Token(version.to_string())).as_ref() != expected {
            return Ok(Swap::Mismatch);
        }
        let version = held.unwrap_or_default() + 1;
        documents.insert(key.to_owned(), (version, bytes.to_vec()));
        Ok(Swap::Swapped(Token(version.to_string())))
    }

    fn list_documents(&self, prefix: &str) -> Result<Box<dyn Iterator<Item = Result<String>> + '_>> {
        self.count();
        let found: Vec<_> =
            self.documents.borrow().keys().filter(|key| key.starts_with(prefix)).cloned().map(Ok).collect();
        Ok(Box::new(found.into_iter()))
    }
}
