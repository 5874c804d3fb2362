//! BT, BSF, BSR, TZCNT, POPCNT, SHLD, SHRD, DIV and IDIV on registers or with a memory source.
//!
//! Neighbours: [`super::slow`] has the other forms (BTS and its kin, locked, bit strings in memory). Without BMI1 the F3
//! prefix before BSF and BSR means nothing.

use std::marker::PhantomData;

use guest_mem::GuestRam;

use super::{multiply, shift};
use crate::engine::vector;
use crate::flags::Int;
use crate::op::{Exec, Op, Reg2, Source, Target, reg, set_reg};
use crate::processor::{Core, Step, Stop};
use crate::state::flag;

/// BT of a register, or of memory by an immediate.
pub(crate) struct BitTest<T, A, B>(PhantomData<(T, A, B)>);

impl<T: Int, A: Source<T>, B: Source<T>> Exec for BitTest<T, A, B> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value = A::get::<SLOW>(core, op, ram)?;
        let index = B::get::<SLOW>(core, op, ram)?.zx() & u64::from(T::BITS - 1);
        core.flags.set_cf(value.zx() >> index & 1 != 0);
        Ok(())
    }
}

/// BTS, BTR and BTC of a register.
pub(crate) struct BitChange<T, B, const KIND: u8>(PhantomData<(T, B)>);
pub(crate) const SET: u8 = 0;
pub(crate) const RESET: u8 = 1;
pub(crate) const COMPLEMENT: u8 = 2;

impl<T: Int, B: Source<T>, const KIND: u8> Exec for BitChange<T, B, KIND> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let old: T = reg(core, op.r1);
        let index = B::get::<SLOW>(core, op, ram)?.zx() & u64::from(T::BITS - 1);
        let bit = 1u64 << index;
        let new = match KIND {
            SET => old.zx() | bit,
            RESET => old.zx() & !bit,
            _ => old.zx() ^ bit,
        };
        core.flags.set_cf(old.zx() & bit != 0);
        set_reg(core, op.r1, T::of(new));
        Ok(())
    }
}

/// BSF, and with `REVERSE` BSR.
pub(crate) struct Scan<T, S, const REVERSE: bool>(PhantomData<(T, S)>);

impl<T: Int, S: Source<T>, const REVERSE: bool> Exec for Scan<T, S, REVERSE> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let value = S::get::<SLOW>(core, op, ram)?.zx();
        // With a zero source the destination keeps its value; only ZF is defined.
        core.flags.set_zf(value == 0);
        if value != 0 {
            let found = if REVERSE { 63 - value.leading_zeros() } else { value.trailing_zeros() };
            set_reg(core, op.r1, T::of(u64::from(found)));
        }
        Ok(())
    }
}

/// POPCNT.
pub(crate) struct PopCount<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: Source<T>> Exec for PopCount<T, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let count = u64::from(S::get::<SLOW>(core, op, ram)?.zx().count_ones());
        core.flags.set_bits(if count == 0 { flag::ZF } else { 0 });
        set_reg(core, op.r1, T::of(count));
        Ok(())
    }
}

/// SHLD (`LEFT`) and SHRD; the count is an immediate or CL.
pub(crate) struct DoubleShift<T, D, C, const LEFT: bool>(PhantomData<(T, D, C)>);

impl<T: Int, D: Target<T>, C: Source<u8>, const LEFT: bool> Exec for DoubleShift<T, D, C, LEFT> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let count = C::get::<SLOW>(core, op, ram)?;
        let from: T = Reg2::get::<SLOW>(core, op, ram)?;
        let (value, slot) = D::open::<SLOW>(core, op, ram)?;
        let result = shift::double(&mut core.flags, value, from, count, LEFT).unwrap_or(value);
        D::close::<SLOW>(core, op, ram, slot, result)
    }
}

/// DIV, and with `SIGNED` IDIV.
pub(crate) struct Divide<T, S, const SIGNED: bool>(PhantomData<(T, S)>);

impl<T: Int, S: Source<T>, const SIGNED: bool> Exec for Divide<T, S, SIGNED> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let by = S::get::<SLOW>(core, op, ram)?;
        let low: T = reg(core, 0);
        let high: T = if T::BITS == 8 { T::of(core.regs[0] >> 8) } else { reg(core, 2) };
        let result = if SIGNED {
            multiply::divide_signed(high, low, by)
        } else {
            multiply::divide(high, low, by)
        };
        let Some((quotient, remainder)) = result else {
            return Err(if SLOW { core.raise(op, vector::DIVIDE, 0) } else { Stop::RETRY });
        };
        if T::BITS == 8 {
            set_reg(core, 0, (remainder.zx() << 8 | quotient.zx() & 0xFF) as u16);
        } else {
            set_reg(core, 0, quotient);
            set_reg(core, 2, remainder);
        }
        Ok(())
    }
}
