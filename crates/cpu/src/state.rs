//! The architectural state of one processor or thread: [`CpuState`], plain data without host pointers.
//!
//! Register numbers are the hardware's ([`reg`]), flag bits those of RFLAGS ([`flag`]). Neighbours: [`crate::engine`]
//! runs it, [`crate::fxsave`] gives the 512-byte image. Source: Intel SDM volume 1, chapter 3, and volume 3A, 2.3-2.5.

use crate::fp::MXCSR_DEFAULT;
use crate::fp::x87::Fpu;

/// Register numbers as instructions encode them.
pub mod reg {
    /// RAX.
    pub const RAX: usize = 0;
    /// RCX.
    pub const RCX: usize = 1;
    /// RDX.
    pub const RDX: usize = 2;
    /// RBX.
    pub const RBX: usize = 3;
    /// RSP.
    pub const RSP: usize = 4;
    /// RBP.
    pub const RBP: usize = 5;
    /// RSI.
    pub const RSI: usize = 6;
    /// RDI.
    pub const RDI: usize = 7;
    /// R8.
    pub const R8: usize = 8;
    /// R9.
    pub const R9: usize = 9;
    /// R10.
    pub const R10: usize = 10;
    /// R11.
    pub const R11: usize = 11;
    /// R12.
    pub const R12: usize = 12;
    /// R13.
    pub const R13: usize = 13;
    /// R14.
    pub const R14: usize = 14;
    /// R15.
    pub const R15: usize = 15;
}

/// Indices into [`CpuState::seg`].
pub mod sreg {
    /// ES.
    pub const ES: usize = 0;
    /// CS.
    pub const CS: usize = 1;
    /// SS.
    pub const SS: usize = 2;
    /// DS.
    pub const DS: usize = 3;
    /// FS.
    pub const FS: usize = 4;
    /// GS.
    pub const GS: usize = 5;
}

/// Bits of RFLAGS.
pub mod flag {
    /// Carry.
    pub const CF: u64 = 1;
    /// Reads as one.
    pub const RESERVED_1: u64 = 1 << 1;
    /// Parity of the low byte.
    pub const PF: u64 = 1 << 2;
    /// Carry out of bit 3.
    pub const AF: u64 = 1 << 4;
    /// Zero.
    pub const ZF: u64 = 1 << 6;
    /// Sign.
    pub const SF: u64 = 1 << 7;
    /// Single step.
    pub const TF: u64 = 1 << 8;
    /// Interrupts are enabled.
    pub const IF: u64 = 1 << 9;
    /// String instructions go downwards.
    pub const DF: u64 = 1 << 10;
    /// Overflow.
    pub const OF: u64 = 1 << 11;
    /// I/O privilege level, two bits.
    pub const IOPL: u64 = 3 << 12;
    /// Nested task.
    pub const NT: u64 = 1 << 14;
    /// Resume: instruction breakpoints are off for one instruction.
    pub const RF: u64 = 1 << 16;
    /// Virtual 8086 mode.
    pub const VM: u64 = 1 << 17;
    /// Alignment check, or SMAP override at CPL 0.
    pub const AC: u64 = 1 << 18;
    /// CPUID can be executed if this can be changed.
    pub const ID: u64 = 1 << 21;
    /// The six arithmetic status flags.
    pub const STATUS: u64 = CF | PF | AF | ZF | SF | OF;
}

/// Attribute bits of a [`Segment`], as the second dword of a descriptor holds them, shifted right by 8.
pub mod seg_attr {
    /// Present.
    pub const PRESENT: u16 = 1 << 7;
    /// Code or data, not a system segment.
    pub const CODE_OR_DATA: u16 = 1 << 4;
    /// 64-bit code.
    pub const LONG: u16 = 1 << 13;
    /// 32-bit default operand size.
    pub const BIG: u16 = 1 << 14;
    /// The limit counts pages.
    pub const GRANULAR: u16 = 1 << 15;
    /// A ring-3 64-bit code segment.
    pub const CODE64_USER: u16 = 0xA0FB;
    /// A ring-3 32-bit code segment.
    pub const CODE32_USER: u16 = 0xC0FB;
    /// A ring-0 64-bit code segment.
    pub const CODE64_KERNEL: u16 = 0xA09B;
    /// A ring-3 data segment.
    pub const DATA_USER: u16 = 0xC0F3;
    /// A ring-0 data segment.
    pub const DATA_KERNEL: u16 = 0xC093;
}

/// Selectors of NT's x64 descriptor table, which is what segment loads know here.
pub mod selector {
    /// Ring-0 code.
    pub const KERNEL_CODE: u16 = 0x10;
    /// Ring-0 data.
    pub const KERNEL_DATA: u16 = 0x18;
    /// Ring-3 32-bit code (WOW64).
    pub const USER_CODE32: u16 = 0x23;
    /// Ring-3 data.
    pub const USER_DATA: u16 = 0x2B;
    /// Ring-3 64-bit code.
    pub const USER_CODE: u16 = 0x33;
    /// The 32-bit TEB, in FS.
    pub const USER_TEB: u16 = 0x53;
}

/// One segment register with its hidden part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// The visible part.
    pub selector: u16,
    /// Linear address of the first byte.
    pub base: u64,
    /// Highest valid offset.
    pub limit: u32,
    /// Bits of [`seg_attr`].
    pub attributes: u16,
}

impl Segment {
    /// A flat segment of 4 GiB.
    pub const fn flat(selector: u16, attributes: u16) -> Self {
        Self { selector, base: 0, limit: u32::MAX, attributes }
    }
}

/// The architectural state of one processor or thread.
///
/// `rflags` is complete whenever the engine does not run. Bit 1 of it always reads as one.
#[derive(Clone, Debug)]
pub struct CpuState {
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15; see [`reg`].
    pub gpr: [u64; 16],
    /// The next instruction.
    pub rip: u64,
    /// RFLAGS; see [`flag`].
    pub rflags: u64,
    /// ES CS SS DS FS GS; see [`sreg`].
    pub seg: [Segment; 6],
    /// Control register 0.
    pub cr0: u64,
    /// The address of the last page fault.
    pub cr2: u64,
    /// The physical address of the top page table.
    pub cr3: u64,
    /// Control register 4.
    pub cr4: u64,
    /// The task priority: IRQL on NT.
    pub cr8: u64,
    /// Debug registers; 4 and 5 are unused.
    pub dr: [u64; 8],
    /// EFER (MSR C000_0080h).
    pub efer: u64,
    /// STAR (MSR C000_0081h).
    pub star: u64,
    /// LSTAR (MSR C000_0082h).
    pub lstar: u64,
    /// CSTAR (MSR C000_0083h).
    pub cstar: u64,
    /// SFMASK (MSR C000_0084h).
    pub fmask: u64,
    /// KERNEL_GS_BASE (MSR C000_0102h), which SWAPGS exchanges with the base of GS.
    pub kernel_gs_base: u64,
    /// TSC_AUX (MSR C000_0103h), which RDTSCP gives.
    pub tsc_aux: u64,
    /// SYSENTER_CS, SYSENTER_ESP and SYSENTER_EIP (MSRs 174h to 176h).
    pub sysenter: [u64; 3],
    /// IA32_PAT (MSR 277h): kept, without effect.
    pub pat: u64,
    /// IA32_APIC_BASE (MSR 1Bh): kept, without effect.
    pub apic_base: u64,
    /// The base and limit of the global descriptor table, for SGDT and LGDT.
    pub gdtr: (u64, u16),
    /// The base and limit of the interrupt descriptor table, for SIDT and LIDT.
    pub idtr: (u64, u16),
    /// The local descriptor table's selector, for SLDT and LLDT.
    pub ldtr: u16,
    /// The task register's selector, for STR and LTR.
    pub tr: u16,
    /// The SSE registers.
    pub xmm: [u128; 16],
    /// SSE control and status.
    pub mxcsr: u32,
    /// The x87 and MMX unit.
    pub fpu: Fpu,
}

impl Default for CpuState {
    fn default() -> Self {
        Self::user_mode()
    }
}

impl CpuState {
    /// A 64-bit CPL 3 thread with NT's flat segments, zero registers and interrupts enabled.
    pub fn user_mode() -> Self {
        let data = Segment::flat(selector::USER_DATA, seg_attr::DATA_USER);
        let code = Segment::flat(selector::USER_CODE, seg_attr::CODE64_USER);
        let teb = Segment::flat(selector::USER_TEB, seg_attr::DATA_USER);
        Self {
            gpr: [0; 16],
            rip: 0,
            rflags: flag::RESERVED_1 | flag::IF,
            seg: [data, code, data, data, teb, data],
            // PE, MP, ET, NE, WP, AM, PG.
            cr0: 0x8005_0033,
            cr2: 0,
            cr3: 0,
            // PAE, PGE, OSFXSR, OSXMMEXCPT, FSGSBASE.
            cr4: 0x0001_06A0,
            cr8: 0,
            dr: [0, 0, 0, 0, 0, 0, 0xFFFF_0FF0, 0x400],
            // SCE, LME, LMA, NXE.
            efer: 0xD01,
            star: 0x0023_0010_0000_0000,
            lstar: 0,
            cstar: 0,
            fmask: 0x4700,
            kernel_gs_base: 0,
            tsc_aux: 0,
            sysenter: [0; 3],
            pat: 0x0007_0406_0007_0406,
            apic_base: 0xFEE0_0900,
            gdtr: (0, 0x7F),
            idtr: (0, 0xFFF),
            ldtr: 0,
            tr: 0x40,
            xmm: [0; 16],
            mxcsr: MXCSR_DEFAULT,
            fpu: Fpu::new(),
        }
    }

    /// The same thread in the kernel: CPL 0, NT's kernel selectors.
    pub fn kernel_mode() -> Self {
        let mut new = Self::user_mode();
        new.seg[sreg::CS] = Segment::flat(selector::KERNEL_CODE, seg_attr::CODE64_KERNEL);
        new.seg[sreg::SS] = Segment::flat(selector::KERNEL_DATA, seg_attr::DATA_KERNEL);
        new
    }

    /// The current privilege level: the RPL of CS.
    #[inline(always)]
    pub fn cpl(&self) -> u8 {
        (self.seg[sreg::CS].selector & 3) as u8
    }

    /// The width of the code segment: 64, 32 or 16.
    pub fn bitness(&self) -> u32 {
        let attributes = self.seg[sreg::CS].attributes;
        if attributes & seg_attr::LONG != 0 {
            64
        } else if attributes & seg_attr::BIG != 0 {
            32
        } else {
            16
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_thread_is_flat_64_bit_user_mode() {
        let cpu = CpuState::default();
        assert_eq!(cpu.cpl(), 3);
        assert_eq!(cpu.bitness(), 64);
        assert_eq!(CpuState::kernel_mode().cpl(), 0);
    }
}
