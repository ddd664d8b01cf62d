//! The remote's operations on a real server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use common::{Database, body, content};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{DocumentRead, PutNew, Remote, Swap};
use mongodb::store::Collection;
use pollster::block_on;

fn entry() -> Entry {
    Entry { digest: String::new(), size: 0 }
}

#[test]
fn what_is_put_comes_back_replaced_renamed_and_deleted() {
    let Some(database) = Database::tiny() else { return };
    let remote = database.remote();
    for text in ["", "short", "more than one chunk of it"] {
        block_on(async {
            assert!(remote.get("data/a").await.unwrap().is_none());
            assert_eq!(remote.put_new("data/a", body(text)).await, Ok(PutNew::Created));
            assert_eq!(remote.put_new("data/a", body("other")).await, Ok(PutNew::Exists));
            remote.put("data/b", body("to be replaced, in chunks")).await.unwrap();
            assert_eq!(remote.rename("data/a", "data/b", &entry()).await, Ok(true));
            assert_eq!(remote.rename("data/a", "data/b", &entry()).await, Ok(false));
        });
        assert_eq!(content(&remote, "data/b").unwrap().unwrap(), text.as_bytes());
        assert_eq!(content(&remote, "data/a").unwrap(), None);
        database.check_whole(&text);
        block_on(remote.delete("data/b")).unwrap();
        block_on(remote.delete("data/b")).unwrap();
        assert!(database.all(Collection::Blobs).is_empty() && database.all(Collection::Chunks).is_empty());
    }
}

#[test]
fn equal_contents_are_stored_once_and_stay_while_one_file_has_them() {
    let Some(database) = Database::tiny() else { return };
    let remote = database.remote();
    let text = "the same content in chunks";
    block_on(async {
        for key in ["a", "b", "c"] {
            remote.put(key, body(text)).await.unwrap();
        }
        assert_eq!(database.all(Collection::Blobs).len(), 1);
        assert_eq!(database.all(Collection::Chunks).len(), text.len().div_ceil(8));
        remote.delete("a").await.unwrap();
        remote.put("b", body("something else")).await.unwrap();
    });
    assert_eq!(content(&remote, "c").unwrap().unwrap(), text.as_bytes());
    database.check_whole(&"shared");
}

#[test]
fn a_document_is_replaced_only_from_the_revision_that_was_read() {
    let Some(database) = Database::tiny() else { return };
    let remote = database.remote();
    let (short, long) = (&b"short"[..], &b"a document in several chunks"[..]);
    block_on(async {
        for (number, (one, two)) in
            [(short, long), (long, short), (long, long), (short, short)].into_iter().enumerate()
        {
            let key = format!("index/{number}/.shard");
            assert_eq!(remote.read_document(&key, None).await, Ok(DocumentRead::Absent));
            let Ok(Swap::Swapped(first)) = remote.swap_document(&key, None, one).await else {
                panic!("{number}")
            };
            assert_eq!(remote.swap_document(&key, None, two).await, Ok(Swap::Mismatch));
            let Ok(Swap::Swapped(second)) = remote.swap_document(&key, Some(&first), two).await else {
                panic!("{number}")
            };
            assert_eq!(remote.swap_document(&key, Some(&first), one).await, Ok(Swap::Mismatch));
            assert_eq!(remote.read_document(&key, Some(&second)).await, Ok(DocumentRead::Unchanged));
            let Ok(DocumentRead::Changed(found)) = remote.read_document(&key, Some(&first)).await else {
                panic!("{number}")
            };
            assert_eq!((found.bytes.as_slice(), found.token), (two, second));
        }
        let listed: Vec<_> = remote.list_documents("index/").try_collect().await.unwrap();
        assert_eq!(listed.len(), 4);
        assert!(listed.iter().all(|listed| listed.token.is_some()));
        assert_eq!(remote.list_documents("index/1/").try_collect::<Vec<_>>().await.unwrap().len(), 1);
    });
    // Of a long one that was replaced nothing stays: two of the four are long now.
    assert_eq!(database.all(Collection::Chunks).len(), 2 * long.len().div_ceil(8));
}

#[test]
fn a_document_may_be_longer_than_the_database_allows() {
    let Some(database) = Database::new() else { return };
    let remote = database.remote();
    // The shard of 200,000 files is about as long.
    let mut text = vec![0; 34_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut text);
    block_on(async {
        let Ok(Swap::Swapped(first)) = remote.swap_document("index/a", None, &text).await else { panic!() };
        text[17_000_000] ^= 1;
        let Ok(Swap::Swapped(second)) = remote.swap_document("index/a", Some(&first), &text).await else {
            panic!()
        };
        assert_eq!(remote.read_document("index/a", Some(&second)).await, Ok(DocumentRead::Unchanged));
        let Ok(DocumentRead::Changed(found)) = remote.read_document("index/a", Some(&first)).await else {
            panic!()
        };
        assert!(found.bytes == text && found.token == second);
    });
    let pieces = block_on(database.at(database.address).find_few(
        Collection::Chunks,
        bson::rawdoc! {},
        bson::rawdoc! { "_id": 1 },
    ));
    assert_eq!(pieces.unwrap().len(), text.len().div_ceil(database.chunk));
}

#[test]
fn of_many_who_swap_one_document_one_wins_each_round() {
    let Some(database) = Database::tiny() else { return };
    for content in ["short", "a document in several chunks"] {
        let key = format!("index/{content}");
        let mut winner = None;
        for round in 0..10 {
            let wins: Vec<_> = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            block_on(database.remote().swap_document(
                                &key,
                                winner.as_ref(),
                                content.as_bytes(),
                            ))
                        })
                    })
                    .collect();
                writers.into_iter().map(|writer| writer.join().unwrap().unwrap()).collect()
            });
            let mut tokens = wins.into_iter().filter_map(|swap| match swap {
                Swap::Swapped(token) => Some(token),
                Swap::Mismatch => None,
            });
            winner = tokens.next();
            assert!(winner.is_some() && tokens.next().is_none(), "round {round} of {content:?}");
        }
        match block_on(database.remote().read_document(&key, None)).unwrap() {
            DocumentRead::Changed(found) => {
                assert_eq!((found.bytes.as_slice(), Some(found.token)), (content.as_bytes(), winner))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_listing_has_every_file_below_its_prefix_and_no_other() {
    let Some(database) = Database::new() else { return };
    let remote = database.remote();
    let odd = [
        "data/web/a b",
        "data/web/ü+%2F.txt",
        "data/web/\u{10ffff}",
        "data/web-2/x",
        "data/web",
        "data/webx/y",
        "da",
    ];
    let listed = block_on(async {
        for key in odd {
            remote.put(key, body(key)).await.unwrap();
        }
        let mut listed: Vec<_> = remote.list_objects("data/web/").try_collect().await.unwrap();
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        assert_eq!(remote.list_objects("").try_collect::<Vec<_>>().await.unwrap().len(), odd.len());
        listed
    });
    let keys: Vec<_> = listed.iter().map(|stored| stored.key.as_str()).collect();
    assert_eq!(keys, &odd[..3]);
    assert!(listed.iter().all(|stored| stored.size == stored.key.len() as u64));
}

#[test]
fn a_listing_goes_on_where_a_cursor_died() {
    let Some(database) = Database::new() else { return };
    let store = database.at(database.address);
    block_on(async {
        for batch in 0..3 {
            let documents: Vec<_> = (0..4000)
                .map(|number| bson::rawdoc! { "_id": format!("data/{batch}/{number:05}"), "size": 1_i64 })
                .collect();
            let insert = |document| store.insert(Collection::Files, document);
            let inserted = try_join_all(documents.into_iter().map(insert)).await.unwrap();
            assert!(inserted.into_iter().all(|inserted| inserted));
        }
        let mut place = None;
        let mut keys = std::collections::BTreeSet::new();
        loop {
            let (found, next) =
                store.list(Collection::Files, "data/", bson::rawdoc! { "size": 1 }, place).await.unwrap();
            for document in &found {
                assert!(keys.insert(document.get_str("_id").unwrap().to_owned()), "listed twice");
            }
            let Some((after, cursor)) = next else { break };
            // A cursor that no server knows.
            place = Some((after, cursor ^ 0x5555));
        }
        assert_eq!(keys.len(), 12_000);
    });
}

#[test]
fn a_content_that_is_gone_is_an_error_and_not_an_absent_file() {
    let Some(database) = Database::tiny() else { return };
    let remote = database.remote();
    for text in ["short", "a content of several chunks"] {
        block_on(async {
            remote.put("a", body(text)).await.unwrap();
            let store = database.at(database.address);
            store.delete_all(Collection::Blobs, &blake3::hash(text.as_bytes()).to_hex()).await.unwrap();
        });
        match content(&remote, "a") {
            Err(lockkeeper_sdk::Error::Fatal(failure)) => {
                assert!(failure.message.contains("damaged"), "{failure:?}")
            }
            other => panic!("{other:?}"),
        }
    }
}
