//! Constants and structures of the NT API as the guest sees them: layout, no logic.
//!
//! One file per NT component. Structures are `#[repr(C)]`, little-endian, x64 layout, padding spelt as fields, and end
//! with a size assertion. Names are NT's own, which is why this crate alone allows SHOUTING types.
//!
//! Invariant: nothing here depends on the executive or on the host.

#![allow(non_camel_case_types, non_snake_case, missing_docs)]

pub mod cm;
pub mod context;
pub mod dbgk;
pub mod ex;
pub mod io;
pub mod job;
pub mod ke;
pub mod mm;
pub mod ob;
pub mod ps;
pub mod se;
pub mod status;
pub mod status_table;

pub use status::{NtResult, NtStatus};
