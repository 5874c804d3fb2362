//! Services that wait, and those that wake by thread rather than by object: alerts, APCs, keyed events.
//!
//! Waits are [`crate::ke::dispatcher`]'s; keyed events are in [`crate::ex::keyed`].

use abi::NtResult;
use abi::ke::*;
use abi::ob::{OBJECT_ATTRIBUTES, SYNCHRONIZE};
use abi::ps::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::ex::event::{Event, Mutant, Semaphore};
use crate::ex::keyed::{self, KeyedEvent, Side};
use crate::ke::apc::{self, UserApc};
use crate::ke::event::{EVENT_INCREMENT, ke_release_mutant, ke_release_semaphore, ke_set_event};
use crate::ke::sched::ThreadState;
use crate::ke::{self, Dispatcher, WaitOutcome, WaitType, dispatcher, timer};
use crate::ob::{AnyRef, ObRef, create_named, downcast};
use crate::ps::Thread;

use super::args::{AccessMask, HandleValue};
use super::object::{give_handle, open_by_name};
use super::thread::resume;
use super::{AsyncCx, Handle, In, Out, ServiceCx};

/// Objects that one call can wait for.
const MAXIMUM_WAIT_OBJECTS: u32 = 64;

crate::enum_arg! {
    /// `WAIT_TYPE`.
    WaitTypeArg { WaitAll = 0, WaitAny = 1 }
}

/// The object of a handle and what to wait for in it; needs `SYNCHRONIZE`.
fn wait_object(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult<(AnyRef, Dispatcher)> {
    let object = cx.reference_any(handle, SYNCHRONIZE)?;
    let dispatcher = object.wait_object().ok_or(STATUS_OBJECT_TYPE_MISMATCH)?;
    Ok((object, dispatcher))
}

/// Reads an optional time-out.
fn read_timeout(cx: &mut ServiceCx<'_>, timeout: Option<In<i64>>) -> NtResult<Option<i64>> {
    timeout.map(|timeout| timeout.read(cx)).transpose()
}

fn begin(
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
async fn finish(cx: &AsyncCx, begun: Option<WaitOutcome>) -> WaitOutcome {
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
    timeout: Option<In<i64>>,
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
    count: u32,
    handles: Va,
    wait_type: WaitTypeArg,
    alertable: bool,
    timeout: Option<In<i64>>,
) -> NtResult {
    let read = |bytes: Vec<u8>| {
        bytes.as_chunks::<8>().0.iter().map(|raw| Handle(u64::from_le_bytes(*raw))).collect()
    };
    wait_for_multiple(cx, count, handles, 8, read, wait_type, alertable, timeout).await
}

/// [`nt_wait_for_multiple_objects`] with 32-bit handles, which are sign-extended.
#[service]
pub(super) async fn nt_wait_for_multiple_objects32(
    cx: &AsyncCx,
    count: u32,
    handles: Va,
    wait_type: WaitTypeArg,
    alertable: bool,
    timeout: Option<In<i64>>,
) -> NtResult {
    let read = |bytes: Vec<u8>| {
        let raw = bytes.as_chunks::<4>().0.iter();
        raw.map(|raw| Handle(i64::from(i32::from_le_bytes(*raw)) as u64)).collect()
    };
    wait_for_multiple(cx, count, handles, 4, read, wait_type, alertable, timeout).await
}

async fn wait_for_multiple(
    cx: &AsyncCx,
    count: u32,
    handles: Va,
    width: usize,
    read: impl FnOnce(Vec<u8>) -> Vec<Handle>,
    wait_type: WaitTypeArg,
    alertable: bool,
    timeout: Option<In<i64>>,
) -> NtResult {
    let (_objects, begun) = cx.with(|cx| {
        if count == 0 || count > MAXIMUM_WAIT_OBJECTS {
            return Err(STATUS_INVALID_PARAMETER_1);
        }
        let wait_type = match wait_type.0 {
            WaitTypeArg::WaitAll => WaitType::All,
            WaitTypeArg::WaitAny => WaitType::Any,
            _ => return Err(STATUS_INVALID_PARAMETER_3),
        };
        let timeout = read_timeout(cx, timeout)?;
        let handles = read(cx.read_vec(handles, count as usize * width)?);
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
    timeout: Option<In<i64>>,
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
#[service]
pub(super) async fn nt_delay_execution(
    cx: &AsyncCx,
    alertable: bool,
    delay_interval: In<i64>,
) -> NtResult {
    let interval = cx.with(|cx| delay_interval.read(cx))?;
    if interval == 0 {
        if alertable && let Some(interrupted) = apc::interrupts_wait(&cx.thread) {
            return Ok(interrupted);
        }
        return yield_execution(cx).await;
    }
    match ke::wait(cx, &[], WaitType::Any, alertable, Some(interval)).await {
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
    timeout: Option<In<i64>>,
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

/// Creates a keyed event. `flags` must be zero (`STATUS_INVALID_PARAMETER_4`).
#[service]
pub(super) fn nt_create_keyed_event(
    cx: &mut ServiceCx<'_>,
    keyed_event_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    flags: u32,
) -> NtResult {
    if flags != 0 {
        return Err(STATUS_INVALID_PARAMETER_4);
    }
    let attributes = cx.capture_attributes(object_attributes)?;
    let process = cx.process();
    let (event, status) = create_named(cx.k, process, attributes.as_ref(), keyed::create)?;
    give_handle(cx, keyed_event_handle, &event, desired_access, attributes.as_ref(), status)
}

/// Opens a keyed event by name.
#[service]
pub(super) fn nt_open_keyed_event(
    cx: &mut ServiceCx<'_>,
    keyed_event_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<KeyedEvent>(cx, keyed_event_handle, desired_access, object_attributes)
}

/// Waits for a release of the same key by a thread of this process.
///
/// A null handle names the machine's own keyed event. Requires `KEYEDEVENT_WAIT`; an odd key gives
/// `STATUS_INVALID_PARAMETER_1`.
#[service]
pub(super) async fn nt_wait_for_keyed_event(
    cx: &AsyncCx,
    keyed_event_handle: Handle,
    key_value: u64,
    alertable: bool,
    timeout: Option<In<i64>>,
) -> NtResult {
    meet(cx, keyed_event_handle, key_value, alertable, timeout, Side::Wait).await
}

/// Releases one waiter of a key, waiting for it to come if there is none. Requires `KEYEDEVENT_WAKE`.
#[service]
pub(super) async fn nt_release_keyed_event(
    cx: &AsyncCx,
    keyed_event_handle: Handle,
    key_value: u64,
    alertable: bool,
    timeout: Option<In<i64>>,
) -> NtResult {
    meet(cx, keyed_event_handle, key_value, alertable, timeout, Side::Release).await
}

async fn meet(
    cx: &AsyncCx,
    handle: Handle,
    key: u64,
    alertable: bool,
    timeout: Option<In<i64>>,
    side: Side,
) -> NtResult {
    if key & 1 != 0 {
        return Err(STATUS_INVALID_PARAMETER_1);
    }
    let (event, begun) = cx.with(|cx| {
        let timeout = read_timeout(cx, timeout)?;
        let event: ObRef<KeyedEvent> = match handle.non_null() {
            Some(handle) => cx.reference(handle, side.access())?,
            None => keyed::default_event(cx.k)?,
        };
        if keyed::take_partner(cx.k, &event, cx.thread, key, side) {
            return Ok((event, Some(STATUS_SUCCESS)));
        }
        let begun = begin(cx, &[], WaitType::Any, alertable, timeout);
        if begun.is_none() {
            keyed::enlist(&event, cx.thread, key, side);
        }
        NtResult::Ok((event, begun))
    })?;
    let outcome = finish(cx, begun).await;
    keyed::leave(&event, &cx.thread);
    outcome.into_result()
}

crate::service_table! { SERVICES:
    nt_wait_for_single_object, nt_wait_for_multiple_objects, nt_wait_for_multiple_objects32,
    nt_signal_and_wait_for_single_object, nt_delay_execution, nt_yield_execution, nt_alert_thread,
    nt_alert_resume_thread, nt_test_alert, nt_alert_thread_by_thread_id,
    nt_wait_for_alert_by_thread_id, nt_queue_apc_thread, nt_queue_apc_thread_ex,
    nt_create_keyed_event, nt_open_keyed_event, nt_wait_for_keyed_event, nt_release_keyed_event,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svc::event::*;
    use crate::testing::{DATA, TestMachine, out};
    use abi::NtStatus;

    const ALL: AccessMask = AccessMask(abi::ob::GENERIC_ALL);

    fn event(machine: &TestMachine, kind: u32, signaled: bool) -> Handle {
        machine
            .with(|cx| nt_create_event(cx, out(0), ALL, None, EventType(kind), signaled))
            .unwrap();
        machine.handle_at(0)
    }

    fn mutant(machine: &TestMachine, owned: bool) -> Handle {
        machine.with(|cx| nt_create_mutant(cx, out(0), ALL, None, owned)).unwrap();
        machine.handle_at(0)
    }

    #[test]
    fn a_synchronization_event_lets_one_waiter_go() {
        let machine = TestMachine::new();
        let event = event(&machine, EventType::SynchronizationEvent, false);
        let [first, second] = [machine.new_thread(), machine.new_thread()];
        let wait = |cx| async move { nt_wait_for_single_object(&cx, event, false, None).await };
        let mut a = machine.start(&first, wait);
        let mut b = machine.start(&second, wait);
        machine.with(|cx| nt_set_event(cx, event, Some(out(8)))).unwrap();
        assert_eq!(machine.get::<i32>(8), 0);
        assert_eq!((a.result(), b.result()), (Some(Ok(STATUS_WAIT_0)), None));
        machine.with(|cx| nt_set_event(cx, event, None)).unwrap();
        assert_eq!(b.result(), Some(Ok(STATUS_WAIT_0)));
        machine.with(|cx| nt_set_event(cx, event, Some(out(8)))).unwrap();
        assert_eq!(machine.get::<i32>(8), 0);
    }

    #[test]
    fn waits_time_out_and_leave_nothing_in_the_timer_queue() {
        let machine = TestMachine::new();
        let event = event(&machine, EventType::NotificationEvent, false);
        machine.put(16, &-10_000i64);
        let wait = |cx| async move {
            nt_wait_for_single_object(&cx, event, false, Some(In::new(Va(DATA + 16)))).await
        };
        let mut call = machine.start(&machine.thread.clone(), wait);
        machine.advance(9_999);
        assert_eq!(call.result(), None);
        machine.advance(1);
        assert_eq!(call.result(), Some(Ok(STATUS_TIMEOUT)));
        let mut call = machine.start(&machine.thread.clone(), wait);
        machine.with(|cx| nt_set_event(cx, event, None)).unwrap();
        assert_eq!(call.result(), Some(Ok(STATUS_WAIT_0)));
        assert_eq!(machine.with(|cx| cx.k.ke.timers.next_due()), None);
    }

    #[test]
    fn absolute_timeouts_are_system_time() {
        let machine = TestMachine::new();
        let event = event(&machine, EventType::NotificationEvent, false);
        let now = machine.with(|cx| cx.k.system_time());
        machine.put(16, &(now + 500));
        let mut call = machine.start(&machine.thread.clone(), |cx| async move {
            nt_wait_for_single_object(&cx, event, false, Some(In::new(Va(DATA + 16)))).await
        });
        machine.advance(499);
        assert_eq!(call.result(), None);
        machine.advance(1);
        assert_eq!(call.result(), Some(Ok(STATUS_TIMEOUT)));
    }

    #[test]
    fn a_wait_for_all_takes_nothing_until_all_are_there() {
        let machine = TestMachine::new();
        let handles = [event(&machine, 1, true), event(&machine, 1, false)];
        machine.put(0x100, &handles[0].0);
        machine.put(0x108, &handles[1].0);
        let waiter = machine.new_thread();
        let mut call = machine.start(&waiter, |cx| async move {
            let at = Va(DATA + 0x100);
            nt_wait_for_multiple_objects(&cx, 2, at, WaitTypeArg(0), false, None).await
        });
        let state = || {
            let class = EventInformationClass(0);
            machine.with(|cx| nt_query_event(cx, handles[0], class, Va(DATA), 8, None)).unwrap();
            machine.get::<i32>(4)
        };
        assert_eq!((call.result(), state()), (None, 1));
        machine.with(|cx| nt_set_event(cx, handles[1], None)).unwrap();
        assert_eq!((call.result(), state()), (Some(Ok(STATUS_WAIT_0)), 0));
    }

    #[test]
    fn waits_for_several_objects_check_their_arguments() {
        let machine = TestMachine::new();
        let handle = event(&machine, 0, true);
        machine.put(0x100, &[handle.0, handle.0]);
        let wait = |count, kind| {
            machine.call(move |cx| async move {
                let at = Va(DATA + 0x100);
                nt_wait_for_multiple_objects(&cx, count, at, WaitTypeArg(kind), false, None).await
            })
        };
        assert_eq!(wait(0, 1), Err(STATUS_INVALID_PARAMETER_1));
        assert_eq!(wait(65, 1), Err(STATUS_INVALID_PARAMETER_1));
        assert_eq!(wait(2, 2), Err(STATUS_INVALID_PARAMETER_3));
        assert_eq!(wait(2, 0), Err(STATUS_INVALID_PARAMETER_MIX));
        assert_eq!(wait(2, 1), Ok(STATUS_WAIT_0));
        machine.put(0x108, &0x7777_7777u64);
        assert_eq!(wait(2, 1), Err(STATUS_INVALID_HANDLE));
    }

    #[test]
    fn types_and_rights_are_checked() {
        let machine = TestMachine::new();
        let wait = |handle| {
            machine.call(move |cx| async move {
                nt_wait_for_single_object(&cx, handle, false, None).await
            })
        };
        let query_only = AccessMask(abi::ke::EVENT_QUERY_STATE);
        machine
            .with(|cx| nt_create_event(cx, out(0), query_only, None, EventType(0), true))
            .unwrap();
        let event = machine.handle_at(0);
        assert_eq!(wait(event), Err(STATUS_ACCESS_DENIED));
        assert_eq!(machine.with(|cx| nt_set_event(cx, event, None)), Err(STATUS_ACCESS_DENIED));
        machine.with(|cx| nt_create_keyed_event(cx, out(0), ALL, None, 0)).unwrap();
        // A keyed event does not even have the right to be waited for.
        assert_eq!(wait(machine.handle_at(0)), Err(STATUS_ACCESS_DENIED));
        assert_eq!(wait(Handle(0x4444)), Err(STATUS_INVALID_HANDLE));
    }

    #[test]
    fn mutants_recurse_are_released_by_their_owner_and_abandoned() {
        let machine = TestMachine::new();
        let handle = mutant(&machine, true);
        let wait = |cx| async move { nt_wait_for_single_object(&cx, handle, false, None).await };
        assert_eq!(machine.call(wait), Ok(STATUS_WAIT_0));
        let other = machine.new_thread();
        let release = |thread: &ObRef<Thread>| {
            machine.with_thread(thread, |cx| nt_release_mutant(cx, handle, Some(out(8))))
        };
        assert_eq!(release(&other), Err(STATUS_MUTANT_NOT_OWNED));
        assert_eq!(release(&machine.thread), Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<i32>(8), -1);
        let mut waiting = machine.start(&other, wait);
        assert_eq!(waiting.result(), None);
        machine.executive.with(|k| crate::ke::event::abandon_mutants(k, &machine.thread));
        assert_eq!(waiting.result(), Some(Ok(STATUS_ABANDONED_WAIT_0)));
        assert_eq!(release(&other), Ok(STATUS_SUCCESS));
        assert_eq!(release(&other), Err(STATUS_MUTANT_NOT_OWNED));
    }

    #[test]
    fn a_deleted_mutant_is_not_abandoned() {
        let machine = TestMachine::new();
        let handle = mutant(&machine, true);
        machine.with(|cx| crate::ob::close(cx.k, cx.process(), handle.0)).unwrap();
        // The same memory serves a mutant of another owner.
        let other = machine.new_thread();
        let new =
            machine.executive.with(|k| crate::ex::event::create_mutant(k, Some(&other))).unwrap();
        machine.executive.with(|k| crate::ke::event::abandon_mutants(k, &machine.thread));
        assert_eq!(machine.executive.with(|k| new.header.dispatcher().state(&k.ram)), 0);
    }

    #[test]
    fn signal_and_wait_signals_first() {
        let machine = TestMachine::new();
        let [ping, pong] = [event(&machine, 1, false), event(&machine, 1, false)];
        let other = machine.new_thread();
        let mut server = machine.start(&other, |cx| async move {
            nt_wait_for_single_object(&cx, ping, false, None).await?;
            nt_signal_and_wait_for_single_object(&cx, pong, ping, false, None).await
        });
        let mut client = machine.start(&machine.thread.clone(), |cx| async move {
            nt_signal_and_wait_for_single_object(&cx, ping, pong, false, None).await
        });
        assert_eq!((server.result(), client.result()), (None, Some(Ok(STATUS_WAIT_0))));
    }

    #[test]
    fn an_apc_ends_an_alertable_wait_only() {
        let machine = TestMachine::new();
        let handle = event(&machine, 0, false);
        let thread = machine.thread.clone();
        machine.put(0x20, &-1_000_000i64);
        let delay = |alertable| {
            move |cx: AsyncCx| async move {
                nt_delay_execution(&cx, alertable, In::new(Va(DATA + 0x20))).await
            }
        };
        let queue = || {
            machine.with_thread(&thread, |cx| {
                nt_queue_apc_thread(cx, Handle::CURRENT_THREAD, Va(0x1234), 1, 2, 3)
            })
        };
        let mut call = machine.start(&thread, delay(false));
        queue().unwrap();
        assert_eq!((call.result(), thread.apcs.open().deliver), (None, false));
        machine.advance(1_000_000);
        assert_eq!(call.result(), Some(Ok(STATUS_SUCCESS)));
        let mut call = machine.start(&thread, delay(true));
        assert_eq!((call.result(), thread.apcs.open().deliver), (Some(Ok(STATUS_USER_APC)), true));
        thread.apcs.open().queue.clear();
        let mut call = machine.start(&thread, |cx| async move {
            nt_wait_for_single_object(&cx, handle, true, None).await
        });
        assert_eq!(call.result(), None);
        queue().unwrap();
        assert_eq!(call.result(), Some(Ok(STATUS_USER_APC)));
        machine.with(|cx| nt_alert_thread(cx, Handle::CURRENT_THREAD)).unwrap();
        assert_eq!(machine.with(nt_test_alert), Ok(STATUS_ALERTED));
        assert_eq!(machine.with(nt_test_alert), Ok(STATUS_SUCCESS));
    }

    #[test]
    fn alerts_by_thread_id_are_kept_for_the_next_wait() {
        let machine = TestMachine::new();
        let tid = machine.thread.tid;
        let wait = |cx| async move { nt_wait_for_alert_by_thread_id(&cx, 0, None).await };
        let alert = || machine.with(|cx| nt_alert_thread_by_thread_id(cx, tid));
        alert().unwrap();
        alert().unwrap();
        assert_eq!(machine.call(wait), Ok(STATUS_ALERTED));
        let mut call = machine.start(&machine.thread.clone(), wait);
        assert_eq!(call.result(), None);
        alert().unwrap();
        assert_eq!(call.result(), Some(Ok(STATUS_ALERTED)));
        let mut call = machine.start(&machine.thread.clone(), wait);
        assert_eq!(call.result(), None);
        let missing = machine.with(|cx| nt_alert_thread_by_thread_id(cx, 0x8888));
        assert_eq!(missing, Err(STATUS_INVALID_CID));
    }

    #[test]
    fn keyed_events_pair_threads_by_key() {
        let machine = TestMachine::new();
        let other = machine.new_thread();
        let null = Handle(0);
        let mut wait = machine.start(&other, |cx| async move {
            nt_wait_for_keyed_event(&cx, null, 0x20, false, None).await
        });
        let mut release_other_key = machine.start(&machine.thread.clone(), |cx| async move {
            nt_release_keyed_event(&cx, null, 0x40, false, None).await
        });
        assert_eq!((wait.result(), release_other_key.result()), (None, None));
        let third = machine.new_thread();
        let mut release = machine.start(&third, |cx| async move {
            nt_release_keyed_event(&cx, null, 0x20, false, None).await
        });
        let done: Option<NtResult<NtStatus>> = Some(Ok(STATUS_SUCCESS));
        assert_eq!((wait.result(), release.result()), (done, done));
        let odd = machine
            .call(|cx| async move { nt_wait_for_keyed_event(&cx, null, 1, false, None).await });
        assert_eq!(odd, Err(STATUS_INVALID_PARAMETER_1));
    }

    #[test]
    fn an_unwritable_handle_leaves_nothing_behind() {
        let machine = TestMachine::new();
        let attributes = machine.attributes(0x200, Handle(0), "\\E", 0);
        let create = |at: Out<HandleValue>| {
            machine.with(|cx| nt_create_event(cx, at, ALL, attributes, EventType(0), false))
        };
        assert_eq!(create(Out::new(Va(0x666_0000))), Err(STATUS_ACCESS_VIOLATION));
        assert_eq!(machine.process.handles.open().len(), 0);
        assert_eq!(create(out(0)), Ok(STATUS_SUCCESS));
        assert_eq!(create(out(0)), Err(STATUS_OBJECT_NAME_COLLISION));
    }

    #[test]
    fn yielding_runs_threads_of_lower_priority_once() {
        let machine = TestMachine::new();
        let low = machine.new_thread();
        {
            let mut sched = low.sched.open();
            sched.priority = 1;
            sched.state = ThreadState::Waiting;
        }
        let thread = machine.thread.clone();
        let alone = machine.call(|cx| async move { nt_yield_execution(&cx).await });
        assert_eq!(alone, Ok(STATUS_NO_YIELD_PERFORMED));
        machine.executive.with(|k| crate::ke::sched::make_ready(k, &low));
        let mut call = machine.start(&thread, |cx| async move { nt_yield_execution(&cx).await });
        let picked = machine.executive.with(crate::ke::sched::pick).unwrap();
        assert_eq!(picked.tid, low.tid);
        let picked = machine.executive.with(crate::ke::sched::pick).unwrap();
        assert_eq!(picked.tid, thread.tid);
        thread.sched.open().state = ThreadState::Ready;
        assert_eq!(call.result(), Some(Ok(STATUS_SUCCESS)));
    }
}
