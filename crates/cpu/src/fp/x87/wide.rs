//! Numbers with 128-bit significands, for the insides of transcendental functions.
//!
//! [`Wide`] is a truncated floating-point number; [`Fraction`]s are unsigned fixed-point
//! numbers below 2 with 127 bits after the point. Each operation errs by at most a few
//! units in the last place, so that results of some twenty operations have over 115 good
//! bits for the 64 that are wanted.

use crate::fp::soft::{EXTENDED, Env, Packed, Unpacked, normalize_round};

/// A fixed-point number: the value is `n / 2^127`.
pub(super) type Fraction = u128;

/// One as a [`Fraction`].
pub(super) const ONE: Fraction = 1 << 127;

/// The upper half of the 256-bit product.
pub(super) const fn high_product(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let middle = a1 * b0 + ((a0 * b0) >> 64);
    let other = a0 * b1 + (middle & LOW);
    a1 * b1 + (middle >> 64) + (other >> 64)
}

/// The product of two fractions; it must be below 2.
pub(super) const fn mul_fraction(a: Fraction, b: Fraction) -> Fraction {
    high_product(a, b) << 1
}

/// `c[0] + x * (c[1] + x * (c[2] + …))`.
pub(super) fn series(x: Fraction, coefficients: &[Fraction]) -> Fraction {
    coefficients.iter().rev().fold(0, |acc, &c| c + mul_fraction(x, acc))
}

/// `c[0] - x * (c[1] - x * (c[2] - …))`.
pub(super) fn alternating(x: Fraction, coefficients: &[Fraction]) -> Fraction {
    coefficients.iter().rev().fold(0, |acc, &c| c - mul_fraction(x, acc))
}

/// A number `±sig * 2^(exponent - 127)`; bit 127 of `sig` is set, or the number is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wide {
    pub negative: bool,
    pub exponent: i32,
    pub sig: u128,
}

impl Wide {
    pub const fn new(exponent: i32, sig: u128) -> Self {
        Self { negative: false, exponent, sig }
    }

    /// A number from a significand that may have leading zeros.
    pub fn normalized(negative: bool, exponent: i32, sig: u128) -> Self {
        if sig == 0 {
            return Self { negative, exponent: 0, sig: 0 };
        }
        let shift = sig.leading_zeros();
        Self { negative, exponent: exponent - shift as i32, sig: sig << shift }
    }

    pub fn from_fraction(f: Fraction) -> Self {
        Self::normalized(false, 0, f)
    }

    /// A finite operand.
    pub fn from_unpacked(u: &Unpacked) -> Self {
        Self { negative: u.negative, exponent: u.exponent, sig: u128::from(u.sig) << 64 }
    }

    pub fn is_zero(&self) -> bool {
        self.sig == 0
    }

    /// The magnitude as a fraction; it must be below 2.
    pub fn fraction(&self) -> Fraction {
        self.sig.checked_shr(self.exponent.wrapping_neg() as u32).unwrap_or(0)
    }

    pub fn abs(self) -> Self {
        Self { negative: false, ..self }
    }

    pub fn neg(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    pub fn mul(self, other: Self) -> Self {
        let sig = high_product(self.sig, other.sig);
        Self::normalized(self.negative != other.negative, self.exponent + other.exponent + 1, sig)
    }

    /// The quotient, by long division; `other` must not be zero.
    pub fn div(self, other: Self) -> Self {
        let negative = self.negative != other.negative;
        // With the dividend below the divisor every remainder is too, and one extra bit
        // (`carry`) holds its double.
        let (mut rest, exponent) = if self.sig >= other.sig {
            (self.sig - other.sig, self.exponent - other.exponent)
        } else {
            (self.sig, self.exponent - other.exponent - 1)
        };
        let mut quotient = u128::from(self.sig >= other.sig);
        for _ in 0..(if quotient == 1 { 127 } else { 128 }) {
            let carry = rest >> 127 != 0;
            rest <<= 1;
            quotient <<= 1;
            if carry || rest >= other.sig {
                rest = rest.wrapping_sub(other.sig);
                quotient |= 1;
            }
        }
        Self::normalized(negative, exponent, quotient)
    }

    pub fn add(self, other: Self) -> Self {
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        let first = (self.exponent, self.sig) >= (other.exponent, other.sig);
        let (large, small) = if first { (self, other) } else { (other, self) };
        let distance = large.exponent.wrapping_sub(small.exponent) as u32;
        let x = large.sig >> 1;
        let y = (small.sig >> 1).checked_shr(distance).unwrap_or(0);
        let sum = if large.negative == small.negative { x + y } else { x - y };
        Self::normalized(large.negative, large.exponent + 1, sum)
    }

    /// Rounds to the 80-bit format; the value is taken to be inexact.
    pub fn round(self, env: &mut Env) -> Packed {
        normalize_round(self.negative, self.exponent, self.sig | 1, &EXTENDED, env)
    }

    /// Rounds to the 80-bit format a value known to be exact.
    pub fn round_exact(self, env: &mut Env) -> Packed {
        normalize_round(self.negative, self.exponent, self.sig, &EXTENDED, env)
    }
}
