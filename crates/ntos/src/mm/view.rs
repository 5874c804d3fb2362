//! Views: mapping sections into address spaces, and unmapping them.

use std::sync::Arc;

use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::{PAGE_SIZE, Va};

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Process;

use super::image::{ImageSegment, SYSTEM_DLL_TOP, SYSTEM_DLL_TOP_32};
use super::protect::Protection;
use super::section::{Section, SectionKind};
use super::segment::DataSegment;
use super::space::{Space, with_space};
use super::vad::{Content, GRANULARITY, Limits, USER_END, USER_START, Vad, page_up, vpn};

/// A request for a view.
#[derive(Clone, Copy, Debug)]
pub struct MapRequest {
    /// Where; `None` lets the system choose.
    pub base: Option<Va>,
    /// Bytes of the section before the view; a multiple of 64 KiB. Images are mapped whole.
    pub offset: u64,
    /// Bytes; 0 means the rest of the section.
    pub size: u64,
    /// Protection of the view. Images have their own.
    pub protect: Protection,
    /// Where the system may choose.
    pub limits: Limits,
    /// Bytes to commit of a section that only reserves.
    pub commit: u64,
    /// `MEM_REPLACE_PLACEHOLDER`: the range is exactly a placeholder.
    pub replace: bool,
}

impl Default for MapRequest {
    fn default() -> Self {
        MapRequest {
            base: None,
            offset: 0,
            size: 0,
            protect: Protection::READ_ONLY,
            limits: Limits::default(),
            commit: 0,
            replace: false,
        }
    }
}

/// Maps a view of a section and returns its base, its size and the status, which is
/// `STATUS_IMAGE_NOT_AT_BASE` for an image elsewhere than where it was linked.
pub fn map_section(
    k: &mut Kernel,
    process: &Process,
    section: &ObRef<Section>,
    request: &MapRequest,
) -> NtResult<(Va, u64, NtStatus)> {
    match &section.kind {
        SectionKind::Image(segment) => {
            let no_execute = section.attributes & abi::mm::SEC_NOCACHE != 0;
            map_segment(k, process, segment, request, no_execute)
        }
        SectionKind::Data(segment) => {
            if !section.protect.is_compatible(request.protect) {
                return Err(STATUS_SECTION_PROTECTION);
            }
            let no_change = section.attributes & abi::mm::SEC_NO_CHANGE != 0;
            let size = section.size();
            with_space(k, process, |space| {
                let (base, size) = space.map_data(segment, size, request, no_change)?;
                Ok((Va(base), size, STATUS_SUCCESS))
            })
        }
    }
}

/// Maps an image section whole, where it can be, and returns its base.
pub fn map_image(k: &mut Kernel, process: &Process, section: &ObRef<Section>) -> NtResult<Va> {
    map_section(k, process, section, &MapRequest::default()).map(|(base, _, _)| base)
}

fn map_segment(
    k: &mut Kernel,
    process: &Process,
    segment: &Arc<ImageSegment>,
    request: &MapRequest,
    no_execute: bool,
) -> NtResult<(Va, u64, NtStatus)> {
    let base = with_space(k, process, |space| space.choose_image_base(segment, request))?;
    let segment = if base == segment.base {
        segment.clone()
    } else {
        // Without its relocations it would run into its own linked addresses.
        if !segment.info.is_relocatable() {
            return Err(STATUS_CONFLICTING_ADDRESSES);
        }
        segment.info.relocations()?;
        k.mm.images.at_base(segment, base)
    };
    if segment.is_relocated() {
        segment.info.relocations()?;
    }
    with_space(k, process, |space| space.insert_image(&segment, no_execute, request.replace))?;
    let status = if segment.info.machine != abi::mm::IMAGE_FILE_MACHINE_AMD64 {
        STATUS_IMAGE_MACHINE_TYPE_MISMATCH
    } else if segment.is_relocated() {
        STATUS_IMAGE_NOT_AT_BASE
    } else {
        STATUS_SUCCESS
    };
    Ok((Va(base), segment.info.size.into(), status))
}

/// Unmaps the view that holds an address, writing back what it wrote.
pub fn unmap_view(k: &mut Kernel, process: &Process, at: Va, to_placeholder: bool) -> NtResult<()> {
    let vad = with_space(k, process, |space| space.unmap(at.0, to_placeholder))?;
    write_back(k, &vad);
    Ok(())
}

/// Writes a gone view's dirty pages to its file. The view is gone whatever happens, so an error is only told.
pub(super) fn write_back(k: &mut Kernel, vad: &Vad) {
    if let Content::Data { segment, first } = &vad.content {
        let pages = vpn(vad.end) - vpn(vad.start);
        if let Err(error) = segment.write_back(*first..first.saturating_add(pages)) {
            let path = segment.file().map(|file| file.path().to_string_lossy()).unwrap_or_default();
            k.notice(&format!("writing a mapped view back to {path} failed: {error}"));
        }
    }
}

impl Space<'_> {
    /// Maps a data view and returns its base and size.
    pub fn map_data(
        &mut self,
        segment: &Arc<DataSegment>,
        section_size: u64,
        request: &MapRequest,
        no_change: bool,
    ) -> NtResult<(u64, u64)> {
        if !request.offset.is_multiple_of(GRANULARITY) {
            return Err(STATUS_MAPPED_ALIGNMENT);
        }
        let rest = section_size.checked_sub(request.offset).filter(|rest| *rest != 0);
        let rest = rest.ok_or(STATUS_INVALID_VIEW_SIZE)?;
        let size = match request.size {
            0 => rest,
            size if size <= rest => size,
            _ => return Err(STATUS_INVALID_VIEW_SIZE),
        };
        let size = page_up(size).ok_or(STATUS_INVALID_VIEW_SIZE)?;
        let start = match request.base {
            Some(base) => {
                let alignment = if request.replace { PAGE_SIZE } else { GRANULARITY };
                if !base.0.is_multiple_of(alignment) {
                    return Err(STATUS_MAPPED_ALIGNMENT);
                }
                base.0
            }
            None => self.vads.find_free(size, &request.limits)?,
        };
        let end = start.checked_add(size).ok_or(STATUS_CONFLICTING_ADDRESSES)?;
        let first = vpn(request.offset);
        if request.replace {
            self.check_placeholder(&(start..end))?;
        } else if !self.vads.is_free(start..end) {
            return Err(STATUS_CONFLICTING_ADDRESSES);
        }
        if segment.identity().is_none() && request.commit != 0 {
            let pages = request.commit.min(size).div_ceil(PAGE_SIZE);
            segment.commit(first..first + pages)?;
        }
        if request.replace {
            self.remove(start);
        }
        let content = Content::Data { segment: segment.clone(), first };
        let mut vad = Vad::committed(start..end, request.protect, content);
        vad.no_change = no_change;
        self.vads.insert(vad)?;
        Ok((start, size))
    }

    /// Where an image goes in this process: the machine's place for it, else another.
    fn choose_image_base(&self, segment: &ImageSegment, request: &MapRequest) -> NtResult<u64> {
        let size = u64::from(segment.info.size);
        let is_free =
            |base: u64| base.checked_add(size).is_some_and(|end| self.vads.is_free(base..end));
        if let Some(base) = request.base {
            if !base.0.is_multiple_of(GRANULARITY) {
                return Err(STATUS_MAPPED_ALIGNMENT);
            }
            return if request.replace || is_free(base.0) {
                Ok(base.0)
            } else {
                Err(STATUS_CONFLICTING_ADDRESSES)
            };
        }
        let limits = &request.limits;
        let end = limits.end.min(USER_END);
        let fits = segment.base >= limits.lowest && segment.range().end <= end;
        if fits && is_free(segment.base) {
            return Ok(segment.base);
        }
        let top = if segment.info.is_64 { SYSTEM_DLL_TOP } else { SYSTEM_DLL_TOP_32 };
        let area = limits.lowest.max(USER_START)..end.min(top);
        self.vads.find_down(size, area, GRANULARITY).ok_or(STATUS_NO_MEMORY)
    }

    /// Adds the region of an image, its pages protected as its sections say.
    pub(super) fn insert_image(
        &mut self,
        segment: &Arc<ImageSegment>,
        no_execute: bool,
        replace: bool,
    ) -> NtResult<()> {
        let range = segment.range();
        let whole = Protection::new(abi::mm::PAGE_EXECUTE_WRITECOPY)?;
        let mut vad = Vad::reserved(range.clone(), whole, Content::Image(segment.clone()));
        // What no section covers (the end of an image with large alignment) is there and cannot be touched.
        vad.pages.set(vad.page_range(), Protection::NO_ACCESS);
        for section in &segment.info.sections {
            let start = range.start + u64::from(section.rva);
            let pages = vpn(start)..vpn(start + u64::from(section.size));
            let protect = if no_execute && section.protect.is_executable() {
                Protection::READ_ONLY
            } else {
                section.protect
            };
            vad.pages.set(pages, protect);
        }
        if replace {
            self.check_placeholder(&range)?;
            self.remove(range.start);
        }
        self.vads.insert(vad)
    }

    /// Takes the view that holds an address out.
    pub fn unmap(&mut self, at: u64, to_placeholder: bool) -> NtResult<Vad> {
        let vad = self.vads.find(at).ok_or(STATUS_NOT_MAPPED_VIEW)?;
        if !matches!(vad.content, Content::Data { .. } | Content::Image(_)) {
            return Err(STATUS_NOT_MAPPED_VIEW);
        }
        let start = vad.start;
        let vad = self.remove(start).ok_or(STATUS_NOT_MAPPED_VIEW)?;
        if to_placeholder {
            let range = vad.start..vad.end;
            let mut left = Vad::reserved(range, Protection::NO_ACCESS, Content::Private);
            left.placeholder = true;
            self.vads.insert(left)?;
        }
        Ok(vad)
    }
}
