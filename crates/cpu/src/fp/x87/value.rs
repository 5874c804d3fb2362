//! The 80-bit format: unpacking, packing, and conversion from and to memory formats.

use super::super::scalar::Ieee;
use super::super::soft::{self, Class, DE, EXTENDED, Env, IE, PE, Packed, QUIET, TOP, Unpacked};

/// An 80-bit extended number as the registers hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct F80 {
    /// The significand with its explicit integer bit.
    pub mantissa: u64,
    /// The sign (bit 15) and the biased exponent.
    pub sign_exponent: u16,
}

impl F80 {
    /// The indefinite: the NaN that masked invalid operations give.
    pub const INDEFINITE: Self = Self { mantissa: TOP | QUIET, sign_exponent: 0xFFFF };
    /// Plus one.
    pub const ONE: Self = Self { mantissa: TOP, sign_exponent: 0x3FFF };

    /// Reads the ten bytes of the memory form.
    pub fn from_bytes(b: [u8; 10]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, e0, e1] = b;
        Self {
            mantissa: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            sign_exponent: u16::from_le_bytes([e0, e1]),
        }
    }

    /// The ten bytes of the memory form.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut out = [0; 10];
        out[..8].copy_from_slice(&self.mantissa.to_le_bytes());
        out[8..].copy_from_slice(&self.sign_exponent.to_le_bytes());
        out
    }

    pub(super) fn negative(self) -> bool {
        self.sign_exponent & 0x8000 != 0
    }

    /// A zero of the given sign.
    pub(super) fn zero(negative: bool) -> Self {
        Self { mantissa: 0, sign_exponent: u16::from(negative) << 15 }
    }

    /// An infinity of the given sign.
    pub(super) fn infinity(negative: bool) -> Self {
        Self { mantissa: TOP, sign_exponent: 0x7FFF | u16::from(negative) << 15 }
    }

    pub(in crate::fp) fn unpack(self) -> Unpacked {
        let negative = self.negative();
        let biased = i32::from(self.sign_exponent & 0x7FFF);
        let sig = self.mantissa;
        let make = |class, exponent, sig| Unpacked { class, negative, exponent, sig };
        if biased == 0 {
            let mut u = Unpacked::finite(negative, EXTENDED.emin, sig);
            if sig != 0 {
                u.class = Class::Denormal;
            }
            return u;
        }
        if sig & TOP == 0 {
            return make(Class::Unsupported, 0, sig);
        }
        if biased < 0x7FFF {
            return make(Class::Normal, biased - 0x3FFF, sig);
        }
        let class = match sig & !TOP {
            0 => Class::Infinity,
            s if s & QUIET != 0 => Class::QuietNan,
            _ => Class::SignalingNan,
        };
        make(class, EXTENDED.emax + 1, sig)
    }

    pub(in crate::fp) fn pack(p: Packed) -> Self {
        // An unmasked response may have wrapped far outside the range; the field is what
        // the hardware has, fifteen bits.
        let biased = if p.sig & TOP != 0 { (p.exponent + 0x3FFF) as u16 & 0x7FFF } else { 0 };
        Self { mantissa: p.sig, sign_exponent: biased | u16::from(p.negative) << 15 }
    }

    /// The same number made a quiet NaN.
    pub(super) fn quieted(self) -> Self {
        Self { mantissa: self.mantissa | QUIET, ..self }
    }
}

/// A single or double from memory, unpacked.
pub(super) fn from_ieee<T: Ieee>(bits: T) -> Unpacked {
    let mut u = bits.unpack();
    if u.is_nan() || u.is_infinite() {
        u.exponent = EXTENDED.emax + 1;
        u.sig |= TOP;
    }
    u
}

/// A signed integer, unpacked.
pub(super) fn from_integer(i: i64) -> Unpacked {
    Unpacked::finite(i < 0, 63, i.unsigned_abs())
}

/// Repacks an unpacked value exactly.
pub(super) fn exact(u: &Unpacked) -> F80 {
    match u.class {
        Class::Zero => F80::zero(u.negative),
        Class::Infinity => F80::infinity(u.negative),
        Class::Denormal | Class::Normal => {
            let mut env = Env::new(soft::Rounding::Nearest, soft::ALL);
            F80::pack(soft::convert(u, &EXTENDED, &mut env))
        }
        _ => F80 { mantissa: u.sig, sign_exponent: 0x7FFF | u16::from(u.negative) << 15 },
    }
}

/// `FLD` of a single or double: DE for denormals, IE for signaling NaNs.
pub(super) fn load(u: &Unpacked, env: &mut Env) -> F80 {
    match u.class {
        Class::SignalingNan => {
            env.flags |= IE;
            exact(u).quieted()
        }
        Class::Denormal => {
            env.flags |= DE;
            exact(u)
        }
        _ => exact(u),
    }
}

/// Brings a register to a single or double for a store.
pub(super) fn store<T: Ieee>(value: F80, env: &mut Env) -> T {
    let u = value.unpack();
    match u.class {
        Class::Unsupported => {
            env.flags |= IE;
            T::pack(Packed::indefinite(&T::FORMAT))
        }
        Class::QuietNan | Class::SignalingNan => {
            if u.class == Class::SignalingNan {
                env.flags |= IE;
            }
            T::pack(Packed::nan(u.negative, u.sig, &T::FORMAT))
        }
        _ => T::pack(soft::convert(&u, &T::FORMAT, env)),
    }
}

/// Rounds a register to a signed integer of `bits` bits for a store.
pub(super) fn store_integer(value: F80, rounding: soft::Rounding, bits: u32, env: &mut Env) -> i64 {
    match soft::to_signed(&value.unpack(), rounding, bits) {
        Some((i, n)) => {
            if n.inexact {
                env.flags |= PE;
            }
            env.rounded_up = n.up;
            i
        }
        None => {
            env.flags |= IE;
            i64::MIN >> (64 - bits)
        }
    }
}

/// The packed-decimal indefinite.
pub(super) const BCD_INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF];

/// Rounds a register to eighteen decimal digits.
pub(super) fn store_bcd(value: F80, env: &mut Env) -> [u8; 10] {
    let u = value.unpack();
    let n = if u.is_finite() { soft::to_integer(&u, env.rounding) } else { None };
    let Some(n) = n.filter(|n| n.magnitude < 1_000_000_000_000_000_000) else {
        env.flags |= IE;
        return BCD_INDEFINITE;
    };
    if n.inexact {
        env.flags |= PE;
    }
    env.rounded_up = n.up;
    let mut out = [0; 10];
    let mut rest = n.magnitude;
    for byte in out.iter_mut().take(9) {
        *byte = (rest % 10) as u8 | ((rest / 10 % 10) as u8) << 4;
        rest /= 100;
    }
    out[9] = u8::from(u.negative) << 7;
    out
}

/// Reads packed decimal; nibbles over nine are undefined and weigh what they are.
pub(super) fn load_bcd(b: [u8; 10]) -> F80 {
    let magnitude = b[..9].iter().rev().fold(0u64, |acc, &byte| {
        acc.wrapping_mul(100) + u64::from(byte >> 4) * 10 + u64::from(byte & 15)
    });
    exact(&Unpacked::finite(b[9] & 0x80 != 0, 63, magnitude))
}
