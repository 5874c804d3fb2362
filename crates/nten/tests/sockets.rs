//! Sockets of guest programs: the machine's own network, and the host's when the user gives it.
//!
//! The programs are `tests/guest/sockets*.c`; what they print is what Windows documents, except where a comment says
//! what the userland makes of it.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::corpus::fetch;
use support::guest::build;
use support::{Run, Scratch, nten};

/// TCP in threads, `select`, `WSAPoll`, event selection, UDP, errors, options.
#[test]
fn sockets() {
    let outcome = Run::program(build("sockets")).go();
    outcome.prints(SOCKETS).exits(0).quietly();
}

const SOCKETS: &str = r#"startup: 0, version 202
unconnected peer: error 10057
unconnected send: error 10057
connect: 0
connect again: error 10056
peer: 0, 16 bytes, same port 1
greeting: 5
echo: 5 [hello]
large echo: 300000 bytes, 0 wrong, then 0
after shutdown: error 10058
served 300005, sent 300000
closed twice: error 10038
select nothing: 0
set is empty: 1
select some: 2
client reads 1 writes 1 fails 0, server reads 0
peek: 4, of 4 [data]
poll: 1, 10 0
poll nothing: 0
nothing to read: error 10035
stuffed: more than 10000 1, then error 10035
poll: 0
drained the same: 1, then 0
poll at the end: 1, 2
select: 0
nobody yet: error 10035
connect: error 10035
wait: object 0
listener: 8, error 0
wait: object 0
client: 12, error 0
reset: timeout
wait: object 0
client: 1
one left: 1
wait: object 0
client: 20, error 0
blocking while selected: error 10022
unbound: error 10022
sent: 8
received: 8 [datagram]
from the other: 1, 16 bytes
connected: 0
sent: 15
cut: error 10040
empty: 0
in time: error 10060
port in use: error 10048
refused: error 10061
elsewhere: error 10051
bind elsewhere: error 10049
listen unbound: error 10022
nonblocking: error 10035
select: 1
writes 0 fails 1, error 10061
no family: error 10047
linger: 0
reset: error 10054
not a socket: error 10038
type 1
nodelay: 0
nodelay 1
receive buffer 65536
listens 0
protocol 2 1 6
the duplicate is the same: 1
and lives on: 0
cleanup: 0
"#;

/// Overlapped transfers, APCs, completion ports, `AcceptEx` and its kin, closing under a wait, name resolution.
#[test]
fn overlapped_sockets() {
    let outcome = Run::program(build("sockets_overlapped")).go();
    outcome.prints(OVERLAPPED).exits(0).quietly();
}

/// `accept` on a socket that is closed meanwhile: Windows says 10004, the userland makes 995 of a cancelled request.
const OVERLAPPED: &str = r#"startup: 0, version 202
receive: pending
early: timeout
send: 0
sent 5
wait: object 0
received: ok 5 [abc] [de]
with an apc: pending
wait: io completion
apcs 1, bytes 3
to cancel: pending
cancel: ok
cancelled: error 995
to close: pending
closed: object 0, status c0000120
accept: pending
unbound connect: error 10022
connect: started
accepted: ok, 5 bytes, key 1
connected: ok, 5 bytes, key 2
context: 0 0
data [first], local right 1, remote right 1, lengths 16 16
read: pending
disconnect: started
read: ok, 0 bytes, key 3
disconnected: ok, 0 bytes, key 2
accept on what is closed: error 995
localhost: 0
127.0.0.1 port 80, type 1
numeric: 0
length 28
unknown: 11001
name: 0
127.0.0.1 8080
by name: 127.0.0.1
own name: 0 1
"#;

/// A poll at the device itself, as libuv and mio make it.
#[test]
fn event_loops_poll_the_device() {
    let outcome = Run::program(build("sockets_poll")).go();
    outcome.prints(POLL).exits(0).quietly();
}

const POLL: &str = "startup: 0, version 202\nopen 0\npoll 103\nok, 32 bytes, key 5, own 1\n\
    1 socket, events 1, own 1\n";

/// A program reaches a server of the host with `--net user`, and without it sees that there is no network.
#[test]
fn the_host_is_reached_when_the_user_says_so() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let served = std::thread::spawn(move || {
        let (mut connection, _) = server.accept().unwrap();
        let mut question = [0; 8];
        connection.read_exact(&mut question).unwrap();
        connection.write_all(b"from the host").unwrap();
        String::from_utf8_lossy(&question).into_owned()
    });
    let refused = Run::program(build("sockets_client")).args(["127.0.0.1", &port]).go();
    refused.prints("connect: error 10061\n").exits(1);
    let elsewhere = Run::program(build("sockets_client")).args(["192.0.2.1", "80"]).go();
    elsewhere.prints("connect: error 10051\n").exits(1);
    let outcome = Run::program(build("sockets_client"))
        .options(["--net", "user"])
        .args(["127.0.0.1", &port])
        .go();
    outcome.prints("connect: 0\nsent 8\nreceived 13 [from the host]\nthen 0\n").exits(0);
    assert_eq!(served.join().unwrap(), "question");
}

/// The same program does the same over sockets of the host.
#[test]
fn overlapped_sockets_of_the_host() {
    let outcome = Run::program(build("sockets_overlapped")).options(["--net", "user"]).go();
    outcome.prints(OVERLAPPED).exits(0).quietly();
}

/// A server in Go, whose event loop is a completion port, serves clients on the host.
#[test]
fn esbuild_serves_the_host() {
    let scratch = Scratch::new();
    scratch.write("index.html", "<b>hello</b>");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new(nten())
        .args(["run", "--net", "user", "--timeout", "60"])
        .arg(fetch("esbuild"))
        .arg(format!("--serve=127.0.0.1:{port}"))
        .arg("--servedir=.")
        .current_dir(scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(50);
    let mut connection = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(connection) => break connection,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    connection.write_all(b"GET /index.html HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("<b>hello</b>"), "{answer}");
    // It ends with its input.
    drop(server.stdin.take());
    server.wait().unwrap();
}
