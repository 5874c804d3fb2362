//! Decoded operations and the way one hands over to the next.
//!
//! An [`Op`] is plain data of 40 bytes with a handler. A handler runs an [`Exec`] body, monomorphised over operation,
//! width and operand kinds ([`Reg1`], [`Imm`], [`Mem`]...), and then calls the next operation's handler in tail
//! position; where the compiler makes that a real call, the length limit of a block bounds the stack. Neighbours:
//! [`crate::decode`] makes operations, [`crate::exec`] has the bodies.

use std::marker::PhantomData;

use guest_mem::GuestRam;

use crate::flags::Int;
use crate::memory::{Cell, Place};
use crate::processor::{At, Core, Step, Stop, StopKind};

/// What executes an operation and those after it in its block.
pub(crate) type Handler = fn(&mut Core, &Op, &[Op], &GuestRam) -> Stop;

/// Bits of [`Op::flags`].
pub(crate) mod op_flag {
    /// The memory operand's default segment is SS: a non-canonical address gives #SS.
    pub const STACK: u8 = 1;
    /// The effective address is cut to 32 bits.
    pub const ADDRESS_32: u8 = 2;
    /// The effective address is cut to 16 bits.
    pub const ADDRESS_16: u8 = 4;
    /// The second register is AH, CH, DH or BH. The value is also the shift to it.
    pub const HIGH_2: u8 = 8;
    /// The first register is one of those.
    pub const HIGH_1: u8 = 16;
}

/// One decoded operation.
#[derive(Clone, Copy)]
pub(crate) struct Op {
    pub handler: Handler,
    /// The immediate, or what the handler keeps in its place.
    pub imm: u64,
    /// Displacement; RIP-relative addresses are already absolute.
    pub disp: u64,
    /// The [`Stop`] of a branch taken, or of the end of the block.
    pub stop: Stop,
    /// First (destination) register.
    pub r1: u8,
    /// Second register.
    pub r2: u8,
    pub base: u8,
    pub index: u8,
    /// log2 of the index's factor.
    pub scale: u8,
    /// Register-file slot of the segment base.
    pub segment: u8,
    /// The instruction's offset in its page.
    pub offset: u16,
    /// Its length in bytes.
    pub len: u8,
    /// Instructions of the block before it.
    pub before: u8,
    /// Instructions it stands for: 2 for fused pairs.
    pub count: u8,
    /// See [`op_flag`].
    pub flags: u8,
}

const _: () = assert!(size_of::<Op>() == 40);

/// The body of an operation.
///
/// It runs twice if need be. The first time (`SLOW = false`) everything out of the ordinary, such as a TLB miss, ends
/// it with [`Stop::RETRY`] before it has changed anything; so the common path calls nothing and saves no registers. The
/// second time it goes through with it.
pub(crate) trait Exec {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step;
}

/// The handler of a body: runs it, then the next operation.
pub(crate) fn run<X: Exec>(core: &mut Core, op: &Op, rest: &[Op], ram: &GuestRam) -> Stop {
    match X::exec::<false>(core, op, ram) {
        Ok(()) => match rest.split_first() {
            Some((next, rest)) => (next.handler)(core, next, rest, ram),
            None => leave_after(core, op),
        },
        Err(Stop::RETRY) => careful::<X>(core, op, rest, ram),
        Err(stop) => stop,
    }
}

/// The handler of a body that must expect anything: it may store to decoded code, so that the block is left after it.
#[cold]
#[inline(never)]
pub(crate) fn careful<X: Exec>(core: &mut Core, op: &Op, rest: &[Op], ram: &GuestRam) -> Stop {
    match X::exec::<true>(core, op, ram) {
        Ok(()) => {
            if core.break_pending {
                return leave_after(core, op);
            }
            match rest.split_first() {
                Some((next, rest)) => (next.handler)(core, next, rest, ram),
                None => leave_after(core, op),
            }
        }
        Err(stop) => stop,
    }
}

/// Ends a block after an operation, to look up what follows.
#[cold]
#[inline(never)]
pub(crate) fn leave_after(core: &mut Core, op: &Op) -> Stop {
    core.break_pending = false;
    core.at = At { offset: op.offset, len: op.len, before: op.before, count: op.count };
    Stop::new(StopKind::Break, 0, 0)
}

/// How an effective address is computed.
pub(crate) trait Ea {
    fn ea(core: &Core, op: &Op) -> u64;
}

/// Base and displacement; also absolute and FS- or GS-relative ones, by the register file's extra slots.
pub(crate) struct EaBase;
/// Base, scaled index and displacement.
pub(crate) struct EaIndex;
/// Any form: with a segment base besides, or cut to 32 or 16 bits.
pub(crate) struct EaAny;

impl Ea for EaBase {
    #[inline(always)]
    fn ea(core: &Core, op: &Op) -> u64 {
        core.regs[op.base as usize].wrapping_add(op.disp)
    }
}

impl Ea for EaIndex {
    #[inline(always)]
    fn ea(core: &Core, op: &Op) -> u64 {
        core.regs[op.base as usize]
            .wrapping_add(core.regs[op.index as usize] << (op.scale & 3))
            .wrapping_add(op.disp)
    }
}

impl Ea for EaAny {
    #[inline(always)]
    fn ea(core: &Core, op: &Op) -> u64 {
        core.regs[op.segment as usize].wrapping_add(offset(core, op))
    }
}

/// The effective address without its segment base, cut to the address size: what LEA gives.
#[inline]
pub(crate) fn offset(core: &Core, op: &Op) -> u64 {
    let offset = EaIndex::ea(core, op);
    if op.flags & op_flag::ADDRESS_32 != 0 {
        offset & 0xFFFF_FFFF
    } else if op.flags & op_flag::ADDRESS_16 != 0 {
        offset & 0xFFFF
    } else {
        offset
    }
}

/// An operand that can be read.
pub(crate) trait Source<T> {
    fn get<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Result<T, Stop>;
}

/// An operand that can be read and then replaced, with nothing that faults in between.
pub(crate) trait Target<T>: Source<T> {
    type Slot: Copy;
    fn open<const SLOW: bool>(
        core: &mut Core,
        op: &Op,
        ram: &GuestRam,
    ) -> Result<(T, Self::Slot), Stop>;
    fn close<const SLOW: bool>(
        core: &mut Core,
        op: &Op,
        ram: &GuestRam,
        slot: Self::Slot,
        value: T,
    ) -> Step;
    fn put<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam, value: T) -> Step;
}

/// The register `r1`.
pub(crate) struct Reg1;
/// The register `r2`.
pub(crate) struct Reg2;
/// The byte register `r1`, which may be AH, CH, DH or BH.
pub(crate) struct Byte1;
/// The byte register `r2`, which may be AH, CH, DH or BH.
pub(crate) struct Byte2;
/// The immediate.
pub(crate) struct Imm;
/// CL.
pub(crate) struct Cl;
/// The memory operand.
pub(crate) struct Mem<E>(PhantomData<E>);

/// Reads a register.
#[inline(always)]
pub(crate) fn reg<T: Int>(core: &Core, number: u8) -> T {
    T::of(core.regs[number as usize])
}

/// Writes a register: 32-bit values clear the upper half, narrower ones keep the rest.
#[inline(always)]
pub(crate) fn set_reg<T: Int>(core: &mut Core, number: u8, value: T) {
    let slot = &mut core.regs[number as usize];
    *slot = match T::BITS {
        64 | 32 => value.zx(),
        16 => (*slot & !0xFFFF) | value.zx(),
        _ => (*slot & !0xFF) | value.zx(),
    };
}

macro_rules! register_operand {
    ($name:ident, $field:ident) => {
        impl<T: Int> Source<T> for $name {
            #[inline(always)]
            fn get<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Result<T, Stop> {
                Ok(reg(core, op.$field))
            }
        }
        impl<T: Int> Target<T> for $name {
            type Slot = ();
            #[inline(always)]
            fn open<const SLOW: bool>(
                core: &mut Core,
                op: &Op,
                _: &GuestRam,
            ) -> Result<(T, ()), Stop> {
                Ok((reg(core, op.$field), ()))
            }
            #[inline(always)]
            fn close<const SLOW: bool>(
                core: &mut Core,
                op: &Op,
                _: &GuestRam,
                (): (),
                value: T,
            ) -> Step {
                set_reg(core, op.$field, value);
                Ok(())
            }
            #[inline(always)]
            fn put<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam, value: T) -> Step {
                set_reg(core, op.$field, value);
                Ok(())
            }
        }
    };
}
register_operand!(Reg1, r1);
register_operand!(Reg2, r2);

macro_rules! byte_operand {
    ($name:ident, $field:ident, $shift:expr) => {
        impl Source<u8> for $name {
            #[inline(always)]
            fn get<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Result<u8, Stop> {
                Ok((core.regs[op.$field as usize] >> $shift(op.flags)) as u8)
            }
        }
        impl Target<u8> for $name {
            type Slot = ();
            #[inline(always)]
            fn open<const SLOW: bool>(
                core: &mut Core,
                op: &Op,
                ram: &GuestRam,
            ) -> Result<(u8, ()), Stop> {
                Ok((Self::get::<SLOW>(core, op, ram)?, ()))
            }
            #[inline(always)]
            fn close<const SLOW: bool>(
                core: &mut Core,
                op: &Op,
                _: &GuestRam,
                (): (),
                value: u8,
            ) -> Step {
                let slot = &mut core.regs[op.$field as usize];
                let shift = $shift(op.flags);
                *slot = (*slot & !(0xFF << shift)) | (u64::from(value) << shift);
                Ok(())
            }
            #[inline(always)]
            fn put<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam, value: u8) -> Step {
                Self::close::<SLOW>(core, op, ram, (), value)
            }
        }
    };
}
byte_operand!(Byte1, r1, |flags: u8| (flags >> 1) & op_flag::HIGH_2);
byte_operand!(Byte2, r2, |flags: u8| flags & op_flag::HIGH_2);

impl<T: Int> Source<T> for Imm {
    #[inline(always)]
    fn get<const SLOW: bool>(_: &mut Core, op: &Op, _: &GuestRam) -> Result<T, Stop> {
        Ok(T::of(op.imm))
    }
}

impl<T: Int> Source<T> for Cl {
    #[inline(always)]
    fn get<const SLOW: bool>(core: &mut Core, _: &Op, _: &GuestRam) -> Result<T, Stop> {
        Ok(T::of(core.regs[1] & 0xFF))
    }
}

impl<T: Cell, E: Ea> Source<T> for Mem<E> {
    #[inline(always)]
    fn get<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Result<T, Stop> {
        let va = E::ea(core, op);
        core.fast_load::<_, SLOW>(ram, op, va)
    }
}

impl<T: Cell, E: Ea> Target<T> for Mem<E> {
    type Slot = (u64, Place);
    #[inline(always)]
    fn open<const SLOW: bool>(
        core: &mut Core,
        op: &Op,
        ram: &GuestRam,
    ) -> Result<(T, Self::Slot), Stop> {
        let va = E::ea(core, op);
        let (value, place) = core.fast_start::<_, SLOW>(ram, op, va)?;
        Ok((value, (va, place)))
    }
    #[inline(always)]
    fn close<const SLOW: bool>(
        core: &mut Core,
        op: &Op,
        ram: &GuestRam,
        (va, place): (u64, Place),
        value: T,
    ) -> Step {
        core.fast_finish::<_, SLOW>(ram, op, va, place, value)
    }
    #[inline(always)]
    fn put<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam, value: T) -> Step {
        let va = E::ea(core, op);
        core.fast_store::<_, SLOW>(ram, op, va, value)
    }
}
