//! Sockets: `\Device\Afd`.
//!
//! Key types: [`Afd`] (the device), [`socket::Socket`], [`endpoint::Endpoint`] (what a socket stands on: the machine's own
//! network, [`loopback`], or a socket of the host, [`outside`]), [`transfer::Work`] (a request that may wait).
//!
//! Invariants: nothing here blocks; what waits is tried again when its endpoint changed, after the request that changed
//! it ([`Afd::settle`]), so that sockets never call into each other.
//!
//! A worked path, "`recv` before the other side's `send`": the receive's [`transfer::Work`] finds an empty stream and is
//! kept; the `send` of the other socket puts bytes into the stream and marks the receiver as changed; before that
//! request returns, `settle` tries the receive again, which stores the bytes and completes the request.
//!
//! Sources: the public headers `winsock2.h` and `mswsock.h`; the codes and layouts are observed from the userland.

pub mod address;
pub mod endpoint;
pub mod loopback;
mod options;
mod outside;
mod poll;
mod socket;
mod transfer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::io::device::{Created, Device, Driver, OpenFile, add_device};
use ntos::io::irp::{IoResult, Irp, Outcome, Request};
use ntos::io::{CreateRequest, FileFacts};
use ntos::ob::ObRef;

use address::{AF_INET, AF_INET6, take, word};
use endpoint::{Directions, Endpoint, Kind, Tuning};
use loopback::Loopback;
use outside::{Listener, Outside};
use poll::Poll;
use socket::{Changes, Socket};
use transfer::Work;

/// Control codes: AFD's own, then those that the userland adds.
mod code {
    pub const BIND: u32 = 0x1_2003;
    pub const LISTEN: u32 = 0x1_200B;
    pub const POLL: u32 = 0x1_2024;
    pub const GET_SOCK_NAME: u32 = 0x1_202F;
    pub const EVENT_SELECT: u32 = 0x1_2087;
    pub const GET_EVENTS: u32 = 0x1_208B;
    pub const CREATE: u32 = 0x12_0320;
    pub const ACCEPT: u32 = 0x12_0324;
    pub const ACCEPT_INTO: u32 = 0x12_0328;
    pub const CONNECT: u32 = 0x12_032C;
    pub const SHUTDOWN: u32 = 0x12_0330;
    pub const RECEIVE_MESSAGE: u32 = 0x12_0334;
    pub const SEND_MESSAGE: u32 = 0x12_0338;
    pub const ADDRESS_LIST_CHANGE: u32 = 0x12_0340;
    pub const FIONBIO: u32 = 0x12_0344;
    pub const COMPLETE: u32 = 0x12_0348;
    pub const FIONREAD: u32 = 0x12_034C;
    pub const SIOCATMARK: u32 = 0x12_0350;
    pub const KEEPALIVE_VALUES: u32 = 0x12_0358;
    pub const GET_PEER_NAME: u32 = 0x12_0360;
    pub const GET_INFO: u32 = 0x12_0368;
}

const WSAEPROTONOSUPPORT: u32 = 10043;
const WSAEAFNOSUPPORT: u32 = 10047;

/// A Winsock error as a status, where Winsock has no status of its own for it: facility NTWIN32.
fn winsock(error: u32) -> abi::NtStatus {
    abi::NtStatus(0xC007_0000 | error)
}

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;

/// The device's state.
pub struct Afd {
    changes: Arc<Changes>,
    loopback: Arc<Loopback>,
    /// The host's network takes the place of the machine's own.
    outside: Option<Arc<Outside>>,
    polls: Guarded<Vec<Arc<Poll>>>,
}

struct AfdDriver(Arc<Afd>);

/// Makes `\Device\Afd`.
pub fn add(k: &mut Kernel) -> NtResult<ObRef<Device>> {
    let changes = Arc::<Changes>::default();
    let loopback = Loopback::new(changes.clone());
    let outside = k.host.network().map(|network| Outside::new(network, changes.clone()));
    let polls = Guarded::default();
    let afd = Arc::new(Afd { changes, loopback, outside: outside.clone(), polls });
    if let Some(outside) = outside {
        k.io.sockets = Some(Arc::new(Listener { afd: afd.clone(), outside }));
    }
    add_device(k, "\\Device\\Afd", FILE_DEVICE_NAMED_PIPE, 0, Arc::new(AfdDriver(afd)))
}

impl Driver for AfdDriver {
    fn name(&self) -> &'static str {
        "afd"
    }

    fn create(
        &self,
        _k: &mut Kernel,
        _device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<Created> {
        // Any name on the device opens it: event loops use one of their own.
        let ops = Box::new(SocketFile { afd: self.0.clone(), socket: Guarded::default() });
        Ok(Created { ops, information: FILE_OPENED, access: request.access })
    }
}

/// An open file of the device: a socket once it was told which.
pub struct SocketFile {
    afd: Arc<Afd>,
    socket: Guarded<Option<Arc<Socket>>>,
}

/// The socket behind a file.
fn socket_of(ops: &dyn OpenFile) -> Option<Arc<Socket>> {
    let file: &SocketFile = (ops as &dyn std::any::Any).downcast_ref()?;
    file.socket.open().clone()
}

impl SocketFile {
    /// A file of a socket.
    fn with(afd: &Arc<Afd>, socket: Arc<Socket>) -> Self {
        SocketFile { afd: afd.clone(), socket: Guarded::new(Some(socket)) }
    }

    fn socket(&self) -> NtResult<Arc<Socket>> {
        self.socket.open().clone().ok_or(STATUS_INVALID_PARAMETER)
    }

    /// Makes the file a socket: family, type, protocol, flags.
    fn create(&self, _k: &mut Kernel, input: &[u8]) -> IoResult {
        let (family, socket_type, protocol) = (word(input, 0)?, word(input, 4)?, word(input, 8)?);
        let family = match u16::try_from(family) {
            Ok(family @ (AF_INET | AF_INET6)) => family,
            _ => return Err(winsock(WSAEAFNOSUPPORT)),
        };
        let kind = match (socket_type, protocol) {
            (SOCK_STREAM, 0 | IPPROTO_TCP) => Kind::Stream,
            (SOCK_DGRAM, 0 | IPPROTO_UDP) => Kind::Datagram,
            _ => return Err(winsock(WSAEPROTONOSUPPORT)),
        };
        if self.socket.open().is_some() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let endpoint: Arc<dyn Endpoint> = match &self.afd.outside {
            Some(outside) => outside.open(kind, family == AF_INET6)?,
            None => self.afd.loopback.open(kind, family),
        };
        let description = (family, kind, socket_type, protocol);
        *self.socket.open() = Some(Socket::new(&self.afd, description, endpoint));
        Outcome::ok(0)
    }

    fn control(&self, k: &mut Kernel, irp: &Arc<Irp>, input_at: Va) -> IoResult {
        let (code, input, _) = irp.control()?;
        match code {
            code::CREATE => return self.create(k, input),
            code::POLL => return self.afd.poll(k, irp),
            code::COMPLETE => {
                // The userland answered itself and wants the request to end like any other.
                return Ok(Outcome::Done(abi::NtStatus(word(input, 0)?), 0));
            }
            _ => {}
        }
        let socket = self.socket()?;
        let endpoint = socket.endpoint();
        match code {
            code::BIND => {
                let address = address::parse(input.get(4..).unwrap_or_default())?;
                endpoint.bind(address, socket.sharing())?;
                let bound = endpoint.local().ok_or(STATUS_INVALID_PARAMETER)?;
                irp.answer(k, &address::bytes(&bound))
            }
            code::LISTEN => {
                endpoint.listen(word(input, 4)?)?;
                socket.state.open().listening = true;
                Outcome::ok(0)
            }
            code::GET_SOCK_NAME => {
                let local = endpoint.local().ok_or(STATUS_INVALID_PARAMETER)?;
                irp.answer(k, &address::bytes(&local))
            }
            code::GET_PEER_NAME => {
                let peer = endpoint.peer().ok_or(STATUS_INVALID_CONNECTION)?;
                irp.answer(k, &address::bytes(&peer))
            }
            code::ACCEPT => socket.start(k, irp, Work::Accept, false),
            code::ACCEPT_INTO => {
                let work = Work::accept_into(irp, input)?;
                socket.start(k, irp, work, true)
            }
            code::CONNECT => connect(k, &socket, irp, input),
            code::SEND_MESSAGE => {
                let (work, overlapped) = Work::send(k, irp, input)?;
                socket.start(k, irp, work, overlapped)
            }
            code::RECEIVE_MESSAGE => {
                let (work, overlapped) = Work::receive(k, irp, input)?;
                socket.start(k, irp, work, overlapped)
            }
            code::SHUTDOWN => {
                let directions = match word(input, 0)? {
                    0 => Directions { receive: true, send: false },
                    1 => Directions { receive: false, send: true },
                    2 => Directions { receive: true, send: true },
                    _ => return Err(STATUS_INVALID_PARAMETER),
                };
                endpoint.shutdown(directions)?;
                Outcome::ok(0)
            }
            code::EVENT_SELECT => socket.event_select(k, irp),
            code::GET_EVENTS => socket.get_events(k, irp, input_at),
            code::FIONBIO => {
                let nonblocking = word(input, 0)? != 0;
                let selected = socket.state.open().selection.mask != 0;
                if !nonblocking && selected {
                    return Err(STATUS_INVALID_PARAMETER);
                }
                socket.state.open().nonblocking = nonblocking;
                Outcome::ok(0)
            }
            code::FIONREAD => {
                let count = u32::try_from(endpoint.available()).unwrap_or(u32::MAX);
                irp.answer(k, &count.to_le_bytes())
            }
            // True when no urgent data waits.
            code::SIOCATMARK => {
                let at_mark = u32::from(!endpoint.readiness().urgent);
                irp.answer(k, &at_mark.to_le_bytes())
            }
            code::KEEPALIVE_VALUES => {
                endpoint.tune(Tuning::KeepAlive, i32::from(word(input, 0)? != 0))?;
                Outcome::ok(0)
            }
            code::GET_INFO => {
                let words = [u32::from(socket.family), socket.socket_type, socket.protocol];
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                irp.answer(k, &bytes)
            }
            // The addresses of a machine do not change: this waits until it is cancelled.
            code::ADDRESS_LIST_CHANGE if !socket.state.open().nonblocking => Ok(Outcome::Pending),
            code::ADDRESS_LIST_CHANGE => Err(STATUS_DEVICE_NOT_READY),
            _ => match socket.option_code(k, irp, code, input) {
                Some(result) => result,
                None => {
                    k.notice_once(format!("afd: control {code:#x} is not implemented"));
                    Err(STATUS_NOT_SUPPORTED)
                }
            },
        }
    }
}

/// `connect` and `ConnectEx`: the address's length, "wait", the address, what is sent first.
fn connect(k: &mut Kernel, socket: &Arc<Socket>, irp: &Arc<Irp>, input: &[u8]) -> IoResult {
    let length = word(input, 0)? as usize;
    let overlapped = u32::from_le_bytes(take(input, 4)?) == 0;
    let end = length.checked_add(8).ok_or(STATUS_INVALID_PARAMETER)?;
    let to = address::parse(input.get(8..end).ok_or(STATUS_INVALID_PARAMETER)?)?;
    let first = input.get(end..).unwrap_or_default().to_vec();
    {
        let mut state = socket.state.open();
        if state.connecting {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        // ConnectEx wants a bound socket.
        let unbound = overlapped && state.endpoint.local().is_none();
        if state.listening || unbound {
            return Err(STATUS_INVALID_PARAMETER);
        }
        state.connect_error = None;
        state.connecting = true;
    }
    if let Err(status) = socket.endpoint().connect(to) {
        socket.state.open().connecting = false;
        return Err(status);
    }
    let nonblocking = socket.state.open().nonblocking;
    if nonblocking && !overlapped && socket.kind == Kind::Stream {
        // Even where the end is known already: Winsock promises an event for it.
        socket.afd.changes.add(socket.own.clone());
        return Err(STATUS_DEVICE_NOT_READY);
    }
    socket.afd.changes.add(socket.own.clone());
    socket.start(k, irp, Work::Connect(first), overlapped)
}

impl OpenFile for SocketFile {
    fn device_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Control { input_at, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let result = self.control(k, irp, *input_at);
        self.afd.settle(k);
        result
    }

    fn read(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Read { buffer, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let work = Work::read(buffer.at, buffer.len);
        let result = self.socket()?.start(k, irp, work, true);
        self.afd.settle(k);
        result
    }

    fn write(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Write { buffer, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let bytes = buffer.read_all(k)?;
        let result = self.socket()?.start(k, irp, Work::write(bytes), true);
        self.afd.settle(k);
        result
    }

    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        let attributes = FILE_ATTRIBUTE_NORMAL;
        Ok(FileFacts { attributes, links: 1, ..FileFacts::default() })
    }

    fn cleanup(&self, k: &mut Kernel) {
        let socket = self.socket.open().take();
        if let Some(socket) = socket {
            socket.close();
        }
        self.afd.settle(k);
    }
}
