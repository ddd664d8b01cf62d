//! Documents: small objects that are replaced by compare-and-swap. A document's token is its generation.

use lockkeeper_http::probe::random_name;
use lockkeeper_http::{Conditional, Content, Method, Refusal, StatusCode, encode};
use lockkeeper_sdk::{Document, DocumentRead, Error, Result, Swap, Token};

use crate::json::{ObjectResource, parse};
use crate::refusal::Action;
use crate::remote::Bucket;
use crate::request::ANSWER;

/// The largest document that is read.
const LARGEST: usize = 1 << 30;

impl Bucket {
    pub(crate) async fn read(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        let mut target = format!("{}?alt=media", self.object(key));
        if let Some(token) = known {
            target.push_str(&format!("&ifGenerationNotMatch={}", encode(&token.0)));
        }
        match self.call(Action::Get, Method::GET, &target).send().await {
            Ok(response) => {
                let generation = response.header("x-goog-generation").filter(|it| !it.is_empty());
                let generation =
                    generation.ok_or_else(|| Error::fatal("the store's answer names no generation"))?;
                let token = Token(generation.to_owned());
                let bytes = response.bytes(LARGEST).await?.into();
                Ok(DocumentRead::Changed(Document { bytes, token }))
            }
            Err(refusal) if known.is_some() && refusal.is(StatusCode::NOT_MODIFIED) => {
                Ok(DocumentRead::Unchanged)
            }
            Err(refusal) => self.is_absent(refusal, key).await.map(|_| DocumentRead::Absent),
        }
    }

    /// Writes an object in one request, and answers with its generation and size. `condition` is the generation that it must
    /// have now, 0 for an object that must not be there.
    pub(crate) async fn upload(
        &self,
        key: &str,
        content: Content<'_>,
        condition: Option<&str>,
    ) -> Result<ObjectResource, Refusal> {
        let mut target = format!("/upload{}?uploadType=multipart&fields=generation,size", self.objects());
        if let Some(generation) = condition {
            target.push_str(&format!("&ifGenerationMatch={}", encode(generation)));
        }
        // No content can hold a boundary that is made up for it.
        let boundary = random_name()?;
        let metadata = serde_json::json!({ "name": self.key(key) });
        let before = format!(
            "--{boundary}\r\ncontent-type: application/json\r\n\r\n{metadata}\r\n\
             --{boundary}\r\ncontent-type: application/octet-stream\r\n\r\n"
        );
        let content =
            Content::bytes(before).then(content).then(Content::bytes(format!("\r\n--{boundary}--\r\n")));
        let call = self.call(Action::Create, Method::POST, &target);
        let call = call.header("content-type", &format!("multipart/related; boundary={boundary}"));
        let response = call.content(content).send().await?;
        Ok(parse("an upload", &response.bytes(ANSWER).await?)?)
    }
}

impl Conditional for Bucket {
    async fn swap(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        let condition = expected.map_or("0", |token| token.0.as_str());
        match self.upload(key, Content::bytes(bytes.to_vec()), Some(condition)).await {
            Ok(object) => {
                object.must_have(bytes.len() as u64)?;
                Ok(Swap::Swapped(Token(object.generation)))
            }
            Err(refusal) if refusal.is(StatusCode::PRECONDITION_FAILED) => Ok(Swap::Mismatch),
            // A generation that was expected of an object that is not there.
            Err(refusal) if expected.is_some() && refusal.is(StatusCode::NOT_FOUND) => {
                self.is_absent(refusal, key).await.map(|_| Swap::Mismatch)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    fn wrong_token(&self) -> Token {
        Token("1".to_owned())
    }
}
