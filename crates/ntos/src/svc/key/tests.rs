//! Registry services called as guests call them, on a machine without a processor.

use super::*;
use crate::cm::{BootFacts, boot};
use crate::ex::event::create_event;
use crate::se::Token;
use crate::testing::{DATA, TestCall, TestMachine, in_out, out};
use abi::NtStatus;
use abi::ke::SYNCHRONIZATION_EVENT;
use abi::ob::OBJ_CASE_INSENSITIVE;

/// Where answers are written.
const BUFFER: u64 = 0x800;

fn machine() -> TestMachine {
    let machine = TestMachine::new();
    machine.with(|cx| {
        boot(cx.k, &BootFacts::default()).unwrap();
        *cx.process().token.open() = Token::administrator(cx.k).unwrap();
    });
    machine
}

fn create_with(
    machine: &TestMachine,
    root: Handle,
    path: &str,
    access: u32,
    options: u32,
) -> NtResult<(Handle, u32)> {
    let attributes = machine.attributes(0x10, root, path, OBJ_CASE_INSENSITIVE);
    machine.with(|cx| {
        let options = KeyOptions(options);
        nt_create_key(cx, out(0), KeyAccess(access), attributes, 0, None, options, Some(out(8)))
    })?;
    Ok((machine.handle_at(0), machine.get::<u32>(8)))
}

fn create(machine: &TestMachine, path: &str) -> Handle {
    create_with(machine, Handle(0), path, KEY_ALL_ACCESS, 0).unwrap().0
}

fn open(machine: &TestMachine, root: Handle, path: &str, access: u32) -> NtResult<Handle> {
    let attributes = machine.attributes(0x10, root, path, OBJ_CASE_INSENSITIVE);
    machine.with(|cx| nt_open_key(cx, out(0), KeyAccess(access), attributes))?;
    Ok(machine.handle_at(0))
}

fn set(machine: &TestMachine, key: Handle, name: &str, kind: u32, data: &[u8]) -> NtResult {
    let name = machine.string(0x200, name);
    machine.with(|cx| {
        cx.write_bytes(Va(DATA + BUFFER), data)?;
        let (name, data_at) = (In::new(name), Va(DATA + BUFFER));
        nt_set_value_key(cx, key, name, 0, ValueType(kind), data_at, data.len() as u32)
    })
}

/// Queries with a class and a buffer length; the result length and the buffer come with the status.
fn query(
    machine: &TestMachine,
    key: Handle,
    name: &str,
    class: u32,
    length: u32,
) -> (NtResult, u32, Vec<u8>) {
    let name = machine.string(0x200, name);
    machine.with(|cx| {
        cx.write_bytes(Va(DATA + BUFFER), &[0xCC; 64]).unwrap();
        let class = KeyValueInformationClass(class);
        let (name, buffer) = (In::new(name), Va(DATA + BUFFER));
        let result = nt_query_value_key(cx, key, name, class, buffer, length, out(0));
        let needed = cx.read::<u32>(Va(DATA)).unwrap();
        (result, needed, cx.read_vec(Va(DATA + BUFFER), 64).unwrap())
    })
}

const SOFTWARE: &str = r"\Registry\Machine\Software";

#[test]
fn a_key_is_made_once_and_opened_afterwards() {
    let machine = machine();
    let path = r"\Registry\Machine\Software\Contoso";
    let first = create_with(&machine, Handle(0), path, KEY_ALL_ACCESS, 0).unwrap();
    assert_eq!(first.1, REG_CREATED_NEW_KEY);
    let again = create_with(&machine, Handle(0), &path.to_uppercase(), KEY_READ, 0).unwrap();
    assert_eq!(again.1, REG_OPENED_EXISTING_KEY);
    let below = create_with(&machine, first.0, "Tool", KEY_ALL_ACCESS, 0).unwrap();
    assert_eq!(below.1, REG_CREATED_NEW_KEY);
    assert!(
        open(&machine, Handle(0), r"\registry\machine\software\contoso\tool\", KEY_READ).is_ok()
    );
    assert!(open(&machine, below.0, "", KEY_READ).is_ok());
    let deep = create_with(&machine, first.0, r"No\Such", KEY_READ, 0);
    assert_eq!(deep, Err(STATUS_OBJECT_NAME_NOT_FOUND));
    assert_eq!(open(&machine, first.0, "No", KEY_READ), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    let unrelated = create_with(&machine, Handle(0), r"\Registry\Machine\New", KEY_READ, 0);
    assert_eq!(unrelated, Err(STATUS_INVALID_PARAMETER));
}

#[test]
fn stable_keys_need_stable_parents() {
    let machine = machine();
    let volatile = r"\Registry\Machine\Software\V";
    let parent =
        create_with(&machine, Handle(0), volatile, KEY_ALL_ACCESS, REG_OPTION_VOLATILE).unwrap().0;
    let child = create_with(&machine, parent, "S", KEY_READ, 0);
    assert_eq!(child, Err(STATUS_CHILD_MUST_BE_VOLATILE));
    assert!(create_with(&machine, parent, "S", KEY_READ, REG_OPTION_VOLATILE).is_ok());
}

#[test]
fn queries_follow_the_buffer_rules() {
    let machine = machine();
    let key = create(&machine, r"\Registry\Machine\Software\Q");
    set(&machine, key, "Name", REG_DWORD, &[1, 2, 3, 4]).unwrap();
    let (result, needed, bytes) = query(&machine, key, "NAME", 2, 64);
    assert_eq!((result, needed), (Ok(STATUS_SUCCESS), 16));
    assert_eq!(bytes[..17], [0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4, 0xCC]);
    let (result, needed, bytes) = query(&machine, key, "name", 2, 14);
    assert_eq!((result, needed), (Err(STATUS_BUFFER_OVERFLOW), 16));
    assert_eq!(bytes[12..15], [1, 2, 0xCC]);
    let (result, needed, bytes) = query(&machine, key, "name", 2, 11);
    assert_eq!((result, needed, bytes[0]), (Err(STATUS_BUFFER_TOO_SMALL), 16, 0xCC));
    let (result, ..) = query(&machine, key, "other", 2, 64);
    assert_eq!(result, Err(STATUS_OBJECT_NAME_NOT_FOUND));
    let reader = open(&machine, Handle(0), r"\Registry\Machine\Software\Q", KEY_SET_VALUE).unwrap();
    assert_eq!(query(&machine, reader, "name", 2, 64).0, Err(STATUS_ACCESS_DENIED));
}

#[test]
fn enumeration_ends_with_no_more_entries() {
    let machine = machine();
    let key = create(&machine, r"\Registry\Machine\Software\E");
    create_with(&machine, key, "b", KEY_READ, 0).unwrap();
    create_with(&machine, key, "A", KEY_READ, 0).unwrap();
    set(&machine, key, "v", REG_SZ, &[]).unwrap();
    let name = |index| {
        machine.with(|cx| {
            let buffer = Va(DATA + BUFFER);
            let class = KeyInformationClass(KeyInformationClass::KeyBasicInformation);
            nt_enumerate_key(cx, key, index, class, buffer, 64, out(0))?;
            cx.read::<u16>(Va(buffer.0 + 16))
        })
    };
    assert_eq!(name(0), Ok(u16::from(b'A')));
    assert_eq!(name(1), Ok(u16::from(b'b')));
    assert_eq!(name(2), Err(STATUS_NO_MORE_ENTRIES));
    let value = |index| {
        machine.with(|cx| {
            let class = KeyValueInformationClass(1);
            nt_enumerate_value_key(cx, key, index, class, Va(DATA + BUFFER), 64, out(0))
        })
    };
    assert_eq!((value(0), value(1)), (Ok(STATUS_SUCCESS), Err(STATUS_NO_MORE_ENTRIES)));
}

#[test]
fn a_deleted_key_answers_so() {
    let machine = machine();
    let path = r"\Registry\Machine\Software\D";
    let key = create(&machine, path);
    let other = open(&machine, Handle(0), path, KEY_ALL_ACCESS).unwrap();
    let child = create_with(&machine, key, "C", KEY_ALL_ACCESS, 0).unwrap().0;
    let delete = |key| machine.with(|cx| nt_delete_key(cx, key));
    assert_eq!(delete(key), Err(STATUS_CANNOT_DELETE));
    delete(child).unwrap();
    delete(key).unwrap();
    delete(other).unwrap();
    assert_eq!(set(&machine, other, "v", REG_SZ, &[]), Err(STATUS_KEY_DELETED));
    assert_eq!(query(&machine, key, "v", 2, 64).0, Err(STATUS_KEY_DELETED));
    assert_eq!(open(&machine, key, "", KEY_READ), Err(STATUS_KEY_DELETED));
    assert_eq!(open(&machine, Handle(0), path, KEY_READ), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    let system = open(&machine, Handle(0), SOFTWARE, DELETE).unwrap();
    assert_eq!(delete(system), Err(STATUS_CANNOT_DELETE));
}

#[test]
fn links_are_made_followed_and_opened() {
    let machine = machine();
    let target = create(&machine, r"\Registry\Machine\Software\Target");
    set(&machine, target, "here", REG_SZ, &[]).unwrap();
    let path = r"\Registry\Machine\Software\Link";
    let access = KEY_ALL_ACCESS;
    let link = create_with(&machine, Handle(0), path, access, REG_OPTION_CREATE_LINK).unwrap().0;
    assert_eq!(set(&machine, link, "other", REG_SZ, &[]), Err(STATUS_ACCESS_DENIED));
    assert_eq!(open(&machine, Handle(0), path, KEY_READ), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    let text = r"\Registry\Machine\Software\Target";
    let data: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    set(&machine, link, "SymbolicLinkValue", REG_LINK, &data).unwrap();
    let through = open(&machine, Handle(0), path, KEY_READ).unwrap();
    assert_eq!(query(&machine, through, "here", 2, 64).0, Ok(STATUS_SUCCESS));
    let again = create_with(&machine, Handle(0), path, access, REG_OPTION_CREATE_LINK);
    assert_eq!(again, Err(STATUS_OBJECT_NAME_COLLISION));
}

#[test]
fn access_is_what_the_descriptor_allows() {
    let machine = machine();
    assert_eq!(
        open(&machine, Handle(0), r"\Registry\Machine\SAM", KEY_READ),
        Err(STATUS_ACCESS_DENIED)
    );
    machine.with(|cx| {
        let token = cx.process().token.open().clone();
        let state = token.state.open().filter(abi::se::LUA_TOKEN, &[], &[], &[]);
        *token.state.open() = state;
    });
    let path = r"\Registry\Machine\Software\Microsoft";
    assert!(open(&machine, Handle(0), path, KEY_READ).is_ok());
    assert_eq!(open(&machine, Handle(0), path, KEY_SET_VALUE), Err(STATUS_ACCESS_DENIED));
    let made = create_with(&machine, Handle(0), &format!(r"{path}\Mine"), KEY_READ, 0);
    assert_eq!(made, Err(STATUS_ACCESS_DENIED));
    let maximum = open(&machine, Handle(0), path, abi::ob::MAXIMUM_ALLOWED).unwrap();
    assert_eq!(machine.with(|cx| cx.granted_access(maximum)), Ok(KEY_READ));
    let own = r"\Registry\User\S-1-5-21-0-0-0-1000\Software";
    assert!(open(&machine, Handle(0), own, KEY_ALL_ACCESS).is_ok());
}

fn notify(
    machine: &TestMachine,
    key: Handle,
    event: Handle,
    filter: u32,
    tree: bool,
    asynchronous: bool,
) -> TestCall<NtResult> {
    let thread = machine.new_thread();
    machine.start(&thread, move |cx| async move {
        let (null, filter) = (Va(0), NotifyFilter(filter));
        let block = out(0x700);
        nt_notify_change_key(&cx, key, event, null, 0, block, filter, tree, null, 0, asynchronous)
            .await
    })
}

#[test]
fn a_synchronous_watcher_wakes_at_a_change_below() {
    let machine = machine();
    let key = open(&machine, Handle(0), SOFTWARE, KEY_ALL_ACCESS).unwrap();
    let mut flat = notify(&machine, key, Handle(0), REG_NOTIFY_CHANGE_LAST_SET, false, false);
    let below = create(&machine, r"\Registry\Machine\Software\N");
    let other = open(&machine, Handle(0), SOFTWARE, KEY_NOTIFY).unwrap();
    let mut deep = notify(&machine, other, Handle(0), REG_NOTIFY_CHANGE_LAST_SET, true, false);
    assert_eq!((flat.result(), deep.result()), (None, None));
    set(&machine, below, "v", REG_SZ, &[]).unwrap();
    assert_eq!((flat.result(), deep.result()), (None, Some(Ok(STATUS_SUCCESS))));
    set(&machine, key, "v", REG_SZ, &[]).unwrap();
    assert_eq!(flat.result(), Some(Ok(STATUS_SUCCESS)));
    // Of two changes that nobody waited for, one is remembered.
    set(&machine, key, "v", REG_SZ, &[]).unwrap();
    set(&machine, key, "v", REG_SZ, &[]).unwrap();
    let mut late = notify(&machine, key, Handle(0), REG_NOTIFY_CHANGE_LAST_SET, false, false);
    assert_eq!(late.result(), Some(Ok(STATUS_SUCCESS)));
    let mut next = notify(&machine, key, Handle(0), REG_NOTIFY_CHANGE_LAST_SET, false, false);
    assert_eq!(next.result(), None);
    machine.with(|cx| crate::ob::close(cx.k, cx.process(), key.0)).unwrap();
    assert_eq!(next.result(), Some(Ok(STATUS_NOTIFY_CLEANUP)));
}

#[test]
fn an_asynchronous_watcher_is_told_through_event_and_status_block() {
    let machine = machine();
    let key = create(&machine, r"\Registry\Machine\Software\A");
    let object = machine.with(|cx| create_event(cx.k, SYNCHRONIZATION_EVENT, false)).unwrap();
    let event = Handle(machine.with(|cx| cx.open_handle(&object, 2, 0)).unwrap());
    let filter = REG_NOTIFY_CHANGE_NAME;
    let mut call = notify(&machine, key, event, filter, false, true);
    assert_eq!(call.result(), Some(Ok(STATUS_PENDING)));
    let is_set = || machine.with(|cx| object.header.dispatcher().state(&cx.k.ram));
    set(&machine, key, "v", REG_SZ, &[]).unwrap();
    assert_eq!(is_set(), 0);
    let child = create_with(&machine, key, "sub", KEY_ALL_ACCESS, 0).unwrap().0;
    assert_eq!(is_set(), 1);
    assert_eq!(machine.get::<NtStatus>(0x700), STATUS_NOTIFY_ENUM_DIR);
    // The next request, and the deletion of the watched key itself.
    notify(&machine, key, event, filter, false, true);
    assert_eq!(is_set(), 0);
    let watched = notify(&machine, child, event, filter, false, true);
    drop(watched);
    machine.with(|cx| nt_delete_key(cx, child)).unwrap();
    assert_eq!(is_set(), 1);
}

#[test]
fn bad_requests_are_refused() {
    let machine = machine();
    let key = create(&machine, r"\Registry\Machine\Software\B");
    let mut call = notify(&machine, key, Handle(0), 0, false, true);
    assert_eq!(call.result(), Some(Err(STATUS_INVALID_PARAMETER)));
    let rename = |text: &str| {
        let name = In::new(machine.string(0x200, text));
        machine.with(|cx| nt_rename_key(cx, key, name))
    };
    assert_eq!(rename(r"a\b"), Err(STATUS_INVALID_PARAMETER));
    assert_eq!(rename("Microsoft"), Err(STATUS_OBJECT_NAME_COLLISION));
    rename("C").unwrap();
    assert!(open(&machine, Handle(0), r"\Registry\Machine\Software\c", KEY_READ).is_ok());
    let odd = UNICODE_STRING { Length: 3, MaximumLength: 4, _pad: 0, Buffer: DATA };
    let at = machine.put(0x200, &odd);
    let deleted = machine.with(|cx| nt_delete_value_key(cx, key, In::new(at)));
    assert_eq!(deleted, Err(STATUS_INVALID_PARAMETER));
    let options = create_with(&machine, Handle(0), SOFTWARE, KEY_READ, 0x100);
    assert_eq!(options, Err(STATUS_INVALID_PARAMETER));
}

#[test]
fn several_values_are_read_at_once() {
    let machine = machine();
    let key = create(&machine, r"\Registry\Machine\Software\M");
    set(&machine, key, "a", REG_BINARY, &[1, 2, 3]).unwrap();
    set(&machine, key, "b", REG_DWORD, &[4, 5, 6, 7]).unwrap();
    let names = [machine.string(0x200, "a"), machine.string(0x240, "b")];
    let read = |room: u32| {
        for (index, name) in names.iter().enumerate() {
            machine.put(0x300 + 24 * index as u64, &name.0);
        }
        machine.put(0x400, &room);
        let result = machine.with(|cx| {
            let (entries, buffer) = (Va(DATA + 0x300), Va(DATA + BUFFER));
            nt_query_multiple_value_key(
                cx,
                key,
                entries,
                2,
                buffer,
                in_out(0x400),
                Some(out(0x408)),
            )
        });
        (result, machine.get::<u32>(0x400), machine.get::<u32>(0x408))
    };
    assert_eq!(read(64), (Ok(STATUS_SUCCESS), 8, 8));
    assert_eq!(machine.get::<[u8; 8]>(BUFFER)[4..], [4, 5, 6, 7]);
    assert_eq!(machine.get::<[u32; 3]>(0x300 + 24 + 8), [4, 4, REG_DWORD]);
    assert_eq!(read(5), (Err(STATUS_BUFFER_OVERFLOW), 3, 8));
}
