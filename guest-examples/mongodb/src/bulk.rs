//! Reading and writing single documents, each request [together](crate::together) with others of its kind.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bson::raw::{CString, cstr};
use bson::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};

use crate::client::Slot;
use crate::fault::Fault;
use crate::reply::{duplicates, first_batch, number, text, unreadable};
use crate::store::{Collection, Store};
use crate::together::{Item, Together};

/// Where requests meet: those that read the same fields of a collection, those that write to it in the same way.
#[derive(Default)]
pub struct Bulk {
    finds: RefCell<BTreeMap<Fields, Rc<Finds>>>,
    writes: RefCell<BTreeMap<(Verb, Collection), Rc<Writes>>>,
    references: Together<Wanted, bool>,
}

/// Fields of a collection, as BSON.
type Fields = (Collection, Vec<u8>);
type Finds = Together<Wanted, Option<RawDocumentBuf>>;
type Writes = Together<Statement, bool>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Insert,
    Update,
    Upsert,
    Delete,
}

/// What shows that an update was carried out: a value of its own, in a field or in a field of an array's elements (`"pending.id"`).
///
/// A server says how many statements of a message have matched, and not which.
pub type Proof<'a> = (&'static str, &'a str);

/// A document that is looked for.
struct Wanted {
    id: String,
    size: usize,
}

struct Statement {
    document: RawDocumentBuf,
    id: String,
    proof: Option<(&'static str, String)>,
}

impl Item for Wanted {
    fn size(&self) -> usize {
        self.id.len() + self.size
    }
}

impl Item for Statement {
    fn size(&self) -> usize {
        self.document.as_bytes().len()
    }

    fn clashes(&self, other: &Self) -> bool {
        // What one has written into a field, another one may replace.
        let replaces = |one: &Self| one.proof.as_ref().is_some_and(|(field, _)| !field.contains('.'));
        self.id == other.id && (replaces(self) || replaces(other))
    }
}

impl Statement {
    fn update(filter: RawDocumentBuf, update: RawDocumentBuf, proof: Option<Proof>) -> Self {
        let id = text(&filter, "_id").unwrap_or_default().to_owned();
        let proof = proof.map(|(field, value)| (field, value.to_owned()));
        Self { document: rawdoc! { "q": filter, "u": update }, id, proof }
    }
}

impl Store {
    /// Reads fields of a document. `size` is about how long they are.
    pub async fn get(
        &self,
        collection: Collection,
        id: &str,
        fields: RawDocumentBuf,
        size: usize,
    ) -> Result<Option<RawDocumentBuf>, Fault> {
        let kind = (collection, fields.as_bytes().to_vec());
        let finds = self.bulk.finds.borrow_mut().entry(kind).or_default().clone();
        let wanted = Wanted { id: id.to_owned(), size };
        finds
            .join(self.client(), wanted, async |slot, wanted| {
                let found =
                    self.find_all(slot, collection, wanted.iter().map(|wanted| wanted.id.as_str()), fields);
                let found = found.await?;
                Ok(wanted.iter().map(|wanted| found.get(&wanted.id).cloned()).collect())
            })
            .await
    }

    async fn find_all(
        &self,
        slot: &Slot<'_>,
        collection: Collection,
        ids: impl Iterator<Item = &str>,
        fields: RawDocumentBuf,
    ) -> Result<BTreeMap<String, RawDocumentBuf>, Fault> {
        let (ids, count) = several(ids);
        // A full batch keeps its cursor open.
        let size = count + 1;
        let filter = rawdoc! { "_id": { "$in": ids } };
        let command = rawdoc! {
            "find": self.name(collection), "filter": filter, "projection": fields, "batchSize": size,
        };
        let mut batch = first_batch(&self.read(slot, command).await?)?;
        let mut found = BTreeMap::new();
        loop {
            found.extend(
                batch
                    .documents
                    .into_iter()
                    .filter_map(|found| Some((text(&found, "_id")?.to_owned(), found))),
            );
            // Answers hold 16 MB.
            if batch.cursor == 0 {
                return Ok(found);
            }
            batch = self.more(slot, collection, batch.cursor).await?;
        }
    }

    /// Says whether a file refers to a blob.
    pub async fn is_referenced(&self, digest: &str) -> Result<bool, Fault> {
        let wanted = Wanted { id: digest.to_owned(), size: 0 };
        self.bulk
            .references
            .join(self.client(), wanted, async |slot, wanted| {
                let (digests, _) = several(wanted.iter().map(|wanted| wanted.id.as_str()));
                let command = rawdoc! {
                    "distinct": self.name(Collection::Files), "key": "blob", "query": { "blob": { "$in": digests } },
                };
                let answer = self.read(slot, command).await?;
                let values = answer.get_array("values").map_err(|_| unreadable("values"))?;
                let values = values.into_iter().map(|value| value.ok().and_then(RawBsonRef::as_str));
                let found: BTreeSet<_> = values.collect::<Option<_>>().ok_or_else(|| unreadable("values"))?;
                Ok(wanted.iter().map(|wanted| found.contains(wanted.id.as_str())).collect())
            })
            .await
    }

    async fn join_write(
        &self,
        verb: Verb,
        collection: Collection,
        statement: Statement,
    ) -> Result<bool, Fault> {
        let writes = self.bulk.writes.borrow_mut().entry((verb, collection)).or_default().clone();
        let send = async |slot: &Slot<'_>, statements| self.send(slot, verb, collection, statements).await;
        writes.join(self.client(), statement, send).await
    }

    async fn send(
        &self,
        slot: &Slot<'_>,
        verb: Verb,
        collection: Collection,
        statements: Vec<Statement>,
    ) -> Result<Vec<bool>, Fault> {
        let (command, field) = match verb {
            Verb::Insert => (cstr!("insert"), "documents"),
            Verb::Update | Verb::Upsert => (cstr!("update"), "updates"),
            Verb::Delete => (cstr!("delete"), "deletes"),
        };
        let (documents, proofs): (Vec<_>, Vec<_>) = statements
            .into_iter()
            .map(|statement| (statement.document, (statement.id, statement.proof)))
            .unzip();
        let answer = self.write(slot, command, collection, field, &documents).await?;
        drop(documents);
        if matches!(verb, Verb::Insert | Verb::Upsert) {
            let duplicates = duplicates(&answer)?;
            return Ok((0..proofs.len()).map(|number| !duplicates.contains(&number)).collect());
        }
        let matched =
            number(&answer, "n").and_then(|n| usize::try_from(n).ok()).ok_or_else(|| unreadable("n"))?;
        if matched == 0 || matched >= proofs.len() {
            return Ok(vec![matched > 0; proofs.len()]);
        }
        // Some of them: which?
        let fields = proofs.iter().filter_map(|(_, proof)| proof.as_ref()?.0.split('.').next());
        let mut projection = rawdoc! { "_id": 1 };
        for field in fields.collect::<BTreeSet<_>>() {
            let field = CString::try_from(field).map_err(|error| Fault::Protocol(error.to_string()))?;
            projection.append(field, 1);
        }
        let found =
            self.find_all(slot, collection, proofs.iter().map(|(id, _)| id.as_str()), projection).await?;
        let done = |(id, proof): &(String, Option<(&str, String)>)| match (found.get(id), proof) {
            (None, _) => verb == Verb::Delete,
            (Some(found), Some((field, value))) => holds(found, field, value),
            (Some(_), None) => false,
        };
        Ok(proofs.iter().map(done).collect())
    }

    /// Inserts a document; false if there is one with its `_id`.
    pub async fn insert(&self, collection: Collection, document: RawDocumentBuf) -> Result<bool, Fault> {
        let statement = Statement { document, id: String::new(), proof: None };
        self.join_write(Verb::Insert, collection, statement).await
    }

    /// Updates the document with the filter's `_id`, if it matches, and says whether it did. The proof is in the update.
    pub async fn update(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        update: RawDocumentBuf,
        proof: Proof<'_>,
    ) -> Result<bool, Fault> {
        self.join_write(Verb::Update, collection, Statement::update(filter, update, Some(proof))).await
    }

    /// Updates the document with the filter's `_id`, if it matches.
    pub async fn update_any(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        update: RawDocumentBuf,
    ) -> Result<(), Fault> {
        self.join_write(Verb::Update, collection, Statement::update(filter, update, None)).await.map(drop)
    }

    /// Updates the document that matches, or makes one; false if there is one with the filter's `_id` that doesn't match.
    pub async fn upsert(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        update: RawDocumentBuf,
    ) -> Result<bool, Fault> {
        let mut statement = Statement::update(filter, update, None);
        statement.document.append(cstr!("upsert"), true);
        self.join_write(Verb::Upsert, collection, statement).await
    }

    /// Deletes the document with the filter's `_id`, if it matches, and says whether it did or is gone anyway.
    pub async fn delete(&self, collection: Collection, filter: RawDocumentBuf) -> Result<bool, Fault> {
        let id = text(&filter, "_id").unwrap_or_default().to_owned();
        let statement = Statement { document: rawdoc! { "q": filter, "limit": 1 }, id, proof: None };
        self.join_write(Verb::Delete, collection, statement).await
    }
}

/// An array of names, each once, and how many there are.
fn several<'a>(names: impl Iterator<Item = &'a str>) -> (RawArrayBuf, i64) {
    let names: BTreeSet<_> = names.collect();
    let count = i64::try_from(names.len()).unwrap_or(i64::MAX - 1);
    (names.into_iter().collect(), count)
}

/// Whether a field, or the field of some element of an array, has a value.
fn holds(document: &RawDocument, field: &str, value: &str) -> bool {
    match field.split_once('.') {
        None => text(document, field) == Some(value),
        Some((array, field)) => {
            let elements = document.get_array(array).ok().into_iter().flatten();
            elements
                .filter_map(|element| element.ok()?.as_document())
                .any(|element| text(element, field) == Some(value))
        }
    }
}
