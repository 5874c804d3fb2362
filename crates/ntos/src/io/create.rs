//! `IoCreateFile`: from a name to a file object.

use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::status_table::*;

use crate::Kernel;
use crate::mm::FileBacking;
use crate::ob::{self, Lookup, ObRef, downcast};
use crate::ps::Process;
use crate::svc::ObjectAttributes;
use crate::ustr::UnicodeString;

use super::device::{Created, Device, FILE_ACCESS};
use super::file::{FileObject, create_object};

/// What kind of object a create makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CreateKind {
    /// A file, directory or device: `NtCreateFile`.
    #[default]
    File,
    /// The server end of a named pipe: `NtCreateNamedPipeFile`.
    NamedPipe(PipeParameters),
}

/// What `NtCreateNamedPipeFile` says of its pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeParameters {
    /// Written as messages.
    pub message_type: bool,
    /// Read as messages.
    pub message_read: bool,
    /// `FILE_PIPE_COMPLETE_OPERATION`: nothing waits.
    pub nonblocking: bool,
    /// Most instances, `u32::MAX` without limit.
    pub max_instances: u32,
    /// Room for what clients write.
    pub inbound_quota: u32,
    /// Room for what the server writes.
    pub outbound_quota: u32,
    /// How long `WaitNamedPipe` waits by default, 100 ns, negative.
    pub default_timeout: i64,
}

/// An open or create request.
pub struct CreateRequest {
    /// What follows the device's name, or the name relative to `related`.
    pub path: UnicodeString,
    /// The file that `RootDirectory` named.
    pub related: Option<ObRef<FileObject>>,
    /// Rights asked for, generic ones mapped.
    pub access: u32,
    /// `FILE_SHARE_…`.
    pub share: u32,
    /// `FILE_OPEN`, `FILE_CREATE`, ….
    pub disposition: u32,
    /// `FILE_DIRECTORY_FILE`, ….
    pub options: u32,
    /// Attributes of a new file.
    pub attributes: u32,
    /// Bytes to reserve for a new file.
    pub allocation: u64,
    /// The extended attribute buffer.
    pub ea: Vec<u8>,
    /// Names ignore case.
    pub ignore_case: bool,
    /// What is made.
    pub kind: CreateKind,
    /// Who asks.
    pub process: ObRef<Process>,
}

/// The part of a request that does not come from the object attributes.
#[derive(Clone, Debug, Default)]
pub struct CreateParameters {
    /// `DesiredAccess`.
    pub access: u32,
    /// `ShareAccess`.
    pub share: u32,
    /// `CreateDisposition`.
    pub disposition: u32,
    /// `CreateOptions`.
    pub options: u32,
    /// `FileAttributes`.
    pub attributes: u32,
    /// `AllocationSize`.
    pub allocation: u64,
    /// The extended attribute buffer.
    pub ea: Vec<u8>,
    /// What is made.
    pub kind: CreateKind,
}

/// Fails for parameters that NT refuses before it looks at the name.
fn check(parameters: &CreateParameters) -> NtResult<()> {
    let options = parameters.options;
    let synchronous = options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT);
    let both = FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT;
    let directory_options = FILE_DIRECTORY_FILE
        | FILE_SYNCHRONOUS_IO_ALERT
        | FILE_SYNCHRONOUS_IO_NONALERT
        | FILE_WRITE_THROUGH
        | FILE_OPEN_FOR_BACKUP_INTENT
        | FILE_DELETE_ON_CLOSE
        | FILE_OPEN_FOR_FREE_SPACE_QUERY
        | FILE_OPEN_BY_FILE_ID
        | FILE_NO_COMPRESSION
        | FILE_OPEN_REPARSE_POINT
        | FILE_OPEN_NO_RECALL
        | FILE_COMPLETE_IF_OPLOCKED
        | FILE_OPEN_REQUIRING_OPLOCK
        | FILE_DISALLOW_EXCLUSIVE;
    let is_directory = options & FILE_DIRECTORY_FILE != 0;
    let invalid = options & !FILE_VALID_OPTION_FLAGS != 0
        || parameters.share & !7 != 0
        || parameters.disposition > FILE_OVERWRITE_IF
        || synchronous == both
        || (synchronous != 0 && parameters.access & abi::ob::SYNCHRONIZE == 0)
        || (options & FILE_DELETE_ON_CLOSE != 0 && parameters.access & abi::ob::DELETE == 0)
        || (is_directory && options & FILE_NON_DIRECTORY_FILE != 0)
        || (is_directory
            && (options & !directory_options != 0
                || !matches!(parameters.disposition, FILE_OPEN | FILE_CREATE | FILE_OPEN_IF)));
    if invalid { Err(STATUS_INVALID_PARAMETER) } else { Ok(()) }
}

/// Finds the device that a name ends at and makes the request to its driver.
pub fn resolve(
    k: &mut Kernel,
    process: &ObRef<Process>,
    attributes: &ObjectAttributes,
    parameters: &CreateParameters,
) -> NtResult<(ObRef<Device>, CreateRequest)> {
    let root = ob::root_of(process, attributes)?;
    let empty = UnicodeString::default();
    let name = attributes.name.as_ref().unwrap_or(&empty);
    if name.is_empty() && root.is_none() {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    let options = attributes.lookup_options();
    let (object, path) = match ob::lookup(k, root, name, options)? {
        Lookup::Parse { object, rest } => (object, rest),
        Lookup::Missing { .. } => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
        Lookup::Found(_) => return Err(STATUS_OBJECT_TYPE_MISMATCH),
    };
    let (device, related) = if object.object_type().name == "File" {
        let file = downcast::<FileObject>(object)?;
        (file.device.clone(), Some(file))
    } else {
        (downcast::<Device>(object)?, None)
    };
    let request = CreateRequest {
        path,
        related,
        access: FILE_ACCESS.map(parameters.access),
        share: parameters.share,
        disposition: parameters.disposition,
        options: parameters.options,
        attributes: parameters.attributes,
        allocation: parameters.allocation,
        ea: parameters.ea.clone(),
        ignore_case: options.ignore_case,
        kind: parameters.kind.clone(),
        process: process.clone(),
    };
    Ok((device, request))
}

/// A file object with what its create reported.
pub struct Opened {
    /// The file.
    pub file: ObRef<FileObject>,
    /// `FILE_OPENED`, ….
    pub information: u64,
    /// The rights granted.
    pub access: u32,
}

/// Opens or creates a file. The caller enters it in a handle table or calls [`discard`].
pub fn create_file(
    k: &mut Kernel,
    process: &ObRef<Process>,
    attributes: &ObjectAttributes,
    parameters: &CreateParameters,
) -> NtResult<Opened> {
    check(parameters)?;
    let (device, request) = resolve(k, process, attributes, parameters)?;
    let driver = device.driver.clone();
    let Created { ops, information, access } = driver.create(k, &device, &request)?;
    let file = create_object(k, &device, ops, parameters.options)?;
    Ok(Opened { file, information, access })
}

/// Opens a file to run: for reading and executing, shared for reading and deleting, as NT opens images.
pub fn open_image_file(
    k: &mut Kernel,
    process: &ObRef<Process>,
    path: &UnicodeString,
) -> NtResult<Arc<dyn FileBacking>> {
    let attributes = ObjectAttributes {
        name: Some(path.clone()),
        flags: abi::ob::OBJ_CASE_INSENSITIVE,
        ..ObjectAttributes::default()
    };
    let parameters = CreateParameters {
        access: FILE_READ_DATA | FILE_EXECUTE | abi::ob::SYNCHRONIZE,
        share: FILE_SHARE_READ | FILE_SHARE_DELETE,
        disposition: FILE_OPEN,
        options: FILE_NON_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT,
        ..CreateParameters::default()
    };
    let opened = create_file(k, process, &attributes, &parameters)?;
    let backing = opened.file.section_backing();
    discard(k, &opened.file);
    backing
}

/// Undoes an open that never became a handle.
pub fn discard(k: &mut Kernel, file: &ObRef<FileObject>) {
    file.ops.cleanup(k);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_options_are_refused() {
        let base = CreateParameters { disposition: FILE_OPEN, ..CreateParameters::default() };
        check(&base).unwrap();
        let with = |access: u32, options: u32, disposition: u32| {
            check(&CreateParameters { access, options, disposition, ..base.clone() })
        };
        let synchronize = abi::ob::SYNCHRONIZE;
        assert!(with(0, FILE_SYNCHRONOUS_IO_NONALERT, FILE_OPEN).is_err());
        with(synchronize, FILE_SYNCHRONOUS_IO_NONALERT, FILE_OPEN).unwrap();
        assert!(with(synchronize, 0x30, FILE_OPEN).is_err());
        assert!(with(0, FILE_DIRECTORY_FILE | FILE_NON_DIRECTORY_FILE, FILE_OPEN).is_err());
        assert!(with(0, FILE_DIRECTORY_FILE, FILE_OVERWRITE).is_err());
        assert!(with(0, FILE_DELETE_ON_CLOSE, FILE_OPEN).is_err());
        assert!(with(0, 0, 6).is_err());
    }
}
