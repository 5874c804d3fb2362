//! Jumps, calls and returns of 64-bit code, and compare-and-branch pairs.
//!
//! A direct branch returns its link's [`Stop`](crate::processor::Stop), made when it was decoded; the target is in the
//! link. Neighbour: [`crate::interpreter`] follows links.

use std::marker::PhantomData;

use guest_mem::GuestRam;

use crate::flags::Int;
use crate::memory::on_stack;
use crate::op::{Exec, Op, Source, run};
use crate::processor::{Core, Step, Stop};

/// The end of a block, or an unconditional direct jump.
pub(crate) struct Jump;

impl Exec for Jump {
    #[inline(always)]
    fn exec<const SLOW: bool>(_: &mut Core, op: &Op, _: &GuestRam) -> Step {
        Err(op.stop)
    }
}

/// Jcc: leaves the block if the condition holds.
pub(crate) struct Jcc<const C: u8>;

impl<const C: u8> Exec for Jcc<C> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        if core.flags.condition::<C>() { Err(op.stop) } else { Ok(()) }
    }
}

/// The condition C of `a - b`, without going through the flags.
#[inline(always)]
fn compare<T: Int, const C: u8>(core: &Core, a: T, b: T) -> bool {
    let holds = match C >> 1 {
        1 => a.zx() < b.zx(),
        2 => a.zx() == b.zx(),
        3 => a.zx() <= b.zx(),
        6 => (a.sx() as i64) < b.sx() as i64,
        7 => a.sx() as i64 <= b.sx() as i64,
        _ => return core.flags.condition::<C>(),
    };
    holds != (C & 1 == 1)
}

/// CMP and the Jcc after it.
pub(crate) struct CmpJcc<T, A, B, const C: u8>(PhantomData<(T, A, B)>);

impl<T: Int, A: Source<T>, B: Source<T>, const C: u8> Exec for CmpJcc<T, A, B, C> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let a = A::get::<SLOW>(core, op, ram)?;
        let b = B::get::<SLOW>(core, op, ram)?;
        core.flags.set_sub(a, b, T::of(a.zx().wrapping_sub(b.zx())));
        if compare::<T, C>(core, a, b) { Err(op.stop) } else { Ok(()) }
    }
}

/// TEST and the Jcc after it.
pub(crate) struct TestJcc<T, A, B, const C: u8>(PhantomData<(T, A, B)>);

impl<T: Int, A: Source<T>, B: Source<T>, const C: u8> Exec for TestJcc<T, A, B, C> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let a = A::get::<SLOW>(core, op, ram)?;
        let b = B::get::<SLOW>(core, op, ram)?;
        let result = T::of(a.zx() & b.zx());
        core.flags.set_logic(result);
        let signed = result.sx() as i64;
        let holds = match C >> 1 {
            0 | 1 => false,
            2 | 3 => signed == 0,
            4 | 6 => signed < 0,
            7 => signed <= 0,
            _ => core.flags.pf(),
        };
        if holds != (C & 1 == 1) { Err(op.stop) } else { Ok(()) }
    }
}

/// JRCXZ (`COUNT = false`), LOOP, and with a ZF condition LOOPE and LOOPNE, by the register width in `scale`.
pub(crate) struct JumpCount<const KIND: u8>;
pub(crate) const JCXZ: u8 = 0;
pub(crate) const LOOP: u8 = 1;
pub(crate) const LOOPE: u8 = 2;
pub(crate) const LOOPNE: u8 = 3;

impl<const KIND: u8> Exec for JumpCount<KIND> {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let mask = match op.scale {
            2 => 0xFFFF,
            4 => 0xFFFF_FFFF,
            _ => u64::MAX,
        };
        let count = core.regs[1] & mask;
        if KIND == JCXZ {
            return if count == 0 { Err(op.stop) } else { Ok(()) };
        }
        let left = count.wrapping_sub(1) & mask;
        core.regs[1] = match op.scale {
            2 => (core.regs[1] & !0xFFFF) | left,
            _ => left,
        };
        let zf = match KIND {
            LOOPE => core.flags.zf(),
            LOOPNE => !core.flags.zf(),
            _ => true,
        };
        if left != 0 && zf { Err(op.stop) } else { Ok(()) }
    }
}

/// CALL with a direct target; `imm` is the return address.
pub(crate) struct Call;

impl Exec for Call {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        core.push::<u64, SLOW>(ram, op, op.imm)?;
        Err(leave_checked(core, op))
    }
}

/// CALL with a register or memory target; `imm` is the return address.
pub(crate) struct CallIndirect<S>(PhantomData<S>);

impl<S: Source<u64>> Exec for CallIndirect<S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let target = S::get::<SLOW>(core, op, ram)?;
        if !is_canonical(target) {
            if SLOW {
                // The push is checked before the target.
                let to = core.regs[4].wrapping_sub(8);
                core.probe_write(ram, &on_stack(op), to, 8)?;
            }
            return Err(core.refuse::<SLOW>(op));
        }
        core.push::<u64, SLOW>(ram, op, op.imm)?;
        core.rip = target;
        Err(leave_checked(core, op))
    }
}

/// JMP with a register or memory target.
pub(crate) struct JumpIndirect<S>(PhantomData<S>);

impl<S: Source<u64>> Exec for JumpIndirect<S> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let target = S::get::<SLOW>(core, op, ram)?;
        if !is_canonical(target) {
            return Err(core.refuse::<SLOW>(op));
        }
        core.rip = target;
        Err(op.stop)
    }
}

/// RET; `imm` is the number of argument bytes to drop.
pub(crate) struct Return;

impl Exec for Return {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let target: u64 = core.fast_load::<_, SLOW>(ram, op, core.regs[4])?;
        if !is_canonical(target) {
            return Err(core.refuse::<SLOW>(op));
        }
        core.regs[4] = core.regs[4].wrapping_add(8).wrapping_add(op.imm);
        core.rip = target;
        Err(op.stop)
    }
}

/// The stop after a push: stale blocks are found by the run loop before it follows a link.
#[inline(always)]
fn leave_checked(_: &Core, op: &Op) -> Stop {
    op.stop
}

#[inline(always)]
fn is_canonical(va: u64) -> bool {
    guest_mem::Va(va).is_canonical()
}

/// The handler of a body that ends a block.
pub(crate) const JUMP: crate::op::Handler = run::<Jump>;
