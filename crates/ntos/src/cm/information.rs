//! What `NtQueryKey`, `NtEnumerateKey`, `NtQueryValueKey` and `NtEnumerateValueKey` write, class by class.
//!
//! Key type: [`Information`]. Layouts: the `KEY_…_INFORMATION` structures of `wdm.h` and `ntddk.h`.

use abi::NtResult;
use abi::status_table::*;

use crate::ustr::UnicodeString;

use super::hive::{KeyCell, Storage, Value};
use super::registry::{KeyId, Registry};

/// The bytes of an answer and how many of them must fit at least.
#[derive(Debug, PartialEq, Eq)]
pub struct Information {
    /// The whole answer.
    pub bytes: Vec<u8>,
    /// A buffer below this gets nothing: `STATUS_BUFFER_TOO_SMALL` instead of `STATUS_BUFFER_OVERFLOW`.
    pub fixed: usize,
}

impl Information {
    fn new() -> Self {
        Information { bytes: Vec::with_capacity(64), fixed: 0 }
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// What was written so far is the fixed part.
    fn end_fixed(&mut self) -> &mut Self {
        self.fixed = self.bytes.len();
        self
    }

    fn name(&mut self, name: &[u16]) -> &mut Self {
        for unit in name {
            self.bytes.extend_from_slice(&unit.to_le_bytes());
        }
        self
    }

    fn data(&mut self, data: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(data);
        self
    }

    fn align(&mut self, to: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
        self
    }
}

fn bytes_of(name: &UnicodeString) -> u32 {
    2 * name.len() as u32
}

/// An offset that says "there is nothing".
const NOTHING: u32 = u32::MAX;

/// The class's place after a header and a name, or [`NOTHING`].
fn class_offset(class: &UnicodeString, before: u32) -> u32 {
    if class.is_empty() { NOTHING } else { before.next_multiple_of(4) }
}

/// The longest of some lengths.
fn longest(lengths: impl Iterator<Item = u32>) -> u32 {
    lengths.max().unwrap_or(0)
}

fn max_value_name(key: &KeyCell) -> u32 {
    longest(key.values.iter().map(|value| bytes_of(&value.name)))
}

fn max_value_data(key: &KeyCell) -> u32 {
    longest(key.values.iter().map(|value| value.data.len() as u32))
}

/// One class of `KEY_INFORMATION_CLASS`; `STATUS_INVALID_INFO_CLASS` for one that there is not.
pub fn key_information(registry: &Registry, id: KeyId, class: u32) -> NtResult<Information> {
    let key = registry.get(id)?;
    let mut out = Information::new();
    match class {
        // KeyBasicInformation
        0 => {
            let name = registry.name(id)?;
            out.u64(key.last_write as u64).u32(0).u32(bytes_of(name)).end_fixed().name(name);
        }
        // KeyNodeInformation
        1 => {
            let name = registry.name(id)?;
            out.u64(key.last_write as u64).u32(0);
            out.u32(class_offset(&key.class, 24 + bytes_of(name)));
            out.u32(bytes_of(&key.class)).u32(bytes_of(name)).end_fixed().name(name);
            if !key.class.is_empty() {
                out.align(4).name(&key.class);
            }
        }
        // KeyFullInformation
        2 => {
            let children = registry.children(id)?;
            let cells = || children.iter().filter_map(|child| registry.get(*child).ok());
            let names = children.iter().filter_map(|child| registry.name(*child).ok());
            out.u64(key.last_write as u64).u32(0).u32(class_offset(&key.class, 44));
            out.u32(bytes_of(&key.class)).u32(key.subkey_count() as u32);
            out.u32(longest(names.map(bytes_of)));
            out.u32(longest(cells().map(|cell| bytes_of(&cell.class))));
            out.u32(key.values.len() as u32).u32(max_value_name(key)).u32(max_value_data(key));
            out.end_fixed().name(&key.class);
        }
        // KeyNameInformation
        3 => {
            let path = registry.path(id)?;
            out.u32(bytes_of(&path)).end_fixed().name(&path);
        }
        // KeyCachedInformation
        4 => {
            let children = registry.children(id)?;
            let names = children.iter().filter_map(|child| registry.name(*child).ok());
            out.u64(key.last_write as u64).u32(0).u32(key.subkey_count() as u32);
            out.u32(longest(names.map(bytes_of))).u32(key.values.len() as u32);
            out.u32(max_value_name(key)).u32(max_value_data(key));
            out.u32(bytes_of(registry.name(id)?)).align(8).end_fixed();
        }
        // KeyFlagsInformation
        5 => {
            let volatile = u32::from(key.storage == Storage::Volatile);
            out.u32(key.wow64_flags).u32(volatile | u32::from(key.is_link) << 1);
            out.u32(key.control_flags).end_fixed();
        }
        // KeyVirtualizationInformation: no key is virtualized.
        6 => {
            out.u32(0).end_fixed();
        }
        // KeyTrustInformation, KeyLayerInformation: no trusted keys, no layers.
        8 | 9 => {
            out.u32(0).end_fixed();
        }
        _ => return Err(STATUS_INVALID_INFO_CLASS),
    }
    Ok(out)
}

/// One class of `KEY_VALUE_INFORMATION_CLASS`; `STATUS_INVALID_INFO_CLASS` for one that there is not.
pub fn value_information(value: &Value, class: u32) -> NtResult<Information> {
    let mut out = Information::new();
    let data_length = value.data.len() as u32;
    match class {
        // KeyValueBasicInformation
        0 => {
            out.u32(0).u32(value.kind).u32(bytes_of(&value.name)).end_fixed().name(&value.name);
        }
        // KeyValueFullInformation and KeyValueFullInformationAlign64
        1 | 3 => {
            let align = if class == 3 { 8 } else { 4 };
            let offset = match data_length {
                0 => NOTHING,
                _ => (20 + bytes_of(&value.name)).next_multiple_of(align),
            };
            out.u32(0).u32(value.kind).u32(offset).u32(data_length).u32(bytes_of(&value.name));
            out.end_fixed().name(&value.name);
            if data_length != 0 {
                out.align(align as usize).data(&value.data);
            }
        }
        // KeyValuePartialInformation
        2 => {
            out.u32(0).u32(value.kind).u32(data_length).end_fixed().data(&value.data);
        }
        // KeyValuePartialInformationAlign64
        4 => {
            out.u32(value.kind).u32(data_length).end_fixed().data(&value.data);
        }
        // KeyValueLayerInformation: no layers.
        5 => {
            out.u32(0).end_fixed();
        }
        _ => return Err(STATUS_INVALID_INFO_CLASS),
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn name(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn value_layouts() {
        let value = Value { name: "abc".into(), kind: 4, data: vec![7, 0, 0, 0] };
        let full = value_information(&value, 1).unwrap();
        assert_eq!(full.fixed, 20);
        assert_eq!(full.bytes[8..12], 28u32.to_le_bytes());
        assert_eq!(full.bytes[28..], [7, 0, 0, 0]);
        let aligned = value_information(&value, 3).unwrap();
        assert_eq!(aligned.bytes[8..12], 32u32.to_le_bytes());
        let partial = value_information(&value, 2).unwrap();
        assert_eq!((partial.fixed, partial.bytes.len()), (12, 16));
        let empty = Value { name: "".into(), kind: 0, data: vec![] };
        assert_eq!(value_information(&empty, 1).unwrap().bytes[8..12], [0xFF; 4]);
        assert!(value_information(&empty, 6).is_err());
    }

    #[test]
    fn key_layouts() {
        let cell = |text: &str| KeyCell::new(&name(text), Storage::Stable, 5, Arc::default());
        let mut registry = Registry::new(cell("REGISTRY"));
        let root = registry.root().unwrap();
        let key = registry.add(root, KeyCell { class: "cls".into(), ..cell("abc") }).unwrap();
        registry.get_mut(key).unwrap().set_value(&name("v"), 3, vec![0; 5]);
        let node = key_information(&registry, key, 1).unwrap();
        assert_eq!(node.bytes[12..16], 32u32.to_le_bytes());
        assert_eq!(node.bytes.len(), 32 + 6);
        let full = key_information(&registry, root, 2).unwrap();
        assert_eq!((full.fixed, full.bytes.len()), (44, 44));
        assert_eq!(full.bytes[20..32], [1, 0, 0, 0, 6, 0, 0, 0, 6, 0, 0, 0]);
        let full = key_information(&registry, key, 2).unwrap();
        assert_eq!(full.bytes[32..44], [1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0]);
        let path = key_information(&registry, key, 3).unwrap();
        assert_eq!(path.bytes[..4], 26u32.to_le_bytes());
        assert_eq!(key_information(&registry, key, 4).unwrap().bytes.len(), 40);
    }
}
