//! MOVS, STOS, LODS, CMPS and SCAS, with their repeat prefixes.
//!
//! A repeated move or fill goes a page at a time where elements cannot overlap badly; a fault in the middle leaves
//! RCX, RSI and RDI at the element that faulted, as the architecture asks. Source: Intel SDM volume 2B, REP.

use guest_mem::{Access, GuestRam, PAGE_SIZE, Va};
use iced_x86::{Instruction, Mnemonic, Register};

use super::alu::{self, Binary};
use super::slow::decoded;
use crate::decode::select::by_size;
use crate::flags::Int;
use crate::memory::Cell;
use crate::op::{Exec, Op, reg, set_reg};
use crate::processor::{Core, FS_BASE, GS_BASE, Step, Stop, StopKind, ZERO};
use crate::state::flag;

const RCX: usize = 1;
const RSI: usize = 6;
const RDI: usize = 7;

/// True for the string instructions that do not use ports.
pub(crate) fn is_memory_string(i: &Instruction) -> bool {
    i.is_string_instruction()
        && !matches!(
            i.mnemonic(),
            Mnemonic::Insb
                | Mnemonic::Insw
                | Mnemonic::Insd
                | Mnemonic::Outsb
                | Mnemonic::Outsw
                | Mnemonic::Outsd
        )
}

/// Executes a string instruction from its decoded form.
pub(crate) struct StringOp;

impl Exec for StringOp {
    fn exec<const SLOW: bool>(core: &mut Core, op: &Op, ram: &GuestRam) -> Step {
        let instruction = decoded(core, op);
        let mut run = Run::new(core, &instruction);
        let size = run.size;
        by_size!(size, T => run.execute::<T>(core, op, ram, instruction.mnemonic()))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Repeat {
    No,
    /// REP, or REPE before a comparison.
    Equal,
    NotEqual,
}

/// One execution of a string instruction.
struct Run {
    repeat: Repeat,
    /// Of an element.
    size: u64,
    /// What an element adds to the pointers.
    step: u64,
    /// The part of RCX, RSI and RDI that counts.
    mask: u64,
    /// The base of the source's segment.
    source_base: u64,
}

impl Run {
    fn new(core: &Core, i: &Instruction) -> Self {
        let size = i.memory_size().size() as u64;
        let narrow = |register: Register, of: &[Register]| of.contains(&register);
        let bases = [i.op0_kind(), i.op1_kind()];
        let mask = if bases.iter().any(|kind| {
            use iced_x86::OpKind::*;
            matches!(kind, MemorySegEDI | MemorySegESI | MemoryESEDI)
        }) {
            0xFFFF_FFFF
        } else if bases.iter().any(|kind| {
            use iced_x86::OpKind::*;
            matches!(kind, MemorySegDI | MemorySegSI | MemoryESDI)
        }) {
            0xFFFF
        } else {
            u64::MAX
        };
        let segment = i.segment_prefix();
        let slot = if narrow(segment, &[Register::FS]) {
            FS_BASE
        } else if narrow(segment, &[Register::GS]) {
            GS_BASE
        } else {
            ZERO
        };
        Self {
            repeat: if i.has_repne_prefix() {
                Repeat::NotEqual
            } else if i.has_rep_prefix() {
                Repeat::Equal
            } else {
                Repeat::No
            },
            size,
            step: if core.system_flags & flag::DF != 0 { size.wrapping_neg() } else { size },
            mask,
            source_base: core.regs[slot as usize],
        }
    }

    fn execute<T: Int + Cell>(
        &mut self,
        core: &mut Core,
        op: &Op,
        ram: &GuestRam,
        mnemonic: Mnemonic,
    ) -> Step {
        if self.repeat == Repeat::No {
            return self.element::<T>(core, op, ram, mnemonic).map(|_| ());
        }
        let single_step = core.system_flags & flag::TF != 0;
        loop {
            let count = core.regs[RCX] & self.mask;
            if count == 0 {
                return Ok(());
            }
            let done = match mnemonic {
                _ if single_step => 0,
                Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => {
                    self.fill::<T>(core, op, ram, count)?
                }
                Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
                    self.copy(core, op, ram, count)?
                }
                _ => 0,
            };
            if done > 0 {
                self.advance(core, RCX, done.wrapping_neg());
                continue;
            }
            let goes_on = self.element::<T>(core, op, ram, mnemonic)?;
            self.advance(core, RCX, u64::MAX);
            if !goes_on {
                return Ok(());
            }
            if single_step && core.regs[RCX] & self.mask != 0 {
                // The trap comes after each element, with RIP still here.
                core.mark(op);
                (core.at.len, core.at.count) = (0, 0);
                return Err(Stop::new(StopKind::Break, 0, 0));
            }
        }
    }

    /// Adds to a pointer or the counter, within the address size.
    fn advance(&self, core: &mut Core, register: usize, by: u64) {
        let old = core.regs[register];
        let new = old.wrapping_add(by) & self.mask;
        // A 32-bit result clears the upper half, a 16-bit one keeps the rest.
        core.regs[register] = if self.mask == 0xFFFF { (old & !0xFFFF) | new } else { new };
    }

    fn source(&self, core: &Core) -> u64 {
        self.source_base.wrapping_add(core.regs[RSI] & self.mask)
    }

    fn target(&self, core: &Core) -> u64 {
        core.regs[RDI] & self.mask
    }

    /// One element; true if a repetition goes on after it.
    fn element<T: Int + Cell>(
        &self,
        core: &mut Core,
        op: &Op,
        ram: &GuestRam,
        mnemonic: Mnemonic,
    ) -> Result<bool, Stop> {
        let (from, to) = (self.source(core), self.target(core));
        let compared = match mnemonic {
            Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
                let value: T = core.load(ram, op, from)?;
                core.store(ram, op, to, value)?;
                self.advance(core, RSI, self.step);
                self.advance(core, RDI, self.step);
                false
            }
            Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => {
                let value: T = reg(core, 0);
                core.store(ram, op, to, value)?;
                self.advance(core, RDI, self.step);
                false
            }
            Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq => {
                let value: T = core.load(ram, op, from)?;
                set_reg(core, 0, value);
                self.advance(core, RSI, self.step);
                false
            }
            Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq => {
                let value: T = core.load(ram, op, to)?;
                let accumulator = reg(core, 0);
                <alu::Sub as Binary>::apply::<T>(&mut core.flags, accumulator, value);
                self.advance(core, RDI, self.step);
                true
            }
            Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq => {
                let a: T = core.load(ram, op, from)?;
                let b: T = core.load(ram, op, to)?;
                <alu::Sub as Binary>::apply::<T>(&mut core.flags, a, b);
                self.advance(core, RSI, self.step);
                self.advance(core, RDI, self.step);
                true
            }
            _ => return Err(core.undefined(op)),
        };
        Ok(!compared || core.flags.zf() == (self.repeat == Repeat::Equal))
    }

    /// Elements of an upward run that fit in the page of `va`, at most `count`; 0 if `va` is not aligned to them.
    fn in_page(&self, va: u64, count: u64) -> u64 {
        count.min((PAGE_SIZE - Va(va).offset()) / self.size)
    }

    /// Fills as many elements as lie in one page and returns their number, 0 if it must go by element.
    fn fill<T: Int + Cell>(
        &self,
        core: &mut Core,
        op: &Op,
        ram: &GuestRam,
        count: u64,
    ) -> Result<u64, Stop> {
        let to = self.target(core);
        let count = self.in_page(to, count);
        if self.step != self.size || count < 2 || self.mask == 0xFFFF {
            return Ok(0);
        }
        let pa = core.translate(ram, op, to, Access::Write)?;
        core.break_pending |= ram.is_code(pa.pfn());
        let value: T = reg(core, 0);
        let pattern = value.zx().to_le_bytes();
        let element = pattern.get(..self.size as usize).unwrap_or_default();
        if element.iter().all(|&byte| byte == pattern[0]) {
            ram.fill(pa, (count * self.size) as usize, pattern[0]);
        } else {
            ram.write(pa, &element.repeat(count as usize));
        }
        self.advance(core, RDI, count * self.size);
        Ok(count)
    }

    /// Copies as many elements as lie in one page at both ends, 0 if it must go by element.
    fn copy(&self, core: &mut Core, op: &Op, ram: &GuestRam, count: u64) -> Result<u64, Stop> {
        let (from, to) = (self.source(core), self.target(core));
        let count = self.in_page(to, self.in_page(from, count));
        if self.step != self.size || count < 2 || self.mask == 0xFFFF {
            return Ok(0);
        }
        let source = core.translate(ram, op, from, Access::Read)?;
        let target = core.translate(ram, op, to, Access::Write)?;
        let bytes = count * self.size;
        // A target shortly after its source repeats a pattern: that needs the order of elements.
        if target.0 > source.0 && target.0 - source.0 < bytes {
            return Ok(0);
        }
        core.break_pending |= ram.is_code(target.pfn());
        ram.copy(source, target, bytes as usize);
        self.advance(core, RSI, bytes);
        self.advance(core, RDI, bytes);
        Ok(count)
    }
}
