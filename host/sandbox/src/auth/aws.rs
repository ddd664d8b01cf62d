//! `aws-sigv4`: AWS Signature Version 4, as S3 and what is compatible with it want it.

use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, EnvCredentialProvider, IMDSv2CredentialProvider,
    ProfileCredentialProvider, RequestSigner,
};
use reqsign_core::{Context, Error, ProvideCredential, ProvideCredentialDyn, Result, Signer};

use super::recent::Recent;
use super::surroundings::Surroundings;
use super::{Unsigned, described};
use crate::grants::HttpOrigin;

pub(super) const REMEDY: &str = "renew them: log in again, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if they are temporary, AWS_SESSION_TOKEN";

const KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const METADATA: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// The payload's hash. The host doesn't read bodies, so the guest's word is taken, or none.
const PAYLOAD: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Signs requests to one origin.
pub(super) struct Aws {
    /// Absent if there is no region, and with it what to sign for.
    signer: Option<Signer<Credential>>,
    source: Source,
}

/// Where the credentials in use came from.
type Source = Arc<Mutex<String>>;

impl Aws {
    pub(super) fn new(
        origin: &HttpOrigin,
        region: Option<String>,
        service: Option<String>,
        profile: Option<String>,
        surroundings: &Surroundings,
    ) -> Self {
        let told = told(&origin.host());
        let environment =
            || surroundings.variable("AWS_REGION").or(surroundings.variable("AWS_DEFAULT_REGION"));
        let region = region
            .or_else(|| told.as_ref().map(|told| told.region.clone()))
            .or_else(|| environment().map(ToOwned::to_owned));
        let service = service.or_else(|| told.map(|told| told.service)).unwrap_or_else(|| "s3".to_owned());
        let source = Source::default();
        let chain = Recent::new(Chain::new(profile, surroundings, &source));
        let signer = region
            .map(|region| Signer::new(surroundings.context(), chain, RequestSigner::new(&service, &region)));
        Self { signer, source }
    }

    pub(super) fn source(&self) -> String {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn sign(&self, parts: &mut Parts) -> std::result::Result<(), Unsigned> {
        let Some(signer) = &self.signer else {
            return Err(Unsigned {
                problem: "neither its name nor AWS_REGION tells its region".to_owned(),
                remedy: "add `region = \"…\"` to its line in [datastore.auth]".to_owned(),
            });
        };
        if !parts.headers.get(PAYLOAD).is_some_and(is_hash) {
            parts.headers.remove(PAYLOAD);
        }
        let mut candidate = parts.clone();
        candidate.headers = signed_headers(&parts.headers)?;
        signer
            .sign(&mut candidate, None)
            .await
            .map_err(|error| Unsigned { problem: described(&error), remedy: REMEDY.to_owned() })?;
        for (name, value) in &candidate.headers {
            // What was there stays as it was written.
            parts.headers.entry(name).or_insert_with(|| value.clone());
        }
        Ok(())
    }
}

fn is_hash(value: &HeaderValue) -> bool {
    value.len() == 64 && value.as_bytes().iter().all(u8::is_ascii_hexdigit)
}

/// The headers to sign: those that the service demands and those that change what a request means. What a
/// proxy may change on the way isn't signed.
///
/// A header that is given several times is signed as one, and spaces as the service counts them.
fn signed_headers(headers: &HeaderMap) -> std::result::Result<HeaderMap, Unsigned> {
    let counts = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with("x-amz-")
            || name.starts_with("if-")
            || matches!(name, "host" | "content-type" | "content-md5" | "range")
    };
    let mut signed = HeaderMap::new();
    for name in headers.keys().filter(counts) {
        let texts = headers.get_all(name).iter().map(|value| {
            let words = value.to_str().ok()?.split_whitespace();
            Some(words.collect::<Vec<_>>().join(" "))
        });
        let text = texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","));
        let value = text.and_then(|text| HeaderValue::try_from(text).ok()).ok_or_else(|| Unsigned {
            problem: format!("the extension put something into `{name}` that can't be signed"),
            remedy: "tell the extension's author".to_owned(),
        })?;
        signed.insert(name, value);
    }
    Ok(signed)
}

/// What the name of one of Amazon's endpoints tells.
#[derive(Debug, PartialEq)]
struct Told {
    service: String,
    region: String,
}

/// Reads `bucket.s3.eu-west-1.amazonaws.com` and the like.
fn told(host: &str) -> Option<Told> {
    let inner =
        [".amazonaws.com", ".amazonaws.com.cn"].iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let mut labels = inner.rsplit('.');
    let region = labels.next().filter(|label| label.matches('-').count() >= 2)?;
    let service = labels.find(|label| *label != "dualstack")?;
    Some(Told {
        service: service.strip_suffix("-fips").unwrap_or(service).to_owned(),
        region: region.to_owned(),
    })
}

/// The places where credentials are looked for, in order.
#[derive(Debug)]
struct Chain {
    places: Vec<Place>,
    profile: String,
    metadata: String,
    source: Source,
}

#[derive(Debug)]
struct Place {
    name: String,
    provider: Arc<dyn ProvideCredentialDyn<Credential = Credential>>,
    /// Whether it's found out by asking whether it is there at all.
    is_guess: bool,
}

impl Chain {
    fn new(profile: Option<String>, surroundings: &Surroundings, source: &Source) -> Self {
        let metadata = surroundings.variable(METADATA).unwrap_or("http://169.254.169.254").to_owned();
        let mut places = Vec::new();
        let mut add =
            |name: String, is_guess, provider: Arc<dyn ProvideCredentialDyn<Credential = Credential>>| {
                places.push(Place { name, provider, is_guess });
            };
        let provider = ProfileCredentialProvider::new();
        let (name, provider) = match profile {
            Some(profile) => (profile.clone(), provider.with_profile(profile)),
            None => {
                add(format!("the environment ({KEY})"), false, Arc::new(EnvCredentialProvider::new()));
                (surroundings.variable("AWS_PROFILE").unwrap_or("default").to_owned(), provider)
            }
        };
        add(format!("profile `{name}`"), false, Arc::new(provider));
        let role = surroundings.variable(ROLE).unwrap_or_default();
        add(
            format!("the web identity in {TOKEN_FILE} for {role}"),
            false,
            Arc::new(AssumeRoleWithWebIdentityCredentialProvider::new()),
        );
        add(format!("the instance metadata at {metadata}"), true, Arc::new(IMDSv2CredentialProvider::new()));
        Self { places, profile: name, metadata, source: source.clone() }
    }

    /// What was looked at in vain.
    fn nothing(&self, context: &Context, guess: Option<Error>) -> Error {
        let metadata = match guess {
            Some(error) => described(&error),
            None => "it is turned off".to_owned(),
        };
        let unset = |name: &str| if context.env_var(name).is_some() { "set" } else { "not set" };
        Error::credential_invalid(format!(
            "no AWS credentials: {KEY} is {}; profile `{}` has no keys in the shared files; {TOKEN_FILE} is {}, {ROLE} is {}; instance metadata at {}: {metadata}",
            unset(KEY),
            self.profile,
            unset(TOKEN_FILE),
            unset(ROLE),
            self.metadata,
        ))
    }
}

impl ProvideCredential for Chain {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        if let (Some(set), Some(unset)) = half_set(context) {
            return Err(Error::config_invalid(format!("{set} is set and {unset} is not")));
        }
        let mut guess = None;
        for place in &self.places {
            match place.provider.provide_credential_dyn(context).await {
                Ok(Some(credential)) => {
                    self.source.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&place.name);
                    return Ok(Some(credential));
                }
                Ok(None) => {}
                Err(error) if place.is_guess => guess = Some(error),
                // Somebody meant these to be used: others in their place would be a surprise.
                Err(error) => return Err(error.with_context(format!("from {}", place.name))),
            }
        }
        Err(self.nothing(context, guess))
    }
}

/// Which of the two variables is set without the other.
fn half_set(context: &Context) -> (Option<&'static str>, Option<&'static str>) {
    match (context.env_var(KEY).is_some(), context.env_var(SECRET).is_some()) {
        (true, false) => (Some(KEY), Some(SECRET)),
        (false, true) => (Some(SECRET), Some(KEY)),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_signed_as_the_service_reads_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-amz-meta-mine", "one   more"),
            ("x-amz-meta-mine", "two "),
            ("if-none-match", "*"),
            ("user-agent", "anything"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let signed = signed_headers(&headers).ok().unwrap();
        let mut signed: Vec<_> =
            signed.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        signed.sort_unstable();
        assert_eq!(signed, [("if-none-match", "*"), ("x-amz-meta-mine", "one more,two")]);
        headers.insert("x-amz-meta-mine", HeaderValue::from_bytes(b"\xff").unwrap());
        let refused = signed_headers(&headers).err().unwrap();
        assert!(refused.problem.contains("`x-amz-meta-mine`"), "{}", refused.problem);
    }

    #[test]
    fn an_endpoint_of_amazons_tells_service_and_region() {
        for (host, service, region) in [
            ("s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("bucket.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("a.bucket.with.dots.s3.us-gov-west-1.amazonaws.com", "s3", "us-gov-west-1"),
            ("bucket.s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1"),
            ("bucket.s3-fips.us-east-2.amazonaws.com", "s3", "us-east-2"),
            ("s3.cn-north-1.amazonaws.com.cn", "s3", "cn-north-1"),
            ("dynamodb.eu-central-1.amazonaws.com", "dynamodb", "eu-central-1"),
        ] {
            let expected = Told { service: service.to_owned(), region: region.to_owned() };
            assert_eq!(told(host), Some(expected), "{host}");
        }
        for host in
            ["s3.amazonaws.com", "bucket.s3.amazonaws.com", "minio.internal", "eu-west-1.amazonaws.com.evil"]
        {
            assert_eq!(told(host), None, "{host}");
        }
    }
}
