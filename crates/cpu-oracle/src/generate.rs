//! Makes random cases: programs of one to eight instructions and raw bytes, with inputs that make them do something.
//!
//! Key type: [`Generator`]. A program is made instruction by instruction (`maker.rs`) from the forms of
//! [`crate::catalog`], sometimes run in a loop, sometimes changing its own code. Its inputs are registers and memory
//! values that suit it, so that pointers point into the case's memory and divisions rarely overflow. The same seed
//! gives the same cases.

use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    MemoryOperand, Mnemonic, OpKind, Register,
};

use crate::case::Mode;
use crate::compare::{STORES_POINTERS, TRANSCENDENTAL};
use crate::flags::{FlagsState, flag_effects};
use crate::generated::Generated;
use crate::layout::{self, CODE, PAGE};
use crate::maker::Maker;
use crate::program::{Program, Step};
use crate::values::Rng;

/// Makes cases from a seed.
pub struct Generator {
    rng: Rng,
    mode: Mode,
    codes: Vec<Code>,
    /// Those of `codes` that programs are mostly made of, for which engines have special paths.
    common: Vec<Code>,
    allowed: Vec<bool>,
    info: InstructionInfoFactory,
}

const RAW_PERCENT: u64 = 12;
const COMMON_PERCENT: u64 = 40;

impl Generator {
    /// A generator of code of a mode over the given forms.
    pub fn new(seed: u64, mode: Mode, codes: Vec<Code>) -> Self {
        let mut allowed = vec![false; Code::values().len()];
        for &code in &codes {
            allowed[code as usize] = true;
        }
        let common = codes.iter().copied().filter(is_common).collect();
        Self {
            rng: Rng::new(seed),
            mode,
            codes,
            common,
            allowed,
            info: InstructionInfoFactory::new(),
        }
    }

    /// The forms it uses.
    pub fn codes(&self) -> &[Code] {
        &self.codes
    }

    /// Bytes for the memory behind all cases of a batch.
    pub fn background(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(layout::SPACE);
        while bytes.len() < layout::SPACE {
            let word = if self.rng.chance(50) { self.rng.bits() } else { self.rng.integer() };
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Makes a case.
    pub fn case(&mut self) -> Generated {
        loop {
            let made = if self.rng.chance(RAW_PERCENT) {
                self.raw()
            } else {
                let count = if self.rng.chance(50) { 1 } else { 2 + self.rng.below(7) as usize };
                self.sequence(count, None)
            };
            if let Some(made) = made {
                return made;
            }
        }
    }

    /// Makes a case of one instruction of the given form; `None` if the form cannot be encoded.
    pub fn single(&mut self, code: Code) -> Option<Generated> {
        (0..20).find_map(|_| self.sequence(1, Some(code)))
    }

    fn place(&mut self) -> u64 {
        match self.rng.below(20) {
            0 => CODE + PAGE - self.rng.below(24),
            1 => CODE + self.rng.below(PAGE),
            _ => CODE + self.rng.below(64),
        }
    }

    fn sequence(&mut self, count: usize, only: Option<Code>) -> Option<Generated> {
        let mut maker = Maker::new(self.rng.bits(), self.mode);
        let mut program =
            Program { mode: self.mode, ip: self.place(), steps: Vec::with_capacity(count) };
        let mut flags = FlagsState::default();
        while program.steps.len() < count {
            let at = program.steps.len();
            let common = count > 1 && !self.common.is_empty() && self.rng.chance(COMMON_PERCENT);
            let from = if common { &self.common } else { &self.codes };
            let code = only.unwrap_or_else(|| self.rng.pick(from));
            if count > 1
                && (TRANSCENDENTAL.contains(&code.mnemonic())
                    || STORES_POINTERS.contains(&code.mnemonic()))
            {
                // Part of the result depends on the processor model, so nothing may use it.
                continue;
            }
            let mut target = None;
            let made = maker.instruction(code, &mut self.info);
            let Some(instruction) = made else {
                if only.is_some() {
                    return None;
                }
                continue;
            };
            if instruction.rflags_read() & flags.tainted != 0 {
                continue;
            }
            if is_near_branch(&instruction) {
                let to = at + 1 + self.rng.below((count - at) as u64) as usize;
                target = Some(to.min(count));
            }
            flags.step(at, &instruction, target);
            program.steps.push(Step { target, ..Step::new(instruction) });
        }
        let mut rewrites_code = false;
        if count > 1 {
            rewrites_code = self.rng.chance(6);
            if rewrites_code {
                self.add_patch(&mut program, &mut maker);
            }
            if self.rng.chance(20) {
                self.add_loop(&mut program, &mut maker);
            }
        }
        let code = program.assemble_all()?;
        let mut case = maker.inputs.finish(program.ip, &code);
        case.rewrites_code = rewrites_code.into();
        let mut flags = FlagsState::default();
        flags.run(&program);
        Some(Generated {
            case,
            program: Some(program),
            undefined_at_end: flags.at_end(),
            undefined_ever: flags.ever,
        })
    }

    /// Adds a load of an immediate, and a store elsewhere that changes the immediate.
    fn add_patch(&mut self, program: &mut Program, maker: &mut Maker) {
        let Some(register) = maker.unused(self.rng.bits()) else { return };
        let register = Register::EAX + register.number() as u32;
        let value = self.rng.bits() as u32;
        let Ok(victim) = Instruction::with2(Code::Mov_r32_imm32, register, value) else { return };
        let code = self.rng.pick(&[Code::Mov_rm8_imm8, Code::Mov_rm16_imm16, Code::Mov_rm32_imm32]);
        let place = match self.mode {
            Mode::Long => MemoryOperand::with_base_displ(Register::RIP, layout::DATA as i64),
            Mode::Compatibility => MemoryOperand::with_displ(layout::DATA, 4),
        };
        let value = self.rng.bits() as i32 & if code == Code::Mov_rm8_imm8 { 0xFF } else { 0xFFFF };
        let Ok(store) = Instruction::with2(code, place, value) else { return };
        let steps = program.steps.len();
        let (a, b) = (self.rng.below(steps as u64 + 1), self.rng.below(steps as u64 + 1));
        let (store_at, victim_at) = (a.min(b) as usize, a.max(b) as usize + 1);
        insert(program, store_at, Step { patches: Some(victim_at), ..Step::new(store) });
        insert(program, victim_at, Step::new(victim));
        if let Some(store) = program.steps.get_mut(store_at) {
            store.patches = Some(victim_at);
        }
    }

    /// Makes the program run several times, if it may.
    fn add_loop(&mut self, program: &mut Program, maker: &mut Maker) {
        let refused = |step: &Step| {
            // Their operands are only right the first time.
            matches!(
                step.instruction.flow_control(),
                FlowControl::Return | FlowControl::IndirectBranch | FlowControl::IndirectCall
            ) || matches!(
                step.instruction.code(),
                Code::Shld_rm16_r16_CL | Code::Shrd_rm16_r16_CL | Code::Fbld_m80bcd
            )
        };
        if program.steps.iter().any(refused) {
            return;
        }
        let times = 2 + self.rng.below(30);
        let Some(counter) = maker.unused(times) else { return };
        let (decrement, branch, counter) = match self.mode {
            Mode::Long => (Code::Dec_rm64, Code::Jne_rel32_64, counter),
            Mode::Compatibility => {
                (Code::Dec_r32, Code::Jne_rel32_32, Register::EAX + counter.number() as u32)
            }
        };
        let Ok(count) = Instruction::with1(decrement, counter) else { return };
        let Ok(back) = Instruction::with_branch(branch, 0) else { return };
        let straight = program.steps.len();
        program.steps.push(Step::new(count));
        program.steps.push(Step { target: Some(0), ..Step::new(back) });
        if FlagsState::reads_undefined(program) {
            program.steps.truncate(straight);
        }
    }

    /// Raw bytes that decode to something harmless, or to nothing.
    fn raw(&mut self) -> Option<Generated> {
        let rng = &mut self.rng;
        let mut bytes = Vec::with_capacity(24);
        for _ in 0..rng.pick(&[0, 0, 0, 1, 1, 2, 3]) {
            let prefix = rng.pick(&[
                0x66, 0x66, 0xF2, 0xF3, 0x67, 0xF0, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x48,
            ]);
            bytes.push(prefix);
        }
        if self.mode == Mode::Long && rng.chance(50) {
            bytes.push(0x40 | rng.below(16) as u8);
        }
        match rng.below(8) {
            0..=2 => {}
            3..=5 => bytes.push(0x0F),
            6 => bytes.extend_from_slice(&[0x0F, 0x38]),
            _ => bytes.extend_from_slice(&[0x0F, 0x3A]),
        }
        bytes.extend((0..14).map(|_| rng.bits() as u8));
        let ip = self.place();
        let mut decoder = Decoder::with_ip(self.mode.bits(), &bytes, ip, DecoderOptions::NONE);
        let instruction = decoder.decode();
        let length = instruction.len();
        if instruction.code() == Code::INVALID {
            // An encoding that iced does not know may be a new instruction of the host's.
            if !self.is_surely_invalid(&bytes) {
                return None;
            }
        } else if !self.allowed[instruction.code() as usize] {
            return None;
        }
        let mut prefixes = bytes.iter().take_while(|byte| is_prefix(self.mode, **byte));
        if instruction.flow_control() != FlowControl::Next
            && prefixes.any(|prefix| matches!(prefix, 0x66 | 0xF2 | 0xF3))
        {
            // What these prefixes do to near branches differs between vendors.
            return None;
        }
        if self.mode == Mode::Compatibility
            && bytes
                .iter()
                .take_while(|b| is_prefix(self.mode, **b))
                .any(|b| matches!(b, 0x2E | 0x64 | 0x65))
        {
            // FS and GS hold null selectors on the host; and the emulator does not refuse stores through CS, which no
            // program for flat segments makes.
            return None;
        }
        if is_near_branch(&instruction) {
            let target = instruction.near_branch_target();
            if (CODE..CODE + 2 * PAGE).contains(&target) || !is_canonical(target) {
                return None;
            }
        }
        bytes.truncate(length.max(1));
        if ip + bytes.len() as u64 + 5 > CODE + 2 * PAGE {
            return None;
        }
        let mut maker = Maker::new(self.rng.bits(), self.mode);
        let (undefined, _) = flag_effects(&instruction);
        if instruction.code() != Code::INVALID && !maker.prepare(&instruction, false) {
            return None;
        }
        let case = maker.inputs.finish(ip, &bytes);
        Some(Generated {
            case,
            program: None,
            undefined_at_end: undefined,
            undefined_ever: undefined,
        })
    }

    /// Encodings that are invalid by a rule, not for want of a meaning: a LOCK prefix where it is refused.
    fn is_surely_invalid(&self, bytes: &[u8]) -> bool {
        let mut decoder = Decoder::new(self.mode.bits(), bytes, DecoderOptions::NO_INVALID_CHECK);
        let instruction = decoder.decode();
        instruction.has_lock_prefix()
            && self.allowed[instruction.code() as usize]
            && instruction.flow_control() == FlowControl::Next
            // AMD's processors give LOCK MOV of control registers a meaning.
            && !instruction.op0_register().is_cr()
            && !instruction.op1_register().is_cr()
            && !instruction.op0_register().is_dr()
            && !instruction.op1_register().is_dr()
    }
}

/// Inserts a step, moving the labels behind it.
fn insert(program: &mut Program, at: usize, step: Step) {
    for other in &mut program.steps {
        for label in [&mut other.target, &mut other.patches].into_iter().flatten() {
            *label += usize::from(*label >= at);
        }
    }
    program.steps.insert(at, step);
}

/// True for forms of which most programs consist.
fn is_common(code: &Code) -> bool {
    use Mnemonic::{
        Adc, Add, And, Bt, Call, Cmp, Dec, Imul, Inc, Lea, Mov, Movaps, Movdqa, Movdqu, Movsd,
        Movss, Movsx, Movsxd, Movups, Movzx, Neg, Not, Or, Pop, Push, Pxor, Sar, Sbb, Shl, Shr,
        Sub, Test, Xchg, Xor, Xorps,
    };
    let mnemonics = [
        Adc, Add, And, Bt, Call, Cmp, Dec, Imul, Inc, Lea, Mov, Movaps, Movdqa, Movdqu, Movsd,
        Movss, Movsx, Movsxd, Movups, Movzx, Neg, Not, Or, Pop, Push, Pxor, Sar, Sbb, Shl, Shr,
        Sub, Test, Xchg, Xor, Xorps,
    ];
    // Conditional jumps, moves and sets.
    mnemonics.contains(&code.mnemonic()) || code.condition_code() != ConditionCode::None
}

/// Legacy and REX prefixes.
fn is_prefix(mode: Mode, byte: u8) -> bool {
    let rex = mode == Mode::Long && (0x40..=0x4F).contains(&byte);
    rex || matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3)
}

fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

fn is_near_branch(instruction: &Instruction) -> bool {
    matches!(
        instruction.op0_kind(),
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use iced_x86::RflagsBits;

    #[test]
    fn every_form_can_be_made() {
        let mut generator = Generator::new(5, Mode::Long, catalog::generated(Mode::Long));
        for code in generator.codes().to_vec() {
            let made = generator.single(code).unwrap_or_else(|| panic!("{code:?} cannot be made"));
            assert_eq!(made.codes(), [code]);
        }
    }

    #[test]
    fn a_seed_gives_the_same_cases() {
        let make = || {
            let mut generator = Generator::new(9, Mode::Long, catalog::generated(Mode::Long));
            (0..200).map(|_| generator.case().case.code().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn undefined_flags_are_not_read() {
        let mut generator = Generator::new(11, Mode::Long, catalog::generated(Mode::Long));
        for _ in 0..2000 {
            let made = generator.case();
            let Some(program) = &made.program else { continue };
            let mut flags = FlagsState::default();
            for (at, step) in program.steps.iter().enumerate() {
                assert_eq!(step.instruction.rflags_read() & flags.tainted, 0);
                flags.step(at, &step.instruction, step.target);
            }
        }
    }

    #[test]
    fn shifts_by_a_register_may_leave_flags_as_they_were() {
        let by_cl = Instruction::with2(Code::Shl_rm32_CL, Register::EAX, Register::CL).unwrap();
        let by_one = Instruction::with2(Code::Shl_rm32_1, Register::EAX, 1u32).unwrap();
        assert!(!flag_effects(&by_cl).1 && flag_effects(&by_cl).0 & RflagsBits::OF != 0);
        assert!(flag_effects(&by_one).1 && flag_effects(&by_one).0 & RflagsBits::OF == 0);
    }
}
