//! SHL, SHR, SAR, ROL, ROR, RCL, RCR, and the double shifts.
//!
//! Undefined flags are what current hardware leaves: AF is cleared by shifts. Source: Intel SDM volume 2B.

use std::marker::PhantomData;

use guest_mem::GuestRam;

use crate::flags::{Flags, Int};
use crate::op::{Exec, Op, Source, Target};
use crate::processor::{Core, Step};

/// A shift or rotate of `value` by a count that is masked to 5 or 6 bits and not zero.
pub(crate) trait Kind {
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T;
}

pub(crate) struct Shl;
pub(crate) struct Shr;
pub(crate) struct Sar;
pub(crate) struct Rol;
pub(crate) struct Ror;
pub(crate) struct Rcl;
pub(crate) struct Rcr;

/// Bit `index` of a word.
#[inline(always)]
fn bit(value: u64, index: u32) -> bool {
    (value >> (index & 63)) & 1 != 0
}

impl Kind for Shl {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T {
        let wide = value.zx();
        // The last bit out; a count beyond the width (8 and 16 bits) shifts zeros out.
        let carry = count <= T::BITS && bit(wide, T::BITS - count.min(T::BITS));
        let result = T::of(if count < T::BITS { wide << count } else { 0 });
        let sign = bit(result.zx(), T::BITS - 1);
        flags.set_carry_overflow(result, carry, sign != carry);
        result
    }
}

impl Kind for Shr {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T {
        let wide = value.zx();
        let result = T::of(wide >> count);
        let overflow = bit(wide, T::BITS - 1) && count == 1;
        flags.set_carry_overflow(result, bit(wide, count - 1), overflow);
        result
    }
}

impl Kind for Sar {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T {
        let wide = value.sx() as i64;
        let result = T::of((wide >> count) as u64);
        flags.set_carry_overflow(result, bit(wide as u64, count - 1), false);
        result
    }
}

#[inline(always)]
fn rotate_left<T: Int>(value: T, count: u32) -> T {
    let count = count % T::BITS;
    let wide = value.zx();
    T::of((wide << count) | (wide >> ((T::BITS - count) % T::BITS)))
}

impl Kind for Rol {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T {
        let result = rotate_left(value, count);
        let carry = bit(result.zx(), 0);
        flags.replace_carry_overflow(carry, bit(result.zx(), T::BITS - 1) != carry);
        result
    }
}

impl Kind for Ror {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T {
        let result = rotate_left(value, T::BITS - count % T::BITS);
        let carry = bit(result.zx(), T::BITS - 1);
        flags.replace_carry_overflow(carry, bit(result.zx(), T::BITS - 2) != carry);
        result
    }
}

impl Kind for Rcl {
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T {
        let (mut value, mut carry) = (value.zx(), flags.cf());
        let count = count % (T::BITS + 1);
        for _ in 0..count {
            let out = bit(value, T::BITS - 1);
            value = (value << 1) | u64::from(carry);
            carry = out;
        }
        let result = T::of(value);
        if count != 0 {
            flags.replace_carry_overflow(carry, bit(result.zx(), T::BITS - 1) != carry);
        }
        result
    }
}

impl Kind for Rcr {
    fn apply<T: Int>(flags: &mut Flags, value: T, count: u32) -> T {
        let (mut value, mut carry) = (value.zx(), flags.cf());
        let count = count % (T::BITS + 1);
        for _ in 0..count {
            let out = bit(value, 0);
            value = (value >> 1) | (u64::from(carry) << (T::BITS - 1));
            carry = out;
        }
        let top = bit(value, T::BITS - 1) != bit(value, T::BITS - 2);
        if count != 0 {
            flags.replace_carry_overflow(carry, top);
        }
        T::of(value)
    }
}

/// The count as the processor masks it.
#[inline(always)]
pub(crate) fn masked<T: Int>(count: u8) -> u32 {
    u32::from(count) & if T::BITS == 64 { 63 } else { 31 }
}

/// `target = target K count`.
pub(crate) struct Shift<K, T, D, S>(PhantomData<(K, T, D, S)>);

impl<K: Kind, T: Int, D: Target<T>, S: Source<u8>> Exec for Shift<K, T, D, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let count = masked::<T>(S::get::<SLOW>(core, op, ram)?);
        let (value, slot) = D::open::<SLOW>(core, op, ram)?;
        // A count of zero changes no flag, but a 32-bit register still loses its upper half.
        let result = if count == 0 { value } else { K::apply(&mut core.flags, value, count) };
        D::close::<SLOW>(core, op, ram, slot, result)
    }
}

/// [`Shift`] by an immediate that is not zero, where nobody sees the flags. Not for RCL and RCR, which read them.
pub(crate) struct ShiftQuiet<K, T, D>(PhantomData<(K, T, D)>);

impl<K: Kind, T: Int, D: Target<T>> Exec for ShiftQuiet<K, T, D> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let count = masked::<T>(op.imm as u8);
        let (value, slot) = D::open::<SLOW>(core, op, ram)?;
        // The compiler drops the flags with the scratch.
        let result = K::apply(&mut Flags::default(), value, count);
        D::close::<SLOW>(core, op, ram, slot, result)
    }
}

/// SHLD (`left`) or SHRD of `value`, filled from `from`.
pub(crate) fn double<T: Int>(
    flags: &mut Flags,
    value: T,
    from: T,
    count: u8,
    left: bool,
) -> Option<T> {
    let count = masked::<T>(count);
    if count == 0 {
        return None;
    }
    let pair = if left {
        (u128::from(value.zx()) << T::BITS) | u128::from(from.zx())
    } else {
        (u128::from(from.zx()) << T::BITS) | u128::from(value.zx())
    };
    // Counts beyond 16 in the 16-bit form are undefined; observed (Zen 5): the second operand's bits once more.
    let pair = if T::BITS == 16 {
        if left {
            (pair << 16) | u128::from(from.zx())
        } else {
            pair | (u128::from(from.zx()) << 32)
        }
    } else {
        pair
    };
    let (result, carry) = if left {
        let width = if T::BITS == 16 { 48 } else { 2 * T::BITS };
        let shifted = pair >> (width - T::BITS - count);
        (T::of(shifted as u64), (pair >> (width - count)) & 1 != 0)
    } else {
        (T::of((pair >> count) as u64), (pair >> (count - 1)) & 1 != 0)
    };
    let overflow = bit(result.zx(), T::BITS - 1) != bit(value.zx(), T::BITS - 1);
    flags.set_carry_overflow(result, carry, overflow);
    Some(result)
}
