//! Page faults: making a refused access possible, if the address space says that it is legal.
//!
//! [`Space::fault`] decides; [`resolve_fault`] adds what needs the process: the growth of the running thread's stack.

use abi::NtResult;
use abi::ps::teb;
use abi::status_table::*;
use guest_mem::{Access, PAGE_SIZE, PageFault, Pfn, Pte, Va};

use crate::Kernel;
use crate::ke::sched::ThreadState;
use crate::ob::ObRef;
use crate::ps::{Process, Thread};

use super::protect::{Protection, Resident};
use super::space::bytes;
use super::space::{Space, with_space};
use super::vad::{Content, Sequence, USER_END, USER_START, page_down, vpn};

/// Pages that x64 guarantees for handling a stack overflow, at least (`SetThreadStackGuarantee`).
pub(super) const GUARANTEED_STACK_PAGES: u64 = 2;
/// The most pages that one demand-zero fault of a sequence brings in.
const MAX_SEQUENCE: u64 = 32;
/// Pages of a file or image that are looked at together when one of them faults.
const CLUSTER: u64 = 16;

/// Makes a refused access possible, if the address space says that it is legal; else the status to raise.
///
/// A guard page of the running thread's stack makes the stack grow; any other raises `STATUS_GUARD_PAGE_VIOLATION` once
/// and is an ordinary page afterwards.
pub fn resolve_fault(
    k: &mut Kernel,
    process: &Process,
    fault: PageFault,
    access: Access,
) -> NtResult<()> {
    let mut resolved = with_space(k, process, |space| space.fault(fault.va, access));
    if resolved == Err(STATUS_NO_MEMORY) && k.mm.images.release_standby() {
        resolved = with_space(k, process, |space| space.fault(fault.va, access));
    }
    match resolved {
        Err(STATUS_GUARD_PAGE_VIOLATION) => stack_guard_hit(k, process, fault.va),
        other => other,
    }
}

/// The guard page at `va` was touched and is an ordinary page now: was it the end of the running thread's stack?
fn stack_guard_hit(k: &mut Kernel, process: &Process, va: Va) -> NtResult<()> {
    let threads: Vec<ObRef<Thread>> = process.state.open().threads.clone();
    let running =
        threads.into_iter().find(|thread| thread.sched.open().state == ThreadState::Running);
    let Some(thread) = running else { return Err(STATUS_GUARD_PAGE_VIOLATION) };
    let mut word = |offset: u64| -> NtResult<u64> {
        let mut bytes = [0u8; 8];
        super::copy_from(k, process, Va(thread.teb.0.wrapping_add(offset)), &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    };
    let (base, bottom) = (word(teb::STACK_BASE)?, word(teb::DEALLOCATION_STACK)?);
    let guaranteed = word(teb::GUARANTEED_STACK_BYTES)? & 0xFFFF_FFFF;
    let page = page_down(va.0);
    if !(bottom..base).contains(&page) {
        return Err(STATUS_GUARD_PAGE_VIOLATION);
    }
    // The lowest page of a stack is never committed; what is guaranteed for handling the overflow is handed out
    // with it.
    let last = bottom.saturating_add(PAGE_SIZE);
    let guard_pages = 1 + guaranteed.div_ceil(PAGE_SIZE).max(GUARANTEED_STACK_PAGES);
    let next = page.saturating_sub(guard_pages * PAGE_SIZE);
    let (limit, outcome) =
        if next < last { (last, Err(STATUS_STACK_OVERFLOW)) } else { (page, Ok(())) };
    with_space(k, process, |space| {
        let read_write = Protection::READ_WRITE;
        match outcome {
            Ok(()) => space.commit_region(next, page - next, read_write.with_guard()),
            Err(_) => space.commit_region(last, page.saturating_sub(last), read_write),
        }
    })?;
    super::copy_to(
        k,
        process,
        Va(thread.teb.0.wrapping_add(teb::STACK_LIMIT)),
        &limit.to_le_bytes(),
    )?;
    outcome
}

impl Space<'_> {
    /// Makes a page resident for an access; `STATUS_ACCESS_VIOLATION` if the access is not legal.
    pub fn fault(&mut self, va: Va, access: Access) -> NtResult<()> {
        let at = va.0;
        if !(USER_START..USER_END).contains(&at) {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        let vad = self.vads.find_mut(at).ok_or(STATUS_ACCESS_VIOLATION)?;
        let protect = vad.protection(at).ok_or(STATUS_ACCESS_VIOLATION)?;
        if protect.is_guard() {
            let page = vpn(at);
            vad.pages.set(page..page + 1, protect.without_guard());
            let start = page_down(at);
            self.reprotect(start..start + PAGE_SIZE, protect.without_guard());
            return Err(STATUS_GUARD_PAGE_VIOLATION);
        }
        if !protect.allows(access) {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        let index = vad.content_page(at);
        let content = vad.content.clone();
        let old = self.tables.entry(self.ram, va);
        let copies = access == Access::Write && protect.is_write_copy();
        let (pfn, shared) = match super::protect::resident(old) {
            Resident::Private(pfn) => (pfn, false),
            Resident::Shared(pfn) if copies => (self.copy_of(pfn)?, false),
            Resident::Shared(pfn) => (pfn, true),
            Resident::No => match self.page_of(&content, index)? {
                (pfn, true) if copies => (self.copy_of(pfn)?, false),
                page => page,
            },
        };
        let keep = old.0 & (Pte::ACCESSED | Pte::DIRTY);
        let new = Pte(protect.entry(pfn, shared).0 | keep);
        self.set(at, new).inspect_err(|_| {
            if !shared && old.0 == 0 {
                self.ram.free(pfn);
            }
        })?;
        if new == old {
            // The processor used a translation that is older than the entry.
            self.shootdown.page(va.page());
        }
        if old.0 == 0 {
            match content {
                Content::Private => self.go_on(vpn(at), protect),
                Content::Fixed(_) => {}
                _ => self.bring_neighbours(vpn(at), protect),
            }
        }
        Ok(())
    }

    /// Brings in more pages when private memory is first touched page by page, as a new thread's stack is: the
    /// more, the longer it goes on. Without frames nothing more is brought in.
    fn go_on(&mut self, page: u64, protect: Protection) {
        let Sequence { next, pages } = self.vads.sequence;
        let pages = if page == next { (pages * 2).min(MAX_SEQUENCE) } else { 1 };
        let run_end = match self.vads.find(bytes(page)).and_then(|vad| vad.pages.run(page)) {
            Some((run, _)) => run.end,
            None => page + 1,
        };
        let end = (page + pages).min(run_end);
        for page in page + 1..end {
            if self.tables.entry(self.ram, Va(bytes(page))).0 != 0 {
                break;
            }
            let Ok(pfn) = self.ram.alloc_zeroed() else { break };
            if self.set(bytes(page), protect.entry(pfn, false)).is_err() {
                self.ram.free(pfn);
                break;
            }
        }
        self.vads.sequence = Sequence { next: end, pages };
    }

    /// Enters the pages around one of a view that are resident in the segment already and alike.
    fn bring_neighbours(&mut self, page: u64, protect: Protection) {
        let Some(vad) = self.vads.find(bytes(page)) else { return };
        let Some((run, _)) = vad.pages.run(page) else { return };
        let first = page / CLUSTER * CLUSTER;
        let pages = first.max(run.start)..(first + CLUSTER).min(run.end);
        let neighbours: Vec<(u64, Pfn)> = pages
            .filter(|at| *at != page)
            .filter_map(|at| {
                let index = vad.content_page(bytes(at));
                let pfn = match &vad.content {
                    Content::Image(image) => image.resident(index),
                    Content::Data { segment, .. } => segment.resident(index),
                    _ => None,
                }?;
                (self.tables.entry(self.ram, Va(bytes(at))).0 == 0).then_some((at, pfn))
            })
            .collect();
        for (at, pfn) in neighbours {
            if self.set(bytes(at), protect.entry(pfn, true)).is_err() {
                return;
            }
        }
    }

    /// The frame that holds a page of a region's content, and whether it belongs to a section.
    fn page_of(&self, content: &Content, index: u64) -> NtResult<(Pfn, bool)> {
        match content {
            Content::Private => Ok((self.ram.alloc_zeroed().map_err(|_| STATUS_NO_MEMORY)?, false)),
            Content::Data { segment, .. } => Ok((segment.page(index)?, true)),
            Content::Image(image) => Ok((image.page(index)?, true)),
            Content::Fixed(pfn) => Ok((*pfn, true)),
        }
    }

    fn copy_of(&self, pfn: Pfn) -> NtResult<Pfn> {
        let copy = self.ram.alloc_uninit().map_err(|_| STATUS_NO_MEMORY)?;
        self.ram.copy_frame(pfn, copy);
        Ok(copy)
    }
}
