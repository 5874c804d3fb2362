//! The Key object type, and opening, creating, changing and deleting keys.
//!
//! Key type: [`Key`]. Every change of the registry that a guest makes goes through here, so that access is checked and
//! watchers are told. The services in `svc::key` capture and lay out.

use std::sync::Arc;

use abi::NtResult;
use abi::cm::*;
use abi::ob::*;
use abi::se::*;
use abi::status_table::*;
use sd::SecurityDescriptor;

use crate::Kernel;
use crate::ob::{
    self, AccessMap, HandleEntry, Lookup, LookupOptions, ObRef, ObjectBody, TypeInfo, downcast,
};
use crate::se;
use crate::svc::{ObjectAttributes, ServiceCx};
use crate::ustr::UnicodeString;

use super::hive::{KeyCell, Storage};
use super::registry::{Found, KeyId};
use super::{notify, store};

/// An open key.
pub struct Key {
    /// The key.
    pub id: KeyId,
    /// `KEY_HANDLE_TAGS_INFORMATION`, which user mode sets.
    pub tags: std::sync::atomic::AtomicU32,
}

/// How generic rights map for keys.
pub const ACCESS: AccessMap =
    AccessMap { read: KEY_READ, write: KEY_WRITE, execute: 0x2_0039, all: KEY_ALL_ACCESS };

impl ObjectBody for Key {
    const TYPE: &'static TypeInfo = &TypeInfo { name: "Key", access: ACCESS, body_size: 0x10 };

    fn query_name(object: &ObRef<Self>, k: &Kernel) -> Option<UnicodeString> {
        k.cm.registry.path(object.id).ok()
    }

    fn last_handle_closed(object: &ObRef<Self>, k: &mut Kernel) {
        if let Ok(cell) = k.cm.registry.get_mut(object.id) {
            cell.opens = cell.opens.saturating_sub(1);
        }
        notify::closed(k, object.header.address());
    }
}

/// Whether a key was there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// It was made.
    Created,
    /// It was there.
    Opened,
}

/// What a create or open call says besides the name.
#[derive(Clone, Debug, Default)]
pub struct OpenRequest {
    /// Desired access.
    pub access: u32,
    /// `REG_OPTION_…`.
    pub options: u32,
    /// Class name of a new key.
    pub class: UnicodeString,
}

/// Makes an object for a key, without checking access.
pub fn open_object(k: &mut Kernel, id: KeyId) -> NtResult<ObRef<Key>> {
    let security = k.cm.registry.get(id)?.security.clone();
    let object = ob::create(k, Key { id, tags: Default::default() })?;
    *object.header.security.open() = Some(security);
    let cell = k.cm.registry.get_mut(id)?;
    cell.opens = cell.opens.saturating_add(1);
    Ok(object)
}

/// The key that a path starts at and the path from there on.
fn start_of(
    cx: &mut ServiceCx<'_>,
    attributes: &ObjectAttributes,
) -> NtResult<(KeyId, UnicodeString)> {
    let root = ob::root_of(cx.process(), attributes)?;
    let empty = UnicodeString::default();
    let name = attributes.name.as_ref().unwrap_or(&empty);
    // Names of registry keys never mind the case, whatever the attributes say.
    let options = LookupOptions { ignore_case: true, open_link: true };
    match ob::lookup(cx.k, root, name, options)? {
        Lookup::Parse { object, rest } => Ok((downcast::<Key>(object)?.id, rest)),
        Lookup::Found(_) => Err(STATUS_OBJECT_TYPE_MISMATCH),
        Lookup::Missing { .. } => Err(STATUS_OBJECT_NAME_NOT_FOUND),
    }
}

fn find(cx: &mut ServiceCx<'_>, attributes: &ObjectAttributes, options: u32) -> NtResult<Found> {
    let (start, rest) = start_of(cx, attributes)?;
    let links = REG_OPTION_OPEN_LINK | REG_OPTION_CREATE_LINK;
    let open_link = attributes.flags & OBJ_OPENLINK != 0 || options & links != 0;
    cx.k.cm.registry.find(start, &rest, open_link)
}

/// What `REG_OPTION_BACKUP_RESTORE` grants instead of the rights asked for.
fn grant_backup(cx: &ServiceCx<'_>) -> NtResult<u32> {
    let mut granted = 0;
    if se::require_privilege(cx.thread, SE_BACKUP_PRIVILEGE).is_ok() {
        granted |= KEY_READ | ACCESS_SYSTEM_SECURITY;
    }
    if se::require_privilege(cx.thread, SE_RESTORE_PRIVILEGE).is_ok() {
        granted |= KEY_WRITE | ACCESS_SYSTEM_SECURITY | WRITE_DAC | WRITE_OWNER | DELETE;
    }
    if granted == 0 { Err(STATUS_ACCESS_DENIED) } else { Ok(granted) }
}

fn check(cx: &ServiceCx<'_>, id: KeyId, access: u32) -> NtResult<u32> {
    let security = cx.k.cm.registry.get(id)?.security.clone();
    se::check_as(&se::effective_token(cx.thread), &security, access, &ACCESS)
}

/// Enters a key in the caller's handle table.
fn insert(cx: &mut ServiceCx<'_>, id: KeyId, access: u32, flags: u32) -> NtResult<u64> {
    let object = open_object(cx.k, id)?;
    let entry = HandleEntry { object, access, attributes: flags & OBJ_INHERIT };
    cx.process().handles.open().insert(entry)
}

/// Opens a key that exists and returns a handle.
pub fn open(
    cx: &mut ServiceCx<'_>,
    attributes: &ObjectAttributes,
    request: &OpenRequest,
) -> NtResult<u64> {
    match find(cx, attributes, request.options)? {
        Found::Key(id) => open_found(cx, id, attributes.flags, request),
        Found::Missing { .. } => Err(STATUS_OBJECT_NAME_NOT_FOUND),
    }
}

fn open_found(
    cx: &mut ServiceCx<'_>,
    id: KeyId,
    flags: u32,
    request: &OpenRequest,
) -> NtResult<u64> {
    let granted = if request.options & REG_OPTION_BACKUP_RESTORE != 0 {
        grant_backup(cx)?
    } else {
        // The WOW64 bits choose a view in user mode; they are no rights.
        check(cx, id, request.access & !KEY_WOW64_RES)?
    };
    insert(cx, id, granted, flags)
}

/// Opens a key or makes it, and returns a handle.
pub fn create(
    cx: &mut ServiceCx<'_>,
    attributes: &ObjectAttributes,
    request: &OpenRequest,
) -> NtResult<(u64, Disposition)> {
    let (parent, name) = match find(cx, attributes, request.options)? {
        Found::Key(_) if request.options & REG_OPTION_CREATE_LINK != 0 => {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        Found::Key(id) => {
            let handle = open_found(cx, id, attributes.flags, request)?;
            return Ok((handle, Disposition::Opened));
        }
        Found::Missing { parent, name } => (parent, name),
    };
    let registry = &cx.k.cm.registry;
    if registry.is_in_master(parent) {
        // Observed on Windows: nothing can be made right under HKEY_LOCAL_MACHINE and HKEY_USERS.
        return Err(STATUS_INVALID_PARAMETER);
    }
    let storage = match request.options & REG_OPTION_VOLATILE {
        0 => Storage::Stable,
        _ => Storage::Volatile,
    };
    if storage == Storage::Stable && registry.is_volatile(parent)? {
        return Err(STATUS_CHILD_MUST_BE_VOLATILE);
    }
    if registry.get(parent)?.is_link {
        return Err(STATUS_ACCESS_DENIED);
    }
    // Documented is the limit; which status tells of it is believed.
    if registry.depth(parent)? >= regf::MAX_DEPTH {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let is_link = request.options & REG_OPTION_CREATE_LINK != 0;
    let needed = KEY_CREATE_SUB_KEY | if is_link { KEY_CREATE_LINK } else { 0 };
    let above = registry.get(parent)?.security.clone();
    let backup = request.options & REG_OPTION_BACKUP_RESTORE != 0;
    if !backup {
        check(cx, parent, needed)?;
    }
    let kind = sd::inherit::Kind::Container;
    let explicit = attributes.descriptor.as_deref();
    let token = se::effective_token(cx.thread);
    let security = se::assign_security(&token, Some(&above), explicit, kind, &ACCESS, true)?;
    // The maker gets what it asks for.
    let asked = ACCESS.map(request.access & !KEY_WOW64_RES);
    if asked & ACCESS_SYSTEM_SECURITY != 0 {
        se::require_privilege(cx.thread, SE_SECURITY_PRIVILEGE)?;
    }
    let granted = match asked & MAXIMUM_ALLOWED {
        _ if backup => grant_backup(cx)?,
        0 => asked,
        _ => ACCESS.all | asked & !MAXIMUM_ALLOWED,
    };
    let now = cx.k.system_time();
    let class = request.class.clone();
    let cell = KeyCell { class, is_link, ..KeyCell::new(&name, storage, now, security) };
    let id = cx.k.cm.registry.add(parent, cell)?;
    let handle = insert(cx, id, granted, attributes.flags)?;
    changed(cx.k, parent, REG_NOTIFY_CHANGE_NAME);
    Ok((handle, Disposition::Created))
}

/// A key changed: its hive is to be written, its watchers are told.
pub fn changed(k: &mut Kernel, id: KeyId, change: u32) {
    store::touch(k, id);
    notify::changed(k, id, change);
}

/// Deletes a key; `STATUS_CANNOT_DELETE` if it has subkeys. A key that is deleted already is no error.
pub fn delete(k: &mut Kernel, id: KeyId) -> NtResult<()> {
    let now = k.system_time();
    let Ok(parent) = k.cm.registry.parent(id) else { return Ok(()) };
    k.cm.registry.remove(id, now)?;
    notify::deleted(k, id);
    if let Some(parent) = parent {
        changed(k, parent, REG_NOTIFY_CHANGE_NAME);
    }
    Ok(())
}

/// Gives a key another name.
pub fn rename(k: &mut Kernel, id: KeyId, name: &[u16]) -> NtResult<()> {
    if name.is_empty() || name.len() > MAX_KEY_NAME || name.contains(&u16::from(b'\\')) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let now = k.system_time();
    k.cm.registry.rename(id, name, now)?;
    if let Some(parent) = k.cm.registry.parent(id)? {
        changed(k, parent, REG_NOTIFY_CHANGE_NAME);
    }
    Ok(())
}

/// Sets a value. A link key takes its target and nothing else.
pub fn set_value(
    k: &mut Kernel,
    id: KeyId,
    name: &[u16],
    kind: u32,
    data: Vec<u8>,
) -> NtResult<()> {
    let now = k.system_time();
    let key = k.cm.registry.get_mut(id)?;
    if key.is_link {
        let target_name = UnicodeString::from("SymbolicLinkValue");
        if kind != REG_LINK || !crate::ustr::eq_ignore_case(name, &target_name) {
            return Err(STATUS_ACCESS_DENIED);
        }
    }
    key.set_value(name, kind, data);
    key.last_write = now;
    changed(k, id, REG_NOTIFY_CHANGE_LAST_SET);
    Ok(())
}

/// Removes a value.
pub fn delete_value(k: &mut Kernel, id: KeyId, name: &[u16]) -> NtResult<()> {
    let now = k.system_time();
    let key = k.cm.registry.get_mut(id)?;
    let index = key.value_index(name).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    key.values.remove(index);
    key.last_write = now;
    changed(k, id, REG_NOTIFY_CHANGE_LAST_SET);
    Ok(())
}

/// Replaces a key's descriptor.
pub fn set_security(
    k: &mut Kernel,
    key: &ObRef<Key>,
    security: SecurityDescriptor,
) -> NtResult<()> {
    let now = k.system_time();
    let security = Arc::new(security);
    let cell = k.cm.registry.get_mut(key.id)?;
    cell.security = security.clone();
    cell.last_write = now;
    *key.header.security.open() = Some(security);
    changed(k, key.id, REG_NOTIFY_CHANGE_SECURITY);
    Ok(())
}

/// Counts the key objects that are open inside a key, the key itself left out.
pub fn count_open_subkeys(k: &Kernel, id: KeyId) -> NtResult<u32> {
    let mut count = 0u32;
    let mut stack = k.cm.registry.children(id)?;
    while let Some(id) = stack.pop() {
        count = count.saturating_add(k.cm.registry.get(id)?.opens);
        stack.extend(k.cm.registry.children(id)?);
    }
    Ok(count)
}

/// A key object that no handle leads to, for watching a second key. Needs `KEY_NOTIFY`.
pub fn open_watched(cx: &mut ServiceCx<'_>, id: KeyId) -> NtResult<ObRef<Key>> {
    check(cx, id, KEY_NOTIFY)?;
    open_object(cx.k, id)
}

/// Finds the key that attributes name, for services that take no handle.
pub fn find_existing(cx: &mut ServiceCx<'_>, attributes: &ObjectAttributes) -> NtResult<KeyId> {
    match find(cx, attributes, 0)? {
        Found::Key(id) => Ok(id),
        Found::Missing { .. } => Err(STATUS_OBJECT_NAME_NOT_FOUND),
    }
}
