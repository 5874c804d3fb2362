//! Completion ports.

use abi::NtResult;
use abi::NtStatus;
use abi::io::*;
use abi::ob::{IO_STATUS_BLOCK, OBJECT_ATTRIBUTES};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::io::completion::{self, IoCompletion, Packet};
use crate::ke::{self, WaitType};
use crate::ob::{self, ObRef};
use crate::svc::args::{AccessMask, HandleValue};
use crate::svc::{AsyncCx, Handle, In, Out, ServiceCx};

/// Most packets that one call takes.
const MAX_PACKETS: u32 = 1024;

/// Creates or, with `OBJ_OPENIF`, opens a completion port.
#[service]
fn nt_create_io_completion(
    cx: &mut ServiceCx<'_>,
    io_completion_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    _number_of_concurrent_threads: u32,
) -> NtResult {
    io_completion_handle.probe(cx)?;
    let attributes = cx.capture_attributes(object_attributes)?;
    let process = cx.process();
    let (port, status) = ob::create_named(cx.k, process, attributes.as_ref(), completion::create)?;
    let flags = attributes.map_or(0, |attributes| attributes.flags);
    enter(cx, io_completion_handle, &port, desired_access.0, flags)?;
    Ok(status)
}

/// Opens a completion port by name.
#[service]
fn nt_open_io_completion(
    cx: &mut ServiceCx<'_>,
    io_completion_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    io_completion_handle.probe(cx)?;
    let attributes = cx.require_attributes(object_attributes)?;
    let process = cx.process();
    let port = ob::open_named::<IoCompletion>(cx.k, process, &attributes)?;
    enter(cx, io_completion_handle, &port, desired_access.0, attributes.flags)?;
    Ok(STATUS_SUCCESS)
}

fn enter(
    cx: &mut ServiceCx<'_>,
    out: Out<HandleValue>,
    port: &ObRef<IoCompletion>,
    access: u32,
    flags: u32,
) -> NtResult<()> {
    let value = cx.open_handle(port, access, flags)?;
    if let Err(status) = out.write(cx, &HandleValue(value)) {
        ob::close(cx.k, cx.process(), value)?;
        return Err(status);
    }
    Ok(())
}

/// Queues a packet. Requires `IO_COMPLETION_MODIFY_STATE`.
#[service]
fn nt_set_io_completion(
    cx: &mut ServiceCx<'_>,
    io_completion_handle: Handle,
    key_context: u64,
    apc_context: u64,
    io_status: u32,
    io_status_information: u64,
) -> NtResult {
    let port = cx.reference::<IoCompletion>(io_completion_handle, IO_COMPLETION_MODIFY_STATE)?;
    let packet = Packet {
        key: key_context,
        apc_context,
        status: NtStatus(io_status),
        information: io_status_information,
    };
    completion::post(cx.k, &port, packet);
    Ok(STATUS_SUCCESS)
}

/// [`nt_set_io_completion`] with a packet that was reserved before.
#[service(Partial("reserve objects are not implemented: the handle must be null"))]
fn nt_set_io_completion_ex(
    cx: &mut ServiceCx<'_>,
    io_completion_handle: Handle,
    io_completion_packet_handle: Handle,
    key_context: u64,
    apc_context: u64,
    io_status: u32,
    io_status_information: u64,
) -> NtResult {
    if io_completion_packet_handle.0 != 0 {
        cx.reference_any(io_completion_packet_handle, 0)?;
        cx.k.notice_once("NtSetIoCompletionEx: reserve objects are not implemented".to_owned());
        return Err(STATUS_NOT_IMPLEMENTED);
    }
    let port = cx.reference::<IoCompletion>(io_completion_handle, IO_COMPLETION_MODIFY_STATE)?;
    let packet = Packet {
        key: key_context,
        apc_context,
        status: NtStatus(io_status),
        information: io_status_information,
    };
    completion::post(cx.k, &port, packet);
    Ok(STATUS_SUCCESS)
}

/// Waits for packets and takes up to `max`. An error is the wait's outcome, `STATUS_TIMEOUT` among them.
async fn remove(
    cx: &AsyncCx,
    port: &ObRef<IoCompletion>,
    max: usize,
    timeout: Option<i64>,
    alertable: bool,
) -> Result<Vec<Packet>, NtStatus> {
    // A relative timeout counts from now, not from each time that another thread was faster.
    let deadline = cx.with(|cx| ke::timer::deadline(cx.k, timeout));
    loop {
        let (taken, left) = cx.with(|cx| {
            let now = cx.k.ke.interrupt_time;
            let left = deadline.map(|deadline| -(deadline.saturating_sub(now) as i64));
            (completion::take(cx.k, port, max), left)
        });
        if !taken.is_empty() {
            return Ok(taken);
        }
        let object = port.header.dispatcher();
        let outcome = ke::wait(cx, &[object], WaitType::Any, alertable, left).await;
        if outcome != STATUS_WAIT_0 {
            return Err(outcome);
        }
    }
}

/// Takes the first packet, waiting for it. Requires `IO_COMPLETION_MODIFY_STATE`.
#[service]
async fn nt_remove_io_completion(
    cx: &AsyncCx,
    io_completion_handle: Handle,
    key_context: Out<u64>,
    apc_context: Out<u64>,
    io_status_block: Out<IO_STATUS_BLOCK>,
    timeout: Option<In<i64>>,
) -> NtResult {
    let (port, timeout) = cx.with(|cx| -> NtResult<_> {
        key_context.probe(cx)?;
        apc_context.probe(cx)?;
        io_status_block.probe(cx)?;
        let timeout = timeout.map(|timeout| timeout.read(cx)).transpose()?;
        let access = IO_COMPLETION_MODIFY_STATE;
        Ok((cx.reference::<IoCompletion>(io_completion_handle, access)?, timeout))
    })?;
    let taken = match remove(cx, &port, 1, timeout, false).await {
        Ok(taken) => taken,
        Err(outcome) => return outcome.into_result(),
    };
    cx.with(|cx| {
        for packet in &taken {
            key_context.write(cx, &packet.key)?;
            apc_context.write(cx, &packet.apc_context)?;
            super::write_status(cx, io_status_block, packet.status, packet.information)?;
        }
        Ok(STATUS_SUCCESS)
    })
}

/// Takes as many packets as are there, at least one, waiting for the first. Requires `IO_COMPLETION_MODIFY_STATE`.
///
/// An alertable wait ends with `STATUS_USER_APC` when an APC is queued.
#[service]
async fn nt_remove_io_completion_ex(
    cx: &AsyncCx,
    io_completion_handle: Handle,
    io_completion_information: Va,
    count: u32,
    num_entries_removed: Out<u32>,
    timeout: Option<In<i64>>,
    alertable: bool,
) -> NtResult {
    if count == 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let (port, timeout) = cx.with(|cx| -> NtResult<_> {
        num_entries_removed.probe(cx)?;
        let timeout = timeout.map(|timeout| timeout.read(cx)).transpose()?;
        let access = IO_COMPLETION_MODIFY_STATE;
        Ok((cx.reference::<IoCompletion>(io_completion_handle, access)?, timeout))
    })?;
    let max = count.min(MAX_PACKETS) as usize;
    let outcome = remove(cx, &port, max, timeout, alertable).await;
    cx.with(|cx| {
        let taken = match outcome {
            Ok(taken) => taken,
            Err(outcome) => {
                num_entries_removed.write(cx, &0)?;
                return outcome.into_result();
            }
        };
        let mut bytes = Vec::with_capacity(taken.len() * 0x20);
        for packet in &taken {
            let entry = FILE_IO_COMPLETION_INFORMATION {
                KeyContext: packet.key,
                ApcContext: packet.apc_context,
                IoStatusBlock: IO_STATUS_BLOCK {
                    Status: packet.status.0,
                    _pad: 0,
                    Information: packet.information,
                },
            };
            bytes.extend_from_slice(entry.as_bytes());
        }
        let number = taken.len() as u32;
        let stored = cx
            .write_bytes(io_completion_information, &bytes)
            .and_then(|()| num_entries_removed.write(cx, &number));
        if let Err(status) = stored {
            completion::put_back(cx.k, &port, taken);
            return Err(status);
        }
        Ok(STATUS_SUCCESS)
    })
}

/// Reports how many packets are queued. Requires `IO_COMPLETION_QUERY_STATE`.
#[service]
fn nt_query_io_completion(
    cx: &mut ServiceCx<'_>,
    io_completion_handle: Handle,
    io_completion_information_class: u32,
    io_completion_information: Out<u32>,
    io_completion_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    if io_completion_information_class != 0 {
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    if io_completion_information_length != 4 {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let port = cx.reference::<IoCompletion>(io_completion_handle, IO_COMPLETION_QUERY_STATE)?;
    let depth = u32::try_from(port.depth()).unwrap_or(u32::MAX);
    io_completion_information.write(cx, &depth)?;
    if let Some(length) = return_length {
        length.write(cx, &4)?;
    }
    Ok(STATUS_SUCCESS)
}
