//! Services that switch a token's privileges and groups on and off.

use abi::NtResult;
use abi::se::*;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use sd::Group;

use crate::se::privilege::Privilege;
use crate::se::{Token, capture, query};
use crate::svc::{Handle, Out, ServiceCx};

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
pub(in crate::svc) fn nt_adjust_privileges_token(
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
pub(in crate::svc) fn nt_adjust_groups_token(
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
