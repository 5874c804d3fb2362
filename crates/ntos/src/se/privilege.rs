//! The privileges that there are and which a token of the machine's administrator holds.

use abi::se::*;

/// A privilege that a token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// Its locally unique id: a small constant.
    pub luid: u64,
    /// `SE_PRIVILEGE_…` bits.
    pub attributes: u32,
}

impl Privilege {
    /// True if the privilege can be used now.
    pub fn is_enabled(&self) -> bool {
        self.attributes & SE_PRIVILEGE_ENABLED != 0
    }

    const fn disabled(luid: u64) -> Self {
        Privilege { luid, attributes: 0 }
    }

    const fn enabled(luid: u64) -> Self {
        Privilege { luid, attributes: SE_PRIVILEGE_ENABLED | SE_PRIVILEGE_ENABLED_BY_DEFAULT }
    }
}

/// The smallest and the largest privilege.
pub const WELL_KNOWN: std::ops::RangeInclusive<u64> =
    SE_CREATE_TOKEN_PRIVILEGE..=SE_DELEGATE_SESSION_USER_IMPERSONATE_PRIVILEGE;

/// Privileges of an elevated administrator, as an interactive Windows 10 logon gives them.
pub const ADMINISTRATOR: &[Privilege] = &[
    Privilege::disabled(SE_INCREASE_QUOTA_PRIVILEGE),
    Privilege::disabled(SE_SECURITY_PRIVILEGE),
    Privilege::disabled(SE_TAKE_OWNERSHIP_PRIVILEGE),
    Privilege::disabled(SE_LOAD_DRIVER_PRIVILEGE),
    Privilege::disabled(SE_SYSTEM_PROFILE_PRIVILEGE),
    Privilege::disabled(SE_SYSTEMTIME_PRIVILEGE),
    Privilege::disabled(SE_PROFILE_SINGLE_PROCESS_PRIVILEGE),
    Privilege::disabled(SE_INC_BASE_PRIORITY_PRIVILEGE),
    Privilege::disabled(SE_CREATE_PAGEFILE_PRIVILEGE),
    Privilege::disabled(SE_BACKUP_PRIVILEGE),
    Privilege::disabled(SE_RESTORE_PRIVILEGE),
    Privilege::disabled(SE_SHUTDOWN_PRIVILEGE),
    Privilege::disabled(SE_DEBUG_PRIVILEGE),
    Privilege::disabled(SE_SYSTEM_ENVIRONMENT_PRIVILEGE),
    Privilege::enabled(SE_CHANGE_NOTIFY_PRIVILEGE),
    Privilege::disabled(SE_REMOTE_SHUTDOWN_PRIVILEGE),
    Privilege::disabled(SE_UNDOCK_PRIVILEGE),
    Privilege::disabled(SE_MANAGE_VOLUME_PRIVILEGE),
    Privilege::enabled(SE_IMPERSONATE_PRIVILEGE),
    Privilege::enabled(SE_CREATE_GLOBAL_PRIVILEGE),
    Privilege::disabled(SE_INC_WORKING_SET_PRIVILEGE),
    Privilege::disabled(SE_TIME_ZONE_PRIVILEGE),
    Privilege::disabled(SE_CREATE_SYMBOLIC_LINK_PRIVILEGE),
    Privilege::disabled(SE_DELEGATE_SESSION_USER_IMPERSONATE_PRIVILEGE),
];

/// Every privilege, enabled: what the System process holds.
pub fn system() -> Vec<Privilege> {
    WELL_KNOWN.map(Privilege::enabled).collect()
}
