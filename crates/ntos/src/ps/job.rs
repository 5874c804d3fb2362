//! Job objects: groups of processes with limits, accounting and messages.
//!
//! Key types: [`Job`], [`JobState`], [`Message`]. A process is in one job, its state's `job`, and so in all jobs
//! above that one: a job has a parent once a process of that parent was assigned to it. Each job of the chain lists
//! the process, so its counts and limits speak of everything below it.
//!
//! Neighbours: [`super::exit`] tells of processes that end, [`super::create`]'s callers put children in with
//! [`inherit`], the clock asks for time limits ([`check_times`]). Sources: "Job Objects" and "Nested Jobs" of the Win32
//! documentation, `winnt.h`.

use std::sync::{Arc, Weak};

use abi::job::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};

use crate::Kernel;
use crate::guarded::Guarded;
use crate::io::completion::{self, IoCompletion, Packet};
use crate::ke::event;
use crate::ob::{self, AccessMap, ObRef, Object, ObjectBody, TypeInfo};

use super::{Process, exit};

/// The exit status of processes that a limit ends, as `JOBOBJECT_END_OF_JOB_TIME_INFORMATION` documents: a Win32 error.
const ERROR_NOT_ENOUGH_QUOTA: NtStatus = NtStatus(1816);

/// A job.
#[derive(Default)]
pub struct Job {
    /// Its state.
    pub state: Guarded<JobState>,
}

/// State of a job.
#[derive(Default)]
pub struct JobState {
    /// The job that this one is nested in.
    pub parent: Option<ObRef<Job>>,
    /// Processes that have not ended, in order of assignment, those of nested jobs included.
    pub processes: Vec<ObRef<Process>>,
    /// Limits as they were set.
    pub limits: JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    /// `JOB_OBJECT_UILIMIT_…`: rights of user32 that the job's processes are without.
    pub ui_limits: u32,
    /// What the end of the job's time does: `JOB_OBJECT_TERMINATE_AT_END_OF_JOB` or `JOB_OBJECT_POST_AT_END_OF_JOB`.
    pub end_of_job_time: u32,
    /// Where messages go, with the key.
    pub port: Option<(ObRef<IoCompletion>, u64)>,
    /// Processes that ever were in it.
    pub total_processes: u32,
    /// Processes that a limit ended.
    pub total_terminated: u32,
    /// Instructions of processes that have ended.
    pub ended_instructions: u64,
    /// Instructions of the job when its time limit was set: the start of the "period".
    pub period_start: u64,
    /// The job's processes are being ended together: it is signaled when none is left.
    pub terminating: bool,
    /// The message of the job's time limit has been sent.
    pub out_of_time: bool,
}

impl ObjectBody for Job {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Job",
        access: AccessMap {
            read: 0x2_0004,
            write: 0x2_000B,
            execute: 0x12_0000,
            all: JOB_OBJECT_ALL_ACCESS,
        },
        body_size: 0x200,
    };

    fn last_handle_closed(job: &ObRef<Self>, k: &mut Kernel) {
        let port = job.state.open().port.take();
        drop(port);
        if has(job, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE) {
            terminate(k, job, STATUS_SUCCESS);
        }
    }
}

/// `JOB_OBJECT_MSG_…`: what a job tells its completion port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Message {
    /// The job's time is over, and the job goes on.
    EndOfJobTime = 1,
    /// A process ran out of its time.
    EndOfProcessTime = 2,
    /// A process more than the limit was tried.
    ActiveProcessLimit = 3,
    /// The last process ended.
    ActiveProcessZero = 4,
    /// A process is new in the job.
    NewProcess = 6,
    /// A process ended.
    ExitProcess = 7,
    /// A process ended by an exception that nobody handled.
    AbnormalExitProcess = 8,
}

/// Makes a job without limits.
pub fn create_job(k: &mut Kernel) -> NtResult<ObRef<Job>> {
    let job = ob::create(k, Job::default())?;
    job.header.dispatcher().initialize(&k.ram, abi::ke::NOTIFICATION_EVENT, 0);
    Ok(job)
}

/// A job and the jobs it is nested in, innermost first.
pub fn chain(job: &ObRef<Job>) -> Vec<ObRef<Job>> {
    let mut jobs = vec![job.clone()];
    let mut next = job.state.open().parent.clone();
    while let Some(job) = next {
        next = job.state.open().parent.clone();
        jobs.push(job);
    }
    jobs
}

/// The job of a process: the innermost.
pub fn job_of(process: &Process) -> Option<ObRef<Job>> {
    process.state.open().job.clone()
}

/// True if the process is in the job or in one nested in it.
pub fn contains(job: &ObRef<Job>, process: &Process) -> bool {
    job_of(process).is_some_and(|inner| chain(&inner).iter().any(|each| Arc::ptr_eq(each, job)))
}

fn has(job: &Job, limit: u32) -> bool {
    job.state.open().limits.BasicLimitInformation.LimitFlags & limit != 0
}

/// Assigns a process to a job.
///
/// A process that is in a job already can go to a job below it, or to an empty one, which is then nested in the
/// process's job; anything else gives `STATUS_ACCESS_DENIED`, as do user interface limits on either. A process more
/// than the limit is ended, `STATUS_QUOTA_EXCEEDED`.
pub fn assign(k: &mut Kernel, job: &ObRef<Job>, process: &ObRef<Process>) -> NtResult<()> {
    if process.is_exiting() {
        return Err(STATUS_PROCESS_IS_TERMINATING);
    }
    let mut above = None;
    if let Some(current) = job_of(process) {
        if contains(job, process) {
            return Ok(());
        }
        let (empty, orphan, limited) = {
            let state = job.state.open();
            (state.processes.is_empty(), state.parent.is_none(), state.ui_limits != 0)
        };
        let below = chain(job).iter().any(|each| Arc::ptr_eq(each, &current));
        if limited || !(below || empty && orphan) {
            return Err(STATUS_ACCESS_DENIED);
        }
        above = (!below).then_some(current);
    }
    if let Some(above) = &above {
        job.state.open().parent = Some(above.clone());
    }
    let entered = enter(k, job, process);
    if let Err(status) = entered {
        if above.is_some() {
            job.state.open().parent = None;
        }
        exit::terminate_process(k, process, ERROR_NOT_ENOUGH_QUOTA);
        return Err(status);
    }
    Ok(())
}

/// Puts a process into a job and those above it, where it is not yet; a full one refuses it and hears of it.
fn enter(k: &mut Kernel, job: &ObRef<Job>, process: &ObRef<Process>) -> NtResult<()> {
    let jobs: Vec<_> = chain(job).into_iter().filter(|each| !lists(each, process)).collect();
    for each in &jobs {
        let full = {
            let state = each.state.open();
            let limits = &state.limits.BasicLimitInformation;
            limits.LimitFlags & JOB_OBJECT_LIMIT_ACTIVE_PROCESS != 0
                && state.processes.len() >= limits.ActiveProcessLimit as usize
        };
        if full {
            each.state.open().total_terminated += 1;
            post(k, each, Message::ActiveProcessLimit, 0);
            return Err(STATUS_QUOTA_EXCEEDED);
        }
    }
    process.state.open().job = Some(job.clone());
    for each in &jobs {
        {
            let mut state = each.state.open();
            state.processes.push(process.clone());
            state.total_processes += 1;
            state.terminating = false;
        }
        each.header.dispatcher().set_state(&k.ram, 0);
        apply_limits(each, process);
        post(k, each, Message::NewProcess, process.pid);
    }
    Ok(())
}

fn lists(job: &Job, process: &ObRef<Process>) -> bool {
    job.state.open().processes.iter().any(|each| Arc::ptr_eq(each, process))
}

/// The job that a child of `parent` starts in.
///
/// From the innermost job outward, those that let children break away are left out, with `breakaway` as with
/// `CREATE_BREAKAWAY_FROM_JOB`; it gives `STATUS_ACCESS_DENIED` if the innermost does not allow that.
pub fn inherit(parent: &Process, breakaway: bool) -> NtResult<Option<ObRef<Job>>> {
    let Some(innermost) = job_of(parent) else { return Ok(None) };
    let explicit = if breakaway { JOB_OBJECT_LIMIT_BREAKAWAY_OK } else { 0 };
    let leaves = JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK | explicit;
    if breakaway && !has(&innermost, leaves) {
        return Err(STATUS_ACCESS_DENIED);
    }
    Ok(chain(&innermost).into_iter().find(|job| !has(job, leaves)))
}

/// Puts a new process, which has no thread yet, into a job.
pub fn enter_new(k: &mut Kernel, job: &ObRef<Job>, process: &ObRef<Process>) -> NtResult<()> {
    enter(k, job, process)
}

/// Changes a job's limits and applies them to the processes that are in it.
pub fn set_limits(k: &mut Kernel, job: &ObRef<Job>, limits: JOBOBJECT_EXTENDED_LIMIT_INFORMATION) {
    let flags = limits.BasicLimitInformation.LimitFlags;
    let used = instructions(job);
    let processes = {
        let mut state = job.state.open();
        let peaks = (state.limits.PeakProcessMemoryUsed, state.limits.PeakJobMemoryUsed);
        if flags & JOB_OBJECT_LIMIT_JOB_TIME != 0 {
            state.period_start = used;
            state.out_of_time = false;
        }
        let old_time = state.limits.BasicLimitInformation.PerJobUserTimeLimit;
        state.limits = limits;
        (state.limits.PeakProcessMemoryUsed, state.limits.PeakJobMemoryUsed) = peaks;
        if flags & JOB_OBJECT_LIMIT_PRESERVE_JOB_TIME != 0 {
            state.limits.BasicLimitInformation.PerJobUserTimeLimit = old_time;
        }
        state.processes.clone()
    };
    for process in &processes {
        apply_limits(job, process);
    }
    let timed = JOB_OBJECT_LIMIT_JOB_TIME | JOB_OBJECT_LIMIT_PROCESS_TIME;
    let known = k.ps.timed_jobs.iter().any(|each| Weak::ptr_eq(each, &Arc::downgrade(job)));
    if flags & timed != 0 && !known {
        k.ps.timed_jobs.push(Arc::downgrade(job));
    }
}

/// Gives a process what a job prescribes: the priority class.
fn apply_limits(job: &Job, process: &Process) {
    let limits = job.state.open().limits.BasicLimitInformation;
    if limits.LimitFlags & JOB_OBJECT_LIMIT_PRIORITY_CLASS != 0
        && let Some(class) = priority_class(limits.PriorityClass)
    {
        super::create::set_priority_class(process, class);
    }
}

/// The priority class of a limit: NT's number, or the Win32 constant, which the userland hands on as it is.
pub fn priority_class(limit: u32) -> Option<u8> {
    match limit {
        1..=6 => Some(limit as u8),
        0x40 => Some(1),
        0x20 => Some(2),
        0x80 => Some(3),
        0x100 => Some(4),
        0x4000 => Some(5),
        0x8000 => Some(6),
        _ => None,
    }
}

/// True if a job of the process prescribes its priority class: changing it succeeds without effect.
pub fn fixes_priority(process: &Process) -> bool {
    let jobs = job_of(process).map(|job| chain(&job)).unwrap_or_default();
    jobs.iter().any(|job| has(job, JOB_OBJECT_LIMIT_PRIORITY_CLASS))
}

/// Associates a completion port; it hears of every process that is in the job.
pub fn set_port(k: &mut Kernel, job: &ObRef<Job>, port: Option<(ObRef<IoCompletion>, u64)>) {
    let pids: Vec<u64> = {
        let mut state = job.state.open();
        state.port = port;
        state.processes.iter().map(|process| process.pid).collect()
    };
    for pid in pids {
        post(k, job, Message::NewProcess, pid);
    }
}

/// Ends every process of a job.
pub fn terminate(k: &mut Kernel, job: &ObRef<Job>, status: NtStatus) {
    let processes = {
        let mut state = job.state.open();
        state.terminating = !state.processes.is_empty();
        state.processes.clone()
    };
    for process in &processes {
        exit::terminate_process(k, process, status);
    }
}

/// A process has ended: its jobs count it out and tell their ports.
pub(super) fn process_exits(k: &mut Kernel, process: &ObRef<Process>) {
    let Some(innermost) = job_of(process) else { return };
    let (instructions, status) = {
        let state = process.state.open();
        (state.instructions, state.exit_status.unwrap_or(STATUS_SUCCESS))
    };
    for job in chain(&innermost).iter().filter(|job| lists(job, process)) {
        let (empty, signals) = {
            let mut state = job.state.open();
            state.processes.retain(|each| !Arc::ptr_eq(each, process));
            state.ended_instructions += instructions;
            let empty = state.processes.is_empty();
            (empty, empty && std::mem::take(&mut state.terminating))
        };
        let message = match is_abnormal(status) {
            true => Message::AbnormalExitProcess,
            false => Message::ExitProcess,
        };
        post(k, job, message, process.pid);
        if empty {
            post(k, job, Message::ActiveProcessZero, 0);
        }
        if signals {
            event::ke_signal_forever(k, job.header.dispatcher());
        }
    }
}

/// The exit codes that the documentation of `JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS` lists.
fn is_abnormal(status: NtStatus) -> bool {
    matches!(
        status,
        STATUS_ACCESS_VIOLATION
            | STATUS_ARRAY_BOUNDS_EXCEEDED
            | STATUS_BREAKPOINT
            | STATUS_DATATYPE_MISALIGNMENT
            | STATUS_FLOAT_DENORMAL_OPERAND
            | STATUS_FLOAT_DIVIDE_BY_ZERO
            | STATUS_FLOAT_INEXACT_RESULT
            | STATUS_FLOAT_INVALID_OPERATION
            | STATUS_FLOAT_OVERFLOW
            | STATUS_FLOAT_STACK_CHECK
            | STATUS_FLOAT_UNDERFLOW
            | STATUS_GUARD_PAGE_VIOLATION
            | STATUS_ILLEGAL_INSTRUCTION
            | STATUS_IN_PAGE_ERROR
            | STATUS_INTEGER_DIVIDE_BY_ZERO
            | STATUS_INTEGER_OVERFLOW
            | STATUS_INVALID_DISPOSITION
            | STATUS_NONCONTINUABLE_EXCEPTION
            | STATUS_PRIVILEGED_INSTRUCTION
            | STATUS_SINGLE_STEP
            | STATUS_STACK_OVERFLOW
    )
}

fn post(k: &mut Kernel, job: &Job, message: Message, value: u64) {
    let port = job.state.open().port.clone();
    if let Some((port, key)) = port {
        let information = message as u64;
        let packet = Packet { key, apc_context: value, status: STATUS_SUCCESS, information };
        completion::post(k, &port, packet);
    }
}

/// Instructions that the processes of a job have executed.
pub fn instructions(job: &Job) -> u64 {
    let (ended, processes) = {
        let state = job.state.open();
        (state.ended_instructions, state.processes.clone())
    };
    processes.iter().fold(ended, |sum, process| sum.saturating_add(process.instructions()))
}

/// Ends what has used up its time: called now and then, and cheap without such limits.
pub fn check_times(k: &mut Kernel) {
    if k.ps.timed_jobs.is_empty() {
        return;
    }
    k.ps.timed_jobs.retain(|job| job.strong_count() > 0);
    let jobs: Vec<ObRef<Job>> = k.ps.timed_jobs.iter().filter_map(Weak::upgrade).collect();
    for job in &jobs {
        check_process_times(k, job);
        check_job_time(k, job);
    }
}

fn check_process_times(k: &mut Kernel, job: &ObRef<Job>) {
    let (limits, processes) = {
        let state = job.state.open();
        (state.limits.BasicLimitInformation, state.processes.clone())
    };
    if limits.LimitFlags & JOB_OBJECT_LIMIT_PROCESS_TIME == 0 {
        return;
    }
    let over = |process: &&ObRef<Process>| {
        !process.is_exiting()
            && super::cpu_time(process.instructions()) > limits.PerProcessUserTimeLimit as u64
    };
    for process in processes.iter().filter(over) {
        job.state.open().total_terminated += 1;
        post(k, job, Message::EndOfProcessTime, process.pid);
        exit::terminate_process(k, process, ERROR_NOT_ENOUGH_QUOTA);
    }
}

fn check_job_time(k: &mut Kernel, job: &ObRef<Job>) {
    let used = instructions(job);
    let terminates = {
        let mut state = job.state.open();
        let limits = state.limits.BasicLimitInformation;
        let period = super::cpu_time(used.saturating_sub(state.period_start));
        let timed = limits.LimitFlags & JOB_OBJECT_LIMIT_JOB_TIME != 0;
        if !timed || state.out_of_time || period <= limits.PerJobUserTimeLimit as u64 {
            return;
        }
        state.out_of_time = true;
        let posts = state.end_of_job_time == JOB_OBJECT_POST_AT_END_OF_JOB && state.port.is_some();
        if posts {
            // The documentation: the limit is cleared when the message was sent.
            state.limits.BasicLimitInformation.LimitFlags &= !JOB_OBJECT_LIMIT_JOB_TIME;
        } else {
            state.total_terminated += state.processes.len() as u32;
        }
        !posts
    };
    if terminates {
        terminate(k, job, ERROR_NOT_ENOUGH_QUOTA);
    } else {
        post(k, job, Message::EndOfJobTime, 0);
    }
}

/// A job that someone may have let go of.
pub type WeakJob = Weak<Object<Job>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestMachine, process, thread};

    fn limited(k: &mut Kernel, flags: u32) -> ObRef<Job> {
        let job = create_job(k).unwrap();
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = flags;
        set_limits(k, &job, limits);
        job
    }

    #[test]
    fn children_leave_the_jobs_that_let_them() {
        let machine = TestMachine::new();
        machine.executive.with(|k| {
            let outer = limited(k, 0);
            let inner = limited(k, JOB_OBJECT_LIMIT_BREAKAWAY_OK);
            assign(k, &outer, &machine.process).unwrap();
            assign(k, &inner, &machine.process).unwrap();
            assert!(contains(&outer, &machine.process));
            let stays = inherit(&machine.process, false).unwrap().unwrap();
            assert!(Arc::ptr_eq(&stays, &inner));
            let leaves = inherit(&machine.process, true).unwrap().unwrap();
            assert!(Arc::ptr_eq(&leaves, &outer));
            set_limits(k, &inner, JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default());
            assert_eq!(inherit(&machine.process, true).err(), Some(STATUS_ACCESS_DENIED));
        });
    }

    #[test]
    fn a_job_out_of_time_posts_once_or_ends() {
        let machine = TestMachine::new();
        machine.executive.with(|k| {
            let job = create_job(k).unwrap();
            let port = completion::create(k).unwrap();
            assign(k, &job, &machine.process).unwrap();
            set_port(k, &job, Some((port.clone(), 9)));
            job.state.open().end_of_job_time = JOB_OBJECT_POST_AT_END_OF_JOB;
            let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
            limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_JOB_TIME;
            limits.BasicLimitInformation.PerJobUserTimeLimit = 10;
            set_limits(k, &job, limits);
            check_times(k);
            machine.thread.sched.open().instructions += 2000;
            check_times(k);
            check_times(k);
            let messages: Vec<u64> =
                completion::take(k, &port, 9).iter().map(|packet| packet.information).collect();
            assert_eq!(messages, [Message::NewProcess as u64, Message::EndOfJobTime as u64]);
            assert!(!machine.process.is_exiting());

            job.state.open().end_of_job_time = JOB_OBJECT_TERMINATE_AT_END_OF_JOB;
            set_limits(k, &job, limits);
            machine.thread.sched.open().instructions += 2000;
            check_times(k);
            let status = machine.process.state.open().exit_status;
            assert_eq!(status, Some(ERROR_NOT_ENOUGH_QUOTA));
        });
    }

    #[test]
    fn a_job_is_signaled_when_its_termination_is_complete() {
        let machine = TestMachine::new();
        machine.executive.with(|k| {
            let job = create_job(k).unwrap();
            let other = process(k, "other.exe");
            let its_thread = thread(k, &other);
            assign(k, &job, &other).unwrap();
            terminate(k, &job, STATUS_SUCCESS);
            assert_eq!(job.header.dispatcher().state(&k.ram), 0);
            exit::thread_exits(k, &its_thread);
            assert_eq!(job.header.dispatcher().state(&k.ram), 1);
            let state = job.state.open();
            assert_eq!((state.processes.len(), state.total_processes), (0, 1));
        });
    }
}
