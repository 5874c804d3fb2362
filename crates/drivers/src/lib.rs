//! Built-in drivers: the null device, standard streams, host folders as volumes.
//!
//! Each is a [`ntos::io::Driver`] with its own `add` or `open` function, which whoever boots a machine calls
//! ([`hostfs::add_volume`], [`null::add`], [`stream::open`]).
//!
//! Invariants: nothing here blocks; a request that cannot be answered yet is kept and completed later.
//!
//! A worked path, "`NtReadFile` of a file on `C:`": the I/O manager calls [`hostfs`]'s open instance, which checks byte
//! range locks, reads from the host file behind the file's control block, and copies to the caller.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod hostfs;
pub mod null;
pub mod stream;
