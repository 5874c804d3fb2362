//! The processor's memory accesses: the TLB hit inline, and everything else out of line.
//!
//! A hit needs the whole access within one page; page crossings, misses, stores to decoded code and faults go the slow
//! way. Neighbours: [`crate::tlb`], [`guest_mem::walk`]. Source: Intel SDM volume 3A, chapter 4.

use guest_mem::{Access, GuestRam, PAGE_SIZE, Pa, Pfn, Privilege, Scalar, Va, walk};

use crate::engine::{Exit, vector};
use crate::flags::Int;
use crate::op::{Op, op_flag};
use crate::processor::{Core, Step, Stop};

/// A value that memory operands have.
pub(crate) trait Cell: Scalar {
    /// Bytes of the value.
    const SIZE: u64;
    fn from_scratch(scratch: u128) -> Self;
    fn to_scratch(self) -> u128;
}

macro_rules! cell {
    ($($int:ty)*) => {$(
        impl Cell for $int {
            const SIZE: u64 = size_of::<$int>() as u64;
            #[inline(always)]
            fn from_scratch(scratch: u128) -> Self {
                scratch as $int
            }
            #[inline(always)]
            fn to_scratch(self) -> u128 {
                self as u128
            }
        }
    )*};
}
cell! { u8 u16 u32 u64 u128 }

/// Where a read-modify-write goes: a physical address, or [`SLOW`].
pub(crate) type Place = u64;
/// The place of an access that must be finished out of line.
const SLOW: Place = u64::MAX;

/// The address of the page of an access's last byte: equal to a TLB tag only if the access lies within the page.
#[inline(always)]
fn tag_of(va: u64, size: u64) -> u64 {
    va.wrapping_add(size - 1) & !(PAGE_SIZE - 1)
}

impl Core {
    /// Reads memory.
    #[inline(always)]
    pub fn load<T: Cell>(&mut self, ram: &GuestRam, op: &Op, va: u64) -> Result<T, Stop> {
        let entry = self.tlb.read_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            return Ok(ram.load(Pa(va.wrapping_add(entry.addend))));
        }
        self.load_slow(ram, op, va, T::SIZE)?;
        Ok(T::from_scratch(self.scratch))
    }

    /// Writes memory.
    #[inline(always)]
    pub fn store<T: Cell>(&mut self, ram: &GuestRam, op: &Op, va: u64, value: T) -> Step {
        let entry = self.tlb.write_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            ram.store_data(Pa(va.wrapping_add(entry.addend)), value);
            return Ok(());
        }
        self.scratch = value.to_scratch();
        self.store_slow(ram, op, va, T::SIZE)
    }

    /// Starts a read-modify-write: nothing can fault between this and [`Core::finish`].
    #[inline(always)]
    pub fn start<T: Cell>(&mut self, ram: &GuestRam, op: &Op, va: u64) -> Result<(T, Place), Stop> {
        let entry = self.tlb.write_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            let pa = va.wrapping_add(entry.addend);
            return Ok((ram.load(Pa(pa)), pa));
        }
        self.start_slow(ram, op, va, T::SIZE)?;
        Ok((T::from_scratch(self.scratch), SLOW))
    }

    /// Ends a read-modify-write.
    #[inline(always)]
    pub fn finish<T: Cell>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
        place: Place,
        value: T,
    ) -> Step {
        if place != SLOW {
            ram.store_data(Pa(place), value);
            return Ok(());
        }
        self.scratch = value.to_scratch();
        self.store_slow(ram, op, va, T::SIZE)
    }

    /// [`Core::load`] in a body.
    #[inline(always)]
    pub fn fast_load<T: Cell, const SLOW: bool>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
    ) -> Result<T, Stop> {
        let entry = self.tlb.read_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            return Ok(ram.load(Pa(va.wrapping_add(entry.addend))));
        }
        if SLOW { self.load(ram, op, va) } else { Err(Stop::RETRY) }
    }

    /// [`Core::store`] in a body.
    #[inline(always)]
    pub fn fast_store<T: Cell, const SLOW: bool>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
        value: T,
    ) -> Step {
        let entry = self.tlb.write_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            ram.store_data(Pa(va.wrapping_add(entry.addend)), value);
            return Ok(());
        }
        if SLOW { self.store(ram, op, va, value) } else { Err(Stop::RETRY) }
    }

    /// [`Core::start`] in a body.
    #[inline(always)]
    pub fn fast_start<T: Cell, const SLOW: bool>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
    ) -> Result<(T, Place), Stop> {
        let entry = self.tlb.write_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            let pa = va.wrapping_add(entry.addend);
            return Ok((ram.load(Pa(pa)), pa));
        }
        if SLOW { self.start(ram, op, va) } else { Err(Stop::RETRY) }
    }

    /// [`Core::finish`] in a body: what started fast, ends fast.
    #[inline(always)]
    pub fn fast_finish<T: Cell, const SLOW: bool>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
        place: Place,
        value: T,
    ) -> Step {
        if SLOW {
            return self.finish(ram, op, va, place, value);
        }
        ram.store_data(Pa(place), value);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn load_slow(&mut self, ram: &GuestRam, op: &Op, va: u64, size: u64) -> Step {
        let mut bytes = [0u8; 16];
        self.copy_out(ram, op, va, bytes.get_mut(..size as usize).unwrap_or_default())?;
        self.scratch = u128::from_le_bytes(bytes);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn store_slow(&mut self, ram: &GuestRam, op: &Op, va: u64, size: u64) -> Step {
        let bytes = self.scratch.to_le_bytes();
        self.copy_in(ram, op, va, bytes.get(..size as usize).unwrap_or_default())
    }

    #[cold]
    #[inline(never)]
    fn start_slow(&mut self, ram: &GuestRam, op: &Op, va: u64, size: u64) -> Step {
        self.probe_write(ram, op, va, size)?;
        self.load_slow(ram, op, va, size)
    }

    /// Reads a short run of bytes (at most a page), which may cross a page.
    pub fn copy_out(&mut self, ram: &GuestRam, op: &Op, va: u64, into: &mut [u8]) -> Step {
        self.check_end(op, va, into.len() as u64)?;
        let first = first_part(va, into.len());
        let from = self.translate(ram, op, va, Access::Read)?;
        let (head, tail) = into.split_at_mut(first);
        if tail.is_empty() {
            ram.read(from, head);
            return Ok(());
        }
        let rest = self.translate(ram, op, va.wrapping_add(first as u64), Access::Read)?;
        ram.read(from, head);
        ram.read(rest, tail);
        Ok(())
    }

    /// Writes a short run of bytes (at most a page), which may cross a page; all of it or nothing.
    pub fn copy_in(&mut self, ram: &GuestRam, op: &Op, va: u64, from: &[u8]) -> Step {
        self.check_end(op, va, from.len() as u64)?;
        let first = first_part(va, from.len());
        let to = self.translate(ram, op, va, Access::Write)?;
        let (head, tail) = from.split_at(first);
        let rest = if tail.is_empty() {
            to
        } else {
            self.translate(ram, op, va.wrapping_add(first as u64), Access::Write)?
        };
        self.put(ram, to, head);
        if !tail.is_empty() {
            self.put(ram, rest, tail);
        }
        Ok(())
    }

    fn put(&mut self, ram: &GuestRam, to: Pa, bytes: &[u8]) {
        self.break_pending |= ram.is_code(to.pfn());
        // A whole value is written in one piece, as other processors and devices expect.
        match *bytes {
            [a] => ram.store(to, a),
            [a, b] => ram.store(to, u16::from_le_bytes([a, b])),
            [a, b, c, d] => ram.store(to, u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => {
                ram.store(to, u64::from_le_bytes([a, b, c, d, e, f, g, h]));
            }
            _ => ram.write(to, bytes),
        }
    }

    /// Touches the last byte of a long operand first, as processors do for state images.
    pub fn touch_end(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
        size: usize,
        access: Access,
    ) -> Step {
        self.check_end(op, va, size as u64)?;
        let end = va.wrapping_add(size as u64 - 1);
        // A non-canonical operand is a protection fault, not a page fault, at either end.
        self.translate(ram, op, end, access).map(|_| ())
    }

    /// Checks that a range of at most a page can be written.
    pub fn probe_write(&mut self, ram: &GuestRam, op: &Op, va: u64, size: u64) -> Step {
        self.check_end(op, va, size)?;
        self.translate(ram, op, va, Access::Write)?;
        if tag_of(va, size) != Va(va).page().0 {
            self.translate(ram, op, va.wrapping_add(size - 1) & !(PAGE_SIZE - 1), Access::Write)?;
        }
        Ok(())
    }

    /// The place of an atomic access, if it lies within one page.
    ///
    /// The frame is reported as changed if it holds decoded code. An access that crosses a page gives `None` after
    /// both pages were checked for writing.
    pub fn atomic_place<T: Cell>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
    ) -> Result<Option<Pa>, Stop> {
        let entry = self.tlb.write_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            return Ok(Some(Pa(va.wrapping_add(entry.addend))));
        }
        self.probe_write(ram, op, va, T::SIZE)?;
        if tag_of(va, T::SIZE) != Va(va).page().0 {
            return Ok(None);
        }
        let pa = self.translate(ram, op, va, Access::Write)?;
        self.break_pending |= ram.is_code(pa.pfn());
        Ok(Some(pa))
    }

    /// [`Core::atomic_place`] in a body.
    #[inline(always)]
    pub fn fast_place<T: Cell, const SLOW: bool>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
    ) -> Result<Option<Pa>, Stop> {
        let entry = self.tlb.write_entry(va);
        if entry.tag == tag_of(va, T::SIZE) {
            return Ok(Some(Pa(va.wrapping_add(entry.addend))));
        }
        if SLOW { self.atomic_place::<T>(ram, op, va) } else { Err(Stop::RETRY) }
    }

    /// Translates one address for a data access, filling the TLB.
    pub fn translate(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        va: u64,
        access: Access,
    ) -> Result<Pa, Stop> {
        let entry = match access {
            Access::Write => self.tlb.write_entry(va),
            _ => self.tlb.read_entry(va),
        };
        if entry.tag == Va(va).page().0 {
            return Ok(Pa(va.wrapping_add(entry.addend)));
        }
        let va = Va(va);
        if !va.is_canonical() {
            return Err(self.non_canonical(op));
        }
        match walk(ram, Pfn(self.cpu.cr3 >> 12), va, access, self.privilege()) {
            Ok(mapping) => {
                self.tlb.fill_read(va, mapping.pfn);
                if mapping.writable && !ram.is_code(mapping.pfn) {
                    self.tlb.fill_write(va, mapping.pfn);
                }
                Ok(mapping.pfn.at(va.offset()))
            }
            Err(fault) => {
                self.cpu.cr2 = fault.va.0;
                Err(self.raise(op, vector::PAGE_FAULT, fault.error_code))
            }
        }
    }

    fn non_canonical(&mut self, op: &Op) -> Stop {
        let stack = op.flags & op_flag::STACK != 0;
        self.raise(op, if stack { vector::STACK } else { vector::PROTECTION }, 0)
    }

    /// Refuses an access that runs over the end of the canonical addresses, or in 32-bit code over the limit of the
    /// flat segments, before its first page is looked at.
    fn check_end(&mut self, op: &Op, va: u64, size: u64) -> Step {
        let end = va.wrapping_add(size.saturating_sub(1));
        let over_limit = (va ^ end) >> 32 != 0 && self.cpu.bitness() != 64;
        if Va(end).is_canonical() && !over_limit { Ok(()) } else { Err(self.non_canonical(op)) }
    }

    /// Translates the address of an instruction byte.
    pub fn translate_code(&mut self, ram: &GuestRam, va: u64) -> Result<Pa, Exit> {
        let va = Va(va);
        if !va.is_canonical() {
            return Err(Exit::fault(vector::PROTECTION));
        }
        match walk(ram, Pfn(self.cpu.cr3 >> 12), va, Access::Execute, self.privilege()) {
            Ok(mapping) => Ok(mapping.pfn.at(va.offset())),
            Err(fault) => {
                self.cpu.cr2 = fault.va.0;
                Err(Exit::Exception { vector: vector::PAGE_FAULT, error_code: fault.error_code })
            }
        }
    }

    fn privilege(&self) -> Privilege {
        if self.user { Privilege::User } else { Privilege::Supervisor }
    }

    /// Pushes a value on a 64-bit stack.
    #[inline(always)]
    pub fn push<T: Cell + Int, const SLOW: bool>(
        &mut self,
        ram: &GuestRam,
        op: &Op,
        value: T,
    ) -> Step {
        let to = self.regs[4].wrapping_sub(<T as Cell>::SIZE);
        if SLOW {
            self.store(ram, &on_stack(op), to, value)?;
        } else {
            self.fast_store::<T, false>(ram, op, to, value)?;
        }
        self.regs[4] = to;
        Ok(())
    }
}

/// The operation as one whose faults are those of the stack, whatever its memory operand is.
pub(crate) fn on_stack(op: &Op) -> Op {
    Op { flags: op.flags | op_flag::STACK, ..*op }
}

fn first_part(va: u64, len: usize) -> usize {
    len.min((PAGE_SIZE - Va(va).offset()) as usize)
}
