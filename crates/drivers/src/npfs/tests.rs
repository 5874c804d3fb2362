//! Pipes as programs see them.

use abi::io::*;
use abi::ob::{GENERIC_READ, GENERIC_WRITE, IO_STATUS_BLOCK, SYNCHRONIZE};
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::ex::event::create_event;
use ntos::svc::Handle;
use ntos::testing::DATA;

use crate::testing::{BUFFER, Call, Machine, STATUS, Scratch};

const DUPLEX: u32 = GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE;

struct Pipes {
    m: Machine,
    _scratch: Scratch,
}

#[derive(Clone, Copy)]
struct Server {
    options: u32,
    message: u64,
    nonblocking: u64,
    instances: u64,
    disposition: u32,
}

const SYNCHRONOUS: Server = Server {
    options: FILE_SYNCHRONOUS_IO_NONALERT,
    message: 0,
    nonblocking: 0,
    instances: 1,
    disposition: FILE_OPEN_IF,
};
const OVERLAPPED: Server = Server { options: 0, ..SYNCHRONOUS };
const MESSAGES: Server = Server { message: 1, ..SYNCHRONOUS };

impl Pipes {
    fn new() -> Self {
        let scratch = Scratch::new();
        Pipes { m: Machine::new(&scratch), _scratch: scratch }
    }

    fn server(&self, name: &str, with: Server) -> NtResult<Handle> {
        let m = &self.m;
        let attributes = m.attributes(Handle(0), &format!("\\??\\pipe\\{name}"));
        let timeout = m.machine.put(0x380, &-10_000i64).0;
        let arguments = [
            DATA,
            DUPLEX.into(),
            attributes,
            DATA + STATUS,
            3,
            with.disposition.into(),
            with.options.into(),
            with.message,
            with.message,
            with.nonblocking,
            with.instances,
            4096,
            4096,
            timeout,
        ];
        m.call("NtCreateNamedPipeFile", &arguments)?;
        Ok(m.machine.handle_at(0))
    }

    fn client(&self, name: &str) -> NtResult<Handle> {
        let name = format!("\\??\\pipe\\{name}");
        Ok(self.m.create_at(Handle(0), &name, DUPLEX, 0, FILE_OPEN, 0)?.0)
    }

    fn control(&self, file: Handle, code: u32, input: &[u8], room: u64) -> Call {
        self.m.put(input);
        let at = DATA + BUFFER;
        let len = input.len() as u64;
        let arguments = [file.0, 0, 0, 0, DATA + STATUS, code.into(), at, len, at + 0x400, room];
        self.m.start(&self.m.machine.thread, "NtFsControlFile", &arguments)
    }

    fn read_pending(&self, file: Handle, len: u64) -> Call {
        let arguments = [file.0, 0, 0, 0, DATA + STATUS, DATA + BUFFER, len, 0, 0];
        self.m.start(&self.m.machine.thread, "NtReadFile", &arguments)
    }

    fn status(&self) -> (NtStatus, u64) {
        let block: IO_STATUS_BLOCK = self.m.machine.get(STATUS);
        (NtStatus(block.Status), block.Information)
    }
}

#[test]
fn bytes_flow_and_the_end_is_a_broken_pipe() {
    let p = Pipes::new();
    assert_eq!(p.client("p"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    let server = p.server("p", SYNCHRONOUS).unwrap();
    let client = p.client("P").unwrap();
    assert_eq!(p.client("p"), Err(STATUS_PIPE_NOT_AVAILABLE));
    p.m.write(client, None, b"hello ").unwrap();
    p.m.write(client, None, b"pipe").unwrap();
    assert_eq!(p.m.read(server, None, 100).unwrap(), b"hello pipe");
    let mut reading = p.read_pending(server, 4);
    assert_eq!(reading.status, None);
    p.m.write(client, None, b"123456").unwrap();
    assert_eq!(reading.step(), Some(STATUS_SUCCESS));
    p.m.close(client);
    assert_eq!(p.m.read(server, None, 100).unwrap(), b"56");
    assert_eq!(p.m.read(server, None, 100), Err(STATUS_PIPE_BROKEN));
    assert_eq!(p.m.write(server, None, b"x"), Err(STATUS_PIPE_CLOSING));
    p.m.close(server);
    assert_eq!(p.client("p"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
}

#[test]
fn a_waiting_reader_ends_when_the_writer_goes() {
    let p = Pipes::new();
    let server = p.server("p", SYNCHRONOUS).unwrap();
    let client = p.client("p").unwrap();
    let mut reading = p.read_pending(server, 4);
    p.m.close(client);
    assert_eq!(reading.step(), Some(STATUS_PIPE_BROKEN));
}

#[test]
fn messages_keep_their_bounds() {
    let p = Pipes::new();
    let server = p.server("m", MESSAGES).unwrap();
    let client = p.client("m").unwrap();
    p.m.write(client, None, b"first").unwrap();
    p.m.write(client, None, b"").unwrap();
    p.m.write(client, None, b"third").unwrap();
    assert_eq!(p.m.read(server, None, 3), Err(STATUS_BUFFER_OVERFLOW));
    assert_eq!(p.m.bytes(3), b"fir");
    assert_eq!(p.m.read(server, None, 9).unwrap(), b"st");
    assert_eq!(p.m.read(server, None, 9).unwrap(), b"");
    let peek = p.control(server, FSCTL_PIPE_PEEK, &[], 16 + 2);
    assert_eq!(peek.status, Some(STATUS_BUFFER_OVERFLOW));
    assert_eq!(p.status().1, 18);
    assert_eq!(p.m.read(server, None, 9).unwrap(), b"third");
    // The client still reads bytes: transactions need message mode.
    let early = p.control(client, FSCTL_PIPE_TRANSCEIVE, b"ask", 16);
    assert_eq!(early.status, Some(STATUS_INVALID_READ_MODE));
    p.m.set(client, 23, &[1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let mut transaction = p.control(client, FSCTL_PIPE_TRANSCEIVE, b"ask", 16);
    assert_eq!(transaction.status, None);
    assert_eq!(p.m.read(server, None, 9).unwrap(), b"ask");
    p.m.write(server, None, b"answer").unwrap();
    assert_eq!(transaction.step(), Some(STATUS_SUCCESS));
    assert_eq!(&p.m.bytes(0x406)[0x400..], b"answer");
}

#[test]
fn writers_wait_beyond_the_quota() {
    let p = Pipes::new();
    let server = p.server("q", SYNCHRONOUS).unwrap();
    let client = p.client("q").unwrap();
    p.m.write(client, None, &[1; 3000]).unwrap();
    let arguments = [client.0, 0, 0, 0, DATA + 0x3D0, DATA + BUFFER, 2000, 0, 0];
    let mut writing = p.m.start(&p.m.machine.thread, "NtWriteFile", &arguments);
    assert_eq!(writing.status, None);
    assert_eq!(p.m.read(server, None, 903).unwrap().len(), 903);
    assert_eq!(writing.step(), None);
    assert_eq!(p.m.read(server, None, 1).unwrap().len(), 1);
    assert_eq!(writing.step(), Some(STATUS_SUCCESS));
    let block: IO_STATUS_BLOCK = p.m.machine.get(0x3D0);
    assert_eq!((block.Status, block.Information), (0, 2000));
    let flush_arguments = [client.0, DATA + STATUS];
    let mut flush = p.m.start(&p.m.machine.thread, "NtFlushBuffersFile", &flush_arguments);
    assert_eq!(flush.status, None);
    p.m.read(server, None, 0xC00).unwrap();
    assert_eq!(flush.step(), None);
    p.m.read(server, None, 0xC00).unwrap();
    assert_eq!(flush.step(), Some(STATUS_SUCCESS));
}

#[test]
fn a_pipe_that_does_not_wait_takes_what_fits() {
    let p = Pipes::new();
    let server = p.server("n", Server { nonblocking: 1, ..SYNCHRONOUS }).unwrap();
    let listen = p.control(server, FSCTL_PIPE_LISTEN, &[], 0);
    assert_eq!(listen.status, Some(STATUS_PIPE_LISTENING));
    assert_eq!(p.m.read(server, None, 1), Err(STATUS_PIPE_LISTENING));
    let client = p.client("n").unwrap();
    assert_eq!(p.m.read(server, None, 1), Err(STATUS_PIPE_EMPTY));
    assert_eq!(p.m.write(server, None, &[7; 3000]), Ok(3000));
    assert_eq!(p.m.write(server, None, &[7; 3000]), Ok(1096));
    assert_eq!(p.m.write(server, None, &[7; 10]), Ok(0));
    assert_eq!(p.m.read(client, None, 0xC00).unwrap().len(), 0xC00);
    assert_eq!(p.m.read(client, None, 0xC00).unwrap().len(), 1024);
}

#[test]
fn listening_disconnecting_and_instances() {
    let p = Pipes::new();
    let two = Server { instances: 2, ..OVERLAPPED };
    let server = p.server("s", two).unwrap();
    let first_only = p.server("s", Server { disposition: FILE_CREATE, ..two });
    assert_eq!(first_only, Err(STATUS_ACCESS_DENIED));
    let second = p.server("s", two).unwrap();
    assert_eq!(p.server("s", two), Err(STATUS_INSTANCE_NOT_AVAILABLE));
    let listen = p.control(server, FSCTL_PIPE_LISTEN, &[], 0);
    assert_eq!(listen.status, Some(STATUS_PENDING));
    let client = p.client("s").unwrap();
    assert_eq!(p.status().0, STATUS_SUCCESS);
    let again = p.control(server, FSCTL_PIPE_LISTEN, &[], 0);
    assert_eq!(again.status, Some(STATUS_PIPE_CONNECTED));
    p.client("s").unwrap();
    assert_eq!(p.client("s"), Err(STATUS_PIPE_NOT_AVAILABLE));
    p.m.close(client);
    let closing = p.control(server, FSCTL_PIPE_LISTEN, &[], 0);
    assert_eq!(closing.status, Some(STATUS_PIPE_CLOSING));
    let disconnect = p.control(server, FSCTL_PIPE_DISCONNECT, &[], 0);
    assert_eq!(disconnect.status, Some(STATUS_SUCCESS));
    assert_eq!(p.client("s"), Err(STATUS_PIPE_NOT_AVAILABLE));
    let listen = p.control(server, FSCTL_PIPE_LISTEN, &[], 0);
    assert_eq!(listen.status, Some(STATUS_PENDING));
    p.client("s").unwrap();
    p.m.close(second);
}

#[test]
fn waiting_for_an_instance_ends_with_one_or_in_time() {
    let p = Pipes::new();
    let server = p.server("w", OVERLAPPED).unwrap();
    let client = p.client("w").unwrap();
    let access = FILE_READ_ATTRIBUTES | SYNCHRONIZE;
    let root = p.m.create_at(Handle(0), "\\??\\pipe\\", access, 7, FILE_OPEN, 0).unwrap().0;
    let wait = |timeout: i64| {
        let mut input = timeout.to_le_bytes().to_vec();
        input.extend([2, 0, 0, 0, 1, 0, b'W', 0]);
        p.control(root, FSCTL_PIPE_WAIT, &input, 0)
    };
    let mut timed = wait(-1000);
    assert_eq!(timed.status, None);
    p.m.machine.advance(1000);
    assert_eq!(timed.step(), Some(STATUS_IO_TIMEOUT));
    let mut free = wait(-1_000_000);
    p.m.close(client);
    p.control(server, FSCTL_PIPE_DISCONNECT, &[], 0);
    assert_eq!(free.step(), None);
    p.control(server, FSCTL_PIPE_LISTEN, &[], 0);
    assert_eq!(free.step(), Some(STATUS_SUCCESS));
    let list = p.m.create_at(Handle(0), "\\??\\pipe\\", 1 | SYNCHRONIZE, 7, FILE_OPEN, 0);
    assert_eq!(p.m.list(list.unwrap().0, "*", false).unwrap(), ["w"]);
}

#[test]
fn overlapped_requests_end_by_event_and_by_port() {
    let p = Pipes::new();
    let server = p.server("o", OVERLAPPED).unwrap();
    let client = p.client("o").unwrap();
    let event = p.m.machine.with(|cx| {
        let event = create_event(cx.k, abi::ke::NOTIFICATION_EVENT, true).unwrap();
        let handle = cx.open_handle(&event, 0x1F_0003, 0).unwrap();
        (event, handle)
    });
    let read = |context: u64, event: u64| {
        let arguments = [server.0, event, 0, context, DATA + STATUS, DATA + BUFFER, 8, 0, 0];
        p.m.call("NtReadFile", &arguments)
    };
    let signaled = || p.m.machine.with(|cx| event.0.header.dispatcher().state(&cx.k.ram) != 0);
    assert_eq!(read(0, event.1), Ok(STATUS_PENDING));
    assert!(!signaled());
    p.m.write(client, None, b"one").unwrap();
    assert!(signaled());

    p.m.call("NtCreateIoCompletion", &[DATA, 0x1F_0003, 0, 0]).unwrap();
    let port = p.m.machine.handle_at(0);
    let mut information = port.0.to_le_bytes().to_vec();
    information.extend(0x77u64.to_le_bytes());
    p.m.set(server, 30, &information).unwrap();
    assert_eq!(read(0xABC, 0), Ok(STATUS_PENDING));
    let at = |offset: u64| DATA + 0x380 + offset;
    let zero = p.m.machine.put(0x3C0, &0i64).0;
    let remove = [port.0, at(0), at(8), at(0x10), zero];
    let thread = &p.m.machine.thread;
    let empty = p.m.start(thread, "NtRemoveIoCompletion", &remove);
    assert_eq!(empty.status, Some(STATUS_TIMEOUT));
    let mut waiting =
        p.m.start(thread, "NtRemoveIoCompletion", &[port.0, at(0), at(8), at(0x10), 0]);
    assert_eq!(waiting.status, None);
    p.m.write(client, None, b"two!").unwrap();
    assert_eq!(waiting.step(), Some(STATUS_SUCCESS));
    let packet: [u64; 4] = p.m.machine.get(0x380);
    assert_eq!(packet, [0x77, 0xABC, 0, 4]);
    // A request that is cancelled ends, too.
    assert_eq!(read(0xDEF, 0), Ok(STATUS_PENDING));
    p.m.call("NtCancelIoFileEx", &[server.0, 0, at(0x30)]).unwrap();
    let count = p.m.start(thread, "NtRemoveIoCompletionEx", &[port.0, at(0), 8, at(0x38), 0, 0]);
    assert_eq!(count.status, Some(STATUS_SUCCESS));
    assert_eq!(p.m.machine.get::<u32>(0x380 + 0x38), 1);
    let packet: [u64; 4] = p.m.machine.get(0x380);
    assert_eq!((packet[1], packet[2] as u32), (0xDEF, STATUS_CANCELLED.0));
    p.m.call("NtSetIoCompletion", &[port.0, 1, 2, 3, 4]).unwrap();
    p.m.call("NtQueryIoCompletion", &[port.0, 0, at(0), 4, 0]).unwrap();
    assert_eq!(p.m.machine.get::<u32>(0x380), 1);
}

#[test]
fn anonymous_pipes_need_no_name() {
    let p = Pipes::new();
    let m = &p.m;
    let root = m.create_at(Handle(0), "\\Device\\NamedPipe\\", SYNCHRONIZE, 7, FILE_OPEN, 0);
    let root = root.unwrap().0;
    let attributes = m.attributes(root, "");
    let timeout = m.machine.put(0x380, &-10_000i64).0;
    let access = u64::from(GENERIC_READ | SYNCHRONIZE);
    let arguments =
        [DATA, access, attributes, DATA + STATUS, 3, 2, 0x20, 0, 0, 0, 1, 4096, 4096, timeout];
    m.call("NtCreateNamedPipeFile", &arguments).unwrap();
    let server = m.machine.handle_at(0);
    let writer = m.create_at(server, "", GENERIC_WRITE | SYNCHRONIZE, 7, FILE_OPEN, 0).unwrap().0;
    m.write(writer, None, b"x").unwrap();
    assert_eq!(m.read(server, None, 9).unwrap(), b"x");
    assert_eq!(m.write(server, None, b"x"), Err(STATUS_ACCESS_DENIED));
}
