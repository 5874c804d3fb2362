//! ADD, ADC, SUB, SBB, AND, OR, XOR, CMP, TEST, INC, DEC, NEG, NOT.
//!
//! Neighbours: [`crate::flags`] (what they leave behind), [`crate::op`] (their operands).

use std::marker::PhantomData;

use guest_mem::GuestRam;

use crate::flags::{Flags, Int};
use crate::op::{Exec, Op, Source, Target};
use crate::processor::{Core, Step};

/// A two-operand operation: its result, and its flags.
pub(crate) trait Binary {
    fn apply<T: Int>(flags: &mut Flags, a: T, b: T) -> T;
}

pub(crate) struct Add;
pub(crate) struct Adc;
pub(crate) struct Sub;
pub(crate) struct Sbb;
pub(crate) struct And;
pub(crate) struct Or;
pub(crate) struct Xor;

impl Binary for Add {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, b: T) -> T {
        let result = T::of(a.zx().wrapping_add(b.zx()));
        flags.set_add(a, b, result);
        result
    }
}

impl Binary for Adc {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, b: T) -> T {
        let carry = u64::from(flags.cf());
        let result = T::of(a.zx().wrapping_add(b.zx()).wrapping_add(carry));
        flags.set_add(a, b, result);
        result
    }
}

impl Binary for Sub {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, b: T) -> T {
        let result = T::of(a.zx().wrapping_sub(b.zx()));
        flags.set_sub(a, b, result);
        result
    }
}

impl Binary for Sbb {
    #[inline(always)]
    fn apply<T: Int>(flags: &mut Flags, a: T, b: T) -> T {
        let borrow = u64::from(flags.cf());
        let result = T::of(a.zx().wrapping_sub(b.zx()).wrapping_sub(borrow));
        flags.set_sub(a, b, result);
        result
    }
}

macro_rules! logic {
    ($name:ident, $operator:tt) => {
        impl Binary for $name {
            #[inline(always)]
            fn apply<T: Int>(flags: &mut Flags, a: T, b: T) -> T {
                let result = T::of(a.zx() $operator b.zx());
                flags.set_logic(result);
                result
            }
        }
    };
}
logic!(And, &);
logic!(Or, |);
logic!(Xor, ^);

/// `target = target O source`.
pub(crate) struct Alu<O, T, D, S>(PhantomData<(O, T, D, S)>);

impl<O: Binary, T: Int, D: Target<T>, S: Source<T>> Exec for Alu<O, T, D, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let (a, slot) = D::open::<SLOW>(core, op, ram)?;
        let result = O::apply(&mut core.flags, a, b);
        D::close::<SLOW>(core, op, ram, slot, result)
    }
}

/// [`Alu`] where nobody sees the flags. Not for ADC and SBB, which read them.
pub(crate) struct AluQuiet<O, T, D, S>(PhantomData<(O, T, D, S)>);

impl<O: Binary, T: Int, D: Target<T>, S: Source<T>> Exec for AluQuiet<O, T, D, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let (a, slot) = D::open::<SLOW>(core, op, ram)?;
        // The compiler drops the flags with the scratch.
        let result = O::apply(&mut Flags::default(), a, b);
        D::close::<SLOW>(core, op, ram, slot, result)
    }
}

/// The flags of `A O B` alone: CMP and TEST.
pub(crate) struct Compare<O, T, A, B>(PhantomData<(O, T, A, B)>);

impl<O: Binary, T: Int, A: Source<T>, B: Source<T>> Exec for Compare<O, T, A, B> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let a = A::get::<SLOW>(core, op, ram)?;
        let b = B::get::<SLOW>(core, op, ram)?;
        O::apply(&mut core.flags, a, b);
        Ok(())
    }
}

/// INC and DEC.
pub(crate) struct IncDec<T, D, const INCREMENT: bool>(PhantomData<(T, D)>);

impl<T: Int, D: Target<T>, const INCREMENT: bool> Exec for IncDec<T, D, INCREMENT> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let (a, slot) = D::open::<SLOW>(core, op, ram)?;
        let delta = if INCREMENT { 1 } else { u64::MAX };
        let result = T::of(a.zx().wrapping_add(delta));
        core.flags.set_inc_dec(result, INCREMENT);
        D::close::<SLOW>(core, op, ram, slot, result)
    }
}

/// NEG.
pub(crate) struct Neg<T, D>(PhantomData<(T, D)>);

impl<T: Int, D: Target<T>> Exec for Neg<T, D> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let (a, slot) = D::open::<SLOW>(core, op, ram)?;
        let result = Sub::apply_with_flags(&mut core.flags, T::of(0), a);
        D::close::<SLOW>(core, op, ram, slot, result)
    }
}

impl Sub {
    #[inline(always)]
    fn apply_with_flags<T: Int>(flags: &mut Flags, a: T, b: T) -> T {
        <Sub as Binary>::apply(flags, a, b)
    }
}

/// NOT.
pub(crate) struct Not<T, D>(PhantomData<(T, D)>);

impl<T: Int, D: Target<T>> Exec for Not<T, D> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let (a, slot) = D::open::<SLOW>(core, op, ram)?;
        D::close::<SLOW>(core, op, ram, slot, T::of(!a.zx()))
    }
}
