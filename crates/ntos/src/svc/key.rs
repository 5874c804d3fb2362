//! Services of registry keys.
//!
//! They capture, check the handle and lay answers out; what happens to keys is in [`crate::cm::key`], the layouts are in
//! [`crate::cm::information`].

use abi::NtResult;
use abi::cm::*;
use abi::ob::{DELETE, OBJECT_ATTRIBUTES, UNICODE_STRING};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::cm::Key;
use crate::cm::information::{Information, key_information, value_information};
use crate::cm::key::{self, Disposition, OpenRequest};
use crate::svc::args::{HandleValue, optional_string};
use crate::svc::{Handle, In, InOut, Out, ServiceCx};
use crate::ustr::UnicodeString;
use crate::{enum_arg, flags_arg};

mod watch;

use watch::{nt_notify_change_key, nt_notify_change_multiple_keys};

flags_arg! {
    /// Access rights of a key.
    KeyAccess {
        KEY_ALL_ACCESS = KEY_ALL_ACCESS, KEY_READ = KEY_READ, KEY_WRITE = KEY_WRITE,
        KEY_QUERY_VALUE = KEY_QUERY_VALUE, KEY_SET_VALUE = KEY_SET_VALUE,
        KEY_CREATE_SUB_KEY = KEY_CREATE_SUB_KEY, KEY_ENUMERATE_SUB_KEYS = KEY_ENUMERATE_SUB_KEYS,
        KEY_NOTIFY = KEY_NOTIFY, KEY_CREATE_LINK = KEY_CREATE_LINK,
        KEY_WOW64_64KEY = KEY_WOW64_64KEY, KEY_WOW64_32KEY = KEY_WOW64_32KEY,
        MAXIMUM_ALLOWED = abi::ob::MAXIMUM_ALLOWED,
        ACCESS_SYSTEM_SECURITY = abi::ob::ACCESS_SYSTEM_SECURITY,
        GENERIC_READ = abi::ob::GENERIC_READ, GENERIC_WRITE = abi::ob::GENERIC_WRITE,
        GENERIC_EXECUTE = abi::ob::GENERIC_EXECUTE, GENERIC_ALL = abi::ob::GENERIC_ALL,
        DELETE = DELETE, READ_CONTROL = abi::ob::READ_CONTROL, WRITE_DAC = abi::ob::WRITE_DAC,
        WRITE_OWNER = abi::ob::WRITE_OWNER, SYNCHRONIZE = abi::ob::SYNCHRONIZE,
    }
}

flags_arg! {
    /// `REG_OPTION_…`.
    KeyOptions {
        REG_OPTION_VOLATILE = REG_OPTION_VOLATILE, REG_OPTION_CREATE_LINK = REG_OPTION_CREATE_LINK,
        REG_OPTION_BACKUP_RESTORE = REG_OPTION_BACKUP_RESTORE,
        REG_OPTION_OPEN_LINK = REG_OPTION_OPEN_LINK,
        REG_OPTION_DONT_VIRTUALIZE = REG_OPTION_DONT_VIRTUALIZE,
    }
}

flags_arg! {
    /// `REG_NOTIFY_…`.
    NotifyFilter {
        REG_NOTIFY_CHANGE_NAME = REG_NOTIFY_CHANGE_NAME,
        REG_NOTIFY_CHANGE_ATTRIBUTES = REG_NOTIFY_CHANGE_ATTRIBUTES,
        REG_NOTIFY_CHANGE_LAST_SET = REG_NOTIFY_CHANGE_LAST_SET,
        REG_NOTIFY_CHANGE_SECURITY = REG_NOTIFY_CHANGE_SECURITY,
        REG_NOTIFY_THREAD_AGNOSTIC = REG_NOTIFY_THREAD_AGNOSTIC,
    }
}

enum_arg! {
    /// `REG_…` types of values.
    ValueType {
        REG_NONE = 0, REG_SZ = 1, REG_EXPAND_SZ = 2, REG_BINARY = 3, REG_DWORD = 4,
        REG_DWORD_BIG_ENDIAN = 5, REG_LINK = 6, REG_MULTI_SZ = 7, REG_RESOURCE_LIST = 8,
        REG_FULL_RESOURCE_DESCRIPTOR = 9, REG_RESOURCE_REQUIREMENTS_LIST = 10, REG_QWORD = 11,
    }
}

enum_arg! {
    /// `KEY_INFORMATION_CLASS`.
    KeyInformationClass {
        KeyBasicInformation = 0, KeyNodeInformation = 1, KeyFullInformation = 2,
        KeyNameInformation = 3, KeyCachedInformation = 4, KeyFlagsInformation = 5,
        KeyVirtualizationInformation = 6, KeyHandleTagsInformation = 7, KeyTrustInformation = 8,
        KeyLayerInformation = 9,
    }
}

enum_arg! {
    /// `KEY_VALUE_INFORMATION_CLASS`.
    KeyValueInformationClass {
        KeyValueBasicInformation = 0, KeyValueFullInformation = 1, KeyValuePartialInformation = 2,
        KeyValueFullInformationAlign64 = 3, KeyValuePartialInformationAlign64 = 4,
        KeyValueLayerInformation = 5,
    }
}

enum_arg! {
    /// `KEY_SET_INFORMATION_CLASS`.
    KeySetInformationClass {
        KeyWriteTimeInformation = 0, KeyWow64FlagsInformation = 1, KeyControlFlagsInformation = 2,
        KeySetVirtualizationInformation = 3, KeySetDebugInformation = 4,
        KeySetHandleTagsInformation = 5,
    }
}

/// Stores a handle; a fault closes it again.
fn store_handle(cx: &mut ServiceCx<'_>, out: Out<HandleValue>, handle: u64) -> NtResult<()> {
    if let Err(fault) = out.write(cx, &HandleValue(handle)) {
        let process = cx.process();
        crate::ob::close(cx.k, process, handle)?;
        return Err(fault);
    }
    Ok(())
}

/// Opens a key, or makes it in an existing key.
///
/// Making needs `KEY_CREATE_SUB_KEY` to the key above. `STATUS_CHILD_MUST_BE_VOLATILE` for a stable key in a volatile
/// one, `STATUS_OBJECT_NAME_NOT_FOUND` when more than the last name is missing.
#[service]
fn nt_create_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Out<HandleValue>,
    desired_access: KeyAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    _title_index: u32,
    class: Option<In<UNICODE_STRING>>,
    create_options: KeyOptions,
    disposition: Option<Out<u32>>,
) -> NtResult {
    if create_options.0 & !REG_LEGAL_OPTION != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    key_handle.probe(cx)?;
    if let Some(out) = disposition {
        out.probe(cx)?;
    }
    let attributes = cx.require_attributes(object_attributes)?;
    let class = optional_string(cx, class)?.unwrap_or_default();
    let request = OpenRequest { access: desired_access.0, options: create_options.0, class };
    let (handle, made) = key::create(cx, &attributes, &request)?;
    store_handle(cx, key_handle, handle)?;
    if let Some(out) = disposition {
        let value = match made {
            Disposition::Created => REG_CREATED_NEW_KEY,
            Disposition::Opened => REG_OPENED_EXISTING_KEY,
        };
        out.write(cx, &value)?;
    }
    Ok(STATUS_SUCCESS)
}

/// Opens a key that exists.
#[service]
fn nt_open_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Out<HandleValue>,
    desired_access: KeyAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    nt_open_key_ex(cx, key_handle, desired_access, object_attributes, KeyOptions(0))
}

/// Opens a key that exists, with options: `REG_OPTION_OPEN_LINK`, `REG_OPTION_BACKUP_RESTORE`.
#[service]
fn nt_open_key_ex(
    cx: &mut ServiceCx<'_>,
    key_handle: Out<HandleValue>,
    desired_access: KeyAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    open_options: KeyOptions,
) -> NtResult {
    let legal = REG_OPTION_OPEN_LINK | REG_OPTION_BACKUP_RESTORE | REG_OPTION_DONT_VIRTUALIZE;
    if open_options.0 & !legal != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    key_handle.probe(cx)?;
    let attributes = cx.require_attributes(object_attributes)?;
    let options = open_options.0;
    let request = OpenRequest { access: desired_access.0, options, ..OpenRequest::default() };
    let handle = key::open(cx, &attributes, &request)?;
    store_handle(cx, key_handle, handle)?;
    Ok(STATUS_SUCCESS)
}

/// Deletes a key; the name is free at once, open handles answer `STATUS_KEY_DELETED`. Requires `DELETE`.
///
/// `STATUS_CANNOT_DELETE` while it has subkeys.
#[service]
fn nt_delete_key(cx: &mut ServiceCx<'_>, key_handle: Handle) -> NtResult {
    let key = cx.reference::<Key>(key_handle, DELETE)?;
    key::delete(cx.k, key.id)?;
    Ok(STATUS_SUCCESS)
}

/// Gives a key another name in the same parent. Requires `KEY_WRITE`.
#[service]
fn nt_rename_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    new_name: In<UNICODE_STRING>,
) -> NtResult {
    let key = cx.reference::<Key>(key_handle, KEY_WRITE)?;
    let name = cx.capture_string_at(new_name.at)?;
    key::rename(cx.k, key.id, &name)?;
    Ok(STATUS_SUCCESS)
}

/// Writes an answer as the registry's queries do: `STATUS_BUFFER_TOO_SMALL` when not even the fixed part fits,
/// `STATUS_BUFFER_OVERFLOW` with the part that fits, and the whole length in any case.
fn answer(
    cx: &mut ServiceCx<'_>,
    information: &Information,
    buffer: Va,
    length: u32,
    result_length: Out<u32>,
) -> NtResult {
    let total = information.bytes.len();
    let needed = u32::try_from(total).map_err(|_| STATUS_INTERNAL_ERROR)?;
    result_length.write(cx, &needed)?;
    let length = length as usize;
    if length < information.fixed {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    let part = information.bytes.get(..length).unwrap_or(&information.bytes);
    cx.write_bytes(buffer, part)?;
    if length < total { Err(STATUS_BUFFER_OVERFLOW) } else { Ok(STATUS_SUCCESS) }
}

/// Says what a key is. Requires `KEY_QUERY_VALUE`, for `KeyNameInformation` nothing.
#[service]
fn nt_query_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    key_information_class: KeyInformationClass,
    key_information_buffer: Va,
    length: u32,
    result_length: Out<u32>,
) -> NtResult {
    let class = key_information_class.0;
    let access = match class {
        KeyInformationClass::KeyNameInformation | KeyInformationClass::KeyHandleTagsInformation => {
            0
        }
        _ => KEY_QUERY_VALUE,
    };
    let key = cx.reference::<Key>(key_handle, access)?;
    let information = if class == KeyInformationClass::KeyHandleTagsInformation {
        cx.k.cm.registry.get(key.id)?;
        let tags = key.tags.load(std::sync::atomic::Ordering::Relaxed);
        Information { bytes: tags.to_le_bytes().to_vec(), fixed: 4 }
    } else {
        key_information(&cx.k.cm.registry, key.id, class)?
    };
    answer(cx, &information, key_information_buffer, length, result_length)
}

/// Says what a key's subkey is, by its place. Requires `KEY_ENUMERATE_SUB_KEYS`.
///
/// `STATUS_NO_MORE_ENTRIES` behind the last one.
#[service]
fn nt_enumerate_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    index: u32,
    key_information_class: KeyInformationClass,
    key_information_buffer: Va,
    length: u32,
    result_length: Out<u32>,
) -> NtResult {
    let key = cx.reference::<Key>(key_handle, KEY_ENUMERATE_SUB_KEYS)?;
    let class = key_information_class.0;
    if class > KeyInformationClass::KeyFullInformation {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let registry = &cx.k.cm.registry;
    let child = registry.child_at(key.id, index as usize)?.ok_or(STATUS_NO_MORE_ENTRIES)?;
    let information = key_information(registry, child, class)?;
    answer(cx, &information, key_information_buffer, length, result_length)
}

fn capture_value_name(cx: &mut ServiceCx<'_>, name: In<UNICODE_STRING>) -> NtResult<UnicodeString> {
    let string = name.read(cx)?;
    if string.Length % 2 != 0 || usize::from(string.Length) > 2 * MAX_VALUE_NAME {
        return Err(STATUS_INVALID_PARAMETER);
    }
    cx.capture_string(&string)
}

/// Reads a value. Requires `KEY_QUERY_VALUE`.
#[service]
fn nt_query_value_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    value_name: In<UNICODE_STRING>,
    key_value_information_class: KeyValueInformationClass,
    key_value_information: Va,
    length: u32,
    result_length: Out<u32>,
) -> NtResult {
    let key = cx.reference::<Key>(key_handle, KEY_QUERY_VALUE)?;
    let name = capture_value_name(cx, value_name)?;
    let cell = cx.k.cm.registry.get(key.id)?;
    let value = cell.value(&name).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    let information = value_information(value, key_value_information_class.0)?;
    answer(cx, &information, key_value_information, length, result_length)
}

/// Reads a value by its place. Requires `KEY_QUERY_VALUE`.
///
/// `STATUS_NO_MORE_ENTRIES` behind the last one.
#[service]
fn nt_enumerate_value_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    index: u32,
    key_value_information_class: KeyValueInformationClass,
    key_value_information: Va,
    length: u32,
    result_length: Out<u32>,
) -> NtResult {
    let key = cx.reference::<Key>(key_handle, KEY_QUERY_VALUE)?;
    let cell = cx.k.cm.registry.get(key.id)?;
    let value = cell.values.get(index as usize).ok_or(STATUS_NO_MORE_ENTRIES)?;
    let information = value_information(value, key_value_information_class.0)?;
    answer(cx, &information, key_value_information, length, result_length)
}

/// Bytes of a `KEY_VALUE_ENTRY`: name pointer, data length, data offset, type.
const VALUE_ENTRY: u64 = 24;

/// Reads several values at once. Requires `KEY_QUERY_VALUE`.
///
/// Data that does not fit any more gives `STATUS_BUFFER_OVERFLOW`; the lengths of all are told. A name that is missing
/// ends the call with `STATUS_OBJECT_NAME_NOT_FOUND`.
#[service]
fn nt_query_multiple_value_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    value_entries: Va,
    entry_count: u32,
    value_buffer: Va,
    buffer_length: InOut<u32>,
    required_buffer_length: Option<Out<u32>>,
) -> NtResult {
    let key = cx.reference::<Key>(key_handle, KEY_QUERY_VALUE)?;
    if entry_count > 0x10000 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let room = buffer_length.read(cx)? as usize;
    let (mut used, mut needed) = (0usize, 0usize);
    for index in 0..u64::from(entry_count) {
        let entry = Va(value_entries.0.wrapping_add(VALUE_ENTRY * index));
        let name_at = cx.read::<u64>(entry)?;
        let name = capture_value_name(cx, In::new(Va(name_at)))?;
        let cell = cx.k.cm.registry.get(key.id)?;
        let value = cell.value(&name).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?.clone();
        // Data starts on a multiple of four.
        let offset = needed.next_multiple_of(4);
        needed = offset.saturating_add(value.data.len());
        if needed <= room {
            cx.write_bytes(Va(value_buffer.0.wrapping_add(offset as u64)), &value.data)?;
            used = needed;
        }
        let facts = [value.data.len() as u32, offset as u32, value.kind];
        cx.write(Va(entry.0.wrapping_add(8)), &facts)?;
    }
    buffer_length.write(cx, &(used as u32))?;
    if let Some(out) = required_buffer_length {
        out.write(cx, &(needed as u32))?;
    }
    if needed > room { Err(STATUS_BUFFER_OVERFLOW) } else { Ok(STATUS_SUCCESS) }
}

/// Sets a value, making it if there is none of the name. Requires `KEY_SET_VALUE`.
#[service]
fn nt_set_value_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    value_name: In<UNICODE_STRING>,
    _title_index: u32,
    value_type: ValueType,
    data: Va,
    data_size: u32,
) -> NtResult {
    let key = cx.reference::<Key>(key_handle, KEY_SET_VALUE)?;
    let name = capture_value_name(cx, value_name)?;
    let data = cx.read_vec(data, data_size as usize)?;
    key::set_value(cx.k, key.id, &name, value_type.0, data)?;
    Ok(STATUS_SUCCESS)
}

/// Removes a value. Requires `KEY_SET_VALUE`.
#[service]
fn nt_delete_value_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    value_name: In<UNICODE_STRING>,
) -> NtResult {
    let key = cx.reference::<Key>(key_handle, KEY_SET_VALUE)?;
    let name = capture_value_name(cx, value_name)?;
    key::delete_value(cx.k, key.id, &name)?;
    Ok(STATUS_SUCCESS)
}

/// Makes what was written to the hive of a key durable, and returns when it is.
///
/// A machine that is not kept has nothing to write. The host's error is the status: `STATUS_DISK_FULL`….
#[service]
fn nt_flush_key(cx: &mut ServiceCx<'_>, key_handle: Handle) -> NtResult {
    let key = cx.reference::<Key>(key_handle, 0)?;
    cx.k.cm.registry.get(key.id)?;
    crate::cm::store::flush_hive(cx.k, key.id)?;
    Ok(STATUS_SUCCESS)
}

/// Sets a key's write time, user flags or handle tags. Requires `KEY_SET_VALUE`.
#[service(Partial("virtualization and debug information are refused"))]
fn nt_set_information_key(
    cx: &mut ServiceCx<'_>,
    key_handle: Handle,
    key_set_information_class: KeySetInformationClass,
    key_set_information: Va,
    key_set_information_length: u32,
) -> NtResult {
    let class = key_set_information_class.0;
    let access = match class {
        KeySetInformationClass::KeySetHandleTagsInformation => 0,
        _ => KEY_SET_VALUE,
    };
    let key = cx.reference::<Key>(key_handle, access)?;
    let expects = |size: u32| match key_set_information_length {
        length if length == size => Ok(()),
        _ => Err(STATUS_INFO_LENGTH_MISMATCH),
    };
    match class {
        KeySetInformationClass::KeyWriteTimeInformation => {
            expects(8)?;
            let time = cx.read::<i64>(key_set_information)?;
            cx.k.cm.registry.get_mut(key.id)?.last_write = time;
        }
        KeySetInformationClass::KeyWow64FlagsInformation => {
            expects(4)?;
            let flags = cx.read::<u32>(key_set_information)?;
            cx.k.cm.registry.get_mut(key.id)?.wow64_flags = flags;
        }
        KeySetInformationClass::KeyControlFlagsInformation => {
            expects(4)?;
            let flags = cx.read::<u32>(key_set_information)?;
            cx.k.cm.registry.get_mut(key.id)?.control_flags = flags;
        }
        KeySetInformationClass::KeySetHandleTagsInformation => {
            expects(4)?;
            let tags = cx.read::<u32>(key_set_information)?;
            key.tags.store(tags, std::sync::atomic::Ordering::Relaxed);
        }
        _ => {
            cx.k.notice_once(format!("NtSetInformationKey class {class} is not implemented"));
            return Err(STATUS_INVALID_INFO_CLASS);
        }
    }
    crate::cm::store::touch(cx.k, key.id);
    Ok(STATUS_SUCCESS)
}

/// Counts the open keys inside a key.
#[service]
fn nt_query_open_sub_keys(
    cx: &mut ServiceCx<'_>,
    target_key: Option<In<OBJECT_ATTRIBUTES>>,
    handle_count: Out<u32>,
) -> NtResult {
    handle_count.probe(cx)?;
    let attributes = cx.require_attributes(target_key)?;
    let id = key::find_existing(cx, &attributes)?;
    let count = key::count_open_subkeys(cx.k, id)?;
    handle_count.write(cx, &count)?;
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES:
    nt_create_key,
    nt_open_key,
    nt_open_key_ex,
    nt_delete_key,
    nt_rename_key,
    nt_query_key,
    nt_enumerate_key,
    nt_query_value_key,
    nt_enumerate_value_key,
    nt_query_multiple_value_key,
    nt_set_value_key,
    nt_delete_value_key,
    nt_flush_key,
    nt_set_information_key,
    nt_query_open_sub_keys,
    nt_notify_change_key,
    nt_notify_change_multiple_keys,
}

#[cfg(test)]
mod tests;
