//! The timer queue: everything that happens at a time.
//!
//! Key types: [`TimerQueue`], [`Expiry`]. Due times are interrupt time, 100 ns since boot, which never jumps.

use std::collections::BTreeMap;

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Thread;

use super::dispatcher::{Dispatcher, wake_waiters};

/// What happens at a due time.
pub enum Expiry {
    /// A wait times out.
    Wait {
        /// Who waits.
        thread: ObRef<Thread>,
        /// Which wait.
        id: u64,
    },
    /// A timer object is signaled.
    Timer(ObRef<crate::ex::timer::Timer>),
    /// An I/O request that its driver kept is ended, by its number and with a status.
    Request(u64, abi::NtStatus),
}

/// Pending expiries in due order; equal times keep their order of insertion.
#[derive(Default)]
pub struct TimerQueue {
    entries: BTreeMap<(u64, u64), Expiry>,
    sequence: u64,
}

/// Identifies a queued expiry.
pub type TimerKey = (u64, u64);

impl TimerQueue {
    /// Queues an expiry.
    pub fn insert(&mut self, due: u64, expiry: Expiry) -> TimerKey {
        self.sequence += 1;
        let key = (due, self.sequence);
        self.entries.insert(key, expiry);
        key
    }

    /// Takes an expiry back; `false` if it has happened.
    pub fn cancel(&mut self, key: TimerKey) -> bool {
        self.entries.remove(&key).is_some()
    }

    /// The next due time.
    pub fn next_due(&self) -> Option<u64> {
        self.entries.keys().next().map(|(due, _)| *due)
    }

    fn pop_due(&mut self, now: u64) -> Option<Expiry> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Lets everything happen that is due at the current interrupt time.
pub fn expire(k: &mut Kernel) {
    while let Some(expiry) = k.ke.timers.pop_due(k.ke.interrupt_time) {
        match expiry {
            Expiry::Wait { thread, id } => super::dispatcher::wait_timed_out(k, &thread, id),
            Expiry::Timer(timer) => crate::ex::timer::expired(k, &timer),
            Expiry::Request(id, status) => crate::io::irp::expired(k, id, status),
        }
    }
}

/// Signals a timer's dispatcher header.
pub fn signal(k: &mut Kernel, timer: Dispatcher) {
    timer.set_state(&k.ram, 1);
    wake_waiters(k, timer, 0);
}

/// Turns an NT timeout into a deadline: negative is relative, positive is absolute system time, `None` for ever.
///
/// More than a century is for ever, which keeps sums of times far from overflow.
pub fn deadline(k: &Kernel, timeout: Option<i64>) -> Option<u64> {
    let timeout = timeout?;
    let delta = if timeout <= 0 {
        timeout.unsigned_abs()
    } else {
        timeout.saturating_sub(k.system_time()).max(0) as u64
    };
    // Interrupt time is read afresh: counted from the last look at the clock, waits would end early.
    (delta < FOR_EVER).then(|| k.host.interrupt_time().saturating_add(delta))
}

/// A century, in 100 ns.
const FOR_EVER: u64 = 100 * 366 * 24 * 3600 * 10_000_000;
