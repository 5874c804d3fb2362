//! Keyed events: a meeting place where a waiter and a releaser of the same key let each other go.
//!
//! Key types: [`KeyedEvent`], [`Side`]. Keys belong to a process; both sides block until the other comes.

use std::sync::Arc;

use abi::NtResult;
use abi::status_table::STATUS_SUCCESS;

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ke::dispatcher;
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};
use crate::ps::Thread;

/// A keyed event.
#[derive(Default)]
pub struct KeyedEvent {
    parties: Guarded<Vec<Party>>,
}

/// Which side of a meeting a thread is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// `NtWaitForKeyedEvent`.
    Wait,
    /// `NtReleaseKeyedEvent`.
    Release,
}

impl Side {
    /// `KEYEDEVENT_WAIT` or `KEYEDEVENT_WAKE`.
    pub fn access(self) -> u32 {
        match self {
            Side::Wait => 1,
            Side::Release => 2,
        }
    }
}

struct Party {
    thread: ObRef<Thread>,
    key: u64,
    side: Side,
}

impl ObjectBody for KeyedEvent {
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "KeyedEvent",
        access: AccessMap { read: 0x2_0001, write: 0x2_0002, execute: 0x2_0000, all: 0xF_0003 },
        body_size: 0x10,
    };
}

/// Makes a keyed event.
pub fn create(k: &mut Kernel) -> NtResult<ObRef<KeyedEvent>> {
    ob::create(k, KeyedEvent::default())
}

/// The keyed event that a null handle names: NT's critical sections fall back on it.
pub fn default_event(k: &mut Kernel) -> NtResult<ObRef<KeyedEvent>> {
    if let Some(event) = &k.ex.default_keyed_event {
        return Ok(event.clone());
    }
    let event = create(k)?;
    k.ex.default_keyed_event = Some(event.clone());
    Ok(event)
}

/// Lets go the longest waiting thread on the other side, if there is one.
pub fn take_partner(
    k: &mut Kernel,
    event: &ObRef<KeyedEvent>,
    thread: &ObRef<Thread>,
    key: u64,
    side: Side,
) -> bool {
    let partner = {
        let mut parties = event.parties.open();
        // A thread whose wait has just timed out is still listed: it no longer counts.
        let index = parties.iter().position(|party| {
            party.key == key
                && party.side != side
                && party.thread.process.pid == thread.process.pid
                && party.thread.sched.open().wait.is_some()
        });
        index.map(|index| parties.remove(index).thread)
    };
    let Some(partner) = partner else { return false };
    dispatcher::end_wait(k, &partner, STATUS_SUCCESS);
    true
}

/// Lists a thread that waits for its partner.
pub fn enlist(event: &ObRef<KeyedEvent>, thread: &ObRef<Thread>, key: u64, side: Side) {
    event.parties.open().push(Party { thread: thread.clone(), key, side });
}

/// Takes a thread off the list when its wait is over.
pub fn leave(event: &ObRef<KeyedEvent>, thread: &ObRef<Thread>) {
    event.parties.open().retain(|party| !Arc::ptr_eq(&party.thread, thread));
}
