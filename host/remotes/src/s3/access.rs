//! What a signature must come with.

use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Result, s3_error};

use super::Keys;

/// Checks what the signature itself doesn't.
pub(super) struct Access(pub(super) Keys);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        let header = |name: &str| context.headers().get(name).and_then(|value| value.to_str().ok());
        let token = header("x-amz-security-token");
        if token != self.0.session_token.as_deref() {
            return Err(s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid."));
        }
        if let Some(region) = &self.0.region {
            let signed = header("authorization").unwrap_or_default();
            if !signed.contains(&format!("/{region}/s3/aws4_request")) {
                return Err(s3_error!(
                    AuthorizationHeaderMalformed,
                    "The authorization header is malformed; the region is wrong; expecting '{}'",
                    region
                ));
            }
        }
        Ok(())
    }
}
