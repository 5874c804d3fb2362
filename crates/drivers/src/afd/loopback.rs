//! The machine's own network: TCP and UDP on 127.0.0.0/8 and `::1`, without the host.
//!
//! Key types: [`Loopback`] (who has which port), [`Local`] (an endpoint). Whatever is not this machine is
//! `STATUS_NETWORK_UNREACHABLE`. There are no packets: sending puts bytes in the other side's queue.
//!
//! Invariants: the state of one endpoint is open at a time; who can go on is told through `Changes`, and the
//! socket layer looks again after each request.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::guarded::Guarded;

use super::address::{AF_INET, AF_INET6, loopback};
use super::endpoint::*;
use super::socket::{Changes, Socket};

/// Bytes a stream holds before its sender waits, and datagrams before they are lost.
const QUEUE: usize = 0x1_0000;
/// The largest datagram.
const DATAGRAM: usize = 65_507;
/// The first port given to those who do not name one: IANA's dynamic ports, as on Windows.
const FIRST_PORT: u16 = 49_152;

/// The network of a machine.
pub struct Loopback {
    bound: Guarded<Vec<Weak<Local>>>,
    next_port: Guarded<u16>,
    changes: Arc<Changes>,
}

impl Loopback {
    /// A network without sockets.
    pub fn new(changes: Arc<Changes>) -> Arc<Self> {
        Arc::new(Loopback {
            bound: Guarded::default(),
            next_port: Guarded::new(FIRST_PORT),
            changes,
        })
    }

    /// An endpoint.
    pub fn open(self: &Arc<Self>, kind: Kind, family: u16) -> Arc<Local> {
        Arc::new_cyclic(|own| Local {
            network: self.clone(),
            own: own.clone(),
            kind,
            family,
            state: Guarded::default(),
        })
    }

    fn bound(&self) -> Vec<Arc<Local>> {
        let mut bound = self.bound.open();
        bound.retain(|endpoint| endpoint.strong_count() > 0);
        bound.iter().filter_map(Weak::upgrade).collect()
    }

    /// Who receives what is sent to an address.
    fn find(
        &self,
        kind: Kind,
        to: SocketAddr,
        wants: impl Fn(&State) -> bool,
    ) -> Option<Arc<Local>> {
        let candidates = self.bound().into_iter().filter(|endpoint| {
            let state = endpoint.state.open();
            endpoint.kind == kind
                && wants(&state)
                && state.local.is_some_and(|local| {
                    local.port() == to.port()
                        && (local.ip() == to.ip() || endpoint.takes_any(&state, local, to))
                })
        });
        // An exact address goes before one that stands for any.
        candidates.max_by_key(|endpoint| {
            endpoint.state.open().local.is_some_and(|local| local.ip() == to.ip())
        })
    }

    fn free_port(&self, kind: Kind) -> NtResult<u16> {
        let used: Vec<u16> = self
            .bound()
            .iter()
            .filter(|endpoint| endpoint.kind == kind)
            .filter_map(|endpoint| Some(endpoint.state.open().local?.port()))
            .collect();
        let mut next = self.next_port.open();
        for _ in FIRST_PORT..=u16::MAX {
            let port = *next;
            *next = if port == u16::MAX { FIRST_PORT } else { port + 1 };
            if !used.contains(&port) {
                return Ok(port);
            }
        }
        Err(STATUS_TOO_MANY_ADDRESSES)
    }
}

/// An endpoint of the machine's own network.
pub struct Local {
    network: Arc<Loopback>,
    own: Weak<Local>,
    kind: Kind,
    family: u16,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    owner: Weak<Socket>,
    local: Option<SocketAddr>,
    sharing: Sharing,
    /// `IPV6_V6ONLY` is off.
    dual: bool,
    /// Connections that wait, and how many may.
    backlog: Option<(VecDeque<Arc<Local>>, usize)>,
    peer: Option<Peer>,
    outcome: Option<NtResult<()>>,
    stream: VecDeque<u8>,
    urgent: Option<u8>,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The other side sends nothing more.
    finished: bool,
    /// The other side is gone.
    reset: bool,
    ended: Directions,
    /// A datagram found nobody.
    error: Option<NtStatus>,
}

#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    /// The other end of a stream.
    end: Weak<Local>,
}

/// An address as the network knows it: IPv4 is IPv4 even when spelled in IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback()
}

impl Local {
    /// True if an endpoint on any address takes what is sent to this one.
    fn takes_any(&self, state: &State, local: SocketAddr, to: SocketAddr) -> bool {
        local.ip().is_unspecified()
            && (to.is_ipv6() == (self.family == AF_INET6) || (to.is_ipv4() && state.dual))
    }

    /// An address in the spelling of this endpoint's family.
    fn spelled(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(v4) if self.family == AF_INET6 => {
                SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), address.port())
            }
            _ => address,
        }
    }

    fn changed(&self) {
        let owner = self.state.open().owner.clone();
        self.network.changes.add(owner);
    }

    /// A port of its own, if it has none: the first send or connect takes one.
    fn bind_implicitly(&self, to: SocketAddr) -> NtResult<()> {
        if self.state.open().local.is_some() {
            return Ok(());
        }
        let ip = match (self.kind, to.ip()) {
            (Kind::Stream, IpAddr::V4(_)) => loopback(AF_INET),
            (Kind::Stream, IpAddr::V6(_)) => loopback(AF_INET6),
            (Kind::Datagram, _) => super::address::unspecified(self.family).ip(),
        };
        let port = self.network.free_port(self.kind)?;
        self.state.open().local = Some(SocketAddr::new(ip, port));
        self.network.bound.open().push(self.own.clone());
        Ok(())
    }

    /// Fails for an address that cannot be meant, or is not here.
    fn reach(&self, to: SocketAddr) -> NtResult<SocketAddr> {
        if to.is_ipv6() != (self.family == AF_INET6) {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        let to = canonical(to);
        if to.ip().is_unspecified() || to.port() == 0 {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        if is_here(to.ip()) { Ok(to) } else { Err(STATUS_NETWORK_UNREACHABLE) }
    }

    fn connect_stream(&self, to: SocketAddr) -> NtResult<()> {
        let listener = self.network.find(Kind::Stream, to, |state| state.backlog.is_some());
        let listener = listener.ok_or(STATUS_CONNECTION_REFUSED)?;
        let from = self.state.open().local.ok_or(STATUS_INVALID_PARAMETER)?;
        let from =
            if from.ip().is_unspecified() { SocketAddr::new(to.ip(), from.port()) } else { from };
        let accepted = self.network.open(Kind::Stream, listener.family);
        {
            let mut state = accepted.state.open();
            state.local = Some(to);
            state.peer = Some(Peer { address: from, end: self.own.clone() });
            state.outcome = Some(Ok(()));
        }
        {
            let mut state = listener.state.open();
            let (queue, limit) = state.backlog.as_mut().ok_or(STATUS_CONNECTION_REFUSED)?;
            if queue.len() >= *limit {
                return Err(STATUS_CONNECTION_REFUSED);
            }
            queue.push_back(accepted.clone());
        }
        {
            let mut state = self.state.open();
            state.local = Some(from);
            state.peer = Some(Peer { address: to, end: Arc::downgrade(&accepted) });
        }
        listener.changed();
        Ok(())
    }

    fn send_stream(&self, bytes: &[u8], urgent: bool) -> NtResult<Option<usize>> {
        let peer = {
            let state = self.state.open();
            if state.ended.send {
                return Err(STATUS_PIPE_DISCONNECTED);
            }
            if state.reset {
                return Err(STATUS_CONNECTION_RESET);
            }
            state.peer.clone().ok_or(STATUS_INVALID_CONNECTION)?
        };
        let Some(end) = peer.end.upgrade() else { return Err(STATUS_CONNECTION_RESET) };
        let count = {
            let mut state = end.state.open();
            if state.ended == (Directions { receive: true, send: true }) {
                return Err(STATUS_CONNECTION_RESET);
            }
            let mut normal = bytes;
            if urgent {
                let (last, rest) = bytes.split_last().ok_or(STATUS_INVALID_PARAMETER)?;
                if QUEUE.saturating_sub(state.stream.len()) < rest.len() {
                    return Ok(None);
                }
                state.urgent = Some(*last);
                normal = rest;
            }
            let count = QUEUE.saturating_sub(state.stream.len()).min(normal.len());
            if count == 0 && !normal.is_empty() {
                return Ok(None);
            }
            if !state.ended.receive {
                state.stream.extend(normal.iter().take(count));
            }
            count + usize::from(urgent)
        };
        end.changed();
        Ok(Some(count))
    }

    fn send_datagram(&self, bytes: &[u8], to: Option<SocketAddr>) -> NtResult<Option<usize>> {
        if bytes.len() > DATAGRAM {
            return Err(STATUS_INVALID_BUFFER_SIZE);
        }
        let connected = {
            let state = self.state.open();
            if state.ended.send {
                return Err(STATUS_PIPE_DISCONNECTED);
            }
            state.peer.as_ref().map(|peer| peer.address)
        };
        let to = match to {
            Some(to) => self.reach(to)?,
            None => connected.ok_or(STATUS_INVALID_CONNECTION)?,
        };
        self.bind_implicitly(to)?;
        let local = self.state.open().local.ok_or(STATUS_INVALID_PARAMETER)?;
        let ip = if local.ip().is_unspecified() { to.ip() } else { local.ip() };
        let from = SocketAddr::new(ip, local.port());
        let receiver = self.network.find(Kind::Datagram, to, |state| {
            state.peer.as_ref().is_none_or(|peer| peer.address == from)
        });
        match receiver {
            Some(receiver) => {
                {
                    let mut state = receiver.state.open();
                    let held: usize = state.datagrams.iter().map(|(_, data)| data.len() + 64).sum();
                    // What has no room is lost, as datagrams are.
                    if held < QUEUE && !state.ended.receive {
                        state.datagrams.push_back((from, bytes.to_vec()));
                    }
                }
                receiver.changed();
            }
            // DEVIATION: Windows tells sockets without a partner, too, unless SIO_UDP_CONNRESET is off; the userland
            // keeps that switch to itself, so only those with a partner hear of it.
            None if connected.is_some() => {
                self.state.open().error = Some(STATUS_CONNECTION_RESET);
                self.changed();
            }
            None => {}
        }
        Ok(Some(bytes.len()))
    }

    fn receive_stream(&self, room: usize, how: Receive) -> NtResult<Option<Received>> {
        let (received, peer) = {
            let mut state = self.state.open();
            let peer = state.peer.clone().ok_or(STATUS_INVALID_CONNECTION)?;
            if how.urgent {
                let byte = if how.peek { state.urgent } else { state.urgent.take() };
                return match byte {
                    Some(byte) => Ok(Some(Received { bytes: vec![byte], ..Received::default() })),
                    None => Err(STATUS_INVALID_PARAMETER),
                };
            }
            if state.ended.receive {
                return Err(STATUS_PIPE_DISCONNECTED);
            }
            if state.reset {
                return Err(STATUS_CONNECTION_RESET);
            }
            // Receiving nothing waits for something, too: event loops wait for data so without a buffer.
            if state.stream.is_empty() && !state.finished {
                return Ok(None);
            }
            let count = room.min(state.stream.len());
            let bytes: Vec<u8> = if how.peek {
                state.stream.iter().take(count).copied().collect()
            } else {
                state.stream.drain(..count).collect()
            };
            (Received { bytes, ..Received::default() }, peer)
        };
        if !how.peek
            && let Some(end) = peer.end.upgrade()
        {
            // There is room again.
            end.changed();
        }
        Ok(Some(received))
    }

    fn receive_datagram(&self, room: usize, how: Receive) -> NtResult<Option<Received>> {
        let mut state = self.state.open();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.ended.receive {
            return Err(STATUS_PIPE_DISCONNECTED);
        }
        if state.local.is_none() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let next =
            if how.peek { state.datagrams.front().cloned() } else { state.datagrams.pop_front() };
        Ok(next.map(|(from, mut bytes)| {
            let truncated = bytes.len() > room;
            bytes.truncate(room);
            Received { bytes, from: Some(self.spelled(from)), truncated }
        }))
    }

    /// The other side hears that this one sends nothing more, or is gone.
    fn tell_peer(&self, reset: bool) {
        let end = self.state.open().peer.as_ref().and_then(|peer| peer.end.upgrade());
        if let Some(end) = end {
            {
                let mut state = end.state.open();
                state.finished = true;
                state.reset |= reset;
            }
            end.changed();
        }
    }
}

impl Endpoint for Local {
    fn bind(&self, address: SocketAddr, sharing: Sharing) -> NtResult<()> {
        if address.is_ipv6() != (self.family == AF_INET6) {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        if self.state.open().local.is_some() {
            return Err(STATUS_ADDRESS_ALREADY_ASSOCIATED);
        }
        let mut address = canonical(address);
        if !address.ip().is_unspecified() && !is_here(address.ip()) {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        if address.port() == 0 {
            address.set_port(self.network.free_port(self.kind)?);
        }
        for other in self.network.bound() {
            let state = other.state.open();
            let Some(theirs) = state.local else { continue };
            if other.kind != self.kind
                || theirs.port() != address.port()
                || other.family != self.family
            {
                continue;
            }
            let same = theirs.ip() == address.ip();
            let overlap = same || theirs.ip().is_unspecified() || address.ip().is_unspecified();
            let exclusive = Sharing::Exclusive;
            if overlap && state.sharing == exclusive && sharing == Sharing::Reuse {
                return Err(STATUS_ACCESS_DENIED);
            }
            let either_exclusive = state.sharing == exclusive || sharing == exclusive;
            if (overlap && either_exclusive) || (same && sharing != Sharing::Reuse) {
                return Err(STATUS_SHARING_VIOLATION);
            }
        }
        {
            let mut state = self.state.open();
            state.local = Some(address);
            state.sharing = sharing;
        }
        self.network.bound.open().push(self.own.clone());
        Ok(())
    }

    fn listen(&self, backlog: u32) -> NtResult<()> {
        let mut state = self.state.open();
        if self.kind != Kind::Stream {
            return Err(STATUS_NOT_SUPPORTED);
        }
        if state.peer.is_some() {
            return Err(STATUS_CONNECTION_ACTIVE);
        }
        if state.local.is_none() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        // Windows keeps between 1 and 200 waiting by default, as Winsock's SOMAXCONN asks.
        let limit = (backlog as usize).clamp(1, 200);
        match &mut state.backlog {
            Some((_, known)) => *known = limit,
            none => *none = Some((VecDeque::new(), limit)),
        }
        Ok(())
    }

    fn accept(&self) -> NtResult<Option<Arc<dyn Endpoint>>> {
        let mut state = self.state.open();
        let (queue, _) = state.backlog.as_mut().ok_or(STATUS_INVALID_PARAMETER)?;
        Ok(queue.pop_front().map(|local| local as Arc<dyn Endpoint>))
    }

    fn connect(&self, to: SocketAddr) -> NtResult<()> {
        {
            let state = self.state.open();
            if state.backlog.is_some() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            if self.kind == Kind::Stream && state.peer.is_some() {
                return Err(STATUS_CONNECTION_ACTIVE);
            }
        }
        if self.kind == Kind::Datagram && to.ip().is_unspecified() {
            self.state.open().peer = None;
            return Ok(());
        }
        let to = self.reach(to)?;
        self.bind_implicitly(to)?;
        if self.kind == Kind::Datagram {
            let mut state = self.state.open();
            if let Some(local) = &mut state.local
                && local.ip().is_unspecified()
            {
                local.set_ip(match to.ip() {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    v6 => v6,
                });
            }
            state.peer = Some(Peer { address: to, end: Weak::new() });
            state.outcome = Some(Ok(()));
            return Ok(());
        }
        let outcome = self.connect_stream(to);
        self.state.open().outcome = Some(outcome);
        self.changed();
        Ok(())
    }

    fn connected(&self) -> Option<NtResult<()>> {
        self.state.open().outcome
    }

    fn send(&self, bytes: &[u8], to: Option<SocketAddr>, urgent: bool) -> NtResult<Option<usize>> {
        match self.kind {
            Kind::Stream => self.send_stream(bytes, urgent),
            Kind::Datagram if urgent => Err(STATUS_NOT_SUPPORTED),
            Kind::Datagram => self.send_datagram(bytes, to),
        }
    }

    fn receive(&self, room: usize, how: Receive) -> NtResult<Option<Received>> {
        match self.kind {
            Kind::Stream => self.receive_stream(room, how),
            Kind::Datagram if how.urgent => Err(STATUS_NOT_SUPPORTED),
            Kind::Datagram => self.receive_datagram(room, how),
        }
    }

    fn shutdown(&self, directions: Directions) -> NtResult<()> {
        {
            let mut state = self.state.open();
            if self.kind == Kind::Stream && state.peer.is_none() {
                return Err(STATUS_INVALID_CONNECTION);
            }
            state.ended.receive |= directions.receive;
            state.ended.send |= directions.send;
            if directions.receive {
                state.stream.clear();
            }
        }
        if directions.send && self.kind == Kind::Stream {
            self.tell_peer(false);
        }
        self.changed();
        Ok(())
    }

    fn close(&self, abort: bool) {
        let (backlog, unread) = {
            let mut state = self.state.open();
            state.ended = Directions { receive: true, send: true };
            (state.backlog.take(), !state.stream.is_empty())
        };
        if self.kind == Kind::Stream {
            self.tell_peer(abort || unread);
        }
        for waiting in backlog.into_iter().flat_map(|(queue, _)| queue) {
            waiting.close(true);
        }
        let mut bound = self.network.bound.open();
        bound.retain(|other| !Weak::ptr_eq(other, &self.own));
    }

    fn local(&self) -> Option<SocketAddr> {
        let local = self.state.open().local?;
        if local.ip().is_unspecified() { Some(local) } else { Some(self.spelled(local)) }
    }

    fn peer(&self) -> Option<SocketAddr> {
        let address = self.state.open().peer.as_ref()?.address;
        Some(self.spelled(address))
    }

    fn readiness(&self) -> Readiness {
        let (mut ready, peer) = {
            let state = self.state.open();
            let ready = Readiness {
                readable: !state.stream.is_empty()
                    || !state.datagrams.is_empty()
                    || state.error.is_some(),
                urgent: state.urgent.is_some(),
                writable: self.kind == Kind::Datagram,
                acceptable: state.backlog.as_ref().is_some_and(|(queue, _)| !queue.is_empty()),
                finished: state.finished,
                reset: state.reset,
            };
            (ready, state.peer.clone())
        };
        if self.kind == Kind::Stream
            && let Some(peer) = peer
        {
            let end = peer.end.upgrade();
            ready.writable = end.is_none_or(|end| end.state.open().stream.len() < QUEUE);
        }
        ready
    }

    fn available(&self) -> usize {
        let state = self.state.open();
        match self.kind {
            Kind::Stream => state.stream.len(),
            Kind::Datagram => state.datagrams.front().map_or(0, |(_, data)| data.len()),
        }
    }

    fn tune(&self, option: Tuning, value: i32) -> NtResult<()> {
        if option == Tuning::V6Only {
            self.state.open().dual = value == 0;
        }
        Ok(())
    }

    fn set_owner(&self, owner: Weak<Socket>) {
        self.state.open().owner = owner;
    }
}
