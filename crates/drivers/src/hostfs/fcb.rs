//! The control block of a file that is open: what its opens share.
//!
//! Key types: [`Fcb`], [`Fcbs`]. There is one for each name that is open; it holds the host file, the share modes, the
//! byte-range locks and whether the file is to be deleted. The host file is opened for writing, and copied up from a
//! lower layer, when someone first writes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;
use ntos::guarded::Guarded;
use ntos::host::files::{HostAccess, HostFile, HostMetadata, status_of};
use ntos::io::irp::Irp;
use ntos::io::lock::LockTable;
use ntos::io::share::ShareAccess;
use ntos::ustr::UnicodeString;

use super::tree::{Node, Tree, join};

/// What the opens of a file share.
pub struct Fcb {
    /// The tree it is in.
    pub tree: Arc<Tree>,
    /// The rest.
    pub state: Guarded<FcbState>,
}

/// The part of a control block that changes.
pub struct FcbState {
    /// Name, layer, host path. The facts are those of the open.
    pub node: Node,
    /// The host file, once someone needs its content.
    file: Option<Arc<dyn HostFile>>,
    writable: bool,
    /// Share modes of the opens.
    pub share: ShareAccess,
    /// Handles, counted by file object.
    pub opens: u32,
    /// Deleted when the last handle is closed.
    pub delete_pending: bool,
    /// The name is gone; the file lives on until its last handle is closed.
    pub deleted: bool,
    /// Byte-range locks.
    pub locks: LockTable,
    /// Requests that wait for a lock.
    pub lock_waiters: VecDeque<Arc<Irp>>,
    /// `FILE_ATTRIBUTE_…` that the host cannot hold, once read.
    pub attributes: Option<super::attributes::Stored>,
}

impl Fcb {
    fn new(tree: &Arc<Tree>, node: Node) -> Self {
        let state = FcbState {
            node,
            file: None,
            writable: false,
            share: ShareAccess::default(),
            opens: 0,
            delete_pending: false,
            deleted: false,
            locks: LockTable::default(),
            lock_waiters: VecDeque::new(),
            attributes: None,
        };
        Fcb { tree: tree.clone(), state: Guarded::new(state) }
    }

    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.state.open().node.is_directory()
    }

    /// True for a symbolic link that was opened itself.
    pub fn is_link(&self) -> bool {
        self.state.open().node.metadata.link
    }

    /// The name on the volume.
    pub fn name(&self) -> UnicodeString {
        join(&self.state.open().node.path)
    }

    /// Takes the host file of a file that was just made.
    pub fn adopt(&self, file: Arc<dyn HostFile>) {
        let mut state = self.state.open();
        state.file = Some(file);
        state.writable = true;
    }

    /// The host file, opened for reading at least.
    pub fn reader(&self) -> NtResult<Arc<dyn HostFile>> {
        let mut state = self.state.open();
        if let Some(file) = &state.file {
            return Ok(file.clone());
        }
        if state.deleted {
            return Err(STATUS_FILE_DELETED);
        }
        let layer = state.node.layer.ok_or(STATUS_FILE_IS_A_DIRECTORY)?;
        let folder = self.tree.folder(layer)?;
        let file =
            folder.open(&state.node.host, HostAccess::Read).map_err(|error| status_of(&error))?;
        state.file = Some(file.clone());
        Ok(file)
    }

    /// The host file, opened for writing, in the writable layer.
    pub fn writer(&self) -> NtResult<Arc<dyn HostFile>> {
        let mut state = self.state.open();
        if let Some(file) = &state.file
            && state.writable
        {
            return Ok(file.clone());
        }
        if state.deleted {
            return Err(STATUS_FILE_DELETED);
        }
        state.node = self.tree.copy_up(&state.node)?;
        let layer = state.node.layer.ok_or(STATUS_FILE_IS_A_DIRECTORY)?;
        let folder = self.tree.folder(layer)?;
        let file = folder
            .open(&state.node.host, HostAccess::ReadWrite)
            .map_err(|error| status_of(&error))?;
        state.file = Some(file.clone());
        state.writable = true;
        Ok(file)
    }

    /// What sections know the file by; `None` if that cannot be had.
    pub fn identity(&self) -> Option<(u64, u64)> {
        let metadata = self.state.open().node.metadata;
        (!self.is_directory() && !metadata.link).then_some((metadata.device, metadata.inode))
    }

    /// Facts now.
    pub fn metadata(&self) -> NtResult<HostMetadata> {
        let state = self.state.open();
        match &state.file {
            Some(file) => file.metadata().map_err(|error| status_of(&error)),
            None if state.deleted => Err(STATUS_FILE_DELETED),
            None => self.tree.metadata(&state.node),
        }
    }
}

/// What a node is known by while it is open: its name, with a mark for a link that is opened itself, since what it
/// leads to has the same name.
pub fn key_of(node: &Node) -> UnicodeString {
    let mut key = join(&node.path);
    if node.metadata.link {
        key.0.push(0);
    }
    key
}

/// The control blocks of a volume, by [`key_of`].
#[derive(Default)]
pub struct Fcbs {
    by_name: HashMap<UnicodeString, Arc<Fcb>>,
}

impl Fcbs {
    /// The block of a name that is open.
    pub fn get(&self, name: &UnicodeString) -> Option<Arc<Fcb>> {
        self.by_name.get(name).cloned()
    }

    /// The block of a node, made if it is not open yet.
    pub fn get_or_make(&mut self, tree: &Arc<Tree>, node: Node) -> Arc<Fcb> {
        let name = key_of(&node);
        self.by_name.entry(name).or_insert_with(|| Arc::new(Fcb::new(tree, node))).clone()
    }

    /// Takes a block out: its last handle is closed or its name is gone.
    pub fn remove(&mut self, fcb: &Arc<Fcb>) {
        self.by_name.retain(|_, other| !Arc::ptr_eq(other, fcb));
    }

    /// Takes a block out by the name it has.
    pub fn remove_name(&mut self, name: &UnicodeString, fcb: &Arc<Fcb>) {
        if self.by_name.get(name).is_some_and(|other| Arc::ptr_eq(other, fcb)) {
            self.by_name.remove(name);
        }
    }

    /// Enters a block under the name it has now.
    pub fn insert(&mut self, fcb: &Arc<Fcb>) {
        let key = key_of(&fcb.state.open().node);
        self.by_name.insert(key, fcb.clone());
    }

    /// True if something beneath a directory is open.
    pub fn has_open_beneath(&self, directory: &UnicodeString) -> bool {
        let mut prefix = directory.clone();
        prefix.0.push(u16::from(b'\\'));
        self.by_name.keys().any(|name| name.starts_with(&prefix))
    }
}
