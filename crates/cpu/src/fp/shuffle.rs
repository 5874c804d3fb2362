//! Shuffles, unpacks, packs, blends, extensions and lane moves of MMX and SSE.
//!
//! MMX variants end in `_mm`. Where an MMX operation is the XMM one seen through its low
//! half, the table in [`super::lookup`] uses the XMM function.
//!
//! Source: Intel SDM volume 2.

use super::lanes::{
    bytes, dwords, from_bytes, from_dwords, from_qwords, from_words, map_bytes, map_dwords,
    map_qwords, qwords, words,
};

/// `PUNPCKLBW`: interleaves the low bytes. Its low half is the MMX operation.
#[inline]
pub(crate) fn punpcklbw(a: u128, b: u128) -> u128 {
    let (a, b) = (bytes(a), bytes(b));
    from_bytes(std::array::from_fn(|i| if i % 2 == 0 { a[i / 2] } else { b[i / 2] }))
}

/// `PUNPCKLWD`: interleaves the low words. Its low half is the MMX operation.
#[inline]
pub(crate) fn punpcklwd(a: u128, b: u128) -> u128 {
    let (a, b) = (words(a), words(b));
    from_words(std::array::from_fn(|i| if i % 2 == 0 { a[i / 2] } else { b[i / 2] }))
}

/// `PUNPCKLDQ`, `UNPCKLPS`: interleaves the low doublewords.
#[inline]
pub(crate) fn punpckldq(a: u128, b: u128) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords([a[0], b[0], a[1], b[1]])
}

/// `PUNPCKLQDQ`, `UNPCKLPD`, `MOVLHPS`: joins the low quadwords.
#[inline]
pub(crate) fn punpcklqdq(a: u128, b: u128) -> u128 {
    from_qwords([a as u64, b as u64])
}

/// `PUNPCKHQDQ`, `UNPCKHPD`: joins the high quadwords.
#[inline]
pub(crate) fn punpckhqdq(a: u128, b: u128) -> u128 {
    from_qwords([(a >> 64) as u64, (b >> 64) as u64])
}

/// `PUNPCKHBW`: interleaves the high bytes.
#[inline]
pub(crate) fn punpckhbw(a: u128, b: u128) -> u128 {
    punpcklbw(a >> 64, b >> 64)
}

/// `PUNPCKHWD`: interleaves the high words.
#[inline]
pub(crate) fn punpckhwd(a: u128, b: u128) -> u128 {
    punpcklwd(a >> 64, b >> 64)
}

/// `PUNPCKHDQ`, `UNPCKHPS`: interleaves the high doublewords.
#[inline]
pub(crate) fn punpckhdq(a: u128, b: u128) -> u128 {
    punpckldq(a >> 64, b >> 64)
}

fn to_i8(x: u16) -> u8 {
    (x as i16).clamp(-0x80, 0x7F) as u8
}

fn to_u8(x: u16) -> u8 {
    (x as i16).clamp(0, 0xFF) as u8
}

fn to_i16(x: u32) -> u16 {
    (x as i32).clamp(-0x8000, 0x7FFF) as u16
}

fn to_u16(x: u32) -> u16 {
    (x as i32).clamp(0, 0xFFFF) as u16
}

fn pack_words(a: u128, b: u128, f: impl Fn(u16) -> u8) -> u128 {
    let (a, b) = (words(a), words(b));
    from_bytes(std::array::from_fn(|i| f(if i < 8 { a[i] } else { b[i - 8] })))
}

fn pack_dwords(a: u128, b: u128, f: impl Fn(u32) -> u16) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_words(std::array::from_fn(|i| f(if i < 4 { a[i] } else { b[i - 4] })))
}

/// `PACKSSWB`: words to signed bytes, saturating.
#[inline]
pub(crate) fn packsswb(a: u128, b: u128) -> u128 {
    pack_words(a, b, to_i8)
}

/// `PACKUSWB`: words to unsigned bytes, saturating.
#[inline]
pub(crate) fn packuswb(a: u128, b: u128) -> u128 {
    pack_words(a, b, to_u8)
}

/// `PACKSSDW`: doublewords to signed words, saturating.
#[inline]
pub(crate) fn packssdw(a: u128, b: u128) -> u128 {
    pack_dwords(a, b, to_i16)
}

/// `PACKUSDW`: doublewords to unsigned words, saturating.
#[inline]
pub(crate) fn packusdw(a: u128, b: u128) -> u128 {
    pack_dwords(a, b, to_u16)
}

/// A two-operand MMX pack from the XMM one: both sources side by side in one register.
#[inline]
pub(crate) fn pack_mm(f: fn(u128, u128) -> u128, a: u64, b: u64) -> u64 {
    f(from_qwords([a, b]), 0) as u64
}

/// `PSHUFD`: chooses doublewords.
#[inline]
pub(crate) fn pshufd(a: u128, imm: u8) -> u128 {
    let a = dwords(a);
    from_dwords(std::array::from_fn(|i| a[usize::from(imm >> (2 * i) & 3)]))
}

/// `PSHUFLW`, `PSHUFW`: chooses among the low four words.
#[inline]
pub(crate) fn pshuflw(a: u128, imm: u8) -> u128 {
    let mut lanes = words(a);
    let low = [lanes[0], lanes[1], lanes[2], lanes[3]];
    for (i, lane) in lanes.iter_mut().take(4).enumerate() {
        *lane = low[usize::from(imm >> (2 * i) & 3)];
    }
    from_words(lanes)
}

/// `PSHUFHW`: chooses among the high four words.
#[inline]
pub(crate) fn pshufhw(a: u128, imm: u8) -> u128 {
    let high = pshuflw(a >> 64, imm) as u64;
    from_qwords([a as u64, high])
}

/// `SHUFPS`: two singles chosen from each operand.
#[inline]
pub(crate) fn shufps(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    let pick = |i: u8| usize::from(imm >> (2 * i) & 3);
    from_dwords([a[pick(0)], a[pick(1)], b[pick(2)], b[pick(3)]])
}

/// `SHUFPD`: one double chosen from each operand.
#[inline]
pub(crate) fn shufpd(a: u128, b: u128, imm: u8) -> u128 {
    from_qwords([qwords(a)[usize::from(imm & 1)], qwords(b)[usize::from(imm >> 1 & 1)]])
}

/// `PSHUFB`: chooses bytes by index; a negative index gives zero.
#[inline]
pub(crate) fn pshufb(a: u128, b: u128) -> u128 {
    let a = bytes(a);
    from_bytes(bytes(b).map(|i| if i & 0x80 != 0 { 0 } else { a[usize::from(i & 15)] }))
}

/// `PSHUFB` on MMX registers.
pub(crate) fn pshufb_mm(a: u64, b: u64) -> u64 {
    pshufb(u128::from(a), u128::from(b & 0x8787_8787_8787_8787)) as u64
}

/// `PALIGNR`: bytes from the middle of `a:b`.
#[inline]
pub(crate) fn palignr(a: u128, b: u128, imm: u8) -> u128 {
    match imm {
        0 => b,
        1..=15 => (b >> (8 * imm)) | (a << (128 - 8 * u32::from(imm))),
        16..=31 => a >> (8 * (imm - 16)),
        _ => 0,
    }
}

/// `PALIGNR` on MMX registers.
pub(crate) fn palignr_mm(a: u64, b: u64, imm: u8) -> u64 {
    if imm > 15 { 0 } else { (from_qwords([b, a]) >> (8 * imm)) as u64 }
}

/// `BLENDPS`: singles of `b` where the immediate's bits are set.
pub(crate) fn blendps(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (dwords(a), dwords(b));
    from_dwords(std::array::from_fn(|i| if imm >> i & 1 != 0 { b[i] } else { a[i] }))
}

/// `BLENDPD`: doubles of `b` where the immediate's bits are set.
pub(crate) fn blendpd(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (qwords(a), qwords(b));
    from_qwords(std::array::from_fn(|i| if imm >> i & 1 != 0 { b[i] } else { a[i] }))
}

/// `PBLENDW`: words of `b` where the immediate's bits are set.
pub(crate) fn pblendw(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (words(a), words(b));
    from_words(std::array::from_fn(|i| if imm >> i & 1 != 0 { b[i] } else { a[i] }))
}

/// `PBLENDVB`: bytes of `b` where the mask's top bits are set.
pub(crate) fn pblendvb(a: u128, b: u128, mask: u128) -> u128 {
    let keep = map_bytes(mask, 0, |m, _| ((m as i8) >> 7) as u8);
    (a & !keep) | (b & keep)
}

/// `BLENDVPS`: singles of `b` where the mask's signs are set.
pub(crate) fn blendvps(a: u128, b: u128, mask: u128) -> u128 {
    let keep = map_dwords(mask, 0, |m, _| ((m as i32) >> 31) as u32);
    (a & !keep) | (b & keep)
}

/// `BLENDVPD`: doubles of `b` where the mask's signs are set.
pub(crate) fn blendvpd(a: u128, b: u128, mask: u128) -> u128 {
    let keep = map_qwords(mask, 0, |m, _| ((m as i64) >> 63) as u64);
    (a & !keep) | (b & keep)
}

/// `INSERTPS` with a register source: a lane of `b` into a lane of `a`, then zeroes lanes.
pub(crate) fn insertps(a: u128, b: u128, imm: u8) -> u128 {
    let mut lanes = dwords(a);
    lanes[usize::from(imm >> 4 & 3)] = dwords(b)[usize::from(imm >> 6)];
    from_dwords(std::array::from_fn(|i| if imm >> i & 1 != 0 { 0 } else { lanes[i] }))
}

/// Replaces byte, word, doubleword or quadword number `index` (`width` is its bits).
#[inline]
pub(crate) fn insert(a: u128, value: u64, index: u8, width: u32) -> u128 {
    let at = (u32::from(index) * width) & 127;
    let mask = (u128::MAX >> (128 - width)) << at;
    (a & !mask) | ((u128::from(value) << at) & mask)
}

/// Takes byte, word, doubleword or quadword number `index`, zero-extended.
#[inline]
pub(crate) fn extract(a: u128, index: u8, width: u32) -> u64 {
    let at = (u32::from(index) * width) & 127;
    ((a >> at) & (u128::MAX >> (128 - width))) as u64
}

/// `PMOVSXBW`.
pub(crate) fn pmovsxbw(a: u128) -> u128 {
    let a = bytes(a);
    from_words(std::array::from_fn(|i| a[i] as i8 as u16))
}

/// `PMOVSXBD`.
pub(crate) fn pmovsxbd(a: u128) -> u128 {
    let a = bytes(a);
    from_dwords(std::array::from_fn(|i| a[i] as i8 as u32))
}

/// `PMOVSXBQ`.
pub(crate) fn pmovsxbq(a: u128) -> u128 {
    let a = bytes(a);
    from_qwords(std::array::from_fn(|i| a[i] as i8 as u64))
}

/// `PMOVSXWD`.
pub(crate) fn pmovsxwd(a: u128) -> u128 {
    let a = words(a);
    from_dwords(std::array::from_fn(|i| a[i] as i16 as u32))
}

/// `PMOVSXWQ`.
pub(crate) fn pmovsxwq(a: u128) -> u128 {
    let a = words(a);
    from_qwords(std::array::from_fn(|i| a[i] as i16 as u64))
}

/// `PMOVSXDQ`.
pub(crate) fn pmovsxdq(a: u128) -> u128 {
    let a = dwords(a);
    from_qwords(std::array::from_fn(|i| a[i] as i32 as u64))
}

/// `PMOVZXBW`.
pub(crate) fn pmovzxbw(a: u128) -> u128 {
    let a = bytes(a);
    from_words(std::array::from_fn(|i| u16::from(a[i])))
}

/// `PMOVZXBD`.
pub(crate) fn pmovzxbd(a: u128) -> u128 {
    let a = bytes(a);
    from_dwords(std::array::from_fn(|i| u32::from(a[i])))
}

/// `PMOVZXBQ`.
pub(crate) fn pmovzxbq(a: u128) -> u128 {
    let a = bytes(a);
    from_qwords(std::array::from_fn(|i| u64::from(a[i])))
}

/// `PMOVZXWD`.
pub(crate) fn pmovzxwd(a: u128) -> u128 {
    let a = words(a);
    from_dwords(std::array::from_fn(|i| u32::from(a[i])))
}

/// `PMOVZXWQ`.
pub(crate) fn pmovzxwq(a: u128) -> u128 {
    let a = words(a);
    from_qwords(std::array::from_fn(|i| u64::from(a[i])))
}

/// `PMOVZXDQ`.
pub(crate) fn pmovzxdq(a: u128) -> u128 {
    let a = dwords(a);
    from_qwords(std::array::from_fn(|i| u64::from(a[i])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(from: u8) -> u128 {
        from_bytes(std::array::from_fn(|i| from + i as u8))
    }

    #[test]
    fn unpacks_and_packs() {
        let (a, b) = (counting(0), counting(0x10));
        assert_eq!(bytes(punpcklbw(a, b))[..4], [0, 0x10, 1, 0x11]);
        assert_eq!(bytes(punpckhbw(a, b))[..4], [8, 0x18, 9, 0x19]);
        assert_eq!(punpckhqdq(a, b), from_qwords([(a >> 64) as u64, (b >> 64) as u64]));
        let words = from_words([0x7FFF, 0x8000, 0xFF, 0x100, 1, 0xFFFF, 0x80, 0]);
        assert_eq!(bytes(packuswb(words, 0))[..8], [0xFF, 0, 0xFF, 0xFF, 1, 0, 0x80, 0]);
        assert_eq!(bytes(packsswb(words, 0))[..8], [0x7F, 0x80, 0x7F, 0x7F, 1, 0xFF, 0x7F, 0]);
        assert_eq!(pack_mm(packsswb, 0x0001_8000, 0x7FFF), 0x7F_0000_0180);
    }

    #[test]
    fn shuffles() {
        let a = counting(0);
        let mut reversed = dwords(a);
        reversed.reverse();
        assert_eq!(dwords(pshufd(a, 0x1B)), reversed);
        assert_eq!(pshufhw(a, 0xE4), a);
        assert_eq!(words(pshuflw(a, 0x1B))[..5], [0x0706, 0x0504, 0x0302, 0x0100, 0x0908]);
        assert_eq!(pshufb(a, from_bytes([0x8F; 16])), 0);
        assert_eq!(bytes(pshufb(a, 0x1F))[..2], [15, 0]);
        assert_eq!(pshufb_mm(0x0706_0504_0302_0100, 0x0F80), 0x0700);
        assert_eq!(bytes(palignr(counting(16), a, 4)), bytes(counting(4)));
        assert_eq!(palignr(u128::MAX, 0, 31), 0xFF);
        assert_eq!(palignr_mm(0x1122, 0xAABB_0000_0000_0000, 6), 0x1122_AABB);
    }

    #[test]
    fn blends_and_lanes() {
        let (a, b) = (0, u128::MAX);
        assert_eq!(pblendw(a, b, 0x81), 0xFFFF << 112 | 0xFFFF);
        assert_eq!(pblendvb(a, b, 0x80), 0xFF);
        assert_eq!(blendvps(a, b, 1 << 127), 0xFFFF_FFFF << 96);
        assert_eq!(insertps(0, from_dwords([1, 2, 3, 4]), 0b1001_0001), 3 << 32);
        assert_eq!(insert(0, 0x1FF, 17, 8), 0xFF << 8);
        assert_eq!(extract(0xAB << 64, 9, 64), 0xAB);
        assert_eq!(pmovsxbw(0x80), from_words([0xFF80, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(pmovzxwq(0xFFFF_8000), from_qwords([0x8000, 0xFFFF]));
    }
}
