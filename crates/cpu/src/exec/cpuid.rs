//! CPUID: what this processor says it is.
//!
//! It is an x86-64-v2 processor (SSE4.2, POPCNT, CMPXCHG16B, LAHF) without AVX, XSAVE, BMI, AES or random numbers, so
//! that programs which choose code at run time choose code that runs here. ERMS is claimed since repeated moves are
//! done a page at a time. Source: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E.

/// EAX, EBX, ECX, EDX.
pub type Leaf = [u32; 4];

const fn bits(numbers: &[u32]) -> u32 {
    let mut value = 0;
    let mut index = 0;
    while index < numbers.len() {
        value |= 1 << numbers[index];
        index += 1;
    }
    value
}

/// FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2.
const LEAF_1_EDX: u32 =
    bits(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26]);
/// SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT.
const LEAF_1_ECX: u32 = bits(&[0, 9, 13, 19, 20, 23]);
/// FSGSBASE ERMS.
const LEAF_7_EBX: u32 = bits(&[0, 9]);
/// SYSCALL NX RDTSCP LM.
const EXTENDED_EDX: u32 = bits(&[11, 20, 27, 29]);
/// LAHF PREFETCHW.
const EXTENDED_ECX: u32 = bits(&[0, 8]);
/// Family 6, model 37h, stepping 1.
const SIGNATURE: u32 = 0x0003_0671;
/// CLFLUSH works on 64 bytes; one logical processor.
const LEAF_1_EBX: u32 = (1 << 16) | (8 << 8);

/// Shown to users by system information programs.
const BRAND: &[u8; 48] = b"nten x86-64 emulated processor\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Four registers of the brand string.
fn brand(part: usize) -> Leaf {
    let word = |index: usize| {
        let at = 16 * part + 4 * index;
        let byte = |offset: usize| BRAND.get(at + offset).copied().unwrap_or(0);
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    };
    [word(0), word(1), word(2), word(3)]
}

/// The registers for a leaf and subleaf.
pub fn cpuid(leaf: u32, subleaf: u32) -> Leaf {
    match leaf {
        0 => [
            7,
            u32::from_le_bytes(*b"Genu"),
            u32::from_le_bytes(*b"ntel"),
            u32::from_le_bytes(*b"ineI"),
        ],
        1 => [SIGNATURE, LEAF_1_EBX, LEAF_1_ECX, LEAF_1_EDX],
        7 if subleaf == 0 => [0, LEAF_7_EBX, 0, 0],
        0x8000_0000 => [0x8000_0008, 0, 0, 0],
        0x8000_0001 => [0, 0, EXTENDED_ECX, EXTENDED_EDX],
        0x8000_0002..=0x8000_0004 => brand((leaf - 0x8000_0002) as usize),
        // A 512 KiB second-level cache with 64-byte lines.
        0x8000_0006 => [0, 0, 0x0200_6040, 0],
        // The time stamp counter runs at a constant rate.
        0x8000_0007 => [0, 0, 0, 1 << 8],
        // 40 physical and 48 virtual address bits.
        0x8000_0008 => [0x3028, 0, 0, 0],
        _ => [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendor_is_spelled_in_ebx_edx_ecx() {
        let [_, ebx, ecx, edx] = cpuid(0, 0);
        let name: Vec<u8> = [ebx, edx, ecx].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(name, b"GenuineIntel");
    }

    #[test]
    fn nothing_beyond_v2_is_claimed() {
        let [_, _, ecx, _] = cpuid(1, 0);
        for absent in [1, 12, 22, 25, 26, 27, 28, 29, 30] {
            assert_eq!(ecx >> absent & 1, 0, "bit {absent}");
        }
        assert_eq!(cpuid(7, 0)[1] & bits(&[3, 5, 8, 16, 18, 29]), 0);
    }
}
