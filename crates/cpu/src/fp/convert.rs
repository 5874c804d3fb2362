//! SSE conversions between integers, binary32 and binary64.
//!
//! The scalar functions are public so that the core can call them without going through
//! the operation table. Out-of-range and NaN sources give the integer indefinite (the
//! most negative integer) and set IE, never DE.
//!
//! Source: Intel SDM volume 1, section 4.9 and volume 2 (`CVTxx2yy`).

use super::lanes::{dwords, from_dwords, from_qwords, qwords};
use super::scalar::{self, DAZ, Ieee, RC, host_suffices};
use super::soft::{PE, Rounding};

/// 2^52: adding and taking it away rounds a smaller double to an integer.
const TWO52: f64 = 4_503_599_627_370_496.0;

fn rounding(mxcsr: u32) -> Rounding {
    Rounding::from_bits(mxcsr >> 13)
}

/// Truncates a double to a 64-bit integer.
#[inline]
pub fn cvttsd2si64(a: u64, mxcsr: &mut u32) -> u64 {
    let f = f64::from_bits(a);
    if f.abs() < 9.2e18 && (*mxcsr & DAZ == 0 || f.abs() >= 1.0) {
        let i = f as i64;
        if i as f64 != f {
            *mxcsr |= PE;
        }
        return i as u64;
    }
    scalar::to_int(a, Rounding::Zero, 64, mxcsr) as u64
}

/// Truncates a double to a 32-bit integer, zero-extended.
#[inline]
pub fn cvttsd2si32(a: u64, mxcsr: &mut u32) -> u64 {
    let f = f64::from_bits(a);
    if f.abs() < 2_147_483_648.0 && (*mxcsr & DAZ == 0 || f.abs() >= 1.0) {
        let i = f as i32;
        if f64::from(i) != f {
            *mxcsr |= PE;
        }
        return u64::from(i as u32);
    }
    u64::from(scalar::to_int(a, Rounding::Zero, 32, mxcsr) as u32)
}

/// Rounds a double to a 64-bit integer.
#[inline]
pub fn cvtsd2si64(a: u64, mxcsr: &mut u32) -> u64 {
    let f = f64::from_bits(a);
    let size = f.abs();
    if *mxcsr & RC == 0 && (0.5..TWO52 - 1.0).contains(&size) {
        let i = ((size + TWO52) - TWO52) as i64;
        if i as f64 != size {
            *mxcsr |= PE;
        }
        return (if f < 0.0 { -i } else { i }) as u64;
    }
    scalar::to_int(a, rounding(*mxcsr), 64, mxcsr) as u64
}

/// Rounds a double to a 32-bit integer, zero-extended.
#[inline]
pub fn cvtsd2si32(a: u64, mxcsr: &mut u32) -> u64 {
    let size = f64::from_bits(a).abs();
    if *mxcsr & RC == 0 && (0.5..2_147_483_647.0).contains(&size) {
        return cvtsd2si64(a, mxcsr) & 0xFFFF_FFFF;
    }
    u64::from(scalar::to_int(a, rounding(*mxcsr), 32, mxcsr) as u32)
}

/// The double that equals a single, when no flag can arise; else its bits unchanged in
/// meaning for the slow path.
#[inline]
fn widen(a: u32) -> Option<u64> {
    a.is_plain().then(|| f64::from(f32::from_bits(a)).to_bits())
}

/// Truncates a single to a 64-bit integer.
#[inline]
pub fn cvttss2si64(a: u32, mxcsr: &mut u32) -> u64 {
    match widen(a) {
        Some(wide) => cvttsd2si64(wide, mxcsr),
        None => scalar::to_int(a, Rounding::Zero, 64, mxcsr) as u64,
    }
}

/// Truncates a single to a 32-bit integer, zero-extended.
#[inline]
pub fn cvttss2si32(a: u32, mxcsr: &mut u32) -> u64 {
    match widen(a) {
        Some(wide) => cvttsd2si32(wide, mxcsr),
        None => u64::from(scalar::to_int(a, Rounding::Zero, 32, mxcsr) as u32),
    }
}

/// Rounds a single to a 64-bit integer.
#[inline]
pub fn cvtss2si64(a: u32, mxcsr: &mut u32) -> u64 {
    match widen(a) {
        Some(wide) => cvtsd2si64(wide, mxcsr),
        None => scalar::to_int(a, rounding(*mxcsr), 64, mxcsr) as u64,
    }
}

/// Rounds a single to a 32-bit integer, zero-extended.
#[inline]
pub fn cvtss2si32(a: u32, mxcsr: &mut u32) -> u64 {
    match widen(a) {
        Some(wide) => cvtsd2si32(wide, mxcsr),
        None => u64::from(scalar::to_int(a, rounding(*mxcsr), 32, mxcsr) as u32),
    }
}

/// Converts a 32-bit integer (in the low bits) to a double, always exactly.
#[inline]
pub fn cvtsi2sd32(a: u64) -> u64 {
    f64::from(a as u32 as i32).to_bits()
}

/// Converts a 64-bit integer to a double.
#[inline]
pub fn cvtsi2sd64(a: u64, mxcsr: &mut u32) -> u64 {
    let i = a as i64;
    if host_suffices(*mxcsr) || i.unsigned_abs() < 1 << 53 {
        return (i as f64).to_bits();
    }
    scalar::from_int(i, mxcsr)
}

/// Converts a 32-bit integer (in the low bits) to a single.
#[inline]
pub fn cvtsi2ss32(a: u64, mxcsr: &mut u32) -> u32 {
    cvtsi2ss64(i64::from(a as u32 as i32) as u64, mxcsr)
}

/// Converts a 64-bit integer to a single.
#[inline]
pub fn cvtsi2ss64(a: u64, mxcsr: &mut u32) -> u32 {
    let i = a as i64;
    if host_suffices(*mxcsr) || i.unsigned_abs() < 1 << 24 {
        return (i as f32).to_bits();
    }
    scalar::from_int(i, mxcsr)
}

/// Widens a single to a double.
#[inline]
pub fn cvtss2sd(a: u32, mxcsr: &mut u32) -> u64 {
    match widen(a) {
        Some(wide) => wide,
        None => scalar::resize(a, mxcsr),
    }
}

/// Narrows a double to a single.
#[inline]
pub fn cvtsd2ss(a: u64, mxcsr: &mut u32) -> u32 {
    if a.is_zero() {
        return (a >> 32) as u32;
    }
    if host_suffices(*mxcsr) && a.is_plain() {
        let r = (f64::from_bits(a) as f32).to_bits();
        if r.is_above_tiny() {
            return r;
        }
    }
    scalar::resize(a, mxcsr)
}

pub(crate) fn cvtdq2ps(a: u128, mxcsr: &mut u32) -> u128 {
    from_dwords(dwords(a).map(|lane| cvtsi2ss32(u64::from(lane), mxcsr)))
}

pub(crate) fn cvtps2dq(a: u128, mxcsr: &mut u32) -> u128 {
    from_dwords(dwords(a).map(|lane| cvtss2si32(lane, mxcsr) as u32))
}

pub(crate) fn cvttps2dq(a: u128, mxcsr: &mut u32) -> u128 {
    from_dwords(dwords(a).map(|lane| cvttss2si32(lane, mxcsr) as u32))
}

pub(crate) fn cvtdq2pd(a: u64) -> u128 {
    from_qwords([cvtsi2sd32(a), cvtsi2sd32(a >> 32)])
}

pub(crate) fn cvtpd2dq(a: u128, mxcsr: &mut u32) -> u64 {
    let [low, high] = qwords(a).map(|lane| cvtsd2si32(lane, mxcsr));
    low | (high << 32)
}

pub(crate) fn cvttpd2dq(a: u128, mxcsr: &mut u32) -> u64 {
    let [low, high] = qwords(a).map(|lane| cvttsd2si32(lane, mxcsr));
    low | (high << 32)
}

pub(crate) fn cvtps2pd(a: u64, mxcsr: &mut u32) -> u128 {
    from_qwords([cvtss2sd(a as u32, mxcsr), cvtss2sd((a >> 32) as u32, mxcsr)])
}

pub(crate) fn cvtpd2ps(a: u128, mxcsr: &mut u32) -> u128 {
    let [low, high] = qwords(a).map(|lane| cvtsd2ss(lane, mxcsr));
    u128::from(low) | (u128::from(high) << 32)
}

/// The low two singles as 32-bit integers (MMX).
pub(crate) fn cvtps2pi(a: u64, mxcsr: &mut u32) -> u64 {
    cvtss2si32(a as u32, mxcsr) | (cvtss2si32((a >> 32) as u32, mxcsr) << 32)
}

/// The low two singles truncated to 32-bit integers (MMX).
pub(crate) fn cvttps2pi(a: u64, mxcsr: &mut u32) -> u64 {
    cvttss2si32(a as u32, mxcsr) | (cvttss2si32((a >> 32) as u32, mxcsr) << 32)
}

/// Two 32-bit integers (MMX) as singles.
pub(crate) fn cvtpi2ps(a: u64, mxcsr: &mut u32) -> u64 {
    let low = cvtsi2ss32(a & 0xFFFF_FFFF, mxcsr);
    let high = cvtsi2ss32(a >> 32, mxcsr);
    u64::from(low) | (u64::from(high) << 32)
}

#[cfg(test)]
mod tests {
    use super::super::soft::{DE, IE};
    use super::*;

    const DEFAULT: u32 = 0x1F80;

    fn with<R>(f: impl FnOnce(&mut u32) -> R) -> (R, u32) {
        let mut mxcsr = DEFAULT;
        let result = f(&mut mxcsr);
        (result, mxcsr & 0x3F)
    }

    #[test]
    fn truncation_and_rounding_at_the_limits() {
        let d = f64::to_bits;
        assert_eq!(with(|m| cvttsd2si32(d(-1.9), m)), (0xFFFF_FFFF, PE));
        assert_eq!(with(|m| cvttsd2si32(d(2147483647.9), m)), (0x7FFF_FFFF, PE));
        assert_eq!(with(|m| cvtsd2si32(d(2147483647.5), m)), (0x8000_0000, IE));
        assert_eq!(with(|m| cvttsd2si32(d(-2147483648.5), m)), (0x8000_0000, PE));
        assert_eq!(with(|m| cvttsd2si32(f64::NAN.to_bits(), m)), (0x8000_0000, IE));
        assert_eq!(with(|m| cvttsd2si64(d(9.3e18), m)), (1 << 63, IE));
        assert_eq!(with(|m| cvttsd2si64(d(-9223372036854775808.0), m)), (1 << 63, 0));
        assert_eq!(with(|m| cvtsd2si64(d(2.5), m)), (2, PE));
        assert_eq!(with(|m| cvtsd2si64(d(-3.5), m)), (-4i64 as u64, PE));
        assert_eq!(with(|m| cvtsd2si64(1, m)), (0, PE));
    }

    #[test]
    fn rounding_control_reaches_conversions() {
        let mut up = DEFAULT | 2 << 13;
        assert_eq!(cvtsd2si64(f64::to_bits(2.1), &mut up), 3);
        assert_eq!(cvtsi2ss64((1 << 24) + 1, &mut up), ((1 << 24) as f32).to_bits() + 1);
    }

    #[test]
    fn integers_become_floats_with_one_rounding() {
        let big = (1u64 << 53) + 1;
        assert_eq!(with(|m| cvtsi2sd64(big, m)), (((1u64 << 53) as f64).to_bits(), PE));
        assert_eq!(with(|m| cvtsi2sd64(u64::MAX, m)), ((-1.0f64).to_bits(), 0));
        assert_eq!(with(|m| cvtsi2ss32(0xFFFF_FFFE, m)), ((-2.0f32).to_bits(), 0));
    }

    #[test]
    fn widening_and_narrowing() {
        assert_eq!(with(|m| cvtss2sd(1, m)), (f64::from(f32::from_bits(1)).to_bits(), DE));
        assert_eq!(with(|m| cvtss2sd(0x7F80_0001, m)), (0x7FF8_0000_2000_0000, IE));
        assert_eq!(with(|m| cvtsd2ss(f64::to_bits(0.1), m)), (0.1f32.to_bits(), PE));
        assert_eq!(with(|m| cvtsd2ss(1 << 63, m)), (1 << 31, 0));
    }

    #[test]
    fn packed_conversions_place_their_lanes() {
        let ints = from_dwords([1, u32::MAX, 7, 0x8000_0000]);
        let (floats, _) = with(|m| cvtdq2ps(ints, m));
        let expected = [1.0f32, -1.0, 7.0, -2147483648.0].map(f32::to_bits);
        assert_eq!(floats, from_dwords(expected));
        assert_eq!(with(|m| cvtps2dq(floats, m)), (ints, 0));
        let doubles = cvtdq2pd(ints as u64);
        assert_eq!(doubles, from_qwords([1.0f64, -1.0].map(f64::to_bits)));
        assert_eq!(with(|m| cvtpd2dq(doubles, m)), (ints as u64, 0));
    }
}
