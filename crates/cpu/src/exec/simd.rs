//! SSE and MMX arithmetic: binds the functions of [`crate::fp`] to registers and memory.
//!
//! An unmasked floating-point exception discards the result and raises #XM. Neighbours: [`super::vector`] (moves),
//! [`super::slow`] (operand access).

use guest_mem::{GuestRam, Va};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::slow::{decoded, read, write};
use super::vector::{aligned, set_xmm, xmm};
use crate::decode::select;
use crate::decode::select::by_size;
use crate::engine::vector as exception;
use crate::flags::Int;
use crate::fp::{SimdOp, checked, simd_lookup};
use crate::op::{Ea, EaAny, Exec, Op};
use crate::processor::{Core, Step, Stop};
use crate::state::flag;

/// True if [`Simd`] executes the instruction.
pub(crate) fn is_simd(instruction: &Instruction) -> bool {
    simd_lookup(instruction.code()).is_some()
        || matches!(
            instruction.mnemonic(),
            Mnemonic::Maskmovdqu
                | Mnemonic::Maskmovq
                | Mnemonic::Movddup
                | Mnemonic::Movshdup
                | Mnemonic::Movsldup
                | Mnemonic::Emms
                | Mnemonic::Movntq
        )
        || matches!(instruction.mnemonic(), Mnemonic::Movd | Mnemonic::Movq)
            && (0..2).any(|index| instruction.op_register(index).is_mm())
}

/// Executes an SSE instruction from its decoded form.
pub(crate) struct Simd;

impl Exec for Simd {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let instruction = decoded(core, op);
        execute(core, op, ram, &instruction)
    }
}

/// Reads a vector operand; memory of any width comes zero-extended.
fn source(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    i: &Instruction,
    index: u32,
    must_align: bool,
) -> Result<u128, Stop> {
    if i.op_kind(index) != OpKind::Memory {
        return Ok(match i.op_kind(index) {
            OpKind::Register => xmm(core, i.op_register(index).number() as u8),
            _ => 0,
        });
    }
    let va = EaAny::ea(core, op);
    match i.memory_size().size() {
        1 => Ok(core.load::<u8>(ram, op, va)?.into()),
        2 => Ok(core.load::<u16>(ram, op, va)?.into()),
        4 => Ok(core.load::<u32>(ram, op, va)?.into()),
        8 => Ok(core.load::<u64>(ram, op, va)?.into()),
        _ => {
            if must_align {
                aligned::<true>(core, op, va)?;
            }
            core.load(ram, op, va)
        }
    }
}

/// Runs a function that may set sticky flags, and raises #XM for an unmasked one.
#[inline(always)]
pub(crate) fn guarded<R>(
    core: &mut Core,
    op: &Op,
    f: impl FnOnce(&mut u32) -> R,
) -> Result<R, Stop> {
    let mut mxcsr = core.cpu.mxcsr;
    let result = checked(&mut mxcsr, f);
    core.cpu.mxcsr = mxcsr;
    result.map_err(|_| core.raise(op, exception::SIMD, 0))
}

fn execute(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let imm = match i.op_kind(i.op_count().saturating_sub(1)) {
        OpKind::Immediate8 => i.immediate8(),
        _ => 0,
    };
    let number = |index: u32| i.op_register(index).number() as u8;
    let Some(simd) = simd_lookup(i.code()) else {
        return special(core, op, ram, i);
    };
    match simd {
        SimdOp::Xmm { f, aligned } => {
            let from = source(core, op, ram, i, 1, aligned)?;
            let old = xmm(core, number(0));
            let memory = i.op_kind(1) == OpKind::Memory;
            let imm = if memory && i.mnemonic() == Mnemonic::Insertps { imm & 0x3F } else { imm };
            let new = guarded(core, op, |mxcsr| f(old, from, imm, mxcsr))?;
            set_xmm(core, number(0), new);
        }
        SimdOp::XmmMask { f } => {
            let from = source(core, op, ram, i, 1, true)?;
            let new = f(xmm(core, number(0)), from, xmm(core, 0));
            set_xmm(core, number(0), new);
        }
        SimdOp::FromGpr { f } => {
            let from = general(core, op, ram, i, 1)?;
            let old = xmm(core, number(0));
            let new = guarded(core, op, |mxcsr| f(old, from, imm, mxcsr))?;
            set_xmm(core, number(0), new);
        }
        SimdOp::ToGpr { f } => {
            let from = source(core, op, ram, i, 1, true)?;
            let value = guarded(core, op, |mxcsr| f(from, imm, mxcsr))?;
            by_size!(select::operand_size(i, 0), T => write(core, op, ram, i, 0, value as T))?;
        }
        SimdOp::Flags { f, aligned } => {
            let b = source(core, op, ram, i, 1, aligned)?;
            let a = xmm(core, number(0));
            let bits = guarded(core, op, |mxcsr| f(a, b, mxcsr))?;
            core.flags.set_bits(bits & flag::STATUS);
        }
        SimdOp::Str { f, explicit, to_index } => {
            let b = source(core, op, ram, i, 1, false)?;
            let a = xmm(core, number(0));
            let wide = matches!(
                i.code(),
                iced_x86::Code::Pcmpestri64_xmm_xmmm128_imm8
                    | iced_x86::Code::Pcmpestrm64_xmm_xmmm128_imm8
            );
            let length = |value: u64| if wide { value as i64 } else { i64::from(value as i32) };
            let (length_a, length_b) = if explicit {
                (Some(length(core.regs[0])), Some(length(core.regs[2])))
            } else {
                (None, None)
            };
            let result = f(a, b, length_a, length_b, imm);
            if to_index {
                core.regs[1] = u64::from(result.index);
            } else {
                set_xmm(core, 0, result.mask);
            }
            core.flags.set_bits(result.flags & flag::STATUS);
        }
        SimdOp::Crc32 { f } => {
            let from = general(core, op, ram, i, 1)?;
            let old = core.regs[op.r1 as usize];
            core.regs[op.r1 as usize] = f(old, from);
        }
        SimdOp::Mmx { f } => {
            pending(core, op)?;
            let from = mmx_source(core, op, ram, i, 1)?;
            enter_mmx(core, op)?;
            let new = f(core.cpu.fpu.read_mm(number(0)), from, imm);
            core.cpu.fpu.write_mm(number(0), new);
        }
        SimdOp::MmxFromXmm { f, aligned } => {
            pending(core, op)?;
            let from = source(core, op, ram, i, 1, aligned)?;
            let new = guarded(core, op, |mxcsr| f(from, mxcsr))?;
            core.cpu.fpu.enter_mmx();
            core.cpu.fpu.write_mm(number(0), new);
        }
        SimdOp::XmmFromMmx { f } => {
            // With a memory source the x87 unit has no part in it.
            let touches = i.op_kind(1) != OpKind::Memory;
            if touches {
                pending(core, op)?;
            }
            let from = mmx_source(core, op, ram, i, 1)?;
            let old = xmm(core, number(0));
            let new = guarded(core, op, |mxcsr| f(old, from, mxcsr))?;
            if touches {
                core.cpu.fpu.enter_mmx();
            }
            set_xmm(core, number(0), new);
        }
        SimdOp::MmxFromGpr { f } => {
            pending(core, op)?;
            let from = general(core, op, ram, i, 1)?;
            enter_mmx(core, op)?;
            let new = f(core.cpu.fpu.read_mm(number(0)), from, imm);
            core.cpu.fpu.write_mm(number(0), new);
        }
        SimdOp::GprFromMmx { f } => {
            enter_mmx(core, op)?;
            let value = f(core.cpu.fpu.read_mm(number(1)), imm);
            by_size!(select::operand_size(i, 0), T => write(core, op, ram, i, 0, value as T))?;
        }
    }
    Ok(())
}

/// Raises #MF if an x87 exception is pending.
fn pending(core: &mut Core, op: &Op) -> Step {
    if core.cpu.fpu.pending() { Err(core.raise(op, exception::X87, 0)) } else { Ok(()) }
}

/// What every MMX instruction does to the x87 state.
fn enter_mmx(core: &mut Core, op: &Op) -> Step {
    pending(core, op)?;
    core.cpu.fpu.enter_mmx();
    Ok(())
}

/// Reads an MMX register or memory of up to 64 bits; zero for an immediate.
fn mmx_source(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    i: &Instruction,
    index: u32,
) -> Result<u64, Stop> {
    match i.op_kind(index) {
        OpKind::Register => Ok(core.cpu.fpu.read_mm(i.op_register(index).number() as u8)),
        OpKind::Memory => {
            let va = EaAny::ea(core, op);
            if i.memory_size().size() == 4 {
                core.load::<u32>(ram, op, va).map(u64::from)
            } else {
                core.load::<u64>(ram, op, va)
            }
        }
        _ => Ok(0),
    }
}

/// Reads a general register or memory, zero-extended.
fn general(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    i: &Instruction,
    index: u32,
) -> Result<u64, Stop> {
    by_size!(select::operand_size(i, index), T => Ok(read::<T>(core, op, ram, i, index)?.zx()))
}

/// The duplicating moves and the masked store.
fn special(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let to = i.op0_register().number() as u8;
    let dword = |value: u128, index: u32| value >> (32 * index) & 0xFFFF_FFFF;
    match i.mnemonic() {
        Mnemonic::Movddup => {
            let low = source(core, op, ram, i, 1, false)? & u128::from(u64::MAX);
            set_xmm(core, to, low | (low << 64));
        }
        Mnemonic::Movsldup | Mnemonic::Movshdup => {
            let from = source(core, op, ram, i, 1, true)?;
            let odd = u32::from(i.mnemonic() == Mnemonic::Movshdup);
            let (low, high) = (dword(from, odd), dword(from, 2 + odd));
            set_xmm(core, to, low | low << 32 | high << 64 | high << 96);
        }
        Mnemonic::Emms => {
            enter_mmx(core, op)?;
            core.cpu.fpu.emms();
        }
        Mnemonic::Movd | Mnemonic::Movq | Mnemonic::Movntq => mmx_move(core, op, ram, i)?,
        _ => return masked_store(core, op, ram, i),
    }
    Ok(())
}

/// MOVD, MOVQ and MOVNTQ with an MMX register.
fn mmx_move(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    pending(core, op)?;
    if i.op0_register().is_mm() {
        let from = if i.op_kind(1) == OpKind::Register && i.op1_register().is_mm() {
            mmx_source(core, op, ram, i, 1)?
        } else {
            general(core, op, ram, i, 1)?
        };
        enter_mmx(core, op)?;
        core.cpu.fpu.write_mm(i.op0_register().number() as u8, from);
        return Ok(());
    }
    let from = core.cpu.fpu.read_mm(i.op1_register().number() as u8);
    by_size!(select::operand_size(i, 0), T => write(core, op, ram, i, 0, from as T))?;
    core.cpu.fpu.enter_mmx();
    Ok(())
}

/// MASKMOVDQU and MASKMOVQ: the bytes whose mask byte has its top bit set, to RDI.
fn masked_store(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let (first, second) = (i.op1_register().number() as u8, i.op2_register().number() as u8);
    let (value, mask) = match i.mnemonic() {
        Mnemonic::Maskmovdqu => (xmm(core, first), xmm(core, second)),
        Mnemonic::Maskmovq => {
            enter_mmx(core, op)?;
            let fpu = &core.cpu.fpu;
            (u128::from(fpu.read_mm(first)), u128::from(fpu.read_mm(second)))
        }
        _ => return Err(core.undefined(op)),
    };
    let (value, mask) = (value.to_le_bytes(), mask.to_le_bytes());
    let segment = match i.segment_prefix() {
        Register::FS => core.regs[crate::processor::FS_BASE as usize],
        Register::GS => core.regs[crate::processor::GS_BASE as usize],
        _ => 0,
    };
    let wanted = || value.iter().zip(mask).enumerate().filter(|(_, (_, m))| m & 0x80 != 0);
    let at = segment.wrapping_add(core.regs[7] & address_mask(i));
    // A page is checked if a byte of it is stored, and a fault names the first byte of the operand in it.
    for (index, _) in wanted() {
        let page = Va(at.wrapping_add(index as u64)).page();
        core.probe_write(ram, op, if page == Va(at).page() { at } else { page.0 }, 1)?;
    }
    for (index, (&byte, _)) in wanted() {
        core.store(ram, op, at.wrapping_add(index as u64), byte)?;
    }
    Ok(())
}

/// The part of RDI that the address size keeps.
fn address_mask(i: &Instruction) -> u64 {
    if i.op0_kind() == OpKind::MemorySegRDI { u64::MAX } else { 0xFFFF_FFFF }
}
