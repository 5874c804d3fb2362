//! The timer object type.

use abi::NtResult;
use abi::ke::{NOTIFICATION_TIMER, TIMER_ALL_ACCESS};

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ke::apc::{UserApc, queue_apc_from, remove_apc_of};
use crate::ke::dispatcher::has_waiters;
use crate::ke::timer::{Expiry, TimerKey, signal};
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};
use crate::ps::Thread;

/// A timer that programs wait for or that queues an APC.
#[derive(Default)]
pub struct Timer {
    /// What is pending.
    pub state: Guarded<TimerState>,
}

/// The pending expiry of a timer.
#[derive(Default)]
pub struct TimerState {
    /// The queue entry, while set.
    pub key: Option<TimerKey>,
    /// Due time in interrupt time.
    pub due: u64,
    /// Milliseconds between expiries; 0 once.
    pub period_ms: u32,
    /// The APC and who gets it.
    pub apc: Option<(ObRef<Thread>, UserApc)>,
}

impl ObjectBody for Timer {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Timer",
        access: AccessMap {
            read: 0x2_0001,
            write: 0x2_0002,
            execute: 0x12_0000,
            all: TIMER_ALL_ACCESS,
        },
        body_size: 0x40,
    };

    fn last_handle_closed(timer: &ObRef<Self>, k: &mut Kernel) {
        // Who waits keeps the object: the timer goes on for it.
        if !has_waiters(k, timer.header.dispatcher()) {
            cancel(k, timer);
        }
    }
}

/// Makes a timer that is not set.
pub fn create_timer(k: &mut Kernel, kind: u8) -> NtResult<ObRef<Timer>> {
    debug_assert!(kind >= NOTIFICATION_TIMER);
    let timer = ob::create(k, Timer::default())?;
    timer.header.dispatcher().initialize(&k.ram, kind, 0);
    Ok(timer)
}

/// Sets a timer, forgetting an earlier setting; returns whether it was signaled. Without a due time it never is.
pub fn set(
    k: &mut Kernel,
    timer: &ObRef<Timer>,
    due: Option<u64>,
    period_ms: u32,
    apc: Option<(ObRef<Thread>, UserApc)>,
) -> bool {
    cancel(k, timer);
    let was_signaled = timer.header.dispatcher().state(&k.ram) > 0;
    timer.header.dispatcher().set_state(&k.ram, 0);
    let key = due.map(|due| k.ke.timers.insert(due, Expiry::Timer(timer.clone())));
    let due = due.unwrap_or(u64::MAX);
    *timer.state.open() = TimerState { key, due, period_ms, apc };
    was_signaled
}

/// Takes a setting back; true if it was pending.
pub fn cancel(k: &mut Kernel, timer: &ObRef<Timer>) -> bool {
    let old = std::mem::take(&mut *timer.state.open());
    if let Some((thread, _)) = &old.apc {
        remove_apc_of(thread, timer.header.address().0);
    }
    old.key.is_some_and(|key| k.ke.timers.cancel(key))
}

/// The timer is due: it is signaled, its APC queued, and a periodic one set again.
///
/// A timer whose APC is for a thread that has ended was cancelled by that.
pub fn expired(k: &mut Kernel, timer: &ObRef<Timer>) {
    let ended = {
        let state = timer.state.open();
        state.apc.as_ref().is_some_and(|(thread, _)| thread.is_terminating())
    };
    if ended {
        cancel(k, timer);
        return;
    }
    let is_in_use = timer.header.handle_count() > 0 || timer.header.is_permanent();
    let apc = {
        let mut state = timer.state.open();
        state.key = None;
        if state.period_ms != 0 && is_in_use {
            let period = u64::from(state.period_ms) * 10_000;
            state.due = state.due.saturating_add(period);
            if state.due <= k.ke.interrupt_time {
                // The machine slept through several periods: they are not made up for.
                state.due = k.ke.interrupt_time.saturating_add(period);
            }
            state.key = Some(k.ke.timers.insert(state.due, Expiry::Timer(timer.clone())));
        }
        state.apc.clone()
    };
    signal(k, timer.header.dispatcher());
    if let Some((thread, mut apc)) = apc {
        let now = k.system_time() as u64;
        let [context, ..] = apc.arguments;
        apc.arguments = [context, now & 0xFFFF_FFFF, now >> 32];
        queue_apc_from(k, &thread, timer.header.address().0, apc);
    }
}
