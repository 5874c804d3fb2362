//! UTF-16 strings as NT has them: counted, possibly with unpaired surrogates.
//!
//! Key type: [`UnicodeString`]. Case folding is NT's: one code unit to one code unit.

use std::fmt;

/// An owned counted UTF-16 string.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnicodeString(pub Vec<u16>);

/// The upper case of one code unit: the simple mapping, where it is one unit, as in NT's table.
pub fn upcase(unit: u16) -> u16 {
    if unit < 0x80 {
        return if (0x61..=0x7A).contains(&unit) { unit - 0x20 } else { unit };
    }
    // NT's table leaves these alone although Unicode maps them: the dotless i, the long s and the Georgian letters.
    if matches!(unit, 0x131 | 0x17F | 0x10D0..=0x10FF) {
        return unit;
    }
    let Some(c) = char::from_u32(u32::from(unit)) else { return unit };
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

/// Compares without regard to case.
pub fn eq_ignore_case(a: &[u16], b: &[u16]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || upcase(*a) == upcase(*b))
}

impl UnicodeString {
    /// The string folded to upper case: the key of case-insensitive maps.
    pub fn folded(&self) -> UnicodeString {
        fold(&self.0)
    }

    /// The string as UTF-8, unpaired surrogates replaced.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf16_lossy(&self.0)
    }
}

/// Folds a slice to upper case.
pub fn fold(units: &[u16]) -> UnicodeString {
    UnicodeString(units.iter().map(|unit| upcase(*unit)).collect())
}

impl From<&str> for UnicodeString {
    fn from(text: &str) -> Self {
        UnicodeString(text.encode_utf16().collect())
    }
}

impl From<&[u16]> for UnicodeString {
    fn from(units: &[u16]) -> Self {
        UnicodeString(units.to_vec())
    }
}

impl std::ops::Deref for UnicodeString {
    type Target = [u16];

    fn deref(&self) -> &[u16] {
        &self.0
    }
}

impl PartialEq<str> for UnicodeString {
    fn eq(&self, other: &str) -> bool {
        self.0.iter().copied().eq(other.encode_utf16())
    }
}

impl fmt::Display for UnicodeString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

impl fmt::Debug for UnicodeString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_is_unit_by_unit() {
        assert_eq!(UnicodeString::from("straße.TXT").folded().to_string(), "STRAßE.TXT");
        assert!(eq_ignore_case(&UnicodeString::from("Ärger"), &UnicodeString::from("äRGER")));
        assert_eq!(upcase(0xD800), 0xD800);
    }
}
