//! File attributes and times that Linux has no place for.
//!
//! Hidden, system, archive and the like are kept as Samba keeps them, as text in the extended attribute
//! `user.DOSATTRIB`; a creation time that the guest set is in `user.nten.created`. The read-only attribute is the
//! owner's missing write permission.

use std::collections::HashMap;

use abi::NtResult;
use abi::io::*;
use ntos::host::files::{HostFolder, HostKind, HostMetadata, status_of};
use ntos::io::FileFacts;

const ATTRIBUTES: &str = "user.DOSATTRIB";
const CREATED: &str = "user.nten.created";

/// Attributes that are kept in the extended attribute.
const KEPT: u32 = FILE_ATTRIBUTE_HIDDEN
    | FILE_ATTRIBUTE_SYSTEM
    | FILE_ATTRIBUTE_ARCHIVE
    | FILE_ATTRIBUTE_TEMPORARY
    | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED;

/// Clusters: what files take is shown in them.
const UNIT: u64 = 4096;

/// What is stored beside a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    /// The attributes, if some are stored.
    pub attributes: Option<u32>,
    /// The creation time, if one is stored.
    pub created: Option<i64>,
}

/// Files whose stored facts are kept in memory.
const MAX_KEPT: usize = 0x4000;

/// What is stored beside files, as last read: a change of it changes the file's change time.
#[derive(Default)]
pub struct Beside {
    files: HashMap<(u64, u64), (u128, Stored)>,
}

impl Beside {
    /// What is stored beside a file with these facts.
    pub fn load(
        &mut self,
        folder: &dyn HostFolder,
        host: &[u8],
        metadata: &HostMetadata,
    ) -> Stored {
        let key = (metadata.device, metadata.inode);
        if let Some((stamp, stored)) = self.files.get(&key)
            && *stamp == metadata.change_stamp
        {
            return *stored;
        }
        let stored = load(folder, host);
        if !metadata.recent {
            if self.files.len() >= MAX_KEPT {
                self.files.clear();
            }
            self.files.insert(key, (metadata.change_stamp, stored));
        }
        stored
    }
}

/// Reads what is stored beside a file.
fn load(folder: &dyn HostFolder, host: &[u8]) -> Stored {
    let parse = |bytes: Vec<u8>| {
        let text = std::str::from_utf8(&bytes).ok()?.trim_end_matches('\0').trim();
        u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    };
    let attributes = folder.attribute(host, ATTRIBUTES).and_then(parse);
    // The time is never stored without attributes, so that most files cost one question.
    let created = attributes
        .and_then(|_| folder.attribute(host, CREATED))
        .and_then(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?)));
    Stored { attributes, created }
}

/// Stores attributes beside a file; those that are the default are not kept.
pub fn store(folder: &dyn HostFolder, host: &[u8], stored: &Stored, default: u32) -> NtResult<()> {
    let kept = stored.attributes.map(|attributes| attributes & KEPT);
    let needed = kept.filter(|kept| stored.created.is_some() || *kept != default);
    let text = needed.map(|kept| format!("{kept:#x}"));
    let set = |name: &str, value: Option<&[u8]>| folder.set_attribute(host, name, value);
    set(ATTRIBUTES, text.as_ref().map(String::as_bytes)).map_err(|error| status_of(&error))?;
    if let Some(created) = stored.created {
        set(CREATED, Some(&created.to_le_bytes())).map_err(|error| status_of(&error))?;
    }
    Ok(())
}

/// What a file without stored attributes has: files are to be archived.
pub fn default_of(directory: bool) -> u32 {
    if directory { 0 } else { FILE_ATTRIBUTE_ARCHIVE }
}

/// The facts that NT shows of host metadata.
pub fn facts(metadata: &HostMetadata, stored: &Stored, serial: u32) -> FileFacts {
    let directory = metadata.kind == HostKind::Folder;
    let mut attributes = stored.attributes.unwrap_or_else(|| default_of(directory)) & KEPT;
    if directory {
        attributes |= FILE_ATTRIBUTE_DIRECTORY;
    } else if !metadata.writable {
        attributes |= FILE_ATTRIBUTE_READONLY;
    }
    if metadata.link {
        attributes |= FILE_ATTRIBUTE_REPARSE_POINT;
    }
    if attributes == 0 {
        attributes = FILE_ATTRIBUTE_NORMAL;
    }
    let size = if directory || metadata.link { 0 } else { metadata.size };
    FileFacts {
        created: stored.created.unwrap_or(metadata.created),
        accessed: metadata.accessed,
        modified: metadata.modified,
        changed: metadata.changed,
        size,
        allocated: size.checked_next_multiple_of(UNIT).unwrap_or(u64::MAX),
        attributes,
        reparse_tag: if metadata.link { IO_REPARSE_TAG_SYMLINK } else { 0 },
        // A Linux folder counts its subfolders' `..`; NT directories have one link.
        links: if directory { 1 } else { metadata.links },
        delete_pending: false,
        directory,
        id: metadata.inode,
        volume_serial: serial.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_from_the_host_and_from_what_is_stored() {
        let file = HostMetadata { size: 5, writable: true, ..HostMetadata::default() };
        let plain = facts(&file, &Stored::default(), 1);
        assert_eq!((plain.attributes, plain.allocated), (FILE_ATTRIBUTE_ARCHIVE, 4096));
        let none = Stored { attributes: Some(0), created: Some(7) };
        let stored = facts(&HostMetadata { writable: false, ..file }, &none, 1);
        assert_eq!((stored.attributes, stored.created), (FILE_ATTRIBUTE_READONLY, 7));
        let folder = HostMetadata { kind: HostKind::Folder, size: 4096, ..file };
        let folder = facts(&folder, &Stored::default(), 1);
        assert_eq!((folder.attributes, folder.size), (FILE_ATTRIBUTE_DIRECTORY, 0));
    }
}
