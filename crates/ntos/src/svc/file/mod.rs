//! I/O services: files, directories, volumes, locks, controls, completion ports.
//!
//! Each file here is a group of doors to [`crate::io`]. What they share is here: how a request is given to a driver and
//! how its end is awaited ([`submit`]), and how answers of information classes are stored ([`store`]).

mod args;
mod cancel;
mod completion;
mod control;
mod create;
mod directory;
mod information;
mod lock;
mod rw;
mod set;
mod volume;

use std::sync::Arc;

use abi::io::*;
use abi::ke::{EVENT_MODIFY_STATE, NOTIFICATION_EVENT};
use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;

use crate::ex::event::{Event, create_event};
use crate::io::facts::Packed;
use crate::io::file::{event_of, lock_of, release};
use crate::io::irp::{self, Irp, Outcome, Request, Target};
use crate::io::{FileObject, IoResult, UserBuffer};
use crate::ke::{self, WaitType};
use crate::ob::ObRef;

use super::{AsyncCx, Handle, Mode, Out, ServiceCx};

use cancel::{nt_cancel_io_file, nt_cancel_io_file_ex, nt_cancel_synchronous_io_file};
use completion::{
    nt_create_io_completion, nt_open_io_completion, nt_query_io_completion,
    nt_remove_io_completion, nt_remove_io_completion_ex, nt_set_io_completion,
    nt_set_io_completion_ex,
};
use control::{nt_device_io_control_file, nt_fs_control_file};
use create::{
    nt_create_file, nt_create_mailslot_file, nt_create_named_pipe_file, nt_delete_file,
    nt_open_file,
};
use directory::{
    nt_notify_change_directory_file, nt_query_directory_file, nt_query_directory_file_ex,
};
use information::{
    nt_query_attributes_file, nt_query_full_attributes_file, nt_query_information_by_name,
    nt_query_information_file,
};
use lock::{nt_lock_file, nt_unlock_file};
use rw::{nt_flush_buffers_file, nt_flush_buffers_file_ex, nt_read_file, nt_write_file};
use set::{nt_query_ea_file, nt_set_ea_file, nt_set_information_file};
use volume::{nt_query_volume_information_file, nt_set_volume_information_file};

crate::service_table! { SERVICES:
    nt_cancel_io_file, nt_cancel_io_file_ex, nt_cancel_synchronous_io_file, nt_create_file,
    nt_create_io_completion, nt_create_mailslot_file, nt_create_named_pipe_file, nt_delete_file,
    nt_device_io_control_file, nt_flush_buffers_file, nt_flush_buffers_file_ex, nt_fs_control_file,
    nt_lock_file, nt_notify_change_directory_file, nt_open_file, nt_open_io_completion,
    nt_query_attributes_file, nt_query_directory_file, nt_query_directory_file_ex, nt_query_ea_file,
    nt_query_full_attributes_file, nt_query_information_by_name, nt_query_information_file,
    nt_query_io_completion, nt_query_volume_information_file, nt_read_file, nt_remove_io_completion,
    nt_remove_io_completion_ex, nt_set_ea_file, nt_set_information_file, nt_set_io_completion,
    nt_set_io_completion_ex, nt_set_volume_information_file, nt_unlock_file, nt_write_file,
}

/// The arguments that every request has: whom to ask and whom to tell.
#[derive(Clone, Copy)]
struct Asked {
    file: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    status_block: Out<IO_STATUS_BLOCK>,
}

impl Asked {
    /// The file with the rights that the request needs, and the target of its completion.
    fn capture(
        &self,
        cx: &mut ServiceCx<'_>,
        access: u32,
    ) -> NtResult<(ObRef<FileObject>, Target)> {
        self.status_block.probe(cx)?;
        self.capture_without_block(cx, access)
    }

    /// [`Asked::capture`] of a request whose status block may be null.
    fn capture_without_block(
        &self,
        cx: &mut ServiceCx<'_>,
        access: u32,
    ) -> NtResult<(ObRef<FileObject>, Target)> {
        let file = cx.reference::<FileObject>(self.file, access)?;
        let event = match self.event.non_null() {
            Some(handle) => Some(cx.reference::<Event>(handle, EVENT_MODIFY_STATE)?),
            None => None,
        };
        if self.apc_routine.0 != 0 && file.state.open().port.is_some() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let target = Target {
            event,
            apc_routine: self.apc_routine,
            apc_context: self.apc_context,
            status_block: self.status_block.at,
        };
        Ok((file, target))
    }
}

/// A buffer of the caller, probed for the range only; the copy finds what is not there.
fn user_buffer(cx: &mut ServiceCx<'_>, at: Va, len: u32) -> NtResult<UserBuffer> {
    let end = at.0.checked_add(u64::from(len)).ok_or(STATUS_ACCESS_VIOLATION)?;
    if cx.mode == Mode::User && len != 0 && end > super::cx::USER_END {
        return Err(STATUS_ACCESS_VIOLATION);
    }
    Ok(UserBuffer { process: cx.process().clone(), at, len: len as usize })
}

/// Dispatches a request and, on a synchronous file, waits for its end.
///
/// `make` is called when the file is free for this request: it builds the request from the file's position.
/// `dispatch` hands it to the driver.
async fn submit(
    cx: &AsyncCx,
    file: &ObRef<FileObject>,
    target: Target,
    make: impl FnOnce(&mut ServiceCx<'_>, &ObRef<FileObject>) -> NtResult<Request>,
    dispatch: impl FnOnce(&mut ServiceCx<'_>, &ObRef<FileObject>, &Arc<Irp>) -> IoResult,
) -> NtResult {
    give(cx, file, target, make, dispatch, file.is_synchronous()).await
}

/// [`submit`] for services without an event or APC: they wait for the end on any file.
async fn submit_and_wait(
    cx: &AsyncCx,
    file: &ObRef<FileObject>,
    mut target: Target,
    make: impl FnOnce(&mut ServiceCx<'_>, &ObRef<FileObject>) -> NtResult<Request>,
    dispatch: impl FnOnce(&mut ServiceCx<'_>, &ObRef<FileObject>, &Arc<Irp>) -> IoResult,
) -> NtResult {
    if !file.is_synchronous() {
        // The file's own event belongs to its other requests.
        let event = cx.with(|cx| create_event(cx.k, NOTIFICATION_EVENT, false))?;
        target.event = Some(event);
    }
    give(cx, file, target, make, dispatch, true).await
}

async fn give(
    cx: &AsyncCx,
    file: &ObRef<FileObject>,
    mut target: Target,
    make: impl FnOnce(&mut ServiceCx<'_>, &ObRef<FileObject>) -> NtResult<Request>,
    dispatch: impl FnOnce(&mut ServiceCx<'_>, &ObRef<FileObject>, &Arc<Irp>) -> IoResult,
    wait: bool,
) -> NtResult {
    let synchronous = file.is_synchronous();
    if wait && target.event.is_none() && file.ops.owns_event() {
        target.event = Some(cx.with(|cx| create_event(cx.k, NOTIFICATION_EVENT, false))?);
    }
    if synchronous {
        acquire(cx, file).await?;
    }
    let started = cx.with(|cx| {
        let request = match make(cx, file) {
            Ok(request) => request,
            Err(status) => return Ok(Err(status)),
        };
        let irp = irp::build(cx.k, cx.thread, file, request, target);
        irp::reset_events(cx.k, &irp);
        let (status, information) = match dispatch(cx, file, &irp) {
            Ok(Outcome::Pending) => {
                irp::pend(cx.k, &irp);
                return Err(irp);
            }
            Ok(Outcome::Done(status, information)) => (status, information),
            Err(status) => (status, 0),
        };
        irp::complete_now(cx.k, &irp, status, information);
        Ok(if status.is_success() { Ok(status) } else { Err(status) })
    });
    let result = match started {
        Ok(result) => result,
        Err(_) if !wait => return Ok(STATUS_PENDING),
        Err(irp) => finished(cx, file, &irp).await,
    };
    if synchronous {
        cx.with(|cx| release(cx.k, file));
    }
    result
}

/// Waits until a synchronous file is free and takes it.
async fn acquire(cx: &AsyncCx, file: &ObRef<FileObject>) -> NtResult<()> {
    while !file.try_acquire() {
        let lock = lock_of(file);
        let outcome = ke::wait(cx, &[lock], WaitType::Any, file.is_alertable(), None).await;
        if outcome != STATUS_WAIT_0 {
            return Err(outcome);
        }
    }
    Ok(())
}

/// Waits for the end of a request; an APC, an alert or the thread's end cancels it.
async fn finished(cx: &AsyncCx, file: &ObRef<FileObject>, irp: &Arc<Irp>) -> NtResult {
    let event = match &irp.target.event {
        Some(event) if !file.is_synchronous() || file.ops.owns_event() => event.header.dispatcher(),
        _ => event_of(file),
    };
    while !irp.is_done() {
        let outcome = ke::wait(cx, &[event], WaitType::Any, file.is_alertable(), None).await;
        if outcome != STATUS_WAIT_0 {
            cx.with(|cx| irp::complete(cx.k, irp, STATUS_CANCELLED, 0));
        } else if !irp.is_done() {
            // Someone else set the event: wait for our own completion to set it again.
            cx.with(|cx| ke::event::ke_reset_event(cx.k, event));
        }
    }
    let (status, _) = irp.result().unwrap_or((STATUS_CANCELLED, 0));
    status.into_result()
}

/// Stores an answer and the status block; a warning is returned after both are written.
fn store(
    cx: &mut ServiceCx<'_>,
    at: Va,
    packed: &Packed,
    status_block: Out<IO_STATUS_BLOCK>,
) -> NtResult {
    cx.write_bytes(at, &packed.bytes)?;
    let information = packed.bytes.len() as u64;
    write_status(cx, status_block, packed.status, information)?;
    packed.status.into_result()
}

/// Writes a status block.
fn write_status(
    cx: &mut ServiceCx<'_>,
    status_block: Out<IO_STATUS_BLOCK>,
    status: NtStatus,
    information: u64,
) -> NtResult<()> {
    let block = IO_STATUS_BLOCK { Status: status.0, _pad: 0, Information: information };
    status_block.write(cx, &block)
}

/// The rights that a file handle grants, for checks of more than one right.
fn rights(cx: &ServiceCx<'_>, handle: Handle) -> NtResult<u32> {
    if cx.mode == Mode::Kernel { Ok(FILE_ALL_ACCESS) } else { cx.granted_access(handle) }
}

/// The rights of a handle with those that come with having no other.
///
/// DEVIATION: NT asks for `FILE_READ_ATTRIBUTES` and `FILE_WRITE_ATTRIBUTES`. The userland's `MoveFile` and
/// `SetFileAttributes` work on attributes with handles that were opened for no specific right at all.
fn with_implied(access: u32) -> u32 {
    const SPECIFIC: u32 = 0x1FF;
    let implied =
        if access & SPECIFIC == 0 { FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES } else { 0 };
    access | implied
}

/// Ends a query or set: a failure is written to the status block, too.
///
/// DEVIATION: NT leaves the status block alone when a request fails at once. The userland's `SetFilePointerEx` reads
/// the reason from there.
fn told(cx: &mut ServiceCx<'_>, status_block: Out<IO_STATUS_BLOCK>, result: NtResult) -> NtResult {
    if let Err(status) = result
        && status.is_error()
    {
        // The caller learns the reason from the result in any case.
        let _ = write_status(cx, status_block, status, 0);
    }
    result
}
