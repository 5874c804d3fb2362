//! Segments: the pages that views of a file, or of shared memory, have in common.
//!
//! Key type: [`DataSegment`]. All data sections of one file share one segment, so their views are coherent; the
//! segment of memory without a file belongs to one section. A page that is resident here is the truth about its part of
//! the file until it is written back; [`super::cache`] keeps reads and writes of the file in step with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use abi::NtResult;
use abi::status_table::{STATUS_IN_PAGE_ERROR, STATUS_NO_MEMORY};
use guest_mem::{GuestRam, PAGE_SHIFT, PAGE_SIZE, Pfn};

use crate::guarded::Guarded;

use super::FileBacking;
use super::runs::Runs;
use super::space::Commit;

/// Pages that are read at once when a file is read through.
const READ_AHEAD: u64 = 16;
/// Pages that are written at once.
const WRITE_TOGETHER: usize = 256;

/// The shared pages of a file or of a piece of the paging file.
pub struct DataSegment {
    ram: Arc<GuestRam>,
    state: Guarded<State>,
    identity: Option<(u64, u64)>,
    /// What memory without a file is charged to.
    commit: Option<Arc<Commit>>,
}

struct State {
    /// The file; `None` for memory.
    file: Option<Arc<dyn FileBacking>>,
    /// The file was opened for writing by a section that allows it.
    writable: bool,
    pages: BTreeMap<u64, Page>,
    /// Committed pages of memory (`SEC_RESERVE` commits them later); a file's pages are always committed.
    committed: Runs<()>,
}

struct Page {
    pfn: Pfn,
    dirty: bool,
}

impl DataSegment {
    /// The segment of a file.
    pub fn of_file(ram: &Arc<GuestRam>, file: Arc<dyn FileBacking>, writable: bool) -> Arc<Self> {
        let identity = Some(file.identity());
        Self::new(ram, identity, Some(file), writable, None)
    }

    /// The segment of shared memory; `committed` pages at its start are committed.
    pub fn of_memory(
        ram: &Arc<GuestRam>,
        commit: &Arc<Commit>,
        committed: u64,
    ) -> NtResult<Arc<Self>> {
        let segment = Self::new(ram, None, None, false, Some(commit.clone()));
        segment.commit(0..committed)?;
        Ok(segment)
    }

    fn new(
        ram: &Arc<GuestRam>,
        identity: Option<(u64, u64)>,
        file: Option<Arc<dyn FileBacking>>,
        writable: bool,
        commit: Option<Arc<Commit>>,
    ) -> Arc<Self> {
        let state = State { file, writable, pages: BTreeMap::new(), committed: Runs::default() };
        Arc::new(DataSegment { ram: ram.clone(), state: Guarded::new(state), identity, commit })
    }

    /// The file's identity.
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<Arc<dyn FileBacking>> {
        self.state.open().file.clone()
    }

    /// From now on dirty pages are written through this open of the file.
    pub fn write_through(&self, file: Arc<dyn FileBacking>) {
        let mut state = self.state.open();
        state.file = Some(file);
        state.writable = true;
    }

    /// True if the page can be touched.
    pub fn is_committed(&self, page: u64) -> bool {
        self.identity.is_some() || self.state.open().committed.get(page).is_some()
    }

    /// Whether `page` is committed, and how many of `limit` pages from it are like it.
    pub fn commit_run(&self, page: u64, limit: u64) -> (bool, u64) {
        if self.identity.is_some() {
            return (true, limit);
        }
        let state = self.state.open();
        match state.committed.run(page) {
            Some((run, ())) => (true, (run.end - page).min(limit)),
            None => {
                let next = state.committed.within(page..page.saturating_add(limit)).next();
                (false, next.map_or(limit, |(run, ())| run.start - page))
            }
        }
    }

    /// Commits pages of memory; `STATUS_COMMITMENT_LIMIT` if there are not so many.
    pub fn commit(&self, pages: Range<u64>) -> NtResult<()> {
        let mut state = self.state.open();
        let len = pages.end.saturating_sub(pages.start);
        if let Some(commit) = &self.commit {
            commit.charge(len - state.committed.count(pages.clone()))?;
        }
        state.committed.set(pages, ());
        Ok(())
    }

    /// Committed pages of a range.
    pub fn committed_pages(&self, pages: Range<u64>) -> u64 {
        if self.identity.is_some() {
            return pages.end.saturating_sub(pages.start);
        }
        self.state.open().committed.count(pages)
    }

    /// The frame of a page, read from the file or zeroed at first use.
    pub fn page(&self, index: u64) -> NtResult<Pfn> {
        let mut state = self.state.open();
        if let Some(page) = state.pages.get(&index) {
            return Ok(page.pfn);
        }
        if let Some(file) = state.file.clone() {
            return self.read_pages(&mut state, &*file, index);
        }
        let pfn = self.ram.alloc_zeroed().map_err(|_| STATUS_NO_MEMORY)?;
        state.pages.insert(index, Page { pfn, dirty: false });
        Ok(pfn)
    }

    /// Reads a page of the file, and those after it when the one before it is resident: the file is being read through.
    fn read_pages(&self, state: &mut State, file: &dyn FileBacking, index: u64) -> NtResult<Pfn> {
        let before = index.checked_sub(1).is_some_and(|index| state.pages.contains_key(&index));
        let mut count = 1;
        while before && count < READ_AHEAD && !state.pages.contains_key(&(index + count)) {
            count += 1;
        }
        let offset = index.checked_mul(PAGE_SIZE).ok_or(STATUS_IN_PAGE_ERROR)?;
        let mut bytes = vec![0u8; (count << PAGE_SHIFT) as usize];
        let got = read_full(file, offset, &mut bytes)?;
        let mut first = None;
        // A page of which there is nothing is not read ahead, and is an error where it was asked for: the file was cut
        // below the view.
        let pages = bytes.as_chunks::<{ PAGE_SIZE as usize }>().0;
        for (index, page) in (index..).zip(pages).take(got.div_ceil(PAGE_SIZE as usize)) {
            let Ok(pfn) = self.ram.alloc_uninit() else { break };
            self.ram.write(pfn.at(0), page);
            state.pages.insert(index, Page { pfn, dirty: false });
            first.get_or_insert(pfn);
        }
        first.ok_or(if got == 0 { STATUS_IN_PAGE_ERROR } else { STATUS_NO_MEMORY })
    }

    /// The frame of a page, if it is resident.
    pub fn resident(&self, index: u64) -> Option<Pfn> {
        self.state.open().pages.get(&index).map(|page| page.pfn)
    }

    /// Records that a view wrote a page.
    pub fn mark_dirty(&self, index: u64) {
        if let Some(page) = self.state.open().pages.get_mut(&index) {
            page.dirty = true;
        }
    }

    /// Writes dirty pages of a range to the file; pages that could not be written stay dirty.
    pub fn write_back(&self, pages: Range<u64>) -> std::io::Result<()> {
        let mut state = self.state.open();
        let Some(file) = state.file.clone().filter(|_| state.writable) else { return Ok(()) };
        let dirty = |(index, page): (&u64, &Page)| page.dirty.then_some((*index, page.pfn));
        let dirty: Vec<(u64, Pfn)> = state.pages.range(pages).filter_map(dirty).collect();
        if dirty.is_empty() {
            return Ok(());
        }
        let size = file.size()?;
        for run in dirty.chunk_by(|(a, _), (b, _)| a + 1 == *b) {
            for part in run.chunks(WRITE_TOGETHER) {
                let Some((first, _)) = part.first() else { continue };
                let mut bytes = vec![0u8; part.len() << PAGE_SHIFT];
                for (page, (_, pfn)) in bytes.chunks_mut(PAGE_SIZE as usize).zip(part) {
                    self.ram.read(pfn.at(0), page);
                }
                let offset = first << PAGE_SHIFT;
                // What lies in the last page beyond the file's end is not the file's.
                bytes.truncate(size.saturating_sub(offset).min(bytes.len() as u64) as usize);
                if !bytes.is_empty() {
                    file.write_at(offset, &bytes)?;
                }
                for (index, _) in part {
                    if let Some(page) = state.pages.get_mut(index) {
                        page.dirty = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts bytes that were written to the file into the resident pages.
    pub fn file_written(&self, offset: u64, bytes: &[u8]) {
        self.for_resident(offset, bytes.len(), |pa, range| {
            if let Some(part) = bytes.get(range) {
                self.ram.write(pa, part);
            }
        });
    }

    /// Lays the resident pages over bytes that were read from the file.
    pub fn overlay_read(&self, offset: u64, bytes: &mut [u8]) {
        let len = bytes.len();
        self.for_resident(offset, len, |pa, range| {
            if let Some(part) = bytes.get_mut(range) {
                self.ram.read(pa, part);
            }
        });
    }

    /// Zeroes what resident pages hold at and after a new end of the file.
    pub fn file_cut(&self, size: u64) {
        let end = size.checked_next_multiple_of(PAGE_SIZE).unwrap_or(size);
        let zeros = vec![0u8; (end - size) as usize];
        self.file_written(size, &zeros);
    }

    fn for_resident(
        &self,
        offset: u64,
        len: usize,
        mut visit: impl FnMut(guest_mem::Pa, Range<usize>),
    ) {
        let end = offset.saturating_add(len as u64);
        let state = self.state.open();
        let first = offset >> PAGE_SHIFT;
        let last = end.div_ceil(PAGE_SIZE).max(first);
        for (index, page) in state.pages.range(first..last) {
            let page_start = index << PAGE_SHIFT;
            let from = page_start.max(offset);
            let to = page_start.saturating_add(PAGE_SIZE).min(end);
            if from < to {
                let range = (from - offset) as usize..(to - offset) as usize;
                visit(page.pfn.at(from - page_start), range);
            }
        }
    }
}

impl Drop for DataSegment {
    /// The last view and the last section are gone: what was not written back yet is, and the frames are free.
    fn drop(&mut self) {
        // Views report their errors when they are unmapped; here nobody is left to tell.
        let _ = self.write_back(0..u64::MAX);
        let state = self.state.open();
        for page in state.pages.values() {
            self.ram.free(page.pfn);
        }
        if let Some(commit) = &self.commit {
            commit.release(state.committed.count(0..u64::MAX));
        }
    }
}

/// Reads until the buffer is full or the file ends; a host error is `STATUS_IN_PAGE_ERROR`.
pub fn read_full(file: &dyn FileBacking, offset: u64, into: &mut [u8]) -> NtResult<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(done as u64).ok_or(STATUS_IN_PAGE_ERROR)?;
        match file.read_at(at, rest) {
            Ok(0) => break,
            Ok(got) => done += got.min(rest.len()),
            Err(_) => return Err(STATUS_IN_PAGE_ERROR),
        }
    }
    Ok(done)
}
