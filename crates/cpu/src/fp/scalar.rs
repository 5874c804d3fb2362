//! SSE scalar arithmetic on binary32 (`u32`) and binary64 (`u64`) bit patterns.
//!
//! Each function takes the operands as bits and MXCSR by reference, and sets MXCSR's
//! sticky flags. The fast path uses the host's own arithmetic: with rounding to nearest,
//! operands zero or normal and a result zero or normal, the host (whose environment Rust
//! fixes at the IEEE default) gives the same bits, and the only flag that can arise is PE,
//! so it must be set already, or the result be seen to be exact (programs that compute
//! with whole numbers never set it). DAZ and FTZ do not matter then. Everything else goes
//! through [`super::soft`].
//!
//! Source: Intel SDM volume 1, chapter 11 and appendix E.

use super::soft::{
    self, ALL, Class, DE, Env, Format, IE, PE, Packed, QUIET, Rounding, TOP, Unpacked, ZE,
};

/// MXCSR.DAZ: denormal operands are taken as zeros.
pub const DAZ: u32 = 1 << 6;
/// MXCSR.FTZ: tiny results become zeros.
pub const FTZ: u32 = 1 << 15;
/// MXCSR.RC, the rounding control.
pub const RC: u32 = 3 << 13;
/// MXCSR's mask bits.
pub const MASKS: u32 = ALL << 7;

/// The exceptions that are found before the operation is computed.
const PRE: u32 = IE | DE | ZE;

/// A binary interchange format held as its bits.
pub(crate) trait Ieee: Copy + PartialEq {
    const FORMAT: Format;
    /// Bits in the fraction field.
    const FRACTION: u32;
    fn wide(self) -> u64;
    fn narrow(bits: u64) -> Self;
    /// Zero or normal: not denormal, infinite or NaN.
    fn is_plain(self) -> bool;
    fn is_normal(self) -> bool;
    /// Normal, and above the least normal number, which a tiny product may round to.
    fn is_above_tiny(self) -> bool;
    fn is_zero(self) -> bool;
    fn is_nan(self) -> bool;
    fn is_denormal(self) -> bool;
    fn host_add(self, other: Self) -> Self;
    fn host_sub(self, other: Self) -> Self;
    fn host_mul(self, other: Self) -> Self;
    fn host_div(self, other: Self) -> Self;
    fn host_sqrt(self) -> Self;
    fn host_less(self, other: Self) -> bool;
    fn host_equal(self, other: Self) -> bool;

    fn unpack(self) -> Unpacked {
        let bits = self.wide();
        let width = if Self::FRACTION == 23 { 8 } else { 11 };
        let top = (1u64 << width) - 1;
        let negative = (bits >> (Self::FRACTION + width)) & 1 != 0;
        let biased = (bits >> Self::FRACTION) & top;
        let fraction = (bits & ((1u64 << Self::FRACTION) - 1)) << (63 - Self::FRACTION);
        if biased == top {
            let class = if fraction == 0 {
                Class::Infinity
            } else if fraction & QUIET != 0 {
                Class::QuietNan
            } else {
                Class::SignalingNan
            };
            return Unpacked { class, negative, exponent: Self::FORMAT.emax + 1, sig: fraction };
        }
        if biased == 0 {
            let mut u = Unpacked::finite(negative, Self::FORMAT.emin, fraction);
            if fraction != 0 {
                u.class = Class::Denormal;
            }
            return u;
        }
        let exponent = biased as i32 - Self::FORMAT.emax;
        Unpacked { class: Class::Normal, negative, exponent, sig: fraction | TOP }
    }

    fn pack(p: Packed) -> Self {
        let width = if Self::FRACTION == 23 { 8 } else { 11 };
        let biased = if p.sig & TOP != 0 { (p.exponent + Self::FORMAT.emax) as u64 } else { 0 };
        let fraction = (p.sig & !TOP) >> (63 - Self::FRACTION);
        let sign = u64::from(p.negative) << (Self::FRACTION + width);
        Self::narrow(sign | (biased << Self::FRACTION) | fraction)
    }

    fn with_quiet_bit(self) -> Self {
        Self::narrow(self.wide() | (1 << (Self::FRACTION - 1)))
    }
}

macro_rules! ieee {
    ($bits:ty, $float:ty, $format:expr, $fraction:expr) => {
        impl Ieee for $bits {
            const FORMAT: Format = $format;
            const FRACTION: u32 = $fraction;
            #[inline]
            fn wide(self) -> u64 {
                u64::from(self)
            }
            #[inline]
            fn narrow(bits: u64) -> Self {
                bits as $bits
            }
            #[inline]
            fn is_plain(self) -> bool {
                self.is_normal() || self << 1 == 0
            }
            #[inline]
            fn is_normal(self) -> bool {
                const ONE: $bits = 1 << $fraction;
                const MAX: $bits = <$bits>::MAX >> 1 & !(ONE - 1);
                (self & (<$bits>::MAX >> 1)).wrapping_sub(ONE) < MAX - ONE
            }
            #[inline]
            fn is_above_tiny(self) -> bool {
                const NEXT: $bits = (1 << $fraction) + 1;
                const MAX: $bits = <$bits>::MAX >> 1 & !((1 << $fraction) - 1);
                (self & (<$bits>::MAX >> 1)).wrapping_sub(NEXT) < MAX - NEXT
            }
            #[inline]
            fn is_zero(self) -> bool {
                self << 1 == 0
            }
            #[inline]
            fn is_nan(self) -> bool {
                <$float>::from_bits(self).is_nan()
            }
            #[inline]
            fn is_denormal(self) -> bool {
                (self & (<$bits>::MAX >> 1)).wrapping_sub(1) < (1 << $fraction) - 1
            }
            #[inline]
            fn host_add(self, other: Self) -> Self {
                (<$float>::from_bits(self) + <$float>::from_bits(other)).to_bits()
            }
            #[inline]
            fn host_sub(self, other: Self) -> Self {
                (<$float>::from_bits(self) - <$float>::from_bits(other)).to_bits()
            }
            #[inline]
            fn host_mul(self, other: Self) -> Self {
                (<$float>::from_bits(self) * <$float>::from_bits(other)).to_bits()
            }
            #[inline]
            fn host_div(self, other: Self) -> Self {
                (<$float>::from_bits(self) / <$float>::from_bits(other)).to_bits()
            }
            #[inline]
            fn host_sqrt(self) -> Self {
                <$float>::from_bits(self).sqrt().to_bits()
            }
            #[inline]
            fn host_less(self, other: Self) -> bool {
                <$float>::from_bits(self) < <$float>::from_bits(other)
            }
            #[inline]
            fn host_equal(self, other: Self) -> bool {
                <$float>::from_bits(self) == <$float>::from_bits(other)
            }
        }
    };
}

ieee!(u32, f32, soft::BINARY32, 23);
ieee!(u64, f64, soft::BINARY64, 52);

/// Whether the host's arithmetic may be used: see the head of this file.
#[inline]
pub(crate) fn host_suffices(mxcsr: u32) -> bool {
    mxcsr & (RC | PE) == PE
}

pub(crate) fn env_of(mxcsr: u32) -> Env {
    let mut env = Env::new(Rounding::from_bits(mxcsr >> 13), (mxcsr >> 7) & ALL);
    env.flush_to_zero = mxcsr & FTZ != 0;
    env
}

/// Merges an operation's flags into MXCSR. An unmasked exception found before computing
/// hides those found after.
#[inline]
pub(crate) fn merge_flags(mxcsr: &mut u32, flags: u32) {
    let fatal = flags & PRE & !(*mxcsr >> 7);
    *mxcsr |= if fatal != 0 { flags & PRE } else { flags };
}

/// The operand as a zero of its sign when MXCSR.DAZ is set and it is denormal.
#[inline]
pub(crate) fn daz<T: Ieee>(a: T, mxcsr: u32) -> T {
    if mxcsr & DAZ != 0 && a.is_denormal() {
        T::narrow(a.wide() >> T::FRACTION << T::FRACTION)
    } else {
        a
    }
}

/// The NaN result of a two-operand operation, if an operand is a NaN: the first operand's
/// if it is one, made quiet.
fn nan_result<T: Ieee>(a: T, b: T, x: &Unpacked, y: &Unpacked, flags: &mut u32) -> Option<T> {
    if x.class == Class::SignalingNan || y.class == Class::SignalingNan {
        *flags |= IE;
    }
    if x.is_nan() {
        Some(a.with_quiet_bit())
    } else if y.is_nan() {
        Some(b.with_quiet_bit())
    } else {
        None
    }
}

fn denormal_flag(x: &Unpacked, y: &Unpacked) -> u32 {
    if x.class == Class::Denormal || y.class == Class::Denormal { DE } else { 0 }
}

#[derive(Clone, Copy)]
enum Operation {
    Add,
    Sub,
    Mul,
    Div,
}

#[cold]
#[inline(never)]
fn slow<T: Ieee>(operation: Operation, a: T, b: T, mxcsr: &mut u32) -> T {
    let (a, b) = (daz(a, *mxcsr), daz(b, *mxcsr));
    let (x, mut y) = (a.unpack(), b.unpack());
    let mut env = env_of(*mxcsr);
    if let Some(nan) = nan_result(a, b, &x, &y, &mut env.flags) {
        merge_flags(mxcsr, env.flags);
        return nan;
    }
    let result = match operation {
        Operation::Add => soft::add(&x, &y, &T::FORMAT, &mut env),
        Operation::Sub => {
            y.negative = !y.negative;
            soft::add(&x, &y, &T::FORMAT, &mut env)
        }
        Operation::Mul => soft::mul(&x, &y, &T::FORMAT, &mut env),
        Operation::Div => soft::div(&x, &y, &T::FORMAT, &mut env),
    };
    // Invalid and divide-by-zero outrank the denormal exception.
    if env.flags & (IE | ZE) == 0 {
        env.flags |= denormal_flag(&x, &y);
    }
    merge_flags(mxcsr, env.flags);
    T::pack(result)
}

/// Whether `r`, which is `a + b` rounded to nearest, is exact.
#[inline]
fn sum_is_exact<T: Ieee>(a: T, b: T, r: T) -> bool {
    // If r = a + b, then both differences come out exactly; Knuth's two-sum shows that
    // otherwise one of them does not.
    let b_again = r.host_sub(a);
    let a_again = r.host_sub(b_again);
    a_again.host_equal(a) && b_again.host_equal(b)
}

/// Whether the product of two normal numbers surely has no more bits than the format.
#[inline]
fn product_is_exact<T: Ieee>(a: T, b: T) -> bool {
    let used = |x: T| T::FRACTION + 1 - (x.wide() | 1 << T::FRACTION).trailing_zeros();
    used(a) + used(b) <= T::FRACTION + 1
}

#[inline]
pub(crate) fn add<T: Ieee>(a: T, b: T, mxcsr: &mut u32) -> T {
    if *mxcsr & RC == 0 && a.is_plain() && b.is_plain() {
        let r = a.host_add(b);
        if r.is_plain() && (*mxcsr & PE != 0 || sum_is_exact(a, b, r)) {
            return r;
        }
    }
    slow(Operation::Add, a, b, mxcsr)
}

#[inline]
pub(crate) fn sub<T: Ieee>(a: T, b: T, mxcsr: &mut u32) -> T {
    if *mxcsr & RC == 0 && a.is_plain() && b.is_plain() {
        let r = a.host_sub(b);
        if r.is_plain() && (*mxcsr & PE != 0 || sum_is_exact(a, T::narrow(0).host_sub(b), r)) {
            return r;
        }
    }
    slow(Operation::Sub, a, b, mxcsr)
}

#[inline]
pub(crate) fn mul<T: Ieee>(a: T, b: T, mxcsr: &mut u32) -> T {
    if *mxcsr & RC == 0 && a.is_plain() && b.is_plain() {
        let r = a.host_mul(b);
        let zero = a.is_zero() || b.is_zero();
        if (r.is_above_tiny() && (*mxcsr & PE != 0 || product_is_exact(a, b))) || zero {
            return r;
        }
    }
    slow(Operation::Mul, a, b, mxcsr)
}

#[inline]
pub(crate) fn div<T: Ieee>(a: T, b: T, mxcsr: &mut u32) -> T {
    if *mxcsr & RC == 0 && a.is_plain() && b.is_plain() {
        let r = a.host_div(b);
        let exact = || product_is_exact(r, b) && r.host_mul(b).host_equal(a);
        if r.is_above_tiny() && (*mxcsr & PE != 0 || exact()) {
            return r;
        }
    }
    slow(Operation::Div, a, b, mxcsr)
}

#[inline]
pub(crate) fn sqrt<T: Ieee>(a: T, mxcsr: &mut u32) -> T {
    if *mxcsr & RC == 0 && a.is_plain() {
        let r = a.host_sqrt();
        let exact = || product_is_exact(r, r) && r.host_mul(r).host_equal(a);
        if !r.is_nan() && (*mxcsr & PE != 0 || exact()) {
            return r;
        }
    }
    slow_sqrt(a, mxcsr)
}

#[cold]
#[inline(never)]
fn slow_sqrt<T: Ieee>(a: T, mxcsr: &mut u32) -> T {
    let a = daz(a, *mxcsr);
    let x = a.unpack();
    let mut env = env_of(*mxcsr);
    if let Some(nan) = nan_result(a, a, &x, &x, &mut env.flags) {
        merge_flags(mxcsr, env.flags);
        return nan;
    }
    let result = soft::sqrt(&x, &T::FORMAT, &mut env);
    if env.flags & IE == 0 {
        env.flags |= denormal_flag(&x, &x);
    }
    merge_flags(mxcsr, env.flags);
    T::pack(result)
}

/// How two operands compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    Less,
    Equal,
    Greater,
    Unordered,
}

/// Whether a quiet NaN operand is an invalid operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QuietNan {
    Signals,
    Passes,
}

/// Compares, setting IE and DE.
#[inline]
pub(crate) fn compare<T: Ieee>(a: T, b: T, quiet: QuietNan, mxcsr: &mut u32) -> Relation {
    let (mut a, mut b) = (a, b);
    if !(a.is_plain() && b.is_plain()) {
        (a, b) = (daz(a, *mxcsr), daz(b, *mxcsr));
        if a.is_nan() || b.is_nan() {
            let signaling =
                a.is_nan() && a.with_quiet_bit() != a || b.is_nan() && b.with_quiet_bit() != b;
            if signaling || quiet == QuietNan::Signals {
                *mxcsr |= IE;
            }
            return Relation::Unordered;
        }
        if a.is_denormal() || b.is_denormal() {
            *mxcsr |= DE;
        }
    }
    if a.host_less(b) {
        Relation::Less
    } else if a.host_equal(b) {
        Relation::Equal
    } else {
        Relation::Greater
    }
}

/// `MINxx`: the lesser operand; the second when either is a NaN or both are zeros.
#[inline]
pub(crate) fn min<T: Ieee>(a: T, b: T, mxcsr: &mut u32) -> T {
    match compare(a, b, QuietNan::Signals, mxcsr) {
        Relation::Less => daz(a, *mxcsr),
        _ => daz(b, *mxcsr),
    }
}

/// `MAXxx`: the greater operand; the second when either is a NaN or both are zeros.
#[inline]
pub(crate) fn max<T: Ieee>(a: T, b: T, mxcsr: &mut u32) -> T {
    match compare(a, b, QuietNan::Signals, mxcsr) {
        Relation::Greater => daz(a, *mxcsr),
        _ => daz(b, *mxcsr),
    }
}

/// `CMPxx` with one of the eight legacy predicates.
#[inline]
pub(crate) fn predicate<T: Ieee>(a: T, b: T, imm: u8, mxcsr: &mut u32) -> bool {
    // LT, LE and their negations signal on quiet NaNs.
    let quiet = if imm & 3 == 1 || imm & 3 == 2 { QuietNan::Signals } else { QuietNan::Passes };
    let relation = compare(a, b, quiet, mxcsr);
    let plain = match imm & 3 {
        0 => relation == Relation::Equal,
        1 => relation == Relation::Less,
        2 => matches!(relation, Relation::Less | Relation::Equal),
        _ => relation == Relation::Unordered,
    };
    plain != (imm & 4 != 0)
}

/// Runs an operation on one or more lanes so that an unmasked exception is noticed even
/// when its flag was set before. `Err` has the flags that the operation raised; MXCSR
/// then has them too, and the destination must not change.
#[inline]
pub fn checked<R>(mxcsr: &mut u32, f: impl FnOnce(&mut u32) -> R) -> Result<R, u32> {
    if *mxcsr & MASKS == MASKS {
        return Ok(f(mxcsr));
    }
    let sticky = *mxcsr & ALL;
    *mxcsr &= !ALL;
    let result = f(mxcsr);
    let raised = *mxcsr & ALL;
    // A lane's late exceptions do not count when another lane had an unmasked early one.
    let fatal = raised & PRE & !(*mxcsr >> 7);
    let reported = if fatal != 0 { raised & PRE } else { raised };
    *mxcsr = (*mxcsr & !ALL) | sticky | reported;
    if reported & !(*mxcsr >> 7) != 0 { Err(reported) } else { Ok(result) }
}

/// Whether an operation raised an exception that is not masked, from MXCSR before and
/// after it. A flag that was set before hides it: use [`checked`] to be exact.
#[inline]
pub fn unmasked(before: u32, after: u32) -> bool {
    after & !before & ALL & !(after >> 7) != 0
}

/// A conversion's signed-integer result, or the integer indefinite.
pub(crate) fn to_int<T: Ieee>(a: T, rounding: Rounding, bits: u32, mxcsr: &mut u32) -> i64 {
    let x = daz(a, *mxcsr).unpack();
    match soft::to_signed(&x, rounding, bits) {
        Some((value, n)) => {
            if n.inexact {
                *mxcsr |= PE;
            }
            value
        }
        None => {
            *mxcsr |= IE;
            i64::MIN >> (64 - bits)
        }
    }
}

/// A signed integer as a floating-point number.
pub(crate) fn from_int<T: Ieee>(value: i64, mxcsr: &mut u32) -> T {
    let mut env = env_of(*mxcsr);
    let sig = u128::from(value.unsigned_abs()) << 64;
    let result = soft::normalize_round(value < 0, 63, sig, &T::FORMAT, &mut env);
    merge_flags(mxcsr, env.flags);
    T::pack(result)
}

/// Converts between formats. `UE` and `OE` can arise only when narrowing.
#[cold]
#[inline(never)]
pub(crate) fn resize<A: Ieee, B: Ieee>(a: A, mxcsr: &mut u32) -> B {
    let x = daz(a, *mxcsr).unpack();
    let mut env = env_of(*mxcsr);
    if x.is_nan() {
        if x.class == Class::SignalingNan {
            *mxcsr |= IE;
        }
        return B::pack(Packed::nan(x.negative, x.sig, &B::FORMAT));
    }
    let result = soft::convert(&x, &B::FORMAT, &mut env);
    env.flags |= denormal_flag(&x, &x);
    merge_flags(mxcsr, env.flags);
    B::pack(result)
}

/// `ROUNDxx`: rounds to an integral value in the same format.
pub(crate) fn round_integral<T: Ieee>(a: T, imm: u8, mxcsr: &mut u32) -> T {
    let rounding = Rounding::from_bits(if imm & 4 != 0 { *mxcsr >> 13 } else { u32::from(imm) });
    let a = daz(a, *mxcsr);
    let x = a.unpack();
    if x.is_nan() {
        if x.class == Class::SignalingNan {
            *mxcsr |= IE;
        }
        return a.with_quiet_bit();
    }
    if !x.is_finite() || x.exponent >= T::FRACTION as i32 {
        return a;
    }
    let Some(n) = soft::to_integer(&x, rounding) else { return a };
    if n.inexact && imm & 8 == 0 {
        *mxcsr |= PE;
    }
    let mut env = Env::new(rounding, ALL);
    let sig = u128::from(n.magnitude) << 64;
    T::pack(soft::normalize_round(x.negative, 63, sig, &T::FORMAT, &mut env))
}

#[cfg(test)]
mod tests {
    use super::super::soft::{OE, UE};
    use super::*;

    const DEFAULT: u32 = 0x1F80;

    fn bits(x: f64) -> u64 {
        x.to_bits()
    }

    /// Runs an operation and gives its result with the flags it raised.
    fn run<T: Ieee>(f: fn(T, T, &mut u32) -> T, a: T, b: T, control: u32) -> (T, u32) {
        let mut mxcsr = control & !ALL;
        let result = f(a, b, &mut mxcsr);
        (result, mxcsr & ALL)
    }

    /// Values at every edge of a format, as bits.
    fn edges<T: Ieee>() -> Vec<T> {
        let fraction = 1u64 << T::FRACTION;
        let width = if T::FRACTION == 23 { 8 } else { 11 };
        let infinity = ((1u64 << width) - 1) << T::FRACTION;
        let one = (infinity >> 1) & infinity;
        let sign = 1u64 << (T::FRACTION + width);
        [
            0,
            1,
            fraction - 1,
            fraction,
            fraction + 1,
            one - 1,
            one,
            one + 1,
            one + fraction,
            one + fraction / 2,
            infinity - 1,
            infinity,
            infinity + 1,
            infinity + fraction / 2 + 5,
        ]
        .into_iter()
        .flat_map(|x| [T::narrow(x), T::narrow(x | sign)])
        .collect()
    }

    /// The host's path, with PE sticky or seeing exactness, against the integer path.
    fn paths_agree<T: Ieee + std::fmt::Debug>(values: &[T]) {
        type Function<T> = fn(T, T, &mut u32) -> T;
        let cases: [(Function<T>, Function<T>); 5] = [
            (add, |a, b, m| slow(Operation::Add, a, b, m)),
            (sub, |a, b, m| slow(Operation::Sub, a, b, m)),
            (mul, |a, b, m| slow(Operation::Mul, a, b, m)),
            (div, |a, b, m| slow(Operation::Div, a, b, m)),
            (|a, _, m| sqrt(a, m), |a, _, m| slow_sqrt(a, m)),
        ];
        for (i, (fast, exact)) in cases.into_iter().enumerate() {
            for &a in values {
                for &b in values {
                    let expected = run(exact, a, b, DEFAULT);
                    assert_eq!(run(fast, a, b, DEFAULT), expected, "{i}: {a:?} {b:?}");
                    let mut sticky = DEFAULT | PE;
                    assert_eq!(fast(a, b, &mut sticky), expected.0, "{i}: {a:?} {b:?}");
                    assert_eq!(sticky & ALL, expected.1 | PE, "{i}: {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn host_and_integer_arithmetic_agree_at_the_edges() {
        paths_agree(&edges::<u32>());
        paths_agree(&edges::<u64>());
    }

    #[test]
    fn host_and_integer_arithmetic_agree_on_everyday_numbers() {
        let numbers = [0.0, 1.0, -1.0, 3.0, 0.5, 0.1, 1e10, 16777217.0, 9007199254740993.0, 1e-5];
        let more = numbers.iter().flat_map(|x| [*x, x * 7.0, x + 0.375, -x / 3.0, x * x]);
        let doubles: Vec<f64> = more.collect();
        paths_agree(&doubles.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        paths_agree(&doubles.iter().map(|x| (*x as f32).to_bits()).collect::<Vec<_>>());
    }

    #[test]
    fn flags_of_the_five_exceptions() {
        let tiny = 1u64 << 52;
        assert_eq!(run(add, bits(1.0), bits(f64::EPSILON / 2.0), DEFAULT), (bits(1.0), PE));
        assert_eq!(run(add, bits(1.0), bits(f64::EPSILON), DEFAULT).1, 0);
        assert_eq!(run(div, bits(-3.0), 0, DEFAULT), (bits(f64::NEG_INFINITY), ZE));
        let nan = 0xFFF8_0000_0000_0000;
        assert_eq!(run(div, 0, 0u64, DEFAULT), (nan, IE));
        assert_eq!(run(mul, bits(f64::MAX), bits(2.0), DEFAULT), (bits(f64::INFINITY), OE | PE));
        assert_eq!(run(mul, tiny, bits(0.3), DEFAULT).1, UE | PE);
        assert_eq!(run(mul, tiny, bits(0.5), DEFAULT), (tiny >> 1, 0));
        assert_eq!(run(add, 1, bits(1.0), DEFAULT), (bits(1.0), DE | PE));
    }

    #[test]
    fn unmasked_underflow_counts_exact_results() {
        assert_eq!(run(mul, 1u64 << 52, bits(0.5), DEFAULT & !(UE << 7)).1, UE);
    }

    #[test]
    fn daz_and_ftz_replace_denormals() {
        assert_eq!(run(add, 5u64 | 1 << 63, 0, DEFAULT | DAZ), (0, 0));
        assert_eq!(run(mul, 1u64 << 52, bits(-0.5), DEFAULT | FTZ), (1 << 63, UE | PE));
        assert_eq!(run(min, 1u64, 2u64, DEFAULT | DAZ), (0, 0));
    }

    #[test]
    fn rounding_control_decides_overflow_and_the_last_bit() {
        let with = |rc: u32| DEFAULT | rc << 13;
        let third: [u64; 4] =
            std::array::from_fn(|rc| run(div, bits(1.0), bits(3.0), with(rc as u32)).0);
        assert_eq!(third, [bits(1.0 / 3.0), bits(1.0 / 3.0), bits(1.0 / 3.0) + 1, third[1]]);
        assert_eq!(run(add, bits(f64::MAX), bits(f64::MAX), with(3)).0, bits(f64::MAX));
        assert_eq!(run(sub, bits(1.0), bits(1.0), with(1)).0, 1 << 63);
    }

    #[test]
    fn the_first_nan_wins_and_is_quieted() {
        let (signaling, quiet) = (0x7FF0_0000_0000_0001u64, 0xFFF8_0000_0000_0007u64);
        assert_eq!(run(add, signaling, quiet, DEFAULT), (signaling | QUIET >> 11, IE));
        assert_eq!(run(add, quiet, signaling, DEFAULT), (quiet, IE));
        assert_eq!(run(add, bits(1.0), quiet, DEFAULT), (quiet, 0));
    }

    #[test]
    fn minimum_is_the_second_operand_when_in_doubt() {
        let nan = bits(f64::NAN);
        assert_eq!(run(min, nan, bits(1.0), DEFAULT), (bits(1.0), IE));
        assert_eq!(run(max, bits(1.0), nan, DEFAULT), (nan, IE));
        assert_eq!(run(min, 0u64, 1 << 63, DEFAULT), (1 << 63, 0));
        assert_eq!(run(max, 1u64 << 63, 0, DEFAULT), (0, 0));
    }

    #[test]
    fn predicates_signal_on_quiet_nans_only_for_order() {
        let nan = bits(f64::NAN);
        for imm in 0..8 {
            let mut mxcsr = DEFAULT;
            let truth = predicate(bits(1.0), nan, imm, &mut mxcsr);
            assert_eq!(truth, matches!(imm, 3..=6), "{imm}");
            assert_eq!(mxcsr & IE != 0, matches!(imm, 1 | 2 | 5 | 6), "{imm}");
        }
    }

    #[test]
    fn checked_sees_an_exception_whose_flag_was_set_before() {
        let mut mxcsr = (DEFAULT & !(ZE << 7)) | ZE;
        let result = checked(&mut mxcsr, |m| div(bits(1.0), 0, m));
        assert_eq!(result, Err(ZE));
        assert_eq!(mxcsr & ALL, ZE);
    }

    #[test]
    fn an_early_unmasked_exception_hides_late_ones() {
        let mut mxcsr = DEFAULT & !(DE << 7);
        assert_eq!(checked(&mut mxcsr, |m| add(1, bits(1.0), m)), Err(DE));
    }

    #[test]
    fn round_integral_follows_the_immediate_or_mxcsr() {
        let mut mxcsr = DEFAULT | 2 << 13;
        assert_eq!(round_integral(bits(2.5), 0, &mut mxcsr), bits(2.0));
        assert_eq!(round_integral(bits(2.5), 8 | 4, &mut mxcsr), bits(3.0));
        assert_eq!(mxcsr & ALL, PE);
        assert_eq!(round_integral(bits(-0.25), 3, &mut mxcsr), 1 << 63);
    }
}
