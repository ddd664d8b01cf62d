//! The bucket as the SDK uses it.

use async_lock::Semaphore;
use futures_util::stream::LocalBoxStream;
use lockkeeper_http::probe::Trust;
use lockkeeper_http::{Content, Method, StatusCode, certain_swap};
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{Body, DocumentRead, Listed, Object, PutNew, Remote, Result, Stored, Swap, Token};

use crate::config::{Config, Place};
use crate::refusal::Action;
use crate::resumable::{IN_MEMORY, WHOLE};

/// A bucket, or the part of it below a prefix.
pub(crate) struct Bucket {
    pub(crate) place: Place,
    pub(crate) trust: Trust,
    /// Bounds the pieces that are in memory.
    pub(crate) pieces: Semaphore,
}

impl Bucket {
    pub(crate) fn open(config: Config) -> Result<Self> {
        let place = config.place()?;
        let trust = Trust::new(format!("{}, bucket {:?},", place.endpoint.origin(), place.bucket));
        Ok(Self { place, trust, pieces: Semaphore::new(IN_MEMORY) })
    }

    async fn put_whole(&self, key: &str, mut body: Body, new: bool) -> Result<PutNew> {
        let size = body.size();
        let content = Content::stream(&mut body, size);
        match self.upload(key, content, new.then_some("0")).await {
            Ok(object) => object.must_have(size).map(|()| PutNew::Created),
            Err(refusal) if new && refusal.is(StatusCode::PRECONDITION_FAILED) => Ok(PutNew::Exists),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Remote for Bucket {
    fn in_flight(&self) -> usize {
        self.place.in_flight
    }

    async fn get(&self, key: &str) -> Result<Option<Object<'_>>> {
        let target = format!("{}?alt=media", self.object(key));
        match self.call(Action::Get, Method::GET, &target).send().await {
            Ok(response) => Ok(Some(response.stream())),
            Err(refusal) => self.is_absent(refusal, key).await.map(|_| None),
        }
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        if body.size() > WHOLE {
            self.put_in_pieces(key, body, false).await?;
        } else {
            self.put_whole(key, body, false).await?;
        }
        Ok(())
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<PutNew> {
        self.trust().await?;
        if body.size() <= WHOLE {
            self.put_whole(key, body, true).await
        } else if self.honours_conditional_uploads().await? {
            self.put_in_pieces(key, body, true).await
        } else {
            // As if the key were taken: it goes to a key of its own, and is copied once it is listed.
            Ok(PutNew::Exists)
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        match self.call(Action::Delete, Method::DELETE, &self.object(key)).send().await {
            Ok(_) => Ok(()),
            Err(refusal) => self.is_absent(refusal, key).await.map(|_| ()),
        }
    }

    async fn rename(&self, from: &str, to: &str, _: &Entry) -> Result<bool> {
        if !self.rewrite(from, to).await? {
            return Ok(false);
        }
        self.delete(from).await?;
        Ok(true)
    }

    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        self.read(key, known).await
    }

    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        self.trust().await?;
        certain_swap(self, key, expected, bytes).await
    }

    fn list_documents(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>> {
        self.documents_below(prefix)
    }

    fn list_objects(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        self.objects_below(prefix)
    }
}
