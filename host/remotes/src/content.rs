//! Stored bytes, in pieces. Runs of zeros are kept as their length, so a sparse file of many gigabytes costs nothing.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt as _};

/// Pieces are about this long.
const PIECE: usize = 256 * 1024;

/// Zeros to hand out.
static ZEROS: [u8; PIECE] = [0; PIECE];

/// The bytes of an object. Cheap to clone.
#[derive(Clone, Default)]
pub struct Content {
    pieces: Arc<[Piece]>,
    size: u64,
}

#[derive(Clone)]
enum Piece {
    Bytes(Bytes),
    Zeros(u64),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }
}

impl Content {
    /// Takes in a stream, showing each piece to `seen` as it comes.
    pub(crate) async fn collect<E>(
        mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<Self, E> {
        let mut builder = Builder::default();
        while let Some(bytes) = stream.try_next().await? {
            seen(&bytes);
            builder.push(&bytes);
        }
        Ok(builder.build())
    }

    /// Puts contents one after the other.
    pub(crate) fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut pieces = Vec::new();
        let mut size = 0;
        for part in parts {
            pieces.extend_from_slice(&part.pieces);
            size += part.size;
        }
        Self { pieces: pieces.into(), size }
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A part of it; what lies beyond its end is left out.
    pub fn slice(&self, range: Range<u64>) -> Self {
        let mut pieces = Vec::new();
        let mut begin = 0;
        for piece in self.pieces.iter() {
            let from = range.start.clamp(begin, begin + piece.len()) - begin;
            let to = range.end.clamp(begin, begin + piece.len()) - begin;
            if from < to {
                pieces.push(match piece {
                    // Both fit: they lie in the piece.
                    Piece::Bytes(bytes) => Piece::Bytes(bytes.slice(from as usize..to as usize)),
                    Piece::Zeros(_) => Piece::Zeros(to - from),
                });
            }
            begin += piece.len();
        }
        let size = pieces.iter().map(Piece::len).sum();
        Self { pieces: pieces.into(), size }
    }

    /// Its bytes, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + Send + Sync + 'static {
        let pieces = self.pieces.clone();
        (0..pieces.len()).filter_map(move |at| pieces.get(at).cloned()).flat_map(|piece| {
            let (bytes, zeros) = match piece {
                Piece::Bytes(bytes) => (Some(bytes), 0),
                Piece::Zeros(len) => (None, len),
            };
            let whole = zeros / PIECE as u64;
            let rest = (zeros % PIECE as u64) as usize;
            let zeros = (0..whole).map(|_| Bytes::from_static(&ZEROS));
            let rest = (rest > 0).then(|| Bytes::from_static(&ZEROS).slice(..rest));
            bytes.into_iter().chain(zeros).chain(rest)
        })
    }

    /// Its bytes in one.
    pub fn to_bytes(&self) -> Bytes {
        let mut pieces = self.pieces();
        match (pieces.next(), self.pieces.len()) {
            (None, _) => Bytes::new(),
            (Some(only), 1) if only.len() as u64 == self.size => only,
            (Some(first), _) => {
                let mut all = BytesMut::from(first);
                pieces.for_each(|piece| all.extend_from_slice(&piece));
                all.freeze()
            }
        }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        let mut builder = Builder::default();
        builder.push(&bytes);
        builder.build()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size)
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

impl Eq for Content {}

/// Cuts what comes into pieces of one length, whatever the lengths that it comes in.
#[derive(Default)]
struct Builder {
    pieces: Vec<Piece>,
    open: BytesMut,
    size: u64,
}

impl Builder {
    fn push(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.open.len()));
            self.open.extend_from_slice(now);
            bytes = later;
            if self.open.len() == PIECE {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let piece = self.open.split().freeze();
        if piece.is_empty() {
        } else if piece.iter().all(|byte| *byte == 0) {
            match self.pieces.last_mut() {
                Some(Piece::Zeros(len)) => *len += piece.len() as u64,
                _ => self.pieces.push(Piece::Zeros(piece.len() as u64)),
            }
        } else {
            self.pieces.push(Piece::Bytes(piece));
        }
    }

    fn build(mut self) -> Content {
        self.close();
        Content { pieces: self.pieces.into(), size: self.size }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn content_is_what_went_in_however_it_was_cut(
            runs in vec((any::<u8>(), 0..2 * PIECE), 0..6), cuts in vec(1..PIECE, 1..4), range in any::<(u32, u32)>(),
        ) {
            let bytes: Vec<u8> = runs.iter().flat_map(|(byte, len)| vec![byte % 2; *len]).collect();
            let mut builder = Builder::default();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(rest.len().min(*cut));
                builder.push(now);
                rest = later;
            }
            let content = builder.build();
            prop_assert_eq!(content.size(), bytes.len() as u64);
            prop_assert!(content.to_bytes() == bytes);
            let end = bytes.len() + 10;
            let (from, to) = (range.0 as usize % end, range.1 as usize % end);
            let slice = content.slice(from as u64..to as u64);
            let expected = bytes.get(from..to.clamp(from, bytes.len().max(from))).unwrap_or_default();
            prop_assert!(slice.to_bytes() == expected);
            prop_assert!(Content::concat([&slice, &content]).to_bytes() == [expected, &bytes].concat());
        }
    }

    #[test]
    fn zeros_take_no_memory() {
        let mut builder = Builder::default();
        for _ in 0..4 {
            builder.push(&ZEROS);
        }
        let content = builder.build();
        assert!(matches!(&*content.pieces, [Piece::Zeros(len)] if *len == 4 * PIECE as u64));
        assert_eq!(Content::concat(vec![&content; 4096]).size(), 4096 * 4 * PIECE as u64);
    }
}
