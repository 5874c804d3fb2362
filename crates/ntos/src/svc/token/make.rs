//! Services that make tokens: duplicates, filtered ones, new ones.

use abi::NtResult;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::se::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use sd::{Group, SecurityDescriptor};

use crate::ob::ObRef;
use crate::ps::Thread;
use crate::se::{self, Token, TokenKind, TokenState, capture};
use crate::svc::args::HandleValue;
use crate::svc::{Handle, In, Out, ServiceCx};

use super::{FilterFlags, THREAD_IMPERSONATE, TokenAccess, TokenType, reference_token};

/// The impersonation level of `SECURITY_QUALITY_OF_SERVICE`; anonymous if there is none.
fn quality_of_service(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<u32> {
    if at.0 == 0 {
        return Ok(SECURITY_ANONYMOUS);
    }
    let [_length, level, _flags] = cx.read::<[u32; 3]>(at)?;
    if level > SECURITY_DELEGATION {
        return Err(STATUS_BAD_IMPERSONATION_LEVEL);
    }
    Ok(level)
}

/// Makes a token that says the same as another, primary or impersonation. Requires `TOKEN_DUPLICATE`.
///
/// `STATUS_BAD_IMPERSONATION_LEVEL` for a level above the source's, or a primary token from one that only identifies.
/// Without a desired access the new handle grants what the old one does.
#[service]
pub(in crate::svc) fn nt_duplicate_token(
    cx: &mut ServiceCx<'_>,
    existing_token_handle: Handle,
    desired_access: TokenAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    effective_only: bool,
    token_type: TokenType,
    new_token_handle: Out<HandleValue>,
) -> NtResult {
    if !matches!(token_type.0, TOKEN_PRIMARY | TOKEN_IMPERSONATION) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    new_token_handle.probe(cx)?;
    let attributes = cx.capture_attributes(object_attributes)?.unwrap_or_default();
    let level = quality_of_service(cx, attributes.quality_of_service)?;
    let source = cx.reference::<Token>(existing_token_handle, TOKEN_DUPLICATE)?;
    let mut state = source.state.open().clone();
    match (state.kind, token_type.0) {
        (TokenKind::Impersonation(held), TOKEN_IMPERSONATION) if level > held => {
            return Err(STATUS_BAD_IMPERSONATION_LEVEL);
        }
        (kind, TOKEN_PRIMARY) if kind.is_below_impersonation() => {
            return Err(STATUS_BAD_IMPERSONATION_LEVEL);
        }
        _ => {}
    }
    state.kind = match token_type.0 {
        TOKEN_PRIMARY => TokenKind::Primary,
        _ => TokenKind::Impersonation(level),
    };
    if effective_only {
        state.keep_effective();
    }
    let token = Token::create(cx.k, state)?;
    secure_token(cx, &token, attributes.descriptor.as_deref())?;
    let access = match desired_access.0 {
        0 => cx.granted_access(existing_token_handle)?,
        access => access,
    };
    cx.give_handle(new_token_handle, &token, access, attributes.flags)
}

/// Gives a new token the descriptor that was asked for, if one was.
fn secure_token(
    cx: &mut ServiceCx<'_>,
    token: &ObRef<Token>,
    explicit: Option<&SecurityDescriptor>,
) -> NtResult<()> {
    let Some(explicit) = explicit else { return Ok(()) };
    let map = &<Token as crate::ob::ObjectBody>::TYPE.access;
    let kind = sd::inherit::Kind::Object;
    let maker = se::effective_token(cx.thread);
    let security = se::assign_security(&maker, None, Some(explicit), kind, map, false)?;
    token.header.secure_new(security);
    Ok(())
}

/// Makes a token that can do less than another: groups that only deny, fewer privileges, restricting SIDs. Requires
/// `TOKEN_DUPLICATE`; the new handle grants what the old one does.
#[service]
pub(in crate::svc) fn nt_filter_token(
    cx: &mut ServiceCx<'_>,
    existing_token_handle: Handle,
    flags: FilterFlags,
    sids_to_disable: Va,
    privileges_to_delete: Va,
    restricted_sids: Va,
    new_token_handle: Out<HandleValue>,
) -> NtResult {
    if flags.0 & !(DISABLE_MAX_PRIVILEGE | SANDBOX_INERT | LUA_TOKEN | WRITE_RESTRICTED) != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    new_token_handle.probe(cx)?;
    let source = cx.reference::<Token>(existing_token_handle, TOKEN_DUPLICATE)?;
    let sids = |groups: Vec<Group>| groups.into_iter().map(|group| group.sid).collect::<Vec<_>>();
    let disable = sids(capture::groups(cx, sids_to_disable)?);
    let delete = capture::privileges(cx, privileges_to_delete)?;
    let delete: Vec<u64> = delete.into_iter().map(|privilege| privilege.luid).collect();
    let restrict = capture::groups(cx, restricted_sids)?;
    if restrict.iter().any(|group| group.attributes != 0) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let state = source.state.open().filter(flags.0, &disable, &delete, &sids(restrict));
    let token = Token::create(cx.k, state)?;
    let access = cx.granted_access(existing_token_handle)?;
    cx.give_handle(new_token_handle, &token, access, 0)
}

/// Says whether two tokens make every access check come out the same. Requires `TOKEN_QUERY` to both.
#[service]
pub(in crate::svc) fn nt_compare_tokens(
    cx: &mut ServiceCx<'_>,
    first_token_handle: Handle,
    second_token_handle: Handle,
    equal: Out<u8>,
) -> NtResult {
    equal.probe(cx)?;
    let first = reference_token(cx, first_token_handle, TOKEN_QUERY)?;
    let second = reference_token(cx, second_token_handle, TOKEN_QUERY)?;
    let same = std::sync::Arc::ptr_eq(&first, &second) || {
        let first = first.state.open().clone();
        first.is_equivalent(&second.state.open())
    };
    equal.write(cx, &u8::from(same))?;
    Ok(STATUS_SUCCESS)
}

/// Makes a token out of nothing. Requires `SeCreateTokenPrivilege`.
///
/// The owner must be the user or an owner group, the primary group one of the groups.
#[service]
pub(in crate::svc) fn nt_create_token(
    cx: &mut ServiceCx<'_>,
    token_handle: Out<HandleValue>,
    desired_access: TokenAccess,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    token_type: TokenType,
    authentication_id: In<u64>,
    expiration_time: In<i64>,
    user: Va,
    groups: Va,
    privileges: Va,
    owner: Va,
    primary_group: Va,
    default_dacl: Va,
    source: Va,
) -> NtResult {
    token_handle.probe(cx)?;
    let attributes = cx.capture_attributes(object_attributes)?.unwrap_or_default();
    let kind = match token_type.0 {
        TOKEN_PRIMARY => TokenKind::Primary,
        TOKEN_IMPERSONATION => {
            TokenKind::Impersonation(quality_of_service(cx, attributes.quality_of_service)?)
        }
        _ => return Err(STATUS_BAD_TOKEN_TYPE),
    };
    se::require_privilege(cx.thread, SE_CREATE_TOKEN_PRIVILEGE)?;
    let user = capture::sid_and_attributes(cx, user)?;
    let mut groups = capture::groups(cx, groups)?;
    // The integrity label comes as a group.
    let is_label = |group: &mut Group| group.attributes & SE_GROUP_INTEGRITY != 0;
    let label = groups.extract_if(.., is_label).last();
    let integrity = label.and_then(|label| label.sid.rid());
    let pointed = |cx: &mut ServiceCx<'_>, at: Va| -> NtResult<u64> {
        if at.0 == 0 { Ok(0) } else { cx.read::<u64>(at) }
    };
    let owner = match pointed(cx, owner)? {
        0 => user.sid,
        at => capture::sid(cx, Va(at))?,
    };
    let primary_group = pointed(cx, primary_group)?;
    let primary_group = capture::sid(cx, Va(primary_group))?;
    let default_dacl = match pointed(cx, default_dacl)? {
        0 => None,
        at => Some(capture::acl(cx, Va(at))?),
    };
    let [source_name, source_id] = cx.read::<[u64; 2]>(source)?;
    let state = TokenState {
        authentication_id: authentication_id.read(cx)?,
        expiration: expiration_time.read(cx)?,
        source_name: source_name.to_le_bytes(),
        source_id,
        kind,
        user: Group { sid: user.sid, attributes: 0 },
        groups,
        privileges: capture::privileges(cx, privileges)?,
        owner,
        primary_group,
        default_dacl,
        integrity: integrity.unwrap_or(SECURITY_MANDATORY_MEDIUM_RID),
        ..TokenState::default()
    };
    if !state.may_own_as(&owner) {
        return Err(STATUS_INVALID_OWNER);
    }
    if state.user.sid != primary_group && !state.groups.iter().any(|g| g.sid == primary_group) {
        return Err(STATUS_INVALID_PRIMARY_GROUP);
    }
    let token = Token::create(cx.k, state)?;
    cx.give_handle(token_handle, &token, desired_access.0, attributes.flags)
}

/// Makes a thread impersonate nobody in particular. Requires `THREAD_IMPERSONATE`.
#[service]
pub(in crate::svc) fn nt_impersonate_anonymous_token(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_IMPERSONATE)?;
    if !cx.process().token.open().state.open().restricted.is_empty() {
        return Err(STATUS_ACCESS_DENIED);
    }
    let kind = TokenKind::Impersonation(SECURITY_IMPERSONATION);
    let token = Token::create(cx.k, TokenState { kind, ..TokenState::default() })?;
    *thread.impersonation.open() = Some(token);
    Ok(STATUS_SUCCESS)
}
