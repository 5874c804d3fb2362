//! PE images as sections see them: headers and sections. Exports and relocations are in [`super::pe_tables`].
//!
//! Key type: [`ImageInfo`]. The file is hostile until it has been checked: every offset is, and what is wrong gives the
//! status that NT has for it. Source: the public "PE Format" documentation.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use abi::NtResult;
use abi::mm::*;
use abi::status_table::*;
use guest_mem::PAGE_SIZE;

use super::FileBacking;
use super::pe_tables::Relocation;
use super::protect::Protection;
use super::segment::read_full;

/// Images larger than this are refused: NT's limit is the same order.
const MAX_IMAGE: u32 = 0x7700_0000;
/// Bytes of the file that hold all headers.
const HEADERS: usize = 0x1_0000;
/// Index of the directory of managed code.
const DIRECTORY_COM_DESCRIPTOR: usize = 14;

/// One section of an image, in pages of its own.
#[derive(Clone, Debug)]
pub struct ImageSection {
    /// The name without padding.
    pub name: Vec<u8>,
    /// First byte, relative to the base; a multiple of the page size unless the image is mapped flat.
    pub rva: u32,
    /// Bytes in memory, rounded up to pages.
    pub size: u32,
    /// Where its bytes start in the file.
    pub file_offset: u32,
    /// Bytes that come from the file; the rest is zero.
    pub file_size: u32,
    /// Protection of the view.
    pub protect: Protection,
    /// All processes share the pages even when they write them.
    pub shared: bool,
}

/// What the headers of an image say.
pub struct ImageInfo {
    file: Arc<dyn FileBacking>,
    /// `ImageBase`: where the linker put it.
    pub base: u64,
    /// `SizeOfImage`, rounded up to pages.
    pub size: u32,
    /// `AddressOfEntryPoint`, 0 for none.
    pub entry_rva: u32,
    /// `IMAGE_SUBSYSTEM_*`.
    pub subsystem: u16,
    /// `MajorSubsystemVersion`.
    pub subsystem_major: u16,
    /// `MinorSubsystemVersion`.
    pub subsystem_minor: u16,
    /// `MajorOperatingSystemVersion`.
    pub os_major: u16,
    /// `MinorOperatingSystemVersion`.
    pub os_minor: u16,
    /// `IMAGE_FILE_MACHINE_*`.
    pub machine: u16,
    /// `IMAGE_FILE_*`.
    pub characteristics: u16,
    /// `IMAGE_DLLCHARACTERISTICS_*`.
    pub dll_characteristics: u16,
    /// `SizeOfStackReserve`.
    pub stack_reserve: u64,
    /// `SizeOfStackCommit`.
    pub stack_commit: u64,
    /// `SizeOfHeapReserve`.
    pub heap_reserve: u64,
    /// `SizeOfHeapCommit`.
    pub heap_commit: u64,
    /// `CheckSum`.
    pub checksum: u32,
    /// `LoaderFlags`.
    pub loader_flags: u32,
    /// The file's size.
    pub file_size: u32,
    /// Some section holds code.
    pub contains_code: bool,
    /// Sections smaller than a page: the file is mapped as it is.
    pub flat: bool,
    /// It is a PE32+ image.
    pub is_64: bool,
    /// Sections in order of address; the first stands for the headers.
    pub sections: Vec<ImageSection>,
    /// Where in the headers `ImageBase` stands.
    pub base_field: Range<u32>,
    directories: Vec<(u32, u32)>,
    pub(super) exports: OnceLock<BTreeMap<String, u32>>,
    pub(super) relocations: OnceLock<NtResult<Vec<Relocation>>>,
}

/// Little-endian fields of a byte slice, checked.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    fn take<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    pub(super) fn u16(self, at: usize) -> Option<u16> {
        self.take(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(self, at: usize) -> Option<u32> {
        self.take(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.take(at).map(u64::from_le_bytes)
    }

    /// A field as wide as a pointer of the image.
    fn word(self, at: usize, is_64: bool) -> Option<u64> {
        if is_64 { self.u64(at) } else { self.u32(at).map(u64::from) }
    }

    fn from(self, at: usize) -> Option<Bytes<'a>> {
        self.0.get(at..).map(Bytes)
    }
}

/// Finds the PE header, or says what the file is instead.
fn pe_offset(bytes: Bytes<'_>) -> NtResult<usize> {
    if bytes.u16(0) != Some(u16::from_le_bytes(*b"MZ")) {
        return Err(STATUS_INVALID_IMAGE_NOT_MZ);
    }
    let offset = bytes.u32(0x3C).ok_or(STATUS_INVALID_IMAGE_PROTECT)? as usize;
    match bytes.take::<4>(offset) {
        Some([b'P', b'E', 0, 0]) => Ok(offset),
        // `ne_exetyp` 2 is Windows; OS/2 and the rest have a status of their own.
        Some([b'N', b'E', ..]) => match bytes.0.get(offset.saturating_add(0x36)) {
            Some(2) => Err(STATUS_INVALID_IMAGE_WIN_16),
            _ => Err(STATUS_INVALID_IMAGE_NE_FORMAT),
        },
        Some([b'L', b'E' | b'X', ..]) => Err(STATUS_INVALID_IMAGE_LE_FORMAT),
        _ => Err(STATUS_INVALID_IMAGE_PROTECT),
    }
}

impl ImageInfo {
    /// Reads and checks the headers of a file.
    pub fn read(file: Arc<dyn FileBacking>) -> NtResult<Self> {
        let file_size = file.size().map_err(|_| STATUS_IN_PAGE_ERROR)?;
        if file_size == 0 {
            return Err(STATUS_INVALID_FILE_FOR_SECTION);
        }
        let mut bytes = vec![0u8; HEADERS.min(usize::try_from(file_size).unwrap_or(HEADERS))];
        let got = read_full(&*file, 0, &mut bytes)?;
        bytes.truncate(got);
        let offset = pe_offset(Bytes(&bytes))?;
        Self::parse(file, file_size, &bytes, offset).ok_or(STATUS_INVALID_IMAGE_FORMAT)?
    }

    /// `None` where the headers end too early.
    fn parse(
        file: Arc<dyn FileBacking>,
        file_size: u64,
        bytes: &[u8],
        pe: usize,
    ) -> Option<NtResult<Self>> {
        const BAD: NtResult<ImageInfo> = Err(STATUS_INVALID_IMAGE_FORMAT);
        let header = Bytes(bytes).from(pe)?;
        let machine = header.u16(4)?;
        let section_count = usize::from(header.u16(6)?);
        let optional_size = usize::from(header.u16(20)?);
        let characteristics = header.u16(22)?;
        let optional = header.from(24)?;
        let is_64 = match (optional.u16(0)?, machine) {
            (0x20B, IMAGE_FILE_MACHINE_AMD64) => true,
            (0x10B, IMAGE_FILE_MACHINE_I386) => false,
            _ => return Some(BAD),
        };
        if characteristics & IMAGE_FILE_EXECUTABLE_IMAGE == 0 || section_count > 96 {
            return Some(BAD);
        }
        let base = if is_64 { optional.u64(24)? } else { u64::from(optional.u32(28)?) };
        let section_alignment = optional.u32(32)?;
        let file_alignment = optional.u32(36)?;
        let size = optional.u32(56)?;
        let headers_size = optional.u32(60)?;
        let flat = section_alignment < PAGE_SIZE as u32;
        let valid = section_alignment.is_power_of_two()
            && file_alignment.is_power_of_two()
            && (if flat { file_alignment == section_alignment } else { file_alignment >= 0x200 })
            && file_alignment <= section_alignment
            && base.is_multiple_of(0x1_0000)
            && (1..=MAX_IMAGE).contains(&size)
            && (1..=size).contains(&headers_size)
            && u64::from(headers_size) <= file_size.next_multiple_of(PAGE_SIZE);
        if !valid {
            return Some(BAD);
        }
        let words = if is_64 { 8 } else { 4 };
        let reserve = |index: usize| optional.word(72 + index * words, is_64);
        let after = 72 + 4 * words;
        let directory_count = (optional.u32(after + 4)? as usize).min(16);
        let directories = (0..directory_count)
            .map(|index| {
                let at = after + 8 + index * 8;
                // Directories that the optional header does not reach are empty.
                if at + 8 > optional_size {
                    return Some((0, 0));
                }
                Some((optional.u32(at)?, optional.u32(at + 4)?))
            })
            .collect::<Option<Vec<_>>>()?;
        let table = header.from(24usize.checked_add(optional_size)?)?;
        let layout = Layout { section_alignment, size, headers_size, file_size, flat };
        let (sections, contains_code) = match layout.sections(table, section_count)? {
            Ok(sections) => sections,
            Err(status) => return Some(Err(status)),
        };
        let field = u32::try_from(pe).ok()?.checked_add(if is_64 { 48 } else { 52 })?;
        Some(Ok(ImageInfo {
            file,
            base,
            size: size.checked_next_multiple_of(PAGE_SIZE as u32)?,
            entry_rva: optional.u32(16)?,
            subsystem: optional.u16(68)?,
            subsystem_major: optional.u16(48)?,
            subsystem_minor: optional.u16(50)?,
            os_major: optional.u16(40)?,
            os_minor: optional.u16(42)?,
            machine,
            characteristics,
            dll_characteristics: optional.u16(70)?,
            stack_reserve: reserve(0)?,
            stack_commit: reserve(1)?,
            heap_reserve: reserve(2)?,
            heap_commit: reserve(3)?,
            checksum: optional.u32(64)?,
            loader_flags: optional.u32(after)?,
            file_size: u32::try_from(file_size).unwrap_or(u32::MAX),
            contains_code,
            flat,
            is_64,
            sections,
            base_field: field..field + words as u32,
            directories,
            exports: OnceLock::new(),
            relocations: OnceLock::new(),
        }))
    }

    /// It is a DLL.
    pub fn is_dll(&self) -> bool {
        self.characteristics & IMAGE_FILE_DLL != 0
    }

    /// It can be put elsewhere than at [`ImageInfo::base`].
    pub fn is_relocatable(&self) -> bool {
        self.characteristics & IMAGE_FILE_RELOCS_STRIPPED == 0
    }

    /// It is managed code.
    pub fn is_managed(&self) -> bool {
        self.directory(DIRECTORY_COM_DESCRIPTOR).is_some()
    }

    /// It is one of the userland's own DLLs, marked by its builder after the DOS header.
    pub fn is_userland_builtin(&self) -> bool {
        const MARK: &[u8] = b"Wine builtin DLL\0";
        let mut bytes = [0u8; 17];
        matches!(read_full(&*self.file, 0x40, &mut bytes), Ok(17)) && bytes == *MARK
    }

    /// The file.
    pub fn file(&self) -> &Arc<dyn FileBacking> {
        &self.file
    }

    /// The section of that name.
    pub fn section(&self, name: &str) -> Option<&ImageSection> {
        self.sections.iter().skip(1).find(|section| section.name == name.as_bytes())
    }

    /// Where the section of that name starts, relative to the base.
    pub fn section_rva(&self, name: &str) -> Option<u32> {
        self.section(name).map(|section| section.rva)
    }

    /// The raw bytes of the section of that name, as the file has them.
    pub fn section_data(&self, name: &str) -> Option<Vec<u8>> {
        let section = self.section(name)?;
        let mut bytes = vec![0u8; section.file_size as usize];
        let got = read_full(&*self.file, section.file_offset.into(), &mut bytes).ok()?;
        bytes.truncate(got);
        Some(bytes)
    }

    /// Reads image bytes as the file has them: before relocation, zero where nothing is.
    pub fn read_rva(&self, rva: u32, into: &mut [u8]) -> NtResult<()> {
        into.fill(0);
        let end = u64::from(rva) + into.len() as u64;
        for section in &self.sections {
            let from = rva.max(section.rva);
            let to = end.min(u64::from(section.rva) + u64::from(section.file_size));
            if u64::from(from) >= to {
                continue;
            }
            let range = (from - rva) as usize..(to - u64::from(rva)) as usize;
            if let Some(part) = into.get_mut(range) {
                let offset = u64::from(section.file_offset) + u64::from(from - section.rva);
                read_full(&*self.file, offset, part)?;
            }
        }
        Ok(())
    }

    /// Where a data directory lies and how long it is, if it is there.
    pub(super) fn directory(&self, index: usize) -> Option<(u32, u32)> {
        self.directories.get(index).copied().filter(|(rva, size)| *rva != 0 && *size != 0)
    }
}

impl fmt::Debug for ImageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageInfo")
            .field("path", &self.file.path())
            .field("base", &format_args!("{:#x}", self.base))
            .field("size", &format_args!("{:#x}", self.size))
            .finish_non_exhaustive()
    }
}

/// The header fields that say how sections lie.
struct Layout {
    section_alignment: u32,
    size: u32,
    headers_size: u32,
    file_size: u64,
    flat: bool,
}

impl Layout {
    /// Reads the section table. The outer `None` is a table that the headers do not hold whole.
    fn sections(
        &self,
        table: Bytes<'_>,
        count: usize,
    ) -> Option<NtResult<(Vec<ImageSection>, bool)>> {
        let page = PAGE_SIZE as u32;
        if self.flat {
            // NT maps such an image as one piece that may be written and executed.
            let whole = ImageSection {
                name: Vec::new(),
                rva: 0,
                size: self.size.checked_next_multiple_of(page)?,
                file_offset: 0,
                file_size: self.size.min(u32::try_from(self.file_size).unwrap_or(u32::MAX)),
                protect: Protection::new(PAGE_EXECUTE_WRITECOPY).ok()?,
                shared: false,
            };
            return Some(Ok((vec![whole], true)));
        }
        let headers = ImageSection {
            name: Vec::new(),
            rva: 0,
            size: self.headers_size.checked_next_multiple_of(page)?,
            file_offset: 0,
            file_size: self.headers_size.min(u32::try_from(self.file_size).unwrap_or(u32::MAX)),
            protect: Protection::READ_ONLY,
            shared: false,
        };
        let mut next = self.headers_size.checked_next_multiple_of(self.section_alignment)?;
        let mut sections = vec![headers];
        let mut contains_code = false;
        for index in 0..count {
            let entry = table.from(index * 40)?;
            let flags = entry.u32(36)?;
            let (raw_size, raw_offset) = (entry.u32(16)?, entry.u32(20)?);
            let rva = entry.u32(12)?;
            let virtual_size = match entry.u32(8)? {
                0 => raw_size,
                size => size,
            };
            let size = virtual_size.checked_next_multiple_of(page)?;
            let end = rva.checked_add(size)?;
            // Sections follow one another without gaps: NT refuses anything else.
            if rva != next || end > self.size.checked_next_multiple_of(page)? {
                return Some(Err(STATUS_INVALID_IMAGE_FORMAT));
            }
            next =
                rva.checked_add(virtual_size)?.checked_next_multiple_of(self.section_alignment)?;
            // File positions count in sectors.
            let file_offset = raw_offset & !0x1FF;
            let file_size = if raw_offset == 0 { 0 } else { raw_size.min(size) };
            if file_size != 0 && u64::from(file_offset) >= self.file_size {
                return Some(Err(STATUS_INVALID_IMAGE_FORMAT));
            }
            contains_code |= flags & (IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE) != 0;
            let shared = flags & IMAGE_SCN_MEM_SHARED != 0;
            let name = entry.take::<8>(0)?;
            let name_len = name.iter().position(|byte| *byte == 0).unwrap_or(8);
            sections.push(ImageSection {
                name: name.get(..name_len)?.to_vec(),
                rva,
                size,
                file_offset,
                file_size,
                protect: section_protection(flags, shared)?,
                shared,
            });
        }
        sections.retain(|section| section.size != 0);
        Some(Ok((sections, contains_code)))
    }
}

/// The protection that NT gives the pages of a section with these characteristics.
fn section_protection(flags: u32, shared: bool) -> Option<Protection> {
    let has = |bit: u32| flags & bit != 0;
    let value =
        match (has(IMAGE_SCN_MEM_EXECUTE), has(IMAGE_SCN_MEM_WRITE), has(IMAGE_SCN_MEM_READ)) {
            (true, true, _) if shared => PAGE_EXECUTE_READWRITE,
            (true, true, _) => PAGE_EXECUTE_WRITECOPY,
            (true, false, true) => PAGE_EXECUTE_READ,
            (true, false, false) => PAGE_EXECUTE,
            (false, true, _) if shared => PAGE_READWRITE,
            (false, true, _) => PAGE_WRITECOPY,
            (false, false, true) => PAGE_READONLY,
            (false, false, false) => PAGE_NOACCESS,
        };
    Protection::new(value).ok()
}
