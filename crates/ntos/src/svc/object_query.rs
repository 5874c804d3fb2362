//! `NtQueryObject` and `NtSetInformationObject`: what a handle and its object are.

use std::collections::BTreeSet;

use abi::NtResult;
use abi::ex::{OBJECT_BASIC_INFORMATION, OBJECT_HANDLE_FLAG_INFORMATION, OBJECT_TYPE_INFORMATION};
use abi::ob::{OBJ_INHERIT, OBJ_PERMANENT, UNICODE_STRING};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::ob::handle::OBJ_PROTECT_CLOSE;
use crate::ob::types::type_index;
use crate::ob::{
    AnyRef, Directory, Lookup, LookupOptions, ObjectBody, SymbolicLink, TypeInfo, downcast, lookup,
    namespace,
};
use crate::ustr::UnicodeString;

use super::info::Reply;
use super::{Handle, Out, ServiceCx};

crate::enum_arg! {
    /// `OBJECT_INFORMATION_CLASS`.
    ObjectInformationClass {
        ObjectBasicInformation = 0, ObjectNameInformation = 1, ObjectTypeInformation = 2,
        ObjectTypesInformation = 3, ObjectHandleFlagInformation = 4, ObjectSessionInformation = 5,
    }
}

/// The types that `ObjectTypesInformation` lists.
const TYPES: &[&TypeInfo] = &[
    crate::ob::Directory::TYPE,
    crate::ob::SymbolicLink::TYPE,
    crate::se::Token::TYPE,
    crate::ps::job::Job::TYPE,
    crate::ps::Process::TYPE,
    crate::ps::Thread::TYPE,
    crate::ex::event::Event::TYPE,
    crate::ex::event::Mutant::TYPE,
    crate::ex::event::Semaphore::TYPE,
    crate::ex::timer::Timer::TYPE,
    crate::ex::keyed::KeyedEvent::TYPE,
    crate::mm::Section::TYPE,
    crate::io::device::Device::TYPE,
    crate::io::IoCompletion::TYPE,
    crate::io::FileObject::TYPE,
    crate::cm::Key::TYPE,
];

/// Reports facts about an object, its type or its handle.
///
/// No right is needed. Names are those of the object, the full path where it has one; an unnamed object has an empty
/// one.
#[service]
pub(super) fn nt_query_object(
    cx: &mut ServiceCx<'_>,
    handle: Handle,
    object_information_class: ObjectInformationClass,
    object_information: Va,
    object_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let reply =
        Reply { buffer: object_information, length: object_information_length, return_length };
    match object_information_class.0 {
        ObjectInformationClass::ObjectBasicInformation => {
            let information = basic(cx, handle)?;
            reply.exact(cx, &information)
        }
        ObjectInformationClass::ObjectNameInformation => {
            let object = cx.reference_any(handle, 0)?;
            let name = query_name(cx.k, &object);
            name_information(cx, reply, &name)
        }
        ObjectInformationClass::ObjectTypeInformation => {
            let kind = cx.reference_any(handle, 0)?.object_type();
            let bytes = type_information(reply.buffer, kind, Counts::take(cx.k, kind));
            reply.whole(cx, &bytes, STATUS_INFO_LENGTH_MISMATCH)
        }
        ObjectInformationClass::ObjectTypesInformation => {
            let bytes = types_information(cx.k, reply.buffer);
            reply.whole(cx, &bytes, STATUS_INFO_LENGTH_MISMATCH)
        }
        ObjectInformationClass::ObjectHandleFlagInformation => {
            let attributes = attributes(cx, handle)?;
            let information = OBJECT_HANDLE_FLAG_INFORMATION {
                Inherit: u8::from(attributes & OBJ_INHERIT != 0),
                ProtectFromClose: u8::from(attributes & OBJ_PROTECT_CLOSE != 0),
            };
            reply.exact(cx, &information)
        }
        _ => Err(STATUS_INVALID_INFO_CLASS),
    }
}

/// The attributes of a handle; pseudo handles have none.
fn attributes(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult<u32> {
    match handle {
        Handle::CURRENT_PROCESS | Handle::CURRENT_THREAD => Ok(0),
        _ => Ok(cx.process().handles.open().get(handle.0)?.attributes),
    }
}

/// The name that a query shows: what the object says itself, else its place in the namespace.
///
/// Of a file Windows tells `\Device\HarddiskVolume1\a.txt`. Wine's DLLs make `GetFinalPathNameByHandle` of it and want
/// `\??\C:\a.txt`: they are told that.
fn query_name(k: &Kernel, object: &AnyRef) -> UnicodeString {
    match object.clone().query_name(k) {
        Some(name) if object.object_type().name == "File" && k.services.is_wine() => {
            drive_name(k, &name).unwrap_or(name)
        }
        Some(name) => name,
        None => namespace::full_name(k, object),
    }
}

/// The name of a file by the drive letter of its volume, if it has one.
fn drive_name(k: &Kernel, name: &[u16]) -> Option<UnicodeString> {
    let options = LookupOptions { ignore_case: true, open_link: true };
    let drives = UnicodeString::from("\\GLOBAL??");
    let Ok(Lookup::Found(drives)) = lookup(k, None, &drives, options) else { return None };
    let drives = downcast::<Directory>(drives).ok()?.list();
    drives.into_iter().find_map(|drive| {
        let letter = drive.header().name.open().name.clone();
        if !matches!(letter.0.as_slice(), [_, colon] if *colon == u16::from(b':')) {
            return None;
        }
        let link = downcast::<SymbolicLink>(drive).ok()?;
        let rest = name.strip_prefix(link.target.0.as_slice())?;
        if !matches!(rest.first(), None | Some(0x5C)) {
            return None;
        }
        let mut path: Vec<u16> = "\\??\\".encode_utf16().collect();
        path.extend_from_slice(&letter);
        path.extend_from_slice(rest);
        Some(UnicodeString(path))
    })
}

/// Bytes of `ObjectNameInformation`: an unnamed object needs the empty string only.
fn name_size(name: &[u16]) -> usize {
    let text = if name.is_empty() { 0 } else { (name.len() + 1) * 2 };
    size_of::<UNICODE_STRING>() + text
}

/// `ObjectNameInformation`: a buffer for the string but not for its text is a `STATUS_BUFFER_OVERFLOW`.
fn name_information(cx: &mut ServiceCx<'_>, reply: Reply, name: &[u16]) -> NtResult {
    let head = size_of::<UNICODE_STRING>();
    let size = name_size(name);
    if (reply.length as usize) < size {
        reply.store_length(cx, size)?;
        let short = (reply.length as usize) < head;
        return Err(if short { STATUS_INFO_LENGTH_MISMATCH } else { STATUS_BUFFER_OVERFLOW });
    }
    if name.is_empty() {
        cx.write(reply.buffer, &UNICODE_STRING::default())?;
        return reply.store_length(cx, size);
    }
    reply.unicode_string(cx, name)
}

fn basic(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult<OBJECT_BASIC_INFORMATION> {
    let object = cx.reference_any(handle, 0)?;
    let attributes = attributes(cx, handle)?;
    let mut granted = cx.granted_access(handle)?;
    let kind = object.object_type();
    if granted == u32::MAX {
        // A pseudo handle grants everything there is.
        granted = kind.access.all;
    }
    let header = object.header();
    let permanent = if header.is_permanent() { OBJ_PERMANENT } else { 0 };
    let name = query_name(cx.k, &object);
    let created = downcast::<SymbolicLink>(object.clone()).map_or(0, |link| link.created);
    Ok(OBJECT_BASIC_INFORMATION {
        Attributes: (attributes & OBJ_INHERIT) | permanent,
        GrantedAccess: granted,
        HandleCount: header.handle_count(),
        // Each handle is a reference, and the name is one.
        PointerCount: header.handle_count() + u32::from(!name.is_empty()),
        NonPagedPoolCharge: kind.body_size as u32,
        NameInfoSize: if name.is_empty() { 0 } else { name_size(&name) as u32 },
        TypeInfoSize: type_size(kind) as u32,
        CreationTime: created,
        ..Default::default()
    })
}

/// How many objects and handles of a type there are.
#[derive(Clone, Copy)]
struct Counts {
    objects: u32,
    handles: u32,
}

impl Counts {
    /// Counts handles, and the objects that they hold.
    fn take(k: &Kernel, kind: &TypeInfo) -> Self {
        let mut objects = BTreeSet::new();
        let mut handles = 0;
        for process in k.ps.processes.values() {
            for (_, entry) in process.handles.open().iter() {
                if entry.object.object_type().name == kind.name {
                    handles += 1;
                    objects.insert(entry.object.header().id);
                }
            }
        }
        Counts { objects: objects.len() as u32, handles }
    }
}

/// Bytes of a type's entry, without alignment.
fn type_size(kind: &TypeInfo) -> usize {
    size_of::<OBJECT_TYPE_INFORMATION>() + (kind.name.len() + 1) * 2
}

fn type_information(at: Va, kind: &TypeInfo, counts: Counts) -> Vec<u8> {
    let length = kind.name.len() as u16 * 2;
    let access = kind.access;
    let information = OBJECT_TYPE_INFORMATION {
        TypeName: UNICODE_STRING {
            Length: length,
            MaximumLength: length + 2,
            _pad: 0,
            Buffer: at.0.wrapping_add(size_of::<OBJECT_TYPE_INFORMATION>() as u64),
        },
        TotalNumberOfObjects: counts.objects,
        TotalNumberOfHandles: counts.handles,
        HighWaterNumberOfObjects: counts.objects,
        HighWaterNumberOfHandles: counts.handles,
        GenericMapping: [access.read, access.write, access.execute, access.all],
        ValidAccessMask: access.all,
        TypeIndex: type_index(kind.name),
        DefaultNonPagedPoolCharge: kind.body_size as u32,
        ..Default::default()
    };
    let mut bytes = information.as_bytes().to_vec();
    bytes.extend(kind.name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    bytes
}

/// `ObjectTypesInformation`: the number of types, then their entries at multiples of eight.
fn types_information(k: &Kernel, buffer: Va) -> Vec<u8> {
    let mut bytes = (TYPES.len() as u64).to_le_bytes().to_vec();
    for kind in TYPES {
        let at = Va(buffer.0.wrapping_add(bytes.len() as u64));
        bytes.extend(type_information(at, kind, Counts::take(k, kind)));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

/// Sets whether a handle is inherited and whether it can be closed.
#[service]
pub(super) fn nt_set_information_object(
    cx: &mut ServiceCx<'_>,
    handle: Handle,
    object_information_class: ObjectInformationClass,
    object_information: Va,
    object_information_length: u32,
) -> NtResult {
    if object_information_class.0 != ObjectInformationClass::ObjectHandleFlagInformation {
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    let size = size_of::<OBJECT_HANDLE_FLAG_INFORMATION>();
    if object_information_length as usize != size {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let flags = cx.read::<OBJECT_HANDLE_FLAG_INFORMATION>(object_information)?;
    let mut handles = cx.process().handles.open();
    let entry = handles.get_mut(handle.0)?;
    entry.attributes &= !(OBJ_INHERIT | OBJ_PROTECT_CLOSE);
    if flags.Inherit != 0 {
        entry.attributes |= OBJ_INHERIT;
    }
    if flags.ProtectFromClose != 0 {
        entry.attributes |= OBJ_PROTECT_CLOSE;
    }
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES: nt_query_object, nt_set_information_object }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svc::args::AccessMask;
    use crate::svc::event::{EventType, nt_create_event};
    use crate::svc::object::{DuplicateOptions, nt_create_directory_object};
    use crate::svc::object::{nt_close, nt_compare_objects, nt_duplicate_object};
    use crate::svc::object::{nt_create_symbolic_link_object, nt_open_directory_object};
    use crate::svc::object::{nt_query_directory_object, nt_query_symbolic_link_object};
    use crate::svc::{In, InOut};
    use crate::testing::{DATA, TestMachine, in_out, out};

    const ALL: AccessMask = AccessMask(abi::ob::GENERIC_ALL);

    fn named_event(machine: &TestMachine, name: &str) -> Handle {
        let attributes = machine.attributes(0x200, Handle(0), name, 0);
        machine
            .with(|cx| nt_create_event(cx, out(0), ALL, attributes, EventType(0), false))
            .unwrap();
        machine.handle_at(0)
    }

    fn directory(machine: &TestMachine, name: &str) -> Handle {
        let attributes = machine.attributes(0x200, Handle(0), name, 0);
        machine.with(|cx| nt_create_directory_object(cx, out(0), ALL, attributes)).unwrap();
        machine.handle_at(0)
    }

    fn query(machine: &TestMachine, handle: Handle, class: u32, length: u32) -> (NtResult, u32) {
        let buffer = Va(DATA + 0x400);
        let status = machine.with(|cx| {
            nt_query_object(
                cx,
                handle,
                ObjectInformationClass(class),
                buffer,
                length,
                Some(out(0x3F0)),
            )
        });
        (status, machine.get(0x3F0))
    }

    #[test]
    fn a_name_needs_room_for_its_text() {
        let machine = TestMachine::new();
        directory(&machine, "\\Base");
        let event = named_event(&machine, "\\Base\\Go");
        let needed = 16 + 9 * 2;
        assert_eq!(query(&machine, event, 1, 15), (Err(STATUS_INFO_LENGTH_MISMATCH), needed));
        assert_eq!(query(&machine, event, 1, 16), (Err(STATUS_BUFFER_OVERFLOW), needed));
        assert_eq!(query(&machine, event, 1, needed), (Ok(STATUS_SUCCESS), needed));
        let text = machine.with(|cx| cx.capture_string_at(Va(DATA + 0x400))).unwrap();
        assert_eq!(text.to_string(), "\\Base\\Go");
        assert_eq!(query(&machine, Handle::CURRENT_THREAD, 1, 64), (Ok(STATUS_SUCCESS), 16));
    }

    #[test]
    fn a_file_is_named_by_its_drive() {
        let machine = TestMachine::new();
        machine.executive.with(|k| {
            crate::ob::make_directory(k, "\\GLOBAL??").unwrap();
            crate::ob::make_link(k, "\\GLOBAL??\\D:", "\\Device\\HarddiskVolume2").unwrap();
            let drive =
                |name: &str| drive_name(k, &UnicodeString::from(name)).map(|name| name.to_string());
            let d = drive("\\Device\\HarddiskVolume2\\a\\b.txt");
            assert_eq!(d.as_deref(), Some("\\??\\D:\\a\\b.txt"));
            assert_eq!(drive("\\Device\\HarddiskVolume21\\a"), None);
            assert_eq!(drive("\\Device\\Null"), None);
        });
    }

    #[test]
    fn types_are_named_and_numbered() {
        let machine = TestMachine::new();
        let event = named_event(&machine, "\\Go");
        let (status, length) = query(&machine, event, 2, 0x200);
        assert_eq!((status, length), (Ok(STATUS_SUCCESS), 0x68 + 12));
        let text = machine.with(|cx| cx.capture_string_at(Va(DATA + 0x400))).unwrap();
        let information: OBJECT_TYPE_INFORMATION = machine.get(0x400);
        assert_eq!((text.to_string().as_str(), information.TypeIndex), ("Event", 13));
        assert_eq!((information.TotalNumberOfHandles, information.TotalNumberOfObjects), (1, 1));
        assert_eq!(query(&machine, Handle(0), 3, 0xC00).0, Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<u32>(0x400), TYPES.len() as u32);
    }

    #[test]
    fn protected_handles_stay_open_and_duplicates_are_the_same_object() {
        let machine = TestMachine::new();
        let event = named_event(&machine, "\\Go");
        machine.put(0x10, &[1u8, 1]);
        let class = ObjectInformationClass(4);
        machine.with(|cx| nt_set_information_object(cx, event, class, Va(DATA + 0x10), 2)).unwrap();
        assert_eq!(machine.with(|cx| nt_close(cx, event)), Err(STATUS_HANDLE_NOT_CLOSABLE));
        let here = Handle::CURRENT_PROCESS;
        let duplicate = |access, options| {
            machine
                .with(|cx| {
                    let options = DuplicateOptions(options);
                    let access = AccessMask(access);
                    nt_duplicate_object(cx, here, event, here, Some(out(0)), access, 0, options)
                })
                .unwrap();
            machine.handle_at(0)
        };
        let copy = duplicate(0, abi::ob::DUPLICATE_SAME_ACCESS);
        assert_eq!(machine.with(|cx| nt_compare_objects(cx, event, copy)), Ok(STATUS_SUCCESS));
        assert_eq!(
            machine.with(|cx| nt_compare_objects(cx, event, here)),
            Err(STATUS_NOT_SAME_OBJECT)
        );
        assert_eq!(query(&machine, copy, 4, 2).0, Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<[u8; 2]>(0x400), [0, 0]);
        let less = duplicate(abi::ob::SYNCHRONIZE, 0);
        assert_eq!(query(&machine, less, 0, 0x38).0, Ok(STATUS_SUCCESS));
        let information: OBJECT_BASIC_INFORMATION = machine.get(0x400);
        assert_eq!(information.GrantedAccess, abi::ob::SYNCHRONIZE);
        assert_eq!(information.HandleCount, 3);
        machine.with(|cx| nt_close(cx, copy)).unwrap();
        assert_eq!(machine.with(|cx| nt_close(cx, copy)), Err(STATUS_INVALID_HANDLE));
        assert_eq!(machine.with(|cx| nt_close(cx, here)), Ok(STATUS_SUCCESS));
    }

    #[test]
    fn names_that_differ_in_case_only_are_different_and_go_with_the_last_handle() {
        let machine = TestMachine::new();
        let [upper, lower] = [named_event(&machine, "\\GO"), named_event(&machine, "\\go")];
        assert_eq!(
            machine.with(|cx| nt_compare_objects(cx, upper, lower)),
            Err(STATUS_NOT_SAME_OBJECT)
        );
        machine.with(|cx| nt_close(cx, upper)).unwrap();
        let insensitive = abi::ob::OBJ_CASE_INSENSITIVE;
        let attributes = machine.attributes(0x200, Handle(0), "\\Go", insensitive);
        let open = |attributes: Option<In<_>>| {
            machine.with(|cx| crate::svc::event::nt_open_event(cx, out(0), ALL, attributes))
        };
        assert_eq!(open(attributes), Ok(STATUS_SUCCESS));
        let same = machine.handle_at(0);
        assert_eq!(machine.with(|cx| nt_compare_objects(cx, same, lower)), Ok(STATUS_SUCCESS));
        machine.with(|cx| nt_close(cx, same)).unwrap();
        machine.with(|cx| nt_close(cx, lower)).unwrap();
        let attributes = machine.attributes(0x200, Handle(0), "\\Go", insensitive);
        assert_eq!(open(attributes), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    }

    #[test]
    fn directories_are_listed_piece_by_piece() {
        let machine = TestMachine::new();
        let base = directory(&machine, "\\Base");
        for name in ["\\Base\\A", "\\Base\\B", "\\Base\\C"] {
            named_event(&machine, name);
        }
        let list = |length, single, restart| {
            let context: InOut<u32> = in_out(0x3F0);
            let buffer = Va(DATA + 0x400);
            machine.with(|cx| {
                nt_query_directory_object(cx, base, buffer, length, single, restart, context, None)
            })
        };
        let name_at = |index: u64| {
            let at = Va(DATA + 0x400 + index * 0x20);
            machine.with(|cx| cx.capture_string_at(at)).unwrap().to_string()
        };
        assert_eq!(list(0x40, false, true), Err(STATUS_BUFFER_TOO_SMALL));
        assert_eq!(list(0x800, true, true), Ok(STATUS_SUCCESS));
        assert_eq!((name_at(0), name_at(1)), ("A".to_owned(), String::new()));
        // Two entries of 0x20 and 16 bytes of text each, and the last one of zeros.
        assert_eq!(list(0x80 + 0x20, false, false), Ok(STATUS_SUCCESS));
        assert_eq!((name_at(0), name_at(1)), ("B".to_owned(), "C".to_owned()));
        assert_eq!(list(0x800, false, false), Err(STATUS_NO_MORE_ENTRIES));
        assert_eq!(list(0x80, false, true), Ok(STATUS_MORE_ENTRIES));
        let trailing = machine.attributes(0x200, Handle(0), "\\Base\\", 0);
        assert_eq!(
            machine.with(|cx| nt_open_directory_object(cx, out(0), ALL, trailing)),
            Err(STATUS_OBJECT_NAME_INVALID)
        );
    }

    #[test]
    fn links_are_followed_and_read() {
        let machine = TestMachine::new();
        directory(&machine, "\\Base");
        let event = named_event(&machine, "\\Base\\Go");
        let attributes = machine.attributes(0x200, Handle(0), "\\Short", 0);
        let target = In::new(machine.string(0x300, "\\Base"));
        machine
            .with(|cx| nt_create_symbolic_link_object(cx, out(0), ALL, attributes, target))
            .unwrap();
        let link = machine.handle_at(0);
        let attributes = machine.attributes(0x200, Handle(0), "\\Short\\Go", 0);
        machine.with(|cx| crate::svc::event::nt_open_event(cx, out(0), ALL, attributes)).unwrap();
        let opened = machine.handle_at(0);
        assert_eq!(machine.with(|cx| nt_compare_objects(cx, event, opened)), Ok(STATUS_SUCCESS));
        let mut string =
            UNICODE_STRING { MaximumLength: 10, Buffer: DATA + 0x500, ..Default::default() };
        machine.put(0x480, &string);
        let read = |length| {
            machine.with(|cx| nt_query_symbolic_link_object(cx, link, in_out(0x480), length))
        };
        assert_eq!(read(Some(out(0x4F0))), Err(STATUS_BUFFER_TOO_SMALL));
        assert_eq!(machine.get::<u32>(0x4F0), 12);
        assert_eq!(read(None), Ok(STATUS_SUCCESS));
        string = machine.get(0x480);
        assert_eq!(string.Length, 10);
    }
}
