//! Host files and folders as file system drivers reach them: always beneath a root that the user gave.
//!
//! Key types: [`HostFolder`] (a root), [`HostFile`] (an open file), [`VolumeSpec`] (what a machine shows of them as a
//! drive). Paths are bytes relative to the root, separated by `/`, without `.` and `..`; the empty path is the root.
//! Implementations: `host` on Linux; names and their case are the driver's business (`drivers::hostfs`).

use std::io::Result;
use std::sync::Arc;

use abi::NtStatus;
use abi::status_table::*;

/// What a host name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HostKind {
    /// A regular file.
    #[default]
    File,
    /// A folder.
    Folder,
    /// A symbolic link (only where links are not followed).
    Link,
    /// A device, pipe or socket: never opened.
    Other,
}

/// Facts about a host file. Times are 100 ns since 1601, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostMetadata {
    /// What it is.
    pub kind: HostKind,
    /// Bytes in it.
    pub size: u64,
    /// Bytes it takes on the disk.
    pub allocated: u64,
    /// Identifies the file system.
    pub device: u64,
    /// Identifies the file in it.
    pub inode: u64,
    /// Names it has.
    pub links: u32,
    /// True if its owner may write it.
    pub writable: bool,
    /// When it was made, or the earliest time known.
    pub created: i64,
    /// When it was last read.
    pub accessed: i64,
    /// When its content last changed.
    pub modified: i64,
    /// When its content or its attributes last changed.
    pub changed: i64,
    /// The same, to the host's full precision, for recognizing changes.
    pub change_stamp: u128,
    /// True for a symbolic link that was not followed, of which these are the facts.
    pub link: bool,
    /// True if the last change is so recent that a further change may not show in the stamp.
    pub recent: bool,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostAccess {
    /// For reading.
    Read,
    /// For reading and writing.
    ReadWrite,
    /// For reading and writing; the file is new, an existing name is an error.
    CreateNew,
}

/// One name in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostEntry {
    /// The name as the host has it.
    pub name: Vec<u8>,
    /// What it stands for, links not followed.
    pub kind: HostKind,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostSpace {
    /// All of it.
    pub total: u64,
    /// What is not used.
    pub free: u64,
    /// What this user may use.
    pub available: u64,
}

/// Times to store; `None` leaves a time as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostTimes {
    /// Last read, 100 ns since 1601.
    pub accessed: Option<i64>,
    /// Last change of content, 100 ns since 1601.
    pub modified: Option<i64>,
}

/// An open host file.
pub trait HostFile: Send + Sync {
    /// Facts about it now.
    fn metadata(&self) -> Result<HostMetadata>;
    /// Reads at an offset; fewer bytes than asked for only at the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize>;
    /// Writes all bytes at an offset.
    fn write_at(&self, offset: u64, from: &[u8]) -> Result<()>;
    /// Grows or cuts the file.
    fn set_size(&self, size: u64) -> Result<()>;
    /// Makes a range read as zeros, giving its room back where the host can.
    fn zero(&self, offset: u64, len: u64) -> Result<()>;
    /// Brings the file to the disk.
    fn sync(&self) -> Result<()>;
    /// Stores times.
    fn set_times(&self, times: HostTimes) -> Result<()>;
    /// Lets its owner write it, or not.
    fn set_writable(&self, writable: bool) -> Result<()>;
}

/// A host folder and everything beneath it. Links that lead out of it are refused by every call.
pub trait HostFolder: Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> String;
    /// Facts about a name, links followed.
    fn metadata(&self, path: &[u8]) -> Result<HostMetadata>;
    /// Facts about a name, a link in last place not followed: then `link` is set, and the kind is that of what it leads
    /// to, or a file if that cannot be reached.
    fn link_metadata(&self, path: &[u8]) -> Result<HostMetadata>;
    /// Opens a regular file.
    fn open(&self, path: &[u8], access: HostAccess) -> Result<Arc<dyn HostFile>>;
    /// The names in a folder, without `.` and `..`, in the host's order.
    fn list(&self, path: &[u8]) -> Result<Vec<HostEntry>>;
    /// Facts about names in a folder, links not followed; those that are gone are left out.
    fn list_metadata(&self, path: &[u8], names: &[Vec<u8>]) -> Result<Vec<(usize, HostMetadata)>>;
    /// Makes a folder.
    fn create_folder(&self, path: &[u8]) -> Result<()>;
    /// Removes a name that is not a folder.
    fn remove_file(&self, path: &[u8]) -> Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &[u8]) -> Result<()>;
    /// Renames; an existing target is replaced if `replace` says so, else it is an error.
    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()>;
    /// Gives a file a further name.
    fn hard_link(&self, from: &[u8], to: &[u8]) -> Result<()>;
    /// Makes a symbolic link.
    fn create_link(&self, path: &[u8], target: &[u8]) -> Result<()>;
    /// The target of a symbolic link.
    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>>;
    /// Stores the times of a name, links followed.
    fn set_times(&self, path: &[u8], times: HostTimes) -> Result<()>;
    /// Lets the owner of a file write it, or not.
    fn set_writable(&self, path: &[u8], writable: bool) -> Result<()>;
    /// An extended attribute, `None` if it is not there or the file system has none.
    fn attribute(&self, path: &[u8], name: &str) -> Option<Vec<u8>>;
    /// Stores an extended attribute, or removes it.
    fn set_attribute(&self, path: &[u8], name: &str, value: Option<&[u8]>) -> Result<()>;
    /// Room on its file system.
    fn space(&self) -> Result<HostSpace>;
}

/// A host folder in a volume.
#[derive(Clone)]
pub struct Layer {
    /// Where in the volume it is shown: `\`, `\windows\system32`.
    pub at: String,
    /// The folder.
    pub folder: Arc<dyn HostFolder>,
    /// True if the guest's changes go here.
    pub writable: bool,
}

/// Host folders shown as a volume.
///
/// Layers that overlap are a union: the first one that has a name wins, and folders are merged. Changes go to the first
/// writable layer, which is copied to before a file of a lower layer is written; names deleted from lower layers are
/// remembered. A volume without a writable layer is read-only.
#[derive(Clone)]
pub struct VolumeSpec {
    /// The drive letter.
    pub drive: char,
    /// The volume label.
    pub label: String,
    /// The serial number that `vol` prints.
    pub serial: u32,
    /// Top first.
    pub layers: Vec<Layer>,
}

impl VolumeSpec {
    /// A drive that shows one folder.
    pub fn folder(drive: char, folder: Arc<dyn HostFolder>, writable: bool) -> Self {
        let layer = Layer { at: "\\".to_owned(), folder, writable };
        VolumeSpec { drive, label: String::new(), serial: serial_of(drive), layers: vec![layer] }
    }

    /// A drive that shows a folder whose changes go to another one.
    pub fn copy_on_write(
        drive: char,
        folder: Arc<dyn HostFolder>,
        changes: Arc<dyn HostFolder>,
    ) -> Self {
        let mut spec = Self::folder(drive, changes, true);
        spec.layers.push(Layer { at: "\\".to_owned(), folder, writable: false });
        spec
    }

    /// Adds a folder beneath the layers that are there.
    pub fn with_lower(mut self, at: &str, folder: Arc<dyn HostFolder>) -> Self {
        self.layers.push(Layer { at: at.to_owned(), folder, writable: false });
        self
    }
}

impl std::fmt::Debug for VolumeSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.drive)?;
        for layer in &self.layers {
            let mode = if layer.writable { "rw" } else { "ro" };
            write!(f, " [{} {} {mode}]", layer.at, layer.folder.place())?;
        }
        Ok(())
    }
}

/// A serial number that depends on nothing but the drive letter.
fn serial_of(drive: char) -> u32 {
    0x4E54_0000 | u32::from(drive.to_ascii_uppercase())
}

/// The NT status of a host error.
pub fn status_of(error: &std::io::Error) -> NtStatus {
    use std::io::ErrorKind as E;
    match error.kind() {
        E::NotFound => STATUS_OBJECT_NAME_NOT_FOUND,
        E::AlreadyExists => STATUS_OBJECT_NAME_COLLISION,
        E::DirectoryNotEmpty => STATUS_DIRECTORY_NOT_EMPTY,
        E::NotADirectory => STATUS_OBJECT_PATH_NOT_FOUND,
        E::IsADirectory => STATUS_FILE_IS_A_DIRECTORY,
        E::ReadOnlyFilesystem => STATUS_MEDIA_WRITE_PROTECTED,
        E::StorageFull | E::QuotaExceeded => STATUS_DISK_FULL,
        E::CrossesDevices => STATUS_NOT_SAME_DEVICE,
        E::TooManyLinks => STATUS_TOO_MANY_LINKS,
        E::InvalidFilename => STATUS_OBJECT_NAME_INVALID,
        E::InvalidInput => STATUS_INVALID_PARAMETER,
        E::FileTooLarge => STATUS_DISK_FULL,
        E::BrokenPipe => STATUS_PIPE_BROKEN,
        E::Unsupported => STATUS_NOT_SUPPORTED,
        E::OutOfMemory => STATUS_INSUFFICIENT_RESOURCES,
        E::PermissionDenied | E::ResourceBusy | E::ExecutableFileBusy => STATUS_ACCESS_DENIED,
        _ => STATUS_IO_DEVICE_ERROR,
    }
}
