//! Processes and threads.
//!
//! It owns the tables of ids and the life cycle: creation, start, exit, rundown. The address space of a process is
//! mm's, its handles are ob's, its threads' waits are ke's.
//!
//! Invariants: a process or thread id is a multiple of four and unique among the living; a process ends when its last
//! thread has ended; the process and thread objects stay, signaled, as long as someone holds them.
//!
//! A worked path, "`NtTerminateProcess(-1, 0)`": every other thread is told to end
//! ([`exit::terminate_thread`]), waits return `STATUS_THREAD_IS_TERMINATING`, futures run out, and each thread ends at
//! its next return to user mode ([`exit::thread_exits`]); the last one closes the handles, unmaps the views and
//! signals the process, and its jobs ([`job`]) count it out.

pub mod create;
pub mod exit;
pub mod job;
pub mod params;
pub mod process;
pub mod thread;

pub use process::{Process, ProcessState};
pub use thread::Thread;

use indexmap::IndexMap;

use crate::ob::ObRef;

/// State of the process manager.
#[derive(Default)]
pub struct PsState {
    /// Processes that have not ended, by id.
    pub processes: IndexMap<u64, ObRef<Process>>,
    /// Threads that have not ended, by id.
    pub threads: IndexMap<u64, ObRef<Thread>>,
    /// What every process maps; set while the machine boots.
    pub system_images: Option<create::SystemImages>,
    /// Jobs that had a time limit set.
    pub timed_jobs: Vec<job::WeakJob>,
    next_id: u64,
}

/// Processor time in 100 ns of so many instructions: the emulated processor's nominal speed is 1 GHz.
pub fn cpu_time(instructions: u64) -> u64 {
    instructions / 100
}

impl PsState {
    /// A fresh process or thread id.
    pub fn allocate_id(&mut self) -> u64 {
        // 4 is the System process's, as on NT; the first program's process is 8.
        self.next_id = if self.next_id == 0 { 8 } else { self.next_id + 4 };
        self.next_id
    }
}
