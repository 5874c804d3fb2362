//! `KeSetEvent` and its kin: operations on the dispatcher objects themselves.

use abi::ke::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Thread;

use super::dispatcher::{Dispatcher, wake_waiters};

/// Priority boost of an event, semaphore or mutant wake-up.
pub const EVENT_INCREMENT: i32 = 1;

/// Sets an event and returns its previous state.
pub fn ke_set_event(k: &mut Kernel, event: Dispatcher, increment: i32) -> i32 {
    let previous = event.state(&k.ram);
    event.set_state(&k.ram, 1);
    if previous == 0 {
        wake_waiters(k, event, increment);
    }
    previous
}

/// Resets an event and returns its previous state.
pub fn ke_reset_event(k: &mut Kernel, event: Dispatcher) -> i32 {
    let previous = event.state(&k.ram);
    event.set_state(&k.ram, 0);
    previous
}

/// Sets an event, lets those who wait go, and resets it. Returns the previous state.
pub fn ke_pulse_event(k: &mut Kernel, event: Dispatcher, increment: i32) -> i32 {
    let previous = ke_set_event(k, event, increment);
    event.set_state(&k.ram, 0);
    previous
}

/// Adds to a semaphore's count and returns the previous one; `STATUS_SEMAPHORE_LIMIT_EXCEEDED` changes nothing.
pub fn ke_release_semaphore(k: &mut Kernel, semaphore: Dispatcher, add: i32) -> NtResult<i32> {
    let previous = semaphore.state(&k.ram);
    let limit: i32 = semaphore.field(&k.ram, size_of::<DISPATCHER_HEADER>() as u64);
    let next = previous.checked_add(add).filter(|next| *next <= limit && add >= 0);
    let next = next.ok_or(STATUS_SEMAPHORE_LIMIT_EXCEEDED)?;
    semaphore.set_state(&k.ram, next);
    wake_waiters(k, semaphore, EVENT_INCREMENT);
    Ok(previous)
}

/// Gives up one recursion of a mutant and returns the previous state; `STATUS_MUTANT_NOT_OWNED` if not the owner's.
pub fn ke_release_mutant(
    k: &mut Kernel,
    mutant: Dispatcher,
    thread: &ObRef<Thread>,
) -> NtResult<i32> {
    if mutant.field::<u64>(&k.ram, MUTANT_OWNER_THREAD) != thread.header.address().0 {
        return Err(STATUS_MUTANT_NOT_OWNED);
    }
    let previous = mutant.state(&k.ram);
    mutant.set_state(&k.ram, previous.wrapping_add(1));
    if previous == 0 {
        mutant.set_field(&k.ram, MUTANT_OWNER_THREAD, 0u64);
        thread.owned_mutants.open().retain(|owned| *owned != mutant);
        wake_waiters(k, mutant, EVENT_INCREMENT);
    }
    Ok(previous)
}

/// Frees the mutants of a thread that ends; the next owner is told by `STATUS_ABANDONED`.
pub fn abandon_mutants(k: &mut Kernel, thread: &ObRef<Thread>) {
    let owned = std::mem::take(&mut *thread.owned_mutants.open());
    for mutant in owned {
        // A mutant that was deleted while it was owned is still listed: its memory is free, or something else's.
        let owner: u64 = mutant.field(&k.ram, MUTANT_OWNER_THREAD);
        if mutant.kind(&k.ram) != MUTANT || owner != thread.header.address().0 {
            continue;
        }
        mutant.set_field(&k.ram, MUTANT_ABANDONED, 1u8);
        mutant.set_field(&k.ram, MUTANT_OWNER_THREAD, 0u64);
        mutant.set_state(&k.ram, 1);
        wake_waiters(k, mutant, EVENT_INCREMENT);
    }
}

/// Marks an object that is signaled once and for all: an ended process or thread.
pub fn ke_signal_forever(k: &mut Kernel, object: Dispatcher) -> NtStatus {
    object.set_state(&k.ram, 1);
    wake_waiters(k, object, EVENT_INCREMENT);
    STATUS_SUCCESS
}
