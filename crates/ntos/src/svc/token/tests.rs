//! Token services called as guests call them, on a machine without a processor.

use super::*;
use crate::svc::In;
use crate::testing::{DATA, TestMachine, out};

const BUFFER: u64 = 0x800;

fn machine() -> TestMachine {
    let machine = TestMachine::new();
    machine.with(|cx| *cx.process().token.open() = Token::administrator(cx.k).unwrap());
    machine
}

fn own_token(machine: &TestMachine, access: u32) -> Handle {
    machine
        .with(|cx| {
            let process = Handle::CURRENT_PROCESS;
            nt_open_process_token(cx, process, TokenAccess(access), out(0))
        })
        .unwrap();
    machine.handle_at(0)
}

fn query(machine: &TestMachine, token: Handle, class: u32, length: u32) -> (NtResult, u32) {
    machine.with(|cx| {
        let class = TokenInformationClass(class);
        let result =
            nt_query_information_token(cx, token, class, Va(DATA + BUFFER), length, out(8));
        (result, cx.read::<u32>(Va(DATA + 8)).unwrap())
    })
}

#[test]
fn the_user_is_read_through_the_pseudo_handle() {
    let machine = machine();
    let (result, needed) = query(&machine, CURRENT_EFFECTIVE_TOKEN, 1, 0);
    assert_eq!((result, needed), (Err(STATUS_BUFFER_TOO_SMALL), 0x2C));
    let (result, _) = query(&machine, CURRENT_EFFECTIVE_TOKEN, 1, 0x58);
    assert_eq!(result, Ok(STATUS_SUCCESS));
    let sid = machine.with(|cx| capture::sid_and_attributes(cx, Va(DATA + BUFFER))).unwrap();
    assert_eq!(sid.sid.to_string(), "S-1-5-21-0-0-0-1000");
    assert_eq!(query(&machine, CURRENT_THREAD_TOKEN, 1, 0x58).0, Err(STATUS_NO_TOKEN));
    assert_eq!(query(&machine, Handle(0x40), 1, 0x58).0, Err(STATUS_INVALID_HANDLE));
    let blind = own_token(&machine, TOKEN_DUPLICATE);
    assert_eq!(query(&machine, blind, 1, 0x58).0, Err(STATUS_ACCESS_DENIED));
}

#[test]
fn groups_are_captured_as_they_were_laid_out() {
    let machine = machine();
    assert_eq!(query(&machine, CURRENT_PROCESS_TOKEN, 2, 0x400).0, Ok(STATUS_SUCCESS));
    let groups = machine.with(|cx| capture::groups(cx, Va(DATA + BUFFER))).unwrap();
    let state = machine.process.token.open().state.open().clone();
    assert_eq!(groups[..groups.len() - 1], state.groups);
    assert_eq!(groups.last(), Some(&state.label()));
}

fn adjust(machine: &TestMachine, token: Handle, luid: u64, attributes: u32) -> NtResult {
    machine.put(0x100, &1u32);
    machine.put(0x104, &[luid as u32, 0, attributes]);
    machine.with(|cx| {
        let previous = Va(DATA + BUFFER);
        let (new, length) = (Va(DATA + 0x100), Some(out(0x80)));
        nt_adjust_privileges_token(cx, token, false, new, 16, previous, length)
    })
}

#[test]
fn privileges_are_switched_and_the_earlier_state_is_told() {
    let machine = machine();
    let token = own_token(&machine, TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY);
    let enabled = SE_PRIVILEGE_ENABLED;
    assert_eq!(adjust(&machine, token, SE_DEBUG_PRIVILEGE, enabled), Ok(STATUS_SUCCESS));
    assert_eq!(machine.get::<[u32; 4]>(BUFFER), [1, SE_DEBUG_PRIVILEGE as u32, 0, 0]);
    assert_eq!(machine.get::<u32>(0x80), 16);
    assert_eq!(adjust(&machine, token, SE_TCB_PRIVILEGE, enabled), Ok(STATUS_NOT_ALL_ASSIGNED));
    assert_eq!(machine.get::<u32>(BUFFER), 0);
    machine.with(|cx| se::require_privilege(cx.thread, SE_DEBUG_PRIVILEGE)).unwrap();
    let small = machine.with(|cx| {
        let previous = Va(DATA + BUFFER);
        nt_adjust_privileges_token(cx, token, true, Va(0), 4, previous, Some(out(0x80)))
    });
    assert_eq!(small, Err(STATUS_BUFFER_TOO_SMALL));
    machine.with(|cx| se::require_privilege(cx.thread, SE_DEBUG_PRIVILEGE)).unwrap();
    let deaf = own_token(&machine, TOKEN_QUERY);
    let refused = adjust(&machine, deaf, SE_DEBUG_PRIVILEGE, 0);
    assert_eq!(refused, Err(STATUS_ACCESS_DENIED));
}

fn duplicate(machine: &TestMachine, token: Handle, kind: u32, level: u32) -> NtResult<Handle> {
    machine.put(0x180, &[12u32, level, 0]);
    let attributes = abi::ob::OBJECT_ATTRIBUTES {
        Length: 0x30,
        SecurityQualityOfService: DATA + 0x180,
        ..Default::default()
    };
    let attributes = Some(In::new(machine.put(0x200, &attributes)));
    machine.with(|cx| {
        nt_duplicate_token(cx, token, TokenAccess(0), attributes, false, TokenType(kind), out(0))
    })?;
    Ok(machine.handle_at(0))
}

#[test]
fn a_thread_impersonates_with_a_duplicate_and_the_level_only_falls() {
    let machine = machine();
    let primary = own_token(&machine, TOKEN_DUPLICATE | TOKEN_QUERY);
    let identify = duplicate(&machine, primary, 2, SECURITY_IDENTIFICATION).unwrap();
    assert_eq!(query(&machine, identify, 9, 4).0, Ok(STATUS_SUCCESS));
    assert_eq!(machine.get::<u32>(BUFFER), SECURITY_IDENTIFICATION);
    assert_eq!(query(&machine, primary, 9, 4).0, Err(STATUS_INVALID_INFO_CLASS));
    let raised = duplicate(&machine, identify, 2, SECURITY_IMPERSONATION);
    assert_eq!(raised, Err(STATUS_BAD_IMPERSONATION_LEVEL));
    assert_eq!(duplicate(&machine, identify, 1, 0), Err(STATUS_BAD_IMPERSONATION_LEVEL));
    let own = |cx: &mut ServiceCx<'_>| {
        let thread = Handle::CURRENT_THREAD;
        nt_open_thread_token(cx, thread, TokenAccess(TOKEN_QUERY), false, out(0))
    };
    assert_eq!(machine.with(own), Err(STATUS_NO_TOKEN));
    let client = duplicate(&machine, primary, 2, SECURITY_IMPERSONATION).unwrap();
    let object = machine.with(|cx| cx.reference::<Token>(client, 0)).unwrap();
    *machine.thread.impersonation.open() = Some(object);
    assert_eq!(machine.with(own), Ok(STATUS_SUCCESS));
    assert_eq!(query(&machine, CURRENT_THREAD_TOKEN, 8, 4).0, Ok(STATUS_SUCCESS));
    assert_eq!(machine.get::<u32>(BUFFER), TOKEN_IMPERSONATION);
}

#[test]
fn clients_are_acted_for_only_by_those_who_may() {
    let machine = machine();
    let primary = machine.process.token.open().clone();
    let set = |token: Option<&ObRef<Token>>| {
        machine.with(|cx| se::impersonate(cx.k, &machine.thread, token.cloned()))
    };
    let kind = || {
        let token = machine.thread.impersonation.open().clone();
        token.map(|token| token.state.open().kind)
    };
    assert_eq!(set(Some(&primary)), Err(STATUS_BAD_TOKEN_TYPE));
    let full = TokenKind::Impersonation(SECURITY_IMPERSONATION);
    let system = machine.with(|cx| {
        let token = Token::system(cx.k).unwrap();
        token.state.open().kind = full;
        token
    });
    set(Some(&system)).unwrap();
    assert_eq!(kind(), Some(full));
    set(None).unwrap();
    assert_eq!(kind(), None);
    primary.state.open().privileges.clear();
    set(Some(&system)).unwrap();
    assert_eq!(kind(), Some(TokenKind::Impersonation(SECURITY_IDENTIFICATION)));
}

#[test]
fn filtered_tokens_compare_as_different() {
    let machine = machine();
    let primary = own_token(&machine, TOKEN_DUPLICATE | TOKEN_QUERY);
    let copy = duplicate(&machine, primary, 1, 0).unwrap();
    let compare = |a, b| {
        machine.with(|cx| nt_compare_tokens(cx, a, b, out(0x300))).unwrap();
        machine.get::<u8>(0x300)
    };
    assert_eq!(compare(primary, copy), 1);
    let filter = |flags| {
        machine.with(|cx| {
            let none = Va(0);
            nt_filter_token(cx, primary, FilterFlags(flags), none, none, none, out(0))
        })
    };
    assert_eq!(filter(0x100), Err(STATUS_INVALID_PARAMETER));
    filter(LUA_TOKEN).unwrap();
    let limited = machine.handle_at(0);
    assert_eq!(compare(primary, limited), 0);
    assert_eq!(query(&machine, limited, 20, 4).0, Ok(STATUS_SUCCESS));
    assert_eq!(machine.get::<u32>(BUFFER), 0);
}

#[test]
fn tokens_are_made_by_the_privileged_only() {
    let machine = machine();
    let create = |cx: &mut ServiceCx<'_>| {
        let [id, time] = [Va(DATA + 0x400), Va(DATA + 0x408)];
        let [user, group] = [Va(DATA + 0x500), Va(DATA + 0x508)];
        let null = Va(0);
        let access = TokenAccess(TOKEN_ALL_ACCESS);
        nt_create_token(
            cx,
            out(0),
            access,
            None,
            TokenType(1),
            In::new(id),
            In::new(time),
            user,
            null,
            null,
            null,
            group,
            null,
            Va(DATA + 0x410),
        )
    };
    // The user's SID_AND_ATTRIBUTES and the primary group share the pointer.
    machine.put(0x500, &(DATA + 0x600));
    machine.put(0x508, &(DATA + 0x600));
    let sid = sd::well_known::LOCAL_SYSTEM.to_bytes();
    machine.with(|cx| cx.write_bytes(Va(DATA + 0x600), &sid)).unwrap();
    assert_eq!(machine.with(create), Err(STATUS_PRIVILEGE_NOT_HELD));
    machine.with(|cx| *cx.process().token.open() = Token::system(cx.k).unwrap());
    machine.with(create).unwrap();
    let made = machine.handle_at(0);
    assert_eq!(query(&machine, made, 1, 0x58).0, Ok(STATUS_SUCCESS));
    let user = machine.with(|cx| capture::sid_and_attributes(cx, Va(DATA + BUFFER))).unwrap();
    assert_eq!(user.sid, sd::well_known::LOCAL_SYSTEM);
}
