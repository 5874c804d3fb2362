//! Makes random cases: programs of one to eight instructions and raw bytes, with inputs that make them do something.
//!
//! Key types: [`Generator`], [`Generated`]. A program is made instruction by instruction from the forms of
//! [`crate::catalog`]; [`crate::inputs`] gives registers and memory values that suit it, so that pointers point into
//! the case's memory and divisions rarely overflow. The same seed gives the same cases.

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    MemorySize, Mnemonic, OpAccess, OpCodeInfo, OpCodeOperandKind as Kind, OpKind, Register,
    RflagsBits,
};

use crate::case::{Case, State};
use crate::compare::TRANSCENDENTAL;
use crate::inputs::Inputs;
use crate::layout::{self, CODE, EXIT, PAGE};
use crate::program::{Program, Step};
use crate::values::Rng;

/// A case and what is known about it.
#[derive(Clone)]
pub struct Generated {
    /// The case.
    pub case: Case,
    /// The instructions; `None` when the case is raw bytes.
    pub program: Option<Program>,
    /// iced's flag bits ([`RflagsBits`]) that have no defined value at the end.
    pub undefined_at_end: u32,
    /// iced's flag bits that have no defined value somewhere on the way.
    pub undefined_ever: u32,
}

impl Generated {
    /// The same case with another program and start.
    pub fn with_program(&self, program: Program, state: State, code: &[u8]) -> Self {
        let mut case = Case::new(state, code);
        case.pokes = self.case.pokes;
        case.poke_count = self.case.poke_count;
        let mut flags = FlagsState::default();
        for (at, step) in program.steps.iter().enumerate() {
            flags.step(at, &step.instruction, step.target);
        }
        Self {
            case,
            program: Some(program),
            undefined_at_end: flags.at_end(),
            undefined_ever: flags.ever,
        }
    }

    /// The instructions.
    pub fn instructions(&self) -> Vec<Instruction> {
        match &self.program {
            Some(program) => program.steps.iter().map(|step| step.instruction).collect(),
            None => {
                let mut decoder = Decoder::with_ip(
                    64,
                    self.case.body(),
                    self.case.state.rip,
                    DecoderOptions::NONE,
                );
                vec![decoder.decode()]
            }
        }
    }

    /// The forms of the instructions.
    pub fn codes(&self) -> Vec<Code> {
        self.instructions().iter().map(Instruction::code).collect()
    }

    /// The mnemonics of the instructions.
    pub fn mnemonics(&self) -> Vec<Mnemonic> {
        self.instructions().iter().map(Instruction::mnemonic).collect()
    }

    /// True for a case of one instruction.
    pub fn is_single(&self) -> bool {
        self.program.as_ref().is_none_or(|program| program.steps.len() == 1)
    }

    /// The address of the memory operand of the first instruction.
    pub fn operand_address(&self) -> Option<u64> {
        let instruction = *self.instructions().first()?;
        let state = &self.case.state;
        instruction.virtual_address(0, 0, |register, _, _| match register {
            Register::FS => Some(state.fs_base),
            Register::GS => Some(state.gs_base),
            _ if register.is_segment_register() => Some(0),
            _ => {
                let full = register.full_register();
                let value = state.gpr[full.number() & 15];
                Some(match register.size() {
                    4 => u64::from(value as u32),
                    1 => value & 0xFF,
                    _ => value,
                })
            }
        })
    }

    /// True if the first instruction stores or loads a 16-bit x87 environment.
    pub fn has_16_bit_image(&self) -> bool {
        self.instructions().first().is_some_and(|instruction| {
            matches!(instruction.memory_size(), MemorySize::FpuEnv14 | MemorySize::FpuState94)
        })
    }

    /// The XMM registers that the instructions name, a bit each, and whether x87 or MMX registers matter.
    pub fn vector_registers(&self) -> (u16, bool) {
        let (mut xmm, mut x87) = (0, false);
        for instruction in self.instructions() {
            for n in 0..instruction.op_count() {
                if instruction.op_kind(n) == OpKind::Register {
                    let register = instruction.op_register(n);
                    if register.is_xmm() {
                        xmm |= 1 << register.number();
                    }
                    x87 |= register.is_mm();
                }
            }
            if matches!(
                instruction.mnemonic(),
                Mnemonic::Pblendvb | Mnemonic::Blendvps | Mnemonic::Blendvpd
            ) {
                xmm |= 1;
            }
            let features = instruction.code().cpuid_features();
            x87 |= features.iter().any(|feature| {
                matches!(feature, CpuidFeature::FPU | CpuidFeature::FPU387 | CpuidFeature::MMX)
            });
        }
        (xmm, x87)
    }
}

/// Follows which flags are undefined along a program.
#[derive(Default)]
struct FlagsState {
    tainted: u32,
    ever: u32,
    /// What was undefined where the program may have been left early.
    left: u32,
    last_label: usize,
}

impl FlagsState {
    fn step(&mut self, at: usize, instruction: &Instruction, target: Option<usize>) {
        if let Some(target) = target {
            self.last_label = self.last_label.max(target);
        }
        let (undefined, clears) = flag_effects(instruction);
        // An instruction that may be jumped over clears nothing.
        if clears && at >= self.last_label {
            self.tainted &= !instruction.rflags_modified();
        }
        self.tainted |= undefined;
        self.ever |= undefined;
        if matches!(
            instruction.flow_control(),
            FlowControl::Return | FlowControl::IndirectBranch | FlowControl::IndirectCall
        ) {
            self.left |= self.tainted;
        }
    }

    fn at_end(&self) -> u32 {
        self.tainted | self.left
    }
}

/// Makes cases from a seed.
pub struct Generator {
    rng: Rng,
    codes: Vec<Code>,
    allowed: Vec<bool>,
    info: InstructionInfoFactory,
}

const RAW_PERCENT: u64 = 12;

impl Generator {
    /// A generator over the given forms.
    pub fn new(seed: u64, codes: Vec<Code>) -> Self {
        let mut allowed = vec![false; Code::values().len()];
        for &code in &codes {
            allowed[code as usize] = true;
        }
        Self { rng: Rng::new(seed), codes, allowed, info: InstructionInfoFactory::new() }
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
        let mut maker = Maker::new(self.rng.bits());
        let mut program = Program { ip: self.place(), steps: Vec::with_capacity(count) };
        let mut flags = FlagsState::default();
        while program.steps.len() < count {
            let at = program.steps.len();
            let code = only.unwrap_or_else(|| self.rng.pick(&self.codes));
            if count > at + 1 && TRANSCENDENTAL.contains(&code.mnemonic()) {
                // Its result may differ in the last places, so nothing may use it.
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
            program.steps.push(Step { instruction, target });
        }
        let code = program.assemble_all()?;
        let case = maker.inputs.finish(program.ip, &code);
        Some(Generated {
            case,
            program: Some(program),
            undefined_at_end: flags.at_end(),
            undefined_ever: flags.ever,
        })
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
        if rng.chance(50) {
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
        let mut decoder = Decoder::with_ip(64, &bytes, ip, DecoderOptions::NONE);
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
        let mut prefixes = bytes.iter().take_while(|byte| is_prefix(**byte));
        if instruction.flow_control() != FlowControl::Next
            && prefixes.any(|prefix| matches!(prefix, 0x66 | 0xF2 | 0xF3))
        {
            // What these prefixes do to near branches differs between vendors.
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
        let mut maker = Maker::new(self.rng.bits());
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
        let mut decoder = Decoder::new(64, bytes, DecoderOptions::NO_INVALID_CHECK);
        let instruction = decoder.decode();
        instruction.has_lock_prefix()
            && self.allowed[instruction.code() as usize]
            && instruction.flow_control() == FlowControl::Next
    }
}

/// Legacy and REX prefixes.
fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0x40..=0x4F | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3)
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

/// The flags an instruction leaves undefined, and whether it surely writes those it writes.
pub(crate) fn flag_effects(instruction: &Instruction) -> (u32, bool) {
    let mut undefined = instruction.rflags_undefined();
    let mut clears = true;
    match instruction.mnemonic() {
        // With a count of zero nothing is written; OF is defined for a count of one only.
        Mnemonic::Shl | Mnemonic::Sal | Mnemonic::Shr | Mnemonic::Sar => {
            undefined |= RflagsBits::AF;
            if !is_shift_by_one(instruction) {
                undefined |= RflagsBits::OF;
                clears = false;
            }
            let count = shift_count(instruction);
            let bits = operand_bits(instruction);
            if bits < 32 && count.is_none_or(|count| count >= bits) {
                undefined |= RflagsBits::CF;
            }
        }
        Mnemonic::Rol | Mnemonic::Ror | Mnemonic::Rcl | Mnemonic::Rcr
            if !is_shift_by_one(instruction) =>
        {
            undefined |= RflagsBits::OF;
            clears = false;
        }
        Mnemonic::Shld | Mnemonic::Shrd => {
            undefined |= RflagsBits::OF | RflagsBits::AF;
            clears = false;
        }
        _ => {}
    }
    if instruction.has_rep_prefix() || instruction.has_repne_prefix() {
        clears = false;
    }
    (undefined, clears)
}

fn is_shift_by_one(instruction: &Instruction) -> bool {
    shift_count(instruction) == Some(1)
}

fn shift_count(instruction: &Instruction) -> Option<u32> {
    (instruction.op1_kind() == OpKind::Immediate8).then(|| {
        let mask = if operand_bits(instruction) == 64 { 63 } else { 31 };
        u32::from(instruction.immediate8()) & mask
    })
}

fn operand_bits(instruction: &Instruction) -> u32 {
    match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register().size() as u32 * 8,
        _ => instruction.memory_size().size() as u32 * 8,
    }
}

/// Makes the instructions of one case together with the inputs they need.
struct Maker {
    rng: Rng,
    inputs: Inputs,
    /// Registers that the program has written so far: their initial values are gone.
    written: u32,
    bases: [Register; 3],
    index: Register,
}

const GPR64: [Register; 16] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RBX,
    Register::RSP,
    Register::RBP,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

impl Maker {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let inputs = Inputs::new(rng.bits());
        let bases = std::array::from_fn(|_| rng.pick(&GPR64));
        let mut index = rng.pick(&GPR64);
        while index == Register::RSP {
            index = rng.pick(&GPR64);
        }
        Self { rng, inputs, written: 0, bases, index }
    }

    /// Makes one instruction of a form and gives its inputs values.
    fn instruction(
        &mut self,
        code: Code,
        info: &mut InstructionInfoFactory,
    ) -> Option<Instruction> {
        let op = code.op_code();
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        let mnemonic = code.mnemonic();
        for (index, &kind) in op.op_kinds().iter().enumerate() {
            if !self.operand(&mut instruction, op, index as u32, kind) {
                return None;
            }
        }
        let memory = (0..instruction.op_count()).any(|n| instruction.op_kind(n) == OpKind::Memory);
        if memory
            && op.can_use_lock_prefix()
            && instruction.op0_kind() == OpKind::Memory
            && self.rng.chance(20)
        {
            instruction.set_has_lock_prefix(true);
        }
        if op.can_use_rep_prefix() && instruction.is_string_instruction() && self.rng.chance(60) {
            instruction.set_has_rep_prefix(true);
        } else if op.can_use_repne_prefix()
            && instruction.is_string_instruction()
            && self.rng.chance(70)
        {
            instruction.set_has_repne_prefix(true);
        }
        if memory && self.rng.chance(8) {
            use Register::{CS, DS, ES, FS, GS, SS};
            instruction.set_segment_prefix(self.rng.pick(&[ES, CS, SS, DS, FS, FS, GS, GS]));
        }
        match mnemonic {
            // A count above the operand size has no defined result.
            Mnemonic::Shld | Mnemonic::Shrd
                if operand_bits(&instruction) == 16
                    && instruction.op_kind(2) == OpKind::Immediate8 =>
            {
                instruction.set_immediate8(self.rng.below(17) as u8);
            }
            Mnemonic::Enter => {
                instruction.set_immediate16(self.rng.below(64) as u16);
                instruction.set_immediate8_2nd(self.rng.pick(&[0, 0, 1, 2, 3, 5, 31, 32, 33]));
            }
            _ => {}
        }
        if !self.prepare(&instruction, true) {
            return None;
        }
        self.fit_displacement(&mut instruction);
        let info = info.info(&instruction);
        for used in info.used_registers() {
            let full = used.register().full_register();
            if used.register().is_gpr()
                && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None)
            {
                self.written |= 1 << full.number();
            }
        }
        Some(instruction)
    }

    fn operand(
        &mut self,
        instruction: &mut Instruction,
        op: &OpCodeInfo,
        n: u32,
        kind: Kind,
    ) -> bool {
        let rng = &mut self.rng;
        let mut register = |register: Register| {
            instruction.set_op_kind(n, OpKind::Register);
            instruction.set_op_register(n, register);
            true
        };
        let or_memory = |rng: &mut Rng| rng.chance(50);
        match kind {
            Kind::mem | Kind::mem_mpx | Kind::mem_mib => self.memory(instruction, op, n),
            Kind::r8_or_mem
            | Kind::r16_or_mem
            | Kind::r32_or_mem
            | Kind::r64_or_mem
            | Kind::mm_or_mem
            | Kind::xmm_or_mem
                if or_memory(rng) =>
            {
                self.memory(instruction, op, n)
            }
            Kind::r8_or_mem | Kind::r8_reg | Kind::r8_opcode => {
                let high = [Register::AH, Register::CH, Register::DH, Register::BH];
                if rng.chance(15) {
                    return register(rng.pick(&high));
                }
                let full = self.gpr(n == 0);
                set_register(instruction, n, Register::AL, Register::SPL, full)
            }
            Kind::r16_or_mem
            | Kind::r16_reg
            | Kind::r16_rm
            | Kind::r16_opcode
            | Kind::r16_reg_mem => {
                let full = self.gpr(n == 0);
                set_register(instruction, n, Register::AX, Register::AX, full)
            }
            Kind::r32_or_mem
            | Kind::r32_reg
            | Kind::r32_rm
            | Kind::r32_opcode
            | Kind::r32_reg_mem => {
                let full = self.gpr(n == 0);
                set_register(instruction, n, Register::EAX, Register::EAX, full)
            }
            Kind::r64_or_mem
            | Kind::r64_reg
            | Kind::r64_rm
            | Kind::r64_opcode
            | Kind::r64_reg_mem => {
                let full = self.gpr(n == 0);
                set_register(instruction, n, Register::RAX, Register::RAX, full)
            }
            Kind::mm_or_mem | Kind::mm_reg | Kind::mm_rm => {
                register(Register::MM0 + rng.below(8) as u32)
            }
            Kind::xmm_or_mem | Kind::xmm_reg | Kind::xmm_rm => {
                register(Register::XMM0 + rng.below(16) as u32)
            }
            Kind::seg_reg => register(rng.pick(&[
                Register::ES,
                Register::CS,
                Register::SS,
                Register::DS,
                Register::FS,
                Register::GS,
            ])),
            Kind::es => register(Register::ES),
            Kind::cs => register(Register::CS),
            Kind::ss => register(Register::SS),
            Kind::ds => register(Register::DS),
            Kind::fs => register(Register::FS),
            Kind::gs => register(Register::GS),
            Kind::al => register(Register::AL),
            Kind::cl => register(Register::CL),
            Kind::ax => register(Register::AX),
            Kind::dx => register(Register::DX),
            Kind::eax => register(Register::EAX),
            Kind::rax => register(Register::RAX),
            Kind::st0 => register(Register::ST0),
            Kind::sti_opcode => register(Register::ST0 + rng.below(8) as u32),
            Kind::imm8 => {
                let second = n > 0 && instruction.op_kind(n - 1) == OpKind::Immediate16;
                if second {
                    instruction.set_op_kind(n, OpKind::Immediate8_2nd);
                    instruction.set_immediate8_2nd(rng.bits() as u8);
                } else {
                    instruction.set_op_kind(n, OpKind::Immediate8);
                    let value = if rng.chance(50) { rng.below(66) } else { rng.bits() };
                    instruction.set_immediate8(value as u8);
                }
                true
            }
            Kind::imm8_const_1 => {
                instruction.set_op_kind(n, OpKind::Immediate8);
                instruction.set_immediate8(1);
                true
            }
            Kind::imm8sex16 => {
                instruction.set_op_kind(n, OpKind::Immediate8to16);
                instruction.set_immediate8to16(i16::from(rng.integer() as i8));
                true
            }
            Kind::imm8sex32 => {
                instruction.set_op_kind(n, OpKind::Immediate8to32);
                instruction.set_immediate8to32(i32::from(rng.integer() as i8));
                true
            }
            Kind::imm8sex64 => {
                instruction.set_op_kind(n, OpKind::Immediate8to64);
                instruction.set_immediate8to64(i64::from(rng.integer() as i8));
                true
            }
            Kind::imm16 => {
                instruction.set_op_kind(n, OpKind::Immediate16);
                instruction.set_immediate16(rng.integer() as u16);
                true
            }
            Kind::imm32 => {
                instruction.set_op_kind(n, OpKind::Immediate32);
                instruction.set_immediate32(rng.integer() as u32);
                true
            }
            Kind::imm32sex64 => {
                instruction.set_op_kind(n, OpKind::Immediate32to64);
                instruction.set_immediate32to64(i64::from(rng.integer() as i32));
                true
            }
            Kind::imm64 => {
                instruction.set_op_kind(n, OpKind::Immediate64);
                instruction.set_immediate64(rng.integer());
                true
            }
            Kind::seg_rSI => {
                let kinds = [OpKind::MemorySegRSI, OpKind::MemorySegRSI, OpKind::MemorySegESI];
                let chosen = match address_kind(instruction) {
                    Some(true) => OpKind::MemorySegESI,
                    Some(false) => OpKind::MemorySegRSI,
                    None => rng.pick(&kinds),
                };
                instruction.set_op_kind(n, chosen);
                true
            }
            Kind::es_rDI => {
                let kinds = [OpKind::MemoryESRDI, OpKind::MemoryESRDI, OpKind::MemoryESEDI];
                let chosen = match address_kind(instruction) {
                    Some(true) => OpKind::MemoryESEDI,
                    Some(false) => OpKind::MemoryESRDI,
                    None => rng.pick(&kinds),
                };
                instruction.set_op_kind(n, chosen);
                true
            }
            Kind::seg_rDI => {
                let kinds = [OpKind::MemorySegRDI, OpKind::MemorySegRDI, OpKind::MemorySegEDI];
                instruction.set_op_kind(n, rng.pick(&kinds));
                true
            }
            Kind::seg_rBX_al => {
                instruction.set_op_kind(n, OpKind::Memory);
                instruction.set_memory_base(rng.pick(&[
                    Register::RBX,
                    Register::RBX,
                    Register::EBX,
                ]));
                instruction.set_memory_index(Register::AL);
                true
            }
            Kind::br64_1 | Kind::br64_4 => {
                instruction.set_op_kind(n, OpKind::NearBranch64);
                true
            }
            Kind::mem_offs => {
                instruction.set_op_kind(n, OpKind::Memory);
                let narrow = rng.chance(20);
                let size = op.memory_size().size().max(1);
                let target = self.inputs.target(size);
                instruction.set_memory_displ_size(if narrow { 4 } else { 8 });
                instruction.set_memory_displacement64(target);
                self.inputs.fill(target, op.memory_size());
                true
            }
            _ => false,
        }
    }

    /// A general register: rarely one that holds an address when it is to be written.
    fn gpr(&mut self, destination: bool) -> Register {
        loop {
            let register = self.rng.pick(&GPR64);
            let precious = register == Register::RSP
                || (destination && (self.bases.contains(&register) || register == self.index));
            if !precious || self.rng.chance(4) {
                return register;
            }
        }
    }

    fn memory(&mut self, instruction: &mut Instruction, op: &OpCodeInfo, n: u32) -> bool {
        instruction.set_op_kind(n, OpKind::Memory);
        let size = op.memory_size().size().max(1);
        let rng = &mut self.rng;
        match rng.below(20) {
            0 | 1 => {
                instruction.set_memory_base(Register::RIP);
                let target = self.inputs.target(size);
                instruction.set_memory_displ_size(8);
                instruction.set_memory_displacement64(target);
                self.inputs.fill(target, op.memory_size());
            }
            2 => {
                let target = self.inputs.target(size);
                instruction.set_memory_displ_size(if rng.chance(20) { 4 } else { 8 });
                instruction.set_memory_displacement64(target);
                self.inputs.fill(target, op.memory_size());
            }
            form => {
                let narrow = rng.chance(6);
                let widen = |register: Register| {
                    if narrow { Register::EAX + register.number() as u32 } else { register }
                };
                let base = rng.pick(&self.bases);
                instruction.set_memory_base(widen(base));
                if form >= 14 && self.index != base {
                    instruction.set_memory_index(widen(self.index));
                    instruction.set_memory_index_scale(rng.pick(&[1, 2, 4, 8]));
                }
                let displacement = match rng.below(3) {
                    0 => 0,
                    1 => i64::from(rng.bits() as i8),
                    _ => i64::from(rng.bits() as i16),
                };
                instruction.set_memory_displ_size(1);
                instruction.set_memory_displacement64(if narrow {
                    u64::from(displacement as u32)
                } else {
                    displacement as u64
                });
            }
        }
        true
    }

    /// Gives the registers and memory that the instruction reads suitable values; false if that cannot be.
    fn prepare(&mut self, instruction: &Instruction, adjustable: bool) -> bool {
        self.inputs.prepare(instruction, self.written, adjustable)
    }

    /// Changes a displacement so that a base register with a given value serves one more operand.
    fn fit_displacement(&mut self, instruction: &mut Instruction) {
        if let Some(displacement) = self.inputs.take_displacement() {
            instruction.set_memory_displacement64(displacement);
            let small = i8::try_from(displacement as i64).is_ok();
            instruction.set_memory_displ_size(if small { 1 } else { 8 });
            if instruction.memory_base().size() == 4 {
                instruction.set_memory_displacement64(u64::from(displacement as u32));
                let small = i8::try_from(displacement as u32 as i32).is_ok();
                instruction.set_memory_displ_size(if small { 1 } else { 4 });
            }
        }
    }
}

/// For string instructions with two memory operands: whether the first one has a 32-bit address.
fn address_kind(instruction: &Instruction) -> Option<bool> {
    match instruction.op0_kind() {
        OpKind::MemorySegESI | OpKind::MemoryESEDI => Some(true),
        OpKind::MemorySegRSI | OpKind::MemoryESRDI => Some(false),
        _ => None,
    }
}

/// Sets a register operand of the size that `first` belongs to. `spl` is what stands at number four.
fn set_register(
    instruction: &mut Instruction,
    n: u32,
    first: Register,
    spl: Register,
    full: Register,
) -> bool {
    let number = full.number() as u32;
    let register =
        if first == Register::AL && number >= 4 { spl + (number - 4) } else { first + number };
    instruction.set_op_kind(n, OpKind::Register);
    instruction.set_op_register(n, register);
    true
}

/// A place that an indirect branch may go to: mostly the exit.
pub(crate) fn branch_target(rng: &mut Rng) -> u64 {
    if rng.chance(80) { EXIT } else { rng.pick(&[0, 0x1234, layout::DATA + 5, 0x7FFF_0000_0000]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn every_form_can_be_made() {
        let mut generator = Generator::new(5, catalog::generated());
        for code in generator.codes().to_vec() {
            let made = generator.single(code).unwrap_or_else(|| panic!("{code:?} cannot be made"));
            assert_eq!(made.codes(), [code]);
        }
    }

    #[test]
    fn a_seed_gives_the_same_cases() {
        let make = || {
            let mut generator = Generator::new(9, catalog::generated());
            (0..200).map(|_| generator.case().case.code().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn undefined_flags_are_not_read() {
        let mut generator = Generator::new(11, catalog::generated());
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
