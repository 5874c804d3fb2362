//! Exact operations on 80-bit numbers: arithmetic, comparison, remainder, scaling.
//!
//! Functions take values, never registers; they set flags in the [`Env`] and return the
//! masked response. [`super::execute`] decides what an unmasked exception leaves undone.

use std::cmp::Ordering;

use super::op::{Arithmetic, Order};
use super::value::{F80, exact, from_integer};
use crate::fp::soft::{self, Class, DE, EXTENDED, Env, Format, IE, OE, PE, UE, Unpacked, ZE};

/// Sets IE and gives the indefinite.
pub(super) fn invalid(env: &mut Env) -> F80 {
    env.flags |= IE;
    F80::INDEFINITE
}

/// The result when the operand is a NaN or unsupported.
pub(super) fn nan1(a: &Unpacked, env: &mut Env) -> Option<F80> {
    match a.class {
        Class::Unsupported => Some(invalid(env)),
        Class::SignalingNan => {
            env.flags |= IE;
            Some(exact(a).quieted())
        }
        Class::QuietNan => Some(exact(a)),
        _ => None,
    }
}

/// The result when an operand is a NaN or unsupported: a quiet NaN wins over a signaling
/// one, else the one with the larger significand, else the positive one.
pub(super) fn nan2(a: &Unpacked, b: &Unpacked, env: &mut Env) -> Option<F80> {
    if a.class == Class::Unsupported || b.class == Class::Unsupported {
        return Some(invalid(env));
    }
    if a.class == Class::SignalingNan || b.class == Class::SignalingNan {
        env.flags |= IE;
    }
    let chosen = match (a.is_nan(), b.is_nan()) {
        (false, false) => return None,
        (true, false) => a,
        (false, true) => b,
        (true, true) => match (a.class, b.class) {
            (Class::SignalingNan, Class::QuietNan) => b,
            (Class::QuietNan, Class::SignalingNan) => a,
            _ => match a.sig.cmp(&b.sig) {
                Ordering::Greater => a,
                Ordering::Less => b,
                Ordering::Equal if a.negative => b,
                Ordering::Equal => a,
            },
        },
    };
    Some(exact(chosen).quieted())
}

/// Sets DE for denormal operands, unless a graver exception was found.
pub(super) fn note_denormal(operands: &[&Unpacked], env: &mut Env) {
    if env.flags & (IE | ZE) == 0 && operands.iter().any(|u| u.class == Class::Denormal) {
        env.flags |= DE;
    }
}

/// `destination op source`.
pub(super) fn binary(
    operation: Arithmetic,
    destination: &Unpacked,
    source: &Unpacked,
    format: &Format,
    env: &mut Env,
) -> F80 {
    if let Some(nan) = nan2(destination, source, env) {
        return nan;
    }
    let negated = |u: &Unpacked| Unpacked { negative: !u.negative, ..*u };
    let result = match operation {
        Arithmetic::Add => soft::add(destination, source, format, env),
        Arithmetic::Sub => soft::add(destination, &negated(source), format, env),
        Arithmetic::SubReversed => soft::add(source, &negated(destination), format, env),
        Arithmetic::Mul => soft::mul(destination, source, format, env),
        Arithmetic::Div => soft::div(destination, source, format, env),
        Arithmetic::DivReversed => soft::div(source, destination, format, env),
    };
    note_denormal(&[destination, source], env);
    F80::pack(result)
}

pub(super) fn sqrt(a: &Unpacked, format: &Format, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    let result = soft::sqrt(a, format, env);
    note_denormal(&[a], env);
    F80::pack(result)
}

/// The order of two operands; `None` when unordered.
pub(super) fn compare(order: Order, a: &Unpacked, b: &Unpacked, env: &mut Env) -> Option<Ordering> {
    let unsupported = a.class == Class::Unsupported || b.class == Class::Unsupported;
    if unsupported || a.is_nan() || b.is_nan() {
        let signaling = a.class == Class::SignalingNan || b.class == Class::SignalingNan;
        if unsupported || signaling || order == Order::Ordered {
            env.flags |= IE;
        }
        return None;
    }
    note_denormal(&[a, b], env);
    Some(soft::order(a, b))
}

/// `FRNDINT`.
pub(super) fn round_to_integer(a: &Unpacked, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    note_denormal(&[a], env);
    if !a.is_finite() || a.exponent >= 63 {
        return exact(a);
    }
    let Some(n) = soft::to_integer(a, env.rounding) else { return exact(a) };
    if n.inexact {
        env.flags |= PE;
    }
    env.rounded_up = n.up;
    exact(&Unpacked::finite(a.negative, 63, n.magnitude))
}

/// `FSCALE`: `a` times two to the power of `b` truncated.
pub(super) fn scale(a: &Unpacked, b: &Unpacked, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    if b.is_infinite() {
        let undefined = if b.negative { a.is_infinite() } else { a.is_zero() };
        if undefined {
            return invalid(env);
        }
        note_denormal(&[a], env);
        return if b.negative { F80::zero(a.negative) } else { F80::infinity(a.negative) };
    }
    note_denormal(&[a, b], env);
    if a.is_zero() || a.is_infinite() {
        return exact(a);
    }
    const FAR: i64 = 0x2_0000;
    let by = match soft::to_signed(b, soft::Rounding::Zero, 64) {
        Some((n, _)) => n.clamp(-FAR, FAR),
        None if b.negative => -FAR,
        None => FAR,
    };
    let exponent = a.exponent + by as i32;
    // What even an exponent wrapped by 24576 cannot hold is infinite or zero.
    if exponent > EXTENDED.emax + 24576 && !env.is_masked(OE) {
        env.flags |= OE | PE;
        env.rounded_up = true;
        return F80::infinity(a.negative);
    }
    if exponent < EXTENDED.emin - 24576 && !env.is_masked(UE) {
        env.flags |= UE | PE;
        return F80::zero(a.negative);
    }
    F80::pack(soft::round(a.negative, exponent, u128::from(a.sig) << 64, &EXTENDED, env))
}

/// `FXTRACT`: the exponent and the significand.
pub(super) fn extract(a: &Unpacked, env: &mut Env) -> (F80, F80) {
    if let Some(nan) = nan1(a, env) {
        return (nan, nan);
    }
    match a.class {
        Class::Infinity => (F80::infinity(false), exact(a)),
        Class::Zero => {
            env.flags |= ZE;
            (F80::infinity(true), exact(a))
        }
        _ => {
            note_denormal(&[a], env);
            let significand = Unpacked { class: Class::Normal, exponent: 0, ..*a };
            (exact(&from_integer(a.exponent.into())), exact(&significand))
        }
    }
}

/// Which remainder an instruction gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quotient {
    /// `FPREM`.
    Truncated,
    /// `FPREM1`, IEEE 754's remainder.
    Nearest,
}

/// How far a remainder instruction got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// The operands had no remainder; there is no quotient.
    None,
    /// Another step is needed.
    Partial,
    /// Finished; the low three bits of the quotient.
    Complete(u8),
}

/// A remainder, or a step toward it.
pub(super) struct Remainder {
    pub value: F80,
    pub quotient: Progress,
}

/// `FPREM` and `FPREM1`. One step reduces the exponent by less than 64.
pub(super) fn remainder(kind: Quotient, a: &Unpacked, b: &Unpacked, env: &mut Env) -> Remainder {
    let none = |value| Remainder { value, quotient: Progress::None };
    let zero = |value| Remainder { value, quotient: Progress::Complete(0) };
    if let Some(nan) = nan2(a, b, env) {
        return none(nan);
    }
    if a.is_infinite() || b.is_zero() {
        return none(invalid(env));
    }
    note_denormal(&[a, b], env);
    if a.is_zero() {
        return zero(exact(a));
    }
    let distance = if b.is_infinite() { -2 } else { a.exponent - b.exponent };
    if distance < -1 || (distance == -1 && kind == Quotient::Truncated) {
        let sig = u128::from(a.sig) << 64;
        return zero(F80::pack(soft::round(a.negative, a.exponent, sig, &EXTENDED, env)));
    }
    // Both as integers in units of 2^(exponent - 63).
    let (n, d, exponent) = if distance == -1 {
        (u128::from(a.sig), u128::from(b.sig) << 1, a.exponent)
    } else if distance < 64 {
        (u128::from(a.sig) << distance, u128::from(b.sig), b.exponent)
    } else {
        let step = 32 + distance % 32;
        (u128::from(a.sig) << step, u128::from(b.sig), b.exponent + distance - step)
    };
    let (mut quotient, mut rest, mut negative) = (n / d, n % d, a.negative);
    let finished = distance < 64;
    let nearest = kind == Quotient::Nearest && finished;
    if nearest && (rest > d - rest || (rest == d - rest && quotient & 1 != 0)) {
        quotient += 1;
        rest = d - rest;
        negative = !negative;
    }
    if rest == 0 {
        negative = a.negative;
    }
    let value = soft::normalize_round(negative, exponent + 64, rest, &EXTENDED, env);
    let progress =
        if finished { Progress::Complete(quotient as u8 & 7) } else { Progress::Partial };
    Remainder { value: F80::pack(value), quotient: progress }
}
