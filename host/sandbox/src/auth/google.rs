//! `google`: application default credentials.

use http::request::Parts;
use reqsign_core::{Context, Error, ProvideCredential, Result, Signer};
use reqsign_google::{
    Credential, FileCredentialProvider, RequestSigner, ServiceAccountTokenCredentialProvider,
    VmMetadataCredentialProvider,
};

use super::recent::Recent;
use super::surroundings::{Sender, Surroundings};
use super::{Unsigned, described};

pub(super) const REMEDY: &str = "run `gcloud auth application-default login`, or name a service account's file in GOOGLE_APPLICATION_CREDENTIALS";

const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Signs requests with an access token.
pub(super) struct Google {
    signer: Signer<Credential>,
    source: String,
}

impl Google {
    pub(super) fn new(surroundings: &Surroundings) -> Self {
        let defaults = Defaults::new(surroundings);
        let source = defaults.source();
        Self {
            signer: Signer::new(surroundings.context(), Recent::new(defaults), RequestSigner::new("storage")),
            source,
        }
    }

    pub(super) fn source(&self) -> String {
        self.source.clone()
    }

    pub(super) async fn sign(&self, parts: &mut Parts) -> std::result::Result<(), Unsigned> {
        let signed = self.signer.sign(parts, None).await;
        signed.map_err(|error| Unsigned { problem: described(&error), remedy: REMEDY.to_owned() })
    }
}

/// The file that is named, the one that `gcloud` writes, or the machine's metadata.
#[derive(Debug)]
struct Defaults {
    named: Option<String>,
    well_known: Option<String>,
    sender: Sender,
}

impl Defaults {
    fn new(surroundings: &Surroundings) -> Self {
        let folder = match surroundings.variable("CLOUDSDK_CONFIG") {
            Some(folder) => Some(folder.into()),
            None => surroundings.home().map(|home| home.join(".config/gcloud")),
        };
        let well_known = folder.map(|folder| folder.join("application_default_credentials.json"));
        Self {
            named: surroundings.variable(FILE).map(ToOwned::to_owned),
            well_known: well_known.map(|path| path.to_string_lossy().into_owned()),
            sender: surroundings.sender(),
        }
    }

    fn source(&self) -> String {
        match (&self.named, &self.well_known) {
            (Some(path), _) => format!("{path} ({FILE})"),
            (None, Some(path)) if std::path::Path::new(path).exists() => path.clone(),
            _ => "the machine's metadata".to_owned(),
        }
    }

    async fn read_file(&self, context: &Context, path: &str) -> Result<Option<Credential>> {
        let content = context.file_read(path).await?;
        let context = context.clone().with_http_send(self.sender.with_google_tokens(token_uri(&content)));
        let loaded = FileCredentialProvider::new(path).provide_credential(&context).await;
        let loaded = loaded.map_err(|error| error.with_context(format!("from {path}")))?;
        // The request signer would exchange a key for a token at each request.
        match loaded.as_ref().and_then(|credential| credential.service_account.clone()) {
            Some(account) => {
                ServiceAccountTokenCredentialProvider::new(account).provide_credential(&context).await
            }
            None => Ok(loaded),
        }
    }
}

/// The place that a credential file names for its tokens.
fn token_uri(content: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct File {
        token_uri: Option<String>,
    }
    serde_json::from_slice::<File>(content).ok()?.token_uri
}

impl ProvideCredential for Defaults {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        if let Some(path) = &self.named {
            return self.read_file(context, path).await;
        }
        if let Some(path) = &self.well_known
            && tokio::fs::try_exists(path).await.unwrap_or(false)
        {
            return self.read_file(context, path).await;
        }
        let metadata = match VmMetadataCredentialProvider::new().provide_credential(context).await {
            Ok(Some(credential)) => return Ok(Some(credential)),
            Ok(None) => "it has no token".to_owned(),
            Err(error) => described(&error),
        };
        let well_known = self.well_known.as_deref().unwrap_or("a home folder");
        Err(Error::credential_invalid(format!(
            "no Google credentials: {FILE} is not set; there is no {well_known}; this machine's metadata: {metadata}"
        )))
    }
}
