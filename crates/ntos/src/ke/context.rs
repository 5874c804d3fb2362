//! Between a processor's registers and a `CONTEXT` record.

use abi::context::*;
use cpu::{CpuState, flag, reg};
use zerocopy::FromZeros;

/// RFLAGS bits that user mode may set.
const USER_FLAGS: u64 =
    flag::STATUS | flag::TF | flag::DF | flag::NT | flag::RF | flag::AC | flag::ID;

/// The registers as a `CONTEXT` with the parts that `flags` names.
pub fn capture(cpu: &CpuState, flags: u32) -> CONTEXT {
    let mut context = CONTEXT::new_zeroed();
    context.ContextFlags = flags;
    let [es, cs, ss, ds, fs, gs] = cpu.seg.map(|segment| segment.selector);
    if flags & CONTEXT_CONTROL == CONTEXT_CONTROL {
        context.Rip = cpu.rip;
        context.SegCs = cs;
        context.SegSs = ss;
        context.EFlags = cpu.rflags as u32;
        context.Gpr[reg::RSP] = cpu.gpr[reg::RSP];
    }
    if flags & CONTEXT_INTEGER == CONTEXT_INTEGER {
        let rsp = context.Gpr[reg::RSP];
        context.Gpr = cpu.gpr;
        context.Gpr[reg::RSP] = rsp;
    }
    if flags & CONTEXT_SEGMENTS == CONTEXT_SEGMENTS {
        context.SegDs = ds;
        context.SegEs = es;
        context.SegFs = fs;
        context.SegGs = gs;
    }
    if flags & CONTEXT_FLOATING_POINT == CONTEXT_FLOATING_POINT {
        context.FltSave = cpu.write_fxsave();
        context.MxCsr = cpu.mxcsr;
    }
    if flags & CONTEXT_DEBUG_REGISTERS == CONTEXT_DEBUG_REGISTERS {
        [context.Dr0, context.Dr1, context.Dr2, context.Dr3, _, _, context.Dr6, context.Dr7] =
            cpu.dr;
    }
    context
}

/// Loads the parts of a `CONTEXT` that its flags name. User mode cannot change the mode it runs in.
pub fn restore(cpu: &mut CpuState, context: &CONTEXT) {
    let flags = context.ContextFlags;
    if flags & CONTEXT_CONTROL == CONTEXT_CONTROL {
        cpu.rip = context.Rip;
        cpu.gpr[reg::RSP] = context.Gpr[reg::RSP];
        cpu.rflags = (u64::from(context.EFlags) & USER_FLAGS) | flag::RESERVED_1 | flag::IF;
    }
    if flags & CONTEXT_INTEGER == CONTEXT_INTEGER {
        let rsp = cpu.gpr[reg::RSP];
        cpu.gpr = context.Gpr;
        cpu.gpr[reg::RSP] = rsp;
    }
    if flags & CONTEXT_FLOATING_POINT == CONTEXT_FLOATING_POINT {
        // Reserved bits of MXCSR would fault on hardware; NT masks them before it loads the image.
        let mxcsr = context.MxCsr & 0xFFFF;
        let mut image = context.FltSave;
        if let Some(field) = image.get_mut(0x18..0x1C) {
            field.copy_from_slice(&mxcsr.to_le_bytes());
        }
        let loaded = cpu.read_fxsave(&image);
        debug_assert!(loaded, "MXCSR was masked");
    }
    if flags & CONTEXT_DEBUG_REGISTERS == CONTEXT_DEBUG_REGISTERS {
        cpu.dr =
            [context.Dr0, context.Dr1, context.Dr2, context.Dr3, 0, 0, context.Dr6, context.Dr7];
    }
}

/// Copies the parts of `from` that its flags name into `into`.
pub fn merge(into: &mut CONTEXT, from: &CONTEXT) {
    let flags = from.ContextFlags;
    if flags & CONTEXT_CONTROL == CONTEXT_CONTROL {
        into.Rip = from.Rip;
        into.SegCs = from.SegCs;
        into.SegSs = from.SegSs;
        into.EFlags = from.EFlags;
        into.Gpr[reg::RSP] = from.Gpr[reg::RSP];
    }
    if flags & CONTEXT_INTEGER == CONTEXT_INTEGER {
        let rsp = into.Gpr[reg::RSP];
        into.Gpr = from.Gpr;
        into.Gpr[reg::RSP] = rsp;
    }
    if flags & CONTEXT_SEGMENTS == CONTEXT_SEGMENTS {
        (into.SegDs, into.SegEs) = (from.SegDs, from.SegEs);
        (into.SegFs, into.SegGs) = (from.SegFs, from.SegGs);
    }
    if flags & CONTEXT_FLOATING_POINT == CONTEXT_FLOATING_POINT {
        into.FltSave = from.FltSave;
        into.MxCsr = from.MxCsr;
    }
    if flags & CONTEXT_DEBUG_REGISTERS == CONTEXT_DEBUG_REGISTERS {
        (into.Dr0, into.Dr1) = (from.Dr0, from.Dr1);
        (into.Dr2, into.Dr3) = (from.Dr2, from.Dr3);
        (into.Dr6, into.Dr7) = (from.Dr6, from.Dr7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_the_round_trip_but_cannot_raise_privilege() {
        let mut cpu = CpuState::user_mode();
        cpu.gpr = std::array::from_fn(|n| n as u64 * 3);
        cpu.rip = 0x1234;
        let mut context = capture(&cpu, CONTEXT_ALL);
        context.EFlags |= (flag::IOPL | flag::VM) as u32;
        let mut other = CpuState::user_mode();
        restore(&mut other, &context);
        assert_eq!(other.gpr, cpu.gpr);
        assert_eq!(other.rip, cpu.rip);
        assert_eq!(other.rflags & (flag::IOPL | flag::VM), 0);
        assert_eq!(other.cpl(), 3);
    }

    #[test]
    fn parts_that_are_not_named_stay() {
        let mut cpu = CpuState::user_mode();
        cpu.gpr[reg::RAX] = 7;
        let context = capture(&cpu, CONTEXT_CONTROL);
        let mut other = CpuState::user_mode();
        other.gpr[reg::RAX] = 9;
        restore(&mut other, &context);
        assert_eq!(other.gpr[reg::RAX], 9);
    }
}
