//! Streaming file content and checking it on the way.

use std::io::{self, Read, Write};

use blake3::Hasher;

use crate::Error;

/// How much of a file is in memory at a time.
pub(crate) const BUFFER: usize = 128 * 1024;

/// The content of a file on its way to the remote.
///
/// The last bytes are given out only if the whole is what was announced, so a remote never gets the whole
/// of anything else.
pub(crate) struct Body<'a, R> {
    content: R,
    left: u64,
    digest: &'a str,
    hasher: Hasher,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unchecked,
    Right,
    Changed,
}

impl<'a, R: Read> Body<'a, R> {
    pub(crate) fn new(content: R, size: u64, digest: &'a str) -> Self {
        Self { content, left: size, digest, hasher: Hasher::new(), state: State::Unchecked }
    }

    /// Says whether what was read is not what was announced.
    pub(crate) fn changed(&self) -> bool {
        self.state == State::Changed
    }

    /// Says whether everything was read and is what was announced.
    pub(crate) fn complete(&mut self) -> bool {
        self.state == State::Right || (self.left == 0 && self.check().is_ok())
    }

    fn check(&mut self) -> io::Result<()> {
        let longer = self.content.read(&mut [0])? > 0;
        let right = self.left == 0 && !longer && self.hasher.finalize().to_hex().as_str() == self.digest;
        self.state = if right { State::Right } else { State::Changed };
        if right { Ok(()) } else { Err(io::Error::other("the file changed while it was being read")) }
    }
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.content.by_ref().take(self.left).read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.left -= read as u64;
        if (read == 0 || self.left == 0) && self.state != State::Right {
            self.check()?;
        }
        Ok(read)
    }
}

/// Copies everything, tells `each` how much came, and returns the size and the digest.
pub(crate) fn copy(
    from: &mut dyn Read,
    mut to: impl Write,
    mut each: impl FnMut(u64),
) -> Result<(u64, String), CopyError> {
    let mut hasher = Hasher::new();
    let mut size = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(CopyError::Read)?,
        };
        if read == 0 {
            return Ok((size, hasher.finalize().to_hex().to_string()));
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        hasher.update(bytes);
        to.write_all(bytes).map_err(CopyError::Write)?;
        size += read as u64;
        each(read as u64);
    }
}

/// Which side of a copy failed.
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

impl CopyError {
    pub(crate) fn at(self, path: &str) -> Error {
        match self {
            Self::Read(error) => Error::from_body(error).at(path),
            Self::Write(error) => Error::cache(path, &error),
        }
    }
}
