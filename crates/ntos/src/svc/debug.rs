//! Services of debuggers: debug objects, attaching, events.
//!
//! The objects and their events are in [`crate::dbgk`].

use abi::context::EXCEPTION_RECORD;
use abi::dbgk::*;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::{CLIENT_ID, PROCESS_ALL_ACCESS, PROCESS_SUSPEND_RESUME, THREAD_ALL_ACCESS};
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::{FromZeros, IntoBytes};

use crate::dbgk::{self, DebugObject, Event, What};
use crate::ke::WaitType;
use crate::ob::ObRef;
use crate::ps::Process;
use crate::{enum_arg, flags_arg};

use super::args::{AccessMask, HandleValue};
use super::object::create_object;
use super::sync::{begin, finish, read_timeout};
use super::thread::{NtStatusArg, unknown_class};
use super::time::Timeout;
use super::{AsyncCx, GuestValue, Handle, In, Out, ServiceCx};

enum_arg! {
    /// `DEBUGOBJECTINFOCLASS`.
    DebugObjectInfoClass { DebugObjectKillProcessOnExitInformation = 1 }
}

flags_arg! {
    /// Flags of `NtCreateDebugObject`.
    DebugObjectFlags { KILL_ON_CLOSE = DEBUG_KILL_ON_CLOSE }
}

impl GuestValue for DBGUI_WAIT_STATE_CHANGE {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        let CLIENT_ID { UniqueProcess, UniqueThread } = self.AppClientId;
        format!("{{state {}, {UniqueProcess}.{UniqueThread}}}", self.NewState)
    }
}

/// Creates a debug object.
#[service]
fn nt_create_debug_object(
    cx: &mut ServiceCx<'_>,
    debug_object_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    flags: DebugObjectFlags,
) -> NtResult {
    if flags.0 & !DEBUG_KILL_ON_CLOSE != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    create_object(cx, debug_object_handle, desired_access, object_attributes, |k| {
        dbgk::create_debug_object(k, flags.0 & DEBUG_KILL_ON_CLOSE != 0)
    })
}

/// Attaches a debug object to a process.
///
/// Requires `PROCESS_SUSPEND_RESUME` and `DEBUG_PROCESS_ASSIGN`. A process cannot debug itself
/// (`STATUS_ACCESS_DENIED`), nor have two debuggers (`STATUS_PORT_ALREADY_SET`).
#[service]
fn nt_debug_active_process(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    debug_object_handle: Handle,
) -> NtResult {
    let process = cx.reference::<Process>(process_handle, PROCESS_SUSPEND_RESUME)?;
    if process.pid == cx.process().pid {
        return Err(STATUS_ACCESS_DENIED);
    }
    let object = cx.reference::<DebugObject>(debug_object_handle, DEBUG_PROCESS_ASSIGN)?;
    dbgk::attach(cx.k, &object, &process)?;
    Ok(STATUS_SUCCESS)
}

/// Takes a process from its debugger; it goes on. `STATUS_PORT_NOT_SET` if it is not the object's.
#[service]
fn nt_remove_process_debug(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    debug_object_handle: Handle,
) -> NtResult {
    let process = cx.reference::<Process>(process_handle, PROCESS_SUSPEND_RESUME)?;
    let object = cx.reference::<DebugObject>(debug_object_handle, DEBUG_PROCESS_ASSIGN)?;
    dbgk::remove(cx.k, &object, &process)?;
    Ok(STATUS_SUCCESS)
}

/// Waits for an event of a debugged process; `STATUS_TIMEOUT`, or what ends an alertable wait.
///
/// Requires `DEBUG_READ_EVENT`. Handles to a new process or thread are opened for the caller. An event that could not
/// be stored is lost to this caller, but can still be continued.
#[service(Partial("handles of image files are null"))]
async fn nt_wait_for_debug_event(
    cx: &AsyncCx,
    debug_object_handle: Handle,
    alertable: bool,
    timeout: Option<In<Timeout>>,
    wait_state_change: Out<DBGUI_WAIT_STATE_CHANGE>,
) -> NtResult {
    let (object, timeout) = cx.with(|cx| {
        wait_state_change.probe(cx)?;
        let timeout = read_timeout(cx, timeout)?;
        let object = cx.reference::<DebugObject>(debug_object_handle, DEBUG_READ_EVENT)?;
        NtResult::Ok((object, timeout))
    })?;
    loop {
        let dispatcher = object.header.dispatcher();
        let begun = cx.with(|cx| begin(cx, &[dispatcher], WaitType::Any, alertable, timeout));
        let outcome = finish(cx, begun).await;
        if outcome != STATUS_WAIT_0 {
            return outcome.into_result();
        }
        // Another thread of the debugger may have been faster.
        let taken = cx.with(|cx| {
            let event = dbgk::take(cx.k, &object)?;
            Some(report(cx, &event).and_then(|change| wait_state_change.write(cx, &change)))
        });
        if let Some(stored) = taken {
            stored?;
            return Ok(STATUS_SUCCESS);
        }
    }
}

/// What the debugger reads of an event.
fn report(cx: &mut ServiceCx<'_>, event: &Event) -> NtResult<DBGUI_WAIT_STATE_CHANGE> {
    let (thread, process) = (&event.thread, &event.thread.process);
    let mut change = DBGUI_WAIT_STATE_CHANGE::new_zeroed();
    change.NewState = event.what.state();
    change.AppClientId = CLIENT_ID { UniqueProcess: process.pid, UniqueThread: thread.tid };
    let start = thread.start_address.0;
    let words: Vec<u64> = match &event.what {
        What::CreateProcess => {
            let process_handle = cx.open_handle(process, PROCESS_ALL_ACCESS, 0)?;
            let thread_handle = cx.open_handle(thread, THREAD_ALL_ACCESS, 0)?;
            let base = process.state.open().image_base.0;
            vec![process_handle, thread_handle, 0, 0, base, 0, 0, start]
        }
        What::CreateThread => {
            let thread_handle = cx.open_handle(thread, THREAD_ALL_ACCESS, 0)?;
            vec![thread_handle, 0, start]
        }
        What::ExitThread(status) | What::ExitProcess(status) => vec![status.0.into()],
        What::Exception { record, first_chance } => {
            let mut words = exception_words(record);
            words.push(u64::from(*first_chance));
            words
        }
        What::LoadDll(base) => vec![0, base.0, 0, 0],
        What::UnloadDll(base) => vec![base.0],
    };
    for (slot, word) in change.StateInfo.iter_mut().zip(words) {
        *slot = word;
    }
    Ok(change)
}

fn exception_words(record: &EXCEPTION_RECORD) -> Vec<u64> {
    record.as_bytes().as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Answers an event: the thread goes on, with an exception handled or not, or ends.
#[service]
fn nt_debug_continue(
    cx: &mut ServiceCx<'_>,
    debug_object_handle: Handle,
    client_id: In<CLIENT_ID>,
    continue_status: NtStatusArg,
) -> NtResult {
    let id = client_id.read(cx)?;
    let known: &[NtStatus] = &[
        DBG_EXCEPTION_HANDLED,
        DBG_EXCEPTION_NOT_HANDLED,
        DBG_TERMINATE_THREAD,
        DBG_TERMINATE_PROCESS,
        DBG_CONTINUE,
    ];
    if !known.contains(&continue_status.0) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let object = cx.reference::<DebugObject>(debug_object_handle, DEBUG_READ_EVENT)?;
    dbgk::proceed(cx.k, &object, id.UniqueProcess, id.UniqueThread, continue_status.0)?;
    Ok(STATUS_SUCCESS)
}

/// Says whether debugged processes end with the debug object.
#[service]
fn nt_set_information_debug_object(
    cx: &mut ServiceCx<'_>,
    debug_object_handle: Handle,
    debug_object_information_class: DebugObjectInfoClass,
    debug_information: Va,
    debug_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let class = debug_object_information_class.0;
    if class != DebugObjectInfoClass::DebugObjectKillProcessOnExitInformation {
        return unknown_class(cx, "NtSetInformationDebugObject", class);
    }
    if let Some(out) = return_length {
        out.write(cx, &4)?;
    }
    if debug_information_length != 4 {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let kill = cx.read::<u32>(debug_information)?;
    if kill & !DEBUG_KILL_ON_CLOSE != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let object: ObRef<DebugObject> = cx.reference(debug_object_handle, DEBUG_SET_INFORMATION)?;
    dbgk::set_kill_on_close(&object, kill != 0);
    Ok(STATUS_SUCCESS)
}

crate::service_table! {
    SERVICES: nt_create_debug_object, nt_debug_active_process, nt_remove_process_debug,
    nt_wait_for_debug_event, nt_debug_continue, nt_set_information_debug_object,
}
