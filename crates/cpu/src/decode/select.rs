//! Chooses the handler of an instruction: a monomorphised body where there is one, the general ones where not.
//!
//! Neighbours: [`crate::exec`] has the bodies; [`super`] has filled in the operands.

use iced_x86::{Code, ConditionCode, Instruction, Mnemonic, OpKind, Register};

use super::Mode;
use crate::exec::alu::{self, Alu, Compare, IncDec, Neg, Not};
use crate::exec::atomic::{CompareExchange, ExchangeAdd, ExchangeMemory, Locked, LockedIncDec};
use crate::exec::bits::{self, BitChange, BitTest, Divide, DoubleShift, PopCount, Scan};
use crate::exec::branch::{
    self, Call, CallIndirect, CmpJcc, Jcc, Jump, JumpCount, JumpIndirect, Return, TestJcc,
};
use crate::exec::multiply::{Imul, Imul3, MultiplyRax};
use crate::exec::shift::{self, Shift};
use crate::exec::transfer::{
    ByteSwap, Cmov, Exchange, Extend, Lea, LeaAny, Leave64, Mov, Nop, Pop, Push, Set, SignRdx,
    WidenRax,
};
use crate::exec::{packed, slow, system, vector};
use crate::fp::SimdOp;
use crate::op::{
    Byte1, Byte2, Cl, EaAny, EaBase, EaIndex, Handler, Imm, Mem, Op, Reg1, Reg2, careful, op_flag,
    run,
};
use crate::processor::ZERO;

/// How an operation is entered in its block.
pub(crate) enum Flow {
    /// The next one follows.
    Next,
    /// A direct branch that may be taken.
    Branch,
    /// A direct branch or call that is always taken.
    Jump,
    /// The handler sets the next address.
    Indirect,
    /// The next one follows; `imm` will refer to the function, below the immediate byte.
    Table(SimdOp),
    /// Executed from the decoded form, which `imm` will refer to.
    Slow,
    /// The same, by the run loop.
    Assist,
}

/// A handler and its flow.
pub(crate) struct Chosen {
    pub handler: Handler,
    pub flow: Flow,
}

fn next(handler: Handler) -> Option<Chosen> {
    Some(Chosen { handler, flow: Flow::Next })
}

/// The effective-address kind of the memory operand.
#[derive(Clone, Copy)]
pub(crate) enum EaKind {
    Base,
    Index,
    Any,
}

pub(crate) fn ea_kind(op: &Op) -> EaKind {
    let cut = op.flags & (op_flag::ADDRESS_16 | op_flag::ADDRESS_32) != 0;
    if cut || op.segment != ZERO {
        EaKind::Any
    } else if op.index == ZERO {
        EaKind::Base
    } else {
        EaKind::Index
    }
}

macro_rules! by_ea {
    ($op:expr, $E:ident => $body:expr) => {
        match ea_kind($op) {
            EaKind::Base => {
                type $E = EaBase;
                $body
            }
            EaKind::Index => {
                type $E = EaIndex;
                $body
            }
            EaKind::Any => {
                type $E = EaAny;
                $body
            }
        }
    };
}

pub(crate) use by_ea;

macro_rules! by_size {
    ($size:expr, $T:ident => $body:expr) => {
        match $size {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}

pub(crate) use by_size;

macro_rules! by_wide_size {
    ($size:expr, $T:ident => $body:expr) => {
        match $size {
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}

macro_rules! by_condition {
    ($number:expr, $C:ident => $body:expr; $($value:literal)*) => {
        match $number {
            $($value => {
                const $C: u8 = $value;
                $body
            })*
            _ => {
                const $C: u8 = 15;
                $body
            }
        }
    };
    ($number:expr, $C:ident => $body:expr) => {
        by_condition!($number, $C => $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    };
}

/// The number that encodes a condition.
pub(crate) fn condition(instruction: &Instruction) -> Option<u8> {
    Some(match instruction.condition_code() {
        ConditionCode::None => return None,
        ConditionCode::o => 0,
        ConditionCode::no => 1,
        ConditionCode::b => 2,
        ConditionCode::ae => 3,
        ConditionCode::e => 4,
        ConditionCode::ne => 5,
        ConditionCode::be => 6,
        ConditionCode::a => 7,
        ConditionCode::s => 8,
        ConditionCode::ns => 9,
        ConditionCode::p => 10,
        ConditionCode::np => 11,
        ConditionCode::l => 12,
        ConditionCode::ge => 13,
        ConditionCode::le => 14,
        ConditionCode::g => 15,
    })
}

/// Operand kinds of two-operand integer instructions.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    RegReg,
    RegImm,
    RegMem,
    MemReg,
    MemImm,
}

pub(super) fn form(instruction: &Instruction) -> Option<Form> {
    let general = |index| {
        instruction.op_kind(index) == OpKind::Register && instruction.op_register(index).is_gpr()
    };
    let memory = |index| instruction.op_kind(index) == OpKind::Memory;
    if instruction.op_count() != 2 {
        return None;
    }
    Some(match () {
        () if general(0) && general(1) => Form::RegReg,
        () if general(0) && memory(1) => Form::RegMem,
        () if general(0) && super::is_immediate(instruction.op_kind(1)) => Form::RegImm,
        () if memory(0) && general(1) => Form::MemReg,
        () if memory(0) && super::is_immediate(instruction.op_kind(1)) => Form::MemImm,
        () => return None,
    })
}

/// True if a register operand is AH, CH, DH or BH.
fn has_high_byte(op: &Op) -> bool {
    op.flags & (op_flag::HIGH_1 | op_flag::HIGH_2) != 0
}

/// The width in bytes of an operand.
pub(crate) fn operand_size(instruction: &Instruction, index: u32) -> usize {
    match instruction.op_kind(index) {
        OpKind::Register => instruction.op_register(index).size(),
        _ => instruction.memory_size().size(),
    }
}

/// `X<T, target, source>` for every form.
macro_rules! two_operands {
    ($form:expr, $size:expr, $op:expr, $T:ident, $D:ident, $S:ident => $X:ty) => {
        if $size == 1 && has_high_byte($op) {
            type $T = u8;
            match $form {
                Form::RegReg => {
                    type $D = Byte1;
                    type $S = Byte2;
                    run::<$X> as Handler
                }
                Form::RegImm => {
                    type $D = Byte1;
                    type $S = Imm;
                    run::<$X>
                }
                Form::RegMem => by_ea!($op, E => {
                    type $D = Byte1;
                    type $S = Mem<E>;
                    run::<$X>
                }),
                Form::MemReg | Form::MemImm => by_ea!($op, E => {
                    type $D = Mem<E>;
                    type $S = Byte2;
                    run::<$X>
                }),
            }
        } else {
            by_size!($size, $T => match $form {
                Form::RegReg => {
                    type $D = Reg1;
                    type $S = Reg2;
                    run::<$X> as Handler
                }
                Form::RegImm => {
                    type $D = Reg1;
                    type $S = Imm;
                    run::<$X>
                }
                Form::RegMem => by_ea!($op, E => {
                    type $D = Reg1;
                    type $S = Mem<E>;
                    run::<$X>
                }),
                Form::MemReg => by_ea!($op, E => {
                    type $D = Mem<E>;
                    type $S = Reg2;
                    run::<$X>
                }),
                Form::MemImm => by_ea!($op, E => {
                    type $D = Mem<E>;
                    type $S = Imm;
                    run::<$X>
                }),
            })
        }
    };
}

macro_rules! one_operand {
    ($instruction:expr, $op:expr, $T:ident, $D:ident => $X:ty) => {{
        let size = operand_size($instruction, 0);
        if $instruction.op_kind(0) == OpKind::Memory {
            by_size!(size, $T => by_ea!($op, E => {
                type $D = Mem<E>;
                run::<$X> as Handler
            }))
        } else if $op.flags & op_flag::HIGH_1 != 0 {
            type $T = u8;
            type $D = Byte1;
            run::<$X> as Handler
        } else {
            by_size!(size, $T => {
                type $D = Reg1;
                run::<$X> as Handler
            })
        }
    }};
}

/// Chooses for any instruction.
pub(crate) fn choose(instruction: &Instruction, mode: Mode, op: &mut Op) -> Chosen {
    let fast = if instruction.is_invalid() {
        None
    } else if instruction.has_lock_prefix() {
        atomics(instruction, op)
    } else {
        control(instruction, mode, op)
            .or_else(|| integer(instruction, mode, op))
            .or_else(|| arithmetic(instruction, op))
            .or_else(|| bit_operations(instruction, op))
            .or_else(|| atomics(instruction, op))
            .or_else(|| vector::choose(instruction, op).and_then(next))
            .or_else(|| arithmetic_vector(instruction, op))
    };
    fast.unwrap_or_else(|| {
        if system::is_assisted(instruction, mode) {
            Chosen { handler: careful::<system::Assist>, flow: Flow::Assist }
        } else {
            Chosen { handler: slow::handler(instruction), flow: Flow::Slow }
        }
    })
}

/// Near branches, calls, returns and the stack instructions of 64-bit code.
fn control(instruction: &Instruction, mode: Mode, op: &mut Op) -> Option<Chosen> {
    let near = matches!(
        instruction.op0_kind(),
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
    );
    if near && instruction.op0_kind() != OpKind::NearBranch16 {
        if instruction.is_jcc_short_or_near() {
            let number = condition(instruction)?;
            let handler = by_condition!(number, C => run::<Jcc<C>> as Handler);
            return Some(Chosen { handler, flow: Flow::Branch });
        }
        if instruction.is_jmp_short_or_near() {
            return Some(Chosen { handler: run::<Jump>, flow: Flow::Jump });
        }
        let count = match instruction.mnemonic() {
            Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => {
                Some(run::<JumpCount<{ branch::JCXZ }>> as Handler)
            }
            Mnemonic::Loop => Some(run::<JumpCount<{ branch::LOOP }>> as Handler),
            Mnemonic::Loope => Some(run::<JumpCount<{ branch::LOOPE }>> as Handler),
            Mnemonic::Loopne => Some(run::<JumpCount<{ branch::LOOPNE }>> as Handler),
            _ => None,
        };
        if let Some(handler) = count {
            op.scale = system::loop_register_size(instruction);
            return Some(Chosen { handler, flow: Flow::Branch });
        }
    }
    if mode.bitness != 64 {
        return None;
    }
    let indirect = |handler| Some(Chosen { handler, flow: Flow::Indirect });
    let memory = instruction.op_count() > 0 && instruction.op_kind(0) == OpKind::Memory;
    let size = if instruction.op_count() > 0 { operand_size(instruction, 0) } else { 0 };
    match instruction.mnemonic() {
        Mnemonic::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
            op.imm = instruction.next_ip();
            Some(Chosen { handler: run::<Call>, flow: Flow::Jump })
        }
        Mnemonic::Call if instruction.is_call_near_indirect() && size == 8 => {
            op.imm = instruction.next_ip();
            indirect(if memory {
                by_ea!(op, E => run::<CallIndirect<Mem<E>>> as Handler)
            } else {
                run::<CallIndirect<Reg1>>
            })
        }
        Mnemonic::Jmp if instruction.is_jmp_near_indirect() && size == 8 => indirect(if memory {
            by_ea!(op, E => run::<JumpIndirect<Mem<E>>> as Handler)
        } else {
            run::<JumpIndirect<Reg1>>
        }),
        Mnemonic::Ret if instruction.stack_pointer_increment() >= 8 => {
            // Only a 64-bit return pops eight bytes; `imm` is the argument count or zero.
            if instruction.op_count() == 0 {
                op.imm = 0;
            }
            let popped = i64::from(instruction.stack_pointer_increment());
            if popped - op.imm as i64 == 8 { indirect(run::<Return>) } else { None }
        }
        Mnemonic::Push if instruction.stack_pointer_increment() == -8 => {
            if memory {
                next(by_ea!(op, E => run::<Push<Mem<E>>> as Handler))
            } else if instruction.op0_kind() == OpKind::Register {
                if !instruction.op0_register().is_gpr() {
                    return None;
                }
                next(run::<Push<Reg1>>)
            } else {
                next(run::<Push<Imm>>)
            }
        }
        Mnemonic::Pop
            if instruction.op0_kind() == OpKind::Register
                && instruction.op0_register().is_gpr64() =>
        {
            next(run::<Pop>)
        }
        Mnemonic::Leave if instruction.code() == Code::Leaveq => next(run::<Leave64>),
        _ => None,
    }
}

/// Moves and one-operand instructions.
fn integer(instruction: &Instruction, mode: Mode, op: &mut Op) -> Option<Chosen> {
    let mnemonic = instruction.mnemonic();
    match mnemonic {
        Mnemonic::Nop
        | Mnemonic::Endbr64
        | Mnemonic::Endbr32
        | Mnemonic::Pause
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetch
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchwt1
        | Mnemonic::Prefetchit0
        | Mnemonic::Prefetchit1
        | Mnemonic::Cldemote
        | Mnemonic::Rdsspd
        | Mnemonic::Rdsspq
        | Mnemonic::Fneni
        | Mnemonic::Fndisi
        | Mnemonic::Fnsetpm
        | Mnemonic::Lfence
        | Mnemonic::Sfence
        | Mnemonic::Mfence => return next(run::<Nop>),
        // All reserved NOPs but the prefetches' encodings with a register.
        Mnemonic::Reservednop if !is_prefetch_code(instruction.code()) => {
            return next(run::<Nop>);
        }
        Mnemonic::Cbw => return next(run::<WidenRax<u16, u8>>),
        Mnemonic::Cwde => return next(run::<WidenRax<u32, u16>>),
        Mnemonic::Cdqe => return next(run::<WidenRax<u64, u32>>),
        Mnemonic::Cwd => return next(run::<SignRdx<u16>>),
        Mnemonic::Cdq => return next(run::<SignRdx<u32>>),
        Mnemonic::Cqo => return next(run::<SignRdx<u64>>),
        Mnemonic::Lea => {
            let size = operand_size(instruction, 0);
            let cut = op.flags & (op_flag::ADDRESS_16 | op_flag::ADDRESS_32) != 0;
            return next(if cut || mode.bitness != 64 {
                by_wide_size!(size, T => run::<LeaAny<T>> as Handler)
            } else if op.index == ZERO {
                by_wide_size!(size, T => run::<Lea<T, EaBase>> as Handler)
            } else {
                by_wide_size!(size, T => run::<Lea<T, EaIndex>> as Handler)
            });
        }
        Mnemonic::Bswap => {
            let size = operand_size(instruction, 0);
            return next(by_wide_size!(size, T => run::<ByteSwap<T>> as Handler));
        }
        Mnemonic::Xchg if instruction.op1_kind() == OpKind::Register => {
            if instruction.op0_kind() != OpKind::Register || has_high_byte(op) {
                return None;
            }
            let size = operand_size(instruction, 0);
            return next(by_size!(size, T => run::<Exchange<T>> as Handler));
        }
        Mnemonic::Inc => {
            return next(one_operand!(instruction, op, T, D => IncDec<T, D, true>));
        }
        Mnemonic::Dec => {
            return next(one_operand!(instruction, op, T, D => IncDec<T, D, false>));
        }
        Mnemonic::Neg => return next(one_operand!(instruction, op, T, D => Neg<T, D>)),
        Mnemonic::Not => return next(one_operand!(instruction, op, T, D => Not<T, D>)),
        Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd => {
            return next(extend(instruction, op, mnemonic != Mnemonic::Movzx));
        }
        _ => {}
    }
    let number = condition(instruction)?;
    let general = |index| {
        instruction.op_kind(index) == OpKind::Register && instruction.op_register(index).is_gpr()
    };
    let memory = |index| instruction.op_kind(index) == OpKind::Memory;
    if instruction.op_count() == 1 && (general(0) || memory(0)) {
        return next(if instruction.op0_kind() == OpKind::Memory {
            by_ea!(op, E => by_condition!(number, C => run::<Set<Mem<E>, C>> as Handler))
        } else {
            by_condition!(number, C => run::<Set<Byte1, C>> as Handler)
        });
    }
    if instruction.op_count() == 2 && general(0) {
        let size = operand_size(instruction, 0);
        return next(by_wide_size!(size, T => {
            if instruction.op1_kind() == OpKind::Memory {
                by_condition!(number, C => run::<Cmov<T, Mem<EaAny>, C>> as Handler)
            } else {
                by_condition!(number, C => run::<Cmov<T, Reg2, C>> as Handler)
            }
        }));
    }
    None
}

fn is_prefetch_code(code: Code) -> bool {
    matches!(
        code,
        Code::Reservednop_rm16_r16_0F0D
            | Code::Reservednop_rm32_r32_0F0D
            | Code::Reservednop_rm64_r64_0F0D
    )
}

fn extend(instruction: &Instruction, op: &Op, signed: bool) -> Handler {
    let to = operand_size(instruction, 0);
    let from = operand_size(instruction, 1);
    macro_rules! pick {
        ($S:ty, $U:ty) => {
            by_wide_size!(to, T => if signed {
                run::<Extend<T, $U, $S, true>> as Handler
            } else {
                run::<Extend<T, $U, $S, false>> as Handler
            })
        };
    }
    if instruction.op1_kind() == OpKind::Memory {
        by_ea!(op, E => match from {
            1 => pick!(Mem<E>, u8),
            2 => pick!(Mem<E>, u16),
            _ => pick!(Mem<E>, u32),
        })
    } else {
        match from {
            1 if op.flags & op_flag::HIGH_2 != 0 => pick!(Byte2, u8),
            1 => pick!(Reg2, u8),
            2 => pick!(Reg2, u16),
            _ => pick!(Reg2, u32),
        }
    }
}

/// Two-operand arithmetic, shifts, multiplications and MOV.
fn arithmetic(instruction: &Instruction, op: &mut Op) -> Option<Chosen> {
    let mnemonic = instruction.mnemonic();
    match mnemonic {
        Mnemonic::Shl | Mnemonic::Sal => return shifts::<shift::Shl>(instruction, op),
        Mnemonic::Shr => return shifts::<shift::Shr>(instruction, op),
        Mnemonic::Sar => return shifts::<shift::Sar>(instruction, op),
        Mnemonic::Rol => return shifts::<shift::Rol>(instruction, op),
        Mnemonic::Ror => return shifts::<shift::Ror>(instruction, op),
        Mnemonic::Rcl => return shifts::<shift::Rcl>(instruction, op),
        Mnemonic::Rcr => return shifts::<shift::Rcr>(instruction, op),
        Mnemonic::Imul => return multiply(instruction, op),
        Mnemonic::Mul => {
            return next(one_operand!(instruction, op, T, D => MultiplyRax<T, D, false>));
        }
        _ => {}
    }
    let form = form(instruction)?;
    let size = operand_size(instruction, 0);
    // An immediate to memory never names a register, so no byte register is in it.
    macro_rules! alu {
        ($O:ty) => {
            next(two_operands!(form, size, op, T, D, S => Alu<$O, T, D, S>))
        };
    }
    macro_rules! compare {
        ($O:ty) => {
            next(two_operands!(form, size, op, T, D, S => Compare<$O, T, D, S>))
        };
    }
    match mnemonic {
        Mnemonic::Mov => next(two_operands!(form, size, op, T, D, S => Mov<T, D, S>)),
        Mnemonic::Add => alu!(alu::Add),
        Mnemonic::Adc => alu!(alu::Adc),
        Mnemonic::Sub => alu!(alu::Sub),
        Mnemonic::Sbb => alu!(alu::Sbb),
        Mnemonic::And => alu!(alu::And),
        Mnemonic::Or => alu!(alu::Or),
        Mnemonic::Xor => alu!(alu::Xor),
        Mnemonic::Cmp => compare!(alu::Sub),
        Mnemonic::Test => compare!(alu::And),
        _ => None,
    }
}

/// SSE arithmetic.
fn arithmetic_vector(instruction: &Instruction, op: &Op) -> Option<Chosen> {
    let packed::Chosen { handler, function } = packed::choose(instruction, op)?;
    let flow = match function {
        Some(function) => Flow::Table(function),
        None => Flow::Next,
    };
    Some(Chosen { handler, flow })
}

/// Locked instructions, and those that are meant to be.
fn atomics(instruction: &Instruction, op: &Op) -> Option<Chosen> {
    let locked = instruction.has_lock_prefix();
    let mnemonic = instruction.mnemonic();
    if mnemonic == Mnemonic::Xchg && !has_high_byte(op) {
        let size = operand_size(instruction, 0);
        let first = instruction.op0_kind() == OpKind::Register;
        return next(by_size!(size, T => by_ea!(op, E => if first {
            run::<ExchangeMemory<T, E, true>> as Handler
        } else {
            run::<ExchangeMemory<T, E, false>>
        })));
    }
    if instruction.op0_kind() != OpKind::Memory || op.flags & op_flag::HIGH_2 != 0 {
        return None;
    }
    let size = operand_size(instruction, 0);
    macro_rules! alu {
        ($O:ty) => {
            next(by_size!(size, T => by_ea!(op, E => match form(instruction)? {
                Form::MemReg => run::<Locked<$O, T, E, Reg2>> as Handler,
                Form::MemImm => run::<Locked<$O, T, E, Imm>>,
                _ => return None,
            })))
        };
    }
    match mnemonic {
        Mnemonic::Xadd => next(by_size!(size, T => by_ea!(op, E => {
            run::<ExchangeAdd<T, E>> as Handler
        }))),
        Mnemonic::Cmpxchg => next(by_size!(size, T => by_ea!(op, E => {
            run::<CompareExchange<T, E>> as Handler
        }))),
        Mnemonic::Inc if locked => next(by_size!(size, T => by_ea!(op, E => {
            run::<LockedIncDec<T, E, true>> as Handler
        }))),
        Mnemonic::Dec if locked => next(by_size!(size, T => by_ea!(op, E => {
            run::<LockedIncDec<T, E, false>> as Handler
        }))),
        Mnemonic::Add if locked => alu!(alu::Add),
        Mnemonic::Sub if locked => alu!(alu::Sub),
        Mnemonic::And if locked => alu!(alu::And),
        Mnemonic::Or if locked => alu!(alu::Or),
        Mnemonic::Xor if locked => alu!(alu::Xor),
        _ => None,
    }
}

/// Bit tests and scans, double shifts and divisions.
fn bit_operations(instruction: &Instruction, op: &Op) -> Option<Chosen> {
    let size = if instruction.op_count() > 0 { operand_size(instruction, 0) } else { 0 };
    let register = |index| instruction.op_kind(index) == OpKind::Register;
    macro_rules! from_any {
        ($T:ident, $S:ident => $X:ty) => {
            by_wide_size!(size, $T => if register(1) {
                type $S = Reg2;
                run::<$X> as Handler
            } else {
                by_ea!(op, E => {
                    type $S = Mem<E>;
                    run::<$X> as Handler
                })
            })
        };
    }
    macro_rules! change {
        ($K:ident) => {
            by_wide_size!(size, T => match (register(0), register(1)) {
                (true, true) => run::<BitChange<T, Reg2, { bits::$K }>> as Handler,
                (true, false) => run::<BitChange<T, Imm, { bits::$K }>>,
                _ => return None,
            })
        };
    }
    macro_rules! double {
        ($LEFT:literal) => {
            by_wide_size!(size, T => match (register(0), register(2)) {
                (true, true) => run::<DoubleShift<T, Reg1, Cl, $LEFT>> as Handler,
                (true, false) => run::<DoubleShift<T, Reg1, Imm, $LEFT>>,
                _ => return None,
            })
        };
    }
    next(match instruction.mnemonic() {
        Mnemonic::Bt => by_wide_size!(size, T => match (register(0), register(1)) {
            (true, true) => run::<BitTest<T, Reg1, Reg2>> as Handler,
            (true, false) => run::<BitTest<T, Reg1, Imm>>,
            (false, true) => return None,
            (false, false) => by_ea!(op, E => run::<BitTest<T, Mem<E>, Imm>> as Handler),
        }),
        Mnemonic::Bts => change!(SET),
        Mnemonic::Btr => change!(RESET),
        Mnemonic::Btc => change!(COMPLEMENT),
        Mnemonic::Bsf | Mnemonic::Tzcnt => from_any!(T, S => Scan<T, S, false>),
        Mnemonic::Bsr | Mnemonic::Lzcnt => from_any!(T, S => Scan<T, S, true>),
        Mnemonic::Popcnt => from_any!(T, S => PopCount<T, S>),
        Mnemonic::Shld => double!(true),
        Mnemonic::Shrd => double!(false),
        Mnemonic::Div => one_operand!(instruction, op, T, D => Divide<T, D, false>),
        Mnemonic::Idiv => one_operand!(instruction, op, T, D => Divide<T, D, true>),
        _ => return None,
    })
}

fn shifts<K: shift::Kind>(instruction: &Instruction, op: &Op) -> Option<Chosen> {
    let by_cl = instruction.op1_kind() == OpKind::Register;
    if by_cl && instruction.op1_register() != Register::CL {
        return None;
    }
    next(if by_cl {
        one_operand!(instruction, op, T, D => Shift<K, T, D, Cl>)
    } else {
        one_operand!(instruction, op, T, D => Shift<K, T, D, Imm>)
    })
}

fn multiply(instruction: &Instruction, op: &Op) -> Option<Chosen> {
    let size = operand_size(instruction, 0);
    match instruction.op_count() {
        1 => next(one_operand!(instruction, op, T, D => MultiplyRax<T, D, true>)),
        2 => next(by_wide_size!(size, T => if instruction.op1_kind() == OpKind::Memory {
            by_ea!(op, E => run::<Imul<T, Mem<E>>> as Handler)
        } else {
            run::<Imul<T, Reg2>>
        })),
        _ => next(by_wide_size!(size, T => if instruction.op1_kind() == OpKind::Memory {
            by_ea!(op, E => run::<Imul3<T, Mem<E>>> as Handler)
        } else {
            run::<Imul3<T, Reg2>>
        })),
    }
}

/// Chooses for CMP or TEST with the conditional jump that follows it.
pub(crate) fn fused(first: &Instruction, second: &Instruction, op: &mut Op) -> Option<Handler> {
    let is_test = match first.mnemonic() {
        Mnemonic::Cmp => false,
        Mnemonic::Test => true,
        _ => return None,
    };
    if !second.is_jcc_short_or_near() || second.op0_kind() == OpKind::NearBranch16 {
        return None;
    }
    let form = form(first)?;
    let size = operand_size(first, 0);
    if size == 2 || has_high_byte(op) {
        return None;
    }
    let number = condition(second)?;
    macro_rules! pick {
        ($X:ident, $T:ty, $($value:literal)*) => {
            match form {
                Form::RegReg => conditions!($X, $T, Reg1, Reg2, $($value)*),
                Form::RegImm => conditions!($X, $T, Reg1, Imm, $($value)*),
                Form::RegMem => by_ea!(op, E => conditions!($X, $T, Reg1, Mem<E>, $($value)*)),
                Form::MemReg => by_ea!(op, E => conditions!($X, $T, Mem<E>, Reg2, $($value)*)),
                Form::MemImm => by_ea!(op, E => conditions!($X, $T, Mem<E>, Imm, $($value)*)),
            }
        };
    }
    macro_rules! conditions {
        ($X:ident, $T:ty, $A:ty, $B:ty, $($value:literal)*) => {
            match number {
                $($value => Some(run::<$X<$T, $A, $B, $value>> as Handler),)*
                _ => None,
            }
        };
    }
    macro_rules! sizes {
        ($X:ident, $($value:literal)*) => {
            match size {
                1 => pick!($X, u8, $($value)*),
                4 => pick!($X, u32, $($value)*),
                _ => pick!($X, u64, $($value)*),
            }
        };
    }
    if is_test { sizes!(TestJcc, 4 5 8 9 14 15) } else { sizes!(CmpJcc, 2 3 4 5 6 7 12 13 14 15) }
}
