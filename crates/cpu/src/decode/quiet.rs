//! Dead flags: which operations set flags that are overwritten before anything can see them.
//!
//! Anything that may fault, stop or branch sees the flags, since they are then the thread's. Neighbour: [`super`].

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::select::{EaKind, Form, by_ea, ea_kind, form, operand_size};
use crate::exec::alu::{self, AluQuiet};
use crate::exec::shift::{self, ShiftQuiet};
use crate::exec::transfer::Mov;
use crate::op::{EaAny, EaBase, EaIndex, Handler, Imm, Mem, Op, Reg1, Reg2, run};

/// What an instruction means for the flags of those before it.
pub(super) enum Effect {
    /// It neither sees nor changes them.
    None,
    /// It may show them to somebody.
    Sees,
    /// It changes some of them and shows none.
    Changes,
    /// It sets all six and shows none.
    Overwrites,
}

/// The replacement of an operation whose flags are dead.
pub(super) struct Quiet {
    pub handler: Handler,
    pub imm: u64,
}

fn is_shift_by_constant(i: &Instruction) -> bool {
    let mask = if operand_size(i, 0) == 8 { 63 } else { 31 };
    i.op1_kind() == OpKind::Immediate8 && i.immediate8() & mask != 0
}

/// Classifies an instruction that has a fast body.
pub(super) fn effect(i: &Instruction) -> Effect {
    if (0..i.op_count()).any(|index| i.op_kind(index) == OpKind::Memory)
        && i.mnemonic() != Mnemonic::Lea
    {
        return Effect::Sees;
    }
    match i.mnemonic() {
        Mnemonic::Mov
        | Mnemonic::Movzx
        | Mnemonic::Movsx
        | Mnemonic::Movsxd
        | Mnemonic::Lea
        | Mnemonic::Not
        | Mnemonic::Bswap
        | Mnemonic::Xchg
        | Mnemonic::Nop
        | Mnemonic::Cdqe
        | Mnemonic::Cdq
        | Mnemonic::Cqo
        | Mnemonic::Cwde
        | Mnemonic::Movaps
        | Mnemonic::Movdqa
        | Mnemonic::Movd
        | Mnemonic::Movq => Effect::None,
        Mnemonic::Add
        | Mnemonic::Sub
        | Mnemonic::Cmp
        | Mnemonic::And
        | Mnemonic::Or
        | Mnemonic::Xor
        | Mnemonic::Test
        | Mnemonic::Neg
        | Mnemonic::Imul
        | Mnemonic::Mul => Effect::Overwrites,
        Mnemonic::Shl | Mnemonic::Sal | Mnemonic::Shr | Mnemonic::Sar
            if is_shift_by_constant(i) =>
        {
            Effect::Overwrites
        }
        Mnemonic::Rol | Mnemonic::Ror if is_shift_by_constant(i) => Effect::Changes,
        Mnemonic::Inc | Mnemonic::Dec => Effect::Changes,
        _ => Effect::Sees,
    }
}

/// The form of an operation without its flags, for 32- and 64-bit register targets.
pub(super) fn quiet(i: &Instruction, op: &Op) -> Option<Quiet> {
    let size = if i.op_count() > 0 { operand_size(i, 0) } else { 0 };
    if size < 4 || i.op0_kind() != OpKind::Register || !i.op0_register().is_gpr() {
        return None;
    }
    let with = |handler, imm| Some(Quiet { handler, imm });
    macro_rules! sized {
        ($T:ident => $X:ty) => {
            if size == 8 {
                type $T = u64;
                run::<$X> as Handler
            } else {
                type $T = u32;
                run::<$X> as Handler
            }
        };
    }
    macro_rules! shift {
        ($K:ident) => {
            if is_shift_by_constant(i) {
                with(sized!(T => ShiftQuiet<shift::$K, T, Reg1>), op.imm)
            } else {
                None
            }
        };
    }
    macro_rules! alu {
        ($O:ident) => {
            match form(i)? {
                Form::RegReg => with(sized!(T => AluQuiet<alu::$O, T, Reg1, Reg2>), op.imm),
                Form::RegImm => with(sized!(T => AluQuiet<alu::$O, T, Reg1, Imm>), op.imm),
                Form::RegMem => by_ea!(op, E => {
                    with(sized!(T => AluQuiet<alu::$O, T, Reg1, Mem<E>>), op.imm)
                }),
                _ => None,
            }
        };
    }
    match i.mnemonic() {
        Mnemonic::Xor | Mnemonic::Sub
            if i.op1_kind() == OpKind::Register && i.op0_register() == i.op1_register() =>
        {
            with(sized!(T => Mov<T, Reg1, Imm>), 0)
        }
        Mnemonic::Add => alu!(Add),
        Mnemonic::Sub => alu!(Sub),
        Mnemonic::And => alu!(And),
        Mnemonic::Or => alu!(Or),
        Mnemonic::Xor => alu!(Xor),
        Mnemonic::Inc => with(sized!(T => AluQuiet<alu::Add, T, Reg1, Imm>), 1),
        Mnemonic::Dec => with(sized!(T => AluQuiet<alu::Sub, T, Reg1, Imm>), 1),
        Mnemonic::Shl | Mnemonic::Sal => shift!(Shl),
        Mnemonic::Shr => shift!(Shr),
        Mnemonic::Sar => shift!(Sar),
        Mnemonic::Rol => shift!(Rol),
        Mnemonic::Ror => shift!(Ror),
        _ => None,
    }
}
