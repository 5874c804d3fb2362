//! The `nten` command: reads the command line, does one verb, and turns its end into an exit status.
//!
//! The guest owns standard output and error; nten's own words go to standard error and begin with `nten:`. Every
//! verb is a file of its own ([`setup`], [`run`], [`shell`]); [`cli`] declares the command line, [`report`] the form of an error,
//! [`exit`] what an exit status means.

mod cli;
mod exit;
mod guest;
mod report;
mod run;
mod setup;
mod shell;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = match cli::Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage(&error),
    };
    let result = match command {
        cli::Command::Setup(arguments) => setup::setup(&arguments),
        cli::Command::Run(arguments) => run::command(arguments),
        cli::Command::Shell(arguments) => shell::command(arguments),
    };
    match result {
        Ok(code) => code,
        Err(report) => {
            report.print();
            report.status.into()
        }
    }
}

/// Prints what clap has to say: help and version are answers, anything else is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    use anstream::{eprint, print};
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        eprint!("nten: {text}");
        return exit::Status::Own.into();
    }
    print!("{text}");
    ExitCode::SUCCESS
}
