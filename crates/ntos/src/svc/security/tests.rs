//! Security services called as guests call them, on a machine without a processor.

use super::*;
use crate::cm::{BootFacts, boot};
use crate::ex::event::create_event;
use crate::se::token::FIRST_USER;
use crate::testing::{DATA, TestMachine, in_out, out};
use sd::{Ace, sddl, well_known};

const BUFFER: u64 = 0x800;

fn machine() -> TestMachine {
    let machine = TestMachine::new();
    machine.with(|cx| *cx.process().token.open() = Token::administrator(cx.k).unwrap());
    machine
}

fn query(machine: &TestMachine, handle: Handle, wanted: u32) -> NtResult<String> {
    machine.with(|cx| {
        let wanted = SecurityInformation(wanted);
        nt_query_security_object(cx, handle, wanted, Va(DATA + BUFFER), 0x400, out(8))?;
        let needed = cx.read::<u32>(Va(DATA + 8))?;
        let bytes = cx.read_vec(Va(DATA + BUFFER), needed as usize)?;
        Ok(sddl::format(&SecurityDescriptor::parse(&bytes).unwrap()).unwrap())
    })
}

fn set(machine: &TestMachine, handle: Handle, parts: u32, text: &str) -> NtResult {
    let bytes = sddl::parse(text).unwrap().to_bytes();
    machine.with(|cx| {
        cx.write_bytes(Va(DATA + BUFFER), &bytes)?;
        nt_set_security_object(cx, handle, SecurityInformation(parts), Va(DATA + BUFFER))
    })
}

fn event(machine: &TestMachine, access: u32) -> Handle {
    Handle(
        machine
            .with(|cx| {
                let event = create_event(cx.k, abi::ke::SYNCHRONIZATION_EVENT, false)?;
                cx.open_handle(&event, access, 0)
            })
            .unwrap(),
    )
}

#[test]
fn a_descriptor_is_set_in_parts_and_enforced() {
    let machine = machine();
    let all = abi::ke::EVENT_ALL_ACCESS;
    let handle = event(&machine, all);
    assert_eq!(query(&machine, handle, parts::OWNER | parts::DACL).unwrap(), "");
    set(&machine, handle, parts::DACL, "D:(A;;GR;;;BA)").unwrap();
    set(&machine, handle, parts::OWNER, "O:BA").unwrap();
    let text = query(&machine, handle, parts::OWNER | parts::DACL).unwrap();
    assert_eq!(text, "O:BAD:(A;;CCRC;;;BA)");
    let open = |access| {
        machine.with(|cx| {
            let object = cx.reference_any(handle, 0)?;
            let event = downcast::<crate::ex::event::Event>(object)?;
            cx.open_handle(&event, access, 0)
        })
    };
    assert!(open(abi::ob::GENERIC_READ).is_ok());
    assert_eq!(open(abi::ke::EVENT_MODIFY_STATE), Err(STATUS_ACCESS_DENIED));
    assert!(open(WRITE_DAC).is_ok());
    assert_eq!(set(&machine, handle, parts::OWNER, "O:SY"), Err(STATUS_INVALID_OWNER));
    assert_eq!(set(&machine, handle, parts::SACL, "S:"), Err(STATUS_ACCESS_DENIED));
    let blind = event(&machine, abi::ke::EVENT_MODIFY_STATE);
    assert_eq!(query(&machine, blind, parts::DACL), Err(STATUS_ACCESS_DENIED));
    assert_eq!(set(&machine, blind, parts::DACL, "D:"), Err(STATUS_ACCESS_DENIED));
}

#[test]
fn processes_show_the_default_list_and_their_label() {
    let machine = machine();
    let process = Handle::CURRENT_PROCESS;
    let text = query(&machine, process, parts::OWNER | parts::DACL | parts::LABEL).unwrap();
    assert!(text.starts_with("O:BAD:(A;;0x1fffff;;;BA)(A;;0x1fffff;;;SY)"), "{text}");
    assert!(text.ends_with("S:(ML;;NWNR;;;HI)"), "{text}");
    let small = machine.with(|cx| {
        let wanted = SecurityInformation(parts::OWNER);
        nt_query_security_object(cx, process, wanted, Va(0), 0, out(8))
    });
    assert_eq!(small, Err(STATUS_BUFFER_TOO_SMALL));
    assert_eq!(machine.get::<u32>(8), 20 + 16);
}

#[test]
fn a_keys_descriptor_is_the_keys_not_the_handles() {
    let machine = machine();
    let open = |cx: &mut ServiceCx<'_>, access| {
        let path = crate::ustr::UnicodeString::from(r"\Registry\Machine\Software\Classes");
        let attributes = crate::svc::ObjectAttributes { name: Some(path), ..Default::default() };
        let request = cm::key::OpenRequest { access, ..Default::default() };
        cm::key::open(cx, &attributes, &request).map(Handle)
    };
    machine.with(|cx| boot(cx.k, &BootFacts::default())).unwrap();
    let first = machine.with(|cx| open(cx, WRITE_DAC)).unwrap();
    let second = machine.with(|cx| open(cx, READ_CONTROL)).unwrap();
    set(&machine, first, parts::DACL, "D:P(A;CI;KR;;;BA)").unwrap();
    assert_eq!(query(&machine, second, parts::DACL).unwrap(), "D:P(A;CI;KR;;;BA)");
    let writing = machine.with(|cx| open(cx, abi::cm::KEY_SET_VALUE));
    assert_eq!(writing, Err(STATUS_ACCESS_DENIED));
}

fn access_check(
    machine: &TestMachine,
    token: Handle,
    text: &str,
    desired: u32,
) -> NtResult<(u32, NtStatus)> {
    let bytes = sddl::parse(text).unwrap().to_bytes();
    machine.with(|cx| {
        cx.write_bytes(Va(DATA + BUFFER), &bytes)?;
        cx.write(Va(DATA + 0x100), &[0x2_0001u32, 0x2_0002, 0x2_0004, 0xF_0007])?;
        cx.write(Va(DATA + 0x110), &20u32)?;
        let [descriptor, mapping, set] = [DATA + BUFFER, DATA + 0x100, DATA + 0x120].map(Va);
        nt_access_check(
            cx,
            descriptor,
            token,
            AccessMask(desired),
            mapping,
            set,
            in_out(0x110),
            out(0x118),
            out(0x11C),
        )?;
        Ok((cx.read(Va(DATA + 0x118))?, cx.read(Va(DATA + 0x11C))?))
    })
}

#[test]
fn access_is_checked_for_impersonation_tokens() {
    let machine = machine();
    let handle = |kind| {
        let made = machine.with(|cx| {
            let state = cx.process().token.open().state.open().clone();
            let token = Token::create(cx.k, crate::se::TokenState { kind, ..state })?;
            cx.open_handle(&token, TOKEN_ALL_ACCESS, 0)
        });
        Handle(made.unwrap())
    };
    let client = handle(TokenKind::Impersonation(SECURITY_IDENTIFICATION));
    let text = "O:SYG:SYD:(A;;CC;;;BA)";
    assert_eq!(access_check(&machine, client, text, 1), Ok((1, STATUS_SUCCESS)));
    assert_eq!(access_check(&machine, client, text, 2), Ok((0, STATUS_ACCESS_DENIED)));
    let maximum = access_check(&machine, client, text, abi::ob::MAXIMUM_ALLOWED);
    assert_eq!(maximum, Ok((1, STATUS_SUCCESS)));
    let generic = access_check(&machine, client, text, GENERIC_READ);
    assert_eq!(generic, Err(STATUS_GENERIC_NOT_MAPPED));
    let incomplete = access_check(&machine, client, "D:(A;;CC;;;BA)", 1);
    assert_eq!(incomplete, Err(STATUS_INVALID_SECURITY_DESCR));
    let primary = handle(TokenKind::Primary);
    assert_eq!(access_check(&machine, primary, text, 1), Err(STATUS_NO_IMPERSONATION_TOKEN));
    // One that only identifies cannot open anything.
    let object = machine.with(|cx| cx.reference::<Token>(client, 0)).unwrap();
    *machine.thread.impersonation.open() = Some(object);
    let descriptor = sddl::parse(text).unwrap();
    let map = <Token as crate::ob::ObjectBody>::TYPE.access;
    let token = se::effective_token(&machine.thread);
    let refused = se::check_as(&token, &descriptor, 1, &map);
    assert_eq!(refused, Err(STATUS_BAD_IMPERSONATION_LEVEL));
}

#[test]
fn absolute_descriptors_are_captured_through_their_pointers() {
    let machine = machine();
    let owner = FIRST_USER.to_bytes();
    let dacl: sd::Acl = [Ace::allow(1, well_known::EVERYONE)].into_iter().collect();
    let captured = machine.with(|cx| {
        cx.write_bytes(Va(DATA + 0x100), &owner)?;
        cx.write_bytes(Va(DATA + 0x200), &dacl.to_bytes())?;
        cx.write(Va(DATA + 0x300), &[1u8, 0, 4, 0])?;
        cx.write(Va(DATA + 0x308), &[DATA + 0x100, 0, 0, DATA + 0x200])?;
        capture::descriptor(cx, Va(DATA + 0x300))
    });
    let captured = captured.unwrap();
    assert_eq!(captured.owner, Some(FIRST_USER));
    assert_eq!(captured.effective_dacl(), Some(&dacl));
    machine.put(0x300, &[2u8, 0, 4, 0]);
    let bad = machine.with(|cx| capture::descriptor(cx, Va(DATA + 0x300)));
    assert_eq!(bad, Err(STATUS_UNKNOWN_REVISION));
}

#[test]
fn privileges_are_checked_all_or_any() {
    let machine = machine();
    let token = Handle(-4i64 as u64);
    let check = |control: u32| {
        machine.put(0x100, &[2u32, control]);
        machine.put(0x108, &[SE_CHANGE_NOTIFY_PRIVILEGE as u32, 0, 0]);
        machine.put(0x114, &[SE_TCB_PRIVILEGE as u32, 0, 0]);
        machine.with(|cx| nt_privilege_check(cx, token, Va(DATA + 0x100), out(0))).unwrap();
        machine.get::<u8>(0)
    };
    assert_eq!((check(PRIVILEGE_SET_ALL_NECESSARY), check(0)), (0, 1));
    assert_eq!(machine.get::<u32>(0x110), SE_PRIVILEGE_USED_FOR_ACCESS);
    assert_eq!(machine.get::<u32>(0x11C), 0);
}
