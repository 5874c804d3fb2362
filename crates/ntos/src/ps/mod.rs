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

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use indexmap::IndexMap;

use crate::ob::{ObRef, Object};

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
    /// Ended ones whose ids still name them, because someone holds the object.
    ended_processes: BTreeMap<u64, Weak<Object<Process>>>,
    ended_threads: BTreeMap<u64, Weak<Object<Thread>>>,
    next_id: u64,
}

/// Processor time in 100 ns of so many instructions: the emulated processor's nominal speed is 1 GHz.
pub fn cpu_time(instructions: u64) -> u64 {
    instructions / 100
}

impl PsState {
    /// The process of an id, whose low two bits are ignored; an ended one as long as someone holds it.
    pub fn process(&self, id: u64) -> Option<ObRef<Process>> {
        let id = id & !3;
        let ended = || self.ended_processes.get(&id).and_then(Weak::upgrade);
        self.processes.get(&id).cloned().or_else(ended)
    }

    /// The thread of an id, whose low two bits are ignored; an ended one as long as someone holds it.
    pub fn thread(&self, id: u64) -> Option<ObRef<Thread>> {
        let id = id & !3;
        let ended = || self.ended_threads.get(&id).and_then(Weak::upgrade);
        self.threads.get(&id).cloned().or_else(ended)
    }

    /// Takes a process out of the living.
    fn process_ended(&mut self, process: &ObRef<Process>) {
        self.processes.shift_remove(&process.pid);
        self.ended_processes.retain(|_, weak| weak.strong_count() > 0);
        self.ended_processes.insert(process.pid, Arc::downgrade(process));
    }

    /// Takes a thread out of the living.
    fn thread_ended(&mut self, thread: &ObRef<Thread>) {
        self.threads.shift_remove(&thread.tid);
        self.ended_threads.retain(|_, weak| weak.strong_count() > 0);
        self.ended_threads.insert(thread.tid, Arc::downgrade(thread));
    }

    /// A fresh process or thread id.
    pub fn allocate_id(&mut self) -> u64 {
        // 4 is the System process's, as on NT; the first program's process is 8.
        self.next_id = if self.next_id == 0 { 8 } else { self.next_id + 4 };
        self.next_id
    }
}
