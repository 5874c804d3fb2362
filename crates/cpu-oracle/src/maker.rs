//! Makes one instruction after the other, operands at random, for [`crate::generate::Generator`].
//!
//! Key type: [`Maker`]. The operands of a form are told by iced-x86's [`OpCodeOperandKind`](Kind).

use iced_x86::{
    Code, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpCodeInfo,
    OpCodeOperandKind as Kind, OpKind, Register,
};

use crate::case::Mode;
use crate::flags::operand_bits;
use crate::inputs::Inputs;
use crate::values::Rng;

/// Makes the instructions of one case together with the inputs they need.
pub(crate) struct Maker {
    rng: Rng,
    mode: Mode,
    /// What the instructions made so far need.
    pub inputs: Inputs,
    /// Registers that the program has written so far: their initial values are gone.
    pub written: u32,
    /// Registers that the program uses.
    used: u32,
    bases: [Register; 3],
    index: Register,
}

pub(crate) const GPR64: [Register; 16] = [
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

/// The general registers of a mode, by their 64-bit names.
fn registers(mode: Mode) -> &'static [Register] {
    match mode {
        Mode::Long => &GPR64,
        Mode::Compatibility => &GPR64[..8],
    }
}

impl Maker {
    pub fn new(seed: u64, mode: Mode) -> Self {
        let mut rng = Rng::new(seed);
        let inputs = Inputs::new(rng.bits(), mode);
        let bases = std::array::from_fn(|_| rng.pick(registers(mode)));
        let mut index = rng.pick(registers(mode));
        while index == Register::RSP {
            index = rng.pick(registers(mode));
        }
        Self { rng, mode, inputs, written: 0, used: 0, bases, index }
    }

    /// Makes one instruction of a form and gives its inputs values.
    pub fn instruction(
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
        if memory && self.mode == Mode::Long && self.rng.chance(8) {
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
            if full.is_gpr() {
                self.used |= 1 << full.number();
            }
            if used.register().is_gpr()
                && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None)
            {
                self.written |= 1 << full.number();
            }
        }
        Some(instruction)
    }

    /// Takes a general register that no instruction uses, and gives it an initial value.
    pub fn unused(&mut self, value: u64) -> Option<Register> {
        let free = registers(self.mode).iter().find(|register| {
            self.used & (1 << register.number()) == 0
                && **register != Register::RSP
                && self.inputs.assign(register.number(), value)
        });
        let free = free.copied()?;
        self.used |= 1 << free.number();
        Some(free)
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
                let fifth = match self.mode {
                    Mode::Long => Register::SPL,
                    Mode::Compatibility => Register::AH,
                };
                set_register(instruction, n, Register::AL, fifth, full)
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
                register(Register::XMM0 + rng.below(registers(self.mode).len() as u64) as u32)
            }
            Kind::seg_reg => register(rng.pick(&[
                Register::ES,
                Register::CS,
                Register::SS,
                Register::DS,
                Register::FS,
                Register::GS,
            ])),
            Kind::cr_reg => {
                use Register::{CR0, CR2, CR3, CR4, CR8};
                // In 32-bit code CR8 would be a LOCK prefix.
                let count = if self.mode == Mode::Long { 5 } else { 4 };
                register(rng.pick(&[CR0, CR2, CR3, CR4, CR8][..count]))
            }
            Kind::dr_reg => {
                use Register::{DR0, DR1, DR2, DR3, DR6, DR7};
                register(rng.pick(&[DR0, DR1, DR2, DR3, DR6, DR7]))
            }
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
                let kinds = match self.mode {
                    Mode::Long => {
                        [OpKind::MemorySegRSI, OpKind::MemorySegRSI, OpKind::MemorySegESI]
                    }
                    Mode::Compatibility => [OpKind::MemorySegESI; 3],
                };
                let chosen = match address_kind(instruction) {
                    Some(true) => OpKind::MemorySegESI,
                    Some(false) => OpKind::MemorySegRSI,
                    None => rng.pick(&kinds),
                };
                instruction.set_op_kind(n, chosen);
                true
            }
            Kind::es_rDI => {
                let kinds = match self.mode {
                    Mode::Long => [OpKind::MemoryESRDI, OpKind::MemoryESRDI, OpKind::MemoryESEDI],
                    Mode::Compatibility => [OpKind::MemoryESEDI; 3],
                };
                let chosen = match address_kind(instruction) {
                    Some(true) => OpKind::MemoryESEDI,
                    Some(false) => OpKind::MemoryESRDI,
                    None => rng.pick(&kinds),
                };
                instruction.set_op_kind(n, chosen);
                true
            }
            Kind::seg_rDI => {
                let kinds = match self.mode {
                    Mode::Long => {
                        [OpKind::MemorySegRDI, OpKind::MemorySegRDI, OpKind::MemorySegEDI]
                    }
                    Mode::Compatibility => [OpKind::MemorySegEDI; 3],
                };
                instruction.set_op_kind(n, rng.pick(&kinds));
                true
            }
            Kind::seg_rBX_al => {
                instruction.set_op_kind(n, OpKind::Memory);
                let bases = match self.mode {
                    Mode::Long => [Register::RBX, Register::RBX, Register::EBX],
                    Mode::Compatibility => [Register::EBX; 3],
                };
                instruction.set_memory_base(rng.pick(&bases));
                instruction.set_memory_index(Register::AL);
                true
            }
            Kind::br32_1 | Kind::br32_4 => {
                instruction.set_op_kind(n, OpKind::NearBranch32);
                true
            }
            Kind::br64_1 | Kind::br64_4 => {
                instruction.set_op_kind(n, OpKind::NearBranch64);
                true
            }
            Kind::mem_offs => {
                instruction.set_op_kind(n, OpKind::Memory);
                let narrow = self.mode == Mode::Compatibility || rng.chance(20);
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
            let register = self.rng.pick(registers(self.mode));
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
        let long = self.mode == Mode::Long;
        match rng.below(20) {
            0 | 1 if long => {
                instruction.set_memory_base(Register::RIP);
                let target = self.inputs.target(size);
                instruction.set_memory_displ_size(8);
                instruction.set_memory_displacement64(target);
                self.inputs.fill(target, op.memory_size());
            }
            0..=2 => {
                let target = self.inputs.target(size);
                let wide = long && !rng.chance(20);
                instruction.set_memory_displ_size(if wide { 8 } else { 4 });
                instruction.set_memory_displacement64(target);
                self.inputs.fill(target, op.memory_size());
            }
            form => {
                let narrow = !long || rng.chance(6);
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
    pub fn prepare(&mut self, instruction: &Instruction, adjustable: bool) -> bool {
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
