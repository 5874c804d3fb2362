//! What an exit status means: [`Status`] for nten's own ends, [`Ended`] for how a run ended.

use std::process::ExitCode;

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
            Self::TimeLimit => {
                (Status::TimeLimit.into(), Some("the time limit was reached".to_owned()))
            }
        }
    }
}

/// Says an exit code that does not fit in a byte: in full, and by name if it is an NTSTATUS.
fn describe(code: u32) -> String {
    match status_name(code) {
        Some(name) => format!("the program exited with {code:#010x} ({name})"),
        None if code & 0xc000_0000 == 0xc000_0000 => {
            format!("the program exited with {code:#010x}")
        }
        None => format!("the program exited with {code} ({code:#x})"),
    }
}

/// The names of statuses that programs end with. Source: Microsoft, "NTSTATUS Values" (MS-ERREF 2.3.1).
fn status_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0x4001_0004 => "DBG_TERMINATE_PROCESS",
        0x4001_0005 => "DBG_CONTROL_C",
        0x8000_0001 => "STATUS_GUARD_PAGE_VIOLATION",
        0x8000_0002 => "STATUS_DATATYPE_MISALIGNMENT",
        0x8000_0003 => "STATUS_BREAKPOINT",
        0x8000_0004 => "STATUS_SINGLE_STEP",
        0xc000_0001 => "STATUS_UNSUCCESSFUL",
        0xc000_0002 => "STATUS_NOT_IMPLEMENTED",
        0xc000_0005 => "STATUS_ACCESS_VIOLATION",
        0xc000_0006 => "STATUS_IN_PAGE_ERROR",
        0xc000_0008 => "STATUS_INVALID_HANDLE",
        0xc000_000d => "STATUS_INVALID_PARAMETER",
        0xc000_0017 => "STATUS_NO_MEMORY",
        0xc000_001d => "STATUS_ILLEGAL_INSTRUCTION",
        0xc000_0025 => "STATUS_NONCONTINUABLE_EXCEPTION",
        0xc000_0026 => "STATUS_INVALID_DISPOSITION",
        0xc000_007b => "STATUS_INVALID_IMAGE_FORMAT",
        0xc000_008c => "STATUS_ARRAY_BOUNDS_EXCEEDED",
        0xc000_008e => "STATUS_FLOAT_DIVIDE_BY_ZERO",
        0xc000_0090 => "STATUS_FLOAT_INVALID_OPERATION",
        0xc000_0091 => "STATUS_FLOAT_OVERFLOW",
        0xc000_0094 => "STATUS_INTEGER_DIVIDE_BY_ZERO",
        0xc000_0095 => "STATUS_INTEGER_OVERFLOW",
        0xc000_0096 => "STATUS_PRIVILEGED_INSTRUCTION",
        0xc000_00fd => "STATUS_STACK_OVERFLOW",
        0xc000_0135 => "STATUS_DLL_NOT_FOUND",
        0xc000_0138 => "STATUS_ORDINAL_NOT_FOUND",
        0xc000_0139 => "STATUS_ENTRYPOINT_NOT_FOUND",
        0xc000_013a => "STATUS_CONTROL_C_EXIT",
        0xc000_0142 => "STATUS_DLL_INIT_FAILED",
        0xc000_0194 => "STATUS_POSSIBLE_DEADLOCK",
        0xc000_0374 => "STATUS_HEAP_CORRUPTION",
        0xc000_0409 => "STATUS_STACK_BUFFER_OVERRUN",
        0xc000_0417 => "STATUS_INVALID_CRUNTIME_PARAMETER",
        0xc000_0420 => "STATUS_ASSERTION_FAILURE",
        0xe06d_7363 => "an uncaught C++ exception",
        0x2047_4343 => "an uncaught C++ exception",
        _ => return None,
    })
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
