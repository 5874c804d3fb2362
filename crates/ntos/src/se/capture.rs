//! Capturing SIDs, lists and security descriptors from the caller's memory.
//!
//! A descriptor may be self-relative or absolute, with pointers; what is captured is the same [`SecurityDescriptor`].

use abi::NtResult;
use abi::status_table::*;
use guest_mem::Va;
use sd::{Acl, Group, Malformed, SecurityDescriptor, Sid, control};

use crate::svc::ServiceCx;

use super::privilege::Privilege;

/// Most groups, privileges or SIDs in one request.
const MAX_ENTRIES: u32 = 0x1000;

fn sid_status(error: Malformed) -> abi::NtStatus {
    match error {
        Malformed::Acl => STATUS_INVALID_ACL,
        Malformed::Descriptor | Malformed::Text(_) => STATUS_INVALID_SECURITY_DESCR,
        Malformed::Sid | Malformed::Truncated => STATUS_INVALID_SID,
    }
}

/// Captures a SID.
pub fn sid(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<Sid> {
    let [_, count] = cx.read::<[u8; 2]>(at)?;
    let size = 8 + 4 * usize::from(count);
    if size > Sid::MAX_SIZE {
        return Err(STATUS_INVALID_SID);
    }
    let bytes = cx.read_vec(at, size)?;
    Sid::parse(&bytes).map_err(sid_status)
}

/// Captures an access control list.
pub fn acl(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<Acl> {
    let header = cx.read::<[u8; 8]>(at)?;
    let size = Acl::claimed_size(&header).map_err(sid_status)?;
    if size < header.len() {
        return Err(STATUS_INVALID_ACL);
    }
    let bytes = cx.read_vec(at, size)?;
    Acl::parse(&bytes).map_err(|_| STATUS_INVALID_ACL)
}

/// Captures a security descriptor of either form.
pub fn descriptor(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<SecurityDescriptor> {
    let [revision, resource_manager, low, high] = cx.read::<[u8; 4]>(at)?;
    if revision != 1 {
        return Err(STATUS_UNKNOWN_REVISION);
    }
    let bits = u16::from_le_bytes([low, high]);
    // Owner, group, SACL, DACL.
    let parts: [Va; 4] = if bits & control::SELF_RELATIVE != 0 {
        let offsets = cx.read::<[u32; 4]>(Va(at.0.wrapping_add(4)))?;
        offsets.map(|offset| match offset {
            0 => Va(0),
            offset => Va(at.0.wrapping_add(u64::from(offset))),
        })
    } else {
        cx.read::<[u64; 4]>(Va(at.0.wrapping_add(8)))?.map(Va)
    };
    let [owner, group, sacl, dacl] = parts;
    let mut captured = SecurityDescriptor {
        control: bits & !control::SELF_RELATIVE,
        resource_manager,
        ..SecurityDescriptor::default()
    };
    if owner.0 != 0 {
        captured.owner = Some(sid(cx, owner)?);
    }
    if group.0 != 0 {
        captured.group = Some(sid(cx, group)?);
    }
    if sacl.0 != 0 && bits & control::SACL_PRESENT != 0 {
        captured.sacl = Some(acl(cx, sacl)?);
    }
    if dacl.0 != 0 && bits & control::DACL_PRESENT != 0 {
        captured.dacl = Some(acl(cx, dacl)?);
    }
    Ok(captured)
}

/// Captures the descriptor that object attributes name, if they name one.
pub fn optional_descriptor(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<Option<SecurityDescriptor>> {
    if at.0 == 0 { Ok(None) } else { descriptor(cx, at).map(Some) }
}

/// Captures a `SID_AND_ATTRIBUTES`.
pub fn sid_and_attributes(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<Group> {
    let pointer = cx.read::<u64>(at)?;
    let attributes = cx.read::<u32>(Va(at.0.wrapping_add(8)))?;
    Ok(Group { sid: sid(cx, Va(pointer))?, attributes })
}

/// Captures `TOKEN_GROUPS`; null gives none.
pub fn groups(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<Vec<Group>> {
    if at.0 == 0 {
        return Ok(Vec::new());
    }
    let count = cx.read::<u32>(at)?;
    if count > MAX_ENTRIES {
        return Err(STATUS_INVALID_PARAMETER);
    }
    (0..u64::from(count))
        .map(|index| sid_and_attributes(cx, Va(at.0.wrapping_add(8 + 16 * index))))
        .collect()
}

/// Captures `count` entries of `LUID_AND_ATTRIBUTES`.
pub fn privilege_array(cx: &mut ServiceCx<'_>, at: Va, count: u32) -> NtResult<Vec<Privilege>> {
    if count > MAX_ENTRIES {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let mut privileges = Vec::new();
    for index in 0..u64::from(count) {
        let [low, high, attributes] = cx.read::<[u32; 3]>(Va(at.0.wrapping_add(12 * index)))?;
        privileges.push(Privilege { luid: u64::from(high) << 32 | u64::from(low), attributes });
    }
    Ok(privileges)
}

/// Captures `TOKEN_PRIVILEGES`; null gives none.
pub fn privileges(cx: &mut ServiceCx<'_>, at: Va) -> NtResult<Vec<Privilege>> {
    if at.0 == 0 {
        return Ok(Vec::new());
    }
    let count = cx.read::<u32>(at)?;
    privilege_array(cx, Va(at.0.wrapping_add(4)), count)
}
