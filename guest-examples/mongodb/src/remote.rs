//! What the SDK sees of it.

use async_lock::OnceCell;
use bson::rawdoc;
use futures_util::stream::LocalBoxStream;
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{
    Body, DocumentRead, Listed, Object, Page, PutNew, Remote, Result, Stored, Swap, Token, pages,
};

use crate::blobs::{Blobs, FORGOTTEN};
use crate::client::Client;
use crate::config::{Checked, Config};
use crate::documents::Documents;
use crate::fault::Fault;
use crate::files::{Files, damaged};
use crate::reply::{number, text};
use crate::store::{CHUNK, Collection, Place, Store};

/// How many files are worked on at once. Their requests travel together, on the few connections that there are.
const IN_FLIGHT: usize = 256;
/// How often a file is looked up again because it was replaced meanwhile.
const ATTEMPTS: u32 = 4;

/// A remote in a MongoDB database.
pub struct Mongo {
    store: Store,
    /// Set when the first write has made sure of what writes need.
    ready: OnceCell<()>,
}

impl Mongo {
    /// Opens a database. It is connected to when the first request is made.
    pub fn open(config: Config) -> Result<Self> {
        let Checked { target, database, prefix } = config.check()?;
        Ok(Self::new(Store::new(Client::new(target), database, prefix, CHUNK)))
    }

    /// Makes a remote of a store.
    pub fn new(store: Store) -> Self {
        Self { store, ready: OnceCell::new() }
    }

    /// The collections.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn files(&self) -> Files<'_> {
        Files(&self.store)
    }

    fn blobs(&self) -> Blobs<'_> {
        Blobs(&self.store)
    }

    fn documents(&self) -> Documents<'_> {
        Documents(&self.store)
    }

    fn report<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| fault.into_error(self.store.client().target()))
    }

    /// Once per call, before the first write: what has to be found quickly gets its index, the last one last, and what crashes left
    /// is cleared away.
    async fn get_ready(&self) -> Result<(), Fault> {
        let prepare = async || {
            if !self.store.has_index(Collection::Blobs, "pending.key").await? {
                self.store.index(Collection::Files, "blob").await?;
                self.store.index(Collection::Blobs, "pending.key").await?;
            }
            let now = self.store.client().now().await?;
            self.blobs().sweep(now.saturating_sub(FORGOTTEN)).await
        };
        self.ready.get_or_try_init(prepare).await.map(|_| ())
    }

    async fn open_content(&self, key: &str) -> Result<Option<Object<'_>>, Fault> {
        let mut before = None;
        for _ in 0..ATTEMPTS {
            let Some(found) = self.files().find(key).await? else { return Ok(None) };
            if found.blob.is_empty() {
                return Ok(Some(Box::pin(futures_util::stream::empty())));
            }
            let room = self.store.room(found.size).await;
            if let Some(content) = self.blobs().get(&found.blob, found.size).await? {
                return Ok(Some(content.stream(&self.store, room)));
            }
            // A content goes when its file got another one, or when something is wrong.
            if before.replace(found.clone()) == Some(found.clone()) {
                return Err(Fault::Other(damaged(&found)));
            }
        }
        Err(Fault::Other(lockkeeper_sdk::Error::retry("others keep changing this file")))
    }

    async fn list_files(&self, prefix: &str, place: Option<Place>) -> Result<Page<Stored, Place>, Fault> {
        let (found, next) = self.store.list(Collection::Files, prefix, rawdoc! { "size": 1 }, place).await?;
        let stored = found.iter().filter_map(|found| {
            let size = number(found, "size").and_then(|size| u64::try_from(size).ok())?;
            Some(Stored { key: text(found, "_id")?.to_owned(), size })
        });
        Ok(Page { items: stored.collect(), next })
    }
}

impl Remote for Mongo {
    fn in_flight(&self) -> usize {
        IN_FLIGHT
    }

    async fn get(&self, key: &str) -> Result<Option<Object<'_>>> {
        self.report(self.open_content(key).await)
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.report(self.get_ready().await)?;
        self.report(self.files().put(key, body).await)
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<PutNew> {
        self.report(self.get_ready().await)?;
        self.report(self.files().put_new(key, body).await)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.report(self.get_ready().await)?;
        self.report(self.files().delete(key).await)
    }

    async fn rename(&self, from: &str, to: &str, _: &Entry) -> Result<bool> {
        self.report(self.get_ready().await)?;
        self.report(self.files().rename(from, to).await)
    }

    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        self.report(self.documents().read(key, known).await)
    }

    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        self.report(self.documents().swap(key, expected, bytes).await)
    }

    fn list_documents(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>> {
        let prefix = prefix.to_owned();
        pages(async move |place: Option<Place>| {
            let (items, next) = self.report(self.documents().list(&prefix, place).await)?;
            Ok(Page { items, next })
        })
    }

    fn list_objects(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        let prefix = prefix.to_owned();
        pages(async move |place: Option<Place>| self.report(self.list_files(&prefix, place).await))
    }
}
