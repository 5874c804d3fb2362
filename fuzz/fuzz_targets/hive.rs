//! Random bytes as a hive file: reading answers and never panics, and what was read can be written and read again.
//!
//! `cargo +nightly fuzz run hive`, best with a few real hives in `fuzz/corpus/hive`. The checksum is set right first, so
//! that the fuzzer gets past it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    if let Some(block) = bytes.get_mut(..512) {
        let words = block.chunks_exact(4).take(127);
        let sum = words.fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
        let sum = match sum {
            u32::MAX => u32::MAX - 1,
            0 => 1,
            sum => sum,
        };
        block[508..].copy_from_slice(&sum.to_le_bytes());
    }
    let Ok(hive) = regf::Hive::parse(&bytes) else { return };
    let written = hive.to_bytes().expect("what was read can be written");
    regf::Hive::parse(&written).expect("what was written can be read");
});
