//! Address spaces as processes need them: made, given memory by the executive, and taken down.

use abi::NtResult;
use abi::ps::{USER_SHARED_DATA, teb};
use abi::status_table::*;
use guest_mem::{PAGE_SIZE, PageTables, Va};

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::{Process, Thread};

use super::protect::Protection;
use super::region::{FreeKind, Reservation, Reserve};
use super::space::with_space;
use super::vad::{AddressSpace, Content, Limits, Vad};

/// Makes an address space with the kernel's upper half and `KUSER_SHARED_DATA`.
pub fn new_address_space(k: &mut Kernel) -> NtResult<(PageTables, AddressSpace)> {
    let tables =
        PageTables::with_upper_half(&k.ram, &k.mm.kernel_tables).map_err(|_| STATUS_NO_MEMORY)?;
    // Processors keep translations by CR3, and the new root's frame may have been an older one's.
    k.mm.shootdown.everything();
    let mut space = AddressSpace::new(&k.ram, tables.root());
    if let Some(frame) = k.mm.shared_data {
        let range = USER_SHARED_DATA..USER_SHARED_DATA + PAGE_SIZE;
        space.insert(Vad::committed(range, Protection::READ_ONLY, Content::Fixed(frame)))?;
    }
    Ok((tables, space))
}

/// Reserves private memory, and commits it if `commit` says so; returns base and size, rounded.
pub fn allocate(
    k: &mut Kernel,
    process: &Process,
    base: Option<Va>,
    size: u64,
    commit: bool,
    protect: u32,
    zero_bits: u64,
) -> NtResult<(Va, u64)> {
    let limits = Limits::of_zero_bits(zero_bits).ok_or(STATUS_INVALID_PARAMETER_3)?;
    let request = Reserve {
        base: base.map(|base| base.0),
        size,
        limits,
        protect: Protection::new(protect)?,
        state: if commit { Reservation::Committed } else { Reservation::Reserved },
        write_watch: false,
        replace: false,
    };
    let (base, size) = with_space(k, process, |space| space.reserve(&request))?;
    Ok((Va(base), size))
}

/// Pages at the bottom of a stack that guard it: one, and those that are guaranteed for handling an overflow.
pub(super) const STACK_GUARD_PAGES: u64 = 1 + super::fault::GUARANTEED_STACK_PAGES;

/// Makes a stack: its lowest page stays reserved, guard pages follow, and all above is committed, since `ntdll` clears
/// most of a new thread's stack before it is used. Returns the bottom of the region and the stack's limit.
pub fn allocate_stack(k: &mut Kernel, process: &Process, size: u64) -> NtResult<(Va, Va)> {
    let (bottom, size) = allocate(k, process, None, size, false, abi::mm::PAGE_READWRITE, 0)?;
    let limit = bottom.0 + (1 + STACK_GUARD_PAGES) * PAGE_SIZE;
    let read_write = Protection::READ_WRITE;
    let committed = with_space(k, process, |space| {
        space.commit_region(bottom.0 + PAGE_SIZE, size - PAGE_SIZE, read_write)?;
        let guard = super::space::bytes(STACK_GUARD_PAGES);
        space.protect(bottom.0 + PAGE_SIZE, guard, read_write.with_guard())
    });
    if let Err(status) = committed {
        free(k, process, bottom)?;
        return Err(status);
    }
    Ok((bottom, Va(limit)))
}

/// Bytes of user space that are reserved or mapped, and bytes of private memory that are committed.
pub fn usage(process: &Process) -> (u64, u64) {
    let space = process.space.open();
    let reserved = space.iter().map(|vad| vad.end - vad.start).sum();
    let private = space.iter().filter(|vad| matches!(vad.content, Content::Private));
    let committed = private.map(|vad| vad.pages.count(vad.page_range())).sum();
    (reserved, super::space::bytes(committed))
}

/// Where images are mapped, lowest first.
pub fn image_bases(process: &Process) -> Vec<Va> {
    let space = process.space.open();
    let images = space.iter().filter(|vad| matches!(vad.content, Content::Image(_)));
    images.map(|vad| Va(vad.start)).collect()
}

/// Changes the protection of committed pages; returns the old one of the first page.
pub fn protect(
    k: &mut Kernel,
    process: &Process,
    at: Va,
    size: u64,
    protect: u32,
) -> NtResult<u32> {
    let protect = Protection::new(protect)?;
    let (_, _, old) = with_space(k, process, |space| space.protect(at.0, size, protect))?;
    Ok(old.value())
}

/// Releases the private region that starts at an address.
pub fn free(k: &mut Kernel, process: &Process, base: Va) -> NtResult<()> {
    with_space(k, process, |space| space.free(base.0, 0, FreeKind::Release)).map(|_| ())
}

/// Frees TEB and stack of an ended thread: each is a region of its own, made by the executive.
pub fn free_thread_memory(k: &mut Kernel, thread: &ObRef<Thread>) {
    let process = thread.process.clone();
    let mut stack = [0u8; 8];
    let at = Va(thread.teb.0.wrapping_add(teb::DEALLOCATION_STACK));
    let found = super::copy_from(k, &process, at, &mut stack);
    with_space(k, &process, |space| {
        if found.is_ok() {
            release_at(space, u64::from_le_bytes(stack));
        }
        release_at(space, thread.teb.0);
    });
}

/// Releases the private region that starts at an address, if one does: a guest may have freed or moved it itself.
fn release_at(space: &mut super::space::Space<'_>, start: u64) {
    let starts_there = |vad: &Vad| vad.start == start && matches!(vad.content, Content::Private);
    if space.vads.find(start).is_some_and(starts_there) {
        space.remove(start);
    }
}

/// Unmaps and frees everything of an ended process, page tables included, and writes its views back.
pub fn rundown(k: &mut Kernel, process: &Process) {
    let vads = with_space(k, process, |space| space.remove_all());
    for vad in &vads {
        super::view::write_back(k, vad);
    }
    drop(vads);
    k.mm.images.trim();
    k.mm.files.retain(|_, weak| weak.strong_count() > 0);
}
