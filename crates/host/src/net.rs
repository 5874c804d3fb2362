//! Sockets of the host, given to a machine when the user says so.
//!
//! Key types: [`Network`] (opens sockets and watches them with one epoll), [`Socket`]. Every descriptor is nonblocking;
//! a watched one tells once, as `HostEvent::Socket`.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use ntos::host::HostEvent;
use ntos::host::net::{Carries, HostNetwork, HostOption, HostReadiness, HostSocket};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrAny, SocketFlags, SocketType, sockopt,
};

use crate::events::Events;

/// Events taken from the host at a time.
const EVENTS_AT_ONCE: usize = 64;

/// The host's network.
pub(crate) struct Network {
    watcher: Arc<OwnedFd>,
}

impl Network {
    /// Starts watching for a machine.
    pub(crate) fn new(events: Arc<Events>) -> Result<Arc<Self>> {
        let watcher = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let watched = watcher.clone();
        std::thread::Builder::new().name("nten-network".to_owned()).spawn(move || {
            let mut found = Vec::with_capacity(EVENTS_AT_ONCE);
            loop {
                found.clear();
                let spare = rustix::buffer::spare_capacity(&mut found);
                match epoll::wait(&*watched, spare, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(_) => return,
                }
                for event in &found {
                    events.push(HostEvent::Socket(event.data.u64()));
                }
            }
        })?;
        Ok(Arc::new(Network { watcher }))
    }

    fn socket(watcher: &Arc<OwnedFd>, fd: OwnedFd, ipv6: bool, name: u64) -> Result<Arc<Socket>> {
        epoll::add(&**watcher, &fd, EventData::new_u64(name), EventFlags::ONESHOT)?;
        Ok(Arc::new(Socket { watcher: watcher.clone(), fd, ipv6, name }))
    }
}

impl HostNetwork for Network {
    fn open(&self, carries: Carries, ipv6: bool, name: u64) -> Result<Arc<dyn HostSocket>> {
        let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let kind = match carries {
            Carries::Stream => SocketType::STREAM,
            Carries::Datagrams => SocketType::DGRAM,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, kind, flags, None)?;
        if ipv6 {
            // Windows keeps the families apart unless it is told otherwise.
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        if carries == Carries::Stream {
            // Windows gives a port that only fading connections have.
            sockopt::set_socket_reuseaddr(&fd, true)?;
        }
        Ok(Self::socket(&self.watcher, fd, ipv6, name)?)
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let Ok(found) = (name, 0).to_socket_addrs() else { return Vec::new() };
        found.map(|address| address.ip()).collect()
    }
}

/// A socket of the host.
struct Socket {
    watcher: Arc<OwnedFd>,
    fd: OwnedFd,
    ipv6: bool,
    name: u64,
}

fn address(any: SocketAddrAny) -> Result<SocketAddr> {
    SocketAddr::try_from(any).map_err(|_| Error::from(ErrorKind::Unsupported))
}

impl HostSocket for Socket {
    fn bind(&self, address: SocketAddr) -> Result<()> {
        Ok(rustix::net::bind(&self.fd, &address)?)
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        Ok(rustix::net::listen(&self.fd, backlog)?)
    }

    fn accept(&self, name: u64) -> Result<Arc<dyn HostSocket>> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::accept_with(&self.fd, flags)?;
        Ok(Network::socket(&self.watcher, fd, self.ipv6, name)?)
    }

    fn connect(&self, to: SocketAddr) -> Result<()> {
        match rustix::net::connect(&self.fd, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn disconnect(&self) -> Result<()> {
        Ok(rustix::net::connect_unspec(&self.fd)?)
    }

    fn send(&self, bytes: &[u8], to: Option<SocketAddr>, urgent: bool) -> Result<usize> {
        let flags = if urgent { SendFlags::OOB } else { SendFlags::empty() } | SendFlags::NOSIGNAL;
        let sent = match to {
            Some(to) => rustix::net::sendto(&self.fd, bytes, flags, &to),
            None => rustix::net::send(&self.fd, bytes, flags),
        };
        Ok(sent?)
    }

    fn receive(
        &self,
        into: &mut [u8],
        peek: bool,
        urgent: bool,
    ) -> Result<(usize, Option<SocketAddr>)> {
        let mut flags = RecvFlags::TRUNC;
        flags.set(RecvFlags::PEEK, peek);
        flags.set(RecvFlags::OOB, urgent);
        if sockopt::socket_type(&self.fd)? == SocketType::STREAM {
            // Of a stream this flag would throw the bytes away.
            flags.remove(RecvFlags::TRUNC);
        }
        let (_, count, from) = rustix::net::recvfrom(&self.fd, into, flags)?;
        Ok((count, from.and_then(|from| address(from).ok())))
    }

    fn shutdown(&self, receive: bool, send: bool) -> Result<()> {
        let how = match (receive, send) {
            (true, true) => Shutdown::Both,
            (true, false) => Shutdown::Read,
            _ => Shutdown::Write,
        };
        Ok(rustix::net::shutdown(&self.fd, how)?)
    }

    fn local(&self) -> Result<SocketAddr> {
        address(rustix::net::getsockname(&self.fd)?)
    }

    fn peer(&self) -> Result<SocketAddr> {
        address(rustix::net::getpeername(&self.fd)?.ok_or(ErrorKind::NotConnected)?)
    }

    fn readiness(&self) -> HostReadiness {
        let wanted = PollFlags::IN | PollFlags::OUT | PollFlags::PRI | PollFlags::RDHUP;
        let mut fds = [PollFd::new(&self.fd, wanted)];
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        while poll(&mut fds, Some(&now)) == Err(Errno::INTR) {}
        let [fd] = &fds;
        let found = fd.revents();
        HostReadiness {
            readable: found.contains(PollFlags::IN),
            writable: found.contains(PollFlags::OUT),
            urgent: found.contains(PollFlags::PRI),
            finished: found.contains(PollFlags::RDHUP),
            failed: found.contains(PollFlags::ERR),
        }
    }

    fn available(&self) -> usize {
        rustix::io::ioctl_fionread(&self.fd).map_or(0, |count| count as usize)
    }

    fn take_error(&self) -> Option<Error> {
        match sockopt::socket_error(self.fd.as_fd()) {
            Ok(Ok(())) => None,
            Ok(Err(error)) | Err(error) => Some(error.into()),
        }
    }

    fn set(&self, option: HostOption, value: i32) -> Result<()> {
        let fd = &self.fd;
        let on = value != 0;
        let size = usize::try_from(value).unwrap_or_default();
        match option {
            HostOption::Broadcast => sockopt::set_socket_broadcast(fd, on)?,
            HostOption::KeepAlive => sockopt::set_socket_keepalive(fd, on)?,
            HostOption::ReceiveBuffer => sockopt::set_socket_recv_buffer_size(fd, size)?,
            HostOption::SendBuffer => sockopt::set_socket_send_buffer_size(fd, size)?,
            HostOption::NoDelay => sockopt::set_tcp_nodelay(fd, on)?,
            HostOption::V6Only => sockopt::set_ipv6_v6only(fd, on)?,
            HostOption::TimeToLive if self.ipv6 => {
                sockopt::set_ipv6_unicast_hops(fd, u8::try_from(value).ok())?;
            }
            HostOption::TimeToLive => {
                sockopt::set_ip_ttl(fd, u32::try_from(value).unwrap_or_default())?;
            }
            HostOption::Reuse => sockopt::set_socket_reuseaddr(fd, on)?,
        }
        Ok(())
    }

    fn watch(&self, reading: bool, writing: bool) {
        let mut flags = EventFlags::ONESHOT;
        flags.set(EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI, reading);
        flags.set(EventFlags::OUT, writing);
        // A descriptor that is open is in the set: there is nothing that could fail.
        let _ = epoll::modify(&*self.watcher, &self.fd, EventData::new_u64(self.name), flags);
    }

    fn abort_on_close(&self) {
        // Best effort: an ordinary close does no harm.
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_socket_tells_once_that_it_can_be_read() {
        let events = Arc::new(Events::default());
        let network = Network::new(events.clone()).unwrap();
        let one = network.open(Carries::Datagrams, false, 7).unwrap();
        let two = network.open(Carries::Datagrams, false, 8).unwrap();
        one.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut bytes = [0; 8];
        let error = one.receive(&mut bytes, false, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        one.watch(true, false);
        two.send(b"datagram!", Some(one.local().unwrap()), false).unwrap();
        let event = events.wait(Some(Duration::from_secs(10)));
        assert_eq!(event, Some(HostEvent::Socket(7)));
        let (count, from) = one.receive(&mut bytes, false, false).unwrap();
        assert_eq!((count, &bytes), (9, b"datagram"));
        assert_eq!(from.map(|from| from.port()), two.local().ok().map(|own| own.port()));
    }
}
