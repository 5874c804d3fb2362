//! Section objects: a file, an image or shared memory that can be mapped.
//!
//! Key type: [`Section`]. What it maps is a segment ([`super::segment`], [`super::image`]); views are in
//! [`super::view`].

use std::sync::Arc;

use abi::NtResult;
use abi::mm::*;
use abi::status_table::*;
use guest_mem::{PAGE_SIZE, Va};

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};

use super::FileBacking;
use super::image::ImageSegment;
use super::pe::ImageInfo;
use super::protect::Protection;
use super::segment::DataSegment;
use super::space::bytes;

/// Sections larger than this are refused, as NT refuses what the paging file could never hold.
const MAX_SECTION: u64 = 1 << 44;

/// What a section maps.
pub enum SectionKind {
    /// An image.
    Image(Arc<ImageSegment>),
    /// A file's bytes, or memory.
    Data(Arc<DataSegment>),
}

/// A section: what can be mapped, how large, and with what rights.
pub struct Section {
    /// What it maps.
    pub kind: SectionKind,
    /// `SectionPageProtection`: what views may ask for.
    pub protect: Protection,
    /// `SEC_*`, as queries show them.
    pub attributes: u32,
    size: Guarded<u64>,
}

impl ObjectBody for Section {
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Section",
        access: AccessMap {
            read: 0x2_0005,
            write: 0x2_0002,
            execute: 0x2_0008,
            all: SECTION_ALL_ACCESS,
        },
        body_size: 0x40,
    };
}

impl Section {
    /// Bytes that can be mapped.
    pub fn size(&self) -> u64 {
        *self.size.open()
    }

    /// The headers, if it is an image.
    pub fn image(&self) -> Option<Arc<ImageInfo>> {
        match &self.kind {
            SectionKind::Image(segment) => Some(segment.info.clone()),
            SectionKind::Data(_) => None,
        }
    }

    /// Where the machine puts the image, if it is one.
    pub fn image_base(&self) -> Option<u64> {
        match &self.kind {
            SectionKind::Image(segment) => Some(segment.base),
            SectionKind::Data(_) => None,
        }
    }

    /// `SectionImageInformation`, if it is an image.
    pub fn image_information(&self) -> Option<SECTION_IMAGE_INFORMATION> {
        match &self.kind {
            SectionKind::Image(segment) => Some(information(&segment.info, segment.base)),
            SectionKind::Data(_) => None,
        }
    }
}

/// `SECTION_IMAGE_INFORMATION` of an image at a base, as the bytes that queries return.
pub fn image_information(info: &ImageInfo, base: Va) -> [u8; 0x40] {
    zerocopy::transmute!(information(info, base.0))
}

fn information(info: &ImageInfo, base: u64) -> SECTION_IMAGE_INFORMATION {
    let mut flags = 0;
    if base != info.base {
        flags |= IMAGE_FLAGS_DYNAMICALLY_RELOCATED;
    }
    if info.flat {
        flags |= IMAGE_FLAGS_MAPPED_FLAT;
    }
    if info.base < 1 << 32 {
        flags |= IMAGE_FLAGS_BASE_BELOW_4GB;
    }
    SECTION_IMAGE_INFORMATION {
        TransferAddress: match info.entry_rva {
            0 => 0,
            rva => base.wrapping_add(u64::from(rva)),
        },
        MaximumStackSize: info.stack_reserve,
        CommittedStackSize: info.stack_commit,
        SubSystemType: info.subsystem.into(),
        SubSystemMajorVersion: info.subsystem_major,
        SubSystemMinorVersion: info.subsystem_minor,
        MajorOperatingSystemVersion: info.os_major,
        MinorOperatingSystemVersion: info.os_minor,
        ImageCharacteristics: info.characteristics,
        DllCharacteristics: info.dll_characteristics,
        Machine: info.machine,
        ImageContainsCode: info.contains_code.into(),
        ImageFlags: flags,
        LoaderFlags: info.loader_flags,
        ImageFileSize: info.file_size,
        CheckSum: info.checksum,
        ..SECTION_IMAGE_INFORMATION::default()
    }
}

/// Makes a section of an image. The headers are checked here.
pub fn create_image_section(
    k: &mut Kernel,
    file: Arc<dyn FileBacking>,
) -> NtResult<ObRef<Section>> {
    create_image(k, file, SEC_IMAGE)
}

/// [`create_image_section`] with `SEC_IMAGE` or `SEC_IMAGE_NO_EXECUTE`.
pub fn create_image(
    k: &mut Kernel,
    file: Arc<dyn FileBacking>,
    attributes: u32,
) -> NtResult<ObRef<Section>> {
    // What views of the file have written is part of the image.
    super::cache::flush_file(k, file.identity())?;
    let ram = k.ram.clone();
    let segment = k.mm.images.open(&ram, file)?;
    let section = Section {
        size: Guarded::new(segment.info.size.into()),
        protect: Protection::new(PAGE_EXECUTE_WRITECOPY)?,
        attributes: attributes | SEC_FILE,
        kind: SectionKind::Image(segment),
    };
    ob::create(k, section)
}

/// Makes a section of a file's bytes, or of memory if there is no file.
///
/// `size` 0 means the whole file. A file that is shorter grows if the section can be written, else the section is
/// `STATUS_SECTION_TOO_BIG`.
pub fn create_data_section(
    k: &mut Kernel,
    file: Option<Arc<dyn FileBacking>>,
    size: u64,
    protect: Protection,
    attributes: u32,
) -> NtResult<ObRef<Section>> {
    let (segment, size, attributes) = match file {
        Some(file) => {
            let size = file_section_size(&*file, size, protect)?;
            (data_segment(k, file, protect), size, (attributes & !SEC_COMMIT) | SEC_FILE)
        }
        None => {
            if size == 0 {
                return Err(STATUS_INVALID_PARAMETER_4);
            }
            if size > MAX_SECTION {
                return Err(STATUS_SECTION_TOO_BIG);
            }
            let pages = size.div_ceil(PAGE_SIZE);
            let committed = if attributes & SEC_RESERVE != 0 { 0 } else { pages };
            let segment = DataSegment::of_memory(&k.ram, &k.mm.commit, committed)?;
            (segment, bytes(pages), attributes)
        }
    };
    let kind = SectionKind::Data(segment);
    ob::create(k, Section { kind, protect, attributes, size: Guarded::new(size) })
}

fn file_section_size(file: &dyn FileBacking, size: u64, protect: Protection) -> NtResult<u64> {
    let file_size = file.size().map_err(|_| STATUS_IN_PAGE_ERROR)?;
    if size > MAX_SECTION {
        return Err(STATUS_SECTION_TOO_BIG);
    }
    match size {
        0 if file_size == 0 => Err(STATUS_MAPPED_FILE_SIZE_ZERO),
        0 => Ok(file_size),
        size if size <= file_size => Ok(size),
        size if protect.is_write_shared() => {
            file.set_size(size).map_err(|_| STATUS_DISK_FULL)?;
            Ok(size)
        }
        _ => Err(STATUS_SECTION_TOO_BIG),
    }
}

/// The one segment of a file.
fn data_segment(
    k: &mut Kernel,
    file: Arc<dyn FileBacking>,
    protect: Protection,
) -> Arc<DataSegment> {
    let identity = file.identity();
    let writable = protect.is_write_shared();
    if let Some(segment) = k.mm.files.get(&identity).and_then(std::sync::Weak::upgrade) {
        if writable {
            segment.write_through(file);
        }
        return segment;
    }
    let segment = DataSegment::of_file(&k.ram, file, writable);
    k.mm.files.retain(|_, weak| weak.strong_count() > 0);
    k.mm.files.insert(identity, Arc::downgrade(&segment));
    segment
}

/// `NtExtendSection`: makes a file's section larger, and the file with it. Returns the size it has then.
pub fn extend_section(section: &Section, size: u64) -> NtResult<u64> {
    let SectionKind::Data(segment) = &section.kind else {
        return Err(STATUS_SECTION_NOT_EXTENDED);
    };
    let Some(file) = segment.file() else { return Err(STATUS_SECTION_NOT_EXTENDED) };
    let mut current = section.size.open();
    if size > *current {
        let file_size = file.size().map_err(|_| STATUS_IN_PAGE_ERROR)?;
        if size > file_size {
            if !section.protect.is_write_shared() {
                return Err(STATUS_SECTION_NOT_EXTENDED);
            }
            file.set_size(size).map_err(|_| STATUS_SECTION_NOT_EXTENDED)?;
        }
        *current = size;
    }
    Ok(*current)
}
