//! Event, semaphore and mutant object types. Their state is the `KEVENT`, `KSEMAPHORE` or `KMUTANT` in guest pool.

use abi::NtResult;
use abi::ke::*;

use crate::Kernel;
use crate::ke::Dispatcher;
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};
use crate::ps::Thread;

/// A notification (manual-reset) or synchronization (auto-reset) event.
pub struct Event;

impl ObjectBody for Event {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Event",
        access: AccessMap {
            read: 0x2_0001,
            write: 0x2_0002,
            execute: 0x12_0000,
            all: EVENT_ALL_ACCESS,
        },
        body_size: size_of::<DISPATCHER_HEADER>() as u64,
    };
}

/// A counted semaphore.
pub struct Semaphore;

impl ObjectBody for Semaphore {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Semaphore",
        access: AccessMap {
            read: 0x2_0001,
            write: 0x2_0002,
            execute: 0x12_0000,
            all: SEMAPHORE_ALL_ACCESS,
        },
        body_size: size_of::<KSEMAPHORE>() as u64,
    };
}

/// A mutex.
pub struct Mutant;

impl ObjectBody for Mutant {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Mutant",
        access: AccessMap {
            read: 0x2_0001,
            write: 0x2_0000,
            execute: 0x12_0000,
            all: MUTANT_ALL_ACCESS,
        },
        body_size: size_of::<KMUTANT>() as u64,
    };
}

/// Makes an event.
pub fn create_event(k: &mut Kernel, kind: u8, signaled: bool) -> NtResult<ObRef<Event>> {
    let event = ob::create(k, Event)?;
    event.header.dispatcher().initialize(&k.ram, kind, i32::from(signaled));
    Ok(event)
}

/// Makes a semaphore.
pub fn create_semaphore(k: &mut Kernel, count: i32, limit: i32) -> NtResult<ObRef<Semaphore>> {
    let semaphore = ob::create(k, Semaphore)?;
    let header = semaphore.header.dispatcher();
    header.initialize(&k.ram, SEMAPHORE, count);
    header.set_field(&k.ram, size_of::<DISPATCHER_HEADER>() as u64, limit);
    Ok(semaphore)
}

/// Makes a mutant, owned by `owner` if given.
pub fn create_mutant(k: &mut Kernel, owner: Option<&ObRef<Thread>>) -> NtResult<ObRef<Mutant>> {
    let mutant = ob::create(k, Mutant)?;
    let header: Dispatcher = mutant.header.dispatcher();
    header.initialize(&k.ram, MUTANT, i32::from(owner.is_none()));
    if let Some(owner) = owner {
        header.set_field(&k.ram, MUTANT_OWNER_THREAD, owner.header.address().0);
        owner.owned_mutants.open().push(header);
    }
    Ok(mutant)
}

/// Process and thread id of a mutant's owner, if it is owned.
pub fn mutant_owner(k: &Kernel, mutant: Dispatcher) -> Option<(u64, u64)> {
    let owner: u64 = mutant.field(&k.ram, MUTANT_OWNER_THREAD);
    let thread = k.ps.threads.values().find(|thread| thread.header.address().0 == owner)?;
    Some((thread.process.pid, thread.tid))
}
