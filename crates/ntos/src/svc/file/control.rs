//! Device and file system controls.

use abi::NtResult;
use abi::ob::IO_STATUS_BLOCK;
use guest_mem::Va;
use ntos_macros::service;

use crate::io::irp::Request;
use crate::svc::{AsyncCx, Handle, Out};

use super::args::FsControlCode;
use super::{Asked, submit, user_buffer};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    Device,
    FileSystem,
}

async fn control(
    cx: &AsyncCx,
    asked: Asked,
    kind: Control,
    code: u32,
    input: (Va, u32),
    output: (Va, u32),
) -> NtResult {
    // Bits 14 and 15 of a code are the rights that the handle must grant: FILE_READ_DATA and FILE_WRITE_DATA.
    let access = code >> 14 & 3;
    let (file, target, input_bytes, output) = cx.with(|cx| -> NtResult<_> {
        let (file, target) = asked.capture(cx, access)?;
        let bytes = if input.1 == 0 { Vec::new() } else { cx.read_vec(input.0, input.1 as usize)? };
        Ok((file, target, bytes, user_buffer(cx, output.0, output.1)?))
    })?;
    submit(
        cx,
        &file,
        target,
        |_, _| Ok(Request::Control { code, input: input_bytes, input_at: input.0, output }),
        |cx, file, irp| match kind {
            Control::Device => file.ops.device_control(cx.k, irp),
            Control::FileSystem => file.ops.fs_control(cx.k, irp),
        },
    )
    .await
}

/// Sends a control code to a device.
///
/// The rights that the code itself names are required. `STATUS_INVALID_DEVICE_REQUEST` or `STATUS_NOT_SUPPORTED` for a
/// code that the device does not know.
#[service]
async fn nt_device_io_control_file(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    io_control_code: u32,
    input_buffer: Va,
    input_buffer_length: u32,
    output_buffer: Va,
    output_buffer_length: u32,
) -> NtResult {
    let asked =
        Asked { file: file_handle, event, apc_routine, apc_context, status_block: io_status_block };
    let input = (input_buffer, input_buffer_length);
    let output = (output_buffer, output_buffer_length);
    control(cx, asked, Control::Device, io_control_code, input, output).await
}

/// Sends a control code to a file system.
///
/// The rights that the code itself names are required. `STATUS_INVALID_DEVICE_REQUEST` for a code that the file system
/// does not know.
#[service]
async fn nt_fs_control_file(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    fs_control_code: FsControlCode,
    input_buffer: Va,
    input_buffer_length: u32,
    output_buffer: Va,
    output_buffer_length: u32,
) -> NtResult {
    let asked =
        Asked { file: file_handle, event, apc_routine, apc_context, status_block: io_status_block };
    let input = (input_buffer, input_buffer_length);
    let output = (output_buffer, output_buffer_length);
    control(cx, asked, Control::FileSystem, fs_control_code.0, input, output).await
}
