//! `nten setup`: finds or fetches the userland, and says what it does.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use userland::ServiceNumbers;
use userland::setup::{Options, Progress, run};

use crate::cli::SetupArgs;
use crate::report::Report;

/// Does the verb.
pub fn setup(arguments: &SetupArgs) -> Result<ExitCode, Report> {
    let options = Options { userland: arguments.userland.clone(), force: arguments.force };
    let mut display = Display::new();
    let result = run(&options, &mut |progress| display.show(&progress));
    display.clear();
    let userland = result?;

    let ntdll = ServiceNumbers::read(&userland.ntdll())?;
    let win32u = ServiceNumbers::read(&userland.win32u())?;
    anstream::eprintln!(
        "nten: setup: {} system services in ntdll.dll, {} in win32u.dll",
        count_services(&ntdll),
        count_services(&win32u)
    );
    if arguments.json {
        let value = serde_json::json!({
            "version": userland.version,
            "system32": userland.system32,
            "syswow64": userland.syswow64,
            "nls": userland.nls,
            "zlib1": userland.zlib1,
            "services": { "ntdll": count_services(&ntdll), "win32u": count_services(&win32u) },
        });
        anstream::println!("{value:#}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts services, not names: `NtClose` and `ZwClose` are one.
fn count_services(numbers: &ServiceNumbers) -> usize {
    numbers.iter().filter(|(name, _)| !name.starts_with("Zw")).count()
}

/// Progress on standard error: a line a step, and on a terminal one line that counts up.
struct Display {
    live: bool,
    shown: bool,
}

impl Display {
    fn new() -> Self {
        Self { live: io::stderr().is_terminal(), shown: false }
    }

    fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Step(text) => {
                self.clear();
                anstream::eprintln!("nten: setup: {text}");
            }
            Progress::Transfer { done, total } if self.live && *total > 0 => {
                let percent = (done * 100 / total).min(100);
                let (done, total) = (done / 1_000_000, total / 1_000_000);
                anstream::eprint!("\rnten: setup: {done} of {total} MB ({percent} %) ");
                self.shown = true;
            }
            Progress::Transfer { .. } => {}
        }
    }

    /// Ends the counting line.
    fn clear(&mut self) {
        if self.shown {
            anstream::eprintln!();
            self.shown = false;
        }
    }
}
