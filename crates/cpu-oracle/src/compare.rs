//! Compares two outcomes of a case, leaving out what the architecture leaves undefined.
//!
//! Key function: [`differences`]. What is let pass has its reason beside it.

use std::fmt::Write as _;

use iced_x86::{Mnemonic, RflagsBits};

use crate::case::{Ending, Mode, Outcome};
use crate::generated::Generated;
use crate::layout;
use crate::trampoline::CONTROL;

/// RFLAGS bits that are compared: all that user code can see but RF, which the two sides store differently in the
/// state of a fault.
const COMPARED_FLAGS: u64 = 0x3F_FFFF & !(1 << 16);

/// MXCSR.MM: misaligned SSE memory operands are allowed.
const MISALIGNED_MODE: u32 = 1 << 17;

/// The end of what a Linux process can map.
const USER_END: u64 = 0x7FFF_FFFF_F000;

const FLAG_BITS: [(u32, u64); 9] = [
    (RflagsBits::OF, 1 << 11),
    (RflagsBits::SF, 1 << 7),
    (RflagsBits::ZF, 1 << 6),
    (RflagsBits::AF, 1 << 4),
    (RflagsBits::CF, 1),
    (RflagsBits::PF, 1 << 2),
    (RflagsBits::DF, 1 << 10),
    (RflagsBits::IF, 1 << 9),
    (RflagsBits::AC, 1 << 18),
];

const STATUS_BITS: [(u32, u16); 4] = [
    (RflagsBits::C0, 1 << 8),
    (RflagsBits::C1, 1 << 9),
    (RflagsBits::C2, 1 << 10),
    (RflagsBits::C3, 1 << 14),
];

/// Transcendental instructions: results may differ in the last places, since each processor model has its own
/// approximation.
pub const TRANSCENDENTAL: [Mnemonic; 8] = [
    Mnemonic::F2xm1,
    Mnemonic::Fyl2x,
    Mnemonic::Fyl2xp1,
    Mnemonic::Fptan,
    Mnemonic::Fpatan,
    Mnemonic::Fsin,
    Mnemonic::Fcos,
    Mnemonic::Fsincos,
];

/// Units in the last place by which a transcendental result may differ: both sides may err by one.
const TRANSCENDENTAL_ULPS: u64 = 2;

/// One register or memory word that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What differs: `rax`, `flags`, `memory`….
    pub what: &'static str,
    /// What the host has and what the other has.
    pub detail: String,
}

const GPR_NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// x87 comparisons.
const X87_COMPARISONS: [Mnemonic; 14] = [
    Mnemonic::Fcom,
    Mnemonic::Fcomp,
    Mnemonic::Fcompp,
    Mnemonic::Fucom,
    Mnemonic::Fucomp,
    Mnemonic::Fucompp,
    Mnemonic::Ficom,
    Mnemonic::Ficomp,
    Mnemonic::Ftst,
    Mnemonic::Fcomi,
    Mnemonic::Fcomip,
    Mnemonic::Fucomi,
    Mnemonic::Fucomip,
    Mnemonic::Fxam,
];

/// IE and the error summary in the x87 status word.
const UNMASKED_INVALID: u16 = 0x81;

/// CF, PF, AF, ZF, SF and OF.
const STATUS_FLAGS: u64 = 0x8D5;

/// True if an operand is moved in several parts, so that models may differ in which they touch first: x87 numbers of
/// ten bytes, environments and state images.
fn has_operand_in_parts(made: &Generated) -> bool {
    made.instructions().iter().any(|instruction| {
        let size = instruction.memory_size().size();
        size > 16 || (size > 8 && size < 16)
    })
}

/// Why a case that ends differently proves nothing, if it does not.
fn implementation_dependent(
    made: &Generated,
    host: &Outcome,
    other: &Outcome,
) -> Option<&'static str> {
    let memory_fault = |ending| matches!(ending, Ending::Fault { vector: 12..=14, .. });
    let simd_fault = |ending| matches!(ending, Ending::Fault { vector: 19, .. });
    let (expected, got) = (host.ending(), other.ending());
    if host.state.mxcsr() & MISALIGNED_MODE != 0 {
        return Some("AMD's processors have an MXCSR bit that the emulator, as Intel's, refuses");
    }
    if !made.is_single()
        && host.state.fsw() & UNMASKED_INVALID == UNMASKED_INVALID
        && has_mnemonic(made, &X87_COMPARISONS)
    {
        return Some("whether a comparison with an unmasked invalid operand sets the flags");
    }
    if memory_fault(expected) && memory_fault(got) && has_operand_in_parts(made) {
        return Some("which part of a long operand is touched first");
    }
    if memory_fault(expected)
        && memory_fault(got)
        && has_mnemonic(made, &[Mnemonic::Pusha, Mnemonic::Pushad, Mnemonic::Popa, Mnemonic::Popad])
    {
        return Some("how far PUSHA and POPA come before a fault");
    }
    if let Ending::Fault { vector: 14, address, .. } = got
        && (CONTROL as u64..CONTROL as u64 + 0x2000).contains(&address)
    {
        return Some("the runner's own memory");
    }
    if let (Ending::Fault { vector: 13, .. }, Ending::Fault { vector: 14, address, .. }) =
        (expected, got)
        && address >> 63 != 0
    {
        return Some("some hypervisors refuse parts of the kernel's half");
    }
    if simd_fault(expected)
        && simd_fault(got)
        && (host.state.mxcsr() ^ other.state.mxcsr()) & !0x38 == 0
        && has_mnemonic(made, &[Mnemonic::Dpps, Mnemonic::Dppd])
    {
        return Some("which exceptions of a dot product's other steps are told with #XM");
    }
    if (memory_fault(expected) || memory_fault(got))
        && has_mnemonic(made, &[Mnemonic::Maskmovq, Mnemonic::Maskmovdqu])
    {
        return Some("whether bytes that are masked out can fault");
    }
    if simd_fault(expected)
        && simd_fault(got)
        && has_mnemonic(
            made,
            &[
                Mnemonic::Cvtps2pi,
                Mnemonic::Cvttps2pi,
                Mnemonic::Cvtpd2pi,
                Mnemonic::Cvttpd2pi,
                Mnemonic::Cvtpi2ps,
                Mnemonic::Cvtpi2pd,
            ],
        )
    {
        return Some("whether the x87 registers become MMX registers before the exception");
    }
    if made.is_single() {
        let (significand, exponent) = made.case.state.st(0);
        let magnitude = exponent & 0x7FFF;
        let beyond_one = magnitude > 0x3FFF || (magnitude == 0x3FFF && significand << 1 != 0);
        if has_mnemonic(made, &[Mnemonic::F2xm1]) && beyond_one {
            return Some("F2XM1 is defined from -1 to 1");
        }
        // sqrt(2) - 1 is above, 1 - sqrt(1/2) just above a quarter.
        if has_mnemonic(made, &[Mnemonic::Fyl2xp1]) && magnitude >= 0x3FFD {
            return Some("FYL2XP1 is defined near zero");
        }
    }
    None
}

fn has_mnemonic(made: &Generated, wanted: &[Mnemonic]) -> bool {
    made.mnemonics().iter().any(|mnemonic| wanted.contains(mnemonic))
}

/// Lists what differs between what the host gave and what another engine gave.
pub fn differences(made: &Generated, host: &Outcome, other: &Outcome) -> Vec<Difference> {
    let mut found = Vec::new();
    if matches!(host.ending(), Ending::Crashed | Ending::Timeout) {
        // A case that is cut off on the host proves nothing.
        return found;
    }
    if matches!(host.ending(), Ending::Fault { vector: 17, .. }) {
        // The emulator does no alignment checks (EFLAGS.AC), which no Windows program turns on.
        return found;
    }
    if implementation_dependent(made, host, other).is_some() {
        return found;
    }
    let mut differs = |what, detail| found.push(Difference { what, detail });
    let (expected, got) = (normal(host.ending()), normal(other.ending()));
    if expected != got {
        differs("ending", format!("host {expected:x?}, got {got:x?}"));
        return found;
    }
    let (a, b) = (&host.state, &other.state);
    if a.rip != b.rip {
        differs("rip", format!("host {:#x}, got {:#x}", a.rip, b.rip));
    }
    // What 32-bit code leaves in the upper halves is not defined.
    let (registers, register_mask) = match made.case.mode() {
        Mode::Long => (16, u64::MAX),
        Mode::Compatibility => (8, 0xFFFF_FFFF),
    };
    for (n, name) in GPR_NAMES.iter().enumerate().take(registers) {
        if (a.gpr[n] ^ b.gpr[n]) & register_mask != 0 {
            differs(name, format!("host {:#x}, got {:#x}", a.gpr[n], b.gpr[n]));
        }
    }
    let finished = host.ending() == Ending::Finished;
    let undefined = if finished { made.undefined_at_end } else { made.undefined_ever };
    let mut mask = COMPARED_FLAGS;
    if has_mnemonic(made, &X87_COMPARISONS)
        && host.state.fsw() & UNMASKED_INVALID == UNMASKED_INVALID
    {
        mask &= !STATUS_FLAGS;
    }
    for (theirs, bit) in FLAG_BITS {
        if undefined & theirs != 0 {
            mask &= !bit;
        }
    }
    if (a.rflags ^ b.rflags) & mask != 0 {
        differs(
            "flags",
            format!(
                "host {:#x}, got {:#x}, in {}",
                a.rflags,
                b.rflags,
                flag_names((a.rflags ^ b.rflags) & mask)
            ),
        );
    }
    for n in 0..16 {
        if a.xmm(n) != b.xmm(n) {
            differs("xmm", format!("xmm{n}: host {:#034x}, got {:#034x}", a.xmm(n), b.xmm(n)));
        }
    }
    if a.mxcsr() != b.mxcsr() {
        differs("mxcsr", format!("host {:#x}, got {:#x}", a.mxcsr(), b.mxcsr()));
    }
    if a.fcw() != b.fcw() {
        differs("fcw", format!("host {:#x}, got {:#x}", a.fcw(), b.fcw()));
    }
    let transcendental = has_mnemonic(made, &TRANSCENDENTAL);
    let mut status_mask = 0xFFFF;
    if has_mnemonic(made, &X87_COMPARISONS)
        && host.state.fsw() & UNMASKED_INVALID == UNMASKED_INVALID
    {
        // With an unmasked invalid operand Intel's processors leave the result flags, AMD's set them.
        status_mask &= !0x4500;
    }
    for (theirs, bit) in STATUS_BITS {
        if undefined & theirs != 0 {
            status_mask &= !bit;
        }
    }
    if transcendental {
        // C1 says whether an approximation was rounded up, PE whether it was rounded at all: some models say so always.
        status_mask &= !(1 << 9 | 1 << 5);
    }
    if (a.fsw() ^ b.fsw()) & status_mask != 0 {
        differs("fsw", format!("host {:#x}, got {:#x}", a.fsw(), b.fsw()));
    }
    if a.ftw() != b.ftw() {
        differs("ftw", format!("host {:#x}, got {:#x}", a.ftw(), b.ftw()));
    }
    for n in 0..8 {
        let (x, y) = (a.st(n), b.st(n));
        let near = transcendental && ulps(x, y).is_some_and(|ulps| ulps <= TRANSCENDENTAL_ULPS);
        if x != y && !near {
            differs(
                "st",
                format!("st{n}: host {:#x}:{:#018x}, got {:#x}:{:#018x}", x.1, x.0, y.1, y.0),
            );
        }
    }
    if (a.fs_base, a.gs_base) != (b.fs_base, b.gs_base) {
        differs(
            "segment base",
            format!(
                "host fs {:#x} gs {:#x}, got {:#x} {:#x}",
                a.fs_base, a.gs_base, b.fs_base, b.gs_base
            ),
        );
    }
    if (host.change_count, host.change_hash) != (other.change_count, other.change_hash)
        && let Some(detail) = memory_difference(made, host, other)
    {
        differs("memory", detail);
    }
    found
}

/// The ending, with what the host's kernel changes in it taken out.
fn normal(ending: Ending) -> Ending {
    match ending {
        // The kernel reports every page that is not user space's as present.
        Ending::Fault { vector: 14, error_code, address } if address >= USER_END => {
            Ending::Fault { vector: 14, error_code: error_code & !1, address }
        }
        other => other,
    }
}

fn flag_names(bits: u64) -> String {
    const NAMES: [(u64, &str); 12] = [
        (1, "CF"),
        (1 << 2, "PF"),
        (1 << 4, "AF"),
        (1 << 6, "ZF"),
        (1 << 7, "SF"),
        (1 << 8, "TF"),
        (1 << 9, "IF"),
        (1 << 10, "DF"),
        (1 << 11, "OF"),
        (1 << 14, "NT"),
        (1 << 18, "AC"),
        (1 << 21, "ID"),
    ];
    let names: Vec<_> =
        NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    names.join(" ")
}

/// The distance of two 80-bit numbers of the same sign in units of the last place, if it is small.
fn ulps(a: (u64, u16), b: (u64, u16)) -> Option<u64> {
    if (a.1 ^ b.1) & 0x8000 != 0 || a.1 & 0x7FFF == 0x7FFF || b.1 & 0x7FFF == 0x7FFF {
        return None;
    }
    // Exponent and significand form one number when the integer bit is left out.
    let whole = |(significand, exponent): (u64, u16)| {
        (u128::from(exponent & 0x7FFF) << 63) + u128::from(significand & !(1 << 63))
    };
    u64::try_from(whole(a).abs_diff(whole(b))).ok()
}

/// Instructions that store the x87 instruction and data pointers, which AMD and Intel processors keep differently,
/// or the mask of MXCSR bits that the processor model has.
pub(crate) const STORES_POINTERS: [Mnemonic; 4] =
    [Mnemonic::Fnstenv, Mnemonic::Fnsave, Mnemonic::Fxsave, Mnemonic::Fxsave64];

fn memory_difference(made: &Generated, host: &Outcome, other: &Outcome) -> Option<String> {
    let mut detail = String::new();
    if has_mnemonic(made, &STORES_POINTERS) {
        // Only generated alone, so that the place is known.
        let ignored = pointer_words(made);
        let pick = |outcome: &Outcome| -> Vec<_> {
            outcome.changes().iter().filter(|c| !ignored(c.offset)).copied().collect()
        };
        if pick(host) == pick(other) {
            return None;
        }
    }
    let (mine, theirs) = (host.changes(), other.changes());
    for change in mine.iter().filter(|change| !theirs.contains(change)).take(6) {
        let _ = write!(
            detail,
            "[{:#x}] host {:#018x}; ",
            layout::address_of(change.offset as usize),
            change.value
        );
    }
    for change in theirs.iter().filter(|change| !mine.contains(change)).take(6) {
        let _ = write!(
            detail,
            "[{:#x}] got {:#018x}; ",
            layout::address_of(change.offset as usize),
            change.value
        );
    }
    let _ = write!(detail, "{} and {} words", host.change_count, other.change_count);
    Some(detail)
}

/// Tells the words of memory that hold the pointers of an image stored by a single instruction.
fn pointer_words(made: &Generated) -> impl Fn(u64) -> bool {
    let operand = made.operand_address();
    let mnemonic = made.mnemonics().first().copied().unwrap_or(Mnemonic::INVALID);
    let (first, last) = match mnemonic {
        // FOP to the MXCSR mask.
        Mnemonic::Fxsave | Mnemonic::Fxsave64 => (6, 32),
        // The whole environment but control, status and tag words.
        _ if made.has_16_bit_image() => (6, 14),
        _ => (12, 28),
    };
    move |offset| {
        let Some(start) = operand.and_then(layout::offset_of) else { return false };
        let (from, to) = (start as u64 + first, start as u64 + last);
        offset + 8 > from && offset < to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_across_a_power_of_two_are_one_apart() {
        assert_eq!(ulps((u64::MAX, 0x3FFE), (1 << 63, 0x3FFF)), Some(1));
        assert_eq!(ulps((1 << 63, 0x3FFF), (1 << 63, 0xBFFF)), None);
    }

    #[test]
    fn kernel_addresses_do_not_tell_whether_they_are_present() {
        let at = |error_code, address| Ending::Fault { vector: 14, error_code, address };
        assert_eq!(normal(at(5, u64::MAX)), normal(at(4, u64::MAX)));
        assert_ne!(normal(at(5, 0x1000)), normal(at(4, 0x1000)));
    }
}
