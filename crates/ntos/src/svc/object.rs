//! Services of handles and of the namespace: close, duplicate, directories, symbolic links.
//!
//! Queries about an object are in [`super::object_query`]. The rules are in [`crate::ob`].

use abi::NtResult;
use abi::NtStatus;
use abi::ex::OBJECT_DIRECTORY_INFORMATION;
use abi::ob::*;
use abi::ps::PROCESS_DUP_HANDLE;
use abi::se::SE_CREATE_PERMANENT_PRIVILEGE;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::ob::handle::OBJ_PROTECT_CLOSE;
use crate::ob::{
    self, AnyRef, Directory, HandleEntry, ObRef, ObjectBody, SymbolicLink, create, create_named,
    namespace,
};
use crate::ps::Process;
use crate::se::require_privilege;

use super::args::{AccessMask, HandleValue};
use super::info::Reply;
use super::{Handle, In, InOut, ObjectAttributes, Out, ServiceCx};

crate::flags_arg! {
    /// The options of `NtDuplicateObject`.
    DuplicateOptions {
        DUPLICATE_CLOSE_SOURCE = DUPLICATE_CLOSE_SOURCE,
        DUPLICATE_SAME_ACCESS = DUPLICATE_SAME_ACCESS,
        DUPLICATE_SAME_ATTRIBUTES = DUPLICATE_SAME_ATTRIBUTES,
    }
}

/// Creates an object under the name of its attributes, or opens the one that is there if `OBJ_OPENIF` says so, and gives
/// the caller a handle: what all `NtCreate…` services of executive objects do.
pub(super) fn create_object<T: ObjectBody>(
    cx: &mut ServiceCx<'_>,
    out: Out<HandleValue>,
    access: AccessMask,
    attributes: Option<In<OBJECT_ATTRIBUTES>>,
    make: impl FnOnce(&mut Kernel) -> NtResult<ObRef<T>>,
) -> NtResult {
    let attributes = cx.capture_attributes(attributes)?;
    create_captured(cx, out, access, attributes.as_ref(), make)
}

/// [`create_object`] with attributes that have been captured.
fn create_captured<T: ObjectBody>(
    cx: &mut ServiceCx<'_>,
    out: Out<HandleValue>,
    access: AccessMask,
    attributes: Option<&ObjectAttributes>,
    make: impl FnOnce(&mut Kernel) -> NtResult<ObRef<T>>,
) -> NtResult {
    if attributes.is_some_and(|attributes| attributes.flags & OBJ_PERMANENT != 0) {
        require_privilege(cx.thread, SE_CREATE_PERMANENT_PRIVILEGE)?;
    }
    let (object, status) = create_named(cx.k, cx.process(), attributes, make)?;
    give_handle(cx, out, &object, access, attributes, status)
}

/// Opens a handle to an object that was made or found and stores it; `status` is what success gives.
///
/// When no handle can be given nothing is left behind: not the handle, and not the name of an object that was made for
/// this call.
pub(super) fn give_handle<T: ObjectBody>(
    cx: &mut ServiceCx<'_>,
    out: Out<HandleValue>,
    object: &ObRef<T>,
    access: AccessMask,
    attributes: Option<&ObjectAttributes>,
    status: NtStatus,
) -> NtResult {
    let flags = attributes.map_or(0, |attributes| attributes.flags);
    match cx.give_handle(out, object, access.0, flags) {
        Ok(_) => Ok(status),
        Err(refused) => {
            if object.header.handle_count() == 0 && !object.header.is_permanent() {
                let object: AnyRef = object.clone();
                namespace::remove_name(&object);
            }
            Err(refused)
        }
    }
}

/// Opens an existing object of a type by name: what all `NtOpen…` services of executive objects do.
pub(super) fn open_by_name<T: ObjectBody>(
    cx: &mut ServiceCx<'_>,
    out: Out<HandleValue>,
    access: AccessMask,
    attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    let attributes = cx.require_attributes(attributes)?;
    let process = cx.process();
    let object = ob::open_named::<T>(cx.k, process, &attributes)?;
    give_handle(cx, out, &object, access, Some(&attributes), STATUS_SUCCESS)
}

/// True for the values that stand for the current process, thread and tokens.
fn is_pseudo(handle: Handle) -> bool {
    (-6..=-1).contains(&(handle.0 as i64))
}

/// Closes a handle. Pseudo handles close without effect; a protected one gives `STATUS_HANDLE_NOT_CLOSABLE`.
#[service]
pub(super) fn nt_close(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult {
    if is_pseudo(handle) {
        return Ok(STATUS_SUCCESS);
    }
    ob::close(cx.k, cx.process(), handle.0)?;
    Ok(STATUS_SUCCESS)
}

/// Copies a handle between processes, or within one.
///
/// Both processes need `PROCESS_DUP_HANDLE`. `DUPLICATE_CLOSE_SOURCE` closes the source even if the copy fails. New
/// rights, if not `DUPLICATE_SAME_ACCESS`, are checked against the object when the source does not have them.
#[service]
pub(super) fn nt_duplicate_object(
    cx: &mut ServiceCx<'_>,
    source_process_handle: Handle,
    source_handle: Handle,
    target_process_handle: Handle,
    target_handle: Option<Out<HandleValue>>,
    desired_access: AccessMask,
    handle_attributes: u32,
    options: DuplicateOptions,
) -> NtResult {
    if let Some(out) = target_handle {
        out.probe(cx)?;
    }
    let source = cx.reference::<Process>(source_process_handle, PROCESS_DUP_HANDLE)?;
    let result = match target_process_handle.non_null() {
        Some(target) => {
            let request = Duplicate {
                access: desired_access.0,
                attributes: handle_attributes,
                options: options.0,
            };
            duplicate(cx, &source, source_handle, target, target_handle, request)
        }
        None if options.0 & DUPLICATE_CLOSE_SOURCE != 0 => Ok(STATUS_SUCCESS),
        None => Err(STATUS_INVALID_PARAMETER),
    };
    if options.0 & DUPLICATE_CLOSE_SOURCE != 0 && !is_pseudo(source_handle) {
        ob::close(cx.k, &source, source_handle.0)?;
    }
    result
}

#[derive(Clone, Copy)]
struct Duplicate {
    access: u32,
    attributes: u32,
    options: u32,
}

fn duplicate(
    cx: &mut ServiceCx<'_>,
    source: &ObRef<Process>,
    handle: Handle,
    target: Handle,
    out: Option<Out<HandleValue>>,
    request: Duplicate,
) -> NtResult {
    let target = cx.reference::<Process>(target, PROCESS_DUP_HANDLE)?;
    let entry = source_entry(cx, source, handle)?;
    if target.is_exiting() {
        return Err(STATUS_PROCESS_IS_TERMINATING);
    }
    let map = entry.object.object_type().access;
    let access = if request.options & DUPLICATE_SAME_ACCESS != 0 {
        entry.access
    } else {
        let wanted = map.map(request.access);
        if wanted & !entry.access == 0 {
            wanted
        } else {
            ob::grant(cx.k, &target, &entry.object, wanted)?
        }
    };
    let attributes = if request.options & DUPLICATE_SAME_ATTRIBUTES != 0 {
        entry.attributes
    } else {
        request.attributes & (OBJ_INHERIT | OBJ_PROTECT_CLOSE)
    };
    let object = entry.object;
    let new = target.handles.open().insert(HandleEntry { object, access, attributes })?;
    if let Some(out) = out
        && let Err(fault) = out.write(cx, &HandleValue(new))
    {
        ob::close(cx.k, &target, new)?;
        return Err(fault);
    }
    Ok(STATUS_SUCCESS)
}

/// What a handle of another process holds; a pseudo handle stands for that process or for the calling thread.
fn source_entry(
    cx: &mut ServiceCx<'_>,
    source: &ObRef<Process>,
    handle: Handle,
) -> NtResult<HandleEntry> {
    let object: AnyRef = match handle {
        Handle::CURRENT_PROCESS => source.clone(),
        Handle::CURRENT_THREAD => cx.thread.clone(),
        _ => return source.handles.open().get(handle.0).cloned(),
    };
    let access = object.object_type().access.all;
    Ok(HandleEntry { object, access, attributes: 0 })
}

/// Makes an object's name go with its last handle. Requires `DELETE`.
#[service]
pub(super) fn nt_make_temporary_object(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult {
    let object = cx.reference_any(handle, DELETE)?;
    object.header().set_permanent(false);
    Ok(STATUS_SUCCESS)
}

/// Makes an object's name stay when its last handle is closed. Requires `SeCreatePermanentPrivilege`.
#[service]
pub(super) fn nt_make_permanent_object(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult {
    require_privilege(cx.thread, SE_CREATE_PERMANENT_PRIVILEGE)?;
    let object = cx.reference_any(handle, 0)?;
    object.header().set_permanent(true);
    Ok(STATUS_SUCCESS)
}

/// `STATUS_SUCCESS` if two handles hold the same object, else `STATUS_NOT_SAME_OBJECT`.
#[service]
pub(super) fn nt_compare_objects(
    cx: &mut ServiceCx<'_>,
    first_object_handle: Handle,
    second_object_handle: Handle,
) -> NtResult {
    let first = cx.reference_any(first_object_handle, 0)?;
    let second = cx.reference_any(second_object_handle, 0)?;
    let same = std::ptr::eq(first.header(), second.header());
    if same { Ok(STATUS_SUCCESS) } else { Err(STATUS_NOT_SAME_OBJECT) }
}

/// Creates a directory of the namespace, or opens the one of that name with `OBJ_OPENIF`.
#[service]
pub(super) fn nt_create_directory_object(
    cx: &mut ServiceCx<'_>,
    directory_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    create_object(cx, directory_handle, desired_access, object_attributes, |k| {
        create(k, Directory::default())
    })
}

/// [`nt_create_directory_object`] with a shadow directory, in which names are also looked for.
#[service(Partial("shadow directories are refused"))]
pub(super) fn nt_create_directory_object_ex(
    cx: &mut ServiceCx<'_>,
    directory_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    shadow_directory_handle: Handle,
    flags: u32,
) -> NtResult {
    if flags != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if shadow_directory_handle.0 != 0 {
        let what = "NtCreateDirectoryObjectEx with a shadow directory is not implemented";
        cx.k.notice_once(what.to_owned());
        return Err(STATUS_NOT_SUPPORTED);
    }
    create_object(cx, directory_handle, desired_access, object_attributes, |k| {
        create(k, Directory::default())
    })
}

/// Opens a directory of the namespace by name.
#[service]
pub(super) fn nt_open_directory_object(
    cx: &mut ServiceCx<'_>,
    directory_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<Directory>(cx, directory_handle, desired_access, object_attributes)
}

/// Lists a directory: as many entries as fit, or one, after the entry that `context` counts to.
///
/// Requires `DIRECTORY_QUERY`. `STATUS_MORE_ENTRIES` tells that some are left, `STATUS_NO_MORE_ENTRIES` that none was,
/// `STATUS_BUFFER_TOO_SMALL` that not even one fits; `return_length` is then what that one needs.
#[service]
pub(super) fn nt_query_directory_object(
    cx: &mut ServiceCx<'_>,
    directory_handle: Handle,
    buffer: Va,
    length: u32,
    return_single_entry: bool,
    restart_scan: bool,
    context: InOut<u32>,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let reply = Reply { buffer, length, return_length };
    let start = if restart_scan { 0 } else { context.read(cx)? as usize };
    let directory = cx.reference::<Directory>(directory_handle, DIRECTORY_QUERY)?;
    let children = directory.list();
    let mut entries: Vec<(Vec<u16>, &'static str)> = Vec::new();
    let entry_size = size_of::<OBJECT_DIRECTORY_INFORMATION>();
    // An entry of zeros ends the list.
    let mut used = entry_size;
    let mut status = STATUS_SUCCESS;
    for child in children.iter().skip(start) {
        let name = child.header().name.open().name.0.clone();
        let kind = child.object_type().name;
        let needed = entry_size + (name.len() + kind.len() + 2) * 2;
        if used + needed > length as usize {
            if entries.is_empty() {
                reply.store_length(cx, used + needed)?;
                return Err(STATUS_BUFFER_TOO_SMALL);
            }
            status = STATUS_MORE_ENTRIES;
            break;
        }
        used += needed;
        entries.push((name, kind));
        if return_single_entry {
            break;
        }
    }
    if entries.is_empty() {
        return Err(STATUS_NO_MORE_ENTRIES);
    }
    let bytes = directory_listing(buffer, &entries);
    cx.write_bytes(buffer, &bytes)?;
    context.write(cx, &((start + entries.len()) as u32))?;
    reply.store_length(cx, bytes.len())?;
    Ok(status)
}

/// Entries, an entry of zeros, then the strings that they point to.
fn directory_listing(buffer: Va, entries: &[(Vec<u16>, &'static str)]) -> Vec<u8> {
    let mut head = Vec::new();
    let mut text: Vec<u8> = Vec::new();
    let text_at = (entries.len() + 1) * size_of::<OBJECT_DIRECTORY_INFORMATION>();
    for (name, kind) in entries {
        let mut add = |units: &[u16]| {
            let at = buffer.0.wrapping_add((text_at + text.len()) as u64);
            let bytes = units.len() as u16 * 2;
            text.extend(units.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()));
            UNICODE_STRING { Length: bytes, MaximumLength: bytes + 2, _pad: 0, Buffer: at }
        };
        let kind: Vec<u16> = kind.encode_utf16().collect();
        let entry = OBJECT_DIRECTORY_INFORMATION { Name: add(name), TypeName: add(&kind) };
        head.extend_from_slice(entry.as_bytes());
    }
    head.extend_from_slice(OBJECT_DIRECTORY_INFORMATION::default().as_bytes());
    head.extend(text);
    head
}

/// Creates a symbolic link. An empty or odd target gives `STATUS_INVALID_PARAMETER`.
#[service]
pub(super) fn nt_create_symbolic_link_object(
    cx: &mut ServiceCx<'_>,
    link_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    link_target: In<UNICODE_STRING>,
) -> NtResult {
    let string = link_target.read(cx)?;
    if string.MaximumLength == 0 || string.Length == 0 || string.Length % 2 != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let target = cx.capture_string(&string)?;
    let mut attributes = cx.capture_attributes(object_attributes)?;
    if let Some(attributes) = &mut attributes {
        attributes.flags |= OBJ_OPENLINK;
    }
    create_captured(cx, link_handle, desired_access, attributes.as_ref(), |k| {
        let created = k.system_time();
        create(k, SymbolicLink { target, created })
    })
}

/// Opens a symbolic link itself.
#[service]
pub(super) fn nt_open_symbolic_link_object(
    cx: &mut ServiceCx<'_>,
    link_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    let mut attributes = cx.require_attributes(object_attributes)?;
    attributes.flags |= OBJ_OPENLINK;
    let process = cx.process();
    let link = ob::open_named::<SymbolicLink>(cx.k, process, &attributes)?;
    give_handle(cx, link_handle, &link, desired_access, Some(&attributes), STATUS_SUCCESS)
}

/// Reports a link's target. Requires `SYMBOLIC_LINK_QUERY`.
///
/// When the length is asked for, the buffer must also hold a terminating zero. `STATUS_BUFFER_TOO_SMALL` stores the
/// length that is needed.
#[service]
pub(super) fn nt_query_symbolic_link_object(
    cx: &mut ServiceCx<'_>,
    link_handle: Handle,
    link_target: InOut<UNICODE_STRING>,
    returned_length: Option<Out<u32>>,
) -> NtResult {
    let mut string = link_target.read(cx)?;
    let link = cx.reference::<SymbolicLink>(link_handle, SYMBOLIC_LINK_QUERY)?;
    let mut bytes: Vec<u8> = link.target.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let length = bytes.len();
    bytes.extend([0, 0]);
    let room = usize::from(string.MaximumLength);
    let reply = Reply {
        buffer: Va(string.Buffer),
        length: string.MaximumLength.into(),
        return_length: returned_length,
    };
    let needed = if returned_length.is_some() { length + 2 } else { length };
    if room < needed {
        reply.store_length(cx, needed)?;
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    cx.write_bytes(Va(string.Buffer), bytes.get(..room.min(length + 2)).unwrap_or(&bytes))?;
    string.Length = length as u16;
    link_target.write(cx, &string)?;
    reply.store_length(cx, needed)
}

crate::service_table! { SERVICES:
    nt_close, nt_duplicate_object, nt_make_temporary_object, nt_make_permanent_object, nt_compare_objects,
    nt_create_directory_object, nt_create_directory_object_ex, nt_open_directory_object,
    nt_query_directory_object, nt_create_symbolic_link_object, nt_open_symbolic_link_object,
    nt_query_symbolic_link_object,
}
