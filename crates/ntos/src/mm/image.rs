//! Image segments: the pages of an image at one base, filled from the file on demand and relocated as they are.
//!
//! Key types: [`ImageSegment`], [`ImageCache`]. An image is placed once for the whole machine, so that processes share
//! its frames; a process where that place is taken gets a segment at another base.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Weak};

use abi::NtResult;
use abi::ps::USER_SHARED_DATA;
use abi::status_table::{STATUS_IN_PAGE_ERROR, STATUS_NO_MEMORY};
use guest_mem::{GuestRam, PAGE_SIZE, Pfn};

use crate::guarded::Guarded;

use super::FileBacking;
use super::pe::ImageInfo;
use super::pe_tables;
use super::vad::{GRANULARITY, USER_END, USER_START};

/// DLLs that cannot have their own place are put below this, downwards.
pub const SYSTEM_DLL_TOP: u64 = 0x7FF8_0000_0000;
/// The same for 32-bit DLLs.
pub const SYSTEM_DLL_TOP_32: u64 = 0x7800_0000;

/// An image at one base.
pub struct ImageSegment {
    ram: Arc<GuestRam>,
    /// The headers.
    pub info: Arc<ImageInfo>,
    /// Where it is.
    pub base: u64,
    pages: Guarded<BTreeMap<u32, Pfn>>,
}

impl ImageSegment {
    /// An image at a base, with no page resident.
    pub fn new(ram: &Arc<GuestRam>, info: Arc<ImageInfo>, base: u64) -> Self {
        ImageSegment { ram: ram.clone(), info, base, pages: Guarded::default() }
    }

    /// The addresses it takes.
    pub fn range(&self) -> Range<u64> {
        self.base..self.base.saturating_add(u64::from(self.info.size))
    }

    /// It is not where the linker put it.
    pub fn is_relocated(&self) -> bool {
        self.base != self.info.base
    }

    /// The frame of a page: read, relocated and kept at first use.
    pub fn page(&self, index: u64) -> NtResult<Pfn> {
        let index = u32::try_from(index).map_err(|_| STATUS_IN_PAGE_ERROR)?;
        if let Some(pfn) = self.pages.open().get(&index) {
            return Ok(*pfn);
        }
        let bytes = self.fill(index)?;
        let pfn = self.ram.alloc_uninit().map_err(|_| STATUS_NO_MEMORY)?;
        self.ram.write(pfn.at(0), &bytes);
        self.pages.open().insert(index, pfn);
        Ok(pfn)
    }

    /// The frame of a page, if it is resident.
    pub fn resident(&self, index: u64) -> Option<Pfn> {
        self.pages.open().get(&u32::try_from(index).ok()?).copied()
    }

    /// The bytes of a page at this base.
    fn fill(&self, index: u32) -> NtResult<[u8; PAGE_SIZE as usize]> {
        let start = index.checked_mul(PAGE_SIZE as u32).ok_or(STATUS_IN_PAGE_ERROR)?;
        let mut bytes = [0u8; PAGE_SIZE as usize];
        self.info.read_rva(start, &mut bytes)?;
        if self.is_relocated() {
            self.relocate(start, &mut bytes)?;
            let base = self.base.to_le_bytes();
            let field = self.info.base_field.clone();
            lay(&mut bytes, start, field.start, base.get(..field.len()).unwrap_or_default());
        }
        Ok(bytes)
    }

    fn relocate(&self, start: u32, bytes: &mut [u8]) -> NtResult<()> {
        let places = self.info.relocations()?;
        let delta = self.base.wrapping_sub(self.info.base);
        let end = start.saturating_add(PAGE_SIZE as u32);
        // A place up to seven bytes before the page reaches into it.
        let first = places.partition_point(|place| place.rva < start.saturating_sub(7));
        for place in places.iter().skip(first).take_while(|place| place.rva < end) {
            let len = place.width() as usize;
            let mut value = [0u8; 8];
            let offset = place.rva.checked_sub(start).map(|offset| offset as usize);
            let inside = offset.and_then(|offset| bytes.get(offset..offset + len));
            match (value.get_mut(..len), inside) {
                (Some(part), Some(inside)) => part.copy_from_slice(inside),
                // From the file, since half of the place is in the other page.
                (Some(part), None) => self.info.read_rva(place.rva, part)?,
                (None, _) => {}
            }
            let old = u64::from_le_bytes(value);
            let new = match place.kind {
                // The low half of the address is taken as zero, as the format says for images without HIGHADJ.
                pe_tables::IMAGE_REL_BASED_HIGH => (old << 16).wrapping_add(delta) >> 16,
                _ => old.wrapping_add(delta),
            };
            lay(bytes, start, place.rva, new.to_le_bytes().get(..len).unwrap_or_default());
        }
        Ok(())
    }
}

impl Drop for ImageSegment {
    fn drop(&mut self) {
        for pfn in self.pages.open().values() {
            self.ram.free(*pfn);
        }
    }
}

/// Copies what of `value` (which stands at `rva`) lies in the page that starts at `start`.
fn lay(page: &mut [u8], start: u32, rva: u32, value: &[u8]) {
    for (offset, byte) in value.iter().enumerate() {
        let at = (u64::from(rva) + offset as u64).checked_sub(u64::from(start));
        if let Some(slot) = at.and_then(|at| page.get_mut(usize::try_from(at).ok()?)) {
            *slot = *byte;
        }
    }
}

/// Images that some section or view uses, or used lately.
pub struct ImageCache {
    files: BTreeMap<(u64, u64), CachedFile>,
    /// DLLs in their machine-wide places.
    placed: BTreeMap<u64, Weak<ImageSegment>>,
    /// Images kept for their next use, the least recent first: their frames hold code that is decoded already.
    standby: VecDeque<Arc<ImageSegment>>,
    /// Resident pages that images in standby may have.
    standby_pages: usize,
}

/// Images kept in standby at most.
const STANDBY_IMAGES: usize = 128;

struct CachedFile {
    modified: i64,
    size: u64,
    info: Weak<ImageInfo>,
    segments: Vec<Weak<ImageSegment>>,
}

impl ImageCache {
    /// An empty cache that keeps images of at most so many resident pages beyond their use.
    pub fn new(standby_pages: usize) -> Self {
        ImageCache {
            files: BTreeMap::new(),
            placed: BTreeMap::new(),
            standby: VecDeque::new(),
            standby_pages,
        }
    }

    /// Gives up the images that nobody uses; false if there were none.
    pub fn release_standby(&mut self) -> bool {
        let any = !self.standby.is_empty();
        self.standby.clear();
        self.trim();
        any
    }

    /// A file has changed: its image is not kept beyond its use.
    pub fn forget(&mut self, identity: (u64, u64)) {
        if self.files.contains_key(&identity) {
            self.standby.retain(|segment| segment.info.file().identity() != identity);
        }
    }

    /// Puts a segment last in line to be given up, and gives up what is too much.
    fn keep(&mut self, segment: &Arc<ImageSegment>) {
        self.standby.retain(|kept| !Arc::ptr_eq(kept, segment));
        self.standby.push_back(segment.clone());
        let mut pages: usize = self.standby.iter().map(|kept| kept.pages.open().len()).sum();
        while self.standby.len() > STANDBY_IMAGES || pages > self.standby_pages {
            let Some(oldest) = self.standby.pop_front() else { break };
            pages -= oldest.pages.open().len();
        }
    }

    /// The segment that sections of a file share, at the place chosen for the machine.
    pub fn open(
        &mut self,
        ram: &Arc<GuestRam>,
        file: Arc<dyn FileBacking>,
    ) -> NtResult<Arc<ImageSegment>> {
        let identity = file.identity();
        let modified = file.modified().map_err(|_| STATUS_IN_PAGE_ERROR)?;
        let size = file.size().map_err(|_| STATUS_IN_PAGE_ERROR)?;
        if let Some(cached) = self.files.get(&identity)
            && (cached.modified, cached.size) == (modified, size)
            && let Some(segment) = cached.segments.first().and_then(Weak::upgrade)
        {
            self.keep(&segment);
            return Ok(segment);
        }
        self.forget(identity);
        let info = Arc::new(ImageInfo::read(file)?);
        let base = self.choose_base(&info);
        let segment = Arc::new(ImageSegment::new(ram, info.clone(), base));
        if info.is_dll() {
            self.placed.insert(base, Arc::downgrade(&segment));
        }
        let cached = CachedFile {
            modified,
            size,
            info: Arc::downgrade(&info),
            segments: vec![Arc::downgrade(&segment)],
        };
        self.files.insert(identity, cached);
        self.keep(&segment);
        Ok(segment)
    }

    /// The segment of the same image at another base.
    pub fn at_base(&mut self, segment: &Arc<ImageSegment>, base: u64) -> Arc<ImageSegment> {
        let identity = segment.info.file().identity();
        let cached = self
            .files
            .get_mut(&identity)
            .filter(|cached| std::ptr::eq(cached.info.as_ptr(), &raw const *segment.info));
        if let Some(found) = cached.as_ref().and_then(|cached| {
            cached.segments.iter().filter_map(Weak::upgrade).find(|found| found.base == base)
        }) {
            return found;
        }
        let new = Arc::new(ImageSegment::new(&segment.ram, segment.info.clone(), base));
        if let Some(cached) = cached {
            // The first is the machine's own; only others are forgotten when nobody uses them.
            let mut index = 0;
            cached.segments.retain(|weak| {
                index += 1;
                index == 1 || weak.strong_count() > 0
            });
            cached.segments.push(Arc::downgrade(&new));
        }
        new
    }

    /// True while some section or view uses an image of the file.
    pub fn is_in_use(&self, identity: (u64, u64)) -> bool {
        let is_kept = |weak: &Weak<ImageSegment>| {
            self.standby.iter().any(|kept| std::ptr::eq(Arc::as_ptr(kept), weak.as_ptr()))
        };
        self.files.get(&identity).is_some_and(|cached| {
            cached.segments.iter().any(|weak| weak.strong_count() > usize::from(is_kept(weak)))
        })
    }

    /// Forgets images that nobody uses.
    pub fn trim(&mut self) {
        self.files.retain(|_, cached| cached.segments.iter().any(|weak| weak.strong_count() > 0));
        self.placed.retain(|_, weak| weak.strong_count() > 0);
    }

    /// The machine-wide place of an image: where it was linked if that is free, else below the system DLLs.
    fn choose_base(&mut self, info: &ImageInfo) -> u64 {
        self.trim();
        let size = u64::from(info.size);
        let top = if info.is_64 { SYSTEM_DLL_TOP } else { SYSTEM_DLL_TOP_32 };
        let is_sane = info.base >= USER_START
            && info.base.checked_add(size).is_some_and(|end| end <= USER_END)
            && !overlaps(info.base, size, USER_SHARED_DATA, GRANULARITY);
        // Programs come first in their own process; what is taken there is decided when they are mapped.
        if !info.is_relocatable() || (!info.is_dll() && is_sane) {
            return info.base;
        }
        if is_sane && self.is_unplaced(info.base, size) {
            return info.base;
        }
        let mut base = top.saturating_sub(size) & !(GRANULARITY - 1);
        while let Some(taken) = self.taken_at(base, size) {
            base = taken.saturating_sub(size) & !(GRANULARITY - 1);
        }
        base
    }

    fn is_unplaced(&self, base: u64, size: u64) -> bool {
        self.taken_at(base, size).is_none()
    }

    /// The base of a placed image that overlaps the range.
    fn taken_at(&self, base: u64, size: u64) -> Option<u64> {
        self.placed
            .range(..base.saturating_add(size))
            .rev()
            .filter_map(|(placed, weak)| Some((*placed, weak.upgrade()?)))
            .find(|(placed, segment)| overlaps(base, size, *placed, segment.info.size.into()))
            .map(|(placed, _)| placed)
    }
}

fn overlaps(a: u64, a_size: u64, b: u64, b_size: u64) -> bool {
    a < b.saturating_add(b_size) && b < a.saturating_add(a_size)
}
