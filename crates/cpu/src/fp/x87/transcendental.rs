//! The constants and the transcendental functions.
//!
//! Each function reduces its argument, sums a series in [`wide`](super::wide) arithmetic
//! and rounds once. Coefficients and tables are computed at compile time.
//!
//! Processors differ in the last bit of these results; ours are the exact values rounded,
//! but for arguments whose value lies within 2^-50 units of a rounding boundary.
//! Trigonometric functions are those of an argument reduced by the 66-bit pi.

use super::arith::{invalid, nan1, nan2, note_denormal};
use super::op::Constant;
use super::value::{F80, exact};
use super::wide::{Fraction, ONE, Wide, alternating, mul_fraction, series};
use crate::fp::soft::{self, Class, EXTENDED, Env, IE, PE, Packed, Rounding, UE, Unpacked, ZE};

const PI: Wide = Wide::new(1, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1);
const LN2: Wide = Wide::new(-1, 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF);
const LOG2_E: Wide = Wide::new(0, 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E88);
const LOG2_10: Wide = Wide::new(1, 0xD49A_784B_CD1B_8AFE_492B_F6FF_4DAF_DB4C);
const LOG10_2: Wide = Wide::new(-2, 0x9A20_9A84_FBCF_F798_8F89_59AC_0B7C_9178);

/// A constant rounded as the rounding control says; no flag is set.
pub(super) fn constant(constant: Constant, rounding: Rounding) -> F80 {
    let value = match constant {
        Constant::One => return F80::ONE,
        Constant::Zero => return F80::zero(false),
        Constant::L2t => LOG2_10,
        Constant::L2e => LOG2_E,
        Constant::Pi => PI,
        Constant::Lg2 => LOG10_2,
        Constant::Ln2 => LN2,
    };
    F80::pack(value.round(&mut Env::new(rounding, soft::ALL)))
}

// ---- sine, cosine, tangent ----

/// `1 / (2k + offset)!`, for sine (offset 1) and cosine (offset 0).
const fn inverse_factorials<const N: usize>(offset: u128, step: u128) -> [Fraction; N] {
    let mut out = [0; N];
    let mut term = ONE;
    let mut n = 1;
    let mut k = 0;
    while k < N {
        while n <= step * k as u128 + offset {
            term /= n;
            n += 1;
        }
        out[k] = term;
        k += 1;
    }
    out
}

const SIN: [Fraction; 16] = inverse_factorials(1, 2);
const COS: [Fraction; 17] = inverse_factorials(0, 2);

/// Half of the 66-bit pi, in units of 2^-65.
const HALF_PI_66: u128 = 0x3_243F_6A88_85A3_08D3;

/// An argument modulo half turns: `|rest| <= pi/4`, and the quadrant.
struct Reduced {
    rest: Wide,
    quadrant: u32,
}

/// Reduces a finite argument below 2^63 in magnitude, exactly with respect to the 66-bit pi.
fn reduce(a: &Unpacked) -> Reduced {
    // Up to 1/2 there is nothing to reduce.
    if a.exponent < -1 {
        return Reduced { rest: Wide::from_unpacked(a), quadrant: 0 };
    }
    // The magnitude in units of 2^-65 is sig << (exponent + 2): shift in two parts, so
    // that nothing exceeds 128 bits while reducing modulo two pi.
    let turn = 4 * HALF_PI_66;
    let shift = (a.exponent + 2) as u32;
    let first = shift.min(32);
    let r = (u128::from(a.sig) << first) % turn;
    let r = (r << (shift - first)) % turn;
    let mut quadrant = (r / HALF_PI_66) as u32;
    let mut rest = r % HALF_PI_66;
    let mut negative = a.negative;
    if rest > HALF_PI_66 / 2 {
        rest = HALF_PI_66 - rest;
        quadrant += 1;
        negative = !negative;
    }
    // sin(-x) = -sin x: the quadrant of a negative argument counts backwards.
    if a.negative {
        quadrant = quadrant.wrapping_neg();
    }
    Reduced { rest: Wide::normalized(negative, 62, rest), quadrant: quadrant & 3 }
}

/// The sine of a reduced argument.
fn sin_core(r: &Wide) -> Wide {
    if r.is_zero() {
        return *r;
    }
    let f = r.fraction();
    let factor = alternating(mul_fraction(f, f), &SIN).min(ONE - 1);
    r.mul(Wide::from_fraction(factor))
}

/// The cosine of a reduced argument.
fn cos_core(r: &Wide) -> Wide {
    let f = r.fraction();
    Wide::from_fraction(alternating(mul_fraction(f, f), &COS).min(ONE - 1))
}

fn sin_wide(x: &Reduced) -> Wide {
    let value = if x.quadrant & 1 == 0 { sin_core(&x.rest) } else { cos_core(&x.rest) };
    if x.quadrant & 2 == 0 { value } else { value.neg() }
}

fn cos_wide(x: &Reduced) -> Wide {
    let value = if x.quadrant & 1 == 0 { cos_core(&x.rest) } else { sin_core(&x.rest) };
    // cos in quadrants 1 and 2 is negative.
    if (x.quadrant + 1) & 2 == 0 { value } else { value.neg() }
}

/// A result that is inexact unless it is zero.
fn rounded(value: Wide, env: &mut Env) -> F80 {
    F80::pack(value.round(env))
}

/// The result of an argument that is a NaN, infinite or zero, if it is.
fn trigonometric_special(a: &Unpacked, at_zero: F80, env: &mut Env) -> Option<F80> {
    if let Some(nan) = nan1(a, env) {
        return Some(nan);
    }
    if a.is_infinite() {
        return Some(invalid(env));
    }
    note_denormal(&[a], env);
    a.is_zero().then_some(at_zero)
}

pub(super) fn sin(a: &Unpacked, env: &mut Env) -> F80 {
    trigonometric_special(a, exact(a), env).unwrap_or_else(|| rounded(sin_wide(&reduce(a)), env))
}

pub(super) fn cos(a: &Unpacked, env: &mut Env) -> F80 {
    trigonometric_special(a, F80::ONE, env).unwrap_or_else(|| rounded(cos_wide(&reduce(a)), env))
}

/// The sine and the cosine, with the flags of both.
pub(super) fn sincos(a: &Unpacked, env: &mut Env) -> (F80, F80) {
    let cos = cos(a, env);
    (sin(a, env), cos)
}

/// The tangent, and the one that `FPTAN` pushes.
pub(super) fn ptan(a: &Unpacked, env: &mut Env) -> (F80, F80) {
    if let Some(special) = trigonometric_special(a, exact(a), env) {
        return (special, if a.is_zero() { F80::ONE } else { special });
    }
    let x = reduce(a);
    let tangent = sin_wide(&x).div(cos_wide(&x));
    (rounded(tangent, env), F80::ONE)
}

// ---- arc tangent ----

/// `1 / (2k + 1)`.
const fn inverse_odds<const N: usize>() -> [Fraction; N] {
    let mut out = [0; N];
    let mut k = 0;
    while k < N {
        out[k] = ONE / (2 * k as u128 + 1);
        k += 1;
    }
    out
}

const ODDS: [Fraction; 24] = inverse_odds();

/// How finely the arc tangent's argument is cut.
const STEPS: usize = 32;

/// `atan(k / 32)`: each is the one before plus the arc tangent of a small rational,
/// `atan((k+1)/32) = atan(k/32) + atan(32 / (1024 + k (k+1)))`.
const ATAN: [Fraction; STEPS + 1] = {
    let mut out = [0; STEPS + 1];
    let mut k = 0;
    while k < STEPS {
        let x = ONE / (1024 + k as u128 * (k as u128 + 1)) * 32;
        let z = mul_fraction(x, x);
        let mut acc = 0;
        let mut i = 14;
        while i > 0 {
            i -= 1;
            acc = ODDS[i] - mul_fraction(z, acc);
        }
        out[k + 1] = out[k] + mul_fraction(x, acc);
        k += 1;
    }
    out
};

/// The arc tangent of a number in (0, 1].
fn atan_core(t: Wide) -> Wide {
    let step = (t.fraction() >> 121).div_ceil(2);
    let small = |u: Wide| {
        let f = u.fraction();
        let factor = alternating(mul_fraction(f, f), &ODDS[..14]).min(ONE - 1);
        u.mul(Wide::from_fraction(factor))
    };
    if step == 0 {
        return small(t);
    }
    // atan t = atan c + atan((t - c) / (1 + t c)), with c = step / 32.
    let c = Wide::normalized(false, 122, step);
    let one = Wide::new(0, ONE);
    let rest = t.add(c.neg()).div(one.add(t.mul(c)));
    let table = Wide::from_fraction(ATAN[(step as usize).min(STEPS)]);
    if rest.is_zero() { table } else { table.add(small(rest)) }
}

/// `FPATAN`: the angle of the point (`x`, `y`), `x` in ST0 and `y` in ST1.
pub(super) fn patan(x: &Unpacked, y: &Unpacked, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(x, y, env) {
        return nan;
    }
    note_denormal(&[x, y], env);
    let turn = |exponent: i32| Wide { exponent, ..PI };
    let magnitude = match (y.class, x.class) {
        (Class::Infinity, Class::Infinity) if x.negative => {
            // Three quarters of pi.
            turn(0).add(turn(-1))
        }
        (Class::Infinity, Class::Infinity) => turn(-1),
        (Class::Infinity, _) => turn(0),
        (Class::Zero, _) | (_, Class::Infinity) if x.negative => turn(1),
        (Class::Zero, _) | (_, Class::Infinity) => return F80::zero(y.negative),
        (_, Class::Zero) => turn(0),
        _ => return patan_finite(x, y, env),
    };
    rounded(Wide { negative: y.negative, ..magnitude }, env)
}

fn patan_finite(x: &Unpacked, y: &Unpacked, env: &mut Env) -> F80 {
    let (wx, wy) = (Wide::from_unpacked(x).abs(), Wide::from_unpacked(y).abs());
    let steep = (wy.exponent, wy.sig) > (wx.exponent, wx.sig);
    let ratio = if steep { wx.div(wy) } else { wy.div(wx) };
    if !steep && !x.negative && ratio.exponent < EXTENDED.emin {
        // The angle is the ratio, which may be exact, but is reported as inexact.
        let quotient = soft::quotient(y.sig, x.sig);
        let exponent = y.exponent - x.exponent - i32::from(y.sig < x.sig);
        let result = soft::round(y.negative, exponent, quotient, &EXTENDED, env);
        return F80::pack(seen_as_inexact(result, env));
    }
    let angle = atan_core(ratio);
    let half_pi = Wide { exponent: 0, ..PI };
    let magnitude = match (steep, x.negative) {
        (false, false) => angle,
        (false, true) => PI.add(angle.neg()),
        (true, false) => half_pi.add(angle.neg()),
        (true, true) => half_pi.add(angle),
    };
    rounded(Wide { negative: y.negative, ..magnitude }, env)
}

// ---- exponential and logarithm ----

const EXPM1: [Fraction; 32] = inverse_factorials(1, 1);

/// `F2XM1`: 2^x - 1. Outside [-1, 1] the result is undefined; it is `x` then, as AMD has it.
pub(super) fn f2xm1(a: &Unpacked, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    note_denormal(&[a], env);
    match a.class {
        Class::Zero => return exact(a),
        Class::Infinity if a.negative => return F80 { sign_exponent: 0xBFFF, ..F80::ONE },
        Class::Infinity => return exact(a),
        _ => {}
    }
    if a.exponent >= 0 {
        // Observed: PE is set even here.
        env.flags |= PE;
        if a.exponent > 0 || a.sig != soft::TOP {
            return exact(a);
        }
        let sign_exponent = if a.negative { 0xBFFE } else { 0x3FFF };
        return F80 { sign_exponent, ..F80::ONE };
    }
    // 2^x - 1 = w * (1 + w/2! + w^2/3! + …) with w = x ln 2.
    let w = Wide::from_unpacked(a).mul(LN2);
    let f = w.fraction();
    let factor = if w.negative { alternating(f, &EXPM1) } else { series(f, &EXPM1) };
    rounded(w.mul(Wide::from_fraction(factor)), env)
}

/// `2 atanh(s) / ln 2`, for |s| up to 0.18: the binary logarithm of (1 + s) / (1 - s).
fn log2_core(s: Wide) -> Wide {
    if s.is_zero() {
        return s;
    }
    let f = s.fraction();
    let factor = series(mul_fraction(f, f), &ODDS);
    let twice = Wide { exponent: LOG2_E.exponent + 1, ..LOG2_E };
    s.mul(Wide::from_fraction(factor)).mul(twice)
}

/// The binary logarithm of a positive number.
fn log2(x: Wide) -> Wide {
    // A significand in [sqrt(1/2), sqrt(2)), so that the series converges fast.
    const SQRT2: u128 = 0xB504_F333_F9DE_6484_597D_89B3_754A_BE9F;
    let above = x.sig >= SQRT2;
    let m = Wide { exponent: if above { -1 } else { 0 }, ..x };
    let e = x.exponent + i32::from(above);
    let one = Wide::new(0, ONE);
    let s = m.add(one.neg()).div(m.add(one));
    let whole = Wide::normalized(e < 0, 127, u128::from(e.unsigned_abs()));
    whole.add(log2_core(s))
}

/// Whether a logarithm is known to be exact.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exactness {
    Exact,
    Inexact,
}

/// The product of `y` with a logarithm.
fn times(y: &Unpacked, logarithm: Wide, exactness: Exactness, env: &mut Env) -> F80 {
    let product = Wide::from_unpacked(y).mul(logarithm);
    if exactness == Exactness::Inexact {
        return F80::pack(product.round(env));
    }
    let result = product.round_exact(env);
    F80::pack(seen_as_inexact(result, env))
}

/// Observed: the hardware reports even exact results as inexact.
fn seen_as_inexact(result: Packed, env: &mut Env) -> Packed {
    env.flags |= PE;
    if result.sig & soft::TOP == 0 {
        env.flags |= UE;
    }
    result
}

fn packed_zero_or_infinity(infinite: bool, negative: bool) -> F80 {
    F80::pack(if infinite {
        Packed::infinity(negative, &EXTENDED)
    } else {
        Packed::zero(negative, &EXTENDED)
    })
}

/// `FYL2X`: `y * log2(x)`, `x` in ST0 and `y` in ST1.
pub(super) fn yl2x(x: &Unpacked, y: &Unpacked, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(x, y, env) {
        return nan;
    }
    if x.negative && !x.is_zero() {
        return invalid(env);
    }
    // The logarithm's class: minus infinity, a zero, plus infinity, or finite.
    let is_one = x.class == Class::Normal && x.exponent == 0 && x.sig == soft::TOP;
    let below_one = x.is_zero() || (x.is_finite() && x.exponent < 0);
    if x.is_zero() && y.is_finite() && !y.is_zero() {
        env.flags |= ZE;
        return F80::infinity(!y.negative);
    }
    if x.is_zero() || x.is_infinite() {
        if y.is_zero() {
            return invalid(env);
        }
        note_denormal(&[y], env);
        return F80::infinity(y.negative != below_one);
    }
    if y.is_infinite() && is_one {
        return invalid(env);
    }
    note_denormal(&[x, y], env);
    if y.is_infinite() || y.is_zero() || is_one {
        return packed_zero_or_infinity(y.is_infinite(), y.negative != below_one);
    }
    // The logarithm of a power of two is an integer.
    let exactness = if x.sig == soft::TOP { Exactness::Exact } else { Exactness::Inexact };
    times(y, log2(Wide::from_unpacked(x)), exactness, env)
}

/// `FYL2XP1`: `y * log2(1 + x)`, `x` in ST0 and `y` in ST1.
///
/// Defined for |x| up to 1 - sqrt(1/2); beyond, the same function is computed.
pub(super) fn yl2xp1(x: &Unpacked, y: &Unpacked, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(x, y, env) {
        return nan;
    }
    if x.is_zero() || x.is_infinite() || y.is_zero() || y.is_infinite() {
        return yl2xp1_special(x, y, env);
    }
    let one = Wide::new(0, ONE);
    let wx = Wide::from_unpacked(x);
    if x.negative && x.exponent >= 0 {
        // 1 + x is zero or negative.
        if x.exponent == 0 && x.sig == soft::TOP {
            env.flags |= ZE;
            return F80::infinity(!y.negative);
        }
        return invalid(env);
    }
    note_denormal(&[x, y], env);
    let logarithm = if x.exponent < -2 {
        let two = Wide::new(1, ONE);
        log2_core(wx.div(two.add(wx)))
    } else {
        log2(one.add(wx))
    };
    times(y, logarithm, Exactness::Inexact, env)
}

fn yl2xp1_special(x: &Unpacked, y: &Unpacked, env: &mut Env) -> F80 {
    let undefined =
        (x.is_zero() && y.is_infinite()) || (x.is_infinite() && (x.negative || y.is_zero()));
    if undefined {
        env.flags |= IE;
        return F80::INDEFINITE;
    }
    note_denormal(&[x, y], env);
    let infinite = x.is_infinite() || y.is_infinite();
    packed_zero_or_infinity(infinite, x.negative != y.negative)
}
