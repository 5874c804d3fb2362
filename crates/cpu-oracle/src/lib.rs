//! The host processor as an oracle for the emulator.
//!
//! A [`Case`] is code, registers and memory. [`HostCpu`] runs it on the host's own processor, in a confined child
//! process; [`EmulatedCpu`] runs it on the emulator; [`hunt`] makes random cases ([`generate`]), runs both and names
//! the instruction that differs ([`compare`]). What is generated, and why the rest is not, is [`catalog`].
//!
//! Invariants: the parent process never executes a case's code; a seed always gives the same cases; what is undefined
//! in the architecture is left out by a rule with its reason, never by a value.
//!
//! A worked path, "`hunt` finds a wrong carry": [`generate::Generator::case`] makes `add eax, ebx; setc cl` with
//! values at edges; both sides run it; [`compare::differences`] sees another CL; the two instructions are run as
//! prefixes of one and two, and the first already differs in the flags; the finding is filed as `Add_rm32_r32: flags`
//! with its registers.
//!
//! Needs an x86-64 Linux host. Unsafe code and why it is sound: `SOUNDNESS.md`.

pub mod case;
pub mod catalog;
mod child;
pub mod compare;
pub mod emulated;
mod flags;
pub mod generate;
pub mod generated;
pub mod host;
pub mod hunt;
mod inputs;
pub mod layout;
mod maker;
pub mod program;
mod ring;
pub mod table;
mod trampoline;
pub mod values;

pub use case::{Case, Ending, Mode, Outcome, Poke, State};
pub use emulated::EmulatedCpu;
pub use host::{HostCpu, Pending};
pub use hunt::{Findings, Subject};
pub use ring::BATCH;
