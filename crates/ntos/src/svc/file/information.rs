//! Querying file information: by handle and by name.

use abi::NtResult;
use abi::io::*;
use abi::ob::{IO_STATUS_BLOCK, OBJECT_ATTRIBUTES};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::io::FileObject;
use crate::io::create::{CreateParameters, resolve};
use crate::io::facts::{FileFacts, Packed, fixed, name_information, whole, with_name};
use crate::ob::ObRef;
use crate::svc::args::GuestValue;
use crate::svc::{Handle, In, Out, ServiceCx};
use crate::ustr::UnicodeString;

use super::args::FileClass;
use super::{rights, store, told, with_implied};

impl GuestValue for FILE_BASIC_INFORMATION {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        format!("{{attributes {:#x}, written {}}}", self.FileAttributes, self.LastWriteTime)
    }
}

impl GuestValue for FILE_NETWORK_OPEN_INFORMATION {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        format!("{{attributes {:#x}, size {}}}", self.FileAttributes, self.EndOfFile)
    }
}

/// The right that a class requires of the handle.
fn required(class: u32) -> u32 {
    match class {
        FileClass::FileBasicInformation
        | FileClass::FileAllInformation
        | FileClass::FileNetworkOpenInformation
        | FileClass::FileAttributeTagInformation
        | FileClass::FileCompressionInformation
        | FileClass::FilePipeInformation
        | FileClass::FilePipeLocalInformation
        | FileClass::FilePipeRemoteInformation
        | FileClass::FileStatInformation
        | FileClass::FileStatLxInformation => FILE_READ_ATTRIBUTES,
        FileClass::FileFullEaInformation => FILE_READ_EA,
        _ => 0,
    }
}

/// `FILE_STREAM_INFORMATION` of a file's one stream.
fn streams(facts: &FileFacts, room: usize) -> NtResult<Packed> {
    if facts.directory {
        return Err(STATUS_END_OF_FILE);
    }
    let name = UnicodeString::from("::$DATA");
    let network = facts.network_open();
    let head = FILE_STREAM_INFORMATION {
        NextEntryOffset: 0,
        StreamNameLength: name.len() as u32 * 2,
        StreamSize: network.EndOfFile,
        StreamAllocationSize: network.AllocationSize,
    };
    with_name(head.as_bytes(), 0x18, 0x18, &name, room)
}

/// `FILE_STAT_LX_INFORMATION`: without Linux metadata of its own, a file shows none.
fn stat_lx(facts: &FileFacts, access: u32) -> FILE_STAT_LX_INFORMATION {
    FILE_STAT_LX_INFORMATION {
        Stat: facts.stat(access),
        LxFlags: 0,
        LxUid: 0,
        LxGid: 0,
        LxMode: 0,
        LxDeviceIdMajor: 0,
        LxDeviceIdMinor: 0,
    }
}

fn volume_id(facts: &FileFacts) -> Vec<u8> {
    let mut bytes = facts.volume_serial.to_le_bytes().to_vec();
    bytes.extend(u128::from(facts.id).to_le_bytes());
    bytes
}

/// The answer of a class for an open file.
fn query(
    k: &mut Kernel,
    file: &ObRef<FileObject>,
    class: u32,
    access: u32,
    room: usize,
) -> NtResult<Packed> {
    match class {
        FileClass::FileBasicInformation => fixed(&file.ops.facts(k)?.basic(), room),
        FileClass::FileStandardInformation => fixed(&file.ops.facts(k)?.standard(), room),
        FileClass::FileInternalInformation => fixed(&file.ops.facts(k)?.id, room),
        FileClass::FileEaInformation => {
            file.ops.facts(k)?;
            fixed(&0u32, room)
        }
        FileClass::FileAccessInformation => fixed(&access, room),
        FileClass::FileNameInformation | FileClass::FileNormalizedNameInformation => {
            name_information(&file.ops.name(), room)
        }
        FileClass::FilePositionInformation => fixed(&file.state.open().position, room),
        FileClass::FileModeInformation => fixed(&file.mode(), room),
        FileClass::FileAlignmentInformation => fixed(&0u32, room),
        FileClass::FileAllInformation => {
            let facts = file.ops.facts(k)?;
            let name = file.ops.name();
            let head = FILE_ALL_INFORMATION {
                Basic: facts.basic(),
                Standard: facts.standard(),
                IndexNumber: facts.id as i64,
                EaSize: 0,
                AccessFlags: access,
                CurrentByteOffset: file.state.open().position,
                Mode: file.mode(),
                AlignmentRequirement: 0,
                FileNameLength: name.len() as u32 * 2,
                _pad: 0,
            };
            with_name(head.as_bytes(), FILE_ALL_NAME_AT, 0x68, &name, room)
        }
        // Files have no short names.
        FileClass::FileAlternateNameInformation => Err(STATUS_OBJECT_NAME_NOT_FOUND),
        FileClass::FileStreamInformation => streams(&file.ops.facts(k)?, room),
        FileClass::FileCompressionInformation => {
            let size = file.ops.facts(k)?.network_open().AllocationSize;
            let mut bytes = size.to_le_bytes().to_vec();
            bytes.resize(16, 0);
            whole(bytes, room)
        }
        FileClass::FileNetworkOpenInformation => fixed(&file.ops.facts(k)?.network_open(), room),
        FileClass::FileAttributeTagInformation => {
            let facts = file.ops.facts(k)?;
            fixed(&[facts.attributes, facts.reparse_tag], room)
        }
        FileClass::FileIoCompletionNotificationInformation => {
            fixed(&file.state.open().notification, room)
        }
        // IoPriorityNormal.
        FileClass::FileIoPriorityHintInformation => fixed(&2u32, room),
        FileClass::FileIsRemoteDeviceInformation => fixed(&0u8, room),
        FileClass::FileStandardLinkInformation => {
            let standard = file.ops.facts(k)?.standard();
            let flags = [standard.DeletePending, standard.Directory, 0, 0];
            let links = standard.NumberOfLinks;
            fixed(&[links, links, u32::from_le_bytes(flags)], room)
        }
        // The file is not on a network.
        FileClass::FileRemoteProtocolInformation => Err(STATUS_INVALID_PARAMETER),
        FileClass::FileVolumeNameInformation => name_information(&file.device.name, room),
        FileClass::FileIdInformation => whole(volume_id(&file.ops.facts(k)?), room),
        FileClass::FileStatInformation => fixed(&file.ops.facts(k)?.stat(access), room),
        FileClass::FileStatLxInformation => fixed(&stat_lx(&file.ops.facts(k)?, access), room),
        FileClass::FileCaseSensitiveInformation => fixed(&0u32, room),
        FileClass::FilePipeInformation
        | FileClass::FilePipeLocalInformation
        | FileClass::FilePipeRemoteInformation => whole(file.ops.query_own(k, class)?, room),
        _ => {
            k.notice_once(format!("NtQueryInformationFile class {class} is not implemented"));
            Err(STATUS_INVALID_INFO_CLASS)
        }
    }
}

/// Says something of an open file.
///
/// Most classes require nothing of the handle, those with times and attributes `FILE_READ_ATTRIBUTES`.
/// `STATUS_INFO_LENGTH_MISMATCH` for a buffer that is too short, `STATUS_BUFFER_OVERFLOW` with a cut name.
#[service(Partial(
    "classes 4-9, 14, 16-18, 21-25, 28, 34, 35, 41, 43, 48, 51, 54, 58, 59, 68, 70, 71"
))]
fn nt_query_information_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
    file_information: Va,
    length: u32,
    file_information_class: FileClass,
) -> NtResult {
    let result = query_information(
        cx,
        file_handle,
        io_status_block,
        file_information,
        length,
        file_information_class,
    );
    told(cx, io_status_block, result)
}

fn query_information(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
    file_information: Va,
    length: u32,
    file_information_class: FileClass,
) -> NtResult {
    let class = file_information_class.0;
    let file = cx.reference::<FileObject>(file_handle, 0)?;
    let access = rights(cx, file_handle)?;
    if required(class) & !with_implied(access) != 0 {
        return Err(STATUS_ACCESS_DENIED);
    }
    io_status_block.probe(cx)?;
    let packed = query(cx.k, &file, class, access, length as usize)?;
    store(cx, file_information, &packed, io_status_block)
}

/// Facts about a name that is not opened.
fn facts_by_name(
    cx: &mut ServiceCx<'_>,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    options: u32,
) -> NtResult<FileFacts> {
    let attributes = cx.require_attributes(object_attributes)?;
    let parameters = CreateParameters {
        access: FILE_READ_ATTRIBUTES,
        share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        disposition: FILE_OPEN,
        options,
        ..CreateParameters::default()
    };
    let process = cx.process();
    let (device, request) = resolve(cx.k, process, &attributes, &parameters)?;
    let driver = device.driver.clone();
    driver.query_by_name(cx.k, &device, &request)
}

/// Times and attributes of a name.
#[service]
fn nt_query_attributes_file(
    cx: &mut ServiceCx<'_>,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    file_information: Out<FILE_BASIC_INFORMATION>,
) -> NtResult {
    file_information.probe(cx)?;
    let facts = facts_by_name(cx, object_attributes, FILE_OPEN_REPARSE_POINT)?;
    file_information.write(cx, &facts.basic())?;
    Ok(STATUS_SUCCESS)
}

/// Times, attributes and sizes of a name.
#[service]
fn nt_query_full_attributes_file(
    cx: &mut ServiceCx<'_>,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    file_information: Out<FILE_NETWORK_OPEN_INFORMATION>,
) -> NtResult {
    file_information.probe(cx)?;
    let facts = facts_by_name(cx, object_attributes, FILE_OPEN_REPARSE_POINT)?;
    file_information.write(cx, &facts.network_open())?;
    Ok(STATUS_SUCCESS)
}

/// An information class of a name that is not opened.
#[service(Partial("classes 68 and 70"))]
fn nt_query_information_by_name(
    cx: &mut ServiceCx<'_>,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    io_status_block: Out<IO_STATUS_BLOCK>,
    file_information: Va,
    length: u32,
    file_information_class: FileClass,
) -> NtResult {
    io_status_block.probe(cx)?;
    let class = file_information_class.0;
    let room = length as usize;
    let known = matches!(class, FileClass::FileStatInformation | FileClass::FileStatLxInformation);
    if !known {
        cx.k.notice_once(format!("NtQueryInformationByName class {class} is not implemented"));
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    let facts = facts_by_name(cx, object_attributes, FILE_OPEN_REPARSE_POINT)?;
    let packed = if class == FileClass::FileStatInformation {
        fixed(&facts.stat(FILE_ALL_ACCESS), room)?
    } else {
        fixed(&stat_lx(&facts, FILE_ALL_ACCESS), room)?
    };
    store(cx, file_information, &packed, io_status_block)
}
