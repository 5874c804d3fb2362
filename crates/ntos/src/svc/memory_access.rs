//! Services about the contents and residency of memory: copies between processes, flushing, locks, write watches,
//! advice.

use abi::NtResult;
use abi::mm::*;
use abi::ob::IO_STATUS_BLOCK;
use abi::ps::{PROCESS_SET_INFORMATION, PROCESS_VM_OPERATION, PROCESS_VM_READ, PROCESS_VM_WRITE};
use abi::status_table::*;
use guest_mem::{PAGE_SIZE, Va};
use ntos_macros::service;

use crate::mm::vad::USER_END;
use crate::mm::{self, with_space};
use crate::ob::ObRef;
use crate::ps::Process;

use super::{Handle, InOut, Out, ServiceCx};

/// Bytes copied between two processes in one step.
const COPY_STEP: u64 = PAGE_SIZE;

/// Copies from another process's memory.
///
/// Requires `PROCESS_VM_READ`. Stops at the first page that cannot be read: `STATUS_PARTIAL_COPY`, with the count.
#[service]
pub(super) fn nt_read_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: Va,
    buffer: Va,
    number_of_bytes_to_read: u64,
    number_of_bytes_read: Option<Out<u64>>,
) -> NtResult {
    let wanted = number_of_bytes_to_read;
    check_copy(cx, base_address, buffer, wanted, number_of_bytes_read)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_READ)?;
    let mut done = 0;
    let mut status = STATUS_SUCCESS;
    let mut bytes = [0u8; COPY_STEP as usize];
    while done < wanted {
        let from = Va(base_address.0 + done);
        let step = (COPY_STEP - from.offset()).min(wanted - done) as usize;
        let Some(part) = bytes.get_mut(..step) else { break };
        let got = mm::copy_prefix(cx.k, &process, from, part);
        let Some(part) = bytes.get(..got) else { break };
        if cx.write_bytes(Va(buffer.0 + done), part).is_err() {
            status = STATUS_PARTIAL_COPY;
            break;
        }
        done += got as u64;
        if got < step {
            status = STATUS_PARTIAL_COPY;
            break;
        }
    }
    finish_copy(cx, number_of_bytes_read, done, status)
}

/// Copies into another process's memory. Protections count: a read-only page is not written.
///
/// Requires `PROCESS_VM_WRITE`. Stops at the first page that cannot be written: `STATUS_PARTIAL_COPY`, with the count.
#[service]
pub(super) fn nt_write_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: Va,
    buffer: Va,
    number_of_bytes_to_write: u64,
    number_of_bytes_written: Option<Out<u64>>,
) -> NtResult {
    let wanted = number_of_bytes_to_write;
    check_copy(cx, base_address, buffer, wanted, number_of_bytes_written)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_WRITE)?;
    let mut done = 0;
    let mut status = STATUS_SUCCESS;
    let mut bytes = [0u8; COPY_STEP as usize];
    while done < wanted {
        let to = Va(base_address.0 + done);
        let step = (COPY_STEP - to.offset()).min(wanted - done) as usize;
        let Some(part) = bytes.get_mut(..step) else { break };
        let copied = cx
            .read_bytes(Va(buffer.0 + done), part)
            .and_then(|()| mm::copy_to(cx.k, &process, to, part));
        if copied.is_err() {
            status = STATUS_PARTIAL_COPY;
            break;
        }
        done += step as u64;
    }
    finish_copy(cx, number_of_bytes_written, done, status)
}

fn check_copy(
    cx: &mut ServiceCx<'_>,
    there: Va,
    here: Va,
    len: u64,
    count: Option<Out<u64>>,
) -> NtResult<()> {
    let fits = |at: Va| at.0.checked_add(len).is_some_and(|end| end <= USER_END);
    if !fits(there) || !fits(here) {
        return Err(STATUS_ACCESS_VIOLATION);
    }
    match count {
        Some(count) => count.probe(cx),
        None => Ok(()),
    }
}

fn finish_copy(
    cx: &mut ServiceCx<'_>,
    count: Option<Out<u64>>,
    done: u64,
    status: abi::NtStatus,
) -> NtResult {
    if let Some(count) = count {
        count.write(cx, &done)?;
    }
    status.into_result()
}

/// Makes pages resident and keeps them so, which they are here anyway.
///
/// Requires `PROCESS_VM_OPERATION`. `STATUS_WAS_LOCKED` if some page was locked already.
#[service]
pub(super) fn nt_lock_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    map_type: u32,
) -> NtResult {
    let (process, base, size) = locking(cx, process_handle, base_address, region_size, map_type)?;
    let (base, size, was_locked) = with_space(cx.k, &process, |space| space.lock(base, size))?;
    base_address.write(cx, &base)?;
    region_size.write(cx, &size)?;
    Ok(if was_locked { STATUS_WAS_LOCKED } else { STATUS_SUCCESS })
}

/// Undoes [`nt_lock_virtual_memory`]; `STATUS_NOT_LOCKED` unless all pages are locked.
#[service]
pub(super) fn nt_unlock_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    map_type: u32,
) -> NtResult {
    let (process, base, size) = locking(cx, process_handle, base_address, region_size, map_type)?;
    let (base, size) = with_space(cx.k, &process, |space| space.unlock(base, size))?;
    base_address.write(cx, &base)?;
    region_size.write(cx, &size)?;
    Ok(STATUS_SUCCESS)
}

fn locking(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    map_type: u32,
) -> NtResult<(ObRef<Process>, u64, u64)> {
    if map_type == 0 || map_type & !(MAP_PROCESS | MAP_SYSTEM) != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let (base, size) = (base_address.read(cx)?, region_size.read(cx)?);
    if base >= USER_END {
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    if size == 0 || size > USER_END - base {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    if map_type & MAP_SYSTEM != 0 {
        return Err(STATUS_PRIVILEGE_NOT_HELD);
    }
    Ok((process, base, size))
}

/// Writes the dirty pages of a mapped file back to it.
///
/// Requires `PROCESS_VM_OPERATION`. Size 0 means to the end of the view. `STATUS_NOT_MAPPED_VIEW` where nothing is
/// mapped, `STATUS_NOT_MAPPED_DATA` for other memory.
#[service]
pub(super) fn nt_flush_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: InOut<u64>,
    region_size: InOut<u64>,
    io_status: Option<Out<IO_STATUS_BLOCK>>,
) -> NtResult {
    let (base, size) = (base_address.read(cx)?, region_size.read(cx)?);
    if base >= USER_END {
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    if size > USER_END - base {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    let (base, size) = mm::cache::flush_view(cx.k, &process, base, size)?;
    base_address.write(cx, &base)?;
    region_size.write(cx, &size)?;
    let block = IO_STATUS_BLOCK { Information: size, ..IO_STATUS_BLOCK::default() };
    // The userland's kernelbase gives none.
    if let Some(out) = io_status {
        out.write(cx, &block)?;
    }
    Ok(STATUS_SUCCESS)
}

/// Makes processors forget instructions they have decoded: they notice every write by themselves here.
///
/// Requires `PROCESS_VM_WRITE`.
#[service]
pub(super) fn nt_flush_instruction_cache(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: Va,
    _length: u64,
) -> NtResult {
    cx.reference::<Process>(process_handle, PROCESS_VM_WRITE)?;
    if base_address.0 >= USER_END {
        return Err(STATUS_ACCESS_VIOLATION);
    }
    Ok(STATUS_SUCCESS)
}

/// Orders the writes of all processors of the process: guest memory is ordered already.
#[service]
pub(super) fn nt_flush_process_write_buffers(_cx: &mut ServiceCx<'_>) -> NtResult {
    Ok(STATUS_SUCCESS)
}

/// Lists the pages of a write-watched range that were written, and forgets them if asked to.
///
/// Requires `PROCESS_VM_OPERATION`; the range lies in a region made with `MEM_WRITE_WATCH`.
#[service]
pub(super) fn nt_get_write_watch(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    flags: u32,
    base_address: Va,
    region_size: u64,
    user_address_array: Va,
    entries_in_user_address_array: InOut<u64>,
    granularity: Out<u32>,
) -> NtResult {
    if flags & !WRITE_WATCH_FLAG_RESET != 0 {
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    let capacity = entries_in_user_address_array.read(cx)?;
    if capacity == 0 || region_size == 0 {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    let most = capacity.min(region_size.div_ceil(PAGE_SIZE) + 1);
    let most = usize::try_from(most).map_err(|_| STATUS_INVALID_PARAMETER_3)?;
    cx.probe_write(entries_in_user_address_array.at, 8)?;
    granularity.probe(cx)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    let reset = flags & WRITE_WATCH_FLAG_RESET != 0;
    let pages = with_space(cx.k, &process, |space| {
        space.written_pages(base_address.0, region_size, most, reset)
    })?;
    let bytes: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
    cx.write_bytes(user_address_array, &bytes)?;
    entries_in_user_address_array.write(cx, &(pages.len() as u64))?;
    granularity.write(cx, &(PAGE_SIZE as u32))?;
    Ok(STATUS_SUCCESS)
}

/// Forgets what was written to a write-watched range. Requires `PROCESS_VM_OPERATION`.
#[service]
pub(super) fn nt_reset_write_watch(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: Va,
    region_size: u64,
) -> NtResult {
    if region_size == 0 {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    with_space(cx.k, &process, |space| {
        space.written_pages(base_address.0, region_size, usize::MAX, true)
    })?;
    Ok(STATUS_SUCCESS)
}

crate::enum_arg! {
    /// `VIRTUAL_MEMORY_INFORMATION_CLASS`.
    VirtualMemoryClass {
        VmPrefetchInformation = 0, VmPagePriorityInformation = 1, VmCfgCallTargetInformation = 2,
        VmPageDirtyStateInformation = 3, VmImageHotPatchInformation = 4,
    }
}

/// Gives the memory manager advice about ranges of memory.
///
/// Requires `PROCESS_SET_INFORMATION`. Prefetching is advice that memory which is never paged out has no use for.
#[service(Partial("VmPrefetchInformation alone"))]
pub(super) fn nt_set_information_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    vm_information_class: VirtualMemoryClass,
    number_of_entries: u64,
    virtual_addresses: Va,
    vm_information: Va,
    vm_information_length: u32,
) -> NtResult {
    if vm_information_class.0 != VirtualMemoryClass::VmPrefetchInformation {
        let class = vm_information_class.0;
        cx.k.notice_once(format!("NtSetInformationVirtualMemory class {class} is not implemented"));
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    if number_of_entries == 0 || number_of_entries > 0x1_0000 {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    if vm_information_length != 4 {
        return Err(STATUS_INVALID_PARAMETER_6);
    }
    if cx.read::<u32>(vm_information)? != 0 {
        return Err(STATUS_INVALID_PARAMETER_5);
    }
    cx.reference::<Process>(process_handle, PROCESS_SET_INFORMATION)?;
    for index in 0..number_of_entries {
        let range: MEMORY_RANGE_ENTRY =
            cx.read(Va(virtual_addresses.0.wrapping_add(index * 16)))?;
        let is_user = range.VirtualAddress.checked_add(range.NumberOfBytes);
        if range.NumberOfBytes == 0 || is_user.is_none_or(|end| end > USER_END) {
            return Err(STATUS_INVALID_PARAMETER_4);
        }
    }
    Ok(STATUS_SUCCESS)
}

crate::service_table! {
    SERVICES:
    nt_read_virtual_memory, nt_write_virtual_memory, nt_lock_virtual_memory,
    nt_unlock_virtual_memory, nt_flush_virtual_memory, nt_flush_instruction_cache,
    nt_flush_process_write_buffers, nt_get_write_watch, nt_reset_write_watch,
    nt_set_information_virtual_memory,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA, TestMachine, out};

    const CURRENT: Handle = Handle::CURRENT_PROCESS;

    #[test]
    fn copies_stop_where_memory_does() {
        let machine = TestMachine::new();
        let process = machine.process.clone();
        let base = machine
            .with(|cx| mm::allocate(cx.k, &process, None, 0x2000, true, PAGE_READWRITE, 0))
            .unwrap()
            .0
            .0;
        machine.with(|cx| cx.write(Va(base + 0x1FF8), &0x1122u64)).unwrap();
        let read = |at: u64, len| {
            machine.with(|cx| {
                let into = Va(DATA + 0x100);
                nt_read_virtual_memory(cx, CURRENT, Va(at), into, len, Some(out(16)))
            })
        };
        assert_eq!(read(base + 0x1FF8, 8), Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<u64>(0x100), 0x1122);
        assert_eq!(read(base + 0x1FF8, 16), Err(STATUS_PARTIAL_COPY));
        assert_eq!(machine.get::<u64>(16), 8);
        assert_eq!(read(u64::MAX - 4, 16), Err(STATUS_ACCESS_VIOLATION));
        let written = machine.with(|cx| {
            let from = Va(DATA + 0x100);
            nt_write_virtual_memory(cx, CURRENT, Va(base + 0x1FF0), from, 32, Some(out(16)))
        });
        assert_eq!(written, Err(STATUS_PARTIAL_COPY));
        assert_eq!(machine.get::<u64>(16), 16);
    }
}
