//! Random bytes as a program: the checks before boot, and the reading of service numbers, answer and never panic.
//!
//! `cargo +nightly fuzz run image`, best with a few real programs in `fuzz/corpus/image`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = userland::image::inspect_bytes(data);
    let _ = userland::ServiceNumbers::parse(data);
});
