//! Files in memory, with what a power loss would leave of them.
//!
//! Nodes are shared until they are changed, so a copy of a [`Tree`] is cheap: each schedule of a check starts from one.
//! Nothing in here knows WebAssembly or asks the system for anything; the same operations give the same tree.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The number of a node. The root is 0; numbers are given out in order and never again.
pub type NodeId = u32;

/// The folder that everything lies below.
pub const ROOT: NodeId = 0;

/// How many symbolic links may follow on one another.
const MOST_LINKS: usize = 16;

/// Why a file operation failed, by the names that WASI gives to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Access is denied.
    Access,
    /// The name is taken.
    Exist,
    /// Something that passes interrupted it.
    Interrupted,
    /// The arguments make no sense.
    Invalid,
    /// The medium failed.
    Io,
    /// A folder stands where a file was asked for.
    IsDirectory,
    /// Too many symbolic links follow on one another.
    Loop,
    /// There is no such file.
    NoEntry,
    /// The disk is full.
    InsufficientSpace,
    /// A file stands where a folder was asked for.
    NotDirectory,
    /// The folder has entries.
    NotEmpty,
    /// The folder is read-only here, or the path leads out of it.
    NotPermitted,
    /// This file system can't do that.
    Unsupported,
    /// The two paths lie on different file systems.
    CrossDevice,
}

impl Fault {
    /// Its name in WASI, such as `no-entry`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Exist => "exist",
            Self::Interrupted => "interrupted",
            Self::Invalid => "invalid",
            Self::Io => "io",
            Self::IsDirectory => "is-directory",
            Self::Loop => "loop",
            Self::NoEntry => "no-entry",
            Self::InsufficientSpace => "insufficient-space",
            Self::NotDirectory => "not-directory",
            Self::NotEmpty => "not-empty",
            Self::NotPermitted => "not-permitted",
            Self::Unsupported => "unsupported",
            Self::CrossDevice => "cross-device",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Fault {}

/// What a power loss takes, besides the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Content that was not synced, while names and renames are kept: the file that is suddenly empty.
    Content,
    /// Everything since anything was last synced, as a journal that was not written out yet.
    Journal,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link.
    Link,
}

/// What can be known about a node.
#[derive(Debug, Clone, Copy)]
pub struct NodeInfo {
    /// What it is.
    pub kind: NodeKind,
    /// How many names it has.
    pub names: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed, in nanoseconds of virtual time.
    pub modified: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Folder(BTreeMap<String, NodeId>),
    File { bytes: Arc<Vec<u8>>, durable: Arc<Vec<u8>> },
    Link(String),
}

#[derive(Clone, Debug)]
struct Node {
    content: Content,
    names: u32,
    modified: u64,
}

/// Where a path leads.
#[derive(Debug, Clone)]
pub struct Walked {
    /// The folder that holds the last name.
    pub parent: NodeId,
    /// The last name; empty if the path leads to where it began.
    pub name: String,
    /// What has that name now.
    pub node: Option<NodeId>,
    /// The path from where it began, without `.`, `..` and symbolic links on the way.
    pub path: String,
}

/// A tree of files.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Arc<Node>>,
    /// The nodes when anything was last synced; kept only for trees that can lose power.
    durable: Option<Arc<Vec<Arc<Node>>>>,
    room: u64,
}

impl Tree {
    /// An empty folder with room for that many bytes.
    pub fn new(room: u64) -> Self {
        let root = Node { content: Content::Folder(BTreeMap::new()), names: 1, modified: 0 };
        Self { nodes: vec![Arc::new(root)], durable: None, room }
    }

    /// From now on keeps what a power loss would leave. Everything that is there now is safe.
    pub fn remember(&mut self) {
        for node in &mut self.nodes {
            if let Content::File { bytes, durable } = &node.content
                && !Arc::ptr_eq(bytes, durable)
                && let Content::File { bytes, durable } = &mut Arc::make_mut(node).content
            {
                *durable = bytes.clone();
            }
        }
        self.durable = Some(Arc::new(self.nodes.clone()));
    }

    /// Keeps that no longer; it has its price.
    pub fn forget(&mut self) {
        self.durable = None;
    }

    /// Takes away what was not synced. A tree that doesn't [remember](Self::remember) stays as it is.
    pub fn lose_power(&mut self, loss: Loss) {
        let Some(names) = &self.durable else { return };
        let current = std::mem::take(&mut self.nodes);
        self.nodes = match loss {
            Loss::Content => current.clone(),
            Loss::Journal => names.to_vec(),
        };
        for (node, current) in self.nodes.iter_mut().zip(&current) {
            if let Content::File { durable, .. } = &current.content
                && let Content::File { bytes, .. } = &mut Arc::make_mut(node).content
            {
                *bytes = durable.clone();
            }
        }
        self.remember();
    }

    fn node(&self, id: NodeId) -> Result<&Node, Fault> {
        self.nodes.get(id as usize).map(Arc::as_ref).ok_or(Fault::Io)
    }

    fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Fault> {
        self.nodes.get_mut(id as usize).map(Arc::make_mut).ok_or(Fault::Io)
    }

    fn folder(&self, id: NodeId) -> Result<&BTreeMap<String, NodeId>, Fault> {
        match &self.node(id)?.content {
            Content::Folder(entries) => Ok(entries),
            _ => Err(Fault::NotDirectory),
        }
    }

    fn folder_mut(&mut self, id: NodeId) -> Result<&mut BTreeMap<String, NodeId>, Fault> {
        match &mut self.node_mut(id)?.content {
            Content::Folder(entries) => Ok(entries),
            _ => Err(Fault::NotDirectory),
        }
    }

    fn add(&mut self, content: Content, now: u64) -> Result<NodeId, Fault> {
        let id = NodeId::try_from(self.nodes.len()).map_err(|_| Fault::InsufficientSpace)?;
        self.take_room(64)?;
        self.nodes.push(Arc::new(Node { content, names: 1, modified: now }));
        Ok(id)
    }

    fn take_room(&mut self, bytes: u64) -> Result<(), Fault> {
        self.room = self.room.checked_sub(bytes).ok_or(Fault::InsufficientSpace)?;
        Ok(())
    }

    /// Follows a path from a folder, which it can't leave.
    pub fn walk(&self, base: NodeId, path: &str, follow: bool) -> Result<Walked, Fault> {
        if path.starts_with('/') {
            return Err(Fault::NotPermitted);
        }
        if path.is_empty() {
            return Err(Fault::NoEntry);
        }
        let mut ahead: Vec<&str> = path.rsplit('/').collect();
        let mut stack: Vec<(NodeId, &str)> = Vec::new();
        let mut links = 0;
        let mut here = base;
        while let Some(segment) = ahead.pop() {
            match segment {
                "" | "." => {
                    self.folder(here)?;
                }
                ".." => {
                    self.folder(here)?;
                    stack.pop().ok_or(Fault::NotPermitted)?;
                    here = stack.last().map_or(base, |(node, _)| *node);
                }
                name => {
                    let last = ahead.iter().all(|segment| segment.is_empty());
                    let node = self.folder(here)?.get(name).copied();
                    if let Some(node) = node
                        && let Content::Link(target) = &self.node(node)?.content
                        && (follow || !last)
                    {
                        links += 1;
                        if links > MOST_LINKS {
                            return Err(Fault::Loop);
                        }
                        if target.starts_with('/') {
                            return Err(Fault::NotPermitted);
                        }
                        ahead.extend(target.rsplit('/'));
                        continue;
                    }
                    match node {
                        Some(node) => {
                            stack.push((node, segment));
                            here = node;
                        }
                        None if last => {
                            let path = joined(stack.iter().map(|(_, name)| *name).chain([name]));
                            return Ok(Walked { parent: here, name: name.to_owned(), node: None, path });
                        }
                        None => return Err(Fault::NoEntry),
                    }
                }
            }
        }
        let path = joined(stack.iter().map(|(_, name)| *name));
        let name = stack.pop().map(|(_, name)| name).unwrap_or_default().to_owned();
        let parent = stack.last().map_or(base, |(node, _)| *node);
        Ok(Walked { parent, name, node: Some(here), path })
    }

    /// What is known about a node.
    pub fn info(&self, id: NodeId) -> Result<NodeInfo, Fault> {
        let node = self.node(id)?;
        let (kind, size) = match &node.content {
            Content::Folder(_) => (NodeKind::Folder, 0),
            Content::File { bytes, .. } => (NodeKind::File, bytes.len()),
            Content::Link(target) => (NodeKind::Link, target.len()),
        };
        Ok(NodeInfo { kind, names: u64::from(node.names), size: size as u64, modified: node.modified })
    }

    /// Says when a node was last changed.
    pub fn set_modified(&mut self, id: NodeId, modified: u64) -> Result<(), Fault> {
        self.node_mut(id)?.modified = modified;
        Ok(())
    }

    fn free_name(&self, parent: NodeId, name: &str) -> Result<(), Fault> {
        if name.is_empty() || self.folder(parent)?.contains_key(name) { Err(Fault::Exist) } else { Ok(()) }
    }

    fn create(&mut self, parent: NodeId, name: &str, content: Content, now: u64) -> Result<NodeId, Fault> {
        self.free_name(parent, name)?;
        let id = self.add(content, now)?;
        self.folder_mut(parent)?.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Makes an empty folder.
    pub fn create_folder(&mut self, parent: NodeId, name: &str, now: u64) -> Result<NodeId, Fault> {
        self.create(parent, name, Content::Folder(BTreeMap::new()), now)
    }

    /// Makes an empty file.
    pub fn create_file(&mut self, parent: NodeId, name: &str, now: u64) -> Result<NodeId, Fault> {
        let content = Content::File { bytes: Arc::default(), durable: Arc::default() };
        self.create(parent, name, content, now)
    }

    /// Makes a symbolic link.
    pub fn create_link(
        &mut self,
        parent: NodeId,
        name: &str,
        target: &str,
        now: u64,
    ) -> Result<NodeId, Fault> {
        self.create(parent, name, Content::Link(target.to_owned()), now)
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, id: NodeId) -> Result<String, Fault> {
        match &self.node(id)?.content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(Fault::Invalid),
        }
    }

    /// Gives a file one more name.
    pub fn link(&mut self, id: NodeId, parent: NodeId, name: &str) -> Result<(), Fault> {
        if matches!(self.node(id)?.content, Content::Folder(_)) {
            return Err(Fault::NotPermitted);
        }
        self.free_name(parent, name)?;
        self.folder_mut(parent)?.insert(name.to_owned(), id);
        self.node_mut(id)?.names += 1;
        Ok(())
    }

    /// Takes a name from a file.
    pub fn unlink(&mut self, parent: NodeId, name: &str) -> Result<(), Fault> {
        let id = *self.folder(parent)?.get(name).ok_or(Fault::NoEntry)?;
        if matches!(self.node(id)?.content, Content::Folder(_)) {
            return Err(Fault::IsDirectory);
        }
        self.folder_mut(parent)?.remove(name);
        let node = self.node_mut(id)?;
        node.names = node.names.saturating_sub(1);
        Ok(())
    }

    /// Removes an empty folder.
    pub fn remove_folder(&mut self, parent: NodeId, name: &str) -> Result<(), Fault> {
        let id = *self.folder(parent)?.get(name).ok_or(Fault::NoEntry)?;
        if !self.folder(id)?.is_empty() {
            return Err(Fault::NotEmpty);
        }
        self.folder_mut(parent)?.remove(name);
        Ok(())
    }

    /// Moves a name, over another one if there is one of the same kind.
    pub fn rename(&mut self, from: (NodeId, &str), to: (NodeId, &str)) -> Result<(), Fault> {
        let id = *self.folder(from.0)?.get(from.1).ok_or(Fault::NoEntry)?;
        if to.1.is_empty() {
            return Err(Fault::Invalid);
        }
        let is_folder = matches!(self.node(id)?.content, Content::Folder(_));
        if is_folder && self.lies_below(to.0, id) {
            return Err(Fault::Invalid);
        }
        if let Some(target) = self.folder(to.0)?.get(to.1).copied() {
            if target == id {
                return Ok(());
            }
            match (&self.node(target)?.content, is_folder) {
                (Content::Folder(entries), true) if !entries.is_empty() => return Err(Fault::NotEmpty),
                (Content::Folder(_), true) => self.remove_folder(to.0, to.1)?,
                (Content::Folder(_), false) => return Err(Fault::IsDirectory),
                (_, true) => return Err(Fault::NotDirectory),
                (_, false) => self.unlink(to.0, to.1)?,
            }
        }
        self.folder_mut(from.0)?.remove(from.1);
        self.folder_mut(to.0)?.insert(to.1.to_owned(), id);
        Ok(())
    }

    /// Whether `id` is `above` or lies somewhere below it.
    fn lies_below(&self, id: NodeId, above: NodeId) -> bool {
        id == above
            || self.folder(above).is_ok_and(|entries| {
                entries.values().any(|entry| self.folder(*entry).is_ok() && self.lies_below(id, *entry))
            })
    }

    /// The entries of a folder, sorted by name.
    pub fn entries(&self, id: NodeId) -> Result<Vec<(String, NodeKind)>, Fault> {
        self.folder(id)?.iter().map(|(name, entry)| Ok((name.clone(), self.info(*entry)?.kind))).collect()
    }

    /// The content of a file.
    pub fn content(&self, id: NodeId) -> Result<&Arc<Vec<u8>>, Fault> {
        match &self.node(id)?.content {
            Content::File { bytes, .. } => Ok(bytes),
            Content::Folder(_) => Err(Fault::IsDirectory),
            Content::Link(_) => Err(Fault::Invalid),
        }
    }

    fn content_mut(&mut self, id: NodeId) -> Result<&mut Vec<u8>, Fault> {
        match &mut self.node_mut(id)?.content {
            Content::File { bytes, .. } => Ok(Arc::make_mut(bytes)),
            Content::Folder(_) => Err(Fault::IsDirectory),
            Content::Link(_) => Err(Fault::Invalid),
        }
    }

    /// Reads a part of a file; empty at its end.
    pub fn read(&self, id: NodeId, offset: u64, most: usize) -> Result<Vec<u8>, Fault> {
        let bytes = self.content(id)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(most).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    /// Writes a part of a file, at its end if no offset is given.
    pub fn write(&mut self, id: NodeId, offset: Option<u64>, new: &[u8], now: u64) -> Result<(), Fault> {
        let length = self.content(id)?.len();
        let start = match offset {
            Some(offset) => usize::try_from(offset).map_err(|_| Fault::InsufficientSpace)?,
            None => length,
        };
        let end = start.checked_add(new.len()).ok_or(Fault::InsufficientSpace)?;
        self.resize(id, end.max(length), now)?;
        if let Some(part) = self.content_mut(id)?.get_mut(start..end) {
            part.copy_from_slice(new);
        }
        Ok(())
    }

    /// Cuts a file short or fills it up with zeros.
    pub fn resize(&mut self, id: NodeId, size: usize, now: u64) -> Result<(), Fault> {
        let length = self.content(id)?.len();
        self.take_room(size.saturating_sub(length) as u64)?;
        self.room += length.saturating_sub(size) as u64;
        self.content_mut(id)?.resize(size, 0);
        self.set_modified(id, now)
    }

    /// Makes a node's content, and every name so far, survive a power loss.
    pub fn sync(&mut self, id: NodeId) -> Result<(), Fault> {
        if self.durable.is_none() {
            return Ok(());
        }
        if let Content::File { bytes, durable } = &mut self.node_mut(id)?.content {
            *durable = bytes.clone();
        }
        self.durable = Some(Arc::new(self.nodes.clone()));
        Ok(())
    }

    /// Writes a whole file and the folders above it.
    pub fn put(&mut self, path: &str, content: &[u8]) -> Result<(), Fault> {
        let mut here = ROOT;
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for segment in folders.split('/').filter(|segment| !segment.is_empty()) {
            here = match self.folder(here)?.get(segment) {
                Some(next) => *next,
                None => self.create_folder(here, segment, 0)?,
            };
        }
        let id = match self.folder(here)?.get(name) {
            Some(id) => *id,
            None => self.create_file(here, name, 0)?,
        };
        self.resize(id, 0, 0)?;
        self.write(id, Some(0), content, 0)
    }

    /// Makes a folder and those above it; returns it.
    pub fn make_folders(&mut self, path: &str) -> Result<NodeId, Fault> {
        let mut here = ROOT;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            here = match self.folder(here)?.get(segment) {
                Some(next) => *next,
                None => self.create_folder(here, segment, 0)?,
            };
        }
        Ok(here)
    }

    /// Every file below a folder, by its path from there.
    pub fn files(&self, base: NodeId) -> BTreeMap<String, Arc<Vec<u8>>> {
        let mut found = BTreeMap::new();
        let mut ahead = vec![(String::new(), base)];
        while let Some((path, id)) = ahead.pop() {
            match self.node(id).map(|node| &node.content) {
                Ok(Content::Folder(entries)) => ahead.extend(entries.iter().map(|(name, entry)| {
                    (if path.is_empty() { name.clone() } else { format!("{path}/{name}") }, *entry)
                })),
                Ok(Content::File { bytes, .. }) => {
                    found.insert(path, bytes.clone());
                }
                _ => {}
            }
        }
        found
    }

    /// A hash of every name and all content: equal trees have equal hashes.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut ahead = vec![ROOT];
        while let Some(id) = ahead.pop() {
            match self.node(id).map(|node| &node.content) {
                Ok(Content::Folder(entries)) => {
                    entries.len().hash(&mut hasher);
                    for (name, entry) in entries {
                        name.hash(&mut hasher);
                        ahead.push(*entry);
                    }
                }
                Ok(Content::File { bytes, .. }) => bytes.hash(&mut hasher),
                Ok(Content::Link(target)) => target.hash(&mut hasher),
                Err(_) => {}
            }
        }
        hasher.finish()
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut path = String::with_capacity(64);
    for name in names {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new(1 << 20);
        for (path, content) in files {
            tree.put(path, content.as_bytes()).unwrap();
        }
        tree
    }

    fn files(tree: &Tree) -> Vec<(String, String)> {
        let text = |bytes: &Arc<Vec<u8>>| String::from_utf8(bytes.to_vec()).unwrap();
        tree.files(ROOT).iter().map(|(path, bytes)| (path.clone(), text(bytes))).collect()
    }

    fn id(tree: &Tree, path: &str) -> NodeId {
        tree.walk(ROOT, path, true).unwrap().node.unwrap()
    }

    #[test]
    fn a_path_cannot_leave_the_folder_that_it_begins_in() {
        let mut tree = tree(&[("in/a/file", "x"), ("out", "secret")]);
        let inner = id(&tree, "in");
        assert_eq!(tree.walk(inner, "a/../a/./file", true).unwrap().path, "a/file");
        for path in ["../out", "a/../../out", "/out", "a/../../in/a/file"] {
            assert_eq!(tree.walk(inner, path, true).unwrap_err(), Fault::NotPermitted, "{path}");
        }
        tree.create_link(inner, "way-out", "../out", 0).unwrap();
        assert_eq!(tree.walk(inner, "way-out", true).unwrap_err(), Fault::NotPermitted);
        tree.create_link(inner, "round", "round", 0).unwrap();
        assert_eq!(tree.walk(inner, "round", true).unwrap_err(), Fault::Loop);
        assert!(tree.walk(inner, "round", false).is_ok());
    }

    #[test]
    fn a_rename_replaces_a_file_and_never_a_folder_with_entries() {
        let mut tree = tree(&[("a", "new"), ("b", "old"), ("full/x", "x"), ("folder/y", "y")]);
        tree.rename((ROOT, "a"), (ROOT, "b")).unwrap();
        assert_eq!(tree.content(id(&tree, "b")).unwrap().as_slice(), b"new");
        assert_eq!(tree.rename((ROOT, "folder"), (ROOT, "full")), Err(Fault::NotEmpty));
        assert_eq!(tree.rename((ROOT, "b"), (ROOT, "full")), Err(Fault::IsDirectory));
        let full = id(&tree, "full");
        assert_eq!(tree.rename((ROOT, "full"), (full, "itself")), Err(Fault::Invalid));
    }

    #[test]
    fn a_hard_link_is_another_name_for_the_same_content() {
        let mut tree = tree(&[("a", "one")]);
        let a = id(&tree, "a");
        tree.link(a, ROOT, "b").unwrap();
        assert_eq!(tree.link(a, ROOT, "b"), Err(Fault::Exist));
        tree.write(a, Some(0), b"two", 0).unwrap();
        tree.unlink(ROOT, "a").unwrap();
        assert_eq!(files(&tree), [("b".to_owned(), "two".to_owned())]);
        assert_eq!(tree.info(a).unwrap().names, 1);
    }

    #[test]
    fn a_copy_does_not_see_what_is_changed_later() {
        let mut tree = tree(&[("a", "one")]);
        let before = tree.clone();
        tree.put("a", b"two").unwrap();
        tree.put("b/c", b"three").unwrap();
        assert_eq!(files(&before), [("a".to_owned(), "one".to_owned())]);
        assert_ne!(before.fingerprint(), tree.fingerprint());
    }

    #[test]
    fn a_power_loss_takes_content_that_was_not_synced_and_keeps_the_rest() {
        let mut tree = tree(&[("safe", "safe")]);
        tree.remember();
        for name in ["synced", "unsynced"] {
            let file = tree.create_file(ROOT, &format!("{name}.tmp"), 0).unwrap();
            tree.write(file, None, name.as_bytes(), 0).unwrap();
            if name == "synced" {
                tree.sync(file).unwrap();
            }
            tree.rename((ROOT, &format!("{name}.tmp")), (ROOT, name)).unwrap();
        }
        let mut journal = tree.clone();
        tree.lose_power(Loss::Content);
        let kept = [("safe", "safe"), ("synced", "synced"), ("unsynced", "")];
        assert_eq!(files(&tree), kept.map(|(path, text)| (path.to_owned(), text.to_owned())));
        journal.lose_power(Loss::Journal);
        let kept = [("safe", "safe"), ("synced.tmp", "synced")];
        assert_eq!(files(&journal), kept.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_full_disk_refuses_to_grow() {
        let mut tree = Tree::new(200);
        tree.put("a", &[0; 100]).unwrap();
        assert_eq!(tree.put("b", &[0; 100]), Err(Fault::InsufficientSpace));
    }
}
