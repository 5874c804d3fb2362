//! `nten run`: finds the program and the userland, checks the image, and hands over to the machine.
//!
//! [`command`] turns the command line into [`RunOptions`]; [`run`] is the one place that knows how a machine is made.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use host::{DeterministicHost, LinuxFolder, LinuxHost};
use machine::{BootError, Config, Machine, Outcome};
use ntos::host::Host;
use ntos::mm::nls::NlsSource;
use ntos::trace::{Filter, Format, Sink, filter};
use userland::image::{self, ImageError};
use userland::{ServiceNumbers, Userland};

use crate::cli::{Mount, Net, RunArgs};
use crate::exit::{Ended, Status};
use crate::guest::Drives;
use crate::kept::KeptMachine;
use crate::report::Report;

/// Everything a run needs to know.
#[derive(Debug)]
pub struct RunOptions {
    /// The program on the host, an absolute path.
    pub program: PathBuf,
    /// How the user named it: what the guest sees as its first argument.
    pub name: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The system DLLs.
    pub userland: Userland,
    /// Where the trace goes.
    pub trace: Option<Trace>,
    /// What is traced, in strace's form.
    pub expressions: Vec<String>,
    /// Host folders shown as drives.
    pub mounts: Vec<Mount>,
    /// Variables added to the environment.
    pub environment: Vec<(String, String)>,
    /// When to end the machine.
    pub timeout: Option<Duration>,
    /// Virtual clock, seeded entropy, one processor.
    pub deterministic: bool,
    /// Writes stay in the machine.
    pub isolated: bool,
    /// Where the machine is kept, if it is.
    pub machine: Option<PathBuf>,
    /// What sockets reach.
    pub net: Net,
    /// Memory of the machine in bytes, if the user chose.
    pub memory: Option<u64>,
}

/// Where a trace goes and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The file; `None` is standard error.
    pub file: Option<PathBuf>,
    /// How events are written.
    pub form: TraceForm,
}

/// How trace events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceForm {
    /// A line for people.
    Text,
    /// A JSON object a line.
    JsonLines,
}

/// Does the verb.
pub fn command(arguments: RunArgs) -> Result<ExitCode, Report> {
    let (ended, said) = run(options(arguments)?)?.outcome();
    if let Some(said) = said {
        anstream::eprintln!("nten: {said}");
    }
    Ok(ended)
}

/// Boots a machine, runs the program to its end and says how it ended.
fn run(options: RunOptions) -> Result<Ended, Report> {
    let filter = match options.expressions.as_slice() {
        [] => None,
        expressions => Some(filter::parse(expressions).map_err(|error| {
            Report::new("cannot read the trace expression").cause(error.to_string())
        })?),
    };
    let trace = options.trace.as_ref().map(|trace| sink(trace, filter)).transpose()?;
    let kept = options.machine.as_deref().map(KeptMachine::open).transpose()?;
    let drives = Drives::open(&options, kept.as_ref())?;
    let program = drives.program(&options);
    let mut real = LinuxHost::new(drives.volumes.clone());
    if let Some(kept) = &kept {
        real = real.with_hives(kept.hives.clone());
    }
    if options.net == Net::User {
        if options.deterministic {
            return Err(Report::new("a deterministic machine has no network")
                .help("leave out `--deterministic` or `--net user`"));
        }
        real = real
            .with_network()
            .map_err(|error| Report::new("cannot use the network").cause(error.to_string()))?;
    }
    // What is typed at a terminal has a time, which a deterministic run does not know.
    if !options.deterministic {
        real.take_terminal()
            .map_err(|error| Report::new("cannot use the terminal").cause(error.to_string()))?;
    }
    real.catch_interrupts()
        .map_err(|error| Report::new("cannot catch Ctrl-C").cause(error.to_string()))?;
    let host: Arc<dyn Host> = if options.deterministic {
        Arc::new(DeterministicHost::new(Arc::new(real), SEED))
    } else {
        Arc::new(real)
    };
    let config = Config {
        host,
        services: services(&options.userland)?,
        nls: nls(&options.userland)?,
        memory: options.memory.unwrap_or(DEFAULT_MEMORY),
        trace,
    };
    let mut machine = Machine::boot(config, &program).map_err(|error| boot_failed(&error))?;
    let deadline = options.timeout.map(|limit| (limit.as_nanos() / 100) as u64);
    let outcome = machine.run(deadline);
    if options.isolated {
        for change in machine.changes('D') {
            anstream::eprintln!("nten: {change}");
        }
    }
    match outcome {
        Outcome::Exited(status) => Ok(Ended::Exited(status.0)),
        Outcome::TimedOut => Ok(Ended::TimeLimit),
        Outcome::Interrupted => Ok(Ended::Interrupted),
        Outcome::Deadlock(threads) => Err(Report::new("the machine stands still")
            .cause(format!("every thread waits for what nothing can bring:\n{threads}"))),
        Outcome::Failed(cause) => Err(Report::new("nten itself failed; the machine has ended")
            .cause(cause)
            .help("please report it with the program and its arguments")),
    }
}

/// Memory of a machine when the user does not say.
const DEFAULT_MEMORY: u64 = 4 << 30;

/// The seed of deterministic runs.
const SEED: u64 = 0x6E74_656E;

fn sink(trace: &Trace, filter: Option<Box<dyn Filter>>) -> Result<Sink, Report> {
    let out: Box<dyn Write + Send> = match &trace.file {
        Some(path) => {
            let file = fs::File::create(path).map_err(|error| {
                Report::new(format!("cannot write the trace to {}", path.display()))
                    .cause(error.to_string())
            })?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(std::io::stderr()),
    };
    let format = match trace.form {
        TraceForm::Text => Format::Text,
        TraceForm::JsonLines => Format::JsonLines,
    };
    Ok(Sink { out, format, filter })
}

fn services(userland: &Userland) -> Result<Vec<(String, u32)>, Report> {
    let mut services = Vec::new();
    for dll in [userland.ntdll(), userland.win32u()] {
        let numbers = ServiceNumbers::read(&dll).map_err(|error| {
            Report::new("cannot read the service numbers").cause(error.to_string())
        })?;
        services.extend(numbers.iter().map(|(name, number)| (name.to_owned(), number)));
    }
    Ok(services)
}

fn nls(userland: &Userland) -> Result<NlsSource, Report> {
    let folder = LinuxFolder::open(&userland.nls).map_err(|error| {
        Report::new(format!("cannot open {}", userland.nls.display())).cause(error.to_string())
    })?;
    Ok(Box::new(move |name| host::open_backing(&folder, name).ok()))
}

fn boot_failed(error: &BootError) -> Report {
    let report = Report::new(error.to_string());
    match error {
        BootError::Program { .. } => report.status(Status::CannotRun),
        BootError::SystemImage { .. } => report.help("set the userland up again with `nten setup`"),
        _ => report,
    }
}

/// Turns the command line into what a run needs; every check that needs no machine is made here.
fn options(arguments: RunArgs) -> Result<RunOptions, Report> {
    let RunArgs { machine: arguments, command } = arguments;
    let mut words = command.into_iter();
    let name = words.next().ok_or_else(|| Report::new("no program was named"))?;
    // A program that does not exist is said first, even when there is no userland either.
    let here = find_here(&name);
    let located = Userland::locate(arguments.userland.as_deref());
    let program = match (here, &located) {
        (Some(program), _) => program,
        (None, Ok(userland)) => {
            find_in_system32(&name, userland).ok_or_else(|| not_found(&name))?
        }
        (None, Err(_)) => return Err(not_found(&name)),
    };
    image::inspect(&program).map_err(|error| cannot_run(&name, &error))?;
    for mount in &arguments.mounts {
        if !mount.host.is_dir() {
            return Err(Report::new(format!("cannot mount {}", mount.host.display()))
                .cause("it is not a folder")
                .help("name an existing folder, as in --mount /data=X:"));
        }
    }
    Ok(RunOptions {
        program: fs::canonicalize(&program)
            .map_err(|error| cannot_run(&name, &ImageError::Unreadable(error)))?,
        name,
        arguments: words.collect(),
        userland: located?,
        trace: arguments.trace.map(trace),
        expressions: arguments.expressions,
        mounts: arguments.mounts,
        environment: arguments.environment,
        timeout: arguments.timeout,
        deterministic: arguments.deterministic,
        isolated: arguments.isolated,
        machine: arguments.machine,
        net: arguments.net,
        memory: arguments.memory,
    })
}

fn trace(file: PathBuf) -> Trace {
    let form = match file.extension() {
        Some(extension) if extension == "jsonl" => TraceForm::JsonLines,
        _ => TraceForm::Text,
    };
    Trace { file: (file != Path::new("-")).then_some(file), form }
}

/// The program as a file of the host: as named, or with `.exe`.
fn find_here(name: &OsStr) -> Option<PathBuf> {
    spellings(name).into_iter().map(PathBuf::from).find(|path| path.exists())
}

/// The program among the userland's own (`cmd`, `C:\windows\system32\reg.exe`): found in any spelling, as Windows
/// does.
fn find_in_system32(name: &OsStr, userland: &Userland) -> Option<PathBuf> {
    const SYSTEM32: &str = r"c:\windows\system32\";
    let text = name.to_str()?.replace('/', r"\");
    let bare = match text.get(..SYSTEM32.len()) {
        Some(start) if start.eq_ignore_ascii_case(SYSTEM32) => text.get(SYSTEM32.len()..)?,
        _ => &text,
    };
    if bare.is_empty() || bare.contains(['\\', ':']) {
        return None;
    }
    let wanted = spellings(OsStr::new(bare));
    let entries = fs::read_dir(&userland.system32).ok()?;
    entries
        .flatten()
        .find(|entry| wanted.iter().any(|name| entry.file_name().eq_ignore_ascii_case(name)))
        .map(|entry| entry.path())
}

fn spellings(name: &OsStr) -> Vec<OsString> {
    let mut with_extension = name.to_owned();
    with_extension.push(".exe");
    vec![name.to_owned(), with_extension]
}

fn not_found(name: &OsStr) -> Report {
    let folder =
        env::current_dir().map_or_else(|_| ".".to_owned(), |path| path.display().to_string());
    Report::new(format!("{} was not found", Path::new(name).display()))
        .status(Status::NotFound)
        .cause(format!("it is neither a file (seen from {folder}) nor a program of the userland"))
}

fn cannot_run(name: &OsStr, error: &ImageError) -> Report {
    let status =
        if matches!(error, ImageError::NotFound) { Status::NotFound } else { Status::CannotRun };
    let mut report = Report::new(format!("cannot run {}", Path::new(name).display()))
        .status(status)
        .cause(error.to_string());
    report.help = error.help().map(str::to_owned);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_by_name() {
        assert_eq!(trace("-".into()), Trace { file: None, form: TraceForm::Text });
        let file = Some("a.jsonl".into());
        assert_eq!(trace("a.jsonl".into()), Trace { file, form: TraceForm::JsonLines });
        assert_eq!(trace("a.txt".into()).form, TraceForm::Text);
    }
}
