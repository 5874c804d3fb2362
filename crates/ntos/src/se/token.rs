//! Access tokens: who a process or thread is.
//!
//! Key types: [`Token`] (the object), [`TokenState`] (what it says). The services are in `svc::token`.

use abi::NtResult;
use abi::se::*;
use abi::status_table::*;
use sd::access::{GROUP_DENY_ONLY, GROUP_ENABLED};
use sd::{Ace, Acl, Creator, Group, Sid, Subject, well_known};

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};

use super::privilege::{self, Privilege};

/// An access token.
#[derive(Default)]
pub struct Token {
    /// What the token says.
    pub state: Guarded<TokenState>,
}

impl ObjectBody for Token {
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Token",
        access: AccessMap { read: 0x2_0008, write: 0x2_00E0, execute: 0x2_0004, all: 0xF_01FF },
        body_size: 0x100,
    };
}

/// `TOKEN_TYPE` and, of an impersonation token, its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// A process's token.
    Primary,
    /// A thread's token, with its `SECURITY_IMPERSONATION_LEVEL`.
    Impersonation(u32),
}

impl TokenKind {
    /// True if the token identifies its client but cannot act for it.
    pub fn is_below_impersonation(self) -> bool {
        matches!(self, TokenKind::Impersonation(level) if level < SECURITY_IMPERSONATION)
    }

    /// `TOKEN_TYPE` as the guest sees it.
    pub fn token_type(self) -> u32 {
        match self {
            TokenKind::Primary => TOKEN_PRIMARY,
            TokenKind::Impersonation(_) => TOKEN_IMPERSONATION,
        }
    }

    /// `SECURITY_IMPERSONATION_LEVEL` as statistics show it: 0 for a primary token.
    pub fn level(self) -> u32 {
        match self {
            TokenKind::Primary => 0,
            TokenKind::Impersonation(level) => level,
        }
    }
}

/// What a token says.
#[derive(Clone, Debug)]
pub struct TokenState {
    /// Its own id.
    pub id: u64,
    /// The id of the token it was filtered from.
    pub parent_id: u64,
    /// Changes with every change of the token.
    pub modified_id: u64,
    /// The logon session.
    pub authentication_id: u64,
    /// The logon session that made this one.
    pub origin: u64,
    /// When it expires, 100 ns since 1601; never in practice.
    pub expiration: i64,
    /// Who made it: eight characters.
    pub source_name: [u8; 8],
    /// Who made it: an id.
    pub source_id: u64,
    /// Primary or impersonation.
    pub kind: TokenKind,
    /// The user; its attributes are 0 or `SE_GROUP_USE_FOR_DENY_ONLY`.
    pub user: Group,
    /// The groups, without the integrity label.
    pub groups: Vec<Group>,
    /// Restricting SIDs.
    pub restricted: Vec<Group>,
    /// The restricting SIDs limit writing only.
    pub write_restricted: bool,
    /// `SANDBOX_INERT`.
    pub sandbox_inert: bool,
    /// Privileges held.
    pub privileges: Vec<Privilege>,
    /// Owner of objects that the token's user makes.
    pub owner: Sid,
    /// Primary group of such objects.
    pub primary_group: Sid,
    /// DACL of such objects, if nothing else says one.
    pub default_dacl: Option<Acl>,
    /// The session.
    pub session: u32,
    /// The integrity level.
    pub integrity: u32,
    /// `TOKEN_MANDATORY_POLICY_…`.
    pub mandatory_policy: u32,
    /// `TOKEN_ELEVATION_TYPE`.
    pub elevation_type: u32,
    /// The token is elevated.
    pub elevated: bool,
    /// Virtualization may be switched on.
    pub virtualization_allowed: bool,
    /// Virtualization is on.
    pub virtualization_enabled: bool,
    /// The user interface may be driven past integrity levels.
    pub ui_access: bool,
}

impl Default for TokenState {
    /// The anonymous token: nobody, at the untrusted level.
    fn default() -> Self {
        TokenState {
            id: 0,
            parent_id: 0,
            modified_id: 0,
            authentication_id: ANONYMOUS_LOGON_LUID,
            origin: 0,
            expiration: i64::MAX,
            source_name: *b"*SYSTEM*",
            source_id: 0,
            kind: TokenKind::Primary,
            user: Group { sid: well_known::ANONYMOUS, attributes: 0 },
            groups: Vec::new(),
            restricted: Vec::new(),
            write_restricted: false,
            sandbox_inert: false,
            privileges: Vec::new(),
            owner: well_known::ANONYMOUS,
            primary_group: well_known::ANONYMOUS,
            default_dacl: None,
            session: 0,
            integrity: SECURITY_MANDATORY_UNTRUSTED_RID,
            mandatory_policy: TOKEN_MANDATORY_POLICY_NO_WRITE_UP,
            elevation_type: TOKEN_ELEVATION_TYPE_DEFAULT,
            elevated: false,
            virtualization_allowed: false,
            virtualization_enabled: false,
            ui_access: false,
        }
    }
}

/// `SE_GROUP_MANDATORY | …`: a group that is simply there.
const PLAIN_GROUP: u32 = SE_GROUP_MANDATORY | SE_GROUP_ENABLED_BY_DEFAULT | SE_GROUP_ENABLED;

/// The user of every machine's first program.
pub const FIRST_USER: Sid = Sid::new(5, &[21, 0, 0, 0, 1000]);

impl Token {
    /// Makes a token object; the token's ids are filled in.
    pub fn create(k: &mut Kernel, mut state: TokenState) -> NtResult<ObRef<Token>> {
        state.id = k.ex.allocate_luid();
        state.modified_id = k.ex.allocate_luid();
        ob::create(k, Token { state: Guarded::new(state) })
    }

    /// The primary token of the machine's first program: an elevated administrator, logged on interactively.
    pub fn administrator(k: &mut Kernel) -> NtResult<ObRef<Token>> {
        let logon = k.ex.allocate_luid();
        let state = administrator(logon);
        Token::create(k, state)
    }

    /// The primary token of the System process.
    pub fn system(k: &mut Kernel) -> NtResult<ObRef<Token>> {
        Token::create(k, system())
    }

    /// A token of its own for a new process, saying what the creator's says.
    pub fn for_new_process(k: &mut Kernel, creator: &ObRef<Token>) -> NtResult<ObRef<Token>> {
        let state = creator.state.open().clone();
        Token::create(k, TokenState { kind: TokenKind::Primary, ..state })
    }
}

fn administrator(logon: u64) -> TokenState {
    let group = |sid, attributes| Group { sid, attributes };
    let logon_sid = well_known::logon(logon);
    let full = abi::ob::GENERIC_ALL;
    let dacl = [
        Ace::allow(full, well_known::ADMINISTRATORS),
        Ace::allow(full, well_known::LOCAL_SYSTEM),
        Ace::allow(abi::ob::GENERIC_READ | abi::ob::GENERIC_EXECUTE, logon_sid),
    ];
    TokenState {
        authentication_id: logon,
        origin: SYSTEM_LUID,
        source_name: *b"User32 \0",
        user: group(FIRST_USER, 0),
        groups: vec![
            group(Sid::new(5, &[21, 0, 0, 0, 513]), PLAIN_GROUP),
            group(well_known::EVERYONE, PLAIN_GROUP),
            group(well_known::ADMINISTRATORS, PLAIN_GROUP | SE_GROUP_OWNER),
            group(well_known::USERS, PLAIN_GROUP),
            group(well_known::INTERACTIVE, PLAIN_GROUP),
            group(well_known::CONSOLE_LOGON, PLAIN_GROUP),
            group(well_known::AUTHENTICATED_USERS, PLAIN_GROUP),
            group(well_known::THIS_ORGANIZATION, PLAIN_GROUP),
            group(logon_sid, PLAIN_GROUP | SE_GROUP_LOGON_ID),
            group(well_known::LOCAL, PLAIN_GROUP),
            group(well_known::NTLM_AUTHENTICATION, PLAIN_GROUP),
        ],
        privileges: privilege::ADMINISTRATOR.to_vec(),
        owner: well_known::ADMINISTRATORS,
        primary_group: Sid::new(5, &[21, 0, 0, 0, 513]),
        default_dacl: Some(dacl.into_iter().collect()),
        session: 1,
        integrity: SECURITY_MANDATORY_HIGH_RID,
        mandatory_policy: TOKEN_MANDATORY_POLICY_NO_WRITE_UP
            | TOKEN_MANDATORY_POLICY_NEW_PROCESS_MIN,
        elevation_type: TOKEN_ELEVATION_TYPE_DEFAULT,
        elevated: true,
        ..TokenState::default()
    }
}

fn system() -> TokenState {
    let group = |sid, attributes| Group { sid, attributes };
    let dacl = [
        Ace::allow(abi::ob::GENERIC_ALL, well_known::LOCAL_SYSTEM),
        Ace::allow(
            abi::ob::GENERIC_READ | abi::ob::GENERIC_EXECUTE | abi::ob::READ_CONTROL,
            well_known::ADMINISTRATORS,
        ),
    ];
    TokenState {
        authentication_id: SYSTEM_LUID,
        user: group(well_known::LOCAL_SYSTEM, 0),
        groups: vec![
            group(
                well_known::ADMINISTRATORS,
                SE_GROUP_ENABLED_BY_DEFAULT | SE_GROUP_ENABLED | SE_GROUP_OWNER,
            ),
            group(well_known::EVERYONE, PLAIN_GROUP),
            group(well_known::AUTHENTICATED_USERS, PLAIN_GROUP),
        ],
        privileges: privilege::system(),
        owner: well_known::ADMINISTRATORS,
        primary_group: well_known::LOCAL_SYSTEM,
        default_dacl: Some(dacl.into_iter().collect()),
        integrity: SECURITY_MANDATORY_SYSTEM_RID,
        elevated: true,
        ..TokenState::default()
    }
}

impl TokenState {
    /// True if the privilege is held and enabled.
    pub fn has_privilege(&self, luid: u64) -> bool {
        self.privileges.iter().any(|privilege| privilege.luid == luid && privilege.is_enabled())
    }

    /// The token as the access check sees it.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            user: self.user,
            groups: &self.groups,
            restricted: &self.restricted,
            write_restricted: self.write_restricted,
            integrity: self.integrity,
            no_write_up: self.mandatory_policy & TOKEN_MANDATORY_POLICY_NO_WRITE_UP != 0,
            security_privilege: self.has_privilege(SE_SECURITY_PRIVILEGE),
            take_ownership_privilege: self.has_privilege(SE_TAKE_OWNERSHIP_PRIVILEGE),
            relabel_privilege: self.has_privilege(SE_RELABEL_PRIVILEGE),
        }
    }

    /// The token as the maker of an object.
    pub fn creator(&self) -> Creator<'_> {
        Creator {
            owner: self.owner,
            group: self.primary_group,
            default_dacl: self.default_dacl.as_ref(),
            integrity: self.integrity,
        }
    }

    /// True if the token's user may make objects that this SID owns.
    pub fn may_own_as(&self, sid: &Sid) -> bool {
        let own_user = self.user.sid == *sid && self.user.attributes & GROUP_DENY_ONLY == 0;
        let owner_group = |group: &Group| {
            group.sid == *sid
                && group.attributes & SE_GROUP_OWNER != 0
                && group.attributes & GROUP_ENABLED != 0
        };
        own_user || self.groups.iter().any(owner_group) || self.has_privilege(SE_RESTORE_PRIVILEGE)
    }

    /// `TokenHasRestrictions`: the token was filtered.
    pub fn has_restrictions(&self) -> bool {
        !self.restricted.is_empty() || self.parent_id != 0
    }

    /// The integrity label as a member of the list of groups.
    pub fn label(&self) -> Group {
        Group {
            sid: well_known::label(self.integrity),
            attributes: SE_GROUP_INTEGRITY | SE_GROUP_INTEGRITY_ENABLED,
        }
    }

    /// Switches privileges: `changes` holds ids and new attributes. Returns those that changed, as they were, and
    /// whether every one named is held.
    pub fn adjust_privileges(&mut self, changes: &[Privilege]) -> (Vec<Privilege>, bool) {
        let mut before = Vec::new();
        let mut all_held = true;
        for change in changes {
            let Some(index) = self.privileges.iter().position(|held| held.luid == change.luid)
            else {
                all_held = false;
                continue;
            };
            if change.attributes & SE_PRIVILEGE_REMOVED != 0 {
                before.push(self.privileges.remove(index));
                continue;
            }
            let Some(held) = self.privileges.get_mut(index) else { continue };
            let enabled = change.attributes & SE_PRIVILEGE_ENABLED;
            if held.attributes & SE_PRIVILEGE_ENABLED != enabled {
                before.push(*held);
                held.attributes = held.attributes & !SE_PRIVILEGE_ENABLED | enabled;
            }
        }
        (before, all_held)
    }

    /// Switches groups. Returns those that changed, as they were; `STATUS_CANT_DISABLE_MANDATORY` changes nothing.
    pub fn adjust_groups(&mut self, changes: &[Group]) -> NtResult<(Vec<Group>, bool)> {
        let mut groups = self.groups.clone();
        let mut before = Vec::new();
        let mut all_held = true;
        for change in changes {
            let Some(held) = groups.iter_mut().find(|held| held.sid == change.sid) else {
                all_held = false;
                continue;
            };
            let enabled = change.attributes & SE_GROUP_ENABLED;
            if held.attributes & SE_GROUP_ENABLED == enabled {
                continue;
            }
            if enabled == 0 && held.attributes & SE_GROUP_MANDATORY != 0 {
                return Err(STATUS_CANT_DISABLE_MANDATORY);
            }
            if enabled != 0 && held.attributes & SE_GROUP_USE_FOR_DENY_ONLY != 0 {
                return Err(STATUS_CANT_ENABLE_DENY_ONLY);
            }
            before.push(*held);
            held.attributes = held.attributes & !SE_GROUP_ENABLED | enabled;
        }
        self.groups = groups;
        Ok((before, all_held))
    }

    /// `NtFilterToken`: a token that can do less.
    pub fn filter(
        &self,
        flags: u32,
        disable: &[Sid],
        delete: &[u64],
        restrict: &[Sid],
    ) -> TokenState {
        let mut state = self.clone();
        state.parent_id = self.id;
        let deny = |group: &mut Group| {
            group.attributes &= !(SE_GROUP_ENABLED
                | SE_GROUP_ENABLED_BY_DEFAULT
                | SE_GROUP_MANDATORY
                | SE_GROUP_OWNER);
            group.attributes |= SE_GROUP_USE_FOR_DENY_ONLY;
        };
        for group in state.groups.iter_mut().filter(|group| disable.contains(&group.sid)) {
            deny(group);
        }
        if disable.contains(&state.user.sid) {
            state.user.attributes |= SE_GROUP_USE_FOR_DENY_ONLY;
        }
        state.privileges.retain(|privilege| {
            let goes = delete.contains(&privilege.luid) || flags & DISABLE_MAX_PRIVILEGE != 0;
            !goes
                || (privilege.luid == SE_CHANGE_NOTIFY_PRIVILEGE
                    && !delete.contains(&privilege.luid))
        });
        if flags & LUA_TOKEN != 0 {
            let administrative = |sid: &Sid| {
                matches!(
                    *sid,
                    well_known::ADMINISTRATORS
                        | well_known::POWER_USERS
                        | well_known::ACCOUNT_OPERATORS
                        | well_known::SERVER_OPERATORS
                        | well_known::PRINT_OPERATORS
                        | well_known::BACKUP_OPERATORS
                        | well_known::NETWORK_CONFIGURATION_OPERATORS
                        | well_known::CRYPTO_OPERATORS
                )
            };
            state.groups.iter_mut().filter(|group| administrative(&group.sid)).for_each(deny);
            state.privileges.retain(|privilege| {
                matches!(
                    privilege.luid,
                    SE_CHANGE_NOTIFY_PRIVILEGE
                        | SE_SHUTDOWN_PRIVILEGE
                        | SE_UNDOCK_PRIVILEGE
                        | SE_INC_WORKING_SET_PRIVILEGE
                        | SE_TIME_ZONE_PRIVILEGE
                )
            });
            state.integrity = state.integrity.min(SECURITY_MANDATORY_MEDIUM_RID);
            state.elevated = false;
            state.elevation_type = TOKEN_ELEVATION_TYPE_LIMITED;
        }
        // Restricting twice leaves what both restrictions share.
        if !restrict.is_empty() {
            let kept = |sid: &&Sid| {
                self.restricted.is_empty() || self.restricted.iter().any(|group| group.sid == **sid)
            };
            let attributes = PLAIN_GROUP;
            let sids = restrict.iter().filter(kept);
            state.restricted = sids.map(|sid| Group { sid: *sid, attributes }).collect();
        }
        state.write_restricted |= flags & WRITE_RESTRICTED != 0;
        state.sandbox_inert |= flags & SANDBOX_INERT != 0;
        if !state.may_own_as(&state.owner) {
            state.owner = state.user.sid;
        }
        state
    }

    /// `EffectiveOnly`: what is switched off goes for good.
    pub fn keep_effective(&mut self) {
        self.privileges.retain(Privilege::is_enabled);
        let counts = SE_GROUP_ENABLED | SE_GROUP_USE_FOR_DENY_ONLY;
        self.groups.retain(|group| group.attributes & counts != 0);
    }

    /// `NtCompareTokens`: true if both make every access check come out the same.
    pub fn is_equivalent(&self, other: &TokenState) -> bool {
        let same_groups = |a: &[Group], b: &[Group]| {
            let matters = SE_GROUP_ENABLED | SE_GROUP_USE_FOR_DENY_ONLY;
            let has = |list: &[Group], group: &Group| {
                list.iter().any(|g| {
                    g.sid == group.sid && g.attributes & matters == group.attributes & matters
                })
            };
            a.len() == b.len() && a.iter().all(|g| has(b, g)) && b.iter().all(|g| has(a, g))
        };
        let same_privileges = self.privileges.len() == other.privileges.len()
            && self.privileges.iter().all(|privilege| {
                other.privileges.iter().any(|held| {
                    held.luid == privilege.luid && held.is_enabled() == privilege.is_enabled()
                })
            });
        self.user == other.user
            && self.integrity == other.integrity
            && same_groups(&self.groups, &other.groups)
            && same_groups(&self.restricted, &other.restricted)
            && same_privileges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjusting_privileges_reports_what_was_and_what_is_not_held() {
        let mut token = administrator(7);
        let debug = Privilege { luid: SE_DEBUG_PRIVILEGE, attributes: SE_PRIVILEGE_ENABLED };
        let tcb = Privilege { luid: SE_TCB_PRIVILEGE, attributes: SE_PRIVILEGE_ENABLED };
        let (before, all) = token.adjust_privileges(&[debug, tcb]);
        assert_eq!(before, [Privilege { luid: SE_DEBUG_PRIVILEGE, attributes: 0 }]);
        assert!(!all && token.has_privilege(SE_DEBUG_PRIVILEGE));
        let (before, all) = token.adjust_privileges(&[debug]);
        assert!(before.is_empty() && all);
    }

    #[test]
    fn mandatory_groups_stay_enabled() {
        let mut token = administrator(7);
        let off = Group { sid: well_known::EVERYONE, attributes: 0 };
        assert_eq!(token.adjust_groups(&[off]).unwrap_err(), STATUS_CANT_DISABLE_MANDATORY);
    }

    #[test]
    fn a_limited_token_is_no_administrator() {
        let token = administrator(7).filter(LUA_TOKEN, &[], &[], &[]);
        assert!(!token.subject().is_member(&well_known::ADMINISTRATORS));
        assert_eq!(token.integrity, SECURITY_MANDATORY_MEDIUM_RID);
        assert_eq!(token.owner, FIRST_USER);
        assert!(!token.is_equivalent(&administrator(7)));
    }

    #[test]
    fn the_maximum_is_disabled_but_for_traversal() {
        let token = administrator(7).filter(DISABLE_MAX_PRIVILEGE, &[], &[], &[]);
        assert_eq!(token.privileges.len(), 1);
        assert!(token.has_privilege(SE_CHANGE_NOTIFY_PRIVILEGE));
    }
}
