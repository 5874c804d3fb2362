//! Packed integer arithmetic, compares and shifts of MMX and SSE.
//!
//! Functions on `u128` whose lanes do not mix serve MMX too, with the upper half unused;
//! those whose shape depends on the register's width take a const lane count or live in
//! [`super::shuffle`].
//!
//! Source: Intel SDM volume 2.

use super::lanes::{
    bytes, dwords, from_dwords, from_qwords, from_words, map_bytes, map_dwords, map_qwords,
    map_words, qwords, words,
};

/// All ones for true.
macro_rules! mask {
    ($t:ty, $condition:expr) => {
        <$t>::from($condition).wrapping_neg()
    };
}

/// The first lane with the sign rule of `PSIGNx` applied.
macro_rules! sign {
    ($t:ty, $a:expr, $b:expr) => {
        match ($b as $t).signum() {
            1 => $a as $t,
            0 => 0,
            _ => ($a as $t).wrapping_neg(),
        }
    };
}

/// A per-lane function of bytes, words, doublewords or quadwords as a register function.
macro_rules! lanewise {
    ($($name:ident, $map:ident, $doc:literal, |$a:ident, $b:ident| $body:expr;)*) => {
        $(
            #[doc = $doc]
            #[inline]
            pub(crate) fn $name(a: u128, b: u128) -> u128 {
                $map(a, b, |$a, $b| $body)
            }
        )*
    };
}

lanewise! {
    paddw, map_words, "Adds words.", |a, b| a.wrapping_add(b);
    paddd, map_dwords, "Adds doublewords.", |a, b| a.wrapping_add(b);
    paddq, map_qwords, "Adds quadwords.", |a, b| a.wrapping_add(b);
    psubw, map_words, "Subtracts words.", |a, b| a.wrapping_sub(b);
    psubd, map_dwords, "Subtracts doublewords.", |a, b| a.wrapping_sub(b);
    psubq, map_qwords, "Subtracts quadwords.", |a, b| a.wrapping_sub(b);
    paddusw, map_words, "Adds unsigned words, saturating.", |a, b| a.saturating_add(b);
    psubusw, map_words, "Subtracts unsigned words, saturating.", |a, b| a.saturating_sub(b);
    paddsb, map_bytes, "Adds signed bytes, saturating.",
        |a, b| (a as i8).saturating_add(b as i8) as u8;
    paddsw, map_words, "Adds signed words, saturating.",
        |a, b| (a as i16).saturating_add(b as i16) as u16;
    psubsb, map_bytes, "Subtracts signed bytes, saturating.",
        |a, b| (a as i8).saturating_sub(b as i8) as u8;
    psubsw, map_words, "Subtracts signed words, saturating.",
        |a, b| (a as i16).saturating_sub(b as i16) as u16;
    pminuw, map_words, "The lesser unsigned words.", |a, b| a.min(b);
    pmaxuw, map_words, "The greater unsigned words.", |a, b| a.max(b);
    pminsw, map_words, "The lesser signed words.", |a, b| (a as i16).min(b as i16) as u16;
    pmaxsw, map_words, "The greater signed words.", |a, b| (a as i16).max(b as i16) as u16;
    pminud, map_dwords, "The lesser unsigned doublewords.", |a, b| a.min(b);
    pmaxud, map_dwords, "The greater unsigned doublewords.", |a, b| a.max(b);
    pminsd, map_dwords, "The lesser signed doublewords.", |a, b| (a as i32).min(b as i32) as u32;
    pmaxsd, map_dwords, "The greater signed doublewords.",
        |a, b| (a as i32).max(b as i32) as u32;
    pcmpeqw, map_words, "All ones where words are equal.", |a, b| mask!(u16, a == b);
    pcmpeqd, map_dwords, "All ones where doublewords are equal.", |a, b| mask!(u32, a == b);
    pcmpeqq, map_qwords, "All ones where quadwords are equal.", |a, b| mask!(u64, a == b);
    pcmpgtw, map_words, "All ones where signed words are greater.",
        |a, b| mask!(u16, a as i16 > b as i16);
    pcmpgtd, map_dwords, "All ones where signed doublewords are greater.",
        |a, b| mask!(u32, a as i32 > b as i32);
    pcmpgtq, map_qwords, "All ones where signed quadwords are greater.",
        |a, b| mask!(u64, a as i64 > b as i64);
    pavgb, map_bytes, "Averages unsigned bytes, rounding up.",
        |a, b| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8;
    pavgw, map_words, "Averages unsigned words, rounding up.",
        |a, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16;
    pmullw, map_words, "Low halves of the products of words.", |a, b| a.wrapping_mul(b);
    pmulhw, map_words, "High halves of the products of signed words.",
        |a, b| ((i32::from(a as i16) * i32::from(b as i16)) >> 16) as u16;
    pmulhuw, map_words, "High halves of the products of unsigned words.",
        |a, b| ((u32::from(a) * u32::from(b)) >> 16) as u16;
    pmulhrsw, map_words, "Rounded high parts of the products of signed fractions.",
        |a, b| ((((i32::from(a as i16) * i32::from(b as i16)) >> 14) + 1) >> 1) as u16;
    pmulld, map_dwords, "Low halves of the products of doublewords.", |a, b| a.wrapping_mul(b);
    pmuludq, map_qwords, "Products of the even unsigned doublewords.",
        |a, b| (a & 0xFFFF_FFFF) * (b & 0xFFFF_FFFF);
    pmuldq, map_qwords, "Products of the even signed doublewords.",
        |a, b| (i64::from(a as i32).wrapping_mul(i64::from(b as i32))) as u64;
    psignb, map_bytes, "Negates, clears or keeps bytes by the sign of others.",
        |a, b| sign!(i8, a, b) as u8;
    psignw, map_words, "Negates, clears or keeps words by the sign of others.",
        |a, b| sign!(i16, a, b) as u16;
    psignd, map_dwords, "Negates, clears or keeps doublewords by the sign of others.",
        |a, b| sign!(i32, a, b) as u32;
    pabsb, map_bytes, "Absolute values of bytes.", |_a, b| (b as i8).unsigned_abs();
    pabsw, map_words, "Absolute values of words.", |_a, b| (b as i16).unsigned_abs();
    pabsd, map_dwords, "Absolute values of doublewords.", |_a, b| (b as i32).unsigned_abs();
}

/// The top bit of every byte.
const TOPS: u128 = u128::from_le_bytes([0x80; 16]);

/// Spreads bits that are top bits of bytes over those bytes.
#[inline]
fn spread(tops: u128) -> u128 {
    (tops << 1).wrapping_sub(tops >> 7)
}

/// All ones where unsigned bytes of `a` are at least those of `b`.
///
/// The byte operations are the most frequent of all (string functions), and compilers do
/// not see vectors in them; so they work on all sixteen bytes in one integer, with the top
/// bits kept out of the carries.
#[inline]
fn at_least(a: u128, b: u128) -> u128 {
    let low = (a | TOPS) - (b & !TOPS);
    spread(((a & !b) | (!(a ^ b) & low)) & TOPS)
}

/// Adds bytes.
#[inline]
pub(crate) fn paddb(a: u128, b: u128) -> u128 {
    ((a & !TOPS) + (b & !TOPS)) ^ ((a ^ b) & TOPS)
}

/// Subtracts bytes.
#[inline]
pub(crate) fn psubb(a: u128, b: u128) -> u128 {
    ((a | TOPS) - (b & !TOPS)) ^ ((a ^ !b) & TOPS)
}

/// Subtracts unsigned bytes, saturating.
#[inline]
pub(crate) fn psubusb(a: u128, b: u128) -> u128 {
    psubb(pmaxub(a, b), b)
}

/// Adds unsigned bytes, saturating.
#[inline]
pub(crate) fn paddusb(a: u128, b: u128) -> u128 {
    !psubusb(!a, b)
}

/// The lesser unsigned bytes.
#[inline]
pub(crate) fn pminub(a: u128, b: u128) -> u128 {
    let keep = at_least(a, b);
    (b & keep) | (a & !keep)
}

/// The greater unsigned bytes.
#[inline]
pub(crate) fn pmaxub(a: u128, b: u128) -> u128 {
    let keep = at_least(a, b);
    (a & keep) | (b & !keep)
}

/// The lesser signed bytes.
#[inline]
pub(crate) fn pminsb(a: u128, b: u128) -> u128 {
    pminub(a ^ TOPS, b ^ TOPS) ^ TOPS
}

/// The greater signed bytes.
#[inline]
pub(crate) fn pmaxsb(a: u128, b: u128) -> u128 {
    pmaxub(a ^ TOPS, b ^ TOPS) ^ TOPS
}

/// All ones where bytes are equal.
#[inline]
pub(crate) fn pcmpeqb(a: u128, b: u128) -> u128 {
    let x = a ^ b;
    spread(!(((x & !TOPS) + !TOPS) | x) & TOPS)
}

/// All ones where signed bytes are greater.
#[inline]
pub(crate) fn pcmpgtb(a: u128, b: u128) -> u128 {
    !at_least(b ^ TOPS, a ^ TOPS)
}

/// `PMADDWD`: sums of the products of neighbouring signed words.
#[inline]
pub(crate) fn pmaddwd(a: u128, b: u128) -> u128 {
    let (a, b) = (words(a), words(b));
    let product = |i: usize| i32::from(a[i] as i16) * i32::from(b[i] as i16);
    from_dwords(std::array::from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1)) as u32))
}

/// `PMADDUBSW`: saturated sums of the products of unsigned by signed bytes.
pub(crate) fn pmaddubsw(a: u128, b: u128) -> u128 {
    let (a, b) = (bytes(a), bytes(b));
    let product = |i: usize| i32::from(a[i]) * i32::from(b[i] as i8);
    from_words(std::array::from_fn(|i| {
        (product(2 * i) + product(2 * i + 1)).clamp(-0x8000, 0x7FFF) as u16
    }))
}

/// `PSADBW`: sums of absolute differences, one per eight bytes.
#[inline]
pub(crate) fn psadbw(a: u128, b: u128) -> u128 {
    let (a, b) = (bytes(a), bytes(b));
    let sum =
        |from: usize| -> u64 { (from..from + 8).map(|i| u64::from(a[i].abs_diff(b[i]))).sum() };
    from_qwords([sum(0), sum(8)])
}

/// `MPSADBW`: eight sums of absolute differences of sliding groups of four bytes.
pub(crate) fn mpsadbw(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (bytes(a), bytes(b));
    let from_a = usize::from(imm >> 2 & 1) * 4;
    let from_b = usize::from(imm & 3) * 4;
    from_words(std::array::from_fn(|i| {
        (0..4).map(|j| u16::from(a[from_a + i + j].abs_diff(b[from_b + j]))).sum()
    }))
}

/// `PHMINPOSUW`: the least unsigned word and its index.
pub(crate) fn phminposuw(a: u128) -> u128 {
    let least = words(a).into_iter().zip(0u128..).min().unwrap_or((0, 0));
    u128::from(least.0) | (least.1 << 16)
}

/// A word shifted left; counts over 15 give zero.
#[inline]
pub(crate) fn psllw(a: u128, count: u64) -> u128 {
    if count > 15 { 0 } else { map_words(a, 0, |x, _| x << count) }
}

/// Doublewords shifted left; counts over 31 give zero.
#[inline]
pub(crate) fn pslld(a: u128, count: u64) -> u128 {
    if count > 31 { 0 } else { map_dwords(a, 0, |x, _| x << count) }
}

/// Quadwords shifted left; counts over 63 give zero.
#[inline]
pub(crate) fn psllq(a: u128, count: u64) -> u128 {
    if count > 63 { 0 } else { map_qwords(a, 0, |x, _| x << count) }
}

/// Words shifted right; counts over 15 give zero.
#[inline]
pub(crate) fn psrlw(a: u128, count: u64) -> u128 {
    if count > 15 { 0 } else { map_words(a, 0, |x, _| x >> count) }
}

/// Doublewords shifted right; counts over 31 give zero.
#[inline]
pub(crate) fn psrld(a: u128, count: u64) -> u128 {
    if count > 31 { 0 } else { map_dwords(a, 0, |x, _| x >> count) }
}

/// Quadwords shifted right; counts over 63 give zero.
#[inline]
pub(crate) fn psrlq(a: u128, count: u64) -> u128 {
    if count > 63 { 0 } else { map_qwords(a, 0, |x, _| x >> count) }
}

/// Words shifted right with their sign.
#[inline]
pub(crate) fn psraw(a: u128, count: u64) -> u128 {
    let count = count.min(15);
    map_words(a, 0, |x, _| (x as i16 >> count) as u16)
}

/// Doublewords shifted right with their sign.
#[inline]
pub(crate) fn psrad(a: u128, count: u64) -> u128 {
    let count = count.min(31);
    map_dwords(a, 0, |x, _| (x as i32 >> count) as u32)
}

/// `PSLLDQ`: the register shifted left by bytes.
#[inline]
pub(crate) fn pslldq(a: u128, count: u8) -> u128 {
    if count > 15 { 0 } else { a << (8 * count) }
}

/// `PSRLDQ`: the register shifted right by bytes.
#[inline]
pub(crate) fn psrldq(a: u128, count: u8) -> u128 {
    if count > 15 { 0 } else { a >> (8 * count) }
}

/// A saturating signed-word sum or difference, for the horizontal operations.
fn saturate(x: i32) -> u16 {
    x.clamp(-0x8000, 0x7FFF) as u16
}

/// The horizontal operations on words: neighbours of `a`, then of `b`, over `N` words.
fn horizontal_words<const N: usize>(
    a: [u16; N],
    b: [u16; N],
    f: impl Fn(u16, u16) -> u16,
) -> [u16; N] {
    std::array::from_fn(|i| {
        let (source, at) = if i < N / 2 { (&a, 2 * i) } else { (&b, 2 * i - N) };
        f(source[at], source[at + 1])
    })
}

fn word_function(kind: Horizontal) -> fn(u16, u16) -> u16 {
    match kind {
        Horizontal::Add => u16::wrapping_add,
        Horizontal::Sub => u16::wrapping_sub,
        Horizontal::AddSaturated => |x, y| saturate(i32::from(x as i16) + i32::from(y as i16)),
        Horizontal::SubSaturated => |x, y| saturate(i32::from(x as i16) - i32::from(y as i16)),
    }
}

/// What `PHADDx` and `PHSUBx` do with neighbours.
#[derive(Clone, Copy)]
pub(crate) enum Horizontal {
    Add,
    Sub,
    AddSaturated,
    SubSaturated,
}

/// `PHADDW`, `PHADDSW`, `PHSUBW`, `PHSUBSW` on XMM registers.
pub(crate) fn phw(a: u128, b: u128, kind: Horizontal) -> u128 {
    from_words(horizontal_words(words(a), words(b), word_function(kind)))
}

/// The same on MMX registers.
pub(crate) fn phw_mm(a: u64, b: u64, kind: Horizontal) -> u64 {
    let split = |x: u64| -> [u16; 4] { std::array::from_fn(|i| (x >> (16 * i)) as u16) };
    let lanes = horizontal_words(split(a), split(b), word_function(kind));
    lanes.iter().rev().fold(0, |acc, &lane| (acc << 16) | u64::from(lane))
}

/// `PHADDD` on XMM registers.
pub(crate) fn phaddd(a: u128, b: u128) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    let sum = |x: &[u32; 4], i: usize| x[i].wrapping_add(x[i + 1]);
    from_dwords([sum(&a, 0), sum(&a, 2), sum(&b, 0), sum(&b, 2)])
}

/// `PHSUBD` on XMM registers.
pub(crate) fn phsubd(a: u128, b: u128) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    let difference = |x: &[u32; 4], i: usize| x[i].wrapping_sub(x[i + 1]);
    from_dwords([difference(&a, 0), difference(&a, 2), difference(&b, 0), difference(&b, 2)])
}

/// `PHADDD` on MMX registers.
pub(crate) fn phaddd_mm(a: u64, b: u64) -> u64 {
    let sum = |x: u64| (x as u32).wrapping_add((x >> 32) as u32);
    u64::from(sum(a)) | (u64::from(sum(b)) << 32)
}

/// `PHSUBD` on MMX registers.
pub(crate) fn phsubd_mm(a: u64, b: u64) -> u64 {
    let difference = |x: u64| (x as u32).wrapping_sub((x >> 32) as u32);
    u64::from(difference(a)) | (u64::from(difference(b)) << 32)
}

/// `PTEST`'s RFLAGS: ZF when `a & b` is zero, CF when `!a & b` is.
pub(crate) fn ptest(a: u128, b: u128) -> u64 {
    u64::from(a & b == 0) << 6 | u64::from(!a & b == 0)
}

/// `PMOVMSKB`: the top bits of the bytes.
#[inline]
pub(crate) fn pmovmskb(a: u128) -> u64 {
    bytes(a).iter().rev().fold(0, |acc, &b| (acc << 1) | u64::from(b >> 7))
}

/// `MOVMSKPS`: the signs of the singles.
#[inline]
pub(crate) fn movmskps(a: u128) -> u64 {
    dwords(a).iter().rev().fold(0, |acc, &lane| (acc << 1) | u64::from(lane >> 31))
}

/// `MOVMSKPD`: the signs of the doubles.
#[inline]
pub(crate) fn movmskpd(a: u128) -> u64 {
    qwords(a).iter().rev().fold(0, |acc, &lane| (acc << 1) | (lane >> 63))
}

#[cfg(test)]
mod tests {
    use super::super::lanes::from_bytes;
    use super::*;

    /// Registers with many edge values next to each other.
    fn samples() -> Vec<u128> {
        let edges = [0x00, 0x01, 0x7F, 0x80, 0x81, 0xFF, 0x40, 0xC3];
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        (0..64)
            .map(|_| {
                from_bytes(std::array::from_fn(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    edges[(state >> 61) as usize]
                }))
            })
            .collect()
    }

    #[test]
    fn byte_operations_match_their_definitions() {
        let cases: [(fn(u128, u128) -> u128, fn(u8, u8) -> u8); 10] = [
            (paddb, u8::wrapping_add),
            (psubb, u8::wrapping_sub),
            (paddusb, u8::saturating_add),
            (psubusb, u8::saturating_sub),
            (pminub, u8::min),
            (pmaxub, u8::max),
            (pminsb, |a, b| (a as i8).min(b as i8) as u8),
            (pmaxsb, |a, b| (a as i8).max(b as i8) as u8),
            (pcmpeqb, |a, b| if a == b { 0xFF } else { 0 }),
            (pcmpgtb, |a, b| if a as i8 > b as i8 { 0xFF } else { 0 }),
        ];
        for a in samples() {
            for b in samples() {
                for (i, (whole, lane)) in cases.iter().enumerate() {
                    assert_eq!(whole(a, b), map_bytes(a, b, lane), "case {i}: {a:x} {b:x}");
                }
            }
        }
    }

    #[test]
    fn products() {
        let a = from_words([0x8000, 0x8000, 2, 3, 0xFFFF, 1, 0, 0x7FFF]);
        let b = from_words([0x8000, 0x8000, 5, 7, 0xFFFF, 9, 1, 0x7FFF]);
        assert_eq!(dwords(pmaddwd(a, b)), [0x8000_0000, 31, 10, 0x3FFF_0001]);
        assert_eq!(words(pmulhrsw(a, b))[0], 0x8000);
        assert_eq!(words(pmulhuw(a, b))[4], 0xFFFE);
        assert_eq!(words(pmulhw(a, b))[4], 0);
        let saturated = pmaddubsw(from_bytes([0xFF; 16]), from_bytes([0x7F; 16]));
        assert_eq!(words(saturated), [0x7FFF; 8]);
    }

    #[test]
    fn shifts_beyond_the_lane() {
        let a = from_words([0x8001; 8]);
        assert_eq!(psllw(a, 16), 0);
        assert_eq!(psraw(a, u64::MAX), u128::MAX);
        assert_eq!(psrlw(a, 15), from_words([1; 8]));
        assert_eq!(pslldq(1, 15), 1 << 120);
        assert_eq!(psrldq(u128::MAX, 16), 0);
    }

    #[test]
    fn sums_of_differences_and_the_least_word() {
        let a = from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(psadbw(a, 0), from_qwords([28, 92]));
        assert_eq!(words(mpsadbw(a, 0, 0))[..3], [6, 10, 14]);
        assert_eq!(phminposuw(from_words([9, 4, 8, 3, 3, 7, 5, 6])), 3 | 3 << 16);
    }

    #[test]
    fn horizontal_sums_take_the_first_operand_low() {
        let a = from_words([1, 2, 3, 4, 5, 6, 7, 8]);
        let b = from_words([0x7FFF, 1, 0, 0, 0, 0, 0, 9]);
        assert_eq!(words(phw(a, b, Horizontal::Add)), [3, 7, 11, 15, 0x8000, 0, 0, 9]);
        assert_eq!(words(phw(a, b, Horizontal::AddSaturated))[4], 0x7FFF);
        assert_eq!(phaddd_mm(0x5_0000_0003, 0x1_0000_0001), 0x2_0000_0008);
    }

    #[test]
    fn masks_and_tests() {
        assert_eq!(pmovmskb(0x80 << 120 | 0x80), 0x8001);
        assert_eq!(movmskps(1 << 127 | 1 << 31), 9);
        assert_eq!(movmskpd(1 << 127), 2);
        assert_eq!(ptest(0b0110, 0b1001), 0x40);
        assert_eq!(ptest(0b0111, 0b0011), 1);
    }
}
