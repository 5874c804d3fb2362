//! Services of access tokens: opening, querying and setting; neighbours adjust ([`adjust`]) and make ([`make`]) them.
//!
//! The token's state and its rules are in [`crate::se::token`]; what a query writes is laid out in
//! [`crate::se::query`].

use abi::se::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos_macros::service;

use crate::ob::ObRef;
use crate::ps::{Process, Thread};
use crate::se::{self, Token, TokenKind, capture, query};
use crate::svc::args::HandleValue;
use crate::svc::{Handle, Out, ServiceCx};
use crate::{enum_arg, flags_arg};

mod adjust;
mod make;

use adjust::{nt_adjust_groups_token, nt_adjust_privileges_token};
use make::{
    nt_compare_tokens, nt_create_token, nt_duplicate_token, nt_filter_token,
    nt_impersonate_anonymous_token,
};

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
    cx.give_handle(token_handle, &token, desired_access.0, handle_attributes)
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
        return cx.give_handle(token_handle, &token, desired_access.0, handle_attributes);
    }
    se::as_process(cx, |cx| {
        cx.give_handle(token_handle, &token, desired_access.0, handle_attributes)
    })
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
