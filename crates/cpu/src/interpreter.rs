//! The run loop: from block to block, by links where there are any.
//!
//! Key type: [`Interpreter`]. Neighbours: [`crate::cache`] (blocks), [`crate::decode`] (makes them), [`crate::exec`]
//! (runs their operations), [`crate::processor`] (the state they work on).

use guest_mem::{GuestRam, Pa, Pfn, Va};

use crate::cache::{ALWAYS, Cache, Key};
use crate::decode::{Mode, decode};
use crate::engine::{Clock, Engine, Exit, vector};
use crate::exec::system;
use crate::processor::{Core, StopKind};
use crate::state::{CpuState, flag};

/// DR6.BS: the debug exception is a single step.
const DR6_SINGLE_STEP: u64 = 1 << 14;

/// The emulating engine.
pub struct Interpreter {
    core: Core,
    cache: Cache,
    retired: u64,
}

impl Default for Interpreter {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for Interpreter {
    fn run(&mut self, cpu: &mut CpuState, ram: &GuestRam, clock: &dyn Clock, fuel: u64) -> Exit {
        self.core.enter(cpu);
        let exit = self.execute(ram, clock, fuel);
        self.core.leave(cpu);
        exit
    }

    fn flush_tlb(&mut self) {
        self.core.flush_tlb();
    }

    fn invalidate_page(&mut self, va: Va) {
        // Links and jumps depend on translations of code pages alone.
        if self.cache.has_code(va) {
            self.core.new_epochs();
        }
        self.core.invalidate_page(va);
    }

    fn instructions(&self) -> u64 {
        self.retired
    }
}

impl Interpreter {
    /// An engine with an empty cache.
    pub fn new() -> Self {
        Self { core: Core::new(), cache: Cache::new(), retired: 0 }
    }

    fn mode(&self) -> Mode {
        Mode {
            bitness: self.core.cpu.bitness(),
            single_step: self.core.system_flags & flag::TF != 0,
        }
    }

    /// Runs blocks. `Core::rip` is where to start, and where it ended.
    fn execute(&mut self, ram: &GuestRam, clock: &dyn Clock, fuel: u64) -> Exit {
        let mut left = fuel.clamp(1, i64::MAX as u64) as i64;
        self.drop_dirty_code(ram);
        loop {
            let mode = self.mode();
            let mut current = match self.find(ram, mode) {
                Ok(block) => block,
                Err(exit) => return exit,
            };
            // Inner loop: while links and the jump cache answer, and the mode cannot have changed.
            let exit = loop {
                let core = &mut self.core;
                let Some(block) = self.cache.block(current) else { break None };
                let Some((first, rest)) = block.ops.split_first() else { break None };
                let stop = (first.handler)(core, first, rest, ram);
                let retired = stop.retired();
                match stop.kind() {
                    StopKind::Link => {
                        let Some(link) = block.links.get(stop.slot()) else { break None };
                        self.retired += retired;
                        left -= retired as i64;
                        let known = link.epoch == core.tlb.epoch || link.epoch == ALWAYS;
                        if known && left > 0 && !core.break_pending {
                            current = link.block;
                            continue;
                        }
                        core.rip = link.target;
                        if mode.single_step {
                            break Some(self.single_step());
                        }
                        if left <= 0 {
                            break Some(Exit::Fuel);
                        }
                        if core.break_pending || mode.bitness != 64 && link.target >> 32 != 0 {
                            break None;
                        }
                        match self.find(ram, mode) {
                            Ok(next) => {
                                let epoch = self.core.tlb.epoch;
                                self.cache.set_link(current, stop.slot(), next, epoch);
                                current = next;
                            }
                            Err(exit) => break Some(exit),
                        }
                    }
                    StopKind::Indirect => {
                        self.retired += retired;
                        left -= retired as i64;
                        if mode.single_step {
                            break Some(self.single_step());
                        }
                        if left <= 0 {
                            break Some(Exit::Fuel);
                        }
                        if core.break_pending {
                            break None;
                        }
                        let key = core.rip ^ mode.tag();
                        if let Some(next) = self.cache.jump(key, core.tlb.epoch) {
                            current = next;
                            continue;
                        }
                        match self.find(ram, mode) {
                            Ok(next) => current = next,
                            Err(exit) => break Some(exit),
                        }
                    }
                    StopKind::Fault => {
                        core.rip = block.page | u64::from(core.at.offset);
                        self.retired += u64::from(core.at.before);
                        break Some(core.exit);
                    }
                    StopKind::Break => {
                        let at = core.at;
                        core.rip = (block.page | u64::from(at.offset)) + u64::from(at.len);
                        let retired = u64::from(at.before) + u64::from(at.count);
                        self.retired += retired;
                        left -= retired as i64;
                        core.break_pending = true;
                        if mode.single_step {
                            break Some(self.single_step());
                        }
                        if left <= 0 {
                            break Some(Exit::Fuel);
                        }
                        break None;
                    }
                    StopKind::Assist => {
                        let at = core.at;
                        let start = block.page | u64::from(at.offset);
                        core.rip = start.wrapping_add(u64::from(at.len));
                        let before = self.retired + u64::from(at.before);
                        match self.assist(ram, clock, before) {
                            Ok(exit) => {
                                self.retired = before + 1;
                                left -= i64::from(at.before) + 1;
                                if exit.is_some() {
                                    break exit;
                                }
                                if mode.single_step {
                                    break Some(self.single_step());
                                }
                                if left <= 0 {
                                    break Some(Exit::Fuel);
                                }
                                break None;
                            }
                            Err(exit) => {
                                self.retired = before;
                                self.core.rip = start;
                                break Some(exit);
                            }
                        }
                    }
                }
            };
            if let Some(exit) = exit {
                self.drop_dirty_code(ram);
                return exit;
            }
            if self.core.break_pending {
                self.core.break_pending = false;
                self.drop_dirty_code(ram);
            }
        }
    }

    fn assist(
        &mut self,
        ram: &GuestRam,
        clock: &dyn Clock,
        before: u64,
    ) -> Result<Option<Exit>, Exit> {
        let core = &mut self.core;
        let Some(op) = core.assist.take() else {
            return Err(Exit::fault(vector::INVALID_OPCODE));
        };
        let instruction = core.decoded.get(op.imm as usize).copied().unwrap_or_default();
        system::assist(core, &op, ram, &instruction, clock, before).map_err(|_| core.exit)
    }

    /// The exit of an instruction that was started with TF set.
    fn single_step(&mut self) -> Exit {
        self.core.cpu.dr[6] |= DR6_SINGLE_STEP;
        Exit::fault(vector::DEBUG)
    }

    /// Drops the blocks of frames that were written to.
    fn drop_dirty_code(&mut self, ram: &GuestRam) {
        let dirty: Vec<Pfn> = ram.take_dirty_code();
        if dirty.is_empty() {
            return;
        }
        for pfn in dirty {
            self.cache.drop_frame(pfn);
        }
        self.core.new_epochs();
    }

    /// The block at `Core::rip`, decoded if need be.
    fn find(&mut self, ram: &GuestRam, mode: Mode) -> Result<u32, Exit> {
        if mode.bitness != 64 {
            self.core.rip &= 0xFFFF_FFFF;
        }
        let rip = self.core.rip;
        let pa = self.core.translate_code(ram, rip)?;
        let va = rip ^ mode.tag();
        let key = Key { pa: pa.0, va };
        let index = match self.cache.find(key) {
            Some(index) if self.still_crosses(ram, index, rip)? => index,
            _ => self.decode(ram, key, rip, pa, mode)?,
        };
        let epoch = self.core.tlb.epoch;
        self.cache.set_jump(va, epoch, index);
        Ok(index)
    }

    /// True if a block lies in one page, or if the page it runs over into is still the same frame.
    fn still_crosses(&mut self, ram: &GuestRam, index: u32, rip: u64) -> Result<bool, Exit> {
        let Some(second) = self.cache.block(index).and_then(|block| block.second) else {
            return Ok(true);
        };
        let next_page = Va(rip).page().0.wrapping_add(guest_mem::PAGE_SIZE);
        Ok(self.core.translate_code(ram, next_page)?.pfn() == second)
    }

    fn decode(
        &mut self,
        ram: &GuestRam,
        key: Key,
        rip: u64,
        pa: Pa,
        mode: Mode,
    ) -> Result<u32, Exit> {
        if self.cache.is_full() {
            self.cache = Cache::new();
            self.core.decoded = Vec::new();
            self.core.simd = Vec::new();
            self.core.new_epochs();
        }
        let decoded = decode(&mut self.core, ram, rip, pa, mode)?;
        let page = Va(rip).page().0;
        Ok(self.cache.insert(key, page, decoded.ops, decoded.links, decoded.second))
    }
}
