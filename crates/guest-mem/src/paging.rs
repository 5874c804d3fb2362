//! x86-64 four-level page tables in guest frames: the walk that processors do, and the edits that mm makes.
//!
//! Key types: [`Pte`], [`PageTables`], [`PageFault`]. Layout and error code: Intel SDM volume 3A, 4.5 and 4.7.

use crate::ram::{GuestRam, OutOfFrames, PAGE_SHIFT, PAGE_SIZE, Pa, Pfn};

/// A guest-virtual byte address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Va(pub u64);

impl Va {
    /// The address of the page this address lies in.
    #[inline(always)]
    pub const fn page(self) -> Va {
        Va(self.0 & !(PAGE_SIZE - 1))
    }

    /// The byte's place in its page.
    #[inline(always)]
    pub const fn offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// True when bits 63 to 47 are all equal.
    #[inline(always)]
    pub const fn is_canonical(self) -> bool {
        (((self.0 as i64) << 16) >> 16) as u64 == self.0
    }
}

impl std::fmt::LowerHex for Va {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::LowerHex::fmt(&self.0, f)
    }
}

/// A page table entry as the hardware defines it.
///
/// A not-present entry is all software's; this crate only requires that zero means "never mapped".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pte(pub u64);

impl Pte {
    /// The translation is valid.
    pub const PRESENT: u64 = 1;
    /// Writes are allowed.
    pub const WRITE: u64 = 1 << 1;
    /// CPL 3 may access.
    pub const USER: u64 = 1 << 2;
    /// Set by the processor when the entry is first used.
    pub const ACCESSED: u64 = 1 << 5;
    /// Set by the processor on the first write.
    pub const DIRTY: u64 = 1 << 6;
    /// A large page, in a page directory entry.
    pub const LARGE: u64 = 1 << 7;
    /// Free for mm: the page is shared copy-on-write (bit 9, as NT uses it).
    pub const COPY_ON_WRITE: u64 = 1 << 9;
    /// Free for mm: the frame belongs to a section, not to this address space (bit 10).
    pub const SHARED: u64 = 1 << 10;
    /// Instruction fetches are refused.
    pub const NO_EXECUTE: u64 = 1 << 63;
    const FRAME: u64 = 0x000F_FFFF_FFFF_F000;

    /// A present entry for `pfn` with the given bits.
    pub const fn new(pfn: Pfn, bits: u64) -> Self {
        Pte((pfn.0 << PAGE_SHIFT) | bits | Self::PRESENT)
    }

    /// The frame of a present entry.
    #[inline(always)]
    pub const fn pfn(self) -> Pfn {
        Pfn((self.0 & Self::FRAME) >> PAGE_SHIFT)
    }

    /// True if any of the bits is set.
    #[inline(always)]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// True if the entry translates.
    #[inline(always)]
    pub const fn is_present(self) -> bool {
        self.has(Self::PRESENT)
    }
}

/// What an access wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A data read.
    Read,
    /// A data write.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Who makes the access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privilege {
    /// CPL 0 to 2.
    Supervisor,
    /// CPL 3.
    User,
}

/// A refused access, as the processor reports it: vector 14, CR2 and the error code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFault {
    /// The faulting address (CR2).
    pub va: Va,
    /// Bit 0 protection (page present), bit 1 write, bit 2 user, bit 4 instruction fetch.
    pub error_code: u32,
}

/// A successful translation of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The frame.
    pub pfn: Pfn,
    /// Writes are allowed for the asking privilege.
    pub writable: bool,
    /// Fetches are allowed for the asking privilege.
    pub executable: bool,
}

/// Walks the tables at `root` for one access, setting accessed and dirty bits as the processor does.
///
/// Supervisor writes honour the write bit (CR0.WP is always set); NX is always enabled.
pub fn walk(
    ram: &GuestRam,
    root: Pfn,
    va: Va,
    access: Access,
    privilege: Privilege,
) -> Result<Mapping, PageFault> {
    let fault = |present: bool| PageFault {
        va,
        error_code: u32::from(present)
            | (u32::from(access == Access::Write) << 1)
            | (u32::from(privilege == Privilege::User) << 2)
            | (u32::from(access == Access::Execute) << 4),
    };
    if !va.is_canonical() {
        return Err(fault(false));
    }
    let mut table = root;
    let (mut writable, mut user, mut no_execute) = (true, true, false);
    let mut level = 3;
    loop {
        let at = entry_at(table, va, level);
        let pte = Pte(ram.load::<u64>(at));
        if !pte.is_present() {
            return Err(fault(false));
        }
        writable &= pte.has(Pte::WRITE);
        user &= pte.has(Pte::USER);
        no_execute |= pte.has(Pte::NO_EXECUTE);
        let large = level > 0 && level < 3 && pte.has(Pte::LARGE);
        if level > 0 && !large {
            table = pte.pfn();
            level -= 1;
            continue;
        }
        let allowed = match access {
            Access::Read => true,
            Access::Write => writable,
            Access::Execute => !no_execute,
        } && (user || privilege == Privilege::Supervisor);
        if !allowed {
            return Err(fault(true));
        }
        let wanted = Pte::ACCESSED | if access == Access::Write { Pte::DIRTY } else { 0 };
        if pte.0 & wanted != wanted {
            ram.store_data(at, pte.0 | wanted);
        }
        let within = (va.0 >> PAGE_SHIFT) & ((1 << (9 * level)) - 1);
        return Ok(Mapping {
            pfn: Pfn(pte.pfn().0 | within),
            // A clean page stays a slow write, so that the dirty bit is set by the write that dirties it.
            writable: writable && (access == Access::Write || pte.has(Pte::DIRTY)),
            executable: !no_execute,
        });
    }
}

#[inline(always)]
fn entry_at(table: Pfn, va: Va, level: u32) -> Pa {
    table.at(((va.0 >> (PAGE_SHIFT + 9 * level)) & 0x1FF) * 8)
}

/// One address space's tables. The frames of the tables belong to it; the frames they map do not.
pub struct PageTables {
    root: Pfn,
}

impl PageTables {
    /// Makes an empty address space.
    pub fn new(ram: &GuestRam) -> Result<Self, OutOfFrames> {
        Ok(Self { root: ram.alloc_zeroed()? })
    }

    /// Makes an address space whose upper half (the kernel's) is that of `kernel`.
    ///
    /// The kernel's top-level entries must all exist ([`PageTables::fill_upper_half`]), since they are copied once.
    pub fn with_upper_half(ram: &GuestRam, kernel: &PageTables) -> Result<Self, OutOfFrames> {
        let new = Self::new(ram)?;
        for index in 256..512 {
            let entry = ram.load::<u64>(kernel.root.at(index * 8));
            ram.store_data(new.root.at(index * 8), entry);
        }
        Ok(new)
    }

    /// Creates the top-level entries that cover `first..=last`, for sharing by later address spaces.
    pub fn fill_upper_half(&self, ram: &GuestRam, first: Va, last: Va) -> Result<(), OutOfFrames> {
        let index = |va: Va| (va.0 >> 39) & 0x1FF;
        for index in index(first)..=index(last) {
            let at = self.root.at(index * 8);
            if !Pte(ram.load::<u64>(at)).is_present() {
                let table = ram.alloc_zeroed()?;
                ram.store_data(at, Pte::new(table, Pte::WRITE | Pte::USER).0);
            }
        }
        Ok(())
    }

    /// The frame of the top-level table: CR3.
    pub fn root(&self) -> Pfn {
        self.root
    }

    /// The entry for a page, zero where no table covers it.
    pub fn entry(&self, ram: &GuestRam, va: Va) -> Pte {
        let mut table = self.root;
        for level in (1..=3).rev() {
            let pte = Pte(ram.load::<u64>(entry_at(table, va, level)));
            if !pte.is_present() {
                return Pte(0);
            }
            table = pte.pfn();
        }
        Pte(ram.load::<u64>(entry_at(table, va, 0)))
    }

    /// Replaces the entry for a page, making tables as needed, and returns the old one.
    ///
    /// Processors that may hold the old translation must be told (the caller's duty).
    pub fn set_entry(&self, ram: &GuestRam, va: Va, pte: Pte) -> Result<Pte, OutOfFrames> {
        let mut table = self.root;
        for level in (1..=3).rev() {
            let at = entry_at(table, va, level);
            let found = Pte(ram.load::<u64>(at));
            table = if found.is_present() {
                found.pfn()
            } else {
                if pte.0 == 0 {
                    return Ok(Pte(0));
                }
                let new = ram.alloc_zeroed()?;
                ram.store_data(at, Pte::new(new, Pte::WRITE | Pte::USER).0);
                new
            };
        }
        let at = entry_at(table, va, 0);
        let old = Pte(ram.load::<u64>(at));
        ram.store_data(at, pte.0);
        Ok(old)
    }

    /// Calls `visit` for every nonzero entry of `start..end` in ascending order; it returns the entry's new value.
    pub fn update_range(
        &self,
        ram: &GuestRam,
        start: Va,
        end: Va,
        mut visit: impl FnMut(Va, Pte) -> Pte,
    ) {
        let mut va = start.page().0;
        while va < end.0 {
            let mut table = self.root;
            let mut skip = 0;
            for level in (1..=3).rev() {
                let pte = Pte(ram.load::<u64>(entry_at(table, Va(va), level)));
                if !pte.is_present() {
                    skip = 1u64 << (PAGE_SHIFT + 9 * level);
                    break;
                }
                table = pte.pfn();
            }
            if skip != 0 {
                va = match (va & !(skip - 1)).checked_add(skip) {
                    Some(next) => next,
                    None => return,
                };
                continue;
            }
            let at = entry_at(table, Va(va), 0);
            let old = Pte(ram.load::<u64>(at));
            if old.0 != 0 {
                let new = visit(Va(va), old);
                if new != old {
                    ram.store_data(at, new.0);
                }
            }
            va = match va.checked_add(PAGE_SIZE) {
                Some(next) => next,
                None => return,
            };
        }
    }

    /// Frees the table frames of the lower half and the root; mapped frames must have been released before.
    pub fn free(self, ram: &GuestRam) {
        for index in 0..256 {
            let pte = Pte(ram.load::<u64>(self.root.at(index * 8)));
            if pte.is_present() {
                free_table(ram, pte.pfn(), 2);
            }
        }
        ram.free(self.root);
    }
}

fn free_table(ram: &GuestRam, table: Pfn, level: u32) {
    if level > 0 {
        for index in 0..512 {
            let pte = Pte(ram.load::<u64>(table.at(index * 8)));
            if pte.is_present() {
                free_table(ram, pte.pfn(), level - 1);
            }
        }
    }
    ram.free(table);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Va = Va(0x7FF6_1234_5000);

    fn mapped(bits: u64) -> (GuestRam, PageTables, Pfn) {
        let ram = GuestRam::new(1 << 20).unwrap();
        let tables = PageTables::new(&ram).unwrap();
        let pfn = ram.alloc_zeroed().unwrap();
        tables.set_entry(&ram, BASE, Pte::new(pfn, bits)).unwrap();
        (ram, tables, pfn)
    }

    #[test]
    fn rights_are_checked_and_reported() {
        let (ram, tables, pfn) = mapped(Pte::USER | Pte::NO_EXECUTE);
        let try_ = |access, privilege| walk(&ram, tables.root(), BASE, access, privilege);
        assert_eq!(try_(Access::Read, Privilege::User).unwrap().pfn, pfn);
        assert_eq!(try_(Access::Write, Privilege::User).unwrap_err().error_code, 0b111);
        assert_eq!(try_(Access::Write, Privilege::Supervisor).unwrap_err().error_code, 0b011);
        assert_eq!(try_(Access::Execute, Privilege::User).unwrap_err().error_code, 0b1_0101);
        let absent = walk(&ram, tables.root(), Va(0x1000), Access::Read, Privilege::User);
        assert_eq!(absent.unwrap_err(), PageFault { va: Va(0x1000), error_code: 0b100 });
    }

    #[test]
    fn a_kernel_page_is_closed_to_user_mode() {
        let (ram, tables, _) = mapped(Pte::WRITE);
        let walk = |privilege| walk(&ram, tables.root(), BASE, Access::Read, privilege);
        assert!(walk(Privilege::Supervisor).is_ok());
        assert_eq!(walk(Privilege::User).unwrap_err().error_code, 0b101);
    }

    #[test]
    fn accessed_and_dirty_are_set_by_use() {
        let (ram, tables, _) = mapped(Pte::USER | Pte::WRITE);
        let clean = walk(&ram, tables.root(), BASE, Access::Read, Privilege::User).unwrap();
        assert!(!clean.writable, "a write must walk again to set the dirty bit");
        assert!(tables.entry(&ram, BASE).has(Pte::ACCESSED));
        assert!(!tables.entry(&ram, BASE).has(Pte::DIRTY));
        assert!(walk(&ram, tables.root(), BASE, Access::Write, Privilege::User).unwrap().writable);
        assert!(tables.entry(&ram, BASE).has(Pte::DIRTY));
    }

    #[test]
    fn ranges_skip_what_is_not_mapped_and_tables_are_freed() {
        let (ram, tables, pfn) = mapped(Pte::USER);
        let mut seen = Vec::new();
        tables.update_range(&ram, Va(0), Va(0x7FFF_FFFF_F000), |va, pte| {
            seen.push((va, pte.pfn()));
            Pte(0)
        });
        assert_eq!(seen, [(BASE, pfn)]);
        ram.free(pfn);
        tables.free(&ram);
        assert_eq!(ram.frames_in_use(), 0);
    }
}
