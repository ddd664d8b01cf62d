//! Messages of the wire protocol: one `OP_MSG` to the server, one back.
//!
//! Nothing that a server sends is believed: a length is checked before anything is allocated for it, and a
//! document is looked into only as far as it is used.

use bson::{RawDocument, RawDocumentBuf};

/// The longest message that servers accept, and the longest that is accepted from one.
pub const MAX_MESSAGE: usize = 48_000_000;
/// How long the header of a message is.
pub const HEADER: usize = 16;

const OP_MSG: i32 = 2013;
const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 1 << 1;
/// Of the flags, these sixteen must be understood.
const REQUIRED_FLAGS: u32 = 0xffff;
/// Flags, the kind of a section, and the smallest document.
const SMALLEST_BODY: usize = 4 + 1 + 5;

/// Documents that travel beside the command, under the name of one of its fields.
pub struct Sequence<'a> {
    /// The field that they are the value of.
    pub field: &'a str,
    /// The documents.
    pub documents: &'a [RawDocumentBuf],
}

/// The header of a server's answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes follow the header.
    pub body: usize,
    /// The request that it answers.
    pub response_to: i32,
}

/// Makes a message of a command.
pub fn encode(request: i32, command: &RawDocument, sequence: Option<&Sequence>) -> Result<Vec<u8>, String> {
    let documents = sequence.map_or(&[][..], |sequence| sequence.documents);
    let payload: usize = documents.iter().map(|document| document.as_bytes().len()).sum();
    let length = HEADER
        + 5
        + command.as_bytes().len()
        + sequence.map_or(0, |sequence| 1 + 4 + sequence.field.len() + 1)
        + payload;
    let total = i32::try_from(length).ok().filter(|_| length <= MAX_MESSAGE);
    let total = total.ok_or_else(|| format!("a message of {length} bytes is longer than servers accept"))?;
    let mut message = Vec::with_capacity(length);
    for number in [total, request, 0, OP_MSG, 0] {
        message.extend(number.to_le_bytes());
    }
    message.push(0);
    message.extend(command.as_bytes());
    if let Some(Sequence { field, documents }) = sequence {
        message.push(1);
        // It fits: the whole message does.
        let size = i32::try_from(4 + field.len() + 1 + payload).map_err(|error| error.to_string())?;
        message.extend(size.to_le_bytes());
        message.extend(field.as_bytes());
        message.push(0);
        for document in *documents {
            message.extend(document.as_bytes());
        }
    }
    Ok(message)
}

/// Reads the header of an answer.
pub fn header(bytes: &[u8; HEADER]) -> Result<Header, String> {
    let [length, _, response_to, operation] = {
        let mut numbers = [0; 4];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *number = i32::from_le_bytes(*bytes);
        }
        numbers
    };
    if operation != OP_MSG {
        return Err(format!("an answer of kind {operation} instead of {OP_MSG}"));
    }
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(HEADER));
    match body {
        Some(body) if (SMALLEST_BODY..=MAX_MESSAGE - HEADER).contains(&body) => {
            Ok(Header { body, response_to })
        }
        _ => Err(format!("an answer that says to be {length} bytes long")),
    }
}

/// Takes the document out of the body of an answer.
pub fn document(mut body: Vec<u8>) -> Result<RawDocumentBuf, String> {
    let truncated = || "an answer that ends too early".to_owned();
    let flags = body.first_chunk().map(|flags| u32::from_le_bytes(*flags)).ok_or_else(truncated)?;
    if flags & REQUIRED_FLAGS & !CHECKSUM_PRESENT != 0 {
        let what = if flags & MORE_TO_COME != 0 { "one of several" } else { "with unknown flags" };
        return Err(format!("an answer {what}: {flags:#x}"));
    }
    match body.get(4) {
        Some(0) => {}
        Some(kind) => return Err(format!("an answer with a section of kind {kind}")),
        None => return Err(truncated()),
    }
    // TLS or TCP have checked the bytes already.
    let checksum = if flags & CHECKSUM_PRESENT != 0 { 4 } else { 0 };
    body.truncate(body.len().saturating_sub(checksum));
    body.drain(..5.min(body.len()));
    RawDocumentBuf::from_bytes(body).map_err(|error| format!("an answer that is not BSON: {error}"))
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use proptest::prelude::*;

    use super::*;

    fn split(message: &[u8]) -> (&[u8; HEADER], Vec<u8>) {
        let (header, body) = message.split_first_chunk().unwrap();
        (header, body.to_vec())
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let command = rawdoc! { "hello": 1, "$db": "admin" };
        let message = encode(7, &command, None).unwrap();
        let (head, body) = split(&message);
        assert_eq!(header(head), Ok(Header { body: body.len(), response_to: 0 }));
        assert_eq!(document(body).unwrap(), command);
    }

    #[test]
    fn documents_beside_the_command_follow_it_under_their_name() {
        let documents = [rawdoc! { "_id": 1 }, rawdoc! { "_id": 2 }];
        let command = rawdoc! { "insert": "files" };
        let sequence = Sequence { field: "documents", documents: &documents };
        let message = encode(7, &command, Some(&sequence)).unwrap();
        let (head, _) = split(&message);
        assert_eq!(header(head).unwrap().body, message.len() - HEADER);
        let at = HEADER + 5 + command.as_bytes().len();
        assert_eq!(message[at], 1);
        assert_eq!(
            i32::from_le_bytes(message[at + 1..at + 5].try_into().unwrap()) as usize,
            message.len() - at - 1
        );
        assert!(message.ends_with(documents[1].as_bytes()));
        assert_eq!(&message[at + 5..at + 15], b"documents\0");
    }

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_allocated() {
        for length in [i32::MIN, -1, 0, 15, 16, 25, 48_000_001, i32::MAX] {
            let mut bytes = [0; HEADER];
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            bytes[12..].copy_from_slice(&OP_MSG.to_le_bytes());
            assert!(header(&bytes).is_err(), "{length}");
        }
    }

    #[test]
    fn other_operations_flags_and_sections_are_refused() {
        let good = encode(7, &rawdoc! { "ok": 1 }, None).unwrap();
        let (head, body) = split(&good);
        let mut compressed = *head;
        compressed[12..].copy_from_slice(&2012_i32.to_le_bytes());
        assert!(header(&compressed).is_err());
        for (at, value) in [(0, 2), (0, 4), (1, 128), (4, 1), (4, 9)] {
            let mut body = body.clone();
            body[at] = value;
            assert!(document(body).is_err(), "byte {at} is {value}");
        }
    }

    #[test]
    fn a_checksum_is_not_taken_for_a_part_of_the_document() {
        let (_, mut body) = split(&encode(7, &rawdoc! { "ok": 1 }, None).unwrap());
        body[0] = 1;
        body.extend([1, 2, 3, 4]);
        assert_eq!(document(body).unwrap(), rawdoc! { "ok": 1 });
    }

    proptest! {
        #[test]
        fn no_answer_can_do_more_than_be_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(head) = bytes.first_chunk() {
                let _ = header(head);
            }
            if let Ok(found) = document(bytes) {
                let _ = crate::reply::check(&found);
                let _ = crate::reply::first_batch(&found);
            }
        }

        #[test]
        fn nor_can_one_that_is_almost_right(at in 0_usize..80, value: u8) {
            let good = rawdoc! { "cursor": { "firstBatch": [{ "_id": "x", "n": 1 }], "id": 0_i64 }, "ok": 1.0, "errmsg": "no" };
            let (_, mut body) = split(&encode(7, &good, None).unwrap());
            let at = at % body.len();
            body[at] = value;
            if let Ok(found) = document(body) {
                let _ = crate::reply::check(&found);
                let _ = crate::reply::first_batch(&found).map(|batch| batch.documents.len());
            }
        }
    }
}
