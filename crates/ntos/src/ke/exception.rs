//! From a processor's trap to the guest's exception dispatcher.
//!
//! First chance goes to the user-mode dispatcher of `ntdll`; an exception that comes back unhandled
//! (`NtRaiseException` with `FirstChance` false), or that cannot be delivered, ends the process with its code.

use abi::context::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use cpu::vector;
use cpu::{CpuState, flag, reg};
use guest_mem::{Access, PageFault, Va};
use zerocopy::{FromZeros, IntoBytes};

use crate::Kernel;
use crate::mm;
use crate::ob::ObRef;
use crate::ps::{Thread, exit};

use super::context;

/// Page fault error code bits.
mod pf {
    pub const WRITE: u32 = 1 << 1;
    pub const FETCH: u32 = 1 << 4;
}

/// `EXCEPTION_ACCESS_VIOLATION` parameter 0.
fn access_kind(access: Access) -> u64 {
    match access {
        Access::Read => 0,
        Access::Write => 1,
        Access::Execute => 8,
    }
}

fn record(code: NtStatus, address: u64, parameters: &[u64]) -> EXCEPTION_RECORD {
    let mut record = EXCEPTION_RECORD {
        ExceptionCode: code.0,
        ExceptionAddress: address,
        NumberParameters: parameters.len() as u32,
        ..EXCEPTION_RECORD::default()
    };
    for (slot, value) in record.ExceptionInformation.iter_mut().zip(parameters) {
        *slot = *value;
    }
    record
}

/// A fault of user code: resolved if mm can, else delivered.
pub fn user_fault(k: &mut Kernel, thread: &ObRef<Thread>, number: u8, error_code: u32) {
    let (rip, cr2) = {
        let cpu = thread.context.open();
        (cpu.rip, cpu.cr2)
    };
    let record = match number {
        vector::PAGE_FAULT => {
            let access = if error_code & pf::FETCH != 0 {
                Access::Execute
            } else if error_code & pf::WRITE != 0 {
                Access::Write
            } else {
                Access::Read
            };
            let fault = PageFault { va: Va(cr2), error_code };
            match mm::resolve_fault(k, &thread.process, fault, access) {
                Ok(()) => return,
                Err(STATUS_ACCESS_VIOLATION) => {
                    record(STATUS_ACCESS_VIOLATION, rip, &[access_kind(access), cr2])
                }
                Err(STATUS_IN_PAGE_ERROR) => record(
                    STATUS_IN_PAGE_ERROR,
                    rip,
                    &[access_kind(access), cr2, u64::from(STATUS_IN_PAGE_ERROR.0)],
                ),
                Err(status) => record(status, rip, &[access_kind(access), cr2]),
            }
        }
        vector::DIVIDE => record(STATUS_INTEGER_DIVIDE_BY_ZERO, rip, &[]),
        vector::DEBUG => {
            // A step is one instruction: who wants another sets the flag again.
            thread.context.open().rflags &= !flag::TF;
            record(STATUS_SINGLE_STEP, rip, &[])
        }
        vector::BREAKPOINT => record(STATUS_BREAKPOINT, rip, &[0]),
        vector::OVERFLOW => record(STATUS_INTEGER_OVERFLOW, rip, &[]),
        vector::INVALID_OPCODE => {
            report_invalid_opcode(k, thread, rip);
            record(STATUS_ILLEGAL_INSTRUCTION, rip, &[])
        }
        vector::X87 => record(x87_code(thread), rip, &[0]),
        vector::SIMD => record(simd_code(thread), rip, &[0]),
        vector::ALIGNMENT => record(STATUS_DATATYPE_MISALIGNMENT, rip, &[]),
        // General protection: a privileged instruction has its own code, anything else is an access violation
        // at an unknown address, as NT reports non-canonical pointers.
        _ if is_privileged(k, thread, rip) => record(STATUS_PRIVILEGED_INSTRUCTION, rip, &[]),
        _ => record(STATUS_ACCESS_VIOLATION, rip, &[0, u64::MAX]),
    };
    deliver(k, thread, &record, true);
}

/// A software interrupt of user code. RIP is after the instruction.
pub fn user_interrupt(k: &mut Kernel, thread: &ObRef<Thread>, number: u8, len: u8) {
    let (rip, rax, rcx) = {
        let cpu = thread.context.open();
        (cpu.rip, cpu.gpr[reg::RAX], cpu.gpr[reg::RCX])
    };
    let at = rip.wrapping_sub(u64::from(len));
    let back = |address: u64| thread.context.open().rip = address;
    match number {
        3 => {
            // NT reports a breakpoint at the int3 itself, also for the two-byte form.
            back(at);
            deliver(k, thread, &record(STATUS_BREAKPOINT, at, &[0]), true);
        }
        1 => {
            back(at);
            deliver(k, thread, &record(STATUS_SINGLE_STEP, at, &[]), true);
        }
        4 => deliver(k, thread, &record(STATUS_INTEGER_OVERFLOW, rip, &[]), true),
        0x29 => {
            back(at);
            let failure = record(STATUS_STACK_BUFFER_OVERRUN, at, &[rcx]);
            second_chance(k, thread, &failure);
        }
        0x2C => {
            deliver(k, thread, &record(STATUS_ASSERTION_FAILURE, at, &[]), true);
        }
        0x2D => match rax {
            // The debug service's print, prompt, load and unload notices: without a debugger they do nothing. The
            // instruction is followed by an int3 that the service skips.
            1 | 3 | 4 | 5 => back(rip.wrapping_add(1)),
            _ => {
                back(at);
                deliver(k, thread, &record(STATUS_BREAKPOINT, at, &[rax]), true);
            }
        },
        _ => {
            back(at);
            let violation = record(STATUS_ACCESS_VIOLATION, at, &[0, u64::MAX]);
            deliver(k, thread, &violation, true);
        }
    }
}

/// `NtRaiseException`: the record and context come from user mode.
pub fn raise(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    record: &EXCEPTION_RECORD,
    context_record: &CONTEXT,
    first_chance: bool,
) -> NtResult<()> {
    context::restore(&mut thread.context.open(), context_record);
    thread.keep_context();
    if first_chance {
        deliver(k, thread, record, true);
    } else {
        second_chance(k, thread, record);
    }
    Ok(())
}

/// Builds the frame of `KiUserExceptionDispatcher` and enters it; without room for the frame the process ends.
///
/// A debugger sees it before.
pub fn deliver(k: &mut Kernel, thread: &ObRef<Thread>, record: &EXCEPTION_RECORD, first: bool) {
    if !crate::dbgk::exception(k, thread, record, first) {
        deliver_to_program(k, thread, record, first);
    }
}

/// [`deliver`] without asking a debugger.
pub fn deliver_to_program(
    k: &mut Kernel,
    thread: &ObRef<Thread>,
    record: &EXCEPTION_RECORD,
    first: bool,
) {
    if !first {
        return unhandled(k, thread, record);
    }
    let dispatcher = thread.process.state.open().ntdll.ki_user_exception_dispatcher;
    if dispatcher.0 == 0 {
        return second_chance(k, thread, record);
    }
    let cpu = thread.context.open().clone();
    let frame_size = size_of::<EXCEPTION_FRAME>() as u64;
    let rsp = cpu.gpr[reg::RSP];
    let at = (rsp & !0xF).wrapping_sub(frame_size) & !0x3F;
    let mut frame = EXCEPTION_FRAME::new_zeroed();
    frame.Context = context::capture(&cpu, CONTEXT_ALL);
    frame.Context.ContextFlags |= CONTEXT_EXCEPTION_ACTIVE;
    frame.ContextEx = CONTEXT_EX {
        AllOffset: -(size_of::<CONTEXT>() as i32),
        AllLength: (size_of::<CONTEXT>() + size_of::<CONTEXT_EX>()) as u32,
        LegacyOffset: -(size_of::<CONTEXT>() as i32),
        LegacyLength: size_of::<CONTEXT>() as u32,
        XStateOffset: 25,
        XStateLength: 0,
        _pad: [0],
    };
    frame.Record = *record;
    frame.Machine = machine_frame(&cpu);
    if mm::copy_to(k, &thread.process, Va(at), frame.as_bytes()).is_err() {
        let overflow = self::record(STATUS_STACK_OVERFLOW, cpu.rip, &[]);
        return second_chance(k, thread, &overflow);
    }
    thread.state.open().last_exception = Some(*record);
    let mut cpu = thread.context.open();
    cpu.gpr[reg::RSP] = at;
    cpu.rip = dispatcher.0;
    cpu.rflags &= !(flag::TF | flag::DF | flag::AC);
}

/// Set in `ContextFlags` while an exception is dispatched.
const CONTEXT_EXCEPTION_ACTIVE: u32 = 0x0800_0000;

fn machine_frame(cpu: &CpuState) -> MACHINE_FRAME {
    MACHINE_FRAME {
        Rip: cpu.rip,
        SegCs: SEG_CODE64.into(),
        EFlags: cpu.rflags,
        Rsp: cpu.gpr[reg::RSP],
        SegSs: SEG_DATA.into(),
    }
}

/// No handler took the exception: a debugger is asked, or the process ends.
fn second_chance(k: &mut Kernel, thread: &ObRef<Thread>, record: &EXCEPTION_RECORD) {
    if !crate::dbgk::exception(k, thread, record, false) {
        unhandled(k, thread, record);
    }
}

/// Nobody took the exception: the process ends with its code, and the user is told where.
fn unhandled(k: &mut Kernel, thread: &ObRef<Thread>, record: &EXCEPTION_RECORD) {
    thread.state.open().last_exception = Some(*record);
    let code = NtStatus(record.ExceptionCode);
    report_crash(k, thread, code);
    exit::terminate_process(k, &thread.process, code);
}

/// Tells the user where a process crashed, if it ends with the code of its thread's last exception: its own handler of
/// last resort ends it that way.
pub fn report_crash(k: &mut Kernel, thread: &ObRef<Thread>, status: NtStatus) {
    let last = thread.state.open().last_exception.take();
    let Some(record) = last.filter(|record| record.ExceptionCode == status.0) else { return };
    let place = mm::describe_address(k, &thread.process, Va(record.ExceptionAddress));
    let detail = match (status, record.ExceptionInformation) {
        (STATUS_ACCESS_VIOLATION, [kind, at, ..]) if record.NumberParameters >= 2 => {
            let verb = match kind {
                1 => "writing",
                8 => "executing",
                _ => "reading",
            };
            format!(", {verb} {at:#x}")
        }
        _ => String::new(),
    };
    let image = thread.process.image_name();
    k.notice(&format!("{image}: unhandled exception {status:?} at {place}{detail}"));
}

/// Delivers the first queued user APC; the interrupted call returns `status`.
pub fn deliver_apc(k: &mut Kernel, thread: &ObRef<Thread>) {
    let apc = {
        let mut apcs = thread.apcs.open();
        // One at a time: `NtContinue` with its test-alert flag, at the end of the routine, brings the next.
        apcs.deliver = false;
        apcs.queue.pop_front().map(|(_, apc)| apc)
    };
    let dispatcher = thread.process.state.open().ntdll.ki_user_apc_dispatcher;
    let Some(apc) = apc else { return };
    let cpu = thread.context.open().clone();
    let at = (cpu.gpr[reg::RSP] & !0xF).wrapping_sub(size_of::<APC_FRAME>() as u64);
    let mut frame = APC_FRAME::new_zeroed();
    frame.Context = context::capture(&cpu, CONTEXT_FULL | CONTEXT_SEGMENTS);
    [frame.Context.P1Home, frame.Context.P2Home, frame.Context.P3Home] = apc.arguments;
    frame.Context.P4Home = apc.routine.0;
    frame.Machine = machine_frame(&cpu);
    if mm::copy_to(k, &thread.process, Va(at), frame.as_bytes()).is_err() {
        let overflow = record(STATUS_STACK_OVERFLOW, cpu.rip, &[]);
        return second_chance(k, thread, &overflow);
    }
    let mut cpu = thread.context.open();
    cpu.gpr[reg::RSP] = at;
    cpu.rip = dispatcher.0;
}

/// The NT code of an unmasked x87 exception, from the status word.
fn x87_code(thread: &ObRef<Thread>) -> NtStatus {
    let image = thread.context.open().write_fxsave();
    let [control_low, _, status_low, ..] = image;
    float_code(status_low & !control_low)
}

/// The NT code of an unmasked SSE exception: NT reports faults (found before the operation) and traps (after it).
fn simd_code(thread: &ObRef<Thread>) -> NtStatus {
    let mxcsr = thread.context.open().mxcsr;
    let unmasked = mxcsr & !(mxcsr >> 7) & 0x3F;
    if unmasked & 0b111 != 0 { STATUS_FLOAT_MULTIPLE_FAULTS } else { STATUS_FLOAT_MULTIPLE_TRAPS }
}

fn float_code(raised: u8) -> NtStatus {
    match raised {
        r if r & 0x41 == 0x41 => STATUS_FLOAT_STACK_CHECK,
        r if r & 1 != 0 => STATUS_FLOAT_INVALID_OPERATION,
        r if r & 4 != 0 => STATUS_FLOAT_DIVIDE_BY_ZERO,
        r if r & 2 != 0 => STATUS_FLOAT_DENORMAL_OPERAND,
        r if r & 8 != 0 => STATUS_FLOAT_OVERFLOW,
        r if r & 0x10 != 0 => STATUS_FLOAT_UNDERFLOW,
        _ => STATUS_FLOAT_INEXACT_RESULT,
    }
}

/// True if the instruction at `rip` is one that only CPL 0 may execute.
fn is_privileged(k: &mut Kernel, thread: &ObRef<Thread>, rip: u64) -> bool {
    let mut bytes = [0u8; 15];
    let got = mm::copy_prefix(k, &thread.process, Va(rip), &mut bytes);
    bytes.get(..got).is_some_and(cpu::is_privileged_instruction)
}

/// Names an instruction that the emulator does not have, once.
fn report_invalid_opcode(k: &mut Kernel, thread: &ObRef<Thread>, rip: u64) {
    let mut bytes = [0u8; 15];
    let got = mm::copy_prefix(k, &thread.process, Va(rip), &mut bytes);
    let Some(text) = bytes.get(..got).and_then(cpu::describe_unsupported) else { return };
    let place = mm::describe_address(k, &thread.process, Va(rip));
    k.notice_once(format!("instruction not implemented: {text} at {place}"));
}
