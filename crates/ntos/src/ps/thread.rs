//! The thread object.

use std::sync::atomic::{AtomicBool, Ordering};

use abi::NtStatus;
use cpu::CpuState;
use guest_mem::Va;

use crate::guarded::Guarded;
use crate::ke::Dispatcher;
use crate::ke::apc::ApcState;
use crate::ke::sched::SchedState;
use crate::ob::{AccessMap, ObRef, ObjectBody, TypeInfo};
use crate::se::Token;
use crate::svc::Call;
use crate::ustr::UnicodeString;

use super::Process;

/// A thread: registers, a stack of service calls in progress, scheduling state.
pub struct Thread {
    /// The thread id.
    pub tid: u64,
    /// The process it belongs to.
    pub process: ObRef<Process>,
    /// Address of the TEB.
    pub teb: Va,
    /// The routine the creator named, for queries.
    pub start_address: Va,
    /// The registers while the thread is not on a processor.
    pub context: Guarded<CpuState>,
    /// Service calls that wait, innermost last.
    pub calls: Guarded<Vec<Call>>,
    /// Priorities, wait, suspension.
    pub sched: Guarded<SchedState>,
    /// User APCs and alerts.
    pub apcs: Guarded<ApcState>,
    /// Mutants to abandon when the thread ends.
    pub owned_mutants: Guarded<Vec<Dispatcher>>,
    /// The impersonation token.
    pub impersonation: Guarded<Option<ObRef<Token>>>,
    /// What queries and services of threads keep.
    pub state: Guarded<ThreadData>,
    terminating: AtomicBool,
    keep_context: AtomicBool,
}

/// Facts about a thread.
#[derive(Default)]
pub struct ThreadData {
    /// How it ends or ended.
    pub exit_status: Option<NtStatus>,
    /// `ThreadNameInformation`.
    pub name: UnicodeString,
    /// When it was made, 100 ns since 1601.
    pub created: i64,
    /// When it ended.
    pub exited: i64,
    /// The exception that was last given to the thread's handlers.
    pub last_exception: Option<abi::context::EXCEPTION_RECORD>,
    /// Base of the stack's allocation.
    pub stack: Va,
    /// Stack to free when the thread ends (`RtlFreeUserStack` asks for it).
    pub free_stack_on_exit: bool,
    /// `NtAlertThreadByThreadId` came and was not yet taken.
    pub alert_by_id: bool,
    /// Waits in `NtWaitForAlertByThreadId`.
    pub waits_for_alert: bool,
    /// What `ThreadBasePriority` adds to the process's base priority; ±15 saturates.
    pub priority_increment: i32,
    /// The debugger was told that the thread ends.
    pub debugger_knows_exit: bool,
    /// Threads that the debugger does not see.
    pub hide_from_debugger: bool,
}

impl ObjectBody for Thread {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Thread",
        access: AccessMap {
            read: 0x2_0048,
            write: 0x2_0437,
            execute: 0x12_0800,
            all: abi::ps::THREAD_ALL_ACCESS,
        },
        body_size: 0x430,
    };
}

impl Thread {
    /// Makes the object's body; [`super::create`] does the rest.
    pub fn new(
        tid: u64,
        process: ObRef<Process>,
        teb: Va,
        start_address: Va,
        context: CpuState,
        base_priority: i32,
    ) -> Self {
        Thread {
            tid,
            process,
            teb,
            start_address,
            context: Guarded::new(context),
            calls: Guarded::default(),
            sched: Guarded::new(SchedState::new(base_priority)),
            apcs: Guarded::default(),
            owned_mutants: Guarded::default(),
            impersonation: Guarded::default(),
            state: Guarded::default(),
            terminating: AtomicBool::new(false),
            keep_context: AtomicBool::new(false),
        }
    }

    /// True once the thread has been told to end; its waits return at once.
    pub fn is_terminating(&self) -> bool {
        self.terminating.load(Ordering::Relaxed)
    }

    pub(super) fn set_terminating(&self) {
        self.terminating.store(true, Ordering::Relaxed);
    }

    /// The service in progress has set the registers itself: its status is not stored in RAX.
    pub fn keep_context(&self) {
        self.keep_context.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_keep_context(&self) -> bool {
        self.keep_context.swap(false, Ordering::Relaxed)
    }
}
