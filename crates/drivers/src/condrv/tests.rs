//! The console driver as services see it: attaching, reads that wait, the event of the input, what is refused.

use abi::io::*;
use abi::ob::{GENERIC_READ, GENERIC_WRITE, SYNCHRONIZE};
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::io::FileObject;
use ntos::io::file::event_of;
use ntos::svc::Handle;
use ntos::testing::DATA;

use super::keys::Key;
use super::protocol::*;
use crate::testing::{BUFFER, Call, Machine, STATUS, Scratch};

/// Where answers go, behind the input of a request.
const ANSWER: u64 = BUFFER + 0x400;
const ROOM: u64 = 0x400;

struct Consoles {
    m: Machine,
    server: Handle,
    _scratch: Scratch,
}

impl Consoles {
    /// A machine whose process is attached to a console that nothing shows.
    fn new() -> Self {
        let scratch = Scratch::new();
        let m = Machine::new(&scratch);
        m.machine.with(|cx| assert!(super::add(cx.k).unwrap().is_none()));
        let mut consoles = Consoles { m, server: Handle(0), _scratch: scratch };
        consoles.server = consoles.open("\\Device\\ConDrv\\Server").unwrap();
        consoles.open("Connection").unwrap();
        consoles
    }

    fn open(&self, name: &str) -> NtResult<Handle> {
        let access = GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE;
        Ok(self.m.create_at(self.server, name, access, 7, FILE_OPEN, 0)?.0)
    }

    fn start(&self, handle: Handle, code: u32, input: &[u8], room: u64) -> Call {
        self.m.put(input);
        let arguments = [
            handle.0,
            0,
            0,
            0,
            DATA + STATUS,
            code.into(),
            DATA + BUFFER,
            input.len() as u64,
            DATA + ANSWER,
            room,
        ];
        self.m.start(&self.m.machine.thread, "NtDeviceIoControlFile", &arguments)
    }

    fn answer(&self) -> Vec<u8> {
        let all = self.m.bytes((ANSWER - BUFFER + ROOM) as usize);
        let from = (ANSWER - BUFFER) as usize;
        all[from..from + self.m.information() as usize].to_vec()
    }

    fn control(&self, handle: Handle, code: u32, input: &[u8]) -> NtResult<Vec<u8>> {
        let status = self.start(handle, code, input, ROOM).status.expect("the request waits");
        status.into_result().map(|_: NtStatus| self.answer())
    }

    fn types(&self, input: Handle, text: &str) {
        let key = |unit| Key { code: if unit == 13 { 13 } else { 0 }, unit, ..Key::default() };
        let records: Vec<u8> =
            text.encode_utf16().flat_map(|unit| key_record(key(unit), true)).collect();
        self.control(input, WRITE_INPUT, &records).unwrap();
    }

    fn has_input(&self, input: Handle) -> bool {
        self.m.machine.with(|cx| {
            let file = cx.reference::<FileObject>(input, 0).unwrap();
            event_of(&file).state(&cx.k.ram) != 0
        })
    }
}

#[test]
fn a_line_read_waits_for_enter_and_echoes() {
    let c = Consoles::new();
    let (input, output) = (c.open("Input").unwrap(), c.open("Output").unwrap());
    assert_eq!(c.control(output, WRITE_CONSOLE, &bytes(&[0x3E])), Ok(vec![]));
    let mut read = c.start(input, READ_CONSOLE, &[], 8);
    assert_eq!(read.status, None);
    let typist = c.open("Input").unwrap();
    c.types(typist, "abc");
    assert_eq!(read.step(), None);
    c.types(typist, "\r");
    // The machine's threads are stepped by hand: the wait has ended, the next poll returns.
    assert_eq!(read.step(), Some(STATUS_SUCCESS));
    let part: Vec<u16> = "abc\r".encode_utf16().collect();
    let all = c.m.bytes((ANSWER - BUFFER) as usize + 8);
    assert_eq!(&all[(ANSWER - BUFFER) as usize..], bytes(&part));
    // What there was no room for comes with the next read.
    assert_eq!(c.control(input, READ_CONSOLE, &[]), Ok(bytes(&[10])));
    let place = [0u32, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let shown = c.start(output, READ_OUTPUT, &place, 8);
    assert_eq!(shown.status, Some(STATUS_SUCCESS));
    assert_eq!(units(&c.answer()), ">abc".encode_utf16().collect::<Vec<_>>());
}

#[test]
fn the_event_of_the_input_says_that_there_are_records() {
    let c = Consoles::new();
    let input = c.open("Input").unwrap();
    assert_eq!(c.control(input, SET_MODE, &0u32.to_le_bytes()), Ok(vec![]));
    assert!(!c.has_input(input));
    c.types(input, "xy");
    assert!(c.has_input(input));
    assert_eq!(c.control(input, GET_INPUT_COUNT, &[]), Ok(vec![2, 0, 0, 0]));
    let records = c.control(input, PEEK, &[]).unwrap();
    assert_eq!(records.len(), 40);
    assert_eq!(c.control(input, READ_INPUT, &[]), Ok(records));
    assert!(!c.has_input(input));
    c.types(input, "z");
    assert_eq!(c.control(input, READ_CONSOLE, &[]), Ok(bytes(&[0x7A])));
    c.types(input, "z");
    assert_eq!(c.control(input, FLUSH, &[]), Ok(vec![]));
    assert!(!c.has_input(input));
}

#[test]
fn what_does_not_fit_the_handle_is_refused() {
    let c = Consoles::new();
    let (input, output) = (c.open("Input").unwrap(), c.open("Output").unwrap());
    assert_eq!(c.control(input, GET_OUTPUT_INFO, &[]), Err(STATUS_INVALID_HANDLE));
    assert_eq!(c.control(output, READ_INPUT, &[]), Err(STATUS_INVALID_HANDLE));
    assert_eq!(c.control(output, SET_MODE, &[1]), Err(STATUS_INVALID_PARAMETER));
    assert_eq!(c.control(output, FILL_OUTPUT, &[0; 3]), Err(STATUS_INVALID_PARAMETER));
    assert_eq!(c.control(output, 0x50_FFFC, &[]), Err(STATUS_NOT_SUPPORTED));
    assert_eq!(c.control(c.server, IS_UNIX, &[]), Err(STATUS_NOT_SUPPORTED));
    assert_eq!(c.open("Nothing"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    // A process has one console.
    assert_eq!(c.open("Connection"), Err(STATUS_ACCESS_DENIED));
    assert_eq!(c.control(c.server, CTRL_EVENT, &[9; 8]), Err(STATUS_INVALID_PARAMETER));
}

#[test]
fn the_console_knows_title_processes_and_code_pages() {
    let c = Consoles::new();
    let title: Vec<u16> = "a title".encode_utf16().collect();
    assert_eq!(c.control(c.server, SET_TITLE, &bytes(&title)), Ok(vec![]));
    let answer = c.control(c.server, GET_TITLE, &[]).unwrap();
    assert_eq!(long(&answer, 0), Some(7));
    assert_eq!(units(&answer[4..18]), title);
    let pid = c.m.machine.process.pid as u32;
    assert_eq!(c.control(c.server, GET_PROCESS_LIST, &[]), Ok(pid.to_le_bytes().to_vec()));
    let mut pages = 2u32.to_le_bytes().to_vec();
    pages.extend([0; 4]);
    pages.extend(65001u32.to_le_bytes());
    assert_eq!(c.control(c.server, SET_INPUT_INFO, &pages), Ok(vec![]));
    assert_eq!(long(&c.control(c.server, GET_INPUT_INFO, &[]).unwrap(), 4), Some(65001));
}

#[test]
fn a_line_is_read_in_parts_as_characters_and_as_bytes() {
    let c = Consoles::new();
    let input = c.open("Input").unwrap();
    c.types(input, "abcdef\r");
    let wide = c.start(input, READ_CONSOLE, &[], 5);
    assert_eq!(wide.status, Some(STATUS_SUCCESS));
    assert_eq!(c.answer(), bytes(&[0x61, 0x62]));
    assert_eq!(c.m.read(input, None, 2), Ok(b"cd".to_vec()));
    assert_eq!(c.control(input, READ_CONSOLE, &[]), Ok(bytes(&[0x65, 0x66, 13, 10])));
    c.types(input, "\u{1A}\r");
    assert_eq!(c.m.read(input, None, 9), Ok(vec![]));
}
