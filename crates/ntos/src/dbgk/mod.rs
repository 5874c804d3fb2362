//! The debugging subsystem: debug objects, and the events of debugged processes.
//!
//! Key types: [`DebugObject`], [`Event`], [`What`]. It owns the queue of events; who waits for them is a thread of the
//! debugger, in `NtWaitForDebugEvent`.
//!
//! Invariants: while a process has an event that was not continued, its threads are frozen
//! ([`crate::ke::sched::SchedState::frozen`]): none of them returns to user mode. A debugger sees one event of a
//! process at a time.
//!
//! A worked path, "a debugged program divides by zero": the exception is not delivered but posted ([`exception()`]),
//! the process freezes, the debug object is signaled. The debugger takes the event ([`take`]) and answers it with
//! `DBG_EXCEPTION_NOT_HANDLED` ([`proceed`]): now the exception is delivered, and the process thaws.
//!
//! Sources: "Debugging Functions" of the Win32 documentation, public headers of ntdll, observation of its `DbgUi…`
//! functions.

use std::collections::VecDeque;
use std::sync::Arc;

use abi::context::EXCEPTION_RECORD;
use abi::dbgk::{DEBUG_ALL_ACCESS, state};
use abi::ps::peb;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ke::dispatcher::wake_waiters;
use crate::ke::exception;
use crate::ke::sched::{self, ThreadState};
use crate::mm;
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};
use crate::ps::{Process, Thread, exit};

/// What a debugger waits on.
#[derive(Default)]
pub struct DebugObject {
    state: Guarded<DebugState>,
}

#[derive(Default)]
struct DebugState {
    events: VecDeque<Event>,
    processes: Vec<ObRef<Process>>,
    kill_on_close: bool,
}

/// Something that happened to a debugged process, and that is not continued yet.
#[derive(Clone)]
pub struct Event {
    /// The thread it happened to.
    pub thread: ObRef<Thread>,
    /// What.
    pub what: What,
    taken: bool,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The process is new to the debugger; the thread is its first.
    CreateProcess,
    /// A thread is new.
    CreateThread,
    /// The thread is about to end.
    ExitThread(NtStatus),
    /// The last thread is about to end.
    ExitProcess(NtStatus),
    /// An exception.
    Exception {
        /// What the handler would see.
        record: EXCEPTION_RECORD,
        /// Before the program's own handlers.
        first_chance: bool,
    },
    /// An image was mapped.
    LoadDll(Va),
    /// An image was unmapped.
    UnloadDll(Va),
}

impl What {
    /// The `DBG_STATE`.
    pub fn state(&self) -> u32 {
        match self {
            What::CreateProcess => state::CREATE_PROCESS,
            What::CreateThread => state::CREATE_THREAD,
            What::ExitThread(_) => state::EXIT_THREAD,
            What::ExitProcess(_) => state::EXIT_PROCESS,
            What::Exception { record, .. } => match NtStatus(record.ExceptionCode) {
                STATUS_BREAKPOINT => state::BREAKPOINT,
                STATUS_SINGLE_STEP => state::SINGLE_STEP,
                _ => state::EXCEPTION,
            },
            What::LoadDll(_) => state::LOAD_DLL,
            What::UnloadDll(_) => state::UNLOAD_DLL,
        }
    }
}

impl ObjectBody for DebugObject {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "DebugObject",
        access: AccessMap {
            read: 0x2_0001,
            write: 0x2_0002,
            execute: 0x12_0000,
            all: DEBUG_ALL_ACCESS,
        },
        body_size: 0x68,
    };

    fn last_handle_closed(object: &ObRef<Self>, k: &mut Kernel) {
        let (processes, kill) = {
            let state = object.state.open();
            (state.processes.clone(), state.kill_on_close)
        };
        for process in &processes {
            detach(k, object, process);
            if kill {
                exit::terminate_process(k, process, STATUS_DEBUGGER_INACTIVE);
            }
        }
    }
}

/// Makes a debug object.
pub fn create_debug_object(k: &mut Kernel, kill_on_close: bool) -> NtResult<ObRef<DebugObject>> {
    let object = ob::create(k, DebugObject::default())?;
    object.header.dispatcher().initialize(&k.ram, abi::ke::NOTIFICATION_EVENT, 0);
    set_kill_on_close(&object, kill_on_close);
    Ok(object)
}

/// Says whether debugged processes end with the object's last handle.
pub fn set_kill_on_close(object: &DebugObject, kill: bool) {
    object.state.open().kill_on_close = kill;
}

/// The debug object of a process.
pub fn debugger_of(process: &Process) -> Option<ObRef<DebugObject>> {
    process.state.open().debugger.clone()
}

/// Attaches to a process: its threads and images are reported as if they were new.
///
/// `STATUS_PORT_ALREADY_SET` if it is debugged already, `STATUS_PROCESS_IS_TERMINATING` if it ends.
pub fn attach(
    k: &mut Kernel,
    object: &ObRef<DebugObject>,
    process: &ObRef<Process>,
) -> NtResult<()> {
    if process.is_exiting() {
        return Err(STATUS_PROCESS_IS_TERMINATING);
    }
    if debugger_of(process).is_some() {
        return Err(STATUS_PORT_ALREADY_SET);
    }
    let threads = process.state.open().threads.clone();
    let (first, others) = threads.split_first().ok_or(STATUS_PROCESS_IS_TERMINATING)?;
    show_to_program(k, process, true)?;
    let image_base = {
        let mut state = process.state.open();
        state.debugger = Some(object.clone());
        state.image_base
    };
    object.state.open().processes.push(process.clone());
    post(k, first, What::CreateProcess);
    for thread in others {
        post(k, thread, What::CreateThread);
    }
    for base in mm::image_bases(process) {
        if base != image_base {
            post(k, first, What::LoadDll(base));
        }
    }
    Ok(())
}

/// Ends the debugging of a process; what waits for an answer goes on as if nobody handled it.
pub fn detach(k: &mut Kernel, object: &ObRef<DebugObject>, process: &ObRef<Process>) {
    process.state.open().debugger = None;
    let shown = show_to_program(k, process, false);
    debug_assert!(shown.is_ok() || process.is_exiting(), "the PEB is there while threads are");
    let events = {
        let mut state = object.state.open();
        state.processes.retain(|each| !Arc::ptr_eq(each, process));
        let (theirs, others) = std::mem::take(&mut state.events)
            .into_iter()
            .partition::<VecDeque<_>, _>(|event| Arc::ptr_eq(&event.thread.process, process));
        state.events = others;
        theirs
    };
    for event in &events {
        answer(k, event, DBG_EXCEPTION_NOT_HANDLED);
    }
    thaw(k, process);
    update_signal(k, object);
}

/// Takes a process from its debugger; `STATUS_PORT_NOT_SET` if it is not the object's.
pub fn remove(
    k: &mut Kernel,
    object: &ObRef<DebugObject>,
    process: &ObRef<Process>,
) -> NtResult<()> {
    let current = debugger_of(process).ok_or(STATUS_PORT_NOT_SET)?;
    if !Arc::ptr_eq(&current, object) {
        return Err(STATUS_PORT_NOT_SET);
    }
    detach(k, object, process);
    Ok(())
}

/// Sets or clears `PEB.BeingDebugged`.
fn show_to_program(k: &mut Kernel, process: &Process, debugged: bool) -> NtResult<()> {
    let at = process.state.open().peb.0;
    mm::copy_to(k, process, Va(at.wrapping_add(peb::BEING_DEBUGGED)), &[u8::from(debugged)])
}

/// Queues an event if the thread's process is debugged, and freezes the process.
pub fn post(k: &mut Kernel, thread: &ObRef<Thread>, what: What) -> bool {
    let Some(object) = debugger_of(&thread.process) else { return false };
    object.state.open().events.push_back(Event { thread: thread.clone(), what, taken: false });
    let threads = thread.process.state.open().threads.clone();
    for each in &threads {
        each.sched.open().frozen = true;
    }
    update_signal(k, &object);
    true
}

fn thaw(k: &mut Kernel, process: &Process) {
    let threads = process.state.open().threads.clone();
    for thread in &threads {
        let runs = {
            let mut sched = thread.sched.open();
            sched.frozen = false;
            sched.state == ThreadState::Waiting && sched.wait.is_none() && sched.suspended == 0
        };
        if runs {
            sched::make_ready(k, thread);
        }
    }
}

/// The place of the first event that a debugger can take: of a process none of whose events it has.
fn next_event(events: &VecDeque<Event>) -> Option<usize> {
    let busy = |event: &Event| {
        let same = |other: &Event| Arc::ptr_eq(&other.thread.process, &event.thread.process);
        events.iter().any(|other| other.taken && same(other))
    };
    events.iter().position(|event| !event.taken && !busy(event))
}

fn update_signal(k: &mut Kernel, object: &ObRef<DebugObject>) {
    let there_is_one = next_event(&object.state.open().events).is_some();
    object.header.dispatcher().set_state(&k.ram, i32::from(there_is_one));
    if there_is_one {
        wake_waiters(k, object.header.dispatcher(), 0);
    }
}

/// Takes the next event, if there is one; it stays until [`proceed`].
pub fn take(k: &mut Kernel, object: &ObRef<DebugObject>) -> Option<Event> {
    let event = {
        let mut state = object.state.open();
        let index = next_event(&state.events)?;
        let event = state.events.get_mut(index)?;
        event.taken = true;
        event.clone()
    };
    update_signal(k, object);
    Some(event)
}

/// Answers the event that was taken from a thread; `STATUS_INVALID_PARAMETER` if there is none.
pub fn proceed(
    k: &mut Kernel,
    object: &ObRef<DebugObject>,
    pid: u64,
    tid: u64,
    status: NtStatus,
) -> NtResult<()> {
    let event = {
        let mut state = object.state.open();
        let is_it = |event: &Event| {
            event.taken && event.thread.tid == tid && event.thread.process.pid == pid
        };
        let index = state.events.iter().position(is_it).ok_or(STATUS_INVALID_PARAMETER)?;
        state.events.remove(index).ok_or(STATUS_INVALID_PARAMETER)?
    };
    answer(k, &event, status);
    let process = event.thread.process.clone();
    let same = |other: &Event| Arc::ptr_eq(&other.thread.process, &process);
    let more = object.state.open().events.iter().any(same);
    if !more {
        thaw(k, &process);
    }
    update_signal(k, object);
    Ok(())
}

fn answer(k: &mut Kernel, event: &Event, status: NtStatus) {
    let thread = &event.thread;
    match status {
        DBG_TERMINATE_THREAD => exit::terminate_thread(k, thread, status),
        DBG_TERMINATE_PROCESS => exit::terminate_process(k, &thread.process, status),
        DBG_EXCEPTION_NOT_HANDLED => {
            if let What::Exception { record, first_chance } = &event.what {
                if is_at_breakpoint(record) {
                    let mut cpu = thread.context.open();
                    if cpu.rip == record.ExceptionAddress.wrapping_add(1) {
                        cpu.rip = record.ExceptionAddress;
                    }
                }
                exception::deliver_to_program(k, thread, record, *first_chance);
            }
        }
        _ => {}
    }
}

fn is_at_breakpoint(record: &EXCEPTION_RECORD) -> bool {
    NtStatus(record.ExceptionCode) == STATUS_BREAKPOINT
}

/// An exception of a debugged process goes to the debugger first; false if there is none.
pub fn exception(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    record: &EXCEPTION_RECORD,
    first_chance: bool,
) -> bool {
    if debugger_of(&thread.process).is_none() || thread.is_terminating() {
        return false;
    }
    if is_at_breakpoint(record) {
        // A debugger finds the instruction pointer behind the breakpoint, so that continuing goes on there.
        let mut cpu = thread.context.open();
        if cpu.rip == record.ExceptionAddress {
            cpu.rip = cpu.rip.wrapping_add(1);
        }
    }
    post(k, thread, What::Exception { record: *record, first_chance })
}

/// A thread is about to end: true if it must wait until its debugger knows.
pub fn thread_exits(k: &mut Kernel, thread: &ObRef<Thread>) -> bool {
    if debugger_of(&thread.process).is_none() {
        return false;
    }
    let status = {
        let mut state = thread.state.open();
        if std::mem::replace(&mut state.debugger_knows_exit, true) {
            drop(state);
            return thread.sched.open().frozen;
        }
        state.exit_status.unwrap_or(STATUS_SUCCESS)
    };
    let (threads, process_status) = {
        let state = thread.process.state.open();
        (state.threads.clone(), state.exit_status)
    };
    let last = threads.iter().all(|each| each.state.open().debugger_knows_exit);
    let what = match last {
        true => What::ExitProcess(process_status.unwrap_or(status)),
        false => What::ExitThread(status),
    };
    post(k, thread, what)
}

/// A debugged process is gone: its debugger forgets it.
pub fn process_exits(process: &ObRef<Process>) {
    let Some(object) = process.state.open().debugger.take() else { return };
    let mut state = object.state.open();
    state.processes.retain(|each| !Arc::ptr_eq(each, process));
    state.events.retain(|event| !Arc::ptr_eq(&event.thread.process, process));
}
