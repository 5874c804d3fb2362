//! SIDs, ACLs, security descriptors and the access check, as pure data.
//!
//! Key types: [`Sid`], [`Acl`], [`Ace`], [`SecurityDescriptor`], [`Subject`]. Everything is usable alone: bytes in,
//! bytes out ([`SecurityDescriptor::parse`], [`SecurityDescriptor::to_bytes`]), text in, text out ([`sddl`]), and the
//! decision ([`access_check`]). Sources: [MS-DTYP] 2.4 and 2.5, the Windows SDK documentation of access control.
//!
//! Invariants: no input makes this crate panic; what was parsed and written again means the same.
//!
//! A worked path, "may this token open that key for writing?": the descriptor's bytes become a
//! [`SecurityDescriptor`]; the token shows itself as a [`Subject`]; [`access_check`] walks the DACL in order and
//! answers with the granted rights or [`Denied`].

pub mod access;
pub mod acl;
pub mod descriptor;
pub mod inherit;
pub mod sddl;

pub mod sid;

pub use access::{Denied, GenericMapping, Granted, Group, Subject, access_check};
pub use acl::{Ace, AceBody, Acl};
pub use descriptor::{SecurityDescriptor, control, parts};
pub use inherit::{Creator, assign};
pub use sid::{Sid, well_known};

/// Why bytes or text are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// The bytes end too early.
    #[error("the bytes end too early")]
    Truncated,
    /// Not a SID.
    #[error("not a SID")]
    Sid,
    /// Not an access control list.
    #[error("not an access control list")]
    Acl,
    /// Not a security descriptor.
    #[error("not a security descriptor")]
    Descriptor,
    /// Not a security descriptor in text form.
    #[error("not an SDDL text (near byte {0})")]
    Text(usize),
}

fn read_u16(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    field.map(|field| u16::from_le_bytes(*field)).ok_or(Malformed::Truncated)
}

fn read_u32(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    field.map(|field| u32::from_le_bytes(*field)).ok_or(Malformed::Truncated)
}
