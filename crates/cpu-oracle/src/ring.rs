//! The memory that a [`crate::host::HostCpu`] shares with its forked runner.
//!
//! One side at a time owns the cases and outcomes: the parent until it raises `request`, the child until it raises
//! `done` to the same number.

use std::sync::atomic::AtomicU32;

use crate::case::{Case, Outcome};
use crate::layout;

/// Most cases in one batch.
pub const BATCH: usize = 512;

/// The shared memory.
#[repr(C)]
pub(crate) struct Ring {
    /// Batches handed to the child.
    pub request: AtomicU32,
    /// Batches the child has finished.
    pub done: AtomicU32,
    /// The case the child runs now.
    pub progress: AtomicU32,
    /// First case of the batch to run: not zero after a crash.
    pub first: AtomicU32,
    /// One past the last case of the batch.
    pub count: AtomicU32,
    /// Changes whenever `background` does.
    pub epoch: AtomicU32,
    /// What memory holds before a case's own bytes are set.
    pub background: [u8; layout::SPACE],
    /// The cases.
    pub cases: [Case; BATCH],
    /// What they gave.
    pub outcomes: [Outcome; BATCH],
}
