//! Stores with many models, made from one that was really pushed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use support::Repository;
use walkdir::WalkDir;

use support::servers::Metered;

/// How many files each model has.
pub const FILES: usize = 100;
/// The model that is pushed, and copied. Its name is as long as that of the others.
const TEMPLATE: &str = "kind/0000/";
/// The model that is worked on.
pub const MODEL: &str = "kind/0001";

/// Fills the template's folder in a cache.
pub fn write_template(repository: &Repository) {
    for file in 0..FILES {
        repository.write(&format!("data/{TEMPLATE}file-{file:03}"), format!("content of {file}\n"));
    }
}

fn names(models: usize) -> impl Iterator<Item = String> {
    (1..models).map(|model| format!("kind/{model:04}/"))
}

/// What stands in a copy where this content stands in the template, if it isn't the same: an index names its own scope.
fn renamed(content: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(content).ok().filter(|text| text.contains(TEMPLATE))?;
    Some(text.replace(TEMPLATE, name))
}

/// Lets all that is below a folder of the template be there for each model. Equal files share their content on the disk.
pub fn multiply_folder(folder: &Path, models: usize) -> Result<()> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        let path = entry.path().strip_prefix(folder)?.to_string_lossy().into_owned();
        if entry.file_type().is_file() && path.contains(TEMPLATE) {
            files.push((path, fs::read(entry.path())?));
        }
    }
    for name in names(models) {
        let mut made = None;
        for (path, content) in &files {
            let copy = folder.join(path.replace(TEMPLATE, &name));
            let parent = copy.parent().map(Path::to_owned);
            if made != parent {
                fs::create_dir_all(copy.with_file_name(""))?;
                made = parent;
            }
            match renamed(content, &name) {
                Some(text) => fs::write(copy, text)?,
                None => fs::hard_link(folder.join(path), copy)?,
            }
        }
    }
    Ok(())
}

/// Lets all objects of the template be there for each model.
pub fn multiply_objects(store: &Metered, models: usize) {
    let template: BTreeMap<String, Bytes> =
        store.inner.objects().into_iter().map(|(key, content)| (key, content.to_bytes())).collect();
    for name in names(models) {
        for (key, content) in template.iter().filter(|(key, _)| key.contains(TEMPLATE)) {
            let content = renamed(content, &name).map_or_else(|| content.clone(), Into::into);
            store.inner.insert(&key.replace(TEMPLATE, &name), content);
        }
    }
}
