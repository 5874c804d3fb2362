//! Directory and symbolic link objects: the namespace's inner nodes.

use std::collections::BTreeMap;

use crate::guarded::Guarded;
use crate::ustr::{UnicodeString, fold};

use super::object::{AccessMap, AnyRef, ObjectBody, TypeInfo};

/// A directory of named objects.
#[derive(Default)]
pub struct Directory {
    /// Children by upper-case name, then by name: names that differ in case only can stand side by side.
    children: Guarded<BTreeMap<(UnicodeString, UnicodeString), AnyRef>>,
}

impl ObjectBody for Directory {
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Directory",
        access: AccessMap { read: 0x2_0003, write: 0x2_000C, execute: 0x2_0003, all: 0xF_000F },
        body_size: 0x150,
    };
}

impl Directory {
    /// The child of that name.
    pub fn get(&self, name: &[u16], ignore_case: bool) -> Option<AnyRef> {
        let children = self.children.open();
        let exact = (fold(name), UnicodeString::from(name));
        if let Some(child) = children.get(&exact) {
            return Some(child.clone());
        }
        let first = (exact.0.clone(), UnicodeString::default());
        let mut similar = children.range(first..).take_while(|((folded, _), _)| *folded == exact.0);
        similar.next().filter(|_| ignore_case).map(|(_, child)| child.clone())
    }

    /// Adds a child; `false` if the name is taken.
    pub fn insert(&self, name: &[u16], object: AnyRef) -> bool {
        let mut children = self.children.open();
        match children.entry((fold(name), name.into())) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(object);
                true
            }
        }
    }

    /// Removes a child.
    pub fn remove(&self, name: &[u16]) -> Option<AnyRef> {
        self.children.open().remove(&(fold(name), name.into()))
    }

    /// The children in name order.
    pub fn list(&self) -> Vec<AnyRef> {
        self.children.open().values().cloned().collect()
    }
}

/// A name that stands for another name.
pub struct SymbolicLink {
    /// The target path.
    pub target: UnicodeString,
    /// When it was made, in 100 ns since 1601.
    pub created: i64,
}

impl ObjectBody for SymbolicLink {
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "SymbolicLink",
        access: AccessMap { read: 0x2_0001, write: 0x2_0000, execute: 0x2_0001, all: 0xF_0001 },
        body_size: 0x20,
    };
}
