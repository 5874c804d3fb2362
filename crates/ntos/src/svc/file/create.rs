//! Opening, creating and deleting files by name.

use abi::NtResult;
use abi::io::*;
use abi::ob::{DELETE, IO_STATUS_BLOCK, OBJECT_ATTRIBUTES};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::io::CreateKind;
use crate::io::create::{CreateParameters, PipeParameters, create_file, discard};
use crate::svc::args::HandleValue;
use crate::svc::{In, Out, ServiceCx};

use super::args::{CreateOptions, Disposition, FileAccess, FileAttributes, ShareMode};
use super::write_status;

/// Longest extended attribute buffer that is looked at: NT's own limit.
const MAX_EA: u32 = 0x1_0000;

/// Creates or opens and enters the file in the caller's handle table.
fn open(
    cx: &mut ServiceCx<'_>,
    handle: Out<HandleValue>,
    attributes: Option<In<OBJECT_ATTRIBUTES>>,
    status_block: Out<IO_STATUS_BLOCK>,
    parameters: &CreateParameters,
) -> NtResult {
    handle.probe(cx)?;
    status_block.probe(cx)?;
    let attributes = cx.require_attributes(attributes)?;
    let process = cx.process();
    let opened = create_file(cx.k, process, &attributes, parameters)?;
    let value = match cx.open_handle(&opened.file, opened.access, attributes.flags) {
        Ok(value) => value,
        Err(status) => {
            discard(cx.k, &opened.file);
            return Err(status);
        }
    };
    let stored = handle
        .write(cx, &HandleValue(value))
        .and_then(|()| write_status(cx, status_block, STATUS_SUCCESS, opened.information));
    if let Err(status) = stored {
        crate::ob::close(cx.k, process, value)?;
        return Err(status);
    }
    Ok(STATUS_SUCCESS)
}

/// Creates a file or directory, or opens an existing file, directory or device.
///
/// The disposition says which; the status block's information says what happened. Requires of the file the rights asked
/// for, and share modes that go with those of the other opens (`STATUS_SHARING_VIOLATION`).
#[service]
fn nt_create_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Out<HandleValue>,
    desired_access: FileAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    io_status_block: Out<IO_STATUS_BLOCK>,
    allocation_size: Option<In<i64>>,
    file_attributes: FileAttributes,
    share_access: ShareMode,
    create_disposition: Disposition,
    create_options: CreateOptions,
    ea_buffer: Va,
    ea_length: u32,
) -> NtResult {
    let allocation = match allocation_size {
        Some(size) => u64::try_from(size.read(cx)?).map_err(|_| STATUS_INVALID_PARAMETER)?,
        None => 0,
    };
    let ea = if ea_buffer.0 == 0 || ea_length == 0 {
        Vec::new()
    } else if ea_length > MAX_EA {
        return Err(STATUS_EA_TOO_LARGE);
    } else {
        cx.read_vec(ea_buffer, ea_length as usize)?
    };
    let parameters = CreateParameters {
        access: desired_access.0,
        share: share_access.0,
        disposition: create_disposition.0,
        options: create_options.0,
        attributes: file_attributes.0,
        allocation,
        ea,
        kind: CreateKind::File,
    };
    open(cx, file_handle, object_attributes, io_status_block, &parameters)
}

/// Opens an existing file, directory or device.
#[service]
fn nt_open_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Out<HandleValue>,
    desired_access: FileAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    io_status_block: Out<IO_STATUS_BLOCK>,
    share_access: ShareMode,
    open_options: CreateOptions,
) -> NtResult {
    let parameters = CreateParameters {
        access: desired_access.0,
        share: share_access.0,
        disposition: FILE_OPEN,
        options: open_options.0,
        ..CreateParameters::default()
    };
    open(cx, file_handle, object_attributes, io_status_block, &parameters)
}

/// Creates an instance of a named pipe and opens its server end.
#[service]
fn nt_create_named_pipe_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Out<HandleValue>,
    desired_access: FileAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    io_status_block: Out<IO_STATUS_BLOCK>,
    share_access: ShareMode,
    create_disposition: Disposition,
    create_options: CreateOptions,
    named_pipe_type: u32,
    read_mode: u32,
    completion_mode: u32,
    maximum_instances: u32,
    inbound_quota: u32,
    outbound_quota: u32,
    default_timeout: Option<In<i64>>,
) -> NtResult {
    let default_timeout = match default_timeout {
        Some(timeout) => timeout.read(cx)?,
        None => 0,
    };
    // Zero is 50 milliseconds, as `CreateNamedPipe` documents; anonymous pipes pass it here.
    let default_timeout = if default_timeout == 0 { -500_000 } else { default_timeout };
    // A timeout is relative, and a byte pipe cannot be read as messages.
    if default_timeout > 0
        || named_pipe_type & !3 != 0
        || read_mode > 1
        || completion_mode > 1
        || (named_pipe_type & 1 == 0 && read_mode == 1)
        || maximum_instances == 0
        || share_access.0 & !(FILE_SHARE_READ | FILE_SHARE_WRITE) != 0
    {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let kind = CreateKind::NamedPipe(PipeParameters {
        message_type: named_pipe_type & 1 != 0,
        message_read: read_mode != 0,
        nonblocking: completion_mode != 0,
        max_instances: maximum_instances,
        inbound_quota,
        outbound_quota,
        default_timeout,
    });
    let parameters = CreateParameters {
        access: desired_access.0,
        share: share_access.0,
        disposition: create_disposition.0,
        options: create_options.0,
        kind,
        ..CreateParameters::default()
    };
    open(cx, file_handle, object_attributes, io_status_block, &parameters)
}

/// Creates a mailslot.
#[service(Partial("mailslots are not implemented"))]
fn nt_create_mailslot_file(
    cx: &mut ServiceCx<'_>,
    _file_handle: Out<HandleValue>,
    _desired_access: FileAccess,
    _object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    _io_status_block: Out<IO_STATUS_BLOCK>,
    _create_options: CreateOptions,
    _mailslot_quota: u32,
    _maximum_message_size: u32,
    _read_timeout: Option<In<i64>>,
) -> NtResult {
    cx.k.notice_once("NtCreateMailslotFile: mailslots are not implemented".to_owned());
    Err(STATUS_NOT_IMPLEMENTED)
}

/// Deletes a file by name: opens it for deletion, marks it, and closes it.
#[service]
fn nt_delete_file(
    cx: &mut ServiceCx<'_>,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    let attributes = cx.require_attributes(object_attributes)?;
    let parameters = CreateParameters {
        access: DELETE,
        share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        disposition: FILE_OPEN,
        options: FILE_OPEN_REPARSE_POINT | FILE_OPEN_FOR_BACKUP_INTENT,
        ..CreateParameters::default()
    };
    let process = cx.process();
    let opened = create_file(cx.k, process, &attributes, &parameters)?;
    let result = opened.file.ops.set_disposition(cx.k, FILE_DISPOSITION_DELETE);
    discard(cx.k, &opened.file);
    result.map(|()| STATUS_SUCCESS)
}
