//! `NtCreateUserProcess`.
//!
//! What a process is made of is in [`crate::ps::create`]; here its inputs are gathered and its outputs stored.

use abi::NtResult;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::dbgk::{self, DebugObject};
use crate::flags_arg;
use crate::ob::ObRef;
use crate::ps::create::{self, ProcessRequest, ThreadRequest};
use crate::ps::job::{self, Job};
use crate::ps::params::ProcessParameters;
use crate::ps::{Process, Thread, exit};
use crate::ustr::UnicodeString;

use super::args::{AccessMask, HandleValue};
use super::attributes::{AttributeList, PS_ATTRIBUTE, answer_attributes, read_attributes};
use super::process::image_information;
use super::thread::ThreadCreateFlags;
use super::{Handle, In, Out, ServiceCx};

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

crate::service_table! { SERVICES: nt_create_user_process }
