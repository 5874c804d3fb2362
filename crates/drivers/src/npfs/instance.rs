//! An instance of a named pipe: a server end, at most one client end, and the two queues between them.
//!
//! Key types: [`Instance`], [`Side`], [`Parameters`]. States are NT's: listening, connected, closing (one end is
//! closed), disconnected.

use std::sync::{Arc, Weak};

use abi::io::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::io::create::PipeParameters;
use ntos::io::irp::{self, IoResult, Irp, Outcome};
use ntos::ob::ObRef;
use ntos::se::Token;
use ntos::ustr::UnicodeString;

use super::queue::{Ended, Queue, target};

/// Least bytes that a direction holds: NT treats the quotas as advice.
const MIN_QUOTA: u32 = 4096;

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The one that `NtCreateNamedPipeFile` opened.
    Server,
    /// The one that connected.
    Client,
}

/// What all instances of a pipe share.
pub struct Pipe {
    /// Its name on the device, with the leading backslash; empty for an anonymous pipe.
    pub name: UnicodeString,
    /// What the first instance said.
    pub parameters: PipeParameters,
    /// `FILE_SHARE_…`: what clients may do.
    pub share: u32,
    /// The instances.
    pub instances: Guarded<Vec<Arc<Instance>>>,
}

/// How an end reads and writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndMode {
    /// Reads take one message.
    pub message_read: bool,
    /// Nothing waits.
    pub nonblocking: bool,
}

/// An instance.
pub struct Instance {
    /// The pipe.
    pub pipe: Weak<Pipe>,
    message_type: bool,
    state: Guarded<State>,
}

struct State {
    status: u32,
    /// From the client to the server.
    inbound: Queue,
    /// From the server to the client.
    outbound: Queue,
    server: EndMode,
    client: EndMode,
    listeners: Vec<Arc<Irp>>,
    /// Whom the server may impersonate.
    client_token: Option<ObRef<Token>>,
}

impl State {
    fn mode(&mut self, side: Side) -> &mut EndMode {
        match side {
            Side::Server => &mut self.server,
            Side::Client => &mut self.client,
        }
    }

    /// The queue that an end reads.
    fn reads(&mut self, side: Side) -> &mut Queue {
        match side {
            Side::Server => &mut self.inbound,
            Side::Client => &mut self.outbound,
        }
    }

    /// The queue that an end writes.
    fn writes(&mut self, side: Side) -> &mut Queue {
        match side {
            Side::Server => &mut self.outbound,
            Side::Client => &mut self.inbound,
        }
    }

    /// Why nothing can be read or written in this state; `None` when connected or closing.
    fn refusal(&self) -> Option<NtStatus> {
        match self.status {
            FILE_PIPE_DISCONNECTED_STATE => Some(STATUS_PIPE_DISCONNECTED),
            FILE_PIPE_LISTENING_STATE => Some(STATUS_PIPE_LISTENING),
            _ => None,
        }
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Server => Side::Client,
        Side::Client => Side::Server,
    }
}

/// Completes requests that ended while the instance was open.
pub fn finish(k: &mut Kernel, ended: Ended) {
    for (irp, status, information) in ended {
        irp::complete(k, &irp, status, information);
    }
}

impl Instance {
    /// A listening instance.
    pub fn new(pipe: &Arc<Pipe>, parameters: &PipeParameters) -> Arc<Self> {
        let quota = |bytes: u32| bytes.max(MIN_QUOTA) as usize;
        let server =
            EndMode { message_read: parameters.message_read, nonblocking: parameters.nonblocking };
        let state = State {
            status: FILE_PIPE_LISTENING_STATE,
            inbound: Queue::new(quota(parameters.inbound_quota)),
            outbound: Queue::new(quota(parameters.outbound_quota)),
            server,
            client: EndMode::default(),
            listeners: Vec::new(),
            client_token: None,
        };
        Arc::new(Instance {
            pipe: Arc::downgrade(pipe),
            message_type: pipe.parameters.message_type,
            state: Guarded::new(state),
        })
    }

    /// True if a client can connect.
    pub fn is_listening(&self) -> bool {
        self.state.open().status == FILE_PIPE_LISTENING_STATE
    }

    /// A client connects.
    pub fn connect(&self, k: &mut Kernel, token: ObRef<Token>) {
        let listeners = {
            let mut state = self.state.open();
            state.status = FILE_PIPE_CONNECTED_STATE;
            state.client = EndMode::default();
            state.client_token = Some(token);
            std::mem::take(&mut state.listeners)
        };
        finish(k, listeners.into_iter().map(|irp| (irp, STATUS_SUCCESS, 0)).collect());
    }

    /// `FSCTL_PIPE_LISTEN`. The second value is true if the instance has just become free for a client.
    pub fn listen(&self, irp: &Arc<Irp>) -> (IoResult, bool) {
        let mut state = self.state.open();
        let fresh = state.status == FILE_PIPE_DISCONNECTED_STATE;
        match state.status {
            FILE_PIPE_CONNECTED_STATE => return (Err(STATUS_PIPE_CONNECTED), false),
            FILE_PIPE_CLOSING_STATE => return (Err(STATUS_PIPE_CLOSING), false),
            _ => state.status = FILE_PIPE_LISTENING_STATE,
        }
        if state.server.nonblocking {
            let result = if fresh { Outcome::ok(0) } else { Err(STATUS_PIPE_LISTENING) };
            return (result, fresh);
        }
        state.listeners.retain(|other| !other.is_done());
        state.listeners.push(irp.clone());
        (Ok(Outcome::Pending), fresh)
    }

    /// `FSCTL_PIPE_DISCONNECT`: the client loses the pipe and what it has not read.
    pub fn disconnect(&self, k: &mut Kernel) -> NtResult<()> {
        let mut ended = Ended::new();
        {
            let mut state = self.state.open();
            if let Some(status) = state.refusal() {
                return Err(status);
            }
            state.status = FILE_PIPE_DISCONNECTED_STATE;
            state.client_token = None;
            state.inbound.end_all(STATUS_PIPE_DISCONNECTED, &mut ended);
            state.outbound.end_all(STATUS_PIPE_DISCONNECTED, &mut ended);
        }
        finish(k, ended);
        Ok(())
    }

    /// Reads at an end.
    pub fn read(&self, k: &mut Kernel, side: Side, irp: &Arc<Irp>) -> IoResult {
        let buffer = target(irp)?;
        let mut ended = Ended::new();
        let result = {
            let mut state = self.state.open();
            if let Some(status) = state.refusal() {
                return Err(status);
            }
            let (mode, status) = (*state.mode(side), state.status);
            let queue = state.reads(side);
            if !queue.is_empty() {
                let taken = queue.take(buffer.len, mode.message_read, &mut ended);
                buffer
                    .write(k, 0, &taken.bytes)
                    .map(|()| Outcome::Done(taken.status, taken.bytes.len() as u64))
            } else if status == FILE_PIPE_CLOSING_STATE {
                Err(STATUS_PIPE_BROKEN)
            } else if mode.nonblocking {
                Err(STATUS_PIPE_EMPTY)
            } else {
                queue.wait_to_read(irp);
                Ok(Outcome::Pending)
            }
        };
        finish(k, ended);
        result
    }

    /// Writes bytes at an end.
    pub fn write(&self, k: &mut Kernel, side: Side, irp: &Arc<Irp>, data: Vec<u8>) -> IoResult {
        let len = data.len();
        let mut ended = Ended::new();
        let result = {
            let mut state = self.state.open();
            match state.refusal() {
                Some(status) => return Err(status),
                None if state.status == FILE_PIPE_CLOSING_STATE => return Err(STATUS_PIPE_CLOSING),
                None => {}
            }
            if len == 0 && !self.message_type {
                return Outcome::ok(0);
            }
            let nonblocking = state.mode(side).nonblocking;
            let message_read = state.mode(other(side)).message_read;
            let queue = state.writes(side);
            if !queue.put(k, data, irp, message_read, &mut ended) {
                Outcome::ok(len as u64)
            } else if nonblocking {
                Outcome::ok(queue.cut(self.message_type) as u64)
            } else {
                Ok(Outcome::Pending)
            }
        };
        finish(k, ended);
        result
    }

    /// Writes a message and reads the answer: `FSCTL_PIPE_TRANSCEIVE`.
    pub fn transceive(&self, k: &mut Kernel, side: Side, irp: &Arc<Irp>) -> IoResult {
        let (_, input, _) = irp.control()?;
        {
            let mut state = self.state.open();
            if let Some(status) = state.refusal() {
                return Err(status);
            }
            if !state.mode(side).message_read {
                return Err(STATUS_INVALID_READ_MODE);
            }
            if !state.reads(side).is_empty() {
                return Err(STATUS_PIPE_BUSY);
            }
        }
        let input = input.to_vec();
        let mut ended = Ended::new();
        {
            let mut state = self.state.open();
            if state.status == FILE_PIPE_CLOSING_STATE {
                return Err(STATUS_PIPE_CLOSING);
            }
            let message_read = state.mode(other(side)).message_read;
            let queue = state.writes(side);
            if queue.put(k, input, irp, message_read, &mut ended) {
                // The request itself must not end when its message is read: it waits for the answer.
                queue.keep_unowned();
            }
        }
        finish(k, ended);
        self.read(k, side, irp)
    }

    /// `FSCTL_PIPE_PEEK`.
    pub fn peek(&self, k: &mut Kernel, side: Side, irp: &Arc<Irp>) -> IoResult {
        use zerocopy::IntoBytes;
        let (_, _, output) = irp.control()?;
        let room = output.len.checked_sub(16).ok_or(STATUS_INFO_LENGTH_MISMATCH)?;
        let (head, data, status) = {
            let mut state = self.state.open();
            if let Some(status) = state.refusal() {
                return Err(status);
            }
            let (mode, status) = (*state.mode(side), state.status);
            let queue = state.reads(side);
            let available = queue.bytes();
            if available == 0 && queue.is_empty() && status == FILE_PIPE_CLOSING_STATE {
                return Err(STATUS_PIPE_BROKEN);
            }
            let (count, first) = queue.messages();
            let (count, first) = if self.message_type { (count, first) } else { (0, 0) };
            let head = FILE_PIPE_PEEK_BUFFER {
                NamedPipeState: status,
                ReadDataAvailable: available as u32,
                NumberOfMessages: count as u32,
                MessageLength: first as u32,
            };
            let data = queue.peek(room, mode.message_read);
            let whole = if mode.message_read { first } else { available };
            let cut = data.len() < whole;
            (head, data, if cut { STATUS_BUFFER_OVERFLOW } else { STATUS_SUCCESS })
        };
        output.write(k, 0, head.as_bytes())?;
        output.write(k, 16, &data)?;
        Ok(Outcome::Done(status, 16 + data.len() as u64))
    }

    /// Waits until the other end has read everything.
    pub fn flush(&self, side: Side, irp: &Arc<Irp>) -> IoResult {
        let mut state = self.state.open();
        if let Some(status) = state.refusal() {
            return Err(status);
        }
        if state.status == FILE_PIPE_CLOSING_STATE || !state.writes(side).wait_to_flush(irp) {
            return Outcome::ok(0);
        }
        Ok(Outcome::Pending)
    }

    /// An end is closed.
    pub fn close(&self, k: &mut Kernel, side: Side) {
        let mut ended = Ended::new();
        {
            let mut state = self.state.open();
            if state.status == FILE_PIPE_CONNECTED_STATE {
                state.status = FILE_PIPE_CLOSING_STATE;
            } else if side == Side::Server {
                state.status = FILE_PIPE_DISCONNECTED_STATE;
            }
            state.writes(side).writer_left(&mut ended);
            state.reads(side).reader_left(&mut ended);
        }
        finish(k, ended);
    }

    /// The mode of an end.
    pub fn mode(&self, side: Side) -> EndMode {
        *self.state.open().mode(side)
    }

    /// Changes the mode of an end; only a pipe of messages can be read by message.
    pub fn set_mode(&self, side: Side, mode: EndMode) -> NtResult<()> {
        if mode.message_read && !self.message_type {
            return Err(STATUS_INVALID_PARAMETER);
        }
        *self.state.open().mode(side) = mode;
        Ok(())
    }

    /// Whom the server may impersonate.
    pub fn client_token(&self) -> NtResult<ObRef<Token>> {
        let state = self.state.open();
        match state.refusal() {
            Some(status) => Err(status),
            None => state.client_token.clone().ok_or(STATUS_CANNOT_IMPERSONATE),
        }
    }

    /// `FILE_PIPE_LOCAL_INFORMATION`.
    pub fn local_information(&self, side: Side) -> FILE_PIPE_LOCAL_INFORMATION {
        let pipe = self.pipe.upgrade();
        let instances = pipe.as_ref().map_or(0, |pipe| pipe.instances.open().len());
        let parameters = pipe.as_ref().map(|pipe| pipe.parameters).unwrap_or_default();
        let share = pipe.as_ref().map_or(0, |pipe| pipe.share);
        let mut state = self.state.open();
        let available = state.reads(side).bytes();
        let writes = state.writes(side);
        let left = writes.quota.saturating_sub(writes.bytes());
        FILE_PIPE_LOCAL_INFORMATION {
            NamedPipeType: parameters.message_type.into(),
            NamedPipeConfiguration: match share {
                FILE_SHARE_WRITE => 0,
                FILE_SHARE_READ => 1,
                _ => 2,
            },
            MaximumInstances: parameters.max_instances,
            CurrentInstances: instances as u32,
            InboundQuota: state.inbound.quota as u32,
            ReadDataAvailable: available as u32,
            OutboundQuota: state.outbound.quota as u32,
            WriteQuotaAvailable: left as u32,
            NamedPipeState: state.status,
            NamedPipeEnd: (side == Side::Server).into(),
        }
    }
}
