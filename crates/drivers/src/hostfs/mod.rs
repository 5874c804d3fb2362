//! Host folders as NTFS-like volumes.
//!
//! Key types: [`Volume`] (the driver's part of a device), [`tree::Tree`] (layers of host folders and names without
//! regard to case), [`fcb::Fcb`] (a file that is open), `file::OpenHostFile` (an open instance).
//!
//! Invariants: the host is reached through [`ntos::host::files::HostFolder`] alone, which nothing leaves; a lower layer
//! is never changed; a name that is open has one control block.
//!
//! A worked path, "`CreateFile("c:\\Windows\\SYSTEM32\\kernel32.dll")`": the name is taken apart and checked
//! (`volume`), the tree looks for it in the machine's own folder, then in the layer shown at `\windows\system32`; the
//! spelling differs, so the folder's cached list gives `kernel32.dll`; the control block is made or found, the share
//! modes are checked, the host file is opened for reading.

mod attributes;
mod backing;
pub mod change;
pub mod fcb;
mod file;
mod hidden;
mod names;
mod notify;
pub mod tree;
mod volume;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use abi::NtResult;
use abi::io::{FILE_DEVICE_DISK, FILE_DEVICE_IS_MOUNTED, FILE_READ_ONLY_DEVICE};
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::host::files::VolumeSpec;
use ntos::io::device::add_device;
use ntos::ustr::UnicodeString;

pub use change::{Change, ChangeKind};
pub use volume::Volume;

use tree::Tree;
use volume::VolumeDriver;

/// Shows host folders as a volume: makes `\Device\HarddiskVolumeN` and returns its name with the volume.
///
/// The drive letter's link in `\??` is the caller's to make.
pub fn add_volume(k: &mut Kernel, spec: &VolumeSpec) -> NtResult<(UnicodeString, Arc<Volume>)> {
    k.io.volumes += 1;
    let name = format!("\\Device\\HarddiskVolume{}", k.io.volumes);
    let read_only = !spec.layers.iter().any(|layer| layer.writable);
    let volume = Arc::new(Volume {
        device_name: UnicodeString::from(name.as_str()),
        label: UnicodeString::from(spec.label.as_str()),
        serial: spec.serial,
        tree: Arc::new(Tree::new(&spec.layers)),
        fcbs: Guarded::default(),
        watchers: notify::Watchers::default(),
        beside: Guarded::default(),
    });
    let characteristics =
        FILE_DEVICE_IS_MOUNTED | if read_only { FILE_READ_ONLY_DEVICE } else { 0 };
    let driver = Arc::new(VolumeDriver(volume.clone()));
    let device = add_device(k, &name, FILE_DEVICE_DISK, characteristics, driver)?;
    let letter = spec.drive.to_ascii_uppercase();
    *device.drive.open() = Some(UnicodeString::from(format!("\\??\\{letter}:").as_str()));
    Ok((UnicodeString::from(name.as_str()), volume))
}
