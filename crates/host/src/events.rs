//! The queue of events that wake a waiting machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ntos::host::HostEvent;
use parking_lot::{Condvar, Mutex};

/// Events not yet taken.
#[derive(Default)]
pub(crate) struct Events {
    queue: Mutex<VecDeque<HostEvent>>,
    arrived: Condvar,
}

impl Events {
    /// Queues an event and wakes the machine.
    pub(crate) fn push(&self, event: HostEvent) {
        self.queue.lock().push_back(event);
        self.arrived.notify_all();
    }

    /// Takes an event that is there.
    pub(crate) fn poll(&self) -> Option<HostEvent> {
        // Called between quanta: an uncontended lock costs less than a system call by far.
        self.queue.lock().pop_front()
    }

    /// Takes an event, waiting for it.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Option<HostEvent> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut queue = self.queue.lock();
        loop {
            if let Some(event) = queue.pop_front() {
                return Some(event);
            }
            match deadline {
                Some(deadline) => {
                    if self.arrived.wait_until(&mut queue, deadline).timed_out() {
                        return queue.pop_front();
                    }
                }
                None => self.arrived.wait(&mut queue),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_an_event_or_in_time() {
        let events = std::sync::Arc::new(Events::default());
        assert_eq!(events.wait(Some(Duration::from_millis(1))), None);
        let other = events.clone();
        let pusher = std::thread::spawn(move || other.push(HostEvent::Interrupt));
        assert_eq!(events.wait(None), Some(HostEvent::Interrupt));
        pusher.join().unwrap();
        assert_eq!(events.poll(), None);
    }
}
