//! A generated program: instructions with labels, which can be assembled whole or as a prefix.
//!
//! Key type: [`Program`]. Prefixes are what finds the first instruction that differs ([`crate::hunt`]).

use iced_x86::{Encoder, Instruction, OpKind};

use crate::case::Mode;
use crate::layout;

/// One instruction, and where it jumps if it does.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The instruction; its near branch target is filled in by [`Program::assemble`].
    pub instruction: Instruction,
    /// The step a near branch goes to; one past the last step is the end.
    pub target: Option<usize>,
    /// The step whose last four bytes, an immediate, this step's memory operand is.
    pub patches: Option<usize>,
}

impl Step {
    /// A step that neither jumps nor changes code.
    pub fn new(instruction: Instruction) -> Self {
        Self { instruction, target: None, patches: None }
    }
}

/// A sequence of instructions with branches among them.
#[derive(Clone, Debug)]
pub struct Program {
    /// What the instructions are.
    pub mode: Mode,
    /// Address of the first instruction.
    pub ip: u64,
    /// The instructions.
    pub steps: Vec<Step>,
}

impl Program {
    /// Encodes the first `count` steps; branches beyond them go to the end. `None` if something cannot be encoded.
    pub fn assemble(&self, count: usize) -> Option<Vec<u8>> {
        let steps = self.steps.get(..count)?;
        let mut encoder = Encoder::new(self.mode.bits());
        let mut starts = Vec::with_capacity(count + 1);
        let mut at = self.ip;
        for step in steps {
            starts.push(at);
            let mut instruction = step.instruction;
            if step.target.is_some() {
                set_target(&mut instruction, at);
            }
            if step.patches.is_some() {
                instruction.set_memory_displacement64(layout::DATA);
            }
            at = at.wrapping_add(encoder.encode(&instruction, at).ok()? as u64);
        }
        starts.push(at);
        encoder.set_buffer(Vec::new());
        let mut at = self.ip;
        for step in steps {
            let mut instruction = step.instruction;
            if let Some(target) = step.target {
                set_target(&mut instruction, *starts.get(target.min(count))?);
            }
            if let Some(victim) = step.patches {
                // In a prefix without the victim, the store goes to data.
                let end = starts.get(victim + 1).map(|end| end - 4);
                instruction.set_memory_displacement64(end.unwrap_or(layout::DATA));
            }
            at = at.wrapping_add(encoder.encode(&instruction, at).ok()? as u64);
        }
        let code = encoder.take_buffer();
        (code.len() <= crate::case::MAX_CODE - 5
            && self.ip + code.len() as u64 <= layout::CODE + layout::CODE_LEN)
            .then_some(code)
    }

    /// Encodes all steps.
    pub fn assemble_all(&self) -> Option<Vec<u8>> {
        self.assemble(self.steps.len())
    }
}

fn set_target(instruction: &mut Instruction, target: u64) {
    if instruction.op0_kind() == OpKind::NearBranch64 {
        instruction.set_near_branch64(target);
    } else {
        instruction.set_near_branch32(target as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::Code;

    #[test]
    fn a_branch_out_of_a_prefix_goes_to_its_end() {
        let nop = Step::new(Instruction::with(Code::Nopd));
        let jump = Step {
            target: Some(3),
            ..Step::new(Instruction::with_branch(Code::Jmp_rel8_64, 0).unwrap())
        };
        let program = Program { mode: Mode::Long, ip: layout::CODE, steps: vec![jump, nop, nop] };
        assert_eq!(program.assemble(3).unwrap(), [0xEB, 2, 0x90, 0x90]);
        assert_eq!(program.assemble(2).unwrap(), [0xEB, 1, 0x90]);
    }
}
