//! Dispatcher objects and waits.
//!
//! Key types: [`Dispatcher`] (a `DISPATCHER_HEADER` in guest memory), [`WaitRequest`], [`WaitOutcome`]. The signal
//! state lives in the guest header, where drivers see it; who waits lives here, by the header's physical address.
//!
//! Rules are NT's: a wait is satisfied in arrival order; satisfying takes the signal of synchronization events and
//! timers, one count of a semaphore, and the ownership of a mutant; a wait for all takes nothing until all are there.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use abi::NtStatus;
use abi::ke::*;
use abi::status_table::*;
use guest_mem::{GuestRam, Pa};

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Thread;

/// A dispatcher header in guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Dispatcher(Pa);

impl Dispatcher {
    /// The header at a physical address.
    pub const fn at(pa: Pa) -> Self {
        Dispatcher(pa)
    }

    /// Writes a fresh header.
    pub fn initialize(self, ram: &GuestRam, kind: u8, state: i32) {
        ram.store(self.0, kind);
        ram.store(Pa(self.0.0 + SIGNAL_STATE), state);
    }

    /// The `KOBJECTS` type.
    pub fn kind(self, ram: &GuestRam) -> u8 {
        ram.load(self.0)
    }

    /// The signal state.
    pub fn state(self, ram: &GuestRam) -> i32 {
        ram.load(Pa(self.0.0 + SIGNAL_STATE))
    }

    /// Stores the signal state without waking anyone.
    pub fn set_state(self, ram: &GuestRam, state: i32) {
        ram.store(Pa(self.0.0 + SIGNAL_STATE), state);
    }

    /// Reads a field of the object that the header starts.
    pub fn field<T: guest_mem::Scalar>(self, ram: &GuestRam, offset: u64) -> T {
        ram.load(Pa(self.0.0 + offset))
    }

    /// Writes a field of the object that the header starts.
    pub fn set_field<T: guest_mem::Scalar>(self, ram: &GuestRam, offset: u64, value: T) {
        ram.store(Pa(self.0.0 + offset), value);
    }
}

/// `WAIT_TYPE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitType {
    /// All objects at once.
    All,
    /// The first that is signaled.
    Any,
}

/// How a wait ended.
pub type WaitOutcome = NtStatus;

/// What a waiting thread waits for, as data that can be shown.
#[derive(Clone, Debug)]
pub struct WaitRequest {
    /// The objects, in the caller's order.
    pub objects: Vec<Dispatcher>,
    /// All or any.
    pub wait_type: WaitType,
    /// User APCs and alerts end the wait.
    pub alertable: bool,
    /// Distinguishes this wait from earlier ones of the thread.
    pub id: u64,
    /// The queued time-out, if there is one; it is taken back when the wait ends.
    pub timer: Option<super::timer::TimerKey>,
}

/// Who waits, by object.
#[derive(Default)]
pub struct WaitLists {
    queues: HashMap<Dispatcher, VecDeque<Waiter>, std::hash::BuildHasherDefault<PaHasher>>,
    next_id: u64,
}

/// Hashes a physical address: objects are 16-byte aligned, so the low bits are dropped.
#[derive(Default)]
pub struct PaHasher(u64);

impl std::hash::Hasher for PaHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (value >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

struct Waiter {
    thread: ObRef<Thread>,
    id: u64,
}

/// True if `thread` would not block on the object now.
fn is_signaled(k: &Kernel, object: Dispatcher, thread: &ObRef<Thread>) -> bool {
    if object.state(&k.ram) > 0 {
        return true;
    }
    object.kind(&k.ram) == MUTANT
        && object.field::<u64>(&k.ram, MUTANT_OWNER_THREAD) == thread.header.address().0
}

/// Takes from the object what a satisfied wait takes; true if it was an abandoned mutant.
fn satisfy(k: &mut Kernel, object: Dispatcher, thread: &ObRef<Thread>) -> bool {
    let ram = k.ram.clone();
    match object.kind(&ram) {
        SYNCHRONIZATION_EVENT | SYNCHRONIZATION_TIMER => object.set_state(&ram, 0),
        SEMAPHORE => object.set_state(&ram, object.state(&ram).wrapping_sub(1)),
        MUTANT => {
            let state = object.state(&ram).wrapping_sub(1);
            object.set_state(&ram, state);
            if state == 0 {
                object.set_field(&ram, MUTANT_OWNER_THREAD, thread.header.address().0);
                thread.owned_mutants.open().push(object);
                if object.field::<u8>(&ram, MUTANT_ABANDONED) != 0 {
                    object.set_field(&ram, MUTANT_ABANDONED, 0u8);
                    return true;
                }
            }
        }
        _ => {}
    }
    false
}

/// Satisfies a request if it can be, without waiting.
fn try_satisfy(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    objects: &[Dispatcher],
    wait_type: WaitType,
) -> Option<WaitOutcome> {
    match wait_type {
        WaitType::Any => {
            let index = objects.iter().position(|object| is_signaled(k, *object, thread))?;
            let object = *objects.get(index)?;
            let abandoned = satisfy(k, object, thread);
            let base = if abandoned { STATUS_ABANDONED_WAIT_0 } else { STATUS_WAIT_0 };
            Some(NtStatus(base.0 + index as u32))
        }
        WaitType::All => {
            if !objects.iter().all(|object| is_signaled(k, *object, thread)) {
                return None;
            }
            let mut abandoned = false;
            for object in objects {
                abandoned |= satisfy(k, *object, thread);
            }
            Some(if abandoned { STATUS_ABANDONED_WAIT_0 } else { STATUS_WAIT_0 })
        }
    }
}

/// Starts a wait: `Some` if it is over at once, else the thread is queued and its `wait` is set.
///
/// `deadline` is in 100 ns of the machine's interrupt time; `None` waits for ever. A mutant whose recursion count
/// would overflow gives `STATUS_MUTANT_LIMIT_EXCEEDED`.
pub fn begin_wait(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    objects: &[Dispatcher],
    wait_type: WaitType,
    alertable: bool,
    deadline: Option<u64>,
) -> Option<WaitOutcome> {
    for object in objects {
        let full = object.kind(&k.ram) == MUTANT && object.state(&k.ram) == i32::MIN;
        if full && is_signaled(k, *object, thread) {
            return Some(STATUS_MUTANT_LIMIT_EXCEEDED);
        }
    }
    if !objects.is_empty()
        && let Some(outcome) = try_satisfy(k, thread, objects, wait_type)
    {
        return Some(outcome);
    }
    if thread.is_terminating() {
        return Some(STATUS_THREAD_IS_TERMINATING);
    }
    if alertable && let Some(outcome) = super::apc::interrupts_wait(thread) {
        return Some(outcome);
    }
    if deadline.is_some_and(|deadline| deadline <= k.ke.interrupt_time) {
        return Some(STATUS_TIMEOUT);
    }
    k.ke.waits.next_id += 1;
    let id = k.ke.waits.next_id;
    for object in objects {
        let waiter = Waiter { thread: thread.clone(), id };
        k.ke.waits.queues.entry(*object).or_default().push_back(waiter);
    }
    let timer = deadline.map(|deadline| {
        k.ke.timers.insert(deadline, super::timer::Expiry::Wait { thread: thread.clone(), id })
    });
    let objects = objects.to_vec();
    let mut sched = thread.sched.open();
    sched.wait = Some(WaitRequest { objects, wait_type, alertable, id, timer });
    sched.outcome = None;
    None
}

/// Ends a thread's wait with an outcome and makes the thread ready. Nothing happens if the wait is over already.
pub fn end_wait(k: &mut Kernel, thread: &ObRef<Thread>, outcome: WaitOutcome) {
    let Some(request) = thread.sched.open().wait.take() else { return };
    if let Some(timer) = request.timer {
        k.ke.timers.cancel(timer);
    }
    for object in &request.objects {
        if let Some(queue) = k.ke.waits.queues.get_mut(object) {
            queue.retain(|waiter| !Arc::ptr_eq(&waiter.thread, thread) || waiter.id != request.id);
            if queue.is_empty() {
                k.ke.waits.queues.remove(object);
            }
        }
    }
    thread.sched.open().outcome = Some(outcome);
    super::sched::make_ready(k, thread);
}

/// Ends the wait that a timer was set for, if it is still that wait.
pub(super) fn wait_timed_out(k: &mut Kernel, thread: &ObRef<Thread>, id: u64) {
    let current = thread.sched.open().wait.as_ref().map(|wait| wait.id);
    if current == Some(id) {
        end_wait(k, thread, STATUS_TIMEOUT);
    }
}

/// Lets waiters of an object that became signaled go, in order, as long as it stays signaled.
pub fn wake_waiters(k: &mut Kernel, object: Dispatcher, increment: i32) {
    let mut index = 0;
    loop {
        let waiter = k.ke.waits.queues.get(&object).and_then(|queue| queue.get(index));
        let Some((thread, id)) = waiter.map(|w| (w.thread.clone(), w.id)) else { return };
        if !is_signaled(k, object, &thread) {
            return;
        }
        let request = thread.sched.open().wait.clone();
        let Some(request) = request.filter(|request| request.id == id) else {
            index += 1;
            continue;
        };
        match try_satisfy(k, &thread, &request.objects, request.wait_type) {
            Some(outcome) => {
                super::sched::boost(&thread, increment);
                end_wait(k, &thread, outcome);
            }
            None => index += 1,
        }
    }
}

/// True if anyone waits for the object.
pub fn has_waiters(k: &Kernel, object: Dispatcher) -> bool {
    k.ke.waits.queues.contains_key(&object)
}
