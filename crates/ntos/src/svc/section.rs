//! Section services: create, open, map, unmap, query, extend.
//!
//! The objects are in [`crate::mm::section`], views in [`crate::mm::view`].

use std::sync::Arc;

use abi::NtResult;
use abi::io::{FILE_EXECUTE, FILE_READ_DATA, FILE_WRITE_DATA};
use abi::mm::*;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::PROCESS_VM_OPERATION;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::dbgk;
use crate::io::FileObject;
use crate::mm::vad::USER_END;
use crate::mm::{self, FileBacking, Limits, MapRequest, Protection, Section};
use crate::ob::create_named;
use crate::ps::Process;

use super::args::{AccessMask, HandleValue};
use super::memory::{AllocationType, PageProtection, extended_limits};
use super::object::{give_handle, open_by_name};
use super::{Handle, In, InOut, Out, ServiceCx};

crate::flags_arg! {
    /// `AllocationAttributes` of a section.
    SectionAttributes {
        SEC_BASED = SEC_BASED, SEC_NO_CHANGE = SEC_NO_CHANGE, SEC_FILE = SEC_FILE,
        SEC_IMAGE = SEC_IMAGE, SEC_PROTECTED_IMAGE = SEC_PROTECTED_IMAGE,
        SEC_RESERVE = SEC_RESERVE, SEC_COMMIT = SEC_COMMIT, SEC_NOCACHE = SEC_NOCACHE,
        SEC_WRITECOMBINE = SEC_WRITECOMBINE, SEC_LARGE_PAGES = SEC_LARGE_PAGES,
    }
}

crate::enum_arg! {
    /// `SECTION_INHERIT`.
    SectionInherit { ViewShare = 1, ViewUnmap = 2 }
}

crate::enum_arg! {
    /// `SECTION_INFORMATION_CLASS`.
    SectionInfoClass {
        SectionBasicInformation = 0, SectionImageInformation = 1,
        SectionRelocationInformation = 2, SectionOriginalBaseInformation = 3,
        SectionInternalImageInformation = 4,
    }
}

/// Creates a section of a file, of an image, or of memory when there is no file; or opens the one of that name with
/// `OBJ_OPENIF`.
///
/// The file handle must grant what the protection needs. The statuses for files that are no images are NT's
/// (`STATUS_INVALID_IMAGE_NOT_MZ`, `STATUS_INVALID_IMAGE_FORMAT`, …).
#[service(Partial("SEC_LARGE_PAGES and SEC_BASED are refused"))]
pub(super) fn nt_create_section(
    cx: &mut ServiceCx<'_>,
    section_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    maximum_size: Option<In<i64>>,
    section_page_protection: PageProtection,
    allocation_attributes: SectionAttributes,
    file_handle: Handle,
) -> NtResult {
    let attributes = allocation_attributes.0;
    let kinds = attributes & (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE);
    let known = SEC_COMMIT
        | SEC_RESERVE
        | SEC_IMAGE
        | SEC_NOCACHE
        | SEC_WRITECOMBINE
        | SEC_NO_CHANGE
        | SEC_BASED
        | SEC_FILE
        | SEC_PROTECTED_IMAGE
        | SEC_LARGE_PAGES;
    if kinds.count_ones() != 1 || attributes & !known != 0 {
        return Err(STATUS_INVALID_PARAMETER_6);
    }
    let protect = Protection::new(section_page_protection.0)?;
    if protect.is_guard() || !protect.is_accessible() {
        return Err(STATUS_INVALID_PAGE_PROTECTION);
    }
    if attributes & SEC_LARGE_PAGES != 0 {
        return Err(STATUS_PRIVILEGE_NOT_HELD);
    }
    if attributes & SEC_BASED != 0 {
        cx.k.notice_once(
            "sections at one address in all processes (SEC_BASED) are not implemented".into(),
        );
        return Err(STATUS_NOT_IMPLEMENTED);
    }
    let object_attributes = cx.capture_attributes(object_attributes)?;
    let size = match maximum_size {
        Some(size) => size.read(cx)?,
        None => 0,
    };
    let size = u64::try_from(size).map_err(|_| STATUS_SECTION_TOO_BIG)?;
    let is_image = attributes & SEC_IMAGE != 0;
    let file = match file_handle.non_null() {
        Some(handle) => Some(file_of(cx, handle, protect, is_image)?),
        None => None,
    };
    let process = cx.process();
    let (section, status) =
        create_named(cx.k, process, object_attributes.as_ref(), |k| match (is_image, file) {
            (true, Some(file)) => {
                mm::section::create_image(k, file, attributes & SEC_IMAGE_NO_EXECUTE)
            }
            (true, None) => Err(STATUS_INVALID_FILE_FOR_SECTION),
            (false, file) => mm::create_data_section(k, file, size, protect, attributes),
        })?;
    give_handle(cx, section_handle, &section, desired_access, object_attributes.as_ref(), status)
}

/// [`nt_create_section`] with extended parameters, of which this machine has use for none.
#[service(Partial("extended parameters are refused"))]
pub(super) fn nt_create_section_ex(
    cx: &mut ServiceCx<'_>,
    section_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    maximum_size: Option<In<i64>>,
    section_page_protection: PageProtection,
    allocation_attributes: SectionAttributes,
    file_handle: Handle,
    _extended_parameters: Va,
    extended_parameter_count: u32,
) -> NtResult {
    if extended_parameter_count != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    nt_create_section(
        cx,
        section_handle,
        desired_access,
        object_attributes,
        maximum_size,
        section_page_protection,
        allocation_attributes,
        file_handle,
    )
}

/// The content of an open file, if the handle grants what a section of that protection needs.
fn file_of(
    cx: &mut ServiceCx<'_>,
    handle: Handle,
    protect: Protection,
    is_image: bool,
) -> NtResult<Arc<dyn FileBacking>> {
    let file = cx.reference::<FileObject>(handle, 0)?;
    let granted = cx.granted_access(handle)?;
    let allowed = if is_image {
        // DEVIATION: NT wants FILE_EXECUTE for an executable protection; the userland's loader opens its images for
        // reading alone, and execution is not a right that host files have.
        granted & (FILE_READ_DATA | FILE_EXECUTE) != 0
    } else {
        let needed = file_access(protect);
        granted & needed == needed
    };
    if !allowed {
        return Err(STATUS_ACCESS_DENIED);
    }
    file.section_backing()
}

/// What the file handle of a data section must grant.
fn file_access(protect: Protection) -> u32 {
    match protect.value() & 0xFF {
        PAGE_READONLY | PAGE_WRITECOPY => FILE_READ_DATA,
        PAGE_READWRITE => FILE_READ_DATA | FILE_WRITE_DATA,
        PAGE_EXECUTE => FILE_EXECUTE,
        PAGE_EXECUTE_READ | PAGE_EXECUTE_WRITECOPY => FILE_EXECUTE | FILE_READ_DATA,
        _ => FILE_EXECUTE | FILE_READ_DATA | FILE_WRITE_DATA,
    }
}

/// What the section handle must grant for a view.
fn map_access(protect: Protection) -> u32 {
    match protect.value() & 0xFF {
        PAGE_READWRITE => SECTION_MAP_WRITE,
        PAGE_EXECUTE => SECTION_MAP_EXECUTE,
        PAGE_EXECUTE_READ | PAGE_EXECUTE_WRITECOPY => SECTION_MAP_EXECUTE | SECTION_MAP_READ,
        PAGE_EXECUTE_READWRITE => SECTION_MAP_EXECUTE | SECTION_MAP_WRITE,
        _ => SECTION_MAP_READ,
    }
}

/// Opens a named section.
#[service]
pub(super) fn nt_open_section(
    cx: &mut ServiceCx<'_>,
    section_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<Section>(cx, section_handle, desired_access, object_attributes)
}

/// Maps a view of a section into a process.
///
/// Requires `PROCESS_VM_OPERATION` and the section right for the protection. `STATUS_MAPPED_ALIGNMENT` for a base or
/// offset off 64 KiB, `STATUS_INVALID_VIEW_SIZE` beyond the section, `STATUS_SECTION_PROTECTION` for rights that the
/// section lacks; an image elsewhere than linked gives `STATUS_IMAGE_NOT_AT_BASE`.
#[service]
pub(super) fn nt_map_view_of_section(
    cx: &mut ServiceCx<'_>,
    section_handle: Handle,
    process_handle: Handle,
    base_address: InOut<u64>,
    zero_bits: u64,
    commit_size: u64,
    section_offset: Option<InOut<i64>>,
    view_size: InOut<u64>,
    inherit_disposition: SectionInherit,
    allocation_type: AllocationType,
    page_protection: PageProtection,
) -> NtResult {
    if !(VIEW_SHARE..=VIEW_UNMAP).contains(&inherit_disposition.0) {
        return Err(STATUS_INVALID_PARAMETER_8);
    }
    let known = MEM_RESERVE | MEM_TOP_DOWN | MEM_LARGE_PAGES | MEM_DIFFERENT_IMAGE_BASE_OK;
    if allocation_type.0 & !known != 0 {
        return Err(STATUS_INVALID_PARAMETER_9);
    }
    let limits = Limits::of_zero_bits(zero_bits).ok_or(STATUS_INVALID_PARAMETER_4)?;
    let view = View { section_handle, process_handle, base_address, section_offset, view_size };
    map_view(cx, &view, allocation_type.0, page_protection, limits, commit_size)
}

/// [`nt_map_view_of_section`] with placeholders and address requirements.
#[service]
pub(super) fn nt_map_view_of_section_ex(
    cx: &mut ServiceCx<'_>,
    section_handle: Handle,
    process_handle: Handle,
    base_address: InOut<u64>,
    section_offset: Option<InOut<i64>>,
    view_size: InOut<u64>,
    allocation_type: AllocationType,
    page_protection: PageProtection,
    extended_parameters: Va,
    extended_parameter_count: u32,
) -> NtResult {
    let known = MEM_RESERVE
        | MEM_REPLACE_PLACEHOLDER
        | MEM_TOP_DOWN
        | MEM_LARGE_PAGES
        | MEM_DIFFERENT_IMAGE_BASE_OK;
    if allocation_type.0 & !known != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let base = base_address.read(cx)?;
    let limits = extended_limits(cx, extended_parameters, extended_parameter_count, base)?;
    let view = View { section_handle, process_handle, base_address, section_offset, view_size };
    map_view(cx, &view, allocation_type.0, page_protection, limits, 0)
}

/// What both forms of mapping are given.
struct View {
    section_handle: Handle,
    process_handle: Handle,
    base_address: InOut<u64>,
    section_offset: Option<InOut<i64>>,
    view_size: InOut<u64>,
}

fn map_view(
    cx: &mut ServiceCx<'_>,
    view: &View,
    allocation_type: u32,
    page_protection: PageProtection,
    mut limits: Limits,
    commit: u64,
) -> NtResult {
    let protect = Protection::new(page_protection.0)?;
    let base = view.base_address.read(cx)?;
    let size = view.view_size.read(cx)?;
    let offset = match view.section_offset {
        Some(offset) => offset.read(cx)?,
        None => 0,
    };
    if base >= USER_END {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    if size > USER_END - base {
        return Err(STATUS_INVALID_VIEW_SIZE);
    }
    cx.probe_write(view.base_address.at, 8)?;
    cx.probe_write(view.view_size.at, 8)?;
    limits.top_down = allocation_type & MEM_TOP_DOWN != 0;
    let section = cx.reference::<Section>(view.section_handle, map_access(protect))?;
    let process = cx.reference::<Process>(view.process_handle, PROCESS_VM_OPERATION)?;
    if process.is_exiting() && process.pid != cx.process().pid {
        return Err(STATUS_PROCESS_IS_TERMINATING);
    }
    let request = MapRequest {
        base: (base != 0).then_some(Va(base)),
        offset: u64::try_from(offset).map_err(|_| STATUS_INVALID_VIEW_SIZE)?,
        size,
        protect,
        limits,
        commit,
        replace: allocation_type & MEM_REPLACE_PLACEHOLDER != 0,
    };
    let (base, size, status) = mm::map_section(cx.k, &process, &section, &request)?;
    view.base_address.write(cx, &base.0)?;
    view.view_size.write(cx, &size)?;
    if let Some(out) = view.section_offset {
        out.write(cx, &offset)?;
    }
    if section.image().is_some() && process.pid == cx.process().pid {
        dbgk::post(cx.k, cx.thread, dbgk::What::LoadDll(base));
    }
    Ok(status)
}

/// Unmaps the view that holds an address; what was written to a file's view goes to the file.
///
/// Requires `PROCESS_VM_OPERATION`. `STATUS_NOT_MAPPED_VIEW` where no view is.
#[service]
pub(super) fn nt_unmap_view_of_section(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: Va,
) -> NtResult {
    unmap(cx, process_handle, base_address, 0)
}

/// [`nt_unmap_view_of_section`]; `MEM_PRESERVE_PLACEHOLDER` leaves a placeholder.
#[service]
pub(super) fn nt_unmap_view_of_section_ex(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    base_address: Va,
    flags: u32,
) -> NtResult {
    unmap(cx, process_handle, base_address, flags)
}

/// A hint of [`nt_unmap_view_of_section_ex`] about priorities, without effect here.
const MEM_UNMAP_WITH_TRANSIENT_BOOST: u32 = 1;

fn unmap(cx: &mut ServiceCx<'_>, process_handle: Handle, at: Va, flags: u32) -> NtResult {
    if flags & !(MEM_UNMAP_WITH_TRANSIENT_BOOST | MEM_PRESERVE_PLACEHOLDER) != 0 {
        return Err(STATUS_INVALID_PARAMETER_3);
    }
    let process = cx.reference::<Process>(process_handle, PROCESS_VM_OPERATION)?;
    let was_image = process.pid == cx.process().pid && mm::image_bases(&process).contains(&at);
    mm::unmap_view(cx.k, &process, at, flags & MEM_PRESERVE_PLACEHOLDER != 0)?;
    if was_image {
        dbgk::post(cx.k, cx.thread, dbgk::What::UnloadDll(at));
    }
    Ok(STATUS_SUCCESS)
}

/// Tells size and attributes of a section, or what its image's headers say.
///
/// Requires `SECTION_QUERY`. `STATUS_SECTION_NOT_IMAGE` for image classes of other sections.
#[service(Partial("SectionInternalImageInformation"))]
pub(super) fn nt_query_section(
    cx: &mut ServiceCx<'_>,
    section_handle: Handle,
    section_information_class: SectionInfoClass,
    section_information: Va,
    section_information_length: u64,
    return_length: Option<Out<u64>>,
) -> NtResult {
    use SectionInfoClass as C;
    use zerocopy::IntoBytes;
    let class = section_information_class.0;
    let needed = match class {
        C::SectionBasicInformation => size_of::<SECTION_BASIC_INFORMATION>(),
        C::SectionImageInformation => size_of::<SECTION_IMAGE_INFORMATION>(),
        C::SectionRelocationInformation | C::SectionOriginalBaseInformation => 8,
        _ => {
            cx.k.notice_once(format!("NtQuerySection class {class} is not implemented"));
            return Err(STATUS_INVALID_INFO_CLASS);
        }
    };
    if section_information_length < needed as u64 {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let section = cx.reference::<Section>(section_handle, SECTION_QUERY)?;
    let image = section.image().zip(section.image_base()).ok_or(STATUS_SECTION_NOT_IMAGE);
    let bytes = match class {
        C::SectionBasicInformation => SECTION_BASIC_INFORMATION {
            AllocationAttributes: section.attributes,
            MaximumSize: i64::try_from(section.size()).map_err(|_| STATUS_SECTION_TOO_BIG)?,
            ..SECTION_BASIC_INFORMATION::default()
        }
        .as_bytes()
        .to_vec(),
        C::SectionImageInformation => {
            let (info, base) = image?;
            mm::image_information(&info, Va(base)).to_vec()
        }
        C::SectionRelocationInformation => {
            let (info, base) = image?;
            base.wrapping_sub(info.base).to_le_bytes().to_vec()
        }
        _ => image?.0.base.to_le_bytes().to_vec(),
    };
    cx.write_bytes(section_information, &bytes)?;
    if let Some(out) = return_length {
        out.write(cx, &(bytes.len() as u64))?;
    }
    Ok(STATUS_SUCCESS)
}

/// Makes a file's section, and the file, larger.
///
/// Requires `SECTION_EXTEND_SIZE`. `STATUS_SECTION_NOT_EXTENDED` for images and memory; a smaller size changes nothing
/// and reports the size there is.
#[service]
pub(super) fn nt_extend_section(
    cx: &mut ServiceCx<'_>,
    section_handle: Handle,
    new_section_size: InOut<i64>,
) -> NtResult {
    let size = u64::try_from(new_section_size.read(cx)?).map_err(|_| STATUS_SECTION_TOO_BIG)?;
    cx.probe_write(new_section_size.at, 8)?;
    let section = cx.reference::<Section>(section_handle, SECTION_EXTEND_SIZE)?;
    let size = mm::section::extend_section(&section, size)?;
    new_section_size.write(cx, &i64::try_from(size).map_err(|_| STATUS_SECTION_TOO_BIG)?)?;
    Ok(STATUS_SUCCESS)
}

crate::service_table! {
    SERVICES:
    nt_create_section, nt_create_section_ex, nt_open_section, nt_map_view_of_section,
    nt_map_view_of_section_ex, nt_unmap_view_of_section, nt_unmap_view_of_section_ex,
    nt_query_section, nt_extend_section,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestMachine, in_out, out};

    const CURRENT: Handle = Handle::CURRENT_PROCESS;

    fn create(machine: &TestMachine, size: i64, protect: u32, attributes: u32) -> NtResult<Handle> {
        machine.put(0x20, &size);
        machine.with(|cx| {
            nt_create_section(
                cx,
                out(0),
                AccessMask(SECTION_ALL_ACCESS),
                None,
                Some(In::new(Va(crate::testing::DATA + 0x20))),
                PageProtection(protect),
                SectionAttributes(attributes),
                Handle(0),
            )
        })?;
        Ok(machine.handle_at(0))
    }

    fn map(machine: &TestMachine, section: Handle, offset: i64, protect: u32) -> NtResult<u64> {
        machine.put(0x30, &0u64);
        machine.put(0x38, &0u64);
        machine.put(0x40, &offset);
        machine.with(|cx| {
            nt_map_view_of_section(
                cx,
                section,
                CURRENT,
                in_out(0x30),
                0,
                0,
                Some(in_out(0x40)),
                in_out(0x38),
                SectionInherit(VIEW_UNMAP),
                AllocationType(0),
                PageProtection(protect),
            )
        })?;
        Ok(machine.get::<u64>(0x30))
    }

    #[test]
    fn memory_sections_are_shared_between_views() {
        let machine = TestMachine::new();
        let section = create(&machine, 0x1_8001, PAGE_READWRITE, SEC_COMMIT).unwrap();
        let one = map(&machine, section, 0, PAGE_READWRITE).unwrap();
        assert_eq!(machine.get::<u64>(0x38), 0x1_9000);
        let two = map(&machine, section, 0x1_0000, PAGE_READONLY).unwrap();
        assert_eq!(machine.get::<u64>(0x38), 0x9000);
        machine.with(|cx| cx.write(Va(one + 0x1_0010), &77u32)).unwrap();
        assert_eq!(machine.with(|cx| cx.read::<u32>(Va(two + 0x10))), Ok(77));
        assert!(machine.with(|cx| cx.write(Va(two + 0x10), &1u32)).is_err());
        assert_eq!(map(&machine, section, 0, PAGE_EXECUTE_READ), Err(STATUS_SECTION_PROTECTION));
        let unmap = |at: u64| machine.with(|cx| nt_unmap_view_of_section(cx, CURRENT, Va(at)));
        assert_eq!(unmap(one + 0x5000), Ok(STATUS_SUCCESS));
        assert_eq!(unmap(one), Err(STATUS_NOT_MAPPED_VIEW));
        machine.with(|cx| crate::ob::close(cx.k, cx.process(), section.0)).unwrap();
        assert_eq!(machine.with(|cx| cx.read::<u32>(Va(two + 0x10))), Ok(77));
        assert_eq!(unmap(two), Ok(STATUS_SUCCESS));
    }

    #[test]
    fn sections_are_checked_and_queried() {
        let machine = TestMachine::new();
        let refused = |size, protect, attributes| create(&machine, size, protect, attributes).err();
        assert_eq!(refused(0, PAGE_READWRITE, SEC_COMMIT), Some(STATUS_INVALID_PARAMETER_4));
        assert_eq!(refused(1, PAGE_READWRITE, 0), Some(STATUS_INVALID_PARAMETER_6));
        assert_eq!(refused(1, PAGE_NOACCESS, SEC_COMMIT), Some(STATUS_INVALID_PAGE_PROTECTION));
        assert_eq!(refused(1, PAGE_READONLY, SEC_IMAGE), Some(STATUS_INVALID_FILE_FOR_SECTION));
        assert_eq!(refused(-1, PAGE_READONLY, SEC_COMMIT), Some(STATUS_SECTION_TOO_BIG));
        assert_eq!(refused(1 << 50, PAGE_READONLY, SEC_COMMIT), Some(STATUS_SECTION_TOO_BIG));
        assert_eq!(refused(1 << 40, PAGE_READONLY, SEC_COMMIT), Some(STATUS_COMMITMENT_LIMIT));
        let section = create(&machine, 1 << 40, PAGE_READWRITE, SEC_RESERVE).unwrap();
        let query = |class, length| {
            machine.with(|cx| {
                let class = SectionInfoClass(class);
                let into = Va(crate::testing::DATA + 0x80);
                nt_query_section(cx, section, class, into, length, Some(out(0x70)))
            })
        };
        assert_eq!(query(0, 0x17), Err(STATUS_INFO_LENGTH_MISMATCH));
        assert_eq!(query(0, 0x18), Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<u64>(0x70), 0x18);
        assert_eq!(machine.get::<u32>(0x88), SEC_RESERVE);
        assert_eq!(machine.get::<u64>(0x90), 1 << 40);
        assert_eq!(query(1, 0x40), Err(STATUS_SECTION_NOT_IMAGE));
        assert_eq!(query(9, 0x40), Err(STATUS_INVALID_INFO_CLASS));
        machine.put(0x40, &0x100i64);
        let extended = machine.with(|cx| nt_extend_section(cx, section, in_out(0x40)));
        assert_eq!(extended, Err(STATUS_SECTION_NOT_EXTENDED));
    }
}
