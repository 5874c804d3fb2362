//! The processor while it runs: register file, lazy flags, translations, and how an instruction stops a block.
//!
//! Key types: [`Core`], [`Stop`]. [`Core`] is filled from a [`CpuState`] when [`crate::Interpreter`] starts and written
//! back when it stops. Neighbours: [`crate::memory`] (its memory accesses), [`crate::exec`] (what handlers do to it).

use std::num::NonZeroU32;

use guest_mem::Va;
use iced_x86::Instruction;

use crate::decode::Scratch;
use crate::engine::{Exit, vector};
use crate::flags::Flags;
use crate::fp::SimdOp;
use crate::op::Op;
use crate::state::{CpuState, flag, sreg};
use crate::tlb::Tlb;

/// Slot of the register file that always reads zero: the base of absolute addresses.
pub(crate) const ZERO: u8 = 16;
/// Slot of the register file that holds the base of FS.
pub(crate) const FS_BASE: u8 = 17;
/// Slot of the register file that holds the base of GS.
pub(crate) const GS_BASE: u8 = 18;
/// Address spaces whose translations are kept while another one runs.
const IDLE_SPACES: usize = 8;

/// Why a handler did not go on to the next operation of its block.
///
/// Packed, so that a handler returns it in a register: kind, link slot, and instructions retired in the block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop(NonZeroU32);

/// The kinds of [`Stop`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StopKind {
    /// Control goes to the target of a link of the block.
    Link,
    /// Control goes to `Core::rip`.
    Indirect,
    /// The instruction faulted: `Core::exit` and `Core::at` say how and where.
    Fault,
    /// The instruction at `Core::at` is done, but the block may be stale: look up what follows it.
    Break,
    /// The instruction at `Core::at` needs the whole interpreter; it is in `Core::assist`.
    Assist,
}

impl Stop {
    /// The stop of a memory access or check that faulted.
    pub const FAULT: Stop = Stop::new(StopKind::Fault, 0, 0);
    /// The body must run again, see [`crate::op::Exec`]. Never leaves a handler.
    pub const RETRY: Stop = Stop(NonZeroU32::MAX);

    pub const fn new(kind: StopKind, slot: u8, retired: u8) -> Self {
        let packed = (kind as u32 + 1) | ((slot as u32) << 8) | ((retired as u32) << 16);
        match NonZeroU32::new(packed) {
            Some(packed) => Stop(packed),
            None => Stop(NonZeroU32::MIN),
        }
    }

    #[inline(always)]
    pub fn kind(self) -> StopKind {
        match self.0.get() & 0xFF {
            1 => StopKind::Link,
            2 => StopKind::Indirect,
            3 => StopKind::Fault,
            4 => StopKind::Break,
            _ => StopKind::Assist,
        }
    }

    #[inline(always)]
    pub fn slot(self) -> usize {
        (self.0.get() >> 8) as usize & 0xFF
    }

    #[inline(always)]
    pub fn retired(self) -> u64 {
        u64::from(self.0.get() >> 16)
    }
}

/// What a handler's body returns.
pub(crate) type Step = Result<(), Stop>;

/// Which operation stopped, for [`StopKind::Fault`], [`StopKind::Break`] and [`StopKind::Assist`].
#[derive(Clone, Copy, Default)]
pub(crate) struct At {
    /// The instruction's offset in its page.
    pub offset: u16,
    /// Its length; for fused pairs, of both.
    pub len: u8,
    /// Instructions of the block that retired before it.
    pub before: u8,
    /// Instructions the operation stands for.
    pub count: u8,
}

/// A processor in execution.
pub(crate) struct Core {
    /// The sixteen registers, then [`ZERO`], [`FS_BASE`], [`GS_BASE`]. 256 slots, so that a byte is always in range.
    pub regs: [u64; 256],
    pub flags: Flags,
    /// RFLAGS without the status flags.
    pub system_flags: u64,
    /// The next instruction, where [`Stop`] says that it counts.
    pub rip: u64,
    /// Everything else. Its `gpr`, `rip`, `rflags` and the bases of FS and GS are stale during a run.
    pub cpu: CpuState,
    /// CPL 3.
    pub user: bool,
    pub tlb: Tlb,
    idle: Vec<Tlb>,
    epochs: u64,
    /// What a slow memory read found.
    pub scratch: u128,
    /// The last store went to decoded code: the block must not go on.
    pub break_pending: bool,
    pub exit: Exit,
    pub at: At,
    /// The operation that asked for the run loop.
    pub assist: Option<Op>,
    /// Instructions that are executed from their decoded form.
    pub decoded: Vec<Instruction>,
    /// Memory for the block that is being decoded.
    pub decoding: Scratch,
    /// Functions of vector operations.
    pub simd: Vec<SimdOp>,
}

impl Core {
    pub fn new() -> Self {
        Self {
            regs: [0; 256],
            flags: Flags::default(),
            system_flags: 0,
            rip: 0,
            cpu: CpuState::user_mode(),
            user: true,
            tlb: Tlb::new(0, true, 1),
            idle: Vec::new(),
            epochs: 1,
            scratch: 0,
            break_pending: false,
            exit: Exit::Fuel,
            at: At::default(),
            assist: None,
            decoded: Vec::new(),
            simd: Vec::new(),
            decoding: Scratch::default(),
        }
    }

    /// Takes a thread's state in.
    pub fn enter(&mut self, cpu: &CpuState) {
        self.cpu.clone_from(cpu);
        self.regs[..16].copy_from_slice(&cpu.gpr);
        self.regs[FS_BASE as usize] = cpu.seg[sreg::FS].base;
        self.regs[GS_BASE as usize] = cpu.seg[sreg::GS].base;
        self.rip = cpu.rip;
        self.set_rflags(cpu.rflags);
        self.break_pending = false;
        self.select_space();
    }

    /// Gives a thread's state back.
    pub fn leave(&mut self, cpu: &mut CpuState) {
        self.cpu.gpr.copy_from_slice(&self.regs[..16]);
        self.cpu.seg[sreg::FS].base = self.regs[FS_BASE as usize];
        self.cpu.seg[sreg::GS].base = self.regs[GS_BASE as usize];
        self.cpu.rip = self.rip;
        self.cpu.rflags = self.rflags();
        cpu.clone_from(&self.cpu);
    }

    /// The whole RFLAGS.
    pub fn rflags(&self) -> u64 {
        self.system_flags | self.flags.bits() | flag::RESERVED_1
    }

    /// Replaces the whole RFLAGS.
    pub fn set_rflags(&mut self, rflags: u64) {
        self.flags.set_bits(rflags);
        self.system_flags = (rflags & !flag::STATUS) | flag::RESERVED_1;
    }

    /// Makes the translations of the present CR3 and CPL the active ones.
    pub fn select_space(&mut self) {
        self.user = self.cpu.cpl() == 3;
        let (cr3, user) = (self.cpu.cr3, self.user);
        if self.tlb.cr3 == cr3 && self.tlb.user == user {
            return;
        }
        let found = self.idle.iter().position(|tlb| tlb.cr3 == cr3 && tlb.user == user);
        let mut next = match found {
            Some(index) => self.idle.remove(index),
            None => {
                self.epochs += 1;
                let epoch = self.epochs;
                if self.idle.len() < IDLE_SPACES {
                    Tlb::new(cr3, user, epoch)
                } else {
                    // The one that has been idle longest.
                    let mut reused = self.idle.remove(0);
                    reused.reset(cr3, user, epoch);
                    reused
                }
            }
        };
        std::mem::swap(&mut self.tlb, &mut next);
        self.idle.push(next);
    }

    /// Forgets all translations of all address spaces.
    pub fn flush_tlb(&mut self) {
        self.idle.clear();
        self.epochs += 1;
        let (cr3, user) = (self.tlb.cr3, self.tlb.user);
        self.tlb.reset(cr3, user, self.epochs);
    }

    /// Forgets the data translations of one page in all address spaces.
    pub fn invalidate_page(&mut self, va: Va) {
        for tlb in self.idle.iter_mut().chain([&mut self.tlb]) {
            tlb.invalidate(va);
        }
    }

    /// Makes all links between pages, and the jump cache, count no more.
    pub fn new_epochs(&mut self) {
        for tlb in self.idle.iter_mut().chain([&mut self.tlb]) {
            self.epochs += 1;
            tlb.epoch = self.epochs;
        }
    }

    /// Makes stores to a frame go the slow way.
    pub fn forbid_writes(&mut self, pfn: guest_mem::Pfn) {
        for tlb in self.idle.iter_mut().chain([&mut self.tlb]) {
            tlb.forbid_writes(pfn);
        }
    }

    /// Notes where an operation stands, for a stop that needs it.
    pub fn mark(&mut self, op: &Op) {
        self.at = At { offset: op.offset, len: op.len, before: op.before, count: op.count };
    }

    /// Raises an exception at an operation.
    #[cold]
    #[inline(never)]
    pub fn raise(&mut self, op: &Op, vector: u8, error_code: u32) -> Stop {
        self.mark(op);
        self.exit = Exit::Exception { vector, error_code };
        Stop::FAULT
    }

    /// Raises #UD.
    pub fn undefined(&mut self, op: &Op) -> Stop {
        self.raise(op, vector::INVALID_OPCODE, 0)
    }

    /// Raises #GP(0) from a body.
    #[inline(always)]
    pub fn refuse<const SLOW: bool>(&mut self, op: &Op) -> Stop {
        if SLOW { self.protection(op) } else { Stop::RETRY }
    }

    /// Raises #GP(0).
    pub fn protection(&mut self, op: &Op) -> Stop {
        self.raise(op, vector::PROTECTION, 0)
    }
}
