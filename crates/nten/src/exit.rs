//! What an exit status means: [`Status`] for nten's own ends, [`Ended`] for how a run ended.

use std::process::ExitCode;

use abi::NtStatus;

/// An exit status that is not the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The program's exit code does not fit in a byte, or it crashed.
    Beyond = 120,
    /// The machine stopped with a bug check.
    BugCheck = 121,
    /// A driver broke a rule.
    Violation = 122,
    /// The time limit was reached.
    TimeLimit = 124,
    /// nten failed, or was used wrongly.
    Own = 125,
    /// The file is no program that can run.
    CannotRun = 126,
    /// There is no such file.
    NotFound = 127,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// How a run ended.
#[allow(
    dead_code,
    reason = "the machine reports every end; some need parts that are not linked in"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program exited.
    Exited(u32),
    /// The machine stopped with a bug check.
    BugCheck(u32),
    /// A driver broke a rule.
    Violation,
    /// The time limit was reached.
    TimeLimit,
    /// Ctrl-C.
    Interrupted,
}

impl Ended {
    /// The exit status of this end, and what to say about it on standard error.
    pub fn outcome(self) -> (ExitCode, Option<String>) {
        match self {
            Self::Exited(code) => match u8::try_from(code) {
                Ok(code) => (code.into(), None),
                Err(_) => (Status::Beyond.into(), Some(describe(code))),
            },
            Self::BugCheck(code) => {
                (Status::BugCheck.into(), Some(format!("the machine stopped: bug check {code:#x}")))
            }
            Self::Violation => (Status::Violation.into(), None),
            // As a shell reports a program that SIGINT ended.
            Self::Interrupted => (ExitCode::from(130), Some("interrupted".to_owned())),
            Self::TimeLimit => {
                (Status::TimeLimit.into(), Some("the time limit was reached".to_owned()))
            }
        }
    }
}

/// Says an exit code that does not fit in a byte: in full, and by name if it is an NTSTATUS.
fn describe(code: u32) -> String {
    // Small numbers are numbers: 258 is rarely meant as STATUS_TIMEOUT.
    const FIRST_STATUS: u32 = 0x4000_0000;
    if code < FIRST_STATUS {
        return format!("the program exited with {code} ({code:#x})");
    }
    match NtStatus(code).name().or_else(|| language_exception(code)) {
        Some(name) => format!("the program exited with {code:#010x} ({name})"),
        None => format!("the program exited with {code:#010x}"),
    }
}

/// Exceptions that language runtimes raise: documented by Microsoft for Visual C++, observed for gcc.
fn language_exception(code: u32) -> Option<&'static str> {
    match code {
        0xe06d_7363 | 0x2047_4343 => Some("an uncaught C++ exception"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_the_programs_own() {
        assert_eq!(Ended::Exited(0).outcome(), (ExitCode::SUCCESS, None));
        assert_eq!(Ended::Exited(255).outcome(), (255.into(), None));
    }

    #[test]
    fn larger_codes_are_said_in_full() {
        let said = |code| Ended::Exited(code).outcome();
        let beyond = ExitCode::from(120);
        assert_eq!(said(300), (beyond, Some("the program exited with 300 (0x12c)".to_owned())));
        let text = "the program exited with 0xc0000005 (STATUS_ACCESS_VIOLATION)";
        assert_eq!(said(0xc000_0005), (beyond, Some(text.to_owned())));
        let text = "the program exited with 0xffffffff";
        assert_eq!(said(u32::MAX), (beyond, Some(text.to_owned())));
    }

    #[test]
    fn a_time_limit_is_124() {
        assert_eq!(Ended::TimeLimit.outcome().0, 124.into());
    }
}
