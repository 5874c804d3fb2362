//! Services that wait for objects or for time.
//!
//! Waits are [`crate::ke::dispatcher`]'s. Waking by thread is in [`super::alert`], keyed events are in [`super::keyed`].

use abi::NtResult;
use abi::ke::*;
use abi::ob::SYNCHRONIZE;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::ex::event::{Event, Mutant, Semaphore};
use crate::ke::apc;
use crate::ke::event::{EVENT_INCREMENT, ke_release_mutant, ke_release_semaphore, ke_set_event};
use crate::ke::{self, Dispatcher, WaitOutcome, WaitType, dispatcher, timer};
use crate::ob::{AnyRef, downcast};

use super::time::Timeout;
use super::{Arg, ArgCursor, ArgTrace, AsyncCx, Handle, In, ServiceCx};

/// Objects that one call can wait for.
const MAXIMUM_WAIT_OBJECTS: u32 = 64;

crate::enum_arg! {
    /// `WAIT_TYPE`.
    WaitTypeArg { WaitAll = 0, WaitAny = 1 }
}

/// The count and the handles of a wait for several objects, two arguments of the call; `WIDTH` is a handle's size.
#[derive(Clone, Copy)]
pub(super) struct HandleArray<const WIDTH: usize> {
    /// How many.
    pub count: u32,
    /// Where they are.
    pub at: Va,
}

impl<const WIDTH: usize> HandleArray<WIDTH> {
    fn read(&self, cx: &mut ServiceCx<'_>) -> NtResult<Vec<Handle>> {
        let bytes = cx.read_vec(self.at, self.count as usize * WIDTH)?;
        let handles = bytes.chunks_exact(WIDTH).map(|raw| match *raw {
            // Handles of 32-bit programs are sign-extended.
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])) as u64,
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        });
        Ok(handles.map(Handle).collect())
    }
}

impl<const WIDTH: usize> Arg for HandleArray<WIDTH> {
    const SLOTS: usize = 2;

    fn decode(cursor: &mut ArgCursor<'_>) -> Self {
        HandleArray { count: cursor.next_raw() as u32, at: Va(cursor.next_raw()) }
    }

    fn describe(&self, name: &'static str, trace: &mut ArgTrace<'_, '_>) {
        trace.input(name, |cx| {
            if self.count > MAXIMUM_WAIT_OBJECTS {
                return format!("{} at {:#x}", self.count, self.at);
            }
            match self.read(cx) {
                Ok(handles) => {
                    let shown: Vec<String> =
                        handles.into_iter().map(|handle| cx.show_handle(handle)).collect();
                    format!("[{}]", shown.join(", "))
                }
                Err(status) => format!("{} at {:#x}<{status}>", self.count, self.at),
            }
        });
    }
}

/// The object of a handle and what to wait for in it; needs `SYNCHRONIZE`.
fn wait_object(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult<(AnyRef, Dispatcher)> {
    let object = cx.reference_any(handle, SYNCHRONIZE)?;
    let dispatcher = object.wait_object().ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
    Ok((object, dispatcher))
}

/// Reads an optional time-out.
pub(super) fn read_timeout(
    cx: &mut ServiceCx<'_>,
    timeout: Option<In<Timeout>>,
) -> NtResult<Option<i64>> {
    timeout.map(|timeout| timeout.read(cx).map(|timeout| timeout.0)).transpose()
}

/// Begins a wait of the calling thread: `Some` if it is over at once.
pub(super) fn begin(
    cx: &mut ServiceCx<'_>,
    objects: &[Dispatcher],
    wait_type: WaitType,
    alertable: bool,
    timeout: Option<i64>,
) -> Option<WaitOutcome> {
    let deadline = timer::deadline(cx.k, timeout);
    dispatcher::begin_wait(cx.k, cx.thread, objects, wait_type, alertable, deadline)
}

/// Waits out what [`begin`] began.
pub(super) async fn finish(cx: &AsyncCx, begun: Option<WaitOutcome>) -> WaitOutcome {
    match begun {
        Some(outcome) => outcome,
        None => ke::outcome(cx).await,
    }
}

/// Waits for an object: `STATUS_WAIT_0`, `STATUS_ABANDONED_WAIT_0`, `STATUS_TIMEOUT`, `STATUS_USER_APC` or
/// `STATUS_ALERTED`.
///
/// Requires `SYNCHRONIZE`. An object whose type cannot be waited for gives `STATUS_OBJECT_TYPE_MISMATCH`.
#[service]
pub(super) async fn nt_wait_for_single_object(
    cx: &AsyncCx,
    handle: Handle,
    alertable: bool,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    let (_object, begun) = cx.with(|cx| {
        let timeout = read_timeout(cx, timeout)?;
        let (object, dispatcher) = wait_object(cx, handle)?;
        let begun = begin(cx, &[dispatcher], WaitType::Any, alertable, timeout);
        NtResult::Ok((object, begun))
    })?;
    finish(cx, begun).await.into_result()
}

/// Waits for one or for all of up to 64 objects; the status says which one.
///
/// Fails with `STATUS_INVALID_PARAMETER_1` for a bad count, `STATUS_INVALID_PARAMETER_3` for a bad type and
/// `STATUS_INVALID_PARAMETER_MIX` when an object is named twice in a wait for all.
#[service]
pub(super) async fn nt_wait_for_multiple_objects(
    cx: &AsyncCx,
    handles: HandleArray<8>,
    wait_type: WaitTypeArg,
    alertable: bool,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    wait_for_multiple(cx, handles, wait_type, alertable, timeout).await
}

/// [`nt_wait_for_multiple_objects`] with 32-bit handles, which are sign-extended.
#[service]
pub(super) async fn nt_wait_for_multiple_objects32(
    cx: &AsyncCx,
    handles: HandleArray<4>,
    wait_type: WaitTypeArg,
    alertable: bool,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    wait_for_multiple(cx, handles, wait_type, alertable, timeout).await
}

async fn wait_for_multiple<const WIDTH: usize>(
    cx: &AsyncCx,
    handles: HandleArray<WIDTH>,
    wait_type: WaitTypeArg,
    alertable: bool,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    let (_objects, begun) = cx.with(|cx| {
        if handles.count == 0 || handles.count > MAXIMUM_WAIT_OBJECTS {
            return Err(STATUS_INVALID_PARAMETER_1);
        }
        let wait_type = match wait_type.0 {
            WaitTypeArg::WaitAll => WaitType::All,
            WaitTypeArg::WaitAny => WaitType::Any,
            _ => return Err(STATUS_INVALID_PARAMETER_3),
        };
        let timeout = read_timeout(cx, timeout)?;
        let handles = handles.read(cx)?;
        let mut objects = Vec::with_capacity(handles.len());
        let mut dispatchers = Vec::with_capacity(handles.len());
        for handle in handles {
            let (object, dispatcher) = wait_object(cx, handle)?;
            if wait_type == WaitType::All && dispatchers.contains(&dispatcher) {
                return Err(STATUS_INVALID_PARAMETER_MIX);
            }
            objects.push(object);
            dispatchers.push(dispatcher);
        }
        let begun = begin(cx, &dispatchers, wait_type, alertable, timeout);
        Ok((objects, begun))
    })?;
    finish(cx, begun).await.into_result()
}

/// Signals an event, semaphore or mutant and waits for another object, with nothing in between.
///
/// The first handle needs the right to modify its object, the second `SYNCHRONIZE`.
#[service]
pub(super) async fn nt_signal_and_wait_for_single_object(
    cx: &AsyncCx,
    signal_handle: Handle,
    wait_handle: Handle,
    alertable: bool,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    let (_object, begun) = cx.with(|cx| {
        let timeout = read_timeout(cx, timeout)?;
        let signal = cx.reference_any(signal_handle, 0)?;
        let (object, dispatcher) = wait_object(cx, wait_handle)?;
        signal_object(cx, signal_handle, signal)?;
        let begun = begin(cx, &[dispatcher], WaitType::Any, alertable, timeout);
        NtResult::Ok((object, begun))
    })?;
    finish(cx, begun).await.into_result()
}

fn signal_object(cx: &mut ServiceCx<'_>, handle: Handle, object: AnyRef) -> NtResult<()> {
    let granted = cx.granted_access(handle)?;
    let require = |access: u32| {
        if granted & access == access { Ok(()) } else { Err(STATUS_ACCESS_DENIED) }
    };
    let header = object.header().dispatcher();
    if downcast::<Event>(object.clone()).is_ok() {
        require(EVENT_MODIFY_STATE)?;
        ke_set_event(cx.k, header, EVENT_INCREMENT);
    } else if downcast::<Semaphore>(object.clone()).is_ok() {
        require(SEMAPHORE_MODIFY_STATE)?;
        ke_release_semaphore(cx.k, header, 1)?;
    } else {
        downcast::<Mutant>(object)?;
        ke_release_mutant(cx.k, header, cx.thread)?;
    }
    Ok(())
}

/// Sleeps; an alertable sleep ends early with `STATUS_USER_APC` or `STATUS_ALERTED`. Zero yields.
///
/// Without an interval it sleeps for ever, which is how the userland's `Sleep(INFINITE)` asks; NT has no such form.
#[service]
pub(super) async fn nt_delay_execution(
    cx: &AsyncCx,
    alertable: bool,
    delay_interval: Option<In<Timeout>>,
) -> NtResult {
    let interval = match delay_interval {
        Some(interval) => Some(cx.with(|cx| interval.read(cx))?.0),
        None => None,
    };
    if interval == Some(0) {
        if alertable && let Some(interrupted) = apc::interrupts_wait(&cx.thread) {
            return Ok(interrupted);
        }
        return yield_execution(cx).await;
    }
    match ke::wait(cx, &[], WaitType::Any, alertable, interval).await {
        STATUS_TIMEOUT => Ok(STATUS_SUCCESS),
        outcome => outcome.into_result(),
    }
}

/// Lets another thread run; `STATUS_NO_YIELD_PERFORMED` if none is ready.
#[service]
pub(super) async fn nt_yield_execution(cx: &AsyncCx) -> NtResult {
    yield_execution(cx).await
}

async fn yield_execution(cx: &AsyncCx) -> NtResult {
    let yielded = ke::yield_now(cx).await;
    Ok(if yielded { STATUS_SUCCESS } else { STATUS_NO_YIELD_PERFORMED })
}

crate::service_table! { SERVICES:
    nt_wait_for_single_object, nt_wait_for_multiple_objects, nt_wait_for_multiple_objects32,
    nt_signal_and_wait_for_single_object, nt_delay_execution, nt_yield_execution,
}

#[cfg(test)]
mod tests;
