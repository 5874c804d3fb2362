//! Private memory: reserve, commit, decommit, release, protect.
//!
//! Methods of [`Space`] with NT's rules of rounding and its statuses; the services in `svc::memory` check the arguments
//! that are about calling conventions and handles.

use std::ops::Range;

use abi::NtResult;
use abi::status_table::*;
use guest_mem::{PAGE_SIZE, Pte, Va};

use super::protect::{Protection, Resident};
use super::space::Space;
use super::vad::{Content, GRANULARITY, Limits, USER_START, Vad, page_down, page_up, vpn};

/// What a reservation is besides its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reservation {
    /// Nothing is committed.
    Reserved,
    /// Everything is committed.
    Committed,
    /// A placeholder (`MEM_RESERVE_PLACEHOLDER`).
    Placeholder,
}

/// A request for a reservation.
#[derive(Clone, Copy, Debug)]
pub struct Reserve {
    /// Where; `None` lets the system choose.
    pub base: Option<u64>,
    /// Bytes.
    pub size: u64,
    /// Where the system may choose.
    pub limits: Limits,
    /// `AllocationProtect`.
    pub protect: Protection,
    /// What to make.
    pub state: Reservation,
    /// `MEM_WRITE_WATCH`.
    pub write_watch: bool,
    /// `MEM_REPLACE_PLACEHOLDER`: the range is exactly a placeholder.
    pub replace: bool,
}

/// How much of a region `NtFreeVirtualMemory` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FreeKind {
    /// `MEM_DECOMMIT`.
    Decommit,
    /// `MEM_RELEASE`.
    Release,
    /// `MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER`.
    ToPlaceholder,
    /// `MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS`.
    Coalesce,
}

/// Rounds a range out to pages.
fn pages_around(base: u64, size: u64) -> Option<Range<u64>> {
    Some(page_down(base)..page_up(base.checked_add(size)?)?)
}

impl Space<'_> {
    /// Reserves a region and returns its base and size.
    ///
    /// A given base is rounded down to the granularity, the size up to pages; `STATUS_CONFLICTING_ADDRESSES` if the
    /// place is taken, `STATUS_NO_MEMORY` if there is no place.
    pub fn reserve(&mut self, request: &Reserve) -> NtResult<(u64, u64)> {
        let range = match request.base {
            Some(base) => {
                let start = if request.replace { base } else { base & !(GRANULARITY - 1) };
                let end = base.checked_add(request.size).and_then(page_up);
                start..end.ok_or(STATUS_CONFLICTING_ADDRESSES)?
            }
            None => {
                let size = page_up(request.size).ok_or(STATUS_NO_MEMORY)?;
                let start = self.vads.find_free(size, &request.limits)?;
                start..start + size
            }
        };
        if range.start < USER_START {
            return Err(STATUS_INVALID_PARAMETER_2);
        }
        if request.replace {
            self.check_placeholder(&range)?;
        } else if !self.vads.is_free(range.clone()) {
            return Err(STATUS_CONFLICTING_ADDRESSES);
        }
        let mut vad = match request.state {
            Reservation::Committed => {
                self.commit.charge((range.end - range.start) / PAGE_SIZE)?;
                Vad::committed(range.clone(), request.protect, Content::Private)
            }
            _ => Vad::reserved(range.clone(), request.protect, Content::Private),
        };
        vad.write_watch = request.write_watch;
        vad.placeholder = request.state == Reservation::Placeholder;
        if request.replace {
            self.remove(range.start);
        }
        self.vads.insert(vad)?;
        Ok((range.start, range.end - range.start))
    }

    /// Fails unless the range is exactly one placeholder.
    pub(super) fn check_placeholder(&self, range: &Range<u64>) -> NtResult<()> {
        let vad = self.vads.find(range.start).ok_or(STATUS_CONFLICTING_ADDRESSES)?;
        if vad.placeholder && (vad.start..vad.end) == *range {
            Ok(())
        } else {
            Err(STATUS_CONFLICTING_ADDRESSES)
        }
    }

    /// Commits pages of an existing region and returns the range rounded to pages.
    pub fn commit_pages(
        &mut self,
        base: u64,
        size: u64,
        protect: Protection,
    ) -> NtResult<(u64, u64)> {
        let range = pages_around(base, size).ok_or(STATUS_CONFLICTING_ADDRESSES)?;
        self.commit_region(range.start, range.end - range.start, protect)?;
        Ok((range.start, range.end - range.start))
    }

    /// [`Space::commit_pages`] of whole pages.
    pub(super) fn commit_region(
        &mut self,
        start: u64,
        size: u64,
        protect: Protection,
    ) -> NtResult<()> {
        if size == 0 {
            return Ok(());
        }
        let end = start.checked_add(size).ok_or(STATUS_CONFLICTING_ADDRESSES)?;
        let vad = self.vads.find_mut(start).ok_or(STATUS_CONFLICTING_ADDRESSES)?;
        if end > vad.end || vad.placeholder {
            return Err(STATUS_CONFLICTING_ADDRESSES);
        }
        let pages = vpn(start)..vpn(end);
        match &vad.content {
            Content::Private => {
                if protect.is_write_copy() {
                    return Err(STATUS_INVALID_PAGE_PROTECTION);
                }
                let new = pages.end - pages.start - vad.pages.count(pages.clone());
                self.commit.charge(new)?;
            }
            Content::Data { segment, .. } if segment.identity().is_none() => {
                if !vad.protect.is_compatible(protect) {
                    return Err(STATUS_SECTION_PROTECTION);
                }
                let first = vad.content_page(start);
                segment.commit(first..first + (pages.end - pages.start))?;
            }
            _ => return Err(STATUS_ALREADY_COMMITTED),
        }
        // Pages that were committed take the new protection, as NT has it.
        vad.pages.set(pages, protect);
        self.reprotect(start..end, protect);
        Ok(())
    }

    /// Frees a region or a part of it, and returns the range rounded to pages.
    pub fn free(&mut self, base: u64, size: u64, kind: FreeKind) -> NtResult<(u64, u64)> {
        let start = page_down(base);
        if kind == FreeKind::Coalesce {
            return self.coalesce(start, size);
        }
        let vad = self.vads.find(start).ok_or(STATUS_MEMORY_NOT_ALLOCATED)?;
        let (vad_start, vad_end) = (vad.start, vad.end);
        if !matches!(vad.content, Content::Private) {
            return Err(match vad.content {
                Content::Fixed(_) => STATUS_INVALID_PAGE_PROTECTION,
                _ => STATUS_UNABLE_TO_DELETE_SECTION,
            });
        }
        let range = if size == 0 {
            if start != vad_start {
                return Err(STATUS_FREE_VM_NOT_AT_BASE);
            }
            vad_start..vad_end
        } else {
            pages_around(base, size).ok_or(STATUS_UNABLE_TO_FREE_VM)?
        };
        if range.end > vad_end {
            return Err(STATUS_UNABLE_TO_FREE_VM);
        }
        match kind {
            FreeKind::Decommit => self.decommit(range.clone()),
            FreeKind::Release => {
                self.isolate(range.clone());
                self.remove(range.start);
            }
            _ => {
                let is_split = range != (vad_start..vad_end);
                if is_split && !self.vads.find(start).is_some_and(|vad| vad.placeholder) {
                    return Err(STATUS_CONFLICTING_ADDRESSES);
                }
                self.isolate(range.clone());
                self.remove(range.start);
                let mut vad = Vad::reserved(range.clone(), Protection::NO_ACCESS, Content::Private);
                vad.placeholder = true;
                self.vads.insert(vad)?;
            }
        }
        Ok((range.start, range.end - range.start))
    }

    /// Cuts the region around a range so that the range is a region of its own.
    fn isolate(&mut self, range: Range<u64>) {
        self.vads.split_at(range.start);
        self.vads.split_at(range.end);
    }

    fn decommit(&mut self, range: Range<u64>) {
        let Some(vad) = self.vads.find_mut(range.start) else { return };
        let pages = vpn(range.start)..vpn(range.end);
        let released = vad.pages.count(pages.clone());
        vad.pages.remove(pages.clone());
        let vad = vad.clone();
        self.commit.release(released);
        self.evict(&vad, range);
        self.vads.locked.remove(pages);
    }

    /// Joins the placeholders that make up exactly the range.
    fn coalesce(&mut self, start: u64, size: u64) -> NtResult<(u64, u64)> {
        let end = start.checked_add(size).and_then(page_up).ok_or(STATUS_UNABLE_TO_FREE_VM)?;
        let mut at = start;
        let mut parts = Vec::new();
        for vad in self.vads.within(start..end) {
            if vad.start != at || !vad.placeholder {
                return Err(STATUS_CONFLICTING_ADDRESSES);
            }
            parts.push(vad.start);
            at = vad.end;
        }
        if at != end || parts.len() < 2 {
            return Err(STATUS_CONFLICTING_ADDRESSES);
        }
        for part in parts {
            self.remove(part);
        }
        let mut vad = Vad::reserved(start..end, Protection::NO_ACCESS, Content::Private);
        vad.placeholder = true;
        self.vads.insert(vad)?;
        Ok((start, end - start))
    }

    /// Changes the protection of committed pages of one region; returns the range rounded to pages and the old
    /// protection of its first page.
    pub fn protect(
        &mut self,
        base: u64,
        size: u64,
        protect: Protection,
    ) -> NtResult<(u64, u64, Protection)> {
        let range = pages_around(base, size).ok_or(STATUS_INVALID_PARAMETER_3)?;
        let vad = self.vads.find(range.start).ok_or(STATUS_CONFLICTING_ADDRESSES)?;
        if range.end > vad.end {
            return Err(STATUS_CONFLICTING_ADDRESSES);
        }
        let mut at = range.start;
        while at < range.end {
            let (end, state) = vad.state_run(at);
            if state.is_none() {
                return Err(STATUS_NOT_COMMITTED);
            }
            at = end;
        }
        let protect = allowed_protection(vad, range.start, protect)?;
        let old = self.reported_protection(vad, range.start).ok_or(STATUS_NOT_COMMITTED)?;
        if let Some(vad) = self.vads.find_mut(range.start) {
            vad.pages.set(vpn(range.start)..vpn(range.end), protect);
        }
        self.reprotect(range.clone(), protect);
        Ok((range.start, range.end - range.start, old))
    }

    /// A page's protection as queries show it: a page that was copied on write is read-write.
    pub fn reported_protection(&self, vad: &Vad, at: u64) -> Option<Protection> {
        let protect = vad.protection(at)?;
        let copied = protect.is_write_copy() && matches!(self.resident(at), Resident::Private(_));
        Some(if copied { protect.to_written() } else { protect })
    }

    /// Locks pages: they must be accessible; they are made resident.
    pub fn lock(&mut self, base: u64, size: u64) -> NtResult<(u64, u64, bool)> {
        let range = pages_around(base, size).ok_or(STATUS_ACCESS_VIOLATION)?;
        let mut at = range.start;
        while at < range.end {
            if self.resident(at) == Resident::No {
                self.fault(Va(at), guest_mem::Access::Read)?;
            }
            at += PAGE_SIZE;
        }
        let pages = vpn(range.start)..vpn(range.end);
        let was_locked = self.vads.locked.count(pages.clone()) != 0;
        self.vads.locked.set(pages, ());
        Ok((range.start, range.end - range.start, was_locked))
    }

    /// Unlocks pages; `STATUS_NOT_LOCKED` unless all of them are locked.
    pub fn unlock(&mut self, base: u64, size: u64) -> NtResult<(u64, u64)> {
        let range = pages_around(base, size).ok_or(STATUS_ACCESS_VIOLATION)?;
        let pages = vpn(range.start)..vpn(range.end);
        if !self.vads.locked.covers(pages.clone()) {
            return Err(STATUS_NOT_LOCKED);
        }
        self.vads.locked.remove(pages);
        Ok((range.start, range.end - range.start))
    }

    /// The pages of a write-watched range that were written since the last reset, at most `limit`.
    pub fn written_pages(
        &mut self,
        base: u64,
        size: u64,
        limit: usize,
        reset: bool,
    ) -> NtResult<Vec<u64>> {
        let range = self.watched(base, size)?;
        let mut found = Vec::new();
        let (ram, shootdown) = (self.ram, &mut *self.shootdown);
        self.tables.update_range(ram, Va(range.start), Va(range.end), |va, old| {
            if !old.has(Pte::DIRTY) || found.len() >= limit {
                return old;
            }
            found.push(va.0);
            if !reset {
                return old;
            }
            shootdown.page(va);
            Pte(old.0 & !Pte::DIRTY)
        });
        Ok(found)
    }

    fn watched(&self, base: u64, size: u64) -> NtResult<Range<u64>> {
        let range = pages_around(base, size).ok_or(STATUS_INVALID_PARAMETER_3)?;
        match self.vads.find(range.start) {
            Some(vad) if vad.write_watch && range.end <= vad.end => Ok(range),
            _ => Err(STATUS_INVALID_PARAMETER_1),
        }
    }
}

/// The protection that a region gives pages for which `protect` is asked.
fn allowed_protection(vad: &Vad, at: u64, protect: Protection) -> NtResult<Protection> {
    match &vad.content {
        Content::Private if protect.is_write_copy() => Err(STATUS_INVALID_PAGE_PROTECTION),
        Content::Private => Ok(protect),
        Content::Fixed(_) => Err(STATUS_INVALID_PAGE_PROTECTION),
        _ if vad.no_change => Err(STATUS_INVALID_PAGE_PROTECTION),
        // Writing to an image gives the process pages of its own, except where all processes share them.
        Content::Image(image) => {
            let rva = at - vad.start;
            let shared = image.info.sections.iter().any(|section| {
                let start = u64::from(section.rva);
                section.shared && (start..start + u64::from(section.size)).contains(&rva)
            });
            Ok(if shared { protect } else { protect.to_write_copy() })
        }
        Content::Data { .. } => {
            let protect =
                if vad.protect.is_write_copy() { protect.to_write_copy() } else { protect };
            if vad.protect.is_compatible(protect) {
                Ok(protect)
            } else {
                Err(STATUS_SECTION_PROTECTION)
            }
        }
    }
}
