//! Requests that may wait: accepting, connecting, sending, receiving.
//!
//! Key type: [`Work`], one request with what it captured. [`Work::attempt`] does as much as can be done now; it is
//! called again when the endpoint changed. Layouts are observed.

use std::sync::Arc;

use abi::ob::SYNCHRONIZE;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos::Kernel;
use ntos::io::create::discard;
use ntos::io::device::FILE_ACCESS;
use ntos::io::file::create_object;
use ntos::io::irp::Irp;
use ntos::mm;
use ntos::ob;

use super::SocketFile;
use super::address::{self, long, word};
use super::endpoint::{Endpoint, Kind, Receive};
use super::poll::{self, bits};
use super::socket::Socket;

const MSG_OOB: u32 = 1;
const MSG_PEEK: u32 = 2;
const MSG_WAITALL: u32 = 8;
const MSG_PARTIAL: u32 = 0x8000;

/// The most buffers of one request.
const MOST_BUFFERS: u32 = 0x1_0000;
/// The most bytes of one request.
const MOST_BYTES: usize = 256 << 20;

/// Which requests keep an order among themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Receiving and accepting.
    In,
    /// Sending.
    Out,
    /// Connecting, which has no order.
    Connect,
}

/// A request.
pub enum Work {
    /// `accept`: makes a socket and gives its handle.
    Accept,
    /// `AcceptEx`.
    AcceptInto(AcceptInto),
    /// `connect` and `ConnectEx`, with what is sent first.
    Connect(Vec<u8>),
    /// Sends.
    Send(Send),
    /// Receives.
    Receive(ReceiveInto),
}

/// A connection that a given socket takes.
pub struct AcceptInto {
    socket: Arc<Socket>,
    receive: usize,
    local: usize,
    connection: Option<Arc<dyn Endpoint>>,
}

/// Bytes on their way.
pub struct Send {
    bytes: Vec<u8>,
    done: usize,
    to: Option<std::net::SocketAddr>,
    urgent: bool,
}

/// Where received bytes go.
pub struct ReceiveInto {
    buffers: Vec<(Va, usize)>,
    room: usize,
    done: usize,
    flags: u32,
    flags_at: Va,
    address_at: Va,
    address_length_at: Va,
    control_at: Va,
}

fn read_word(k: &mut Kernel, irp: &Irp, at: Va) -> NtResult<u32> {
    let mut bytes = [0; 4];
    mm::copy_from(k, &irp.thread.process, at, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn write_word(k: &mut Kernel, irp: &Irp, at: Va, value: u32) -> NtResult<()> {
    mm::copy_to(k, &irp.thread.process, at, &value.to_le_bytes())
}

/// The `WSABUF`s of a request.
fn buffers(k: &mut Kernel, irp: &Irp, at: u64, count: u32) -> NtResult<Vec<(Va, usize)>> {
    if count > MOST_BUFFERS {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let mut bytes = vec![0; count as usize * 16];
    mm::copy_from(k, &irp.thread.process, Va(at), &mut bytes)?;
    let mut total = 0usize;
    let mut all = Vec::with_capacity(count as usize);
    for index in 0..count as usize {
        let length = word(&bytes, index * 16)? as usize;
        total = total.saturating_add(length);
        all.push((Va(long(&bytes, index * 16 + 8)?), length));
    }
    if total > MOST_BYTES { Err(STATUS_INSUFFICIENT_RESOURCES) } else { Ok(all) }
}

impl Work {
    /// `AcceptEx`: the accepting socket, room for data and for the local address.
    pub fn accept_into(irp: &Irp, input: &[u8]) -> NtResult<Self> {
        let socket = poll::socket(&irp.thread.process, word(input, 0)?.into())?;
        let (receive, local) = (word(input, 4)? as usize, word(input, 8)? as usize);
        let (_, _, output) = irp.control()?;
        if receive.checked_add(local).is_none_or(|end| end > output.len) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        Ok(Work::AcceptInto(AcceptInto { socket, receive, local, connection: None }))
    }

    /// A send: address, its length, flags, "overlapped", buffers. Also returns "overlapped".
    pub fn send(k: &mut Kernel, irp: &Irp, input: &[u8]) -> NtResult<(Self, bool)> {
        let to = match (long(input, 0)?, word(input, 8)?) {
            (0, _) => None,
            (at, length) => {
                let mut bytes = vec![0; length.min(128) as usize];
                mm::copy_from(k, &irp.thread.process, Va(at), &mut bytes)?;
                Some(address::parse(&bytes)?)
            }
        };
        let (flags, overlapped) = (word(input, 12)?, word(input, 16)? != 0);
        let mut bytes = Vec::new();
        for (at, length) in buffers(k, irp, long(input, 24)?, word(input, 20)?)? {
            let start = bytes.len();
            bytes.resize(start + length, 0);
            let part = bytes.get_mut(start..).unwrap_or_default();
            mm::copy_from(k, &irp.thread.process, at, part)?;
        }
        let send = Send { bytes, done: 0, to, urgent: flags & MSG_OOB != 0 };
        Ok((Work::Send(send), overlapped))
    }

    /// A write of a file.
    pub fn write(bytes: Vec<u8>) -> Self {
        Work::Send(Send { bytes, done: 0, to: None, urgent: false })
    }

    /// A read of a file.
    pub fn read(at: Va, length: usize) -> Self {
        Work::Receive(ReceiveInto {
            buffers: vec![(at, length)],
            room: length,
            done: 0,
            flags: 0,
            flags_at: Va(0),
            address_at: Va(0),
            address_length_at: Va(0),
            control_at: Va(0),
        })
    }

    /// A receive: control, address, its length, flags, "overlapped", buffers. Also returns "overlapped".
    pub fn receive(k: &mut Kernel, irp: &Irp, input: &[u8]) -> NtResult<(Self, bool)> {
        let flags_at = Va(long(input, 24)?);
        let overlapped = word(input, 32)? != 0;
        let buffers = buffers(k, irp, long(input, 40)?, word(input, 36)?)?;
        let receive = ReceiveInto {
            room: buffers.iter().map(|(_, length)| length).sum(),
            buffers,
            done: 0,
            flags: if flags_at.0 == 0 { 0 } else { read_word(k, irp, flags_at)? },
            flags_at,
            control_at: Va(long(input, 0)?),
            address_at: Va(long(input, 8)?),
            address_length_at: Va(long(input, 16)?),
        };
        Ok((Work::Receive(receive), overlapped))
    }

    /// Which requests it keeps its place among.
    pub fn direction(&self) -> Direction {
        match self {
            // One that has its connection is in nobody's way.
            Work::AcceptInto(into) if into.connection.is_some() => Direction::Connect,
            Work::Accept | Work::AcceptInto(_) | Work::Receive(_) => Direction::In,
            Work::Send(_) => Direction::Out,
            Work::Connect(_) => Direction::Connect,
        }
    }

    /// The events that such a request lets be reported again.
    pub fn events(&self) -> u32 {
        match self {
            Work::Accept | Work::AcceptInto(_) => bits::ACCEPT,
            Work::Receive(receive) if receive.flags & MSG_OOB != 0 => bits::OOB,
            Work::Receive(_) => bits::READ,
            // A send that would have to wait does it.
            Work::Send(_) | Work::Connect(_) => 0,
        }
    }

    /// Does what can be done; `None` if it has to wait. `partly` takes part of a stream's send for all.
    pub fn attempt(
        &mut self,
        k: &mut Kernel,
        socket: &Socket,
        irp: &Arc<Irp>,
        partly: bool,
    ) -> NtResult<Option<(NtStatus, u64)>> {
        match self {
            Work::Accept => accept(k, socket, irp),
            Work::AcceptInto(into) => into.attempt(k, socket, irp),
            Work::Connect(first) => connect(k, socket, first),
            Work::Send(send) => send.attempt(socket, partly),
            Work::Receive(receive) => receive.attempt(k, socket, irp, partly),
        }
    }
}

/// Makes a socket of a connection that waits and stores its handle.
fn accept(k: &mut Kernel, socket: &Socket, irp: &Irp) -> NtResult<Option<(NtStatus, u64)>> {
    let (_, _, output) = irp.control()?;
    if output.len < 4 {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    // A connection is not taken for an answer that cannot be stored.
    output.write(k, 0, &[0; 4])?;
    let Some(connection) = socket.endpoint().accept()? else { return Ok(None) };
    let description = (socket.family, socket.kind, socket.socket_type, socket.protocol);
    let accepted = Socket::new(&socket.afd, description, connection);
    {
        let (nonblocking, selected) = {
            let state = socket.state.open();
            (state.nonblocking, state.selection.event.clone().map(|e| (e, state.selection.mask)))
        };
        let mut state = accepted.state.open();
        // Winsock: what a listening socket is set to is what its connections begin with.
        state.nonblocking = nonblocking;
        state.connected_at = Some(k.host.interrupt_time());
        if let Some((event, mask)) = selected {
            state.selection.event = Some(event);
            state.selection.mask = mask;
            state.selection.told = bits::CONNECT;
        }
    }
    socket.afd.changes.add(Arc::downgrade(&accepted));
    let ops = Box::new(SocketFile::with(&socket.afd, accepted));
    let file = create_object(k, &irp.file.device, ops, 0)?;
    let access = FILE_ACCESS.map(0xC000_0000) | SYNCHRONIZE;
    let handle = match ob::open_handle(k, &irp.thread.process, &file, access, 0) {
        Ok(handle) => handle,
        Err(status) => {
            discard(k, &file);
            return Err(status);
        }
    };
    output.write(k, 0, &(handle as u32).to_le_bytes())?;
    Ok(Some((STATUS_SUCCESS, 4)))
}

impl AcceptInto {
    fn attempt(
        &mut self,
        k: &mut Kernel,
        socket: &Socket,
        irp: &Irp,
    ) -> NtResult<Option<(NtStatus, u64)>> {
        let (_, _, output) = irp.control()?;
        let connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => {
                let Some(connection) = socket.endpoint().accept()? else { return Ok(None) };
                self.socket.adopt(connection.clone());
                self.socket.state.open().connected_at = Some(k.host.interrupt_time());
                if self.receive != 0 {
                    // The request waits for data now, but still on the listening socket: that one is told.
                    connection.set_owner(socket.own.clone());
                }
                self.connection = Some(connection.clone());
                connection
            }
        };
        let mut count = 0;
        if self.receive != 0 {
            let received = connection.receive(self.receive, Receive::default())?;
            let Some(received) = received else { return Ok(None) };
            output.write(k, 0, &received.bytes)?;
            count = received.bytes.len();
            connection.set_owner(Arc::downgrade(&self.socket));
        }
        let place = |k: &mut Kernel, at: usize, address: Option<std::net::SocketAddr>| {
            let Some(address) = address else { return Ok(()) };
            let bytes = address::bytes(&address);
            let mut layout = (bytes.len() as u32).to_le_bytes().to_vec();
            layout.extend_from_slice(&bytes);
            let room = output.len.saturating_sub(at);
            output.write(k, at, layout.get(..room.min(layout.len())).unwrap_or_default())
        };
        place(k, self.receive, connection.local())?;
        place(k, self.receive + self.local, connection.peer())?;
        Ok(Some((STATUS_SUCCESS, count as u64)))
    }
}

fn connect(k: &mut Kernel, socket: &Socket, first: &[u8]) -> NtResult<Option<(NtStatus, u64)>> {
    let endpoint = socket.endpoint();
    match endpoint.connected() {
        None => Ok(None),
        Some(Err(status)) => {
            let mut state = socket.state.open();
            state.connecting = false;
            state.connect_error = Some(status);
            Err(status)
        }
        Some(Ok(())) => {
            {
                let mut state = socket.state.open();
                state.connecting = false;
                state.connected_at = Some(k.host.interrupt_time());
            }
            let sent = if first.is_empty() {
                0
            } else {
                endpoint.send(first, None, false)?.unwrap_or_default()
            };
            Ok(Some((STATUS_SUCCESS, sent as u64)))
        }
    }
}

impl Send {
    fn attempt(&mut self, socket: &Socket, partly: bool) -> NtResult<Option<(NtStatus, u64)>> {
        let endpoint = socket.endpoint();
        loop {
            let rest = self.bytes.get(self.done..).unwrap_or_default();
            match endpoint.send(rest, self.to, self.urgent)? {
                Some(count) => self.done += count,
                None if partly && self.done > 0 => break,
                None => {
                    socket.enable(bits::WRITE);
                    return Ok(None);
                }
            }
            if self.done >= self.bytes.len() || socket.kind == Kind::Datagram {
                break;
            }
        }
        Ok(Some((STATUS_SUCCESS, self.done as u64)))
    }
}

impl ReceiveInto {
    fn attempt(
        &mut self,
        k: &mut Kernel,
        socket: &Socket,
        irp: &Irp,
        partly: bool,
    ) -> NtResult<Option<(NtStatus, u64)>> {
        let how = Receive { peek: self.flags & MSG_PEEK != 0, urgent: self.flags & MSG_OOB != 0 };
        let whole = self.flags & MSG_WAITALL != 0 && !how.peek && socket.kind == Kind::Stream;
        let endpoint = socket.endpoint();
        loop {
            let Some(received) = endpoint.receive(self.room - self.done, how)? else {
                return if partly && self.done > 0 { self.end(k, irp, 0) } else { Ok(None) };
            };
            self.scatter(k, irp, &received.bytes)?;
            self.done += received.bytes.len();
            if whole && self.done < self.room && !received.bytes.is_empty() {
                continue;
            }
            if let Some(from) = received.from {
                self.tell_address(k, irp, &address::bytes(&from))?;
            }
            if received.truncated {
                self.end(k, irp, MSG_PARTIAL)?;
                return Ok(Some((STATUS_BUFFER_OVERFLOW, self.done as u64)));
            }
            return self.end(k, irp, 0);
        }
    }

    fn end(&self, k: &mut Kernel, irp: &Irp, flags: u32) -> NtResult<Option<(NtStatus, u64)>> {
        if self.flags_at.0 != 0 {
            write_word(k, irp, self.flags_at, flags)?;
        }
        if self.control_at.0 != 0 {
            // No control messages are made: the buffer stays empty.
            write_word(k, irp, self.control_at, 0)?;
        }
        Ok(Some((STATUS_SUCCESS, self.done as u64)))
    }

    /// Stores bytes after those that are there already.
    fn scatter(&self, k: &mut Kernel, irp: &Irp, mut bytes: &[u8]) -> NtResult<()> {
        let mut skip = self.done;
        for (at, length) in &self.buffers {
            let used = skip.min(*length);
            skip -= used;
            let count = bytes.len().min(length - used);
            let (part, rest) = bytes.split_at(count);
            mm::copy_to(k, &irp.thread.process, Va(at.0.wrapping_add(used as u64)), part)?;
            bytes = rest;
        }
        Ok(())
    }

    fn tell_address(&self, k: &mut Kernel, irp: &Irp, bytes: &[u8]) -> NtResult<()> {
        if self.address_at.0 == 0 || self.address_length_at.0 == 0 {
            return Ok(());
        }
        let room = read_word(k, irp, self.address_length_at)? as usize;
        let part = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        mm::copy_to(k, &irp.thread.process, self.address_at, part)?;
        write_word(k, irp, self.address_length_at, bytes.len() as u32)
    }
}
