//! Sockets of the host under guest sockets: `--net user`.
//!
//! Key types: [`Outside`] (the sockets in use, by name), [`Remote`] (one of them as an endpoint). What the host cannot do
//! at once is watched; [`Outside::ready`] then has the guest's socket looked at again.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::host::net::{Carries, HostNetwork, HostOption, HostSocket};
use ntos::io::SocketUser;

use super::Afd;
use super::endpoint::*;
use super::socket::{Changes, Socket};

/// The most that is taken from the host at a time.
const PIECE: usize = 0x1_0000;

/// The sockets of the host that a machine uses.
pub struct Outside {
    network: Arc<dyn HostNetwork>,
    changes: Arc<Changes>,
    open: Guarded<BTreeMap<u64, Weak<Remote>>>,
    next: Guarded<u64>,
}

/// What the run loop tells of the host's sockets.
pub struct Listener {
    /// The driver, settled after each event.
    pub afd: Arc<Afd>,
    /// Whose sockets.
    pub outside: Arc<Outside>,
}

impl SocketUser for Listener {
    fn ready(&self, k: &mut Kernel, name: u64) {
        let remote = self.outside.open.open().get(&name).and_then(Weak::upgrade);
        if let Some(remote) = remote {
            *remote.watched.open() = (false, false);
            let owner = remote.owner.open().clone();
            self.outside.changes.add(owner);
        }
        self.afd.settle(k);
    }

    fn waits(&self) -> bool {
        let mut open = self.outside.open.open();
        open.retain(|_, remote| remote.strong_count() > 0);
        !open.is_empty()
    }
}

impl Outside {
    /// The host's network for a machine.
    pub fn new(network: Arc<dyn HostNetwork>, changes: Arc<Changes>) -> Arc<Self> {
        Arc::new(Outside { network, changes, open: Guarded::default(), next: Guarded::default() })
    }

    fn name(&self) -> u64 {
        let mut next = self.next.open();
        *next += 1;
        *next
    }

    /// A socket of the host.
    pub fn open(self: &Arc<Self>, kind: Kind, ipv6: bool) -> NtResult<Arc<Remote>> {
        let carries = match kind {
            Kind::Stream => Carries::Stream,
            Kind::Datagram => Carries::Datagrams,
        };
        let name = self.name();
        let socket = self.network.open(carries, ipv6, name).map_err(|error| status(&error))?;
        Ok(self.enter(kind, ipv6, name, socket))
    }

    fn enter(
        self: &Arc<Self>,
        kind: Kind,
        ipv6: bool,
        name: u64,
        socket: Arc<dyn HostSocket>,
    ) -> Arc<Remote> {
        let remote = Arc::new(Remote {
            outside: self.clone(),
            socket,
            kind,
            ipv6,
            owner: Guarded::default(),
            watched: Guarded::default(),
            state: Guarded::default(),
        });
        self.open.open().insert(name, Arc::downgrade(&remote));
        remote
    }
}

/// A socket of the host as an endpoint.
pub struct Remote {
    outside: Arc<Outside>,
    socket: Arc<dyn HostSocket>,
    kind: Kind,
    ipv6: bool,
    owner: Guarded<Weak<Socket>>,
    /// Reading and writing are watched.
    watched: Guarded<(bool, bool)>,
    state: Guarded<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    bound: bool,
    listening: bool,
    connecting: bool,
    outcome: Option<NtResult<()>>,
    ended: Directions,
}

/// The status of a host error.
fn status(error: &Error) -> NtStatus {
    match error.kind() {
        ErrorKind::ConnectionRefused => STATUS_CONNECTION_REFUSED,
        ErrorKind::ConnectionReset => STATUS_CONNECTION_RESET,
        ErrorKind::ConnectionAborted => STATUS_CONNECTION_ABORTED,
        ErrorKind::NotConnected => STATUS_INVALID_CONNECTION,
        ErrorKind::AddrInUse => STATUS_SHARING_VIOLATION,
        ErrorKind::AddrNotAvailable => STATUS_INVALID_ADDRESS_COMPONENT,
        ErrorKind::BrokenPipe => STATUS_CONNECTION_RESET,
        ErrorKind::TimedOut => STATUS_IO_TIMEOUT,
        ErrorKind::NetworkUnreachable => STATUS_NETWORK_UNREACHABLE,
        ErrorKind::HostUnreachable => STATUS_HOST_UNREACHABLE,
        ErrorKind::PermissionDenied => STATUS_ACCESS_DENIED,
        ErrorKind::OutOfMemory => STATUS_NO_MEMORY,
        ErrorKind::InvalidInput => STATUS_INVALID_PARAMETER,
        ErrorKind::Unsupported => STATUS_NOT_SUPPORTED,
        _ => STATUS_UNEXPECTED_NETWORK_ERROR,
    }
}

impl Remote {
    /// Has the host tell when it can go on.
    fn watch(&self, reading: bool, writing: bool) {
        let wanted = {
            let mut watched = self.watched.open();
            watched.0 |= reading;
            watched.1 |= writing;
            *watched
        };
        self.socket.watch(wanted.0, wanted.1);
    }

    /// A result, or `None` with the host watching.
    fn or_wait<T>(&self, result: std::io::Result<T>, reading: bool) -> NtResult<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.watch(reading, !reading);
                Ok(None)
            }
            Err(error) => Err(status(&error)),
        }
    }
}

impl Endpoint for Remote {
    fn bind(&self, address: SocketAddr, sharing: Sharing) -> NtResult<()> {
        if address.is_ipv6() != self.ipv6 {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        if self.state.open().bound {
            return Err(STATUS_ADDRESS_ALREADY_ASSOCIATED);
        }
        if sharing == Sharing::Reuse {
            self.socket.set(HostOption::Reuse, 1).map_err(|error| status(&error))?;
        }
        self.socket.bind(address).map_err(|error| status(&error))?;
        self.state.open().bound = true;
        Ok(())
    }

    fn listen(&self, backlog: u32) -> NtResult<()> {
        if !self.state.open().bound {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX).min(200);
        self.socket.listen(backlog).map_err(|error| status(&error))?;
        self.state.open().listening = true;
        Ok(())
    }

    fn accept(&self) -> NtResult<Option<Arc<dyn Endpoint>>> {
        if !self.state.open().listening {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let name = self.outside.name();
        let Some(socket) = self.or_wait(self.socket.accept(name), true)? else { return Ok(None) };
        let remote = self.outside.enter(self.kind, self.ipv6, name, socket);
        *remote.state.open() = State { bound: true, outcome: Some(Ok(())), ..State::default() };
        Ok(Some(remote))
    }

    fn connect(&self, to: SocketAddr) -> NtResult<()> {
        if self.kind == Kind::Datagram && to.ip().is_unspecified() {
            return self.socket.disconnect().map_err(|error| status(&error));
        }
        if self.kind == Kind::Stream && self.state.open().outcome == Some(Ok(())) {
            return Err(STATUS_CONNECTION_ACTIVE);
        }
        if to.ip().is_unspecified() || to.port() == 0 {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        let begun = self.socket.connect(to).map_err(|error| status(&error));
        let mut state = self.state.open();
        state.bound = true;
        state.connecting = self.kind == Kind::Stream && begun.is_ok();
        state.outcome = if state.connecting { None } else { Some(begun) };
        Ok(())
    }

    fn connected(&self) -> Option<NtResult<()>> {
        let State { connecting, outcome, .. } = *self.state.open();
        if !connecting {
            return outcome;
        }
        let ready = self.socket.readiness();
        if !ready.writable && !ready.failed {
            self.watch(false, true);
            return None;
        }
        let outcome = match self.socket.take_error() {
            Some(error) => Err(status(&error)),
            None => Ok(()),
        };
        let mut state = self.state.open();
        state.connecting = false;
        state.outcome = Some(outcome);
        Some(outcome)
    }

    fn send(&self, bytes: &[u8], to: Option<SocketAddr>, urgent: bool) -> NtResult<Option<usize>> {
        let state = *self.state.open();
        if state.ended.send {
            return Err(STATUS_PIPE_DISCONNECTED);
        }
        if self.kind == Kind::Stream && state.outcome != Some(Ok(())) {
            return Err(STATUS_INVALID_CONNECTION);
        }
        let to = to.filter(|_| self.kind == Kind::Datagram);
        let sent = self.or_wait(self.socket.send(bytes, to, urgent), false)?;
        self.state.open().bound = true;
        Ok(sent)
    }

    fn receive(&self, room: usize, how: Receive) -> NtResult<Option<Received>> {
        let state = *self.state.open();
        if state.ended.receive {
            return Err(STATUS_PIPE_DISCONNECTED);
        }
        if self.kind == Kind::Stream && state.outcome != Some(Ok(())) {
            return Err(STATUS_INVALID_CONNECTION);
        }
        if !state.bound {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if room == 0 && self.kind == Kind::Stream && !self.socket.readiness().readable {
            self.watch(true, false);
            return Ok(None);
        }
        let mut bytes = vec![0; room.min(PIECE)];
        let result = self.socket.receive(&mut bytes, how.peek, how.urgent);
        let Some((count, from)) = self.or_wait(result, true)? else { return Ok(None) };
        let truncated = count > bytes.len();
        bytes.truncate(count);
        let from = from.filter(|_| self.kind == Kind::Datagram);
        Ok(Some(Received { bytes, from, truncated }))
    }

    fn shutdown(&self, directions: Directions) -> NtResult<()> {
        let result = self.socket.shutdown(directions.receive, directions.send);
        if self.kind == Kind::Stream {
            result.map_err(|error| status(&error))?;
        }
        let mut state = self.state.open();
        state.ended.receive |= directions.receive;
        state.ended.send |= directions.send;
        Ok(())
    }

    fn close(&self, abort: bool) {
        if abort {
            self.socket.abort_on_close();
            return;
        }
        // The descriptor goes with the last reference, which a request in flight may still have.
        let _ = self.socket.shutdown(true, true);
    }

    fn local(&self) -> Option<SocketAddr> {
        let bound = self.state.open().bound;
        self.socket.local().ok().filter(|_| bound)
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer().ok()
    }

    fn readiness(&self) -> Readiness {
        let state = *self.state.open();
        let connected = self.kind == Kind::Datagram || state.outcome == Some(Ok(()));
        if !connected && !state.listening {
            return Readiness::default();
        }
        let host = self.socket.readiness();
        if !host.readable || (!host.writable && connected) {
            self.watch(!host.readable, !host.writable && connected);
        }
        let stream = self.kind == Kind::Stream;
        Readiness {
            readable: host.readable && connected && (!host.finished || self.available() > 0),
            urgent: host.urgent,
            writable: host.writable && connected,
            acceptable: host.readable && state.listening,
            finished: host.finished && stream && connected,
            reset: host.failed && stream && connected,
        }
    }

    fn available(&self) -> usize {
        self.socket.available()
    }

    fn tune(&self, option: Tuning, value: i32) -> NtResult<()> {
        let option = match option {
            Tuning::Broadcast => HostOption::Broadcast,
            Tuning::KeepAlive => HostOption::KeepAlive,
            Tuning::ReceiveBuffer => HostOption::ReceiveBuffer,
            Tuning::SendBuffer => HostOption::SendBuffer,
            Tuning::NoDelay => HostOption::NoDelay,
            Tuning::V6Only => HostOption::V6Only,
            Tuning::TimeToLive => HostOption::TimeToLive,
        };
        self.socket.set(option, value).map_err(|error| status(&error))
    }

    fn set_owner(&self, owner: Weak<Socket>) {
        *self.owner.open() = owner;
    }

    fn take_error(&self) -> Option<NtStatus> {
        Some(status(&self.socket.take_error()?))
    }
}
