//! Thread services: creation, termination, suspension, contexts, information classes.

use abi::context::{CONTEXT, EXCEPTION_RECORD};
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use zerocopy::{Immutable, IntoBytes};

use crate::dbgk;
use crate::ke::{self, context, exception, sched};
use crate::ob::ObRef;
use crate::ps::create::{self, ThreadRequest};
use crate::ps::{Process, Thread, cpu_time, exit};
use crate::{enum_arg, flags_arg};
use ntos_macros::service;

use super::args::{AccessMask, HandleValue};
use super::attributes::{AttributeList, answer_attributes, read_attributes};
use super::info::Reply;
use super::{GuestValue, Handle, In, InOut, Out, ServiceCx};

flags_arg! {
    /// `CreateFlags` of `NtCreateThreadEx`.
    ThreadCreateFlags {
        CREATE_SUSPENDED = 1, SKIP_THREAD_ATTACH = 2, HIDE_FROM_DEBUGGER = 4, LOADER_WORKER = 0x10,
        SKIP_LOADER_INIT = 0x20, BYPASS_PROCESS_FREEZE = 0x40,
    }
}

enum_arg! {
    /// `THREADINFOCLASS`.
    ThreadInfoClass {
        ThreadBasicInformation = 0, ThreadTimes = 1, ThreadPriority = 2, ThreadBasePriority = 3,
        ThreadAffinityMask = 4, ThreadImpersonationToken = 5, ThreadDescriptorTableEntry = 6,
        ThreadEnableAlignmentFaultFixup = 7, ThreadQuerySetWin32StartAddress = 9,
        ThreadZeroTlsCell = 10, ThreadPerformanceCount = 11, ThreadAmILastThread = 12,
        ThreadIdealProcessor = 13, ThreadPriorityBoost = 14, ThreadSetTlsArrayAddress = 15,
        ThreadIsIoPending = 16, ThreadHideFromDebugger = 17, ThreadBreakOnTermination = 18,
        ThreadIsTerminated = 20, ThreadIoPriority = 22, ThreadCycleTime = 23,
        ThreadPagePriority = 24, ThreadWow64Context = 29, ThreadGroupInformation = 30,
        ThreadSuspendCount = 35, ThreadNameInformation = 38,
        ThreadPowerThrottlingState = 49, ThreadWineNativeThreadName = 1000,
    }
}

impl GuestValue for CONTEXT {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        format!("{{flags {:#x}, rip {:#x}}}", self.ContextFlags, self.Rip)
    }
}

impl GuestValue for EXCEPTION_RECORD {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        format!("{{{} at {:#x}}}", NtStatus(self.ExceptionCode), self.ExceptionAddress)
    }
}

pub(super) fn client_id(thread: &Thread) -> CLIENT_ID {
    CLIENT_ID { UniqueProcess: thread.process.pid, UniqueThread: thread.tid }
}

/// Creates a thread in a process, suspended if the flags say so.
///
/// Requires `PROCESS_CREATE_THREAD`. Stack sizes of zero mean the image's.
#[service]
fn nt_create_thread_ex(
    cx: &mut ServiceCx<'_>,
    thread_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    process_handle: Handle,
    start_routine: Va,
    argument: u64,
    create_flags: ThreadCreateFlags,
    _zero_bits: u64,
    stack_size: u64,
    maximum_stack_size: u64,
    attribute_list: AttributeList,
) -> NtResult {
    let attributes = cx.capture_attributes(object_attributes)?;
    let list = read_attributes(cx, attribute_list)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_CREATE_THREAD)?;
    thread_handle.probe(cx)?;
    let request = ThreadRequest {
        start: start_routine,
        argument,
        stack_commit: stack_size,
        stack_reserve: maximum_stack_size,
    };
    let thread = create::create_thread(cx.k, &process, &request)?;
    thread.state.open().hide_from_debugger = create_flags.0 & 4 != 0;
    let flags = attributes.map(|a| a.flags).unwrap_or_default();
    cx.give_handle(thread_handle, &thread, desired_access.0, flags)?;
    answer_attributes(cx, &list, &thread)?;
    if create_flags.0 & 1 != 0 {
        thread.sched.open().suspended = 1;
    }
    create::start_thread(cx.k, &thread);
    dbgk::post(cx.k, &thread, dbgk::What::CreateThread);
    Ok(STATUS_SUCCESS)
}

/// Ends a thread; a null handle means the caller, unless it is the last one.
#[service]
fn nt_terminate_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    exit_status: NtStatusArg,
) -> NtResult {
    let thread = match thread_handle.non_null() {
        Some(handle) => cx.reference::<Thread>(handle, THREAD_TERMINATE)?,
        None => {
            if cx.process().state.open().threads.len() == 1 {
                return Err(STATUS_CANT_TERMINATE_SELF);
            }
            cx.thread.clone()
        }
    };
    exit::terminate_thread(cx.k, &thread, exit_status.0);
    Ok(STATUS_SUCCESS)
}

/// A status passed as an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct NtStatusArg(pub NtStatus);

impl super::Arg for NtStatusArg {
    fn decode(cursor: &mut super::ArgCursor<'_>) -> Self {
        NtStatusArg(NtStatus(cursor.next_raw() as u32))
    }

    fn describe(&self, name: &'static str, trace: &mut super::ArgTrace<'_, '_>) {
        trace.input(name, |_| self.0.to_string());
    }
}

/// Opens a thread by id.
#[service]
fn nt_open_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    client_id: Option<In<CLIENT_ID>>,
) -> NtResult {
    let attributes = cx.require_attributes(object_attributes)?;
    let id = client_id.ok_or(STATUS_INVALID_PARAMETER_MIX)?.read(cx)?;
    let thread = cx.k.ps.thread(id.UniqueThread);
    let thread = thread.ok_or(STATUS_INVALID_CID)?;
    if id.UniqueProcess != 0 && id.UniqueProcess & !3 != thread.process.pid {
        return Err(STATUS_INVALID_CID);
    }
    thread_handle.probe(cx)?;
    cx.give_handle(thread_handle, &thread, desired_access.0, attributes.flags)
}

/// Opens the thread that follows another one in a process, in order of creation.
#[service]
fn nt_get_next_thread(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    thread_handle: Handle,
    desired_access: AccessMask,
    handle_attributes: u32,
    _flags: u32,
    new_thread_handle: Out<HandleValue>,
) -> NtResult {
    let process = cx.reference::<Process>(process_handle, PROCESS_QUERY_INFORMATION)?;
    let after = match thread_handle.non_null() {
        Some(handle) => Some(cx.reference::<Thread>(handle, 0)?),
        None => None,
    };
    new_thread_handle.write(cx, &HandleValue(0))?;
    let threads = process.state.open().threads.clone();
    let next = threads.iter().find(|thread| after.as_ref().is_none_or(|a| thread.tid > a.tid));
    let next = next.ok_or(STATUS_NO_MORE_ENTRIES)?;
    cx.give_handle(new_thread_handle, next, desired_access.0, handle_attributes)
}

/// Suspends a thread; its previous suspend count is returned.
#[service]
fn nt_suspend_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    previous_suspend_count: Option<Out<u32>>,
) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_SUSPEND_RESUME)?;
    let previous = suspend(&thread)?;
    if let Some(out) = previous_suspend_count {
        out.write(cx, &previous)?;
    }
    Ok(STATUS_SUCCESS)
}

/// `MAXIMUM_SUSPEND_COUNT`.
const MAXIMUM_SUSPEND_COUNT: u32 = 127;

pub(super) fn suspend(thread: &ObRef<Thread>) -> NtResult<u32> {
    if thread.is_terminating() {
        return Err(STATUS_THREAD_IS_TERMINATING);
    }
    let mut sched = thread.sched.open();
    if sched.suspended >= MAXIMUM_SUSPEND_COUNT {
        return Err(STATUS_SUSPEND_COUNT_EXCEEDED);
    }
    sched.suspended += 1;
    Ok(sched.suspended - 1)
}

/// Undoes one suspension; the thread runs when none is left.
#[service]
fn nt_resume_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    previous_suspend_count: Option<Out<u32>>,
) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_SUSPEND_RESUME)?;
    let previous = resume(cx.k, &thread);
    if let Some(out) = previous_suspend_count {
        out.write(cx, &previous)?;
    }
    Ok(STATUS_SUCCESS)
}

pub(super) fn resume(k: &mut crate::Kernel, thread: &ObRef<Thread>) -> u32 {
    let (previous, runs) = {
        let mut sched = thread.sched.open();
        let previous = sched.suspended;
        sched.suspended = previous.saturating_sub(1);
        (previous, previous == 1 && sched.wait.is_none() && !sched.frozen)
    };
    if runs {
        sched::make_ready(k, thread);
    }
    previous
}

/// Reads the registers of a thread.
#[service]
fn nt_get_context_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    thread_context: InOut<CONTEXT>,
) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_GET_CONTEXT)?;
    // Only the parts that are asked for are changed.
    let mut wanted = thread_context.read(cx)?;
    let captured = context::capture(&thread.context.open(), wanted.ContextFlags);
    context::merge(&mut wanted, &captured);
    thread_context.write(cx, &wanted)?;
    Ok(STATUS_SUCCESS)
}

/// Sets the registers of a thread.
#[service]
fn nt_set_context_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    thread_context: In<CONTEXT>,
) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_SET_CONTEXT)?;
    let record = thread_context.read(cx)?;
    context::restore(&mut thread.context.open(), &record);
    if std::sync::Arc::ptr_eq(&thread, cx.thread) {
        thread.keep_context();
    }
    Ok(STATUS_SUCCESS)
}

/// Continues at a context; with `test_alert`, pending user APCs run first.
#[service]
fn nt_continue(cx: &mut ServiceCx<'_>, context_record: In<CONTEXT>, test_alert: bool) -> NtResult {
    let record = context_record.read(cx)?;
    context::restore(&mut cx.thread.context.open(), &record);
    cx.thread.keep_context();
    if test_alert {
        ke::apc::test_alert(cx.thread);
    }
    Ok(STATUS_SUCCESS)
}

/// `NtContinue` with its argument by value (0 or 1) or as a `KCONTINUE_ARGUMENT` pointer.
#[service]
fn nt_continue_ex(
    cx: &mut ServiceCx<'_>,
    context_record: In<CONTEXT>,
    continue_argument: u64,
) -> NtResult {
    let test_alert = if continue_argument > 0xFF {
        let flags = cx.read::<u32>(Va(continue_argument.wrapping_add(4)))?;
        flags & 1 != 0
    } else {
        continue_argument != 0
    };
    nt_continue(cx, context_record, test_alert)
}

/// Raises an exception at a context, or ends the process when the first chance is past.
#[service]
fn nt_raise_exception(
    cx: &mut ServiceCx<'_>,
    exception_record: In<EXCEPTION_RECORD>,
    context_record: In<CONTEXT>,
    first_chance: bool,
) -> NtResult {
    let record = exception_record.read(cx)?;
    let context = context_record.read(cx)?;
    if record.NumberParameters > 15 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    exception::raise(cx.k, cx.thread, &record, &context, first_chance)?;
    Ok(STATUS_SUCCESS)
}

/// The processor the caller runs on.
#[service]
fn nt_get_current_processor_number(_cx: &mut ServiceCx<'_>) -> NtResult {
    Ok(NtStatus(0))
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct THREAD_BASIC_INFORMATION {
    exit_status: u32,
    _pad: u32,
    teb: u64,
    client_id: CLIENT_ID,
    affinity: u64,
    priority: i32,
    base_priority: i32,
}

/// What a thread that has not ended reports as its exit status.
const STILL_ACTIVE: NtStatus = STATUS_PENDING;

/// Queries a thread.
#[service]
fn nt_query_information_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    thread_information_class: ThreadInfoClass,
    thread_information: Va,
    thread_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    use ThreadInfoClass as C;
    let rights = THREAD_QUERY_INFORMATION | THREAD_QUERY_LIMITED_INFORMATION;
    let thread = cx.reference_granting_any::<Thread>(thread_handle, rights)?;
    let reply =
        Reply { buffer: thread_information, length: thread_information_length, return_length };
    let over = thread.sched.open().state == sched::ThreadState::Terminated;
    match thread_information_class.0 {
        C::ThreadBasicInformation => {
            let (increment, ended) = {
                let state = thread.state.open();
                (state.priority_increment, state.exit_status.filter(|_| over))
            };
            let value = THREAD_BASIC_INFORMATION {
                exit_status: ended.unwrap_or(STILL_ACTIVE).0,
                _pad: 0,
                teb: thread.teb.0,
                client_id: client_id(&thread),
                affinity: 1,
                // DEVIATION: NT answers the present priority; the userland's GetThreadPriority takes the increment from
                // here, Windows's own from the other field.
                priority: increment,
                base_priority: increment,
            };
            reply.exact(cx, &value)
        }
        C::ThreadTimes => {
            let state = thread.state.open();
            let (created, exited) = (state.created, state.exited);
            drop(state);
            let user = cpu_time(thread.sched.open().instructions);
            reply.exact(cx, &[created as u64, exited as u64, 0, user])
        }
        C::ThreadAffinityMask => reply.exact(cx, &1u64),
        C::ThreadQuerySetWin32StartAddress => reply.exact(cx, &thread.start_address.0),
        C::ThreadPerformanceCount => reply.exact(cx, &thread.sched.open().instructions),
        C::ThreadAmILastThread => {
            let last = thread.process.state.open().threads.len() == 1;
            reply.exact(cx, &u32::from(last))
        }
        C::ThreadPriorityBoost | C::ThreadIsIoPending | C::ThreadBreakOnTermination => {
            reply.exact(cx, &0u32)
        }
        C::ThreadHideFromDebugger => {
            let hidden = thread.state.open().hide_from_debugger;
            reply.exact(cx, &u8::from(hidden))
        }
        C::ThreadIsTerminated => reply.exact(cx, &u32::from(over)),
        C::ThreadIoPriority => reply.exact(cx, &2u32),
        C::ThreadPagePriority => reply.exact(cx, &5u32),
        C::ThreadCycleTime => {
            let cycles = thread.sched.open().instructions;
            reply.exact(cx, &[cycles, cycles])
        }
        C::ThreadGroupInformation => reply.exact(cx, &[1u64, 0]),
        C::ThreadSuspendCount => reply.exact(cx, &thread.sched.open().suspended),
        C::ThreadNameInformation => {
            let name = thread.state.open().name.clone();
            reply.unicode_string(cx, &name)
        }
        C::ThreadDescriptorTableEntry | C::ThreadWow64Context => Err(STATUS_NOT_SUPPORTED),
        other => unknown_class(cx, "NtQueryInformationThread", other),
    }
}

/// An information class that is not there: named once.
pub(super) fn unknown_class(cx: &mut ServiceCx<'_>, service: &str, class: u32) -> NtResult {
    cx.k.notice_once(format!("{service}: information class {class} is not implemented"));
    Err(STATUS_INVALID_INFO_CLASS)
}

/// Changes a thread.
#[service]
fn nt_set_information_thread(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    thread_information_class: ThreadInfoClass,
    thread_information: Va,
    thread_information_length: u32,
) -> NtResult {
    use ThreadInfoClass as C;
    let thread = cx.reference::<Thread>(thread_handle, 0)?;
    let need = |wanted: u32| {
        if thread_information_length == wanted { Ok(()) } else { Err(STATUS_INFO_LENGTH_MISMATCH) }
    };
    match thread_information_class.0 {
        C::ThreadPriority => {
            need(4)?;
            let priority = cx.read::<i32>(thread_information)?;
            if !(1..=31).contains(&priority) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            thread.sched.open().priority = priority;
        }
        C::ThreadBasePriority => {
            need(4)?;
            let increment = cx.read::<i32>(thread_information)?;
            let class = thread.process.state.open().priority_class;
            // The time-critical and idle increments saturate; the others are ±2, more for real-time threads.
            let increment = match increment {
                15 | 16 => 15,
                -15 | -16 => -15,
                -2..=2 => increment,
                -7..=6 if class == create::REALTIME_CLASS => increment,
                _ => return Err(STATUS_INVALID_PARAMETER),
            };
            thread.state.open().priority_increment = increment;
            let base = create::thread_base_priority(class, increment);
            let mut sched = thread.sched.open();
            sched.base_priority = base;
            sched.priority = base;
        }
        C::ThreadAffinityMask => {
            need(8)?;
            if cx.read::<u64>(thread_information)? & 1 == 0 {
                return Err(STATUS_INVALID_PARAMETER);
            }
        }
        C::ThreadImpersonationToken => {
            need(8)?;
            let handle = Handle(cx.read::<u64>(thread_information)?);
            let token = match handle.non_null() {
                Some(handle) => Some(cx.reference::<crate::se::Token>(handle, 4)?),
                None => None,
            };
            crate::se::impersonate(cx.k, &thread, token)?;
        }
        C::ThreadZeroTlsCell => {
            need(4)?;
            let index = u64::from(cx.read::<u32>(thread_information)?);
            let threads = cx.process().state.open().threads.clone();
            for thread in threads {
                zero_tls_cell(cx, &thread, index)?;
            }
        }
        C::ThreadHideFromDebugger => {
            need(0)?;
            thread.state.open().hide_from_debugger = true;
        }
        C::ThreadNameInformation => {
            need(16)?;
            let name = cx.capture_string_at(thread_information)?;
            thread.state.open().name = name;
        }
        // They ask for what every thread here has: no boost to disable, no alignment faults, normal priorities.
        C::ThreadPriorityBoost
        | C::ThreadEnableAlignmentFaultFixup
        | C::ThreadIdealProcessor
        | C::ThreadIoPriority
        | C::ThreadPagePriority
        | C::ThreadPowerThrottlingState
        | C::ThreadWineNativeThreadName => {}
        C::ThreadQuerySetWin32StartAddress => return Err(STATUS_NOT_SUPPORTED),
        C::ThreadWow64Context => return Err(STATUS_NOT_SUPPORTED),
        other => return unknown_class(cx, "NtSetInformationThread", other),
    }
    Ok(STATUS_SUCCESS)
}

fn zero_tls_cell(cx: &mut ServiceCx<'_>, thread: &ObRef<Thread>, index: u64) -> NtResult<()> {
    const TLS_SLOTS: u64 = 0x1480;
    const TLS_EXPANSION_SLOTS: u64 = 0x1780;
    let teb = thread.teb.0;
    if index < 64 {
        return cx.write(Va(teb + TLS_SLOTS + index * 8), &0u64);
    }
    if index >= 64 + 1024 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    match cx.read::<u64>(Va(teb + TLS_EXPANSION_SLOTS))? {
        0 => Ok(()),
        slots => cx.write(Va(slots.wrapping_add((index - 64) * 8)), &0u64),
    }
}

crate::service_table! {
    SERVICES: nt_create_thread_ex, nt_terminate_thread, nt_open_thread, nt_get_next_thread,
    nt_suspend_thread, nt_resume_thread, nt_get_context_thread, nt_set_context_thread, nt_continue,
    nt_continue_ex, nt_raise_exception, nt_get_current_processor_number,
    nt_query_information_thread, nt_set_information_thread,
}
