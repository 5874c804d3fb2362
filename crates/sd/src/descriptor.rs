//! Security descriptors, absolute and self-relative.
//!
//! Key types: [`SecurityDescriptor`], [`parts`] (`SECURITY_INFORMATION`). Layout: [MS-DTYP] 2.4.6.

use crate::{Acl, Malformed, Sid, read_u16, read_u32};

/// Bits of `SECURITY_DESCRIPTOR.Control`.
pub mod control {
    #![allow(missing_docs)]
    pub const OWNER_DEFAULTED: u16 = 0x0001;
    pub const GROUP_DEFAULTED: u16 = 0x0002;
    pub const DACL_PRESENT: u16 = 0x0004;
    pub const DACL_DEFAULTED: u16 = 0x0008;
    pub const SACL_PRESENT: u16 = 0x0010;
    pub const SACL_DEFAULTED: u16 = 0x0020;
    pub const DACL_UNTRUSTED: u16 = 0x0040;
    pub const SERVER_SECURITY: u16 = 0x0080;
    pub const DACL_AUTO_INHERIT_REQ: u16 = 0x0100;
    pub const SACL_AUTO_INHERIT_REQ: u16 = 0x0200;
    pub const DACL_AUTO_INHERITED: u16 = 0x0400;
    pub const SACL_AUTO_INHERITED: u16 = 0x0800;
    pub const DACL_PROTECTED: u16 = 0x1000;
    pub const SACL_PROTECTED: u16 = 0x2000;
    pub const RM_CONTROL_VALID: u16 = 0x4000;
    pub const SELF_RELATIVE: u16 = 0x8000;
}

/// `SECURITY_INFORMATION`: which parts of a descriptor a request is about.
pub mod parts {
    #![allow(missing_docs)]
    pub const OWNER: u32 = 0x0000_0001;
    pub const GROUP: u32 = 0x0000_0002;
    pub const DACL: u32 = 0x0000_0004;
    pub const SACL: u32 = 0x0000_0008;
    pub const LABEL: u32 = 0x0000_0010;
    pub const ATTRIBUTE: u32 = 0x0000_0020;
    pub const SCOPE: u32 = 0x0000_0040;
    pub const PROCESS_TRUST_LABEL: u32 = 0x0000_0080;
    pub const ACCESS_FILTER: u32 = 0x0000_0100;
    pub const BACKUP: u32 = 0x0001_0000;
    pub const UNPROTECTED_SACL: u32 = 0x1000_0000;
    pub const UNPROTECTED_DACL: u32 = 0x2000_0000;
    pub const PROTECTED_SACL: u32 = 0x4000_0000;
    pub const PROTECTED_DACL: u32 = 0x8000_0000;
    /// Parts that the SACL carries besides audit entries.
    pub const IN_SACL: u32 = LABEL | ATTRIBUTE | SCOPE | PROCESS_TRUST_LABEL | ACCESS_FILTER;
}

/// Bytes of the self-relative header.
const HEADER: usize = 20;

/// A security descriptor.
///
/// A list that is present and `None` is a NULL list: for a DACL it allows everything to everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// Control bits, without `SELF_RELATIVE`.
    pub control: u16,
    /// The resource manager's byte (`Sbz1`).
    pub resource_manager: u8,
    /// The owner.
    pub owner: Option<Sid>,
    /// The primary group.
    pub group: Option<Sid>,
    /// Audit entries and the mandatory label.
    pub sacl: Option<Acl>,
    /// Who may do what.
    pub dacl: Option<Acl>,
}

impl SecurityDescriptor {
    /// A descriptor with an owner, a group and a DACL.
    pub fn new(owner: Sid, group: Sid, dacl: Acl) -> Self {
        SecurityDescriptor {
            control: control::DACL_PRESENT,
            owner: Some(owner),
            group: Some(group),
            dacl: Some(dacl),
            ..SecurityDescriptor::default()
        }
    }

    /// True if the descriptor says something about a DACL, be it a NULL one.
    pub fn dacl_present(&self) -> bool {
        self.control & control::DACL_PRESENT != 0
    }

    /// True if the descriptor says something about a SACL.
    pub fn sacl_present(&self) -> bool {
        self.control & control::SACL_PRESENT != 0
    }

    /// The list that restricts access, or `None` if there is no restriction.
    pub fn effective_dacl(&self) -> Option<&Acl> {
        self.dacl.as_ref().filter(|_| self.dacl_present())
    }

    /// The list of audit entries and labels.
    pub fn effective_sacl(&self) -> Option<&Acl> {
        self.sacl.as_ref().filter(|_| self.sacl_present())
    }

    /// Reads a self-relative descriptor; what follows it is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<SecurityDescriptor, Malformed> {
        if bytes.first() != Some(&1) {
            return Err(Malformed::Descriptor);
        }
        let bits = read_u16(bytes, 2)?;
        if bits & control::SELF_RELATIVE == 0 {
            return Err(Malformed::Descriptor);
        }
        let part = |field: usize| -> Result<Option<&[u8]>, Malformed> {
            match read_u32(bytes, field)? as usize {
                0 => Ok(None),
                offset if offset < HEADER => Err(Malformed::Descriptor),
                offset => bytes.get(offset..).map(Some).ok_or(Malformed::Truncated),
            }
        };
        let list = |field: usize, present: u16| -> Result<Option<Acl>, Malformed> {
            if bits & present == 0 {
                return Ok(None);
            }
            part(field)?.map(Acl::parse).transpose()
        };
        Ok(SecurityDescriptor {
            control: bits & !control::SELF_RELATIVE,
            resource_manager: bytes.get(1).copied().unwrap_or_default(),
            owner: part(4)?.map(Sid::parse).transpose()?,
            group: part(8)?.map(Sid::parse).transpose()?,
            sacl: list(12, control::SACL_PRESENT)?,
            dacl: list(16, control::DACL_PRESENT)?,
        })
    }

    /// Bytes of the self-relative form.
    pub fn size(&self) -> usize {
        let sids = [&self.owner, &self.group].into_iter().flatten().map(Sid::size).sum::<usize>();
        let lists = [self.effective_sacl(), self.effective_dacl()];
        HEADER + sids + lists.into_iter().flatten().map(Acl::size).sum::<usize>()
    }

    /// The self-relative form: header, SACL, DACL, owner, group, as NT lays it out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        out.extend_from_slice(&[1, self.resource_manager]);
        out.extend_from_slice(&(self.control | control::SELF_RELATIVE).to_le_bytes());
        let sacl = self.effective_sacl().map_or(0, Acl::size);
        let dacl = self.effective_dacl().map_or(0, Acl::size);
        let owner = self.owner.as_ref().map_or(0, Sid::size);
        let group = self.group.as_ref().map_or(0, Sid::size);
        let offset = |before: usize, size: usize| match size {
            0 => [0; 4],
            _ => ((HEADER + before) as u32).to_le_bytes(),
        };
        out.extend_from_slice(&offset(sacl + dacl, owner));
        out.extend_from_slice(&offset(sacl + dacl + owner, group));
        out.extend_from_slice(&offset(0, sacl));
        out.extend_from_slice(&offset(sacl, dacl));
        for list in [self.effective_sacl(), self.effective_dacl()].into_iter().flatten() {
            list.write_to(&mut out);
        }
        for sid in [&self.owner, &self.group].into_iter().flatten() {
            sid.write_to(&mut out);
        }
        out
    }

    /// The parts that a query asks for, alone.
    pub fn select(&self, wanted: u32) -> SecurityDescriptor {
        use crate::acl::*;
        let mut out = SecurityDescriptor {
            control: self.control & control::RM_CONTROL_VALID,
            resource_manager: self.resource_manager,
            ..SecurityDescriptor::default()
        };
        if wanted & parts::OWNER != 0 {
            out.owner = self.owner;
            out.control |= self.control & control::OWNER_DEFAULTED;
        }
        if wanted & parts::GROUP != 0 {
            out.group = self.group;
            out.control |= self.control & control::GROUP_DEFAULTED;
        }
        if wanted & parts::DACL != 0 {
            out.dacl = self.dacl.clone();
            out.control |= self.control
                & (control::DACL_PRESENT
                    | control::DACL_DEFAULTED
                    | control::DACL_AUTO_INHERITED
                    | control::DACL_PROTECTED);
        }
        let sacl_bits = control::SACL_PRESENT
            | control::SACL_DEFAULTED
            | control::SACL_AUTO_INHERITED
            | control::SACL_PROTECTED;
        if wanted & (parts::SACL | parts::IN_SACL) != 0 && self.sacl_present() {
            let wants = |ace: &Ace| match ace.kind {
                MANDATORY_LABEL => wanted & parts::LABEL != 0,
                RESOURCE_ATTRIBUTE => wanted & parts::ATTRIBUTE != 0,
                SCOPED_POLICY_ID => wanted & parts::SCOPE != 0,
                PROCESS_TRUST_LABEL => wanted & parts::PROCESS_TRUST_LABEL != 0,
                _ => wanted & parts::SACL != 0,
            };
            let list = self.sacl.as_ref().map(|list| Acl {
                revision: list.revision,
                aces: list.aces.iter().filter(|ace| wants(ace)).cloned().collect(),
            });
            let some = list.as_ref().is_some_and(|list| !list.aces.is_empty());
            if wanted & parts::SACL != 0 || some {
                out.sacl = list;
                out.control |= self.control & sacl_bits;
            }
        }
        out
    }

    /// Replaces the parts that a set request names by those of `new`.
    pub fn update(&mut self, new: &SecurityDescriptor, parts_set: u32) {
        use crate::acl::*;
        if parts_set & parts::OWNER != 0 {
            self.owner = new.owner;
            self.control &= !control::OWNER_DEFAULTED;
            self.control |= new.control & control::OWNER_DEFAULTED;
        }
        if parts_set & parts::GROUP != 0 {
            self.group = new.group;
            self.control &= !control::GROUP_DEFAULTED;
            self.control |= new.control & control::GROUP_DEFAULTED;
        }
        if parts_set & parts::DACL != 0 {
            let bits = control::DACL_PRESENT
                | control::DACL_DEFAULTED
                | control::DACL_AUTO_INHERITED
                | control::DACL_PROTECTED;
            self.dacl = new.dacl.clone();
            self.control = self.control & !bits | new.control & bits | control::DACL_PRESENT;
            // Auto-inheritance is kept only when the caller asks for it.
            if new.control & control::DACL_AUTO_INHERIT_REQ == 0 {
                self.control &= !control::DACL_AUTO_INHERITED;
            }
        }
        if parts_set & parts::PROTECTED_DACL != 0 {
            self.control |= control::DACL_PROTECTED;
        }
        if parts_set & parts::UNPROTECTED_DACL != 0 {
            self.control &= !control::DACL_PROTECTED;
        }
        if parts_set & (parts::SACL | parts::IN_SACL) != 0 {
            let replaced = |ace: &Ace| match ace.kind {
                MANDATORY_LABEL => parts_set & parts::LABEL != 0,
                RESOURCE_ATTRIBUTE => parts_set & parts::ATTRIBUTE != 0,
                SCOPED_POLICY_ID => parts_set & parts::SCOPE != 0,
                PROCESS_TRUST_LABEL => parts_set & parts::PROCESS_TRUST_LABEL != 0,
                _ => parts_set & parts::SACL != 0,
            };
            let kept = self.effective_sacl().into_iter().flat_map(|list| &list.aces);
            let mut aces: Vec<Ace> = kept.filter(|ace| !replaced(ace)).cloned().collect();
            let added = new.effective_sacl().into_iter().flat_map(|list| &list.aces);
            aces.extend(added.filter(|ace| replaced(ace)).cloned());
            self.control |= control::SACL_PRESENT;
            self.sacl = Some(aces.into_iter().collect());
        }
    }

    /// Replaces generic rights in entries that take effect by the specific ones of the object's type.
    pub fn map_generic(&mut self, mapping: &crate::GenericMapping) {
        for list in [&mut self.dacl, &mut self.sacl].into_iter().flatten() {
            let live = |ace: &&mut crate::Ace| ace.flags & crate::acl::INHERIT_ONLY == 0;
            for mask in list.aces.iter_mut().filter(live).filter_map(crate::Ace::mask_mut) {
                *mask = mapping.map(*mask);
            }
        }
    }

    /// The integrity level of the mandatory label and its policy mask, if there is a label.
    pub fn mandatory_label(&self) -> Option<(u32, u32)> {
        let list = self.effective_sacl()?;
        let label = list.aces.iter().find(|ace| {
            ace.kind == crate::acl::MANDATORY_LABEL && ace.flags & crate::acl::INHERIT_ONLY == 0
        })?;
        Some((label.sid()?.rid()?, label.mask()?))
    }
}
