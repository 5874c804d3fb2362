//! MUL, IMUL, DIV, IDIV.
//!
//! The flags that the manual leaves undefined after a multiplication are set from the low half, as current hardware
//! mostly does; a division leaves all flags alone. Source: Intel SDM volume 2A.

use std::marker::PhantomData;

use guest_mem::GuestRam;

use crate::flags::Int;
use crate::op::{Exec, Op, Source, reg, set_reg};
use crate::processor::{Core, Step};

/// IMUL with two operands.
pub(crate) struct Imul<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: Source<T>> Exec for Imul<T, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let a: T = reg(core, op.r1);
        let result = signed_product(core, a, b);
        set_reg(core, op.r1, result);
        Ok(())
    }
}

/// IMUL with three operands.
pub(crate) struct Imul3<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: Source<T>> Exec for Imul3<T, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let a = S::get::<SLOW>(core, op, ram)?;
        let result = signed_product(core, a, T::of(op.imm));
        set_reg(core, op.r1, result);
        Ok(())
    }
}

#[inline(always)]
fn signed_product<T: Int>(core: &mut Core, a: T, b: T) -> T {
    let (result, overflow) = if T::BITS == 64 {
        let (low, overflow) = (a.sx() as i64).overflowing_mul(b.sx() as i64);
        (T::of(low as u64), overflow)
    } else {
        let wide = (a.sx() as i64).wrapping_mul(b.sx() as i64) as u64;
        let result = T::of(wide);
        (result, result.sx() != wide)
    };
    core.flags.set_carry_overflow(result, overflow, overflow);
    result
}

/// MUL, or with `SIGNED` IMUL, of the accumulator: the product goes to AX or to RDX and RAX.
pub(crate) struct MultiplyRax<T, S, const SIGNED: bool>(PhantomData<(T, S)>);

impl<T: Int, S: Source<T>, const SIGNED: bool> Exec for MultiplyRax<T, S, SIGNED> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let a: T = reg(core, 0);
        let product = if SIGNED {
            (i128::from(a.sx() as i64) * i128::from(b.sx() as i64)) as u128
        } else {
            u128::from(a.zx()) * u128::from(b.zx())
        };
        let low = T::of(product as u64);
        let high = T::of((product >> T::BITS) as u64);
        let overflow =
            if SIGNED { i128::from(low.sx() as i64) as u128 != product } else { high.zx() != 0 };
        if T::BITS == 8 {
            set_reg(core, 0, product as u16);
        } else {
            set_reg(core, 0, low);
            set_reg(core, 2, high);
        }
        core.flags.set_carry_overflow(low, overflow, overflow);
        Ok(())
    }
}

/// DIV of `high:low`: quotient and remainder, or `None` for #DE.
pub(crate) fn divide<T: Int>(high: T, low: T, by: T) -> Option<(T, T)> {
    let (high, low, by) = (high.zx(), low.zx(), by.zx());
    if by == 0 || high >= by {
        return None;
    }
    if high == 0 {
        return Some((T::of(low / by), T::of(low % by)));
    }
    let wide = (u128::from(high) << T::BITS) | u128::from(low);
    Some((T::of((wide / u128::from(by)) as u64), T::of((wide % u128::from(by)) as u64)))
}

/// IDIV of `high:low`: quotient and remainder, or `None` for #DE.
pub(crate) fn divide_signed<T: Int>(high: T, low: T, by: T) -> Option<(T, T)> {
    let wide = (i128::from(high.sx() as i64) << T::BITS) | i128::from(low.zx());
    let by = i128::from(by.sx() as i64);
    let quotient = wide.checked_div(by)?;
    let result = T::of(quotient as u64);
    if i128::from(result.sx() as i64) != quotient {
        return None;
    }
    Some((result, T::of((wide % by) as u64)))
}
