//! The clock's tick: time in `KUSER_SHARED_DATA`, and a look for starved threads.

use abi::ps::shared;

use crate::Kernel;
use crate::ke::sched;

/// 100 ns between updates of the shared page: NT's 1 ms clock.
const TICK: u64 = 10_000;

/// What the machine counts as spent on booting before its first program, in 100 ns: programs take a tick count near zero
/// for "never". Guest-visible clocks start here; deadlines and traces, which are ours, start at zero.
const BOOT_TIME: u64 = 20 * 10_000_000;

/// Time since the guest's boot, in 100 ns: interrupt time as programs see it.
pub fn uptime(k: &Kernel) -> u64 {
    k.host.interrupt_time() + BOOT_TIME
}

/// Brings the shared page's times up to date, at most once a tick.
pub fn tick(k: &mut Kernel) {
    let now = k.ke.interrupt_time;
    if now < k.ex.next_tick {
        return;
    }
    k.ex.next_tick = now + TICK;
    if now >= k.ex.next_balance {
        k.ex.next_balance = now + sched::STARVED;
        sched::relieve_starved(k);
    }
    crate::ps::job::check_times(k);
    let Some(page) = k.mm.shared_data else { return };
    let system_time = k.system_time() as u64;
    // Readers compare High1Time with High2Time, so these are written last and first.
    let triple = |offset: u64, value: u64| {
        k.ram.store(page.at(offset + 8), (value >> 32) as u32);
        k.ram.store(page.at(offset), value as u32);
        k.ram.store(page.at(offset + 4), (value >> 32) as u32);
    };
    let now = now + BOOT_TIME;
    triple(shared::INTERRUPT_TIME, now);
    triple(shared::SYSTEM_TIME, system_time);
    // With TickCountMultiplier 1 << 24 a tick is a millisecond.
    triple(shared::TICK_COUNT, now / 10_000);
}

/// The nominal speed of the emulated processor: an instruction counts as a nanosecond of processor time.
pub const NOMINAL_MHZ: u32 = 1000;
