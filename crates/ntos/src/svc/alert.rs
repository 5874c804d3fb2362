//! Services that wake a thread rather than the waiters of an object: alerts and user APCs.
//!
//! `NtWaitForAlertByThreadId` is what `ntdll`'s address waits, slim locks and condition variables rest on. APCs are
//! [`crate::ke::apc`]'s.

use abi::NtResult;
use abi::ps::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::ke::apc::{self, UserApc};
use crate::ke::sched::ThreadState;
use crate::ke::{WaitType, dispatcher};
use crate::ps::Thread;

use super::sync::{begin, finish, read_timeout};
use super::thread::resume;
use super::time::Timeout;
use super::{AsyncCx, Handle, In, Out, ServiceCx};

/// Alerts a thread: ends its alertable wait, or its next one. Requires `THREAD_ALERT`.
#[service]
pub(super) fn nt_alert_thread(cx: &mut ServiceCx<'_>, thread_handle: Handle) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_ALERT)?;
    apc::alert(cx.k, &thread);
    Ok(STATUS_SUCCESS)
}

/// Alerts a thread and takes back one suspension. Requires `THREAD_SUSPEND_RESUME`.
#[service]
pub(super) fn nt_alert_resume_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    previous_suspend_count: Option<Out<u32>>,
) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_SUSPEND_RESUME)?;
    apc::alert(cx.k, &thread);
    let previous = resume(cx.k, &thread);
    if let Some(out) = previous_suspend_count {
        out.write(cx, &previous)?;
    }
    Ok(STATUS_SUCCESS)
}

/// Takes a pending alert (`STATUS_ALERTED`) and lets queued APCs run on the way back to user mode.
#[service]
pub(super) fn nt_test_alert(cx: &mut ServiceCx<'_>) -> NtResult {
    Ok(if apc::test_alert(cx.thread) { STATUS_ALERTED } else { STATUS_SUCCESS })
}

/// Wakes a thread of this process from [`nt_wait_for_alert_by_thread_id`], now or as soon as it gets there.
///
/// Fails with `STATUS_INVALID_CID` if there is no such thread, `STATUS_ACCESS_DENIED` if it is another process's.
#[service]
pub(super) fn nt_alert_thread_by_thread_id(cx: &mut ServiceCx<'_>, thread_id: u64) -> NtResult {
    let thread = cx.k.ps.threads.get(&thread_id).cloned().ok_or(STATUS_INVALID_CID)?;
    if thread.process.pid != cx.process().pid {
        return Err(STATUS_ACCESS_DENIED);
    }
    let waits = {
        let mut state = thread.state.open();
        state.alert_by_id = !state.waits_for_alert;
        std::mem::take(&mut state.waits_for_alert)
    };
    if waits {
        dispatcher::end_wait(cx.k, &thread, STATUS_ALERTED);
    }
    Ok(STATUS_SUCCESS)
}

/// Waits until [`nt_alert_thread_by_thread_id`] names this thread: `STATUS_ALERTED` or `STATUS_TIMEOUT`.
///
/// `address` is for debuggers.
#[service]
pub(super) async fn nt_wait_for_alert_by_thread_id(
    cx: &AsyncCx,
    _address: u64,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    let begun = cx.with(|cx| {
        let timeout = read_timeout(cx, timeout)?;
        if std::mem::take(&mut cx.thread.state.open().alert_by_id) {
            return Ok(Some(STATUS_ALERTED));
        }
        let begun = begin(cx, &[], WaitType::Any, false, timeout);
        cx.thread.state.open().waits_for_alert = begun.is_none();
        NtResult::Ok(begun)
    })?;
    let outcome = finish(cx, begun).await;
    cx.thread.state.open().waits_for_alert = false;
    outcome.into_result()
}

fn queue_apc(cx: &mut ServiceCx<'_>, handle: Handle, apc: UserApc) -> NtResult {
    let thread = cx.reference::<Thread>(handle, THREAD_SET_CONTEXT)?;
    let over = thread.sched.open().state == ThreadState::Terminated;
    if over || thread.is_terminating() {
        return Err(STATUS_UNSUCCESSFUL);
    }
    apc::queue_user_apc(cx.k, &thread, apc);
    Ok(STATUS_SUCCESS)
}

/// Queues a user APC. Requires `THREAD_SET_CONTEXT`; fails with `STATUS_UNSUCCESSFUL` if the thread has ended.
#[service]
pub(super) fn nt_queue_apc_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    apc_routine: Va,
    apc_argument1: u64,
    apc_argument2: u64,
    apc_argument3: u64,
) -> NtResult {
    let arguments = [apc_argument1, apc_argument2, apc_argument3];
    queue_apc(cx, thread_handle, UserApc { routine: apc_routine, arguments })
}

/// [`nt_queue_apc_thread`] with a reserve object or, in its place, the special user APC flag.
#[service(Partial("reserve objects and special user APCs are refused"))]
pub(super) fn nt_queue_apc_thread_ex(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    reserve_handle: Handle,
    apc_routine: Va,
    apc_argument1: u64,
    apc_argument2: u64,
    apc_argument3: u64,
) -> NtResult {
    if reserve_handle.0 != 0 {
        cx.k.notice_once(
            "NtQueueApcThreadEx with a reserve object or a special APC is not implemented"
                .to_owned(),
        );
        return Err(STATUS_NOT_SUPPORTED);
    }
    let arguments = [apc_argument1, apc_argument2, apc_argument3];
    queue_apc(cx, thread_handle, UserApc { routine: apc_routine, arguments })
}

crate::service_table! { SERVICES:
    nt_alert_thread, nt_alert_resume_thread, nt_test_alert, nt_alert_thread_by_thread_id,
    nt_wait_for_alert_by_thread_id, nt_queue_apc_thread, nt_queue_apc_thread_ex,
}
