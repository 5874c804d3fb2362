//! Which instruction forms are generated, and why the others are not.
//!
//! Key functions: [`generated`], [`exclusion`]. Forms are iced-x86's [`Code`]s. Everything that x86-64-v2 has at CPL 3
//! is generated, also what is privileged and faults there; a form that cannot be compared with the host has its reason
//! in [`EXCLUDED`].

use iced_x86::{Code, CpuidFeature, EncodingKind, Mnemonic, OpCodeOperandKind};

use crate::case::Mode;

/// Why a whole mnemonic is not compared with the host.
pub const EXCLUDED: &[(&[Mnemonic], &str)] = &[
    (&[Mnemonic::Rdtsc, Mnemonic::Rdtscp, Mnemonic::Rdpmc], "the host's clock is not the guest's"),
    (
        &[Mnemonic::Tzcnt, Mnemonic::Lzcnt],
        "runs as BSF or BSR on x86-64-v2, as itself on a newer host",
    ),
    (&[Mnemonic::Cpuid, Mnemonic::Xgetbv], "the host is another processor model"),
    (
        &[Mnemonic::Syscall, Mnemonic::Sysenter, Mnemonic::Sysexit, Mnemonic::Sysret],
        "enters the host's kernel; the emulator's own tests cover it",
    ),
    (
        &[Mnemonic::Int1],
        "a trap, but some hypervisors report it as a fault, with RIP at the instruction",
    ),
    (&[Mnemonic::Int], "the emulator hands vectors to its caller, the host's IDT refuses them"),
    (
        &[Mnemonic::Sgdt, Mnemonic::Sidt, Mnemonic::Sldt, Mnemonic::Str, Mnemonic::Smsw],
        "shows the host kernel's own tables, or its emulation of them",
    ),
    (
        &[Mnemonic::Lar, Mnemonic::Lsl, Mnemonic::Verr, Mnemonic::Verw],
        "reads the host kernel's descriptor table",
    ),
    (
        &[
            Mnemonic::Lds,
            Mnemonic::Les,
            Mnemonic::Lss,
            Mnemonic::Lfs,
            Mnemonic::Lgs,
            Mnemonic::Iret,
            Mnemonic::Iretd,
            Mnemonic::Iretq,
            Mnemonic::Retf,
        ],
        "loads selectors from memory: nearly all values fault, and the rest change mode",
    ),
    (&[Mnemonic::Rdpid, Mnemonic::Rdrand, Mnemonic::Rdseed], "no defined result"),
    (
        &[Mnemonic::Rcpps, Mnemonic::Rcpss, Mnemonic::Rsqrtps, Mnemonic::Rsqrtss],
        "an approximation: each processor model has its own table",
    ),
    (&[Mnemonic::Monitor, Mnemonic::Mwait], "privileged or not by a model-specific register"),
    (&[Mnemonic::Ud0], "its length differs between vendors"),
    (
        &[Mnemonic::Fstdw, Mnemonic::Fstsg, Mnemonic::Frstpm, Mnemonic::Fnstdw, Mnemonic::Fnstsg],
        "80287 and 80387 only",
    ),
];

/// Features of x86-64-v2, the processor that the emulator is.
const FEATURES: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::FPU,
    CpuidFeature::FPU287,
    CpuidFeature::FPU387,
    CpuidFeature::CMOV,
    CpuidFeature::CX8,
    CpuidFeature::CMPXCHG16B,
    CpuidFeature::FXSR,
    CpuidFeature::MMX,
    CpuidFeature::SSE,
    CpuidFeature::SSE2,
    CpuidFeature::SSE3,
    CpuidFeature::SSSE3,
    CpuidFeature::SSE4_1,
    CpuidFeature::SSE4_2,
    CpuidFeature::POPCNT,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::CLFSH,
    CpuidFeature::PREFETCHW,
    CpuidFeature::FSGSBASE,
    CpuidFeature::MSR,
];

/// The reason of forms that the emulator refuses with #UD, or ignores where they are hints.
pub const NOT_IN_V2: &str = "not in x86-64-v2";

/// Why a form is not compared with the host, if it is not.
pub fn exclusion(code: Code, mode: Mode) -> Option<&'static str> {
    let op = code.op_code();
    if !op.is_instruction() {
        return Some("not an instruction");
    }
    let in_mode = match mode {
        Mode::Long => op.mode64(),
        Mode::Compatibility => op.mode32(),
    };
    if op.encoding() != EncodingKind::Legacy || !in_mode {
        return Some("not an instruction of this mode without VEX");
    }
    if op
        .op_kinds()
        .iter()
        .any(|kind| matches!(kind, OpCodeOperandKind::farbr2_2 | OpCodeOperandKind::farbr4_2))
    {
        return Some("changes the code segment");
    }
    if op.fwait() {
        return Some("two instructions: wait, then the form without wait");
    }
    if let Some((_, reason)) = EXCLUDED.iter().find(|(all, _)| all.contains(&code.mnemonic())) {
        return Some(reason);
    }
    if matches!(code, Code::Endbr64 | Code::Endbr32) {
        // No operation on every processor that does not track branches.
        return None;
    }
    if !code.cpuid_features().iter().all(|feature| FEATURES.contains(feature)) {
        return Some(NOT_IN_V2);
    }
    match code {
        Code::Call_rel16 | Code::Call_rm16 | Code::Jmp_rel16 | Code::Jmp_rm16 => {
            Some("the operand-size prefix on near branches differs between vendors")
        }
        Code::Retnw | Code::Retnw_imm16 | Code::Jmp_rel8_16 => {
            Some("the operand-size prefix on near branches differs between vendors")
        }
        _ if code.is_jcc_short_or_near() && op.operand_size() == 16 => {
            Some("the operand-size prefix on near branches differs between vendors")
        }
        _ if matches!(
            code.mnemonic(),
            Mnemonic::Loop
                | Mnemonic::Loope
                | Mnemonic::Loopne
                | Mnemonic::Jcxz
                | Mnemonic::Jecxz
                | Mnemonic::Jrcxz
        ) && op.operand_size() == 16 =>
        {
            Some("the operand-size prefix on near branches differs between vendors")
        }
        Code::Call_m1616
        | Code::Call_m1632
        | Code::Call_m1664
        | Code::Jmp_m1616
        | Code::Jmp_m1632
        | Code::Jmp_m1664 => {
            Some("loads selectors from memory: nearly all values fault, and the rest change mode")
        }
        Code::Mov_Sreg_rm16 | Code::Mov_Sreg_r32m16 | Code::Mov_Sreg_r64m16 => {
            Some("reads the host kernel's descriptor table")
        }
        Code::Popw_DS
        | Code::Popd_DS
        | Code::Popw_ES
        | Code::Popd_ES
        | Code::Popw_SS
        | Code::Popd_SS
        | Code::Popd_FS
        | Code::Popd_GS
        | Code::Popw_FS
        | Code::Popq_FS
        | Code::Popw_GS
        | Code::Popq_GS => Some("reads the host kernel's descriptor table"),
        Code::Movsxd_r16_rm16 => Some("AMD's processors read 32 bits, Intel's 16"),
        Code::Reservednop_rm16_r16_0F0D
        | Code::Reservednop_rm32_r32_0F0D
        | Code::Reservednop_rm64_r64_0F0D => {
            Some("with a register, AMD's processors refuse it and Intel's do nothing")
        }
        Code::Bswap_r16 => Some("undefined result"),
        _ => None,
    }
}

/// Every form that is generated in a mode.
pub fn generated(mode: Mode) -> Vec<Code> {
    Code::values().filter(|&code| exclusion(code, mode).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_has_all_families() {
        let all = generated(Mode::Long);
        for code in [
            Code::Add_rm64_r64,
            Code::Fadd_m64fp,
            Code::Pmaddubsw_mm_mmm64,
            Code::Pcmpestri_xmm_xmmm128_imm8,
            Code::Cmpxchg16b_m128,
            Code::Movsq_m64_m64,
            Code::Fxsave64_m512byte,
        ] {
            assert!(all.contains(&code), "{code:?}");
        }
        assert!(!all.contains(&Code::Syscall));
        assert!(!all.contains(&Code::VEX_Vaddpd_xmm_xmm_xmmm128));
    }
}
