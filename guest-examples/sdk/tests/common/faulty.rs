use std::cell::{Cell, RefCell};
use std::io::Read;

use lockkeeper_sdk::{Document, Error, PutNew, Remote, Result, Swap, Token};

/// When a request is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the remote carried it out.
    Before,
    /// After the remote carried it out, before the answer arrived.
    After,
}

/// A remote some of whose requests fail, or are overtaken by something else.
pub struct Faulty<'a> {
    remote: &'a dyn Remote,
    /// Whether `rename` is one request, or a copy and a delete.
    atomic_rename: bool,
    crash: Option<(usize, Moment)>,
    error: Error,
    /// How many requests fail.
    faults: usize,
    requests: Cell<usize>,
    overtaken_by: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl<'a> Faulty<'a> {
    /// Dies at request `at`, as if the process had been killed there.
    pub fn dying(remote: &'a dyn Remote, atomic_rename: bool, at: usize, moment: Moment) -> Self {
        let crash = Some((at, moment));
        Self { atomic_rename, crash, faults: usize::MAX, ..Self::new(remote) }
    }

    /// Fails with `error` at request `at` alone.
    pub fn once(remote: &'a dyn Remote, at: usize, moment: Moment, error: Error) -> Self {
        Self { crash: Some((at, moment)), error, faults: 1, ..Self::new(remote) }
    }

    /// Runs something else right before request `at`.
    pub fn overtaken(remote: &'a dyn Remote, at: usize, by: impl FnOnce() + 'a) -> Self {
        let overtaken_by = RefCell::new(Some(Box::new(by) as Box<dyn FnOnce() + 'a>));
        Self { crash: Some((at, Moment::Before)), faults: 0, overtaken_by, ..Self::new(remote) }
    }

    fn new(remote: &'a dyn Remote) -> Self {
        Self {
            remote,
            atomic_rename: false,
            crash: None,
            error: Error::fatal("killed"),
            faults: 0,
            requests: Cell::new(0),
            overtaken_by: RefCell::new(None),
        }
    }

    /// Whether that something else has not run: there were fewer requests.
    pub fn not_overtaken(&self) -> bool {
        self.overtaken_by.borrow().is_some()
    }

    fn request<T>(&self, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = self.requests.replace(self.requests.get() + 1);
        if self.faults == 0
            && self.crash.is_some_and(|(at, _)| at == number)
            && let Some(other) = self.overtaken_by.take()
        {
            other();
        }
        match self.crash {
            _ if self.faults == 0 => operation(),
            Some((at, Moment::Before)) if number == at => Err(self.error.clone()),
            Some((at, Moment::After)) if number == at => operation().and(Err(self.error.clone())),
            Some((at, _)) if number > at && number - at < self.faults => Err(self.error.clone()),
            _ => operation(),
        }
    }
}

impl Remote for Faulty<'_> {
    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + '_>>> {
        self.request(|| self.remote.get(key))
    }

    fn put(&self, key: &str, body: &mut dyn Read, size: u64) -> Result<()> {
        self.request(|| self.remote.put(key, body, size))
    }

    fn put_new(&self, key: &str, body: &mut dyn Read, size: u64) -> Result<PutNew> {
        self.request(|| self.remote.put_new(key, body, size))
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.request(|| self.remote.delete(key))
    }

    fn rename(&self, from: &str, to: &str, size: u64) -> Result<bool> {
        if self.atomic_rename {
            return self.request(|| self.remote.rename(from, to, size));
        }
        let Some(mut body) = self.get(from)? else { return Ok(false) };
        self.put(to, &mut body, size)?;
        self.delete(from)?;
        Ok(true)
    }

    fn read_document(&self, key: &str) -> Result<Option<Document>> {
        self.request(|| self.remote.read_document(key))
    }

    fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        self.request(|| self.remote.swap_document(key, expected, bytes))
    }

    fn list_documents(&self, prefix: &str) -> Result<Box<dyn Iterator<Item = Result<String>> + '_>> {
        self.request(|| self.remote.list_documents(prefix))
    }
}
