//! Services of the time of day and of the performance counter, and how times to wait are shown in traces.

use abi::NtResult;
use abi::status_table::*;
use ntos_macros::service;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ex::clock::uptime;
use crate::se::require_privilege;

use super::{GuestValue, In, Out, ServiceCx};

/// NT's time-out in guest memory: negative relative, positive absolute system time, in 100 ns.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub(super) struct Timeout(pub i64);

impl GuestValue for Timeout {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        let units = self.0.unsigned_abs();
        match self.0 {
            0 => "0".to_owned(),
            i64::MIN => "forever".to_owned(),
            1.. => format!("until {:#x}", self.0),
            _ if units.is_multiple_of(10_000_000) => format!("{}s", units / 10_000_000),
            _ if units.is_multiple_of(10_000) => format!("{}ms", units / 10_000),
            _ if units.is_multiple_of(10) => format!("{}us", units / 10),
            _ => format!("{units}00ns"),
        }
    }
}

/// Reports the time: 100 ns since 1601, UTC.
#[service]
fn nt_query_system_time(cx: &mut ServiceCx<'_>, system_time: Out<i64>) -> NtResult {
    let now = cx.k.system_time();
    system_time.write(cx, &now)?;
    Ok(STATUS_SUCCESS)
}

/// Ticks a second of [`nt_query_performance_counter`]: it counts interrupt time.
pub(super) const PERFORMANCE_FREQUENCY: i64 = 10_000_000;

/// Reports a counter of 100 ns since boot, and its frequency.
#[service]
fn nt_query_performance_counter(
    cx: &mut ServiceCx<'_>,
    performance_counter: Out<i64>,
    performance_frequency: Option<Out<i64>>,
) -> NtResult {
    let counter = uptime(cx.k) as i64;
    performance_counter.write(cx, &counter)?;
    if let Some(out) = performance_frequency {
        out.write(cx, &PERFORMANCE_FREQUENCY)?;
    }
    Ok(STATUS_SUCCESS)
}

/// Sets the time. Requires `SeSystemtimePrivilege`.
#[service(Partial("the machine's clock is the host's and cannot be set"))]
fn nt_set_system_time(
    cx: &mut ServiceCx<'_>,
    system_time: Option<In<i64>>,
    previous_time: Option<Out<i64>>,
) -> NtResult {
    if let Some(time) = system_time {
        time.read(cx)?;
    }
    if let Some(out) = previous_time {
        out.probe(cx)?;
    }
    require_privilege(cx.thread, abi::se::SE_SYSTEMTIME_PRIVILEGE)?;
    cx.k.notice_once("NtSetSystemTime is not implemented: the clock is the host's".to_owned());
    Err(STATUS_NOT_IMPLEMENTED)
}

crate::service_table! { SERVICES: nt_query_system_time, nt_query_performance_counter, nt_set_system_time }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestMachine;

    #[test]
    fn times_to_wait_are_shown_in_a_fitting_unit() {
        let machine = TestMachine::new();
        let shown = |time| machine.with(|cx| Timeout(time).show(cx));
        let times = [-30_000_000, -150_000, -70, -3, 0, i64::MIN, 0x10];
        let expected = ["3s", "15ms", "7us", "300ns", "0", "forever", "until 0x10"];
        assert_eq!(times.map(shown), expected);
    }
}
