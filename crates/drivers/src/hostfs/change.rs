//! Changes to a volume's tree: making, copying up, deleting, renaming; and the list of what was changed.
//!
//! A file of a lower layer is copied to the writable one before it is changed. [`Tree::changes`] compares the writable
//! layer with what lies beneath it.

use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;
use ntos::host::files::{HostAccess, HostFile, HostKind, HostTimes, status_of};
use ntos::ustr::UnicodeString;

use super::hidden::MARKER;
use super::names;
use super::tree::{Node, Path, Tree, host_join, join, starts_with};

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

/// How a name differs from what lies in the lower layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was there and has new content or attributes.
    Modified,
    /// It is gone.
    Deleted,
}

/// A changed name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The name on the volume, with the leading backslash.
    pub name: UnicodeString,
    /// True for a directory.
    pub directory: bool,
}

fn host_error(error: std::io::Error) -> abi::NtStatus {
    status_of(&error)
}

impl Tree {
    /// The layer that takes changes in a place.
    fn upper(&self, path: &[UnicodeString]) -> NtResult<usize> {
        let takes = |layer: &super::tree::TreeLayer| layer.writable && starts_with(path, &layer.at);
        self.layers.iter().position(takes).ok_or(STATUS_MEDIA_WRITE_PROTECTED)
    }

    /// The host folder in the writable layer for a directory, made if only lower layers have it.
    fn upper_folder(&self, path: &[UnicodeString]) -> NtResult<(usize, Vec<u8>)> {
        let index = self.upper(path)?;
        let layer = self.layers.get(index).ok_or(STATUS_INTERNAL_ERROR)?;
        let mut host = Vec::new();
        for depth in layer.at.len()..=path.len() {
            let prefix = path.get(..depth).unwrap_or_default();
            match self.host_path(index, prefix)? {
                Some((found, metadata)) if metadata.kind == HostKind::Folder => host = found,
                Some(_) => return Err(STATUS_OBJECT_PATH_NOT_FOUND),
                None => {
                    // The case of what is beneath is kept.
                    let known = self.find(prefix)?;
                    let name = known.path.last().ok_or(STATUS_OBJECT_PATH_NOT_FOUND)?;
                    let name = names::to_host(name).ok_or(STATUS_OBJECT_NAME_INVALID)?;
                    host = host_join(&host, &name);
                    layer.folder.create_folder(&host).map_err(host_error)?;
                    self.changed(index, &host, true);
                }
            }
        }
        Ok((index, host))
    }

    /// Where a new name goes in the writable layer.
    fn place(&self, path: &[UnicodeString]) -> NtResult<(usize, Vec<u8>)> {
        let (name, parent) = path.split_last().ok_or(STATUS_OBJECT_NAME_COLLISION)?;
        let name = names::to_host(name).ok_or(STATUS_OBJECT_NAME_INVALID)?;
        let (index, folder) = self.upper_folder(parent)?;
        let host = host_join(&folder, &name);
        if host == MARKER {
            return Err(STATUS_ACCESS_DENIED);
        }
        Ok((index, host))
    }

    /// Makes a file whose folder exists and whose name is free.
    pub fn create_file(&self, path: &[UnicodeString]) -> NtResult<(Node, Arc<dyn HostFile>)> {
        let (index, host) = self.place(path)?;
        let file = self.folder(index)?.open(&host, HostAccess::CreateNew).map_err(host_error)?;
        self.changed(index, &host, true);
        let metadata = file.metadata().map_err(host_error)?;
        Ok((Node { path: path.to_vec(), layer: Some(index), host, metadata }, file))
    }

    /// Makes a directory whose parent exists and whose name is free.
    pub fn create_folder(&self, path: &[UnicodeString]) -> NtResult<Node> {
        let (index, host) = self.place(path)?;
        let folder = self.folder(index)?;
        folder.create_folder(&host).map_err(host_error)?;
        self.changed(index, &host, true);
        let metadata = folder.metadata(&host).map_err(host_error)?;
        Ok(Node { path: path.to_vec(), layer: Some(index), host, metadata })
    }

    /// The same name in the writable layer, copied there if it is not in it.
    pub fn copy_up(&self, node: &Node) -> NtResult<Node> {
        let is_upper = |index: usize| self.layers.get(index).is_some_and(|layer| layer.writable);
        if node.layer.is_some_and(is_upper) {
            return Ok(node.clone());
        }
        if node.metadata.link {
            let source = self.folder(node.layer.ok_or(STATUS_INTERNAL_ERROR)?)?;
            let target = source.read_link(&node.host).map_err(host_error)?;
            let (index, host) = self.place(&node.path)?;
            let folder = self.folder(index)?;
            folder.create_link(&host, &target).map_err(host_error)?;
            self.changed(index, &host, true);
            let metadata = folder.link_metadata(&host).map_err(host_error)?;
            return Ok(Node { path: node.path.clone(), layer: Some(index), host, metadata });
        }
        if node.is_directory() {
            let (index, host) = self.upper_folder(&node.path)?;
            let metadata = self.folder(index)?.metadata(&host).map_err(host_error)?;
            return Ok(Node { path: node.path.clone(), layer: Some(index), host, metadata });
        }
        let source = self.folder(node.layer.ok_or(STATUS_INTERNAL_ERROR)?)?;
        let source = source.open(&node.host, HostAccess::Read).map_err(host_error)?;
        let (made, target) = self.create_file(&node.path)?;
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let count = source.read_at(offset, &mut buffer).map_err(host_error)?;
            if count == 0 {
                break;
            }
            let piece = buffer.get(..count).unwrap_or_default();
            target.write_at(offset, piece).map_err(host_error)?;
            offset += count as u64;
        }
        let times = HostTimes {
            accessed: Some(node.metadata.accessed),
            modified: Some(node.metadata.modified),
        };
        target.set_times(times).map_err(host_error)?;
        // A lower layer's file may be read-only for this user; the attribute is not copied, the guest asked to write.
        let metadata = target.metadata().map_err(host_error)?;
        Ok(Node { metadata, ..made })
    }

    /// [`Tree::copy_up`] of a directory and everything in it.
    fn copy_up_all(&self, node: &Node) -> NtResult<Node> {
        let copy = self.copy_up(node)?;
        if node.is_directory() && !node.metadata.link {
            for child in self.list(&node.path, |_| true)? {
                self.copy_up_all(&child)?;
            }
        }
        Ok(copy)
    }

    /// Hides a name of lower layers.
    fn hide(&self, path: &[UnicodeString]) -> NtResult<()> {
        if !self.is_in_lower(path) {
            return Ok(());
        }
        let upper = self.folder(self.upper(path)?)?;
        self.hidden.open().hide(path, &**upper)
    }

    /// True if the name is a symbolic link, even if the node is what it leads to.
    pub fn is_link(&self, node: &Node) -> bool {
        let folder = node.layer.and_then(|layer| self.folder(layer).ok());
        let metadata = folder.and_then(|folder| folder.link_metadata(&node.host).ok());
        metadata.is_some_and(|metadata| metadata.link)
    }

    /// Removes a name; a directory must be empty. Of a link, the link goes and not what it leads to.
    pub fn remove(&self, node: &Node) -> NtResult<()> {
        let index = self.upper(&node.path)?;
        let is_link = self.is_link(node);
        if node.is_directory() && !is_link && !self.list(&node.path, |_| true)?.is_empty() {
            return Err(STATUS_DIRECTORY_NOT_EMPTY);
        }
        if node.layer == Some(index) {
            let folder = self.folder(index)?;
            if node.is_directory() && !is_link {
                folder.remove_folder(&node.host).map_err(host_error)?;
                self.forget(index, &node.host);
            } else {
                folder.remove_file(&node.host).map_err(host_error)?;
            }
            self.changed(index, &node.host, false);
        }
        self.hide(&node.path)
    }

    /// Gives a name another one; `replace` removes a file that has it.
    pub fn rename(&self, node: &Node, target: &[UnicodeString], replace: bool) -> NtResult<Node> {
        let source = self.copy_up_all(node)?;
        let (index, host) = self.place(target)?;
        if source.layer != Some(index) {
            return Err(STATUS_NOT_SAME_DEVICE);
        }
        let folder = self.folder(index)?;
        // Of two names that differ in case alone, the host's own spelling is the one to replace.
        let existing = self.host_path(index, target)?.map(|(existing, _)| existing);
        if let Some(existing) = existing
            && existing != host
            && existing != source.host
            && replace
        {
            folder.remove_file(&existing).map_err(host_error)?;
            self.changed(index, &existing, false);
        }
        folder.rename(&source.host, &host, replace).map_err(host_error)?;
        self.forget(index, &source.host);
        self.changed(index, &source.host, false);
        self.changed(index, &host, true);
        self.hide(&node.path)?;
        let path = target.to_vec();
        let renamed = Node { path, layer: Some(index), host, metadata: source.metadata };
        let metadata = self.metadata(&renamed)?;
        Ok(Node { metadata, ..renamed })
    }

    /// Gives a file a further name; `replace` removes a file that has it.
    pub fn link(&self, node: &Node, target: &[UnicodeString], replace: bool) -> NtResult<()> {
        let source = self.copy_up(node)?;
        let (index, host) = self.place(target)?;
        if source.layer != Some(index) {
            return Err(STATUS_NOT_SAME_DEVICE);
        }
        let folder = self.folder(index)?;
        if replace && let Some((existing, _)) = self.host_path(index, target)? {
            folder.remove_file(&existing).map_err(host_error)?;
            self.changed(index, &existing, false);
        }
        folder.hard_link(&source.host, &host).map_err(host_error)?;
        self.changed(index, &host, true);
        Ok(())
    }

    /// What differs from the lower layers, in name order. A volume without lower layers has no changes to tell.
    pub fn changes(&self) -> NtResult<Vec<Change>> {
        let mut changes = Vec::new();
        if self.layers.iter().all(|layer| layer.writable) {
            return Ok(changes);
        }
        if let Some(index) = self.layers.iter().position(|layer| layer.writable) {
            let at = self.layers.get(index).map(|layer| layer.at.clone()).unwrap_or_default();
            self.changes_in(index, b"", &at, &mut changes)?;
        }
        let hidden = self.hidden.open().outermost();
        for path in hidden {
            // What was made again under a deleted name is in the list already, as added.
            if self.find(&path).is_err() {
                let name = join(&path);
                changes.push(Change { kind: ChangeKind::Deleted, name, directory: false });
            }
        }
        changes.sort_by_key(|change| change.name.folded());
        Ok(changes)
    }

    fn changes_in(
        &self,
        index: usize,
        host: &[u8],
        path: &[UnicodeString],
        changes: &mut Vec<Change>,
    ) -> NtResult<()> {
        let folder = self.folder(index)?;
        for entry in folder.list(host).map_err(host_error)? {
            if host.is_empty() && entry.name == MARKER {
                continue;
            }
            let name = UnicodeString(names::from_host(&entry.name));
            let child: Path = path.iter().chain([&name]).cloned().collect();
            let directory = entry.kind == HostKind::Folder;
            let existed = self.is_in_lower(&child);
            if !(directory && existed) {
                let kind = if existed { ChangeKind::Modified } else { ChangeKind::Added };
                changes.push(Change { kind, name: join(&child), directory });
            }
            if directory {
                self.changes_in(index, &host_join(host, &entry.name), &child, changes)?;
            }
        }
        Ok(())
    }
}
