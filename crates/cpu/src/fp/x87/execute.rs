//! Execution of x87 instructions on the register state.
//!
//! Every operation has the same shape: check the stack, compute with an [`Env`], and let
//! [`Fpu::settle`] record the flags and say whether the result counts. An unmasked
//! exception found before the operation leaves the registers unchanged; one found after
//! it delivers the result to a register but not to memory, save for inexactness.

use std::cmp::Ordering;

use super::arith::{self, Progress, Quotient};
use super::image::number;
use super::op::{Arithmetic, Condition, Constant, Function, MemoryFormat, Operands, Order, X87Op};
use super::transcendental as math;
use super::value::{self, F80};
use super::{C0, C1, C2, C3, Effect, Fpu, Input, MAX_STORE, Origin, X87Fault};
use crate::fp::soft::{Class, DE, Env, IE, OE, PE, Rounding, UE, Unpacked, ZE};

/// RFLAGS bits that the compares and moves use.
const CF: u64 = 1;
const PF: u64 = 1 << 2;
const ZF: u64 = 1 << 6;

/// What an unmasked exception prevents.
///
/// Where the manuals are silent or differ, this is what an AMD Zen 5 was seen to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Results to registers: an early exception (IE, DE, ZE) prevents the result.
    Register,
    /// Loads: an unmasked DE is reported, but the value is loaded.
    Load,
    /// Stores: an early exception, overflow and underflow prevent the store.
    Memory,
}

impl Fpu {
    /// Executes one instruction. What it stores is written to `out`; the effect says how
    /// many bytes count.
    pub fn execute(
        &mut self,
        op: X87Op,
        input: &Input<'_>,
        out: &mut [u8; MAX_STORE],
    ) -> Result<Effect, X87Fault> {
        if op.waits() && self.pending() {
            return Err(X87Fault::Pending);
        }
        if !op.is_control() {
            self.note_origin(op, input.origin);
        }
        let mut effect = Effect::default();
        match op {
            X87Op::Arithmetic(operation, operands, pop) => {
                self.arithmetic(operation, operands, pop, input);
            }
            X87Op::Compare(order, operands, pops) => self.compare(order, operands, pops, input),
            X87Op::CompareFlags(order, pop) => {
                effect.rflags = Some(self.compare_flags(order, input.sti, pop));
            }
            X87Op::Function(function) => self.function(function),
            X87Op::Constant(constant) => self.constant(constant),
            X87Op::Load(format) => self.load(format, input.memory),
            X87Op::LoadSti => self.load_sti(input.sti),
            X87Op::Store(format, pop) => {
                let rounding = self.env().rounding;
                effect.stored = self.store(format, rounding, pop, out);
            }
            X87Op::StoreTruncated(format) => {
                effect.stored = self.store(format, Rounding::Zero, true, out);
            }
            X87Op::StoreSti(pop) => self.store_sti(input.sti, pop),
            X87Op::StoreStiQuiet => {
                if let Some(value) = self.st(0) {
                    self.set_st(input.sti, value);
                }
                self.set_c1(false);
                self.pop();
            }
            X87Op::Exchange => self.exchange(input.sti),
            X87Op::MoveIf(condition, wanted) => {
                self.move_if(holds(condition, input.rflags) == wanted, input.sti);
            }
            X87Op::Free(pop) => {
                self.free(input.sti);
                self.set_c1(false);
                if pop {
                    self.pop();
                }
            }
            X87Op::IncTop => {
                self.top = self.top.wrapping_add(1) & 7;
                self.set_c1(false);
            }
            X87Op::DecTop => {
                self.top = self.top.wrapping_sub(1) & 7;
                self.set_c1(false);
            }
            X87Op::Nop | X87Op::Wait => {}
            X87Op::Init(_) => self.init(),
            X87Op::ClearExceptions(_) => {
                self.status &= !0x80FF;
            }
            X87Op::LoadControl => self.set_control_word(number(input.memory, 0, 2) as u16),
            X87Op::StoreControl(_) => {
                effect.stored = put(out, &self.control.to_le_bytes());
            }
            X87Op::StoreStatus(_) => {
                effect.stored = put(out, &self.status_word().to_le_bytes());
            }
            X87Op::StoreStatusAx(_) => effect.ax = Some(self.status_word()),
            X87Op::LoadEnvironment(width) => {
                self.load_environment(width, input.memory);
            }
            X87Op::StoreEnvironment(width, _) => {
                effect.stored = self.store_environment(width, out);
                self.set_control_word(self.control | 0x3F);
            }
            X87Op::Restore(width) => self.restore(width, input.memory),
            X87Op::Save(width, _) => {
                effect.stored = self.save(width, out);
                self.init();
            }
        }
        Ok(effect)
    }

    fn note_origin(&mut self, op: X87Op, origin: Origin) {
        let Origin { dp, ds, .. } = self.last;
        self.last = origin;
        if op.reads() == 0 && op.writes() == 0 {
            self.last.dp = dp;
            self.last.ds = ds;
        }
    }

    /// `FNINIT`: the registers keep their contents but are marked empty.
    fn init(&mut self) {
        *self = Self { regs: self.regs, ..Self::new() };
    }

    /// Records an operation's flags and C1; true when its result is to be delivered.
    fn settle(&mut self, env: &Env, target: Target) -> bool {
        let unmasked = env.flags & !env.masks;
        let fatal = if target == Target::Load { IE } else { IE | DE | ZE };
        let early = unmasked & fatal != 0;
        let late = target == Target::Memory && unmasked & (OE | UE) != 0;
        let lost = early || late;
        let flags = match (early, late) {
            (true, _) => env.flags & (IE | DE | ZE),
            (_, true) => env.flags & !PE,
            _ => env.flags,
        };
        self.status |= flags as u16;
        self.set_c1(flags & PE != 0 && env.rounded_up);
        self.summarise();
        !lost
    }

    fn arithmetic(
        &mut self,
        operation: Arithmetic,
        operands: Operands,
        pop: bool,
        input: &Input<'_>,
    ) {
        let (to, destination, source) = match operands {
            Operands::Memory(format) => {
                (0, self.st(0).map(F80::unpack), Some(memory_operand(format, input.memory)))
            }
            Operands::St0Sti => {
                (0, self.st(0).map(F80::unpack), self.st(input.sti).map(F80::unpack))
            }
            Operands::StiSt0 => {
                (input.sti, self.st(input.sti).map(F80::unpack), self.st(0).map(F80::unpack))
            }
        };
        let result = if let (Some(a), Some(b)) = (destination, source) {
            let mut env = self.env();
            let result = arith::binary(operation, &a, &b, &self.format(), &mut env);
            self.settle(&env, Target::Register).then_some(result)
        } else {
            self.stack_underflow().then_some(F80::INDEFINITE)
        };
        if let Some(result) = result {
            self.set_st(to, result);
            if pop {
                self.pop();
            }
        }
    }

    /// The order of ST0 and a source, and whether pops are to be done. The relation is
    /// reported even after an unmasked exception.
    fn relation(&mut self, order: Order, source: Option<Unpacked>) -> (Option<Ordering>, bool) {
        let (Some(a), Some(b)) = (self.st(0), source) else {
            return (None, self.stack_underflow());
        };
        let mut env = self.env();
        let relation = arith::compare(order, &a.unpack(), &b, &mut env);
        (relation, self.settle(&env, Target::Register))
    }

    fn compare(&mut self, order: Order, operands: Operands, pops: u8, input: &Input<'_>) {
        let source = match operands {
            Operands::Memory(format) => Some(memory_operand(format, input.memory)),
            // FCOMPP and FUCOMPP have no operand: they compare with ST1.
            _ if pops == 2 => self.st(1).map(F80::unpack),
            _ => self.st(input.sti).map(F80::unpack),
        };
        let (relation, deliver) = self.relation(order, source);
        self.set_conditions(relation_conditions(relation));
        if deliver {
            for _ in 0..pops {
                self.pop();
            }
        }
    }

    /// Unlike the compares to condition codes, these keep C1 unless the stack faults.
    fn compare_flags(&mut self, order: Order, sti: u8, pop: bool) -> u64 {
        let source = self.st(sti).map(F80::unpack);
        let c1 = self.status & C1;
        let stack_fault = self.is_empty(0) || source.is_none();
        let (relation, deliver) = self.relation(order, source);
        if !stack_fault {
            self.status |= c1;
        }
        if pop && deliver {
            self.pop();
        }
        match relation {
            Some(Ordering::Greater) => 0,
            Some(Ordering::Less) => CF,
            Some(Ordering::Equal) => ZF,
            None => ZF | PF | CF,
        }
    }

    fn load(&mut self, format: MemoryFormat, memory: &[u8]) {
        if !self.is_empty(7) {
            if self.stack_overflow() {
                self.push(F80::INDEFINITE);
            }
            return;
        }
        let mut env = self.env();
        let value = match format {
            MemoryFormat::Extended => {
                F80 { mantissa: number(memory, 0, 8), sign_exponent: number(memory, 8, 2) as u16 }
            }
            MemoryFormat::Decimal => {
                value::load_bcd(std::array::from_fn(|i| memory.get(i).copied().unwrap_or(0)))
            }
            _ => value::load(&memory_operand(format, memory), &mut env),
        };
        if self.settle(&env, Target::Load) {
            self.push(value);
        }
    }

    fn load_sti(&mut self, sti: u8) {
        match (self.st(sti), self.is_empty(7)) {
            (Some(value), true) => {
                self.set_c1(false);
                self.push(value);
            }
            (None, _) => {
                if self.stack_underflow() {
                    self.push(F80::INDEFINITE);
                }
            }
            (_, false) => {
                if self.stack_overflow() {
                    self.push(F80::INDEFINITE);
                }
            }
        }
    }

    fn store(
        &mut self,
        format: MemoryFormat,
        rounding: Rounding,
        pop: bool,
        out: &mut [u8; MAX_STORE],
    ) -> usize {
        let mut env = self.env();
        env.rounding = rounding;
        let (value, deliver) = match self.st(0) {
            Some(value) => (value, None),
            // The masked response stores the indefinite of the format, which is what
            // converting the register indefinite gives.
            None => (F80::INDEFINITE, Some(self.stack_underflow())),
        };
        let stored = match format {
            MemoryFormat::Single => put(out, &value::store::<u32>(value, &mut env).to_le_bytes()),
            MemoryFormat::Double => put(out, &value::store::<u64>(value, &mut env).to_le_bytes()),
            MemoryFormat::Extended => put(out, &value.to_bytes()),
            MemoryFormat::Decimal => put(out, &value::store_bcd(value, &mut env)),
            MemoryFormat::Int16 | MemoryFormat::Int32 | MemoryFormat::Int64 => {
                let size = format.size();
                let i = value::store_integer(value, rounding, 8 * size as u32, &mut env);
                put(out, &i.to_le_bytes());
                size
            }
        };
        if !deliver.unwrap_or_else(|| self.settle(&env, Target::Memory)) {
            return 0;
        }
        if pop {
            self.pop();
        }
        stored
    }

    fn store_sti(&mut self, sti: u8, pop: bool) {
        let value = match self.st(0) {
            Some(value) => {
                self.set_c1(false);
                value
            }
            None if self.stack_underflow() => F80::INDEFINITE,
            None => return,
        };
        self.set_st(sti, value);
        if pop {
            self.pop();
        }
    }

    fn exchange(&mut self, sti: u8) {
        let (a, b) = (self.st(0), self.st(sti));
        if a.is_some() && b.is_some() {
            self.set_c1(false);
        } else if !self.stack_underflow() {
            return;
        }
        self.set_st(0, b.unwrap_or(F80::INDEFINITE));
        self.set_st(sti, a.unwrap_or(F80::INDEFINITE));
    }

    fn move_if(&mut self, condition: bool, sti: u8) {
        match (self.st(0), self.st(sti)) {
            (Some(_), Some(value)) => {
                if condition {
                    self.set_st(0, value);
                }
            }
            _ => {
                if self.stack_underflow() {
                    self.set_st(0, F80::INDEFINITE);
                }
            }
        }
    }

    fn constant(&mut self, constant: Constant) {
        if !self.is_empty(7) {
            if self.stack_overflow() {
                self.push(F80::INDEFINITE);
            }
            return;
        }
        let value = math::constant(constant, self.env().rounding);
        self.set_c1(false);
        self.push(value);
    }

    fn function(&mut self, function: Function) {
        match function {
            Function::Xam => self.examine(),
            Function::Chs => self.change_sign(|sign| sign ^ 0x8000),
            Function::Abs => self.change_sign(|sign| sign & 0x7FFF),
            Function::Tst => {
                let zero = Unpacked::finite(false, 0, 0);
                let (relation, _) = self.relation(Order::Ordered, Some(zero));
                self.set_conditions(relation_conditions(relation));
            }
            Function::Sqrt => {
                let format = self.format();
                self.unary(|a, env| arith::sqrt(a, &format, env));
            }
            Function::Rndint => self.unary(arith::round_to_integer),
            Function::F2xm1 => self.unary(math::f2xm1),
            Function::Scale => self.binary(arith::scale, 0),
            Function::Yl2x => self.binary(math::yl2x, 1),
            Function::Yl2xp1 => self.binary(math::yl2xp1, 1),
            Function::Patan => self.binary(math::patan, 1),
            Function::Prem => self.remainder(Quotient::Truncated),
            Function::Prem1 => self.remainder(Quotient::Nearest),
            Function::Xtract => self.two_results(arith::extract),
            Function::Sin => self.trigonometric(1, |fpu| fpu.unary(math::sin)),
            Function::Cos => self.trigonometric(1, |fpu| fpu.unary(math::cos)),
            Function::Sincos => self.trigonometric(2, |fpu| fpu.two_results(math::sincos)),
            Function::Ptan => self.trigonometric(2, |fpu| fpu.two_results(math::ptan)),
        }
    }

    fn examine(&mut self) {
        let value = self.regs[self.physical(0)];
        let class = if self.is_empty(0) {
            C3 | C0
        } else {
            match value.unpack().class {
                Class::Unsupported => 0,
                Class::QuietNan | Class::SignalingNan => C0,
                Class::Normal => C2,
                Class::Infinity => C2 | C0,
                Class::Zero => C3,
                Class::Denormal => C3 | C2,
            }
        };
        self.set_conditions(class);
        self.set_c1(value.negative());
    }

    fn change_sign(&mut self, f: impl FnOnce(u16) -> u16) {
        match self.st(0) {
            Some(value) => {
                self.set_c1(false);
                let sign_exponent = f(value.sign_exponent);
                self.set_st(0, F80 { sign_exponent, ..value });
            }
            None => {
                if self.stack_underflow() {
                    self.set_st(0, F80::INDEFINITE);
                }
            }
        }
    }

    /// ST0 becomes a function of itself.
    fn unary(&mut self, f: impl FnOnce(&Unpacked, &mut Env) -> F80) {
        let Some(value) = self.st(0) else {
            if self.stack_underflow() {
                self.set_st(0, F80::INDEFINITE);
            }
            return;
        };
        let mut env = self.env();
        let result = f(&value.unpack(), &mut env);
        if self.settle(&env, Target::Register) {
            self.set_st(0, result);
        }
    }

    /// ST(`to`) becomes a function of ST0 and ST1; with `to` 1, ST0 is then popped.
    fn binary(&mut self, f: impl FnOnce(&Unpacked, &Unpacked, &mut Env) -> F80, to: u8) {
        let result = if let (Some(a), Some(b)) = (self.st(0), self.st(1)) {
            let mut env = self.env();
            let result = f(&a.unpack(), &b.unpack(), &mut env);
            self.settle(&env, Target::Register).then_some(result)
        } else {
            self.stack_underflow().then_some(F80::INDEFINITE)
        };
        if let Some(result) = result {
            self.set_st(to, result);
            if to == 1 {
                self.pop();
            }
        }
    }

    /// ST0 is replaced by the first result, then the second is pushed.
    fn two_results(&mut self, f: impl FnOnce(&Unpacked, &mut Env) -> (F80, F80)) {
        let results = match (self.st(0), self.is_empty(7)) {
            (Some(value), true) => {
                let mut env = self.env();
                let results = f(&value.unpack(), &mut env);
                self.settle(&env, Target::Register).then_some(results)
            }
            (None, _) => self.stack_underflow().then_some((F80::INDEFINITE, F80::INDEFINITE)),
            (_, false) => self.stack_overflow().then_some((F80::INDEFINITE, F80::INDEFINITE)),
        };
        if let Some((first, second)) = results {
            self.set_st(0, first);
            self.push(second);
        }
    }

    /// A trigonometric function, of `results` results: sets C2 and does nothing when ST0
    /// is 2^63 or more in magnitude, else clears C2. Stack faults come first.
    fn trigonometric(&mut self, results: u8, f: impl FnOnce(&mut Self)) {
        let far = self.st(0).map(F80::unpack).is_some_and(|u| {
            matches!(u.class, Class::Normal | Class::Denormal) && u.exponent >= 63
        });
        self.status &= !C2;
        if far && (results == 1 || self.is_empty(7)) {
            self.status |= C2;
            self.set_c1(false);
        } else {
            f(self);
        }
    }

    fn remainder(&mut self, kind: Quotient) {
        self.status &= !C2;
        let (Some(a), Some(b)) = (self.st(0), self.st(1)) else {
            if self.stack_underflow() {
                self.set_st(0, F80::INDEFINITE);
            }
            return;
        };
        let mut env = self.env();
        let r = arith::remainder(kind, &a.unpack(), &b.unpack(), &mut env);
        if !self.settle(&env, Target::Register) {
            return;
        }
        self.set_st(0, r.value);
        match r.quotient {
            Progress::None => {}
            Progress::Partial => self.set_conditions(C2),
            Progress::Complete(q) => {
                let bit = |n: u8, flag| if q & n != 0 { flag } else { 0 };
                self.set_conditions(bit(4, C0) | bit(2, C3));
                self.set_c1(q & 1 != 0);
            }
        }
    }
}

fn put(out: &mut [u8; MAX_STORE], bytes: &[u8]) -> usize {
    for (o, b) in out.iter_mut().zip(bytes) {
        *o = *b;
    }
    bytes.len()
}

fn memory_operand(format: MemoryFormat, memory: &[u8]) -> Unpacked {
    let raw = number(memory, 0, format.size().min(8));
    match format {
        MemoryFormat::Single => value::from_ieee(raw as u32),
        MemoryFormat::Double => value::from_ieee(raw),
        MemoryFormat::Int16 => value::from_integer((raw as i16).into()),
        MemoryFormat::Int32 => value::from_integer((raw as i32).into()),
        _ => value::from_integer(raw as i64),
    }
}

fn relation_conditions(relation: Option<Ordering>) -> u16 {
    match relation {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => C0,
        Some(Ordering::Equal) => C3,
        None => C3 | C2 | C0,
    }
}

fn holds(condition: Condition, rflags: u64) -> bool {
    rflags
        & match condition {
            Condition::Below => CF,
            Condition::Equal => ZF,
            Condition::BelowOrEqual => CF | ZF,
            Condition::Unordered => PF,
        }
        != 0
}
