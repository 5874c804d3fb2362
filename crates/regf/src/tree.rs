//! What a hive file holds: [`Hive`], a tree of [`Key`]s with [`Value`]s, and steps through it by path.

use std::cmp::Ordering;
use std::sync::Arc;

/// Levels that a registry tree may have, as Windows documents it.
pub const MAX_DEPTH: usize = 512;

/// A hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hive {
    /// The root key.
    pub root: Key,
    /// How often it was written; both of the file's sequence numbers.
    pub sequence: u32,
    /// When it was written, 100 ns since 1601.
    pub written: i64,
    /// The end of the file's path, as the base block has it.
    pub file_name: String,
    /// The format's minor version.
    pub minor: u32,
    /// The file says that a write of it did not come to its end.
    pub torn: bool,
}

/// A key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Its name, UTF-16 without an end mark.
    pub name: Vec<u16>,
    /// The class name.
    pub class: Vec<u16>,
    /// 100 ns since 1601.
    pub last_write: i64,
    /// It stands for the key that its `SymbolicLinkValue` names.
    pub is_link: bool,
    /// The four user flags (`Wow64Flags`).
    pub user_flags: u8,
    /// The four virtualization flags (`ControlFlags`).
    pub control_flags: u8,
    /// The self-relative security descriptor; empty if the file has none.
    pub security: Arc<[u8]>,
    /// The values in the file's order.
    pub values: Vec<Value>,
    /// The subkeys; written in the order of their upper-case names.
    pub subkeys: Vec<Key>,
}

/// A value of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Its name; empty for the default value.
    pub name: Vec<u16>,
    /// `REG_…`; any number is allowed.
    pub kind: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

/// The upper case of a code unit, where it is one unit.
pub fn upcase(unit: u16) -> u16 {
    let Some(c) = char::from_u32(u32::from(unit)) else { return unit };
    // NT's table leaves these alone although Unicode maps them: the dotless i, the long s and the Georgian letters.
    if matches!(unit, 0x131 | 0x17F | 0x10D0..=0x10FF) {
        return unit;
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

/// Compares names as a registry sorts them.
pub fn compare_names(a: &[u16], b: &[u16]) -> Ordering {
    a.iter().map(|unit| upcase(*unit)).cmp(b.iter().map(|unit| upcase(*unit)))
}

fn is(a: &[u16], b: &[u16]) -> bool {
    a.len() == b.len() && compare_names(a, b) == Ordering::Equal
}

impl Hive {
    /// A hive of a root key alone.
    pub fn new(root: Key) -> Self {
        Hive { root, sequence: 0, written: 0, file_name: String::new(), minor: 5, torn: false }
    }
}

impl Key {
    /// A key of a name.
    pub fn new(name: &str) -> Self {
        Key { name: name.encode_utf16().collect(), ..Key::default() }
    }

    /// The subkey of a name.
    pub fn subkey(&self, name: &[u16]) -> Option<&Key> {
        self.subkeys.iter().find(|key| is(&key.name, name))
    }

    /// The subkey of a name, to change.
    pub fn subkey_mut(&mut self, name: &[u16]) -> Option<&mut Key> {
        self.subkeys.iter_mut().find(|key| is(&key.name, name))
    }

    /// The key at the end of names below this one.
    pub fn find(&self, path: &[Vec<u16>]) -> Option<&Key> {
        path.iter().try_fold(self, |key, name| key.subkey(name))
    }

    /// The key at the end of names below this one, to change.
    pub fn find_mut(&mut self, path: &[Vec<u16>]) -> Option<&mut Key> {
        path.iter().try_fold(self, |key, name| key.subkey_mut(name))
    }

    /// The key at the end of names below this one; made if it is not there, with the descriptor of the key above.
    pub fn ensure(&mut self, path: &[Vec<u16>], now: i64) -> &mut Key {
        let Some((first, rest)) = path.split_first() else { return self };
        let at = match self.subkeys.iter().position(|key| is(&key.name, first)) {
            Some(at) => at,
            None => {
                let security = self.security.clone();
                let key = Key { name: first.clone(), last_write: now, security, ..Key::default() };
                let after = |other: &Key| compare_names(&other.name, first) == Ordering::Less;
                let at = self.subkeys.partition_point(after);
                self.subkeys.insert(at, key);
                self.last_write = now;
                at
            }
        };
        #[allow(clippy::indexing_slicing, reason = "the place was found or made above")]
        self.subkeys[at].ensure(rest, now)
    }

    /// The value of a name.
    pub fn value(&self, name: &[u16]) -> Option<&Value> {
        self.values.iter().find(|value| is(&value.name, name))
    }

    /// Sets a value; a new one comes last.
    pub fn set_value(&mut self, value: Value) {
        match self.values.iter_mut().find(|old| is(&old.name, &value.name)) {
            Some(old) => (old.kind, old.data) = (value.kind, value.data),
            None => self.values.push(value),
        }
    }

    /// Removes a value; false if there is none of the name.
    pub fn remove_value(&mut self, name: &[u16]) -> bool {
        let before = self.values.len();
        self.values.retain(|value| !is(&value.name, name));
        self.values.len() != before
    }

    /// Removes a subkey with everything in it; false if there is none of the name.
    pub fn remove_subkey(&mut self, name: &[u16]) -> bool {
        let before = self.subkeys.len();
        self.subkeys.retain(|key| !is(&key.name, name));
        self.subkeys.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Vec<u16>> {
        text.split('\\').map(|name| name.encode_utf16().collect()).collect()
    }

    #[test]
    fn keys_are_found_in_any_case_and_made_in_order() {
        let mut root = Key::new("root");
        root.ensure(&path(r"b\inner"), 5);
        root.ensure(&path("A"), 6);
        assert_eq!(root.find(&path(r"B\INNER")).unwrap().last_write, 5);
        assert!(root.find(&path(r"b\other")).is_none());
        let names: Vec<_> = root.subkeys.iter().map(|key| key.name.clone()).collect();
        assert_eq!(names, [path("A"), path("b")].concat());
        assert!(root.remove_subkey(&path("B")[0]));
        assert!(!root.remove_subkey(&path("B")[0]));
    }
}
