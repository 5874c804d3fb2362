//! x87 instructions: binds [`crate::fp::x87`] to memory, RFLAGS and AX.
//!
//! The unit may pop when it stores, so a destination is checked for writing before it runs. Neighbour:
//! [`super::slow`] (decoded form).

use guest_mem::{Access, GuestRam};
use iced_x86::{Instruction, OpKind};

use super::slow::decoded;
use crate::engine::vector;
use crate::fp::x87::{Input, MAX_STORE, Origin, sti_of, x87_lookup};
use crate::op::{Ea, EaAny, Exec, Op, offset, set_reg};
use crate::processor::{Core, Step};
use crate::state::{flag, sreg};

/// Executes an x87 instruction from its decoded form.
pub(crate) struct X87;

/// Bytes of the longest memory operand that is not a state image.
const LONGEST_VALUE: usize = 10;

/// True if [`X87`] executes the instruction.
pub(crate) fn is_x87(instruction: &Instruction) -> bool {
    x87_lookup(instruction.code()).is_some()
}

impl Exec for X87 {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let i = decoded(core, op);
        let Some(operation) = x87_lookup(i.code()) else { return Err(core.undefined(op)) };
        if operation.waits() && core.cpu.fpu.pending() {
            return Err(core.raise(op, vector::X87, 0));
        }
        let has_memory = (0..i.op_count()).any(|index| i.op_kind(index) == OpKind::Memory);
        let va = if has_memory { EaAny::ea(core, op) } else { 0 };
        let mut bytes = [0u8; MAX_STORE];
        let memory = bytes.get_mut(..operation.reads()).unwrap_or_default();
        if !memory.is_empty() {
            if memory.len() > LONGEST_VALUE {
                core.touch_end(ram, op, va, memory.len(), Access::Read)?;
            }
            core.copy_out(ram, op, va, memory)?;
        }
        let writes = operation.writes() as u64;
        if writes > 0 {
            if writes > LONGEST_VALUE as u64 {
                core.touch_end(ram, op, va, writes as usize, Access::Write)?;
            }
            core.probe_write(ram, op, va, writes)?;
        }
        let input = Input {
            sti: sti_of(&i),
            memory,
            rflags: core.flags.bits(),
            origin: Origin {
                ip: i.ip(),
                cs: core.cpu.seg[sreg::CS].selector,
                dp: if has_memory { offset(core, op) } else { 0 },
                ds: if has_memory { core.cpu.seg[sreg::DS].selector } else { 0 },
                // Current processors record an opcode for unmasked exceptions only; it is not known here.
                opcode: 0,
            },
        };
        let mut out = [0u8; MAX_STORE];
        let Ok(effect) = core.cpu.fpu.execute(operation, &input, &mut out) else {
            return Err(core.raise(op, vector::X87, 0));
        };
        if let Some(bits) = effect.rflags {
            core.flags.set_bits(bits & flag::STATUS);
        }
        if let Some(ax) = effect.ax {
            set_reg(core, 0, ax);
        }
        if effect.stored > 0 {
            core.copy_in(ram, op, va, out.get(..effect.stored).unwrap_or_default())?;
        }
        Ok(())
    }
}
