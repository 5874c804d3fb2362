//! What instructions do: one file for a family, each with bodies ([`crate::op::Exec`]) for the decoder to choose from.
//!
//! `alu` `shift` `multiply` `transfer` `branch` `vector` are the fast families; [`slow`] executes whatever has no body
//! of its own from iced's decoded form, and [`system`] what needs the whole interpreter. Source: Intel SDM volume 2.

pub(crate) mod alu;
pub(crate) mod atomic;
pub(crate) mod bits;
pub(crate) mod branch;
pub(crate) mod cpuid;
pub(crate) mod legacy;
pub(crate) mod multiply;
pub(crate) mod packed;
pub(crate) mod shift;
pub(crate) mod simd;
pub(crate) mod slow;
pub(crate) mod string;
pub(crate) mod system;
pub(crate) mod transfer;
pub(crate) mod vector;
pub(crate) mod x87;
