//! Setting file information; extended attributes.

use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::ob::{DELETE, IO_STATUS_BLOCK};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::FromBytes;

use crate::io::device::Device;
use crate::io::{FileObject, IoCompletion};
use crate::ob::{self, Lookup, LookupOptions, ObRef, downcast};
use crate::svc::{Handle, Out, ServiceCx};
use crate::ustr::UnicodeString;

use super::args::FileClass;
use super::{rights, told, with_implied, write_status};

/// The least length and the right that a class requires.
fn required(class: u32) -> Option<(usize, u32)> {
    Some(match class {
        FileClass::FileBasicInformation => (0x28, FILE_WRITE_ATTRIBUTES),
        FileClass::FileRenameInformation | FileClass::FileRenameInformationEx => (0x18, DELETE),
        FileClass::FileLinkInformation | FileClass::FileLinkInformationEx => (0x18, 0),
        FileClass::FileDispositionInformation => (1, DELETE),
        FileClass::FileDispositionInformationEx => (4, DELETE),
        FileClass::FilePositionInformation => (8, 0),
        FileClass::FileModeInformation => (4, 0),
        FileClass::FileAllocationInformation | FileClass::FileEndOfFileInformation => {
            (8, FILE_WRITE_DATA)
        }
        FileClass::FilePipeInformation => (8, FILE_WRITE_ATTRIBUTES),
        FileClass::FileCompletionInformation | FileClass::FileReplaceCompletionInformation => {
            (0x10, 0)
        }
        FileClass::FileIoCompletionNotificationInformation => (4, 0),
        FileClass::FileIoPriorityHintInformation => (4, 0),
        _ => return None,
    })
}

fn value<T: FromBytes>(bytes: &[u8]) -> NtResult<T> {
    T::read_from_prefix(bytes).map(|(value, _)| value).map_err(|_| STATUS_INFO_LENGTH_MISMATCH)
}

/// The device and the name on it that a rename or link names.
fn target(
    cx: &mut ServiceCx<'_>,
    file: &ObRef<FileObject>,
    bytes: &[u8],
) -> NtResult<(ObRef<Device>, UnicodeString, u32)> {
    let head: FILE_RENAME_INFORMATION = value(bytes)?;
    let end = FILE_RENAME_NAME_AT.saturating_add(head.FileNameLength as usize);
    let name = bytes.get(FILE_RENAME_NAME_AT..end).ok_or(STATUS_INFO_LENGTH_MISMATCH)?;
    if name.is_empty() || name.len() % 2 != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let units = name.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let name = UnicodeString(units.collect());
    let backslash = u16::from(b'\\');
    if head.RootDirectory != 0 {
        let root = cx.reference::<FileObject>(Handle(head.RootDirectory), 0)?;
        return Ok((root.device.clone(), join(&root.ops.name(), &name), head.Flags));
    }
    if name.first() == Some(&backslash) {
        let options = LookupOptions { ignore_case: true, open_link: false };
        let Lookup::Parse { object, rest } = ob::lookup(cx.k, None, &name, options)? else {
            return Err(STATUS_OBJECT_NAME_INVALID);
        };
        return Ok((downcast::<Device>(object)?, rest, head.Flags));
    }
    // A plain name stays in the file's directory.
    if name.contains(&backslash) {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    let own = file.ops.name();
    let parent = own.iter().rposition(|unit| *unit == backslash).unwrap_or(0);
    let parent = UnicodeString::from(own.get(..parent).unwrap_or_default());
    Ok((file.device.clone(), join(&parent, &name), head.Flags))
}

fn join(directory: &UnicodeString, name: &UnicodeString) -> UnicodeString {
    let backslash = u16::from(b'\\');
    let mut path = directory.clone();
    if path.last() != Some(&backslash) {
        path.0.push(backslash);
    }
    path.0.extend_from_slice(name);
    path
}

fn set(cx: &mut ServiceCx<'_>, file: &ObRef<FileObject>, class: u32, bytes: &[u8]) -> NtResult<()> {
    match class {
        FileClass::FileBasicInformation => file.ops.set_basic(cx.k, &value(bytes)?),
        FileClass::FileRenameInformation
        | FileClass::FileRenameInformationEx
        | FileClass::FileLinkInformation
        | FileClass::FileLinkInformationEx => {
            let (device, path, flags) = target(cx, file, bytes)?;
            if !Arc::ptr_eq(&device, &file.device) {
                return Err(STATUS_NOT_SAME_DEVICE);
            }
            let extended = matches!(
                class,
                FileClass::FileRenameInformationEx | FileClass::FileLinkInformationEx
            );
            let flags = if extended { flags } else { u32::from(flags & 0xFF != 0) };
            match class {
                FileClass::FileRenameInformation | FileClass::FileRenameInformationEx => {
                    file.ops.rename(cx.k, &path, flags)
                }
                _ => file.ops.link(cx.k, &path, flags),
            }
        }
        FileClass::FileDispositionInformation => {
            let delete: u8 = value(bytes)?;
            file.ops.set_disposition(cx.k, u32::from(delete != 0))
        }
        FileClass::FileDispositionInformationEx => file.ops.set_disposition(cx.k, value(bytes)?),
        FileClass::FilePositionInformation => {
            let position: i64 = value(bytes)?;
            if position < 0 || !file.is_synchronous() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            file.state.open().position = position;
            Ok(())
        }
        FileClass::FileModeInformation => {
            file.set_mode(value(bytes)?);
            Ok(())
        }
        FileClass::FileAllocationInformation | FileClass::FileEndOfFileInformation => {
            let size: i64 = value(bytes)?;
            let size = u64::try_from(size).map_err(|_| STATUS_INVALID_PARAMETER)?;
            if class == FileClass::FileAllocationInformation {
                file.ops.set_allocation(cx.k, size)
            } else {
                file.ops.set_end_of_file(cx.k, size)
            }
        }
        FileClass::FileCompletionInformation => {
            let information: FILE_COMPLETION_INFORMATION = value(bytes)?;
            let access = IO_COMPLETION_MODIFY_STATE;
            let port = cx.reference::<IoCompletion>(Handle(information.Port), access)?;
            let mut state = file.state.open();
            if file.is_synchronous() || state.port.is_some() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            state.port = Some((port, information.Key));
            Ok(())
        }
        FileClass::FileReplaceCompletionInformation => {
            let information: FILE_COMPLETION_INFORMATION = value(bytes)?;
            let port = match Handle(information.Port).non_null() {
                Some(handle) => {
                    let access = IO_COMPLETION_MODIFY_STATE;
                    Some((cx.reference::<IoCompletion>(handle, access)?, information.Key))
                }
                None => None,
            };
            file.state.open().port = port;
            Ok(())
        }
        FileClass::FileIoCompletionNotificationInformation => {
            let flags: u32 = value(bytes)?;
            // Once set, a bit stays.
            file.state.open().notification |= flags & 7;
            Ok(())
        }
        // All requests have one priority here: the hint changes nothing that could be seen.
        FileClass::FileIoPriorityHintInformation => {
            let hint: u32 = value(bytes)?;
            if hint > 4 { Err(STATUS_INVALID_PARAMETER) } else { Ok(()) }
        }
        _ => file.ops.set_own(cx.k, class, bytes),
    }
}

/// Changes something of an open file: times, name, size, position, deletion, completion port.
///
/// Each class requires its own right. `STATUS_INFO_LENGTH_MISMATCH` for a buffer that is too short.
#[service(Partial("classes 4, 10, 11, 13, 14, 16, 19, 20, 23, 30, 41, 43, 61, 64, 65, 72"))]
fn nt_set_information_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
    file_information: Va,
    length: u32,
    file_information_class: FileClass,
) -> NtResult {
    let result = set_information(
        cx,
        file_handle,
        io_status_block,
        file_information,
        length,
        file_information_class,
    );
    told(cx, io_status_block, result)
}

fn set_information(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
    file_information: Va,
    length: u32,
    file_information_class: FileClass,
) -> NtResult {
    let class = file_information_class.0;
    let Some((minimum, access)) = required(class) else {
        cx.k.notice_once(format!("NtSetInformationFile class {class} is not implemented"));
        return Err(STATUS_INVALID_INFO_CLASS);
    };
    if (length as usize) < minimum {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    io_status_block.probe(cx)?;
    let bytes = cx.read_vec(file_information, length as usize)?;
    let file = cx.reference::<FileObject>(file_handle, 0)?;
    if access & !with_implied(rights(cx, file_handle)?) != 0 {
        return Err(STATUS_ACCESS_DENIED);
    }
    set(cx, &file, class, &bytes)?;
    write_status(cx, io_status_block, STATUS_SUCCESS, 0)?;
    Ok(STATUS_SUCCESS)
}

/// Reads extended attributes, of which no file has any: `STATUS_NO_EAS_ON_FILE`.
#[service]
fn nt_query_ea_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    _io_status_block: Out<IO_STATUS_BLOCK>,
    _buffer: Va,
    _length: u32,
    _return_single_entry: bool,
    _ea_list: Va,
    _ea_list_length: u32,
    _ea_index: Option<Out<u32>>,
    _restart_scan: bool,
) -> NtResult {
    let file = cx.reference::<FileObject>(file_handle, FILE_READ_EA)?;
    file.ops.facts(cx.k)?;
    Err(STATUS_NO_EAS_ON_FILE)
}

/// Stores extended attributes, which no volume supports: `STATUS_EAS_NOT_SUPPORTED`.
#[service]
fn nt_set_ea_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    _io_status_block: Out<IO_STATUS_BLOCK>,
    _buffer: Va,
    _length: u32,
) -> NtResult {
    cx.reference::<FileObject>(file_handle, FILE_WRITE_EA)?;
    Err(STATUS_EAS_NOT_SUPPORTED)
}
