//! Copies between the executive and user space, faulting pages in.

use abi::NtResult;
use guest_mem::{Access, PAGE_SIZE, Privilege, Va, walk};

use crate::Kernel;
use crate::ps::Process;

use super::fault::resolve_fault;

/// Calls `visit(physical address, offset in the range, length)` for each piece of a range, faulting pages in.
fn for_each_piece(
    k: &mut Kernel,
    process: &Process,
    at: Va,
    len: usize,
    access: Access,
    mut visit: impl FnMut(&guest_mem::GuestRam, guest_mem::Pa, usize, usize),
) -> NtResult<()> {
    let ram = k.ram.clone();
    let mut done = 0usize;
    while done < len {
        let va = Va(at.0.wrapping_add(done as u64));
        let piece = (len - done).min((PAGE_SIZE - va.offset()) as usize);
        let mapping = loop {
            match walk(&ram, process.tables.root(), va, access, Privilege::Supervisor) {
                Ok(mapping) => break mapping,
                Err(fault) => resolve_fault(k, process, fault, access)?,
            }
        };
        visit(&ram, mapping.pfn.at(va.offset()), done, piece);
        done += piece;
    }
    Ok(())
}

/// Reads from a process's memory; `STATUS_ACCESS_VIOLATION` where it cannot be read.
pub fn copy_from(k: &mut Kernel, process: &Process, at: Va, into: &mut [u8]) -> NtResult<()> {
    let len = into.len();
    for_each_piece(k, process, at, len, Access::Read, |ram, pa, offset, piece| {
        if let Some(part) = into.get_mut(offset..offset + piece) {
            ram.read(pa, part);
        }
    })
}

/// Writes to a process's memory; bytes before the failing page are written.
pub fn copy_to(k: &mut Kernel, process: &Process, at: Va, from: &[u8]) -> NtResult<()> {
    for_each_piece(k, process, at, from.len(), Access::Write, |ram, pa, offset, piece| {
        if let Some(part) = from.get(offset..offset + piece) {
            ram.write(pa, part);
        }
    })
}

/// Fails if a range could not be written.
pub fn probe_write(k: &mut Kernel, process: &Process, at: Va, len: usize) -> NtResult<()> {
    for_each_piece(k, process, at, len, Access::Write, |_, _, _, _| {})
}

/// Reads as much of a range as can be read and returns how much that was.
pub fn copy_prefix(k: &mut Kernel, process: &Process, at: Va, into: &mut [u8]) -> usize {
    let mut got = 0;
    let _ = for_each_piece(k, process, at, into.len(), Access::Read, |ram, pa, offset, piece| {
        if let Some(part) = into.get_mut(offset..offset + piece) {
            ram.read(pa, part);
            got = offset + piece;
        }
    });
    got
}
