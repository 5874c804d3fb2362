//! SSE and MMX arithmetic: binds the functions of [`crate::fp`] to registers and memory.
//!
//! An unmasked floating-point exception discards the result and raises #XM. Neighbours: [`super::vector`] (moves),
//! [`super::slow`] (operand access).

use guest_mem::GuestRam;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::slow::{by_size, decoded, read, write};
use super::vector::{aligned, set_xmm, xmm};
use crate::decode::select;
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
            Mnemonic::Maskmovdqu | Mnemonic::Movddup | Mnemonic::Movshdup | Mnemonic::Movsldup
        )
}

/// Executes an SSE instruction from its decoded form.
pub(crate) struct Simd;

impl Exec for Simd {
    const STORES: bool = true;
    fn exec(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
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
                aligned(core, op, va)?;
            }
            core.load(ram, op, va)
        }
    }
}

/// Runs a function that may set sticky flags, and raises #XM for an unmasked one.
fn guarded<R>(core: &mut Core, op: &Op, f: impl FnOnce(&mut u32) -> R) -> Result<R, Stop> {
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
        SimdOp::Mmx { .. }
        | SimdOp::MmxFromXmm { .. }
        | SimdOp::XmmFromMmx { .. }
        | SimdOp::MmxFromGpr { .. }
        | SimdOp::GprFromMmx { .. } => return Err(core.undefined(op)),
    }
    Ok(())
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
        _ => return masked_store(core, op, ram, i),
    }
    Ok(())
}

/// MASKMOVDQU: the bytes whose mask byte has its top bit set, to RDI.
fn masked_store(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    if i.mnemonic() != Mnemonic::Maskmovdqu {
        return Err(core.undefined(op));
    }
    let value = xmm(core, i.op1_register().number() as u8).to_le_bytes();
    let mask = xmm(core, i.op2_register().number() as u8).to_le_bytes();
    let segment = match i.segment_prefix() {
        Register::FS => core.regs[crate::processor::FS_BASE as usize],
        Register::GS => core.regs[crate::processor::GS_BASE as usize],
        _ => 0,
    };
    let wanted = || value.iter().zip(mask).enumerate().filter(|(_, (_, m))| m & 0x80 != 0);
    let at = segment.wrapping_add(core.regs[7]);
    for (index, _) in wanted() {
        core.probe_write(ram, op, at.wrapping_add(index as u64), 1)?;
    }
    for (index, (&byte, _)) in wanted() {
        core.store(ram, op, at.wrapping_add(index as u64), byte)?;
    }
    Ok(())
}
