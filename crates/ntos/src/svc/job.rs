//! Job services: creation, assignment, limits, queries, termination.
//!
//! The objects and their rules are in [`crate::ps::job`].

use abi::NtResult;
use abi::job::*;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::{PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SET_QUOTA, PROCESS_TERMINATE};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::enum_arg;
use crate::io::completion::IoCompletion;
use crate::ob::ObRef;
use crate::ps::job::{self, Job};
use crate::ps::{Process, cpu_time};

use super::args::{AccessMask, HandleValue};
use super::info::Reply;
use super::object::{create_object, open_by_name};
use super::thread::{NtStatusArg, unknown_class};
use super::{Handle, In, Out, ServiceCx};

enum_arg! {
    /// `JOBOBJECTINFOCLASS`.
    JobInfoClass {
        JobObjectBasicAccountingInformation = 1, JobObjectBasicLimitInformation = 2,
        JobObjectBasicProcessIdList = 3, JobObjectBasicUIRestrictions = 4,
        JobObjectSecurityLimitInformation = 5, JobObjectEndOfJobTimeInformation = 6,
        JobObjectAssociateCompletionPortInformation = 7,
        JobObjectBasicAndIoAccountingInformation = 8, JobObjectExtendedLimitInformation = 9,
        JobObjectJobSetInformation = 10, JobObjectGroupInformation = 11,
        JobObjectNotificationLimitInformation = 12, JobObjectLimitViolationInformation = 13,
        JobObjectGroupInformationEx = 14, JobObjectCpuRateControlInformation = 15,
        JobObjectNetRateControlInformation = 32, JobObjectNotificationLimitInformation2 = 33,
        JobObjectLimitViolationInformation2 = 34,
    }
}

/// `IO_COUNTERS`: input and output are not counted per process.
const NO_COUNTERS: [u64; 6] = [0; 6];

/// Creates a job, or opens the one of that name with `OBJ_OPENIF`.
#[service]
fn nt_create_job_object(
    cx: &mut ServiceCx<'_>,
    job_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    create_object(cx, job_handle, desired_access, object_attributes, job::create_job)
}

/// Opens a job by name.
#[service]
fn nt_open_job_object(
    cx: &mut ServiceCx<'_>,
    job_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<Job>(cx, job_handle, desired_access, object_attributes)
}

/// Assigns a process to a job.
///
/// Requires `JOB_OBJECT_ASSIGN_PROCESS`, and `PROCESS_SET_QUOTA` and `PROCESS_TERMINATE` of the process. Fails with
/// `STATUS_ACCESS_DENIED` if the process is in a job that the new one is not below and cannot be nested in,
/// `STATUS_PROCESS_IS_TERMINATING` if it ends. One process too many is ended: `STATUS_QUOTA_EXCEEDED`.
#[service]
fn nt_assign_process_to_job_object(
    cx: &mut ServiceCx<'_>,
    job_handle: Handle,
    process_handle: Handle,
) -> NtResult {
    let job = cx.reference::<Job>(job_handle, JOB_OBJECT_ASSIGN_PROCESS)?;
    let process = cx.reference::<Process>(process_handle, PROCESS_SET_QUOTA | PROCESS_TERMINATE)?;
    job::assign(cx.k, &job, &process)?;
    Ok(STATUS_SUCCESS)
}

/// Ends every process of a job. Requires `JOB_OBJECT_TERMINATE`.
#[service]
fn nt_terminate_job_object(
    cx: &mut ServiceCx<'_>,
    job_handle: Handle,
    exit_status: NtStatusArg,
) -> NtResult {
    let job = cx.reference::<Job>(job_handle, JOB_OBJECT_TERMINATE)?;
    job::terminate(cx.k, &job, exit_status.0);
    Ok(STATUS_SUCCESS)
}

/// Tells by its status whether a process is in a job; a null job means any.
#[service]
fn nt_is_process_in_job(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    job_handle: Handle,
) -> NtResult {
    let process = cx.reference::<Process>(process_handle, PROCESS_QUERY_LIMITED_INFORMATION)?;
    let inside = match job_handle.non_null() {
        Some(handle) => job::contains(&cx.reference::<Job>(handle, JOB_OBJECT_QUERY)?, &process),
        None => job::job_of(&process).is_some(),
    };
    Ok(if inside { STATUS_PROCESS_IN_JOB } else { STATUS_PROCESS_NOT_IN_JOB })
}

/// Queries a job; a null handle means the caller's, `STATUS_ACCESS_DENIED` if it is in none.
///
/// Requires `JOB_OBJECT_QUERY`. A process list that does not fit gives what fits and `STATUS_BUFFER_OVERFLOW`.
#[service(Partial("rates, notification limits and processor groups of jobs"))]
fn nt_query_information_job_object(
    cx: &mut ServiceCx<'_>,
    job_handle: Handle,
    job_object_information_class: JobInfoClass,
    job_object_information: Va,
    job_object_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    use JobInfoClass as C;
    let job = match job_handle.non_null() {
        Some(handle) => cx.reference::<Job>(handle, JOB_OBJECT_QUERY)?,
        None => job::job_of(cx.process()).ok_or(STATUS_ACCESS_DENIED)?,
    };
    let reply = Reply {
        buffer: job_object_information,
        length: job_object_information_length,
        return_length,
    };
    match job_object_information_class.0 {
        C::JobObjectBasicAccountingInformation => {
            let value = accounting(&job);
            reply.exact(cx, &value)
        }
        C::JobObjectBasicAndIoAccountingInformation => {
            let value = JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION {
                BasicInfo: accounting(&job),
                IoInfo: NO_COUNTERS,
            };
            reply.exact(cx, &value)
        }
        C::JobObjectBasicLimitInformation => {
            let mut value = job.state.open().limits.BasicLimitInformation;
            value.LimitFlags &= JOB_OBJECT_BASIC_LIMIT_VALID_FLAGS;
            reply.exact(cx, &value)
        }
        C::JobObjectExtendedLimitInformation => {
            let value = extended_limits(&job);
            reply.exact(cx, &value)
        }
        C::JobObjectBasicProcessIdList => process_ids(cx, &job, &reply),
        C::JobObjectBasicUIRestrictions => {
            let value = job.state.open().ui_limits;
            reply.exact(cx, &value)
        }
        C::JobObjectEndOfJobTimeInformation => {
            let value = job.state.open().end_of_job_time;
            reply.exact(cx, &value)
        }
        other => unknown_class(cx, "NtQueryInformationJobObject", other),
    }
}

fn accounting(job: &ObRef<Job>) -> JOBOBJECT_BASIC_ACCOUNTING_INFORMATION {
    let used = job::instructions(job);
    let state = job.state.open();
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION {
        TotalUserTime: cpu_time(used) as i64,
        TotalKernelTime: 0,
        ThisPeriodTotalUserTime: cpu_time(used.saturating_sub(state.period_start)) as i64,
        ThisPeriodTotalKernelTime: 0,
        TotalPageFaultCount: 0,
        TotalProcesses: state.total_processes,
        ActiveProcesses: state.processes.len() as u32,
        TotalTerminatedProcesses: state.total_terminated,
    }
}

/// The limits with the memory peaks brought up to date.
fn extended_limits(job: &ObRef<Job>) -> JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
    let processes = job.state.open().processes.clone();
    let committed = processes.iter().map(|process| crate::mm::usage(process).1);
    let (most, sum) =
        committed.fold((0, 0u64), |(most, sum), each| (each.max(most), sum.saturating_add(each)));
    let mut state = job.state.open();
    let limits = &mut state.limits;
    limits.PeakProcessMemoryUsed = limits.PeakProcessMemoryUsed.max(most);
    limits.PeakJobMemoryUsed = limits.PeakJobMemoryUsed.max(sum);
    *limits
}

/// `JOBOBJECT_BASIC_PROCESS_ID_LIST`: two counts and as many ids as fit.
fn process_ids(cx: &mut ServiceCx<'_>, job: &ObRef<Job>, reply: &Reply) -> NtResult {
    const HEADER: usize = 8;
    let ids: Vec<u64> = job.state.open().processes.iter().map(|process| process.pid).collect();
    let room = (reply.length as usize).checked_sub(HEADER + 8);
    let room = room.ok_or(STATUS_INFO_LENGTH_MISMATCH)? / 8 + 1;
    let listed = ids.get(..room).unwrap_or(&ids);
    cx.write(reply.buffer, &[ids.len() as u32, listed.len() as u32])?;
    cx.write_bytes(Va(reply.buffer.0.wrapping_add(HEADER as u64)), listed.as_bytes())?;
    reply.store_length(cx, HEADER + listed.len() * 8)?;
    if listed.len() < ids.len() { Err(STATUS_BUFFER_OVERFLOW) } else { Ok(STATUS_SUCCESS) }
}

/// Changes a job.
///
/// Requires `JOB_OBJECT_SET_ATTRIBUTES`. Limits are enforced for processes (count, time, priority class, breakaway,
/// end with the last handle); those of memory, working set, affinity and scheduling class are kept, and a notice says
/// that nothing enforces them.
#[service(Partial("limits of memory, working set and affinity are kept, not enforced"))]
fn nt_set_information_job_object(
    cx: &mut ServiceCx<'_>,
    job_handle: Handle,
    job_object_information_class: JobInfoClass,
    job_object_information: Va,
    job_object_information_length: u32,
) -> NtResult {
    use JobInfoClass as C;
    let job = cx.reference::<Job>(job_handle, JOB_OBJECT_SET_ATTRIBUTES)?;
    let need = |size: usize| match job_object_information_length as usize == size {
        true => Ok(()),
        false => Err(STATUS_INFO_LENGTH_MISMATCH),
    };
    match job_object_information_class.0 {
        C::JobObjectBasicLimitInformation => {
            need(size_of::<JOBOBJECT_BASIC_LIMIT_INFORMATION>())?;
            let basic: JOBOBJECT_BASIC_LIMIT_INFORMATION = cx.read(job_object_information)?;
            if basic.LimitFlags & !JOB_OBJECT_BASIC_LIMIT_VALID_FLAGS != 0 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            let limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
                BasicLimitInformation: basic,
                ..Default::default()
            };
            set_limits(cx, &job, limits)?;
        }
        C::JobObjectExtendedLimitInformation => {
            need(size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>())?;
            let limits = cx.read(job_object_information)?;
            set_limits(cx, &job, limits)?;
        }
        C::JobObjectBasicUIRestrictions => {
            need(4)?;
            let restrictions = cx.read::<u32>(job_object_information)?;
            if restrictions & !JOB_OBJECT_UI_VALID_FLAGS != 0 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            // They restrict user32 alone, and win32k gives no program windows, desktops or atoms of others.
            job.state.open().ui_limits = restrictions;
        }
        C::JobObjectEndOfJobTimeInformation => {
            need(4)?;
            let action = cx.read::<u32>(job_object_information)?;
            if action > JOB_OBJECT_POST_AT_END_OF_JOB {
                return Err(STATUS_INVALID_PARAMETER);
            }
            job.state.open().end_of_job_time = action;
        }
        C::JobObjectAssociateCompletionPortInformation => {
            need(size_of::<JOBOBJECT_ASSOCIATE_COMPLETION_PORT>())?;
            let wanted: JOBOBJECT_ASSOCIATE_COMPLETION_PORT = cx.read(job_object_information)?;
            let port = match Handle(wanted.CompletionPort).non_null() {
                Some(handle) => {
                    let access = abi::io::IO_COMPLETION_MODIFY_STATE;
                    Some((cx.reference::<IoCompletion>(handle, access)?, wanted.CompletionKey))
                }
                None => None,
            };
            // A port can be taken away, not exchanged.
            if port.is_some() && job.state.open().port.is_some() {
                return Err(STATUS_INVALID_PARAMETER);
            }
            job::set_port(cx.k, &job, port);
        }
        other => return unknown_class(cx, "NtSetInformationJobObject", other),
    }
    Ok(STATUS_SUCCESS)
}

/// Checks and sets limits. What a basic set does not name is cleared, as the flags say what is in force.
fn set_limits(
    cx: &mut ServiceCx<'_>,
    job: &ObRef<Job>,
    limits: JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
) -> NtResult<()> {
    let basic = &limits.BasicLimitInformation;
    let flags = basic.LimitFlags;
    let set = |flag: u32| flags & flag != 0;
    let both = JOB_OBJECT_LIMIT_JOB_TIME | JOB_OBJECT_LIMIT_PRESERVE_JOB_TIME;
    let invalid = flags & !JOB_OBJECT_EXTENDED_LIMIT_VALID_FLAGS != 0
        || flags & both == both
        || set(JOB_OBJECT_LIMIT_ACTIVE_PROCESS) && basic.ActiveProcessLimit == 0
        || set(JOB_OBJECT_LIMIT_PROCESS_TIME) && basic.PerProcessUserTimeLimit <= 0
        || set(JOB_OBJECT_LIMIT_JOB_TIME) && basic.PerJobUserTimeLimit <= 0
        || set(JOB_OBJECT_LIMIT_PRIORITY_CLASS)
            && job::priority_class(basic.PriorityClass).is_none()
        || set(JOB_OBJECT_LIMIT_SCHEDULING_CLASS) && basic.SchedulingClass > 9
        || set(JOB_OBJECT_LIMIT_AFFINITY) && basic.Affinity & 1 == 0
        || set(JOB_OBJECT_LIMIT_WORKINGSET)
            && (basic.MinimumWorkingSetSize == 0
                || basic.MinimumWorkingSetSize > basic.MaximumWorkingSetSize);
    if invalid {
        return Err(STATUS_INVALID_PARAMETER);
    }
    for (flag, name) in [
        (JOB_OBJECT_LIMIT_PROCESS_MEMORY, "PROCESS_MEMORY"),
        (JOB_OBJECT_LIMIT_JOB_MEMORY, "JOB_MEMORY"),
        (JOB_OBJECT_LIMIT_WORKINGSET, "WORKINGSET"),
    ] {
        if set(flag) {
            cx.k.notice_once(format!("JOB_OBJECT_LIMIT_{name} of a job is not enforced"));
        }
    }
    job::set_limits(cx.k, job, limits);
    Ok(())
}

crate::service_table! {
    SERVICES: nt_create_job_object, nt_open_job_object, nt_assign_process_to_job_object,
    nt_terminate_job_object, nt_is_process_in_job, nt_query_information_job_object,
    nt_set_information_job_object,
}
