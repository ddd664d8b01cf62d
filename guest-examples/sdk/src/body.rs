//! Streaming file content and checking it on the way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use crate::hasher::Hasher;
use crate::{Error, Object};

/// How much of a file is in memory at a time.
pub(crate) const BUFFER: usize = 128 * 1024;

/// The content of a file on its way to the remote.
///
/// The last bytes are given out only if the whole is what was announced, so a remote never gets the whole
/// of anything else. It is also a stream of pieces.
pub struct Body {
    content: Box<dyn Read + Send>,
    size: u64,
    left: u64,
    digest: String,
    hasher: Hasher,
    outcome: Outcome,
}

/// What a body turned out to be, known to whoever handed it over.
#[derive(Clone, Default)]
pub(crate) struct Outcome(Arc<AtomicU8>);

const RIGHT: u8 = 1;
const CHANGED: u8 = 2;

impl Outcome {
    /// Says whether everything was read and is what was announced.
    pub(crate) fn complete(&self) -> bool {
        self.0.load(Ordering::Relaxed) == RIGHT
    }

    /// Says whether what was read is not what was announced.
    pub(crate) fn changed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CHANGED
    }
}

impl Body {
    /// Opens a file that should have this size and digest.
    pub(crate) fn open(file: &Path, size: u64, digest: &str) -> io::Result<Self> {
        Ok(Self::new(File::open(file)?, size, digest.to_owned()))
    }

    /// Makes the body of an object from what is in memory.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Self::new(io::Cursor::new(bytes.clone()), bytes.len() as u64, digest)
    }

    fn new(content: impl Read + Send + 'static, size: u64, digest: String) -> Self {
        let mut body = Self {
            content: Box::new(content),
            size,
            left: size,
            digest,
            hasher: Hasher::default(),
            outcome: Outcome::default(),
        };
        if size == 0 {
            // Nobody has to read it to know. An error is one that reading it gives as well.
            let _ = body.check();
        }
        body
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its BLAKE3 digest, as 64 lowercase hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Reads the next bytes, `max` unless fewer are left; none at the end. Fails if the file is no longer what was announced.
    pub fn read(&mut self, max: usize) -> io::Result<Bytes> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(max);
        let mut piece = BytesMut::zeroed(wanted);
        let mut filled = 0;
        while filled < wanted {
            // Little at a time, so that it is hashed as long as the processor has it near.
            let end = filled.saturating_add(BUFFER).min(wanted);
            let Some(next) = piece.get_mut(filled..end) else { break };
            match self.content.read(next) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(0) => return self.check().map(|()| Bytes::new()),
                Ok(read) => {
                    self.hasher.update(next.get(..read).unwrap_or_default());
                    filled += read;
                }
            }
        }
        self.left -= wanted as u64;
        if self.left == 0 && !self.outcome.complete() {
            self.check()?;
        }
        Ok(piece.freeze())
    }

    /// A look at what becomes of it, for after it was handed over.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    fn check(&mut self) -> io::Result<()> {
        let longer = self.content.read(&mut [0])? > 0;
        let right = self.left == 0 && !longer && self.hasher.digest() == self.digest;
        self.outcome.0.store(if right { RIGHT } else { CHANGED }, Ordering::Relaxed);
        if right { Ok(()) } else { Err(io::Error::other("the file changed while it was being read")) }
    }
}

impl Stream for Body {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match self.read(BUFFER) {
            Ok(piece) if piece.is_empty() => None,
            result => Some(result),
        })
    }
}

/// Copies everything, tells `each` how much came, and returns the size and the digest.
pub(crate) async fn copy(
    mut from: Object<'_>,
    mut to: impl Write,
    mut each: impl FnMut(u64),
) -> Result<(u64, String), CopyError> {
    let mut hasher = Hasher::default();
    let mut size = 0;
    while let Some(piece) = from.next().await {
        let piece = piece.map_err(CopyError::Read)?;
        hasher.update(&piece);
        to.write_all(&piece).map_err(CopyError::Write)?;
        size += piece.len() as u64;
        each(piece.len() as u64);
    }
    Ok((size, hasher.digest()))
}

/// Which side of a copy failed.
pub(crate) enum CopyError {
    Read(Error),
    Write(io::Error),
}

impl CopyError {
    pub(crate) fn at(self, path: &str) -> Error {
        match self {
            Self::Read(error) => error.at(path),
            Self::Write(error) => Error::cache(path, &error),
        }
    }
}
