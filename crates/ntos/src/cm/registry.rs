//! The registry: hives seen as one tree under `\REGISTRY`.
//!
//! Key types: [`Registry`], [`KeyId`]. The master hive holds `\REGISTRY`, `MACHINE` and `USER` and the keys in whose
//! place other hives are seen; every step down goes through [`Registry::child`], which crosses into them.

use abi::NtResult;
use abi::cm::MAX_KEY_NAME;
use abi::status_table::*;

use crate::ustr::{UnicodeString, eq_ignore_case};

use super::hive::{CellId, Hive, KeyCell, Storage, fold_name};

const BACKSLASH: u16 = b'\\' as u16;

/// Links followed before a lookup gives up.
const MAX_LINKS: u32 = 64;

/// Names a key in the registry, even after it was deleted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyId {
    hive: usize,
    cell: CellId,
}

/// A hive and where it is seen.
struct Mounted {
    hive: Hive,
    at: Option<KeyId>,
    file: Option<HiveFile>,
}

/// The file that a hive is kept in.
#[derive(Clone, Debug)]
pub struct HiveFile {
    /// Its name in the folder of hives.
    pub name: &'static str,
    /// How often it was written.
    pub sequence: u32,
    /// Something changed since then.
    pub is_dirty: bool,
    /// The hive came from this file, so it has what it should have.
    pub was_loaded: bool,
}

/// All hives.
pub struct Registry {
    hives: Vec<Mounted>,
}

/// Where a lookup ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The key.
    Key(KeyId),
    /// Everything but the last name is there.
    Missing {
        /// The key it would be in.
        parent: KeyId,
        /// The missing name.
        name: UnicodeString,
    },
}

impl Registry {
    /// A registry with a master hive whose root is `\REGISTRY`.
    pub fn new(root: KeyCell) -> Self {
        Registry { hives: vec![Mounted { hive: Hive::new(root), at: None, file: None }] }
    }

    /// `\REGISTRY`.
    pub fn root(&self) -> NtResult<KeyId> {
        let master = self.hives.first().ok_or(STATUS_INTERNAL_ERROR)?;
        Ok(KeyId { hive: 0, cell: master.hive.root() })
    }

    /// Makes a hive's root appear in place of a key of the master hive.
    pub fn mount(&mut self, at: KeyId, hive: Hive) -> NtResult<KeyId> {
        let index = self.hives.len();
        let root = KeyId { hive: index, cell: hive.root() };
        self.get_mut(at)?.mounted = Some(index);
        self.hives.push(Mounted { hive, at: Some(at), file: None });
        Ok(root)
    }

    /// Keeps the hive of a key in a file from now on.
    pub fn keep(&mut self, id: KeyId, file: HiveFile) {
        if let Some(mounted) = self.hives.get_mut(id.hive) {
            mounted.file = Some(file);
        }
    }

    /// The file that a key's hive is kept in.
    pub fn file(&self, id: KeyId) -> Option<&HiveFile> {
        self.hives.get(id.hive)?.file.as_ref()
    }

    /// Remembers that a key changed; true if that has to be written to a file.
    pub fn touch(&mut self, id: KeyId) -> bool {
        let is_stable = self.get(id).is_ok_and(|key| key.storage == Storage::Stable);
        match self.hives.get_mut(id.hive).and_then(|mounted| mounted.file.as_mut()) {
            Some(file) if is_stable => {
                file.is_dirty = true;
                true
            }
            _ => false,
        }
    }

    /// Every hive that is kept in a file, with that file's state.
    pub fn kept(&mut self) -> impl Iterator<Item = (&Hive, &mut HiveFile)> {
        self.hives.iter_mut().filter_map(|mounted| Some((&mounted.hive, mounted.file.as_mut()?)))
    }

    /// Levels from `\REGISTRY` down to a key.
    pub fn depth(&self, id: KeyId) -> NtResult<usize> {
        let (mut depth, mut at) = (0, Some(id));
        while let Some(id) = at {
            depth += 1;
            at = self.parent(id)?;
        }
        Ok(depth)
    }

    /// True for keys of the master hive, which only the system makes.
    pub fn is_in_master(&self, id: KeyId) -> bool {
        id.hive == 0
    }

    /// True for the root of a hive.
    pub fn is_hive_root(&self, id: KeyId) -> bool {
        self.hives.get(id.hive).is_some_and(|mounted| mounted.hive.root() == id.cell)
    }

    /// A key; `STATUS_KEY_DELETED` if it is no more.
    pub fn get(&self, id: KeyId) -> NtResult<&KeyCell> {
        self.hives.get(id.hive).ok_or(STATUS_KEY_DELETED)?.hive.get(id.cell)
    }

    /// A key to change; `STATUS_KEY_DELETED` if it is no more.
    pub fn get_mut(&mut self, id: KeyId) -> NtResult<&mut KeyCell> {
        self.hives.get_mut(id.hive).ok_or(STATUS_KEY_DELETED)?.hive.get_mut(id.cell)
    }

    fn hive_mut(&mut self, id: KeyId) -> NtResult<&mut Hive> {
        Ok(&mut self.hives.get_mut(id.hive).ok_or(STATUS_KEY_DELETED)?.hive)
    }

    /// Steps from a key of the master hive to the root of the hive that is seen there.
    fn cross(&self, id: KeyId) -> KeyId {
        let mounted = self.get(id).ok().and_then(|key| key.mounted);
        match mounted.and_then(|hive| Some((hive, self.hives.get(hive)?))) {
            Some((hive, mounted)) => KeyId { hive, cell: mounted.hive.root() },
            None => id,
        }
    }

    /// The subkey of a name.
    pub fn child(&self, id: KeyId, name: &[u16]) -> NtResult<Option<KeyId>> {
        let cell = self.get(id)?.subkey(&fold_name(name));
        Ok(cell.map(|cell| self.cross(KeyId { hive: id.hive, cell })))
    }

    /// The subkey at a place of the enumeration.
    pub fn child_at(&self, id: KeyId, index: usize) -> NtResult<Option<KeyId>> {
        let cell = self.get(id)?.subkey_at(index);
        Ok(cell.map(|cell| self.cross(KeyId { hive: id.hive, cell })))
    }

    /// Every subkey in the order of enumeration.
    pub fn children(&self, id: KeyId) -> NtResult<Vec<KeyId>> {
        let cells = self.get(id)?.subkeys();
        Ok(cells.map(|cell| self.cross(KeyId { hive: id.hive, cell })).collect())
    }

    /// The key that shows a key's name and parent: for a hive's root, the key it is seen in place of.
    fn face(&self, id: KeyId) -> KeyId {
        let mounted = self.hives.get(id.hive).filter(|mounted| mounted.hive.root() == id.cell);
        mounted.and_then(|mounted| mounted.at).unwrap_or(id)
    }

    /// The key that a key is in, or `None` for `\REGISTRY`.
    pub fn parent(&self, id: KeyId) -> NtResult<Option<KeyId>> {
        let face = self.face(id);
        let parent = self.get(face)?.parent;
        Ok(parent.map(|cell| KeyId { hive: face.hive, cell }))
    }

    /// A key's own name.
    pub fn name(&self, id: KeyId) -> NtResult<&UnicodeString> {
        self.get(id)?;
        Ok(&self.get(self.face(id))?.name)
    }

    /// A key's path: `\REGISTRY\MACHINE\…`.
    pub fn path(&self, id: KeyId) -> NtResult<UnicodeString> {
        let mut names = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at {
            names.push(self.name(id)?);
            at = self.parent(id)?;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(BACKSLASH);
            path.extend_from_slice(name);
        }
        Ok(UnicodeString(path))
    }

    /// True if `id` is `ancestor` or inside it.
    pub fn is_within(&self, id: KeyId, ancestor: KeyId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            if id == ancestor {
                return true;
            }
            at = self.parent(id).ok().flatten();
        }
        false
    }

    /// Finds the key that a path names from another key on, through links.
    ///
    /// With `open_link` a link in last place is the result itself.
    pub fn find(&self, start: KeyId, path: &[u16], open_link: bool) -> NtResult<Found> {
        let mut at = start;
        let mut rest = path;
        let mut redirected: UnicodeString;
        let mut links = 0;
        loop {
            // Backslashes in front of a name, also several and at the end, mean nothing.
            while let Some(tail) = rest.strip_prefix(&[BACKSLASH]) {
                rest = tail;
            }
            if rest.is_empty() {
                self.get(at)?;
                return Ok(Found::Key(at));
            }
            let end = rest.iter().position(|unit| *unit == BACKSLASH).unwrap_or(rest.len());
            let (name, tail) = rest.split_at(end);
            if name.len() > MAX_KEY_NAME {
                return Err(STATUS_INVALID_PARAMETER);
            }
            let is_last = tail.iter().all(|unit| *unit == BACKSLASH);
            let Some(child) = self.child(at, name)? else {
                if is_last {
                    return Ok(Found::Missing { parent: at, name: name.into() });
                }
                return Err(STATUS_OBJECT_NAME_NOT_FOUND);
            };
            let cell = self.get(child)?;
            if cell.is_link && !(is_last && open_link) {
                links += 1;
                let target = link_target(cell).filter(|_| links <= MAX_LINKS);
                let mut target = target.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
                target.extend_from_slice(tail);
                redirected = UnicodeString(target);
                rest = strip_registry(&redirected).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
                at = self.root()?;
                continue;
            }
            at = child;
            rest = tail;
        }
    }

    /// Makes a subkey.
    pub fn add(&mut self, parent: KeyId, key: KeyCell) -> NtResult<KeyId> {
        let cell = self.hive_mut(parent)?.add(parent.cell, key)?;
        Ok(KeyId { hive: parent.hive, cell })
    }

    /// Removes a key; `STATUS_CANNOT_DELETE` if it has subkeys or is the root of a hive.
    pub fn remove(&mut self, id: KeyId, now: i64) -> NtResult<()> {
        if self.is_in_master(id) {
            self.get(id)?;
            return Err(STATUS_CANNOT_DELETE);
        }
        self.hive_mut(id)?.remove(id.cell, now)
    }

    /// Gives a key another name; `STATUS_ACCESS_DENIED` for the root of a hive.
    pub fn rename(&mut self, id: KeyId, name: &[u16], now: i64) -> NtResult<()> {
        if self.is_in_master(id) || self.is_hive_root(id) {
            return Err(STATUS_ACCESS_DENIED);
        }
        self.hive_mut(id)?.rename(id.cell, name, now)
    }

    /// True if a stable key cannot be made in this one.
    pub fn is_volatile(&self, id: KeyId) -> NtResult<bool> {
        Ok(self.get(id)?.storage == Storage::Volatile)
    }
}

/// What a link key's value says.
fn link_target(cell: &KeyCell) -> Option<Vec<u16>> {
    let name: Vec<u16> = "SymbolicLinkValue".encode_utf16().collect();
    let value = cell.value(&name).filter(|value| value.kind == abi::cm::REG_LINK)?;
    Some(value.data.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect())
}

/// What follows `\REGISTRY` in an absolute path.
pub fn strip_registry(path: &[u16]) -> Option<&[u16]> {
    const ROOT: &str = "\\REGISTRY";
    let (root, rest) = path.split_at_checked(ROOT.len())?;
    let is_root = eq_ignore_case(root, &UnicodeString::from(ROOT));
    let ends = rest.first().is_none_or(|unit| *unit == BACKSLASH);
    (is_root && ends).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn name(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn key(text: &str) -> KeyCell {
        KeyCell::new(&name(text), Storage::Stable, 0, Arc::default())
    }

    fn registry() -> (Registry, KeyId) {
        let mut registry = Registry::new(key("REGISTRY"));
        let root = registry.root().unwrap();
        let machine = registry.add(root, key("MACHINE")).unwrap();
        let place = registry.add(machine, key("SYSTEM")).unwrap();
        let system = registry.mount(place, Hive::new(key("whatever"))).unwrap();
        (registry, system)
    }

    fn find(registry: &Registry, path: &str) -> NtResult<Found> {
        registry.find(registry.root()?, &name(path), false)
    }

    #[test]
    fn paths_cross_into_hives_and_back() {
        let (mut registry, system) = registry();
        let set = registry.add(system, key("ControlSet001")).unwrap();
        assert_eq!(find(&registry, r"\machine\System\CONTROLSET001\"), Ok(Found::Key(set)));
        assert_eq!(registry.path(set).unwrap(), *r"\REGISTRY\MACHINE\SYSTEM\ControlSet001");
        assert!(registry.is_within(set, registry.root().unwrap()));
        assert_eq!(registry.remove(system, 0), Err(STATUS_CANNOT_DELETE));
        let missing = find(&registry, r"\machine\system\nothing");
        assert_eq!(missing, Ok(Found::Missing { parent: system, name: "nothing".into() }));
        let deep = find(&registry, r"\machine\system\nothing\more");
        assert_eq!(deep, Err(STATUS_OBJECT_NAME_NOT_FOUND));
    }

    #[test]
    fn links_lead_elsewhere_unless_they_are_opened_themselves() {
        let (mut registry, system) = registry();
        let set = registry.add(system, key("ControlSet001")).unwrap();
        let control = registry.add(set, key("Control")).unwrap();
        let link = registry.add(system, KeyCell { is_link: true, ..key("CurrentControlSet") });
        let link = link.unwrap();
        let data = |text: &str| name(text).iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let target = data(r"\Registry\Machine\System\ControlSet001");
        registry.get_mut(link).unwrap().set_value(&name("SymbolicLinkValue"), 6, target);
        let path = r"\machine\system\currentcontrolset";
        assert_eq!(find(&registry, path), Ok(Found::Key(set)));
        assert_eq!(find(&registry, &format!("{path}\\control")), Ok(Found::Key(control)));
        let root = registry.root().unwrap();
        assert_eq!(registry.find(root, &name(path), true), Ok(Found::Key(link)));
        let target = data(r"\Registry\Machine\System\CurrentControlSet");
        registry.get_mut(link).unwrap().set_value(&name("SymbolicLinkValue"), 6, target);
        assert_eq!(find(&registry, path), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    }

    #[test]
    fn names_that_are_too_long_are_refused() {
        let (registry, _) = registry();
        let long = format!(r"\machine\system\{}", "x".repeat(256));
        assert_eq!(find(&registry, &long), Err(STATUS_INVALID_PARAMETER));
    }
}
