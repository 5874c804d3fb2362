//! A made case with what is known about it: its instructions, and what it leaves undefined.
//!
//! Key type: [`Generated`], made by [`crate::generate::Generator`].

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, Instruction, MemorySize, Mnemonic, OpKind,
    Register,
};

use crate::case::{Case, State};
use crate::flags::FlagsState;
use crate::program::Program;

/// A case and what is known about it.
#[derive(Clone)]
pub struct Generated {
    /// The case.
    pub case: Case,
    /// The instructions; `None` when the case is raw bytes.
    pub program: Option<Program>,
    /// iced's flag bits ([`iced_x86::RflagsBits`]) that have no defined value at the end.
    pub undefined_at_end: u32,
    /// iced's flag bits that have no defined value somewhere on the way.
    pub undefined_ever: u32,
}

impl Generated {
    /// The same case with another program and start.
    pub fn with_program(&self, program: Program, state: State, code: &[u8]) -> Self {
        let mut case = Case::with_mode(state, code, program.mode);
        case.pokes = self.case.pokes;
        case.poke_count = self.case.poke_count;
        case.rewrites_code = self.case.rewrites_code;
        let mut flags = FlagsState::default();
        flags.run(&program);
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
                    self.case.mode().bits(),
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
