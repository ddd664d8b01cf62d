//! Carrying out the operations of a remote: so many at once, and again where that may help.

use async_lock::Semaphore;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};

use crate::retry::{check_cancelled, retry, wait};
use crate::shard::Entry;
use crate::{Body, DocumentRead, Host, Listed, Object, PutNew, Remote, Result, Stored, Swap, Token};

/// The operations of one call.
pub(crate) struct Requests<'a, R> {
    pub(crate) host: &'a dyn Host,
    remote: &'a R,
    slots: Semaphore,
}

impl<'a, R: Remote> Requests<'a, R> {
    pub(crate) fn new(host: &'a dyn Host, remote: &'a R) -> Self {
        Self { host, remote, slots: Semaphore::new(remote.in_flight().max(1)) }
    }

    /// How many tasks are worth having at once.
    pub(crate) fn tasks(&self) -> usize {
        self.remote.in_flight().max(1)
    }

    /// Runs a task for each item, several at once, until one fails or the host asks to stop.
    pub(crate) async fn each<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        task: impl AsyncFn(T) -> Result<()>,
    ) -> Result<()> {
        let run = async |item| {
            check_cancelled(self.host)?;
            task(item).await
        };
        stream::iter(items).map(Ok).try_for_each_concurrent(self.tasks(), run).await
    }

    async fn run<T>(&self, at: &str, operation: impl AsyncFn(&R) -> Result<T>) -> Result<T> {
        let _slot = self.slots.acquire().await;
        retry(self.host, async || operation(self.remote).await).await.map_err(|error| error.at(at))
    }

    /// Reads an object with `consume`, which may be called again; `None` if there is none.
    pub(crate) async fn get<T>(
        &self,
        key: &str,
        consume: impl AsyncFn(Object) -> Result<T>,
    ) -> Result<Option<T>> {
        self.run(key, async |remote| match remote.get(key).await? {
            Some(object) => consume(object).await.map(Some),
            None => Ok(None),
        })
        .await
    }

    pub(crate) async fn put(&self, key: &str, body: impl AsyncFn() -> Result<Body>) -> Result<()> {
        self.run(key, async |remote| remote.put(key, body().await?).await).await
    }

    pub(crate) async fn put_new(&self, key: &str, body: impl AsyncFn() -> Result<Body>) -> Result<PutNew> {
        self.run(key, async |remote| remote.put_new(key, body().await?).await).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        self.run(key, async |remote| remote.delete(key).await).await
    }

    pub(crate) async fn rename(&self, from: &str, to: &str, content: &Entry) -> Result<bool> {
        self.run(to, async |remote| remote.rename(from, to, content).await).await
    }

    pub(crate) async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        self.run(key, async |remote| remote.read_document(key, known).await).await
    }

    pub(crate) async fn swap_document(
        &self,
        key: &str,
        expected: Option<&Token>,
        bytes: &[u8],
    ) -> Result<Swap> {
        self.run(key, async |remote| remote.swap_document(key, expected, bytes).await).await
    }

    pub(crate) fn list_documents(&self, prefix: &str) -> impl Stream<Item = Result<Listed>> + use<'_, R> {
        self.listing(self.remote.list_documents(prefix))
    }

    pub(crate) fn list_objects(&self, prefix: &str) -> impl Stream<Item = Result<Stored>> + use<'_, R> {
        self.listing(self.remote.list_objects(prefix))
    }

    /// Takes a slot for each step and not for the whole, since what is listed leads to other requests meanwhile.
    fn listing<'s, T: 's>(
        &'s self,
        items: LocalBoxStream<'s, Result<T>>,
    ) -> impl Stream<Item = Result<T>> + use<'s, T, R> {
        stream::unfold(Some(items), async |items| {
            let mut items = items?;
            let _slot = self.slots.acquire().await;
            let mut failed = None;
            for attempt in 1.. {
                match items.next().await {
                    Some(Err(error)) if wait(self.host, &error, attempt).await => failed = Some(error),
                    Some(Err(error)) => return Some((Err(error), None)),
                    Some(Ok(item)) => return Some((Ok(item), Some(items))),
                    None => break,
                }
            }
            failed.map(|error| (Err(error), None))
        })
    }
}
