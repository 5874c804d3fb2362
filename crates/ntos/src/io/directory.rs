//! Directory queries: patterns, the scan of a handle, and the information classes.
//!
//! Key types: [`Pattern`], [`DirectoryEntry`], [`Scan`], [`EntryClass`]. A scan takes the driver's list once, at its
//! first query or restart, as NTFS's enumeration goes by the pattern of the first call.

use std::collections::VecDeque;

use abi::NtResult;
use abi::io::*;
use abi::status_table::*;
use zerocopy::IntoBytes;

use crate::ustr::{UnicodeString, eq_ignore_case};

use super::expression::{has_wildcards, is_name_in_expression};
use super::facts::FileFacts;

/// Which names a scan shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// Every name.
    All,
    /// One name.
    Exact(UnicodeString),
    /// A name with wildcards.
    Expression(UnicodeString),
}

impl Pattern {
    /// From the `FileName` of a query.
    pub fn new(name: &UnicodeString) -> Self {
        if name.is_empty() || name.0 == [u16::from(b'*')] {
            Pattern::All
        } else if has_wildcards(name) {
            Pattern::Expression(name.clone())
        } else {
            Pattern::Exact(name.clone())
        }
    }

    /// True for a name to show.
    pub fn shows(&self, name: &[u16]) -> bool {
        match self {
            Pattern::All => true,
            Pattern::Exact(exact) => eq_ignore_case(exact, name),
            Pattern::Expression(expression) => is_name_in_expression(expression, name),
        }
    }
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub struct DirectoryEntry {
    /// The name.
    pub name: UnicodeString,
    /// What is known of it.
    pub facts: FileFacts,
}

/// How far a directory handle has been read.
pub struct Scan {
    /// The pattern of the first query.
    pub pattern: Pattern,
    /// What is left to show.
    pub entries: VecDeque<DirectoryEntry>,
    /// True until something was returned.
    pub first: bool,
}

/// A directory information class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryClass {
    /// Where the name starts.
    name_at: usize,
    /// What stands between the common part and the name.
    tail: Tail,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tail {
    NamesOnly,
    None,
    Full,
    Both,
    IdBoth,
    IdFull,
    IdGlobalTx,
    IdExtended,
    IdExtendedBoth,
}

impl EntryClass {
    /// The class of that number.
    pub fn new(class: u32) -> Option<Self> {
        let (name_at, tail) = match class {
            1 => (0x40, Tail::None),
            2 => (0x44, Tail::Full),
            3 => (0x5E, Tail::Both),
            12 => (0xC, Tail::NamesOnly),
            37 => (0x68, Tail::IdBoth),
            38 => (0x50, Tail::IdFull),
            50 => (0x5C, Tail::IdGlobalTx),
            60 => (0x58, Tail::IdExtended),
            63 => (0x72, Tail::IdExtendedBoth),
            _ => return None,
        };
        Some(EntryClass { name_at, tail })
    }

    /// The least buffer that is not refused.
    pub fn minimum(self) -> usize {
        (self.name_at + 2).next_multiple_of(8)
    }

    fn head(self, entry: &DirectoryEntry) -> Vec<u8> {
        let facts = &entry.facts;
        let name_length = entry.name.len() as u32 * 2;
        if self.tail == Tail::NamesOnly {
            let mut head = vec![0; 8];
            head.extend(name_length.to_le_bytes());
            return head;
        }
        let network = facts.network_open();
        let common = FILE_DIRECTORY_INFORMATION {
            NextEntryOffset: 0,
            FileIndex: 0,
            CreationTime: network.CreationTime,
            LastAccessTime: network.LastAccessTime,
            LastWriteTime: network.LastWriteTime,
            ChangeTime: network.ChangeTime,
            EndOfFile: network.EndOfFile,
            AllocationSize: network.AllocationSize,
            FileAttributes: network.FileAttributes,
            FileNameLength: name_length,
        };
        let mut head = common.as_bytes().to_vec();
        // In these classes EaSize holds the tag of a reparse point.
        let tag = facts.reparse_tag.to_le_bytes();
        let id = facts.id.to_le_bytes();
        match self.tail {
            Tail::NamesOnly | Tail::None => {}
            Tail::Full | Tail::Both => head.extend(tag),
            Tail::IdBoth => {
                head.extend(tag);
                // No short names: their length and 12 units stay zero.
                head.resize(0x60, 0);
                head.extend(id);
            }
            Tail::IdFull => {
                head.extend(tag);
                head.resize(0x48, 0);
                head.extend(id);
            }
            Tail::IdGlobalTx => head.extend(id),
            Tail::IdExtended | Tail::IdExtendedBoth => {
                head.extend(0u32.to_le_bytes());
                head.extend(tag);
                head.extend(id);
            }
        }
        head.resize(self.name_at, 0);
        head
    }
}

/// Takes entries off a scan as long as they fit.
///
/// `STATUS_BUFFER_OVERFLOW` with a cut name if not even the first one fits.
pub fn pack(
    scan: &mut Scan,
    class: EntryClass,
    room: usize,
    single: bool,
) -> NtResult<super::facts::Packed> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut last = 0;
    let mut status = STATUS_SUCCESS;
    while let Some(entry) = scan.entries.front() {
        let start = bytes.len().next_multiple_of(8);
        let head = class.head(entry);
        let needed = head.len() + entry.name.len() * 2;
        if start + needed > room {
            if !bytes.is_empty() {
                break;
            }
            let fits = room.saturating_sub(head.len()) / 2;
            bytes = head;
            bytes.extend(entry.name.iter().take(fits).flat_map(|unit| unit.to_le_bytes()));
            scan.entries.pop_front();
            status = STATUS_BUFFER_OVERFLOW;
            break;
        }
        if !bytes.is_empty() {
            let step = (start - last) as u32;
            if let Some(next) = bytes.get_mut(last..last + 4) {
                next.copy_from_slice(&step.to_le_bytes());
            }
        }
        bytes.resize(start, 0);
        bytes.extend(head);
        bytes.extend(entry.name.iter().flat_map(|unit| unit.to_le_bytes()));
        last = start;
        scan.entries.pop_front();
        if single {
            break;
        }
    }
    if bytes.is_empty() {
        return Err(if scan.first { STATUS_NO_SUCH_FILE } else { STATUS_NO_MORE_FILES });
    }
    scan.first = false;
    Ok(super::facts::Packed { bytes, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(names: &[&str]) -> Scan {
        let entry = |name: &&str| DirectoryEntry {
            name: UnicodeString::from(*name),
            facts: FileFacts { size: name.len() as u64, ..FileFacts::default() },
        };
        Scan { pattern: Pattern::All, entries: names.iter().map(entry).collect(), first: true }
    }

    #[test]
    fn entries_are_chained_until_the_buffer_is_full() {
        let mut scan = scan(&["a", "bb", "ccc"]);
        let class = EntryClass::new(3).unwrap();
        let packed = pack(&mut scan, class, 0xC8, false).unwrap();
        assert_eq!(packed.bytes.len(), 0x60 + 0x5E + 4);
        assert_eq!(packed.bytes[..4], 0x60u32.to_le_bytes());
        assert_eq!(packed.bytes[0x60..0x64], 0u32.to_le_bytes());
        assert_eq!(pack(&mut scan, class, 0xC8, false).unwrap().bytes.len(), 0x5E + 6);
        assert_eq!(pack(&mut scan, class, 0xC8, false).unwrap_err(), STATUS_NO_MORE_FILES);
    }

    #[test]
    fn a_name_that_does_not_fit_is_cut() {
        let mut scan = scan(&["abcdefgh"]);
        let class = EntryClass::new(12).unwrap();
        let packed = pack(&mut scan, class, 0x10, false).unwrap();
        assert_eq!((packed.bytes.len(), packed.status), (0x10, STATUS_BUFFER_OVERFLOW));
    }

    #[test]
    fn an_empty_first_answer_is_no_such_file() {
        let class = EntryClass::new(1).unwrap();
        assert_eq!(pack(&mut scan(&[]), class, 100, true).unwrap_err(), STATUS_NO_SUCH_FILE);
    }

    #[test]
    fn every_class_puts_the_name_where_it_says() {
        let list = scan(&["x"]);
        let entry = list.entries.front().unwrap();
        for class in [1, 2, 3, 12, 37, 38, 50, 60, 63] {
            let class = EntryClass::new(class).unwrap();
            assert_eq!(class.head(entry).len(), class.name_at);
        }
    }
}
