//! Objects that are read, and written under conditions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, RetryConfig,
    UpdateVersion,
};

use super::BucketOptions;
use super::http::Connector;
use super::record::Record;
use crate::LockError;
use crate::keeper::answer_within;

/// The objects below a prefix.
#[derive(Clone)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
    answer_within: Duration,
}

/// An object in a listing.
pub(super) struct Listed {
    pub(super) path: Path,
    pub(super) size: u64,
    pub(super) tag: Option<String>,
}

/// The version of an object that a read or write was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) tag: Option<String>,
    version: Option<String>,
}

impl Version {
    /// Whether a listing shows this very version. Azure quotes tags in answers, but not in listings.
    pub(super) fn is_in(&self, listed: &Listed) -> bool {
        let bare = |tag: &Option<String>| tag.as_ref().map(|tag| tag.trim_matches('"').to_owned());
        self.tag.is_some() && bare(&self.tag) == bare(&listed.tag)
    }
}

impl Objects {
    pub(super) fn open(options: &BucketOptions) -> Result<Self, LockError> {
        let (url, answer_within) = (&options.url, answer_within(options.lease));
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| LockError::Refused {
            store: format!("bucket at {url}"),
            source,
        };
        let parsed = url::Url::parse(url).map_err(|error| refused(error.into()))?;
        let (scheme, path) = ObjectStoreScheme::parse(&parsed).map_err(|error| refused(error.into()))?;
        let connector = Connector::new(&options.tls).map_err(|error| refused(error.into()))?;
        // A request that failed on its way is tried again at once; whether it took effect is looked at afterwards.
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(20),
                max_backoff: answer_within,
                base: 2.0,
            },
            max_retries: 3,
            retry_timeout: answer_within,
        };
        macro_rules! build {
            ($builder:ty) => {{
                let mut builder =
                    <$builder>::new().with_url(url.clone()).with_retry(retry).with_http_connector(connector);
                for (name, value) in &options.settings {
                    let name = name.parse().map_err(|error: Error| refused(error.into()))?;
                    builder = builder.with_config(name, value);
                }
                let built = builder.build().map_err(|error| refused(error.into()))?;
                Arc::new(built) as Arc<dyn ObjectStore>
            }};
        }
        let store = match scheme {
            ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder),
            ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder),
            ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder),
            _ => return Err(refused("it is no s3://, gs:// or az:// address".into())),
        };
        let endpoint = options.settings.iter().find(|(name, _)| name.ends_with("endpoint"));
        let endpoint = endpoint.map(|(_, at)| format!(" at {at}")).unwrap_or_default();
        let prefix = path.join(options.space.as_str());
        Ok(Self { store, place: format!("{url}/{}{endpoint}", options.space), prefix, answer_within })
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn error(&self, error: Error) -> LockError {
        let store = format!("bucket {}", self.place);
        let refused = matches!(
            error,
            Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::InvalidPath { .. }
                | Error::NotSupported { .. }
                | Error::NotImplemented { .. }
                | Error::UnknownConfigurationKey { .. }
        );
        let missing = matches!(error, Error::NotFound { .. });
        match error {
            // Only a bucket that isn't there makes a write say so.
            error if refused || missing => LockError::Refused { store, source: error.into() },
            error => LockError::Unreachable { store, source: error.into() },
        }
    }

    async fn timely<T>(
        &self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, LockError> {
        tokio::time::timeout(self.answer_within, request).await.map_err(|silence| LockError::Unreachable {
            store: format!("bucket {}", self.place),
            source: silence.into(),
        })
    }

    /// Reads an object, `None` if there is none.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<(Record, Version)>, LockError> {
        let read = async {
            let answer = self.store.get(path).await?;
            // Of the very answer whose bytes are used.
            let version = Version { tag: answer.meta.e_tag.clone(), version: answer.meta.version.clone() };
            Ok((answer.bytes().await?, version))
        };
        let (bytes, version) = match self.timely(read).await? {
            Ok(read) => read,
            // A bucket that isn't there is no object that isn't there; the first write finds that out.
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.error(error)),
        };
        let record = serde_json::from_slice(&bytes).map_err(|error| LockError::Refused {
            store: format!("bucket {}", self.place),
            source: format!("{path} holds no lock: {error}").into(),
        })?;
        Ok(Some((record, version)))
    }

    /// Whether there is such an object.
    pub(super) async fn is_there(&self, path: &Path) -> Result<bool, LockError> {
        match self.timely(self.store.head(path)).await? {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Makes an object, `None` if there is one already.
    pub(super) async fn make(&self, path: &Path, record: &Record) -> Result<Option<Version>, LockError> {
        self.write(path, record, PutMode::Create).await
    }

    /// Replaces a version of an object, `None` if there is another one by now.
    pub(super) async fn swap(
        &self,
        path: &Path,
        record: &Record,
        over: &Version,
    ) -> Result<Option<Version>, LockError> {
        let over = UpdateVersion { e_tag: over.tag.clone(), version: over.version.clone() };
        self.write(path, record, PutMode::Update(over)).await
    }

    async fn write(&self, path: &Path, record: &Record, mode: PutMode) -> Result<Option<Version>, LockError> {
        let written = Record { write: fastrand::u64(..) >> 12, ..record.clone() };
        let bytes = serde_json::to_vec(&written)
            .map_err(|error| LockError::Refused { store: self.place.clone(), source: error.into() })?;
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.timely(self.store.put_opts(path, bytes.into(), options)).await? {
            Ok(put) => Ok(Some(Version { tag: put.e_tag, version: put.version })),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => {
                // A first try may have arrived though its answer was lost, and then it is in its own way.
                let found = self.read(path).await?;
                Ok(found.filter(|(record, _)| *record == written).map(|(_, version)| version))
            }
            Err(error) => Err(self.error(error)),
        }
    }

    /// Deletes an object whose name is never used again.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), LockError> {
        match self.timely(self.store.delete(path)).await? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Lists what lies below a place.
    pub(super) async fn list(&self, below: &Path) -> Result<Vec<Listed>, LockError> {
        let listed = self.store.list(Some(below)).map_ok(|object| Listed {
            path: object.location,
            size: object.size,
            tag: object.e_tag,
        });
        match self.timely(listed.try_collect()).await? {
            Ok(listed) => Ok(listed),
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_a_listing_that_leaves_out_the_quotes() {
        let version = |tag: Option<&str>| Version { tag: tag.map(str::to_owned), version: None };
        let listed = |tag: Option<&str>| Listed { path: "a".into(), size: 0, tag: tag.map(str::to_owned) };
        assert!(version(Some("\"0x8D\"")).is_in(&listed(Some("0x8D"))));
        assert!(version(Some("\"0x8D\"")).is_in(&listed(Some("\"0x8D\""))));
        assert!(!version(Some("\"0x8D\"")).is_in(&listed(Some("0x8E"))));
        assert!(!version(None).is_in(&listed(None)));
    }
}
