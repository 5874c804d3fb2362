//! Services of the time of day and of the performance counter.

use abi::NtResult;
use abi::status_table::*;
use ntos_macros::service;

use super::{Out, ServiceCx};

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
    let counter = cx.k.host.interrupt_time() as i64;
    performance_counter.write(cx, &counter)?;
    if let Some(out) = performance_frequency {
        out.write(cx, &PERFORMANCE_FREQUENCY)?;
    }
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES: nt_query_system_time, nt_query_performance_counter }
