//! Decoding: from iced's instruction codes to the unit's operations.

use iced_x86::{Code, Instruction};

/// How a memory operand is to be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum MemoryFormat {
    Single,
    Double,
    Extended,
    Int16,
    Int32,
    Int64,
    Decimal,
}

impl MemoryFormat {
    /// Bytes in memory.
    pub fn size(self) -> usize {
        match self {
            Self::Int16 => 2,
            Self::Single | Self::Int32 => 4,
            Self::Double | Self::Int64 => 8,
            Self::Extended | Self::Decimal => 10,
        }
    }
}

/// A two-operand arithmetic operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Arithmetic {
    Add,
    Sub,
    /// Source minus destination.
    SubReversed,
    Mul,
    Div,
    /// Source divided by destination.
    DivReversed,
}

/// The operands of a two-operand operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operands {
    /// ST0 with memory, to ST0.
    Memory(MemoryFormat),
    /// ST0 with ST(i), to ST0.
    St0Sti,
    /// ST(i) with ST0, to ST(i).
    StiSt0,
}

/// A one-operand operation on ST0, or one on ST0 and ST1 without operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the mnemonics")]
pub enum Function {
    Chs,
    Abs,
    Tst,
    Xam,
    Sqrt,
    Rndint,
    Xtract,
    Scale,
    Prem,
    Prem1,
    F2xm1,
    Yl2x,
    Yl2xp1,
    Patan,
    Ptan,
    Sin,
    Cos,
    Sincos,
}

/// A constant that an instruction pushes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the mnemonics")]
pub enum Constant {
    One,
    L2t,
    L2e,
    Pi,
    Lg2,
    Ln2,
    Zero,
}

/// `FCMOVcc`'s condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the suffixes")]
pub enum Condition {
    Below,
    Equal,
    BelowOrEqual,
    Unordered,
}

/// Whether quiet NaNs are invalid operands of a compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Order {
    Ordered,
    Unordered,
}

/// Whether an instruction first raises a pending exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Wait {
    Yes,
    No,
}

/// The layout of an environment or state image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Width {
    Bits16,
    Bits32,
}

/// An x87 instruction, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the mnemonics")]
pub enum X87Op {
    Arithmetic(Arithmetic, Operands, bool),
    /// Compares ST0 and sets the condition codes; the number of pops.
    Compare(Order, Operands, u8),
    /// Compares ST0 with ST(i) and sets RFLAGS; whether to pop.
    CompareFlags(Order, bool),
    Function(Function),
    Constant(Constant),
    Load(MemoryFormat),
    LoadSti,
    Store(MemoryFormat, bool),
    StoreTruncated(MemoryFormat),
    StoreSti(bool),
    /// `FSTPNCE`: like `FSTP`, but an empty ST0 is no stack fault.
    StoreStiQuiet,
    Exchange,
    MoveIf(Condition, bool),
    Free(bool),
    IncTop,
    DecTop,
    Nop,
    Wait,
    Init(Wait),
    ClearExceptions(Wait),
    LoadControl,
    StoreControl(Wait),
    StoreStatus(Wait),
    StoreStatusAx(Wait),
    LoadEnvironment(Width),
    StoreEnvironment(Width, Wait),
    Restore(Width),
    Save(Width, Wait),
}

impl X87Op {
    /// Control instructions leave the last-instruction pointers alone.
    pub(super) fn is_control(self) -> bool {
        matches!(
            self,
            Self::Wait
                | Self::Init(_)
                | Self::ClearExceptions(_)
                | Self::LoadControl
                | Self::StoreControl(_)
                | Self::StoreStatus(_)
                | Self::StoreStatusAx(_)
                | Self::LoadEnvironment(_)
                | Self::StoreEnvironment(..)
                | Self::Restore(_)
                | Self::Save(..)
        )
    }

    /// Whether a pending exception is raised before the instruction runs.
    pub fn waits(self) -> bool {
        !matches!(
            self,
            Self::Init(Wait::No)
                | Self::ClearExceptions(Wait::No)
                | Self::StoreControl(Wait::No)
                | Self::StoreStatus(Wait::No)
                | Self::StoreStatusAx(Wait::No)
                | Self::StoreEnvironment(_, Wait::No)
                | Self::Save(_, Wait::No)
        )
    }

    /// The bytes the instruction reads from memory.
    pub fn reads(self) -> usize {
        match self {
            Self::Arithmetic(_, Operands::Memory(f), _)
            | Self::Compare(_, Operands::Memory(f), _)
            | Self::Load(f) => f.size(),
            Self::LoadControl => 2,
            Self::LoadEnvironment(Width::Bits16) => 14,
            Self::LoadEnvironment(Width::Bits32) => 28,
            Self::Restore(Width::Bits16) => 94,
            Self::Restore(Width::Bits32) => 108,
            _ => 0,
        }
    }

    /// The bytes the instruction may write to memory.
    pub fn writes(self) -> usize {
        match self {
            Self::Store(f, _) | Self::StoreTruncated(f) => f.size(),
            Self::StoreControl(_) | Self::StoreStatus(_) => 2,
            Self::StoreEnvironment(Width::Bits16, _) => 14,
            Self::StoreEnvironment(Width::Bits32, _) => 28,
            Self::Save(Width::Bits16, _) => 94,
            Self::Save(Width::Bits32, _) => 108,
            _ => 0,
        }
    }
}

/// The register operand that the encoding chooses, 0 if there is none. Of two register
/// operands one is always ST0, so the other is the greater.
pub fn sti_of(instruction: &Instruction) -> u8 {
    (0..instruction.op_count().min(2))
        .map(|i| instruction.op_register(i))
        .filter(|register| register.is_st())
        .map(|register| register.number() as u8)
        .max()
        .unwrap_or(0)
}

/// The operation of an x87 instruction; `None` for others, and for the 8087's and 287's
/// own instructions, which later processors ignore or do not have.
pub fn x87_lookup(code: Code) -> Option<X87Op> {
    arithmetic(code).or_else(|| compare(code)).or_else(|| transfer(code)).or_else(|| other(code))
}

fn arithmetic(code: Code) -> Option<X87Op> {
    use Arithmetic::*;
    use Code::*;
    use MemoryFormat::*;
    use Operands::{Memory, St0Sti, StiSt0};
    let (operation, operands, pop) = match code {
        Fadd_m32fp => (Add, Memory(Single), false),
        Fadd_m64fp => (Add, Memory(Double), false),
        Fiadd_m16int => (Add, Memory(Int16), false),
        Fiadd_m32int => (Add, Memory(Int32), false),
        Fadd_st0_sti => (Add, St0Sti, false),
        Fadd_sti_st0 => (Add, StiSt0, false),
        Faddp_sti_st0 => (Add, StiSt0, true),
        Fsub_m32fp => (Sub, Memory(Single), false),
        Fsub_m64fp => (Sub, Memory(Double), false),
        Fisub_m16int => (Sub, Memory(Int16), false),
        Fisub_m32int => (Sub, Memory(Int32), false),
        Fsub_st0_sti => (Sub, St0Sti, false),
        Fsub_sti_st0 => (Sub, StiSt0, false),
        Fsubp_sti_st0 => (Sub, StiSt0, true),
        Fsubr_m32fp => (SubReversed, Memory(Single), false),
        Fsubr_m64fp => (SubReversed, Memory(Double), false),
        Fisubr_m16int => (SubReversed, Memory(Int16), false),
        Fisubr_m32int => (SubReversed, Memory(Int32), false),
        Fsubr_st0_sti => (SubReversed, St0Sti, false),
        Fsubr_sti_st0 => (SubReversed, StiSt0, false),
        Fsubrp_sti_st0 => (SubReversed, StiSt0, true),
        Fmul_m32fp => (Mul, Memory(Single), false),
        Fmul_m64fp => (Mul, Memory(Double), false),
        Fimul_m16int => (Mul, Memory(Int16), false),
        Fimul_m32int => (Mul, Memory(Int32), false),
        Fmul_st0_sti => (Mul, St0Sti, false),
        Fmul_sti_st0 => (Mul, StiSt0, false),
        Fmulp_sti_st0 => (Mul, StiSt0, true),
        Fdiv_m32fp => (Div, Memory(Single), false),
        Fdiv_m64fp => (Div, Memory(Double), false),
        Fidiv_m16int => (Div, Memory(Int16), false),
        Fidiv_m32int => (Div, Memory(Int32), false),
        Fdiv_st0_sti => (Div, St0Sti, false),
        Fdiv_sti_st0 => (Div, StiSt0, false),
        Fdivp_sti_st0 => (Div, StiSt0, true),
        Fdivr_m32fp => (DivReversed, Memory(Single), false),
        Fdivr_m64fp => (DivReversed, Memory(Double), false),
        Fidivr_m16int => (DivReversed, Memory(Int16), false),
        Fidivr_m32int => (DivReversed, Memory(Int32), false),
        Fdivr_st0_sti => (DivReversed, St0Sti, false),
        Fdivr_sti_st0 => (DivReversed, StiSt0, false),
        Fdivrp_sti_st0 => (DivReversed, StiSt0, true),
        _ => return None,
    };
    Some(X87Op::Arithmetic(operation, operands, pop))
}

fn compare(code: Code) -> Option<X87Op> {
    use Code::*;
    use MemoryFormat::*;
    use Operands::{Memory, St0Sti};
    use Order::*;
    Some(match code {
        Fcom_m32fp => X87Op::Compare(Ordered, Memory(Single), 0),
        Fcom_m64fp => X87Op::Compare(Ordered, Memory(Double), 0),
        Fcomp_m32fp => X87Op::Compare(Ordered, Memory(Single), 1),
        Fcomp_m64fp => X87Op::Compare(Ordered, Memory(Double), 1),
        Ficom_m16int => X87Op::Compare(Ordered, Memory(Int16), 0),
        Ficom_m32int => X87Op::Compare(Ordered, Memory(Int32), 0),
        Ficomp_m16int => X87Op::Compare(Ordered, Memory(Int16), 1),
        Ficomp_m32int => X87Op::Compare(Ordered, Memory(Int32), 1),
        Fcom_st0_sti | Fcom_st0_sti_DCD0 => X87Op::Compare(Ordered, St0Sti, 0),
        Fcomp_st0_sti | Fcomp_st0_sti_DCD8 | Fcomp_st0_sti_DED0 => {
            X87Op::Compare(Ordered, St0Sti, 1)
        }
        Fcompp => X87Op::Compare(Ordered, St0Sti, 2),
        Fucom_st0_sti => X87Op::Compare(Unordered, St0Sti, 0),
        Fucomp_st0_sti => X87Op::Compare(Unordered, St0Sti, 1),
        Fucompp => X87Op::Compare(Unordered, St0Sti, 2),
        Fcomi_st0_sti => X87Op::CompareFlags(Ordered, false),
        Fcomip_st0_sti => X87Op::CompareFlags(Ordered, true),
        Fucomi_st0_sti => X87Op::CompareFlags(Unordered, false),
        Fucomip_st0_sti => X87Op::CompareFlags(Unordered, true),
        _ => return None,
    })
}

fn transfer(code: Code) -> Option<X87Op> {
    use Code::*;
    use Condition::*;
    use MemoryFormat::*;
    Some(match code {
        Fld_m32fp => X87Op::Load(Single),
        Fld_m64fp => X87Op::Load(Double),
        Fld_m80fp => X87Op::Load(Extended),
        Fild_m16int => X87Op::Load(Int16),
        Fild_m32int => X87Op::Load(Int32),
        Fild_m64int => X87Op::Load(Int64),
        Fbld_m80bcd => X87Op::Load(Decimal),
        Fld_sti => X87Op::LoadSti,
        Fst_m32fp => X87Op::Store(Single, false),
        Fst_m64fp => X87Op::Store(Double, false),
        Fstp_m32fp => X87Op::Store(Single, true),
        Fstp_m64fp => X87Op::Store(Double, true),
        Fstp_m80fp => X87Op::Store(Extended, true),
        Fist_m16int => X87Op::Store(Int16, false),
        Fist_m32int => X87Op::Store(Int32, false),
        Fistp_m16int => X87Op::Store(Int16, true),
        Fistp_m32int => X87Op::Store(Int32, true),
        Fistp_m64int => X87Op::Store(Int64, true),
        Fbstp_m80bcd => X87Op::Store(Decimal, true),
        Fisttp_m16int => X87Op::StoreTruncated(Int16),
        Fisttp_m32int => X87Op::StoreTruncated(Int32),
        Fisttp_m64int => X87Op::StoreTruncated(Int64),
        Fst_sti => X87Op::StoreSti(false),
        Fstpnce_sti => X87Op::StoreStiQuiet,
        Fstp_sti | Fstp_sti_DFD0 | Fstp_sti_DFD8 => X87Op::StoreSti(true),
        Fxch_st0_sti | Fxch_st0_sti_DDC8 | Fxch_st0_sti_DFC8 => X87Op::Exchange,
        Fcmovb_st0_sti => X87Op::MoveIf(Below, true),
        Fcmove_st0_sti => X87Op::MoveIf(Equal, true),
        Fcmovbe_st0_sti => X87Op::MoveIf(BelowOrEqual, true),
        Fcmovu_st0_sti => X87Op::MoveIf(Unordered, true),
        Fcmovnb_st0_sti => X87Op::MoveIf(Below, false),
        Fcmovne_st0_sti => X87Op::MoveIf(Equal, false),
        Fcmovnbe_st0_sti => X87Op::MoveIf(BelowOrEqual, false),
        Fcmovnu_st0_sti => X87Op::MoveIf(Unordered, false),
        _ => return None,
    })
}

fn other(code: Code) -> Option<X87Op> {
    use Code::*;
    use Width::*;
    Some(match code {
        Fchs => X87Op::Function(Function::Chs),
        Fabs => X87Op::Function(Function::Abs),
        Ftst => X87Op::Function(Function::Tst),
        Fxam => X87Op::Function(Function::Xam),
        Fsqrt => X87Op::Function(Function::Sqrt),
        Frndint => X87Op::Function(Function::Rndint),
        Fxtract => X87Op::Function(Function::Xtract),
        Fscale => X87Op::Function(Function::Scale),
        Fprem => X87Op::Function(Function::Prem),
        Fprem1 => X87Op::Function(Function::Prem1),
        F2xm1 => X87Op::Function(Function::F2xm1),
        Fyl2x => X87Op::Function(Function::Yl2x),
        Fyl2xp1 => X87Op::Function(Function::Yl2xp1),
        Fpatan => X87Op::Function(Function::Patan),
        Fptan => X87Op::Function(Function::Ptan),
        Fsin => X87Op::Function(Function::Sin),
        Fcos => X87Op::Function(Function::Cos),
        Fsincos => X87Op::Function(Function::Sincos),
        Fld1 => X87Op::Constant(Constant::One),
        Fldl2t => X87Op::Constant(Constant::L2t),
        Fldl2e => X87Op::Constant(Constant::L2e),
        Fldpi => X87Op::Constant(Constant::Pi),
        Fldlg2 => X87Op::Constant(Constant::Lg2),
        Fldln2 => X87Op::Constant(Constant::Ln2),
        Fldz => X87Op::Constant(Constant::Zero),
        Ffree_sti => X87Op::Free(false),
        Ffreep_sti => X87Op::Free(true),
        Fincstp => X87Op::IncTop,
        Fdecstp => X87Op::DecTop,
        // The 8087's interrupt masks and the 287's mode switch do nothing since the 387.
        Fnop | Fneni | Fndisi | Fnsetpm => X87Op::Nop,
        Code::Wait => X87Op::Wait,
        Fninit => X87Op::Init(self::Wait::No),
        Finit => X87Op::Init(self::Wait::Yes),
        Fnclex => X87Op::ClearExceptions(self::Wait::No),
        Fclex => X87Op::ClearExceptions(self::Wait::Yes),
        Fldcw_m2byte => X87Op::LoadControl,
        Fnstcw_m2byte => X87Op::StoreControl(self::Wait::No),
        Fstcw_m2byte => X87Op::StoreControl(self::Wait::Yes),
        Fnstsw_m2byte => X87Op::StoreStatus(self::Wait::No),
        Fstsw_m2byte => X87Op::StoreStatus(self::Wait::Yes),
        Fnstsw_AX => X87Op::StoreStatusAx(self::Wait::No),
        Fstsw_AX => X87Op::StoreStatusAx(self::Wait::Yes),
        Fldenv_m14byte => X87Op::LoadEnvironment(Bits16),
        Fldenv_m28byte => X87Op::LoadEnvironment(Bits32),
        Fnstenv_m14byte => X87Op::StoreEnvironment(Bits16, self::Wait::No),
        Fnstenv_m28byte => X87Op::StoreEnvironment(Bits32, self::Wait::No),
        Fstenv_m14byte => X87Op::StoreEnvironment(Bits16, self::Wait::Yes),
        Fstenv_m28byte => X87Op::StoreEnvironment(Bits32, self::Wait::Yes),
        Frstor_m94byte => X87Op::Restore(Bits16),
        Frstor_m108byte => X87Op::Restore(Bits32),
        Fnsave_m94byte => X87Op::Save(Bits16, self::Wait::No),
        Fnsave_m108byte => X87Op::Save(Bits32, self::Wait::No),
        Fsave_m94byte => X87Op::Save(Bits16, self::Wait::Yes),
        Fsave_m108byte => X87Op::Save(Bits32, self::Wait::Yes),
        _ => return None,
    })
}
