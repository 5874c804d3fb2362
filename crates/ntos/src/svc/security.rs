//! Services of security descriptors: querying and setting an object's, and checking access against any.
//!
//! The rules are the `sd` crate's; which descriptor an object has when nobody gave it one is
//! [`crate::se::default_descriptor`].

use std::sync::Arc;

use abi::ob::{
    ACCESS_SYSTEM_SECURITY, GENERIC_ALL, GENERIC_EXECUTE, GENERIC_READ, GENERIC_WRITE,
    READ_CONTROL, UNICODE_STRING, WRITE_DAC, WRITE_OWNER,
};
use abi::se::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos_macros::service;
use sd::{GenericMapping, SecurityDescriptor, parts};

use crate::cm::{self, Key};
use crate::flags_arg;
use crate::ob::{AnyRef, ObRef, downcast};
use crate::se::privilege::Privilege;
use crate::se::{self, Token, TokenKind, capture};
use crate::svc::args::AccessMask;
use crate::svc::token::reference_token;
use crate::svc::{Handle, In, InOut, Out, ServiceCx};

flags_arg! {
    /// `SECURITY_INFORMATION`.
    SecurityInformation {
        OWNER = parts::OWNER, GROUP = parts::GROUP, DACL = parts::DACL, SACL = parts::SACL,
        LABEL = parts::LABEL, ATTRIBUTE = parts::ATTRIBUTE, SCOPE = parts::SCOPE,
        PROCESS_TRUST_LABEL = parts::PROCESS_TRUST_LABEL, ACCESS_FILTER = parts::ACCESS_FILTER,
        BACKUP = parts::BACKUP, UNPROTECTED_SACL = parts::UNPROTECTED_SACL,
        UNPROTECTED_DACL = parts::UNPROTECTED_DACL, PROTECTED_SACL = parts::PROTECTED_SACL,
        PROTECTED_DACL = parts::PROTECTED_DACL,
    }
}

/// The descriptor an object has now.
fn current_descriptor(
    cx: &mut ServiceCx<'_>,
    object: &AnyRef,
) -> NtResult<Option<Arc<SecurityDescriptor>>> {
    if let Ok(key) = downcast::<Key>(object.clone()) {
        return Ok(Some(cx.k.cm.registry.get(key.id)?.security.clone()));
    }
    let stored = object.header().security.open().clone();
    Ok(stored.or_else(|| se::default_descriptor(cx.thread, object)))
}

/// Reads parts of an object's descriptor in self-relative form.
///
/// Requires `READ_CONTROL`, for the audit list `ACCESS_SYSTEM_SECURITY`. `STATUS_BUFFER_TOO_SMALL` with the length
/// needed if it does not fit.
#[service(Partial("the descriptors of files are made up, since host files have none"))]
fn nt_query_security_object(
    cx: &mut ServiceCx<'_>,
    handle: Handle,
    security_information: SecurityInformation,
    security_descriptor: Va,
    length: u32,
    length_needed: Out<u32>,
) -> NtResult {
    length_needed.probe(cx)?;
    let wanted = security_information.0;
    let mut access = 0;
    if wanted & !(parts::SACL | parts::BACKUP) != 0 || wanted & parts::BACKUP != 0 {
        access |= READ_CONTROL;
    }
    if wanted & (parts::SACL | parts::BACKUP | parts::SCOPE) != 0 {
        access |= ACCESS_SYSTEM_SECURITY;
    }
    let object = cx.reference_any(handle, access)?;
    let whole = current_descriptor(cx, &object)?;
    let wanted = match wanted & parts::BACKUP {
        0 => wanted,
        _ => parts::OWNER | parts::GROUP | parts::DACL | parts::SACL | parts::IN_SACL,
    };
    let bytes = whole.as_deref().cloned().unwrap_or_default().select(wanted).to_bytes();
    let needed = u32::try_from(bytes.len()).map_err(|_| STATUS_INTERNAL_ERROR)?;
    length_needed.write(cx, &needed)?;
    if length < needed {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    cx.write_bytes(security_descriptor, &bytes)?;
    Ok(STATUS_SUCCESS)
}

/// Replaces parts of an object's descriptor.
///
/// Requires `WRITE_OWNER` for owner, group and label, `WRITE_DAC` for the DACL, `ACCESS_SYSTEM_SECURITY` for the audit
/// list. `STATUS_INVALID_OWNER` for an owner that the caller's token may not name.
#[service(Partial("a file's descriptor lasts as long as its file object"))]
fn nt_set_security_object(
    cx: &mut ServiceCx<'_>,
    handle: Handle,
    security_information: SecurityInformation,
    security_descriptor: Va,
) -> NtResult {
    let set = security_information.0;
    let new = capture::descriptor(cx, security_descriptor)?;
    let mut access = 0;
    if set & (parts::OWNER | parts::GROUP | parts::LABEL) != 0 {
        access |= WRITE_OWNER;
    }
    if set & (parts::DACL | parts::PROTECTED_DACL | parts::UNPROTECTED_DACL) != 0 {
        access |= WRITE_DAC;
    }
    let audit = parts::SACL | parts::SCOPE | parts::PROTECTED_SACL | parts::UNPROTECTED_SACL;
    if set & audit != 0 {
        access |= ACCESS_SYSTEM_SECURITY;
    }
    if set & parts::ATTRIBUTE != 0 {
        access |= WRITE_DAC;
    }
    let object = cx.reference_any(handle, access)?;
    check_new_parts(cx, &new, set)?;
    let mut whole = current_descriptor(cx, &object)?.as_deref().cloned().unwrap_or_default();
    whole.update(&new, set);
    whole.map_generic(&object.object_type().access);
    if whole.size() > usize::from(u16::MAX) {
        return Err(STATUS_INVALID_SECURITY_DESCR);
    }
    match downcast::<Key>(object.clone()) {
        Ok(key) => cm::key::set_security(cx.k, &key, whole)?,
        Err(_) => *object.header().security.open() = Some(Arc::new(whole)),
    }
    Ok(STATUS_SUCCESS)
}

/// Refuses an owner, group or label that the caller may not give.
fn check_new_parts(cx: &ServiceCx<'_>, new: &SecurityDescriptor, set: u32) -> NtResult<()> {
    let token = se::effective_token(cx.thread);
    let state = token.state.open();
    if set & parts::OWNER != 0 {
        let owner = new.owner.ok_or(STATUS_INVALID_OWNER)?;
        if !state.may_own_as(&owner) {
            return Err(STATUS_INVALID_OWNER);
        }
    }
    if set & parts::GROUP != 0 && new.group.is_none() {
        return Err(STATUS_INVALID_PRIMARY_GROUP);
    }
    if set & parts::LABEL != 0
        && let Some((level, _)) = new.mandatory_label()
        && level > state.integrity
        && !state.has_privilege(SE_RELABEL_PRIVILEGE)
    {
        return Err(STATUS_PRIVILEGE_NOT_HELD);
    }
    Ok(())
}

const GENERIC: u32 = GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL;

/// Bytes of a `PRIVILEGE_SET` with one privilege: the least that a caller must give.
const PRIVILEGE_SET: u32 = 20;

fn read_mapping(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<GenericMapping> {
    let [read, write, execute, all] = cx.read::<[u32; 4]>(at)?;
    Ok(GenericMapping { read, write, execute, all })
}

/// Captures a descriptor that an access check can be made against: it has an owner and a group.
fn capture_complete(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<SecurityDescriptor> {
    let descriptor = capture::descriptor(cx, at)?;
    if descriptor.owner.is_none() || descriptor.group.is_none() {
        return Err(STATUS_INVALID_SECURITY_DESCR);
    }
    Ok(descriptor)
}

/// What an access check decided.
struct Verdict {
    granted: u32,
    status: NtStatus,
    used: Vec<Privilege>,
}

fn decide(
    token: &Token,
    descriptor: &SecurityDescriptor,
    desired: u32,
    mapping: &GenericMapping,
) -> Verdict {
    let state = token.state.open();
    let refused = |status| Verdict { granted: 0, status, used: Vec::new() };
    match sd::access_check(descriptor, &state.subject(), desired, mapping) {
        Ok(granted) => {
            let attributes = SE_PRIVILEGE_USED_FOR_ACCESS;
            let used = [
                (granted.used_security, SE_SECURITY_PRIVILEGE),
                (granted.used_take_ownership, SE_TAKE_OWNERSHIP_PRIVILEGE),
            ];
            let used = used.into_iter().filter(|(used, _)| *used);
            let used = used.map(|(_, luid)| Privilege { luid, attributes }).collect();
            Verdict { granted: granted.access, status: STATUS_SUCCESS, used }
        }
        Err(sd::Denied::Access) => refused(STATUS_ACCESS_DENIED),
        Err(sd::Denied::Privilege) => refused(STATUS_PRIVILEGE_NOT_HELD),
    }
}

/// Says whether a client would be given access to something that a descriptor protects. Requires `TOKEN_QUERY`.
///
/// The token must be an impersonation token (`STATUS_NO_IMPERSONATION_TOKEN`) that identifies its client at least; the
/// rights must not be generic (`STATUS_GENERIC_NOT_MAPPED`). The verdict is in `access_status`.
#[service]
fn nt_access_check(
    cx: &mut ServiceCx<'_>,
    security_descriptor: Va,
    client_token: Handle,
    desired_access: AccessMask,
    generic_mapping: Va,
    privilege_set: Va,
    privilege_set_length: InOut<u32>,
    granted_access: Out<u32>,
    access_status: Out<NtStatus>,
) -> NtResult {
    granted_access.probe(cx)?;
    access_status.probe(cx)?;
    let room = privilege_set_length.read(cx)?;
    let mapping = read_mapping(cx, generic_mapping)?;
    if desired_access.0 & GENERIC != 0 {
        return Err(STATUS_GENERIC_NOT_MAPPED);
    }
    let token = reference_token(cx, client_token, TOKEN_QUERY)?;
    match token.state.open().kind {
        TokenKind::Primary => return Err(STATUS_NO_IMPERSONATION_TOKEN),
        TokenKind::Impersonation(SECURITY_ANONYMOUS) => return Err(STATUS_BAD_IMPERSONATION_LEVEL),
        TokenKind::Impersonation(_) => {}
    }
    let descriptor = capture_complete(cx, security_descriptor)?;
    let verdict = decide(&token, &descriptor, desired_access.0, &mapping);
    let needed = PRIVILEGE_SET.max(8 + 12 * verdict.used.len() as u32);
    if room < needed {
        privilege_set_length.write(cx, &needed)?;
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    let mut set = Vec::new();
    for word in [verdict.used.len() as u32, 0] {
        set.extend_from_slice(&word.to_le_bytes());
    }
    for privilege in &verdict.used {
        set.extend_from_slice(&privilege.luid.to_le_bytes());
        set.extend_from_slice(&privilege.attributes.to_le_bytes());
    }
    cx.write_bytes(privilege_set, &set)?;
    granted_access.write(cx, &verdict.granted)?;
    access_status.write(cx, &verdict.status)?;
    Ok(STATUS_SUCCESS)
}

/// Says whether the impersonated client would be given access, for a protected server that audits. Requires
/// `SeAuditPrivilege` in the process's token.
#[service(Partial("there is no audit log"))]
fn nt_access_check_and_audit_alarm(
    cx: &mut ServiceCx<'_>,
    _subsystem_name: Option<In<UNICODE_STRING>>,
    _handle_id: u64,
    _object_type_name: Option<In<UNICODE_STRING>>,
    _object_name: Option<In<UNICODE_STRING>>,
    security_descriptor: Va,
    desired_access: AccessMask,
    generic_mapping: Va,
    _object_creation: bool,
    granted_access: Out<u32>,
    access_status: Out<NtStatus>,
    generate_on_close: Out<u8>,
) -> NtResult {
    granted_access.probe(cx)?;
    access_status.probe(cx)?;
    generate_on_close.probe(cx)?;
    let mapping = read_mapping(cx, generic_mapping)?;
    if desired_access.0 & GENERIC != 0 {
        return Err(STATUS_GENERIC_NOT_MAPPED);
    }
    let client: Option<ObRef<Token>> = cx.thread.impersonation.open().clone();
    let client = client.ok_or(STATUS_NO_IMPERSONATION_TOKEN)?;
    if client.state.open().kind == TokenKind::Impersonation(SECURITY_ANONYMOUS) {
        return Err(STATUS_BAD_IMPERSONATION_LEVEL);
    }
    let primary = cx.process().token.open().clone();
    if !primary.state.open().has_privilege(SE_AUDIT_PRIVILEGE) {
        return Err(STATUS_PRIVILEGE_NOT_HELD);
    }
    let descriptor = capture_complete(cx, security_descriptor)?;
    let verdict = decide(&client, &descriptor, desired_access.0, &mapping);
    granted_access.write(cx, &verdict.granted)?;
    access_status.write(cx, &verdict.status)?;
    generate_on_close.write(cx, &0)?;
    Ok(STATUS_SUCCESS)
}

/// Says whether a token holds privileges, enabled: all of a set, or any of it. Requires `TOKEN_QUERY`.
///
/// Those that count are marked `SE_PRIVILEGE_USED_FOR_ACCESS` in the set.
#[service]
fn nt_privilege_check(
    cx: &mut ServiceCx<'_>,
    client_token: Handle,
    required_privileges: Va,
    result: Out<u8>,
) -> NtResult {
    result.probe(cx)?;
    let token = reference_token(cx, client_token, TOKEN_QUERY)?;
    if token.state.open().kind == TokenKind::Impersonation(SECURITY_ANONYMOUS) {
        return Err(STATUS_BAD_IMPERSONATION_LEVEL);
    }
    let [count, control] = cx.read::<[u32; 2]>(required_privileges)?;
    let array = Va(required_privileges.0.wrapping_add(8));
    let privileges = capture::privilege_array(cx, array, count)?;
    let state = token.state.open().clone();
    let mut held = 0u32;
    for (index, privilege) in (0u64..).zip(&privileges) {
        if state.has_privilege(privilege.luid) {
            held += 1;
            let attributes = privilege.attributes | SE_PRIVILEGE_USED_FOR_ACCESS;
            cx.write(Va(array.0.wrapping_add(12 * index + 8)), &attributes)?;
        }
    }
    let enough = match control & PRIVILEGE_SET_ALL_NECESSARY {
        0 => held > 0,
        _ => held == count,
    };
    result.write(cx, &u8::from(enough))?;
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES:
    nt_query_security_object,
    nt_set_security_object,
    nt_access_check,
    nt_access_check_and_audit_alarm,
    nt_privilege_check,
}

#[cfg(test)]
mod tests;
