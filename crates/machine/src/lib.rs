//! A whole machine as a library: boot it, run a program in it, see how it ended.
//!
//! Key types: [`Machine`], [`Config`], [`Program`], [`Outcome`]. The host comes from outside as an
//! [`ntos::host::Host`], so a machine never reaches beyond what that was given.
//!
//! Invariant: a machine that panics ends alone; [`Machine::run`] catches it and says so.
//!
//! A worked path, "`nten run hello.exe`": [`Machine::boot`] makes physical memory, the kernel's half of the address
//! space, the namespace ([`namespace`]), the registry and the volumes, maps `ntdll.dll`, and makes the program's process
//! and first thread. [`Machine::run`] runs the loop of [`ntos::run`] until that process has ended.

mod boot;
pub mod command_line;
mod namespace;
mod shared_data;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use abi::NtStatus;
use boot::Booted;
use cpu::Engine;
use drivers::hostfs::ChangeKind;
use ntos::host::Host;
use ntos::run::{Limits, Stop};
use ntos::trace::Sink;

pub use boot::BootError;

/// What a machine is made of.
pub struct Config {
    /// The outside world, with the volumes that the guest sees.
    pub host: Arc<dyn Host>,
    /// Names and numbers of the system services, read from the guest's own DLLs.
    pub services: Vec<(String, u32)>,
    /// The NLS files by name (`l_intl.nls`).
    pub nls: ntos::mm::nls::NlsSource,
    /// Bytes of physical memory.
    pub memory: u64,
    /// Where the trace goes.
    pub trace: Option<Sink>,
}

/// The first program.
pub struct Program {
    /// Its DOS path in the guest: `D:\hello.exe`.
    pub path: String,
    /// Its command line, its own name included.
    pub command_line: String,
    /// The folder it starts in: `D:\`.
    pub directory: String,
    /// Its environment.
    pub environment: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The program ended with this code.
    Exited(NtStatus),
    /// The host asked the machine to end.
    Interrupted,
    /// The time limit passed.
    TimedOut,
    /// Every thread waits for something that cannot come; the text lists them.
    Deadlock(String),
    /// nten's own code failed; the machine ended.
    Failed(String),
}

/// A booted machine with its first program, ready to run.
pub struct Machine {
    booted: Booted,
    engine: Box<dyn Engine>,
}

impl Machine {
    /// Boots a machine and loads its first program.
    pub fn boot(config: Config, program: &Program) -> Result<Self, BootError> {
        let booted = boot::boot(config, program)?;
        Ok(Machine { booted, engine: Box::new(cpu::Interpreter::new()) })
    }

    /// Runs until the program has ended or something else ends the run. `deadline` is in 100 ns since boot.
    pub fn run(&mut self, deadline: Option<u64>) -> Outcome {
        let Booted { executive, program, .. } = &self.booted;
        let limits = Limits { deadline, until: Some(program.clone()) };
        let engine = &mut *self.engine;
        let stop = catch_unwind(AssertUnwindSafe(|| ntos::run::run(executive, engine, limits)));
        let outcome = match stop {
            Ok(Stop::Done) => {
                let status = program.state.open().exit_status;
                Outcome::Exited(status.unwrap_or(NtStatus::SUCCESS))
            }
            Ok(Stop::Interrupted) => Outcome::Interrupted,
            Ok(Stop::TimedOut) => Outcome::TimedOut,
            Ok(Stop::Deadlock) => Outcome::Deadlock(executive.with(ntos::run::describe_waits)),
            Err(panic) => return Outcome::Failed(panic_text(&*panic)),
        };
        executive.with(|k| {
            if let Some(terminal) = k.io.terminal.take() {
                terminal.leave_terminal(k);
            }
            k.trace.flush();
        });
        outcome
    }

    /// What differs on a copy-on-write drive from the folder below it, a line each: `added D:\a.txt`.
    pub fn changes(&self, drive: char) -> Vec<String> {
        let volume = self.booted.volumes.iter().find(|(letter, _)| *letter == drive);
        let changes = volume.and_then(|(_, volume)| volume.tree.changes().ok()).unwrap_or_default();
        let line = |change: &drivers::hostfs::Change| {
            let verb = match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Modified => "modified",
                ChangeKind::Deleted => "deleted",
            };
            format!("{verb} {drive}:{}", change.name)
        };
        changes.iter().map(line).collect()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown cause").to_owned()
}
