//! Locked read-modify-writes, XADD, CMPXCHG and XCHG with memory.
//!
//! A body goes ahead when the operand is in the write TLB, which also means that it lies in one page without decoded
//! code; all else is [`super::slow`]'s way of doing the same. Neighbour: [`guest_mem::GuestRam`] has the exchanges.

use std::marker::PhantomData;

use guest_mem::{GuestRam, Pa};

use super::alu::{self, Binary};
use crate::flags::{Flags, Int};
use crate::memory::Cell;
use crate::op::{Ea, Exec, Op, Source, reg, set_reg};
use crate::processor::{Core, Step, Stop};

/// A width that has an atomic exchange.
pub(crate) trait Atomic: Int + Cell + PartialEq {
    fn exchange(ram: &GuestRam, pa: Pa, expected: Self, new: Self) -> Result<Self, Self>;
}

macro_rules! atomic {
    ($($int:ty, $name:ident;)*) => {$(
        impl Atomic for $int {
            #[inline(always)]
            fn exchange(
                ram: &GuestRam,
                pa: Pa,
                expected: Self,
                new: Self,
            ) -> Result<Self, Self> {
                ram.$name(pa, expected, new)
            }
        }
    )*};
}
atomic! {
    u8, compare_exchange_u8;
    u16, compare_exchange_u16;
    u32, compare_exchange_u32;
    u64, compare_exchange_u64;
}

/// Replaces memory by `f` of it, atomically, and returns what was there.
#[inline(always)]
pub(crate) fn update<T: Atomic, const SLOW: bool>(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    va: u64,
    f: impl Fn(T) -> T,
) -> Result<T, Stop> {
    if let Some(pa) = core.fast_place::<T, SLOW>(ram, op, va)? {
        let mut old: T = ram.load(pa);
        loop {
            match T::exchange(ram, pa, old, f(old)) {
                Ok(old) => return Ok(old),
                Err(found) => old = found,
            }
        }
    }
    // Across two pages: not atomic against other processors.
    let (old, place) = core.start::<T>(ram, op, va)?;
    core.finish(ram, op, va, place, f(old))?;
    Ok(old)
}

/// `lock target = target O source`.
pub(crate) struct Locked<O, T, E, S>(PhantomData<(O, T, E, S)>);

impl<O: Binary, T: Atomic, E: Ea, S: Source<T>> Exec for Locked<O, T, E, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let va = E::ea(core, op);
        let before = core.flags;
        let old = update::<T, SLOW>(core, op, ram, va, |a| O::apply(&mut before.clone(), a, b))?;
        O::apply(&mut core.flags, old, b);
        Ok(())
    }
}

/// LOCK INC and LOCK DEC.
pub(crate) struct LockedIncDec<T, E, const INCREMENT: bool>(PhantomData<(T, E)>);

impl<T: Atomic, E: Ea, const INCREMENT: bool> Exec for LockedIncDec<T, E, INCREMENT> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let delta = if INCREMENT { 1 } else { u64::MAX };
        let next = |a: T| T::of(a.zx().wrapping_add(delta));
        let va = E::ea(core, op);
        let old = update::<T, SLOW>(core, op, ram, va, next)?;
        core.flags.set_inc_dec(next(old), INCREMENT);
        Ok(())
    }
}

/// XADD to memory, locked or not.
pub(crate) struct ExchangeAdd<T, E>(PhantomData<(T, E)>);

impl<T: Atomic, E: Ea> Exec for ExchangeAdd<T, E> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b: T = reg(core, op.r2);
        let add = |flags: &mut Flags, a: T| <alu::Add as Binary>::apply(flags, a, b);
        let va = E::ea(core, op);
        let old = update::<T, SLOW>(core, op, ram, va, |a| add(&mut Flags::default(), a))?;
        add(&mut core.flags, old);
        set_reg(core, op.r2, old);
        Ok(())
    }
}

/// XCHG with memory, which is always locked.
pub(crate) struct ExchangeMemory<T, E, const FIRST: bool>(PhantomData<(T, E)>);

impl<T: Atomic, E: Ea, const FIRST: bool> Exec for ExchangeMemory<T, E, FIRST> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        // The register is the first or the second operand.
        let number = if FIRST { op.r1 } else { op.r2 };
        let new: T = reg(core, number);
        let va = E::ea(core, op);
        let old = update::<T, SLOW>(core, op, ram, va, |_| new)?;
        set_reg(core, number, old);
        Ok(())
    }
}

/// CMPXCHG with memory, locked or not.
pub(crate) struct CompareExchange<T, E>(PhantomData<(T, E)>);

impl<T: Atomic, E: Ea> Exec for CompareExchange<T, E> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let (expected, new): (T, T) = (reg(core, 0), reg(core, op.r2));
        let va = E::ea(core, op);
        compare_exchange::<T, SLOW>(core, op, ram, va, expected, new)
    }
}

/// CMPXCHG of the memory at `va`.
#[inline(always)]
pub(crate) fn compare_exchange<T: Atomic, const SLOW: bool>(
    core: &mut Core,
    op: &Op,
    ram: &GuestRam,
    va: u64,
    expected: T,
    new: T,
) -> Step {
    let found = match core.fast_place::<T, SLOW>(ram, op, va)? {
        Some(pa) => match T::exchange(ram, pa, expected, new) {
            Ok(found) | Err(found) => found,
        },
        None => {
            let (found, place) = core.start::<T>(ram, op, va)?;
            let value = if found == expected { new } else { found };
            core.finish(ram, op, va, place, value)?;
            found
        }
    };
    finish_compare(core, expected, found);
    Ok(())
}

/// The flags and the accumulator after a comparison.
#[inline(always)]
pub(crate) fn finish_compare<T: Int + PartialEq>(core: &mut Core, expected: T, found: T) {
    <alu::Sub as Binary>::apply(&mut core.flags, expected, found);
    if found != expected {
        set_reg(core, 0, found);
    }
}
