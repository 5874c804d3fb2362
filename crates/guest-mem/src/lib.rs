//! Guest physical memory, page frames and x86-64 page tables.
//!
//! The machine's memory is one memfd-backed pool ([`GuestRam`]) of 4 KiB frames. Address spaces are page tables
//! stored in those frames ([`paging`]), so what a processor walks is what mm edits. Nothing here knows what a process
//! or a section is.
//!
//! Invariants: guest bytes are reached by copy only, never by reference; frame 0 is never used; a write through this
//! crate to a frame with decoded code is reported to the processors.
//!
//! A worked path, "a guest store to a fresh page": the processor's TLB misses, [`paging::walk`] finds no entry and
//! reports a [`PageFault`]; mm takes a frame ([`GuestRam::alloc_zeroed`]), enters it
//! ([`PageTables::set_entry`]), and the processor runs the instruction again.

pub mod paging;
pub mod ram;
mod region;

pub use paging::{Access, Mapping, PageFault, PageTables, Privilege, Pte, Va, walk};
pub use ram::{GuestRam, OutOfFrames, PAGE_SHIFT, PAGE_SIZE, Pa, Pfn};
pub use region::Scalar;
