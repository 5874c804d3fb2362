//! The object manager: types, the namespace, handles, references.
//!
//! It owns the root directory and the rules of names and handles; it knows no type but Directory and SymbolicLink.
//!
//! Invariants: an object's body is reached under the executive lock only; a named object that is not permanent loses
//! its name with its last handle; the handle count equals the entries in all handle tables.
//!
//! A worked path, "`NtCreateEvent` with a name": the service captures the attributes
//! ([`crate::svc::ObjectAttributes`]), [`create_named`] looks the name up ([`namespace::lookup`]); if it is missing the
//! event is made ([`create`]) and inserted, else the existing one is opened with `STATUS_OBJECT_NAME_EXISTS` when
//! `OBJ_OPENIF` allows; [`open_handle`] enters it in the process's table.

pub mod directory;
pub mod handle;
pub mod namespace;
pub mod object;
pub mod types;

pub use directory::{Directory, SymbolicLink};
pub use handle::{HandleEntry, HandleTable};
pub use namespace::{Lookup, LookupOptions, lookup};
pub use object::{
    AccessMap, AnyObject, AnyRef, ObRef, Object, ObjectBody, ObjectHeader, TypeInfo, create,
    downcast,
};

use std::sync::Arc;

use abi::NtResult;
use abi::ob::*;
use abi::status_table::*;

use crate::Kernel;
use crate::ps::Process;
use crate::svc::ObjectAttributes;
use crate::ustr::UnicodeString;

/// State of the object manager.
pub struct ObState {
    /// `\`.
    pub root: ObRef<Directory>,
}

/// Makes a directory at an absolute path whose parent exists; used while the machine boots.
pub fn make_directory(k: &mut Kernel, path: &str) -> NtResult<ObRef<Directory>> {
    let directory = create(k, Directory::default())?;
    directory.header.set_permanent(true);
    insert_at(k, path, &directory)?;
    Ok(directory)
}

/// Makes a permanent symbolic link; used while the machine boots.
pub fn make_link(k: &mut Kernel, path: &str, target: &str) -> NtResult<()> {
    let created = k.host.system_time();
    let link = create(k, SymbolicLink { target: target.into(), created })?;
    link.header.set_permanent(true);
    insert_at(k, path, &link)
}

/// Inserts an object at an absolute path whose parent exists.
pub fn insert_at<T: ObjectBody>(k: &mut Kernel, path: &str, object: &ObRef<T>) -> NtResult<()> {
    let options = LookupOptions { ignore_case: true, open_link: true };
    match lookup(k, None, &UnicodeString::from(path), options)? {
        Lookup::Missing { directory, name } => namespace::insert(&directory, &name, object),
        _ => Err(STATUS_OBJECT_NAME_COLLISION),
    }
}

/// The object a root handle stands for, if one was given.
pub fn root_of(process: &Process, attributes: &ObjectAttributes) -> NtResult<Option<AnyRef>> {
    if attributes.root.0 == 0 {
        return Ok(None);
    }
    Ok(Some(process.handles.open().get(attributes.root.0)?.object.clone()))
}

/// Creates an object under the name of `attributes`, or opens the one that is there if `OBJ_OPENIF` says so.
///
/// The status is `STATUS_SUCCESS` or `STATUS_OBJECT_NAME_EXISTS`; the object is what to open a handle to.
pub fn create_named<T: ObjectBody>(
    k: &mut Kernel,
    process: &Process,
    attributes: Option<&ObjectAttributes>,
    make: impl FnOnce(&mut Kernel) -> NtResult<ObRef<T>>,
) -> NtResult<(ObRef<T>, abi::NtStatus)> {
    let Some((attributes, name)) =
        attributes.and_then(|a| Some((a, a.name.as_ref().filter(|n| !n.is_empty())?)))
    else {
        let object = make(k)?;
        if let Some(explicit) = attributes.and_then(|attributes| attributes.descriptor.as_deref()) {
            secure_new(k, process, &object, None, Some(explicit))?;
        }
        return Ok((object, STATUS_SUCCESS));
    };
    let root = root_of(process, attributes)?;
    match lookup(k, root, name, attributes.lookup_options())? {
        Lookup::Found(found) => {
            if attributes.flags & OBJ_OPENIF == 0 {
                // NT answers a type mismatch before a collision only when opening; creating collides.
                return Err(STATUS_OBJECT_NAME_COLLISION);
            }
            Ok((downcast::<T>(found)?, STATUS_OBJECT_NAME_EXISTS))
        }
        Lookup::Missing { directory, name } => {
            let object = make(k)?;
            let above = directory.header.security.open().clone();
            let explicit = attributes.descriptor.as_deref();
            secure_new(k, process, &object, above.as_deref(), explicit)?;
            namespace::insert(&directory, &name, &object)?;
            object.header.set_permanent(attributes.flags & OBJ_PERMANENT != 0);
            Ok((object, STATUS_SUCCESS))
        }
        Lookup::Parse { .. } => Err(STATUS_OBJECT_TYPE_MISMATCH),
    }
}

/// Gives a new object the descriptor that was asked for, or inherits one, or takes the token's default.
fn secure_new<T: ObjectBody>(
    k: &Kernel,
    process: &Process,
    object: &ObRef<T>,
    above: Option<&sd::SecurityDescriptor>,
    explicit: Option<&sd::SecurityDescriptor>,
) -> NtResult<()> {
    let kind = match T::TYPE.name {
        "Directory" => sd::inherit::Kind::Container,
        _ => sd::inherit::Kind::Object,
    };
    let token = crate::se::speaker(k, process);
    let map = &T::TYPE.access;
    let descriptor = crate::se::assign_security(&token, above, explicit, kind, map, false)?;
    object.header.secure_new(descriptor);
    Ok(())
}

/// Opens an existing object by name.
pub fn open_named<T: ObjectBody>(
    k: &mut Kernel,
    process: &Process,
    attributes: &ObjectAttributes,
) -> NtResult<ObRef<T>> {
    let root = root_of(process, attributes)?;
    let empty = UnicodeString::default();
    let name = attributes.name.as_ref().unwrap_or(&empty);
    if name.is_empty() && root.is_none() {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    match lookup(k, root, name, attributes.lookup_options())? {
        Lookup::Found(found) => downcast::<T>(found),
        Lookup::Missing { .. } => Err(STATUS_OBJECT_NAME_NOT_FOUND),
        Lookup::Parse { object, rest } if rest.is_empty() => downcast::<T>(object),
        Lookup::Parse { .. } => Err(STATUS_OBJECT_TYPE_MISMATCH),
    }
}

/// Checks access and enters an object in a process's handle table.
pub fn open_handle<T: ObjectBody>(
    k: &mut Kernel,
    process: &Process,
    object: &ObRef<T>,
    desired: u32,
    attributes: u32,
) -> NtResult<u64> {
    let object: AnyRef = object.clone();
    let access = match object.header().take_new() {
        true => grant_all(&object, desired),
        false => grant(k, process, &object, desired)?,
    };
    let entry = HandleEntry { object, access, attributes: attributes & OBJ_INHERIT };
    process.handles.open().insert(entry)
}

/// Maps generic rights and checks the request against the object's security descriptor.
pub fn grant(k: &Kernel, process: &Process, object: &AnyRef, desired: u32) -> NtResult<u32> {
    let map = object.object_type().access;
    let mapped = map.map(desired);
    let security = object.header().security.open().clone();
    match security {
        Some(descriptor) => crate::se::access_check(k, process, &descriptor, mapped, &map),
        None => Ok(grant_all(object, desired)),
    }
}

/// The rights of a request that nothing restricts.
fn grant_all(object: &AnyRef, desired: u32) -> u32 {
    let map = object.object_type().access;
    let mapped = map.map(desired);
    match mapped & MAXIMUM_ALLOWED {
        0 => mapped,
        _ => map.all | mapped & !MAXIMUM_ALLOWED,
    }
}

/// Closes a handle of a process.
pub fn close(k: &mut Kernel, process: &Process, handle: u64) -> NtResult<()> {
    let entry = process.handles.open().remove(handle)?;
    closed(k, entry);
    Ok(())
}

/// What follows the removal of an entry from a handle table.
pub fn closed(k: &mut Kernel, entry: HandleEntry) {
    let object = entry.object;
    object.clone().handle_closed(k);
    if object.header().remove_handle() == 0 {
        object.clone().last_handle_closed(k);
        if !object.header().is_permanent() {
            namespace::remove_name(&object);
        }
    }
}

/// Makes the boot-time namespace's root object.
pub fn initial_state(pool: &Arc<crate::mm::pool::KernelPool>) -> NtResult<ObState> {
    Ok(ObState { root: object::create_in(pool, Directory::default())? })
}
