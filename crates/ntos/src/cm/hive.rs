//! A hive: a tree of keys with values, as plain data.
//!
//! Key types: [`Hive`], [`KeyCell`], [`Value`], [`CellId`]. A hive knows nothing of handles, access or other hives, nor
//! where it is kept: what reads or writes a hive file makes or walks these cells.
//!
//! Invariants: each list of subkeys is sorted by the upper-case name, which is NT's order of enumeration; a cell's id is
//! never used again after the cell was freed.

use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;
use sd::SecurityDescriptor;
use smallvec::SmallVec;

use crate::ustr::{UnicodeString, eq_ignore_case, upcase};

/// A name folded to upper case, on the stack for usual lengths.
pub type FoldedName = SmallVec<[u16; 64]>;

/// Folds a name.
pub fn fold_name(name: &[u16]) -> FoldedName {
    name.iter().map(|unit| upcase(*unit)).collect()
}

/// Names a key's cell in a hive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CellId {
    index: u32,
    generation: u32,
}

/// Whether a key outlives the machine's shutdown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Storage {
    /// It is kept.
    Stable,
    /// It is gone at the next boot.
    Volatile,
}

/// A subkey in its parent's list.
#[derive(Clone, Debug)]
pub(super) struct SubKey {
    folded: Box<[u16]>,
    cell: CellId,
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name; empty for the default value.
    pub name: UnicodeString,
    /// `REG_…`; any number is allowed.
    pub kind: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct KeyCell {
    /// The name as it was given.
    pub name: UnicodeString,
    /// The class name.
    pub class: UnicodeString,
    /// 100 ns since 1601.
    pub last_write: i64,
    /// The key it is in; `None` for the root.
    pub parent: Option<CellId>,
    /// Whether it is kept.
    pub storage: Storage,
    /// It stands for the key that its `SymbolicLinkValue` names.
    pub is_link: bool,
    /// `KEY_FLAGS_INFORMATION.Wow64Flags`, which user mode sets.
    pub wow64_flags: u32,
    /// `KEY_FLAGS_INFORMATION.ControlFlags`, which user mode sets.
    pub control_flags: u32,
    /// The values in the order in which they were made.
    pub values: Vec<Value>,
    /// Who may do what.
    pub security: Arc<SecurityDescriptor>,
    /// Another hive that is seen in this key's place.
    pub mounted: Option<usize>,
    /// Key objects that are open on it.
    pub opens: u32,
    /// Stable ones, then volatile ones.
    pub(super) subkeys: [Vec<SubKey>; 2],
}

impl KeyCell {
    /// A key without subkeys and values.
    pub fn new(
        name: &[u16],
        storage: Storage,
        last_write: i64,
        security: Arc<SecurityDescriptor>,
    ) -> Self {
        KeyCell {
            name: name.into(),
            class: UnicodeString::default(),
            last_write,
            parent: None,
            storage,
            is_link: false,
            wow64_flags: 0,
            control_flags: 0,
            values: Vec::new(),
            security,
            mounted: None,
            opens: 0,
            subkeys: Default::default(),
        }
    }

    /// The number of subkeys.
    pub fn subkey_count(&self) -> usize {
        self.subkeys.iter().map(Vec::len).sum()
    }

    /// The subkey at a place of the enumeration: stable ones first, each kind by name.
    pub fn subkey_at(&self, index: usize) -> Option<CellId> {
        let [stable, volatile] = &self.subkeys;
        let found = stable.get(index).or_else(|| volatile.get(index.checked_sub(stable.len())?));
        found.map(|subkey| subkey.cell)
    }

    /// The subkeys that are kept, in the order of enumeration.
    pub fn stable_subkeys(&self) -> impl Iterator<Item = CellId> {
        let [stable, _] = &self.subkeys;
        stable.iter().map(|subkey| subkey.cell)
    }

    /// Every subkey in the order of enumeration.
    pub fn subkeys(&self) -> impl Iterator<Item = CellId> {
        self.subkeys.iter().flatten().map(|subkey| subkey.cell)
    }

    /// The subkey of a folded name.
    pub fn subkey(&self, folded: &[u16]) -> Option<CellId> {
        self.subkeys.iter().find_map(|list| {
            let at = list.binary_search_by(|subkey| (*subkey.folded).cmp(folded)).ok()?;
            list.get(at).map(|subkey| subkey.cell)
        })
    }

    fn list(&mut self, storage: Storage) -> &mut Vec<SubKey> {
        let [stable, volatile] = &mut self.subkeys;
        match storage {
            Storage::Stable => stable,
            Storage::Volatile => volatile,
        }
    }

    /// The place of a value.
    pub fn value_index(&self, name: &[u16]) -> Option<usize> {
        self.values.iter().position(|value| eq_ignore_case(&value.name, name))
    }

    /// The value of a name.
    pub fn value(&self, name: &[u16]) -> Option<&Value> {
        self.values.get(self.value_index(name)?)
    }

    /// Sets a value; a new one comes last, an old one keeps its place and the spelling of its name.
    pub fn set_value(&mut self, name: &[u16], kind: u32, data: Vec<u8>) {
        let at = self.value_index(name);
        match at.and_then(|at| self.values.get_mut(at)) {
            Some(value) => {
                value.kind = kind;
                value.data = data;
            }
            None => self.values.push(Value { name: name.into(), kind, data }),
        }
    }
}

struct Slot {
    generation: u32,
    key: Option<KeyCell>,
}

/// A tree of keys.
pub struct Hive {
    slots: Vec<Slot>,
    free: Vec<u32>,
    root: CellId,
}

impl Hive {
    /// A hive that has a root and nothing else.
    pub fn new(root: KeyCell) -> Self {
        let id = CellId { index: 0, generation: 0 };
        Hive { slots: vec![Slot { generation: 0, key: Some(root) }], free: Vec::new(), root: id }
    }

    /// The root key.
    pub fn root(&self) -> CellId {
        self.root
    }

    /// A key; `STATUS_KEY_DELETED` if it is no more.
    pub fn get(&self, id: CellId) -> NtResult<&KeyCell> {
        self.slots
            .get(id.index as usize)
            .filter(|slot| slot.generation == id.generation)
            .and_then(|slot| slot.key.as_ref())
            .ok_or(STATUS_KEY_DELETED)
    }

    /// A key to change; `STATUS_KEY_DELETED` if it is no more.
    pub fn get_mut(&mut self, id: CellId) -> NtResult<&mut KeyCell> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.generation == id.generation)
            .and_then(|slot| slot.key.as_mut())
            .ok_or(STATUS_KEY_DELETED)
    }

    /// Adds a subkey; `STATUS_OBJECT_NAME_COLLISION` if there is one of that name.
    pub fn add(&mut self, parent: CellId, mut key: KeyCell) -> NtResult<CellId> {
        let folded = fold_name(&key.name);
        if self.get(parent)?.subkey(&folded).is_some() {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        key.parent = Some(parent);
        let (storage, now) = (key.storage, key.last_write);
        let id = self.store(key)?;
        let parent = self.get_mut(parent)?;
        let list = parent.list(storage);
        let at = list.partition_point(|subkey| *subkey.folded < *folded);
        list.insert(at, SubKey { folded: folded.as_slice().into(), cell: id });
        parent.last_write = now;
        Ok(id)
    }

    fn store(&mut self, key: KeyCell) -> NtResult<CellId> {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.key = Some(key);
            return Ok(CellId { index, generation: slot.generation });
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| STATUS_NO_LOG_SPACE)?;
        self.slots.push(Slot { generation: 0, key: Some(key) });
        Ok(CellId { index, generation: 0 })
    }

    fn unlink(&mut self, id: CellId) -> NtResult<CellId> {
        let key = self.get(id)?;
        let (parent, storage) = (key.parent.ok_or(STATUS_CANNOT_DELETE)?, key.storage);
        self.get_mut(parent)?.list(storage).retain(|subkey| subkey.cell != id);
        Ok(parent)
    }

    /// Removes a key; `STATUS_CANNOT_DELETE` if it is the root, has subkeys or carries another hive.
    pub fn remove(&mut self, id: CellId, now: i64) -> NtResult<()> {
        let key = self.get(id)?;
        if key.subkey_count() != 0 || key.mounted.is_some() {
            return Err(STATUS_CANNOT_DELETE);
        }
        let parent = self.unlink(id)?;
        self.get_mut(parent)?.last_write = now;
        if let Some(slot) = self.slots.get_mut(id.index as usize) {
            slot.key = None;
            // A slot whose generations are used up is not used again.
            if let Some(next) = slot.generation.checked_add(1) {
                slot.generation = next;
                self.free.push(id.index);
            }
        }
        Ok(())
    }

    /// Gives a key another name.
    pub fn rename(&mut self, id: CellId, name: &[u16], now: i64) -> NtResult<()> {
        let folded = fold_name(name);
        let key = self.get(id)?;
        let (parent, storage) = (key.parent.ok_or(STATUS_CANNOT_DELETE)?, key.storage);
        match self.get(parent)?.subkey(&folded) {
            Some(other) if other != id => return Err(STATUS_OBJECT_NAME_COLLISION),
            _ => {}
        }
        self.unlink(id)?;
        let key = self.get_mut(id)?;
        key.name = name.into();
        key.last_write = now;
        let parent = self.get_mut(parent)?;
        let list = parent.list(storage);
        let at = list.partition_point(|subkey| *subkey.folded < *folded);
        list.insert(at, SubKey { folded: folded.as_slice().into(), cell: id });
        parent.last_write = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn key(text: &str, storage: Storage) -> KeyCell {
        KeyCell::new(&name(text), storage, 5, Arc::default())
    }

    #[test]
    fn enumeration_is_by_upper_case_name_stable_keys_first() {
        let mut hive = Hive::new(key("root", Storage::Stable));
        let root = hive.root();
        hive.add(root, key("alpha", Storage::Volatile)).unwrap();
        for text in ["zeta", "_x", "Beta", "alef"] {
            hive.add(root, key(text, Storage::Stable)).unwrap();
        }
        let cell = hive.get(root).unwrap();
        let names: Vec<String> =
            cell.subkeys().map(|id| hive.get(id).unwrap().name.to_string()).collect();
        assert_eq!(names, ["alef", "Beta", "zeta", "_x", "alpha"]);
        assert_eq!(cell.subkey_at(4), cell.subkey(&name("ALPHA")));
        assert_eq!(cell.subkey_at(5), None);
        let again = hive.add(root, key("BETA", Storage::Volatile));
        assert_eq!(again.unwrap_err(), STATUS_OBJECT_NAME_COLLISION);
    }

    #[test]
    fn a_deleted_key_stays_deleted_when_its_place_is_used_again() {
        let mut hive = Hive::new(key("root", Storage::Stable));
        let root = hive.root();
        let first = hive.add(root, key("a", Storage::Stable)).unwrap();
        let inner = hive.add(first, key("b", Storage::Stable)).unwrap();
        assert_eq!(hive.remove(first, 9), Err(STATUS_CANNOT_DELETE));
        assert_eq!(hive.remove(root, 9), Err(STATUS_CANNOT_DELETE));
        hive.remove(inner, 9).unwrap();
        hive.remove(first, 9).unwrap();
        let second = hive.add(root, key("a", Storage::Stable)).unwrap();
        assert_eq!(hive.get(first).unwrap_err(), STATUS_KEY_DELETED);
        assert!(hive.get(second).is_ok());
    }

    #[test]
    fn renaming_moves_a_key_in_the_order() {
        let mut hive = Hive::new(key("root", Storage::Stable));
        let root = hive.root();
        let a = hive.add(root, key("a", Storage::Stable)).unwrap();
        let b = hive.add(root, key("b", Storage::Stable)).unwrap();
        assert_eq!(hive.rename(a, &name("B"), 7), Err(STATUS_OBJECT_NAME_COLLISION));
        hive.rename(a, &name("c"), 7).unwrap();
        assert_eq!(hive.get(root).unwrap().subkeys().collect::<Vec<_>>(), [b, a]);
        hive.rename(a, &name("C"), 8).unwrap();
        assert_eq!(hive.get(a).unwrap().name, *"C");
    }

    #[test]
    fn values_keep_their_order_and_spelling() {
        let mut cell = key("k", Storage::Stable);
        cell.set_value(&name("One"), 1, vec![1]);
        cell.set_value(&name("Two"), 4, vec![2]);
        cell.set_value(&name("ONE"), 3, vec![3]);
        assert_eq!(cell.values.len(), 2);
        assert_eq!(cell.values[0], Value { name: "One".into(), kind: 3, data: vec![3] });
        assert_eq!(cell.value(&name("two")).unwrap().data, [2]);
    }
}
