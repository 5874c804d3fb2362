//! What a service is given: the kernel, the calling thread, and guarded access to the caller's memory.
//!
//! [`ServiceCx`] is for synchronous stretches and borrows the kernel under the executive lock. [`AsyncCx`] is for
//! `async` services: [`AsyncCx::with`] opens the kernel for one stretch, so nothing stays borrowed across an await.

use std::sync::Arc;

use abi::NtResult;
use abi::ob::*;
use abi::status_table::*;
use guest_mem::{Scalar, Va};
use parking_lot::Mutex;

use crate::Kernel;
use crate::ob::{AnyRef, LookupOptions, ObRef, ObjectBody, downcast};
use crate::ps::{Process, Thread};
use crate::ustr::UnicodeString;

use super::Handle;
use super::args::HandleValue;

/// Who called: the previous mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Guest kernel code: addresses and handles are trusted.
    Kernel,
    /// User code: addresses are probed.
    User,
}

/// First address that user mode cannot use (`MmHighestUserAddress` + 1).
pub const USER_END: u64 = 0x7FFF_FFFF_0000;

/// The kernel behind the executive lock.
pub struct Executive {
    kernel: Mutex<Kernel>,
}

impl Executive {
    /// Wraps a booted kernel.
    pub fn new(kernel: Kernel) -> Arc<Self> {
        Arc::new(Executive { kernel: Mutex::new(kernel) })
    }

    /// Runs one synchronous stretch under the executive lock.
    pub fn with<R>(&self, stretch: impl FnOnce(&mut Kernel) -> R) -> R {
        stretch(&mut self.kernel.lock())
    }
}

/// The context of one synchronous stretch of a service.
pub struct ServiceCx<'a> {
    /// The kernel, held by the executive lock.
    pub k: &'a mut Kernel,
    /// The calling thread.
    pub thread: &'a ObRef<Thread>,
    /// The previous mode.
    pub mode: Mode,
}

/// The context of a service that may wait.
#[derive(Clone)]
pub struct AsyncCx {
    /// The kernel.
    pub executive: Arc<Executive>,
    /// The calling thread.
    pub thread: ObRef<Thread>,
    /// The previous mode.
    pub mode: Mode,
}

impl AsyncCx {
    /// Opens the kernel for one stretch.
    pub fn with<R>(&self, stretch: impl FnOnce(&mut ServiceCx<'_>) -> R) -> R {
        self.executive.with(|k| {
            crate::se::speak_for(k, &self.thread);
            stretch(&mut ServiceCx { k, thread: &self.thread, mode: self.mode })
        })
    }

    /// The calling process.
    pub fn process(&self) -> &ObRef<Process> {
        &self.thread.process
    }
}

/// Captured `OBJECT_ATTRIBUTES`.
#[derive(Clone, Debug, Default)]
pub struct ObjectAttributes {
    /// `RootDirectory`.
    pub root: Handle,
    /// `ObjectName`, if there is one.
    pub name: Option<UnicodeString>,
    /// `Attributes`.
    pub flags: u32,
    /// The security descriptor, if one was given.
    pub descriptor: Option<Arc<sd::SecurityDescriptor>>,
    /// Address of the security quality of service, or 0.
    pub quality_of_service: Va,
}

impl ObjectAttributes {
    /// The lookup that the flags ask for.
    pub fn lookup_options(&self) -> LookupOptions {
        LookupOptions {
            ignore_case: self.flags & OBJ_CASE_INSENSITIVE != 0,
            open_link: self.flags & OBJ_OPENLINK != 0,
        }
    }
}

impl<'a> ServiceCx<'a> {
    /// The calling process.
    pub fn process(&self) -> &'a ObRef<Process> {
        &self.thread.process
    }

    fn probe(&self, at: Va, len: usize) -> NtResult<()> {
        if self.mode == Mode::Kernel {
            return Ok(());
        }
        match at.0.checked_add(len as u64) {
            Some(end) if end <= USER_END => Ok(()),
            _ => Err(STATUS_ACCESS_VIOLATION),
        }
    }

    /// Reads a value from the caller's memory.
    pub fn read<T: Scalar>(&mut self, at: Va) -> NtResult<T> {
        // `Scalar` gives shared bytes only, so the copy goes through a buffer.
        let mut small = [0u8; 256];
        let mut large = Vec::new();
        let bytes = match small.get_mut(..size_of::<T>()) {
            Some(bytes) => bytes,
            None => {
                large.resize(size_of::<T>(), 0);
                large.as_mut_slice()
            }
        };
        self.read_bytes(at, bytes)?;
        T::read_from_bytes(bytes).map_err(|_| STATUS_INTERNAL_ERROR)
    }

    /// Writes a value to the caller's memory.
    pub fn write<T: Scalar>(&mut self, at: Va, value: &T) -> NtResult<()> {
        self.write_bytes(at, value.as_bytes())
    }

    /// Reads bytes from the caller's memory.
    pub fn read_bytes(&mut self, at: Va, into: &mut [u8]) -> NtResult<()> {
        self.probe(at, into.len())?;
        crate::mm::copy_from(self.k, &self.thread.process, at, into)
    }

    /// Reads `len` bytes of the caller's memory; `STATUS_INSUFFICIENT_RESOURCES` beyond 256 MiB.
    pub fn read_vec(&mut self, at: Va, len: usize) -> NtResult<Vec<u8>> {
        self.probe(at, len)?;
        if len > 256 << 20 {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let mut bytes = vec![0; len];
        self.read_bytes(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes bytes to the caller's memory.
    pub fn write_bytes(&mut self, at: Va, from: &[u8]) -> NtResult<()> {
        self.probe(at, from.len())?;
        crate::mm::copy_to(self.k, &self.thread.process, at, from)
    }

    /// Fails if the range could not be written now.
    pub fn probe_write(&mut self, at: Va, len: usize) -> NtResult<()> {
        self.probe(at, len)?;
        crate::mm::probe_write(self.k, &self.thread.process, at, len)
    }

    /// Captures the text of a counted string.
    pub fn capture_string(&mut self, string: &UNICODE_STRING) -> NtResult<UnicodeString> {
        if !string.Length.is_multiple_of(2) {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        let bytes = self.read_vec(Va(string.Buffer), usize::from(string.Length))?;
        let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
        Ok(UnicodeString(units.collect()))
    }

    /// Captures a `UNICODE_STRING` that a pointer names.
    pub fn capture_string_at(&mut self, at: Va) -> NtResult<UnicodeString> {
        let string = self.read::<UNICODE_STRING>(at)?;
        self.capture_string(&string)
    }

    /// Captures object attributes; null gives `None`.
    pub fn capture_attributes(
        &mut self,
        pointer: Option<super::In<OBJECT_ATTRIBUTES>>,
    ) -> NtResult<Option<ObjectAttributes>> {
        let Some(pointer) = pointer else { return Ok(None) };
        let raw = pointer.read(self)?;
        if raw.Length as usize != size_of::<OBJECT_ATTRIBUTES>()
            || raw.Attributes & !OBJ_VALID_ATTRIBUTES != 0
        {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let name = match raw.ObjectName {
            0 => None,
            at => Some(self.capture_string_at(Va(at))?),
        };
        let descriptor = crate::se::capture::optional_descriptor(self, Va(raw.SecurityDescriptor))?;
        Ok(Some(ObjectAttributes {
            root: Handle(raw.RootDirectory),
            name,
            flags: raw.Attributes,
            descriptor: descriptor.map(Arc::new),
            quality_of_service: Va(raw.SecurityQualityOfService),
        }))
    }

    /// [`ServiceCx::capture_attributes`] where they are required.
    pub fn require_attributes(
        &mut self,
        pointer: Option<super::In<OBJECT_ATTRIBUTES>>,
    ) -> NtResult<ObjectAttributes> {
        self.capture_attributes(pointer)?.ok_or(STATUS_INVALID_PARAMETER)
    }

    /// The object of a handle, of any type, if the handle grants `access`.
    pub fn reference_any(&mut self, handle: Handle, access: u32) -> NtResult<AnyRef> {
        match handle {
            Handle::CURRENT_PROCESS => return Ok(self.thread.process.clone()),
            Handle::CURRENT_THREAD => return Ok(self.thread.clone()),
            _ => {}
        }
        let handles = self.thread.process.handles.open();
        let entry = handles.get(handle.0)?;
        if self.mode == Mode::User && entry.access & access != access {
            return Err(STATUS_ACCESS_DENIED);
        }
        Ok(entry.object.clone())
    }

    /// The object of a handle, if it has the type and the handle grants `access`.
    pub fn reference<T: ObjectBody>(&mut self, handle: Handle, access: u32) -> NtResult<ObRef<T>> {
        // NT tells a wrong type before missing access.
        let object = downcast::<T>(self.reference_any(handle, 0)?)?;
        self.reference_any(handle, access)?;
        Ok(object)
    }

    /// The object of a handle that grants at least one of `rights`: for queries that a limited right is enough for.
    pub fn reference_granting_any<T: ObjectBody>(
        &mut self,
        handle: Handle,
        rights: u32,
    ) -> NtResult<ObRef<T>> {
        let object = self.reference::<T>(handle, 0)?;
        if self.granted_access(handle)? & rights == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        Ok(object)
    }

    /// The access that a handle grants.
    pub fn granted_access(&self, handle: Handle) -> NtResult<u32> {
        match handle {
            Handle::CURRENT_PROCESS | Handle::CURRENT_THREAD => Ok(u32::MAX),
            _ => Ok(self.thread.process.handles.open().get(handle.0)?.access),
        }
    }

    /// Enters an object in the caller's handle table after an access check.
    pub fn open_handle<T: ObjectBody>(
        &mut self,
        object: &ObRef<T>,
        desired: u32,
        attributes: u32,
    ) -> NtResult<u64> {
        crate::ob::open_handle(self.k, &self.thread.process, object, desired, attributes)
    }

    /// Opens a handle and stores it for the caller; a fault closes it again.
    pub fn give_handle<T: ObjectBody>(
        &mut self,
        out: super::Out<HandleValue>,
        object: &ObRef<T>,
        desired: u32,
        attributes: u32,
    ) -> NtResult {
        let handle = self.open_handle(object, desired, attributes)?;
        if let Err(fault) = out.write(self, &HandleValue(handle)) {
            crate::ob::close(self.k, &self.thread.process, handle)?;
            return Err(fault);
        }
        Ok(STATUS_SUCCESS)
    }

    /// Trace text of a handle: value, type and name.
    pub fn show_handle(&mut self, handle: Handle) -> String {
        match handle {
            Handle(0) => return "NULL".to_owned(),
            Handle::CURRENT_PROCESS => return "CurrentProcess".to_owned(),
            Handle::CURRENT_THREAD => return "CurrentThread".to_owned(),
            _ => {}
        }
        let object = self.thread.process.handles.open().get(handle.0).map(|e| e.object.clone());
        match object {
            Ok(object) => {
                let name = crate::trace::object_text(self.k, &object);
                format!("{:#x}<{name}>", handle.0)
            }
            Err(_) if (handle.0 as i64) < 0 => format!("{}", handle.0 as i64),
            Err(_) => format!("{:#x}", handle.0),
        }
    }
}
