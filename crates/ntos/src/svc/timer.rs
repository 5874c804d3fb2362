//! Services of timer objects and of the clock's resolution. The object is in [`crate::ex::timer`].

use abi::NtResult;
use abi::ex::{TIMER_BASIC_INFORMATION, TIMER_SET_COALESCABLE_TIMER_INFO};
use abi::ke::*;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::ex::timer::{self, Timer};
use crate::ke;
use crate::ke::apc::UserApc;

use super::args::{AccessMask, HandleValue};
use super::info::Reply;
use super::object::{create_object, open_by_name};
use super::time::Timeout;
use super::{Handle, In, Out, ServiceCx};

crate::enum_arg! {
    /// `TIMER_TYPE`.
    TimerType { NotificationTimer = 0, SynchronizationTimer = 1 }
}

crate::enum_arg! {
    /// `TIMER_INFORMATION_CLASS`.
    TimerInformationClass { TimerBasicInformation = 0 }
}

crate::enum_arg! {
    /// `TIMER_SET_INFORMATION_CLASS`.
    TimerSetInformationClass { TimerSetCoalescableTimer = 0 }
}

/// Creates a timer that is not set, or opens the one of that name with `OBJ_OPENIF`.
#[service]
pub(super) fn nt_create_timer(
    cx: &mut ServiceCx<'_>,
    timer_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    timer_type: TimerType,
) -> NtResult {
    let kind = match timer_type.0 {
        TimerType::NotificationTimer => NOTIFICATION_TIMER,
        TimerType::SynchronizationTimer => SYNCHRONIZATION_TIMER,
        _ => return Err(STATUS_INVALID_PARAMETER_4),
    };
    create_object(cx, timer_handle, desired_access, object_attributes, |k| {
        timer::create_timer(k, kind)
    })
}

/// Opens a timer by name.
#[service]
pub(super) fn nt_open_timer(
    cx: &mut ServiceCx<'_>,
    timer_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<Timer>(cx, timer_handle, desired_access, object_attributes)
}

/// Sets a timer, forgetting an earlier setting; reports whether it was signaled.
///
/// Requires `TIMER_MODIFY_STATE`. A negative period gives `STATUS_INVALID_PARAMETER_6`; `resume_timer`, which would
/// wake a sleeping machine, gives `STATUS_TIMER_RESUME_IGNORED`, a success. With a routine, each expiry queues an APC
/// to the calling thread.
#[service]
pub(super) fn nt_set_timer(
    cx: &mut ServiceCx<'_>,
    timer_handle: Handle,
    due_time: In<Timeout>,
    timer_apc_routine: Va,
    timer_context: u64,
    resume_timer: bool,
    period: i32,
    previous_state: Option<Out<u8>>,
) -> NtResult {
    if let Some(out) = previous_state {
        out.probe(cx)?;
    }
    let Timeout(due_time) = due_time.read(cx)?;
    let period = u32::try_from(period).map_err(|_| STATUS_INVALID_PARAMETER_6)?;
    let apc = (timer_apc_routine, timer_context);
    let was_signaled = set_timer(cx, timer_handle, due_time, apc, period)?;
    if let Some(out) = previous_state {
        out.write(cx, &u8::from(was_signaled))?;
    }
    Ok(if resume_timer { STATUS_TIMER_RESUME_IGNORED } else { STATUS_SUCCESS })
}

fn set_timer(
    cx: &mut ServiceCx<'_>,
    handle: Handle,
    due_time: i64,
    (routine, context): (Va, u64),
    period: u32,
) -> NtResult<bool> {
    let timer = cx.reference::<Timer>(handle, TIMER_MODIFY_STATE)?;
    let due = ke::timer::deadline(cx.k, Some(due_time));
    let apc = (routine.0 != 0)
        .then(|| (cx.thread.clone(), UserApc { routine, arguments: [context, 0, 0] }));
    let was_signaled = timer::set(cx.k, &timer, due, period, apc);
    ke::timer::expire(cx.k);
    Ok(was_signaled)
}

/// Sets a timer that may expire late by a tolerable delay, which nten does not make use of.
#[service]
pub(super) fn nt_set_timer_ex(
    cx: &mut ServiceCx<'_>,
    timer_handle: Handle,
    timer_set_information_class: TimerSetInformationClass,
    timer_set_information: Va,
    timer_set_information_length: u32,
) -> NtResult {
    if timer_set_information_class.0 != TimerSetInformationClass::TimerSetCoalescableTimer {
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    if timer_set_information_length as usize != size_of::<TIMER_SET_COALESCABLE_TIMER_INFO>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let request: TIMER_SET_COALESCABLE_TIMER_INFO = cx.read(timer_set_information)?;
    if request.Period > i32::MAX as u32 || request.TolerableDelay > i32::MAX as u32 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let previous = (request.PreviousState != 0).then(|| Out::<u8>::new(Va(request.PreviousState)));
    if let Some(out) = previous {
        out.probe(cx)?;
    }
    let apc = (Va(request.TimerApcRoutine), request.TimerContext);
    let was_signaled = set_timer(cx, timer_handle, request.DueTime, apc, request.Period)?;
    if let Some(out) = previous {
        out.write(cx, &u8::from(was_signaled))?;
    }
    Ok(STATUS_SUCCESS)
}

/// Takes a timer's setting and its queued APC back; reports whether it was signaled. Requires `TIMER_MODIFY_STATE`.
#[service]
pub(super) fn nt_cancel_timer(
    cx: &mut ServiceCx<'_>,
    timer_handle: Handle,
    current_state: Option<Out<u8>>,
) -> NtResult {
    if let Some(out) = current_state {
        out.probe(cx)?;
    }
    let timer = cx.reference::<Timer>(timer_handle, TIMER_MODIFY_STATE)?;
    timer::cancel(cx.k, &timer);
    if let Some(out) = current_state {
        let signaled = timer.header.dispatcher().state(&cx.k.ram) > 0;
        out.write(cx, &u8::from(signaled))?;
    }
    Ok(STATUS_SUCCESS)
}

/// Reports the time until a timer's expiry (negative since) and its state. Requires `TIMER_QUERY_STATE`.
#[service]
pub(super) fn nt_query_timer(
    cx: &mut ServiceCx<'_>,
    timer_handle: Handle,
    timer_information_class: TimerInformationClass,
    timer_information: Va,
    timer_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    if timer_information_class.0 != TimerInformationClass::TimerBasicInformation {
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    let timer = cx.reference::<Timer>(timer_handle, TIMER_QUERY_STATE)?;
    let now = cx.k.host.interrupt_time();
    let remaining = timer.state.open().due.wrapping_sub(now) as i64;
    let information = TIMER_BASIC_INFORMATION {
        RemainingTime: remaining,
        TimerState: u8::from(timer.header.dispatcher().state(&cx.k.ram) > 0),
        _pad: [0; 7],
    };
    Reply { buffer: timer_information, length: timer_information_length, return_length }
        .exact(cx, &information)
}

/// The coarsest resolution of NT's clock, in 100 ns.
const MAXIMUM_RESOLUTION: u32 = 156_250;
/// The finest.
const MINIMUM_RESOLUTION: u32 = 5_000;

/// Reports the clock's coarsest, finest and present resolution in 100 ns.
///
/// nten's waits end on time whatever the resolution; the numbers are what NT's clock offers.
#[service]
pub(super) fn nt_query_timer_resolution(
    cx: &mut ServiceCx<'_>,
    maximum_time: Out<u32>,
    minimum_time: Out<u32>,
    current_time: Out<u32>,
) -> NtResult {
    let current = cx.k.ex.timer_resolution.unwrap_or(MAXIMUM_RESOLUTION);
    maximum_time.write(cx, &MAXIMUM_RESOLUTION)?;
    minimum_time.write(cx, &MINIMUM_RESOLUTION)?;
    current_time.write(cx, &current)?;
    Ok(STATUS_SUCCESS)
}

/// Asks for a resolution of the clock, or takes the request back (`STATUS_TIMER_RESOLUTION_NOT_SET` if there was none).
#[service]
pub(super) fn nt_set_timer_resolution(
    cx: &mut ServiceCx<'_>,
    desired_time: u32,
    set_resolution: bool,
    actual_time: Out<u32>,
) -> NtResult {
    actual_time.probe(cx)?;
    let was_set = cx.k.ex.timer_resolution.is_some();
    cx.k.ex.timer_resolution =
        set_resolution.then(|| desired_time.clamp(MINIMUM_RESOLUTION, MAXIMUM_RESOLUTION));
    let current = cx.k.ex.timer_resolution.unwrap_or(MAXIMUM_RESOLUTION);
    actual_time.write(cx, &current)?;
    Ok(if set_resolution || was_set { STATUS_SUCCESS } else { STATUS_TIMER_RESOLUTION_NOT_SET })
}

crate::service_table! { SERVICES:
    nt_create_timer, nt_open_timer, nt_set_timer, nt_set_timer_ex, nt_cancel_timer, nt_query_timer,
    nt_query_timer_resolution, nt_set_timer_resolution,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svc::sync::nt_wait_for_single_object;
    use crate::testing::{DATA, TestMachine, out};

    const ALL: AccessMask = AccessMask(abi::ob::GENERIC_ALL);

    struct Fixture {
        machine: TestMachine,
        timer: Handle,
    }

    impl Fixture {
        fn new(kind: u32) -> Self {
            let machine = TestMachine::new();
            machine.with(|cx| nt_create_timer(cx, out(0), ALL, None, TimerType(kind))).unwrap();
            let timer = machine.handle_at(0);
            Fixture { machine, timer }
        }

        fn set(&self, due: i64, routine: u64, period: i32) -> NtResult {
            let due = In::new(self.machine.put(8, &due));
            let timer = self.timer;
            self.machine.with(|cx| {
                nt_set_timer(cx, timer, due, Va(routine), 7, false, period, Some(out(16)))
            })
        }

        fn query(&self) -> TIMER_BASIC_INFORMATION {
            let class = TimerInformationClass(0);
            let at = Va(DATA + 32);
            self.machine.with(|cx| nt_query_timer(cx, self.timer, class, at, 16, None)).unwrap();
            self.machine.get(32)
        }
    }

    #[test]
    fn a_timer_is_signaled_when_it_is_due() {
        let fixture = Fixture::new(TimerType::NotificationTimer);
        let (machine, timer) = (&fixture.machine, fixture.timer);
        fixture.set(-100, 0, 0).unwrap();
        let mut wait = machine.start(&machine.thread.clone(), move |cx| async move {
            nt_wait_for_single_object(&cx, timer, false, None).await
        });
        machine.advance(99);
        assert_eq!((wait.result(), fixture.query().RemainingTime), (None, 1));
        machine.advance(1);
        assert_eq!(wait.result(), Some(Ok(STATUS_WAIT_0)));
        assert_eq!((fixture.query().TimerState, fixture.query().RemainingTime), (1, 0));
        fixture.set(-100, 0, 0).unwrap();
        assert_eq!((machine.get::<u8>(16), fixture.query().TimerState), (1, 0));
        machine.with(|cx| nt_cancel_timer(cx, timer, Some(out(16)))).unwrap();
        machine.advance(1000);
        assert_eq!((machine.get::<u8>(16), fixture.query().TimerState), (0, 0));
    }

    #[test]
    fn a_periodic_timer_queues_its_apc_once_at_a_time() {
        let fixture = Fixture::new(TimerType::SynchronizationTimer);
        let machine = &fixture.machine;
        fixture.set(-100, 0x1234, 1).unwrap();
        let queued = || machine.thread.apcs.open().queue.len();
        machine.advance(100);
        machine.advance(10_000);
        assert_eq!(queued(), 1);
        machine.thread.apcs.open().queue.clear();
        machine.advance(10_000);
        assert_eq!(queued(), 1);
        let (_, apc) = *machine.thread.apcs.open().queue.front().unwrap();
        let now = machine.with(|cx| cx.k.system_time()) as u64;
        assert_eq!(apc.routine, Va(0x1234));
        assert_eq!(apc.arguments, [7, now & 0xFFFF_FFFF, now >> 32]);
        machine.with(|cx| nt_cancel_timer(cx, fixture.timer, None)).unwrap();
        assert_eq!(queued(), 0);
    }

    #[test]
    fn a_timer_ends_with_the_thread_of_its_apc_and_goes_on_for_who_waits() {
        let fixture = Fixture::new(TimerType::NotificationTimer);
        let (machine, timer) = (&fixture.machine, fixture.timer);
        fixture.set(-100, 0, 0).unwrap();
        let other = machine.new_thread();
        let mut wait = machine.start(&other, move |cx| async move {
            nt_wait_for_single_object(&cx, timer, false, None).await
        });
        machine.with(|cx| crate::ob::close(cx.k, cx.process(), timer.0)).unwrap();
        machine.advance(100);
        assert_eq!(wait.result(), Some(Ok(STATUS_WAIT_0)));

        let fixture = Fixture::new(TimerType::NotificationTimer);
        let machine = &fixture.machine;
        fixture.set(-100, 0x1234, 0).unwrap();
        machine.executive.with(|k| {
            crate::ps::exit::terminate_thread(k, &machine.thread, STATUS_SUCCESS);
        });
        machine.advance(100);
        assert_eq!(fixture.query().TimerState, 0);
    }

    #[test]
    fn missed_periods_are_not_made_up_for() {
        let fixture = Fixture::new(TimerType::SynchronizationTimer);
        fixture.set(-1, 0, 1).unwrap();
        fixture.machine.advance(1_000_000_000);
        let next = fixture.machine.with(|cx| cx.k.ke.timers.next_due());
        assert_eq!(next, Some(1_000_000_000 + 10_000));
    }

    #[test]
    fn settings_far_away_never_come_and_bad_ones_are_refused() {
        let fixture = Fixture::new(TimerType::NotificationTimer);
        for due in [i64::MIN, i64::MIN + 1, i64::MAX] {
            assert_eq!(fixture.set(due, 0, 0), Ok(STATUS_SUCCESS));
            assert_eq!(fixture.machine.with(|cx| cx.k.ke.timers.next_due()), None);
        }
        assert_eq!(fixture.set(-1, 0, -1), Err(STATUS_INVALID_PARAMETER_6));
        assert_eq!(fixture.set(0, 0, 0), Ok(STATUS_SUCCESS));
        assert_eq!(fixture.query().TimerState, 1);
    }
}
