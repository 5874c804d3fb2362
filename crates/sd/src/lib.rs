//! SIDs, ACLs, security descriptors and the access check, as pure data.

/// A security descriptor.
#[derive(Clone, Debug, Default)]
pub struct SecurityDescriptor {}
