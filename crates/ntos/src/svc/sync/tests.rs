//! What waits do, step by step, as several threads.

use super::*;
use crate::ke::sched::ThreadState;
use crate::ob::ObRef;
use crate::ps::Thread;
use crate::svc::Out;
use crate::svc::alert::*;
use crate::svc::args::{AccessMask, HandleValue};
use crate::svc::event::*;
use crate::svc::keyed::*;
use crate::testing::{DATA, TestMachine, out};
use abi::NtStatus;

const ALL: AccessMask = AccessMask(abi::ob::GENERIC_ALL);

fn event(machine: &TestMachine, kind: u32, signaled: bool) -> Handle {
    machine.with(|cx| nt_create_event(cx, out(0), ALL, None, EventType(kind), signaled)).unwrap();
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
        nt_wait_for_multiple_objects(&cx, HandleArray { count: 2, at }, WaitTypeArg(0), false, None)
            .await
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
            nt_wait_for_multiple_objects(
                &cx,
                HandleArray { count, at },
                WaitTypeArg(kind),
                false,
                None,
            )
            .await
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
        machine.call(
            move |cx| async move { nt_wait_for_single_object(&cx, handle, false, None).await },
        )
    };
    let query_only = AccessMask(abi::ke::EVENT_QUERY_STATE);
    machine.with(|cx| nt_create_event(cx, out(0), query_only, None, EventType(0), true)).unwrap();
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
    let new = machine.executive.with(|k| crate::ex::event::create_mutant(k, Some(&other))).unwrap();
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
            nt_delay_execution(&cx, alertable, Some(In::new(Va(DATA + 0x20)))).await
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
    let odd =
        machine.call(|cx| async move { nt_wait_for_keyed_event(&cx, null, 1, false, None).await });
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
