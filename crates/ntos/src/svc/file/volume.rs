//! Volume information.

use abi::NtResult;
use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::io::FileObject;
use crate::io::facts::{fixed, volume_information};
use crate::svc::{Handle, Out, ServiceCx};

use super::args::VolumeClass;
use super::{store, told};

/// Says something of the volume that a file is on: label, sizes, device type, file system.
///
/// `STATUS_INFO_LENGTH_MISMATCH` for a buffer that is too short, `STATUS_BUFFER_OVERFLOW` with a cut name.
#[service(Partial("classes 1, 3, 4, 5, 7, 8, 11"))]
fn nt_query_volume_information_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
    fs_information: Va,
    length: u32,
    fs_information_class: VolumeClass,
) -> NtResult {
    let result = query_volume(
        cx,
        file_handle,
        io_status_block,
        fs_information,
        length,
        fs_information_class,
    );
    told(cx, io_status_block, result)
}

fn query_volume(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    io_status_block: Out<IO_STATUS_BLOCK>,
    fs_information: Va,
    length: u32,
    fs_information_class: VolumeClass,
) -> NtResult {
    let file = cx.reference::<FileObject>(file_handle, 0)?;
    io_status_block.probe(cx)?;
    let room = length as usize;
    let class = fs_information_class.0;
    let (device_type, characteristics) = (file.device_type(), file.device.characteristics);
    let packed = if class == VolumeClass::FileFsDeviceInformation {
        // The I/O manager answers this one for every device.
        let information = abi::io::FILE_FS_DEVICE_INFORMATION {
            DeviceType: device_type,
            Characteristics: characteristics,
        };
        fixed(&information, room)?
    } else {
        let facts = file.ops.volume(cx.k)?;
        let packed = volume_information(&facts, device_type, characteristics, class, room);
        if packed.as_ref().is_err_and(|status| *status == STATUS_INVALID_INFO_CLASS) {
            cx.k.notice_once(format!(
                "NtQueryVolumeInformationFile class {class} is not implemented"
            ));
        }
        packed?
    };
    store(cx, fs_information, &packed, io_status_block)
}

/// Changes a volume's label or quotas.
#[service(Partial("no class is implemented"))]
fn nt_set_volume_information_file(
    cx: &mut ServiceCx<'_>,
    file_handle: Handle,
    _io_status_block: Out<IO_STATUS_BLOCK>,
    _fs_information: Va,
    _length: u32,
    fs_information_class: VolumeClass,
) -> NtResult {
    cx.reference::<FileObject>(file_handle, 0)?;
    let class = fs_information_class.0;
    cx.k.notice_once(format!("NtSetVolumeInformationFile class {class} is not implemented"));
    Err(STATUS_INVALID_INFO_CLASS)
}
