//! Fast bodies for SSE arithmetic: scalar floating point and bitwise logic directly, the rest through a table.
//!
//! A table operation's `imm` is the index of its function in the low half and the immediate byte above it. Neighbours:
//! [`super::simd`] (the general way, for all other forms), [`crate::fp`] (the arithmetic).

use std::marker::PhantomData;

use guest_mem::GuestRam;
use iced_x86::{Instruction, Mnemonic, OpKind};

use super::simd::guarded;
use super::vector::{aligned, set_xmm, xmm};
use crate::decode::select::{EaKind, by_ea, ea_kind};
use crate::fp::{self, SimdOp, simd_lookup};
use crate::memory::Cell;
use crate::op::{Ea, EaAny, EaBase, EaIndex, Exec, Handler, Mem, Op, Source, run};
use crate::processor::{Core, Step, Stop};
use crate::state::flag;

/// The vector register `r2`, or its low part.
pub(crate) struct Xmm2;

macro_rules! xmm_source {
    ($($int:ty)*) => {$(
        impl Source<$int> for Xmm2 {
            #[inline(always)]
            fn get<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Result<$int, Stop> {
                Ok(xmm(core, op.r2) as $int)
            }
        }
    )*};
}
xmm_source! { u32 u64 u128 }

/// Sixteen bytes of memory that must be aligned.
struct Aligned<E>(PhantomData<E>);

impl<E: Ea> Source<u128> for Aligned<E> {
    #[inline(always)]
    fn get<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Result<u128, Stop> {
        let va = E::ea(core, op);
        aligned::<SLOW>(core, op, va)?;
        core.fast_load::<_, SLOW>(ram, op, va)
    }
}

/// A narrower memory operand, zero-extended.
struct Narrow<T, E>(PhantomData<(T, E)>);

impl<T: Cell + Into<u128>, E: Ea> Source<u128> for Narrow<T, E> {
    #[inline(always)]
    fn get<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Result<u128, Stop> {
        let va = E::ea(core, op);
        Ok(core.fast_load::<T, SLOW>(ram, op, va)?.into())
    }
}

/// A scalar operation on the low element.
trait Scalar<T> {
    /// The exact operation, with its flags.
    fn apply(a: T, b: T, mxcsr: &mut u32) -> T;
    /// The host's operation, if no flag but PE can come of it. Rounding is to nearest.
    fn host(a: T, b: T) -> Option<T>;
}

/// True if the host's arithmetic does: rounding to nearest, all exceptions masked, and inexactness noted already.
#[inline(always)]
fn host_suffices(core: &Core) -> bool {
    core.cpu.mxcsr & (fp::MASKS | fp::RC | fp::PE) == fp::MASKS | fp::PE
}

macro_rules! scalar {
    ($($name:ident $int:ty, $float:ty: $exact:path, |$a:ident, $b:ident| $r:expr, $sound:expr;)*) => {$(
        impl Scalar<$int> for $name {
            #[inline(always)]
            fn apply(a: $int, b: $int, mxcsr: &mut u32) -> $int {
                $exact(a, b, mxcsr)
            }
            #[inline(always)]
            fn host(a: $int, b: $int) -> Option<$int> {
                let plain = |x: $float| x.is_normal() || x == 0.0;
                let ($a, $b) = (<$float>::from_bits(a), <$float>::from_bits(b));
                let r: $float = $r;
                let sound: fn($float, $float, $float) -> bool = $sound;
                (plain($a) && plain($b) && sound(r, $a, $b)).then(|| r.to_bits())
            }
        }
    )*};
}

struct Add;
struct Sub;
struct Mul;
struct Div;
struct Sqrt;

// A product or quotient of the smallest normal magnitude may have been rounded up from a tiny one, which raises UE.
scalar! {
    Add u32, f32: fp::addss, |a, b| a + b, |r, _, _| r.is_normal() || r == 0.0;
    Add u64, f64: fp::addsd, |a, b| a + b, |r, _, _| r.is_normal() || r == 0.0;
    Sub u32, f32: fp::subss, |a, b| a - b, |r, _, _| r.is_normal() || r == 0.0;
    Sub u64, f64: fp::subsd, |a, b| a - b, |r, _, _| r.is_normal() || r == 0.0;
    Mul u32, f32: fp::mulss, |a, b| a * b, |r, a, b| r.abs() > f32::MIN_POSITIVE && r.is_finite() || a == 0.0 || b == 0.0;
    Mul u64, f64: fp::mulsd, |a, b| a * b, |r, a, b| r.abs() > f64::MIN_POSITIVE && r.is_finite() || a == 0.0 || b == 0.0;
    Div u32, f32: fp::divss, |a, b| a / b, |r, _, _| r.abs() > f32::MIN_POSITIVE && r.is_finite();
    Div u64, f64: fp::divsd, |a, b| a / b, |r, _, _| r.abs() > f64::MIN_POSITIVE && r.is_finite();
}

impl Scalar<u64> for Sqrt {
    #[inline(always)]
    fn apply(_: u64, b: u64, mxcsr: &mut u32) -> u64 {
        fp::sqrtsd(b, mxcsr)
    }
    #[inline(always)]
    fn host(_: u64, b: u64) -> Option<u64> {
        let b = f64::from_bits(b);
        (b.is_normal() && b > 0.0).then(|| b.sqrt().to_bits())
    }
}

impl Scalar<u32> for Sqrt {
    #[inline(always)]
    fn apply(_: u32, b: u32, mxcsr: &mut u32) -> u32 {
        fp::sqrtss(b, mxcsr)
    }
    #[inline(always)]
    fn host(_: u32, b: u32) -> Option<u32> {
        let b = f32::from_bits(b);
        (b.is_normal() && b > 0.0).then(|| b.sqrt().to_bits())
    }
}

/// The body of a scalar operation: the rest of the register stays.
struct ScalarOp<O, T, S>(PhantomData<(O, T, S)>);

impl<O: Scalar<u64>, S: Source<u64>> Exec for ScalarOp<O, u64, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let old = xmm(core, op.r1);
        let new = if SLOW {
            guarded(core, op, |mxcsr| O::apply(old as u64, b, mxcsr))?
        } else if host_suffices(core) {
            O::host(old as u64, b).ok_or(Stop::RETRY)?
        } else {
            return Err(Stop::RETRY);
        };
        set_xmm(core, op.r1, (old >> 64 << 64) | u128::from(new));
        Ok(())
    }
}

impl<O: Scalar<u32>, S: Source<u32>> Exec for ScalarOp<O, u32, S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let old = xmm(core, op.r1);
        let new = if SLOW {
            guarded(core, op, |mxcsr| O::apply(old as u32, b, mxcsr))?
        } else if host_suffices(core) {
            O::host(old as u32, b).ok_or(Stop::RETRY)?
        } else {
            return Err(Stop::RETRY);
        };
        set_xmm(core, op.r1, (old >> 32 << 32) | u128::from(new));
        Ok(())
    }
}

/// A bitwise operation on whole registers.
struct Logic<S, const KIND: u8>(PhantomData<S>);
const AND: u8 = 0;
const AND_NOT: u8 = 1;
const OR: u8 = 2;
const XOR: u8 = 3;

impl<S: Source<u128>, const KIND: u8> Exec for Logic<S, KIND> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let b = S::get::<SLOW>(core, op, ram)?;
        let a = xmm(core, op.r1);
        let new = match KIND {
            AND => a & b,
            AND_NOT => !a & b,
            OR => a | b,
            _ => a ^ b,
        };
        set_xmm(core, op.r1, new);
        Ok(())
    }
}

/// The function of a table operation.
#[inline(always)]
fn function(core: &Core, op: &Op) -> Option<SimdOp> {
    core.simd.get(op.imm as u32 as usize).copied()
}

#[inline(always)]
fn immediate(op: &Op) -> u8 {
    (op.imm >> 32) as u8
}

/// `xmm = f(xmm, source)`.
struct Table<S>(PhantomData<S>);

impl<S: Source<u128>> Exec for Table<S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let Some(SimdOp::Xmm { f, .. }) = function(core, op) else {
            return Err(core.undefined(op));
        };
        let b = S::get::<SLOW>(core, op, ram)?;
        let a = xmm(core, op.r1);
        let new = guarded(core, op, |mxcsr| f(a, b, immediate(op), mxcsr))?;
        set_xmm(core, op.r1, new);
        Ok(())
    }
}

/// A comparison into RFLAGS.
struct TableFlags<S>(PhantomData<S>);

impl<S: Source<u128>> Exec for TableFlags<S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let Some(SimdOp::Flags { f, .. }) = function(core, op) else {
            return Err(core.undefined(op));
        };
        let b = S::get::<SLOW>(core, op, ram)?;
        let a = xmm(core, op.r1);
        let bits = guarded(core, op, |mxcsr| f(a, b, mxcsr))?;
        core.flags.set_bits(bits & flag::STATUS);
        Ok(())
    }
}

/// From a vector register to a general one, whose upper half is cleared by a 32-bit result.
struct TableToGeneral;

impl Exec for TableToGeneral {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let Some(SimdOp::ToGpr { f }) = function(core, op) else {
            return Err(core.undefined(op));
        };
        let from = xmm(core, op.r2);
        let value = guarded(core, op, |mxcsr| f(from, immediate(op), mxcsr))?;
        core.regs[op.r1 as usize] = value;
        Ok(())
    }
}

/// From a general register to a vector one; `WIDE` reads 64 bits.
struct TableFromGeneral<const WIDE: bool>;

impl<const WIDE: bool> Exec for TableFromGeneral<WIDE> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let Some(SimdOp::FromGpr { f }) = function(core, op) else {
            return Err(core.undefined(op));
        };
        let from = core.regs[op.r2 as usize];
        let from = if WIDE { from } else { from & 0xFFFF_FFFF };
        let old = xmm(core, op.r1);
        let new = guarded(core, op, |mxcsr| f(old, from, immediate(op), mxcsr))?;
        set_xmm(core, op.r1, new);
        Ok(())
    }
}

/// A handler, and the function that it wants in the table.
pub(crate) struct Chosen {
    pub handler: Handler,
    pub function: Option<SimdOp>,
}

/// Chooses for the forms that have a fast body.
pub(crate) fn choose(i: &Instruction, op: &Op) -> Option<Chosen> {
    let register = |index: u32| i.op_kind(index) == OpKind::Register;
    if !register(0) || i.op_count() < 2 {
        return None;
    }
    if let Some(handler) = direct(i, op) {
        return Some(Chosen { handler, function: None });
    }
    let simd = simd_lookup(i.code())?;
    let memory = i.op_kind(1) == OpKind::Memory;
    let in_register = register(1) || i.op_kind(1) == OpKind::Immediate8;
    macro_rules! sources {
        ($X:ident, $aligned:expr) => {
            match i.memory_size().size() {
                _ if in_register => run::<$X<Xmm2>> as Handler,
                4 => by_ea!(op, E => run::<$X<Narrow<u32, E>>> as Handler),
                8 => by_ea!(op, E => run::<$X<Narrow<u64, E>>> as Handler),
                16 if $aligned => by_ea!(op, E => run::<$X<Aligned<E>>> as Handler),
                16 => by_ea!(op, E => run::<$X<Mem<E>>> as Handler),
                _ => return None,
            }
        };
    }
    let handler = match simd {
        SimdOp::Xmm { aligned, .. } if !(memory && i.mnemonic() == Mnemonic::Insertps) => {
            sources!(Table, aligned)
        }
        SimdOp::Flags { aligned, .. } => sources!(TableFlags, aligned),
        SimdOp::ToGpr { .. } if register(1) && i.op0_register().is_gpr() => run::<TableToGeneral>,
        SimdOp::FromGpr { .. } if register(1) => match i.op1_register().size() {
            8 => run::<TableFromGeneral<true>>,
            4 => run::<TableFromGeneral<false>>,
            _ => return None,
        },
        _ => return None,
    };
    Some(Chosen { handler, function: Some(simd) })
}

/// Operations that need no table.
fn direct(i: &Instruction, op: &Op) -> Option<Handler> {
    let memory = i.op_kind(1) == OpKind::Memory;
    if !i.op0_register().is_xmm() || i.op_count() != 2 {
        return None;
    }
    macro_rules! scalar {
        ($O:ty, $T:ty) => {
            if memory {
                by_ea!(op, E => run::<ScalarOp<$O, $T, Mem<E>>> as Handler)
            } else {
                run::<ScalarOp<$O, $T, Xmm2>>
            }
        };
    }
    macro_rules! logic {
        ($K:ident) => {
            if memory {
                by_ea!(op, E => run::<Logic<Aligned<E>, $K>> as Handler)
            } else {
                run::<Logic<Xmm2, $K>>
            }
        };
    }
    Some(match i.mnemonic() {
        Mnemonic::Addsd => scalar!(Add, u64),
        Mnemonic::Subsd => scalar!(Sub, u64),
        Mnemonic::Mulsd => scalar!(Mul, u64),
        Mnemonic::Divsd => scalar!(Div, u64),
        Mnemonic::Sqrtsd => scalar!(Sqrt, u64),
        Mnemonic::Addss => scalar!(Add, u32),
        Mnemonic::Subss => scalar!(Sub, u32),
        Mnemonic::Mulss => scalar!(Mul, u32),
        Mnemonic::Divss => scalar!(Div, u32),
        Mnemonic::Sqrtss => scalar!(Sqrt, u32),
        Mnemonic::Pand | Mnemonic::Andps | Mnemonic::Andpd => logic!(AND),
        Mnemonic::Pandn | Mnemonic::Andnps | Mnemonic::Andnpd => logic!(AND_NOT),
        Mnemonic::Por | Mnemonic::Orps | Mnemonic::Orpd => logic!(OR),
        Mnemonic::Pxor | Mnemonic::Xorps | Mnemonic::Xorpd => logic!(XOR),
        _ => return None,
    })
}
