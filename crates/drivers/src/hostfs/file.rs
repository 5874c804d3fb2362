//! Open files, directories and volumes: what handles do.
//!
//! Key types: [`OpenHostFile`], [`OpenVolume`]. Names, sizes and deletion are NTFS's; see [`super::volume`] for opening
//! and [`super::fcb`] for what opens share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::NtResult;
use abi::io::*;
use abi::ob::MAXIMUM_ALLOWED;
use abi::status_table::*;
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::host::files::{HostKind, HostTimes, status_of};
use ntos::io::device::{Created, OpenFile};
use ntos::io::directory::{DirectoryEntry, Pattern};
use ntos::io::irp::{self, IoResult, Irp, Outcome, Request};
use ntos::io::lock::LockOwner;
use ntos::io::share::Sharing;
use ntos::io::{CreateRequest, FileFacts, FileObject, VolumeFacts};
use ntos::mm::{self, FileBacking};
use ntos::ob::ObRef;
use ntos::ustr::{UnicodeString, eq_ignore_case, upcase};

use super::attributes;
use super::backing::HostBacking;
use super::fcb::{Fcb, key_of};
use super::names;
use super::notify::*;
use super::tree::{Path, join, starts_with};
use super::volume::Volume;

/// Bytes copied between host and guest at a time.
const PIECE: usize = 0x4_0000;

/// Largest file: NTFS's.
const MAX_SIZE: u64 = i64::MAX as u64;

/// An open file or directory.
pub struct OpenHostFile {
    volume: Arc<Volume>,
    fcb: Arc<Fcb>,
    sharing: Sharing,
    delete_on_close: AtomicBool,
    posix_delete: AtomicBool,
    /// Serial number of the file object, once it has locked something.
    lock_owner: AtomicU64,
    watch: Guarded<Option<Arc<Watch>>>,
}

fn host_error(error: std::io::Error) -> abi::NtStatus {
    status_of(&error)
}

impl OpenHostFile {
    /// An open instance of a file whose opens are counted already.
    pub fn new(volume: Arc<Volume>, fcb: Arc<Fcb>, sharing: Sharing, delete: bool) -> Self {
        OpenHostFile {
            volume,
            fcb,
            sharing,
            delete_on_close: AtomicBool::new(delete),
            posix_delete: AtomicBool::new(false),
            lock_owner: AtomicU64::new(0),
            watch: Guarded::default(),
        }
    }

    fn path(&self) -> Path {
        self.fcb.state.open().node.path.clone()
    }

    fn owner(&self, irp: &Irp, key: u32) -> LockOwner {
        LockOwner { file: irp.file.header.id, process: irp.thread.process.pid, key }
    }

    fn check_locks(&self, owner: LockOwner, offset: u64, len: usize, writes: bool) -> NtResult<()> {
        self.fcb.state.open().locks.check(owner, offset, len as u64, writes)
    }

    /// Fails unless the file may be deleted now.
    fn deletable(&self, k: &Kernel, ignore_read_only: bool) -> NtResult<()> {
        let node = self.fcb.state.open().node.clone();
        if node.path.is_empty() || node.layer.is_none() {
            return Err(STATUS_CANNOT_DELETE);
        }
        if !self.volume.tree.is_writable(&node.path) {
            return Err(STATUS_MEDIA_WRITE_PROTECTED);
        }
        if self.volume.tree.is_link(&node) {
            return Ok(());
        }
        if node.is_directory() {
            if !self.volume.tree.list(&node.path, |_| true)?.is_empty() {
                return Err(STATUS_DIRECTORY_NOT_EMPTY);
            }
        } else if !ignore_read_only && !self.fcb.metadata()?.writable {
            return Err(STATUS_CANNOT_DELETE);
        }
        // A program that runs cannot be deleted.
        if self.fcb.identity().is_some_and(|identity| mm::mapped(k, identity).image) {
            return Err(STATUS_CANNOT_DELETE);
        }
        Ok(())
    }

    /// Removes the file's name now.
    fn remove(&self, k: &mut Kernel) {
        let node = {
            let mut state = self.fcb.state.open();
            if std::mem::replace(&mut state.deleted, true) {
                return;
            }
            state.node.clone()
        };
        let removed = self.volume.tree.remove(&node);
        self.volume.fcbs.open().remove(&self.fcb);
        if removed.is_ok() {
            let filter = name_filter(node.is_directory());
            self.volume.watchers.report(k, &node.path, Action::Removed, filter);
        }
    }

    /// Lets those go who wait for a lock that is free now.
    fn retry_locks(&self, k: &mut Kernel) {
        let waiters = std::mem::take(&mut self.fcb.state.open().lock_waiters);
        for irp in waiters {
            if irp.is_done() {
                continue;
            }
            match self.try_lock(&irp) {
                Ok(()) => irp::complete(k, &irp, STATUS_SUCCESS, 0),
                Err(STATUS_LOCK_NOT_GRANTED) => self.fcb.state.open().lock_waiters.push_back(irp),
                Err(status) => irp::complete(k, &irp, status, 0),
            }
        }
    }

    fn try_lock(&self, irp: &Irp) -> NtResult<()> {
        let Request::Lock { offset, length, key, exclusive, .. } = irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let owner = self.owner(irp, key);
        self.fcb.state.open().locks.lock(owner, offset, length, exclusive)
    }

    fn report(&self, k: &mut Kernel, filter: u32) {
        self.volume.watchers.report(k, &self.path(), Action::Modified, filter);
    }

    /// The components of a new name for this file, its folder in its own spelling; checks that may fail are done.
    fn target(&self, target: &UnicodeString) -> NtResult<Path> {
        let backslash = u16::from(b'\\');
        let trimmed = target.strip_prefix(&[backslash]).unwrap_or(target);
        let parts: Path = trimmed.split(|unit| *unit == backslash).map(Into::into).collect();
        if parts.iter().any(|part| !names::is_legal(part)) {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        let (name, parent) = parts.split_last().ok_or(STATUS_OBJECT_NAME_INVALID)?;
        let parent = match self.volume.tree.find(parent) {
            Ok(node) if node.is_directory() => node,
            _ => return Err(STATUS_OBJECT_PATH_NOT_FOUND),
        };
        let mut path = parent.path;
        path.push(name.clone());
        if !self.volume.tree.is_writable(&path) {
            return Err(STATUS_MEDIA_WRITE_PROTECTED);
        }
        Ok(path)
    }

    /// Deals with what has the target name already: refuses, or takes it out of the way. True if it is replaced.
    fn make_way(&self, k: &mut Kernel, target: &Path, flags: u32) -> NtResult<bool> {
        let existing = match self.volume.tree.find(target) {
            Ok(existing) => existing,
            Err(STATUS_OBJECT_NAME_NOT_FOUND) => return Ok(false),
            Err(status) => return Err(status),
        };
        let own = self.fcb.state.open().node.clone();
        if existing.host == own.host && existing.layer == own.layer {
            // The file itself, under a name that differs in case alone.
            return Ok(false);
        }
        if flags & FILE_RENAME_REPLACE_IF_EXISTS == 0 {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        let ignores = flags & FILE_RENAME_IGNORE_READONLY_ATTRIBUTE != 0;
        if existing.is_directory() || (!existing.metadata.writable && !ignores) {
            return Err(STATUS_ACCESS_DENIED);
        }
        let identity = (existing.metadata.device, existing.metadata.inode);
        if mm::mapped(k, identity).image {
            // A program that runs keeps its name.
            return Err(STATUS_ACCESS_DENIED);
        }
        let open = self.volume.fcbs.open().get(&key_of(&existing));
        if let Some(open) = open {
            if flags & FILE_RENAME_POSIX_SEMANTICS == 0 {
                return Err(STATUS_ACCESS_DENIED);
            }
            // Its content stays reachable for those who have it open.
            open.reader()?;
            open.state.open().deleted = true;
            self.volume.fcbs.open().remove(&open);
        }
        let filter = FILE_NOTIFY_CHANGE_FILE_NAME;
        self.volume.watchers.report(k, &existing.path, Action::Removed, filter);
        Ok(true)
    }

    /// The target of a symbolic link, as `REPARSE_DATA_BUFFER`.
    fn reparse_point(&self, k: &mut Kernel, irp: &Irp) -> IoResult {
        let node = self.fcb.state.open().node.clone();
        let Some(layer) = node.layer.filter(|_| node.metadata.link) else {
            return Err(STATUS_NOT_A_REPARSE_POINT);
        };
        let target = self.volume.tree.folder(layer)?.read_link(&node.host).map_err(host_error)?;
        let parts: Vec<Vec<u16>> = target.split(|b| *b == b'/').map(names::from_host).collect();
        let text = parts.join(&u16::from(b'\\'));
        let length = u16::try_from(text.len() * 2).map_err(|_| STATUS_IO_REPARSE_DATA_INVALID)?;
        let mut bytes = IO_REPARSE_TAG_SYMLINK.to_le_bytes().to_vec();
        // The substitute name and the print name are the same text; both start at offset 0.
        for word in [length.saturating_add(12), 0, 0, length, 0, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(SYMLINK_FLAG_RELATIVE.to_le_bytes());
        bytes.extend(text.iter().flat_map(|unit| unit.to_le_bytes()));
        irp.answer(k, &bytes)
    }

    fn entry(&self, name: &str, path: &Path) -> DirectoryEntry {
        let facts = match self.volume.tree.find(path) {
            Ok(node) => self.volume.node_facts(&node),
            Err(_) => FileFacts { attributes: FILE_ATTRIBUTE_DIRECTORY, ..FileFacts::default() },
        };
        DirectoryEntry { name: UnicodeString::from(name), facts }
    }
}

fn name_filter(directory: bool) -> u32 {
    if directory { FILE_NOTIFY_CHANGE_DIR_NAME } else { FILE_NOTIFY_CHANGE_FILE_NAME }
}

impl OpenFile for OpenHostFile {
    fn name(&self) -> UnicodeString {
        self.fcb.name()
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_directory(&self) -> bool {
        self.fcb.is_directory()
    }

    fn device_type(&self) -> Option<u32> {
        // DEVIATION: NT shows FILE_DEVICE_DISK. The userland's `GetDriveType`, which asks the root directory, takes that
        // for an unknown drive.
        self.fcb.state.open().node.path.is_empty().then_some(FILE_DEVICE_DISK_FILE_SYSTEM)
    }

    fn read(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Read { buffer, offset, key } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        if self.is_directory() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        if buffer.len == 0 {
            return Outcome::ok(0);
        }
        if self.fcb.is_link() {
            return Err(STATUS_END_OF_FILE);
        }
        self.check_locks(self.owner(irp, *key), *offset, buffer.len, false)?;
        let file = self.fcb.reader()?;
        let identity = self.fcb.identity();
        let mut piece = vec![0; buffer.len.min(PIECE)];
        let mut done = 0;
        while done < buffer.len {
            let wanted = piece.len().min(buffer.len - done);
            let Some(at) = offset.checked_add(done as u64) else { break };
            let part = piece.get_mut(..wanted).unwrap_or_default();
            let count = file.read_at(at, part).map_err(host_error)?;
            let part = part.get_mut(..count).unwrap_or_default();
            if let Some(identity) = identity {
                mm::overlay_read(k, identity, at, part);
            }
            buffer.write(k, done, part)?;
            done += count;
            if count < wanted {
                break;
            }
        }
        if done == 0 {
            return Err(STATUS_END_OF_FILE);
        }
        irp.file.moved_to(offset.saturating_add(done as u64));
        Outcome::ok(done as u64)
    }

    fn write(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Write { buffer, offset, key } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        if self.is_directory() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        if self.fcb.is_link() {
            return Err(STATUS_ACCESS_DENIED);
        }
        let offset = match offset {
            Some(offset) => *offset,
            None => self.fcb.metadata()?.size,
        };
        if offset.checked_add(buffer.len as u64).is_none_or(|end| end > MAX_SIZE) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        self.check_locks(self.owner(irp, *key), offset, buffer.len, true)?;
        let file = self.fcb.writer()?;
        let identity = self.fcb.identity();
        let mut piece = vec![0; buffer.len.min(PIECE)];
        let mut done = 0;
        while done < buffer.len {
            let count = piece.len().min(buffer.len - done);
            let part = piece.get_mut(..count).unwrap_or_default();
            buffer.read(k, done, part)?;
            let at = offset + done as u64;
            file.write_at(at, part).map_err(host_error)?;
            if let Some(identity) = identity {
                mm::file_written(k, identity, at, part);
            }
            done += count;
        }
        irp.file.moved_to(offset + done as u64);
        self.report(k, FILE_NOTIFY_CHANGE_SIZE | FILE_NOTIFY_CHANGE_LAST_WRITE);
        Outcome::ok(done as u64)
    }

    fn device_control(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    fn fs_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let (code, input, _) = irp.control()?;
        match code {
            FSCTL_IS_VOLUME_MOUNTED => Outcome::ok(0),
            FSCTL_GET_OBJECT_ID | FSCTL_CREATE_OR_GET_OBJECT_ID => Err(STATUS_OBJECTID_NOT_FOUND),
            FSCTL_GET_REPARSE_POINT => self.reparse_point(k, irp),
            FSCTL_GET_COMPRESSION => irp.answer(k, &0u16.to_le_bytes()),
            // Every file may have holes; there is nothing to mark.
            FSCTL_SET_SPARSE if !self.is_directory() => Outcome::ok(0),
            FSCTL_SET_ZERO_DATA if !self.is_directory() => {
                let word = |at: usize| -> NtResult<u64> {
                    let bytes = input.get(at..at + 8).and_then(|b| b.try_into().ok());
                    Ok(u64::from_le_bytes(bytes.ok_or(STATUS_INVALID_PARAMETER)?))
                };
                let (from, to) = (word(0)?, word(8)?);
                let length = to.checked_sub(from).filter(|_| to <= MAX_SIZE);
                let length = length.ok_or(STATUS_INVALID_PARAMETER)?;
                let size = self.fcb.metadata()?.size;
                let length = length.min(size.saturating_sub(from));
                if length != 0 {
                    self.fcb.writer()?.zero(from, length).map_err(host_error)?;
                }
                Outcome::ok(0)
            }
            _ => {
                k.notice_once(format!("hostfs: file system control {code:#x} is not implemented"));
                Err(STATUS_INVALID_DEVICE_REQUEST)
            }
        }
    }

    fn notify_directory(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Notify { filter, tree, .. } = irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let known = self.watch.open().clone();
        let watch = match known {
            Some(watch) => watch,
            None => {
                let watch = self.volume.watchers.start(self.path(), filter, tree);
                *self.watch.open() = Some(watch.clone());
                watch
            }
        };
        watch.request(k, irp)
    }

    fn lock(&self, _k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Lock { fail_immediately, .. } = irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        if self.is_directory() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        self.lock_owner.store(irp.file.header.id, Ordering::Relaxed);
        match self.try_lock(irp) {
            Ok(()) => Outcome::ok(0),
            Err(STATUS_LOCK_NOT_GRANTED) if !fail_immediately => {
                self.fcb.state.open().lock_waiters.push_back(irp.clone());
                Ok(Outcome::Pending)
            }
            Err(status) => Err(status),
        }
    }

    fn unlock(
        &self,
        k: &mut Kernel,
        _file: &ObRef<FileObject>,
        owner: LockOwner,
        offset: u64,
        length: u64,
    ) -> NtResult<()> {
        self.fcb.state.open().locks.unlock(owner, offset, length)?;
        self.retry_locks(k);
        Ok(())
    }

    fn flush(&self, k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        if self.is_directory() || self.fcb.is_link() {
            return Outcome::ok(0);
        }
        if let Some(identity) = self.fcb.identity() {
            mm::flush_file(k, identity)?;
        }
        self.fcb.reader()?.sync().map_err(host_error)?;
        Outcome::ok(0)
    }

    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        let metadata = self.fcb.metadata()?;
        let stored = self.volume.stored(&self.fcb);
        let mut facts = attributes::facts(&metadata, &stored, self.volume.serial);
        let state = self.fcb.state.open();
        facts.delete_pending = state.delete_pending;
        Ok(facts)
    }

    fn volume(&self, _k: &mut Kernel) -> NtResult<VolumeFacts> {
        self.volume.facts()
    }

    fn list(&self, _k: &mut Kernel, pattern: &Pattern) -> NtResult<Vec<DirectoryEntry>> {
        let path = self.path();
        if let Pattern::Exact(name) = pattern
            && names::is_legal(name)
        {
            // One name is looked up without listing the folder.
            let child: Path = path.iter().chain([name]).cloned().collect();
            return match self.volume.tree.find_link(&child) {
                Ok(node) if node.metadata.kind != HostKind::Other => {
                    let name = node.path.last().cloned().unwrap_or_default();
                    Ok(vec![DirectoryEntry { name, facts: self.volume.node_facts(&node) }])
                }
                Ok(_) | Err(STATUS_OBJECT_NAME_NOT_FOUND) => Ok(Vec::new()),
                Err(status) => Err(status),
            };
        }
        let mut entries = Vec::new();
        let found = self.volume.tree.list(&path, |name| pattern.shows(name))?;
        for node in found {
            let name = node.path.last().cloned().unwrap_or_default();
            entries.push(DirectoryEntry { name, facts: self.volume.node_facts(&node) });
        }
        let upper = |entry: &DirectoryEntry| -> Vec<u16> {
            entry.name.iter().map(|unit| upcase(*unit)).collect()
        };
        entries.sort_by_cached_key(upper);
        if let Some((_, parent)) = path.split_last() {
            for (name, target) in [("..", parent.to_vec()), (".", path.clone())] {
                if pattern.shows(&UnicodeString::from(name)) {
                    entries.insert(0, self.entry(name, &target));
                }
            }
        }
        Ok(entries)
    }

    fn set_basic(&self, k: &mut Kernel, basic: &FILE_BASIC_INFORMATION) -> NtResult<()> {
        let given = |time: i64| (time > 0).then_some(time);
        let times =
            [basic.CreationTime, basic.LastAccessTime, basic.LastWriteTime, basic.ChangeTime];
        // -1 and -2 switch the updates of a time off and on, which the host decides.
        if times.iter().any(|time| *time < -2) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let is_directory = self.is_directory();
        let attributes = basic.FileAttributes;
        if (attributes & FILE_ATTRIBUTE_DIRECTORY != 0 && !is_directory)
            || (attributes & FILE_ATTRIBUTE_TEMPORARY != 0 && is_directory)
        {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let path = self.path();
        if !self.volume.tree.is_writable(&path) {
            return Err(STATUS_MEDIA_WRITE_PROTECTED);
        }
        let times = HostTimes {
            accessed: given(basic.LastAccessTime),
            modified: given(basic.LastWriteTime),
        };
        let created = given(basic.CreationTime);
        let attributes = (attributes != 0).then_some(attributes);
        self.volume.set_attributes(&self.fcb, attributes, created)?;
        if times != HostTimes::default() {
            self.volume.set_times(&self.fcb, times)?;
        }
        self.report(k, FILE_NOTIFY_CHANGE_ATTRIBUTES | FILE_NOTIFY_CHANGE_LAST_WRITE);
        Ok(())
    }

    fn set_end_of_file(&self, k: &mut Kernel, size: u64) -> NtResult<()> {
        if self.is_directory() || self.fcb.is_link() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let file = self.fcb.writer()?;
        let old = self.fcb.metadata()?.size;
        if let Some(identity) = self.fcb.identity() {
            mm::check_resize(k, identity, old, size)?;
        }
        file.set_size(size).map_err(host_error)?;
        if let Some(identity) = self.fcb.identity() {
            mm::file_resized(k, identity, size);
        }
        self.report(k, FILE_NOTIFY_CHANGE_SIZE);
        Ok(())
    }

    fn set_allocation(&self, k: &mut Kernel, size: u64) -> NtResult<()> {
        if self.is_directory() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        // Growing reserves room, which the host finds when it is written.
        if size < self.fcb.metadata()?.size {
            return self.set_end_of_file(k, size);
        }
        Ok(())
    }

    fn set_disposition(&self, k: &mut Kernel, flags: u32) -> NtResult<()> {
        if flags & FILE_DISPOSITION_ON_CLOSE != 0 {
            let delete = flags & FILE_DISPOSITION_DELETE != 0;
            self.delete_on_close.store(delete, Ordering::Relaxed);
            return Ok(());
        }
        if flags & FILE_DISPOSITION_DELETE == 0 {
            self.posix_delete.store(false, Ordering::Relaxed);
            self.fcb.state.open().delete_pending = false;
            return Ok(());
        }
        self.deletable(k, flags & FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE != 0)?;
        let posix = flags & FILE_DISPOSITION_POSIX_SEMANTICS != 0;
        self.posix_delete.store(posix, Ordering::Relaxed);
        self.fcb.state.open().delete_pending = true;
        Ok(())
    }

    fn rename(&self, k: &mut Kernel, target: &UnicodeString, flags: u32) -> NtResult<()> {
        let node = self.fcb.state.open().node.clone();
        if node.path.is_empty() || node.layer.is_none() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let path = self.target(target)?;
        let directory = node.is_directory();
        if directory {
            if path.len() > node.path.len() && starts_with(&path, &node.path) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            if self.volume.fcbs.open().has_open_beneath(&join(&node.path)) {
                return Err(STATUS_ACCESS_DENIED);
            }
        }
        let replace = self.make_way(k, &path, flags)?;
        let renamed = self.volume.tree.rename(&node, &path, replace)?;
        {
            let mut fcbs = self.volume.fcbs.open();
            fcbs.remove(&self.fcb);
            self.fcb.state.open().node = renamed;
            fcbs.insert(&self.fcb);
        }
        let filter = name_filter(directory);
        let same_folder = node.path.len() == path.len()
            && starts_with(&path, node.path.get(..path.len() - 1).unwrap_or_default());
        let (old, new) = if same_folder {
            (Action::RenamedOldName, Action::RenamedNewName)
        } else {
            (Action::Removed, Action::Added)
        };
        self.volume.watchers.report(k, &node.path, old, filter);
        self.volume.watchers.report(k, &path, new, filter);
        Ok(())
    }

    fn link(&self, k: &mut Kernel, target: &UnicodeString, flags: u32) -> NtResult<()> {
        let node = self.fcb.state.open().node.clone();
        if node.is_directory() {
            return Err(STATUS_FILE_IS_A_DIRECTORY);
        }
        let path = self.target(target)?;
        let same = path.last().zip(node.path.last());
        if path.len() == node.path.len()
            && starts_with(&path, &node.path)
            && same.is_some_and(|(a, b)| eq_ignore_case(a, b))
        {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        let replace = self.make_way(k, &path, flags)?;
        self.volume.tree.link(&node, &path, replace)?;
        self.volume.watchers.report(k, &path, Action::Added, FILE_NOTIFY_CHANGE_FILE_NAME);
        Ok(())
    }

    fn section_backing(&self) -> NtResult<Arc<dyn FileBacking>> {
        if self.is_directory() || self.fcb.is_link() {
            return Err(STATUS_INVALID_FILE_FOR_SECTION);
        }
        self.fcb.reader()?;
        Ok(Arc::new(HostBacking::new(self.fcb.clone(), &self.volume.device_name)))
    }

    fn cleanup(&self, k: &mut Kernel) {
        let owner = self.lock_owner.load(Ordering::Relaxed);
        if owner != 0 {
            self.fcb.state.open().locks.unlock_file(owner);
            self.retry_locks(k);
        }
        self.watch.open().take();
        let (last, pending) = {
            let mut state = self.fcb.state.open();
            state.share.remove(self.sharing);
            state.opens = state.opens.saturating_sub(1);
            if self.delete_on_close.load(Ordering::Relaxed) {
                state.delete_pending = true;
            }
            (state.opens == 0, state.delete_pending)
        };
        if pending && (last || self.posix_delete.load(Ordering::Relaxed)) {
            self.remove(k);
        } else if last {
            self.volume.forget_unused(&self.fcb);
        }
    }
}

/// The volume itself, opened as `\\.\C:`.
pub struct OpenVolume {
    volume: Arc<Volume>,
}

impl OpenVolume {
    /// Opens the volume. Its sectors cannot be read: there are none.
    pub fn open(volume: &Arc<Volume>, request: &CreateRequest) -> NtResult<Created> {
        if request.options & FILE_DIRECTORY_FILE != 0 {
            return Err(STATUS_NOT_A_DIRECTORY);
        }
        if !matches!(request.disposition, FILE_OPEN | FILE_OPEN_IF) {
            return Err(STATUS_ACCESS_DENIED);
        }
        let access = match request.access {
            access if access & MAXIMUM_ALLOWED != 0 => FILE_ALL_ACCESS,
            access => access,
        };
        let ops = Box::new(OpenVolume { volume: volume.clone() });
        Ok(Created { ops, information: FILE_OPENED, access })
    }
}

impl OpenFile for OpenVolume {
    fn fs_control(&self, _k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        match irp.control()?.0 {
            FSCTL_IS_VOLUME_MOUNTED => Outcome::ok(0),
            _ => Err(STATUS_INVALID_DEVICE_REQUEST),
        }
    }

    fn volume(&self, _k: &mut Kernel) -> NtResult<VolumeFacts> {
        self.volume.facts()
    }

    fn flush(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Outcome::ok(0)
    }
}
