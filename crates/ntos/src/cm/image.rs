//! Between a [`Hive`] in memory and the tree of a hive file: [`from_file`], [`to_file`].
//!
//! Volatile keys are in memory only, so [`to_file`] leaves them out. A file's names and security descriptors are checked
//! here: the format's reader (`regf`) knows nothing of what they mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use abi::NtResult;
use abi::cm::MAX_KEY_NAME;
use sd::SecurityDescriptor;

use super::hive::{CellId, Hive, KeyCell, Storage, Value};

/// Makes the keys of a file; the error says which key is wrong and how.
pub fn from_file(root: regf::Key) -> Result<Hive, String> {
    let mut descriptors = Descriptors::default();
    let security = descriptors.get(&root)?;
    let security = security.unwrap_or_default();
    let (cell, subkeys) = cell_of(root, security);
    let time = cell.last_write;
    let mut hive = Hive::new(cell);
    let mut stack = vec![(hive.root(), time, subkeys)];
    while let Some((parent, time, subkeys)) = stack.pop() {
        for key in subkeys {
            let name = String::from_utf16_lossy(&key.name);
            let wrong = |what: &str| format!("the key `{name}` {what}");
            if key.name.is_empty() || key.name.len() > MAX_KEY_NAME {
                return Err(wrong("has a name of an impossible length"));
            }
            if key.name.contains(&u16::from(b'\\')) {
                return Err(wrong("has a backslash in its name"));
            }
            let security = match descriptors.get(&key)? {
                Some(security) => security,
                None => hive.get(parent).map(|key| key.security.clone()).unwrap_or_default(),
            };
            let (cell, below) = cell_of(key, security);
            let own_time = cell.last_write;
            let id = hive.add(parent, cell).map_err(|_| wrong("is there twice"))?;
            stack.push((id, own_time, below));
        }
        // Adding keys changed it.
        if let Ok(key) = hive.get_mut(parent) {
            key.last_write = time;
        }
    }
    Ok(hive)
}

/// Descriptors by their bytes: most keys share few.
#[derive(Default)]
struct Descriptors(BTreeMap<Arc<[u8]>, Arc<SecurityDescriptor>>);

impl Descriptors {
    /// A key's descriptor; `None` if it has none of its own.
    fn get(&mut self, key: &regf::Key) -> Result<Option<Arc<SecurityDescriptor>>, String> {
        if key.security.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.0.get(&key.security) {
            return Ok(Some(known.clone()));
        }
        let parsed = SecurityDescriptor::parse(&key.security).map_err(|error| {
            let name = String::from_utf16_lossy(&key.name);
            format!("the key `{name}` has a bad security descriptor: {error}")
        })?;
        let parsed = Arc::new(parsed);
        self.0.insert(key.security.clone(), parsed.clone());
        Ok(Some(parsed))
    }
}

fn cell_of(key: regf::Key, security: Arc<SecurityDescriptor>) -> (KeyCell, Vec<regf::Key>) {
    let mut cell = KeyCell::new(&key.name, Storage::Stable, key.last_write, security);
    cell.class = key.class.as_slice().into();
    cell.is_link = key.is_link;
    cell.wow64_flags = key.user_flags.into();
    cell.control_flags = key.control_flags.into();
    let value = |value: regf::Value| Value {
        name: value.name.as_slice().into(),
        kind: value.kind,
        data: value.data,
    };
    cell.values = key.values.into_iter().map(value).collect();
    (cell, key.subkeys)
}

/// The tree of a hive's stable keys.
pub fn to_file(hive: &Hive) -> NtResult<regf::Key> {
    key_to_file(hive, hive.root(), &mut BTreeMap::new())
}

/// A key with everything below it. The registry's limit of levels bounds the recursion.
fn key_to_file(
    hive: &Hive,
    id: CellId,
    descriptors: &mut BTreeMap<usize, Arc<[u8]>>,
) -> NtResult<regf::Key> {
    let cell = hive.get(id)?;
    let known = descriptors.entry(Arc::as_ptr(&cell.security) as usize);
    let security = known.or_insert_with(|| cell.security.to_bytes().into()).clone();
    let value = |value: &Value| regf::Value {
        name: value.name.to_vec(),
        kind: value.kind,
        data: value.data.clone(),
    };
    let mut key = regf::Key {
        name: cell.name.to_vec(),
        class: cell.class.to_vec(),
        last_write: cell.last_write,
        is_link: cell.is_link,
        user_flags: (cell.wow64_flags & 0xF) as u8,
        control_flags: (cell.control_flags & 0xF) as u8,
        security,
        values: cell.values.iter().map(value).collect(),
        subkeys: Vec::new(),
    };
    for subkey in cell.stable_subkeys() {
        key.subkeys.push(key_to_file(hive, subkey, descriptors)?);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn stable_keys_go_to_a_file_and_back_volatile_ones_do_not() {
        let security = Arc::new(SecurityDescriptor::default());
        let key = |name, storage| KeyCell::new(&units(name), storage, 7, security.clone());
        let mut hive = Hive::new(key("root", Storage::Stable));
        let root = hive.root();
        let kept = hive.add(root, key("kept", Storage::Stable)).unwrap();
        hive.add(root, key("gone", Storage::Volatile)).unwrap();
        hive.add(kept, key("gone too", Storage::Volatile)).unwrap();
        hive.get_mut(kept).unwrap().set_value(&units("v"), 4, vec![1, 0, 0, 0]);
        hive.get_mut(kept).unwrap().last_write = 99;
        let file = to_file(&hive).unwrap();
        assert_eq!(file.subkeys.len(), 1);
        assert!(file.subkeys[0].subkeys.is_empty());
        let bytes = regf::Hive::new(file.clone()).to_bytes().unwrap();
        let back = from_file(regf::Hive::parse(&bytes).unwrap().root).unwrap();
        assert_eq!(to_file(&back).unwrap(), file);
    }

    #[test]
    fn the_deepest_tree_goes_to_a_file_and_back() {
        let key = || KeyCell::new(&units("k"), Storage::Stable, 7, Arc::default());
        let mut hive = Hive::new(key());
        let mut at = hive.root();
        for _ in 1..regf::MAX_DEPTH {
            at = hive.add(at, key()).unwrap();
        }
        let bytes = regf::Hive::new(to_file(&hive).unwrap()).to_bytes().unwrap();
        let back = from_file(regf::Hive::parse(&bytes).unwrap().root).unwrap();
        assert_eq!(to_file(&back).unwrap(), to_file(&hive).unwrap());
    }

    #[test]
    fn wrong_names_and_descriptors_are_told() {
        let with = |key: regf::Key| regf::Key { subkeys: vec![key], ..regf::Key::new("root") };
        let error = from_file(with(regf::Key::new("a\\b"))).err().unwrap();
        assert!(error.contains("backslash"), "{error}");
        let bad = regf::Key { security: Arc::from([1u8, 2, 3]), ..regf::Key::new("k") };
        let error = from_file(with(bad)).err().unwrap();
        assert!(error.contains("security descriptor"), "{error}");
        let twins = vec![regf::Key::new("k"), regf::Key::new("K")];
        let error = from_file(regf::Key { subkeys: twins, ..regf::Key::new("root") });
        assert!(error.err().unwrap().contains("twice"));
    }
}
