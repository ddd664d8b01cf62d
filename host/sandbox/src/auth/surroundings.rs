//! What the signing library may use of this machine: some variables, files, and requests of the host's own.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use reqsign_core::{Context, Env, Error, FileRead, HttpSend, Result};

use crate::network::{HostClient, Trust};
use crate::secret::Environment;

/// The variables that the schemes know. Nothing else of the environment is read.
const VARIABLES: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
];

/// The address of the token service, in place of Amazon's own.
const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";

/// How long to wait for credentials from another machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is taken for credentials.
const LONGEST: usize = 1 << 20;

/// A copy of what the schemes may know.
#[derive(Clone)]
pub(crate) struct Surroundings {
    variables: HashMap<String, String>,
    home: Option<PathBuf>,
    sender: Sender,
}

impl Surroundings {
    pub(super) fn new(environment: &Arc<dyn Environment>, sender: &Sender) -> Self {
        let value = |name: &str| -> Option<String> {
            environment.variable(name)?.into_string().ok().filter(|value| !value.is_empty())
        };
        let variables = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?)));
        let mut sender = sender.clone();
        sender.sts = value(STS_ENDPOINT);
        Self { variables: variables.collect(), home: environment.home(), sender }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub(super) fn home(&self) -> Option<&PathBuf> {
        self.home.as_ref()
    }

    pub(super) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    pub(super) fn context(&self) -> Context {
        Context::new().with_env(self.clone()).with_file_read(Files).with_http_send(self.sender.clone())
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

impl Env for Surroundings {
    fn var(&self, key: &str) -> Option<String> {
        self.variables.get(key).cloned()
    }

    fn vars(&self) -> HashMap<String, String> {
        self.variables.clone()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        self.home.clone()
    }
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        tokio::fs::read(path).await.map_err(|error| Error::config_invalid(format!("{path}: {error}")))
    }
}

/// Sends the host's own requests for credentials. Grants are for guests; these go where the schemes' services are.
#[derive(Clone)]
pub(crate) struct Sender {
    client: HostClient,
    sts: Option<String>,
    /// Where requests to Google's token service go instead.
    google_tokens: Option<String>,
}

/// Where the signing library exchanges Google's keys for tokens.
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";

impl Sender {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { client: HostClient::new(trust), sts: None, google_tokens: None }
    }

    /// The same, with another place for Google's tokens.
    pub(super) fn with_google_tokens(&self, uri: Option<String>) -> Self {
        Self { google_tokens: uri, ..self.clone() }
    }

    /// Where a request really goes.
    fn reroute(&self, uri: &http::Uri) -> Result<http::Uri> {
        let aws_tokens =
            uri.host().is_some_and(|host| host.starts_with("sts.") && host.contains(".amazonaws."));
        let instead = match (&self.sts, &self.google_tokens) {
            (Some(sts), _) if aws_tokens => sts,
            (_, Some(tokens)) if *uri == GOOGLE_TOKENS => tokens,
            _ => return Ok(uri.clone()),
        };
        instead.parse().map_err(|_| Error::config_invalid(format!("`{instead}` is no address")))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl HttpSend for Sender {
    async fn http_send(&self, mut request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        *request.uri_mut() = self.reroute(request.uri())?;
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let failed = |problem: String| {
            Error::unexpected(format!("no answer from {host}: {problem}")).set_retryable(true)
        };
        let exchange = async {
            let client = self.client.get().map_err(|problem| failed(problem.to_owned()))?;
            let answer = client.request(request.map(Full::new)).await;
            let (parts, body) =
                answer.map_err(|error| failed(crate::network::innermost(&error)))?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await;
            let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
            Ok(http::Response::from_parts(parts, body))
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| Err(failed(format!("nothing came for {} seconds", PATIENCE.as_secs()))))
    }
}
