//! A console: input records and who waits for them, the screen buffers, the processes.
//!
//! Key type: [`Console`]. What the terminal sends becomes input records ([`super::keys`]); reads take them in the order
//! they were made, directly or through the line editor ([`super::edit`]).

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::host::Stream;
use ntos::io::file::event_of;
use ntos::io::irp::{self, Irp, Request};
use ntos::io::{FileObject, TerminalListener};
use ntos::ke::event::{ke_reset_event, ke_set_event};
use ntos::ob::{ObRef, Object};
use ntos::ps::create::{ThreadRequest, create_thread, start_thread};

use super::codepage::{CodePage, OEM};
use super::edit::{Edited, Editor, History};
use super::keys::{ANY_CONTROL, Decoder, Key};
use super::protocol::*;
use super::screen::Screen;

/// Most records that wait to be read; more are lost, as on Windows.
const MAX_RECORDS: usize = 8192;
/// The end-of-file character.
const CTRL_Z: u16 = 0x1A;

/// A screen buffer that several files may be open on.
pub type Buffer = Arc<Guarded<Screen>>;

/// A console.
pub struct Console {
    /// True if it shows on the host's terminal.
    on_terminal: bool,
    state: Guarded<State>,
}

struct State {
    input_mode: u32,
    input_page: CodePage,
    output_page: CodePage,
    title: Vec<u16>,
    /// Attached processes, the last one first.
    processes: Vec<u64>,
    records: VecDeque<Record>,
    readers: VecDeque<Arc<Irp>>,
    /// The line being typed.
    editor: Option<Editor>,
    /// Of a finished line what its reader had no room for.
    line: VecDeque<u8>,
    history: History,
    decoder: Decoder,
    /// Files whose event says that there are records.
    inputs: Vec<Weak<Object<FileObject>>>,
    buffer: Buffer,
}

/// The end of a read: its status and bytes.
type Answer = (Arc<Irp>, NtStatus, Vec<u8>);

impl Console {
    /// A console on the host's terminal.
    pub fn new(k: &Kernel) -> Arc<Self> {
        Self::of_size(k, k.host.terminal_size())
    }

    /// A console that nothing shows.
    pub fn unseen(k: &Kernel) -> Arc<Self> {
        Self::of_size(k, None)
    }

    fn of_size(k: &Kernel, size: Option<(u16, u16)>) -> Arc<Self> {
        let (width, height) = size.unwrap_or((80, 25));
        let screen = Screen::new(width.into(), height.into(), size.is_some());
        let page = || CodePage::open(k, OEM).unwrap_or_else(CodePage::utf8);
        Arc::new(Console {
            on_terminal: size.is_some(),
            state: Guarded::new(State {
                input_mode: DEFAULT_INPUT_MODE,
                input_page: page(),
                output_page: page(),
                title: Vec::new(),
                processes: Vec::new(),
                records: VecDeque::new(),
                readers: VecDeque::new(),
                editor: None,
                line: VecDeque::new(),
                history: History::default(),
                decoder: Decoder::default(),
                inputs: Vec::new(),
                buffer: Arc::new(Guarded::new(screen)),
            }),
        })
    }

    /// A process attaches.
    pub fn attach(&self, pid: u64) {
        self.state.open().processes.insert(0, pid);
    }

    /// A process detaches.
    pub fn detach(&self, pid: u64) {
        let mut state = self.state.open();
        if let Some(at) = state.processes.iter().position(|other| *other == pid) {
            state.processes.remove(at);
        }
    }

    /// The attached processes, the last one first.
    pub fn processes(&self) -> Vec<u64> {
        self.state.open().processes.clone()
    }

    /// The buffer that is shown.
    pub fn buffer(&self) -> Buffer {
        self.state.open().buffer.clone()
    }

    /// A new buffer, not shown, of the window's size.
    pub fn new_buffer(&self) -> Buffer {
        let active = self.buffer();
        let screen = active.open();
        Arc::new(Guarded::new(Screen::new(screen.width, screen.height, false)))
    }

    /// Shows another buffer.
    pub fn activate(&self, k: &mut Kernel, buffer: &Buffer) {
        let old = std::mem::replace(&mut self.state.open().buffer, buffer.clone());
        if Arc::ptr_eq(&old, buffer) {
            return;
        }
        old.open().show(false);
        if self.on_terminal {
            buffer.open().show(true);
            self.paint(k, buffer);
        }
    }

    /// Brings a buffer to the terminal, and what it asked for into the input.
    pub fn paint(&self, k: &mut Kernel, buffer: &Buffer) {
        let (bytes, answers, title) = {
            let mut screen = buffer.open();
            let bytes = screen.paint();
            (bytes, std::mem::take(&mut screen.answers), screen.title.take())
        };
        self.send(k, &bytes);
        if let Some(title) = title {
            self.set_title(k, title.encode_utf16().collect());
        }
        if !answers.is_empty() {
            self.typed(k, &answers);
        }
    }

    fn send(&self, k: &mut Kernel, bytes: &[u8]) {
        // A terminal that is gone takes nothing; its end arrives as an event.
        if self.on_terminal && !bytes.is_empty() {
            let _ = k.host.stream_write(Stream::Output, bytes);
        }
    }

    /// The title.
    pub fn title(&self) -> Vec<u16> {
        self.state.open().title.clone()
    }

    /// Sets the title, the terminal's too.
    pub fn set_title(&self, k: &mut Kernel, title: Vec<u16>) {
        let text: String =
            String::from_utf16_lossy(&title).chars().filter(|c| !c.is_control()).collect();
        self.state.open().title = title;
        self.send(k, format!("\x1b]0;{text}\x07").as_bytes());
    }

    /// The input mode.
    pub fn input_mode(&self) -> u32 {
        self.state.open().input_mode
    }

    /// Sets the input mode.
    pub fn set_input_mode(&self, mode: u32) {
        self.state.open().input_mode = mode;
    }

    /// The code pages of input and output.
    pub fn pages(&self) -> (u32, u32) {
        let state = self.state.open();
        (state.input_page.id, state.output_page.id)
    }

    /// Sets a code page: that of output, or of input.
    pub fn set_page(&self, k: &mut Kernel, id: u32, output: bool) -> NtResult<()> {
        let page = CodePage::open(k, id).ok_or(STATUS_INVALID_PARAMETER)?;
        let mut state = self.state.open();
        if output {
            state.output_page = page;
        } else {
            state.input_page = page;
        }
        Ok(())
    }

    /// What bytes mean in the code page of output.
    pub fn decode(&self, bytes: &[u8]) -> Vec<u16> {
        self.state.open().output_page.decode(bytes)
    }

    /// A file is open for input.
    pub fn add_input(&self, file: &ObRef<FileObject>) {
        let mut state = self.state.open();
        state.inputs.retain(|input| input.strong_count() > 0);
        state.inputs.push(Arc::downgrade(file));
    }

    /// Records that wait, without taking them.
    pub fn peek(&self, most: usize) -> Vec<Record> {
        self.state.open().records.iter().take(most).copied().collect()
    }

    /// How many records wait.
    pub fn count(&self) -> u32 {
        self.state.open().records.len() as u32
    }

    /// Throws records away.
    pub fn flush(&self, k: &mut Kernel) {
        self.state.open().records.clear();
        self.signal(k);
    }

    /// Puts records behind those that wait.
    pub fn write_input(&self, k: &mut Kernel, records: impl IntoIterator<Item = Record>) {
        {
            let mut state = self.state.open();
            for record in records {
                if state.records.len() < MAX_RECORDS {
                    state.records.push_back(record);
                }
            }
        }
        self.pump(k);
    }

    /// Keeps a read until there is something for it; returns its end if there is already.
    pub fn read(&self, k: &mut Kernel, irp: &Arc<Irp>) -> Option<(NtStatus, Vec<u8>)> {
        {
            let mut state = self.state.open();
            state.readers.retain(|reader| !reader.is_done());
            state.readers.push_back(irp.clone());
        }
        let mut own = None;
        for (reader, status, bytes) in self.serve(k) {
            if Arc::ptr_eq(&reader, irp) {
                own = Some((status, bytes));
            } else {
                deliver(k, &reader, status, &bytes);
            }
        }
        own
    }

    /// Gives records to those who wait for them.
    fn pump(&self, k: &mut Kernel) {
        for (reader, status, bytes) in self.serve(k) {
            deliver(k, &reader, status, &bytes);
        }
    }

    fn serve(&self, k: &mut Kernel) -> Vec<Answer> {
        let mut answers = Vec::new();
        let buffer = {
            let mut state = self.state.open();
            let buffer = state.buffer.clone();
            let mut screen = buffer.open();
            while let Some(reader) = state.readers.front().cloned() {
                if reader.is_done() {
                    state.readers.pop_front();
                    continue;
                }
                let Some((status, bytes)) = state.take(&reader, &mut screen) else { break };
                state.readers.pop_front();
                answers.push((reader, status, bytes));
            }
            drop(screen);
            buffer
        };
        self.paint(k, &buffer);
        self.signal(k);
        answers
    }

    /// Sets or resets the event of the files open for input.
    fn signal(&self, k: &mut Kernel) {
        let (files, any) = {
            let state = self.state.open();
            let files: Vec<_> = state.inputs.iter().filter_map(Weak::upgrade).collect();
            (files, !state.records.is_empty())
        };
        for file in files {
            if any {
                ke_set_event(k, event_of(&file), 0);
            } else {
                ke_reset_event(k, event_of(&file));
            }
        }
    }

    /// The terminal sent bytes.
    fn typed(&self, k: &mut Kernel, bytes: &[u8]) {
        let (typed, mode) = {
            let mut state = self.state.open();
            (state.decoder.decode(bytes), state.input_mode)
        };
        let mut records = Vec::new();
        for (keys, raw) in typed {
            if mode & VT_INPUT != 0 && raw.len() > 1 {
                // The characters of a sequence, with no key behind them.
                for unit in raw {
                    let key = Key { unit, ..Key::default() };
                    records.extend([key_record(key, true), key_record(key, false)]);
                }
                continue;
            }
            for key in keys {
                // A terminal sends DEL for Backspace; a reader of VT input wants it so.
                let unit = match raw.as_slice() {
                    [0x7F] if mode & VT_INPUT != 0 => 0x7F,
                    _ => key.unit,
                };
                let key = Key { unit, ..key };
                let control = key.state & ANY_CONTROL != 0;
                let event = match key.code {
                    0x43 if control && mode & PROCESSED_INPUT != 0 => Some(CTRL_C),
                    3 if control => Some(CTRL_BREAK),
                    _ => None,
                };
                if let Some(event) = event {
                    self.write_input(k, std::mem::take(&mut records));
                    self.interrupted(k, event);
                } else {
                    records.extend([key_record(key, true), key_record(key, false)]);
                }
            }
        }
        self.write_input(k, records);
    }

    /// Ctrl-C or Ctrl-Break was typed: a line being read ends as an empty one, and every process hears of it.
    fn interrupted(&self, k: &mut Kernel, event: u32) {
        let (reader, buffer) = {
            let mut state = self.state.open();
            let editing = state.editor.take().is_some();
            let waits = state.readers.front().is_some_and(|irp| is_line_read(irp));
            let echo = state.input_mode & ECHO_INPUT != 0;
            let reader = if editing && waits { state.readers.pop_front() } else { None };
            let buffer = state.buffer.clone();
            if reader.is_some() && echo {
                let mut screen = buffer.open();
                let mode = screen.mode;
                screen.mode = super::screen::PROCESSED | super::screen::WRAP;
                screen.write(&[u16::from(b'^'), u16::from(b'C'), 13, 10]);
                screen.mode = mode;
            }
            (reader, buffer)
        };
        self.paint(k, &buffer);
        self.control_event(k, event, 0);
        if let Some(reader) = reader {
            // DEVIATION: on Windows the read ends with no character and ERROR_OPERATION_ABORTED. The userland's `cmd`
            // does not look at the count and never comes back from that; an empty line brings its prompt again.
            deliver(k, &reader, STATUS_SUCCESS, &empty_line(&reader));
        }
        self.pump(k);
    }

    /// Brings an event to the processes of a group, or to all for 0, as a thread in each.
    pub fn control_event(&self, k: &mut Kernel, event: u32, group: u32) {
        for pid in self.processes() {
            let Some(process) = k.ps.processes.get(&pid).cloned() else { continue };
            let (routine, its_group) = {
                let state = process.state.open();
                (state.ntdll.ctrl_routine, state.console_group)
            };
            if group != 0 && group != its_group || process.is_exiting() {
                continue;
            }
            let Some(start) = routine else {
                let text = "control events need an ntdll that exports __wine_ctrl_routine";
                k.notice_once(text.to_owned());
                continue;
            };
            let argument = u64::from(event);
            let request = ThreadRequest { start, argument, stack_commit: 0, stack_reserve: 0 };
            match create_thread(k, &process, &request) {
                Ok(thread) => start_thread(k, &thread),
                Err(status) => {
                    let name = process.image_name();
                    k.notice(&format!("{name}: no thread for a control event: {status}"));
                }
            }
        }
    }
}

/// True for a read of characters, false for one of records.
fn is_line_read(irp: &Irp) -> bool {
    !matches!(irp.request, Request::Control { code: READ_INPUT, .. })
}

/// An empty line in the form that a read wants it.
fn empty_line(irp: &Irp) -> Vec<u8> {
    match &irp.request {
        Request::Control { code: READ_CONSOLE, .. } => bytes(&[13, 10]),
        Request::Control { code: READ_CONSOLE_CONTROL, .. } => {
            [vec![0; 4], bytes(&[13, 10])].concat()
        }
        _ => vec![13, 10],
    }
}

/// Ends a read with bytes, as many as there is room for.
fn deliver(k: &mut Kernel, irp: &Arc<Irp>, status: NtStatus, bytes: &[u8]) {
    let (Request::Read { buffer, .. } | Request::Control { output: buffer, .. }) = &irp.request
    else {
        return irp::complete(k, irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    };
    let bytes = bytes.get(..buffer.len).unwrap_or(bytes);
    match buffer.write(k, 0, bytes) {
        Ok(()) => irp::complete(k, irp, status, bytes.len() as u64),
        Err(status) => irp::complete(k, irp, status, 0),
    }
}

impl State {
    /// What a read gets now; `None` if it has to wait.
    fn take(&mut self, irp: &Irp, screen: &mut Screen) -> Option<(NtStatus, Vec<u8>)> {
        let (code, room, input): (u32, usize, &[u8]) = match &irp.request {
            Request::Read { buffer, .. } => (READ_FILE, buffer.len, &[]),
            Request::Control { code, input, output, .. } => (*code, output.len, input),
            _ => return Some((STATUS_INVALID_DEVICE_REQUEST, Vec::new())),
        };
        if code == READ_INPUT {
            let most = room / size_of::<Record>();
            let blocking = input.is_empty() || input.iter().any(|byte| *byte != 0);
            if self.records.is_empty() && blocking && most > 0 {
                return None;
            }
            let count = most.min(self.records.len());
            return Some((STATUS_SUCCESS, self.records.drain(..count).flatten().collect()));
        }
        // In front of a controlled read's text is the state of the control keys.
        let head = if code == READ_CONSOLE_CONTROL { 4 } else { 0 };
        let room = room.saturating_sub(head);
        if self.line.is_empty() {
            let wakeup = if code == READ_CONSOLE_CONTROL { long(input, 0).unwrap_or(0) } else { 0 };
            let initial = match code {
                READ_CONSOLE_CONTROL => units(input.get(4..).unwrap_or_default()),
                _ => Vec::new(),
            };
            let (text, keys) = if self.input_mode & LINE_INPUT != 0 {
                self.edit(screen, wakeup, initial)?
            } else {
                (self.characters(screen, room, code)?, 0)
            };
            if code == READ_FILE {
                let is_end = text.first() == Some(&CTRL_Z);
                if is_end && self.input_mode & PROCESSED_INPUT != 0 {
                    return Some((STATUS_SUCCESS, Vec::new()));
                }
                self.line = self.input_page.encode(&text).into();
            } else {
                self.line = bytes(&text).into();
            }
            return Some((STATUS_SUCCESS, self.part(room, head, keys)));
        }
        Some((STATUS_SUCCESS, self.part(room, head, 0)))
    }

    /// As much of the line as there is room for.
    fn part(&mut self, room: usize, head: usize, keys: u32) -> Vec<u8> {
        let count = room.min(self.line.len());
        let mut part = if head == 0 { Vec::new() } else { keys.to_le_bytes().to_vec() };
        part.extend(self.line.drain(..count));
        part
    }

    /// Goes on with the line; `None` while it has no end.
    fn edit(
        &mut self,
        screen: &mut Screen,
        wakeup: u32,
        initial: Vec<u16>,
    ) -> Option<(Vec<u16>, u32)> {
        let mut editor = match self.editor.take() {
            Some(editor) => editor,
            None => Editor::new(screen, &self.history, initial),
        };
        let echo = self.input_mode & ECHO_INPUT != 0;
        while let Some(record) = self.records.pop_front() {
            let Some(key) = pressed(&record) else { continue };
            match editor.key(key, wakeup, screen, &mut self.history, echo) {
                Edited::More => {}
                Edited::Line(mut line) => {
                    line.push(13);
                    if self.input_mode & PROCESSED_INPUT != 0 {
                        line.push(10);
                    }
                    return Some((line, 0));
                }
                Edited::Woken(line, keys) => return Some((line, keys)),
            }
        }
        self.editor = Some(editor);
        None
    }

    /// The characters that are there, without editing; `None` while there are none.
    fn characters(&mut self, screen: &mut Screen, room: usize, code: u32) -> Option<Vec<u16>> {
        let most = if code == READ_FILE { room } else { room / 2 };
        let mut text = Vec::new();
        while text.len() < most.max(1)
            && let Some(record) = self.records.pop_front()
        {
            if let Some(key) = pressed(&record)
                && key.unit != 0
            {
                text.push(key.unit);
            }
        }
        if self.input_mode & ECHO_INPUT != 0 {
            screen.write(&text);
        }
        if text.is_empty() { None } else { Some(text) }
    }
}

impl TerminalListener for Console {
    fn terminal_event(&self, k: &mut Kernel) {
        if let Some((width, height)) = k.host.terminal_size() {
            let (width, height) = (usize::from(width), usize::from(height));
            let buffer = self.buffer();
            let changed = {
                let mut screen = buffer.open();
                let changed = (screen.width, screen.height) != (width, height);
                if changed {
                    screen.resize(width, height);
                }
                changed
            };
            if changed {
                self.paint(k, &buffer);
                if self.input_mode() & WINDOW_INPUT != 0 {
                    self.write_input(k, [size_record(width, height)]);
                }
            }
        }
        let bytes = k.host.terminal_read();
        if !bytes.is_empty() {
            self.typed(k, &bytes);
        }
    }

    fn leave_terminal(&self, k: &mut Kernel) {
        let bytes = self.buffer().open().finish();
        self.send(k, &bytes);
    }
}
