//! `wasi:filesystem` over folders in memory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

use super::clock::{GuestClock, datetime, virtual_time};
use super::gate::{Area, Directive, Gate, Injected, Operation, Performed, Reach, Touch};
use super::streams::{Reader, Writer};
use super::tree::{Fault, NodeId, NodeKind, Tree, Walked};
use crate::denial::{Denial, Denials};
use crate::guest::Guest;

/// A tree that several guests, and whoever watches them, share.
#[derive(Clone, Debug)]
pub struct SharedTree(Arc<Mutex<Tree>>);

impl SharedTree {
    /// Shares a tree.
    pub fn new(tree: Tree) -> Self {
        Self(Arc::new(Mutex::new(tree)))
    }

    /// The tree. No guest may run while it is held.
    pub fn lock(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder in memory that a guest sees.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The tree that it lies in.
    pub tree: SharedTree,
    /// The folder in it.
    pub root: NodeId,
    /// Where the guest sees it, such as `/remote`.
    pub guest: String,
    /// Whether the guest may write to it.
    pub writable: bool,
    /// If others see what happens in it: the guest is stopped before each operation.
    pub watched: Option<Area>,
}

/// An open file or folder.
pub(super) struct Handle {
    mount: Arc<Mount>,
    node: NodeId,
    path: Arc<str>,
    folder: bool,
    read: bool,
    write: bool,
}

impl Handle {
    fn named(&self, below: &str) -> Arc<str> {
        if below.is_empty() { self.path.clone() } else { [&*self.path, "/", below].concat().into() }
    }

    /// The name of what a path led to; nearly always the one that was asked for.
    fn reached(&self, walked: &Walked, asked: &Arc<str>) -> Arc<str> {
        let below = asked.strip_prefix(&*self.path).and_then(|rest| rest.strip_prefix('/'));
        if below == Some(&walked.path) { asked.clone() } else { self.named(&walked.path) }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.mount.tree.lock()
    }
}

/// What file operations need besides the file.
#[derive(Clone)]
pub(super) struct Work {
    gate: Gate,
    clock: GuestClock,
    denials: Denials,
}

/// An operation that is about to be carried out, as it is named in a trace.
struct Intent<'a> {
    call: &'static str,
    handle: &'a Handle,
    path: Arc<str>,
    other: Option<Arc<str>>,
    detail: String,
    /// Operations on `/state` that change nothing are of no interest to anybody.
    changes: bool,
    faults: &'static [Injected],
    tearable: bool,
}

impl<'a> Intent<'a> {
    fn new(call: &'static str, handle: &'a Handle, below: &str) -> Self {
        let path = handle.named(below);
        let faults = READ_FAULTS;
        Self {
            call,
            handle,
            path,
            other: None,
            detail: String::new(),
            changes: false,
            faults,
            tearable: false,
        }
    }

    fn changing(mut self) -> Self {
        self.changes = true;
        self.faults = WRITE_FAULTS;
        self
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

const READ_FAULTS: &[Injected] = &[Injected::File(Fault::Io), Injected::File(Fault::Access)];
const WRITE_FAULTS: &[Injected] =
    &[Injected::File(Fault::Io), Injected::File(Fault::InsufficientSpace), Injected::File(Fault::Access)];

/// What an operation gave, in a few words, and what it touched.
struct Effect<R> {
    value: R,
    gave: String,
    touches: Vec<Touch>,
}

impl<R> Effect<R> {
    fn reading(value: R, gave: impl Into<String>, path: &Arc<str>, reach: Reach) -> Self {
        Self { value, gave: gave.into(), touches: vec![Touch { path: path.clone(), reach, writes: false }] }
    }

    fn writing(value: R, paths: &[(&Arc<str>, Reach)]) -> Self {
        let touch =
            |(path, reach): &(&Arc<str>, Reach)| Touch { path: (*path).clone(), reach: *reach, writes: true };
        Self { value, gave: String::new(), touches: paths.iter().map(touch).collect() }
    }
}

impl Work {
    /// Carries an operation out, if it is watched when it is granted.
    async fn act<R>(
        self,
        intent: Intent<'_>,
        run: impl FnOnce(bool) -> Result<Effect<R>, Fault>,
    ) -> Result<R, Fault> {
        let watched = intent.handle.mount.watched.filter(|area| *area == Area::Remote || intent.changes);
        let Some(area) = watched else {
            let result = run(false);
            self.note(intent.call, &intent.path, result.as_ref().err());
            return result.map(|effect| effect.value);
        };
        let operation = Operation {
            call: intent.call.into(),
            area,
            path: intent.path.clone(),
            other: intent.other.clone(),
            detail: intent.detail,
            touches: Vec::new(),
            performed: Performed::Not,
            faults: intent.faults.into(),
            tearable: intent.tearable,
        };
        let (directive, mut operation) = self.gate.pass(operation).await;
        let mut result = match directive {
            Directive::Proceed => run(false),
            Directive::Tear => run(true).and(Err(Fault::Io)),
            Directive::Fail(Injected::File(fault)) => Err(fault),
            Directive::Fail(_) => Err(Fault::Io),
        };
        self.note(intent.call, &intent.path, result.as_ref().err());
        let touch = |path: &Arc<str>| Touch { path: path.clone(), reach: Reach::Itself, writes: false };
        match &mut result {
            Ok(effect) => {
                operation.touches = std::mem::take(&mut effect.touches);
                operation.performed = Performed::Done(std::mem::take(&mut effect.gave));
            }
            Err(fault) => {
                operation.touches =
                    [Some(&intent.path), intent.other.as_ref()].into_iter().flatten().map(touch).collect();
                operation.performed = Performed::Failed(fault.name().to_owned());
                if directive == Directive::Tear {
                    operation.touches.iter_mut().for_each(|touch| touch.writes = true);
                }
            }
        }
        self.gate.performed(operation);
        result.map(|effect| effect.value)
    }

    fn note(&self, call: &str, path: &str, fault: Option<&Fault>) {
        if fault == Some(&Fault::NotPermitted) {
            self.denials
                .add(Denial::File { operation: call.to_owned(), path: path.escape_debug().to_string() });
        }
    }

    pub(super) async fn read(&self, handle: &Handle, offset: u64, most: usize) -> Result<Vec<u8>, Fault> {
        let intent = Intent::new("read", handle, "");
        self.clone()
            .act(intent, |_| {
                if !handle.read {
                    return Err(Fault::NotPermitted);
                }
                let bytes = handle.tree().read(handle.node, offset, most)?;
                let gave = format!("{} bytes", bytes.len());
                Ok(Effect::reading(bytes, gave, &handle.path, Reach::Itself))
            })
            .await
    }

    pub(super) async fn write(
        &self,
        handle: &Handle,
        offset: Option<u64>,
        bytes: &Bytes,
    ) -> Result<(), Fault> {
        let mut intent = Intent::new("write", handle, "").changing().detail(format!("{} bytes", bytes.len()));
        intent.tearable = bytes.len() > 1;
        self.clone()
            .act(intent, |torn| {
                if !handle.write {
                    return Err(Fault::NotPermitted);
                }
                let bytes = if torn { bytes.slice(..bytes.len() / 2) } else { bytes.clone() };
                handle.tree().write(handle.node, offset, &bytes, self.clock.quiet())?;
                Ok(Effect::writing((), &[(&handle.path, Reach::Itself)]))
            })
            .await
    }
}

/// What the filesystem interfaces work on.
pub(crate) struct Files<'a> {
    pub(crate) mounts: &'a [Arc<Mount>],
    pub(crate) gate: Gate,
    pub(crate) clock: GuestClock,
    pub(crate) denials: Denials,
    pub(crate) seed: u64,
    pub(crate) table: &'a mut ResourceTable,
}

pub(crate) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = Files<'a>;
}

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Guest, HasFiles>(linker, Guest::memory_files)?;
    types::add_to_linker::<Guest, HasFiles>(linker, Guest::memory_files)
}

impl From<Fault> for types::ErrorCode {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Access => Self::Access,
            Fault::Exist => Self::Exist,
            Fault::Interrupted => Self::Interrupted,
            Fault::Invalid => Self::Invalid,
            Fault::Io => Self::Io,
            Fault::IsDirectory => Self::IsDirectory,
            Fault::Loop => Self::Loop,
            Fault::NoEntry => Self::NoEntry,
            Fault::InsufficientSpace => Self::InsufficientSpace,
            Fault::NotDirectory => Self::NotDirectory,
            Fault::NotEmpty => Self::NotEmpty,
            Fault::NotPermitted => Self::NotPermitted,
            Fault::Unsupported => Self::Unsupported,
            Fault::CrossDevice => Self::CrossDevice,
        }
    }
}

fn fs_error(fault: Fault) -> FsError {
    types::ErrorCode::from(fault).into()
}

type Fd = Resource<Descriptor>;

impl Files<'_> {
    fn work(&self) -> Work {
        Work { gate: self.gate.clone(), clock: self.clock.clone(), denials: self.denials.clone() }
    }

    /// The open file behind a guest's descriptor. The bindings' own type for it names numbers in the same table.
    fn handle(&self, fd: &Fd) -> FsResult<Arc<Handle>> {
        let own: Resource<Arc<Handle>> = Resource::new_borrow(fd.rep());
        Ok(self.table.get(&own)?.clone())
    }

    fn open(&mut self, handle: Handle) -> FsResult<Fd> {
        Ok(Resource::new_own(self.table.push(Arc::new(handle))?.rep()))
    }

    fn writable_folder(handle: &Handle) -> Result<(), Fault> {
        if !handle.folder {
            Err(Fault::NotDirectory)
        } else if !handle.mount.writable {
            Err(Fault::NotPermitted)
        } else {
            Ok(())
        }
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let mut folders = Vec::new();
        for mount in self.mounts {
            let handle = Handle {
                mount: mount.clone(),
                node: mount.root,
                path: mount.guest.as_str().into(),
                folder: true,
                read: true,
                write: false,
            };
            folders.push((self.open(handle)?, mount.guest.clone()));
        }
        Ok(folders)
    }
}

impl types::Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<Fault>().map(|fault| (*fault).into()))
    }
}

/// Follows a path from an open folder.
fn walk(tree: &Tree, handle: &Handle, path: &str, follow: bool) -> Result<Walked, Fault> {
    if !handle.folder {
        return Err(Fault::NotDirectory);
    }
    tree.walk(handle.node, path, follow)
}

fn existing(walked: &Walked) -> Result<NodeId, Fault> {
    walked.node.ok_or(Fault::NoEntry)
}

impl types::HostDescriptor for Files<'_> {
    async fn advise(&mut self, fd: Fd, _: u64, _: u64, _: types::Advice) -> FsResult<()> {
        self.handle(&fd).map(drop)
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.sync(fd).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let mut intent = Intent::new("sync", &handle, "").changing();
        intent.faults = READ_FAULTS;
        let synced = self.work().act(intent, |_| {
            handle.tree().sync(handle.node)?;
            Ok(Effect::reading((), "", &handle.path, Reach::Itself))
        });
        synced.await.map_err(fs_error)
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<types::DescriptorFlags> {
        let handle = self.handle(&fd)?;
        let mut flags = types::DescriptorFlags::empty();
        if handle.read {
            flags |= types::DescriptorFlags::READ;
        }
        if handle.write {
            flags |= types::DescriptorFlags::WRITE;
        }
        if handle.folder && handle.mount.writable {
            flags |= types::DescriptorFlags::MUTATE_DIRECTORY;
        }
        Ok(flags)
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<types::DescriptorType> {
        let handle = self.handle(&fd)?;
        let info = handle.tree().info(handle.node).map_err(fs_error)?;
        Ok(kind(info.kind))
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let clock = self.clock.clone();
        let intent = Intent::new("set-size", &handle, "").changing().detail(format!("{size} bytes"));
        let set = self.work().act(intent, |_| {
            if !handle.write {
                return Err(Fault::NotPermitted);
            }
            let size = usize::try_from(size).map_err(|_| Fault::InsufficientSpace)?;
            handle.tree().resize(handle.node, size, clock.quiet())?;
            Ok(Effect::writing((), &[(&handle.path, Reach::Itself)]))
        });
        set.await.map_err(fs_error)
    }

    async fn set_times(
        &mut self,
        fd: Fd,
        _: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let modified = self.new_time(modified);
        let intent = Intent::new("set-times", &handle, "").changing();
        let set = self.work().act(intent, |_| {
            if !handle.mount.writable {
                return Err(Fault::NotPermitted);
            }
            if let Some(modified) = modified {
                handle.tree().set_modified(handle.node, modified)?;
            }
            Ok(Effect::writing((), &[(&handle.path, Reach::Itself)]))
        });
        set.await.map_err(fs_error)
    }

    async fn read(&mut self, fd: Fd, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let handle = self.handle(&fd)?;
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(super::streams::CHUNK);
        let bytes = self.work().read(&handle, offset, most).await.map_err(fs_error)?;
        let end = bytes.is_empty() && length > 0;
        Ok((bytes, end))
    }

    async fn write(&mut self, fd: Fd, buffer: Vec<u8>, offset: u64) -> FsResult<u64> {
        let handle = self.handle(&fd)?;
        let bytes = Bytes::from(buffer);
        self.work().write(&handle, Some(offset), &bytes).await.map_err(fs_error)?;
        Ok(bytes.len() as u64)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<ReaddirIterator>> {
        let handle = self.handle(&fd)?;
        let seed = self.seed;
        let listing = self.work().act(Intent::new("list", &handle, ""), |_| {
            let mut entries = handle.tree().entries(handle.node)?;
            // No order is promised, so a guest gets one that means nothing.
            entries.sort_by_cached_key(|(name, _)| {
                let mut hasher = DefaultHasher::new();
                (seed, name).hash(&mut hasher);
                hasher.finish()
            });
            let gave = format!("{} entries", entries.len());
            Ok(Effect::reading(entries, gave, &handle.path, Reach::Entries))
        });
        let entries = listing.await.map_err(fs_error)?;
        let entries: Vec<FsResult<types::DirectoryEntry>> = entries
            .into_iter()
            .map(|(name, found)| Ok(types::DirectoryEntry { type_: kind(found), name }))
            .collect();
        let own = self.table.push(Listing(entries.into_iter()))?;
        Ok(Resource::new_own(own.rep()))
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let now = self.clock.quiet();
        let intent = Intent::new("create-folder", &handle, &path).changing();
        let asked = intent.path.clone();
        let made = self.work().act(intent, |_| {
            let mut tree = handle.tree();
            let walked = walk(&tree, &handle, &path, false)?;
            if walked.node.is_some() {
                return Err(Fault::Exist);
            }
            Self::writable_folder(&handle)?;
            tree.create_folder(walked.parent, &walked.name, now)?;
            Ok(Effect::writing((), &[(&handle.reached(&walked, &asked), Reach::Below)]))
        });
        made.await.map_err(fs_error)
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<types::DescriptorStat> {
        let handle = self.handle(&fd)?;
        let found = self.work().act(Intent::new("stat", &handle, ""), |_| {
            let info = handle.tree().info(handle.node)?;
            Ok(Effect::reading(info, format!("{} bytes", info.size), &handle.path, Reach::Itself))
        });
        found.await.map(stat).map_err(fs_error)
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        let handle = self.handle(&fd)?;
        let intent = Intent::new("stat", &handle, &path);
        let asked = intent.path.clone();
        let found = self.work().act(intent, |_| {
            let tree = handle.tree();
            let walked = walk(&tree, &handle, &path, follows(flags))?;
            let info = tree.info(existing(&walked)?)?;
            let gave = format!("{} bytes", info.size);
            Ok(Effect::reading(info, gave, &handle.reached(&walked, &asked), Reach::Itself))
        });
        found.await.map(stat).map_err(fs_error)
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        _: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let modified = self.new_time(modified);
        let intent = Intent::new("set-times", &handle, &path).changing();
        let asked = intent.path.clone();
        let set = self.work().act(intent, |_| {
            let mut tree = handle.tree();
            let walked = walk(&tree, &handle, &path, follows(flags))?;
            Self::writable_folder(&handle)?;
            if let Some(modified) = modified {
                tree.set_modified(existing(&walked)?, modified)?;
            }
            Ok(Effect::writing((), &[(&handle.reached(&walked, &asked), Reach::Itself)]))
        });
        set.await.map_err(fs_error)
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        old_path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        let (from, to) = (self.handle(&fd)?, self.handle(&new_fd)?);
        let mut intent = Intent::new("link", &from, &old_path).changing();
        intent.other = Some(to.named(&new_path));
        let linked = self.work().act(intent, |_| {
            Self::writable_folder(&from)?;
            Self::writable_folder(&to)?;
            same_tree(&from, &to)?;
            let mut tree = from.tree();
            let source = walk(&tree, &from, &old_path, follows(flags))?;
            let target = walk(&tree, &to, &new_path, false)?;
            tree.link(existing(&source)?, target.parent, &target.name)?;
            let (source, target) = (from.named(&source.path), to.named(&target.path));
            let mut effect = Effect::writing((), &[(&target, Reach::Itself)]);
            effect.touches.push(Touch { path: source, reach: Reach::Itself, writes: false });
            Ok(effect)
        });
        linked.await.map_err(fs_error)
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: types::PathFlags,
        path: String,
        open: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Fd> {
        let handle = self.handle(&fd)?;
        let (create, exclusive) =
            (open.contains(types::OpenFlags::CREATE), open.contains(types::OpenFlags::EXCLUSIVE));
        let (folder, truncate) =
            (open.contains(types::OpenFlags::DIRECTORY), open.contains(types::OpenFlags::TRUNCATE));
        let write = flags.contains(types::DescriptorFlags::WRITE);
        let read = flags.contains(types::DescriptorFlags::READ);
        let now = self.clock.quiet();
        let mut intent = Intent::new("open", &handle, &path).detail(describe(&[
            (write, "to write"),
            (create, "create"),
            (exclusive, "exclusive"),
            (truncate, "truncate"),
        ]));
        if create || truncate {
            intent = intent.changing();
        }
        let asked = intent.path.clone();
        let opened = self.work().act(intent, |_| {
            let mut tree = handle.tree();
            let follow = follows(path_flags) && !(create && exclusive);
            let walked = walk(&tree, &handle, &path, follow)?;
            if (create || truncate || write) && !handle.mount.writable {
                return Err(Fault::NotPermitted);
            }
            let name = handle.reached(&walked, &asked);
            let (node, writes) = match walked.node {
                Some(_) if create && exclusive => return Err(Fault::Exist),
                Some(node) => (node, false),
                None if create && !folder => (tree.create_file(walked.parent, &walked.name, now)?, true),
                None => return Err(Fault::NoEntry),
            };
            let info = tree.info(node)?;
            match info.kind {
                NodeKind::Link => return Err(Fault::Loop),
                NodeKind::Folder if write || truncate => return Err(Fault::IsDirectory),
                NodeKind::File if folder => return Err(Fault::NotDirectory),
                _ => {}
            }
            if truncate {
                tree.resize(node, 0, now)?;
            }
            let opened = Handle {
                mount: handle.mount.clone(),
                node,
                path: name.clone(),
                folder: info.kind == NodeKind::Folder,
                read: read || info.kind == NodeKind::Folder,
                write,
            };
            let gave = if writes { "created" } else { "" };
            let touches = vec![Touch { path: name, reach: Reach::Itself, writes: writes || truncate }];
            Ok(Effect { value: opened, gave: gave.to_owned(), touches })
        });
        let opened = opened.await.map_err(fs_error)?;
        self.open(opened)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let handle = self.handle(&fd)?;
        let intent = Intent::new("read-link", &handle, &path);
        let asked = intent.path.clone();
        let read = self.work().act(intent, |_| {
            let tree = handle.tree();
            let walked = walk(&tree, &handle, &path, false)?;
            let target = tree.read_link(existing(&walked)?)?;
            Ok(Effect::reading(target.clone(), target, &handle.reached(&walked, &asked), Reach::Itself))
        });
        read.await.map_err(fs_error)
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let intent = Intent::new("remove-folder", &handle, &path).changing();
        let asked = intent.path.clone();
        let removed = self.work().act(intent, |_| {
            let mut tree = handle.tree();
            let walked = walk(&tree, &handle, &path, false)?;
            Self::writable_folder(&handle)?;
            let name = handle.reached(&walked, &asked);
            tree.remove_folder(walked.parent, &walked.name)?;
            Ok(Effect::writing((), &[(&name, Reach::Below)]))
        });
        removed.await.map_err(fs_error)
    }

    async fn rename_at(&mut self, fd: Fd, old_path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        let (from, to) = (self.handle(&fd)?, self.handle(&new_fd)?);
        let mut intent = Intent::new("rename", &from, &old_path).changing();
        intent.other = Some(to.named(&new_path));
        let renamed = self.work().act(intent, |_| {
            Self::writable_folder(&from)?;
            Self::writable_folder(&to)?;
            same_tree(&from, &to)?;
            let mut tree = from.tree();
            let source = walk(&tree, &from, &old_path, false)?;
            let target = walk(&tree, &to, &new_path, false)?;
            let folder = tree.info(existing(&source)?)?.kind == NodeKind::Folder;
            tree.rename((source.parent, &source.name), (target.parent, &target.name))?;
            let reach = if folder { Reach::Below } else { Reach::Itself };
            let (source, target) = (from.named(&source.path), to.named(&target.path));
            Ok(Effect::writing((), &[(&source, reach), (&target, reach)]))
        });
        renamed.await.map_err(fs_error)
    }

    async fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let now = self.clock.quiet();
        let intent = Intent::new("symlink", &handle, &path).changing().detail(format!("to {target}"));
        let asked = intent.path.clone();
        let made = self.work().act(intent, |_| {
            Self::writable_folder(&handle)?;
            if target.starts_with('/') {
                return Err(Fault::NotPermitted);
            }
            let mut tree = handle.tree();
            let walked = walk(&tree, &handle, &path, false)?;
            tree.create_link(walked.parent, &walked.name, &target, now)?;
            Ok(Effect::writing((), &[(&handle.reached(&walked, &asked), Reach::Itself)]))
        });
        made.await.map_err(fs_error)
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let handle = self.handle(&fd)?;
        let intent = Intent::new("unlink", &handle, &path).changing();
        let asked = intent.path.clone();
        let removed = self.work().act(intent, |_| {
            let mut tree = handle.tree();
            let walked = walk(&tree, &handle, &path, false)?;
            Self::writable_folder(&handle)?;
            let name = handle.reached(&walked, &asked);
            tree.unlink(walked.parent, &walked.name)?;
            Ok(Effect::writing((), &[(&name, Reach::Itself)]))
        });
        removed.await.map_err(fs_error)
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let handle = self.handle(&fd)?;
        if handle.folder {
            return Err(fs_error(Fault::IsDirectory));
        }
        let stream: DynInputStream = Box::new(Reader { handle, work: self.work(), offset, buffer: None });
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, None)
    }

    async fn is_same_object(&mut self, one: Fd, other: Fd) -> wasmtime::Result<bool> {
        let (one, other): (Resource<Arc<Handle>>, Resource<Arc<Handle>>) =
            (Resource::new_borrow(one.rep()), Resource::new_borrow(other.rep()));
        let (one, other) = (self.table.get(&one)?, self.table.get(&other)?);
        Ok(one.node == other.node && Arc::ptr_eq(&one.mount.tree.0, &other.mount.tree.0))
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        let handle = self.handle(&fd)?;
        Ok(types::MetadataHashValue { lower: u64::from(handle.node), upper: 0 })
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        let handle = self.handle(&fd)?;
        let intent = Intent::new("stat", &handle, &path);
        let asked = intent.path.clone();
        let found = self.work().act(intent, |_| {
            let walked = walk(&handle.tree(), &handle, &path, follows(flags))?;
            Ok(Effect::reading(existing(&walked)?, "", &handle.reached(&walked, &asked), Reach::Itself))
        });
        let node = found.await.map_err(fs_error)?;
        Ok(types::MetadataHashValue { lower: u64::from(node), upper: 0 })
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        let own: Resource<Arc<Handle>> = Resource::new_own(fd.rep());
        self.table.delete(own)?;
        Ok(())
    }
}

impl Files<'_> {
    fn writer(&mut self, fd: &Fd, offset: Option<u64>) -> FsResult<Resource<DynOutputStream>> {
        let handle = self.handle(fd)?;
        if !handle.write {
            return Err(fs_error(Fault::NotPermitted));
        }
        let (work, pending) = (self.work(), Bytes::new());
        let stream: DynOutputStream = Box::new(Writer { handle, work, offset, pending, failed: None });
        Ok(self.table.push(stream)?)
    }

    fn new_time(&self, time: types::NewTimestamp) -> Option<u64> {
        match time {
            types::NewTimestamp::NoChange => None,
            types::NewTimestamp::Now => Some(self.clock.quiet()),
            types::NewTimestamp::Timestamp(moment) => Some(virtual_time(&moment)),
        }
    }
}

/// What is left of a folder's listing.
struct Listing(std::vec::IntoIter<FsResult<types::DirectoryEntry>>);

impl types::HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<ReaddirIterator>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let own: Resource<Listing> = Resource::new_borrow(stream.rep());
        self.table.get_mut(&own)?.0.next().transpose()
    }

    fn drop(&mut self, stream: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        let own: Resource<Listing> = Resource::new_own(stream.rep());
        self.table.delete(own)?;
        Ok(())
    }
}

fn same_tree(one: &Handle, other: &Handle) -> Result<(), Fault> {
    if Arc::ptr_eq(&one.mount.tree.0, &other.mount.tree.0) { Ok(()) } else { Err(Fault::CrossDevice) }
}

fn follows(flags: types::PathFlags) -> bool {
    flags.contains(types::PathFlags::SYMLINK_FOLLOW)
}

fn describe(words: &[(bool, &str)]) -> String {
    let words: Vec<&str> = words.iter().filter(|(said, _)| *said).map(|(_, word)| *word).collect();
    words.join(", ")
}

fn kind(kind: NodeKind) -> types::DescriptorType {
    match kind {
        NodeKind::Folder => types::DescriptorType::Directory,
        NodeKind::File => types::DescriptorType::RegularFile,
        NodeKind::Link => types::DescriptorType::SymbolicLink,
    }
}

fn stat(info: super::tree::NodeInfo) -> types::DescriptorStat {
    let time = Some(datetime(info.modified));
    types::DescriptorStat {
        type_: kind(info.kind),
        link_count: info.names,
        size: info.size,
        data_access_timestamp: time,
        data_modification_timestamp: time,
        status_change_timestamp: time,
    }
}
