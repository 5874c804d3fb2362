//! Services of access tokens: opening, querying, adjusting, duplicating, filtering.
//!
//! The token's state and its rules are in [`crate::se::token`]; what a query writes is laid out in
//! [`crate::se::query`].

use abi::ob::OBJECT_ATTRIBUTES;
use abi::se::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos_macros::service;
use sd::{Group, SecurityDescriptor};

use crate::ob::ObRef;
use crate::ps::{Process, Thread};
use crate::se::privilege::Privilege;
use crate::se::{self, Token, TokenKind, TokenState, capture, query};
use crate::svc::args::HandleValue;
use crate::svc::{Handle, In, Out, ServiceCx};
use crate::{enum_arg, flags_arg};

flags_arg! {
    /// Access rights of a token.
    TokenAccess {
        TOKEN_ALL_ACCESS = TOKEN_ALL_ACCESS, TOKEN_ASSIGN_PRIMARY = TOKEN_ASSIGN_PRIMARY,
        TOKEN_DUPLICATE = TOKEN_DUPLICATE, TOKEN_IMPERSONATE = TOKEN_IMPERSONATE,
        TOKEN_QUERY = TOKEN_QUERY, TOKEN_QUERY_SOURCE = TOKEN_QUERY_SOURCE,
        TOKEN_ADJUST_PRIVILEGES = TOKEN_ADJUST_PRIVILEGES, TOKEN_ADJUST_GROUPS = TOKEN_ADJUST_GROUPS,
        TOKEN_ADJUST_DEFAULT = TOKEN_ADJUST_DEFAULT, TOKEN_ADJUST_SESSIONID = TOKEN_ADJUST_SESSIONID,
        MAXIMUM_ALLOWED = abi::ob::MAXIMUM_ALLOWED, GENERIC_READ = abi::ob::GENERIC_READ,
        GENERIC_WRITE = abi::ob::GENERIC_WRITE, GENERIC_EXECUTE = abi::ob::GENERIC_EXECUTE,
        GENERIC_ALL = abi::ob::GENERIC_ALL, READ_CONTROL = abi::ob::READ_CONTROL,
        DELETE = abi::ob::DELETE, WRITE_DAC = abi::ob::WRITE_DAC, WRITE_OWNER = abi::ob::WRITE_OWNER,
    }
}

enum_arg! {
    /// `TOKEN_INFORMATION_CLASS`.
    TokenInformationClass {
        TokenUser = 1, TokenGroups = 2, TokenPrivileges = 3, TokenOwner = 4, TokenPrimaryGroup = 5,
        TokenDefaultDacl = 6, TokenSource = 7, TokenType = 8, TokenImpersonationLevel = 9,
        TokenStatistics = 10, TokenRestrictedSids = 11, TokenSessionId = 12,
        TokenGroupsAndPrivileges = 13, TokenSessionReference = 14, TokenSandBoxInert = 15,
        TokenAuditPolicy = 16, TokenOrigin = 17, TokenElevationType = 18, TokenLinkedToken = 19,
        TokenElevation = 20, TokenHasRestrictions = 21, TokenAccessInformation = 22,
        TokenVirtualizationAllowed = 23, TokenVirtualizationEnabled = 24, TokenIntegrityLevel = 25,
        TokenUIAccess = 26, TokenMandatoryPolicy = 27, TokenLogonSid = 28,
        TokenIsAppContainer = 29, TokenCapabilities = 30, TokenAppContainerSid = 31,
        TokenAppContainerNumber = 32, TokenUserClaimAttributes = 33, TokenDeviceClaimAttributes = 34,
        TokenDeviceGroups = 37, TokenRestrictedDeviceGroups = 38, TokenSecurityAttributes = 39,
        TokenIsRestricted = 40, TokenProcessTrustLevel = 41, TokenPrivateNameSpace = 42,
        TokenSingletonAttributes = 43, TokenBnoIsolation = 44, TokenChildProcessFlags = 45,
        TokenIsLessPrivilegedAppContainer = 46, TokenIsSandboxed = 47,
    }
}

enum_arg! {
    /// `TOKEN_TYPE`.
    TokenType { TokenPrimary = 1, TokenImpersonation = 2 }
}

flags_arg! {
    /// Flags of `NtFilterToken`.
    FilterFlags {
        DISABLE_MAX_PRIVILEGE = DISABLE_MAX_PRIVILEGE, SANDBOX_INERT = SANDBOX_INERT,
        LUA_TOKEN = LUA_TOKEN, WRITE_RESTRICTED = WRITE_RESTRICTED,
    }
}

const THREAD_IMPERSONATE: u32 = 0x100;

/// `NtCurrentProcessToken()`.
const CURRENT_PROCESS_TOKEN: Handle = Handle(-4i64 as u64);
/// `NtCurrentThreadToken()`.
const CURRENT_THREAD_TOKEN: Handle = Handle(-5i64 as u64);
/// `NtCurrentThreadEffectiveToken()`.
const CURRENT_EFFECTIVE_TOKEN: Handle = Handle(-6i64 as u64);

/// The token of a handle or pseudo handle; pseudo handles grant querying only.
pub(super) fn reference_token(
    cx: &mut ServiceCx<'_>,
    handle: Handle,
    access: u32,
) -> NtResult<ObRef<Token>> {
    let token = match handle {
        CURRENT_PROCESS_TOKEN => cx.process().token.open().clone(),
        CURRENT_THREAD_TOKEN => cx.thread.impersonation.open().clone().ok_or(STATUS_NO_TOKEN)?,
        CURRENT_EFFECTIVE_TOKEN => se::effective_token(cx.thread),
        _ => return cx.reference::<Token>(handle, access),
    };
    if access & !(TOKEN_QUERY | TOKEN_QUERY_SOURCE) != 0 {
        return Err(STATUS_ACCESS_DENIED);
    }
    Ok(token)
}

/// Enters an object in the handle table and stores the handle; a fault closes it again.
pub(super) fn give_handle(
    cx: &mut ServiceCx<'_>,
    token: &ObRef<Token>,
    access: u32,
    attributes: u32,
    out: Out<HandleValue>,
) -> NtResult {
    let handle = cx.open_handle(token, access, attributes)?;
    if let Err(fault) = out.write(cx, &HandleValue(handle)) {
        let process = cx.process();
        crate::ob::close(cx.k, process, handle)?;
        return Err(fault);
    }
    Ok(STATUS_SUCCESS)
}

/// Opens the primary token of a process. Requires `PROCESS_QUERY_LIMITED_INFORMATION`.
#[service]
fn nt_open_process_token(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    desired_access: TokenAccess,
    token_handle: Out<HandleValue>,
) -> NtResult {
    nt_open_process_token_ex(cx, process_handle, desired_access, 0, token_handle)
}

/// Opens the primary token of a process. Requires `PROCESS_QUERY_LIMITED_INFORMATION`.
#[service]
fn nt_open_process_token_ex(
    cx: &mut ServiceCx<'_>,
    process_handle: Handle,
    desired_access: TokenAccess,
    handle_attributes: u32,
    token_handle: Out<HandleValue>,
) -> NtResult {
    token_handle.probe(cx)?;
    let process = cx
        .reference::<Process>(process_handle, abi::ps::PROCESS_QUERY_LIMITED_INFORMATION)
        .or_else(|status| match status {
            STATUS_ACCESS_DENIED => {
                cx.reference::<Process>(process_handle, abi::ps::PROCESS_QUERY_INFORMATION)
            }
            other => Err(other),
        })?;
    let token = process.token.open().clone();
    give_handle(cx, &token, desired_access.0, handle_attributes, token_handle)
}

/// Opens the token that a thread impersonates with. Requires `THREAD_QUERY_LIMITED_INFORMATION`.
///
/// `STATUS_NO_TOKEN` if it impersonates nobody, `STATUS_CANT_OPEN_ANONYMOUS` below identification.
#[service]
fn nt_open_thread_token(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    desired_access: TokenAccess,
    open_as_self: bool,
    token_handle: Out<HandleValue>,
) -> NtResult {
    nt_open_thread_token_ex(cx, thread_handle, desired_access, open_as_self, 0, token_handle)
}

/// Opens the token that a thread impersonates with. Requires `THREAD_QUERY_LIMITED_INFORMATION`.
///
/// `open_as_self` checks the access with the process's token instead of the impersonated one.
#[service]
fn nt_open_thread_token_ex(
    cx: &mut ServiceCx<'_>,
    thread_handle: Handle,
    desired_access: TokenAccess,
    open_as_self: bool,
    handle_attributes: u32,
    token_handle: Out<HandleValue>,
) -> NtResult {
    token_handle.probe(cx)?;
    let thread = cx
        .reference::<Thread>(thread_handle, abi::ps::THREAD_QUERY_LIMITED_INFORMATION)
        .or_else(|status| match status {
        STATUS_ACCESS_DENIED => {
            cx.reference::<Thread>(thread_handle, abi::ps::THREAD_QUERY_INFORMATION)
        }
        other => Err(other),
    })?;
    let token = thread.impersonation.open().clone().ok_or(STATUS_NO_TOKEN)?;
    if token.state.open().kind == TokenKind::Impersonation(SECURITY_ANONYMOUS) {
        return Err(STATUS_CANT_OPEN_ANONYMOUS);
    }
    if !open_as_self {
        return give_handle(cx, &token, desired_access.0, handle_attributes, token_handle);
    }
    let client = cx.thread.impersonation.open().take();
    let result = give_handle(cx, &token, desired_access.0, handle_attributes, token_handle);
    *cx.thread.impersonation.open() = client;
    result
}

/// Says what a token says. Requires `TOKEN_QUERY`, or `TOKEN_QUERY_SOURCE` for `TokenSource`.
///
/// A buffer that is too small gives `STATUS_BUFFER_TOO_SMALL` and the length needed.
#[service(Partial("claims, audit policy and app container classes are refused or empty"))]
fn nt_query_information_token(
    cx: &mut ServiceCx<'_>,
    token_handle: Handle,
    token_information_class: TokenInformationClass,
    token_information: Va,
    token_information_length: u32,
    return_length: Out<u32>,
) -> NtResult {
    return_length.probe(cx)?;
    let class = token_information_class.0;
    let access = match class {
        TokenInformationClass::TokenSource => TOKEN_QUERY_SOURCE,
        _ => TOKEN_QUERY,
    };
    let token = reference_token(cx, token_handle, access)?;
    if class == TokenInformationClass::TokenLinkedToken {
        // A token of the default elevation type is not one of a pair.
        return Err(STATUS_NO_SUCH_LOGON_SESSION);
    }
    let laid_out = query::lay_out(&token.state.open(), class, token_information);
    let bytes = laid_out.map_err(|status| {
        if status != STATUS_NOT_IMPLEMENTED {
            return status;
        }
        cx.k.notice_once(format!("NtQueryInformationToken class {class} is not implemented"));
        STATUS_INVALID_INFO_CLASS
    })?;
    let needed = u32::try_from(bytes.len()).map_err(|_| STATUS_INTERNAL_ERROR)?;
    return_length.write(cx, &needed)?;
    if token_information_length < needed {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    cx.write_bytes(token_information, &bytes)?;
    Ok(NtStatus::SUCCESS)
}

/// Changes what a token says. Requires `TOKEN_ADJUST_DEFAULT`, for the session also `TOKEN_ADJUST_SESSIONID`.
///
/// The session, the origin and the mandatory policy need `SeTcbPrivilege`. The integrity level can only be lowered.
#[service(Partial("audit policy, linked token and claims are refused"))]
fn nt_set_information_token(
    cx: &mut ServiceCx<'_>,
    token_handle: Handle,
    token_information_class: TokenInformationClass,
    token_information: Va,
    token_information_length: u32,
) -> NtResult {
    let class = token_information_class.0;
    let access = match class {
        TokenInformationClass::TokenSessionId => TOKEN_ADJUST_DEFAULT | TOKEN_ADJUST_SESSIONID,
        _ => TOKEN_ADJUST_DEFAULT,
    };
    let token = cx.reference::<Token>(token_handle, access)?;
    let needs = |size: u32| match token_information_length {
        length if length < size => Err(STATUS_INFO_LENGTH_MISMATCH),
        _ => Ok(()),
    };
    let modified = cx.k.ex.allocate_luid();
    match class {
        TokenInformationClass::TokenOwner => {
            needs(8)?;
            let pointer = cx.read::<u64>(token_information)?;
            let owner = capture::sid(cx, Va(pointer))?;
            let mut state = token.state.open();
            if !state.may_own_as(&owner) {
                return Err(STATUS_INVALID_OWNER);
            }
            state.owner = owner;
        }
        TokenInformationClass::TokenPrimaryGroup => {
            needs(8)?;
            let pointer = cx.read::<u64>(token_information)?;
            let group = capture::sid(cx, Va(pointer))?;
            let mut state = token.state.open();
            let known = state.user.sid == group || state.groups.iter().any(|g| g.sid == group);
            if !known {
                return Err(STATUS_INVALID_PRIMARY_GROUP);
            }
            state.primary_group = group;
        }
        TokenInformationClass::TokenDefaultDacl => {
            needs(8)?;
            let pointer = cx.read::<u64>(token_information)?;
            let dacl = match pointer {
                0 => None,
                at => Some(capture::acl(cx, Va(at))?),
            };
            token.state.open().default_dacl = dacl;
        }
        TokenInformationClass::TokenSessionId => {
            needs(4)?;
            let session = cx.read::<u32>(token_information)?;
            se::require_privilege(cx.thread, SE_TCB_PRIVILEGE)?;
            token.state.open().session = session;
        }
        TokenInformationClass::TokenOrigin => {
            needs(8)?;
            let origin = cx.read::<u64>(token_information)?;
            se::require_privilege(cx.thread, SE_TCB_PRIVILEGE)?;
            let mut state = token.state.open();
            // It is set once.
            if state.origin == 0 {
                state.origin = origin;
            }
        }
        TokenInformationClass::TokenVirtualizationAllowed => {
            needs(4)?;
            let allowed = cx.read::<u32>(token_information)?;
            se::require_privilege(cx.thread, SE_CREATE_TOKEN_PRIVILEGE)?;
            token.state.open().virtualization_allowed = allowed != 0;
        }
        TokenInformationClass::TokenVirtualizationEnabled => {
            needs(4)?;
            let enabled = cx.read::<u32>(token_information)?;
            let mut state = token.state.open();
            if !state.virtualization_allowed {
                return Err(STATUS_NOT_SUPPORTED);
            }
            state.virtualization_enabled = enabled != 0;
        }
        TokenInformationClass::TokenIntegrityLevel => {
            needs(16)?;
            let label = capture::sid_and_attributes(cx, token_information)?.sid;
            let rid = label
                .rid()
                .filter(|_| label.authority() == 16 && label.sub_authorities().len() == 1);
            let level = rid.ok_or(STATUS_INVALID_LABEL)?;
            let may_raise = se::require_privilege(cx.thread, SE_RELABEL_PRIVILEGE).is_ok();
            let mut state = token.state.open();
            if level > state.integrity && !may_raise {
                return Err(STATUS_PRIVILEGE_NOT_HELD);
            }
            state.integrity = level;
        }
        TokenInformationClass::TokenUIAccess => {
            needs(4)?;
            let access = cx.read::<u32>(token_information)?;
            se::require_privilege(cx.thread, SE_TCB_PRIVILEGE)?;
            token.state.open().ui_access = access != 0;
        }
        TokenInformationClass::TokenMandatoryPolicy => {
            needs(4)?;
            let policy = cx.read::<u32>(token_information)?;
            let both = TOKEN_MANDATORY_POLICY_NO_WRITE_UP | TOKEN_MANDATORY_POLICY_NEW_PROCESS_MIN;
            if policy & !both != 0 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            se::require_privilege(cx.thread, SE_TCB_PRIVILEGE)?;
            token.state.open().mandatory_policy = policy;
        }
        _ => {
            cx.k.notice_once(format!("NtSetInformationToken class {class} is not implemented"));
            return Err(STATUS_INVALID_INFO_CLASS);
        }
    }
    token.state.open().modified_id = modified;
    Ok(STATUS_SUCCESS)
}

/// Writes the earlier state of adjusted privileges or groups; false if the buffer is too small.
fn write_previous(
    cx: &mut ServiceCx<'_>,
    bytes: &[u8],
    buffer: Va,
    buffer_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult<()> {
    if buffer.0 == 0 {
        return Ok(());
    }
    let needed = u32::try_from(bytes.len()).map_err(|_| STATUS_INTERNAL_ERROR)?;
    return_length.ok_or(STATUS_ACCESS_VIOLATION)?.write(cx, &needed)?;
    if buffer_length < needed {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    cx.write_bytes(buffer, bytes)
}

/// Switches privileges on and off. Requires `TOKEN_ADJUST_PRIVILEGES`, and `TOKEN_QUERY` for the previous state.
///
/// `STATUS_NOT_ALL_ASSIGNED`, a success, if the token does not hold one of them. A previous state that does not fit
/// gives `STATUS_BUFFER_TOO_SMALL` and changes nothing.
#[service]
fn nt_adjust_privileges_token(
    cx: &mut ServiceCx<'_>,
    token_handle: Handle,
    disable_all_privileges: bool,
    new_state: Va,
    buffer_length: u32,
    previous_state: Va,
    return_length: Option<Out<u32>>,
) -> NtResult {
    if !disable_all_privileges && new_state.0 == 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let changes = match disable_all_privileges {
        true => Vec::new(),
        false => capture::privileges(cx, new_state)?,
    };
    let access = TOKEN_ADJUST_PRIVILEGES | if previous_state.0 != 0 { TOKEN_QUERY } else { 0 };
    let token = cx.reference::<Token>(token_handle, access)?;
    let mut state = token.state.open().clone();
    let changes = match disable_all_privileges {
        true => {
            let off = |held: &Privilege| Privilege { luid: held.luid, attributes: 0 };
            state.privileges.iter().map(off).collect()
        }
        false => changes,
    };
    let (before, all_held) = state.adjust_privileges(&changes);
    let bytes = query::privileges_bytes(&before);
    write_previous(cx, &bytes, previous_state, buffer_length, return_length)?;
    if !before.is_empty() {
        state.modified_id = cx.k.ex.allocate_luid();
    }
    *token.state.open() = state;
    Ok(if all_held { STATUS_SUCCESS } else { STATUS_NOT_ALL_ASSIGNED })
}

/// Switches groups on and off. Requires `TOKEN_ADJUST_GROUPS`, and `TOKEN_QUERY` for the previous state.
///
/// `STATUS_CANT_DISABLE_MANDATORY` for a mandatory group; `STATUS_NOT_ALL_ASSIGNED`, a success, for one that the token
/// does not have.
#[service]
fn nt_adjust_groups_token(
    cx: &mut ServiceCx<'_>,
    token_handle: Handle,
    reset_to_default: bool,
    new_state: Va,
    buffer_length: u32,
    previous_state: Va,
    return_length: Option<Out<u32>>,
) -> NtResult {
    if !reset_to_default && new_state.0 == 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let changes = match reset_to_default {
        true => Vec::new(),
        false => capture::groups(cx, new_state)?,
    };
    let access = TOKEN_ADJUST_GROUPS | if previous_state.0 != 0 { TOKEN_QUERY } else { 0 };
    let token = cx.reference::<Token>(token_handle, access)?;
    let mut state = token.state.open().clone();
    let changes = match reset_to_default {
        true => {
            let default = |group: &Group| Group {
                sid: group.sid,
                attributes: match group.attributes & SE_GROUP_ENABLED_BY_DEFAULT {
                    0 => 0,
                    _ => SE_GROUP_ENABLED,
                },
            };
            state.groups.iter().map(default).collect()
        }
        false => changes,
    };
    let (before, all_held) = state.adjust_groups(&changes)?;
    let bytes = query::groups_bytes(&before, previous_state);
    write_previous(cx, &bytes, previous_state, buffer_length, return_length)?;
    if !before.is_empty() {
        state.modified_id = cx.k.ex.allocate_luid();
    }
    *token.state.open() = state;
    Ok(if all_held { STATUS_SUCCESS } else { STATUS_NOT_ALL_ASSIGNED })
}

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
fn nt_duplicate_token(
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
    give_handle(cx, &token, access, attributes.flags, new_token_handle)
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
fn nt_filter_token(
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
    give_handle(cx, &token, access, 0, new_token_handle)
}

/// Says whether two tokens make every access check come out the same. Requires `TOKEN_QUERY` to both.
#[service]
fn nt_compare_tokens(
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
fn nt_create_token(
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
    give_handle(cx, &token, desired_access.0, attributes.flags, token_handle)
}

/// Makes a thread impersonate nobody in particular. Requires `THREAD_IMPERSONATE`.
#[service]
fn nt_impersonate_anonymous_token(cx: &mut ServiceCx<'_>, thread_handle: Handle) -> NtResult {
    let thread = cx.reference::<Thread>(thread_handle, THREAD_IMPERSONATE)?;
    if !cx.process().token.open().state.open().restricted.is_empty() {
        return Err(STATUS_ACCESS_DENIED);
    }
    let kind = TokenKind::Impersonation(SECURITY_IMPERSONATION);
    let token = Token::create(cx.k, TokenState { kind, ..TokenState::default() })?;
    *thread.impersonation.open() = Some(token);
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES:
    nt_open_process_token,
    nt_open_process_token_ex,
    nt_open_thread_token,
    nt_open_thread_token_ex,
    nt_query_information_token,
    nt_set_information_token,
    nt_adjust_privileges_token,
    nt_adjust_groups_token,
    nt_duplicate_token,
    nt_filter_token,
    nt_compare_tokens,
    nt_create_token,
    nt_impersonate_anonymous_token,
}

#[cfg(test)]
mod tests;
