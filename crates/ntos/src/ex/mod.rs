//! Executive support: events, semaphores, mutants, timers, keyed events, atoms, unique numbers, the clock's tick.
//!
//! It owns what belongs to no other component. Each object type has a file; what setting and waiting do is in
//! [`crate::ke`], the services are in [`crate::svc`].
//!
//! Invariants: the state of a dispatcher object lives in its guest header only; a timer has at most one pending expiry
//! and at most one queued APC; a mutant's owner lists it.
//!
//! A worked path, "`SetWaitableTimer` with a routine": `NtSetTimer` turns the due time into interrupt time and calls
//! [`timer::set`], which queues an expiry in [`crate::ke::timer`]. When it is due [`timer::expired`] signals the header,
//! wakes who waits and queues the APC to the thread that set the timer; it runs at that thread's next alertable wait.

pub mod atom;
pub mod clock;
pub mod event;
pub mod keyed;
pub mod locale;
pub mod timer;
pub mod uuid;

/// The build that is reported: Windows 10 21H1.
pub const BUILD_NUMBER: u32 = 19043;

/// State of executive support.
#[derive(Default)]
pub struct ExState {
    /// The next locally unique id.
    pub next_luid: u64,
    /// When the shared page is next brought up to date.
    pub next_tick: u64,
    /// When starved threads are next looked for.
    pub next_balance: u64,
    /// The keyed event that a null handle names, once it was used.
    pub default_keyed_event: Option<crate::ob::ObRef<keyed::KeyedEvent>>,
    /// The clock resolution that was asked for, in 100 ns.
    pub timer_resolution: Option<u32>,
    /// `EXECUTION_STATE` flags that are in force.
    pub execution_state: u32,
    /// The global atom table.
    pub atoms: atom::AtomTable,
    /// Which UUIDs are taken.
    pub uuids: uuid::UuidState,
    /// Languages and formats.
    pub locale: locale::Locale,
}

impl ExState {
    /// A locally unique id: never zero, never repeated.
    pub fn allocate_luid(&mut self) -> u64 {
        self.next_luid = self.next_luid.max(0x3E8) + 1;
        self.next_luid
    }
}
