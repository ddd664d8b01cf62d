use std::collections::BTreeSet;

use cap_std::fs::Dir;
use lockkeeper_names::CachePath;

use crate::cache::Cache;
use crate::change::{Change, Scan, SkipReason, Skipped};
use crate::error::{At, CacheError};
use crate::extent::Extents;
use crate::interrupted::CutOff;
use crate::look::{Found, look};
use crate::places::{self, DEEPEST, Kind, Place, join};
use crate::records::{self, Entry, Record, Update};
use crate::stat::Clock;

/// Compares the extents with their records.
pub(crate) fn scan(cache: &Cache, within: Extents) -> Result<Scan, CacheError> {
    let state = cache.base()?;
    let cut_off = CutOff::find(state.as_ref(), &cache.roots(), &within)?;
    let mut walk = Walk { clock: cache.clock(), cut_off, scan: Scan::default() };
    for folder in within.folders() {
        let files = match places::find(cache.folder(), folder)? {
            Place::Blocked { at, kind } if kind != Kind::File => {
                walk.skip(at, SkipReason::of(kind));
                continue;
            }
            place => place.folder(),
        };
        let records = match &state {
            Some(state) => places::find(state, &records::place(folder))?.folder(),
            None => None,
        };
        walk.folder(folder, files.as_ref(), records.as_ref(), 0)?;
    }
    walk.scan.changes.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(Scan { within, interrupted: walk.cut_off.folders, ..walk.scan })
}

/// What one folder holds, by name.
#[derive(Default)]
struct Listing {
    files: Vec<String>,
    folders: BTreeSet<String>,
    /// What is neither. Whatever was synced at such a name is not known to be gone.
    others: BTreeSet<String>,
}

struct Walk<'a> {
    clock: Clock<'a>,
    cut_off: CutOff,
    scan: Scan,
}

impl Walk<'_> {
    /// Compares one folder with its record, then those below either.
    fn folder(
        &mut self,
        path: &str,
        files: Option<&Dir>,
        records: Option<&Dir>,
        depth: usize,
    ) -> Result<(), CacheError> {
        if depth > DEEPEST {
            self.skip(path.to_owned(), SkipReason::Depth);
            return Ok(());
        }
        let (mut record, damaged) = records::load(records, path)?;
        self.scan.damaged.extend(damaged);
        let mut below = Listing::default();
        if let Some(files) = files {
            below = self.list(files, path)?;
            for name in &below.files {
                self.file(files, path, name, &mut record)?;
            }
        }
        for (name, entry) in record {
            if !below.others.contains(&name) {
                self.deleted(join(path, &name), entry);
            }
        }
        let records = places::enter_option(records, "dirs").at("read the records below", path)?;
        if let Some(records) = &records {
            for entry in records.entries().at("read the records below", path)? {
                let name = entry.at("read the records below", path)?.file_name();
                below.folders.extend(name.into_string().ok().filter(|name| !below.others.contains(name)));
            }
        }
        for name in below.folders {
            let path = join(path, &name);
            let files = places::enter_option(files, &name).at("open", &path)?;
            let records = places::enter_option(records.as_ref(), &name).at("open the record of", &path)?;
            self.folder(&path, files.as_ref(), records.as_ref(), depth + 1)?;
        }
        Ok(())
    }

    fn list(&mut self, files: &Dir, path: &str) -> Result<Listing, CacheError> {
        let mut listing = Listing::default();
        for entry in files.entries().at("read", path)? {
            let entry = entry.at("read", path)?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    self.skip(join(path, &name.to_string_lossy()), SkipReason::Name);
                    continue;
                }
            };
            match Kind::of_entry(&entry).at("read", join(path, &name))? {
                None => {}
                Some(Kind::File) => listing.files.push(name),
                Some(Kind::Folder) => _ = listing.folders.insert(name),
                Some(kind) => {
                    self.skip(join(path, &name), SkipReason::of(kind));
                    listing.others.insert(name);
                }
            }
        }
        Ok(listing)
    }

    /// Compares a file with its entry, and takes the entry out of the record if that settles it.
    fn file(&mut self, files: &Dir, folder: &str, name: &str, record: &mut Record) -> Result<(), CacheError> {
        let Ok(path) = CachePath::parse(&join(folder, name)) else {
            self.skip(join(folder, name), SkipReason::Name);
            return Ok(());
        };
        let known = record.get(name).copied();
        let seen = match look(files, &path, known.as_ref(), &self.clock)? {
            Found::File(seen) => seen,
            // Gone since it was listed.
            Found::Absent | Found::Other(Kind::Folder) => return Ok(()),
            Found::Other(kind) => {
                self.skip(path.to_string(), SkipReason::of(kind));
                record.remove(name);
                return Ok(());
            }
        };
        record.remove(name);
        let base = self.cut_off.base(&path, known, Some(seen.digest)).map(|entry| entry.digest);
        let entry = seen.entry();
        if base != Some(seen.digest) {
            let change =
                Change::Written { path: path.clone(), size: seen.stat.size, digest: seen.digest, base };
            self.scan.changes.push(change);
            self.scan.updates.push(Update { path, entry: Some(entry) });
        } else if known.map(|entry| entry.digest) != base || entry.stat.is_some() && Some(entry) != known {
            self.scan.updates.push(Update { path, entry: Some(entry) });
        }
        Ok(())
    }

    fn deleted(&mut self, path: String, entry: Entry) {
        // A name that is none can only be in a record that was edited by hand.
        let Ok(path) = CachePath::parse(&path) else { return };
        self.scan.updates.push(Update { path: path.clone(), entry: None });
        if let Some(entry) = self.cut_off.base(&path, Some(entry), None) {
            self.scan.changes.push(Change::Deleted { path, base: entry.digest });
        }
    }

    fn skip(&mut self, path: String, reason: SkipReason) {
        self.scan.skipped.push(Skipped { path, reason });
    }
}
