//! The dispatcher: which thread runs.
//!
//! Key types: [`Ready`], [`SchedState`]. Thirty-two priorities, round robin within one, a quantum counted in
//! instructions; a boost is lost by one level a quantum, as in NT.

use std::collections::VecDeque;

use abi::NtStatus;

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Thread;

use super::dispatcher::WaitRequest;

/// Priority levels.
const LEVELS: usize = 32;

/// The ready queues.
pub struct Ready {
    queues: [VecDeque<ObRef<Thread>>; LEVELS],
    occupied: u32,
    /// The thread that someone yielded to: it runs before all others, once.
    next: Option<ObRef<Thread>>,
}

impl Default for Ready {
    fn default() -> Self {
        Ready { queues: std::array::from_fn(|_| VecDeque::new()), occupied: 0, next: None }
    }
}

/// Where a thread stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    /// Made, not yet started.
    Initialized,
    /// In a ready queue.
    Ready,
    /// On a processor.
    Running,
    /// Blocked: in a wait, or until the host answers.
    Waiting,
    /// Over.
    Terminated,
}

/// Scheduling state of a thread.
pub struct SchedState {
    /// State.
    pub state: ThreadState,
    /// Current priority, 0 to 31.
    pub priority: i32,
    /// Priority without boost.
    pub base_priority: i32,
    /// Suspend count.
    pub suspended: u32,
    /// The wait in progress.
    pub wait: Option<WaitRequest>,
    /// How the last wait ended, until the waiter takes it.
    pub outcome: Option<NtStatus>,
    /// Instructions executed.
    pub instructions: u64,
}

impl SchedState {
    /// State of a new thread.
    pub fn new(base_priority: i32) -> Self {
        SchedState {
            state: ThreadState::Initialized,
            priority: base_priority,
            base_priority,
            suspended: 0,
            wait: None,
            outcome: None,
            instructions: 0,
        }
    }
}

/// Puts a thread at the end of its ready queue unless it is ready, running, suspended or over.
pub fn make_ready(k: &mut Kernel, thread: &ObRef<Thread>) {
    enqueue(k, thread, false);
}

fn enqueue(k: &mut Kernel, thread: &ObRef<Thread>, front: bool) {
    let mut sched = thread.sched.open();
    match sched.state {
        ThreadState::Ready | ThreadState::Terminated => return,
        ThreadState::Running => return,
        ThreadState::Initialized | ThreadState::Waiting => {}
    }
    sched.state = ThreadState::Ready;
    push(k, sched.priority, thread, front);
}

fn push(k: &mut Kernel, priority: i32, thread: &ObRef<Thread>, front: bool) {
    let level = (priority.clamp(0, LEVELS as i32 - 1)) as usize;
    if let Some(queue) = k.ke.ready.queues.get_mut(level) {
        if front {
            queue.push_front(thread.clone());
        } else {
            queue.push_back(thread.clone());
        }
        k.ke.ready.occupied |= 1 << level;
    }
}

/// Takes the next thread to run and marks it running.
pub fn pick(k: &mut Kernel) -> Option<ObRef<Thread>> {
    let thread = match k.ke.ready.next.take() {
        Some(next) => next,
        None => take_ready(k)?,
    };
    thread.sched.open().state = ThreadState::Running;
    Some(thread)
}

/// Takes the first thread of the highest occupied queue.
fn take_ready(k: &mut Kernel) -> Option<ObRef<Thread>> {
    while k.ke.ready.occupied != 0 {
        let level = (31 - k.ke.ready.occupied.leading_zeros()) as usize;
        let queue = k.ke.ready.queues.get_mut(level)?;
        let Some(thread) = queue.pop_front() else {
            k.ke.ready.occupied &= !(1 << level);
            continue;
        };
        if thread.sched.open().state == ThreadState::Ready {
            return Some(thread);
        }
    }
    None
}

/// The running thread gives the rest of its quantum to another ready thread, even to one of lower priority, as
/// `NtYieldExecution` does; false if no other is ready.
pub fn yield_to_other(k: &mut Kernel, thread: &ObRef<Thread>) -> bool {
    if k.ke.ready.next.is_none() {
        k.ke.ready.next = take_ready(k);
    }
    if k.ke.ready.next.is_none() {
        return false;
    }
    quantum_end(k, thread);
    true
}

/// True if a thread of at least this priority is ready.
pub fn is_ready_at(k: &Kernel, priority: i32) -> bool {
    let level = priority.clamp(0, LEVELS as i32 - 1) as u32;
    k.ke.ready.next.is_some()
        || k.ke.ready.occupied >> level != 0
            && k.ke.ready.queues.iter().skip(level as usize).any(|queue| !queue.is_empty())
}

/// The running thread's quantum is over: a boost decays and the thread goes to the end of its queue.
pub fn quantum_end(k: &mut Kernel, thread: &ObRef<Thread>) {
    let priority = {
        let mut sched = thread.sched.open();
        if sched.state != ThreadState::Running {
            return;
        }
        if sched.priority > sched.base_priority {
            sched.priority -= 1;
        }
        sched.state = ThreadState::Ready;
        sched.priority
    };
    push(k, priority, thread, false);
}

/// Raises a waiting thread's priority as its wait ends. Real-time priorities (16 and up) are never boosted.
pub fn boost(thread: &ObRef<Thread>, increment: i32) {
    let mut sched = thread.sched.open();
    if sched.base_priority < 16 {
        let boosted = (sched.base_priority + increment).min(15);
        sched.priority = sched.priority.max(boosted);
    }
}
