//! Cancelling requests in flight.

use std::sync::Arc;

use abi::NtResult;
use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::io::FileObject;
use crate::io::irp;
use crate::ps::Thread;
use crate::svc::{Handle, Out, ServiceCx};

use super::write_status;

/// Right to a thread that cancelling its synchronous requests needs.
const THREAD_TERMINATE: u32 = 1;

/// Cancels the requests that the calling thread has in flight on a file.
#[service]
fn nt_cancel_io_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
) -> NtResult {
    let file = cx.reference::<FileObject>(file_handle, 0)?;
    io_status_block.probe(cx)?;
    let thread = cx.thread;
    irp::cancel(cx.k, |irp| Arc::ptr_eq(&irp.file, &file) && Arc::ptr_eq(&irp.thread, thread));
    write_status(cx, io_status_block, STATUS_SUCCESS, 0)?;
    Ok(STATUS_SUCCESS)
}

/// Cancels the requests that the calling process has in flight on a file, or the one with that status block.
///
/// `STATUS_NOT_FOUND` if there is none.
#[service]
fn nt_cancel_io_file_ex(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_request_to_cancel: Va,
    io_status_block: Out<IO_STATUS_BLOCK>,
) -> NtResult {
    let file = cx.reference::<FileObject>(file_handle, 0)?;
    io_status_block.probe(cx)?;
    let process = cx.process();
    let count = irp::cancel(cx.k, |irp| {
        Arc::ptr_eq(&irp.file, &file)
            && Arc::ptr_eq(&irp.thread.process, process)
            && (io_request_to_cancel.0 == 0 || irp.target.status_block == io_request_to_cancel)
    });
    let status = if count == 0 { STATUS_NOT_FOUND } else { STATUS_SUCCESS };
    write_status(cx, io_status_block, status, 0)?;
    status.into_result()
}

/// Cancels the synchronous request that a thread waits in.
///
/// Requires `THREAD_TERMINATE`. `STATUS_NOT_FOUND` if it waits in none.
#[service]
fn nt_cancel_synchronous_io_file(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    io_request_to_cancel: Va,
    io_status_block: Out<IO_STATUS_BLOCK>,
) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_TERMINATE)?;
    io_status_block.probe(cx)?;
    let count = irp::cancel(cx.k, |irp| {
        Arc::ptr_eq(&irp.thread, &thread)
            && irp.file.is_synchronous()
            && (io_request_to_cancel.0 == 0 || irp.target.status_block == io_request_to_cancel)
    });
    let status = if count == 0 { STATUS_NOT_FOUND } else { STATUS_SUCCESS };
    write_status(cx, io_status_block, status, 0)?;
    status.into_result()
}
