//! Reading, writing and flushing.

use abi::NtResult;
use abi::io::*;
use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::io::FileObject;
use crate::io::irp::Request;
use crate::ob::ObRef;
use crate::svc::{AsyncCx, Handle, In, Out, ServiceCx};

use super::{Asked, rights, submit, submit_and_wait, user_buffer};

/// Where a request starts: its own offset or the file's position; `None` is the end of the file.
fn start_of(file: &ObRef<FileObject>, offset: Option<i64>, writes: bool) -> NtResult<Option<u64>> {
    if !file.ops.is_seekable() {
        return Ok(Some(0));
    }
    match offset {
        Some(FILE_WRITE_TO_END_OF_FILE) if writes => Ok(None),
        None | Some(FILE_USE_FILE_POINTER_POSITION) => {
            if !file.is_synchronous() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            Ok(Some(file.state.open().position.max(0) as u64))
        }
        Some(offset) => Ok(Some(u64::try_from(offset).map_err(|_| STATUS_INVALID_PARAMETER)?)),
    }
}

fn captured<T: crate::svc::GuestValue + Copy>(
    cx: &mut ServiceCx<'_>,
    pointer: Option<In<T>>,
) -> NtResult<Option<T>> {
    pointer.map(|pointer| pointer.read(cx)).transpose()
}

/// Reads from a file, pipe or device.
///
/// Requires `FILE_READ_DATA`. At the end of a file the status is `STATUS_END_OF_FILE`. A synchronous file is read at its
/// position when no offset is given, and the position moves.
#[service]
async fn nt_read_file(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    buffer: Va,
    length: u32,
    byte_offset: Option<In<i64>>,
    key: Option<In<u32>>,
) -> NtResult {
    let asked =
        Asked { file: file_handle, event, apc_routine, apc_context, status_block: io_status_block };
    let (file, target, buffer, offset, key) = cx.with(|cx| -> NtResult<_> {
        let (file, target) = asked.capture(cx, FILE_READ_DATA)?;
        let buffer = user_buffer(cx, buffer, length)?;
        Ok((file, target, buffer, captured(cx, byte_offset)?, captured(cx, key)?))
    })?;
    submit(
        cx,
        &file,
        target,
        |_, file| {
            let offset = start_of(file, offset, false)?.unwrap_or_default();
            Ok(Request::Read { buffer, offset, key: key.unwrap_or_default() })
        },
        |cx, file, irp| file.ops.read(cx.k, irp),
    )
    .await
}

/// Writes to a file, pipe or device.
///
/// Requires `FILE_WRITE_DATA` or `FILE_APPEND_DATA`; with the latter alone, and with offset -1, the bytes go to the end
/// of the file. A synchronous file is written at its position when no offset is given, and the position moves.
#[service]
async fn nt_write_file(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    buffer: Va,
    length: u32,
    byte_offset: Option<In<i64>>,
    key: Option<In<u32>>,
) -> NtResult {
    let asked =
        Asked { file: file_handle, event, apc_routine, apc_context, status_block: io_status_block };
    let (file, target, buffer, offset, key) = cx.with(|cx| -> NtResult<_> {
        let (file, target) = asked.capture(cx, 0)?;
        let granted = rights(cx, file_handle)?;
        if granted & (FILE_WRITE_DATA | FILE_APPEND_DATA) == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        let buffer = user_buffer(cx, buffer, length)?;
        let mut offset = captured(cx, byte_offset)?;
        if granted & FILE_WRITE_DATA == 0 && file.ops.is_seekable() {
            offset = Some(FILE_WRITE_TO_END_OF_FILE);
        }
        Ok((file, target, buffer, offset, captured(cx, key)?))
    })?;
    submit(
        cx,
        &file,
        target,
        |_, file| {
            let offset = start_of(file, offset, true)?;
            Ok(Request::Write { buffer, offset, key: key.unwrap_or_default() })
        },
        |cx, file, irp| file.ops.write(cx.k, irp),
    )
    .await
}

async fn flush(cx: &AsyncCx, file: Handle, status_block: Out<IO_STATUS_BLOCK>) -> NtResult {
    let asked = Asked { file, event: Handle(0), apc_routine: Va(0), apc_context: 0, status_block };
    let (file, target) = cx.with(|cx| -> NtResult<_> {
        let captured = asked.capture(cx, 0)?;
        if rights(cx, file)? & (FILE_WRITE_DATA | FILE_APPEND_DATA) == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        Ok(captured)
    })?;
    submit_and_wait(
        cx,
        &file,
        target,
        |_, _| Ok(Request::Flush),
        |cx, file, irp| file.ops.flush(cx.k, irp),
    )
    .await
}

/// Brings what was written to a file to the disk, or waits until the other end of a pipe has read it.
///
/// Requires `FILE_WRITE_DATA` or `FILE_APPEND_DATA`.
#[service]
async fn nt_flush_buffers_file(
    cx: &AsyncCx,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
) -> NtResult {
    flush(cx, file_handle, io_status_block).await
}

/// [`nt_flush_buffers_file`] with flags, all of which ask for less than a full flush.
#[service]
async fn nt_flush_buffers_file_ex(
    cx: &AsyncCx,
    file_handle: Handle,
    flags: u32,
    _parameters: Va,
    _parameters_size: u32,
    io_status_block: Out<IO_STATUS_BLOCK>,
) -> NtResult {
    if flags & !0xF != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    flush(cx, file_handle, io_status_block).await
}
