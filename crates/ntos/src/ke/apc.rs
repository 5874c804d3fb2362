//! User APCs and alerts.
//!
//! Key type: [`ApcState`]. An APC runs when its thread returns to user mode after an alertable wait, or at
//! `NtTestAlert` and `NtContinue(…, TRUE)`.

use std::collections::VecDeque;

use abi::NtStatus;
use abi::status_table::{STATUS_ALERTED, STATUS_USER_APC};
use guest_mem::Va;

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Thread;

/// A queued user APC.
#[derive(Clone, Copy, Debug)]
pub struct UserApc {
    /// The routine: `ntdll`'s or the program's.
    pub routine: Va,
    /// Its three arguments.
    pub arguments: [u64; 3],
}

/// Identifies the object an APC belongs to, so that it can be taken back: a timer has one APC.
pub type ApcSource = u64;

/// APCs and alerts of a thread.
#[derive(Default)]
pub struct ApcState {
    /// APCs in queue order, with their source or 0.
    pub queue: VecDeque<(ApcSource, UserApc)>,
    /// An APC is to be delivered at the next return to user mode.
    pub deliver: bool,
    /// `NtAlertThread` was called and no wait has taken it.
    pub alerted: bool,
}

/// The status that keeps an alertable wait from starting, if there is one.
pub fn interrupts_wait(thread: &ObRef<Thread>) -> Option<NtStatus> {
    let mut apcs = thread.apcs.open();
    if apcs.alerted {
        apcs.alerted = false;
        return Some(STATUS_ALERTED);
    }
    if !apcs.queue.is_empty() {
        apcs.deliver = true;
        return Some(STATUS_USER_APC);
    }
    None
}

/// Queues a user APC and ends an alertable wait.
pub fn queue_user_apc(k: &mut Kernel, thread: &ObRef<Thread>, apc: UserApc) {
    queue_apc_from(k, thread, 0, apc);
}

/// Queues the one APC of a source, unless it is queued still.
pub fn queue_apc_from(k: &mut Kernel, thread: &ObRef<Thread>, source: ApcSource, apc: UserApc) {
    {
        let mut apcs = thread.apcs.open();
        if source != 0 && apcs.queue.iter().any(|(queued, _)| *queued == source) {
            return;
        }
        apcs.queue.push_back((source, apc));
    }
    if waits_alertably(thread) {
        thread.apcs.open().deliver = true;
        super::dispatcher::end_wait(k, thread, STATUS_USER_APC);
    }
}

/// Takes back the APC of a source, if it is queued still.
pub fn remove_apc_of(thread: &ObRef<Thread>, source: ApcSource) {
    let mut apcs = thread.apcs.open();
    apcs.queue.retain(|(queued, _)| *queued != source);
    if apcs.queue.is_empty() {
        apcs.deliver = false;
    }
}

/// Alerts a thread: ends its alertable wait, or the next one.
pub fn alert(k: &mut Kernel, thread: &ObRef<Thread>) {
    if waits_alertably(thread) {
        super::dispatcher::end_wait(k, thread, STATUS_ALERTED);
    } else {
        thread.apcs.open().alerted = true;
    }
}

/// Makes pending APCs deliverable: true if the thread was alerted.
pub fn test_alert(thread: &ObRef<Thread>) -> bool {
    let mut apcs = thread.apcs.open();
    let alerted = std::mem::take(&mut apcs.alerted);
    apcs.deliver |= !apcs.queue.is_empty();
    alerted
}

fn waits_alertably(thread: &ObRef<Thread>) -> bool {
    thread.sched.open().wait.as_ref().is_some_and(|wait| wait.alertable)
}
