//! The volume driver: opening and creating names.
//!
//! Key type: [`Volume`]. Rules are NTFS's as far as a host folder can follow them; access is decided by the read-only
//! attribute, by whether the place can be written, and by the host's own permissions.

use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::ob::{DELETE, MAXIMUM_ALLOWED};
use abi::status_table::*;
use ntos::guarded::Guarded;
use ntos::host::files::{HostKind, HostTimes, status_of};
use ntos::io::device::{Created, Device, Driver};
use ntos::io::share::Sharing;
use ntos::io::{CreateKind, CreateRequest, FileFacts, VolumeFacts};
use ntos::ob::ObRef;
use ntos::ustr::{UnicodeString, eq_ignore_case};
use ntos::{Kernel, mm};

use super::attributes::{self, Stored};
use super::fcb::{Fcb, Fcbs, key_of};
use super::file::{OpenHostFile, OpenVolume};
use super::names;
use super::notify::{
    Action, FILE_NOTIFY_CHANGE_DIR_NAME, FILE_NOTIFY_CHANGE_FILE_NAME, FILE_NOTIFY_CHANGE_SIZE,
    Watchers,
};
use super::tree::{Node, Path, Tree};

const BACKSLASH: u16 = b'\\' as u16;

/// A volume made of host folders.
pub struct Volume {
    /// The device's name, `\Device\HarddiskVolume1`.
    pub device_name: UnicodeString,
    /// The label.
    pub label: UnicodeString,
    /// The serial number.
    pub serial: u32,
    /// The names.
    pub tree: Arc<Tree>,
    /// What is open.
    pub fcbs: Guarded<Fcbs>,
    /// Who wants to hear of changes.
    pub watchers: Watchers,
    /// What is stored beside files, as last read.
    pub beside: Guarded<attributes::Beside>,
}

/// The driver of one volume.
pub struct VolumeDriver(pub Arc<Volume>);

/// A name as a request gives it.
struct Asked {
    path: Path,
    /// It ended in a backslash: only a directory will do.
    trailing: bool,
}

/// Takes a name apart; `STATUS_OBJECT_NAME_INVALID` for what no file can be called.
fn parse(request: &CreateRequest) -> NtResult<Asked> {
    let mut path = Path::new();
    if let Some(related) = &request.related {
        let name = related.ops.name();
        let parts = name.split(|unit| *unit == BACKSLASH).filter(|part| !part.is_empty());
        path.extend(parts.map(UnicodeString::from));
    }
    let name = request.path.strip_prefix(&[BACKSLASH]).unwrap_or(&request.path);
    let trailing = name.last() == Some(&BACKSLASH);
    let name = name.strip_suffix(&[BACKSLASH]).unwrap_or(name);
    if !name.is_empty() {
        path.extend(name.split(|unit| *unit == BACKSLASH).map(UnicodeString::from));
    }
    if let Some(last) = path.last_mut() {
        strip_stream(last)?;
    }
    if path.iter().any(|part| !names::is_legal(part)) {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    Ok(Asked { path, trailing })
}

/// `a::$DATA` is `a`; other streams do not exist on these volumes.
fn strip_stream(name: &mut UnicodeString) -> NtResult<()> {
    let Some(colon) = name.iter().position(|unit| *unit == u16::from(b':')) else { return Ok(()) };
    let data = UnicodeString::from("::$DATA");
    if colon == 0 || !eq_ignore_case(name.get(colon..).unwrap_or_default(), &data) {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    name.0.truncate(colon);
    Ok(())
}

/// Rights that change a file's content.
const WRITES: u32 = FILE_WRITE_DATA | FILE_APPEND_DATA;

fn overwrites(disposition: u32) -> bool {
    matches!(disposition, FILE_SUPERSEDE | FILE_OVERWRITE | FILE_OVERWRITE_IF)
}

impl Volume {
    /// The control block of a name, if it is open.
    fn opened(&self, node: &Node) -> Option<Arc<Fcb>> {
        self.fcbs.open().get(&key_of(node))
    }

    /// The rights that an open gets, or why it is refused.
    fn access(&self, request: &CreateRequest, node: &Node) -> NtResult<u32> {
        let writable_place = self.tree.is_writable(&node.path);
        let read_only = !node.is_directory() && !node.metadata.writable;
        let mut access = request.access;
        if access & MAXIMUM_ALLOWED != 0 {
            access = FILE_ALL_ACCESS | (access & !MAXIMUM_ALLOWED);
            if !writable_place {
                access &= !(WRITES | DELETE | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES);
            } else if read_only {
                access &= !WRITES;
            }
        }
        let writes = access & WRITES != 0 || overwrites(request.disposition);
        if writes && read_only {
            return Err(STATUS_ACCESS_DENIED);
        }
        // On a directory the same bits are the rights to add to it, which are asked for when something is added.
        let changes = (writes && !node.is_directory()) || access & DELETE != 0;
        if changes && !writable_place {
            return Err(STATUS_MEDIA_WRITE_PROTECTED);
        }
        if request.options & FILE_DELETE_ON_CLOSE != 0 && (read_only || node.path.is_empty()) {
            return Err(STATUS_CANNOT_DELETE);
        }
        Ok(access)
    }

    /// Opens a name that exists.
    fn open(
        self: &Arc<Self>,
        k: &mut Kernel,
        request: &CreateRequest,
        asked: &Asked,
        node: Node,
    ) -> NtResult<Created> {
        let directory = node.is_directory();
        match request.disposition {
            FILE_CREATE => return Err(STATUS_OBJECT_NAME_COLLISION),
            _ if node.metadata.kind == HostKind::Other => return Err(STATUS_ACCESS_DENIED),
            _ if directory && request.options & FILE_NON_DIRECTORY_FILE != 0 => {
                return Err(STATUS_FILE_IS_A_DIRECTORY);
            }
            _ if !directory && request.options & FILE_DIRECTORY_FILE != 0 => {
                return Err(STATUS_NOT_A_DIRECTORY);
            }
            _ if !directory && asked.trailing => return Err(STATUS_OBJECT_NAME_INVALID),
            disposition if directory && overwrites(disposition) => {
                return Err(STATUS_OBJECT_NAME_COLLISION);
            }
            _ => {}
        }
        let fcb = self.opened(&node);
        if fcb.as_ref().is_some_and(|fcb| fcb.state.open().delete_pending) {
            return Err(STATUS_DELETE_PENDING);
        }
        let access = self.access(request, &node)?;
        let identity = (node.metadata.device, node.metadata.inode);
        let writes = access & WRITES != 0 || overwrites(request.disposition);
        if !directory && writes && mm::mapped(k, identity).image {
            // A program that runs cannot be written.
            return Err(STATUS_SHARING_VIOLATION);
        }
        if overwrites(request.disposition) {
            mm::check_resize(k, identity, node.metadata.size, 0)?;
        }
        let implied = match request.disposition {
            FILE_SUPERSEDE => DELETE,
            FILE_OVERWRITE | FILE_OVERWRITE_IF => FILE_WRITE_DATA,
            _ => 0,
        };
        if let Some(fcb) = &fcb {
            let sharing = Sharing::new(access | implied, request.share);
            fcb.state.open().share.check(sharing)?;
        }
        let path = node.path.clone();
        let fcb = match fcb {
            Some(fcb) => fcb,
            None => self.fcbs.open().get_or_make(&self.tree, node),
        };
        let prepared = self.prepare(&fcb, request, access, directory);
        if let Err(status) = prepared {
            self.forget_unused(&fcb);
            return Err(status);
        }
        let information = match request.disposition {
            FILE_SUPERSEDE => FILE_SUPERSEDED,
            FILE_OVERWRITE | FILE_OVERWRITE_IF => FILE_OVERWRITTEN,
            _ => FILE_OPENED,
        };
        if information != FILE_OPENED {
            mm::file_resized(k, identity, 0);
            self.watchers.report(k, &path, Action::Modified, FILE_NOTIFY_CHANGE_SIZE);
        }
        Ok(self.opened_file(fcb, request, access, information))
    }

    /// Opens the host file as the rights ask for, and empties it if the disposition says so.
    fn prepare(
        &self,
        fcb: &Arc<Fcb>,
        request: &CreateRequest,
        access: u32,
        directory: bool,
    ) -> NtResult<()> {
        if directory {
            return Ok(());
        }
        if fcb.is_link() {
            // There is nothing in a link to read or to overwrite.
            let writes = overwrites(request.disposition);
            return if writes { Err(STATUS_ACCESS_DENIED) } else { Ok(()) };
        }
        if overwrites(request.disposition) {
            let stored = self.stored(fcb);
            let hides = FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM;
            let kept = stored.attributes.unwrap_or_default() & hides;
            if kept & !request.attributes != 0 {
                return Err(STATUS_ACCESS_DENIED);
            }
            fcb.writer()?.set_size(0).map_err(|error| status_of(&error))?;
            let attributes = request.attributes | FILE_ATTRIBUTE_ARCHIVE;
            return self.set_attributes(fcb, Some(attributes), None);
        }
        if access & (FILE_READ_DATA | FILE_EXECUTE) != 0 {
            fcb.reader()?;
        }
        if access & WRITES != 0 && fcb.state.open().node.layer.is_some_and(|l| self.is_upper(l)) {
            fcb.writer()?;
        }
        Ok(())
    }

    fn is_upper(&self, layer: usize) -> bool {
        self.tree.layers.get(layer).is_some_and(|layer| layer.writable)
    }

    /// Makes a new file or directory.
    fn make(
        self: &Arc<Self>,
        k: &mut Kernel,
        request: &CreateRequest,
        asked: &Asked,
    ) -> NtResult<Created> {
        let directory = request.options & FILE_DIRECTORY_FILE != 0;
        if asked.trailing && !directory {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        let read_only = request.attributes & FILE_ATTRIBUTE_READONLY != 0;
        if read_only && request.options & FILE_DELETE_ON_CLOSE != 0 {
            return Err(STATUS_CANNOT_DELETE);
        }
        let (name, parent) = asked.path.split_last().ok_or(STATUS_OBJECT_NAME_COLLISION)?;
        // The folder's own spelling, so that one file has one name here.
        let mut path = self.tree.find(parent)?.path;
        path.push(name.clone());
        let (node, file) = if directory {
            (self.tree.create_folder(&path)?, None)
        } else {
            let (node, file) = self.tree.create_file(&path)?;
            (node, Some(file))
        };
        let access = match request.access {
            access if access & MAXIMUM_ALLOWED != 0 => {
                FILE_ALL_ACCESS | (access & !MAXIMUM_ALLOWED)
            }
            access => access,
        };
        let fcb = self.fcbs.open().get_or_make(&self.tree, node);
        if let Some(file) = file {
            if request.allocation == 0 && read_only {
                // Only those who open it later are kept from writing.
                let done = file.set_writable(false);
                done.map_err(|error| status_of(&error))?;
            }
            fcb.adopt(file);
        }
        let default = attributes::default_of(directory);
        let wanted = request.attributes & FILE_ATTRIBUTE_SETTABLE & !FILE_ATTRIBUTE_NORMAL;
        // NTFS marks every new file for archiving.
        let wanted = wanted & !FILE_ATTRIBUTE_READONLY | default;
        if wanted != default {
            self.set_stored(&fcb, Stored { attributes: Some(wanted), created: None })?;
        }
        let filter =
            if directory { FILE_NOTIFY_CHANGE_DIR_NAME } else { FILE_NOTIFY_CHANGE_FILE_NAME };
        self.watchers.report(k, &path, Action::Added, filter);
        Ok(self.opened_file(fcb, request, access, FILE_CREATED))
    }

    fn opened_file(
        self: &Arc<Self>,
        fcb: Arc<Fcb>,
        request: &CreateRequest,
        access: u32,
        information: u64,
    ) -> Created {
        let sharing = Sharing::new(access, request.share);
        {
            let mut state = fcb.state.open();
            state.share.add(sharing);
            state.opens += 1;
        }
        let delete_on_close = request.options & FILE_DELETE_ON_CLOSE != 0;
        let ops = Box::new(OpenHostFile::new(self.clone(), fcb, sharing, delete_on_close));
        Created { ops, information, access }
    }

    /// Drops a control block that nobody opened after all.
    pub fn forget_unused(&self, fcb: &Arc<Fcb>) {
        let (unused, name) = {
            let state = fcb.state.open();
            (state.opens == 0, key_of(&state.node))
        };
        if unused {
            self.fcbs.open().remove_name(&name, fcb);
        }
    }

    /// What is stored beside a file, read once.
    pub fn stored(&self, fcb: &Fcb) -> Stored {
        let mut state = fcb.state.open();
        if let Some(stored) = state.attributes {
            return stored;
        }
        let stored = self.load_stored(&state.node);
        state.attributes = Some(stored);
        stored
    }

    fn load_stored(&self, node: &Node) -> Stored {
        match node.layer {
            // Layers that are never written have nothing stored, so they are not asked. Neither are links: they would
            // answer for what they lead to.
            Some(layer) if !node.metadata.link && self.is_upper(layer) => {
                match self.tree.folder(layer) {
                    Ok(folder) => self.beside.open().load(&**folder, &node.host, &node.metadata),
                    Err(_) => Stored::default(),
                }
            }
            _ => Stored::default(),
        }
    }

    fn set_stored(&self, fcb: &Fcb, stored: Stored) -> NtResult<()> {
        let mut state = fcb.state.open();
        let node = self.tree.copy_up(&state.node)?;
        let folder = self.tree.folder(node.layer.ok_or(STATUS_INTERNAL_ERROR)?)?;
        let default = attributes::default_of(node.is_directory());
        attributes::store(&**folder, &node.host, &stored, default)?;
        state.attributes = Some(stored);
        state.node = node;
        Ok(())
    }

    /// Sets attributes and creation time.
    pub fn set_attributes(
        &self,
        fcb: &Fcb,
        attributes: Option<u32>,
        created: Option<i64>,
    ) -> NtResult<()> {
        if fcb.is_link() {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let mut stored = self.stored(fcb);
        let old = stored;
        if let Some(attributes) = attributes {
            let directory = fcb.is_directory();
            let writable = fcb.metadata()?.writable;
            let wanted = attributes & FILE_ATTRIBUTE_READONLY == 0;
            if !directory && writable != wanted {
                let mut state = fcb.state.open();
                state.node = self.tree.copy_up(&state.node)?;
                let folder = self.tree.folder(state.node.layer.ok_or(STATUS_INTERNAL_ERROR)?)?;
                let done = folder.set_writable(&state.node.host, wanted);
                done.map_err(|error| status_of(&error))?;
            }
            let kept = attributes & FILE_ATTRIBUTE_SETTABLE;
            let kept = kept & !(FILE_ATTRIBUTE_NORMAL | FILE_ATTRIBUTE_READONLY);
            if kept != stored.attributes.unwrap_or_else(|| attributes::default_of(directory)) {
                stored.attributes = Some(kept);
            }
        }
        if created.is_some() {
            stored.created = created;
            let default = attributes::default_of(fcb.is_directory());
            stored.attributes = stored.attributes.or(Some(default));
        }
        if stored == old { Ok(()) } else { self.set_stored(fcb, stored) }
    }

    /// Sets the times of a file.
    pub fn set_times(&self, fcb: &Fcb, times: HostTimes) -> NtResult<()> {
        if fcb.is_link() {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let mut state = fcb.state.open();
        state.node = self.tree.copy_up(&state.node)?;
        let folder = self.tree.folder(state.node.layer.ok_or(STATUS_INTERNAL_ERROR)?)?;
        folder.set_times(&state.node.host, times).map_err(|error| status_of(&error))
    }

    /// Facts about the volume.
    pub fn facts(&self) -> NtResult<VolumeFacts> {
        let writable = self.tree.layers.iter().find(|layer| layer.writable);
        let main = writable.or(self.tree.layers.first()).ok_or(STATUS_NO_SUCH_DEVICE)?;
        let space = main.folder.space().map_err(|error| status_of(&error))?;
        let created = main.folder.metadata(b"").map_err(|error| status_of(&error))?.created;
        let read_only = if writable.is_none() { FILE_READ_ONLY_VOLUME } else { 0 };
        Ok(VolumeFacts {
            created,
            serial: self.serial,
            label: self.label.clone(),
            file_system: UnicodeString::from("NTFS"),
            attributes: FILE_CASE_PRESERVED_NAMES
                | FILE_UNICODE_ON_DISK
                | FILE_SUPPORTS_SPARSE_FILES
                | FILE_SUPPORTS_HARD_LINKS
                | FILE_SUPPORTS_POSIX_UNLINK_RENAME
                | read_only,
            max_component: names::MAX_COMPONENT as i32,
            total: space.total,
            free: space.free,
            available: if writable.is_none() { 0 } else { space.available },
        })
    }

    /// Facts about a node that is not open.
    pub fn node_facts(&self, node: &Node) -> FileFacts {
        attributes::facts(&node.metadata, &self.load_stored(node), self.serial)
    }
}

/// Finds a name, or the link that it is if the request says so.
fn find(volume: &Volume, request: &CreateRequest, path: &Path) -> NtResult<Node> {
    if request.options & FILE_OPEN_REPARSE_POINT != 0 {
        volume.tree.find_link(path)
    } else {
        volume.tree.find(path)
    }
}

impl Driver for VolumeDriver {
    fn name(&self) -> &'static str {
        "hostfs"
    }

    fn create(
        &self,
        k: &mut Kernel,
        _device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<Created> {
        let volume = &self.0;
        if request.kind != CreateKind::File {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if request.options & FILE_OPEN_BY_FILE_ID != 0 {
            k.notice_once("hostfs: FILE_OPEN_BY_FILE_ID is not implemented".to_owned());
            return Err(STATUS_NOT_SUPPORTED);
        }
        if !request.ea.is_empty() {
            return Err(STATUS_EAS_NOT_SUPPORTED);
        }
        if request.path.is_empty() && request.related.is_none() {
            return OpenVolume::open(volume, request);
        }
        let asked = parse(request)?;
        match find(volume, request, &asked.path) {
            Ok(node) => volume.open(k, request, &asked, node),
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
                if !matches!(request.disposition, FILE_OPEN | FILE_OVERWRITE) =>
            {
                volume.make(k, request, &asked)
            }
            Err(status) => Err(status),
        }
    }

    fn query_by_name(
        &self,
        k: &mut Kernel,
        device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<FileFacts> {
        let volume = &self.0;
        if request.path.is_empty() && request.related.is_none() {
            let created = self.create(k, device, request)?;
            return created.ops.facts(k);
        }
        let asked = parse(request)?;
        let node = find(volume, request, &asked.path)?;
        if node.metadata.kind == HostKind::Other {
            return Err(STATUS_ACCESS_DENIED);
        }
        if asked.trailing && !node.is_directory() {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        let pending = volume.opened(&node).is_some_and(|fcb| fcb.state.open().delete_pending);
        if pending {
            return Err(STATUS_DELETE_PENDING);
        }
        Ok(volume.node_facts(&node))
    }
}
