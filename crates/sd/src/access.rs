//! The access check: may this subject do that?
//!
//! Key types: [`Subject`], [`GenericMapping`], [`Granted`], [`Denied`]. The rules: [MS-DTYP] 2.5.3.2 (DACL) and
//! 2.5.3.3 (mandatory integrity), and the documentation of `AccessCheck`. Two passes for restricted tokens: both the
//! token's groups and its restricting SIDs must be granted the access.
//!
//! Conditional (callback) entries are not evaluated: one that would allow is passed over, one that would deny denies.

use crate::acl::*;
use crate::{SecurityDescriptor, Sid, well_known};

const READ_CONTROL: u32 = 0x0002_0000;
const WRITE_DAC: u32 = 0x0004_0000;
const WRITE_OWNER: u32 = 0x0008_0000;
const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
const GENERIC_EXECUTE: u32 = 0x2000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_READ: u32 = 0x8000_0000;

/// `SE_GROUP_ENABLED`.
pub const GROUP_ENABLED: u32 = 4;
/// `SE_GROUP_USE_FOR_DENY_ONLY`.
pub const GROUP_DENY_ONLY: u32 = 0x10;

/// How generic rights map to the rights of one type of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenericMapping {
    /// What `GENERIC_READ` stands for.
    pub read: u32,
    /// What `GENERIC_WRITE` stands for.
    pub write: u32,
    /// What `GENERIC_EXECUTE` stands for.
    pub execute: u32,
    /// What `GENERIC_ALL` stands for.
    pub all: u32,
}

impl GenericMapping {
    /// Replaces generic rights by the specific ones.
    pub fn map(&self, access: u32) -> u32 {
        let mut mapped = access & !(GENERIC_ALL | GENERIC_EXECUTE | GENERIC_READ | GENERIC_WRITE);
        for (generic, specific) in [
            (GENERIC_READ, self.read),
            (GENERIC_WRITE, self.write),
            (GENERIC_EXECUTE, self.execute),
            (GENERIC_ALL, self.all),
        ] {
            if access & generic != 0 {
                mapped |= specific;
            }
        }
        mapped
    }
}

/// A SID and its `SE_GROUP_…` attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub sid: Sid,
    /// `SE_GROUP_…` bits.
    pub attributes: u32,
}

/// What the access check needs to know of a token.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The user; its attributes are 0 or [`GROUP_DENY_ONLY`].
    pub user: Group,
    /// The groups.
    pub groups: &'a [Group],
    /// Restricting SIDs; the token is not restricted when there are none.
    pub restricted: &'a [Group],
    /// The restricting SIDs limit writing only.
    pub write_restricted: bool,
    /// The integrity level.
    pub integrity: u32,
    /// `TOKEN_MANDATORY_POLICY_NO_WRITE_UP`: the integrity check applies.
    pub no_write_up: bool,
    /// `SeSecurityPrivilege` is enabled.
    pub security_privilege: bool,
    /// `SeTakeOwnershipPrivilege` is enabled.
    pub take_ownership_privilege: bool,
    /// `SeRelabelPrivilege` is enabled.
    pub relabel_privilege: bool,
}

/// A successful check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The rights; no generic ones, no `MAXIMUM_ALLOWED`.
    pub access: u32,
    /// `SeSecurityPrivilege` was needed.
    pub used_security: bool,
    /// `SeTakeOwnershipPrivilege` was needed.
    pub used_take_ownership: bool,
}

/// A refused check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The descriptor does not allow it.
    Access,
    /// `ACCESS_SYSTEM_SECURITY` without the privilege.
    Privilege,
}

/// Which SIDs of the subject a pass over the DACL looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Normal,
    Restricted,
}

/// How an entry meets a subject.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Allow,
    DenyOnly,
    No,
}

impl Subject<'_> {
    fn matches(&self, sid: &Sid, pass: Pass, owner: Option<&Sid>) -> Match {
        let sid = match owner {
            Some(owner) if *sid == well_known::OWNER_RIGHTS => owner,
            _ => sid,
        };
        if pass == Pass::Restricted {
            // Restricting SIDs count whatever their attributes say.
            let found = self.restricted.iter().any(|group| group.sid == *sid);
            return if found { Match::Allow } else { Match::No };
        }
        if self.user.sid == *sid {
            let deny_only = self.user.attributes & GROUP_DENY_ONLY != 0;
            return if deny_only { Match::DenyOnly } else { Match::Allow };
        }
        let mut found = Match::No;
        for group in self.groups.iter().filter(|group| group.sid == *sid) {
            if group.attributes & GROUP_DENY_ONLY != 0 {
                found = Match::DenyOnly;
            } else if group.attributes & GROUP_ENABLED != 0 {
                return Match::Allow;
            }
        }
        found
    }

    /// True if the SID counts for the subject when access is allowed.
    pub fn is_member(&self, sid: &Sid) -> bool {
        self.matches(sid, Pass::Normal, None) == Match::Allow
            && (self.restricted.is_empty()
                || self.write_restricted
                || self.matches(sid, Pass::Restricted, None) == Match::Allow)
    }
}

/// Checks a request, whose generic rights are mapped here, against a descriptor.
pub fn access_check(
    descriptor: &SecurityDescriptor,
    subject: &Subject<'_>,
    desired: u32,
    mapping: &GenericMapping,
) -> Result<Granted, Denied> {
    let desired = mapping.map(desired);
    let maximum = desired & MAXIMUM_ALLOWED != 0;
    let wanted = desired & !MAXIMUM_ALLOWED;
    let mut by_privilege = 0;
    if wanted & ACCESS_SYSTEM_SECURITY != 0 {
        if !subject.security_privilege {
            return Err(Denied::Privilege);
        }
        by_privilege |= ACCESS_SYSTEM_SECURITY;
    }
    let allowed = mandatory_rights(descriptor, subject, mapping);
    let limit = |access: u32| access & (allowed | ACCESS_SYSTEM_SECURITY);
    let ask = wanted & !by_privilege;
    let mut granted = walk(descriptor, subject, ask, maximum, mapping, Pass::Normal);
    if !subject.restricted.is_empty() {
        let second = walk(descriptor, subject, ask, maximum, mapping, Pass::Restricted);
        granted &= if subject.write_restricted {
            // Only what GENERIC_WRITE stands for, and is not also reading or executing, is restricted.
            second | !(mapping.write & !(mapping.read | mapping.execute))
        } else {
            second
        };
    }
    granted = limit(granted);
    let mut used_take_ownership = false;
    if (wanted & WRITE_OWNER != 0 || maximum)
        && granted & WRITE_OWNER == 0
        && subject.take_ownership_privilege
    {
        granted |= WRITE_OWNER & mapping.all;
        used_take_ownership = granted & WRITE_OWNER != 0;
    }
    granted |= by_privilege;
    if wanted & !granted != 0 || (maximum && granted == 0) {
        return Err(Denied::Access);
    }
    let access = if maximum { granted } else { wanted };
    Ok(Granted { access, used_security: by_privilege != 0, used_take_ownership })
}

/// The rights that the mandatory integrity policy leaves.
fn mandatory_rights(
    descriptor: &SecurityDescriptor,
    subject: &Subject<'_>,
    mapping: &GenericMapping,
) -> u32 {
    // An object without a label counts as labelled medium, no write up.
    let (level, policy) = descriptor.mandatory_label().unwrap_or((0x2000, NO_WRITE_UP));
    if !subject.no_write_up || subject.integrity >= level {
        return u32::MAX;
    }
    let mut denied = 0;
    if policy & NO_WRITE_UP != 0 {
        denied |= mapping.write & !(mapping.read | mapping.execute);
        denied |= mapping.all & !(mapping.read | mapping.execute);
    }
    if policy & NO_READ_UP != 0 {
        denied |= mapping.read & !(mapping.write | mapping.execute);
    }
    if policy & NO_EXECUTE_UP != 0 {
        denied |= mapping.execute & !(mapping.write | mapping.read);
    }
    if subject.relabel_privilege {
        denied &= !WRITE_OWNER;
    }
    !denied
}

/// One pass over the DACL: the rights it grants, of those asked for or, with `maximum`, of all.
fn walk(
    descriptor: &SecurityDescriptor,
    subject: &Subject<'_>,
    ask: u32,
    maximum: bool,
    mapping: &GenericMapping,
    pass: Pass,
) -> u32 {
    let Some(dacl) = descriptor.effective_dacl() else {
        return if maximum { mapping.all | ask } else { ask };
    };
    let live = |ace: &&Ace| ace.flags & INHERIT_ONLY == 0;
    let owner = descriptor.owner.as_ref();
    let owns = owner.is_some_and(|owner| subject.matches(owner, pass, None) == Match::Allow);
    let owner = owner.filter(|_| owns);
    let replaces_implicit = |ace: &Ace| ace.sid() == Some(&well_known::OWNER_RIGHTS);
    let mut granted = 0;
    let mut denied = 0;
    if owns && !dacl.aces.iter().filter(live).any(replaces_implicit) {
        granted |= READ_CONTROL | WRITE_DAC;
    }
    for ace in dacl.aces.iter().filter(live) {
        let (Some(sid), Some(mask)) = (ace.sid(), ace.mask()) else { continue };
        let is_whole = !matches!(ace.body, AceBody::Object { object_type: Some(_), .. });
        match ace.kind {
            ACCESS_ALLOWED | ACCESS_ALLOWED_OBJECT
                if is_whole && subject.matches(sid, pass, owner) == Match::Allow =>
            {
                granted |= mapping.map(mask) & !denied;
            }
            ACCESS_DENIED
            | ACCESS_DENIED_OBJECT
            | ACCESS_DENIED_CALLBACK
            | ACCESS_DENIED_CALLBACK_OBJECT
                if subject.matches(sid, pass, owner) != Match::No =>
            {
                denied |= mapping.map(mask) & !granted;
            }
            _ => {}
        }
        if !maximum && ask & !granted == 0 {
            break;
        }
    }
    granted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::well_known as wk;

    const MAP: GenericMapping =
        GenericMapping { read: 0x2_0001, write: 0x2_0002, execute: 0x2_0004, all: 0xF_0007 };
    const ALICE: Sid = Sid::new(5, &[21, 1, 2, 3, 1000]);
    const BOB: Sid = Sid::new(5, &[21, 1, 2, 3, 1001]);

    fn group(sid: Sid, attributes: u32) -> Group {
        Group { sid, attributes }
    }

    fn subject<'a>(user: Sid, groups: &'a [Group], restricted: &'a [Group]) -> Subject<'a> {
        Subject {
            user: group(user, 0),
            groups,
            restricted,
            write_restricted: false,
            integrity: 0x2000,
            no_write_up: true,
            security_privilege: false,
            take_ownership_privilege: false,
            relabel_privilege: false,
        }
    }

    fn object(owner: Sid, aces: impl IntoIterator<Item = Ace>) -> SecurityDescriptor {
        SecurityDescriptor::new(owner, owner, aces.into_iter().collect())
    }

    fn check(sd: &SecurityDescriptor, who: &Subject<'_>, desired: u32) -> Result<u32, Denied> {
        access_check(sd, who, desired, &MAP).map(|granted| granted.access)
    }

    #[test]
    fn entries_count_in_order() {
        let bob = subject(BOB, &[], &[]);
        let denies_first = object(ALICE, [Ace::deny(2, BOB), Ace::allow(3, BOB)]);
        assert_eq!(check(&denies_first, &bob, 1), Ok(1));
        assert_eq!(check(&denies_first, &bob, 3), Err(Denied::Access));
        let allows_first = object(ALICE, [Ace::allow(3, BOB), Ace::deny(2, BOB)]);
        assert_eq!(check(&allows_first, &bob, 3), Ok(3));
        assert_eq!(check(&denies_first, &bob, MAXIMUM_ALLOWED), Ok(1));
        assert_eq!(check(&denies_first, &bob, GENERIC_READ), Err(Denied::Access));
    }

    #[test]
    fn no_list_allows_all_and_an_empty_list_nothing() {
        let bob = subject(BOB, &[], &[]);
        let open = SecurityDescriptor { owner: Some(ALICE), ..Default::default() };
        assert_eq!(check(&open, &bob, MAXIMUM_ALLOWED), Ok(MAP.all));
        assert_eq!(check(&open, &bob, GENERIC_ALL), Ok(MAP.all));
        let shut = object(ALICE, []);
        assert_eq!(check(&shut, &bob, 1), Err(Denied::Access));
        assert_eq!(check(&shut, &bob, MAXIMUM_ALLOWED), Err(Denied::Access));
    }

    #[test]
    fn an_owner_reads_and_writes_the_list_unless_owner_rights_says_else() {
        let alice = subject(ALICE, &[], &[]);
        assert_eq!(check(&object(ALICE, []), &alice, READ_CONTROL | WRITE_DAC), Ok(0x6_0000));
        let limited = object(ALICE, [Ace::allow(READ_CONTROL, wk::OWNER_RIGHTS)]);
        assert_eq!(check(&limited, &alice, READ_CONTROL), Ok(READ_CONTROL));
        assert_eq!(check(&limited, &alice, WRITE_DAC), Err(Denied::Access));
        let bob = subject(BOB, &[], &[]);
        assert_eq!(check(&limited, &bob, READ_CONTROL), Err(Denied::Access));
    }

    #[test]
    fn deny_only_groups_deny_only() {
        let groups = [group(wk::ADMINISTRATORS, GROUP_DENY_ONLY)];
        let bob = subject(BOB, &groups, &[]);
        let admins = object(ALICE, [Ace::allow(7, wk::ADMINISTRATORS)]);
        assert_eq!(check(&admins, &bob, 1), Err(Denied::Access));
        let denied = object(ALICE, [Ace::deny(1, wk::ADMINISTRATORS), Ace::allow(1, BOB)]);
        assert_eq!(check(&denied, &bob, 1), Err(Denied::Access));
        let disabled = [group(wk::ADMINISTRATORS, 0)];
        assert_eq!(check(&denied, &subject(BOB, &disabled, &[]), 1), Ok(1));
    }

    #[test]
    fn a_restricted_token_needs_both_passes() {
        let restricted = [group(wk::RESTRICTED, 7)];
        let bob = subject(BOB, &[], &restricted);
        let mine = object(ALICE, [Ace::allow(3, BOB)]);
        assert_eq!(check(&mine, &bob, 1), Err(Denied::Access));
        let both = object(ALICE, [Ace::allow(3, BOB), Ace::allow(1, wk::RESTRICTED)]);
        assert_eq!(check(&both, &bob, 1), Ok(1));
        assert_eq!(check(&both, &bob, 3), Err(Denied::Access));
        let writes = Subject { write_restricted: true, ..bob };
        assert_eq!(check(&mine, &writes, 1), Ok(1));
        assert_eq!(check(&mine, &writes, 2), Err(Denied::Access));
    }

    #[test]
    fn a_lower_level_does_not_write_up() {
        let mut sd = object(ALICE, [Ace::allow(7, BOB)]);
        let low = Subject { integrity: 0x1000, ..subject(BOB, &[], &[]) };
        assert_eq!(check(&sd, &low, 2), Err(Denied::Access));
        assert_eq!(check(&sd, &low, 1), Ok(1));
        sd.control |= crate::control::SACL_PRESENT;
        let label = Ace::new(MANDATORY_LABEL, 0, NO_WRITE_UP | NO_READ_UP, wk::HIGH_LABEL);
        sd.sacl = Some([label].into_iter().collect());
        let medium = subject(BOB, &[], &[]);
        assert_eq!(check(&sd, &medium, 1), Err(Denied::Access));
        assert_eq!(check(&sd, &medium, 4), Ok(4));
        assert_eq!(check(&sd, &Subject { integrity: 0x3000, ..medium }, 7), Ok(7));
    }

    #[test]
    fn privileges_open_what_the_list_does_not() {
        let sd = object(ALICE, []);
        let bob = subject(BOB, &[], &[]);
        assert_eq!(check(&sd, &bob, ACCESS_SYSTEM_SECURITY), Err(Denied::Privilege));
        let privileged =
            Subject { security_privilege: true, take_ownership_privilege: true, ..bob };
        let granted = access_check(&sd, &privileged, ACCESS_SYSTEM_SECURITY | WRITE_OWNER, &MAP);
        let granted = granted.unwrap();
        assert_eq!(granted.access, ACCESS_SYSTEM_SECURITY | WRITE_OWNER);
        assert!(granted.used_security && granted.used_take_ownership);
    }
}
