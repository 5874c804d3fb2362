//! `IOCTL_AFD_POLL`, `IOCTL_AFD_EVENT_SELECT`, `IOCTL_AFD_GET_EVENTS`: what `select`, `WSAPoll`, `WSAEventSelect` and event
//! loops that talk to AFD themselves use.
//!
//! The layout of a poll: a 64-bit timeout, a count, a byte for "exclusive", then for each socket its handle, the bits
//! that are asked for and a status. The answer has the same form and only the sockets that are ready. Observed.

use std::sync::Arc;

use abi::ke::EVENT_MODIFY_STATE;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos::Kernel;
use ntos::ex::event::Event;
use ntos::io::FileObject;
use ntos::io::irp::{self, IoResult, Irp, Outcome};
use ntos::ke::event::ke_reset_event;
use ntos::ke::timer::deadline;
use ntos::ob::{ObRef, downcast};
use ntos::ps::Process;

use super::address::{long, word};
use super::socket::{Selection, Socket};
use super::{Afd, socket_of};

/// `AFD_POLL_…`.
pub mod bits {
    /// Data to read.
    pub const READ: u32 = 0x001;
    /// Urgent data.
    pub const OOB: u32 = 0x002;
    /// Room to send.
    pub const WRITE: u32 = 0x004;
    /// The other side has finished sending.
    pub const HUP: u32 = 0x008;
    /// The connection is gone.
    pub const RESET: u32 = 0x010;
    /// The socket was closed here.
    pub const CLOSE: u32 = 0x020;
    /// Connected.
    pub const CONNECT: u32 = 0x040;
    /// A connection to accept.
    pub const ACCEPT: u32 = 0x080;
    /// Could not connect.
    pub const CONNECT_ERR: u32 = 0x100;
}

const HEADER: usize = 16;
const ENTRY: usize = 16;

/// A poll that waits.
pub struct Poll {
    irp: Arc<Irp>,
    timeout: u64,
    entries: Vec<(u64, Arc<Socket>, u32)>,
}

/// The object of a handle in the requester's process.
pub fn object<T: ntos::ob::ObjectBody>(
    process: &ObRef<Process>,
    handle: u64,
    access: u32,
) -> NtResult<ObRef<T>> {
    let entry = {
        let handles = process.handles.open();
        let entry = handles.get(handle)?;
        if entry.access & access != access {
            return Err(STATUS_ACCESS_DENIED);
        }
        entry.object.clone()
    };
    downcast::<T>(entry)
}

/// The socket of a handle.
pub fn socket(process: &ObRef<Process>, handle: u64) -> NtResult<Arc<Socket>> {
    let file = object::<FileObject>(process, handle, 0)?;
    socket_of(&*file.ops).ok_or(STATUS_INVALID_HANDLE)
}

impl Poll {
    /// The answer, if a socket is ready.
    fn answer(&self) -> Option<Vec<u8>> {
        let mut entries = Vec::new();
        let mut count = 0u32;
        for (handle, socket, mask) in &self.entries {
            let (holds, status) = socket.events();
            let shown = holds & (mask | bits::CLOSE);
            if shown != 0 {
                count += 1;
                entries.extend_from_slice(&handle.to_le_bytes());
                entries.extend_from_slice(&shown.to_le_bytes());
                entries.extend_from_slice(&status.0.to_le_bytes());
            }
        }
        (count != 0).then(|| [self.header(count), entries].concat())
    }

    fn header(&self, count: u32) -> Vec<u8> {
        let mut header = self.timeout.to_le_bytes().to_vec();
        header.extend_from_slice(&u64::from(count).to_le_bytes());
        header
    }

    fn store(&self, k: &mut Kernel, bytes: &[u8]) -> NtResult<()> {
        let (_, _, output) = self.irp.control()?;
        output.write(k, 0, bytes)
    }
}

impl Afd {
    /// `IOCTL_AFD_POLL`.
    pub fn poll(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let (_, input, output) = irp.control()?;
        let timeout = long(input, 0)?;
        let count = word(input, 8)? as usize;
        let room = count.checked_mul(ENTRY).and_then(|size| size.checked_add(HEADER));
        let room = room.filter(|room| count != 0 && *room <= input.len());
        if output.len < room.ok_or(STATUS_INVALID_PARAMETER)? {
            return Err(STATUS_BUFFER_TOO_SMALL);
        }
        let mut entries = Vec::with_capacity(count);
        for index in 0..count {
            let at = HEADER + index * ENTRY;
            let handle = long(input, at)?;
            entries.push((handle, socket(&irp.thread.process, handle)?, word(input, at + 8)?));
        }
        let exclusive = input.get(12).is_some_and(|byte| *byte != 0);
        let poll = Poll { irp: irp.clone(), timeout, entries };
        if exclusive {
            self.supersede(k, &poll);
        }
        if let Some(answer) = poll.answer() {
            poll.store(k, &answer)?;
            return Outcome::ok(answer.len() as u64);
        }
        // What a poll answers whose time is over; whoever is ready before writes its own.
        let nobody = poll.header(0);
        poll.store(k, &nobody)?;
        if timeout == 0 {
            return Ok(Outcome::Done(STATUS_TIMEOUT, nobody.len() as u64));
        }
        if let Some(deadline) = deadline(k, Some(timeout as i64)) {
            irp::expire_at(k, irp, deadline, STATUS_TIMEOUT);
        }
        self.polls.open().push(Arc::new(poll));
        Ok(Outcome::Pending)
    }

    /// An exclusive poll ends earlier ones of the same sockets.
    fn supersede(&self, k: &mut Kernel, poll: &Poll) {
        let older: Vec<Arc<Poll>> = self.polls.open().iter().cloned().collect();
        for other in older {
            let mut theirs = other.entries.iter();
            let shared = theirs.any(|(_, socket, _)| {
                poll.entries.iter().any(|(_, own, _)| Arc::ptr_eq(own, socket))
            });
            if shared {
                irp::complete(k, &other.irp, STATUS_CANCELLED, 0);
            }
        }
    }

    /// Ends the polls that have an answer now.
    pub fn answer_polls(&self, k: &mut Kernel) {
        let all = std::mem::take(&mut *self.polls.open());
        let mut kept = Vec::new();
        for poll in all {
            if poll.irp.is_done() {
                continue;
            }
            match poll.answer() {
                Some(answer) => {
                    let (status, length) = match poll.store(k, &answer) {
                        Ok(()) => (STATUS_SUCCESS, answer.len()),
                        Err(status) => (status, 0),
                    };
                    irp::complete(k, &poll.irp, status, length as u64);
                }
                None => kept.push(poll),
            }
        }
        self.polls.open().append(&mut kept);
    }
}

impl Socket {
    /// `IOCTL_AFD_EVENT_SELECT`: an event handle and bits; none of them ends it.
    pub fn event_select(&self, k: &mut Kernel, irp: &Irp) -> IoResult {
        let (_, input, _) = irp.control()?;
        let (handle, mask) = (long(input, 0)?, word(input, 8)?);
        let event = match handle {
            0 => None,
            handle => Some(object::<Event>(&irp.thread.process, handle, EVENT_MODIFY_STATE)?),
        };
        {
            let mut state = self.state.open();
            if event.is_some() && mask != 0 {
                // Winsock: event selection makes a socket nonblocking.
                state.nonblocking = true;
            }
            // Who is connected already is not told so.
            let told = if state.connected_at.is_some() { bits::CONNECT } else { 0 };
            state.selection = Selection { event, mask, told, ..Selection::default() };
        }
        self.report(k);
        Outcome::ok(0)
    }

    /// `IOCTL_AFD_GET_EVENTS`: what has happened since the last call, with a status for each bit; resets an event.
    pub fn get_events(&self, k: &mut Kernel, irp: &Irp, event: Va) -> IoResult {
        if event.0 != 0 {
            // The handle comes where the input buffer's address would.
            let event = object::<Event>(&irp.thread.process, event.0, EVENT_MODIFY_STATE)?;
            ke_reset_event(k, event.header.dispatcher());
        }
        let bytes = {
            let selection = &mut self.state.open().selection;
            let pending = std::mem::take(&mut selection.pending);
            let mut bytes = pending.to_le_bytes().to_vec();
            for status in std::mem::replace(&mut selection.statuses, [NtStatus(0); 13]) {
                bytes.extend_from_slice(&status.0.to_le_bytes());
            }
            bytes
        };
        irp.answer(k, &bytes)
    }
}
