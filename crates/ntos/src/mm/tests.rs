//! Tests of the memory manager as a whole, on a space without a kernel: what a processor would see is checked with the
//! same walk that processors do.

use std::sync::{Arc, Mutex};

use abi::NtResult;
use abi::mm::*;
use abi::status_table::*;
use guest_mem::{Access, GuestRam, PAGE_SIZE, PageTables, Privilege, Pte, Va, walk};

use super::image::{ImageCache, ImageSegment};
use super::region::{FreeKind, Reservation, Reserve};
use super::segment::DataSegment;
use super::space::{Commit, Space};
use super::vad::{AddressSpace, Limits, USER_END};
use super::view::MapRequest;
use super::{FileBacking, ImageInfo, Protection, Shootdown};
use crate::ustr::UnicodeString;

/// A file in memory.
struct TestFile {
    id: u64,
    bytes: Mutex<Vec<u8>>,
}

impl TestFile {
    fn new(id: u64, bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(TestFile { id, bytes: Mutex::new(bytes) })
    }
}

impl FileBacking for TestFile {
    fn identity(&self) -> (u64, u64) {
        (1, self.id)
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn modified(&self) -> std::io::Result<i64> {
        Ok(0)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.bytes.lock().unwrap();
        let from = bytes.get(offset as usize..).unwrap_or_default();
        let len = from.len().min(into.len());
        into[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> std::io::Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        bytes[offset as usize..][..from.len()].copy_from_slice(from);
        Ok(())
    }

    fn set_size(&self, size: u64) -> std::io::Result<()> {
        self.bytes.lock().unwrap().resize(size as usize, 0);
        Ok(())
    }

    fn path(&self) -> UnicodeString {
        format!("\\Device\\Test\\{}.dll", self.id).as_str().into()
    }
}

/// A process's memory without the process.
struct World {
    ram: Arc<GuestRam>,
    tables: PageTables,
    vads: AddressSpace,
    shootdown: Shootdown,
    commit: Arc<Commit>,
}

impl World {
    fn new() -> Self {
        Self::sharing(&Arc::new(GuestRam::new(64 << 20).unwrap()))
    }

    fn sharing(ram: &Arc<GuestRam>) -> Self {
        let tables = PageTables::new(ram).unwrap();
        let vads = AddressSpace::new(ram, tables.root());
        let commit = Commit::new(1 << 20);
        World { ram: ram.clone(), tables, vads, shootdown: Shootdown::default(), commit }
    }

    fn space(&mut self) -> Space<'_> {
        Space {
            ram: &self.ram,
            tables: &self.tables,
            vads: &mut self.vads,
            shootdown: &mut self.shootdown,
            commit: &self.commit,
        }
    }

    /// What a user-mode access does: walk, fault, walk again.
    fn access(&mut self, at: u64, access: Access) -> NtResult<guest_mem::Pa> {
        for _ in 0..3 {
            let ram = self.ram.clone();
            match walk(&ram, self.tables.root(), Va(at), access, Privilege::User) {
                Ok(mapping) => return Ok(mapping.pfn.at(Va(at).offset())),
                Err(fault) => self.space().fault(fault.va, access)?,
            }
        }
        panic!("the fault at {at:#x} was resolved and came again");
    }

    fn read(&mut self, at: u64) -> NtResult<u8> {
        let pa = self.access(at, Access::Read)?;
        Ok(self.ram.load(pa))
    }

    fn read_u64(&mut self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.read(at + index as u64).unwrap();
        }
        u64::from_le_bytes(bytes)
    }

    fn write(&mut self, at: u64, value: u8) -> NtResult<()> {
        let pa = self.access(at, Access::Write)?;
        self.ram.store(pa, value);
        Ok(())
    }

    fn reserve(&mut self, base: Option<u64>, size: u64, state: Reservation) -> NtResult<u64> {
        let request = Reserve {
            base,
            size,
            limits: Limits::default(),
            protect: Protection::READ_WRITE,
            state,
            write_watch: true,
            replace: false,
        };
        self.space().reserve(&request).map(|(base, _)| base)
    }

    fn query(&mut self, at: u64) -> MEMORY_BASIC_INFORMATION {
        self.space().basic_information(at).unwrap()
    }

    fn end(mut self) -> Arc<GuestRam> {
        self.space().remove_all();
        self.ram.clone()
    }
}

fn protection(value: u32) -> Protection {
    Protection::new(value).unwrap()
}

#[test]
fn committed_memory_is_zero_and_sparse() {
    let mut world = World::new();
    let before = world.ram.frames_in_use();
    let base = world.reserve(None, 1 << 30, Reservation::Reserved).unwrap();
    assert_eq!(world.read(base), Err(STATUS_ACCESS_VIOLATION));
    let middle = base + (512 << 20);
    world.space().commit_pages(middle + 5, 0x2000, Protection::READ_WRITE).unwrap();
    assert_eq!(world.read(middle + 0x2FFF), Ok(0));
    world.write(middle, 7).unwrap();
    assert_eq!(world.read(middle), Ok(7));
    assert_eq!(world.read(middle + 0x3000), Err(STATUS_ACCESS_VIOLATION));
    assert!(world.ram.frames_in_use() - before < 10);
    let found = world.query(middle + 0x1000);
    assert_eq!((found.BaseAddress, found.RegionSize), (middle + 0x1000, 0x2000));
    assert_eq!((found.State, found.Protect, found.Type), (MEM_COMMIT, PAGE_READWRITE, MEM_PRIVATE));
    assert_eq!(found.AllocationBase, base);
    let found = world.query(base);
    assert_eq!((found.State, found.Protect, found.RegionSize), (MEM_RESERVE, 0, 512 << 20));
    let found = world.query(base + (1 << 30));
    assert_eq!((found.State, found.Protect), (MEM_FREE, PAGE_NOACCESS));
    assert_eq!(found.BaseAddress + found.RegionSize, USER_END);
}

#[test]
fn freeing_follows_the_rules_and_gives_everything_back() {
    let mut world = World::new();
    let base = world.reserve(None, 0x4_0000, Reservation::Committed).unwrap();
    world.write(base + 0x1_0000, 1).unwrap();
    let mut free = |at, size, kind| world.space().free(at, size, kind);
    assert_eq!(free(0x5_0000, 0, FreeKind::Release), Err(STATUS_MEMORY_NOT_ALLOCATED));
    assert_eq!(free(base + 0x1000, 0, FreeKind::Release), Err(STATUS_FREE_VM_NOT_AT_BASE));
    assert_eq!(free(base, 0x5_0000, FreeKind::Release), Err(STATUS_UNABLE_TO_FREE_VM));
    let decommitted = free(base + 0x1_0123, 1, FreeKind::Decommit);
    assert_eq!(decommitted, Ok((base + 0x1_0000, 0x1000)));
    assert_eq!(world.read(base + 0x1_0000), Err(STATUS_ACCESS_VIOLATION));
    world.space().commit_pages(base + 0x1_0000, 1, Protection::READ_WRITE).unwrap();
    assert_eq!(world.read(base + 0x1_0000), Ok(0), "decommitted memory comes back zero");
    // The middle goes, the ends stay as regions of their own.
    world.space().free(base + 0x1_0000, 0x1_0000, FreeKind::Release).unwrap();
    assert_eq!(world.query(base + 0x1_0000).State, MEM_FREE);
    assert_eq!(world.query(base + 0x2_0000).AllocationBase, base + 0x2_0000);
    assert_eq!(world.commit.usage().0, 0x30);
    world.space().free(base + 0x2_0000, 0, FreeKind::Release).unwrap();
    world.space().free(base, 0, FreeKind::Release).unwrap();
    assert_eq!(world.commit.usage().0, 0);
    assert_eq!(world.end().frames_in_use(), 0);
}

#[test]
fn protections_are_enforced_and_old_ones_reported() {
    let mut world = World::new();
    let base = world.reserve(None, 0x3000, Reservation::Committed).unwrap();
    world.write(base + 0x1000, 9).unwrap();
    let old = world.space().protect(base + 0x1FFF, 2, Protection::READ_ONLY).unwrap();
    assert_eq!(old, (base + 0x1000, 0x2000, Protection::READ_WRITE));
    assert!(!world.shootdown.pages.is_empty());
    assert_eq!(world.write(base + 0x1000, 1), Err(STATUS_ACCESS_VIOLATION));
    assert_eq!(world.read(base + 0x1000), Ok(9));
    assert_eq!(world.access(base, Access::Execute), Err(STATUS_ACCESS_VIOLATION));
    world.space().protect(base + 0x1000, 1, Protection::NO_ACCESS).unwrap();
    assert_eq!(world.read(base + 0x1000), Err(STATUS_ACCESS_VIOLATION));
    assert_eq!(world.query(base + 0x1000).Protect, PAGE_NOACCESS);
    world.space().protect(base + 0x1000, 1, protection(PAGE_EXECUTE_READ)).unwrap();
    assert_eq!(world.read(base + 0x1000), Ok(9), "no access does not lose the page");
    world.access(base + 0x1000, Access::Execute).unwrap();
    let mut protect = |at, size, p| world.space().protect(at, size, protection(p)).unwrap_err();
    assert_eq!(protect(base, 0x4000, PAGE_READONLY), STATUS_CONFLICTING_ADDRESSES);
    assert_eq!(protect(base, 0x1000, PAGE_WRITECOPY), STATUS_INVALID_PAGE_PROTECTION);
    world.space().free(base, 0x1000, FreeKind::Decommit).unwrap();
    let refused = world.space().protect(base, 0x2000, Protection::READ_ONLY).unwrap_err();
    assert_eq!(refused, STATUS_NOT_COMMITTED);
}

#[test]
fn a_guard_page_is_hit_once() {
    let mut world = World::new();
    let base = world.reserve(None, 0x2000, Reservation::Committed).unwrap();
    world.write(base, 5).unwrap();
    world.space().protect(base, 0x2000, protection(PAGE_READWRITE | PAGE_GUARD)).unwrap();
    for page in [base, base + 0x1000] {
        assert_eq!(world.query(page).Protect, PAGE_READWRITE | PAGE_GUARD);
        assert_eq!(world.read(page), Err(STATUS_GUARD_PAGE_VIOLATION));
        assert_eq!(world.query(page).Protect, PAGE_READWRITE);
    }
    assert_eq!(world.read(base), Ok(5));
    world.write(base + 0x1000, 1).unwrap();
}

#[test]
fn write_watch_lists_what_was_written() {
    let mut world = World::new();
    let base = world.reserve(None, 0x8000, Reservation::Committed).unwrap();
    for page in [0, 3, 5] {
        world.write(base + page * PAGE_SIZE, 1).unwrap();
    }
    world.read(base + 0x6000).unwrap();
    let watch = |world: &mut World, limit, reset| {
        world.space().written_pages(base, 0x8000, limit, reset).unwrap()
    };
    assert_eq!(watch(&mut world, 2, true), [base, base + 0x3000]);
    assert_eq!(watch(&mut world, 9, false), [base + 0x5000]);
    world.write(base, 2).unwrap();
    assert_eq!(watch(&mut world, 9, true), [base, base + 0x5000]);
    assert!(watch(&mut world, 9, true).is_empty());
}

#[test]
fn placeholders_split_are_replaced_and_join() {
    let mut world = World::new();
    let base = world.reserve(None, 0x4_0000, Reservation::Placeholder).unwrap();
    let mut space = world.space();
    assert_eq!(
        space.commit_pages(base, 1, Protection::READ_WRITE).unwrap_err(),
        STATUS_CONFLICTING_ADDRESSES
    );
    space.free(base, 0x1_0000, FreeKind::ToPlaceholder).unwrap();
    let mut request = Reserve {
        base: Some(base),
        size: 0x1_0000,
        limits: Limits::default(),
        protect: Protection::READ_WRITE,
        state: Reservation::Committed,
        write_watch: false,
        replace: true,
    };
    space.reserve(&request).unwrap();
    assert_eq!(space.reserve(&request).unwrap_err(), STATUS_CONFLICTING_ADDRESSES);
    request.base = Some(base + 0x1_0000);
    assert_eq!(
        space.reserve(&request).unwrap_err(),
        STATUS_CONFLICTING_ADDRESSES,
        "only a whole placeholder can be replaced"
    );
    space.free(base, 0, FreeKind::ToPlaceholder).unwrap();
    space.free(base, 0x4_0000, FreeKind::Coalesce).unwrap();
    assert_eq!(space.vads.find(base).unwrap().end, base + 0x4_0000);
}

fn map(
    world: &mut World,
    segment: &Arc<DataSegment>,
    section_size: u64,
    protect: u32,
) -> NtResult<(u64, u64)> {
    let request = MapRequest { protect: protection(protect), ..MapRequest::default() };
    world.space().map_data(segment, section_size, &request, false)
}

#[test]
fn views_share_pages_and_private_ones_do_not() {
    let mut one = World::new();
    let mut two = World::sharing(&one.ram);
    let file = TestFile::new(1, (0..0x1800u32).map(|i| i as u8).collect());
    let segment = DataSegment::of_file(&one.ram, file.clone(), true);
    let (a, size) = map(&mut one, &segment, 0x1800, PAGE_READWRITE).unwrap();
    assert_eq!(size, 0x2000);
    let (b, _) = map(&mut two, &segment, 0x1800, PAGE_READWRITE).unwrap();
    let (c, _) = map(&mut two, &segment, 0x1800, PAGE_WRITECOPY).unwrap();
    assert_eq!(two.read(c + 0x10), Ok(0x10));
    one.write(a + 0x10, 0xAA).unwrap();
    assert_eq!(two.read(b + 0x10), Ok(0xAA));
    assert_eq!(two.read(c + 0x10), Ok(0xAA));
    assert_eq!(two.query(c).Protect, PAGE_WRITECOPY);
    two.write(c + 0x11, 0xCC).unwrap();
    assert_eq!(two.query(c).Protect, PAGE_READWRITE);
    assert_eq!(two.query(c).RegionSize, 0x1000);
    assert_eq!(one.read(a + 0x11), Ok(0x11));
    one.write(a + 0x10, 0xAB).unwrap();
    assert_eq!(two.read(c + 0x10), Ok(0xAA), "a copied page no longer follows");
    assert_eq!(one.read(a + 0x1900), Ok(0), "beyond the file's end the last page is zero");
    one.write(a + 0x1900, 1).unwrap();
    // Coherence with reads and writes of the file.
    let mut bytes = [0; 4];
    file.read_at(0x10, &mut bytes).unwrap();
    assert_eq!(bytes[0], 0x10);
    segment.overlay_read(0x10, &mut bytes);
    assert_eq!(bytes[0], 0xAB);
    segment.file_written(0xFFF, &[1, 2]);
    assert_eq!((two.read(b + 0xFFF), two.read(b + 0x1000)), (Ok(1), Ok(2)));
    // Unmapping hands the dirty bits over; writing back stops at the file's end.
    one.space().unmap(a + 0x1000, false).unwrap();
    segment.write_back(0..2).unwrap();
    let written = file.bytes.lock().unwrap().clone();
    assert_eq!(written.len(), 0x1800);
    assert_eq!((written[0x10], written[0x11]), (0xAB, 0x11));
    drop(segment);
    one.end();
    let ram = two.end();
    assert_eq!(ram.frames_in_use(), 0);
}

#[test]
fn views_are_checked() {
    let mut world = World::new();
    let segment = DataSegment::of_memory(&world.ram, &world.commit.clone(), 32).unwrap();
    let base = MapRequest { protect: Protection::READ_ONLY, ..MapRequest::default() };
    let mut map = |request: MapRequest| world.space().map_data(&segment, 0x2_0000, &request, false);
    let mut status = |request| map(request).unwrap_err();
    assert_eq!(status(MapRequest { offset: 0x1000, ..base }), STATUS_MAPPED_ALIGNMENT);
    assert_eq!(status(MapRequest { base: Some(Va(0x123_1000)), ..base }), STATUS_MAPPED_ALIGNMENT);
    assert_eq!(status(MapRequest { offset: 0x2_0000, ..base }), STATUS_INVALID_VIEW_SIZE);
    assert_eq!(status(MapRequest { size: 0x2_0001, ..base }), STATUS_INVALID_VIEW_SIZE);
    let offset = MapRequest { offset: 0x1_0000, base: Some(Va(0x123_0000)), ..base };
    assert_eq!(map(offset), Ok((0x123_0000, 0x1_0000)));
    assert_eq!(map(offset).unwrap_err(), STATUS_CONFLICTING_ADDRESSES);
    let mut space = world.space();
    assert_eq!(
        space.protect(0x123_0000, 1, Protection::READ_WRITE).unwrap_err(),
        STATUS_SECTION_PROTECTION
    );
    assert_eq!(
        space.free(0x123_0000, 0, FreeKind::Release).unwrap_err(),
        STATUS_UNABLE_TO_DELETE_SECTION
    );
    assert!(space.unmap(0x124_0000, false).is_err());
    assert!(space.unmap(0x123_F000, false).is_ok());
}

#[test]
fn reserved_shared_memory_is_committed_for_all_views() {
    let mut one = World::new();
    let mut two = World::sharing(&one.ram);
    let commit = one.commit.clone();
    let segment = DataSegment::of_memory(&one.ram, &commit, 0).unwrap();
    let (a, _) = map(&mut one, &segment, 0x10000, PAGE_READWRITE).unwrap();
    let (b, _) = map(&mut two, &segment, 0x10000, PAGE_READWRITE).unwrap();
    assert_eq!(one.query(a).State, MEM_RESERVE);
    assert_eq!(two.read(b + 0x2000), Err(STATUS_ACCESS_VIOLATION));
    one.space().commit_pages(a + 0x2000, 0x1000, Protection::READ_WRITE).unwrap();
    one.write(a + 0x2000, 3).unwrap();
    assert_eq!(two.read(b + 0x2000), Ok(3));
    let found = two.query(b + 0x2000);
    assert_eq!((found.State, found.RegionSize, found.Type), (MEM_COMMIT, 0x1000, MEM_MAPPED));
    assert_eq!(commit.usage().0, 1);
    drop(segment);
    one.end();
    let ram = two.end();
    assert_eq!((ram.frames_in_use(), commit.usage().0), (0, 0));
}

/// A small image: `.text` at 0x1000, `.data` at 0x2000, `.reloc` at 0x4000, linked at 0x1_8000_0000.
///
/// `.data` holds its own address at offset 8, and an address that straddles its two pages.
fn image_bytes() -> Vec<u8> {
    const BASE: u64 = 0x1_8000_0000;
    let mut bytes = vec![0u8; 0x1200];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"MZ");
    put(0x3C, &0x80u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x84, &IMAGE_FILE_MACHINE_AMD64.to_le_bytes());
    put(0x86, &3u16.to_le_bytes());
    put(0x94, &0xF0u16.to_le_bytes());
    put(0x96, &(IMAGE_FILE_DLL | IMAGE_FILE_EXECUTABLE_IMAGE).to_le_bytes());
    let optional = 0x98;
    put(optional, &0x20Bu16.to_le_bytes());
    put(optional + 16, &0x1010u32.to_le_bytes());
    put(optional + 24, &BASE.to_le_bytes());
    put(optional + 32, &0x1000u32.to_le_bytes());
    put(optional + 36, &0x200u32.to_le_bytes());
    put(optional + 56, &0x5000u32.to_le_bytes());
    put(optional + 60, &0x400u32.to_le_bytes());
    put(optional + 68, &3u16.to_le_bytes());
    put(optional + 108, &16u32.to_le_bytes());
    put(optional + 112 + 5 * 8, &0x4000u32.to_le_bytes());
    put(optional + 112 + 5 * 8 + 4, &16u32.to_le_bytes());
    let sections: [(&[u8], u32, u32, u32, u32, u32); 3] = [
        (b".text", 0x1000, 0x20, 0x400, 0x200, IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ),
        (b".data", 0x2000, 0x1100, 0x600, 0xA00, IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_WRITE),
        (b".reloc", 0x4000, 16, 0x1000, 0x200, IMAGE_SCN_MEM_READ),
    ];
    for (index, (name, rva, size, raw, raw_size, flags)) in sections.into_iter().enumerate() {
        let at = optional + 0xF0 + index * 40;
        put(at, name);
        for (field, value) in [(8, size), (12, rva), (16, raw_size), (20, raw), (36, flags)] {
            put(at + field, &value.to_le_bytes());
        }
    }
    put(0x400, &[0xC3; 0x20]);
    put(0x608, &(BASE + 0x2008).to_le_bytes());
    // The second place is beyond the raw data, where both of its pages are zero.
    put(0x1000, &0x2000u32.to_le_bytes());
    put(0x1004, &16u32.to_le_bytes());
    put(0x1008, &(0xA008u16).to_le_bytes());
    put(0x100A, &(0xAFFCu16).to_le_bytes());
    bytes
}

#[test]
fn an_image_has_its_sections_and_is_relocated_where_it_must() {
    let mut world = World::new();
    let mut cache = ImageCache::new(1000);
    let first = TestFile::new(1, image_bytes());
    let second = TestFile::new(2, image_bytes());
    let one = cache.open(&world.ram, first.clone()).unwrap();
    let two = cache.open(&world.ram, second).unwrap();
    assert!(Arc::ptr_eq(&one, &cache.open(&world.ram, first).unwrap()), "the image is shared");
    assert_eq!(one.base, 0x1_8000_0000);
    assert_eq!(two.base, 0x7FF8_0000_0000 - 0x1_0000, "the place was taken");
    for segment in [&one, &two] {
        world.space().insert_image(segment, false, false).unwrap();
        let base = segment.base;
        assert_eq!(world.read_u64(base + 0x98 + 24), base, "the header shows the real base");
        assert_eq!(world.read_u64(base + 0x2008), base + 0x2008);
        // The place at 0x2FFC lies in two pages.
        assert_eq!(world.read_u64(base + 0x2FFC), base.wrapping_sub(0x1_8000_0000));
        let protect = |world: &mut World, rva| world.query(base + rva).Protect;
        assert_eq!(protect(&mut world, 0), PAGE_READONLY);
        assert_eq!(protect(&mut world, 0x1000), PAGE_EXECUTE_READ);
        assert_eq!(protect(&mut world, 0x2000), PAGE_WRITECOPY);
        let found = world.query(base + 0x2000);
        assert_eq!((found.RegionSize, found.Type), (0x2000, MEM_IMAGE));
        assert_eq!(found.AllocationProtect, PAGE_EXECUTE_WRITECOPY);
        assert_eq!(world.write(base, 0), Err(STATUS_ACCESS_VIOLATION));
        world.access(base + 0x1000, Access::Execute).unwrap();
        world.write(base + 0x2000, 0x77).unwrap();
        assert_eq!(protect(&mut world, 0x2000), PAGE_READWRITE);
        assert_eq!(protect(&mut world, 0x3000), PAGE_WRITECOPY);
        // What ntdll does to an import table and back.
        let (_, _, old) = world.space().protect(base + 0x1000, 8, Protection::READ_WRITE).unwrap();
        assert_eq!(old.value(), PAGE_EXECUTE_READ);
        world.write(base + 0x1000, 0x90).unwrap();
        let (_, _, now) = world.space().protect(base + 0x1000, 8, old).unwrap();
        assert_eq!(now, Protection::READ_WRITE);
    }
    let mut other = World::sharing(&world.ram);
    other.space().insert_image(&one, false, false).unwrap();
    assert_eq!(other.read(one.base + 0x1000), Ok(0xC3), "another process has its own copy");
    assert_eq!(other.read(one.base + 0x2000), Ok(0));
    drop((one, two));
    world.end();
    let ram = other.end();
    assert!(ram.frames_in_use() > 0, "what was used lately is kept");
    assert!(!cache.is_in_use((1, 1)) && cache.release_standby());
    assert_eq!(ram.frames_in_use(), 0);
}

#[test]
fn a_missing_place_in_one_process_gives_another_base() {
    let world = World::new();
    let mut cache = ImageCache::new(1000);
    let one = cache.open(&world.ram, TestFile::new(1, image_bytes())).unwrap();
    let moved = cache.at_base(&one, 0x6000_0000);
    assert!(moved.is_relocated());
    assert!(Arc::ptr_eq(&moved, &cache.at_base(&one, 0x6000_0000)));
    let mut at = World::sharing(&world.ram);
    at.space().insert_image(&moved, false, false).unwrap();
    assert_eq!(at.read_u64(0x6000_2008), 0x6000_2008);
    drop((one, moved));
    assert!(cache.is_in_use((1, 1)), "the view keeps it");
    at.end();
    assert!(!cache.is_in_use((1, 1)));
}

#[test]
fn images_are_kept_until_there_are_too_many_or_the_file_changes() {
    let world = World::new();
    let mut cache = ImageCache::new(3);
    let open = |cache: &mut ImageCache, id| {
        let segment = cache.open(&world.ram, TestFile::new(id, image_bytes())).unwrap();
        segment.page(0).unwrap();
        segment.page(1).unwrap();
        segment
    };
    let first = open(&mut cache, 1);
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(Arc::ptr_eq(&weak.upgrade().unwrap(), &open(&mut cache, 1)));
    open(&mut cache, 2);
    open(&mut cache, 3);
    assert_eq!(weak.strong_count(), 0, "the least recent one makes room");
    let third = Arc::downgrade(&open(&mut cache, 3));
    cache.forget((1, 3));
    assert_eq!(third.strong_count(), 0);
}

#[test]
fn what_is_no_image_is_told_apart() {
    let status = |bytes: Vec<u8>| ImageInfo::read(TestFile::new(1, bytes)).unwrap_err();
    assert_eq!(status(b"#!/bin/sh".to_vec()), STATUS_INVALID_IMAGE_NOT_MZ);
    assert_eq!(status(b"MZ".to_vec()), STATUS_INVALID_IMAGE_PROTECT);
    let with = |signature: &[u8], kind: u8| {
        let mut bytes = image_bytes();
        bytes[0x80..0x80 + signature.len()].copy_from_slice(signature);
        bytes[0x80 + 0x36] = kind;
        bytes
    };
    assert_eq!(status(with(b"NE", 2)), STATUS_INVALID_IMAGE_WIN_16);
    assert_eq!(status(with(b"NE", 1)), STATUS_INVALID_IMAGE_NE_FORMAT);
    assert_eq!(status(with(b"LE", 0)), STATUS_INVALID_IMAGE_LE_FORMAT);
    assert_eq!(status(with(b"??", 0)), STATUS_INVALID_IMAGE_PROTECT);
    let mut arm = image_bytes();
    arm[0x84..0x86].copy_from_slice(&0xAA64u16.to_le_bytes());
    assert_eq!(status(arm), STATUS_INVALID_IMAGE_FORMAT);
    let mut gap = image_bytes();
    gap[0x98 + 0xF0 + 40 + 13] = 0x30;
    assert_eq!(status(gap), STATUS_INVALID_IMAGE_FORMAT);
}

#[test]
fn hostile_headers_do_no_harm() {
    let ram = Arc::new(GuestRam::new(16 << 20).unwrap());
    let good = image_bytes();
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        (seed >> 33) as usize
    };
    let mut accepted = 0;
    for round in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..1 + round % 4 {
            let at = if next() % 8 == 0 { next() % bytes.len() } else { next() % 0x220 };
            bytes[at] = if next() % 2 == 0 { 0xFF } else { next() as u8 };
        }
        if next() % 5 == 0 {
            bytes.truncate(next() % 0x1200);
        }
        if let Ok(info) = ImageInfo::read(TestFile::new(1, bytes)) {
            accepted += 1;
            let info = Arc::new(info);
            let _ = info.export("x");
            let segment = ImageSegment::new(&ram, info.clone(), 0x3333_0000);
            for page in 0..u64::from(info.size / PAGE_SIZE as u32).min(8) {
                let _ = segment.page(page);
            }
        }
    }
    assert!(accepted > 100, "the mutations must leave some images valid");
    assert_eq!(ram.frames_in_use(), 0);
}

#[test]
fn locked_pages_are_counted() {
    let mut world = World::new();
    let base = world.reserve(None, 0x3000, Reservation::Committed).unwrap();
    let mut space = world.space();
    assert_eq!(space.unlock(base, 1), Err(STATUS_NOT_LOCKED));
    assert_eq!(space.lock(base, 0x1001), Ok((base, 0x2000, false)));
    assert_eq!(space.lock(base, 1), Ok((base, 0x1000, true)));
    assert_eq!(space.unlock(base, 0x3000), Err(STATUS_NOT_LOCKED));
    assert_eq!(space.unlock(base, 0x2000), Ok((base, 0x2000)));
    assert!(!matches!(space.resident(base), super::protect::Resident::No));
    assert!(space.tables.entry(space.ram, Va(base)).has(Pte::PRESENT));
}

#[test]
fn commitment_has_a_limit() {
    let mut world = World::new();
    let limit = world.commit.usage().1 * PAGE_SIZE;
    world.reserve(None, limit, Reservation::Committed).unwrap();
    assert_eq!(world.reserve(None, 1, Reservation::Committed), Err(STATUS_COMMITMENT_LIMIT));
    assert!(world.reserve(None, 1, Reservation::Reserved).is_ok());
}

#[test]
fn touching_page_by_page_brings_in_more_and_more() {
    let mut world = World::new();
    let base = world.reserve(None, 0x10_0000, Reservation::Committed).unwrap();
    let mut faults = 0;
    for page in 0..0x100 {
        let at = base + page * PAGE_SIZE;
        if world.tables.entry(&world.ram, Va(at)).0 == 0 {
            faults += 1;
        }
        world.write(at, page as u8).unwrap();
    }
    assert!((9..20).contains(&faults), "{faults} faults");
    // Scattered touches bring in nothing else, and nothing beyond the committed run is entered.
    let other = world.reserve(None, 0x10_0000, Reservation::Committed).unwrap();
    let before = world.ram.frames_in_use();
    for page in [0x80, 0x40, 0x10] {
        world.write(other + page * PAGE_SIZE, 1).unwrap();
    }
    assert_eq!(world.ram.frames_in_use() - before, 3);
    world.space().free(base, 0, FreeKind::Release).unwrap();
    world.space().free(other, 0, FreeKind::Release).unwrap();
    assert_eq!(world.end().frames_in_use(), 0);
}

#[test]
fn resident_neighbours_of_a_view_come_with_a_fault() {
    let mut one = World::new();
    let mut two = World::sharing(&one.ram);
    let segment = DataSegment::of_memory(&one.ram, &one.commit.clone(), 32).unwrap();
    let (a, _) = map(&mut one, &segment, 0x2_0000, PAGE_READWRITE).unwrap();
    let (b, _) = map(&mut two, &segment, 0x2_0000, PAGE_READONLY).unwrap();
    for page in [1, 2, 3, 20] {
        one.write(a + page * PAGE_SIZE, 5).unwrap();
    }
    assert_eq!(two.read(b + 0x2000), Ok(5));
    let is_in = |page: u64| two.tables.entry(&two.ram, Va(b + page * PAGE_SIZE)).is_present();
    assert!(is_in(1) && is_in(3) && !is_in(4) && !is_in(20));
    assert_eq!(two.write(b + 0x3000, 1), Err(STATUS_ACCESS_VIOLATION));
}

#[test]
fn a_file_is_read_ahead_and_written_in_runs() {
    let mut world = World::new();
    let bytes: Vec<u8> = (0..0x2_0800u32).map(|at| (at >> 12) as u8).collect();
    let file = TestFile::new(1, bytes);
    let segment = DataSegment::of_file(&world.ram, file.clone(), true);
    let (base, _) = map(&mut world, &segment, 0x2_0800, PAGE_READWRITE).unwrap();
    assert_eq!(world.read(base + 0x3000), Ok(3));
    assert!(segment.resident(4).is_none(), "one page is no sequence");
    assert_eq!(world.read(base + 0x4000), Ok(4));
    assert!(segment.resident(19).is_some() && segment.resident(20).is_none());
    for page in 5..0x21 {
        assert_eq!(world.read(base + page * PAGE_SIZE), Ok(page as u8));
    }
    assert!(segment.resident(0x21).is_none());
    for page in [4, 5, 9, 0x20] {
        world.write(base + page * PAGE_SIZE + 1, 0xEE).unwrap();
    }
    world.space().unmap(base, false).unwrap();
    segment.write_back(0..0x21).unwrap();
    let written = file.bytes.lock().unwrap().clone();
    assert_eq!(written.len(), 0x2_0800);
    let changed: Vec<usize> = (0..written.len()).filter(|at| written[*at] == 0xEE).collect();
    assert_eq!(changed, [0x4001, 0x5001, 0x9001, 0x2_0001]);
    file.set_size(0x3000).unwrap();
    let cut = DataSegment::of_file(&world.ram, file, false);
    assert_eq!(cut.page(3), Err(STATUS_IN_PAGE_ERROR));
}

#[test]
fn a_process_leaves_no_frame_behind() {
    use crate::mm;
    let machine = crate::testing::TestMachine::new();
    let live = || {
        machine.executive.with(|k| {
            let process = crate::testing::process(k, "short.exe");
            let size = 0x40_0000;
            let (base, _) = mm::allocate(k, &process, None, size, true, PAGE_READWRITE, 0).unwrap();
            for page in 0..0x100 {
                mm::copy_to(k, &process, Va(base.0 + page * PAGE_SIZE), b"touched").unwrap();
            }
            mm::protect(k, &process, base, 0x1_0000, PAGE_NOACCESS).unwrap();
            let file = TestFile::new(7, image_bytes());
            let image = mm::create_image_section(k, file.clone()).unwrap();
            let at = mm::map_image(k, &process, &image).unwrap();
            mm::copy_to(k, &process, Va(at.0 + 0x2000), b"own copy").unwrap();
            let read_write = Protection::READ_WRITE;
            let file = TestFile::new(8, vec![0; 0x3000]);
            let data =
                mm::create_data_section(k, Some(file.clone()), 0, read_write, SEC_COMMIT).unwrap();
            let request = MapRequest { protect: read_write, ..MapRequest::default() };
            let (view, _, _) = mm::map_section(k, &process, &data, &request).unwrap();
            mm::copy_to(k, &process, Va(view.0 + 0x1FFF), b"ab").unwrap();
            let (reserved, committed) = mm::usage(&process);
            assert!(reserved > size && committed > size);
            mm::rundown(k, &process);
            assert_eq!(mm::usage(&process), (0, 0));
            assert_eq!(mm::copy_from(k, &process, base, &mut [0]), Err(STATUS_ACCESS_VIOLATION));
            assert_eq!(&file.bytes.lock().unwrap()[0x1FFF..0x2001], b"ab");
            k.ps.processes.shift_remove(&process.pid);
        });
        machine.executive.with(|k| {
            k.mm.images.release_standby();
            (k.ram.frames_in_use(), k.mm.commit.usage().0)
        })
    };
    let first = live();
    assert_eq!(live(), first);
    assert_eq!(live(), first);
}
