//! Name lookup and insertion: `\Device\Null`, `\??\C:\a.txt`, a name relative to a root handle.
//!
//! [`lookup`] walks directories and symbolic links. A component that is neither (a device, a file, a registry key)
//! ends the walk: the rest of the path is that object's to parse, as NT's parse procedures have it.

use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;

use crate::Kernel;
use crate::ustr::UnicodeString;

use super::directory::{Directory, SymbolicLink};
use super::object::{AnyRef, ObRef, Object, downcast};

/// Symbolic links followed before a lookup gives up, as NT counts them.
const MAX_LINKS: u32 = 32;

const BACKSLASH: u16 = b'\\' as u16;

/// Where a lookup ended.
pub enum Lookup {
    /// The object itself.
    Found(AnyRef),
    /// Every directory exists, the last name does not.
    Missing {
        /// The directory it would stand in.
        directory: ObRef<Directory>,
        /// The missing name.
        name: UnicodeString,
    },
    /// The walk met an object that parses the rest itself: a device, a file, a key.
    Parse {
        /// The object.
        object: AnyRef,
        /// What follows its name, with the leading backslash; empty when nothing follows.
        rest: UnicodeString,
    },
}

/// What a lookup is told.
#[derive(Clone, Copy)]
pub struct LookupOptions {
    /// `OBJ_CASE_INSENSITIVE`.
    pub ignore_case: bool,
    /// `OBJ_OPENLINK`: a link in last place is itself the result.
    pub open_link: bool,
}

/// Finds the object that a path names.
///
/// `root` is the object of `RootDirectory`, if given; the path is then relative and must not start with a backslash.
pub fn lookup(
    k: &Kernel,
    root: Option<AnyRef>,
    path: &[u16],
    options: LookupOptions,
) -> NtResult<Lookup> {
    let mut links = 0;
    let mut path = path.to_vec();
    let mut current: AnyRef = match root {
        Some(root) => {
            if path.first() == Some(&BACKSLASH) {
                return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
            }
            if root.object_type().name != "Directory" {
                return Ok(Lookup::Parse { object: root, rest: UnicodeString(path) });
            }
            root
        }
        None => {
            if path.first() != Some(&BACKSLASH) {
                return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
            }
            path.remove(0);
            k.ob.root.clone()
        }
    };
    'walk: loop {
        if path.is_empty() {
            return Ok(Lookup::Found(current));
        }
        let directory = downcast::<Directory>(current)?;
        let end = path.iter().position(|unit| *unit == BACKSLASH).unwrap_or(path.len());
        let (component, rest) = path.split_at(end);
        if component.is_empty() {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        let Some(child) = directory.get(component, options.ignore_case) else {
            if rest.is_empty() {
                let name = UnicodeString::from(component);
                return Ok(Lookup::Missing { directory, name });
            }
            return Err(STATUS_OBJECT_PATH_NOT_FOUND);
        };
        match child.object_type().name {
            "Directory" => {
                path = match rest.strip_prefix(&[BACKSLASH]) {
                    // A trailing backslash names nothing.
                    Some([]) => return Err(STATUS_OBJECT_NAME_INVALID),
                    Some(rest) => rest.to_vec(),
                    None => Vec::new(),
                };
                current = child;
            }
            "SymbolicLink" if !(rest.is_empty() && options.open_link) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(STATUS_OBJECT_NAME_NOT_FOUND);
                }
                let link = downcast::<SymbolicLink>(child)?;
                let mut target = link.target.0.clone();
                if target.last() == Some(&BACKSLASH) && rest.first() == Some(&BACKSLASH) {
                    target.pop();
                }
                target.extend_from_slice(rest);
                if target.first() != Some(&BACKSLASH) {
                    return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
                }
                target.remove(0);
                path = target;
                current = k.ob.root.clone();
                continue 'walk;
            }
            "Device" | "Key" | "File" => {
                return Ok(Lookup::Parse { object: child, rest: UnicodeString::from(rest) });
            }
            _ if rest.is_empty() => return Ok(Lookup::Found(child)),
            _ => return Err(STATUS_OBJECT_TYPE_MISMATCH),
        }
    }
}

/// Puts an object under a name; `STATUS_OBJECT_NAME_COLLISION` if it is taken.
pub fn insert<T: super::ObjectBody>(
    directory: &ObRef<Directory>,
    name: &UnicodeString,
    object: &ObRef<T>,
) -> NtResult<()> {
    let object: AnyRef = object.clone();
    if !directory.insert(name, object.clone()) {
        return Err(STATUS_OBJECT_NAME_COLLISION);
    }
    let mut slot = object.header().name.open();
    slot.name = name.clone();
    slot.directory = Some(Arc::downgrade(directory));
    Ok(())
}

/// Takes an object's name away.
pub fn remove_name(object: &AnyRef) {
    let (name, directory) = {
        let mut slot = object.header().name.open();
        (slot.name.clone(), slot.directory.take())
    };
    if let Some(directory) = directory.and_then(|weak| weak.upgrade()) {
        directory.remove(&name);
    }
}

/// The full path of a named object, or an empty string.
pub fn full_name(k: &Kernel, object: &AnyRef) -> UnicodeString {
    let mut parts: Vec<UnicodeString> = Vec::new();
    let (name, mut directory) = {
        let slot = object.header().name.open();
        (slot.name.clone(), slot.directory.as_ref().and_then(|weak| weak.upgrade()))
    };
    if std::ptr::eq(object.header(), &raw const k.ob.root.header) {
        return UnicodeString::from("\\");
    }
    if name.is_empty() && directory.is_none() {
        return UnicodeString::default();
    }
    parts.push(name);
    while let Some(at) = directory {
        let (name, parent) = parent_of(&at);
        if parent.is_some() {
            parts.push(name);
        }
        directory = parent;
    }
    let mut path = Vec::new();
    for part in parts.iter().rev() {
        path.push(BACKSLASH);
        path.extend_from_slice(part);
    }
    UnicodeString(path)
}

fn parent_of(directory: &ObRef<Directory>) -> (UnicodeString, Option<Arc<Object<Directory>>>) {
    let slot = directory.header.name.open();
    (slot.name.clone(), slot.directory.as_ref().and_then(|weak| weak.upgrade()))
}
