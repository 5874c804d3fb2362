//! From instruction bytes to blocks of operations.
//!
//! A block starts at one address, stays in one page, goes on over branches that are not taken, and ends at a jump, a
//! call, a return, at its length limit, or before an instruction that runs over into the next page (which is a block of
//! its own). Key types: [`Mode`], [`decode`]. Neighbours: [`select`] chooses handlers, [`crate::cache`] keeps blocks.

mod quiet;
pub(crate) mod select;

use guest_mem::{GuestRam, PAGE_SIZE, Pa, Pfn, Va};
use iced_x86::{
    Code, Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic, OpKind, Register,
};

use crate::cache::{Link, NEVER};
use crate::engine::Exit;
use crate::op::{Op, op_flag};
use crate::processor::{Core, FS_BASE, GS_BASE, Stop, StopKind, ZERO};
use quiet::{Effect, Quiet};
use select::{Chosen, Flow};

/// Instructions a block holds at most; also bounds the host stack, see [`crate::op`].
const MAX_INSTRUCTIONS: usize = 64;
/// Bytes of the longest instruction.
const MAX_INSTRUCTION: usize = 15;
/// Bytes of the longest block, and one instruction to look ahead.
const MAX_BYTES: usize = (MAX_INSTRUCTIONS + 1) * MAX_INSTRUCTION;

/// What the meaning of the same bytes depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mode {
    /// 64, 32 or 16.
    pub bitness: u32,
    /// One instruction to a block.
    pub single_step: bool,
}

impl Mode {
    /// Bits that tell addresses of different modes apart, above those that a canonical address is free to use.
    pub fn tag(self) -> u64 {
        let bitness: u64 = match self.bitness {
            64 => 0,
            32 => 1,
            _ => 2,
        };
        (bitness | (u64::from(self.single_step) << 2)) << 48
    }
}

/// A decoded block, for [`crate::cache::Cache::insert`].
pub(crate) struct Decoded {
    pub ops: Box<[Op]>,
    pub links: Box<[Link]>,
    pub second: Option<Pfn>,
}

/// Decodes the block at `rip`, which lies at `pa`. Frames it lies in are marked as code.
pub(crate) fn decode(
    core: &mut Core,
    ram: &GuestRam,
    rip: u64,
    pa: Pa,
    mode: Mode,
) -> Result<Decoded, Exit> {
    mark(core, ram, pa.pfn());
    let mut buffer = [0u8; MAX_BYTES];
    let length = buffer.len().min((PAGE_SIZE - Va(rip).offset()) as usize);
    let bytes = buffer.get_mut(..length).unwrap_or_default();
    ram.read(pa, bytes);
    let mut builder = Builder {
        scratch: std::mem::take(&mut core.decoding),
        core,
        mode,
        page: Va(rip).page().0,
        retired: 0,
    };
    let mut decoder = Decoder::with_ip(mode.bitness, bytes, rip, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    correct(&mut instruction, bytes, rip);
    if instruction.is_invalid() && decoder.last_error() == DecoderError::NoMoreBytes {
        return decode_crossing(builder, ram, rip, bytes);
    }
    let limit = if mode.single_step { 1 } else { MAX_INSTRUCTIONS };
    loop {
        let end = instruction.next_ip();
        // A look ahead, for pairs.
        let mut next = Instruction::default();
        let more = decoder.can_decode() && Va(end).page().0 == builder.page;
        if more {
            decoder.decode_out(&mut next);
            correct(&mut next, bytes, rip);
        }
        let next_ok =
            more && !(next.is_invalid() && decoder.last_error() == DecoderError::NoMoreBytes);
        let may_fuse = next_ok && builder.retired + 2 <= limit;
        match builder.add(&instruction, may_fuse.then_some(&next)) {
            Added::End => break,
            Added::One if !next_ok || builder.retired >= limit => {
                builder.end(end);
                break;
            }
            Added::One => instruction = next,
            Added::Pair => {
                let end = next.next_ip();
                if !decoder.can_decode()
                    || Va(end).page().0 != builder.page
                    || builder.retired >= limit
                {
                    builder.end(end);
                    break;
                }
                decoder.decode_out(&mut instruction);
                correct(&mut instruction, bytes, rip);
                if instruction.is_invalid() && decoder.last_error() == DecoderError::NoMoreBytes {
                    builder.end(end);
                    break;
                }
            }
        }
    }
    Ok(builder.finish(None))
}

/// Decodes one instruction that runs over into the next page.
fn decode_crossing(
    builder: Builder<'_>,
    ram: &GuestRam,
    rip: u64,
    start: &[u8],
) -> Result<Decoded, Exit> {
    let mut builder = builder;
    let next_page = builder.page.wrapping_add(PAGE_SIZE);
    let second = builder.core.translate_code(ram, next_page)?;
    mark(builder.core, ram, second.pfn());
    let mut more = [0u8; MAX_INSTRUCTION];
    ram.read(second, &mut more);
    let bytes = [start, &more].concat();
    let mut decoder = Decoder::with_ip(builder.mode.bitness, &bytes, rip, DecoderOptions::NONE);
    let mut instruction = decoder.decode();
    correct(&mut instruction, &bytes, rip);
    if !matches!(builder.add(&instruction, None), Added::End) {
        builder.end(instruction.next_ip());
    }
    Ok(builder.finish(Some(second.pfn())))
}

/// Mends what iced reads differently from processors: with REX.B, `F3 90` is not PAUSE but an exchange with R8.
fn correct(instruction: &mut Instruction, bytes: &[u8], start: u64) {
    if instruction.code() != Code::Pause {
        return;
    }
    let end = instruction.next_ip().wrapping_sub(start) as usize;
    let Some([.., rex, _]) = bytes.get(..end) else { return };
    if instruction.len() < 3 || rex & 0xF1 != 0x41 {
        return;
    }
    let wide = rex & 8 != 0;
    let at = end - instruction.len();
    let narrow = bytes.get(at..end).unwrap_or_default().contains(&0x66);
    let (code, r8, rax) = match (wide, narrow) {
        (true, _) => (Code::Xchg_r64_RAX, Register::R8, Register::RAX),
        (false, true) => (Code::Xchg_r16_AX, Register::R8W, Register::AX),
        (false, false) => (Code::Xchg_r32_EAX, Register::R8D, Register::EAX),
    };
    instruction.set_code(code);
    instruction.set_op0_kind(OpKind::Register);
    instruction.set_op0_register(r8);
    instruction.set_op1_kind(OpKind::Register);
    instruction.set_op1_register(rax);
}

fn mark(core: &mut Core, ram: &GuestRam, pfn: Pfn) {
    if !ram.is_code(pfn) {
        ram.mark_code(pfn);
        core.forbid_writes(pfn);
    }
}

enum Added {
    /// The instruction, and the block goes on.
    One,
    /// The instruction and the next one.
    Pair,
    /// The block is complete.
    End,
}

/// The parts of a block in the making, kept from one block to the next for their capacity.
#[derive(Default)]
pub(crate) struct Scratch {
    ops: Vec<Op>,
    links: Vec<Link>,
    /// Operations whose flags nobody has seen yet, and what may take their place if nobody will.
    unseen: Vec<(usize, Quiet)>,
}

struct Builder<'a> {
    core: &'a mut Core,
    scratch: Scratch,
    mode: Mode,
    page: u64,
    /// Instructions so far.
    retired: usize,
}

impl Builder<'_> {
    fn add(&mut self, instruction: &Instruction, next: Option<&Instruction>) -> Added {
        let mut op = operands(instruction, self.mode);
        op.before = self.retired as u8;
        if let Some(next) = next
            && let Some(handler) = select::fused(instruction, next, &mut op)
        {
            op.handler = handler;
            op.count = 2;
            op.len += next.len() as u8;
            self.retired += 2;
            op.stop = self.link(next.near_branch_target());
            self.note_flags(instruction, &op);
            self.scratch.unseen.clear();
            self.scratch.ops.push(op);
            return Added::Pair;
        }
        self.retired += 1;
        let Chosen { handler, flow } = select::choose(instruction, self.mode, &mut op);
        op.handler = handler;
        match flow {
            Flow::Next => {}
            Flow::Branch => op.stop = self.link(instruction.near_branch_target()),
            Flow::Jump => {
                op.stop = self.link(instruction.near_branch_target());
                self.scratch.ops.push(op);
                return Added::End;
            }
            Flow::Indirect => op.stop = self.stop(StopKind::Indirect),
            Flow::Table(function) => {
                op.imm = self.core.simd.len() as u64 | (op.imm & 0xFF) << 32;
                self.core.simd.push(function);
            }
            Flow::Slow => {
                op.imm = self.core.decoded.len() as u64;
                self.core.decoded.push(*instruction);
            }
            Flow::Assist => {
                op.imm = self.core.decoded.len() as u64;
                self.core.decoded.push(*instruction);
                op.stop = self.stop(StopKind::Assist);
            }
        }
        if matches!(flow, Flow::Next) {
            self.note_flags(instruction, &op);
        } else {
            self.scratch.unseen.clear();
        }
        self.scratch.ops.push(op);
        match flow {
            Flow::Indirect | Flow::Assist => Added::End,
            _ => Added::One,
        }
    }

    /// Finds operations whose flags are overwritten before anything can see them, and takes the flags from them.
    fn note_flags(&mut self, instruction: &Instruction, op: &Op) {
        match quiet::effect(instruction) {
            Effect::None => return,
            Effect::Sees => self.scratch.unseen.clear(),
            Effect::Changes => {}
            Effect::Overwrites => {
                for (index, quiet) in self.scratch.unseen.drain(..) {
                    if let Some(op) = self.scratch.ops.get_mut(index) {
                        (op.handler, op.imm) = (quiet.handler, quiet.imm);
                    }
                }
            }
        }
        if let Some(quiet) = quiet::quiet(instruction, op) {
            self.scratch.unseen.push((self.scratch.ops.len(), quiet));
        }
    }

    /// Ends the block with a link to what follows.
    fn end(&mut self, next: u64) {
        let next = if self.mode.bitness == 64 { next } else { next & 0xFFFF_FFFF };
        let stop = self.link(next);
        let mut op = blank();
        op.before = self.retired as u8;
        op.offset = Va(next).offset() as u16;
        op.stop = stop;
        self.scratch.ops.push(op);
    }

    /// The block, in memory of its own size.
    fn finish(mut self, second: Option<Pfn>) -> Decoded {
        let Scratch { ops, links, unseen } = &mut self.scratch;
        let decoded =
            Decoded { ops: ops.as_slice().into(), links: links.as_slice().into(), second };
        ops.clear();
        links.clear();
        unseen.clear();
        self.core.decoding = self.scratch;
        decoded
    }

    fn link(&mut self, target: u64) -> Stop {
        let slot = self.scratch.links.len() as u8;
        self.scratch.links.push(Link { target, epoch: NEVER, block: 0 });
        Stop::new(StopKind::Link, slot, self.retired as u8)
    }

    fn stop(&self, kind: StopKind) -> Stop {
        Stop::new(kind, 0, self.retired as u8)
    }
}

/// An operation without operands, which jumps.
fn blank() -> Op {
    Op {
        handler: crate::exec::branch::JUMP,
        imm: 0,
        disp: 0,
        stop: Stop::FAULT,
        r1: 0,
        r2: 0,
        base: ZERO,
        index: ZERO,
        scale: 0,
        segment: ZERO,
        offset: 0,
        len: 0,
        before: 0,
        count: 1,
        flags: 0,
    }
}

/// The register-file slot of a register, and 8 for AH, CH, DH and BH.
pub(crate) fn register(register: Register) -> (u8, u8) {
    match register {
        Register::AH => (0, 8),
        Register::CH => (1, 8),
        Register::DH => (2, 8),
        Register::BH => (3, 8),
        Register::None | Register::RIP | Register::EIP => (ZERO, 0),
        _ if register.is_gpr() => (register.full_register().number() as u8, 0),
        _ => ((register.number() & 0xF) as u8, 0),
    }
}

/// Fills in the operands, in the order of the instruction: registers, memory, immediate.
fn operands(instruction: &Instruction, mode: Mode) -> Op {
    let mut op = blank();
    op.len = instruction.len() as u8;
    op.offset = Va(instruction.ip()).offset() as u16;
    let mut registers = 0;
    let mut has_memory = false;
    for index in 0..instruction.op_count() {
        match instruction.op_kind(index) {
            OpKind::Register => {
                let (number, high) = register(instruction.op_register(index));
                match registers {
                    0 => {
                        op.r1 = number;
                        op.flags |= if high != 0 { op_flag::HIGH_1 } else { 0 };
                    }
                    1 => {
                        op.r2 = number;
                        op.flags |= if high != 0 { op_flag::HIGH_2 } else { 0 };
                    }
                    // CL, as a count.
                    _ => {}
                }
                registers += 1;
            }
            OpKind::Memory => {
                has_memory = true;
                memory(instruction, mode, &mut op);
                // A register after a memory operand is the second one.
                if index == 0 {
                    registers = 1;
                }
            }
            kind if is_immediate(kind) => op.imm = instruction.immediate(index),
            _ => {}
        }
    }
    if !has_memory && instruction.is_stack_instruction() {
        op.flags |= op_flag::STACK;
    }
    op
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8
            | OpKind::Immediate8_2nd
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

fn memory(instruction: &Instruction, mode: Mode, op: &mut Op) {
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    op.base = register(base).0;
    op.index = register(index).0;
    op.scale = instruction.memory_index_scale().trailing_zeros() as u8;
    op.disp = instruction.memory_displacement64();
    let narrow = |register: Register| register != Register::None && register.size() < 8;
    let size = if narrow(base) {
        base.size()
    } else if narrow(index) {
        index.size()
    } else if base == Register::None && index == Register::None {
        // A bare displacement has the address size; the sign-extended one of 64-bit code counts as 8.
        match instruction.memory_displ_size() {
            2 => 2,
            4 => 4,
            _ => 8,
        }
    } else {
        8
    };
    match size {
        2 => op.flags |= op_flag::ADDRESS_16,
        4 => op.flags |= op_flag::ADDRESS_32,
        _ => {}
    }
    match instruction.memory_segment() {
        Register::FS => op.segment = FS_BASE,
        Register::GS => op.segment = GS_BASE,
        Register::SS if mode.bitness != 64 => op.flags |= op_flag::STACK,
        _ => {}
    }
    // In 64-bit code only the base register chooses SS; segment prefixes of the flat segments mean nothing.
    let by_stack = matches!(base, Register::RSP | Register::RBP | Register::ESP | Register::EBP);
    if mode.bitness == 64 && by_stack && op.segment == ZERO {
        op.flags |= op_flag::STACK;
    }
    // XLAT adds AL itself.
    if instruction.mnemonic() == Mnemonic::Xlatb {
        op.index = ZERO;
    }
    // LEA and NOP compute no linear address.
    if matches!(instruction.mnemonic(), Mnemonic::Lea) {
        op.segment = ZERO;
    }
    if op.segment != ZERO && op.flags & (op_flag::ADDRESS_16 | op_flag::ADDRESS_32) == 0 {
        // A segment base can take the place of a register that is not used.
        if op.base == ZERO {
            (op.base, op.segment) = (op.segment, ZERO);
        } else if op.index == ZERO {
            (op.index, op.segment, op.scale) = (op.segment, ZERO, 0);
        }
    }
}
