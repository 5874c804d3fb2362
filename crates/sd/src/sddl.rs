//! Security descriptors as text: `O:BAG:SYD:(A;OICI;FA;;;WD)`.
//!
//! [`parse`] and [`format()`] are each other's inverse for what the text can say. Grammar: [MS-DTYP] 2.5.1 and the Windows
//! SDK's "Security Descriptor String Format". Conditions and resource attributes are refused in both directions.

use std::fmt::Write as _;

use crate::acl::*;
use crate::{Acl, Malformed, SecurityDescriptor, Sid, control, well_known};

/// Two-letter names of SIDs that do not depend on the machine.
const SIDS: &[(&str, Sid)] = &[
    ("AA", Sid::new(5, &[32, 579])),
    ("AC", well_known::ALL_APPLICATION_PACKAGES),
    ("AN", well_known::ANONYMOUS),
    ("AO", well_known::ACCOUNT_OPERATORS),
    ("AU", well_known::AUTHENTICATED_USERS),
    ("BA", well_known::ADMINISTRATORS),
    ("BG", well_known::GUESTS),
    ("BO", well_known::BACKUP_OPERATORS),
    ("BU", well_known::USERS),
    ("CD", Sid::new(5, &[32, 574])),
    ("CG", well_known::CREATOR_GROUP),
    ("CO", well_known::CREATOR_OWNER),
    ("CY", well_known::CRYPTO_OPERATORS),
    ("ED", well_known::ENTERPRISE_DOMAIN_CONTROLLERS),
    ("ER", well_known::EVENT_LOG_READERS),
    ("HA", Sid::new(5, &[32, 578])),
    ("HI", well_known::HIGH_LABEL),
    ("IS", Sid::new(5, &[32, 568])),
    ("IU", well_known::INTERACTIVE),
    ("LS", well_known::LOCAL_SERVICE),
    ("LU", well_known::PERFLOG_USERS),
    ("LW", well_known::LOW_LABEL),
    ("ME", well_known::MEDIUM_LABEL),
    ("MP", well_known::MEDIUM_PLUS_LABEL),
    ("MU", well_known::PERFMON_USERS),
    ("NO", well_known::NETWORK_CONFIGURATION_OPERATORS),
    ("NS", well_known::NETWORK_SERVICE),
    ("NU", well_known::NETWORK),
    ("OW", well_known::OWNER_RIGHTS),
    ("PO", well_known::PRINT_OPERATORS),
    ("PS", well_known::PRINCIPAL_SELF),
    ("PU", well_known::POWER_USERS),
    ("RC", well_known::RESTRICTED),
    ("RD", well_known::REMOTE_DESKTOP_USERS),
    ("RE", well_known::REPLICATOR),
    ("RU", well_known::PREW2K_COMPATIBLE),
    ("SI", well_known::SYSTEM_LABEL),
    ("SO", well_known::SERVER_OPERATORS),
    ("SU", well_known::SERVICE),
    ("SY", well_known::LOCAL_SYSTEM),
    ("WD", well_known::EVERYONE),
    ("WR", well_known::WRITE_RESTRICTED),
];

/// Names of whole masks; [`format()`] prefers them.
const MASKS: &[(&str, u32)] = &[
    ("FA", 0x1F_01FF),
    ("FR", 0x12_0089),
    ("FW", 0x12_0116),
    ("FX", 0x12_00A0),
    ("KA", 0xF_003F),
    ("KR", 0x2_0019),
    ("KW", 0x2_0006),
    // As KR, which is preferred.
    ("KX", 0x2_0019),
];

/// Names of single rights.
const RIGHTS: &[(&str, u32)] = &[
    ("GA", 0x1000_0000),
    ("GX", 0x2000_0000),
    ("GW", 0x4000_0000),
    ("GR", 0x8000_0000),
    ("CC", 0x1),
    ("DC", 0x2),
    ("LC", 0x4),
    ("SW", 0x8),
    ("RP", 0x10),
    ("WP", 0x20),
    ("DT", 0x40),
    ("LO", 0x80),
    ("CR", 0x100),
    ("SD", 0x1_0000),
    ("RC", 0x2_0000),
    ("WD", 0x4_0000),
    ("WO", 0x8_0000),
];

/// Names of the bits of a mandatory label's mask.
const LABEL_RIGHTS: &[(&str, u32)] =
    &[("NW", NO_WRITE_UP), ("NR", NO_READ_UP), ("NX", NO_EXECUTE_UP)];

const KINDS: &[(&str, u8)] = &[
    ("A", ACCESS_ALLOWED),
    ("D", ACCESS_DENIED),
    ("AU", SYSTEM_AUDIT),
    ("AL", SYSTEM_ALARM),
    ("OA", ACCESS_ALLOWED_OBJECT),
    ("OD", ACCESS_DENIED_OBJECT),
    ("OU", SYSTEM_AUDIT_OBJECT),
    ("OL", SYSTEM_ALARM_OBJECT),
    ("ML", MANDATORY_LABEL),
    ("SP", SCOPED_POLICY_ID),
    ("TL", PROCESS_TRUST_LABEL),
];

const FLAGS: &[(&str, u8)] = &[
    ("OI", OBJECT_INHERIT),
    ("CI", CONTAINER_INHERIT),
    ("NP", NO_PROPAGATE_INHERIT),
    ("IO", INHERIT_ONLY),
    ("ID", INHERITED),
    ("SA", SUCCESSFUL_ACCESS),
    ("FA", FAILED_ACCESS),
];

fn is_object_kind(kind: u8) -> bool {
    matches!(
        kind,
        ACCESS_ALLOWED_OBJECT | ACCESS_DENIED_OBJECT | SYSTEM_AUDIT_OBJECT | SYSTEM_ALARM_OBJECT
    )
}

/// The text and how far it has been read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error<T>(&self) -> Result<T, Malformed> {
        Err(Malformed::Text(self.at))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes a prefix, whatever its case.
    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().get(..prefix.len());
        let found = found.is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// Takes what comes before one of some characters.
    fn until(&mut self, stops: &[char]) -> &'a str {
        let rest = self.rest();
        let part = rest.find(stops).and_then(|end| rest.get(..end)).unwrap_or(rest);
        self.at += part.len();
        part
    }

    fn sid(&mut self) -> Result<Sid, Malformed> {
        let rest = self.rest();
        let begins = rest.get(..2).map(str::to_ascii_uppercase);
        if begins.as_deref() != Some("S-") {
            let alias = SIDS.iter().find(|(alias, _)| Some(*alias) == begins.as_deref());
            let Some((alias, sid)) = alias else { return self.error() };
            self.at += alias.len();
            return Ok(*sid);
        }
        let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '-' | 'x' | 'X' | 'S' | 's');
        let mut end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        // The D of "D:" is a hexadecimal digit, the S of "S:" is part of "S-".
        if rest.get(end..end + 1) == Some(":") {
            end -= 1;
        }
        let sid = rest.get(..end).and_then(|text| text.parse().ok());
        let Some(sid) = sid else { return self.error() };
        self.at += end;
        Ok(sid)
    }

    fn list(&mut self, flags: ListFlags) -> Result<(u16, Option<Acl>), Malformed> {
        let mut bits = flags.present;
        let mut null = false;
        loop {
            if self.take("NO_ACCESS_CONTROL") {
                null = true;
            } else if self.take("AI") {
                bits |= flags.inherited;
            } else if self.take("AR") {
                bits |= flags.inherit_request;
            } else if self.take("P") {
                bits |= flags.protected;
            } else {
                break;
            }
        }
        let mut aces = Vec::new();
        while self.take("(") {
            aces.push(self.ace()?);
            if !self.take(")") {
                return self.error();
            }
        }
        if null && !aces.is_empty() {
            return self.error();
        }
        Ok((bits, (!null).then(|| aces.into_iter().collect())))
    }

    fn field(&mut self) -> Result<&'a str, Malformed> {
        let field = self.until(&[';', ')']);
        if self.take(";") { Ok(field.trim()) } else { self.error() }
    }

    fn ace(&mut self) -> Result<Ace, Malformed> {
        let text = self.field()?;
        let kind = KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let Some((_, kind)) = kind else { return self.error() };
        let text = self.field()?;
        let Some(flags) = codes(text, FLAGS) else { return self.error() };
        let text = self.field()?;
        let Some(mask) = mask(text, *kind) else { return self.error() };
        let (object, inherited) = (self.field()?, self.field()?);
        let (Ok(object_type), Ok(inherited_type)) = (guid(object), guid(inherited)) else {
            return self.error();
        };
        let sid = self.sid()?;
        let data = Vec::new();
        let body = if is_object_kind(*kind) {
            AceBody::Object { mask, object_type, inherited_type, sid, data }
        } else if object_type.is_some() || inherited_type.is_some() {
            return self.error();
        } else {
            AceBody::Plain { mask, sid, data }
        };
        Ok(Ace { kind: *kind, flags, body })
    }
}

/// The sum of two-letter codes.
fn codes<T>(text: &str, table: &[(&str, T)]) -> Option<T>
where
    T: Copy + Default + std::ops::BitOr<Output = T>,
{
    let mut sum = T::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (code, tail) = rest.split_at_checked(2)?;
        sum = sum | table.iter().find(|(name, _)| name.eq_ignore_ascii_case(code))?.1;
        rest = tail;
    }
    Some(sum)
}

fn mask(text: &str, kind: u8) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return hex
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(hex, 16).ok())?;
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let is_octal = text.len() > 1 && text.starts_with('0');
        return u32::from_str_radix(text, if is_octal { 8 } else { 10 }).ok();
    }
    if kind == MANDATORY_LABEL {
        return codes(text, LABEL_RIGHTS);
    }
    let all: Vec<(&str, u32)> = MASKS.iter().chain(RIGHTS).copied().collect();
    codes(text, &all)
}

/// Bytes of a GUID in the order of its text: the first three groups are little-endian.
const GUID_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

fn guid(text: &str) -> Result<Option<Guid>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let dashes_right = text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
    if !dashes_right || !text.is_ascii() {
        return Err(());
    }
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let mut guid = Guid::default();
    for (pair, at) in digits.chunks(2).zip(GUID_ORDER) {
        let pair = std::str::from_utf8(pair).map_err(|_| ())?;
        let byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        *guid.get_mut(at).ok_or(())? = byte;
    }
    Ok(Some(guid))
}

/// The control bits of one of the two lists.
#[derive(Clone, Copy)]
struct ListFlags {
    present: u16,
    inherited: u16,
    inherit_request: u16,
    protected: u16,
}

const DACL: ListFlags = ListFlags {
    present: control::DACL_PRESENT,
    inherited: control::DACL_AUTO_INHERITED,
    inherit_request: control::DACL_AUTO_INHERIT_REQ,
    protected: control::DACL_PROTECTED,
};

const SACL: ListFlags = ListFlags {
    present: control::SACL_PRESENT,
    inherited: control::SACL_AUTO_INHERITED,
    inherit_request: control::SACL_AUTO_INHERIT_REQ,
    protected: control::SACL_PROTECTED,
};

/// Reads a descriptor from text; each part may come once, in any order.
pub fn parse(text: &str) -> Result<SecurityDescriptor, Malformed> {
    let mut reader = Reader { text, at: 0 };
    let mut sd = SecurityDescriptor::default();
    while !reader.rest().is_empty() {
        if reader.take("O:") && sd.owner.is_none() {
            sd.owner = Some(reader.sid()?);
        } else if reader.take("G:") && sd.group.is_none() {
            sd.group = Some(reader.sid()?);
        } else if reader.take("D:") && !sd.dacl_present() {
            let (bits, list) = reader.list(DACL)?;
            sd.control |= bits;
            sd.dacl = list;
        } else if reader.take("S:") && !sd.sacl_present() {
            let (bits, list) = reader.list(SACL)?;
            sd.control |= bits;
            sd.sacl = list;
        } else {
            return reader.error();
        }
    }
    Ok(sd)
}

/// Writes a descriptor as text; `None` if an entry has no text form.
pub fn format(sd: &SecurityDescriptor) -> Option<String> {
    let mut out = String::new();
    if let Some(owner) = &sd.owner {
        write!(out, "O:{}", sid_text(owner)).ok()?;
    }
    if let Some(group) = &sd.group {
        write!(out, "G:{}", sid_text(group)).ok()?;
    }
    if sd.dacl_present() {
        out.push_str("D:");
        list_text(&mut out, sd.control, DACL, sd.dacl.as_ref())?;
    }
    if sd.sacl_present() {
        out.push_str("S:");
        list_text(&mut out, sd.control, SACL, sd.sacl.as_ref())?;
    }
    Some(out)
}

fn sid_text(sid: &Sid) -> String {
    match SIDS.iter().find(|(_, known)| known == sid) {
        Some((alias, _)) => (*alias).to_owned(),
        None => sid.to_string(),
    }
}

fn list_text(out: &mut String, bits: u16, flags: ListFlags, list: Option<&Acl>) -> Option<()> {
    for (bit, code) in
        [(flags.protected, "P"), (flags.inherit_request, "AR"), (flags.inherited, "AI")]
    {
        if bits & bit != 0 {
            out.push_str(code);
        }
    }
    let Some(list) = list else {
        out.push_str("NO_ACCESS_CONTROL");
        return Some(());
    };
    list.aces.iter().try_for_each(|ace| ace_text(out, ace))
}

fn ace_text(out: &mut String, ace: &Ace) -> Option<()> {
    let (name, _) = KINDS.iter().find(|(_, kind)| *kind == ace.kind)?;
    let (object_type, inherited_type, data) = match &ace.body {
        AceBody::Plain { data, .. } => (None, None, data),
        AceBody::Object { object_type, inherited_type, data, .. } => {
            (*object_type, *inherited_type, data)
        }
        AceBody::Other(_) => return None,
    };
    let known_flags = FLAGS.iter().fold(0, |bits, (_, bit)| bits | bit);
    if !data.is_empty() || ace.flags & !known_flags != 0 {
        return None;
    }
    write!(out, "({name};").ok()?;
    FLAGS.iter().filter(|(_, bit)| ace.flags & bit != 0).for_each(|(code, _)| out.push_str(code));
    out.push(';');
    mask_text(out, ace.mask()?, ace.kind);
    for guid in [object_type, inherited_type] {
        out.push(';');
        if let Some(guid) = guid {
            guid_text(out, &guid);
        }
    }
    write!(out, ";{})", sid_text(ace.sid()?)).ok()
}

fn mask_text(out: &mut String, mask: u32, kind: u8) {
    let table = if kind == MANDATORY_LABEL { LABEL_RIGHTS } else { RIGHTS };
    let whole = MASKS.iter().find(|(_, value)| *value == mask && kind != MANDATORY_LABEL);
    let known = table.iter().fold(0, |bits, (_, bit)| bits | bit);
    if let Some((code, _)) = whole {
        out.push_str(code);
    } else if mask & !known == 0 {
        table.iter().filter(|(_, bit)| mask & bit != 0).for_each(|(code, _)| out.push_str(code));
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "{mask:#x}");
    }
}

fn guid_text(out: &mut String, guid: &Guid) {
    for (place, at) in GUID_ORDER.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let byte = guid.get(at).copied().unwrap_or_default();
        let _ = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in [
            "O:BAG:SYD:(A;OICI;FA;;;WD)",
            "D:P(D;;CCDC;;;BG)(A;CIIO;GA;;;CO)S:(ML;;NW;;;HI)",
            "D:NO_ACCESS_CONTROL",
            "O:S-1-5-21-1-2-3-1000D:AI(A;ID;KR;;;S-1-5-21-1-2-3-4)",
            "S:(AU;SAFA;0x1234567;;;WD)",
            "D:(OA;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;PS)",
            "",
            "D:",
        ] {
            let sd = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(format(&sd).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_first_list_is_what_it_says() {
        let sd = parse("O:BAG:SYD:(A;OICI;FA;;;WD)").unwrap();
        let ace = Ace::allow(0x1F_01FF, well_known::EVERYONE);
        assert_eq!(sd.dacl.unwrap().aces, [ace.with_flags(OBJECT_INHERIT | CONTAINER_INHERIT)]);
        let number = parse("D:(A;;017;;;WD)(A;;12;;;WD)").unwrap().dacl.unwrap();
        assert_eq!(number.aces[0].mask(), Some(0o17));
        assert_eq!(number.aces[1].mask(), Some(12));
    }

    #[test]
    fn bad_text_is_refused() {
        for text in [
            "X:",
            "O:",
            "O:ZZ",
            "D:(A;;FA;;;WD",
            "D:(A;;FA;;WD)",
            "D:(Q;;FA;;;WD)",
            "D:(A;;F;;;WD)",
            "O:BAO:BA",
            "D:(A;;FA;x;;WD)",
            "D:NO_ACCESS_CONTROL(A;;FA;;;WD)",
            "O:S-1-5-D:",
            "é",
            "D:(A;;0x;;;WD)x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
