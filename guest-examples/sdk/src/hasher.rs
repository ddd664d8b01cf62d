//! Digests of content: by the host where there is much of it, which takes a fifth of the time, and here where there is little.

#[cfg(target_family = "wasm")]
use crate::bindings::lockkeeper::datastore::digests;

/// As many bytes in the first piece promise more than calls to the host cost.
#[cfg(target_family = "wasm")]
const MUCH: usize = 32 * 1024;

/// Hashes one content, piece by piece.
#[derive(Default)]
pub(crate) struct Hasher(Option<At>);

enum At {
    Here(Box<blake3::Hasher>),
    #[cfg(target_family = "wasm")]
    Host(digests::Hasher),
}

impl At {
    #[cfg(target_family = "wasm")]
    fn begin(piece: &[u8]) -> Self {
        if piece.len() < MUCH { Self::Here(Box::default()) } else { Self::Host(digests::Hasher::new()) }
    }

    /// A test that runs natively has no host that hashes.
    #[cfg(not(target_family = "wasm"))]
    fn begin(_: &[u8]) -> Self {
        Self::Here(Box::default())
    }
}

impl Hasher {
    /// Takes the next piece.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        match self.0.get_or_insert_with(|| At::begin(piece)) {
            At::Here(hasher) => _ = hasher.update(piece),
            #[cfg(target_family = "wasm")]
            At::Host(hasher) => hasher.update(piece),
        }
    }

    /// The BLAKE3 digest of everything so far, as 64 lowercase hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        match &self.0 {
            None => blake3::hash(&[]).to_hex().to_string(),
            Some(At::Here(hasher)) => hasher.finalize().to_hex().to_string(),
            #[cfg(target_family = "wasm")]
            Some(At::Host(hasher)) => hasher.digest(),
        }
    }
}
