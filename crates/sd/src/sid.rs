//! Security identifiers: `S-1-5-32-544`.
//!
//! Key type: [`Sid`]; the ones everybody has are in [`well_known`]. Layout and text form: [MS-DTYP] 2.4.2.

use std::fmt;
use std::str::FromStr;

use crate::Malformed;

/// A security identifier: an authority and up to fifteen sub-authorities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    authority: [u8; 6],
    count: u8,
    // Unused places are zero, so that the derived comparisons are right.
    subs: [u32; Sid::MAX_SUB_AUTHORITIES],
}

impl Sid {
    /// Most sub-authorities that a SID can have.
    pub const MAX_SUB_AUTHORITIES: usize = 15;
    /// Most bytes that a SID takes (`SECURITY_MAX_SID_SIZE`).
    pub const MAX_SIZE: usize = 8 + 4 * Self::MAX_SUB_AUTHORITIES;

    /// A SID of a small authority; sub-authorities beyond the fifteenth are dropped.
    pub const fn new(authority: u8, sub_authorities: &[u32]) -> Self {
        let mut subs = [0; Self::MAX_SUB_AUTHORITIES];
        let mut count = 0;
        while count < sub_authorities.len() && count < Self::MAX_SUB_AUTHORITIES {
            subs[count] = sub_authorities[count];
            count += 1;
        }
        Sid { authority: [0, 0, 0, 0, 0, authority], count: count as u8, subs }
    }

    /// The identifier authority, a 48-bit number.
    pub fn authority(&self) -> u64 {
        self.authority.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// The sub-authorities, at most fifteen.
    pub fn sub_authorities(&self) -> &[u32] {
        self.subs.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// The last sub-authority (the relative identifier), if there is any.
    pub fn rid(&self) -> Option<u32> {
        self.sub_authorities().last().copied()
    }

    /// The SID with one more sub-authority, if there is room.
    pub fn child(&self, rid: u32) -> Option<Sid> {
        let mut child = *self;
        *child.subs.get_mut(usize::from(self.count))? = rid;
        child.count += 1;
        Some(child)
    }

    /// Bytes of the binary form.
    pub fn size(&self) -> usize {
        8 + 4 * usize::from(self.count)
    }

    /// The binary form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        self.write_to(&mut bytes);
        bytes
    }

    /// Appends the binary form.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[1, self.count]);
        out.extend_from_slice(&self.authority);
        for sub in self.sub_authorities() {
            out.extend_from_slice(&sub.to_le_bytes());
        }
    }

    /// Reads the SID at the start of `bytes`; what follows it is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Sid, Malformed> {
        let (header, rest) = bytes.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
        let [revision, count, authority @ ..] = *header;
        if revision != 1 || usize::from(count) > Self::MAX_SUB_AUTHORITIES {
            return Err(Malformed::Sid);
        }
        let subs_bytes = rest.get(..4 * usize::from(count)).ok_or(Malformed::Truncated)?;
        let mut subs = [0; Self::MAX_SUB_AUTHORITIES];
        for (sub, bytes) in subs.iter_mut().zip(subs_bytes.as_chunks::<4>().0) {
            *sub = u32::from_le_bytes(*bytes);
        }
        Ok(Sid { authority, count, subs })
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority();
        if authority > u64::from(u32::MAX) {
            write!(f, "S-1-{authority:#014x}")?;
        } else {
            write!(f, "S-1-{authority}")?;
        }
        self.sub_authorities().iter().try_for_each(|sub| write!(f, "-{sub}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()
        }
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

impl FromStr for Sid {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Sid, Malformed> {
        let mut parts = text.split('-');
        if !parts.next().is_some_and(|s| s.eq_ignore_ascii_case("S")) || parts.next() != Some("1") {
            return Err(Malformed::Sid);
        }
        let authority = parts.next().and_then(parse_number).filter(|a| *a < 1 << 48);
        let [_, _, authority @ ..] = authority.ok_or(Malformed::Sid)?.to_be_bytes();
        let mut sid = Sid { authority, count: 0, subs: [0; Self::MAX_SUB_AUTHORITIES] };
        for part in parts {
            let sub = parse_number(part).and_then(|n| u32::try_from(n).ok());
            sid = sid.child(sub.ok_or(Malformed::Sid)?).ok_or(Malformed::Sid)?;
        }
        Ok(sid)
    }
}

/// The SIDs that mean the same on every machine ([MS-DTYP] 2.4.2.4).
pub mod well_known {
    use super::Sid;

    macro_rules! sids {
        ($($name:ident = $authority:literal $(- $sub:literal)*, $text:literal;)*) => {
            $(#[doc = $text]
            pub const $name: Sid = Sid::new($authority, &[$($sub),*]);)*
        };
    }

    sids! {
        NULL = 0-0, "Nobody.";
        EVERYONE = 1-0, "Everyone.";
        LOCAL = 2-0, "Users who log on locally.";
        CONSOLE_LOGON = 2-1, "Users at the physical console.";
        CREATOR_OWNER = 3-0, "Replaced by the creator's owner SID in inherited entries.";
        CREATOR_GROUP = 3-1, "Replaced by the creator's primary group in inherited entries.";
        CREATOR_OWNER_SERVER = 3-2, "As `CREATOR_OWNER`, of the server in an impersonation.";
        CREATOR_GROUP_SERVER = 3-3, "As `CREATOR_GROUP`, of the server in an impersonation.";
        OWNER_RIGHTS = 3-4, "The object's owner, in place of the implicit rights.";
        DIALUP = 5-1, "Dial-up logons.";
        NETWORK = 5-2, "Network logons.";
        BATCH = 5-3, "Batch logons.";
        INTERACTIVE = 5-4, "Interactive logons.";
        SERVICE = 5-6, "Service logons.";
        ANONYMOUS = 5-7, "Anonymous logon.";
        ENTERPRISE_DOMAIN_CONTROLLERS = 5-9, "Domain controllers.";
        PRINCIPAL_SELF = 5-10, "The object itself, in directory entries.";
        AUTHENTICATED_USERS = 5-11, "Every authenticated user.";
        RESTRICTED = 5-12, "Code with a restricted token.";
        WRITE_RESTRICTED = 5-33, "Code with a write-restricted token.";
        THIS_ORGANIZATION = 5-15, "Users of the same organization.";
        LOCAL_SYSTEM = 5-18, "The operating system.";
        LOCAL_SERVICE = 5-19, "Services with few rights.";
        NETWORK_SERVICE = 5-20, "Services with few rights and the machine's network identity.";
        ADMINISTRATORS = 5-32-544, "Administrators.";
        USERS = 5-32-545, "Users.";
        GUESTS = 5-32-546, "Guests.";
        POWER_USERS = 5-32-547, "Power Users.";
        ACCOUNT_OPERATORS = 5-32-548, "Account Operators.";
        SERVER_OPERATORS = 5-32-549, "Server Operators.";
        PRINT_OPERATORS = 5-32-550, "Print Operators.";
        BACKUP_OPERATORS = 5-32-551, "Backup Operators.";
        REPLICATOR = 5-32-552, "Replicator.";
        PREW2K_COMPATIBLE = 5-32-554, "Pre-Windows 2000 Compatible Access.";
        REMOTE_DESKTOP_USERS = 5-32-555, "Remote Desktop Users.";
        NETWORK_CONFIGURATION_OPERATORS = 5-32-556, "Network Configuration Operators.";
        PERFMON_USERS = 5-32-558, "Performance Monitor Users.";
        PERFLOG_USERS = 5-32-559, "Performance Log Users.";
        CRYPTO_OPERATORS = 5-32-569, "Cryptographic Operators.";
        EVENT_LOG_READERS = 5-32-573, "Event Log Readers.";
        NTLM_AUTHENTICATION = 5-64-10, "Authenticated by NTLM.";
        ALL_APPLICATION_PACKAGES = 15-2-1, "Every app container.";
        ALL_RESTRICTED_APPLICATION_PACKAGES = 15-2-2, "Every app container, restricted ones too.";
        UNTRUSTED_LABEL = 16-0, "Integrity: untrusted.";
        LOW_LABEL = 16-4096, "Integrity: low.";
        MEDIUM_LABEL = 16-8192, "Integrity: medium.";
        MEDIUM_PLUS_LABEL = 16-8448, "Integrity: medium plus.";
        HIGH_LABEL = 16-12288, "Integrity: high.";
        SYSTEM_LABEL = 16-16384, "Integrity: system.";
        TRUSTED_INSTALLER = 5-80-956008885-3418522649-1831038044-1853292631-2271478464, "The installer service.";
    }

    /// The integrity label SID of a level.
    pub const fn label(level: u32) -> Sid {
        Sid::new(16, &[level])
    }

    /// The SID of a logon session.
    pub const fn logon(luid: u64) -> Sid {
        Sid::new(5, &[5, (luid >> 32) as u32, luid as u32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        for text in
            ["S-1-5-32-544", "S-1-0-0", "S-1-5-21-1-2-3-1000", "S-1-0x123456789abc-7", "S-1-16"]
        {
            let sid: Sid = text.parse().unwrap();
            assert_eq!(sid.to_string(), text);
            assert_eq!(Sid::parse(&sid.to_bytes()).unwrap(), sid);
        }
        assert_eq!(well_known::ADMINISTRATORS.to_string(), "S-1-5-32-544");
        assert_eq!(
            well_known::ADMINISTRATORS.to_bytes(),
            [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]
        );
    }

    #[test]
    fn bad_text_and_bytes_are_refused() {
        for text in
            ["", "S-1", "S-2-5", "S-1-x", "S-1-5-", "S-1-5-+3", "S-1-5-4294967296", "S-1-0x"]
        {
            assert!(text.parse::<Sid>().is_err(), "{text}");
        }
        assert!(Sid::parse(&[1, 16, 0, 0, 0, 0, 0, 5]).is_err());
        assert!(Sid::parse(&[1, 1, 0, 0, 0, 0, 0, 5, 0]).is_err());
        assert!(Sid::parse(&[2, 0, 0, 0, 0, 0, 0, 5]).is_err());
    }
}
