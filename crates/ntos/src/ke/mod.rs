//! The kernel: dispatcher objects, waits, timers, APCs, scheduling, time.
//!
//! It owns the ready queues, the wait lists and the timer queue. It knows threads, but no service and no object
//! manager rule.
//!
//! Invariants: a thread is in at most one ready queue; a waiting thread is in the wait list of each of its objects or,
//! when it waits for none, ends by its timer or the host; interrupt time never goes back.
//!
//! A worked path, "`NtWaitForSingleObject` on an event that another thread sets": [`wait`] finds the event not signaled,
//! [`dispatcher::begin_wait`] queues the thread, the future is pending and the run loop picks another thread. That one
//! calls [`event::ke_set_event`]; [`dispatcher::wake_waiters`] satisfies the wait, stores the outcome and makes the
//! thread ready; its future is polled again and returns the outcome.

pub mod apc;
pub mod context;
pub mod dispatcher;
pub mod event;
pub mod exception;
pub mod sched;
pub mod timer;

pub use dispatcher::{Dispatcher, WaitOutcome, WaitType};

use std::future::poll_fn;
use std::task::Poll;

use crate::svc::AsyncCx;

/// State of the kernel proper.
#[derive(Default)]
pub struct KeState {
    /// Ready threads.
    pub ready: sched::Ready,
    /// Who waits for what.
    pub waits: dispatcher::WaitLists,
    /// What happens when.
    pub timers: timer::TimerQueue,
    /// 100 ns since boot.
    pub interrupt_time: u64,
}

/// Waits for objects as the current thread: the one primitive that blocks.
///
/// `timeout` is NT's: negative relative, positive absolute, in 100 ns; `None` for ever. The caller keeps the objects
/// referenced.
pub async fn wait(
    cx: &AsyncCx,
    objects: &[Dispatcher],
    wait_type: WaitType,
    alertable: bool,
    timeout: Option<i64>,
) -> WaitOutcome {
    let begun = cx.with(|cx| {
        let deadline = timer::deadline(cx.k, timeout);
        dispatcher::begin_wait(cx.k, cx.thread, objects, wait_type, alertable, deadline)
    });
    match begun {
        Some(outcome) => outcome,
        None => outcome(cx).await,
    }
}

/// Pends until the wait that the current thread began has an outcome, and takes it.
pub async fn outcome(cx: &AsyncCx) -> WaitOutcome {
    poll_fn(|_| match cx.thread.sched.open().outcome.take() {
        Some(outcome) => Poll::Ready(outcome),
        None => Poll::Pending,
    })
    .await
}

/// Lets another ready thread run, even one of lower priority; false, and nothing happens, if there is none.
pub async fn yield_now(cx: &AsyncCx) -> bool {
    let mut yielded = false;
    poll_fn(|_| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(true);
        }
        if cx.with(|cx| sched::yield_to_other(cx.k, cx.thread)) {
            Poll::Pending
        } else {
            Poll::Ready(false)
        }
    })
    .await
}
