//! The software TLB: translations of one address space at one privilege.
//!
//! Key types: [`Tlb`], [`Entry`]. A [`Tlb`] also carries the epoch that block links of the space depend on. Neighbour:
//! [`crate::memory`] looks entries up and fills them.

use guest_mem::{PAGE_SHIFT, Pa, Pfn, Va};

/// Entries of each of the two arrays.
const ENTRIES: usize = 1024;

/// One translation: guest-virtual page to guest-physical address.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// The page's address; [`EMPTY`] is no page's.
    pub tag: u64,
    /// Added to a virtual address, gives the physical one.
    pub addend: u64,
}

const EMPTY: Entry = Entry { tag: 1, addend: 0 };

/// The translations of one address space at one privilege.
pub(crate) struct Tlb {
    /// CR3 of the space.
    pub cr3: u64,
    /// For CPL 3.
    pub user: bool,
    /// Links and jump-cache entries made under another epoch do not count. Zero is never one.
    pub epoch: u64,
    read: Box<[Entry; ENTRIES]>,
    /// Frames without decoded code only: a store to those must go the slow way.
    write: Box<[Entry; ENTRIES]>,
}

impl Tlb {
    pub fn new(cr3: u64, user: bool, epoch: u64) -> Self {
        let empty = || Box::new([EMPTY; ENTRIES]);
        Self { cr3, user, epoch, read: empty(), write: empty() }
    }

    #[inline(always)]
    fn index(va: u64) -> usize {
        (va >> PAGE_SHIFT) as usize & (ENTRIES - 1)
    }

    /// The entry that may hold the read translation of `va`.
    #[inline(always)]
    pub fn read_entry(&self, va: u64) -> Entry {
        self.read[Self::index(va)]
    }

    /// The entry that may hold the write translation of `va`.
    #[inline(always)]
    pub fn write_entry(&self, va: u64) -> Entry {
        self.write[Self::index(va)]
    }

    /// Enters a read translation.
    pub fn fill_read(&mut self, va: Va, pfn: Pfn) {
        self.read[Self::index(va.0)] = entry(va, pfn);
    }

    /// Enters a write translation.
    pub fn fill_write(&mut self, va: Va, pfn: Pfn) {
        self.write[Self::index(va.0)] = entry(va, pfn);
    }

    /// Forgets one page.
    pub fn invalidate(&mut self, va: Va) {
        let index = Self::index(va.0);
        for array in [&mut self.read, &mut self.write] {
            if array[index].tag == va.page().0 {
                array[index] = EMPTY;
            }
        }
    }

    /// Forgets all write translations to a frame, which now holds decoded code.
    pub fn forbid_writes(&mut self, pfn: Pfn) {
        for entry in self.write.iter_mut() {
            if Pa(entry.tag.wrapping_add(entry.addend)).pfn() == pfn {
                *entry = EMPTY;
            }
        }
    }

    /// Forgets everything and serves another address space from now on.
    pub fn reset(&mut self, cr3: u64, user: bool, epoch: u64) {
        self.read.fill(EMPTY);
        self.write.fill(EMPTY);
        (self.cr3, self.user, self.epoch) = (cr3, user, epoch);
    }
}

fn entry(va: Va, pfn: Pfn) -> Entry {
    Entry { tag: va.page().0, addend: pfn.at(0).0.wrapping_sub(va.page().0) }
}
