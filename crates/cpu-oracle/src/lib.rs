//! The host processor as an oracle for the emulator.

pub mod case;
mod child;
pub mod host;
pub mod layout;
mod ring;
mod trampoline;

pub use case::{Case, Ending, Outcome, Poke, State};
pub use host::{HostCpu, Pending};
pub use ring::BATCH;
