//! Sockets of the host, for machines that the user gave its network.
//!
//! Key types: [`HostNetwork`], [`HostSocket`]. Nothing blocks: what cannot be done yet fails with
//! [`std::io::ErrorKind::WouldBlock`], and [`HostSocket::watch`] asks for one [`super::HostEvent::Socket`] when it can.
//! Implementation: `host` on Linux; who uses it is `drivers::afd`.

use std::io::Result;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carries {
    /// TCP.
    Stream,
    /// UDP.
    Datagrams,
}

/// An option that changes what the host does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostOption {
    /// Datagrams to everyone.
    Broadcast,
    /// Ask silent partners whether they live.
    KeepAlive,
    /// Bytes kept for the reader.
    ReceiveBuffer,
    /// Bytes kept for the network.
    SendBuffer,
    /// Send small pieces at once.
    NoDelay,
    /// IPv6 alone.
    V6Only,
    /// Hops of a packet.
    TimeToLive,
    /// Bind to an address whose old connections still fade.
    Reuse,
}

/// What can be done with a socket now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostReadiness {
    /// Reading or accepting gives something, an end or an error.
    pub readable: bool,
    /// There is room.
    pub writable: bool,
    /// Urgent data is there.
    pub urgent: bool,
    /// The other side sends nothing more.
    pub finished: bool,
    /// The connection failed or is gone.
    pub failed: bool,
}

/// The network of the host.
pub trait HostNetwork: Send + Sync {
    /// A socket. `name` is what [`super::HostEvent::Socket`] will call it.
    fn open(&self, carries: Carries, ipv6: bool, name: u64) -> Result<Arc<dyn HostSocket>>;

    /// The addresses of a name. This may take the host a while.
    fn resolve(&self, name: &str) -> Vec<IpAddr>;
}

/// A socket of the host.
pub trait HostSocket: Send + Sync {
    /// Takes an address.
    fn bind(&self, address: SocketAddr) -> Result<()>;

    /// Takes connections.
    fn listen(&self, backlog: i32) -> Result<()>;

    /// Takes a connection that waits; it gets a name of its own.
    fn accept(&self, name: u64) -> Result<Arc<dyn HostSocket>>;

    /// Begins to connect.
    fn connect(&self, to: SocketAddr) -> Result<()>;

    /// Forgets the only partner of a datagram socket.
    fn disconnect(&self) -> Result<()>;

    /// Sends.
    fn send(&self, bytes: &[u8], to: Option<SocketAddr>, urgent: bool) -> Result<usize>;

    /// Receives: how much, from whom, and how long a datagram was.
    fn receive(
        &self,
        into: &mut [u8],
        peek: bool,
        urgent: bool,
    ) -> Result<(usize, Option<SocketAddr>)>;

    /// Ends directions.
    fn shutdown(&self, receive: bool, send: bool) -> Result<()>;

    /// Its own address.
    fn local(&self) -> Result<SocketAddr>;

    /// The other side's.
    fn peer(&self) -> Result<SocketAddr>;

    /// What can be done now.
    fn readiness(&self) -> HostReadiness;

    /// Bytes that can be read.
    fn available(&self) -> usize;

    /// The error of the socket, which is forgotten then.
    fn take_error(&self) -> Option<std::io::Error>;

    /// Changes an option.
    fn set(&self, option: HostOption, value: i32) -> Result<()>;

    /// Asks to be told once when one of these can be done: what cannot be done now.
    fn watch(&self, reading: bool, writing: bool);

    /// Leaves without a farewell when it is closed.
    fn abort_on_close(&self);
}
