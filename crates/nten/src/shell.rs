//! `nten shell`: a machine with a command prompt, the userland's `cmd.exe`.
//!
//! On a terminal the prompt has a console; with redirected streams `cmd.exe` reads its commands from standard input.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::{RunArgs, ShellArgs};
use crate::report::Report;
use crate::run;

/// The shell.
const SHELL: &str = "cmd.exe";

/// Does the verb.
pub fn command(arguments: ShellArgs) -> Result<ExitCode, Report> {
    run::command(RunArgs { machine: arguments.machine, command: words(arguments.command) })
}

/// The shell's command line: as a prompt, or for one command.
fn words(command: Vec<OsString>) -> Vec<OsString> {
    let mut words = vec![OsString::from(SHELL)];
    if !command.is_empty() {
        words.push("/c".into());
        words.extend(command);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_run_and_ended() {
        assert_eq!(words(Vec::new()), ["cmd.exe"]);
        assert_eq!(words(vec!["dir".into(), "/b".into()]), ["cmd.exe", "/c", "dir", "/b"]);
    }
}
