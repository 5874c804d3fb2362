//! Integer instructions executed from iced's decoded form: locked and rare ones, and forms without a body of their own.
//!
//! The operation's `imm` is the index of the decoded instruction; its memory operand is already in the operation.
//! Neighbours: [`super::string`], [`super::simd`], [`super::system`]. What is not implemented anywhere raises #UD.

use guest_mem::GuestRam;
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::alu::{self, Binary};
use super::atomic::{self, Atomic};
use super::{shift, simd, string, system, x87};
use crate::decode::select::by_size;
use crate::decode::{register, select};
use crate::flags::{Flags, Int};
use crate::memory::{Cell, on_stack};
use crate::op::{Ea, EaAny, Exec, Handler, Op, careful, reg, set_reg};
use crate::processor::{Core, Step, Stop};
use crate::state::flag;

/// The handler for an instruction that is executed from its decoded form.
pub(crate) fn handler(instruction: &Instruction) -> Handler {
    if instruction.is_invalid() {
        careful::<Undefined>
    } else if string::is_memory_string(instruction) {
        careful::<string::StringOp>
    } else if simd::is_simd(instruction) {
        careful::<simd::Simd>
    } else if x87::is_x87(instruction) {
        careful::<x87::X87>
    } else {
        careful::<Slow>
    }
}

/// The decoded form behind an operation.
pub(crate) fn decoded(core: &Core, op: &Op) -> Instruction {
    core.decoded.get(op.imm as usize).copied().unwrap_or_default()
}

/// Raises #UD.
struct Undefined;

impl Exec for Undefined {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        Err(core.undefined(op))
    }
}

/// Executes any integer instruction.
struct Slow;

impl Exec for Slow {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let instruction = decoded(core, op);
        integer(core, op, ram, &instruction)
    }
}

/// Reads operand `index`.
pub(crate) fn read<T: Int + Cell>(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    instruction: &Instruction,
    index: u32,
) -> Result<T, Stop> {
    match instruction.op_kind(index) {
        OpKind::Register => {
            let (number, high) = register(instruction.op_register(index));
            Ok(T::of(core.regs[number as usize] >> high))
        }
        OpKind::Memory => {
            let va = EaAny::ea(core, op);
            core.load(ram, op, va)
        }
        _ => Ok(T::of(instruction.immediate(index))),
    }
}

/// Writes operand `index`.
pub(crate) fn write<T: Int + Cell>(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    instruction: &Instruction,
    index: u32,
    value: T,
) -> Step {
    if instruction.op_kind(index) == OpKind::Memory {
        let va = EaAny::ea(core, op);
        return core.store(ram, op, va, value);
    }
    let (number, high) = register(instruction.op_register(index));
    if high != 0 {
        let slot = &mut core.regs[number as usize];
        *slot = (*slot & !0xFF00) | ((value.zx() & 0xFF) << 8);
    } else {
        set_reg(core, number, value);
    }
    Ok(())
}

/// Replaces operand `index` by `f` of it and the flags, atomically if it is memory and the instruction is locked.
fn update<T: Atomic>(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    instruction: &Instruction,
    index: u32,
    f: impl Fn(&mut Flags, T) -> T,
) -> Result<T, Stop> {
    if instruction.op_kind(index) != OpKind::Memory {
        let old: T = read(core, op, ram, instruction, index)?;
        let new = f(&mut core.flags, old);
        write(core, op, ram, instruction, index, new)?;
        return Ok(old);
    }
    let va = EaAny::ea(core, op);
    if instruction.has_lock_prefix() {
        let before = core.flags;
        let old = atomic::update::<T, true>(core, op, ram, va, |old| f(&mut before.clone(), old))?;
        f(&mut core.flags, old);
        return Ok(old);
    }
    let (old, place) = core.start::<T>(ram, op, va)?;
    let new = f(&mut core.flags, old);
    core.finish(ram, op, va, place, new)?;
    Ok(old)
}

fn binary<O: Binary>(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    by_size!(select::operand_size(i, 0), T => {
        let b: T = read(core, op, ram, i, 1)?;
        update::<T>(core, op, ram, i, 0, |flags, a| O::apply(flags, a, b))?;
    });
    Ok(())
}

fn integer(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let size = if i.op_count() > 0 { select::operand_size(i, 0) } else { 0 };
    match i.mnemonic() {
        Mnemonic::Add => binary::<alu::Add>(core, op, ram, i),
        Mnemonic::Adc => binary::<alu::Adc>(core, op, ram, i),
        Mnemonic::Sub => binary::<alu::Sub>(core, op, ram, i),
        Mnemonic::Sbb => binary::<alu::Sbb>(core, op, ram, i),
        Mnemonic::And => binary::<alu::And>(core, op, ram, i),
        Mnemonic::Or => binary::<alu::Or>(core, op, ram, i),
        Mnemonic::Xor => binary::<alu::Xor>(core, op, ram, i),
        Mnemonic::Inc | Mnemonic::Dec => {
            let increment = i.mnemonic() == Mnemonic::Inc;
            by_size!(size, T => {
                update::<T>(core, op, ram, i, 0, |flags, a| {
                    let delta = if increment { 1 } else { u64::MAX };
                    let result = T::of(a.zx().wrapping_add(delta));
                    flags.set_inc_dec(result, increment);
                    result
                })?;
            });
            Ok(())
        }
        Mnemonic::Neg => {
            by_size!(size, T => {
                update::<T>(core, op, ram, i, 0, |flags, a| {
                    <alu::Sub as Binary>::apply(flags, T::of(0), a)
                })?;
            });
            Ok(())
        }
        Mnemonic::Not => {
            by_size!(size, T => {
                update::<T>(core, op, ram, i, 0, |_, a| T::of(!a.zx()))?;
            });
            Ok(())
        }
        Mnemonic::Xchg => exchange(core, op, ram, i, size),
        Mnemonic::Xadd => {
            by_size!(size, T => {
                let b: T = read(core, op, ram, i, 1)?;
                let old = update::<T>(core, op, ram, i, 0, |flags, a| {
                    <alu::Add as Binary>::apply(flags, a, b)
                })?;
                // With the same register twice, the sum stays.
                if i.op_kind(0) == OpKind::Memory || i.op0_register() != i.op1_register() {
                    write(core, op, ram, i, 1, old)?;
                }
            });
            Ok(())
        }
        Mnemonic::Cmpxchg => {
            by_size!(size, T => compare_exchange::<T>(core, op, ram, i))
        }
        Mnemonic::Cmpxchg8b => compare_exchange_8(core, op, ram),
        Mnemonic::Cmpxchg16b => compare_exchange_16(core, op, ram),
        Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc => {
            by_size!(size, T => bit_test::<T>(core, op, ram, i))
        }
        Mnemonic::Shld | Mnemonic::Shrd => {
            let left = i.mnemonic() == Mnemonic::Shld;
            by_size!(size, T => {
                let from: T = read(core, op, ram, i, 1)?;
                let count: u8 = read(core, op, ram, i, 2)?;
                update::<T>(core, op, ram, i, 0, |flags, value| {
                    shift::double(flags, value, from, count, left).unwrap_or(value)
                })?;
            });
            Ok(())
        }
        Mnemonic::Mov | Mnemonic::Movnti if is_general(i, 0) && is_general(i, 1) => {
            by_size!(size, T => {
                let value: T = read(core, op, ram, i, 1)?;
                write(core, op, ram, i, 0, value)
            })
        }
        Mnemonic::Movsx if i.op_count() == 2 => Err(core.undefined(op)),
        Mnemonic::Xlatb => {
            let index = core.regs[0] & 0xFF;
            let va = EaAny::ea(core, &Op { disp: op.disp.wrapping_add(index), ..*op });
            let value: u8 = core.load(ram, op, va)?;
            set_reg(core, 0, value);
            Ok(())
        }
        Mnemonic::Lahf => {
            let value = core.flags.bits() & 0xFF | flag::RESERVED_1;
            core.regs[0] = (core.regs[0] & !0xFF00) | (value << 8);
            Ok(())
        }
        Mnemonic::Sahf => {
            let kept = core.flags.bits() & flag::OF;
            core.flags.set_bits(kept | (core.regs[0] >> 8 & 0xFF));
            Ok(())
        }
        Mnemonic::Clc => {
            core.flags.set_cf(false);
            Ok(())
        }
        Mnemonic::Stc => {
            core.flags.set_cf(true);
            Ok(())
        }
        Mnemonic::Cmc => {
            let carry = core.flags.cf();
            core.flags.set_cf(!carry);
            Ok(())
        }
        Mnemonic::Cld => {
            core.system_flags &= !flag::DF;
            Ok(())
        }
        Mnemonic::Std => {
            core.system_flags |= flag::DF;
            Ok(())
        }
        Mnemonic::Push | Mnemonic::Pusha | Mnemonic::Pushad => push(core, op, ram, i),
        Mnemonic::Pop | Mnemonic::Popa | Mnemonic::Popad => pop(core, op, ram, i),
        Mnemonic::Pushf | Mnemonic::Pushfd | Mnemonic::Pushfq => {
            // RF and VM are pushed as zero.
            let value = core.rflags() & !(flag::RF | flag::VM);
            push_value(core, op, ram, value, stack_bytes(i))
        }
        Mnemonic::Enter => enter(core, op, ram, i),
        Mnemonic::Leave => {
            let size = stack_bytes(i);
            let frame = core.regs[5] & stack_mask(core);
            let value = load_sized(core, op, ram, frame, size)?;
            set_stack(core, frame.wrapping_add(size));
            if size == 2 {
                set_reg(core, 5, value as u16)
            } else {
                core.regs[5] = value
            }
            Ok(())
        }
        Mnemonic::Clflush => {
            // It is checked like a byte load.
            let va = EaAny::ea(core, op);
            core.load::<u8>(ram, op, va).map(|_| ())
        }
        Mnemonic::Movbe
        | Mnemonic::Ud0
        | Mnemonic::Ud1
        | Mnemonic::Ud2
        | Mnemonic::Reservednop
        | Mnemonic::Rdrand
        | Mnemonic::Rdseed => Err(core.undefined(op)),
        _ => system::in_block(core, op, ram, i),
    }
}

/// True for operands other than segment, control and debug registers.
fn is_general(i: &Instruction, index: u32) -> bool {
    i.op_kind(index) != OpKind::Register || i.op_register(index).is_gpr()
}

fn exchange(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction, size: usize) -> Step {
    // Memory may be either operand; it is always locked.
    let (memory, other) = match (i.op_kind(0), i.op_kind(1)) {
        (OpKind::Memory, _) => (Some(0), 1),
        (_, OpKind::Memory) => (Some(1), 0),
        _ => (None, 1),
    };
    by_size!(size, T => {
        let new: T = read(core, op, ram, i, other)?;
        let old = match memory {
            Some(_) => {
                let va = EaAny::ea(core, op);
                atomic::update::<T, true>(core, op, ram, va, |_| new)?
            }
            None => {
                let old: T = read(core, op, ram, i, 0)?;
                write(core, op, ram, i, 0, new)?;
                old
            }
        };
        write(core, op, ram, i, other, old)
    })
}

fn compare_exchange<T: Atomic>(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let expected: T = reg(core, 0);
    let new: T = read(core, op, ram, i, 1)?;
    if i.op_kind(0) == OpKind::Memory {
        let va = EaAny::ea(core, op);
        return atomic::compare_exchange::<T, true>(core, op, ram, va, expected, new);
    }
    let found: T = read(core, op, ram, i, 0)?;
    if found == expected {
        write(core, op, ram, i, 0, new)?;
    }
    atomic::finish_compare(core, expected, found);
    Ok(())
}

fn compare_exchange_8(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
    let half = |core: &Core, high: usize, low: usize| {
        (core.regs[high] << 32) | (core.regs[low] & 0xFFFF_FFFF)
    };
    let (expected, new) = (half(core, 2, 0), half(core, 1, 3));
    let va = EaAny::ea(core, op);
    let found = match core.atomic_place::<u64>(ram, op, va)? {
        Some(pa) => match ram.compare_exchange_u64(pa, expected, new) {
            Ok(found) | Err(found) => found,
        },
        None => {
            let (found, place) = core.start::<u64>(ram, op, va)?;
            core.finish(ram, op, va, place, if found == expected { new } else { found })?;
            found
        }
    };
    core.flags.set_zf(found == expected);
    if found != expected {
        core.regs[0] = found & 0xFFFF_FFFF;
        core.regs[2] = found >> 32;
    }
    Ok(())
}

fn compare_exchange_16(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
    let wide = |high: u64, low: u64| (u128::from(high) << 64) | u128::from(low);
    let expected = wide(core.regs[2], core.regs[0]);
    let new = wide(core.regs[1], core.regs[3]);
    let va = EaAny::ea(core, op);
    super::vector::aligned::<true>(core, op, va)?;
    let Some(pa) = core.atomic_place::<u128>(ram, op, va)? else {
        return Err(core.protection(op));
    };
    let found = match ram.compare_exchange_u128(pa, expected, new) {
        Ok(found) | Err(found) => found,
    };
    core.flags.set_zf(found == expected);
    if found != expected {
        core.regs[0] = found as u64;
        core.regs[2] = (found >> 64) as u64;
    }
    Ok(())
}

fn bit_test<T: Atomic>(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let index: T = read(core, op, ram, i, 1)?;
    let bit = T::of(1 << (index.zx() & u64::from(T::BITS - 1)));
    let change = |value: T| match i.mnemonic() {
        Mnemonic::Bts => T::of(value.zx() | bit.zx()),
        Mnemonic::Btr => T::of(value.zx() & !bit.zx()),
        Mnemonic::Btc => T::of(value.zx() ^ bit.zx()),
        _ => value,
    };
    let is_test = i.mnemonic() == Mnemonic::Bt;
    let old = if i.op_kind(0) != OpKind::Memory {
        let old: T = read(core, op, ram, i, 0)?;
        if !is_test {
            write(core, op, ram, i, 0, change(old))?;
        }
        old
    } else {
        // A register index reaches beyond the operand, in either direction.
        let mut at = *op;
        if i.op_kind(1) == OpKind::Register {
            let word = (index.sx() as i64) >> T::BITS.trailing_zeros();
            at.disp = at.disp.wrapping_add((word as u64).wrapping_mul(<T as Int>::BYTES));
        }
        let va = EaAny::ea(core, &at);
        if is_test {
            core.load::<T>(ram, op, va)?
        } else if i.has_lock_prefix() {
            atomic::update::<T, true>(core, op, ram, va, change)?
        } else {
            let (old, place) = core.start::<T>(ram, op, va)?;
            core.finish(ram, op, va, place, change(old))?;
            old
        }
    };
    core.flags.set_cf(old.zx() & bit.zx() != 0);
    Ok(())
}

/// Bytes that a stack instruction moves.
fn stack_bytes(i: &Instruction) -> u64 {
    match i.mnemonic() {
        Mnemonic::Leave => match i.code() {
            Code::Leaveq => 8,
            Code::Leaved => 4,
            _ => 2,
        },
        _ => u64::from(i.stack_pointer_increment().unsigned_abs()),
    }
}

/// The part of RSP that counts.
pub(crate) fn stack_mask(core: &Core) -> u64 {
    if core.cpu.bitness() == 64 { u64::MAX } else { 0xFFFF_FFFF }
}

/// Moves RSP, within the stack's width.
pub(crate) fn set_stack(core: &mut Core, rsp: u64) {
    core.regs[4] = rsp & stack_mask(core);
}

/// Loads 2, 4 or 8 bytes.
pub(crate) fn load_sized(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    va: u64,
    size: u64,
) -> Result<u64, Stop> {
    by_size!(size, T => core.load::<T>(ram, op, va).map(Int::zx))
}

/// Pushes the low `size` bytes.
pub(crate) fn push_value(core: &mut Core, op: &Op, ram: &GuestRam, value: u64, size: u64) -> Step {
    let to = core.regs[4].wrapping_sub(size) & stack_mask(core);
    by_size!(size, T => core.store::<T>(ram, &on_stack(op), to, value as T))?;
    core.regs[4] = to;
    Ok(())
}

/// Pops `size` bytes.
pub(crate) fn pop_value(core: &mut Core, op: &Op, ram: &GuestRam, size: u64) -> Result<u64, Stop> {
    let from = core.regs[4] & stack_mask(core);
    let value = load_sized(core, &on_stack(op), ram, from, size)?;
    set_stack(core, from.wrapping_add(size));
    Ok(value)
}

fn push(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    if matches!(i.mnemonic(), Mnemonic::Pusha | Mnemonic::Pushad) {
        let size = stack_bytes(i) / 8;
        let saved = core.regs[4];
        core.probe_write(ram, op, saved.wrapping_sub(8 * size) & stack_mask(core), 8 * size)?;
        for number in 0..8 {
            let value = if number == 4 { saved } else { core.regs[number] };
            push_value(core, op, ram, value, size)?;
        }
        return Ok(());
    }
    let size = stack_bytes(i);
    let value = if i.op0_kind() == OpKind::Register && i.op0_register().is_segment_register() {
        u64::from(core.cpu.seg[(i.op0_register().number() % 6).min(5)].selector)
    } else {
        by_size!(size, T => read::<T>(core, op, ram, i, 0)?.zx())
    };
    push_value(core, op, ram, value, size)
}

fn pop(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    if matches!(i.mnemonic(), Mnemonic::Popa | Mnemonic::Popad) {
        let size = stack_bytes(i) / 8;
        let mut bytes = [0u8; 32];
        let from = core.regs[4] & stack_mask(core);
        let taken = bytes.get_mut(..(8 * size) as usize).unwrap_or_default();
        core.copy_out(ram, op, from, taken)?;
        for number in (0..8usize).rev() {
            let value = pop_value(core, op, ram, size)?;
            if number != 4 {
                by_size!(size, T => set_reg(core, number as u8, value as T));
            }
        }
        return Ok(());
    }
    let size = stack_bytes(i);
    let before = core.regs[4];
    let value = pop_value(core, op, ram, size)?;
    // A memory operand is addressed with the stack pointer after the pop.
    let done = by_size!(size, T => write::<T>(core, op, ram, i, 0, value as T));
    if done.is_err() {
        core.regs[4] = before;
    }
    done
}

fn enter(core: &mut Core, op: &Op, ram: &GuestRam, i: &Instruction) -> Step {
    let size: u64 = match i.code() {
        Code::Enterq_imm16_imm8 => 8,
        Code::Enterd_imm16_imm8 => 4,
        _ => 2,
    };
    let (bytes, level) = (u64::from(i.immediate16()), u64::from(i.immediate8_2nd() & 31));
    let (rsp, rbp) = (core.regs[4], core.regs[5]);
    let result = (|| {
        push_value(core, op, ram, rbp, size)?;
        let frame = core.regs[4];
        for outer in 1..level {
            let from = rbp.wrapping_sub(outer * size) & stack_mask(core);
            let value = load_sized(core, op, ram, from, size)?;
            push_value(core, op, ram, value, size)?;
        }
        if level > 0 {
            push_value(core, op, ram, frame, size)?;
        }
        let end = core.regs[4].wrapping_sub(bytes);
        // The manual has the new top of stack checked like a write.
        let mask = stack_mask(core);
        core.probe_write(ram, op, end & mask, size)?;
        set_stack(core, end);
        if size == 2 {
            set_reg(core, 5, frame as u16)
        } else {
            core.regs[5] = frame
        }
        Ok(())
    })();
    if result.is_err() {
        core.regs[4] = rsp;
    }
    result
}

/// The number in [`crate::CpuState::seg`] of a segment register.
pub(crate) fn segment_number(register: Register) -> Option<usize> {
    Some(match register {
        Register::ES => 0,
        Register::CS => 1,
        Register::SS => 2,
        Register::DS => 3,
        Register::FS => 4,
        Register::GS => 5,
        _ => return None,
    })
}
