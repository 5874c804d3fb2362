//! SSE and MMX moves.
//!
//! Arithmetic is in [`crate::fp`]; [`super::simd`] binds it. Source: Intel SDM volume 2.

use std::marker::PhantomData;

use guest_mem::GuestRam;
use iced_x86::{Instruction, Mnemonic, OpKind};

use crate::op::{Ea, EaAny, EaBase, EaIndex, Exec, Handler, Op, op_flag, run};
use crate::processor::{Core, Step, ZERO};

/// The vector register `number`.
#[inline(always)]
pub(crate) fn xmm(core: &Core, number: u8) -> u128 {
    core.cpu.xmm[(number & 15) as usize]
}

/// Replaces a vector register.
#[inline(always)]
pub(crate) fn set_xmm(core: &mut Core, number: u8, value: u128) {
    core.cpu.xmm[(number & 15) as usize] = value;
}

/// Checks a 16-byte operand that must be aligned.
#[inline(always)]
pub(crate) fn aligned<const SLOW: bool>(core: &mut Core, op: &Op, va: u64) -> Step {
    if va & 15 == 0 { Ok(()) } else { Err(core.refuse::<SLOW>(op)) }
}

/// Register to register, all 128 bits.
struct Move;

impl Exec for Move {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let value = xmm(core, op.r2);
        set_xmm(core, op.r1, value);
        Ok(())
    }
}

/// 128 bits from memory.
struct Load<E, const ALIGNED: bool>(PhantomData<E>);

impl<E: Ea, const ALIGNED: bool> Exec for Load<E, ALIGNED> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let va = E::ea(core, op);
        if ALIGNED {
            aligned::<SLOW>(core, op, va)?;
        }
        let value: u128 = core.fast_load::<_, SLOW>(ram, op, va)?;
        set_xmm(core, op.r1, value);
        Ok(())
    }
}

/// 128 bits to memory.
struct Store<E, const ALIGNED: bool>(PhantomData<E>);

impl<E: Ea, const ALIGNED: bool> Exec for Store<E, ALIGNED> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let va = E::ea(core, op);
        if ALIGNED {
            aligned::<SLOW>(core, op, va)?;
        }
        let value = xmm(core, op.r2);
        core.fast_store::<_, SLOW>(ram, op, va, value)
    }
}

/// A part of a vector register.
trait Part {
    /// The width: 4 or 8 bytes.
    const BYTES: u32;
    /// The upper half instead of the lower.
    const HIGH: bool;
}

struct Low32;
struct Low64;
struct High64;

impl Part for Low32 {
    const BYTES: u32 = 4;
    const HIGH: bool = false;
}
impl Part for Low64 {
    const BYTES: u32 = 8;
    const HIGH: bool = false;
}
impl Part for High64 {
    const BYTES: u32 = 8;
    const HIGH: bool = true;
}

/// A part from memory; `CLEAR` clears the rest of the register.
struct LoadPart<E, P, const CLEAR: bool>(PhantomData<(E, P)>);

impl<E: Ea, P: Part, const CLEAR: bool> Exec for LoadPart<E, P, CLEAR> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let va = E::ea(core, op);
        let value = if P::BYTES == 4 {
            u128::from(core.fast_load::<u32, SLOW>(ram, op, va)?)
        } else {
            u128::from(core.fast_load::<u64, SLOW>(ram, op, va)?)
        };
        let new = if CLEAR {
            value
        } else if P::HIGH {
            (value << 64) | (xmm(core, op.r1) & u128::from(u64::MAX))
        } else {
            value | (xmm(core, op.r1) >> 64 << 64)
        };
        set_xmm(core, op.r1, new);
        Ok(())
    }
}

/// A part to memory.
struct StorePart<E, P>(PhantomData<(E, P)>);

impl<E: Ea, P: Part> Exec for StorePart<E, P> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let va = E::ea(core, op);
        let value = xmm(core, op.r2);
        if P::BYTES == 4 {
            core.fast_store::<_, SLOW>(ram, op, va, value as u32)
        } else if P::HIGH {
            core.fast_store::<_, SLOW>(ram, op, va, (value >> 64) as u64)
        } else {
            core.fast_store::<_, SLOW>(ram, op, va, value as u64)
        }
    }
}

/// Register to register: which halves or elements go where.
struct Shuffle<const KIND: u8>;
const LOW32: u8 = 0;
const LOW64: u8 = 1;
const LOW64_CLEAR: u8 = 2;
const LOW_TO_HIGH: u8 = 3;
const HIGH_TO_LOW: u8 = 4;

impl<const KIND: u8> Exec for Shuffle<KIND> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let (old, from) = (xmm(core, op.r1), xmm(core, op.r2));
        let low = u128::from(u64::MAX);
        let new = match KIND {
            LOW32 => (old >> 32 << 32) | u128::from(from as u32),
            LOW64 => (old & !low) | (from & low),
            LOW64_CLEAR => from & low,
            LOW_TO_HIGH => (old & low) | (from << 64),
            _ => (old & !low) | (from >> 64),
        };
        set_xmm(core, op.r1, new);
        Ok(())
    }
}

/// MOVD and MOVQ from a general register; `WIDE` is 64 bits.
struct FromGeneral<const WIDE: bool>;

impl<const WIDE: bool> Exec for FromGeneral<WIDE> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let value = core.regs[op.r2 as usize];
        let value = if WIDE { value } else { value & 0xFFFF_FFFF };
        set_xmm(core, op.r1, u128::from(value));
        Ok(())
    }
}

/// MOVD and MOVQ to a general register.
struct ToGeneral<const WIDE: bool>;

impl<const WIDE: bool> Exec for ToGeneral<WIDE> {
    #[inline(always)]
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, _: &GuestRam) -> Step {
        let value = xmm(core, op.r2) as u64;
        core.regs[op.r1 as usize] = if WIDE { value } else { value & 0xFFFF_FFFF };
        Ok(())
    }
}

/// Chooses for the SSE moves; MMX ones, and rare ones, are executed from their decoded form.
pub(crate) fn choose(instruction: &Instruction, op: &Op) -> Option<Handler> {
    if instruction.op_count() != 2 {
        return None;
    }
    let vector = |index| {
        instruction.op_kind(index) == OpKind::Register && instruction.op_register(index).is_xmm()
    };
    let general = |index| {
        instruction.op_kind(index) == OpKind::Register && instruction.op_register(index).is_gpr()
    };
    let memory = |index| instruction.op_kind(index) == OpKind::Memory;
    macro_rules! by_ea {
        ($E:ident => $body:ty) => {{
            let cut = op.flags & (op_flag::ADDRESS_16 | op_flag::ADDRESS_32) != 0;
            if cut || op.segment != ZERO {
                type $E = EaAny;
                run::<$body> as Handler
            } else if op.index == ZERO {
                type $E = EaBase;
                run::<$body> as Handler
            } else {
                type $E = EaIndex;
                run::<$body> as Handler
            }
        }};
    }
    let (to_vector, from_memory) = (vector(0), memory(1));
    let from_vector = vector(1);
    let to_memory = memory(0);
    Some(match instruction.mnemonic() {
        Mnemonic::Movaps | Mnemonic::Movapd | Mnemonic::Movdqa => match () {
            () if to_vector && from_memory => by_ea!(E => Load<E, true>),
            () if to_vector && from_vector => run::<Move>,
            () if to_memory && from_vector => by_ea!(E => Store<E, true>),
            () => return None,
        },
        Mnemonic::Movups | Mnemonic::Movupd | Mnemonic::Movdqu | Mnemonic::Lddqu => match () {
            () if to_vector && from_memory => by_ea!(E => Load<E, false>),
            () if to_vector && from_vector => run::<Move>,
            () if to_memory && from_vector => by_ea!(E => Store<E, false>),
            () => return None,
        },
        Mnemonic::Movntps | Mnemonic::Movntpd | Mnemonic::Movntdq if to_memory && from_vector => {
            by_ea!(E => Store<E, true>)
        }
        Mnemonic::Movntdqa if to_vector && from_memory => by_ea!(E => Load<E, true>),
        Mnemonic::Movss => match () {
            () if to_vector && from_memory => by_ea!(E => LoadPart<E, Low32, true>),
            () if to_vector && from_vector => run::<Shuffle<LOW32>>,
            () if to_memory && from_vector => by_ea!(E => StorePart<E, Low32>),
            () => return None,
        },
        Mnemonic::Movsd => match () {
            () if to_vector && from_memory => by_ea!(E => LoadPart<E, Low64, true>),
            () if to_vector && from_vector => run::<Shuffle<LOW64>>,
            () if to_memory && from_vector => by_ea!(E => StorePart<E, Low64>),
            () => return None,
        },
        Mnemonic::Movlps | Mnemonic::Movlpd => match () {
            () if to_vector && from_memory => by_ea!(E => LoadPart<E, Low64, false>),
            () if to_memory && from_vector => by_ea!(E => StorePart<E, Low64>),
            () => return None,
        },
        Mnemonic::Movhps | Mnemonic::Movhpd => match () {
            () if to_vector && from_memory => by_ea!(E => LoadPart<E, High64, false>),
            () if to_memory && from_vector => by_ea!(E => StorePart<E, High64>),
            () => return None,
        },
        Mnemonic::Movlhps if to_vector && from_vector => run::<Shuffle<LOW_TO_HIGH>>,
        Mnemonic::Movhlps if to_vector && from_vector => run::<Shuffle<HIGH_TO_LOW>>,
        Mnemonic::Movq => match () {
            () if to_vector && from_memory => by_ea!(E => LoadPart<E, Low64, true>),
            () if to_memory && from_vector => by_ea!(E => StorePart<E, Low64>),
            () if to_vector && from_vector => run::<Shuffle<LOW64_CLEAR>>,
            () if to_vector && general(1) => run::<FromGeneral<true>>,
            () if general(0) && from_vector => run::<ToGeneral<true>>,
            () => return None,
        },
        Mnemonic::Movd => match () {
            () if to_vector && from_memory => by_ea!(E => LoadPart<E, Low32, true>),
            () if to_memory && from_vector => by_ea!(E => StorePart<E, Low32>),
            () if to_vector && general(1) => run::<FromGeneral<false>>,
            () if general(0) && from_vector => run::<ToGeneral<false>>,
            () => return None,
        },
        _ => return None,
    })
}
