//! Byte-range locks.

use abi::NtResult;
use abi::io::{FILE_READ_DATA, FILE_WRITE_DATA};
use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::io::irp::Request;
use crate::io::lock::LockOwner;
use crate::svc::{AsyncCx, Handle, In, Out, ServiceCx};

use super::{Asked, rights, submit, write_status};

/// Locks a range of a file, waiting for it unless told otherwise.
///
/// Requires `FILE_READ_DATA` or `FILE_WRITE_DATA`. `STATUS_LOCK_NOT_GRANTED` if the range is locked and
/// `fail_immediately` is set.
#[service]
async fn nt_lock_file(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Option<Out<IO_STATUS_BLOCK>>,
    byte_offset: In<i64>,
    length: In<i64>,
    key: u32,
    fail_immediately: bool,
    exclusive_lock: bool,
) -> NtResult {
    // DEVIATION: NT refuses a null status block. The userland's `LockFile` and `UnlockFile` pass one.
    let status_block = io_status_block.unwrap_or(Out::new(Va(0)));
    let asked = Asked { file: file_handle, event, apc_routine, apc_context, status_block };
    let (file, target, offset, length) = cx.with(|cx| -> NtResult<_> {
        let (file, target) = match io_status_block {
            Some(_) => asked.capture(cx, 0)?,
            None => asked.capture_without_block(cx, 0)?,
        };
        if rights(cx, file_handle)? & (FILE_READ_DATA | FILE_WRITE_DATA) == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        Ok((file, target, byte_offset.read(cx)? as u64, length.read(cx)? as u64))
    })?;
    submit(
        cx,
        &file,
        target,
        |_, _| {
            let exclusive = exclusive_lock;
            Ok(Request::Lock { offset, length, key, fail_immediately, exclusive })
        },
        |cx, file, irp| file.ops.lock(cx.k, irp),
    )
    .await
}

/// Unlocks a range that was locked with the same handle, key and extent; else `STATUS_RANGE_NOT_LOCKED`.
#[service]
fn nt_unlock_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Option<Out<IO_STATUS_BLOCK>>,
    byte_offset: In<i64>,
    length: In<i64>,
    key: u32,
) -> NtResult {
    let file = cx.reference::<crate::io::FileObject>(file_handle, 0)?;
    if let Some(status_block) = io_status_block {
        status_block.probe(cx)?;
    }
    let (offset, length) = (byte_offset.read(cx)? as u64, length.read(cx)? as u64);
    let owner = LockOwner { file: file.header.id, process: cx.process().pid, key };
    file.ops.unlock(cx.k, &file, owner, offset, length)?;
    if let Some(status_block) = io_status_block {
        write_status(cx, status_block, STATUS_SUCCESS, 0)?;
    }
    Ok(STATUS_SUCCESS)
}
