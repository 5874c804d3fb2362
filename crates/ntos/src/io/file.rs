//! File objects: what a file handle stands for.
//!
//! Key type: [`FileObject`]. The guest body is a `FILE_OBJECT` with its event and its lock in place. A synchronous file
//! serves one request at a time ([`FileObject::try_acquire`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::NtResult;
use abi::io::*;
use abi::ke::{NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT};

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ke::{Dispatcher, event};
use crate::mm::FileBacking;
use crate::ob::object::OBJECT_HEADER_SIZE;
use crate::ob::{self, ObRef, Object, ObjectBody, TypeInfo};
use crate::ustr::UnicodeString;

use super::completion::IoCompletion;
use super::device::{Device, FILE_ACCESS, OpenFile};
use super::directory::Scan;

/// Where `FILE_OBJECT.Lock` lies: what waits for a synchronous file.
const LOCK_AT: u64 = 0x80;
/// Where `FILE_OBJECT.Event` lies: what a wait for the file waits for.
const EVENT_AT: u64 = 0x98;

/// Bits of the create options that `FileModeInformation` shows.
const MODE_BITS: u32 = FILE_WRITE_THROUGH
    | FILE_SEQUENTIAL_ONLY
    | FILE_NO_INTERMEDIATE_BUFFERING
    | FILE_SYNCHRONOUS_IO_ALERT
    | FILE_SYNCHRONOUS_IO_NONALERT
    | FILE_DELETE_ON_CLOSE;

/// An open file.
pub struct FileObject {
    /// The device it was opened on.
    pub device: ObRef<Device>,
    /// The driver's part.
    pub ops: Box<dyn OpenFile>,
    mode: AtomicU32,
    /// Position, completion port, directory scan.
    pub state: Guarded<FileState>,
}

/// The part of a file object that changes.
#[derive(Default)]
pub struct FileState {
    /// The current position.
    pub position: i64,
    /// Where completions are posted, and under which key.
    pub port: Option<(ObRef<IoCompletion>, u64)>,
    /// `FILE_SKIP_…` bits.
    pub notification: u32,
    /// How far a directory has been read.
    pub scan: Option<Scan>,
    busy: bool,
}

impl ObjectBody for FileObject {
    const TYPE: &'static TypeInfo =
        &TypeInfo { name: "File", access: FILE_ACCESS, body_size: 0xD8 };
    const DISPATCHER: Option<u64> = Some(EVENT_AT);

    fn last_handle_closed(file: &ObRef<Self>, k: &mut Kernel) {
        super::irp::cancel(k, |irp| Arc::ptr_eq(&irp.file, file));
        file.ops.cleanup(k);
    }

    fn query_name(file: &ObRef<Self>, _k: &Kernel) -> Option<UnicodeString> {
        // DEVIATION: NT shows the device, `\Device\HarddiskVolume1\a`, and the Win32 layer asks the mount manager for
        // the letter. The userland's `GetFinalPathNameByHandle` takes nothing but a name with the letter.
        let Some(mut name) = file.device.drive.open().clone() else {
            return Some(file.full_name());
        };
        name.0.extend_from_slice(&file.ops.name());
        Some(name)
    }
}

impl FileObject {
    /// The full name: device and name on it.
    pub fn full_name(&self) -> UnicodeString {
        let mut name = self.device.name.clone();
        name.0.extend_from_slice(&self.ops.name());
        name
    }

    /// The create options that `FileModeInformation` shows.
    pub fn mode(&self) -> u32 {
        self.mode.load(Ordering::Relaxed)
    }

    /// Replaces them, as `FileModeInformation` does: the kind of synchronization stays.
    pub fn set_mode(&self, mode: u32) {
        let fixed = FILE_SYNCHRONOUS_IO_ALERT
            | FILE_SYNCHRONOUS_IO_NONALERT
            | FILE_NO_INTERMEDIATE_BUFFERING
            | FILE_DELETE_ON_CLOSE;
        let kept = self.mode() & fixed;
        self.mode.store(kept | (mode & MODE_BITS & !fixed), Ordering::Relaxed);
    }

    /// True if requests end before their service returns.
    pub fn is_synchronous(&self) -> bool {
        self.mode() & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT) != 0
    }

    /// True if APCs and alerts end a synchronous request.
    pub fn is_alertable(&self) -> bool {
        self.mode() & FILE_SYNCHRONOUS_IO_ALERT != 0
    }

    /// The device type: the instance's own or its device's.
    pub fn device_type(&self) -> u32 {
        self.ops.device_type().unwrap_or(self.device.device_type)
    }

    /// The content as sections see it.
    pub fn section_backing(&self) -> NtResult<Arc<dyn FileBacking>> {
        self.ops.section_backing()
    }

    /// Moves the position of a synchronous file after a request.
    pub fn moved_to(&self, position: u64) {
        if self.is_synchronous() {
            self.state.open().position = i64::try_from(position).unwrap_or(i64::MAX);
        }
    }

    /// Takes the lock of a synchronous file; false if another request has it.
    pub fn try_acquire(&self) -> bool {
        let mut state = self.state.open();
        !std::mem::replace(&mut state.busy, true)
    }
}

/// Makes a file object of an open instance.
pub fn create_object(
    k: &mut Kernel,
    device: &ObRef<Device>,
    ops: Box<dyn OpenFile>,
    options: u32,
) -> NtResult<ObRef<FileObject>> {
    let body = FileObject {
        device: device.clone(),
        ops,
        mode: AtomicU32::new(options & MODE_BITS),
        state: Guarded::default(),
    };
    let file = ob::create(k, body)?;
    event_of(&file).initialize(&k.ram, NOTIFICATION_EVENT, 0);
    lock_of(&file).initialize(&k.ram, SYNCHRONIZATION_EVENT, 0);
    file.ops.opened(&file);
    Ok(file)
}

/// The event of a file: set when a request completes that named no event of its own.
pub fn event_of(file: &Object<FileObject>) -> Dispatcher {
    Dispatcher::at(file.header.block.pa_at(OBJECT_HEADER_SIZE + EVENT_AT))
}

/// What a thread waits for that finds a synchronous file busy.
pub fn lock_of(file: &Object<FileObject>) -> Dispatcher {
    Dispatcher::at(file.header.block.pa_at(OBJECT_HEADER_SIZE + LOCK_AT))
}

/// Gives the lock of a synchronous file back.
pub fn release(k: &mut Kernel, file: &ObRef<FileObject>) {
    file.state.open().busy = false;
    event::ke_set_event(k, lock_of(file), 0);
}
