//! The command line, declared once: [`Cli`] gives parsing, help and usage errors.
//!
//! The forms of option values (`HOST=X:[:ro]`, `K=V`, sizes, seconds) are parsed here into the types the verbs use, so
//! a wrong one is a usage error before anything starts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Runs Windows programs on an NT operating system that is itself an ordinary program.
#[derive(Debug, Parser)]
#[command(name = "nten", version, propagate_version = true, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "\
Exit status of `nten run`: the program's own if it is 0 to 255; 120 any other exit code or a crash;
121 bug check; 122 verifier violation; 124 time limit; 125 nten's own or usage error;
126 the image cannot run; 127 not found.";

/// A verb.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find or fetch the Windows system DLLs that programs run with
    Setup(SetupArgs),
    /// Boot a machine, run a program in it, exit with its exit code
    Run(RunArgs),
    /// Boot a machine with a command prompt; with COMMAND, run that as the prompt would
    Shell(ShellArgs),
}

/// Arguments of `nten setup`.
#[derive(Args, Debug)]
pub struct SetupArgs {
    /// Use the DLLs of this folder: a Windows folder, or a Wine installation or its unpacked packages
    #[arg(long, value_name = "DIR")]
    pub userland: Option<PathBuf>,
    /// Set up again although it was done already
    #[arg(long)]
    pub force: bool,
    /// Print where everything is as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `nten run` and `nten shell` have in common: the machine.
#[derive(Args, Debug)]
pub struct MachineArgs {
    /// Write system calls, one a line, to FILE; `-` is standard error, a name in .jsonl gives JSON Lines
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Choose what is traced, as strace does: a list of services, classes like `%file`, `!` in front excludes
    #[arg(short = 'e', value_name = "EXPR")]
    pub expressions: Vec<String>,
    /// Show a host folder as a drive; `:ro` at the end makes it read-only
    #[arg(long = "mount", value_name = "HOST=X:[:ro]", value_parser = parse_mount)]
    pub mounts: Vec<Mount>,
    /// Set a variable of the program's environment
    #[arg(long = "env", value_name = "K=V", value_parser = parse_variable)]
    pub environment: Vec<(String, String)>,
    /// End the machine after this many seconds, with status 124
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout: Option<Duration>,
    /// Use the system DLLs of this folder
    #[arg(long, value_name = "DIR")]
    pub userland: Option<PathBuf>,
    /// Make two runs alike: virtual clock, seeded entropy, one processor
    #[arg(long)]
    pub deterministic: bool,
    /// Keep writes inside the machine and list them at the end
    #[arg(long)]
    pub isolated: bool,
    /// Memory of the machine, as 512M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
}

/// Arguments of `nten run`.
#[derive(Args, Debug)]
#[command(override_usage = "nten run [OPTIONS] PROGRAM [ARGS]...", after_help = EXIT_STATUS)]
pub struct RunArgs {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// The program, and what it is given, verbatim
    // One positional: the first word that is no option begins it, and everything after belongs to the program.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM [ARGS]")]
    pub command: Vec<OsString>,
}

/// Arguments of `nten shell`.
#[derive(Args, Debug)]
#[command(override_usage = "nten shell [OPTIONS] [COMMAND]...", after_help = EXIT_STATUS)]
pub struct ShellArgs {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// A command line of cmd.exe to run instead of prompting
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// A host folder shown as a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The host folder.
    pub host: PathBuf,
    /// The drive letter, in upper case.
    pub drive: char,
    /// Whether the guest may write.
    pub access: MountAccess,
}

/// What the guest may do in a mounted folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountAccess {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

fn parse_mount(text: &str) -> Result<Mount, String> {
    // A host folder may contain `=`; a drive may not.
    let (host, drive) = text.rsplit_once('=').ok_or("expected HOST=X: or HOST=X:ro")?;
    let (letter, rest) = drive.split_once(':').ok_or("expected a drive like X: after the =")?;
    let access = match rest.trim_start_matches(':') {
        "" => MountAccess::ReadWrite,
        "ro" => MountAccess::ReadOnly,
        other => return Err(format!("`{other}` is not a way to mount; only `ro` is")),
    };
    let mut letters = letter.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => {
            if host.is_empty() {
                return Err("the host folder is missing before the =".to_owned());
            }
            Ok(Mount { host: host.into(), drive: letter.to_ascii_uppercase(), access })
        }
        _ => Err(format!("`{letter}:` is not a drive; a drive is one letter")),
    }
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    // Windows keeps variables like `=C:`, so the name may begin with `=`.
    let start = text.starts_with('=').into();
    let at =
        text.get(start..).and_then(|rest| rest.find('=')).ok_or("expected NAME=VALUE")? + start;
    let (name, value) = text.split_at(at);
    if name.is_empty() {
        return Err("the name is missing before the =".to_owned());
    }
    Ok((name.to_owned(), value.strip_prefix('=').unwrap_or(value).to_owned()))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if seconds <= 0.0 {
        return Err("the time must be more than 0 seconds".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let shift = match unit.to_ascii_uppercase().as_str() {
        "K" | "KB" | "KIB" => 10,
        "" | "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err(format!("`{unit}` is not a unit; K, M and G are")),
    };
    let count: u64 = digits.parse().map_err(|_| "expected a size like 512M or 4G".to_owned())?;
    let size = count.checked_mul(1 << shift).ok_or("that is more than can be counted")?;
    const SMALLEST: u64 = 64 << 20;
    if size < SMALLEST {
        return Err("a machine needs at least 64M".to_owned());
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<RunArgs, clap::Error> {
        let words = ["nten", "run"].iter().chain(words);
        match Cli::try_parse_from(words)?.command {
            Command::Run(arguments) => Ok(arguments),
            _ => panic!("parsed as another verb"),
        }
    }

    #[test]
    fn declaration_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_program_is_verbatim() {
        let words = ["--trace", "-", "rg.exe", "-e", "x", "--trace", "y", "--", "-z", "--help"];
        let arguments = run(&words).unwrap();
        assert_eq!(arguments.machine.trace, Some("-".into()));
        assert!(arguments.machine.expressions.is_empty());
        assert_eq!(arguments.command, words[2..]);
        let arguments = run(&["-e", "%file", "-e", "!NtClose", "--", "-odd.exe", "a"]).unwrap();
        assert_eq!(arguments.machine.expressions, ["%file", "!NtClose"]);
        assert_eq!(arguments.command, ["-odd.exe", "a"]);
    }

    #[test]
    fn options_before_the_program_are_ours() {
        assert!(run(&["--bogus", "a.exe"]).is_err());
        assert!(run(&[]).is_err());
    }

    #[test]
    fn mounts() {
        let mount = |text| parse_mount(text).map(|mount| (mount.host, mount.drive, mount.access));
        assert_eq!(mount("/a=x:"), Ok(("/a".into(), 'X', MountAccess::ReadWrite)));
        assert_eq!(mount("/a=b=Y::ro"), Ok(("/a=b".into(), 'Y', MountAccess::ReadOnly)));
        assert_eq!(mount("/a=Y:ro"), Ok(("/a".into(), 'Y', MountAccess::ReadOnly)));
        for wrong in ["/a", "/a=", "/a=XY:", "/a=1:", "=X:", "/a=X:rw"] {
            assert!(mount(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(parse_variable("A=1"), pair("A", "1"));
        assert_eq!(parse_variable("A="), pair("A", ""));
        assert_eq!(parse_variable("=C:=C:\\x"), pair("=C:", "C:\\x"));
        assert_eq!(parse_variable("A==b"), pair("A", "=b"));
        assert!(parse_variable("A").is_err());
        assert!(parse_variable("=A").is_err());
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!(parse_size("4g"), Ok(4 << 30));
        assert_eq!(parse_size("128"), Ok(128 << 20));
        for wrong in ["", "M", "1M", "-1G", "4T", "99999999999G"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "NaN", "inf", "x", "1e30"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
