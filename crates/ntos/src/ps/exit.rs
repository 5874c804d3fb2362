//! How threads and processes end.

use abi::NtStatus;
use abi::status_table::*;

use crate::Kernel;
use crate::ke::sched::ThreadState;
use crate::ke::{dispatcher, event};
use crate::ob::{self, ObRef};

use super::{Process, Thread};

/// Tells a thread to end: its wait is cut short and it ends at its next return to user mode.
pub fn terminate_thread(k: &mut Kernel, thread: &ObRef<Thread>, status: NtStatus) {
    if thread.is_terminating() {
        return;
    }
    thread.set_terminating();
    thread.state.open().exit_status.get_or_insert(status);
    let (state, waits) = {
        let mut sched = thread.sched.open();
        sched.suspended = 0;
        (sched.state, sched.wait.is_some())
    };
    if waits {
        dispatcher::end_wait(k, thread, STATUS_THREAD_IS_TERMINATING);
    } else if matches!(state, ThreadState::Initialized | ThreadState::Waiting) {
        crate::ke::sched::make_ready(k, thread);
    }
}

/// Tells every thread of a process to end; one without threads ends at once. An ended one stays as it is.
pub fn terminate_process(k: &mut Kernel, process: &ObRef<Process>, status: NtStatus) {
    if !k.ps.processes.contains_key(&process.pid) {
        return;
    }
    let threads = {
        let mut state = process.state.open();
        state.exit_status.get_or_insert(status);
        state.threads.clone()
    };
    for thread in &threads {
        terminate_thread(k, thread, status);
    }
    if threads.is_empty() {
        process_exits(k, process);
    }
}

/// Tells the other threads of a process to end; the process goes on with the caller.
pub fn terminate_other_threads(
    k: &mut Kernel,
    process: &ObRef<Process>,
    status: NtStatus,
    caller: &ObRef<Thread>,
) {
    let threads = process.state.open().threads.clone();
    for thread in threads {
        if !std::sync::Arc::ptr_eq(caller, &thread) {
            terminate_thread(k, &thread, status);
        }
    }
}

/// The thread ends now: it is on the processor and will not run again.
pub fn thread_exits(k: &mut Kernel, thread: &ObRef<Thread>) {
    let now = k.system_time();
    let status = {
        let mut state = thread.state.open();
        state.exited = now;
        *state.exit_status.get_or_insert(STATUS_SUCCESS)
    };
    event::abandon_mutants(k, thread);
    crate::cm::notify::thread_exits(k, thread);
    crate::io::thread_exits(k, thread);
    let instructions = {
        let mut sched = thread.sched.open();
        sched.state = ThreadState::Terminated;
        sched.instructions
    };
    crate::mm::free_thread_memory(k, thread);
    thread.impersonation.open().take();
    k.ps.thread_ended(thread);
    let last = {
        let mut state = thread.process.state.open();
        state.threads.retain(|other| !std::sync::Arc::ptr_eq(other, thread));
        state.instructions += instructions;
        if state.threads.is_empty() {
            state.exit_status.get_or_insert(status);
        }
        state.threads.is_empty()
    };
    event::ke_signal_forever(k, thread.header.dispatcher());
    if last {
        process_exits(k, &thread.process);
    }
}

/// The last thread is gone: handles are closed, views unmapped, the process signaled.
fn process_exits(k: &mut Kernel, process: &ObRef<Process>) {
    let now = k.system_time();
    {
        // Closing the last handle of its own job asks to end the process once more.
        let mut state = process.state.open();
        if state.exited != 0 {
            return;
        }
        state.exited = now;
    }
    let handles = process.handles.open().take_all();
    for entry in handles {
        ob::closed(k, entry);
    }
    crate::mm::rundown(k, process);
    k.ps.process_ended(process);
    event::ke_signal_forever(k, process.header.dispatcher());
    super::job::process_exits(k, process);
    crate::dbgk::process_exits(process);
}
