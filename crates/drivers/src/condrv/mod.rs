//! Consoles: `\Device\ConDrv`, with the console host inside the kernel.
//!
//! Key types: [`Condrv`] (which process has which console), `console::Console`, `screen::Screen` (cells),
//! `painter::Painter` (cells to terminal), `edit::Editor` (line editing), `file::ConsoleFile` (an open handle).
//! The names are those of Windows 8 and later: a process opens `Connection` relative to the console it is given, and
//! `Input` and `Output` for its standard handles. A machine has a console if the host has a terminal for it; with
//! redirected streams nothing of this is used.
//!
//! Invariants: the event of an input file is set exactly while input records wait; a screen buffer is never open while
//! requests are completed.
//!
//! A worked path, "`cmd` shows its prompt and reads a line": `WriteConsole` arrives as a control request, the screen
//! takes the characters, the painter emits what the terminal lacks. `ReadConsole` pends; each key becomes an input
//! record, the reader's line editor takes it and echoes; Enter completes the request.

mod cell;
mod codepage;
mod console;
mod edit;
mod file;
mod keys;
mod output;
mod painter;
mod protocol;
mod screen;
#[cfg(test)]
mod tests;
mod vt;

use std::collections::BTreeMap;
use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::ob::{MAXIMUM_ALLOWED, OBJ_INHERIT};
use abi::status_table::*;
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::io::CreateRequest;
use ntos::io::device::{Created, Device, Driver, add_device};
use ntos::io::file::create_object;
use ntos::ob::{HandleEntry, HandleTable, ObRef};

use console::Console;
use file::{ConsoleFile, Kind};

/// The driver's state.
#[derive(Default)]
pub struct Condrv {
    /// The console of each attached process.
    attached: Guarded<BTreeMap<u64, Arc<Console>>>,
}

/// The driver.
struct CondrvDriver(Arc<Condrv>);

/// The console that a first process is given.
pub struct FirstConsole {
    device: ObRef<Device>,
    condrv: Arc<Condrv>,
    console: Arc<Console>,
}

/// Makes `\Device\ConDrv`; if the host has a terminal, with a console on it.
pub fn add(k: &mut Kernel) -> NtResult<Option<FirstConsole>> {
    let condrv = Arc::<Condrv>::default();
    let driver = Arc::new(CondrvDriver(condrv.clone()));
    let device = add_device(k, "\\Device\\ConDrv", FILE_DEVICE_CONSOLE, 0, driver)?;
    if k.host.terminal_size().is_none() {
        return Ok(None);
    }
    let console = Console::new(k);
    k.io.terminal = Some(console.clone());
    Ok(Some(FirstConsole { device, condrv, console }))
}

impl FirstConsole {
    /// Opens the console for a process: what its `ConsoleHandle` is.
    pub fn reference(&self, k: &mut Kernel, handles: &mut HandleTable) -> NtResult<u64> {
        self.open(k, handles, Kind::Reference, 0)
    }

    /// Opens the console's input.
    pub fn input(&self, k: &mut Kernel, handles: &mut HandleTable) -> NtResult<u64> {
        self.open(k, handles, Kind::Input, OBJ_INHERIT)
    }

    /// Opens the console's screen.
    pub fn output(&self, k: &mut Kernel, handles: &mut HandleTable) -> NtResult<u64> {
        self.open(k, handles, Kind::Output(self.console.buffer()), OBJ_INHERIT)
    }

    fn open(
        &self,
        k: &mut Kernel,
        handles: &mut HandleTable,
        kind: Kind,
        attributes: u32,
    ) -> NtResult<u64> {
        let file = ConsoleFile::new(&self.condrv, &self.console, kind);
        let options = FILE_SYNCHRONOUS_IO_NONALERT;
        let object = create_object(k, &self.device, Box::new(file), options)?;
        handles.insert(HandleEntry { object, access: FILE_ALL_ACCESS, attributes })
    }
}

impl Condrv {
    /// The console of a process.
    fn console_of(&self, pid: u64) -> NtResult<Arc<Console>> {
        self.attached.open().get(&pid).cloned().ok_or(STATUS_INVALID_HANDLE)
    }

    fn attach(&self, pid: u64, console: &Arc<Console>) {
        self.attached.open().insert(pid, console.clone());
        console.attach(pid);
    }

    fn detach(&self, pid: u64, console: &Arc<Console>) {
        console.detach(pid);
        let mut attached = self.attached.open();
        if attached.get(&pid).is_some_and(|other| Arc::ptr_eq(other, console)) {
            attached.remove(&pid);
        }
    }
}

impl Driver for CondrvDriver {
    fn name(&self) -> &'static str {
        "condrv"
    }

    fn create(
        &self,
        k: &mut Kernel,
        _device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<Created> {
        let condrv = &self.0;
        let pid = request.process.pid;
        let path = request.path.to_string();
        let name = path.trim_start_matches('\\').to_ascii_lowercase();
        let related = request.related.as_ref().and_then(|file| file::as_console(&*file.ops));
        // Relative to a console the name is of that console, else of the caller's own.
        let console = |condrv: &Condrv| match related {
            Some(file) => Ok(file.console.clone()),
            None => condrv.console_of(pid),
        };
        let reads = request.access & (FILE_READ_DATA | MAXIMUM_ALLOWED) != 0;
        let (console, kind) = match name.as_str() {
            // A console of its own, which no terminal shows.
            "server" => (Console::unseen(k), Kind::Server),
            "reference" => (console(condrv)?, Kind::Reference),
            "connection" => {
                let console = console(condrv)?;
                if condrv.console_of(pid).is_ok() {
                    return Err(STATUS_ACCESS_DENIED);
                }
                condrv.attach(pid, &console);
                (console, Kind::Connection(pid))
            }
            "input" | "currentin" => (console(condrv)?, Kind::Input),
            "output" | "currentout" => {
                let console = console(condrv)?;
                let buffer = console.buffer();
                (console, Kind::Output(buffer))
            }
            // `CON` is the input to those who read and the screen to those who write.
            "console" if reads => (console(condrv)?, Kind::Input),
            "console" => {
                let console = console(condrv)?;
                let buffer = console.buffer();
                (console, Kind::Output(buffer))
            }
            "screenbuffer" => {
                let console = console(condrv)?;
                let buffer = console.new_buffer();
                (console, Kind::Output(buffer))
            }
            _ => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
        };
        let access = match request.access {
            access if access & MAXIMUM_ALLOWED != 0 => FILE_ALL_ACCESS,
            access => access,
        };
        let file = ConsoleFile::new(condrv, &console, kind);
        Ok(Created { ops: Box::new(file), information: FILE_OPENED, access })
    }
}
