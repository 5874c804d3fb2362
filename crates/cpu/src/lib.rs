//! The x86 processor: decoder cache, integer core, and the floating-point and SIMD units.
//!
//! [`fp`] is pure: functions from operand bits to result bits and flags, with no
//! knowledge of registers files, memory or faults.

pub mod fp;
