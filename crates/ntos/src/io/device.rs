//! Devices, and what a driver is asked.
//!
//! Key types: [`Device`], [`Driver`], [`OpenFile`]. A driver's create makes an [`OpenFile`], which stands for what NT
//! keeps in `FsContext` and `FsContext2`; the I/O manager formats information classes from the facts that it gives
//! ([`super::facts`]), so that drivers do not repeat layouts.

use std::any::Any;
use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::status_table::*;

use crate::Kernel;
use crate::guarded::Guarded;
use crate::mm::FileBacking;
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};
use crate::ustr::UnicodeString;

use super::directory::{DirectoryEntry, Pattern};
use super::facts::{FileFacts, VolumeFacts};
use super::irp::{IoResult, Irp};
use super::{CreateRequest, FileObject};

/// The generic mapping of files and devices.
pub const FILE_ACCESS: AccessMap =
    AccessMap { read: 0x12_0089, write: 0x12_0116, execute: 0x12_00A0, all: FILE_ALL_ACCESS };

/// A device: where names are handed to a driver.
pub struct Device {
    /// Its full name, `\Device\Null`; empty for one without a name.
    pub name: UnicodeString,
    /// `FILE_DEVICE_…`: what `GetFileType` goes by.
    pub device_type: u32,
    /// `FILE_…` characteristics.
    pub characteristics: u32,
    /// Who serves it.
    pub driver: Arc<dyn Driver>,
    /// Its drive letter, `\??\C:`, once it has one.
    pub drive: Guarded<Option<UnicodeString>>,
}

impl ObjectBody for Device {
    const TYPE: &'static TypeInfo =
        &TypeInfo { name: "Device", access: FILE_ACCESS, body_size: 0x150 };
}

/// Makes a device at an absolute path whose directory exists.
pub fn add_device(
    k: &mut Kernel,
    path: &str,
    device_type: u32,
    characteristics: u32,
    driver: Arc<dyn Driver>,
) -> NtResult<ObRef<Device>> {
    let name = UnicodeString::from(path);
    let device = ob::create(
        k,
        Device { name, device_type, characteristics, driver, drive: Guarded::default() },
    )?;
    device.header.set_permanent(true);
    if !path.is_empty() {
        ob::insert_at(k, path, &device)?;
    }
    Ok(device)
}

/// What a successful create gives.
pub struct Created {
    /// The open instance.
    pub ops: Box<dyn OpenFile>,
    /// `FILE_OPENED`, `FILE_CREATED`, ….
    pub information: u64,
    /// The rights granted, generic ones and `MAXIMUM_ALLOWED` replaced.
    pub access: u32,
}

/// A driver that serves devices.
pub trait Driver: Send + Sync {
    /// The driver's name, for messages.
    fn name(&self) -> &'static str;

    /// Opens or creates what a name on the device stands for.
    fn create(
        &self,
        k: &mut Kernel,
        device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<Created>;

    /// Facts about a name without opening it; the default opens it.
    fn query_by_name(
        &self,
        k: &mut Kernel,
        device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<FileFacts> {
        let created = self.create(k, device, request)?;
        let facts = created.ops.facts(k);
        created.ops.cleanup(k);
        facts
    }
}

/// An open instance of a file, directory, pipe or device. Requests that an instance does not know fail with
/// `STATUS_INVALID_DEVICE_REQUEST`, as an IRP without a dispatch routine does.
pub trait OpenFile: Any + Send + Sync {
    /// The name on the device, with the leading backslash; empty for the device itself.
    fn name(&self) -> UnicodeString {
        UnicodeString::default()
    }

    /// True if reads and writes have offsets.
    fn is_seekable(&self) -> bool {
        false
    }

    /// True for a directory.
    fn is_directory(&self) -> bool {
        false
    }

    /// The device type, if it is not the device's own.
    fn device_type(&self) -> Option<u32> {
        None
    }

    /// The open instance has its file object.
    fn opened(&self, _file: &ObRef<FileObject>) {}

    /// True if the driver alone sets the file's event: a wait for the handle means something else than the end of a
    /// request, as a wait for console input does.
    fn owns_event(&self) -> bool {
        false
    }

    /// `IRP_MJ_READ`: the offset is in the request.
    fn read(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// `IRP_MJ_WRITE`.
    fn write(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// `IRP_MJ_DEVICE_CONTROL`.
    fn device_control(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// `IRP_MJ_FILE_SYSTEM_CONTROL`.
    fn fs_control(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// `IRP_MN_NOTIFY_CHANGE_DIRECTORY`.
    fn notify_directory(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// `IRP_MJ_LOCK_CONTROL`: locks a range.
    fn lock(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// Unlocks a range.
    fn unlock(
        &self,
        _k: &mut Kernel,
        _file: &ObRef<FileObject>,
        _owner: super::lock::LockOwner,
        _offset: u64,
        _length: u64,
    ) -> NtResult<()> {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// `IRP_MJ_FLUSH_BUFFERS`.
    fn flush(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }

    /// What the file information classes show.
    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// What the volume information classes show.
    fn volume(&self, _k: &mut Kernel) -> NtResult<VolumeFacts> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// An information class that only this kind of file has.
    fn query_own(&self, _k: &mut Kernel, _class: u32) -> NtResult<Vec<u8>> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// Sets an information class that only this kind of file has.
    fn set_own(&self, _k: &mut Kernel, _class: u32, _bytes: &[u8]) -> NtResult<()> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// The entries of a directory that match, in the order to show them.
    fn list(&self, _k: &mut Kernel, _pattern: &Pattern) -> NtResult<Vec<DirectoryEntry>> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// Times and attributes: 0 leaves a field as it is.
    fn set_basic(&self, _k: &mut Kernel, _basic: &FILE_BASIC_INFORMATION) -> NtResult<()> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// Cuts or grows the file.
    fn set_end_of_file(&self, _k: &mut Kernel, _size: u64) -> NtResult<()> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// Reserves room; a size below the end of the file cuts it.
    fn set_allocation(&self, _k: &mut Kernel, _size: u64) -> NtResult<()> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// Marks the file to be deleted at its last close, or not; `flags` are `FILE_DISPOSITION_…`.
    fn set_disposition(&self, _k: &mut Kernel, _flags: u32) -> NtResult<()> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// Gives the file another name on the device; `flags` are `FILE_RENAME_…`.
    fn rename(&self, _k: &mut Kernel, _target: &UnicodeString, _flags: u32) -> NtResult<()> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// Gives the file a further name on the device.
    fn link(&self, _k: &mut Kernel, _target: &UnicodeString, _flags: u32) -> NtResult<()> {
        Err(STATUS_INVALID_PARAMETER)
    }

    /// The content as sections see it.
    fn section_backing(&self) -> NtResult<Arc<dyn FileBacking>> {
        Err(STATUS_INVALID_FILE_FOR_SECTION)
    }

    /// The last handle is closed.
    fn cleanup(&self, _k: &mut Kernel) {}
}
