//! Process services: creation, termination, information classes.

use abi::NtResult;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::{Immutable, IntoBytes};

use crate::dbgk::{self, DebugObject};
use crate::ob::ObRef;
use crate::ps::create::{self, ProcessRequest, ThreadRequest};
use crate::ps::job::{self, Job};
use crate::ps::params::ProcessParameters;
use crate::ps::{Process, Thread, cpu_time, exit};
use crate::ustr::UnicodeString;
use crate::{enum_arg, flags_arg};

use super::args::{AccessMask, HandleValue};
use super::info::Reply;
use super::thread::{
    AttributeList, NtStatusArg, PS_ATTRIBUTE, ThreadCreateFlags, answer_attributes,
    read_attributes, unknown_class,
};
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
    let process = cx.reference::<Process>(process_handle, 0)?;
    if cx.granted_access(process_handle)?
        & (PROCESS_QUERY_INFORMATION | PROCESS_QUERY_LIMITED_INFORMATION)
        == 0
    {
        return Err(STATUS_ACCESS_DENIED);
    }
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
            process.state.open().priority_class = class;
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

/// `PS_ATTRIBUTE` numbers with their input and thread bits, of process creation.
mod attribute {
    pub const PARENT_PROCESS: u64 = 0x6_0000;
    pub const DEBUG_OBJECT: u64 = 0x6_0001;
    pub const TOKEN: u64 = 0x6_0002;
    pub const IMAGE_NAME: u64 = 0x2_0005;
    pub const IMAGE_INFO: u64 = 0x6;
    pub const PRIORITY_CLASS: u64 = 0x2_0008;
    pub const ERROR_MODE: u64 = 0x2_0009;
    pub const HANDLE_LIST: u64 = 0x2_000B;
    pub const JOB_LIST: u64 = 0x2_0013;
}

flags_arg! {
    /// `PROCESS_CREATE_FLAGS_…`.
    ProcessCreateFlags {
        BREAKAWAY = 1, NO_DEBUG_INHERIT = 2, INHERIT_HANDLES = 4, OVERRIDE_ADDRESS_SPACE = 8,
        LARGE_PAGES = 0x10, PROTECTED_PROCESS = 0x40, CREATE_SESSION = 0x80, INHERIT_FROM_PARENT = 0x100,
        CREATE_SUSPENDED = 0x200,
    }
}

/// `PROCESS_CREATE_FLAGS_BREAKAWAY`.
const BREAKAWAY: u32 = 1;
/// `PROCESS_CREATE_FLAGS_NO_DEBUG_INHERIT`.
const NO_DEBUG_INHERIT: u32 = 2;
/// `PROCESS_CREATE_FLAGS_INHERIT_HANDLES`.
const INHERIT_HANDLES: u32 = 4;
/// `THREAD_CREATE_FLAGS_CREATE_SUSPENDED`.
const CREATE_SUSPENDED: u32 = 1;

/// Creates a process and its first thread from an image file.
///
/// The process starts in its parent's job unless that lets it break away, and in the jobs of the attribute list.
/// Fails with `STATUS_ACCESS_DENIED` if the job does not allow breaking away, `STATUS_QUOTA_EXCEEDED` if it is full.
/// After a failure nothing is left of the process.
#[service(Partial("group affinity, protection and mitigation attributes are not looked at"))]
fn nt_create_user_process(
    cx: &mut ServiceCx<'_>,
    process_handle: Out<HandleValue>,
    thread_handle: Out<HandleValue>,
    process_desired_access: AccessMask,
    thread_desired_access: AccessMask,
    process_object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    thread_object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    process_flags: ProcessCreateFlags,
    thread_flags: ThreadCreateFlags,
    process_parameters: Va,
    create_info: Va,
    attribute_list: AttributeList,
) -> NtResult {
    let list = read_attributes(cx, attribute_list)?;
    let parameters = ProcessParameters::capture(cx, process_parameters)?;
    let process_attributes = cx.capture_attributes(process_object_attributes)?.unwrap_or_default();
    let thread_attributes = cx.capture_attributes(thread_object_attributes)?.unwrap_or_default();
    process_handle.probe(cx)?;
    thread_handle.probe(cx)?;
    let inputs = creation_inputs(cx, &list)?;
    let debugger = inputs.debugger.clone().or_else(|| inherited_debugger(&inputs.parent));
    let job = job::inherit(&inputs.parent, process_flags.0 & BREAKAWAY != 0)?;
    let file = crate::io::open_image_file(cx.k, cx.process(), &inputs.path)?;
    let section = crate::mm::create_image_section(cx.k, file)?;
    let handles = create::inherited_handles(
        &inputs.parent,
        &parameters,
        process_flags.0 & INHERIT_HANDLES != 0,
        inputs.handle_list.as_deref(),
    );
    let token = inputs.token.unwrap_or_else(|| inputs.parent.token.open().clone());
    let token = crate::se::Token::for_new_process(cx.k, &token)?;
    let request = ProcessRequest {
        section,
        path: inputs.path,
        parameters,
        parent: Some(inputs.parent),
        handles,
        token,
    };
    let process = create::create_process(cx.k, request)?;
    {
        let mut state = process.state.open();
        state.priority_class = inputs.priority_class.unwrap_or(state.priority_class);
        state.hard_error_mode = inputs.error_mode.unwrap_or(state.hard_error_mode);
    }
    let jobs = job.into_iter().chain(inputs.jobs);
    let made = enter_jobs(cx, &process, jobs).and_then(|()| first_thread(cx, &process));
    let outcome = made.and_then(|thread| {
        let new_process =
            cx.open_handle(&process, process_desired_access.0, process_attributes.flags)?;
        let new_thread = cx
            .open_handle(&thread, thread_desired_access.0, thread_attributes.flags)
            .inspect_err(|_| close_again(cx, new_process))?;
        process_handle
            .write(cx, &HandleValue(new_process))
            .and_then(|_| thread_handle.write(cx, &HandleValue(new_thread)))
            .and_then(|_| answer_creation(cx, &list, &process, &thread, create_info))
            .inspect_err(|_| {
                close_again(cx, new_thread);
                close_again(cx, new_process);
            })?;
        Ok(thread)
    });
    match outcome {
        Ok(thread) => {
            if thread_flags.0 & CREATE_SUSPENDED != 0 {
                thread.sched.open().suspended = 1;
            }
            process.state.open().no_debug_inherit = process_flags.0 & NO_DEBUG_INHERIT != 0;
            if let Some(debugger) = debugger {
                dbgk::attach(cx.k, &debugger, &process)?;
            }
            create::start_thread(cx.k, &thread);
            Ok(STATUS_SUCCESS)
        }
        Err(status) => {
            exit::terminate_process(cx.k, &process, status);
            Err(status)
        }
    }
}

/// A debugger of a process debugs its children, too, unless it was started to debug that one only.
fn inherited_debugger(parent: &Process) -> Option<ObRef<DebugObject>> {
    let state = parent.state.open();
    state.debugger.clone().filter(|_| !state.no_debug_inherit)
}

/// Puts a new process into its jobs.
fn enter_jobs(
    cx: &mut ServiceCx<'_>,
    process: &ObRef<Process>,
    jobs: impl Iterator<Item = ObRef<Job>>,
) -> NtResult<()> {
    for job in jobs {
        job::assign(cx.k, &job, process)?;
    }
    Ok(())
}

fn first_thread(cx: &mut ServiceCx<'_>, process: &ObRef<Process>) -> NtResult<ObRef<Thread>> {
    let request = ThreadRequest::first(process)?;
    create::create_thread(cx.k, process, &request)
}

/// Takes back a handle that its receiver never saw.
fn close_again(cx: &mut ServiceCx<'_>, handle: u64) {
    let closed = crate::ob::close(cx.k, cx.process(), handle);
    debug_assert!(closed.is_ok(), "the handle was just opened");
}

/// Answers the outputs of the attribute list and of `PS_CREATE_INFO`.
fn answer_creation(
    cx: &mut ServiceCx<'_>,
    list: &[PS_ATTRIBUTE],
    process: &Process,
    thread: &ObRef<Thread>,
    create_info: Va,
) -> NtResult<()> {
    answer_attributes(cx, list, thread)?;
    for entry in list.iter().filter(|entry| entry.attribute == attribute::IMAGE_INFO) {
        let information = image_information(process)?;
        let bytes = information.as_bytes();
        let length = bytes.len().min(entry.size as usize);
        cx.write_bytes(Va(entry.value), bytes.get(..length).unwrap_or_default())?;
    }
    // PsCreateSuccess, and no more to say: the rest of the structure is for callers that share the section.
    if create_info.0 != 0 {
        cx.write(Va(create_info.0.wrapping_add(8)), &6u32)?;
    }
    Ok(())
}

/// What the attribute list says of a new process.
struct CreationInputs {
    path: UnicodeString,
    parent: ObRef<Process>,
    token: Option<ObRef<crate::se::Token>>,
    handle_list: Option<Vec<u64>>,
    jobs: Vec<ObRef<Job>>,
    priority_class: Option<u8>,
    error_mode: Option<u32>,
    debugger: Option<ObRef<DebugObject>>,
}

fn creation_inputs(cx: &mut ServiceCx<'_>, list: &[PS_ATTRIBUTE]) -> NtResult<CreationInputs> {
    let mut path = None;
    let mut parent = cx.process().clone();
    let (mut token, mut handle_list) = (None, None);
    let (mut priority_class, mut error_mode) = (None, None);
    let (mut jobs, mut debugger) = (Vec::new(), None);
    for entry in list {
        match entry.attribute {
            attribute::IMAGE_NAME => {
                let bytes = cx.read_vec(Va(entry.value), entry.size as usize)?;
                let units = bytes.as_chunks::<2>().0.iter();
                path = Some(UnicodeString(units.map(|u| u16::from_le_bytes(*u)).collect()));
            }
            attribute::PARENT_PROCESS => {
                parent = cx.reference::<Process>(Handle(entry.value), PROCESS_CREATE_PROCESS)?;
            }
            attribute::TOKEN => {
                token = Some(cx.reference::<crate::se::Token>(Handle(entry.value), 1)?);
            }
            attribute::HANDLE_LIST => {
                handle_list = Some(read_handles(cx, entry)?);
            }
            attribute::JOB_LIST => {
                for handle in read_handles(cx, entry)? {
                    let access = abi::job::JOB_OBJECT_ASSIGN_PROCESS;
                    jobs.push(cx.reference::<Job>(Handle(handle), access)?);
                }
            }
            attribute::PRIORITY_CLASS => priority_class = Some(cx.read::<u8>(Va(entry.value))?),
            attribute::ERROR_MODE => error_mode = Some(cx.read::<u32>(Va(entry.value))?),
            attribute::DEBUG_OBJECT => {
                let access = abi::dbgk::DEBUG_PROCESS_ASSIGN;
                debugger = Some(cx.reference::<DebugObject>(Handle(entry.value), access)?);
            }
            _ => {}
        }
    }
    let path = path.ok_or(STATUS_INVALID_PARAMETER)?;
    if priority_class.is_some_and(|class| !(1..=6).contains(&class)) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok(CreationInputs {
        path,
        parent,
        token,
        handle_list,
        jobs,
        priority_class,
        error_mode,
        debugger,
    })
}

fn read_handles(cx: &mut ServiceCx<'_>, entry: &PS_ATTRIBUTE) -> NtResult<Vec<u64>> {
    let bytes = cx.read_vec(Va(entry.value), entry.size as usize)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|handle| u64::from_le_bytes(*handle)).collect())
}

fn image_information(process: &Process) -> NtResult<abi::mm::SECTION_IMAGE_INFORMATION> {
    let section = process.state.open().image_section.clone();
    section.and_then(|section| section.image_information()).ok_or(STATUS_INVALID_PARAMETER)
}

crate::service_table! {
    SERVICES: nt_terminate_process, nt_open_process, nt_get_next_process, nt_suspend_process, nt_resume_process,
    nt_query_information_process, nt_set_information_process,
    nt_create_user_process,
}
