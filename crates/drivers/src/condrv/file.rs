//! An open console handle: input, a screen buffer, a connection, a reference.
//!
//! Key types: [`ConsoleFile`], [`Kind`]. Every control request comes through here and goes to the console, or to the
//! screen buffer that the handle stands for.

use std::any::Any;
use std::sync::Arc;

use abi::NtResult;
use abi::io::FILE_ATTRIBUTE_NORMAL;
use abi::status_table::*;
use ntos::Kernel;
use ntos::io::irp::{IoResult, Irp, Outcome, Request};
use ntos::io::{FileFacts, FileObject, OpenFile};
use ntos::ob::ObRef;
use ntos::ustr::UnicodeString;

use super::Condrv;
use super::console::{Buffer, Console};
use super::output;
use super::protocol::*;

/// What an open file is.
pub enum Kind {
    /// The host's end of a console.
    Server,
    /// What a child inherits.
    Reference,
    /// A process's attachment.
    Connection(u64),
    /// The input.
    Input,
    /// A screen buffer.
    Output(Buffer),
}

/// An open file of the console driver.
pub struct ConsoleFile {
    condrv: Arc<Condrv>,
    /// The console.
    pub console: Arc<Console>,
    kind: Kind,
}

/// The console file behind an open instance.
pub fn as_console(ops: &dyn OpenFile) -> Option<&ConsoleFile> {
    (ops as &dyn Any).downcast_ref()
}

impl ConsoleFile {
    /// A file of a console.
    pub fn new(condrv: &Arc<Condrv>, console: &Arc<Console>, kind: Kind) -> Self {
        ConsoleFile { condrv: condrv.clone(), console: console.clone(), kind }
    }

    /// The screen buffer that the file is; `STATUS_INVALID_HANDLE` for another kind.
    fn buffer(&self) -> NtResult<&Buffer> {
        match &self.kind {
            Kind::Output(buffer) => Ok(buffer),
            _ => Err(STATUS_INVALID_HANDLE),
        }
    }

    fn require_input(&self) -> NtResult<()> {
        if matches!(self.kind, Kind::Input) { Ok(()) } else { Err(STATUS_INVALID_HANDLE) }
    }

    fn write_units(&self, k: &mut Kernel, units: &[u16]) -> NtResult<()> {
        let buffer = self.buffer()?;
        buffer.open().write(units);
        self.console.paint(k, buffer);
        Ok(())
    }

    /// Reads now or keeps the request.
    fn start_read(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        self.require_input()?;
        let Some((status, bytes)) = self.console.read(k, irp) else { return Ok(Outcome::Pending) };
        match &irp.request {
            Request::Read { buffer, .. } => buffer.write(k, 0, &bytes)?,
            Request::Control { output, .. } => output.write(k, 0, &bytes)?,
            _ => return Err(STATUS_INVALID_DEVICE_REQUEST),
        }
        Ok(Outcome::Done(status, bytes.len() as u64))
    }

    /// Requests about a screen buffer.
    fn output_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let (code, input, out) = irp.control()?;
        let buffer = self.buffer()?;
        match code {
            GET_OUTPUT_INFO => {
                let bytes = output::info(&buffer.open());
                return answer_part(k, irp, &bytes);
            }
            READ_OUTPUT => {
                let bytes = output::read(&buffer.open(), input, out.len)?;
                return answer_part(k, irp, &bytes);
            }
            WRITE_CONSOLE => {
                self.write_units(k, &units(input))?;
                return Outcome::ok(0);
            }
            WRITE_FILE => {
                let text = self.console.decode(input);
                self.write_units(k, &text)?;
                return Outcome::ok(0);
            }
            ACTIVATE => {
                self.console.activate(k, buffer);
                return Outcome::ok(0);
            }
            _ => {}
        }
        let bytes = {
            let mut screen = buffer.open();
            match code {
                SET_OUTPUT_INFO => output::set_info(&mut screen, input).map(|()| Vec::new()),
                FILL_OUTPUT => output::fill(&mut screen, input),
                WRITE_OUTPUT => output::write(&mut screen, input),
                SCROLL => output::scroll(&mut screen, input).map(|()| Vec::new()),
                _ => Err(STATUS_NOT_SUPPORTED),
            }?
        };
        self.console.paint(k, buffer);
        answer_part(k, irp, &bytes)
    }

    /// Requests about the input.
    fn input_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        self.require_input()?;
        let (code, input, out) = irp.control()?;
        match code {
            PEEK => {
                let records = self.console.peek(out.len / size_of::<Record>());
                irp.answer(k, &records.concat())
            }
            WRITE_INPUT => {
                self.console.write_input(k, input.as_chunks().0.iter().copied());
                Outcome::ok(0)
            }
            GET_INPUT_COUNT => {
                let count = self.console.count();
                irp.answer(k, &count.to_le_bytes())
            }
            FLUSH => {
                self.console.flush(k);
                Outcome::ok(0)
            }
            _ => self.start_read(k, irp),
        }
    }

    /// Requests about the console as a whole: any handle of it will do.
    fn console_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let (code, input, out) = irp.control()?;
        let word = |at: usize| long(input, at).ok_or(STATUS_INVALID_PARAMETER);
        match code {
            GET_INPUT_INFO => {
                let (input_page, output_page) = self.console.pages();
                let both = [input_page.to_le_bytes(), output_page.to_le_bytes()].concat();
                irp.answer(k, &both)
            }
            SET_INPUT_INFO => {
                let mask = word(0)?;
                for (bit, at, output) in [(1, 4, false), (2, 8, true)] {
                    if mask & bit != 0 {
                        self.console.set_page(k, word(at)?, output)?;
                    }
                }
                Outcome::ok(0)
            }
            GET_TITLE => {
                let title = self.console.title();
                let mut bytes = (title.len() as u32).to_le_bytes().to_vec();
                bytes.extend(title.iter().flat_map(|unit| unit.to_le_bytes()));
                // The userland takes the structure with its padding from the length.
                bytes.extend([0; 4]);
                answer_part(k, irp, &bytes)
            }
            SET_TITLE => {
                self.console.set_title(k, units(input));
                Outcome::ok(0)
            }
            CTRL_EVENT => {
                let (event, group) = (word(0)?, word(4)?);
                if event > CTRL_BREAK {
                    return Err(STATUS_INVALID_PARAMETER);
                }
                self.console.control_event(k, event, group);
                Outcome::ok(0)
            }
            BEEP => {
                let buffer = self.console.buffer();
                buffer.open().bell();
                self.console.paint(k, &buffer);
                Outcome::ok(0)
            }
            GET_PROCESS_LIST => {
                let pids = self.console.processes();
                let bytes: Vec<u8> =
                    pids.iter().flat_map(|pid| (*pid as u32).to_le_bytes()).collect();
                if out.len < bytes.len() {
                    // The count tells how much room it takes.
                    return Ok(Outcome::Done(STATUS_BUFFER_OVERFLOW, bytes.len() as u64));
                }
                irp.answer(k, &bytes)
            }
            // No window belongs to a console here.
            GET_WINDOW => irp.answer(k, &0u32.to_le_bytes()),
            _ => Err(STATUS_NOT_SUPPORTED),
        }
    }
}

/// Answers with as much as there is room for: an overflow is no error here.
fn answer_part(k: &mut Kernel, irp: &Irp, bytes: &[u8]) -> IoResult {
    let (_, _, out) = irp.control()?;
    let part = bytes.get(..out.len.min(bytes.len())).unwrap_or_default();
    out.write(k, 0, part)?;
    Outcome::ok(part.len() as u64)
}

impl OpenFile for ConsoleFile {
    fn name(&self) -> UnicodeString {
        UnicodeString::from(match &self.kind {
            Kind::Server => "\\Server",
            Kind::Reference => "\\Reference",
            Kind::Connection(_) => "\\Connection",
            Kind::Input => "\\Input",
            Kind::Output(_) => "\\Output",
        })
    }

    fn opened(&self, file: &ObRef<FileObject>) {
        if matches!(self.kind, Kind::Input) {
            self.console.add_input(file);
        }
    }

    fn owns_event(&self) -> bool {
        matches!(self.kind, Kind::Input)
    }

    fn read(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        self.start_read(k, irp)
    }

    fn write(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Write { buffer, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        self.buffer()?;
        let bytes = buffer.read_all(k)?;
        let text = self.console.decode(&bytes);
        self.write_units(k, &text)?;
        Outcome::ok(bytes.len() as u64)
    }

    fn flush(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Outcome::ok(0)
    }

    fn device_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let (code, input, _) = irp.control()?;
        match code {
            GET_MODE => {
                let mode = match &self.kind {
                    Kind::Input => self.console.input_mode(),
                    _ => self.buffer()?.open().mode,
                };
                irp.answer(k, &mode.to_le_bytes())
            }
            SET_MODE => {
                let mode = long(input, 0).ok_or(STATUS_INVALID_PARAMETER)?;
                match &self.kind {
                    Kind::Input => self.console.set_input_mode(mode),
                    _ => self.buffer()?.open().mode = mode,
                }
                Outcome::ok(0)
            }
            // The userland's word for a terminal that its own host shows on: this one is a real console.
            IS_UNIX => Err(STATUS_NOT_SUPPORTED),
            READ_CONSOLE | READ_FILE | READ_INPUT | READ_CONSOLE_CONTROL | PEEK | WRITE_INPUT
            | GET_INPUT_COUNT | FLUSH => self.input_control(k, irp),
            WRITE_CONSOLE | WRITE_FILE | READ_OUTPUT | WRITE_OUTPUT | GET_OUTPUT_INFO
            | SET_OUTPUT_INFO | ACTIVATE | FILL_OUTPUT | SCROLL => self.output_control(k, irp),
            GET_INPUT_INFO | SET_INPUT_INFO | GET_TITLE | SET_TITLE | CTRL_EVENT | BEEP
            | GET_PROCESS_LIST | GET_WINDOW => self.console_control(k, irp),
            _ => {
                k.notice_once(format!("console request {code:#x} is not implemented"));
                Err(STATUS_NOT_SUPPORTED)
            }
        }
    }

    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        Ok(FileFacts { attributes: FILE_ATTRIBUTE_NORMAL, links: 1, ..FileFacts::default() })
    }

    fn cleanup(&self, _k: &mut Kernel) {
        if let Kind::Connection(pid) = self.kind {
            self.condrv.detach(pid, &self.console);
        }
    }
}
