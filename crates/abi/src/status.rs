//! [`NtStatus`], the result of every NT service.
//!
//! Layout of the value: [MS-ERREF] 2.3 (severity in bits 31–30, customer bit 29, facility, code). The names are in
//! [`crate::status_table`].

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::status_table::NAMES;

/// An NTSTATUS: any 32-bit value, since guests and drivers define their own.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct NtStatus(pub u32);

/// `Ok` exactly when `NT_SUCCESS`; warnings such as `STATUS_BUFFER_OVERFLOW` are `Err`.
pub type NtResult<T = NtStatus> = Result<T, NtStatus>;

impl NtStatus {
    /// The operation completed.
    pub const SUCCESS: Self = NtStatus(0);

    /// `NT_SUCCESS`: severity success or informational.
    pub const fn is_success(self) -> bool {
        (self.0 as i32) >= 0
    }

    /// `NT_ERROR`: severity error.
    pub const fn is_error(self) -> bool {
        self.0 >> 30 == 3
    }

    /// The usual name, if the value has one.
    pub fn name(self) -> Option<&'static str> {
        let first = NAMES.partition_point(|(value, _)| *value < self.0);
        NAMES.get(first).filter(|(value, _)| *value == self.0).map(|(_, name)| *name)
    }

    /// The value of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(value, _)| NtStatus(*value))
    }

    /// Success as `Ok`, anything else as `Err`.
    pub fn into_result(self) -> NtResult {
        if self.is_success() { Ok(self) } else { Err(self) }
    }
}

/// Folds a service's result into the one value that the guest receives.
pub fn fold(result: NtResult) -> NtStatus {
    match result {
        Ok(status) | Err(status) => status,
    }
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#010X}", self.0),
        }
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#010X})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status_table::*;

    #[test]
    fn names_are_found_and_unknown_values_are_printed() {
        assert_eq!(STATUS_ACCESS_VIOLATION.to_string(), "STATUS_ACCESS_VIOLATION");
        assert_eq!(NtStatus(0).to_string(), "STATUS_SUCCESS");
        assert_eq!(NtStatus(0xE06D_7363).to_string(), "0xE06D7363");
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(NAMES.is_sorted_by_key(|(value, _)| *value));
    }

    #[test]
    fn severity_decides_success() {
        assert!(STATUS_PENDING.is_success());
        assert!(!STATUS_BUFFER_OVERFLOW.is_success() && !STATUS_BUFFER_OVERFLOW.is_error());
        assert!(STATUS_ACCESS_DENIED.is_error());
    }
}
