//! Process services: termination, suspension, opening, information classes. Creation is in [`super::process_create`].

use abi::NtResult;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::{Immutable, IntoBytes};

use crate::dbgk;
use crate::enum_arg;
use crate::ps::create;
use crate::ps::job;
use crate::ps::{Process, cpu_time, exit};

use super::args::{AccessMask, HandleValue};
use super::info::Reply;
use super::thread::{NtStatusArg, unknown_class};
use super::{Handle, In, Out, ServiceCx};

enum_arg! {
    /// `PROCESSINFOCLASS`.
    ProcessInfoClass {
        ProcessBasicInformation = 0, ProcessQuotaLimits = 1, ProcessIoCounters = 2,
        ProcessVmCounters = 3, ProcessTimes = 4, ProcessBasePriority = 5, ProcessRaisePriority = 6,
        ProcessDebugPort = 7, ProcessAccessToken = 9, ProcessDefaultHardErrorMode = 12,
        ProcessPooledUsageAndLimits = 14, ProcessWorkingSetWatch = 15, ProcessPriorityClass = 18,
        ProcessHandleCount = 20, ProcessAffinityMask = 21, ProcessPriorityBoost = 22,
        ProcessSessionInformation = 24, ProcessForegroundInformation = 25,
        ProcessWow64Information = 26, ProcessImageFileName = 27, ProcessBreakOnTermination = 29,
        ProcessDebugObjectHandle = 30, ProcessDebugFlags = 31, ProcessIoPriority = 33,
        ProcessExecuteFlags = 34, ProcessCookie = 36, ProcessImageInformation = 37,
        ProcessCycleTime = 38, ProcessPagePriority = 39, ProcessInstrumentationCallback = 40,
        ProcessImageFileNameWin32 = 43, ProcessGroupInformation = 47,
        ProcessTokenVirtualizationEnabled = 48, ProcessConsoleHostProcess = 49,
        ProcessMitigationPolicy = 52, ProcessProtectionInformation = 61,
        ProcessCommandLineInformation = 60, ProcessPowerThrottlingState = 77,
        ProcessWineMakeProcessSystem = 1000, ProcessLeapSecondInformation = 87,
    }
}

/// Ends a process; `STATUS_PROCESS_IS_TERMINATING` if it has ended. A null handle ends every other thread of the
/// caller's and returns.
#[service]
fn nt_terminate_process(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    exit_status: NtStatusArg,
) -> NtResult {
    let process = match process_handle.non_null() {
        Some(handle) => cx.reference::<Process>(handle, PROCESS_TERMINATE)?,
        None => {
            let process = cx.process().clone();
            exit::terminate_other_threads(cx.k, &process, exit_status.0, cx.thread);
            return Ok(STATUS_SUCCESS);
        }
    };
    if process.has_ended() {
        return Err(STATUS_PROCESS_IS_TERMINATING);
    }
    if std::sync::Arc::ptr_eq(&process, cx.process()) {
        crate::ke::exception::report_crash(cx.k, cx.thread, exit_status.0);
    }
    exit::terminate_process(cx.k, &process, exit_status.0);
    Ok(STATUS_SUCCESS)
}

/// Opens a process by id.
#[service]
fn nt_open_process(
    cx: &mut ServiceCx<'_>,
    process_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    client_id: Option<In<CLIENT_ID>>,
) -> NtResult {
    let attributes = cx.require_attributes(object_attributes)?;
    let id = client_id.ok_or(STATUS_INVALID_PARAMETER_MIX)?.read(cx)?;
    let process = if id.UniqueThread != 0 {
        let thread = cx.k.ps.thread(id.UniqueThread);
        thread.map(|thread| thread.process.clone()).ok_or(STATUS_INVALID_CID)?
    } else {
        cx.k.ps.process(id.UniqueProcess).ok_or(STATUS_INVALID_PARAMETER)?
    };
    process_handle.probe(cx)?;
    cx.give_handle(process_handle, &process, desired_access.0, attributes.flags)
}

/// Opens the process that follows another one, in order of creation; a null handle asks for the first.
///
/// `PROCESS_GET_NEXT_FLAGS_PREVIOUS_PROCESS` goes backwards. Ids grow, so the order is that of ids. Processes that do
/// not grant the access are passed over; `STATUS_NO_MORE_ENTRIES` at the end.
#[service]
fn nt_get_next_process(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    desired_access: AccessMask,
    handle_attributes: u32,
    flags: u32,
    new_process_handle: Out<HandleValue>,
) -> NtResult {
    const PREVIOUS: u32 = 1;
    if flags & !PREVIOUS != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let from = match process_handle.non_null() {
        Some(handle) => Some(cx.reference::<Process>(handle, 0)?.pid),
        None => None,
    };
    new_process_handle.write(cx, &HandleValue(0))?;
    let backwards = flags & PREVIOUS != 0;
    let mut processes: Vec<_> = cx.k.ps.processes.values().cloned().collect();
    processes.sort_by_key(|process| process.pid);
    if backwards {
        processes.reverse();
    }
    let follows =
        |pid: u64| from.is_none_or(|from| if backwards { pid < from } else { pid > from });
    for process in processes.iter().filter(|process| follows(process.pid)) {
        if let Ok(handle) = cx.open_handle(process, desired_access.0, handle_attributes) {
            new_process_handle.write(cx, &HandleValue(handle))?;
            return Ok(STATUS_SUCCESS);
        }
    }
    Err(STATUS_NO_MORE_ENTRIES)
}

/// Suspends every thread of a process.
#[service]
fn nt_suspend_process(cx: &mut ServiceCx<'_>, process_handle: Handle) -> NtResult {
    let process = cx.reference::<Process>(process_handle, PROCESS_SUSPEND_RESUME)?;
    let threads = process.state.open().threads.clone();
    for thread in &threads {
        super::thread::suspend(thread)?;
    }
    Ok(STATUS_SUCCESS)
}

/// Resumes every thread of a process.
#[service]
fn nt_resume_process(cx: &mut ServiceCx<'_>, process_handle: Handle) -> NtResult {
    let process = cx.reference::<Process>(process_handle, PROCESS_SUSPEND_RESUME)?;
    let threads = process.state.open().threads.clone();
    for thread in &threads {
        super::thread::resume(cx.k, thread);
    }
    Ok(STATUS_SUCCESS)
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct PROCESS_BASIC_INFORMATION {
    exit_status: u32,
    _pad0: u32,
    peb: u64,
    affinity: u64,
    base_priority: i32,
    _pad1: u32,
    pid: u64,
    parent: u64,
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct VM_COUNTERS {
    peak_virtual_size: u64,
    virtual_size: u64,
    page_fault_count: u64,
    peak_working_set: u64,
    working_set: u64,
    quotas: [u64; 4],
    pagefile_usage: u64,
    peak_pagefile_usage: u64,
}

/// Queries a process.
#[service]
fn nt_query_information_process(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    process_information_class: ProcessInfoClass,
    process_information: Va,
    process_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    use ProcessInfoClass as C;
    let rights = PROCESS_QUERY_INFORMATION | PROCESS_QUERY_LIMITED_INFORMATION;
    let process = cx.reference_granting_any::<Process>(process_handle, rights)?;
    let reply =
        Reply { buffer: process_information, length: process_information_length, return_length };
    match process_information_class.0 {
        C::ProcessBasicInformation => {
            let value = {
                let state = process.state.open();
                let over = state.threads.is_empty();
                PROCESS_BASIC_INFORMATION {
                    exit_status: state.exit_status.filter(|_| over).unwrap_or(STATUS_PENDING).0,
                    _pad0: 0,
                    peb: state.peb.0,
                    affinity: 1,
                    // DEVIATION: NT answers 8 for normal; the userland's GetPriorityClass takes the class from here.
                    base_priority: i32::from(state.priority_class),
                    _pad1: 0,
                    pid: process.pid,
                    parent: process.parent_pid,
                }
            };
            reply.exact(cx, &value)
        }
        C::ProcessQuotaLimits => reply.exact(
            cx,
            &[u64::from(u32::MAX), u64::from(u32::MAX), 0x3_2000, 0x15_9000, u64::MAX, u64::MAX],
        ),
        C::ProcessIoCounters => reply.exact(cx, &[0u64; 6]),
        C::ProcessVmCounters => {
            let (size, used) = crate::mm::usage(&process);
            let value = VM_COUNTERS {
                peak_virtual_size: size,
                virtual_size: size,
                page_fault_count: 0,
                peak_working_set: used,
                working_set: used,
                quotas: [0; 4],
                pagefile_usage: used,
                peak_pagefile_usage: used,
            };
            reply.at_least(cx, &value)
        }
        C::ProcessTimes => {
            let (created, exited) = {
                let state = process.state.open();
                (state.created, state.exited)
            };
            let user = cpu_time(process.instructions());
            reply.exact(cx, &[created as u64, exited as u64, 0, user])
        }
        C::ProcessDebugPort => {
            let debugged = dbgk::debugger_of(&process).is_some();
            reply.exact(cx, &if debugged { u64::MAX } else { 0 })
        }
        C::ProcessDebugObjectHandle => {
            let object = dbgk::debugger_of(&process).ok_or(STATUS_PORT_NOT_SET)?;
            let handle = cx.open_handle(&object, abi::ob::MAXIMUM_ALLOWED, 0)?;
            reply.exact(cx, &handle)
        }
        C::ProcessDebugFlags => {
            let inherits = !process.state.open().no_debug_inherit;
            reply.exact(cx, &u32::from(inherits))
        }
        C::ProcessDefaultHardErrorMode => {
            let mode = process.state.open().hard_error_mode;
            reply.exact(cx, &mode)
        }
        C::ProcessPriorityClass => {
            let class = process.state.open().priority_class;
            reply.exact(cx, &[0u8, class])
        }
        C::ProcessHandleCount => {
            let count = process.handles.open().len() as u32;
            reply.at_least(cx, &count)
        }
        C::ProcessAffinityMask => reply.exact(cx, &1u64),
        C::ProcessPriorityBoost | C::ProcessBreakOnTermination => reply.exact(cx, &0u32),
        C::ProcessSessionInformation => {
            let session = process.state.open().session;
            reply.exact(cx, &session)
        }
        C::ProcessWow64Information => reply.exact(cx, &0u64),
        C::ProcessImageFileName => {
            let path = process.state.open().image_path.clone();
            reply.unicode_string(cx, &path)
        }
        C::ProcessImageFileNameWin32 => {
            let path = process.state.open().win32_path.clone();
            reply.unicode_string(cx, &path)
        }
        C::ProcessIoPriority => reply.exact(cx, &2u32),
        C::ProcessPagePriority => reply.exact(cx, &5u32),
        // MEM_EXECUTE_OPTION_ENABLE off, permanent: no-execute is always on for 64-bit processes.
        C::ProcessExecuteFlags => reply.exact(cx, &0x9u32),
        C::ProcessCookie => {
            let cookie = process.state.open().cookie;
            reply.exact(cx, &cookie)
        }
        C::ProcessImageInformation => {
            let information = image_information(&process)?;
            reply.exact(cx, &information)
        }
        C::ProcessCycleTime => reply.exact(cx, &[process.instructions(), 0]),
        C::ProcessGroupInformation => reply.whole(cx, &[0, 0], STATUS_BUFFER_TOO_SMALL),
        C::ProcessCommandLineInformation => {
            let line = process.state.open().command_line.clone();
            reply.unicode_string(cx, &line)
        }
        C::ProcessProtectionInformation => reply.exact(cx, &0u8),
        C::ProcessTokenVirtualizationEnabled => reply.exact(cx, &0u32),
        C::ProcessConsoleHostProcess => reply.exact(cx, &0u64),
        other => unknown_class(cx, "NtQueryInformationProcess", other),
    }
}

/// Changes a process.
#[service]
fn nt_set_information_process(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    process_information_class: ProcessInfoClass,
    process_information: Va,
    process_information_length: u32,
) -> NtResult {
    use ProcessInfoClass as C;
    let process = cx.reference::<Process>(process_handle, 0)?;
    let need = |wanted: u32| {
        if process_information_length == wanted { Ok(()) } else { Err(STATUS_INFO_LENGTH_MISMATCH) }
    };
    match process_information_class.0 {
        C::ProcessDefaultHardErrorMode => {
            need(4)?;
            let mode = cx.read::<u32>(process_information)?;
            process.state.open().hard_error_mode = mode;
        }
        C::ProcessPriorityClass => {
            need(2)?;
            let [_, class] = cx.read::<[u8; 2]>(process_information)?;
            if !(1..=6).contains(&class) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            if !job::fixes_priority(&process) {
                create::set_priority_class(&process, class);
            }
        }
        C::ProcessAffinityMask => {
            need(8)?;
            if cx.read::<u64>(process_information)? & 1 == 0 {
                return Err(STATUS_INVALID_PARAMETER);
            }
        }
        C::ProcessAccessToken => {
            need(16)?;
            let handle = Handle(cx.read::<u64>(process_information)?);
            let token = cx.reference::<crate::se::Token>(handle, 1)?;
            *process.token.open() = token;
        }
        // They tune what this kernel does not have: boosts, paging, power, execute options of 32-bit programs.
        C::ProcessPriorityBoost
        | C::ProcessIoPriority
        | C::ProcessPagePriority
        | C::ProcessExecuteFlags
        | C::ProcessPowerThrottlingState
        | C::ProcessQuotaLimits
        | C::ProcessBasePriority
        | C::ProcessForegroundInformation => {}
        C::ProcessWineMakeProcessSystem => {
            need(8)?;
            // The event that the last user process's exit would set: nothing here ends that way.
            let event = crate::ex::event::create_event(cx.k, abi::ke::NOTIFICATION_EVENT, false)?;
            let handle = cx.open_handle(&event, abi::ob::SYNCHRONIZE, 0)?;
            cx.write(process_information, &handle)?;
        }
        other => return unknown_class(cx, "NtSetInformationProcess", other),
    }
    Ok(STATUS_SUCCESS)
}

pub(super) fn image_information(process: &Process) -> NtResult<abi::mm::SECTION_IMAGE_INFORMATION> {
    let section = process.state.open().image_section.clone();
    section.and_then(|section| section.image_information()).ok_or(STATUS_INVALID_PARAMETER)
}

crate::service_table! {
    SERVICES: nt_terminate_process, nt_open_process, nt_get_next_process, nt_suspend_process,
    nt_resume_process, nt_query_information_process, nt_set_information_process,
}
