//! What an address space contains: one [`Vad`] for each reservation or view, and the search for free ranges.
//!
//! Key types: [`AddressSpace`], [`Vad`], [`Content`], [`Limits`]. Which pages are committed, with what protection, is
//! in the VAD's runs; which of them are resident is in the page tables alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use abi::NtResult;
use abi::mm::{MEM_IMAGE, MEM_MAPPED, MEM_PRIVATE};
use abi::status_table::{STATUS_CONFLICTING_ADDRESSES, STATUS_NO_MEMORY};
use guest_mem::{GuestRam, PAGE_SHIFT, PAGE_SIZE, Pfn, Va};

use super::image::ImageSegment;
use super::protect::Protection;
use super::runs::Runs;
use super::segment::DataSegment;

/// Reservations start at multiples of this.
pub const GRANULARITY: u64 = 0x1_0000;
/// The lowest address that can be reserved.
pub const USER_START: u64 = 0x1_0000;
/// The first address that user mode cannot have.
pub const USER_END: u64 = crate::svc::cx::USER_END;
/// Where reservations without an address start: above every image that is linked low, so that those keep their place.
const BOTTOM_UP: u64 = 0x0000_0200_0000_0000;

/// What a region of user space holds.
#[derive(Clone)]
pub enum Content {
    /// Memory of this process alone.
    Private,
    /// A view of a file or of shared memory; the first page of the VAD is page `first` of the segment.
    Data {
        /// The pages.
        segment: Arc<DataSegment>,
        /// Page of the segment at the start.
        first: u64,
    },
    /// A mapped image, whole.
    Image(Arc<ImageSegment>),
    /// One page of the machine: `KUSER_SHARED_DATA`.
    Fixed(Pfn),
}

/// A reservation or a view.
#[derive(Clone)]
pub struct Vad {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// `AllocationProtect`: the protection it was made with.
    pub protect: Protection,
    /// What it holds.
    pub content: Content,
    /// Committed pages (by page number of the address space) and their protection.
    pub pages: Runs<Protection>,
    /// `MEM_WRITE_WATCH`.
    pub write_watch: bool,
    /// A placeholder that a later reservation or view may replace.
    pub placeholder: bool,
    /// `SEC_NO_CHANGE`: protections stay.
    pub no_change: bool,
}

/// The page number of an address.
pub const fn vpn(at: u64) -> u64 {
    at >> PAGE_SHIFT
}

impl Vad {
    /// A region with nothing committed.
    pub fn reserved(range: Range<u64>, protect: Protection, content: Content) -> Self {
        Vad {
            start: range.start,
            end: range.end,
            protect,
            content,
            pages: Runs::default(),
            write_watch: false,
            placeholder: false,
            no_change: false,
        }
    }

    /// A region with every page committed at its protection.
    pub fn committed(range: Range<u64>, protect: Protection, content: Content) -> Self {
        let mut vad = Vad::reserved(range, protect, content);
        let pages = vad.page_range();
        vad.pages.set(pages, protect);
        vad
    }

    /// Its page numbers.
    pub fn page_range(&self) -> Range<u64> {
        vpn(self.start)..vpn(self.end)
    }

    /// The page of the content that lies at an address.
    pub fn content_page(&self, at: u64) -> u64 {
        let page = vpn(at).saturating_sub(vpn(self.start));
        match &self.content {
            Content::Data { first, .. } => first + page,
            _ => page,
        }
    }

    /// The protection of the page at an address, if it is committed.
    pub fn protection(&self, at: u64) -> Option<Protection> {
        let protection = self.pages.get(vpn(at))?;
        match &self.content {
            Content::Data { segment, .. } if !segment.is_committed(self.content_page(at)) => None,
            _ => Some(protection),
        }
    }

    /// The run of pages from `at` that are in the same state: its end and the protection, `None` if reserved only.
    pub fn state_run(&self, at: u64) -> (u64, Option<Protection>) {
        let page = vpn(at);
        let limit = vpn(self.end);
        let (mut end, protection) = match self.pages.run(page) {
            Some((run, protection)) => (run.end.min(limit), Some(protection)),
            None => {
                let next = self.pages.within(page..limit).next();
                return (next.map_or(limit, |(run, _)| run.start) << PAGE_SHIFT, None);
            }
        };
        let mut committed = true;
        if let Content::Data { segment, .. } = &self.content {
            let first = self.content_page(at);
            let (is_committed, len) = segment.commit_run(first, end - page);
            committed = is_committed;
            end = page + len;
        }
        (end << PAGE_SHIFT, protection.filter(|_| committed))
    }

    /// `MEM_PRIVATE`, `MEM_MAPPED` or `MEM_IMAGE`.
    pub fn memory_type(&self) -> u32 {
        match self.content {
            Content::Private | Content::Fixed(_) => MEM_PRIVATE,
            Content::Data { .. } => MEM_MAPPED,
            Content::Image(_) => MEM_IMAGE,
        }
    }

    /// Cuts the region in two at an address inside it and returns the upper part.
    fn split(&mut self, at: u64) -> Vad {
        let mut upper = self.clone();
        upper.start = at;
        if let Content::Data { first, .. } = &mut upper.content {
            *first += vpn(at).saturating_sub(vpn(self.start));
        }
        upper.pages = self.pages.split_off(vpn(at));
        self.end = at;
        upper
    }
}

/// Where a reservation may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lowest start.
    pub lowest: u64,
    /// First byte that it may not include.
    pub end: u64,
    /// A power of two, at least the granularity.
    pub alignment: u64,
    /// `MEM_TOP_DOWN`.
    pub top_down: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { lowest: 0, end: USER_END, alignment: GRANULARITY, top_down: false }
    }
}

impl Limits {
    /// What `ZeroBits` asks for: 0 nothing, 1 to 21 so many zero bits at the top of a 32-bit address, and from 32 a
    /// mask of the bits that may be set. `None` for a value that NT refuses.
    pub fn of_zero_bits(zero_bits: u64) -> Option<Self> {
        match zero_bits {
            0 => Some(Limits::default()),
            1..=21 => Some(Limits::below(1 << (32 - zero_bits))),
            22..=31 => None,
            mask => {
                let highest = u64::MAX >> mask.leading_zeros();
                Some(Limits::below(highest.saturating_add(1).min(USER_END)))
            }
        }
    }

    /// The ordinary place, but below `end`.
    pub fn below(end: u64) -> Self {
        Limits { end, ..Limits::default() }
    }
}

/// The regions of one process.
#[derive(Default)]
pub struct AddressSpace {
    vads: BTreeMap<u64, Vad>,
    /// Pages that `NtLockVirtualMemory` locked.
    pub locked: Runs<()>,
    /// Demand-zero faults one after the other.
    pub(super) sequence: Sequence,
    root: Option<RootFrame>,
}

/// How far a run of demand-zero faults at ascending addresses has come.
#[derive(Default)]
pub(super) struct Sequence {
    /// The page whose fault would go on with it.
    pub next: u64,
    /// Pages that the last fault of it brought in.
    pub pages: u64,
}

/// The frame of the top-level page table: it goes with the address space, after everything below it has gone.
struct RootFrame {
    ram: Arc<GuestRam>,
    root: Pfn,
}

impl Drop for RootFrame {
    fn drop(&mut self) {
        self.ram.free(self.root);
    }
}

impl AddressSpace {
    /// An empty address space that owns the top-level page table.
    pub fn new(ram: &Arc<GuestRam>, root: Pfn) -> Self {
        AddressSpace { root: Some(RootFrame { ram: ram.clone(), root }), ..AddressSpace::default() }
    }

    /// True while the page tables are this address space's to free.
    pub fn owns_tables(&self) -> bool {
        self.root.is_some()
    }

    /// The region that holds an address.
    pub fn find(&self, at: u64) -> Option<&Vad> {
        let (_, vad) = self.vads.range(..=at).next_back()?;
        (at < vad.end).then_some(vad)
    }

    /// The region that holds an address, to change it.
    pub fn find_mut(&mut self, at: u64) -> Option<&mut Vad> {
        let (_, vad) = self.vads.range_mut(..=at).next_back()?;
        (at < vad.end).then_some(vad)
    }

    /// The regions that meet a range, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = &Vad> {
        let first = self.find(range.start).map_or(range.start, |vad| vad.start);
        self.vads.range(first..range.end.max(first)).map(|(_, vad)| vad)
    }

    /// Every region, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Vad> {
        self.vads.values()
    }

    /// True if no region meets the range.
    pub fn is_free(&self, range: Range<u64>) -> bool {
        range.start >= USER_START && range.end <= USER_END && self.within(range).next().is_none()
    }

    /// The start of the first region at or above an address, or the end of user space.
    pub fn next_start(&self, at: u64) -> u64 {
        self.vads.range(at..).next().map_or(USER_END, |(start, _)| *start)
    }

    /// Adds a region; `STATUS_CONFLICTING_ADDRESSES` if the place is taken.
    pub fn insert(&mut self, vad: Vad) -> NtResult<()> {
        if vad.start >= vad.end || !self.is_free(vad.start..vad.end) {
            return Err(STATUS_CONFLICTING_ADDRESSES);
        }
        self.vads.insert(vad.start, vad);
        Ok(())
    }

    /// Takes out the region that starts at an address.
    pub fn take(&mut self, start: u64) -> Option<Vad> {
        self.vads.remove(&start)
    }

    /// Cuts the region that holds `at` in two there; nothing to do when it starts there.
    pub fn split_at(&mut self, at: u64) {
        if let Some(vad) = self.find_mut(at)
            && vad.start < at
        {
            let upper = vad.split(at);
            self.vads.insert(at, upper);
        }
    }

    /// Takes out every region.
    pub fn take_all(&mut self) -> Vec<Vad> {
        std::mem::take(&mut self.vads).into_values().collect()
    }

    /// Finds room for `size` bytes.
    pub fn find_free(&self, size: u64, limits: &Limits) -> NtResult<u64> {
        let lowest = limits.lowest.max(USER_START);
        let end = limits.end.min(USER_END);
        let found = if limits.top_down {
            self.find_down(size, lowest..end, limits.alignment)
        } else if limits.lowest == 0 && end > BOTTOM_UP {
            self.find_up(size, BOTTOM_UP..end, limits.alignment)
                .or_else(|| self.find_up(size, lowest..BOTTOM_UP, limits.alignment))
        } else {
            self.find_up(size, lowest..end, limits.alignment)
        };
        found.ok_or(STATUS_NO_MEMORY)
    }

    fn find_up(&self, size: u64, area: Range<u64>, alignment: u64) -> Option<u64> {
        let mut at = area.start.checked_next_multiple_of(alignment)?;
        for vad in self.within(area.clone()) {
            if at.checked_add(size)? <= vad.start {
                break;
            }
            at = at.max(vad.end.checked_next_multiple_of(alignment)?);
        }
        (at.checked_add(size)? <= area.end).then_some(at)
    }

    /// Finds the highest place in an area.
    pub fn find_down(&self, size: u64, area: Range<u64>, alignment: u64) -> Option<u64> {
        let below = |end: u64| Some(end.checked_sub(size)? & !(alignment - 1));
        let mut at = below(area.end)?;
        for (_, vad) in self.vads.range(..area.end).rev() {
            if vad.end <= at {
                break;
            }
            at = at.min(below(vad.start)?);
        }
        (at >= area.start).then_some(at)
    }
}

/// Rounds down to a page.
pub const fn page_down(at: u64) -> u64 {
    Va(at).page().0
}

/// Rounds up to a page.
pub fn page_up(at: u64) -> Option<u64> {
    at.checked_next_multiple_of(PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(ranges: &[(u64, u64)]) -> AddressSpace {
        let mut space = AddressSpace::default();
        for (start, end) in ranges {
            let vad = Vad::reserved(*start..*end, Protection::READ_WRITE, Content::Private);
            space.insert(vad).unwrap();
        }
        space
    }

    #[test]
    fn room_is_found_between_regions_at_the_granularity() {
        let base = BOTTOM_UP;
        let space = space(&[(base, base + 0x1000), (base + 0x2_0000, base + 0x3_0000)]);
        let up = Limits::default();
        assert_eq!(space.find_free(0x1_0000, &up), Ok(base + 0x1_0000));
        assert_eq!(space.find_free(0x1_1000, &up), Ok(base + 0x3_0000));
        let down = Limits { top_down: true, ..up };
        assert_eq!(space.find_free(0x1000, &down), Ok(USER_END - 0x1_0000));
        let low = Limits::below(0x8000_0000);
        assert_eq!(space.find_free(0x1000, &low), Ok(USER_START));
        let aligned = Limits { alignment: 0x10_0000, lowest: base + 1, ..up };
        assert_eq!(space.find_free(0x1000, &aligned), Ok(base + 0x10_0000));
        assert_eq!(space.find_free(USER_END, &up), Err(STATUS_NO_MEMORY));
        assert_eq!(space.find_free(0x2_0000, &Limits::below(0x2_0000)), Err(STATUS_NO_MEMORY));
    }

    #[test]
    fn top_down_passes_taken_ranges() {
        let space = space(&[(USER_END - 0x1_0000, USER_END - 0xF000), (0x5_0000, 0x6_0000)]);
        let down =
            |size, end| space.find_free(size, &Limits { top_down: true, end, ..Limits::default() });
        assert_eq!(down(0x1000, USER_END), Ok(USER_END - 0x2_0000));
        assert_eq!(down(0x1_0000, 0x6_0000), Ok(0x4_0000));
        assert_eq!(down(0x4_0000, 0x6_0000), Ok(0x1_0000));
        assert_eq!(down(0x5_0000, 0x6_0000), Err(STATUS_NO_MEMORY));
    }

    #[test]
    fn zero_bits_count_or_mask() {
        let end = |bits| Limits::of_zero_bits(bits).map(|limits| limits.end);
        assert_eq!(end(0), Some(USER_END));
        assert_eq!(end(1), Some(0x8000_0000));
        assert_eq!(end(21), Some(0x800));
        assert_eq!(end(22), None);
        assert_eq!(end(0x7FFF_FFFF), Some(0x8000_0000));
        assert_eq!(end(u64::MAX), Some(USER_END));
        assert_eq!(end(0x4000_0000), Some(0x8000_0000));
    }

    #[test]
    fn regions_do_not_overlap_and_split() {
        let mut space = space(&[(0x10_0000, 0x20_0000)]);
        let overlapping =
            Vad::reserved(0x1F_0000..0x21_0000, Protection::READ_ONLY, Content::Private);
        assert_eq!(space.insert(overlapping).unwrap_err(), STATUS_CONFLICTING_ADDRESSES);
        let vad = space.find_mut(0x10_0000).unwrap();
        vad.pages.set(vpn(0x14_0000)..vpn(0x1C_0000), Protection::READ_WRITE);
        space.split_at(0x18_0000);
        let upper = space.find(0x18_0000).unwrap();
        assert_eq!((upper.start, upper.end), (0x18_0000, 0x20_0000));
        assert_eq!(upper.state_run(0x18_0000), (0x1C_0000, Some(Protection::READ_WRITE)));
        let lower = space.find(0x17_FFFF).unwrap();
        assert_eq!(lower.end, 0x18_0000);
        assert_eq!(lower.state_run(0x10_0000), (0x14_0000, None));
        assert!(lower.protection(0x14_0000).is_some() && lower.protection(0x13_F000).is_none());
    }

    #[test]
    fn a_range_next_to_a_region_is_free() {
        let space = space(&[(0x10_0000, 0x20_0000)]);
        assert!(space.is_free(0x20_0000..0x21_0000));
        assert!(space.is_free(0xF_0000..0x10_0000));
        assert!(!space.is_free(0xF_0000..0x10_0001));
        assert!(!space.is_free(0..0x1000));
    }
}
