//! SSE4.2's string compares and the CRC-32C instruction.
//!
//! `PCMPxSTRx` compares up to sixteen bytes or eight words of two strings in one of four
//! ways ("aggregation") and yields an index, a mask and flags at once; [`compare_strings`]
//! gives all three and the core keeps what the instruction wants.
//!
//! Source: Intel SDM volume 2, section 4.1, and `CRC32`.

use super::lanes::{bytes, from_bytes, from_words, words};

/// RFLAGS.CF.
const CF: u64 = 1;
/// RFLAGS.ZF.
const ZF: u64 = 1 << 6;
/// RFLAGS.SF.
const SF: u64 = 1 << 7;
/// RFLAGS.OF.
const OF: u64 = 1 << 11;

/// What a string compare yields; each instruction uses a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StrResult {
    /// ECX of the `I` forms.
    pub index: u32,
    /// XMM0 of the `M` forms.
    pub mask: u128,
    /// CF, ZF, SF and OF; AF and PF are cleared.
    pub flags: u64,
}

/// The elements of an operand, widened with their sign as the immediate says.
fn elements(x: u128, imm: u8) -> ([i32; 16], usize) {
    let mut out = [0; 16];
    let count = if imm & 1 == 0 { 16 } else { 8 };
    if imm & 1 == 0 {
        for (o, b) in out.iter_mut().zip(bytes(x)) {
            *o = if imm & 2 == 0 { i32::from(b) } else { i32::from(b as i8) };
        }
    } else {
        for (o, w) in out.iter_mut().zip(words(x)) {
            *o = if imm & 2 == 0 { i32::from(w) } else { i32::from(w as i16) };
        }
    }
    (out, count)
}

fn length(explicit: Option<i64>, elements: &[i32]) -> usize {
    match explicit {
        Some(n) => n.unsigned_abs().min(elements.len() as u64) as usize,
        None => elements.iter().position(|&e| e == 0).unwrap_or(elements.len()),
    }
}

/// `PCMPESTRI/M` (explicit lengths) and `PCMPISTRI/M` (lengths `None`: up to a zero).
pub fn compare_strings(
    a: u128,
    b: u128,
    len_a: Option<i64>,
    len_b: Option<i64>,
    imm: u8,
) -> StrResult {
    let ((a, count), (b, _)) = (elements(a, imm), elements(b, imm));
    let (a, b) = (&a[..count], &b[..count]);
    let (len_a, len_b) = (length(len_a, a), length(len_b, b));
    let (set, text) = (&a[..len_a], &b[..len_b]);

    let hit = |j: usize| -> bool {
        match imm >> 2 & 3 {
            0 => text.get(j).is_some_and(|c| set.contains(c)),
            1 => text.get(j).is_some_and(|c| {
                set.chunks_exact(2).any(|range| (range[0]..=range[1]).contains(c))
            }),
            2 => match (set.get(j), text.get(j)) {
                (Some(x), Some(y)) => x == y,
                (None, None) => true,
                _ => false,
            },
            _ => set.iter().take(count - j).enumerate().all(|(i, x)| text.get(i + j) == Some(x)),
        }
    };
    let mut bits = (0..count).fold(0u32, |acc, j| acc | u32::from(hit(j)) << j);
    let all = (1u32 << count) - 1;
    match imm >> 4 & 3 {
        1 => bits ^= all,
        3 => bits ^= (1u32 << len_b) - 1,
        _ => {}
    }

    let index = match (bits, imm & 0x40) {
        (0, _) => count as u32,
        (_, 0) => bits.trailing_zeros(),
        _ => 31 - bits.leading_zeros(),
    };
    let mask = if imm & 0x40 == 0 {
        u128::from(bits)
    } else if count == 16 {
        from_bytes(std::array::from_fn(|i| ((bits >> i & 1) as u8).wrapping_neg()))
    } else {
        from_words(std::array::from_fn(|i| ((bits >> i & 1) as u16).wrapping_neg()))
    };
    let mut flags = 0;
    for (condition, flag) in
        [(bits != 0, CF), (len_b < count, ZF), (len_a < count, SF), (bits & 1 != 0, OF)]
    {
        if condition {
            flags |= flag;
        }
    }
    StrResult { index, mask, flags }
}

/// The CRC-32C (Castagnoli) table, reflected polynomial 0x82F63B78.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// `CRC32` over the low `size` bytes of `data`.
#[inline]
pub fn crc32c(crc: u64, data: u64, size: u32) -> u64 {
    let mut crc = crc as u32;
    for i in 0..size {
        let byte = (data >> (8 * i)) as u8;
        crc = (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)];
    }
    u64::from(crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &[u8]) -> u128 {
        let mut b = [0; 16];
        b[..s.len()].copy_from_slice(s);
        u128::from_le_bytes(b)
    }

    #[test]
    fn finds_a_substring() {
        let r = compare_strings(text(b"lo"), text(b"hello world"), None, None, 0x0C);
        assert_eq!(r.index, 3);
        assert_eq!(r.flags, CF | ZF | SF);
    }

    #[test]
    fn finds_a_range_and_any() {
        let r = compare_strings(text(b"09"), text(b"abc7x"), None, None, 0x04);
        assert_eq!((r.index, r.mask), (3, 8));
        let r = compare_strings(text(b"xyz"), text(b"aaz"), Some(3), Some(-3), 0x40);
        assert_eq!((r.index, r.mask), (2, 0xFF << 16));
    }

    #[test]
    fn equal_each_treats_two_ends_as_equal() {
        let r = compare_strings(text(b"same"), text(b"same"), None, None, 0x18);
        assert_eq!((r.index, r.flags & CF), (16, 0));
    }

    #[test]
    fn crc_of_the_check_string() {
        let crc = b"123456789".iter().fold(0xFFFF_FFFF, |crc, &b| crc32c(crc, b.into(), 1));
        assert_eq!(crc ^ 0xFFFF_FFFF, 0xE306_9283);
    }
}
