//! The host processor as an oracle for the emulator.

pub mod case;
pub mod catalog;
mod child;
pub mod compare;
pub mod generate;
pub mod host;
pub mod hunt;
mod inputs;
pub mod layout;
pub mod program;
mod ring;
mod trampoline;
pub mod values;

pub use case::{Case, Ending, Outcome, Poke, State};
pub use host::{HostCpu, Pending};
pub use ring::BATCH;
