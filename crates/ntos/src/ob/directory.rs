//! Directory and symbolic link objects: the namespace's inner nodes.

use std::collections::BTreeMap;

use crate::guarded::Guarded;
use crate::ustr::{UnicodeString, fold};

use super::object::{AccessMap, AnyRef, ObjectBody, TypeInfo};

/// A directory of named objects.
#[derive(Default)]
pub struct Directory {
    /// Children by upper-case name. Lookup that minds the case compares the object's own name afterwards.
    children: Guarded<BTreeMap<UnicodeString, AnyRef>>,
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
        let child = self.children.open().get(&fold(name)).cloned()?;
        let same = ignore_case || child.header().name.open().name.0 == name;
        same.then_some(child)
    }

    /// Adds a child; `false` if the name is taken.
    pub fn insert(&self, name: &[u16], object: AnyRef) -> bool {
        let mut children = self.children.open();
        match children.entry(fold(name)) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(object);
                true
            }
        }
    }

    /// Removes a child.
    pub fn remove(&self, name: &[u16]) -> Option<AnyRef> {
        self.children.open().remove(&fold(name))
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
