//! One address space, open for a stretch of work: regions, page tables and the list of translations to forget.
//!
//! Key type: [`Space`]. Faults are in `fault`, reservations in [`super::region`], views in [`super::view`],
//! queries in [`super::query`]; all of them are methods of it, so that a test needs no kernel.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::NtResult;
use abi::status_table::{STATUS_COMMITMENT_LIMIT, STATUS_NO_MEMORY};
use guest_mem::{GuestRam, PAGE_SHIFT, PageTables, Pte, Va};

use crate::Kernel;
use crate::ps::Process;

use super::Shootdown;
use super::protect::{Protection, Resident, resident};
use super::vad::{AddressSpace, Content, Vad};

/// Pages after which forgetting everything is cheaper than forgetting each.
const MANY_PAGES: usize = 64;

/// The commit charge: pages that were promised, against pages that there are.
pub struct Commit {
    used: AtomicU64,
    limit: u64,
}

impl Commit {
    /// A charge of nothing.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Commit { used: AtomicU64::new(0), limit })
    }

    /// Promises pages; `STATUS_COMMITMENT_LIMIT` if there are not so many.
    pub fn charge(&self, pages: u64) -> NtResult<()> {
        let used = self.used.load(Ordering::Relaxed);
        match used.checked_add(pages).filter(|total| *total <= self.limit) {
            Some(total) => {
                self.used.store(total, Ordering::Relaxed);
                Ok(())
            }
            None => Err(STATUS_COMMITMENT_LIMIT),
        }
    }

    /// Takes a promise back.
    pub fn release(&self, pages: u64) {
        let used = self.used.load(Ordering::Relaxed);
        self.used.store(used.saturating_sub(pages), Ordering::Relaxed);
    }

    /// Pages promised and the most that can be.
    pub fn usage(&self) -> (u64, u64) {
        (self.used.load(Ordering::Relaxed), self.limit)
    }
}

/// An address space and what is needed to change it.
pub struct Space<'a> {
    /// Frames.
    pub ram: &'a Arc<GuestRam>,
    /// The tables that processors walk.
    pub tables: &'a PageTables,
    /// The regions.
    pub vads: &'a mut AddressSpace,
    /// Translations that processors must forget.
    pub shootdown: &'a mut Shootdown,
    /// The commit charge.
    pub commit: &'a Commit,
}

/// Opens the address space of a process.
pub fn with_space<R>(
    k: &mut Kernel,
    process: &Process,
    stretch: impl FnOnce(&mut Space<'_>) -> R,
) -> R {
    let mut vads = process.space.open();
    stretch(&mut Space {
        ram: &k.ram,
        tables: &process.tables,
        vads: &mut vads,
        shootdown: &mut k.mm.shootdown,
        commit: &k.mm.commit,
    })
}

impl Shootdown {
    /// Adds a page.
    pub fn page(&mut self, va: Va) {
        if self.all {
            return;
        }
        if self.pages.len() >= MANY_PAGES {
            self.everything();
        } else {
            self.pages.push(va);
        }
    }

    /// Adds everything.
    pub fn everything(&mut self) {
        self.all = true;
        self.pages.clear();
    }
}

impl Space<'_> {
    /// What is resident at an address.
    pub fn resident(&self, at: u64) -> Resident {
        resident(self.tables.entry(self.ram, Va(at)))
    }

    /// Enters a page; the old translation is forgotten.
    pub(super) fn set(&mut self, at: u64, pte: Pte) -> NtResult<()> {
        let va = Va(at).page();
        let old = self.tables.set_entry(self.ram, va, pte).map_err(|_| STATUS_NO_MEMORY)?;
        if old.is_present() && old != pte {
            self.shootdown.page(va);
        }
        Ok(())
    }

    /// Gives the resident pages of a range another protection.
    pub(super) fn reprotect(&mut self, range: Range<u64>, protect: Protection) {
        let (ram, shootdown) = (self.ram, &mut *self.shootdown);
        self.tables.update_range(ram, Va(range.start), Va(range.end), |va, old| {
            let shared = matches!(resident(old), Resident::Shared(_));
            let keep = old.0 & (Pte::ACCESSED | Pte::DIRTY);
            let new = Pte(protect.entry(old.pfn(), shared).0 | keep);
            if old.is_present() && new != old {
                shootdown.page(va);
            }
            new
        });
    }

    /// Takes the resident pages of a range of a region away: own frames are freed, what a view wrote is noted in its
    /// segment.
    pub(super) fn evict(&mut self, vad: &Vad, range: Range<u64>) {
        let (ram, shootdown) = (self.ram, &mut *self.shootdown);
        self.tables.update_range(ram, Va(range.start), Va(range.end), |va, old| {
            match resident(old) {
                Resident::Private(pfn) => ram.free(pfn),
                Resident::Shared(_) => note_dirty(vad, va, old),
                Resident::No => {}
            }
            if old.is_present() {
                shootdown.page(va);
            }
            Pte(0)
        });
    }

    /// Moves the dirty bits of a view's pages to its segment, so that it can be written back.
    pub(super) fn harvest(&mut self, vad: &Vad, range: Range<u64>) {
        let (ram, shootdown) = (self.ram, &mut *self.shootdown);
        self.tables.update_range(ram, Va(range.start), Va(range.end), |va, old| {
            if !matches!(resident(old), Resident::Shared(_)) || !old.has(Pte::DIRTY) {
                return old;
            }
            note_dirty(vad, va, old);
            if old.is_present() {
                shootdown.page(va);
            }
            Pte(old.0 & !Pte::DIRTY)
        });
    }

    /// Takes a region out altogether: its pages, its charge and itself.
    pub(super) fn remove(&mut self, start: u64) -> Option<Vad> {
        let vad = self.vads.take(start)?;
        self.evict(&vad, vad.start..vad.end);
        self.vads.locked.remove(vad.page_range());
        if matches!(vad.content, Content::Private) {
            self.commit.release(vad.pages.count(vad.page_range()));
        }
        Some(vad)
    }

    /// Takes every region out, and then the page tables of user space. Returns what may have to be written back.
    pub(super) fn remove_all(&mut self) -> Vec<Vad> {
        let starts: Vec<u64> = self.vads.iter().map(|vad| vad.start).collect();
        let vads = starts.into_iter().filter_map(|start| self.remove(start)).collect();
        if self.vads.owns_tables() {
            free_user_tables(self.ram, self.tables);
            self.shootdown.everything();
        }
        vads
    }
}

fn note_dirty(vad: &Vad, va: Va, pte: Pte) {
    if let Content::Data { segment, .. } = &vad.content
        && pte.has(Pte::DIRTY)
    {
        segment.mark_dirty(vad.content_page(va.0));
    }
}

/// Frees the tables below the top-level one for the lower half, and clears its entries.
fn free_user_tables(ram: &GuestRam, tables: &PageTables) {
    for index in 0..256 {
        let at = tables.root().at(index * 8);
        let entry = Pte(ram.load::<u64>(at));
        if entry.is_present() {
            free_table(ram, entry, 2);
            ram.store_data(at, 0u64);
        }
    }
}

fn free_table(ram: &GuestRam, table: Pte, level: u32) {
    if level > 0 {
        for index in 0..512 {
            let entry = Pte(ram.load::<u64>(table.pfn().at(index * 8)));
            if entry.is_present() {
                free_table(ram, entry, level - 1);
            }
        }
    }
    ram.free(table.pfn());
}

/// Bytes of so many pages.
pub const fn bytes(pages: u64) -> u64 {
    pages << PAGE_SHIFT
}
