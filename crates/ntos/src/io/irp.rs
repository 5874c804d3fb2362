//! Requests: from a service to a driver and back.
//!
//! Key types: [`Irp`], [`Request`], [`Outcome`], [`Target`] (who is told). A driver answers at once or keeps the request;
//! [`complete`] then ends it in any thread's context: it writes the status block in the requester's process, sets the
//! event, queues the APC or posts to the completion port.

use std::sync::Arc;

use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::ex::event::Event;
use crate::guarded::Guarded;
use crate::ke::apc::{UserApc, queue_user_apc};
use crate::ke::event::{ke_reset_event, ke_set_event};
use crate::ke::timer::Expiry;
use crate::mm;
use crate::ob::ObRef;
use crate::ps::{Process, Thread};

use super::FileObject;
use super::completion::{self, Packet};
use super::file::event_of;
use abi::io::{FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE};

/// How a driver answers. `Err` is a failure without information.
pub type IoResult = NtResult<Outcome>;

/// The answer of a driver that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done, with the status block's two fields. The status may be a warning.
    Done(NtStatus, u64),
    /// The driver keeps the request.
    Pending,
}

impl Outcome {
    /// Success with information.
    pub fn ok(information: u64) -> IoResult {
        Ok(Outcome::Done(STATUS_SUCCESS, information))
    }
}

/// Memory of the requester, valid in any context; probed by the service.
#[derive(Clone)]
pub struct UserBuffer {
    /// Whose memory.
    pub process: ObRef<Process>,
    /// Its address.
    pub at: Va,
    /// Its length.
    pub len: usize,
}

impl UserBuffer {
    /// Copies into it; `bytes` that do not fit are the caller's mistake and fail with `STATUS_BUFFER_OVERFLOW`.
    pub fn write(&self, k: &mut Kernel, offset: usize, bytes: &[u8]) -> NtResult<()> {
        let end = offset.checked_add(bytes.len()).filter(|end| *end <= self.len);
        end.ok_or(STATUS_BUFFER_OVERFLOW)?;
        mm::copy_to(k, &self.process, Va(self.at.0.wrapping_add(offset as u64)), bytes)
    }

    /// Copies out of it.
    pub fn read(&self, k: &mut Kernel, offset: usize, into: &mut [u8]) -> NtResult<()> {
        mm::copy_from(k, &self.process, Va(self.at.0.wrapping_add(offset as u64)), into)
    }

    /// All of it; `STATUS_INSUFFICIENT_RESOURCES` beyond 256 MiB.
    pub fn read_all(&self, k: &mut Kernel) -> NtResult<Vec<u8>> {
        if self.len > 256 << 20 {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let mut bytes = vec![0; self.len];
        self.read(k, 0, &mut bytes)?;
        Ok(bytes)
    }
}

/// What is asked.
pub enum Request {
    /// Read; the offset counts for seekable files only.
    Read {
        /// Where to.
        buffer: UserBuffer,
        /// Where from.
        offset: u64,
        /// The lock key.
        key: u32,
    },
    /// Write; `offset` is `None` for the end of the file.
    Write {
        /// Where from.
        buffer: UserBuffer,
        /// Where to.
        offset: Option<u64>,
        /// The lock key.
        key: u32,
    },
    /// A device or file system control.
    Control {
        /// The code.
        code: u32,
        /// The captured input buffer.
        input: Vec<u8>,
        /// Where it is, for codes that read it themselves.
        input_at: Va,
        /// Where the answer goes.
        output: UserBuffer,
    },
    /// Bring what was written to where it goes.
    Flush,
    /// Lock a byte range.
    Lock {
        /// The range.
        offset: u64,
        /// Its length.
        length: u64,
        /// The key.
        key: u32,
        /// Refuse instead of waiting.
        fail_immediately: bool,
        /// Exclusive or shared.
        exclusive: bool,
    },
    /// List a directory.
    Query {
        /// Where the answer goes.
        buffer: UserBuffer,
    },
    /// Tell of changes in a directory.
    Notify {
        /// Where the answer goes.
        buffer: UserBuffer,
        /// `FILE_NOTIFY_CHANGE_…`.
        filter: u32,
        /// Everything beneath, too.
        tree: bool,
    },
}

/// Who is told of the completion.
#[derive(Default, Clone)]
pub struct Target {
    /// The event that the caller named.
    pub event: Option<ObRef<Event>>,
    /// The APC routine, or 0.
    pub apc_routine: Va,
    /// Its argument, or what is posted to the completion port.
    pub apc_context: u64,
    /// The status block.
    pub status_block: Va,
}

/// A request in progress.
pub struct Irp {
    /// Its number.
    pub id: u64,
    /// The file it is for.
    pub file: ObRef<FileObject>,
    /// Who asked.
    pub thread: ObRef<Thread>,
    /// What.
    pub request: Request,
    /// Who is told.
    pub target: Target,
    state: Guarded<IrpState>,
}

#[derive(Default)]
struct IrpState {
    result: Option<(NtStatus, u64)>,
    pended: bool,
}

impl Irp {
    /// True once it is completed or cancelled: queues skip it.
    pub fn is_done(&self) -> bool {
        self.state.open().result.is_some()
    }

    /// Status and information once it is done.
    pub fn result(&self) -> Option<(NtStatus, u64)> {
        self.state.open().result
    }

    /// The code, input and output of a control request.
    pub fn control(&self) -> NtResult<(u32, &[u8], &UserBuffer)> {
        match &self.request {
            Request::Control { code, input, output, .. } => Ok((*code, input, output)),
            _ => Err(STATUS_INVALID_DEVICE_REQUEST),
        }
    }

    /// Answers a control request with bytes, or says that they do not fit.
    pub fn answer(&self, k: &mut Kernel, bytes: &[u8]) -> IoResult {
        let (_, _, output) = self.control()?;
        if output.len < bytes.len() {
            return Err(STATUS_BUFFER_TOO_SMALL);
        }
        output.write(k, 0, bytes)?;
        Outcome::ok(bytes.len() as u64)
    }
}

/// Makes a request.
pub fn build(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    file: &ObRef<FileObject>,
    request: Request,
    target: Target,
) -> Arc<Irp> {
    k.io.next_irp += 1;
    Arc::new(Irp {
        id: k.io.next_irp,
        file: file.clone(),
        thread: thread.clone(),
        request,
        target,
        state: Guarded::default(),
    })
}

/// Resets the events that a request will set.
pub fn reset_events(k: &mut Kernel, irp: &Irp) {
    if let Some(event) = &irp.target.event {
        ke_reset_event(k, event.header.dispatcher());
    }
    if !irp.file.ops.owns_event() {
        ke_reset_event(k, event_of(&irp.file));
    }
}

/// Remembers a request that its driver kept, so that it can be cancelled.
pub fn pend(k: &mut Kernel, irp: &Arc<Irp>) {
    if irp.is_done() {
        return;
    }
    irp.state.open().pended = true;
    k.io.pending.insert(irp.id, irp.clone());
}

/// Ends a request that its driver kept. A request that is done already stays as it is.
pub fn complete(k: &mut Kernel, irp: &Arc<Irp>, status: NtStatus, information: u64) {
    {
        let mut state = irp.state.open();
        if state.result.is_some() {
            return;
        }
        state.result = Some((status, information));
    }
    k.io.pending.shift_remove(&irp.id);
    finish(k, irp, status, information, true);
}

/// Ends a request that its driver answered at once: errors tell nobody but the caller.
pub fn complete_now(k: &mut Kernel, irp: &Arc<Irp>, status: NtStatus, information: u64) {
    irp.state.open().result = Some((status, information));
    if !status.is_error() {
        finish(k, irp, status, information, false);
    }
}

/// The position after the request, the status block, the event, the APC or the completion packet.
fn finish(k: &mut Kernel, irp: &Arc<Irp>, status: NtStatus, information: u64, pended: bool) {
    let file = &irp.file;
    if irp.target.status_block.0 != 0 {
        let block = IO_STATUS_BLOCK { Status: status.0, _pad: 0, Information: information };
        // The requester may have freed the block meanwhile; NT ignores the fault, too.
        let _ = mm::copy_to(k, &irp.thread.process, irp.target.status_block, block.as_bytes());
    }
    let (port, notification) = {
        let state = file.state.open();
        (state.port.clone(), state.notification)
    };
    let owns_event = file.ops.owns_event();
    if let Some(event) = &irp.target.event {
        ke_set_event(k, event.header.dispatcher(), 0);
        if file.is_synchronous() && !owns_event {
            ke_set_event(k, event_of(file), 0);
        }
    } else if owns_event {
        // The wait for this request is on an event of its own.
    } else if file.is_synchronous() || notification & FILE_SKIP_SET_EVENT_ON_HANDLE == 0 {
        ke_set_event(k, event_of(file), 0);
    }
    if irp.target.apc_routine.0 != 0 {
        let arguments = [irp.target.apc_context, irp.target.status_block.0, 0];
        if !irp.thread.is_terminating() {
            let apc = UserApc { routine: irp.target.apc_routine, arguments };
            queue_user_apc(k, &irp.thread, apc);
        }
    } else if let Some((port, key)) = port
        && irp.target.apc_context != 0
    {
        let skipped = !pended && notification & FILE_SKIP_COMPLETION_PORT_ON_SUCCESS != 0;
        if !skipped {
            let apc_context = irp.target.apc_context;
            completion::post(k, &port, Packet { key, apc_context, status, information });
        }
    }
}

/// Ends a request at a time, if it is still in flight then.
pub fn expire_at(k: &mut Kernel, irp: &Irp, deadline: u64, status: NtStatus) {
    k.ke.timers.insert(deadline, Expiry::Request(irp.id, status));
}

/// The time of [`expire_at`] has come.
pub fn expired(k: &mut Kernel, id: u64, status: NtStatus) {
    if let Some(irp) = k.io.pending.get(&id).cloned() {
        complete(k, &irp, status, 0);
    }
}

/// Cancels pending requests; returns how many.
pub fn cancel(k: &mut Kernel, matches: impl Fn(&Irp) -> bool) -> usize {
    if k.io.pending.is_empty() {
        return 0;
    }
    let found: Vec<Arc<Irp>> = k.io.pending.values().filter(|irp| matches(irp)).cloned().collect();
    for irp in &found {
        complete(k, irp, STATUS_CANCELLED, 0);
    }
    found.len()
}
