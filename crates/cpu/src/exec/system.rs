//! System instructions, and control transfers without a body of their own.
//!
//! [`in_block`] has those that leave the block intact; [`assist`] those that change the mode, stop for the executive, or
//! need the clock: the run loop executes them between blocks. Descriptor tables are not read: the selectors of
//! [`selector`] are known, all others are refused. Source: Intel SDM volume 2 and volume 3A, chapters 2, 5 and 6.

use guest_mem::{Access, GuestRam, Va};
use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::cpuid::cpuid;
use super::slow::{load_sized, pop_value, push_value, read, segment_number, stack_mask, write};
use crate::decode::select::by_size;
use crate::decode::{Mode, select};
use crate::engine::{Clock, Exit, vector};
use crate::flags::Int;
use crate::fxsave::{FXSAVE_WRITTEN, FXSAVE_WRITTEN_32};
use crate::op::{Ea, EaAny, Exec, Op, op_flag};
use crate::processor::{Core, FS_BASE, GS_BASE, Step, Stop};
use crate::state::{Segment, flag, seg_attr, selector, sreg};

/// Hands an instruction to the run loop.
pub(crate) struct Assist;

impl Exec for Assist {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        core.mark(op);
        core.assist = Some(*op);
        Err(op.stop)
    }
}

/// True if [`assist`] must execute the instruction.
pub(crate) fn is_assisted(i: &Instruction, _: Mode) -> bool {
    if i.is_invalid() {
        return false;
    }
    let transfers = !matches!(
        i.flow_control(),
        FlowControl::Next | FlowControl::Exception | FlowControl::XbeginXabortXend
    );
    transfers
        || matches!(
            i.mnemonic(),
            Mnemonic::Rdtsc
                | Mnemonic::Rdtscp
                | Mnemonic::Popf
                | Mnemonic::Popfd
                | Mnemonic::Popfq
                | Mnemonic::Hlt
                | Mnemonic::In
                | Mnemonic::Out
                | Mnemonic::Int1
                | Mnemonic::Int3
                | Mnemonic::Invlpg
                | Mnemonic::Syscall
                | Mnemonic::Sysenter
        )
        || i.mnemonic() == Mnemonic::Mov && i.op0_register().is_cr()
}

/// The width of the counter of LOOP and JCXZ, in bytes.
pub(crate) fn loop_register_size(i: &Instruction) -> u8 {
    match i.code() {
        Code::Jrcxz_rel8_16
        | Code::Jrcxz_rel8_64
        | Code::Loop_rel8_16_RCX
        | Code::Loop_rel8_64_RCX
        | Code::Loope_rel8_16_RCX
        | Code::Loope_rel8_64_RCX
        | Code::Loopne_rel8_16_RCX
        | Code::Loopne_rel8_64_RCX => 8,
        Code::Jcxz_rel8_16
        | Code::Jcxz_rel8_32
        | Code::Loop_rel8_16_CX
        | Code::Loop_rel8_32_CX
        | Code::Loope_rel8_16_CX
        | Code::Loope_rel8_32_CX
        | Code::Loopne_rel8_16_CX
        | Code::Loopne_rel8_32_CX => 2,
        _ => 4,
    }
}

/// Refuses an instruction above CPL 0.
fn kernel_only(core: &mut Core, op: &Op) -> Step {
    if core.cpu.cpl() == 0 { Ok(()) } else { Err(core.protection(op)) }
}

/// True if port and interrupt-flag instructions are allowed.
fn io_allowed(core: &Core) -> bool {
    u64::from(core.cpu.cpl()) <= (core.system_flags & flag::IOPL) >> 12
}

/// Executes an instruction that goes on to the next one in its block.
pub(crate) fn in_block(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    match i.mnemonic() {
        Mnemonic::Cpuid => {
            let [eax, ebx, ecx, edx] = cpuid(core.regs[0] as u32, core.regs[1] as u32);
            core.regs[0] = eax.into();
            core.regs[3] = ebx.into();
            core.regs[1] = ecx.into();
            core.regs[2] = edx.into();
            Ok(())
        }
        Mnemonic::Cli | Mnemonic::Sti => {
            if !io_allowed(core) {
                return Err(core.protection(op));
            }
            if i.mnemonic() == Mnemonic::Cli {
                core.system_flags &= !flag::IF;
            } else {
                core.system_flags |= flag::IF;
            }
            Ok(())
        }
        Mnemonic::Mov => move_special(core, op, ram, i),
        Mnemonic::Rdfsbase | Mnemonic::Rdgsbase => {
            let slot = if i.mnemonic() == Mnemonic::Rdfsbase { FS_BASE } else { GS_BASE };
            let base = core.regs[slot as usize];
            by_size!(select::operand_size(i, 0), T => write(core, op, ram, i, 0, base as T))
        }
        Mnemonic::Wrfsbase | Mnemonic::Wrgsbase => {
            let value = core.regs[op.r1 as usize];
            let narrow = i.op0_register().is_gpr32();
            let base = if narrow { value & 0xFFFF_FFFF } else { value };
            if !Va(base).is_canonical() {
                return Err(core.protection(op));
            }
            let slot = if i.mnemonic() == Mnemonic::Wrfsbase { FS_BASE } else { GS_BASE };
            core.regs[slot as usize] = base;
            Ok(())
        }
        Mnemonic::Swapgs => {
            kernel_only(core, op)?;
            std::mem::swap(&mut core.regs[GS_BASE as usize], &mut core.cpu.kernel_gs_base);
            Ok(())
        }
        Mnemonic::Rdmsr => {
            kernel_only(core, op)?;
            let number = core.regs[1] as u32;
            let Some(value) = read_msr(core, number) else { return Err(core.protection(op)) };
            core.regs[0] = value & 0xFFFF_FFFF;
            core.regs[2] = value >> 32;
            Ok(())
        }
        Mnemonic::Wrmsr => {
            kernel_only(core, op)?;
            let number = core.regs[1] as u32;
            let value = (core.regs[2] << 32) | (core.regs[0] & 0xFFFF_FFFF);
            if write_msr(core, number, value) { Ok(()) } else { Err(core.protection(op)) }
        }
        Mnemonic::Ldmxcsr => {
            let va = EaAny::ea(core, op);
            let value: u32 = core.load(ram, op, va)?;
            if value & !crate::fxsave::MXCSR_MASK != 0 {
                return Err(core.protection(op));
            }
            core.cpu.mxcsr = value;
            Ok(())
        }
        Mnemonic::Stmxcsr => {
            let va = EaAny::ea(core, op);
            let value = core.cpu.mxcsr;
            core.store(ram, op, va, value)
        }
        Mnemonic::Fxsave | Mnemonic::Fxsave64 => {
            let va = EaAny::ea(core, op);
            image_alignment(core, op, va)?;
            core.touch_end(ram, op, va, 512, Access::Write)?;
            let long = core.cpu.bitness() == 64;
            let image = core.cpu.fxsave(i.mnemonic() == Mnemonic::Fxsave64);
            // The rest of the image is the program's own.
            let written = if long { FXSAVE_WRITTEN } else { FXSAVE_WRITTEN_32 };
            core.copy_in(ram, op, va, image.get(..written).unwrap_or_default())
        }
        Mnemonic::Fxrstor | Mnemonic::Fxrstor64 => {
            let va = EaAny::ea(core, op);
            image_alignment(core, op, va)?;
            core.touch_end(ram, op, va, 512, Access::Read)?;
            let mut image = [0u8; 512];
            core.copy_out(ram, op, va, &mut image)?;
            let before = core.cpu.xmm;
            if core.cpu.fxrstor(&image, i.mnemonic() == Mnemonic::Fxrstor64) {
                if core.cpu.bitness() != 64 {
                    core.cpu.xmm[8..].copy_from_slice(&before[8..]);
                }
                Ok(())
            } else {
                Err(core.protection(op))
            }
        }
        Mnemonic::Sgdt | Mnemonic::Sidt => {
            let (base, limit) =
                if i.mnemonic() == Mnemonic::Sgdt { core.cpu.gdtr } else { core.cpu.idtr };
            let mut bytes = [0u8; 10];
            bytes[..2].copy_from_slice(&limit.to_le_bytes());
            bytes[2..].copy_from_slice(&base.to_le_bytes());
            let va = EaAny::ea(core, op);
            let len = if core.cpu.bitness() == 64 { 10 } else { 6 };
            core.copy_in(ram, op, va, bytes.get(..len).unwrap_or_default())
        }
        Mnemonic::Lgdt | Mnemonic::Lidt => {
            kernel_only(core, op)?;
            let va = EaAny::ea(core, op);
            let mut bytes = [0u8; 10];
            core.copy_out(ram, op, va, &mut bytes)?;
            let [l0, l1, base @ ..] = bytes;
            let table = (u64::from_le_bytes(base), u16::from_le_bytes([l0, l1]));
            if i.mnemonic() == Mnemonic::Lgdt {
                core.cpu.gdtr = table;
            } else {
                core.cpu.idtr = table;
            }
            Ok(())
        }
        Mnemonic::Sldt => store_word(core, op, ram, i, u64::from(core.cpu.ldtr)),
        Mnemonic::Str => store_word(core, op, ram, i, u64::from(core.cpu.tr)),
        Mnemonic::Smsw => store_word(core, op, ram, i, core.cpu.cr0),
        Mnemonic::Lldt | Mnemonic::Ltr => {
            kernel_only(core, op)?;
            let value: u16 = read(core, op, ram, i, 0)?;
            if i.mnemonic() == Mnemonic::Lldt {
                core.cpu.ldtr = value;
            } else {
                core.cpu.tr = value;
            }
            Ok(())
        }
        Mnemonic::Lmsw => {
            kernel_only(core, op)?;
            let value: u16 = read(core, op, ram, i, 0)?;
            // PE cannot be cleared this way.
            let low = u64::from(value & 0xF) | (core.cpu.cr0 & 1);
            core.cpu.cr0 = (core.cpu.cr0 & !0xF) | low;
            Ok(())
        }
        Mnemonic::Clts => {
            kernel_only(core, op)?;
            core.cpu.cr0 &= !8;
            Ok(())
        }
        Mnemonic::Verr | Mnemonic::Verw => {
            let value: u16 = read(core, op, ram, i, 0)?;
            let known = descriptor(value, core.cpu.cpl());
            let wanted = known.is_some_and(|segment| {
                i.mnemonic() == Mnemonic::Verr || segment.attributes & 8 == 0
            });
            core.flags.set_zf(wanted);
            Ok(())
        }
        Mnemonic::Lar | Mnemonic::Lsl => {
            let value: u16 = read(core, op, ram, i, 1)?;
            let known = descriptor(value, core.cpu.cpl());
            core.flags.set_zf(known.is_some());
            let Some(segment) = known else { return Ok(()) };
            let result = if i.mnemonic() == Mnemonic::Lar {
                u64::from(segment.attributes & 0xF0FF) << 8
            } else {
                u64::from(segment.limit)
            };
            by_size!(select::operand_size(i, 0), T => write(core, op, ram, i, 0, result as T))
        }
        // Port strings are refused where they are not forbidden: see `Exit::Port`.
        Mnemonic::Insb
        | Mnemonic::Insw
        | Mnemonic::Insd
        | Mnemonic::Outsb
        | Mnemonic::Outsw
        | Mnemonic::Outsd
            if !io_allowed(core) =>
        {
            Err(core.protection(op))
        }
        Mnemonic::Wbinvd | Mnemonic::Invd => kernel_only(core, op),
        // CR4.PCE is clear.
        Mnemonic::Rdpmc => Err(core.protection(op)),
        _ => super::legacy::execute(core, op, ram, i),
    }
}

/// Checks the address of an FXSAVE image: first that it is one, then its alignment.
fn image_alignment(core: &mut Core, op: &Op, va: u64) -> Step {
    if op.flags & op_flag::STACK != 0 && !Va(va).is_canonical() {
        return Err(core.raise(op, vector::STACK, 0));
    }
    super::vector::aligned::<true>(core, op, va)
}

/// SLDT, STR, SMSW: 16 bits to memory, the whole to a register.
fn store_word(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction, value: u64) -> Step {
    if i.op0_kind() == OpKind::Memory {
        return write::<u16>(core, op, ram, i, 0, value as u16);
    }
    by_size!(select::operand_size(i, 0), T => write(core, op, ram, i, 0, value as T))
}

/// MOV with a segment, control or debug register.
fn move_special(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    if i.op1_kind() == OpKind::Register {
        let from = i.op1_register();
        if let Some(number) = segment_number(from) {
            return store_word(core, op, ram, i, u64::from(core.cpu.seg[number].selector));
        }
        if from.is_cr() || from.is_dr() {
            kernel_only(core, op)?;
            let value = match from {
                Register::CR0 => core.cpu.cr0,
                Register::CR2 => core.cpu.cr2,
                Register::CR3 => core.cpu.cr3,
                Register::CR4 => core.cpu.cr4,
                Register::CR8 => core.cpu.cr8,
                _ if from.is_dr() && from.number() < 8 => core.cpu.dr[debug_register(from)],
                _ => return Err(core.undefined(op)),
            };
            core.regs[(op.r1 & 15) as usize] = value;
            return Ok(());
        }
    }
    let to = i.op0_register();
    if let Some(number) = segment_number(to) {
        let value: u16 = read(core, op, ram, i, 1)?;
        return load_segment(core, op, number, value);
    }
    if to.is_dr() && to.number() < 8 {
        kernel_only(core, op)?;
        let value = core.regs[(op.r2 & 15) as usize];
        core.cpu.dr[debug_register(to)] = value;
        return Ok(());
    }
    Err(core.undefined(op))
}

/// DR4 and DR5 are other names of DR6 and DR7.
fn debug_register(register: Register) -> usize {
    match register.number() & 7 {
        4 => 6,
        5 => 7,
        number => number,
    }
}

/// What NT's descriptor table says of a selector, if code at `cpl` may use it.
fn descriptor(value: u16, cpl: u8) -> Option<Segment> {
    let (attributes, ring) = match value & !3 {
        0x10 => (seg_attr::CODE64_KERNEL, 0),
        0x18 => (seg_attr::DATA_KERNEL, 0),
        0x20 => (seg_attr::CODE32_USER, 3),
        0x28 | 0x50 => (seg_attr::DATA_USER, 3),
        0x30 => (seg_attr::CODE64_USER, 3),
        _ => return None,
    };
    (cpl.max((value & 3) as u8) <= ring).then_some(Segment::flat(value, attributes))
}

/// Loads a data segment register.
pub(crate) fn load_segment(core: &mut Core, op: &Op, number: usize, value: u16) -> Step {
    let cpl = core.cpu.cpl();
    if number == sreg::CS {
        return Err(core.undefined(op));
    }
    let error = u32::from(value & !3);
    let segment = if value & !3 == 0 {
        if number == sreg::SS && !(cpl < 3 && value & 3 == u16::from(cpl)) {
            return Err(core.raise(op, vector::PROTECTION, 0));
        }
        Segment { selector: value, ..Segment::default() }
    } else {
        match descriptor(value, cpl) {
            Some(segment) => segment,
            None => return Err(core.raise(op, vector::PROTECTION, error)),
        }
    };
    let is_code = segment.attributes & 8 != 0;
    if number == sreg::SS && (is_code || value & 3 != u16::from(cpl)) {
        return Err(core.raise(op, vector::PROTECTION, error));
    }
    core.cpu.seg[number] = segment;
    match number {
        // The base of the 32-bit TEB is the thread's own: the executive keeps it in place.
        sreg::FS if value & !3 == selector::USER_TEB & !3 => {}
        sreg::FS => core.regs[FS_BASE as usize] = 0,
        sreg::GS => core.regs[GS_BASE as usize] = 0,
        _ => {}
    }
    Ok(())
}

fn read_msr(core: &Core, number: u32) -> Option<u64> {
    let cpu = &core.cpu;
    Some(match number {
        0x1B => cpu.apic_base,
        0x174..=0x176 => cpu.sysenter[(number - 0x174) as usize],
        0x277 => cpu.pat,
        0xC000_0080 => cpu.efer,
        0xC000_0081 => cpu.star,
        0xC000_0082 => cpu.lstar,
        0xC000_0083 => cpu.cstar,
        0xC000_0084 => cpu.fmask,
        0xC000_0100 => core.regs[FS_BASE as usize],
        0xC000_0101 => core.regs[GS_BASE as usize],
        0xC000_0102 => cpu.kernel_gs_base,
        0xC000_0103 => cpu.tsc_aux,
        _ => return None,
    })
}

fn write_msr(core: &mut Core, number: u32, value: u64) -> bool {
    let is_address = matches!(number, 0xC000_0082 | 0xC000_0083 | 0xC000_0100..=0xC000_0102);
    if is_address && !Va(value).is_canonical() {
        return false;
    }
    let cpu = &mut core.cpu;
    let target = match number {
        0x1B => &mut cpu.apic_base,
        0x174..=0x176 => &mut cpu.sysenter[(number - 0x174) as usize],
        0x277 => &mut cpu.pat,
        0xC000_0080 => &mut cpu.efer,
        0xC000_0081 => &mut cpu.star,
        0xC000_0082 => &mut cpu.lstar,
        0xC000_0083 => &mut cpu.cstar,
        0xC000_0084 => &mut cpu.fmask,
        0xC000_0100 => &mut core.regs[FS_BASE as usize],
        0xC000_0101 => &mut core.regs[GS_BASE as usize],
        0xC000_0102 => &mut cpu.kernel_gs_base,
        0xC000_0103 => &mut cpu.tsc_aux,
        _ => return false,
    };
    *target = value;
    true
}

/// Executes an instruction between blocks. `Core::rip` is at the next instruction and may be changed.
///
/// `Ok(Some)` stops the run after the instruction; a fault stops it at the instruction.
pub(crate) fn assist(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    i: &Instruction,
    clock: &dyn Clock,
    instructions: u64,
) -> Result<Option<Exit>, Stop> {
    let interrupt = |vector: u8| Ok(Some(Exit::Interrupt { vector, len: i.len() as u8 }));
    match i.mnemonic() {
        Mnemonic::Rdtsc | Mnemonic::Rdtscp => {
            let value = clock.tsc(instructions);
            core.regs[0] = value & 0xFFFF_FFFF;
            core.regs[2] = value >> 32;
            if i.mnemonic() == Mnemonic::Rdtscp {
                core.regs[1] = core.cpu.tsc_aux & 0xFFFF_FFFF;
            }
        }
        Mnemonic::Syscall => {
            if core.cpu.bitness() != 64 || core.cpu.efer & 1 == 0 {
                return Err(core.undefined(op));
            }
            core.regs[1] = core.rip;
            core.regs[11] = core.rflags();
            return Ok(Some(Exit::Syscall));
        }
        Mnemonic::Sysenter => return Ok(Some(Exit::Sysenter)),
        Mnemonic::Int => return interrupt(i.immediate8()),
        Mnemonic::Int3 => return interrupt(vector::BREAKPOINT),
        Mnemonic::Int1 => return interrupt(vector::DEBUG),
        Mnemonic::Into => {
            if core.flags.of() {
                return interrupt(vector::OVERFLOW);
            }
        }
        Mnemonic::Hlt => {
            kernel_only(core, op)?;
            return Ok(Some(Exit::Halt));
        }
        Mnemonic::In | Mnemonic::Out => return port(core, op, i).map(Some),
        Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq => {
            let size = u64::from(i.stack_pointer_increment().unsigned_abs());
            let value = pop_value(core, op, ram, size)?;
            replace_rflags(core, value, size);
        }
        Mnemonic::Invlpg => {
            kernel_only(core, op)?;
            let va = EaAny::ea(core, op);
            core.new_epochs();
            core.invalidate_page(Va(va));
        }
        Mnemonic::Mov => {
            kernel_only(core, op)?;
            let value = core.regs[(op.r2 & 15) as usize];
            match i.op0_register() {
                Register::CR0 => core.cpu.cr0 = value,
                Register::CR2 => core.cpu.cr2 = value,
                Register::CR3 => {
                    core.cpu.cr3 = value;
                    core.select_space();
                    core.flush_tlb();
                }
                Register::CR4 => core.cpu.cr4 = value,
                Register::CR8 if value < 16 => core.cpu.cr8 = value,
                Register::CR8 => return Err(core.protection(op)),
                _ => return Err(core.undefined(op)),
            }
        }
        Mnemonic::Sysret | Mnemonic::Sysretq => {
            kernel_only(core, op)?;
            let long = i.mnemonic() == Mnemonic::Sysretq;
            let target = if long { core.regs[1] } else { core.regs[1] & 0xFFFF_FFFF };
            if !Va(target).is_canonical() {
                return Err(core.protection(op));
            }
            core.rip = target;
            let flags = core.regs[11] & !(flag::RF | flag::VM);
            core.set_rflags(flags);
            core.cpu.seg[sreg::CS] = if long {
                Segment::flat(selector::USER_CODE, seg_attr::CODE64_USER)
            } else {
                Segment::flat(selector::USER_CODE32, seg_attr::CODE32_USER)
            };
            core.cpu.seg[sreg::SS] = Segment::flat(selector::USER_DATA, seg_attr::DATA_USER);
            core.select_space();
        }
        Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq => interrupt_return(core, op, ram, i)?,
        Mnemonic::Retf => far_return(core, op, ram, i)?,
        Mnemonic::Ret => {
            let extra = if i.op_count() == 1 { u64::from(i.immediate16()) } else { 0 };
            let size = u64::from(i.stack_pointer_increment().unsigned_abs()) - extra;
            let target = load_sized(core, op, ram, core.regs[4] & stack_mask(core), size)?;
            check_target(core, op, target)?;
            let rsp = core.regs[4].wrapping_add(size).wrapping_add(extra);
            super::slow::set_stack(core, rsp);
            core.rip = target;
        }
        Mnemonic::Call | Mnemonic::Jmp => transfer(core, op, ram, i)?,
        _ => return Err(core.undefined(op)),
    }
    Ok(None)
}

/// The part of a new RFLAGS that the privilege allows to change.
fn replace_rflags(core: &mut Core, value: u64, size: u64) {
    let old = core.rflags();
    let cpl = core.cpu.cpl();
    let mut fixed = flag::VM | flag::RF;
    if cpl != 0 {
        fixed |= flag::IOPL;
    }
    if !io_allowed(core) {
        fixed |= flag::IF;
    }
    if size == 2 {
        fixed |= !0xFFFF;
    }
    let writable =
        flag::STATUS | flag::TF | flag::IF | flag::DF | flag::IOPL | flag::NT | flag::AC | flag::ID;
    let changed = writable & !fixed;
    core.set_rflags((old & !changed & !flag::RF) | (value & changed));
}

fn port(core: &mut Core, op: &Op, i: &Instruction) -> Result<Exit, Stop> {
    if !io_allowed(core) {
        return Err(core.protection(op));
    }
    let input = i.mnemonic() == Mnemonic::In;
    let (data, port) = if input { (0, 1) } else { (1, 0) };
    let number = match i.op_kind(port) {
        OpKind::Register => core.regs[2] as u16,
        _ => u16::from(i.immediate8()),
    };
    let size = i.op_register(data).size() as u8;
    let mask = u32::MAX >> (32 - 8 * u32::from(size.clamp(1, 4)));
    Ok(Exit::Port { port: number, size, input, value: core.regs[0] as u32 & mask })
}

/// Refuses a branch target that is not an address.
fn check_target(core: &mut Core, op: &Op, target: u64) -> Step {
    if Va(target).is_canonical() { Ok(()) } else { Err(core.protection(op)) }
}

/// Loads CS for a far transfer that may go to `ring`.
fn code_segment(core: &mut Core, op: &Op, value: u16) -> Result<Segment, Stop> {
    let cpl = core.cpu.cpl();
    let ring = (value & 3) as u8;
    match descriptor(value, ring) {
        Some(segment) if segment.attributes & 8 != 0 && ring >= cpl => Ok(segment),
        _ => Err(core.raise(op, vector::PROTECTION, u32::from(value & !3))),
    }
}

/// Near calls and jumps of widths without a body, and far ones.
fn transfer(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let call = i.mnemonic() == Mnemonic::Call;
    if i.is_jmp_far() || i.is_call_far() {
        return far_direct(
            core,
            op,
            ram,
            u64::from(i.far_branch32()),
            i.far_branch_selector(),
            call,
        );
    }
    if i.is_jmp_far_indirect() || i.is_call_far_indirect() {
        let va = EaAny::ea(core, op);
        let size = i.memory_size().size() as u64 - 2;
        let mut bytes = [0u8; 10];
        let taken = (size + 2).min(10) as usize;
        core.copy_out(ram, op, va, bytes.get_mut(..taken).unwrap_or_default())?;
        let whole =
            u128::from_le_bytes(std::array::from_fn(|n| bytes.get(n).copied().unwrap_or(0)));
        let offset = (whole & ((1u128 << (8 * size.min(8))) - 1)) as u64;
        let selector = (whole >> (8 * size.min(8))) as u16;
        return far_direct(core, op, ram, offset, selector, call);
    }
    let size = match i.op0_kind() {
        OpKind::NearBranch16 => 2,
        OpKind::NearBranch32 => 4,
        OpKind::NearBranch64 => 8,
        _ => select::operand_size(i, 0) as u64,
    };
    let target = match i.op0_kind() {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
            i.near_branch_target()
        }
        _ => by_size!(size, T => read::<T>(core, op, ram, i, 0)?.zx()),
    };
    check_target(core, op, target)?;
    if call {
        push_value(core, op, ram, core.rip, size)?;
    }
    core.rip = target;
    Ok(())
}

/// A far jump or call, which never changes the privilege.
fn far_direct(core: &mut Core, op: &Op, ram: &GuestRam, offset: u64, to: u16, call: bool) -> Step {
    let segment = code_segment(core, op, to)?;
    if (to & 3) as u8 != core.cpu.cpl() {
        return Err(core.raise(op, vector::PROTECTION, u32::from(to & !3)));
    }
    check_target(core, op, offset)?;
    if call {
        let size = if core.cpu.bitness() == 64 && op.len > 0 { 8 } else { 4 };
        let from = core.cpu.seg[sreg::CS].selector;
        let rsp = core.regs[4];
        core.probe_write(ram, op, rsp.wrapping_sub(2 * size) & stack_mask(core), 2 * size)?;
        push_value(core, op, ram, u64::from(from), size)?;
        push_value(core, op, ram, core.rip, size)?;
    }
    core.cpu.seg[sreg::CS] = segment;
    core.rip = offset;
    core.select_space();
    Ok(())
}

/// Reads consecutive stack slots without moving RSP.
fn slots<const N: usize>(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    size: u64,
) -> Result<[u64; N], Stop> {
    let mut values = [0; N];
    for (index, value) in values.iter_mut().enumerate() {
        let va = core.regs[4].wrapping_add(index as u64 * size) & stack_mask(core);
        *value = load_sized(core, op, ram, va, size)?;
    }
    Ok(values)
}

fn far_return(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let extra = if i.op_count() == 1 { u64::from(i.immediate16()) } else { 0 };
    let size = (u64::from(i.stack_pointer_increment().unsigned_abs()) - extra) / 2;
    let [target, to] = slots(core, op, ram, size)?;
    let segment = code_segment(core, op, to as u16)?;
    check_target(core, op, target)?;
    let outer = (to & 3) as u8 > core.cpu.cpl();
    let rsp = core.regs[4].wrapping_add(2 * size).wrapping_add(extra);
    if outer {
        let saved = core.regs[4];
        core.regs[4] = rsp;
        let stack = slots::<2>(core, op, ram, size);
        core.regs[4] = saved;
        let [new_rsp, ss] = stack?;
        core.cpu.seg[sreg::SS] = Segment::flat(ss as u16, seg_attr::DATA_USER);
        core.regs[4] = new_rsp;
    } else {
        super::slow::set_stack(core, rsp);
    }
    core.cpu.seg[sreg::CS] = segment;
    core.rip = target;
    core.select_space();
    Ok(())
}

fn interrupt_return(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let size: u64 = match i.mnemonic() {
        Mnemonic::Iretq => 8,
        Mnemonic::Iretd => 4,
        _ => 2,
    };
    let [target, to, flags] = slots(core, op, ram, size)?;
    let segment = code_segment(core, op, to as u16)?;
    check_target(core, op, target)?;
    let outer = (to & 3) as u8 > core.cpu.cpl();
    let stack = if core.cpu.bitness() == 64 || outer {
        let [_, _, _, rsp, ss] = slots::<5>(core, op, ram, size)?;
        Some((rsp, ss as u16))
    } else {
        None
    };
    replace_rflags(core, flags, size);
    match stack {
        Some((rsp, ss)) => {
            let ring = (to & 3) as u8;
            core.cpu.seg[sreg::SS] =
                descriptor(ss, ring).unwrap_or(Segment { selector: ss, ..Segment::default() });
            core.regs[4] = rsp;
        }
        None => {
            let rsp = core.regs[4].wrapping_add(3 * size);
            super::slow::set_stack(core, rsp);
        }
    }
    core.cpu.seg[sreg::CS] = segment;
    core.rip = target;
    core.select_space();
    Ok(())
}
