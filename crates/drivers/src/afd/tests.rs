//! Tests of the machine's own network, below the device.

use super::*;
use endpoint::{Receive, Sharing};

fn network() -> Arc<Loopback> {
    Loopback::new(Arc::default())
}

fn pair(network: &Arc<Loopback>) -> (Arc<dyn Endpoint>, Arc<dyn Endpoint>) {
    let listener = network.open(Kind::Stream, AF_INET);
    listener.bind("127.0.0.1:0".parse().unwrap(), Sharing::Default).unwrap();
    listener.listen(5).unwrap();
    let client = network.open(Kind::Stream, AF_INET);
    client.connect(listener.local().unwrap()).unwrap();
    assert_eq!(client.connected(), Some(Ok(())));
    let server = listener.accept().unwrap().unwrap();
    assert_eq!(server.peer(), client.local());
    listener.close(false);
    (client, server)
}

#[test]
fn bytes_cross_a_connection_and_its_end_is_seen() {
    let network = network();
    let (client, server) = pair(&network);
    assert_eq!(server.receive(9, Receive::default()), Ok(None));
    assert_eq!(server.receive(0, Receive::default()), Ok(None));
    assert_eq!(client.send(b"hello", None, false), Ok(Some(5)));
    let received = server.receive(3, Receive::default()).unwrap().unwrap();
    assert_eq!(received.bytes, b"hel");
    client.shutdown(Directions { receive: false, send: true }).unwrap();
    assert_eq!(client.send(b"x", None, false), Err(STATUS_PIPE_DISCONNECTED));
    assert_eq!(server.receive(9, Receive::default()).unwrap().unwrap().bytes, b"lo");
    assert_eq!(server.receive(9, Receive::default()).unwrap().unwrap().bytes, b"");
    server.close(true);
    assert_eq!(client.receive(1, Receive::default()), Err(STATUS_CONNECTION_RESET));
}

#[test]
fn a_full_stream_takes_no_more_until_it_is_read() {
    let network = network();
    let (client, server) = pair(&network);
    let sent = client.send(&[7; 100_000], None, false).unwrap().unwrap();
    assert!(sent < 100_000 && !client.readiness().writable);
    assert_eq!(client.send(b"more", None, false), Ok(None));
    server.receive(1, Receive::default()).unwrap().unwrap();
    assert_eq!(client.send(b"more", None, false), Ok(Some(1)));
}

#[test]
fn nobody_listening_refuses_and_elsewhere_is_unreachable() {
    let network = network();
    let client = network.open(Kind::Stream, AF_INET);
    client.connect("127.0.0.1:9".parse().unwrap()).unwrap();
    assert_eq!(client.connected(), Some(Err(STATUS_CONNECTION_REFUSED)));
    let other = network.open(Kind::Stream, AF_INET);
    assert_eq!(other.connect("192.0.2.1:80".parse().unwrap()), Err(STATUS_NETWORK_UNREACHABLE));
}

#[test]
fn ports_are_shared_as_asked() {
    let network = network();
    let bind = |address: &str, sharing| {
        let endpoint = network.open(Kind::Datagram, AF_INET);
        endpoint.bind(address.parse().unwrap(), sharing).map(|()| endpoint)
    };
    let _first = bind("127.0.0.1:5000", Sharing::Default).unwrap();
    assert_eq!(bind("127.0.0.1:5000", Sharing::Default).err(), Some(STATUS_SHARING_VIOLATION));
    let _reused = bind("127.0.0.1:5000", Sharing::Reuse).unwrap();
    let _any = bind("0.0.0.0:5000", Sharing::Default).unwrap();
    let _own = bind("127.0.0.1:5001", Sharing::Exclusive).unwrap();
    assert_eq!(bind("127.0.0.1:5001", Sharing::Reuse).err(), Some(STATUS_ACCESS_DENIED));
}

#[test]
fn datagrams_keep_their_bounds() {
    let network = network();
    let server = network.open(Kind::Datagram, AF_INET);
    server.bind("0.0.0.0:0".parse().unwrap(), Sharing::Default).unwrap();
    let to = std::net::SocketAddr::new(address::loopback(AF_INET), server.local().unwrap().port());
    let client = network.open(Kind::Datagram, AF_INET);
    client.send(b"one", Some(to), false).unwrap();
    client.send(b"four", Some(to), false).unwrap();
    let first = server.receive(2, Receive::default()).unwrap().unwrap();
    assert!(first.truncated && first.bytes == b"on");
    let second = server.receive(9, Receive::default()).unwrap().unwrap();
    assert_eq!(second.from.unwrap().port(), client.local().unwrap().port());
    assert_eq!(second.bytes, b"four");
}

#[test]
fn a_listener_of_both_families_takes_either() {
    let network = network();
    let listener = network.open(Kind::Stream, AF_INET6);
    listener.tune(Tuning::V6Only, 0).unwrap();
    listener.bind("[::]:8080".parse().unwrap(), Sharing::Default).unwrap();
    listener.listen(1).unwrap();
    let client = network.open(Kind::Stream, AF_INET);
    client.connect("127.0.0.1:8080".parse().unwrap()).unwrap();
    assert_eq!(client.connected(), Some(Ok(())));
    let accepted = listener.accept().unwrap().unwrap();
    assert_eq!(accepted.local(), Some("[::ffff:127.0.0.1]:8080".parse().unwrap()));
}
