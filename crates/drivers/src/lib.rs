//! Built-in drivers: consoles, the null device, named pipes, sockets, standard streams, host folders as volumes.
//!
//! Each is a [`ntos::io::Driver`] with its own `add` or `open` function, which whoever boots a machine calls
//! ([`hostfs::add_volume`], [`null::add`], [`stream::open_standard`]); [`attach`] does it for what every machine has.
//!
//! Invariants: nothing here blocks; a request that cannot be answered yet is kept and completed later.
//!
//! A worked path, "`NtReadFile` of a file on `C:`": the I/O manager calls [`hostfs`]'s open instance, which checks byte
//! range locks, reads from the host file behind the file's control block, and copies to the caller.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod afd;
pub mod condrv;
pub mod hostfs;
pub mod npfs;
pub mod null;
pub mod stream;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use abi::NtResult;
use ntos::{Kernel, ob};

/// Makes the built-in devices and the volumes that the host gives, with their drive letters; returns the volumes.
///
/// The directories `\Device` and `\GLOBAL??` must exist.
pub fn attach(k: &mut Kernel) -> NtResult<Vec<(char, Arc<hostfs::Volume>)>> {
    null::add(k)?;
    npfs::add(k)?;
    afd::add(k)?;
    let mut volumes = Vec::new();
    for spec in k.host.volumes() {
        let (device, volume) = hostfs::add_volume(k, &spec)?;
        let letter = spec.drive.to_ascii_uppercase();
        ob::make_link(k, &format!("\\GLOBAL??\\{letter}:"), &device.to_string())?;
        volumes.push((letter, volume));
    }
    Ok(volumes)
}
