//! The NT executive.
//!
//! One folder per NT component, dependencies one way: `ke ← ob ← se ← mm ← ex ← ps ← io ← {cm, dbgk} ← svc`. Guest code
//! enters by trap only: the run loop ([`run`]) takes each exit of the processor to a service ([`svc`]) or to an
//! exception ([`ke::exception`]). The host is reached through [`host::Host`].
//!
//! Invariants: everything here happens under the executive lock ([`svc::Executive`]) in short synchronous stretches;
//! guest input never panics.
//!
//! A worked path, "what happens on `NtCreateFile`": [`svc`] tells it.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod cm;
pub mod dbgk;
pub mod ex;
pub mod guarded;
pub mod host;
pub mod io;
pub mod ke;
pub mod mm;
pub mod ob;
pub mod ps;
pub mod run;
pub mod se;
pub mod svc;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trace;
pub mod ustr;

use std::sync::Arc;

use guest_mem::GuestRam;

/// All state of one machine's executive, open under the executive lock.
pub struct Kernel {
    /// Physical memory.
    pub ram: Arc<GuestRam>,
    /// The outside world.
    pub host: Arc<dyn host::Host>,
    /// Threads, waits, timers.
    pub ke: ke::KeState,
    /// The namespace.
    pub ob: ob::ObState,
    /// Address spaces and sections.
    pub mm: mm::MmState,
    /// Processes and threads.
    pub ps: ps::PsState,
    /// Devices and files.
    pub io: io::IoState,
    /// The registry.
    pub cm: cm::CmState,
    /// Security.
    pub se: se::SeState,
    /// Executive support: atoms, counters, system information.
    pub ex: ex::ExState,
    /// What system service numbers mean.
    pub services: svc::ServiceTable,
    /// Where guest activity is recorded.
    pub trace: trace::Journal,
    /// What [`Kernel::notice_once`] has said.
    pub noticed: std::collections::BTreeSet<String>,
}

impl Kernel {
    /// System time: 100 ns since 1601, UTC.
    pub fn system_time(&self) -> i64 {
        self.host.system_time()
    }

    /// Says something on the machine's diagnostic channel, as `nten: …`.
    pub fn notice(&self, text: &str) {
        self.host.diagnostic(text);
    }

    /// Says something the first time it happens.
    pub fn notice_once(&mut self, text: String) {
        if !self.noticed.contains(&text) {
            self.notice(&text);
            self.noticed.insert(text);
        }
    }
}
