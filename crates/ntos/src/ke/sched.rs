//! The dispatcher: which thread runs.
//!
//! Key types: [`Ready`], [`SchedState`]. Thirty-two priorities, round robin within one, a quantum counted in
//! instructions; a boost is lost by one level a quantum, as in NT. A thread that waits a second for a processor gets a
//! turn whatever its priority ([`relieve_starved`]), as NT's balance set manager gives it.

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
    /// A debugger has an event of the process: the thread does not return to user mode.
    pub frozen: bool,
    /// The wait in progress.
    pub wait: Option<WaitRequest>,
    /// How the last wait ended, until the waiter takes it.
    pub outcome: Option<NtStatus>,
    /// Instructions executed.
    pub instructions: u64,
    /// Instructions left of a quantum that was interrupted by preemption.
    quantum_left: Option<u64>,
    /// Since when it has been ready, in interrupt time.
    ready_since: u64,
    /// Its priority was raised because it had starved: the next quantum ends that.
    relieved: bool,
}

impl SchedState {
    /// State of a new thread.
    pub fn new(base_priority: i32) -> Self {
        SchedState {
            state: ThreadState::Initialized,
            priority: base_priority,
            base_priority,
            suspended: 0,
            frozen: false,
            wait: None,
            outcome: None,
            instructions: 0,
            quantum_left: None,
            ready_since: 0,
            relieved: false,
        }
    }
}

/// Puts a thread at the end of its ready queue unless it is ready, running, suspended or over.
pub fn make_ready(k: &mut Kernel, thread: &ObRef<Thread>) {
    let state = thread.sched.open().state;
    if matches!(state, ThreadState::Initialized | ThreadState::Waiting) {
        enqueue(k, thread, Place::Back);
    }
}

/// Where in its queue a thread goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before its equals: it was preempted.
    Front,
    /// After them.
    Back,
}

fn enqueue(k: &mut Kernel, thread: &ObRef<Thread>, place: Place) {
    let level = {
        let mut sched = thread.sched.open();
        sched.state = ThreadState::Ready;
        sched.ready_since = k.ke.interrupt_time;
        level(sched.priority)
    };
    if let Some(queue) = k.ke.ready.queues.get_mut(level) {
        match place {
            Place::Front => queue.push_front(thread.clone()),
            Place::Back => queue.push_back(thread.clone()),
        }
        k.ke.ready.occupied |= 1 << level;
    }
}

fn level(priority: i32) -> usize {
    priority.clamp(0, LEVELS as i32 - 1) as usize
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
        let thread = queue.pop_front();
        if queue.is_empty() {
            k.ke.ready.occupied &= !(1 << level);
        }
        if let Some(thread) = thread
            && thread.sched.open().state == ThreadState::Ready
        {
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
    k.ke.ready.occupied >> level(priority) != 0
}

/// The instructions that a thread may run before its quantum ends: what preemption left of one, or a fresh one.
pub fn take_quantum(thread: &ObRef<Thread>, fresh: u64) -> u64 {
    thread.sched.open().quantum_left.take().unwrap_or(fresh)
}

/// Takes the processor from the running thread if one of higher priority is ready; it goes on later with the rest of
/// its quantum, before its equals.
pub fn preempt(k: &mut Kernel, thread: &ObRef<Thread>, quantum_left: u64) -> bool {
    {
        let mut sched = thread.sched.open();
        if sched.state != ThreadState::Running || !is_ready_at(k, sched.priority + 1) {
            return false;
        }
        sched.quantum_left = Some(quantum_left);
    }
    enqueue(k, thread, Place::Front);
    true
}

/// Gives a turn to threads that have been ready for long while others of higher priority ran, so that a low one that
/// holds what a high one spins for gets on.
pub fn relieve_starved(k: &mut Kernel) {
    let now = k.ke.interrupt_time;
    let highest = HIGHEST_DYNAMIC as usize;
    let mut starved = Vec::new();
    for (index, queue) in k.ke.ready.queues.iter_mut().enumerate().take(highest) {
        queue.retain(|thread| {
            let waits = now.saturating_sub(thread.sched.open().ready_since) >= STARVED;
            if waits {
                starved.push(thread.clone());
            }
            !waits
        });
        if queue.is_empty() {
            k.ke.ready.occupied &= !(1 << index);
        }
    }
    for thread in &starved {
        {
            let mut sched = thread.sched.open();
            sched.priority = HIGHEST_DYNAMIC;
            sched.relieved = true;
        }
        enqueue(k, thread, Place::Back);
    }
}

/// The highest priority that is not real-time.
const HIGHEST_DYNAMIC: i32 = 15;

/// How long a thread is ready before it counts as starved, in 100 ns.
pub const STARVED: u64 = 10_000_000;

/// The running thread's quantum is over: a boost decays and the thread goes to the end of its queue.
pub fn quantum_end(k: &mut Kernel, thread: &ObRef<Thread>) {
    {
        let mut sched = thread.sched.open();
        if sched.state != ThreadState::Running {
            return;
        }
        if std::mem::take(&mut sched.relieved) {
            sched.priority = sched.base_priority;
        } else if sched.priority > sched.base_priority {
            sched.priority -= 1;
        }
    }
    enqueue(k, thread, Place::Back);
}

/// Raises a waiting thread's priority as its wait ends. Real-time priorities (16 and up) are never boosted.
pub fn boost(thread: &ObRef<Thread>, increment: i32) {
    let mut sched = thread.sched.open();
    if sched.base_priority < 16 {
        let boosted = (sched.base_priority + increment).min(15);
        sched.priority = sched.priority.max(boosted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestMachine;

    /// A machine whose first thread runs, and another thread that is ready at a priority.
    fn machine(priority: i32) -> (TestMachine, ObRef<Thread>) {
        let machine = TestMachine::new();
        let other = machine.new_thread();
        {
            let mut sched = other.sched.open();
            (sched.base_priority, sched.priority) = (priority, priority);
            sched.state = ThreadState::Waiting;
        }
        machine.executive.with(|k| make_ready(k, &other));
        (machine, other)
    }

    fn picked(machine: &TestMachine) -> u64 {
        machine.executive.with(pick).unwrap().tid
    }

    #[test]
    fn only_a_higher_priority_preempts_and_the_quantum_goes_on() {
        let (equal, _) = machine(8);
        assert!(!equal.executive.with(|k| preempt(k, &equal.thread, 70)));
        let (higher, other) = machine(9);
        assert!(higher.executive.with(|k| preempt(k, &higher.thread, 70)));
        assert_eq!((picked(&higher), picked(&higher)), (other.tid, higher.thread.tid));
        assert_eq!(take_quantum(&higher.thread, 1000), 70);
        assert_eq!(take_quantum(&higher.thread, 1000), 1000);
        assert!(higher.executive.with(pick).is_none());
    }

    #[test]
    fn boosts_decay_by_one_a_quantum() {
        let (machine, _) = machine(8);
        boost(&machine.thread, 2);
        let priorities: Vec<i32> = (0..3)
            .map(|_| {
                machine.executive.with(|k| quantum_end(k, &machine.thread));
                machine.thread.sched.open().state = ThreadState::Running;
                machine.thread.sched.open().priority
            })
            .collect();
        assert_eq!(priorities, [9, 8, 8]);
    }

    #[test]
    fn a_starved_thread_gets_one_quantum() {
        let (machine, low) = machine(1);
        let look = || {
            machine.executive.with(|k| {
                relieve_starved(k);
                preempt(k, &machine.thread, 0)
            })
        };
        assert!(!look());
        machine.advance(STARVED);
        assert!(look());
        assert_eq!(picked(&machine), low.tid);
        machine.executive.with(|k| quantum_end(k, &low));
        assert_eq!(low.sched.open().priority, 1);
        assert_eq!((picked(&machine), picked(&machine)), (machine.thread.tid, low.tid));
    }
}
