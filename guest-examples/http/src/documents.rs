//! Documents that are replaced on a condition.

use lockkeeper_sdk::{DocumentRead, Remote, Result, Swap, Token};

/// A store that writes a document only if it is still the one that the writer knows.
#[expect(async_fn_in_trait, reason = "a component has one thread, so no future needs to be `Send`")]
pub trait Conditional: Remote {
    /// Writes a document if it is still the expected version, or still absent: one request, and what the store said to it.
    async fn swap(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap>;

    /// A token that no version has, in the form that this store's tokens have.
    fn wrong_token(&self) -> Token;
}

/// Swaps a document; if the store says that somebody else was faster, finds out whether that was this writer itself.
///
/// When the answer to an attempt is lost, the next attempt meets its own bytes. Two writers with the same bytes
/// want the same, so it doesn't matter whose they are.
pub async fn certain_swap(
    store: &impl Conditional,
    key: &str,
    expected: Option<&Token>,
    bytes: &[u8],
) -> Result<Swap> {
    match store.swap(key, expected, bytes).await? {
        Swap::Mismatch => match store.read_document(key, None).await? {
            DocumentRead::Changed(document) if document.bytes == bytes => Ok(Swap::Swapped(document.token)),
            _ => Ok(Swap::Mismatch),
        },
        swapped => Ok(swapped),
    }
}
