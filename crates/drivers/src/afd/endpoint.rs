//! What a socket stands on: the network as far as AFD cares.
//!
//! Key types: [`Endpoint`] (a transport address or connection, nothing of which blocks), [`Readiness`]. Two things
//! implement it: [`super::loopback`], the machine's own network, and [`super::outside`], sockets of the host.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use abi::{NtResult, NtStatus};

use super::socket::Socket;

/// Stream or datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// How a port may be shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sharing {
    /// With sockets on other addresses.
    #[default]
    Default,
    /// With all that are not exclusive: `SO_REUSEADDR`.
    Reuse,
    /// With none: `SO_EXCLUSIVEADDRUSE`.
    Exclusive,
}

/// What can be done without waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Data or a datagram is there.
    pub readable: bool,
    /// Urgent data is there.
    pub urgent: bool,
    /// Something can be sent.
    pub writable: bool,
    /// A connection can be accepted.
    pub acceptable: bool,
    /// The other side has finished sending.
    pub finished: bool,
    /// The other side is gone without a farewell.
    pub reset: bool,
}

/// How to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Receive {
    /// Leave it there.
    pub peek: bool,
    /// Urgent data.
    pub urgent: bool,
}

/// What was received.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// The bytes; none of a stream is its end.
    pub bytes: Vec<u8>,
    /// Who sent a datagram.
    pub from: Option<SocketAddr>,
    /// The datagram was longer.
    pub truncated: bool,
}

/// Which direction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Directions {
    /// Nothing more is received.
    pub receive: bool,
    /// Nothing more is sent.
    pub send: bool,
}

/// Options that change what a transport does. The values are Winsock's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tuning {
    /// `SO_BROADCAST`.
    Broadcast,
    /// `SO_KEEPALIVE`.
    KeepAlive,
    /// `SO_RCVBUF`.
    ReceiveBuffer,
    /// `SO_SNDBUF`.
    SendBuffer,
    /// `TCP_NODELAY`.
    NoDelay,
    /// `IPV6_V6ONLY`.
    V6Only,
    /// `IP_TTL` or `IPV6_UNICAST_HOPS`.
    TimeToLive,
}

/// A transport. `Ok(None)` says that it would have to wait; the owner hears when that may have changed.
pub trait Endpoint: Send + Sync {
    /// Takes an address; port 0 takes a free one.
    fn bind(&self, address: SocketAddr, sharing: Sharing) -> NtResult<()>;

    /// Takes connections from now on.
    fn listen(&self, backlog: u32) -> NtResult<()>;

    /// Takes a connection that waits.
    fn accept(&self) -> NtResult<Option<Arc<dyn Endpoint>>>;

    /// Begins to connect, or sets a datagram socket's only partner.
    fn connect(&self, to: SocketAddr) -> NtResult<()>;

    /// How connecting ended.
    fn connected(&self) -> Option<NtResult<()>>;

    /// Sends; returns how much of it. Datagrams go whole or not.
    fn send(&self, bytes: &[u8], to: Option<SocketAddr>, urgent: bool) -> NtResult<Option<usize>>;

    /// Receives up to `room` bytes.
    fn receive(&self, room: usize, how: Receive) -> NtResult<Option<Received>>;

    /// Ends directions.
    fn shutdown(&self, directions: Directions) -> NtResult<()>;

    /// The socket is closed; `abort` without a farewell.
    fn close(&self, abort: bool);

    /// Its own address.
    fn local(&self) -> Option<SocketAddr>;

    /// The other side's.
    fn peer(&self) -> Option<SocketAddr>;

    /// What can be done now.
    fn readiness(&self) -> Readiness;

    /// Bytes to read, or of the first datagram.
    fn available(&self) -> usize;

    /// Changes an option.
    fn tune(&self, option: Tuning, value: i32) -> NtResult<()>;

    /// Who is told of changes.
    fn set_owner(&self, owner: Weak<Socket>);

    /// An error that nobody was told of yet: `SO_ERROR`.
    fn take_error(&self) -> Option<NtStatus> {
        None
    }
}
