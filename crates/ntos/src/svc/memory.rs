//! Services of virtual memory: reserve, commit, free, protect.
//!
//! The rules of regions are [`crate::mm::region`]'s; here are the arguments' checks and the handles. Copies, locks and
//! write watches are in [`super::memory_access`], queries in [`super::memory_query`].

use abi::NtResult;
use abi::mm::*;
use abi::ps::PROCESS_VM_OPERATION;
use abi::status_table::*;
use guest_mem::{PAGE_SIZE, Va};
use ntos_macros::service;

use crate::mm::region::{FreeKind, Reservation, Reserve};
use crate::mm::vad::{GRANULARITY, USER_END};
use crate::mm::{Limits, Protection, with_space};
use crate::ob::ObRef;
use crate::ps::Process;

use super::{Handle, InOut, Out, ServiceCx};

crate::flags_arg! {
    /// `AllocationType` of `NtAllocateVirtualMemory`.
    AllocationType {
        MEM_COMMIT = MEM_COMMIT, MEM_RESERVE = MEM_RESERVE,
        MEM_REPLACE_PLACEHOLDER = MEM_REPLACE_PLACEHOLDER,
        MEM_RESERVE_PLACEHOLDER = MEM_RESERVE_PLACEHOLDER, MEM_RESET = MEM_RESET,
        MEM_TOP_DOWN = MEM_TOP_DOWN, MEM_WRITE_WATCH = MEM_WRITE_WATCH,
        MEM_PHYSICAL = MEM_PHYSICAL, MEM_RESET_UNDO = MEM_RESET_UNDO,
        MEM_DIFFERENT_IMAGE_BASE_OK = MEM_DIFFERENT_IMAGE_BASE_OK,
        MEM_LARGE_PAGES = MEM_LARGE_PAGES,
    }
}

crate::flags_arg! {
    /// `FreeType` of `NtFreeVirtualMemory`.
    FreeType {
        MEM_COALESCE_PLACEHOLDERS = MEM_COALESCE_PLACEHOLDERS,
        MEM_PRESERVE_PLACEHOLDER = MEM_PRESERVE_PLACEHOLDER, MEM_DECOMMIT = MEM_DECOMMIT,
        MEM_RELEASE = MEM_RELEASE,
    }
}

crate::flags_arg! {
    /// `PAGE_*`.
    PageProtection {
        PAGE_NOACCESS = PAGE_NOACCESS, PAGE_READONLY = PAGE_READONLY,
        PAGE_READWRITE = PAGE_READWRITE, PAGE_WRITECOPY = PAGE_WRITECOPY,
        PAGE_EXECUTE = PAGE_EXECUTE, PAGE_EXECUTE_READ = PAGE_EXECUTE_READ,
        PAGE_EXECUTE_READWRITE = PAGE_EXECUTE_READWRITE,
        PAGE_EXECUTE_WRITECOPY = PAGE_EXECUTE_WRITECOPY, PAGE_GUARD = PAGE_GUARD,
        PAGE_NOCACHE = PAGE_NOCACHE, PAGE_WRITECOMBINE = PAGE_WRITECOMBINE,
    }
}

/// What both forms of allocation ask for.
struct Allocation {
    base: u64,
    size: u64,
    kind: u32,
    protect: u32,
    limits: Limits,
}

/// Reserves memory, commits it, or both.
///
/// Requires `PROCESS_VM_OPERATION`. Reservations start at 64 KiB boundaries; a commitment stays in one region
/// (`STATUS_CONFLICTING_ADDRESSES`). `MEM_RESET` and `MEM_RESET_UNDO` keep the contents, which their contract allows.
#[service(Partial("MEM_PHYSICAL and MEM_LARGE_PAGES are refused"))]
pub(super) fn nt_allocate_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    zero_bits: u64,
    region_size: InOut<u64>,
    allocation_type: AllocationType,
    page_protection: PageProtection,
) -> NtResult {
    let mut limits = Limits::of_zero_bits(zero_bits).ok_or(STATUS_INVALID_PARAMETER_3)?;
    limits.top_down = allocation_type.0 & MEM_TOP_DOWN != 0;
    let plain = MEM_COMMIT
        | MEM_RESERVE
        | MEM_RESET
        | MEM_RESET_UNDO
        | MEM_TOP_DOWN
        | MEM_WRITE_WATCH
        | MEM_PHYSICAL
        | MEM_LARGE_PAGES;
    if allocation_type.0 & !plain != 0 {
        return Err(STATUS_INVALID_PARAMETER_5);
    }
    allocate(cx, process_handle, base_address, region_size, |base, size| Allocation {
        base,
        size,
        kind: allocation_type.0,
        protect: page_protection.0,
        limits,
    })
}

/// [`nt_allocate_virtual_memory`] with placeholders, address requirements and alignment.
#[service(Partial("MEM_PHYSICAL and MEM_LARGE_PAGES are refused"))]
pub(super) fn nt_allocate_virtual_memory_ex(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    allocation_type: AllocationType,
    page_protection: PageProtection,
    extended_parameters: Va,
    extended_parameter_count: u32,
) -> NtResult {
    let base = base_address.read(cx)?;
    let mut limits = extended_limits(cx, extended_parameters, extended_parameter_count, base)?;
    limits.top_down = allocation_type.0 & MEM_TOP_DOWN != 0;
    let valid = MEM_COMMIT
        | MEM_RESERVE
        | MEM_REPLACE_PLACEHOLDER
        | MEM_RESERVE_PLACEHOLDER
        | MEM_RESET
        | MEM_RESET_UNDO
        | MEM_TOP_DOWN
        | MEM_WRITE_WATCH
        | MEM_PHYSICAL
        | MEM_LARGE_PAGES;
    if allocation_type.0 & !valid != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    allocate(cx, process_handle, base_address, region_size, |base, size| Allocation {
        base,
        size,
        kind: allocation_type.0,
        protect: page_protection.0,
        limits,
    })
}

fn allocate(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    request: impl FnOnce(u64, u64) -> Allocation,
) -> NtResult {
    let request = request(base_address.read(cx)?, region_size.read(cx)?);
    cx.probe_write(base_address.at, 8)?;
    cx.probe_write(region_size.at, 8)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    let (base, size) = allocate_in(cx, &process, &request)?;
    base_address.write(cx, &base)?;
    region_size.write(cx, &size)?;
    Ok(STATUS_SUCCESS)
}

fn allocate_in(
    cx: &mut ServiceCx<'_>,
    process: &ObRef<Process>,
    request: &Allocation,
) -> NtResult<(u64, u64)> {
    let Allocation { base, size, kind, limits, .. } = *request;
    let has = |bit: u32| kind & bit != 0;
    let is_reset = has(MEM_RESET) || has(MEM_RESET_UNDO);
    let action = kind & (MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO);
    if action == 0 || (is_reset && (action.count_ones() != 1 || kind & !MEM_TOP_DOWN != action)) {
        return Err(STATUS_INVALID_PARAMETER_5);
    }
    if (has(MEM_WRITE_WATCH) || has(MEM_PHYSICAL) || has(MEM_REPLACE_PLACEHOLDER))
        && !has(MEM_RESERVE)
    {
        return Err(STATUS_INVALID_PARAMETER_5);
    }
    let protect = Protection::new(request.protect)?;
    if protect.is_write_copy() {
        return Err(STATUS_INVALID_PAGE_PROTECTION);
    }
    if base >= USER_END {
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    if size == 0 || size > USER_END - base {
        return Err(STATUS_INVALID_PARAMETER_4);
    }
    if has(MEM_LARGE_PAGES) {
        // Nobody holds SeLockMemoryPrivilege here.
        return Err(STATUS_PRIVILEGE_NOT_HELD);
    }
    if has(MEM_PHYSICAL) {
        cx.k.notice_once("address windowing extensions (MEM_PHYSICAL) are not implemented".into());
        return Err(STATUS_NOT_IMPLEMENTED);
    }
    if process.is_exiting() && cx.thread.process.pid != process.pid {
        return Err(STATUS_PROCESS_IS_TERMINATING);
    }
    if is_reset {
        return with_space(cx.k, process, |space| {
            let vad = space.vads.find(base).ok_or(STATUS_CONFLICTING_ADDRESSES)?;
            let start = Va(base).page().0;
            let end = base.saturating_add(size).next_multiple_of(PAGE_SIZE);
            if end > vad.end { Err(STATUS_CONFLICTING_ADDRESSES) } else { Ok((start, end - start)) }
        });
    }
    if base != 0 && !has(MEM_RESERVE) {
        return with_space(cx.k, process, |space| space.commit_pages(base, size, protect));
    }
    let state = if has(MEM_COMMIT) {
        Reservation::Committed
    } else if has(MEM_RESERVE_PLACEHOLDER) {
        if request.protect != PAGE_NOACCESS {
            return Err(STATUS_INVALID_PAGE_PROTECTION);
        }
        Reservation::Placeholder
    } else {
        Reservation::Reserved
    };
    let reserve = Reserve {
        base: (base != 0).then_some(base),
        size,
        limits,
        protect,
        state,
        write_watch: has(MEM_WRITE_WATCH),
        replace: has(MEM_REPLACE_PLACEHOLDER),
    };
    with_space(cx.k, process, |space| space.reserve(&reserve))
}

/// Reads the extended parameters that say where a region may go.
pub(super) fn extended_limits(
    cx: &mut ServiceCx<'_>,
    at: Va,
    count: u32,
    base: u64,
) -> NtResult<Limits> {
    let mut limits = Limits::default();
    let mut seen = 0u64;
    for index in 0..u64::from(count) {
        if index >= 8 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let parameter: MEM_EXTENDED_PARAMETER = cx.read(Va(at.0.wrapping_add(index * 16)))?;
        let kind = parameter.Type & 0xFF;
        if kind == 0 || kind > 6 || parameter.Type >> 8 != 0 || seen & (1 << kind) != 0 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        seen |= 1 << kind;
        match kind {
            MEM_EXTENDED_PARAMETER_ADDRESS_REQUIREMENTS => {
                let wanted: MEM_ADDRESS_REQUIREMENTS = cx.read(Va(parameter.Value))?;
                limits = required(&wanted, base)?;
            }
            // One node, and machine and attributes say nothing that matters on one.
            MEM_EXTENDED_PARAMETER_NUMA_NODE
            | MEM_EXTENDED_PARAMETER_ATTRIBUTE_FLAGS
            | MEM_EXTENDED_PARAMETER_IMAGE_MACHINE => {}
            _ => return Err(STATUS_NOT_SUPPORTED),
        }
    }
    Ok(limits)
}

fn required(wanted: &MEM_ADDRESS_REQUIREMENTS, base: u64) -> NtResult<Limits> {
    let alignment = match wanted.Alignment {
        0 => GRANULARITY,
        alignment if alignment.is_power_of_two() && alignment >= GRANULARITY => alignment,
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    let lowest = wanted.LowestStartingAddress;
    let end = match wanted.HighestEndingAddress {
        0 => USER_END,
        highest => highest.saturating_add(1),
    };
    let aligned = lowest.is_multiple_of(GRANULARITY) && end.is_multiple_of(GRANULARITY);
    if base != 0 || !aligned || end > USER_END || lowest >= end {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok(Limits { lowest, end, alignment, top_down: false })
}

/// Decommits pages or releases a region or a part of it.
///
/// Requires `PROCESS_VM_OPERATION`. Size 0 means the whole region and needs its base
/// (`STATUS_FREE_VM_NOT_AT_BASE`); nothing there is `STATUS_MEMORY_NOT_ALLOCATED`, a range beyond the region
/// `STATUS_UNABLE_TO_FREE_VM`, a view `STATUS_UNABLE_TO_DELETE_SECTION`.
#[service]
pub(super) fn nt_free_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    free_type: FreeType,
) -> NtResult {
    let kind = match free_type.0 {
        MEM_DECOMMIT => FreeKind::Decommit,
        MEM_RELEASE => FreeKind::Release,
        f if f == MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER => FreeKind::ToPlaceholder,
        f if f == MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS => FreeKind::Coalesce,
        _ => return Err(STATUS_INVALID_PARAMETER_4),
    };
    let (base, size) = (base_address.read(cx)?, region_size.read(cx)?);
    if base >= USER_END {
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    if size > USER_END - base {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    cx.probe_write(base_address.at, 8)?;
    cx.probe_write(region_size.at, 8)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    let (base, size) = with_space(cx.k, &process, |space| space.free(base, size, kind))?;
    // The caller's variables may have lain in what is free now; the memory is gone all the same.
    let _ = base_address.write(cx, &base);
    let _ = region_size.write(cx, &size);
    Ok(STATUS_SUCCESS)
}

/// Changes the protection of committed pages of one region and reports the first page's old one.
///
/// Requires `PROCESS_VM_OPERATION`. Base and size need no alignment. `STATUS_NOT_COMMITTED` if a page is not
/// committed, `STATUS_CONFLICTING_ADDRESSES` if the range leaves the region, `STATUS_SECTION_PROTECTION` if the view
/// does not allow it.
#[service]
pub(super) fn nt_protect_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    new_protection: PageProtection,
    old_protection: Out<u32>,
) -> NtResult {
    let protect = Protection::new(new_protection.0)?;
    let (base, size) = (base_address.read(cx)?, region_size.read(cx)?);
    if base >= USER_END {
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    if size == 0 || size > USER_END - base {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    cx.probe_write(base_address.at, 8)?;
    cx.probe_write(region_size.at, 8)?;
    old_protection.probe(cx)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    let (base, size, old) = with_space(cx.k, &process, |space| space.protect(base, size, protect))?;
    // The pages that hold these may be the ones that were just made read-only: NT stores what it can.
    let _ = base_address.write(cx, &base);
    let _ = region_size.write(cx, &size);
    let _ = old_protection.write(cx, &old.value());
    Ok(STATUS_SUCCESS)
}

crate::service_table! {
    SERVICES:
    nt_allocate_virtual_memory, nt_allocate_virtual_memory_ex, nt_free_virtual_memory,
    nt_protect_virtual_memory,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestMachine, in_out, out};
    use abi::ps::teb;

    const CURRENT: Handle = Handle::CURRENT_PROCESS;

    fn allocate(machine: &TestMachine, base: u64, size: u64, kind: u32, protect: u32) -> NtResult {
        machine.put(0, &base);
        machine.put(8, &size);
        machine.with(|cx| {
            let (kind, protect) = (AllocationType(kind), PageProtection(protect));
            nt_allocate_virtual_memory(cx, CURRENT, in_out(0), 0, in_out(8), kind, protect)
        })
    }

    fn free(machine: &TestMachine, base: u64, size: u64, kind: u32) -> NtResult {
        machine.put(0, &base);
        machine.put(8, &size);
        machine.with(|cx| nt_free_virtual_memory(cx, CURRENT, in_out(0), in_out(8), FreeType(kind)))
    }

    #[test]
    fn allocation_rounds_and_checks_as_nt_does() {
        let machine = TestMachine::new();
        let both = MEM_COMMIT | MEM_RESERVE;
        assert_eq!(allocate(&machine, 0, 0x9930, MEM_COMMIT, PAGE_READWRITE), Ok(STATUS_SUCCESS));
        let (base, size) = (machine.get::<u64>(0), machine.get::<u64>(8));
        assert!(base.is_multiple_of(GRANULARITY) && base >= 1 << 32);
        assert_eq!(size, 0xA000);
        machine.with(|cx| cx.write(Va(base + 0x9FF8), &5u64)).unwrap();
        let again = allocate(&machine, base + 0x1234, 0x1000, both, PAGE_READWRITE);
        assert_eq!(again, Err(STATUS_CONFLICTING_ADDRESSES));
        for (base, size, kind, protect, status) in [
            (0, 0x1000, 0, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5),
            (0, 0x1000, MEM_RESET | MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5),
            (0, 0x1000, MEM_RESERVE_PLACEHOLDER | MEM_RESERVE, 1, STATUS_INVALID_PARAMETER_5),
            (0, 0x1000, MEM_COMMIT, 0, STATUS_INVALID_PAGE_PROTECTION),
            (0, 0x1000, MEM_COMMIT, PAGE_WRITECOPY, STATUS_INVALID_PAGE_PROTECTION),
            (0, 0, MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4),
            (0, u64::MAX, MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4),
            (u64::MAX, 1, MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2),
            (1, 0x1000, both, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2),
            (0x5000_0000, 1, MEM_COMMIT, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES),
            (0, 1, both | MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_PRIVILEGE_NOT_HELD),
        ] {
            let found = allocate(&machine, base, size, kind, protect);
            assert_eq!(found, Err(status), "{base:#x} {size:#x} {kind:#x} {protect:#x}");
        }
        assert_eq!(
            free(&machine, base, 0, MEM_RELEASE | MEM_DECOMMIT),
            Err(STATUS_INVALID_PARAMETER_4)
        );
        assert_eq!(free(&machine, base, 0, MEM_RELEASE), Ok(STATUS_SUCCESS));
        assert_eq!((machine.get::<u64>(0), machine.get::<u64>(8)), (base, 0xA000));
        assert_eq!(free(&machine, base, 0, MEM_RELEASE), Err(STATUS_MEMORY_NOT_ALLOCATED));
        let read = machine.with(|cx| cx.read::<u64>(Va(base)));
        assert_eq!(read, Err(STATUS_ACCESS_VIOLATION));
    }

    #[test]
    fn a_given_base_is_rounded_down() {
        let machine = TestMachine::new();
        let kind = MEM_COMMIT | MEM_RESERVE;
        let placed = allocate(&machine, 0xC0_0000_1234, 0x1000, kind, PAGE_READWRITE);
        assert_eq!(placed, Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<u64>(0), 0xC0_0000_0000);
        assert_eq!(machine.get::<u64>(8), 0x3000, "up to the end of the last page asked for");
    }

    #[test]
    fn protection_gives_the_old_one_and_rounds() {
        let machine = TestMachine::new();
        allocate(&machine, 0, 0x3000, MEM_COMMIT, PAGE_READWRITE).unwrap();
        let base = machine.get::<u64>(0);
        machine.put(0, &(base + 0xFF8));
        machine.put(8, &0x10u64);
        let status = machine.with(|cx| {
            let protect = PageProtection(PAGE_EXECUTE_READ);
            nt_protect_virtual_memory(cx, CURRENT, in_out(0), in_out(8), protect, out(16))
        });
        assert_eq!(status, Ok(STATUS_SUCCESS));
        assert_eq!((machine.get::<u64>(0), machine.get::<u64>(8)), (base, 0x2000));
        assert_eq!(machine.get::<u32>(16), PAGE_READWRITE);
        assert!(machine.with(|cx| cx.write(Va(base), &1u8)).is_err());
        assert!(machine.with(|cx| cx.write(Va(base + 0x2000), &1u8)).is_ok());
    }

    #[test]
    fn the_stack_grows_to_its_end_and_overflows_there() {
        let machine = TestMachine::new();
        let teb = {
            allocate(&machine, 0, 0x1_0000, MEM_COMMIT, PAGE_READWRITE).unwrap();
            machine.get::<u64>(0)
        };
        allocate(&machine, 0, 0x1_0000, MEM_RESERVE, PAGE_READWRITE).unwrap();
        let bottom = machine.get::<u64>(0);
        let top = bottom + 0x1_0000;
        machine.with(|cx| {
            cx.write(Va(teb + teb::STACK_BASE), &top).unwrap();
            cx.write(Va(teb + teb::STACK_LIMIT), &(top - 0x1000)).unwrap();
            cx.write(Va(teb + teb::DEALLOCATION_STACK), &bottom).unwrap();
        });
        allocate(&machine, top - 0x1000, 0x1000, MEM_COMMIT, PAGE_READWRITE).unwrap();
        allocate(&machine, top - 0x4000, 0x3000, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD).unwrap();
        let body = crate::ps::Thread::new(
            99,
            machine.process.clone(),
            Va(teb),
            Va(0),
            Default::default(),
            8,
        );
        machine.executive.with(|k| {
            let thread = crate::ob::create(k, body).unwrap();
            thread.sched.open().state = crate::ke::sched::ThreadState::Running;
            machine.process.state.open().threads = vec![thread];
        });
        let touch = |at: u64| machine.with(|cx| cx.write(Va(at), &1u8));
        for page in (bottom + 0x4000..top).step_by(0x1000).collect::<Vec<_>>().into_iter().rev() {
            assert_eq!(touch(page), Ok(()), "{page:#x}");
            let limit = machine.with(|cx| cx.read::<u64>(Va(teb + teb::STACK_LIMIT))).unwrap();
            assert_eq!(limit, page);
        }
        assert_eq!(touch(bottom + 0x3000), Err(STATUS_STACK_OVERFLOW));
        for page in [0x3000, 0x2000, 0x1000] {
            assert_eq!(touch(bottom + page), Ok(()), "the last pages serve the handler");
        }
        assert_eq!(touch(bottom), Err(STATUS_ACCESS_VIOLATION));
    }
}
