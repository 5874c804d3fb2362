//! The run loop: what a processor does between guest instructions.
//!
//! [`run`] picks a thread, lets its pending service go on or its guest code run, and takes each exit of the processor
//! to a service or an exception. It ends when no process is left or the host asks it to.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use abi::NtStatus;
use abi::status_table::*;
use cpu::{Clock, Engine, Exit, reg};
use guest_mem::{GuestRam, Va};

use crate::Kernel;
use crate::host::HostEvent;
use crate::ke::sched::{self, ThreadState};
use crate::ke::{exception, timer};
use crate::ob::ObRef;
use crate::ps::{Process, Thread, exit};
use crate::svc::table::{Entry, Handler};
use crate::svc::{ArgTrace, AsyncCx, Call, Executive, Mode, RawArgs, ServiceCx, ServiceDef};
use crate::trace::PendingCall;

/// Instructions a thread runs before others of its priority get their turn.
const QUANTUM: u64 = 400_000;

/// Why the machine stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The process that the run was for has ended, or no program is left.
    Done,
    /// The host asked (Ctrl-C).
    Interrupted,
    /// The time limit passed.
    TimedOut,
    /// Every thread waits for something that nothing can bring.
    Deadlock,
}

/// What the caller limits.
#[derive(Clone, Default)]
pub struct Limits {
    /// Ends the machine at this interrupt time (100 ns).
    pub deadline: Option<u64>,
    /// Ends the run when this process has ended; without it, when no program is left.
    pub until: Option<ObRef<Process>>,
}

struct HostClock<'a>(&'a dyn crate::host::Host);

impl Clock for HostClock<'_> {
    fn tsc(&self, instructions: u64) -> u64 {
        self.0.tsc(instructions)
    }
}

/// What the loop does next with the thread it has.
enum Next {
    /// Guest code.
    Guest,
    /// Another thread.
    Switch,
}

/// Runs the machine on one processor until it stops.
pub fn run(executive: &Arc<Executive>, engine: &mut dyn Engine, limits: Limits) -> Stop {
    let (host, ram) = executive.with(|k| (k.host.clone(), k.ram.clone()));
    let mut processor = Processor { executive, engine, host: &*host, ram: &ram };
    loop {
        let picked = executive.with(|k| {
            k.ke.interrupt_time = host.interrupt_time();
            timer::expire(k);
            crate::ex::clock::tick(k);
            if limits.deadline.is_some_and(|deadline| k.ke.interrupt_time >= deadline) {
                return Err(Stop::TimedOut);
            }
            let done = match &limits.until {
                Some(process) => process.has_ended(),
                None => k.ps.threads.is_empty(),
            };
            if done {
                return Err(Stop::Done);
            }
            Ok(sched::pick(k))
        });
        let event = match picked {
            Err(stop) => return stop,
            Ok(Some(thread)) => {
                processor.run_thread(&thread);
                host.poll()
            }
            Ok(None) => {
                let (due, waits_for_host) =
                    executive.with(|k| (k.ke.timers.next_due(), k.io.waits_for_host()));
                let until = [due, limits.deadline].into_iter().flatten().min();
                if until.is_none() && !waits_for_host {
                    return Stop::Deadlock;
                }
                let timeout = until.map(|until| {
                    Duration::from_nanos(until.saturating_sub(host.interrupt_time()) * 100)
                });
                host.wait(timeout)
            }
        };
        match event {
            Some(HostEvent::Interrupt) => return Stop::Interrupted,
            Some(HostEvent::Readable(stream)) => {
                executive.with(|k| crate::io::stream_ready(k, stream));
            }
            Some(HostEvent::Terminal) => executive.with(crate::io::terminal_ready),
            None => {}
        }
    }
}

/// What every thread waits for, a line each, for the report of a deadlock.
pub fn describe_waits(k: &mut Kernel) -> String {
    let mut text = String::new();
    let threads: Vec<_> = k.ps.threads.values().cloned().collect();
    for thread in threads {
        let call = thread.calls.open().last().map(|call| call.def.name);
        let waits = thread.sched.open().wait.as_ref().map(|wait| wait.objects.len());
        let name = thread.process.image_name();
        let place = call.unwrap_or("user mode");
        text.push_str(&format!("  {}.{} {name}: in {place}", thread.process.pid, thread.tid));
        if let Some(objects) = waits {
            text.push_str(&format!(", waiting for {objects} object(s)"));
        }
        text.push('\n');
    }
    text
}

struct Processor<'a> {
    executive: &'a Arc<Executive>,
    engine: &'a mut dyn Engine,
    host: &'a dyn crate::host::Host,
    ram: &'a GuestRam,
}

impl Processor<'_> {
    /// Runs a thread until it waits, ends, or its quantum is over.
    fn run_thread(&mut self, thread: &ObRef<Thread>) {
        if !self.advance_call(thread) {
            return;
        }
        let mut fuel = sched::take_quantum(thread, QUANTUM);
        loop {
            match self.before_user_mode(thread) {
                Next::Guest => {}
                Next::Switch => return,
            }
            let exit = self.run_guest(thread, &mut fuel);
            let next = match exit {
                Exit::Fuel => Next::Guest,
                Exit::Syscall => self.system_call(thread),
                Exit::Exception { vector, error_code } => {
                    self.executive.with(|k| exception::user_fault(k, thread, vector, error_code));
                    Next::Guest
                }
                Exit::Interrupt { vector, len } => {
                    self.executive.with(|k| exception::user_interrupt(k, thread, vector, len));
                    Next::Guest
                }
                // Not reachable at CPL 3 without IOPL; NT raises a privileged instruction for all of them.
                Exit::Sysenter | Exit::Halt | Exit::Port { .. } => {
                    self.executive.with(|k| {
                        exception::user_fault(k, thread, cpu::vector::PROTECTION, 0);
                    });
                    Next::Guest
                }
            };
            if matches!(next, Next::Switch) {
                return;
            }
            if fuel == 0 {
                self.executive.with(|k| sched::quantum_end(k, thread));
                return;
            }
            if self.executive.with(|k| sched::preempt(k, thread, fuel)) {
                return;
            }
        }
    }

    /// What happens on each return to user mode: termination, suspension, APCs, preemption.
    fn before_user_mode(&mut self, thread: &ObRef<Thread>) -> Next {
        if thread.is_terminating() {
            self.executive.with(|k| {
                if crate::dbgk::thread_exits(k, thread) {
                    thread.sched.open().state = ThreadState::Waiting;
                } else {
                    exit::thread_exits(k, thread);
                }
            });
            return Next::Switch;
        }
        {
            let mut sched = thread.sched.open();
            if sched.suspended > 0 || sched.frozen {
                sched.state = ThreadState::Waiting;
                return Next::Switch;
            }
        }
        if thread.apcs.open().deliver {
            self.executive.with(|k| exception::deliver_apc(k, thread));
        }
        Next::Guest
    }

    fn run_guest(&mut self, thread: &ObRef<Thread>, fuel: &mut u64) -> Exit {
        let shootdown = self.executive.with(|k| std::mem::take(&mut k.mm.shootdown));
        if shootdown.all {
            self.engine.flush_tlb();
        } else {
            for page in shootdown.pages {
                self.engine.invalidate_page(page);
            }
        }
        let root = thread.process.tables.root().0;
        let mut context = thread.context.open();
        context.cr3 = root << guest_mem::PAGE_SHIFT;
        let before = self.engine.instructions();
        let exit = self.engine.run(&mut context, self.ram, &HostClock(self.host), *fuel);
        let executed = self.engine.instructions().saturating_sub(before);
        drop(context);
        thread.sched.open().instructions += executed;
        self.host.executed(executed);
        *fuel = if exit == Exit::Fuel { 0 } else { fuel.saturating_sub(executed) };
        exit
    }

    /// Lets the thread's innermost pending service go on; false if it still waits.
    fn advance_call(&mut self, thread: &ObRef<Thread>) -> bool {
        let Some(mut call) = thread.calls.open().pop() else { return true };
        let mut context = Context::from_waker(Waker::noop());
        match call.future.as_mut().poll(&mut context) {
            Poll::Pending => {
                thread.calls.open().push(call);
                self.blocked(thread);
                false
            }
            Poll::Ready(status) => {
                let Call { def, trace, raw, .. } = call;
                self.returned(thread, def, trace, &raw, status);
                true
            }
        }
    }

    /// The thread's service is pending: unless its wait ended meanwhile, it leaves the processor.
    fn blocked(&mut self, thread: &ObRef<Thread>) {
        self.executive.with(|k| {
            let ready = {
                let mut sched = thread.sched.open();
                if sched.state == ThreadState::Running {
                    sched.state = ThreadState::Waiting;
                }
                sched.outcome.is_some() && sched.state == ThreadState::Waiting
            };
            if ready || thread.is_terminating() {
                sched::make_ready(k, thread);
            }
        });
    }

    fn system_call(&mut self, thread: &ObRef<Thread>) -> Next {
        let (number, registers, rsp) = {
            let cpu = thread.context.open();
            let [r10, rdx, r8, r9] =
                [cpu.gpr[reg::R10], cpu.gpr[reg::RDX], cpu.gpr[reg::R8], cpu.gpr[reg::R9]];
            (cpu.gpr[reg::RAX] as u32, [r10, rdx, r8, r9], cpu.gpr[reg::RSP])
        };
        let outcome = self.executive.with(|k| {
            let Some(def) = service_of(k, number) else {
                let status = missing_service(k, thread, number);
                thread.context.open().gpr[reg::RAX] = u64::from(status.0);
                return None;
            };
            let raw = match gather(k, thread, def.slots, registers, rsp) {
                Ok(raw) => raw,
                Err(status) => {
                    thread.context.open().gpr[reg::RAX] = u64::from(status.0);
                    return None;
                }
            };
            let trace = trace_inputs(k, thread, def, &raw);
            match def.handler {
                Handler::Sync(call) => {
                    crate::se::speak_for(k, thread);
                    let mut cx = ServiceCx { k, thread, mode: Mode::User };
                    let status = call(&mut cx, &raw);
                    finish(k, thread, def, trace, &raw, status);
                    None
                }
                Handler::Async(start) => Some((def, start, raw, trace)),
            }
        });
        let Some((def, start, raw, trace)) = outcome else { return Next::Guest };
        let cx =
            AsyncCx { executive: self.executive.clone(), thread: thread.clone(), mode: Mode::User };
        let future = start(cx, raw.clone());
        thread.calls.open().push(Call { def, future, trace, raw });
        if self.advance_call(thread) { Next::Guest } else { Next::Switch }
    }

    fn returned(
        &mut self,
        thread: &ObRef<Thread>,
        def: &'static ServiceDef,
        trace: Option<PendingCall>,
        raw: &RawArgs,
        status: NtStatus,
    ) {
        self.executive.with(|k| finish(k, thread, def, trace, raw, status));
    }
}

/// Stores a service's status in RAX and writes its trace.
fn finish(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    def: &'static ServiceDef,
    trace: Option<PendingCall>,
    raw: &RawArgs,
    status: NtStatus,
) {
    if !thread.take_keep_context() {
        thread.context.open().gpr[reg::RAX] = u64::from(status.0);
    }
    if let Some(pending) = trace {
        let mut cx = ServiceCx { k, thread, mode: Mode::User };
        let mut outputs = ArgTrace { cx: &mut cx, out: Vec::new(), result: Some(status) };
        (def.describe)(&mut outputs, raw);
        let outputs = outputs.out;
        k.trace.call(thread, def, &pending, &outputs, Some(status));
    }
}

fn service_of(k: &Kernel, number: u32) -> Option<&'static ServiceDef> {
    match k.services.get(number) {
        Entry::Service(def) => Some(def),
        _ => None,
    }
}

/// A number without a service: named once on stderr.
fn missing_service(k: &mut Kernel, thread: &ObRef<Thread>, number: u32) -> NtStatus {
    let text = match k.services.get(number) {
        Entry::Missing(name) => format!("{name} is not implemented"),
        _ => format!("system service number {number:#x} does not exist"),
    };
    let is_win32k = number & 0x3000 == 0x1000;
    if k.services.report_once(number) {
        let image = thread.process.image_name();
        let answer = if is_win32k { "0" } else { "STATUS_NOT_IMPLEMENTED" };
        k.notice(&format!("{text} (called by {image}); it answers {answer}"));
    }
    let status = match k.services.get(number) {
        // Most of win32k returns handles, counts and booleans: zero is their failure.
        Entry::Missing(_) if is_win32k => NtStatus(0),
        Entry::Missing(_) => STATUS_NOT_IMPLEMENTED,
        _ => STATUS_INVALID_SYSTEM_SERVICE,
    };
    if k.trace.is_on()
        && let Entry::Missing(name) = k.services.get(number)
    {
        let now = k.host.interrupt_time();
        k.trace.missing(thread, name, now, status);
    }
    status
}

/// Takes the arguments from registers and the caller's stack.
fn gather(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    slots: usize,
    registers: [u64; 4],
    rsp: u64,
) -> Result<RawArgs, NtStatus> {
    let mut raw = RawArgs::default();
    raw.0.extend(registers.into_iter().take(slots));
    if slots > 4 {
        let mut cx = ServiceCx { k, thread, mode: Mode::User };
        let mut bytes = [0u8; 8 * 32];
        let count = (slots - 4).min(32);
        let part = bytes.get_mut(..count * 8).ok_or(STATUS_INVALID_PARAMETER)?;
        cx.read_bytes(Va(rsp.wrapping_add(0x28)), part)?;
        raw.0.extend(part.as_chunks::<8>().0.iter().map(|slot| u64::from_le_bytes(*slot)));
    }
    Ok(raw)
}

fn trace_inputs(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    def: &'static ServiceDef,
    raw: &RawArgs,
) -> Option<PendingCall> {
    if !k.trace.is_on() || !k.trace.shows(def.name) {
        return None;
    }
    let started = k.host.interrupt_time();
    let mut cx = ServiceCx { k, thread, mode: Mode::User };
    let mut inputs = ArgTrace { cx: &mut cx, out: Vec::new(), result: None };
    (def.describe)(&mut inputs, raw);
    Some(PendingCall { started, inputs: inputs.out })
}
