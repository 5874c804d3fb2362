//! Which flags have no defined value along a program.
//!
//! Key types: [`FlagsState`], [`flag_effects`]. Flags are iced-x86's [`RflagsBits`], which has C0 to C3 of the x87 too.
//! iced's tables say what an instruction may write; what is added here is when it writes nothing.

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, RflagsBits};

use crate::program::Program;

/// Follows which flags are undefined along a program.
#[derive(Default)]
pub(crate) struct FlagsState {
    /// What is undefined now.
    pub tainted: u32,
    /// What was undefined at any time.
    pub ever: u32,
    /// What was undefined where the program may have been left early.
    left: u32,
    last_label: usize,
}

impl FlagsState {
    /// Follows one instruction.
    pub fn step(&mut self, at: usize, instruction: &Instruction, target: Option<usize>) {
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

    /// Follows a whole program, with its loops.
    pub fn run(&mut self, program: &Program) {
        let loops = program
            .steps
            .iter()
            .enumerate()
            .any(|(at, step)| step.target.is_some_and(|to| to <= at));
        for _ in 0..if loops { 2 } else { 1 } {
            self.last_label = 0;
            for (at, step) in program.steps.iter().enumerate() {
                self.step(at, &step.instruction, step.target);
            }
        }
    }

    /// True if an instruction reads a flag that is undefined there, in a program with loops.
    pub fn reads_undefined(program: &Program) -> bool {
        let mut flags = Self::default();
        flags.run(program);
        flags.last_label = 0;
        program.steps.iter().enumerate().any(|(at, step)| {
            let reads = step.instruction.rflags_read() & flags.tainted != 0;
            flags.step(at, &step.instruction, step.target);
            reads
        })
    }

    /// What is undefined when the program is over, wherever it was left.
    pub fn at_end(&self) -> u32 {
        self.tainted | self.left
    }
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
        // Intel's processors clear C1, AMD's leave it.
        Mnemonic::Fcomi
        | Mnemonic::Fcomip
        | Mnemonic::Fucomi
        | Mnemonic::Fucomip
        | Mnemonic::Fcmovb
        | Mnemonic::Fcmove
        | Mnemonic::Fcmovbe
        | Mnemonic::Fcmovu
        | Mnemonic::Fcmovnb
        | Mnemonic::Fcmovne
        | Mnemonic::Fcmovnbe
        | Mnemonic::Fcmovnu => undefined |= RflagsBits::C1,
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

pub(crate) fn operand_bits(instruction: &Instruction) -> u32 {
    match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register().size() as u32 * 8,
        _ => instruction.memory_size().size() as u32 * 8,
    }
}
