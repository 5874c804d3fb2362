//! The Linux host of a machine: clock, entropy, standard streams, folders.
//!
//! Key types: [`LinuxHost`] (the real world), [`DeterministicHost`] (a virtual clock and seeded entropy over another
//! host), [`LinuxFolder`] (a folder that nothing leaves). All of them stand behind [`ntos::host::Host`] and
//! [`ntos::host::files::HostFolder`].
//!
//! Invariants: no call of the machine blocks on a terminal or pipe; what is opened lies beneath its root, links
//! included.
//!
//! A worked path, "a guest reads standard input that has nothing yet": [`LinuxHost`]'s `stream_read` finds the pipe not
//! readable, asks the watcher thread to poll it and answers `None`; the machine waits in `wait`; the watcher finds
//! input and queues `HostEvent::Readable`; the machine reads again.

mod backing;
mod beneath;
mod clock;
mod deterministic;
mod events;
mod files;
mod linux;
mod streams;
mod terminal;

pub use backing::open_backing;
pub use deterministic::DeterministicHost;
pub use files::LinuxFolder;
pub use linux::LinuxHost;
