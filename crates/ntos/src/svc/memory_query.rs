//! `NtQueryVirtualMemory` and `NtAreMappedFilesTheSame`.
//!
//! What an address space says of itself is [`crate::mm::query`]'s; here are the classes, their lengths and handles.

use abi::NtResult;
use abi::mm::*;
use abi::ob::UNICODE_STRING;
use abi::ps::PROCESS_QUERY_INFORMATION;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::mm::vad::{Content, USER_END};
use crate::mm::{self, with_space};
use crate::ob::ObRef;
use crate::ps::Process;

use super::{Handle, Out, ServiceCx};

crate::enum_arg! {
    /// `MEMORY_INFORMATION_CLASS`.
    MemoryInfoClass {
        MemoryBasicInformation = 0, MemoryWorkingSetInformation = 1,
        MemoryMappedFilenameInformation = 2, MemoryRegionInformation = 3,
        MemoryWorkingSetExInformation = 4, MemorySharedCommitInformation = 5,
        MemoryImageInformation = 6, MemoryRegionInformationEx = 7,
        MemoryPrivilegedBasicInformation = 8, MemoryEnclaveImageInformation = 9,
        MemoryBasicInformationCapped = 10, MemoryWineUnixFuncs = 1000,
        MemoryWineUnixWow64Funcs = 1001,
    }
}

use MemoryInfoClass as C;

/// One query: where the answer goes and how long it may be.
struct Query {
    process: ObRef<Process>,
    at: Va,
    buffer: Va,
    length: u64,
    return_length: Option<Out<u64>>,
}

impl Query {
    /// Writes the first `length` bytes of a structure.
    fn answer(&self, cx: &mut ServiceCx<'_>, bytes: &[u8]) -> NtResult {
        cx.write_bytes(self.buffer, bytes)?;
        self.returned(cx, bytes.len() as u64)?;
        Ok(STATUS_SUCCESS)
    }

    fn returned(&self, cx: &mut ServiceCx<'_>, length: u64) -> NtResult<()> {
        match self.return_length {
            Some(out) => out.write(cx, &length),
            None => Ok(()),
        }
    }

    fn require(&self, length: usize) -> NtResult<()> {
        if self.length < length as u64 { Err(STATUS_INFO_LENGTH_MISMATCH) } else { Ok(()) }
    }
}

/// Tells what lies at an address: state, protection and kind of its region, the file behind it, residency.
///
/// Requires `PROCESS_QUERY_INFORMATION`. An address outside of user space is `STATUS_INVALID_PARAMETER`.
#[service(Partial(
    "MemoryWorkingSetInformation, MemorySharedCommitInformation and enclave classes"
))]
pub(super) fn nt_query_virtual_memory(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: Va,
    memory_information_class: MemoryInfoClass,
    memory_information: Va,
    memory_information_length: u64,
    return_length: Option<Out<u64>>,
) -> NtResult {
    let process = cx.reference::<Process>(process_handle, PROCESS_QUERY_INFORMATION)?;
    let query = Query {
        process,
        at: base_address,
        buffer: memory_information,
        length: memory_information_length,
        return_length,
    };
    match memory_information_class.0 {
        C::MemoryBasicInformation
        | C::MemoryPrivilegedBasicInformation
        | C::MemoryBasicInformationCapped => basic(cx, &query),
        C::MemoryMappedFilenameInformation => mapped_file_name(cx, &query),
        C::MemoryRegionInformation | C::MemoryRegionInformationEx => region(cx, &query),
        C::MemoryWorkingSetExInformation => working_set_ex(cx, &query),
        C::MemoryImageInformation => image(cx, &query),
        C::MemoryWineUnixFuncs => {
            if query.length != 8 {
                return Err(STATUS_INFO_LENGTH_MISMATCH);
            }
            let handle = mm::userland_handle(cx.k, &query.process, query.at)?;
            query.answer(cx, &handle.to_le_bytes())
        }
        class => {
            cx.k.notice_once(format!("NtQueryVirtualMemory class {class} is not implemented"));
            Err(STATUS_INVALID_INFO_CLASS)
        }
    }
}

fn basic(cx: &mut ServiceCx<'_>, query: &Query) -> NtResult {
    query.require(size_of::<MEMORY_BASIC_INFORMATION>())?;
    let answer = with_space(cx.k, &query.process, |space| space.basic_information(query.at.0))?;
    query.answer(cx, answer.as_bytes())
}

/// The structure grew twice; a caller of any age gets the fields it knows.
fn region(cx: &mut ServiceCx<'_>, query: &Query) -> NtResult {
    const SIZES: [usize; 3] = [0x30, 0x28, 0x20];
    query.require(SIZES.into_iter().min().unwrap_or_default())?;
    let answer = with_space(cx.k, &query.process, |space| space.region_information(query.at.0));
    let answer = answer.ok_or(STATUS_INVALID_ADDRESS)?;
    let size = SIZES.into_iter().find(|size| *size as u64 <= query.length).unwrap_or(0x20);
    query.answer(cx, answer.as_bytes().get(..size).unwrap_or_default())
}

fn image(cx: &mut ServiceCx<'_>, query: &Query) -> NtResult {
    query.require(size_of::<MEMORY_IMAGE_INFORMATION>())?;
    let answer = with_space(cx.k, &query.process, |space| {
        let vad = space.vads.find(query.at.0).ok_or(STATUS_INVALID_ADDRESS)?;
        Ok(match &vad.content {
            Content::Image(image) => MEMORY_IMAGE_INFORMATION {
                ImageBase: image.base,
                SizeOfImage: image.info.size.into(),
                ..MEMORY_IMAGE_INFORMATION::default()
            },
            _ => MEMORY_IMAGE_INFORMATION::default(),
        })
    })?;
    query.answer(cx, answer.as_bytes())
}

fn working_set_ex(cx: &mut ServiceCx<'_>, query: &Query) -> NtResult {
    let size = size_of::<MEMORY_WORKING_SET_EX_INFORMATION>() as u64;
    if query.length == 0 || !query.length.is_multiple_of(size) {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    for index in 0..query.length / size {
        let at = Va(query.buffer.0.wrapping_add(index * size));
        let mut entry: MEMORY_WORKING_SET_EX_INFORMATION = cx.read(at)?;
        entry.VirtualAttributes = with_space(cx.k, &query.process, |space| {
            if entry.VirtualAddress < USER_END {
                space.working_set_attributes(entry.VirtualAddress)
            } else {
                0
            }
        });
        cx.write(at, &entry)?;
    }
    query.returned(cx, query.length)?;
    Ok(STATUS_SUCCESS)
}

/// A `UNICODE_STRING` and its text behind it; too short a buffer is `STATUS_BUFFER_OVERFLOW` with the length.
fn mapped_file_name(cx: &mut ServiceCx<'_>, query: &Query) -> NtResult {
    let header = size_of::<UNICODE_STRING>();
    query.require(header)?;
    let name = with_space(cx.k, &query.process, |space| space.mapped_file_name(query.at.0))?;
    let text = name.len() * 2;
    let needed = (header + text + 2) as u64;
    if query.length < needed {
        query.returned(cx, needed)?;
        return Err(STATUS_BUFFER_OVERFLOW);
    }
    let string = UNICODE_STRING {
        Length: u16::try_from(text).map_err(|_| STATUS_NAME_TOO_LONG)?,
        MaximumLength: u16::try_from(text + 2).map_err(|_| STATUS_NAME_TOO_LONG)?,
        Buffer: query.buffer.0.wrapping_add(header as u64),
        ..UNICODE_STRING::default()
    };
    let mut bytes = string.as_bytes().to_vec();
    bytes.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend([0, 0]);
    query.answer(cx, &bytes)
}

/// Succeeds if two addresses lie in views of the same file, the first as an image: `STATUS_NOT_SAME_DEVICE` else.
#[service]
pub(super) fn nt_are_mapped_files_the_same(
    cx: &mut ServiceCx<'_>,
    file1_mapped_as_an_image: Va,
    file2_mapped_as_file: Va,
) -> NtResult {
    let process = cx.process().clone();
    let identity = |cx: &mut ServiceCx<'_>, at: Va| {
        with_space(cx.k, &process, |space| {
            let vad = space.vads.find(at.0).ok_or(STATUS_INVALID_ADDRESS)?;
            match &vad.content {
                Content::Image(image) => Ok((image.info.file().identity(), true)),
                Content::Data { segment, .. } => {
                    Ok((segment.identity().ok_or(STATUS_NOT_SAME_DEVICE)?, false))
                }
                _ => Err(STATUS_CONFLICTING_ADDRESSES),
            }
        })
    };
    let (first, first_is_image) = identity(cx, file1_mapped_as_an_image)?;
    let (second, _) = identity(cx, file2_mapped_as_file)?;
    if first == second && first_is_image { Ok(STATUS_SUCCESS) } else { Err(STATUS_NOT_SAME_DEVICE) }
}

crate::service_table! { SERVICES: nt_query_virtual_memory, nt_are_mapped_files_the_same }
