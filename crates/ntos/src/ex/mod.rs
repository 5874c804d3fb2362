//! Executive support: timers, atoms, keyed alerts, system information.
//!
//! It owns what belongs to no other component. Each object type has a file; the services are in [`crate::svc`].

pub mod clock;
pub mod event;
pub mod timer;

/// State of executive support.
#[derive(Default)]
pub struct ExState {
    /// The next locally unique id.
    pub next_luid: u64,
    /// When the shared page is next brought up to date.
    pub next_tick: u64,
}

impl ExState {
    /// A locally unique id: never zero, never repeated.
    pub fn allocate_luid(&mut self) -> u64 {
        self.next_luid = self.next_luid.max(0x3E8) + 1;
        self.next_luid
    }
}
