//! Looking into a server's answers.

use std::collections::BTreeSet;

use bson::{RawBsonRef, RawDocument, RawDocumentBuf};

use crate::fault::{Fault, Refusal};

/// One part of what a query found.
pub struct Batch {
    /// The documents.
    pub documents: Vec<RawDocumentBuf>,
    /// Where the rest is, 0 if there is none.
    pub cursor: i64,
}

/// Takes an answer for what it is: success, or a refusal, if only of a part of a write.
///
/// That a unique value is taken is none: see [`duplicates`].
pub fn check(answer: &RawDocument) -> Result<(), Fault> {
    let refusal = |of: &RawDocument| Refusal {
        code: number(of, "code").and_then(|code| i32::try_from(code).ok()).unwrap_or_default(),
        name: text(of, "codeName").unwrap_or_default().to_owned(),
        message: text(of, "errmsg").unwrap_or("no explanation").to_owned(),
        retryable: [of, answer].into_iter().any(has_retry_label),
    };
    match number(answer, "ok") {
        Some(1) => {}
        Some(_) => return Err(Fault::Refused(refusal(answer))),
        None => return Err(Fault::Protocol("an answer that says neither yes nor no".to_owned())),
    }
    for error in write_errors(answer) {
        let refused = Fault::Refused(refusal(error?));
        if !refused.is_duplicate() {
            return Err(refused);
        }
    }
    match answer.get_document("writeConcernError") {
        Ok(error) => Err(Fault::Refused(refusal(error))),
        Err(_) => Ok(()),
    }
}

/// Which statements of a write were refused because a unique value is taken, by their number.
pub fn duplicates(answer: &RawDocument) -> Result<BTreeSet<usize>, Fault> {
    let number = |error: Result<&RawDocument, Fault>| {
        number(error?, "index")
            .and_then(|index| usize::try_from(index).ok())
            .ok_or_else(|| unreadable("index"))
    };
    write_errors(answer).map(number).collect()
}

fn write_errors(answer: &RawDocument) -> impl Iterator<Item = Result<&RawDocument, Fault>> {
    let errors = answer.get_array("writeErrors").ok().into_iter().flatten();
    errors.map(|error| error.ok().and_then(RawBsonRef::as_document).ok_or_else(|| unreadable("writeErrors")))
}

/// The first documents that a query found.
pub fn first_batch(answer: &RawDocument) -> Result<Batch, Fault> {
    batch(answer, "firstBatch")
}

/// The next documents that a query found.
pub fn next_batch(answer: &RawDocument) -> Result<Batch, Fault> {
    batch(answer, "nextBatch")
}

fn batch(answer: &RawDocument, field: &str) -> Result<Batch, Fault> {
    let cursor = answer.get_document("cursor").map_err(|_| unreadable("cursor"))?;
    let mut documents = Vec::new();
    for element in cursor.get_array(field).map_err(|_| unreadable(field))? {
        match element {
            Ok(RawBsonRef::Document(document)) => documents.push(document.to_owned()),
            _ => return Err(unreadable(field)),
        }
    }
    Ok(Batch { documents, cursor: number(cursor, "id").ok_or_else(|| unreadable("id"))? })
}

/// A number of any of the types that servers use for one.
pub fn number(document: &RawDocument, field: &str) -> Option<i64> {
    match document.get(field).ok()?? {
        RawBsonRef::Int32(number) => Some(number.into()),
        RawBsonRef::Int64(number) => Some(number),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a number with a fraction is none of those meant here"
        )]
        RawBsonRef::Double(number) => Some(number as i64),
        RawBsonRef::Boolean(flag) => Some(flag.into()),
        _ => None,
    }
}

/// A text.
pub fn text<'a>(document: &'a RawDocument, field: &str) -> Option<&'a str> {
    document.get_str(field).ok()
}

/// The texts in an array; none if there is no such array.
pub fn texts<'a>(document: &'a RawDocument, field: &str) -> Vec<&'a str> {
    let array = document.get_array(field).ok().into_iter().flatten();
    array.filter_map(|element| element.ok()?.as_str()).collect()
}

/// Says that an answer lacks something.
pub fn unreadable(field: &str) -> Fault {
    Fault::Protocol(format!("an answer whose `{field}` can't be read"))
}

fn has_retry_label(document: &RawDocument) -> bool {
    texts(document, "errorLabels")
        .iter()
        .any(|label| matches!(*label, "RetryableWriteError" | "RetryableError" | "TransientTransactionError"))
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn a_write_that_was_refused_in_part_is_refused() {
        let taken = rawdoc! { "index": 2, "code": 11000, "errmsg": "E11000" };
        let answer = rawdoc! { "ok": 1.0, "n": 0, "writeErrors": [taken.clone()] };
        assert!(check(&answer).is_ok());
        assert_eq!(duplicates(&answer).unwrap(), [2].into());
        let invalid = rawdoc! { "index": 3, "code": 2, "errmsg": "BadValue" };
        let answer = rawdoc! { "ok": 1.0, "n": 0, "writeErrors": [taken, invalid] };
        assert!(matches!(check(&answer), Err(Fault::Refused(refusal)) if refusal.code == 2));
        let answer =
            rawdoc! { "ok": 1.0, "n": 1, "writeConcernError": { "code": 64, "errmsg": "waiting timed out" } };
        assert!(matches!(check(&answer), Err(Fault::Refused(refusal)) if refusal.code == 64));
        assert!(check(&rawdoc! { "ok": 1.0, "writeErrors": [] }).is_ok());
        assert!(matches!(check(&rawdoc! {}), Err(Fault::Protocol(_))));
    }

    #[test]
    fn a_label_says_that_a_refusal_may_pass() {
        let answer = rawdoc! { "ok": 0, "code": 1, "errmsg": "no", "errorLabels": ["RetryableWriteError"] };
        assert!(matches!(check(&answer), Err(Fault::Refused(refusal)) if refusal.retryable));
    }

    #[test]
    fn a_batch_holds_documents_and_nothing_else() {
        let good = rawdoc! { "cursor": { "firstBatch": [{ "_id": 1 }, { "_id": 2 }], "id": 7_i64 } };
        let batch = first_batch(&good).unwrap();
        assert_eq!((batch.documents.len(), batch.cursor), (2, 7));
        assert!(first_batch(&rawdoc! { "cursor": { "firstBatch": [1], "id": 0_i64 } }).is_err());
        assert!(first_batch(&rawdoc! { "cursor": { "firstBatch": [] } }).is_err());
        assert!(first_batch(&rawdoc! {}).is_err());
    }
}
