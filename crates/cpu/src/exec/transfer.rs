//! MOV, MOVZX, MOVSX, LEA, XCHG of registers, PUSH, POP, LEAVE, CMOVcc, SETcc, sign extensions, NOP.
//!
//! Neighbours: [`crate::op`] (operands), [`crate::memory`] (stack accesses).

use std::marker::PhantomData;

use guest_mem::GuestRam;

use crate::flags::Int;
use crate::memory::Cell;
use crate::op::{Ea, Exec, Op, Reg1, Source, Target, offset, reg, set_reg};
use crate::processor::{Core, Step};

/// MOV.
pub(crate) struct Mov<T, D, S>(PhantomData<(T, D, S)>);

impl<T: Int, D: Target<T>, S: Source<T>> Exec for Mov<T, D, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value = S::get::<SLOW>(core, op, ram)?;
        D::put::<SLOW>(core, op, ram, value)
    }
}

/// MOVZX, and with `SIGNED` MOVSX and MOVSXD: from width U to width T.
pub(crate) struct Extend<T, U, S, const SIGNED: bool>(PhantomData<(T, U, S)>);

impl<T: Int, U: Int, S: Source<U>, const SIGNED: bool> Exec for Extend<T, U, S, SIGNED> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value = S::get::<SLOW>(core, op, ram)?;
        let value = if SIGNED { value.sx() } else { value.zx() };
        set_reg(core, op.r1, T::of(value));
        Ok(())
    }
}

/// LEA with 64-bit addressing.
pub(crate) struct Lea<T, E>(PhantomData<(T, E)>);

impl<T: Int, E: Ea> Exec for Lea<T, E> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let address = E::ea(core, op);
        set_reg(core, op.r1, T::of(address));
        Ok(())
    }
}

/// LEA with an address-size prefix or in 32-bit code.
pub(crate) struct LeaAny<T>(PhantomData<T>);

impl<T: Int> Exec for LeaAny<T> {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let address = offset(core, op);
        set_reg(core, op.r1, T::of(address));
        Ok(())
    }
}

/// XCHG of two registers.
pub(crate) struct Exchange<T>(PhantomData<T>);

impl<T: Int> Exec for Exchange<T> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let (a, b): (T, T) = (reg(core, op.r1), reg(core, op.r2));
        set_reg(core, op.r1, b);
        set_reg(core, op.r2, a);
        Ok(())
    }
}

/// PUSH of 64 bits.
pub(crate) struct Push<S>(PhantomData<S>);

impl<S: Source<u64>> Exec for Push<S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value = S::get::<SLOW>(core, op, ram)?;
        core.push::<_, SLOW>(ram, op, value)
    }
}

/// POP of 64 bits into a register.
pub(crate) struct Pop;

impl Exec for Pop {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value: u64 = core.fast_load::<_, SLOW>(ram, op, core.regs[4])?;
        core.regs[4] = core.regs[4].wrapping_add(8);
        // After the increment: POP RSP keeps the value read.
        Reg1::put::<SLOW>(core, op, ram, value)
    }
}

/// LEAVE of 64 bits.
pub(crate) struct Leave64;

impl Exec for Leave64 {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let frame = core.regs[5];
        let value: u64 = core.fast_load::<_, SLOW>(ram, op, frame)?;
        core.regs[4] = frame.wrapping_add(8);
        core.regs[5] = value;
        Ok(())
    }
}

/// CMOVcc. The source is read in any case, and a 32-bit one clears the upper half in any case.
pub(crate) struct Cmov<T, S, const C: u8>(PhantomData<(T, S)>);

impl<T: Int + Cell, S: Source<T>, const C: u8> Exec for Cmov<T, S, C> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value = S::get::<SLOW>(core, op, ram)?;
        let old: T = reg(core, op.r1);
        let new = if core.flags.condition::<C>() { value } else { old };
        set_reg(core, op.r1, new);
        Ok(())
    }
}

/// SETcc.
pub(crate) struct Set<D, const C: u8>(PhantomData<D>);

impl<D: Target<u8>, const C: u8> Exec for Set<D, C> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value = u8::from(core.flags.condition::<C>());
        D::put::<SLOW>(core, op, ram, value)
    }
}

/// CBW, CWDE, CDQE: RAX from its lower half of width U.
pub(crate) struct WidenRax<T, U>(PhantomData<(T, U)>);

impl<T: Int, U: Int> Exec for WidenRax<T, U> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, _: &Op, _: &GuestRam) -> Step {
        let value: U = reg(core, 0);
        set_reg(core, 0, T::of(value.sx()));
        Ok(())
    }
}

/// CWD, CDQ, CQO: RDX from the sign of RAX.
pub(crate) struct SignRdx<T>(PhantomData<T>);

impl<T: Int> Exec for SignRdx<T> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, _: &Op, _: &GuestRam) -> Step {
        let value: T = reg(core, 0);
        set_reg(core, 2, T::of(((value.sx() as i64) >> 63) as u64));
        Ok(())
    }
}

/// BSWAP.
pub(crate) struct ByteSwap<T>(PhantomData<T>);

impl<T: Int> Exec for ByteSwap<T> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let value: T = reg(core, op.r1);
        // A 16-bit operand is undefined by the manual; hardware gives zero.
        let swapped = if T::BITS == 16 { 0 } else { value.zx().swap_bytes() >> (64 - T::BITS) };
        set_reg(core, op.r1, T::of(swapped));
        Ok(())
    }
}

/// NOP and the hints.
pub(crate) struct Nop;

impl Exec for Nop {
    #[inline(always)]
    fn exec<const SLOW: bool>(_: &mut Core, _: &Op, _: &GuestRam) -> Step {
        Ok(())
    }
}
