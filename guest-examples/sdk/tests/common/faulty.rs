use std::cell::{Cell, RefCell};

use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{
    Body, DocumentRead, Error, Listed, Object, PutNew, Remote, Result, Stored, Swap, Token,
};

/// When a request is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the remote carried it out.
    Before,
    /// After the remote carried it out, before the answer arrived.
    After,
}

/// A remote some of whose requests fail, or are overtaken by something else.
pub struct Faulty<'a, R> {
    remote: &'a R,
    /// Whether `rename` is one request, or a copy and a delete.
    atomic_rename: bool,
    crash: Option<(usize, Moment)>,
    error: Error,
    /// How many requests fail.
    faults: usize,
    requests: Cell<usize>,
    overtaken_by: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl<'a, R: Remote> Faulty<'a, R> {
    /// Dies at request `at`, as if the process had been killed there.
    pub fn dying(remote: &'a R, atomic_rename: bool, at: usize, moment: Moment) -> Self {
        let crash = Some((at, moment));
        Self { atomic_rename, crash, faults: usize::MAX, ..Self::new(remote) }
    }

    /// Fails with `error` at request `at` alone.
    pub fn once(remote: &'a R, at: usize, moment: Moment, error: Error) -> Self {
        Self { crash: Some((at, moment)), error, faults: 1, ..Self::new(remote) }
    }

    /// Runs something else right before request `at`.
    pub fn overtaken(remote: &'a R, at: usize, by: impl FnOnce() + 'a) -> Self {
        let overtaken_by = RefCell::new(Some(Box::new(by) as Box<dyn FnOnce() + 'a>));
        Self { crash: Some((at, Moment::Before)), faults: 0, overtaken_by, ..Self::new(remote) }
    }

    fn new(remote: &'a R) -> Self {
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

    async fn request<T>(&self, operation: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        let number = self.requests.replace(self.requests.get() + 1);
        if self.faults == 0
            && self.crash.is_some_and(|(at, _)| at == number)
            && let Some(other) = self.overtaken_by.take()
        {
            other();
        }
        match self.crash {
            _ if self.faults == 0 => operation().await,
            Some((at, Moment::Before)) if number == at => Err(self.error.clone()),
            Some((at, Moment::After)) if number == at => operation().await.and(Err(self.error.clone())),
            Some((at, _)) if number > at && number - at < self.faults => Err(self.error.clone()),
            _ => operation().await,
        }
    }

    /// A listing whose first page may fail.
    fn listing<'s, T: 's>(&'s self, items: LocalBoxStream<'s, Result<T>>) -> LocalBoxStream<'s, Result<T>> {
        Box::pin(stream::unfold((false, items), async |(begun, mut items)| {
            if !begun && let Err(error) = self.request(async || Ok(())).await {
                return Some((Err(error), (begun, items)));
            }
            items.next().await.map(|item| (item, (true, items)))
        }))
    }
}

impl<R: Remote> Remote for Faulty<'_, R> {
    async fn get(&self, key: &str) -> Result<Option<Object<'_>>> {
        self.request(async || self.remote.get(key).await).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.request(async || self.remote.put(key, body).await).await
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<PutNew> {
        self.request(async || self.remote.put_new(key, body).await).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.request(async || self.remote.delete(key).await).await
    }

    async fn rename(&self, from: &str, to: &str, content: &Entry) -> Result<bool> {
        if self.atomic_rename {
            return self.request(async || self.remote.rename(from, to, content).await).await;
        }
        let Some(mut object) = self.get(from).await? else { return Ok(false) };
        let mut bytes = Vec::new();
        while let Some(piece) = object.next().await {
            bytes.extend_from_slice(&piece?);
        }
        self.put(to, Body::of(bytes)).await?;
        self.delete(from).await?;
        Ok(true)
    }

    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        self.request(async || self.remote.read_document(key, known).await).await
    }

    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        self.request(async || self.remote.swap_document(key, expected, bytes).await).await
    }

    fn list_documents(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>> {
        self.listing(self.remote.list_documents(prefix))
    }

    fn list_objects(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        self.listing(self.remote.list_objects(prefix))
    }
}
