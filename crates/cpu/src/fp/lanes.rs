//! Views of SIMD registers as lanes, for the integer and floating-point operations.
//!
//! Registers are plain integers (`u128`, `u64`), lane 0 in the low bits. The helpers are
//! written so that the compiler turns them into the host's vector instructions.

/// Splits into sixteen bytes.
#[inline]
pub(crate) fn bytes(x: u128) -> [u8; 16] {
    x.to_le_bytes()
}

/// Splits into eight words.
#[inline]
pub(crate) fn words(x: u128) -> [u16; 8] {
    std::array::from_fn(|i| (x >> (16 * i)) as u16)
}

/// Splits into four doublewords.
#[inline]
pub(crate) fn dwords(x: u128) -> [u32; 4] {
    std::array::from_fn(|i| (x >> (32 * i)) as u32)
}

/// Splits into two quadwords.
#[inline]
pub(crate) fn qwords(x: u128) -> [u64; 2] {
    [x as u64, (x >> 64) as u64]
}

/// Joins bytes.
#[inline]
pub(crate) fn from_bytes(lanes: [u8; 16]) -> u128 {
    u128::from_le_bytes(lanes)
}

/// Joins words.
#[inline]
pub(crate) fn from_words(lanes: [u16; 8]) -> u128 {
    lanes.iter().rev().fold(0, |acc, &lane| (acc << 16) | u128::from(lane))
}

/// Joins doublewords.
#[inline]
pub(crate) fn from_dwords(lanes: [u32; 4]) -> u128 {
    lanes.iter().rev().fold(0, |acc, &lane| (acc << 32) | u128::from(lane))
}

/// Joins quadwords.
#[inline]
pub(crate) fn from_qwords([low, high]: [u64; 2]) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}

/// Applies `f` to each pair of bytes.
#[inline]
pub(crate) fn map_bytes(a: u128, b: u128, f: impl Fn(u8, u8) -> u8) -> u128 {
    let split = |x: u128| -> [u8; 16] { std::array::from_fn(|i| (x >> (8 * i)) as u8) };
    let (a, b) = (split(a), split(b));
    let r: [u8; 16] = std::array::from_fn(|i| f(a[i], b[i]));
    r.iter().rev().fold(0, |acc, &lane| (acc << 8) | u128::from(lane))
}

/// Applies `f` to each pair of words.
#[inline]
pub(crate) fn map_words(a: u128, b: u128, f: impl Fn(u16, u16) -> u16) -> u128 {
    let (a, b) = (words(a), words(b));
    from_words(std::array::from_fn(|i| f(a[i], b[i])))
}

/// Applies `f` to each pair of doublewords, lowest first.
#[inline]
pub(crate) fn map_dwords(a: u128, b: u128, mut f: impl FnMut(u32, u32) -> u32) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords(std::array::from_fn(|i| f(a[i], b[i])))
}

/// Applies `f` to each pair of quadwords, lowest first.
#[inline]
pub(crate) fn map_qwords(a: u128, b: u128, mut f: impl FnMut(u64, u64) -> u64) -> u128 {
    let (a, b) = (qwords(a), qwords(b));
    from_qwords([f(a[0], b[0]), f(a[1], b[1])])
}

/// Replaces the low doubleword.
#[inline]
pub(crate) fn with_low32(x: u128, low: u32) -> u128 {
    (x & !0xFFFF_FFFF) | u128::from(low)
}

/// Replaces the low quadword.
#[inline]
pub(crate) fn with_low64(x: u128, low: u64) -> u128 {
    (x & !u128::from(u64::MAX)) | u128::from(low)
}
