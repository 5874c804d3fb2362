//! Every open handle of the machine.

use abi::ex::{SYSTEM_HANDLE_TABLE_ENTRY_INFO, SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX};
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::ob::HandleEntry;
use crate::ob::types::type_index;

/// Calls `visit` with each handle: process id, handle value, entry.
fn for_each(k: &Kernel, mut visit: impl FnMut(u64, u64, &HandleEntry)) {
    for process in k.ps.processes.values() {
        for (handle, entry) in process.handles.open().iter() {
            visit(process.pid, handle, entry);
        }
    }
}

/// `SystemHandleInformation`: process ids and handles are cut to 16 bits.
pub(super) fn list(k: &Kernel) -> Vec<u8> {
    let mut bytes = vec![0u8; 8];
    let mut count = 0u32;
    for_each(k, |pid, handle, entry| {
        count += 1;
        let entry = SYSTEM_HANDLE_TABLE_ENTRY_INFO {
            UniqueProcessId: pid as u16,
            ObjectTypeIndex: type_index(entry.object.object_type().name),
            HandleAttributes: entry.attributes as u8,
            HandleValue: handle as u16,
            Object: entry.object.header().address().0,
            GrantedAccess: entry.access,
            ..Default::default()
        };
        bytes.extend_from_slice(entry.as_bytes());
    });
    put(&mut bytes, &u64::from(count).to_le_bytes());
    bytes
}

/// `SystemExtendedHandleInformation`.
pub(super) fn list_extended(k: &Kernel) -> Vec<u8> {
    let mut bytes = vec![0u8; 16];
    let mut count = 0u64;
    for_each(k, |pid, handle, entry| {
        count += 1;
        let entry = SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX {
            Object: entry.object.header().address().0,
            UniqueProcessId: pid,
            HandleValue: handle,
            GrantedAccess: entry.access,
            ObjectTypeIndex: type_index(entry.object.object_type().name).into(),
            HandleAttributes: entry.attributes,
            ..Default::default()
        };
        bytes.extend_from_slice(entry.as_bytes());
    });
    put(&mut bytes, &count.to_le_bytes());
    bytes
}

/// Overwrites the start.
fn put(bytes: &mut [u8], count: &[u8; 8]) {
    if let Some(head) = bytes.first_chunk_mut::<8>() {
        *head = *count;
    }
}
