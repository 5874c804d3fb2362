//! A socket: what waits on it, what it tells, its options.
//!
//! Key types: [`Socket`], [`Changes`] (sockets to look at again), [`Work`] (a request and how to try it). A request is
//! tried at once, and again whenever the endpoint changed; requests of one direction keep their order.
//!
//! Invariants: neither a socket's nor an endpoint's state is open while another socket's code runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use abi::NtStatus;
use abi::status_table::*;
use ntos::Kernel;
use ntos::ex::event::Event;
use ntos::guarded::Guarded;
use ntos::io::irp::{self, IoResult, Irp, Outcome};
use ntos::ke::event::ke_set_event;
use ntos::ob::ObRef;

use super::Afd;
use super::endpoint::{Endpoint, Kind, Readiness, Sharing};
use super::poll::bits;
use super::transfer::{Direction, Work};

/// Statuses that `AFD_ENUM_NETWORK_EVENTS` reports, one for each event bit.
pub const EVENTS: usize = 13;

/// Sockets whose endpoint has changed.
#[derive(Default)]
pub struct Changes(Guarded<Vec<Weak<Socket>>>);

impl Changes {
    /// A socket has to be looked at.
    pub fn add(&self, socket: Weak<Socket>) {
        self.0.open().push(socket);
    }

    fn take(&self) -> Vec<Arc<Socket>> {
        std::mem::take(&mut *self.0.open()).iter().filter_map(Weak::upgrade).collect()
    }
}

/// A socket.
pub struct Socket {
    /// The driver.
    pub afd: Arc<Afd>,
    /// Itself.
    pub own: Weak<Socket>,
    /// `AF_…`, `SOCK_…` and `IPPROTO_…` as the program gave them.
    pub family: u16,
    /// Stream or datagrams.
    pub kind: Kind,
    /// `SOCK_…`.
    pub socket_type: u32,
    /// `IPPROTO_…`.
    pub protocol: u32,
    /// The rest.
    pub state: Guarded<SocketState>,
}

/// The part of a socket that changes.
pub struct SocketState {
    /// What it stands on.
    pub endpoint: Arc<dyn Endpoint>,
    /// Requests fail instead of waiting, unless they are overlapped.
    pub nonblocking: bool,
    /// Values of options by the number of the code that gets them.
    pub options: BTreeMap<u32, u32>,
    /// A connection was begun here and its end was not reported.
    pub connecting: bool,
    /// How the last connection failed.
    pub connect_error: Option<NtStatus>,
    /// When it was connected, interrupt time.
    pub connected_at: Option<u64>,
    /// It listens.
    pub listening: bool,
    /// Its last handle is closed.
    pub closed: bool,
    /// `WSAEventSelect`.
    pub selection: Selection,
    waiting: Vec<(Arc<Irp>, Work)>,
}

/// What `WSAEventSelect` asked for.
#[derive(Default)]
pub struct Selection {
    /// The event that is set.
    pub event: Option<ObRef<Event>>,
    /// Event bits wanted.
    pub mask: u32,
    /// Event bits to report.
    pub pending: u32,
    /// Their statuses.
    pub statuses: [NtStatus; EVENTS],
    /// Event bits that were reported and that no call has enabled again.
    pub told: u32,
}

impl Socket {
    /// A socket on an endpoint.
    pub fn new(
        afd: &Arc<Afd>,
        (family, kind, socket_type, protocol): (u16, Kind, u32, u32),
        endpoint: Arc<dyn Endpoint>,
    ) -> Arc<Self> {
        let socket = Arc::new_cyclic(|own| Socket {
            afd: afd.clone(),
            own: own.clone(),
            family,
            kind,
            socket_type,
            protocol,
            state: Guarded::new(SocketState {
                endpoint: endpoint.clone(),
                nonblocking: false,
                options: BTreeMap::new(),
                connecting: false,
                connect_error: None,
                connected_at: None,
                listening: false,
                closed: false,
                selection: Selection::default(),
                waiting: Vec::new(),
            }),
        });
        endpoint.set_owner(Arc::downgrade(&socket));
        socket
    }

    /// What it stands on.
    pub fn endpoint(&self) -> Arc<dyn Endpoint> {
        self.state.open().endpoint.clone()
    }

    /// Puts a connection under the socket: `AcceptEx`.
    pub fn adopt(self: &Arc<Self>, endpoint: Arc<dyn Endpoint>) {
        endpoint.set_owner(Arc::downgrade(self));
        self.state.open().endpoint = endpoint;
    }

    /// How its port may be shared.
    pub fn sharing(&self) -> Sharing {
        let state = self.state.open();
        let is_set = |code: u32| state.options.get(&code).is_some_and(|value| *value != 0);
        if is_set(super::options::EXCLUSIVE) {
            Sharing::Exclusive
        } else if is_set(super::options::REUSE) {
            Sharing::Reuse
        } else {
            Sharing::Default
        }
    }

    /// Tries a request; one that has to wait is kept, or refused on a socket that does not block.
    pub fn start(
        &self,
        k: &mut Kernel,
        irp: &Arc<Irp>,
        mut work: Work,
        overlapped: bool,
    ) -> IoResult {
        // What the request leaves may have to be reported again.
        self.afd.changes.add(self.own.clone());
        let direction = work.direction();
        let behind = {
            let state = self.state.open();
            let mut others = state.waiting.iter();
            direction != Direction::Connect
                && others.any(|(other, work)| work.direction() == direction && !other.is_done())
        };
        let nonblocking = self.state.open().nonblocking && !overlapped;
        if !behind {
            self.enable(work.events());
            if let Some((status, information)) = work.attempt(k, self, irp, nonblocking)? {
                return Ok(Outcome::Done(status, information));
            }
        }
        if nonblocking {
            return Err(STATUS_DEVICE_NOT_READY);
        }
        let limit = match direction {
            _ if overlapped => 0,
            Direction::In => self.option(super::options::RECEIVE_TIMEOUT),
            Direction::Out => self.option(super::options::SEND_TIMEOUT),
            Direction::Connect => 0,
        };
        self.state.open().waiting.push((irp.clone(), work));
        if limit != 0 {
            let deadline = k.host.interrupt_time().saturating_add(u64::from(limit) * 10_000);
            irp::expire_at(k, irp, deadline, STATUS_IO_TIMEOUT);
        }
        Ok(Outcome::Pending)
    }

    fn option(&self, code: u32) -> u32 {
        self.state.open().options.get(&code).copied().unwrap_or_default()
    }

    /// A call lets event bits be reported again.
    pub fn enable(&self, bits: u32) {
        self.state.open().selection.told &= !bits;
    }

    /// The `AFD_POLL_…` bits that hold now, with the status of a failed connection.
    pub fn events(&self) -> (u32, NtStatus) {
        let (endpoint, connecting, failed, connected, closed) = {
            let state = self.state.open();
            let connected = state.connected_at.is_some() && !state.connecting;
            let endpoint = state.endpoint.clone();
            (endpoint, state.connecting, state.connect_error, connected, state.closed)
        };
        if closed {
            return (bits::CLOSE, STATUS_SUCCESS);
        }
        if let Some(status) = failed {
            return (bits::CONNECT_ERR, status);
        }
        if connecting {
            return (0, STATUS_SUCCESS);
        }
        let Readiness { readable, urgent, writable, acceptable, finished, reset } =
            endpoint.readiness();
        let all = [
            (readable, bits::READ),
            (urgent, bits::OOB),
            (writable, bits::WRITE),
            (finished && !reset, bits::HUP),
            (reset, bits::RESET),
            (connected, bits::CONNECT),
            (acceptable, bits::ACCEPT),
        ];
        let set = all.iter().filter(|(holds, _)| *holds).fold(0, |set, (_, bit)| set | bit);
        (set, STATUS_SUCCESS)
    }

    /// Notes how a connection ended that was begun here.
    fn note_connection(&self, k: &mut Kernel) {
        let endpoint = {
            let state = self.state.open();
            if !state.connecting {
                return;
            }
            state.endpoint.clone()
        };
        let Some(outcome) = endpoint.connected() else { return };
        let now = k.host.interrupt_time();
        let mut state = self.state.open();
        state.connecting = false;
        match outcome {
            Ok(()) => state.connected_at = Some(now),
            Err(status) => state.connect_error = Some(status),
        }
    }

    /// Looks again at what waits: the endpoint has changed.
    pub fn progress(&self, k: &mut Kernel) {
        self.note_connection(k);
        let waiting = std::mem::take(&mut self.state.open().waiting);
        let mut kept: Vec<(Arc<Irp>, Work)> = Vec::new();
        for (irp, mut work) in waiting {
            if irp.is_done() {
                continue;
            }
            let direction = work.direction();
            let behind = direction != Direction::Connect
                && kept.iter().any(|(_, other)| other.direction() == direction);
            let result = if behind { Ok(None) } else { work.attempt(k, self, &irp, false) };
            match result {
                Ok(None) => kept.push((irp, work)),
                Ok(Some((status, information))) => irp::complete(k, &irp, status, information),
                Err(status) => irp::complete(k, &irp, status, 0),
            }
        }
        let mut state = self.state.open();
        kept.append(&mut state.waiting);
        state.waiting = kept;
        drop(state);
        self.report(k);
    }

    /// Sets the event of `WSAEventSelect` for what is new.
    pub fn report(&self, k: &mut Kernel) {
        let (holds, status) = self.events();
        let event = {
            let mut state = self.state.open();
            let selection = &mut state.selection;
            let new = holds & selection.mask & !selection.told;
            if new == 0 {
                return;
            }
            selection.told |= new;
            selection.pending |= new;
            for (bit, place) in selection.statuses.iter_mut().enumerate() {
                if new & (1 << bit) != 0 {
                    let reset = (1 << bit) == bits::RESET;
                    *place = if reset { STATUS_CONNECTION_RESET } else { status };
                }
            }
            selection.event.clone()
        };
        if let Some(event) = event {
            ke_set_event(k, event.header.dispatcher(), 1);
        }
    }

    /// The last handle is closed.
    pub fn close(&self) {
        let (endpoint, abort) = {
            let mut state = self.state.open();
            state.closed = true;
            state.selection = Selection::default();
            // SO_LINGER with no time: away without a farewell.
            let linger = state.options.get(&super::options::LINGER).copied().unwrap_or_default();
            (state.endpoint.clone(), linger & 0xFFFF != 0 && linger >> 16 == 0)
        };
        endpoint.close(abort);
    }
}

impl Afd {
    /// Looks at every socket that changed, until none does.
    pub fn settle(&self, k: &mut Kernel) {
        loop {
            let changed = self.changes.take();
            if changed.is_empty() {
                break;
            }
            for socket in changed {
                socket.progress(k);
            }
        }
        self.answer_polls(k);
    }
}
