//! Floating-point and SIMD arithmetic: MMX, SSE to SSE4.2.
//!
//! Everything here is pure: operands come in as bits, results and flags go out. The core
//! fetches operands, checks alignment, and raises faults.
//!
//! * [`simd_lookup`] gives, for a decoded instruction, a [`SimdOp`]: the function that
//!   computes it and the shape of its operands.
//! * This module and [`convert`] have the hot scalar operations under their own names
//!   ([`addsd`], [`convert::cvttsd2si64`], …), for a core that specialises them.
//!
//! Floating-point results are exact: rounding control, DAZ, FTZ, sticky flags and NaN
//! rules are the hardware's. Common cases run on the host's own arithmetic; the rest
//! on the integer arithmetic of `soft`.
//!
//! Worked path, `ADDSD xmm0, [mem]`: the core looks up `Addsd_xmm_xmmm64`, reads eight
//! bytes, calls the function with XMM0, the bytes zero-extended and MXCSR (through
//! [`checked`], which notices unmasked exceptions), and stores the result to XMM0.

pub mod convert;
mod lanes;
mod lookup;
mod packed_float;
mod packed_int;
mod scalar;
mod shuffle;
mod soft;
mod sse42;
pub mod x87;

pub use lookup::{SimdOp, simd_lookup};
pub use scalar::{DAZ, FTZ, MASKS, RC, checked, unmasked};
pub use soft::{ALL as EXCEPTIONS, DE, IE, OE, PE, UE, ZE};
pub use sse42::{StrResult, compare_strings, crc32c};

/// MXCSR after reset and `FNINIT`-like start of a thread: all exceptions masked.
pub const MXCSR_DEFAULT: u32 = 0x1F80;

macro_rules! scalars {
    ($($name:ident, $t:ty, $f:ident, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            #[inline]
            pub fn $name(a: $t, b: $t, mxcsr: &mut u32) -> $t {
                scalar::$f(a, b, mxcsr)
            }
        )*
    };
}

scalars! {
    addss, u32, add, "`a + b` in single precision.";
    addsd, u64, add, "`a + b` in double precision.";
    subss, u32, sub, "`a - b` in single precision.";
    subsd, u64, sub, "`a - b` in double precision.";
    mulss, u32, mul, "`a * b` in single precision.";
    mulsd, u64, mul, "`a * b` in double precision.";
    divss, u32, div, "`a / b` in single precision.";
    divsd, u64, div, "`a / b` in double precision.";
    minss, u32, min, "The lesser of two singles, `b` if either is a NaN.";
    minsd, u64, min, "The lesser of two doubles, `b` if either is a NaN.";
    maxss, u32, max, "The greater of two singles, `b` if either is a NaN.";
    maxsd, u64, max, "The greater of two doubles, `b` if either is a NaN.";
}

/// The square root of a single.
#[inline]
pub fn sqrtss(a: u32, mxcsr: &mut u32) -> u32 {
    scalar::sqrt(a, mxcsr)
}

/// The square root of a double.
#[inline]
pub fn sqrtsd(a: u64, mxcsr: &mut u32) -> u64 {
    scalar::sqrt(a, mxcsr)
}
