//! The table from decoded instructions to the functions that compute them.
//!
//! [`simd_lookup`] covers every MMX and SSE to SSE4.2 instruction that computes; plain
//! moves to and from memory and general registers are the core's. [`SimdOp`] says which
//! operands the function wants.

use iced_x86::Code;

use super::lanes::{dwords, from_dwords, from_qwords, with_low64};
use super::packed_float::{self as pf, mask32, mask64, pd, ps, sd, ss};
use super::packed_int::{self as int, Horizontal};
use super::scalar::{self, QuietNan, Relation};
use super::sse42::{self, StrResult};
use super::{convert as cv, shuffle as sh};

/// How an instruction's operands reach its function.
///
/// A memory source smaller than the register comes zero-extended; the function itself
/// keeps or clears the destination's upper bits. `aligned` means that a 16-byte memory
/// source must be aligned, or the instruction raises #GP. An absent immediate is zero.
///
/// Functions set the sticky flags in MXCSR and never fail: a core that has unmasked
/// exceptions wraps the call in [`super::checked`].
#[derive(Clone, Copy)]
pub enum SimdOp {
    /// `op xmm, xmm/m [, imm8]`; for shifts by an immediate, `src` is not used.
    /// `INSERTPS` from memory ignores the source selector: the core clears bits 6 and 7
    /// of the immediate then.
    Xmm {
        /// The function.
        f: fn(dst: u128, src: u128, imm: u8, mxcsr: &mut u32) -> u128,
        /// A 16-byte memory source must be aligned.
        aligned: bool,
    },
    /// `op xmm, xmm/m128, <XMM0>`; the memory source must be aligned.
    XmmMask {
        /// The function.
        f: fn(dst: u128, src: u128, xmm0: u128) -> u128,
    },
    /// `op mm, mm/m64 [, imm8]`.
    Mmx {
        /// The function.
        f: fn(dst: u64, src: u64, imm: u8) -> u64,
    },
    /// `op xmm, r/m [, imm8]`; the source comes zero-extended.
    FromGpr {
        /// The function.
        f: fn(dst: u128, gpr: u64, imm: u8, mxcsr: &mut u32) -> u128,
    },
    /// `op r/m, xmm[/m] [, imm8]`; the result is zero-extended.
    ToGpr {
        /// The function.
        f: fn(src: u128, imm: u8, mxcsr: &mut u32) -> u64,
    },
    /// Sets RFLAGS: the result has ZF, PF and CF; OF, SF and AF are cleared.
    Flags {
        /// The function.
        f: fn(a: u128, b: u128, mxcsr: &mut u32) -> u64,
        /// A 16-byte memory source must be aligned.
        aligned: bool,
    },
    /// A string compare. The lengths are EAX and EDX (or RAX and RDX), sign-extended, for
    /// the explicit forms, and `None` for the implicit ones. Memory need not be aligned.
    Str {
        /// The function.
        f: fn(a: u128, b: u128, len_a: Option<i64>, len_b: Option<i64>, imm: u8) -> StrResult,
        /// The lengths come from registers.
        explicit: bool,
        /// The result is `index` to ECX, else `mask` to XMM0.
        to_index: bool,
    },
    /// `op mm, xmm[/m]`.
    MmxFromXmm {
        /// The function.
        f: fn(src: u128, mxcsr: &mut u32) -> u64,
        /// A 16-byte memory source must be aligned.
        aligned: bool,
    },
    /// `op xmm, mm[/m64]`.
    XmmFromMmx {
        /// The function.
        f: fn(dst: u128, src: u64, mxcsr: &mut u32) -> u128,
    },
    /// `PINSRW mm, r32/m16, imm8`.
    MmxFromGpr {
        /// The function.
        f: fn(dst: u64, gpr: u64, imm: u8) -> u64,
    },
    /// `op r32, mm [, imm8]`; the result is zero-extended.
    GprFromMmx {
        /// The function.
        f: fn(src: u64, imm: u8) -> u64,
    },
    /// `CRC32 r, r/m`; the result is zero-extended.
    Crc32 {
        /// The function.
        f: fn(crc: u64, src: u64) -> u64,
    },
}

/// The function for an instruction, if it is one that computes with MMX or SSE.
pub fn simd_lookup(code: Code) -> Option<SimdOp> {
    float_arithmetic(code)
        .or_else(|| float_other(code))
        .or_else(|| conversion(code))
        .or_else(|| integer(code))
        .or_else(|| shift(code))
        .or_else(|| arrangement(code))
        .or_else(|| multimedia(code))
        .or_else(|| general(code))
}

/// An XMM operation whose 16-byte memory source must be aligned.
macro_rules! wide {
    ($f:expr) => {
        SimdOp::Xmm { f: $f, aligned: true }
    };
}

/// An XMM operation whose memory source is narrower than 16 bytes.
macro_rules! narrow {
    ($f:expr) => {
        SimdOp::Xmm { f: $f, aligned: false }
    };
}

/// A lane-wise integer operation on XMM registers.
macro_rules! xmm {
    ($f:path) => {
        wide!(|d, s, _, _| $f(d, s))
    };
}

/// The same on MMX registers: the low half.
macro_rules! mmx {
    ($f:path) => {
        SimdOp::Mmx { f: |d, s, _| $f(u128::from(d), u128::from(s)) as u64 }
    };
}

fn float_arithmetic(code: Code) -> Option<SimdOp> {
    use Code::*;
    Some(match code {
        Addps_xmm_xmmm128 => wide!(|d, s, _, m| ps(d, s, m, scalar::add)),
        Addpd_xmm_xmmm128 => wide!(|d, s, _, m| pd(d, s, m, scalar::add)),
        Addss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, scalar::add)),
        Addsd_xmm_xmmm64 => narrow!(|d, s, _, m| sd(d, s, m, scalar::add)),
        Subps_xmm_xmmm128 => wide!(|d, s, _, m| ps(d, s, m, scalar::sub)),
        Subpd_xmm_xmmm128 => wide!(|d, s, _, m| pd(d, s, m, scalar::sub)),
        Subss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, scalar::sub)),
        Subsd_xmm_xmmm64 => narrow!(|d, s, _, m| sd(d, s, m, scalar::sub)),
        Mulps_xmm_xmmm128 => wide!(|d, s, _, m| ps(d, s, m, scalar::mul)),
        Mulpd_xmm_xmmm128 => wide!(|d, s, _, m| pd(d, s, m, scalar::mul)),
        Mulss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, scalar::mul)),
        Mulsd_xmm_xmmm64 => narrow!(|d, s, _, m| sd(d, s, m, scalar::mul)),
        Divps_xmm_xmmm128 => wide!(|d, s, _, m| ps(d, s, m, scalar::div)),
        Divpd_xmm_xmmm128 => wide!(|d, s, _, m| pd(d, s, m, scalar::div)),
        Divss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, scalar::div)),
        Divsd_xmm_xmmm64 => narrow!(|d, s, _, m| sd(d, s, m, scalar::div)),
        Minps_xmm_xmmm128 => wide!(|d, s, _, m| ps(d, s, m, scalar::min)),
        Minpd_xmm_xmmm128 => wide!(|d, s, _, m| pd(d, s, m, scalar::min)),
        Minss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, scalar::min)),
        Minsd_xmm_xmmm64 => narrow!(|d, s, _, m| sd(d, s, m, scalar::min)),
        Maxps_xmm_xmmm128 => wide!(|d, s, _, m| ps(d, s, m, scalar::max)),
        Maxpd_xmm_xmmm128 => wide!(|d, s, _, m| pd(d, s, m, scalar::max)),
        Maxss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, scalar::max)),
        Maxsd_xmm_xmmm64 => narrow!(|d, s, _, m| sd(d, s, m, scalar::max)),
        Sqrtps_xmm_xmmm128 => wide!(|d, s, _, m| ps(d, s, m, |_, y, m| scalar::sqrt(y, m))),
        Sqrtpd_xmm_xmmm128 => wide!(|d, s, _, m| pd(d, s, m, |_, y, m| scalar::sqrt(y, m))),
        Sqrtss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, |_, y, m| scalar::sqrt(y, m))),
        Sqrtsd_xmm_xmmm64 => narrow!(|d, s, _, m| sd(d, s, m, |_, y, m| scalar::sqrt(y, m))),
        Haddps_xmm_xmmm128 => wide!(|d, s, _, m| pf::horizontal_ps(d, s, m, scalar::add)),
        Haddpd_xmm_xmmm128 => wide!(|d, s, _, m| pf::horizontal_pd(d, s, m, scalar::add)),
        Hsubps_xmm_xmmm128 => wide!(|d, s, _, m| pf::horizontal_ps(d, s, m, scalar::sub)),
        Hsubpd_xmm_xmmm128 => wide!(|d, s, _, m| pf::horizontal_pd(d, s, m, scalar::sub)),
        Addsubps_xmm_xmmm128 => wide!(|d, s, _, m| pf::addsubps(d, s, m)),
        Addsubpd_xmm_xmmm128 => wide!(|d, s, _, m| pf::addsubpd(d, s, m)),
        Dpps_xmm_xmmm128_imm8 => wide!(pf::dpps),
        Dppd_xmm_xmmm128_imm8 => wide!(pf::dppd),
        _ => return None,
    })
}

/// ZF, PF and CF as `COMISx` sets them.
fn relation_flags(relation: Relation) -> u64 {
    match relation {
        Relation::Unordered => 0x45,
        Relation::Less => 0x01,
        Relation::Equal => 0x40,
        Relation::Greater => 0,
    }
}

fn float_other(code: Code) -> Option<SimdOp> {
    use Code::*;
    use QuietNan::{Passes, Signals};
    use scalar::predicate;
    macro_rules! comis {
        ($t:ty, $quiet:expr) => {
            SimdOp::Flags {
                f: |a, b, m| relation_flags(scalar::compare(a as $t, b as $t, $quiet, m)),
                aligned: false,
            }
        };
    }
    Some(match code {
        Cmpps_xmm_xmmm128_imm8 => {
            wide!(|d, s, i, m| ps(d, s, m, |x, y, m| mask32(predicate(x, y, i, m))))
        }
        Cmppd_xmm_xmmm128_imm8 => {
            wide!(|d, s, i, m| pd(d, s, m, |x, y, m| mask64(predicate(x, y, i, m))))
        }
        Cmpss_xmm_xmmm32_imm8 => {
            narrow!(|d, s, i, m| ss(d, s, m, |x, y, m| mask32(predicate(x, y, i, m))))
        }
        Cmpsd_xmm_xmmm64_imm8 => {
            narrow!(|d, s, i, m| sd(d, s, m, |x, y, m| mask64(predicate(x, y, i, m))))
        }
        Comiss_xmm_xmmm32 => comis!(u32, Signals),
        Comisd_xmm_xmmm64 => comis!(u64, Signals),
        Ucomiss_xmm_xmmm32 => comis!(u32, Passes),
        Ucomisd_xmm_xmmm64 => comis!(u64, Passes),
        Roundps_xmm_xmmm128_imm8 => {
            wide!(|d, s, i, m| ps(d, s, m, |_, y, m| scalar::round_integral(y, i, m)))
        }
        Roundpd_xmm_xmmm128_imm8 => {
            wide!(|d, s, i, m| pd(d, s, m, |_, y, m| scalar::round_integral(y, i, m)))
        }
        Roundss_xmm_xmmm32_imm8 => {
            narrow!(|d, s, i, m| ss(d, s, m, |_, y, m| scalar::round_integral(y, i, m)))
        }
        Roundsd_xmm_xmmm64_imm8 => {
            narrow!(|d, s, i, m| sd(d, s, m, |_, y, m| scalar::round_integral(y, i, m)))
        }
        Rcpps_xmm_xmmm128 => wide!(|_, s, _, _| from_dwords(dwords(s).map(pf::rcp))),
        Rcpss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, |_, y, _| pf::rcp(y))),
        Rsqrtps_xmm_xmmm128 => wide!(|_, s, _, _| from_dwords(dwords(s).map(pf::rsqrt))),
        Rsqrtss_xmm_xmmm32 => narrow!(|d, s, _, m| ss(d, s, m, |_, y, _| pf::rsqrt(y))),
        Andps_xmm_xmmm128 | Andpd_xmm_xmmm128 => wide!(|d, s, _, _| d & s),
        Andnps_xmm_xmmm128 | Andnpd_xmm_xmmm128 => wide!(|d, s, _, _| !d & s),
        Orps_xmm_xmmm128 | Orpd_xmm_xmmm128 => wide!(|d, s, _, _| d | s),
        Xorps_xmm_xmmm128 | Xorpd_xmm_xmmm128 => wide!(|d, s, _, _| d ^ s),
        _ => return None,
    })
}

fn conversion(code: Code) -> Option<SimdOp> {
    use Code::*;
    macro_rules! to_gpr {
        ($f:path, $t:ty) => {
            SimdOp::ToGpr { f: |s, _, m| $f(s as $t, m) }
        };
    }
    Some(match code {
        Cvtsi2ss_xmm_rm32 => {
            SimdOp::FromGpr { f: |d, g, _, m| super::lanes::with_low32(d, cv::cvtsi2ss32(g, m)) }
        }
        Cvtsi2ss_xmm_rm64 => {
            SimdOp::FromGpr { f: |d, g, _, m| super::lanes::with_low32(d, cv::cvtsi2ss64(g, m)) }
        }
        Cvtsi2sd_xmm_rm32 => SimdOp::FromGpr { f: |d, g, _, _| with_low64(d, cv::cvtsi2sd32(g)) },
        Cvtsi2sd_xmm_rm64 => {
            SimdOp::FromGpr { f: |d, g, _, m| with_low64(d, cv::cvtsi2sd64(g, m)) }
        }
        Cvttss2si_r32_xmmm32 => to_gpr!(cv::cvttss2si32, u32),
        Cvttss2si_r64_xmmm32 => to_gpr!(cv::cvttss2si64, u32),
        Cvtss2si_r32_xmmm32 => to_gpr!(cv::cvtss2si32, u32),
        Cvtss2si_r64_xmmm32 => to_gpr!(cv::cvtss2si64, u32),
        Cvttsd2si_r32_xmmm64 => to_gpr!(cv::cvttsd2si32, u64),
        Cvttsd2si_r64_xmmm64 => to_gpr!(cv::cvttsd2si64, u64),
        Cvtsd2si_r32_xmmm64 => to_gpr!(cv::cvtsd2si32, u64),
        Cvtsd2si_r64_xmmm64 => to_gpr!(cv::cvtsd2si64, u64),
        Cvtss2sd_xmm_xmmm32 => narrow!(|d, s, _, m| with_low64(d, cv::cvtss2sd(s as u32, m))),
        Cvtsd2ss_xmm_xmmm64 => {
            narrow!(|d, s, _, m| super::lanes::with_low32(d, cv::cvtsd2ss(s as u64, m)))
        }
        Cvtps2pd_xmm_xmmm64 => narrow!(|_, s, _, m| cv::cvtps2pd(s as u64, m)),
        Cvtpd2ps_xmm_xmmm128 => wide!(|_, s, _, m| cv::cvtpd2ps(s, m)),
        Cvtdq2ps_xmm_xmmm128 => wide!(|_, s, _, m| cv::cvtdq2ps(s, m)),
        Cvtps2dq_xmm_xmmm128 => wide!(|_, s, _, m| cv::cvtps2dq(s, m)),
        Cvttps2dq_xmm_xmmm128 => wide!(|_, s, _, m| cv::cvttps2dq(s, m)),
        Cvtdq2pd_xmm_xmmm64 => narrow!(|_, s, _, _| cv::cvtdq2pd(s as u64)),
        Cvtpd2dq_xmm_xmmm128 => wide!(|_, s, _, m| u128::from(cv::cvtpd2dq(s, m))),
        Cvttpd2dq_xmm_xmmm128 => wide!(|_, s, _, m| u128::from(cv::cvttpd2dq(s, m))),
        Cvtpi2ps_xmm_mmm64 => SimdOp::XmmFromMmx { f: |d, s, m| with_low64(d, cv::cvtpi2ps(s, m)) },
        Cvtpi2pd_xmm_mmm64 => SimdOp::XmmFromMmx { f: |_, s, _| cv::cvtdq2pd(s) },
        Cvtps2pi_mm_xmmm64 => {
            SimdOp::MmxFromXmm { f: |s, m| cv::cvtps2pi(s as u64, m), aligned: false }
        }
        Cvttps2pi_mm_xmmm64 => {
            SimdOp::MmxFromXmm { f: |s, m| cv::cvttps2pi(s as u64, m), aligned: false }
        }
        Cvtpd2pi_mm_xmmm128 => SimdOp::MmxFromXmm { f: cv::cvtpd2dq, aligned: true },
        Cvttpd2pi_mm_xmmm128 => SimdOp::MmxFromXmm { f: cv::cvttpd2dq, aligned: true },
        Movdq2q_mm_xmm => SimdOp::MmxFromXmm { f: |s, _| s as u64, aligned: false },
        Movq2dq_xmm_mm => SimdOp::XmmFromMmx { f: |_, s, _| u128::from(s) },
        _ => return None,
    })
}

fn integer(code: Code) -> Option<SimdOp> {
    use Code::*;
    Some(match code {
        Paddb_xmm_xmmm128 => xmm!(int::paddb),
        Paddw_xmm_xmmm128 => xmm!(int::paddw),
        Paddd_xmm_xmmm128 => xmm!(int::paddd),
        Paddq_xmm_xmmm128 => xmm!(int::paddq),
        Psubb_xmm_xmmm128 => xmm!(int::psubb),
        Psubw_xmm_xmmm128 => xmm!(int::psubw),
        Psubd_xmm_xmmm128 => xmm!(int::psubd),
        Psubq_xmm_xmmm128 => xmm!(int::psubq),
        Paddusb_xmm_xmmm128 => xmm!(int::paddusb),
        Paddusw_xmm_xmmm128 => xmm!(int::paddusw),
        Psubusb_xmm_xmmm128 => xmm!(int::psubusb),
        Psubusw_xmm_xmmm128 => xmm!(int::psubusw),
        Paddsb_xmm_xmmm128 => xmm!(int::paddsb),
        Paddsw_xmm_xmmm128 => xmm!(int::paddsw),
        Psubsb_xmm_xmmm128 => xmm!(int::psubsb),
        Psubsw_xmm_xmmm128 => xmm!(int::psubsw),
        Pminub_xmm_xmmm128 => xmm!(int::pminub),
        Pmaxub_xmm_xmmm128 => xmm!(int::pmaxub),
        Pminsw_xmm_xmmm128 => xmm!(int::pminsw),
        Pmaxsw_xmm_xmmm128 => xmm!(int::pmaxsw),
        Pminsb_xmm_xmmm128 => xmm!(int::pminsb),
        Pmaxsb_xmm_xmmm128 => xmm!(int::pmaxsb),
        Pminuw_xmm_xmmm128 => xmm!(int::pminuw),
        Pmaxuw_xmm_xmmm128 => xmm!(int::pmaxuw),
        Pminud_xmm_xmmm128 => xmm!(int::pminud),
        Pmaxud_xmm_xmmm128 => xmm!(int::pmaxud),
        Pminsd_xmm_xmmm128 => xmm!(int::pminsd),
        Pmaxsd_xmm_xmmm128 => xmm!(int::pmaxsd),
        Pcmpeqb_xmm_xmmm128 => xmm!(int::pcmpeqb),
        Pcmpeqw_xmm_xmmm128 => xmm!(int::pcmpeqw),
        Pcmpeqd_xmm_xmmm128 => xmm!(int::pcmpeqd),
        Pcmpeqq_xmm_xmmm128 => xmm!(int::pcmpeqq),
        Pcmpgtb_xmm_xmmm128 => xmm!(int::pcmpgtb),
        Pcmpgtw_xmm_xmmm128 => xmm!(int::pcmpgtw),
        Pcmpgtd_xmm_xmmm128 => xmm!(int::pcmpgtd),
        Pcmpgtq_xmm_xmmm128 => xmm!(int::pcmpgtq),
        Pavgb_xmm_xmmm128 => xmm!(int::pavgb),
        Pavgw_xmm_xmmm128 => xmm!(int::pavgw),
        Pmullw_xmm_xmmm128 => xmm!(int::pmullw),
        Pmulhw_xmm_xmmm128 => xmm!(int::pmulhw),
        Pmulhuw_xmm_xmmm128 => xmm!(int::pmulhuw),
        Pmulhrsw_xmm_xmmm128 => xmm!(int::pmulhrsw),
        Pmulld_xmm_xmmm128 => xmm!(int::pmulld),
        Pmuludq_xmm_xmmm128 => xmm!(int::pmuludq),
        Pmuldq_xmm_xmmm128 => xmm!(int::pmuldq),
        Pmaddwd_xmm_xmmm128 => xmm!(int::pmaddwd),
        Pmaddubsw_xmm_xmmm128 => xmm!(int::pmaddubsw),
        Psadbw_xmm_xmmm128 => xmm!(int::psadbw),
        Mpsadbw_xmm_xmmm128_imm8 => wide!(|d, s, i, _| int::mpsadbw(d, s, i)),
        Phminposuw_xmm_xmmm128 => wide!(|_, s, _, _| int::phminposuw(s)),
        Psignb_xmm_xmmm128 => xmm!(int::psignb),
        Psignw_xmm_xmmm128 => xmm!(int::psignw),
        Psignd_xmm_xmmm128 => xmm!(int::psignd),
        Pabsb_xmm_xmmm128 => xmm!(int::pabsb),
        Pabsw_xmm_xmmm128 => xmm!(int::pabsw),
        Pabsd_xmm_xmmm128 => xmm!(int::pabsd),
        Phaddw_xmm_xmmm128 => wide!(|d, s, _, _| int::phw(d, s, Horizontal::Add)),
        Phaddsw_xmm_xmmm128 => wide!(|d, s, _, _| int::phw(d, s, Horizontal::AddSaturated)),
        Phsubw_xmm_xmmm128 => wide!(|d, s, _, _| int::phw(d, s, Horizontal::Sub)),
        Phsubsw_xmm_xmmm128 => wide!(|d, s, _, _| int::phw(d, s, Horizontal::SubSaturated)),
        Phaddd_xmm_xmmm128 => xmm!(int::phaddd),
        Phsubd_xmm_xmmm128 => xmm!(int::phsubd),
        Pand_xmm_xmmm128 => wide!(|d, s, _, _| d & s),
        Pandn_xmm_xmmm128 => wide!(|d, s, _, _| !d & s),
        Por_xmm_xmmm128 => wide!(|d, s, _, _| d | s),
        Pxor_xmm_xmmm128 => wide!(|d, s, _, _| d ^ s),
        _ => return None,
    })
}

fn shift(code: Code) -> Option<SimdOp> {
    use Code::*;
    macro_rules! by_xmm {
        ($f:path) => {
            wide!(|d, s, _, _| $f(d, s as u64))
        };
    }
    macro_rules! by_imm {
        ($f:path) => {
            wide!(|d, _, i, _| $f(d, u64::from(i)))
        };
    }
    macro_rules! mm_by_mm {
        ($f:path) => {
            SimdOp::Mmx { f: |d, s, _| $f(u128::from(d), s) as u64 }
        };
    }
    macro_rules! mm_by_imm {
        ($f:path) => {
            SimdOp::Mmx { f: |d, _, i| $f(u128::from(d), u64::from(i)) as u64 }
        };
    }
    Some(match code {
        Psllw_xmm_xmmm128 => by_xmm!(int::psllw),
        Pslld_xmm_xmmm128 => by_xmm!(int::pslld),
        Psllq_xmm_xmmm128 => by_xmm!(int::psllq),
        Psrlw_xmm_xmmm128 => by_xmm!(int::psrlw),
        Psrld_xmm_xmmm128 => by_xmm!(int::psrld),
        Psrlq_xmm_xmmm128 => by_xmm!(int::psrlq),
        Psraw_xmm_xmmm128 => by_xmm!(int::psraw),
        Psrad_xmm_xmmm128 => by_xmm!(int::psrad),
        Psllw_xmm_imm8 => by_imm!(int::psllw),
        Pslld_xmm_imm8 => by_imm!(int::pslld),
        Psllq_xmm_imm8 => by_imm!(int::psllq),
        Psrlw_xmm_imm8 => by_imm!(int::psrlw),
        Psrld_xmm_imm8 => by_imm!(int::psrld),
        Psrlq_xmm_imm8 => by_imm!(int::psrlq),
        Psraw_xmm_imm8 => by_imm!(int::psraw),
        Psrad_xmm_imm8 => by_imm!(int::psrad),
        Pslldq_xmm_imm8 => wide!(|d, _, i, _| int::pslldq(d, i)),
        Psrldq_xmm_imm8 => wide!(|d, _, i, _| int::psrldq(d, i)),
        Psllw_mm_mmm64 => mm_by_mm!(int::psllw),
        Pslld_mm_mmm64 => mm_by_mm!(int::pslld),
        Psllq_mm_mmm64 => mm_by_mm!(int::psllq),
        Psrlw_mm_mmm64 => mm_by_mm!(int::psrlw),
        Psrld_mm_mmm64 => mm_by_mm!(int::psrld),
        Psrlq_mm_mmm64 => mm_by_mm!(int::psrlq),
        Psraw_mm_mmm64 => mm_by_mm!(int::psraw),
        Psrad_mm_mmm64 => mm_by_mm!(int::psrad),
        Psllw_mm_imm8 => mm_by_imm!(int::psllw),
        Pslld_mm_imm8 => mm_by_imm!(int::pslld),
        Psllq_mm_imm8 => mm_by_imm!(int::psllq),
        Psrlw_mm_imm8 => mm_by_imm!(int::psrlw),
        Psrld_mm_imm8 => mm_by_imm!(int::psrld),
        Psrlq_mm_imm8 => mm_by_imm!(int::psrlq),
        Psraw_mm_imm8 => mm_by_imm!(int::psraw),
        Psrad_mm_imm8 => mm_by_imm!(int::psrad),
        _ => return None,
    })
}

fn arrangement(code: Code) -> Option<SimdOp> {
    use Code::*;
    macro_rules! extend {
        ($f:path) => {
            narrow!(|_, s, _, _| $f(s))
        };
    }
    Some(match code {
        Punpcklbw_xmm_xmmm128 => xmm!(sh::punpcklbw),
        Punpcklwd_xmm_xmmm128 => xmm!(sh::punpcklwd),
        Punpckldq_xmm_xmmm128 | Unpcklps_xmm_xmmm128 => xmm!(sh::punpckldq),
        Punpcklqdq_xmm_xmmm128 | Unpcklpd_xmm_xmmm128 => xmm!(sh::punpcklqdq),
        Punpckhbw_xmm_xmmm128 => xmm!(sh::punpckhbw),
        Punpckhwd_xmm_xmmm128 => xmm!(sh::punpckhwd),
        Punpckhdq_xmm_xmmm128 | Unpckhps_xmm_xmmm128 => xmm!(sh::punpckhdq),
        Punpckhqdq_xmm_xmmm128 | Unpckhpd_xmm_xmmm128 => xmm!(sh::punpckhqdq),
        Packsswb_xmm_xmmm128 => xmm!(sh::packsswb),
        Packuswb_xmm_xmmm128 => xmm!(sh::packuswb),
        Packssdw_xmm_xmmm128 => xmm!(sh::packssdw),
        Packusdw_xmm_xmmm128 => xmm!(sh::packusdw),
        Pshufd_xmm_xmmm128_imm8 => wide!(|_, s, i, _| sh::pshufd(s, i)),
        Pshuflw_xmm_xmmm128_imm8 => wide!(|_, s, i, _| sh::pshuflw(s, i)),
        Pshufhw_xmm_xmmm128_imm8 => wide!(|_, s, i, _| sh::pshufhw(s, i)),
        Shufps_xmm_xmmm128_imm8 => wide!(|d, s, i, _| sh::shufps(d, s, i)),
        Shufpd_xmm_xmmm128_imm8 => wide!(|d, s, i, _| sh::shufpd(d, s, i)),
        Pshufb_xmm_xmmm128 => xmm!(sh::pshufb),
        Palignr_xmm_xmmm128_imm8 => wide!(|d, s, i, _| sh::palignr(d, s, i)),
        Blendps_xmm_xmmm128_imm8 => wide!(|d, s, i, _| sh::blendps(d, s, i)),
        Blendpd_xmm_xmmm128_imm8 => wide!(|d, s, i, _| sh::blendpd(d, s, i)),
        Pblendw_xmm_xmmm128_imm8 => wide!(|d, s, i, _| sh::pblendw(d, s, i)),
        Pblendvb_xmm_xmmm128 => SimdOp::XmmMask { f: sh::pblendvb },
        Blendvps_xmm_xmmm128 => SimdOp::XmmMask { f: sh::blendvps },
        Blendvpd_xmm_xmmm128 => SimdOp::XmmMask { f: sh::blendvpd },
        Insertps_xmm_xmmm32_imm8 => narrow!(|d, s, i, _| sh::insertps(d, s, i)),
        Movddup_xmm_xmmm64 => narrow!(|_, s, _, _| sh::punpcklqdq(s, s)),
        Movsldup_xmm_xmmm128 => wide!(|_, s, _, _| sh::pshufd(s, 0xA0)),
        Movshdup_xmm_xmmm128 => wide!(|_, s, _, _| sh::pshufd(s, 0xF5)),
        Movhlps_xmm_xmm => wide!(|d, s, _, _| with_low64(d, (s >> 64) as u64)),
        Movlhps_xmm_xmm => wide!(|d, s, _, _| from_qwords([d as u64, s as u64])),
        Pmovsxbw_xmm_xmmm64 => extend!(sh::pmovsxbw),
        Pmovsxbd_xmm_xmmm32 => extend!(sh::pmovsxbd),
        Pmovsxbq_xmm_xmmm16 => extend!(sh::pmovsxbq),
        Pmovsxwd_xmm_xmmm64 => extend!(sh::pmovsxwd),
        Pmovsxwq_xmm_xmmm32 => extend!(sh::pmovsxwq),
        Pmovsxdq_xmm_xmmm64 => extend!(sh::pmovsxdq),
        Pmovzxbw_xmm_xmmm64 => extend!(sh::pmovzxbw),
        Pmovzxbd_xmm_xmmm32 => extend!(sh::pmovzxbd),
        Pmovzxbq_xmm_xmmm16 => extend!(sh::pmovzxbq),
        Pmovzxwd_xmm_xmmm64 => extend!(sh::pmovzxwd),
        Pmovzxwq_xmm_xmmm32 => extend!(sh::pmovzxwq),
        Pmovzxdq_xmm_xmmm64 => extend!(sh::pmovzxdq),
        _ => return None,
    })
}

fn multimedia(code: Code) -> Option<SimdOp> {
    use Code::*;
    macro_rules! high {
        ($f:path) => {
            SimdOp::Mmx { f: |d, s, _| ($f(u128::from(d), u128::from(s)) >> 64) as u64 }
        };
    }
    macro_rules! pack {
        ($f:path) => {
            SimdOp::Mmx { f: |d, s, _| sh::pack_mm($f, d, s) }
        };
    }
    Some(match code {
        Paddb_mm_mmm64 => mmx!(int::paddb),
        Paddw_mm_mmm64 => mmx!(int::paddw),
        Paddd_mm_mmm64 => mmx!(int::paddd),
        Paddq_mm_mmm64 => mmx!(int::paddq),
        Psubb_mm_mmm64 => mmx!(int::psubb),
        Psubw_mm_mmm64 => mmx!(int::psubw),
        Psubd_mm_mmm64 => mmx!(int::psubd),
        Psubq_mm_mmm64 => mmx!(int::psubq),
        Paddusb_mm_mmm64 => mmx!(int::paddusb),
        Paddusw_mm_mmm64 => mmx!(int::paddusw),
        Psubusb_mm_mmm64 => mmx!(int::psubusb),
        Psubusw_mm_mmm64 => mmx!(int::psubusw),
        Paddsb_mm_mmm64 => mmx!(int::paddsb),
        Paddsw_mm_mmm64 => mmx!(int::paddsw),
        Psubsb_mm_mmm64 => mmx!(int::psubsb),
        Psubsw_mm_mmm64 => mmx!(int::psubsw),
        Pminub_mm_mmm64 => mmx!(int::pminub),
        Pmaxub_mm_mmm64 => mmx!(int::pmaxub),
        Pminsw_mm_mmm64 => mmx!(int::pminsw),
        Pmaxsw_mm_mmm64 => mmx!(int::pmaxsw),
        Pcmpeqb_mm_mmm64 => mmx!(int::pcmpeqb),
        Pcmpeqw_mm_mmm64 => mmx!(int::pcmpeqw),
        Pcmpeqd_mm_mmm64 => mmx!(int::pcmpeqd),
        Pcmpgtb_mm_mmm64 => mmx!(int::pcmpgtb),
        Pcmpgtw_mm_mmm64 => mmx!(int::pcmpgtw),
        Pcmpgtd_mm_mmm64 => mmx!(int::pcmpgtd),
        Pavgb_mm_mmm64 => mmx!(int::pavgb),
        Pavgw_mm_mmm64 => mmx!(int::pavgw),
        Pmullw_mm_mmm64 => mmx!(int::pmullw),
        Pmulhw_mm_mmm64 => mmx!(int::pmulhw),
        Pmulhuw_mm_mmm64 => mmx!(int::pmulhuw),
        Pmulhrsw_mm_mmm64 => mmx!(int::pmulhrsw),
        Pmuludq_mm_mmm64 => mmx!(int::pmuludq),
        Pmaddwd_mm_mmm64 => mmx!(int::pmaddwd),
        Pmaddubsw_mm_mmm64 => mmx!(int::pmaddubsw),
        Psadbw_mm_mmm64 => mmx!(int::psadbw),
        Psignb_mm_mmm64 => mmx!(int::psignb),
        Psignw_mm_mmm64 => mmx!(int::psignw),
        Psignd_mm_mmm64 => mmx!(int::psignd),
        Pabsb_mm_mmm64 => mmx!(int::pabsb),
        Pabsw_mm_mmm64 => mmx!(int::pabsw),
        Pabsd_mm_mmm64 => mmx!(int::pabsd),
        Phaddw_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| int::phw_mm(d, s, Horizontal::Add) },
        Phaddsw_mm_mmm64 => {
            SimdOp::Mmx { f: |d, s, _| int::phw_mm(d, s, Horizontal::AddSaturated) }
        }
        Phsubw_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| int::phw_mm(d, s, Horizontal::Sub) },
        Phsubsw_mm_mmm64 => {
            SimdOp::Mmx { f: |d, s, _| int::phw_mm(d, s, Horizontal::SubSaturated) }
        }
        Phaddd_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| int::phaddd_mm(d, s) },
        Phsubd_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| int::phsubd_mm(d, s) },
        Pand_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| d & s },
        Pandn_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| !d & s },
        Por_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| d | s },
        Pxor_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| d ^ s },
        Punpcklbw_mm_mmm32 => mmx!(sh::punpcklbw),
        Punpcklwd_mm_mmm32 => mmx!(sh::punpcklwd),
        Punpckldq_mm_mmm32 => mmx!(sh::punpckldq),
        // The high halves of 64-bit operands are the upper half of the XMM interleave.
        Punpckhbw_mm_mmm64 => high!(sh::punpcklbw),
        Punpckhwd_mm_mmm64 => high!(sh::punpcklwd),
        Punpckhdq_mm_mmm64 => high!(sh::punpckldq),
        Packsswb_mm_mmm64 => pack!(sh::packsswb),
        Packuswb_mm_mmm64 => pack!(sh::packuswb),
        Packssdw_mm_mmm64 => pack!(sh::packssdw),
        Pshufb_mm_mmm64 => SimdOp::Mmx { f: |d, s, _| sh::pshufb_mm(d, s) },
        Palignr_mm_mmm64_imm8 => SimdOp::Mmx { f: sh::palignr_mm },
        Pshufw_mm_mmm64_imm8 => SimdOp::Mmx { f: |_, s, i| sh::pshuflw(u128::from(s), i) as u64 },
        _ => return None,
    })
}

fn general(code: Code) -> Option<SimdOp> {
    use Code::*;
    macro_rules! insert {
        ($width:expr) => {
            SimdOp::FromGpr { f: |d, g, i, _| sh::insert(d, g, i, $width) }
        };
    }
    macro_rules! extract {
        ($width:expr) => {
            SimdOp::ToGpr { f: |s, i, _| sh::extract(s, i, $width) }
        };
    }
    macro_rules! crc {
        ($size:expr) => {
            SimdOp::Crc32 { f: |crc, s| sse42::crc32c(crc, s, $size) }
        };
    }
    let strings =
        |explicit, to_index| SimdOp::Str { f: sse42::compare_strings, explicit, to_index };
    Some(match code {
        Pinsrb_xmm_r32m8_imm8 | Pinsrb_xmm_r64m8_imm8 => insert!(8),
        Pinsrw_xmm_r32m16_imm8 | Pinsrw_xmm_r64m16_imm8 => insert!(16),
        Pinsrd_xmm_rm32_imm8 => insert!(32),
        Pinsrq_xmm_rm64_imm8 => insert!(64),
        Pextrb_r32m8_xmm_imm8 | Pextrb_r64m8_xmm_imm8 => extract!(8),
        Pextrw_r32_xmm_imm8
        | Pextrw_r64_xmm_imm8
        | Pextrw_r32m16_xmm_imm8
        | Pextrw_r64m16_xmm_imm8 => extract!(16),
        Pextrd_rm32_xmm_imm8 | Extractps_rm32_xmm_imm8 | Extractps_r64m32_xmm_imm8 => {
            extract!(32)
        }
        Pextrq_rm64_xmm_imm8 => extract!(64),
        Pmovmskb_r32_xmm | Pmovmskb_r64_xmm => SimdOp::ToGpr { f: |s, _, _| int::pmovmskb(s) },
        Movmskps_r32_xmm | Movmskps_r64_xmm => SimdOp::ToGpr { f: |s, _, _| int::movmskps(s) },
        Movmskpd_r32_xmm | Movmskpd_r64_xmm => SimdOp::ToGpr { f: |s, _, _| int::movmskpd(s) },
        Pinsrw_mm_r32m16_imm8 | Pinsrw_mm_r64m16_imm8 => {
            SimdOp::MmxFromGpr { f: |d, g, i| sh::insert(u128::from(d), g, i & 3, 16) as u64 }
        }
        Pextrw_r32_mm_imm8 | Pextrw_r64_mm_imm8 => {
            SimdOp::GprFromMmx { f: |s, i| sh::extract(u128::from(s), i & 3, 16) }
        }
        Pmovmskb_r32_mm | Pmovmskb_r64_mm => {
            SimdOp::GprFromMmx { f: |s, _| int::pmovmskb(u128::from(s)) }
        }
        Ptest_xmm_xmmm128 => SimdOp::Flags { f: |a, b, _| int::ptest(a, b), aligned: true },
        Pcmpestri_xmm_xmmm128_imm8 | Pcmpestri64_xmm_xmmm128_imm8 => strings(true, true),
        Pcmpestrm_xmm_xmmm128_imm8 | Pcmpestrm64_xmm_xmmm128_imm8 => strings(true, false),
        Pcmpistri_xmm_xmmm128_imm8 => strings(false, true),
        Pcmpistrm_xmm_xmmm128_imm8 => strings(false, false),
        Crc32_r32_rm8 | Crc32_r64_rm8 => crc!(1),
        Crc32_r32_rm16 => crc!(2),
        Crc32_r32_rm32 => crc!(4),
        Crc32_r64_rm64 => crc!(8),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use iced_x86::{CpuidFeature, EncodingKind, Mnemonic};

    use super::*;

    /// Moves, cache control and state instructions, which the core does itself.
    fn is_the_cores(mnemonic: Mnemonic) -> bool {
        use Mnemonic::*;
        matches!(
            mnemonic,
            Movaps | Movapd | Movups | Movupd | Movss | Movsd | Movlps | Movlpd | Movhps | Movhpd
        ) || matches!(
            mnemonic,
            Movd | Movq | Movdqa | Movdqu | Lddqu | Movntps | Movntpd | Movntdq | Movntdqa
        ) || matches!(
            mnemonic,
            Movntq | Movnti | Maskmovq | Maskmovdqu | Ldmxcsr | Stmxcsr | Emms | Clflush | Pause
        ) || matches!(
            mnemonic,
            Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2 | Sfence | Lfence | Mfence | Rdpmc
        )
    }

    #[test]
    fn every_instruction_up_to_sse42_that_computes_is_here() {
        use CpuidFeature::*;
        let mut missing = Vec::new();
        for code in Code::values() {
            let ours = code
                .cpuid_features()
                .iter()
                .any(|f| matches!(f, MMX | SSE | SSE2 | SSE3 | SSSE3 | SSE4_1 | SSE4_2));
            let x87 = code.cpuid_features().contains(&FPU);
            if ours
                && !x87
                && code.encoding() == EncodingKind::Legacy
                && !is_the_cores(code.mnemonic())
                && simd_lookup(code).is_none()
            {
                missing.push(code);
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn alignment_is_required_of_sixteen_byte_sources_alone() {
        for code in Code::values() {
            let Some(SimdOp::Xmm { aligned, .. }) = simd_lookup(code) else { continue };
            let memory = format!("{code:?}");
            let narrow = ["xmmm64", "xmmm32", "xmmm16"].iter().any(|s| memory.contains(s));
            assert_eq!(aligned, !narrow, "{code:?}");
        }
    }

    #[test]
    fn compares_report_in_rflags() {
        let Some(SimdOp::Flags { f, .. }) = simd_lookup(Code::Comisd_xmm_xmmm64) else {
            panic!("COMISD is missing");
        };
        let bits = |x: f64| u128::from(x.to_bits());
        let mut mxcsr = 0x1F80;
        assert_eq!(f(bits(1.0), bits(2.0), &mut mxcsr), 1);
        assert_eq!(f(bits(2.0), bits(2.0), &mut mxcsr), 0x40);
        assert_eq!(f(bits(f64::NAN), bits(2.0), &mut mxcsr), 0x45);
        assert_eq!(mxcsr & 1, 1);
    }

    /// Guest registers hold anything: no operand, immediate or MXCSR may panic.
    #[test]
    fn no_operation_panics() {
        let mut state = 0x0123_4567_89AB_CDEFu64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for op in Code::values().filter_map(simd_lookup) {
            for _ in 0..300 {
                let sparse = next() & next() & next();
                let a = u128::from(next()) << 64 | u128::from(next());
                let b = a ^ u128::from(sparse) << (next() % 64);
                let (imm, mut mxcsr) = (next() as u8, next() as u32);
                let (low, other) = (a as u64, b as u64);
                match op {
                    SimdOp::Xmm { f, .. } => drop(f(a, b, imm, &mut mxcsr)),
                    SimdOp::XmmMask { f } => drop(f(a, b, !a)),
                    SimdOp::Mmx { f } => drop(f(low, other, imm)),
                    SimdOp::FromGpr { f } => drop(f(a, other, imm, &mut mxcsr)),
                    SimdOp::ToGpr { f } => drop(f(a, imm, &mut mxcsr)),
                    SimdOp::Flags { f, .. } => assert_eq!(f(a, b, &mut mxcsr) & !0x8D5, 0),
                    SimdOp::Str { f, explicit, .. } => {
                        let length = explicit.then_some(low as i64);
                        assert!(f(a, b, length, length, imm).index <= 16);
                    }
                    SimdOp::MmxFromXmm { f, .. } => drop(f(a, &mut mxcsr)),
                    SimdOp::XmmFromMmx { f } => drop(f(a, other, &mut mxcsr)),
                    SimdOp::MmxFromGpr { f } => drop(f(low, other, imm)),
                    SimdOp::GprFromMmx { f } => assert!(f(low, imm) <= 0xFFFF),
                    SimdOp::Crc32 { f } => assert!(f(low, other) <= u64::from(u32::MAX)),
                }
            }
        }
    }
}
