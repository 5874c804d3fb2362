//! The security reference monitor: tokens and access checks.
//!
//! It owns the [`Token`] type and turns a thread and a request into a decision; the rules themselves are the `sd`
//! crate's, which knows nothing of the executive.
//!
//! Invariants: a primary token belongs to processes, an impersonation token to threads; a token's groups and the set of
//! its privileges never grow after it was made, only their attributes change.
//!
//! A worked path, "`NtOpenKey` for writing by a thread that impersonates": the service asks for the caller's
//! [`effective_token`], which is the thread's impersonation token; [`check_as`] shows it to [`sd::access_check`] as a
//! subject; a refusal becomes `STATUS_ACCESS_DENIED` or `STATUS_PRIVILEGE_NOT_HELD`.

pub mod capture;
pub mod privilege;
pub mod query;
pub mod token;

pub use token::{Token, TokenKind, TokenState};

use std::sync::Arc;

use abi::NtResult;
use abi::se::*;
use abi::status_table::*;
use sd::{Ace, SecurityDescriptor, well_known};

use crate::Kernel;
use crate::ob::{AccessMap, AnyRef, ObRef, downcast};
use crate::ps::{Process, Thread};
use crate::svc::ServiceCx;

/// State of the reference monitor.
#[derive(Default)]
pub struct SeState {
    /// The impersonation token of the thread in whose name the current stretch runs; see [`speak_for`].
    client: Option<ObRef<Token>>,
}

/// The token that speaks for a thread: its impersonation token, or the process's.
pub fn effective_token(thread: &Thread) -> ObRef<Token> {
    match thread.impersonation.open().clone() {
        Some(token) => token,
        None => thread.process.token.open().clone(),
    }
}

/// Makes [`access_check`] speak for a thread from now on: a service begins.
pub fn speak_for(k: &mut Kernel, thread: &Thread) {
    k.se.client = thread.impersonation.open().clone();
}

/// Runs a stretch in which [`access_check`] uses the process's token although the thread impersonates.
pub fn as_process<R>(cx: &mut ServiceCx<'_>, stretch: impl FnOnce(&mut ServiceCx<'_>) -> R) -> R {
    let client = cx.k.se.client.take();
    let result = stretch(cx);
    cx.k.se.client = client;
    result
}

/// `PsImpersonateClient`: makes a thread act with a token, or with none.
///
/// `STATUS_BAD_TOKEN_TYPE` for a primary token. A process without `SeImpersonatePrivilege` only identifies clients of
/// other logon sessions, users or higher integrity: the thread gets a copy of the token at that level.
pub fn impersonate(k: &mut Kernel, thread: &Thread, token: Option<ObRef<Token>>) -> NtResult<()> {
    let Some(token) = token else {
        thread.impersonation.open().take();
        return Ok(());
    };
    let client = token.state.open().clone();
    let TokenKind::Impersonation(level) = client.kind else { return Err(STATUS_BAD_TOKEN_TYPE) };
    let may_act = {
        let process = thread.process.token.open().clone();
        let own = process.state.open();
        let is_own = own.authentication_id == client.authentication_id
            && own.user.sid == client.user.sid
            && own.integrity >= client.integrity;
        is_own || own.has_privilege(SE_IMPERSONATE_PRIVILEGE)
    };
    let token = if may_act || level <= SECURITY_IDENTIFICATION {
        token
    } else {
        let kind = TokenKind::Impersonation(SECURITY_IDENTIFICATION);
        Token::create(k, TokenState { kind, ..client })?
    };
    *thread.impersonation.open() = Some(token);
    Ok(())
}

/// Checks a request against a security descriptor with the caller's token; returns the granted rights.
///
/// The token is that of [`speaker`].
pub fn access_check(
    k: &Kernel,
    process: &Process,
    descriptor: &SecurityDescriptor,
    desired: u32,
    map: &AccessMap,
) -> NtResult<u32> {
    check_as(&speaker(k, process), descriptor, desired, map)
}

/// The token in whose name a process opens objects in this stretch: of the client whom the thread impersonates, else its
/// own.
pub fn speaker(k: &Kernel, process: &Process) -> ObRef<Token> {
    match &k.se.client {
        Some(token) => token.clone(),
        None => process.token.open().clone(),
    }
}

/// [`access_check`] for a given token.
pub fn check_as(
    token: &Token,
    descriptor: &SecurityDescriptor,
    desired: u32,
    map: &AccessMap,
) -> NtResult<u32> {
    let state = token.state.open();
    if state.kind.is_below_impersonation() {
        return Err(STATUS_BAD_IMPERSONATION_LEVEL);
    }
    match sd::access_check(descriptor, &state.subject(), desired, map) {
        Ok(granted) => Ok(granted.access),
        Err(sd::Denied::Access) => Err(STATUS_ACCESS_DENIED),
        Err(sd::Denied::Privilege) => Err(STATUS_PRIVILEGE_NOT_HELD),
    }
}

/// `SeSinglePrivilegeCheck`: fails unless the caller's effective token has the privilege enabled.
pub fn require_privilege(thread: &Thread, privilege: u64) -> NtResult<()> {
    let token = effective_token(thread);
    let state = token.state.open();
    if state.kind.is_below_impersonation() || !state.has_privilege(privilege) {
        return Err(STATUS_PRIVILEGE_NOT_HELD);
    }
    Ok(())
}

/// The descriptor that an object shows when nobody gave it one; `None` for objects that have none.
///
/// Processes, threads and tokens are protected by the default DACL of the token they belong to, and named objects by the
/// caller's. A file shows what a profile folder of the caller's would give it.
pub fn default_descriptor(caller: &Thread, object: &AnyRef) -> Option<Arc<SecurityDescriptor>> {
    let map = object.object_type().access;
    let kind = sd::inherit::Kind::Object;
    let made_by = |token: &Token| {
        let state = token.state.open();
        let mut made = sd::assign(None, None, kind, &state.creator(), &map, false);
        if matches!(object.object_type().name, "Process" | "Thread" | "Token") {
            // Lower levels may not even read what belongs to a process.
            let no_up = sd::acl::NO_WRITE_UP | sd::acl::NO_READ_UP;
            let label = Ace::new(sd::acl::MANDATORY_LABEL, 0, no_up, state.label().sid);
            made.control |= sd::control::SACL_PRESENT;
            made.sacl = Some(std::iter::once(label).collect());
        }
        Some(Arc::new(made))
    };
    let token = match object.object_type().name {
        "Process" => downcast::<Process>(object.clone()).ok()?.token.open().clone(),
        "Thread" => downcast::<Thread>(object.clone()).ok()?.process.token.open().clone(),
        "Token" => downcast::<Token>(object.clone()).ok()?,
        "File" => return Some(Arc::new(file_descriptor(&effective_token(caller), &map))),
        _ if object.header().name.open().name.is_empty() => return None,
        _ => effective_token(caller),
    };
    made_by(&token)
}

fn file_descriptor(token: &Token, map: &AccessMap) -> SecurityDescriptor {
    let state = token.state.open();
    let full = |sid| Ace::allow(map.all, sid).with_flags(sd::acl::INHERITED);
    let aces =
        [full(well_known::LOCAL_SYSTEM), full(well_known::ADMINISTRATORS), full(state.user.sid)];
    let list = aces.into_iter().collect();
    let mut descriptor = SecurityDescriptor::new(state.owner, state.primary_group, list);
    descriptor.control |= sd::control::DACL_AUTO_INHERITED;
    descriptor
}

/// `SeAssignSecurity`: the descriptor of a new object that a token's bearer makes.
pub fn assign_security(
    token: &Token,
    parent: Option<&SecurityDescriptor>,
    explicit: Option<&SecurityDescriptor>,
    kind: sd::inherit::Kind,
    map: &AccessMap,
    auto_inherit: bool,
) -> NtResult<Arc<SecurityDescriptor>> {
    let state = token.state.open();
    if let Some(owner) = explicit.and_then(|sd| sd.owner)
        && !state.may_own_as(&owner)
    {
        return Err(STATUS_INVALID_OWNER);
    }
    let has_audit = explicit.is_some_and(|sd| {
        let aces = sd.effective_sacl().into_iter().flat_map(|list| &list.aces);
        aces.into_iter().any(|ace| ace.kind != sd::acl::MANDATORY_LABEL)
    });
    if has_audit && !state.has_privilege(SE_SECURITY_PRIVILEGE) {
        return Err(STATUS_PRIVILEGE_NOT_HELD);
    }
    if let Some((level, _)) = explicit.and_then(SecurityDescriptor::mandatory_label)
        && level > state.integrity
        && !state.has_privilege(SE_RELABEL_PRIVILEGE)
    {
        return Err(STATUS_INVALID_LABEL);
    }
    let creator = state.creator();
    Ok(Arc::new(sd::assign(parent, explicit, kind, &creator, map, auto_inherit)))
}
