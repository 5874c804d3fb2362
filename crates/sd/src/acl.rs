//! Access control lists and their entries.
//!
//! Key types: [`Acl`], [`Ace`], [`AceBody`]. Layout: [MS-DTYP] 2.4.4 and 2.4.5. Entries of unknown type are kept as
//! bytes, so that a list survives being read and written.

use crate::{Malformed, Sid, read_u16, read_u32};

/// `ACCESS_ALLOWED_ACE_TYPE`.
pub const ACCESS_ALLOWED: u8 = 0x00;
/// `ACCESS_DENIED_ACE_TYPE`.
pub const ACCESS_DENIED: u8 = 0x01;
/// `SYSTEM_AUDIT_ACE_TYPE`.
pub const SYSTEM_AUDIT: u8 = 0x02;
/// `SYSTEM_ALARM_ACE_TYPE`.
pub const SYSTEM_ALARM: u8 = 0x03;
/// `ACCESS_ALLOWED_OBJECT_ACE_TYPE`.
pub const ACCESS_ALLOWED_OBJECT: u8 = 0x05;
/// `ACCESS_DENIED_OBJECT_ACE_TYPE`.
pub const ACCESS_DENIED_OBJECT: u8 = 0x06;
/// `SYSTEM_AUDIT_OBJECT_ACE_TYPE`.
pub const SYSTEM_AUDIT_OBJECT: u8 = 0x07;
/// `SYSTEM_ALARM_OBJECT_ACE_TYPE`.
pub const SYSTEM_ALARM_OBJECT: u8 = 0x08;
/// `ACCESS_ALLOWED_CALLBACK_ACE_TYPE`.
pub const ACCESS_ALLOWED_CALLBACK: u8 = 0x09;
/// `ACCESS_DENIED_CALLBACK_ACE_TYPE`.
pub const ACCESS_DENIED_CALLBACK: u8 = 0x0A;
/// `ACCESS_ALLOWED_CALLBACK_OBJECT_ACE_TYPE`.
pub const ACCESS_ALLOWED_CALLBACK_OBJECT: u8 = 0x0B;
/// `ACCESS_DENIED_CALLBACK_OBJECT_ACE_TYPE`.
pub const ACCESS_DENIED_CALLBACK_OBJECT: u8 = 0x0C;
/// `SYSTEM_AUDIT_CALLBACK_ACE_TYPE`.
pub const SYSTEM_AUDIT_CALLBACK: u8 = 0x0D;
/// `SYSTEM_ALARM_CALLBACK_ACE_TYPE`.
pub const SYSTEM_ALARM_CALLBACK: u8 = 0x0E;
/// `SYSTEM_AUDIT_CALLBACK_OBJECT_ACE_TYPE`.
pub const SYSTEM_AUDIT_CALLBACK_OBJECT: u8 = 0x0F;
/// `SYSTEM_ALARM_CALLBACK_OBJECT_ACE_TYPE`.
pub const SYSTEM_ALARM_CALLBACK_OBJECT: u8 = 0x10;
/// `SYSTEM_MANDATORY_LABEL_ACE_TYPE`.
pub const MANDATORY_LABEL: u8 = 0x11;
/// `SYSTEM_RESOURCE_ATTRIBUTE_ACE_TYPE`.
pub const RESOURCE_ATTRIBUTE: u8 = 0x12;
/// `SYSTEM_SCOPED_POLICY_ID_ACE_TYPE`.
pub const SCOPED_POLICY_ID: u8 = 0x13;
/// `SYSTEM_PROCESS_TRUST_LABEL_ACE_TYPE`.
pub const PROCESS_TRUST_LABEL: u8 = 0x14;

/// Objects that are no containers inherit the entry.
pub const OBJECT_INHERIT: u8 = 0x01;
/// Containers inherit the entry.
pub const CONTAINER_INHERIT: u8 = 0x02;
/// Inheritance stops after one level.
pub const NO_PROPAGATE_INHERIT: u8 = 0x04;
/// The entry is for children only.
pub const INHERIT_ONLY: u8 = 0x08;
/// The entry came from a parent.
pub const INHERITED: u8 = 0x10;
/// Audit successes.
pub const SUCCESSFUL_ACCESS: u8 = 0x40;
/// Audit failures.
pub const FAILED_ACCESS: u8 = 0x80;

/// In a mandatory label's mask: lower levels may not write.
pub const NO_WRITE_UP: u32 = 1;
/// In a mandatory label's mask: lower levels may not read.
pub const NO_READ_UP: u32 = 2;
/// In a mandatory label's mask: lower levels may not execute.
pub const NO_EXECUTE_UP: u32 = 4;

/// A GUID as it lies in memory.
pub type Guid = [u8; 16];

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AceBody {
    /// A mask and a SID, and application data after them in callback and attribute entries.
    Plain {
        /// The rights.
        mask: u32,
        /// Who.
        sid: Sid,
        /// What follows the SID.
        data: Vec<u8>,
    },
    /// An entry for one property or kind of child of a directory object.
    Object {
        /// The rights.
        mask: u32,
        /// The property set, property, extended right or child class.
        object_type: Option<Guid>,
        /// The class of children that inherit.
        inherited_type: Option<Guid>,
        /// Who.
        sid: Sid,
        /// What follows the SID.
        data: Vec<u8>,
    },
    /// An entry whose type is not known; the bytes after the header.
    Other(Vec<u8>),
}

/// An access control entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ace {
    /// The type: [`ACCESS_ALLOWED`] and so on.
    pub kind: u8,
    /// Inheritance and audit flags.
    pub flags: u8,
    /// The rest.
    pub body: AceBody,
}

impl Ace {
    /// An entry with a mask and a SID.
    pub fn new(kind: u8, flags: u8, mask: u32, sid: Sid) -> Self {
        Ace { kind, flags, body: AceBody::Plain { mask, sid, data: Vec::new() } }
    }

    /// An entry that allows.
    pub fn allow(mask: u32, sid: Sid) -> Self {
        Ace::new(ACCESS_ALLOWED, 0, mask, sid)
    }

    /// An entry that denies.
    pub fn deny(mask: u32, sid: Sid) -> Self {
        Ace::new(ACCESS_DENIED, 0, mask, sid)
    }

    /// The same entry with these flags.
    pub fn with_flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// The rights, if the type has any.
    pub fn mask(&self) -> Option<u32> {
        match self.body {
            AceBody::Plain { mask, .. } | AceBody::Object { mask, .. } => Some(mask),
            AceBody::Other(_) => None,
        }
    }

    /// Whom the entry is about, if the type says.
    pub fn sid(&self) -> Option<&Sid> {
        match &self.body {
            AceBody::Plain { sid, .. } | AceBody::Object { sid, .. } => Some(sid),
            AceBody::Other(_) => None,
        }
    }

    pub(crate) fn mask_mut(&mut self) -> Option<&mut u32> {
        match &mut self.body {
            AceBody::Plain { mask, .. } | AceBody::Object { mask, .. } => Some(mask),
            AceBody::Other(_) => None,
        }
    }

    pub(crate) fn sid_mut(&mut self) -> Option<&mut Sid> {
        match &mut self.body {
            AceBody::Plain { sid, .. } | AceBody::Object { sid, .. } => Some(sid),
            AceBody::Other(_) => None,
        }
    }

    fn content_size(&self) -> usize {
        4 + match &self.body {
            AceBody::Plain { sid, data, .. } => 4 + sid.size() + data.len(),
            AceBody::Object { object_type, inherited_type, sid, data, .. } => {
                let guids =
                    usize::from(object_type.is_some()) + usize::from(inherited_type.is_some());
                8 + 16 * guids + sid.size() + data.len()
            }
            AceBody::Other(bytes) => bytes.len(),
        }
    }

    /// Bytes of the binary form, a multiple of four.
    pub fn size(&self) -> usize {
        self.content_size().next_multiple_of(4)
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.size();
        let size = u16::try_from(self.size()).unwrap_or(u16::MAX);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&size.to_le_bytes());
        match &self.body {
            AceBody::Plain { mask, sid, data } => {
                out.extend_from_slice(&mask.to_le_bytes());
                sid.write_to(out);
                out.extend_from_slice(data);
            }
            AceBody::Object { mask, object_type, inherited_type, sid, data } => {
                out.extend_from_slice(&mask.to_le_bytes());
                let flags =
                    u32::from(object_type.is_some()) | u32::from(inherited_type.is_some()) << 1;
                out.extend_from_slice(&flags.to_le_bytes());
                for guid in [object_type, inherited_type].into_iter().flatten() {
                    out.extend_from_slice(guid);
                }
                sid.write_to(out);
                out.extend_from_slice(data);
            }
            AceBody::Other(bytes) => out.extend_from_slice(bytes),
        }
        out.resize(end, 0);
    }

    /// Reads an entry from exactly its bytes.
    fn parse(bytes: &[u8]) -> Result<Ace, Malformed> {
        let (header, content) = bytes.split_first_chunk::<4>().ok_or(Malformed::Truncated)?;
        let [kind, flags, ..] = *header;
        let body = match kind {
            ACCESS_ALLOWED
            | ACCESS_DENIED
            | SYSTEM_AUDIT
            | SYSTEM_ALARM
            | ACCESS_ALLOWED_CALLBACK
            | ACCESS_DENIED_CALLBACK
            | SYSTEM_AUDIT_CALLBACK
            | SYSTEM_ALARM_CALLBACK
            | MANDATORY_LABEL
            | RESOURCE_ATTRIBUTE
            | SCOPED_POLICY_ID
            | PROCESS_TRUST_LABEL => {
                let (sid, data) = sid_and_data(content, 4)?;
                AceBody::Plain { mask: read_u32(content, 0)?, sid, data }
            }
            ACCESS_ALLOWED_OBJECT
            | ACCESS_DENIED_OBJECT
            | SYSTEM_AUDIT_OBJECT
            | SYSTEM_ALARM_OBJECT
            | ACCESS_ALLOWED_CALLBACK_OBJECT
            | ACCESS_DENIED_CALLBACK_OBJECT
            | SYSTEM_AUDIT_CALLBACK_OBJECT
            | SYSTEM_ALARM_CALLBACK_OBJECT => {
                let present = read_u32(content, 4)?;
                let mut at = 8;
                let mut guid = |bit: u32| -> Result<Option<Guid>, Malformed> {
                    if present & bit == 0 {
                        return Ok(None);
                    }
                    let guid = content.get(at..).and_then(|rest| rest.first_chunk::<16>());
                    at += 16;
                    guid.copied().map(Some).ok_or(Malformed::Truncated)
                };
                let (object_type, inherited_type) = (guid(1)?, guid(2)?);
                let (sid, data) = sid_and_data(content, at)?;
                AceBody::Object {
                    mask: read_u32(content, 0)?,
                    object_type,
                    inherited_type,
                    sid,
                    data,
                }
            }
            _ => AceBody::Other(content.to_vec()),
        };
        Ok(Ace { kind, flags, body })
    }
}

fn sid_and_data(content: &[u8], at: usize) -> Result<(Sid, Vec<u8>), Malformed> {
    let rest = content.get(at..).ok_or(Malformed::Truncated)?;
    let sid = Sid::parse(rest)?;
    Ok((sid, rest.get(sid.size()..).unwrap_or_default().to_vec()))
}

/// An access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// `ACL_REVISION` (2), or 4 when there are object entries.
    pub revision: u8,
    /// The entries in order.
    pub aces: Vec<Ace>,
}

impl Default for Acl {
    fn default() -> Self {
        Acl { revision: 2, aces: Vec::new() }
    }
}

impl FromIterator<Ace> for Acl {
    fn from_iter<I: IntoIterator<Item = Ace>>(aces: I) -> Self {
        let aces: Vec<Ace> = aces.into_iter().collect();
        let objects = aces.iter().any(|ace| matches!(ace.body, AceBody::Object { .. }));
        Acl { revision: if objects { 4 } else { 2 }, aces }
    }
}

impl Acl {
    /// Bytes of the binary form.
    pub fn size(&self) -> usize {
        8 + self.aces.iter().map(Ace::size).sum::<usize>()
    }

    /// Appends the binary form. A list of 64 KiB or more cannot be represented; [`Acl::is_representable`] tells.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let size = u16::try_from(self.size()).unwrap_or(u16::MAX);
        let count = u16::try_from(self.aces.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&[self.revision, 0]);
        for field in [size, count, 0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        for ace in &self.aces {
            ace.write_to(out);
        }
    }

    /// True if the binary form can exist: its size is a 16-bit number.
    pub fn is_representable(&self) -> bool {
        self.size() <= usize::from(u16::MAX)
    }

    /// The binary form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        self.write_to(&mut out);
        out
    }

    /// The size that the header of a binary list claims.
    pub fn claimed_size(bytes: &[u8]) -> Result<usize, Malformed> {
        read_u16(bytes, 2).map(usize::from)
    }

    /// Reads the list at the start of `bytes`; what follows it is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Acl, Malformed> {
        let revision = *bytes.first().ok_or(Malformed::Truncated)?;
        if !(2..=4).contains(&revision) {
            return Err(Malformed::Acl);
        }
        let size = Self::claimed_size(bytes)?;
        let list = bytes.get(..size).ok_or(Malformed::Truncated)?;
        let count = read_u16(list, 4)?;
        let mut rest = list.get(8..).ok_or(Malformed::Truncated)?;
        let mut aces = Vec::new();
        for _ in 0..count {
            let size = usize::from(read_u16(rest, 2)?);
            if size < 4 || size % 4 != 0 {
                return Err(Malformed::Acl);
            }
            let (ace, tail) = rest.split_at_checked(size).ok_or(Malformed::Truncated)?;
            aces.push(Ace::parse(ace)?);
            rest = tail;
        }
        Ok(Acl { revision, aces })
    }
}
