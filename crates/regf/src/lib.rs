//! Registry hive files: the regf format, versions 1.3 to 1.5, as pure data.
//!
//! Key types: [`Hive`], [`Key`], [`Value`] (the tree, in [`tree`]), [`Error`]. [`Hive::parse`] reads a file,
//! [`Hive::to_bytes`] lays one out anew.
//!
//! Invariants: no input makes it panic, and what it allocates is bounded by the size of the input: a cell belongs to
//! one owner, so a file that uses one twice is refused. An error names the cell it was met at.
//!
//! A worked path, "a file becomes a tree": [`Hive::parse`] checks the base block's checksum and version, walks the bins
//! to learn where the allocated cells are, then steps from the root's cell through subkey lists, value lists, security
//! cells and big data, claiming each cell as it goes.
//!
//! Sources: Maxim Suhanov's public specification of the format, and what hivex and regipy accept.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod layout;
mod read;
pub mod tree;
mod write;

pub use tree::{Hive, Key, MAX_DEPTH, Value};

/// Why a file is no hive that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The base block is wrong.
    #[error("the base block {0}")]
    Base(String),
    /// A bin is wrong.
    #[error("the bin at {at:#x} {what}")]
    Bin {
        /// Its offset in the file.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A cell is wrong.
    #[error("the {kind} cell {cell:#x} {what}")]
    Cell {
        /// Its offset as other cells name it: from the first bin on.
        cell: u32,
        /// What it is meant to be: `key`, `value`, `security`….
        kind: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The tree cannot be written.
    #[error("the key {key} {what}")]
    Tree {
        /// The key's name.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
}
