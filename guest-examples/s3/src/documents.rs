//! Documents: small objects that are replaced by compare-and-swap. A document's token is its ETag.

use lockkeeper_http::{Conditional, Content, Method, Response, StatusCode};
use lockkeeper_sdk::{Document, DocumentRead, Error, Result, Swap, Token};

use crate::refusal::Action;
use crate::remote::{Bucket, NO_SUCH_KEY};

/// The largest document that is read.
const LARGEST: usize = 1 << 30;

impl Bucket {
    pub(crate) async fn read(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        let mut call = self.object(Action::Get, Method::GET, key, "");
        if let Some(token) = known {
            call = call.header("if-none-match", &token.0);
        }
        match call.send().await {
            Ok(response) => {
                let token = token(&response)?;
                let bytes = response.bytes(LARGEST).await?.into();
                Ok(DocumentRead::Changed(Document { bytes, token }))
            }
            Err(refusal) if known.is_some() && refusal.is(StatusCode::NOT_MODIFIED) => {
                Ok(DocumentRead::Unchanged)
            }
            Err(refusal) if refusal.code == NO_SUCH_KEY => Ok(DocumentRead::Absent),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Conditional for Bucket {
    async fn swap(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        let call = self.object(Action::Put, Method::PUT, key, "");
        let call = match expected {
            Some(token) => call.header("if-match", &token.0),
            None => call.header("if-none-match", "*"),
        };
        let content = Content::bytes(bytes.to_vec());
        match call.header("content-type", "application/json").content(content).send().await {
            Ok(response) => Ok(Swap::Swapped(token(&response)?)),
            Err(refusal) if refusal.is(StatusCode::PRECONDITION_FAILED) || refusal.code == NO_SUCH_KEY => {
                Ok(Swap::Mismatch)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    fn wrong_token(&self) -> Token {
        Token("\"00000000000000000000000000000000\"".to_owned())
    }
}

fn token(response: &Response) -> Result<Token> {
    let tag = response.header("etag").filter(|tag| !tag.is_empty());
    // Nobody can hold a store to a version that it doesn't name.
    let tag = tag.ok_or_else(|| Error::fatal("the store's answer has no ETag"))?;
    Ok(Token(tag.to_owned()))
}
