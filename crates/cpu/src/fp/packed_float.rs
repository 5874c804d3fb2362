//! Packed and scalar SSE floating-point operations on whole registers.
//!
//! Built from [`super::scalar`]: packed operations apply it to each lane and gather the
//! flags of all; scalar operations keep the destination's upper bits.
//!
//! Source: Intel SDM volume 2.

use super::lanes::{
    dwords, from_dwords, from_qwords, map_dwords, map_qwords, qwords, with_low32, with_low64,
};
use super::scalar::{self, Ieee, MASKS, checked};
use super::soft::{ALL, Class, PE};

/// Applies a scalar operation to the four singles.
#[inline]
pub(crate) fn ps(a: u128, b: u128, mxcsr: &mut u32, f: impl Fn(u32, u32, &mut u32) -> u32) -> u128 {
    map_dwords(a, b, |x, y| f(x, y, mxcsr))
}

/// Applies a scalar operation to the two doubles.
#[inline]
pub(crate) fn pd(a: u128, b: u128, mxcsr: &mut u32, f: impl Fn(u64, u64, &mut u32) -> u64) -> u128 {
    map_qwords(a, b, |x, y| f(x, y, mxcsr))
}

/// Applies a scalar operation to the low singles.
#[inline]
pub(crate) fn ss(a: u128, b: u128, mxcsr: &mut u32, f: impl Fn(u32, u32, &mut u32) -> u32) -> u128 {
    with_low32(a, f(a as u32, b as u32, mxcsr))
}

/// Applies a scalar operation to the low doubles.
#[inline]
pub(crate) fn sd(a: u128, b: u128, mxcsr: &mut u32, f: impl Fn(u64, u64, &mut u32) -> u64) -> u128 {
    with_low64(a, f(a as u64, b as u64, mxcsr))
}

/// All ones for true, in a lane of a compare.
#[inline]
pub(crate) fn mask32(condition: bool) -> u32 {
    u32::from(condition).wrapping_neg()
}

/// All ones for true, in a lane of a compare.
#[inline]
pub(crate) fn mask64(condition: bool) -> u64 {
    u64::from(condition).wrapping_neg()
}

/// `HADDPS`, `HSUBPS`: combines neighbours.
pub(crate) fn horizontal_ps(
    a: u128,
    b: u128,
    mxcsr: &mut u32,
    f: impl Fn(u32, u32, &mut u32) -> u32,
) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords([
        f(a[0], a[1], mxcsr),
        f(a[2], a[3], mxcsr),
        f(b[0], b[1], mxcsr),
        f(b[2], b[3], mxcsr),
    ])
}

/// `HADDPD`, `HSUBPD`: combines neighbours.
pub(crate) fn horizontal_pd(
    a: u128,
    b: u128,
    mxcsr: &mut u32,
    f: impl Fn(u64, u64, &mut u32) -> u64,
) -> u128 {
    let (a, b) = (qwords(a), qwords(b));
    from_qwords([f(a[0], a[1], mxcsr), f(b[0], b[1], mxcsr)])
}

/// `ADDSUBPS`: subtracts in even lanes, adds in odd ones.
pub(crate) fn addsubps(a: u128, b: u128, mxcsr: &mut u32) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords([
        scalar::sub(a[0], b[0], mxcsr),
        scalar::add(a[1], b[1], mxcsr),
        scalar::sub(a[2], b[2], mxcsr),
        scalar::add(a[3], b[3], mxcsr),
    ])
}

/// `ADDSUBPD`: subtracts in lane 0, adds in lane 1.
pub(crate) fn addsubpd(a: u128, b: u128, mxcsr: &mut u32) -> u128 {
    let (a, b) = (qwords(a), qwords(b));
    from_qwords([scalar::sub(a[0], b[0], mxcsr), scalar::add(a[1], b[1], mxcsr)])
}

/// One of the steps of a dot product: its flags, apart from the sticky ones, decide
/// whether the next step happens. An unmasked exception ends the instruction.
fn stage<R>(mxcsr: &mut u32, f: impl FnOnce(&mut u32) -> R) -> Option<R> {
    let mut local = *mxcsr & !ALL;
    // The precision flag stays, for it lets the lanes use the host's arithmetic.
    if *mxcsr & MASKS == MASKS {
        local |= *mxcsr & PE;
    }
    let result = checked(&mut local, f);
    *mxcsr |= local & ALL;
    result.ok()
}

/// `DPPS`: the dot product of the lanes chosen by the high nibble, to the lanes of the low.
pub(crate) fn dpps(a: u128, b: u128, imm: u8, mxcsr: &mut u32) -> u128 {
    let (x, y) = (dwords(a), dwords(b));
    let sum =
        stage(mxcsr, |m| -> [u32; 4] {
            std::array::from_fn(|i| {
                if imm >> (4 + i) & 1 != 0 { scalar::mul(x[i], y[i], m) } else { 0 }
            })
        })
        .and_then(|p| stage(mxcsr, |m| (scalar::add(p[0], p[1], m), scalar::add(p[2], p[3], m))))
        .and_then(|(low, high)| stage(mxcsr, |m| scalar::add(low, high, m)));
    let Some(sum) = sum else { return a };
    from_dwords(std::array::from_fn(|i| if imm >> i & 1 != 0 { sum } else { 0 }))
}

/// `DPPD`: the dot product of the lanes chosen by bits 4 and 5, to those of bits 0 and 1.
pub(crate) fn dppd(a: u128, b: u128, imm: u8, mxcsr: &mut u32) -> u128 {
    let (x, y) = (qwords(a), qwords(b));
    let sum =
        stage(mxcsr, |m| -> [u64; 2] {
            std::array::from_fn(|i| {
                if imm >> (4 + i) & 1 != 0 { scalar::mul(x[i], y[i], m) } else { 0 }
            })
        })
        .and_then(|p| stage(mxcsr, |m| scalar::add(p[0], p[1], m)));
    let Some(sum) = sum else { return a };
    from_qwords(std::array::from_fn(|i| if imm >> i & 1 != 0 { sum } else { 0 }))
}

/// Rounds a positive normal double to 12 significant bits and packs it as a single.
///
/// The tables behind `RCPPS` and `RSQRTPS` are not public and differ between makers;
/// the architecture promises only a relative error of at most 1.5 * 2^-12. The exact
/// value rounded to 12 bits keeps that promise on every host.
fn approximate(value: f64) -> u32 {
    let bits = value.to_bits();
    let dropped = 52 - 11;
    let rounded = (bits + (1 << (dropped - 1))) >> dropped << dropped;
    if value < f64::from(f32::MIN_POSITIVE) {
        0
    } else {
        (f64::from_bits(rounded) as f32).to_bits()
    }
}

/// `RCPSS`: about 1/x. Never raises an exception; denormals count as zeros.
pub(crate) fn rcp(a: u32) -> u32 {
    let x = a.unpack();
    let sign = a & 0x8000_0000;
    match x.class {
        Class::Zero | Class::Denormal => sign | 0x7F80_0000,
        Class::Infinity => sign,
        Class::Normal => sign | approximate(1.0 / f64::from(f32::from_bits(a & !0x8000_0000))),
        _ => a.with_quiet_bit(),
    }
}

/// `RSQRTSS`: about 1/sqrt(x). Never raises an exception; denormals count as zeros.
pub(crate) fn rsqrt(a: u32) -> u32 {
    let x = a.unpack();
    match x.class {
        Class::Zero | Class::Denormal => (a & 0x8000_0000) | 0x7F80_0000,
        Class::QuietNan | Class::SignalingNan => a.with_quiet_bit(),
        _ if x.negative => 0xFFC0_0000,
        Class::Infinity => 0,
        _ => approximate(1.0 / f64::from(f32::from_bits(a)).sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn singles(lanes: [f32; 4]) -> u128 {
        from_dwords(lanes.map(f32::to_bits))
    }

    #[test]
    fn scalar_forms_keep_the_upper_lanes() {
        let mut mxcsr = 0x1F80;
        let (a, b) = (singles([1.0, 2.0, 3.0, 4.0]), singles([8.0, 8.0, 8.0, 8.0]));
        assert_eq!(ss(a, b, &mut mxcsr, scalar::add), singles([9.0, 2.0, 3.0, 4.0]));
        assert_eq!(ps(a, b, &mut mxcsr, scalar::mul), singles([8.0, 16.0, 24.0, 32.0]));
        assert_eq!(mxcsr, 0x1F80);
    }

    #[test]
    fn horizontal_and_alternating() {
        let mut mxcsr = 0x1F80;
        let (a, b) = (singles([1.0, 2.0, 3.0, 4.0]), singles([5.0, 7.0, 8.0, 10.0]));
        let sums = horizontal_ps(a, b, &mut mxcsr, scalar::add);
        assert_eq!(sums, singles([3.0, 7.0, 12.0, 18.0]));
        assert_eq!(addsubps(a, b, &mut mxcsr), singles([-4.0, 9.0, -5.0, 14.0]));
    }

    #[test]
    fn dot_products_choose_lanes_by_the_immediate() {
        let mut mxcsr = 0x1F80;
        let (a, b) = (singles([1.0, 2.0, 3.0, 4.0]), singles([5.0, 6.0, 7.0, 8.0]));
        assert_eq!(dpps(a, b, 0xF1, &mut mxcsr), singles([70.0, 0.0, 0.0, 0.0]));
        assert_eq!(dpps(a, b, 0x9C, &mut mxcsr), singles([0.0, 0.0, 37.0, 37.0]));
    }

    #[test]
    fn a_dot_product_ends_at_an_unmasked_exception() {
        // The products overflow; the sum of two infinities of unlike signs is not tried.
        let a = singles([f32::MAX, f32::MAX, 0.0, 0.0]);
        let b = singles([2.0, -2.0, 0.0, 0.0]);
        let mut mxcsr = 0x1F80 & !0x400;
        assert_eq!(checked(&mut mxcsr, |m| dpps(a, b, 0x31, m)), Err(0x08));
    }

    #[test]
    fn approximations_keep_the_promised_error() {
        for x in [1.0f32, 1.5, 3.0, 0.1, 7.7e20, 1.2e-30] {
            let r = f64::from(f32::from_bits(rcp(x.to_bits()))) * f64::from(x);
            assert!((r - 1.0).abs() <= 1.5 / 4096.0, "{x}");
            let r = f64::from(f32::from_bits(rsqrt(x.to_bits()))) * f64::from(x).sqrt();
            assert!((r - 1.0).abs() <= 1.5 / 4096.0, "{x}");
        }
        assert_eq!(rcp(0x8000_0001), 0xFF80_0000);
        assert_eq!(rsqrt(0xBF80_0000), 0xFFC0_0000);
        assert_eq!(rcp(0x7F80_0001), 0x7FC0_0001);
    }
}
