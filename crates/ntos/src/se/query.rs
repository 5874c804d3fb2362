//! What `NtQueryInformationToken` writes, class by class.
//!
//! Key function: [`lay_out`]. Layouts: the `TOKEN_…` structures of `winnt.h` and `ntifs.h`; pointers in them point into
//! the caller's own buffer, so the address of the buffer is needed to build its bytes.

use abi::NtResult;
use abi::status_table::{STATUS_INVALID_INFO_CLASS, STATUS_NOT_FOUND, STATUS_NOT_IMPLEMENTED};
use guest_mem::Va;
use sd::{Group, Sid};

use super::privilege::Privilege;
use super::token::{TokenKind, TokenState};

/// Bytes under construction at a known address.
struct Layout {
    base: u64,
    bytes: Vec<u8>,
}

impl Layout {
    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Reserves a pointer; [`Layout::point`] fills it.
    fn pointer(&mut self) -> usize {
        let at = self.bytes.len();
        self.u64(0);
        at
    }

    /// Makes the pointer at `at` point to the end of what there is.
    fn point(&mut self, at: usize) {
        let target = self.base.wrapping_add(self.bytes.len() as u64).to_le_bytes();
        if let Some(place) = self.bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&target);
        }
    }

    fn sid(&mut self, sid: &Sid) {
        sid.write_to(&mut self.bytes);
    }

    /// An array of `SID_AND_ATTRIBUTES`; the places of the SID pointers are returned.
    fn group_array(&mut self, groups: &[Group]) -> Vec<usize> {
        let mut places = Vec::with_capacity(groups.len());
        for group in groups {
            places.push(self.pointer());
            self.u32(group.attributes).u32(0);
        }
        places
    }

    fn point_sids(&mut self, places: &[usize], groups: &[Group]) {
        for (place, group) in places.iter().zip(groups) {
            self.point(*place);
            self.sid(&group.sid);
        }
    }

    /// `TOKEN_GROUPS` and the SIDs.
    fn groups(&mut self, groups: &[Group]) {
        self.u32(groups.len() as u32).u32(0);
        let places = self.group_array(groups);
        self.point_sids(&places, groups);
    }

    fn privileges(&mut self, privileges: &[Privilege]) {
        for privilege in privileges {
            self.u64(privilege.luid).u32(privilege.attributes);
        }
    }

    /// A pointer to one SID, and the SID.
    fn pointed_sid(&mut self, sid: &Sid) {
        let place = self.pointer();
        self.point(place);
        self.sid(sid);
    }
}

fn sids_size(groups: &[Group]) -> u32 {
    groups.iter().map(|group| 16 + group.sid.size() as u32).sum()
}

/// The bytes of one information class in a buffer at `base`.
///
/// `STATUS_INVALID_INFO_CLASS` for a class that this token does not have, `STATUS_NOT_IMPLEMENTED` for one that NT has and
/// nten has not.
pub fn lay_out(token: &TokenState, class: u32, base: Va) -> NtResult<Vec<u8>> {
    let mut out = Layout { base: base.0, bytes: Vec::new() };
    let all_groups = || {
        let mut groups = token.groups.clone();
        groups.push(token.label());
        groups
    };
    match class {
        1 => out.groups_one(&token.user),
        2 => out.groups(&all_groups()),
        3 => {
            out.u32(token.privileges.len() as u32);
            out.privileges(&token.privileges);
        }
        4 => out.pointed_sid(&token.owner),
        5 => out.pointed_sid(&token.primary_group),
        6 => {
            let place = out.pointer();
            if let Some(dacl) = &token.default_dacl {
                out.point(place);
                dacl.write_to(&mut out.bytes);
            }
        }
        7 => {
            out.bytes.extend_from_slice(&token.source_name);
            out.u64(token.source_id);
        }
        8 => {
            out.u32(token.kind.token_type());
        }
        9 => match token.kind {
            TokenKind::Impersonation(level) => {
                out.u32(level);
            }
            TokenKind::Primary => return Err(STATUS_INVALID_INFO_CLASS),
        },
        10 => {
            out.u64(token.id).u64(token.authentication_id).u64(token.expiration as u64);
            out.u32(token.kind.token_type()).u32(token.kind.level());
            // Charged and available bytes of the dynamic part: NT's usual quota.
            let dynamic = token.default_dacl.as_ref().map_or(0, |dacl| dacl.size() as u32)
                + token.primary_group.size() as u32;
            out.u32(0x1000).u32(0x1000u32.saturating_sub(dynamic));
            out.u32(token.groups.len() as u32 + 1).u32(token.privileges.len() as u32);
            out.u64(token.modified_id);
        }
        11 => out.groups(&token.restricted),
        12 => {
            out.u32(token.session);
        }
        13 => {
            let groups = all_groups();
            let privileges = &token.privileges;
            out.u32(groups.len() as u32).u32(sids_size(&groups));
            let sids = out.pointer();
            out.u32(token.restricted.len() as u32).u32(sids_size(&token.restricted));
            let restricted = out.pointer();
            out.u32(privileges.len() as u32).u32(12 * privileges.len() as u32);
            let privilege_array = out.pointer();
            out.u64(token.authentication_id);
            out.point(sids);
            let places = out.group_array(&groups);
            out.point_sids(&places, &groups);
            if !token.restricted.is_empty() {
                // SIDs are multiples of four bytes, pointers of eight.
                out.bytes.resize(out.bytes.len().next_multiple_of(8), 0);
                out.point(restricted);
                let places = out.group_array(&token.restricted);
                out.point_sids(&places, &token.restricted);
            }
            out.point(privilege_array);
            out.privileges(privileges);
        }
        15 => {
            out.u32(u32::from(token.sandbox_inert));
        }
        17 => {
            out.u64(token.origin);
        }
        18 => {
            out.u32(token.elevation_type);
        }
        20 => {
            out.u32(u32::from(token.elevated));
        }
        21 => {
            out.u32(u32::from(token.has_restrictions()));
        }
        23 => {
            out.u32(u32::from(token.virtualization_allowed));
        }
        24 => {
            out.u32(u32::from(token.virtualization_enabled));
        }
        25 => out.groups_one(&token.label()),
        26 => {
            out.u32(u32::from(token.ui_access));
        }
        27 => {
            out.u32(token.mandatory_policy);
        }
        28 => {
            let is_logon = |group: &&Group| {
                let logon = abi::se::SE_GROUP_LOGON_ID;
                group.attributes & logon == logon
            };
            let logon: Vec<Group> = token.groups.iter().filter(is_logon).copied().collect();
            if logon.is_empty() {
                return Err(STATUS_NOT_FOUND);
            }
            out.groups(&logon);
        }
        // Not in an app container, not sandboxed, no trust label, no private namespace.
        29 | 32 | 42 | 46 | 47 => {
            out.u32(0);
        }
        30 | 37 | 38 => out.groups(&[]),
        31 | 41 => {
            out.u64(0);
        }
        // Claims and security attributes: version 1, none.
        33 | 34 | 39 => {
            out.u32(1).u32(0).u64(0);
        }
        40 => {
            out.u32(u32::from(!token.restricted.is_empty()));
        }
        44 => {
            out.u64(0).u64(0);
        }
        16 | 22 | 35 | 36 | 43 | 45 | 48.. => return Err(STATUS_NOT_IMPLEMENTED),
        0 | 14 | 19 => return Err(STATUS_INVALID_INFO_CLASS),
    }
    Ok(out.bytes)
}

/// `TOKEN_PRIVILEGES`: how adjusted privileges were before.
pub fn privileges_bytes(privileges: &[Privilege]) -> Vec<u8> {
    let mut out = Layout { base: 0, bytes: Vec::new() };
    out.u32(privileges.len() as u32);
    out.privileges(privileges);
    out.bytes
}

/// `TOKEN_GROUPS` in a buffer at `base`: how adjusted groups were before.
pub fn groups_bytes(groups: &[Group], base: Va) -> Vec<u8> {
    let mut out = Layout { base: base.0, bytes: Vec::new() };
    out.groups(groups);
    out.bytes
}

impl Layout {
    /// One `SID_AND_ATTRIBUTES` and its SID.
    fn groups_one(&mut self, group: &Group) {
        let places = self.group_array(std::slice::from_ref(group));
        self.point_sids(&places, std::slice::from_ref(group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_point_into_the_buffer() {
        let token = TokenState::default();
        let bytes = lay_out(&token, 1, Va(0x1000)).unwrap();
        assert_eq!(bytes.len(), 16 + 12);
        assert_eq!(bytes[..8], 0x1010u64.to_le_bytes());
        assert_eq!(Sid::parse(&bytes[16..]).unwrap(), token.user.sid);
        let groups = lay_out(&token, 2, Va(0x1000)).unwrap();
        assert_eq!(groups[..4], [1, 0, 0, 0]);
        assert_eq!(Sid::parse(&groups[24..]).unwrap(), token.label().sid);
    }

    #[test]
    fn fixed_layouts_have_their_size() {
        let token = TokenState::default();
        for (class, size) in [(7, 16), (8, 4), (10, 0x38), (12, 4), (13, 0x38 + 28), (39, 16)] {
            let bytes = lay_out(&token, class, Va(0)).unwrap();
            assert_eq!(bytes.len(), size, "class {class}");
        }
        assert!(lay_out(&token, 9, Va(0)) == Err(STATUS_INVALID_INFO_CLASS));
        assert!(lay_out(&token, 999, Va(0)).is_err());
    }
}
