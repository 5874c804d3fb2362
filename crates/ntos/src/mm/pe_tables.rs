//! The tables in a PE image that are read when they are asked for: exports and base relocations.
//!
//! Key type: [`Relocation`]. Like the headers ([`super::pe`]) they are hostile until checked.

use std::collections::BTreeMap;

use abi::NtResult;
use abi::status_table::STATUS_INVALID_IMAGE_FORMAT;

use super::pe::{Bytes, ImageInfo};

const DIRECTORY_EXPORT: usize = 0;
const DIRECTORY_BASE_RELOCATION: usize = 5;

/// One place that holds an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Relocation {
    /// The place.
    pub rva: u32,
    /// `IMAGE_REL_BASED_*`.
    pub kind: u8,
}

impl Relocation {
    /// Bytes at the place that change.
    pub fn width(self) -> u32 {
        match self.kind {
            IMAGE_REL_BASED_DIR64 => 8,
            IMAGE_REL_BASED_HIGHLOW => 4,
            _ => 2,
        }
    }
}

const IMAGE_REL_BASED_ABSOLUTE: u8 = 0;
/// The high half of a 32-bit address.
pub const IMAGE_REL_BASED_HIGH: u8 = 1;
/// The low half of a 32-bit address.
pub const IMAGE_REL_BASED_LOW: u8 = 2;
/// A 32-bit address.
pub const IMAGE_REL_BASED_HIGHLOW: u8 = 3;
/// A 64-bit address.
pub const IMAGE_REL_BASED_DIR64: u8 = 10;

impl ImageInfo {
    /// The relative address of an export by name; `None` for a missing or forwarded one.
    pub fn export(&self, name: &str) -> Option<u32> {
        self.exports.get_or_init(|| self.read_exports().unwrap_or_default()).get(name).copied()
    }

    /// Names and relative addresses of all exports that are not forwarded.
    pub fn exports(&self) -> impl Iterator<Item = (&str, u32)> {
        let exports = self.exports.get_or_init(|| self.read_exports().unwrap_or_default());
        exports.iter().map(|(name, rva)| (name.as_str(), *rva))
    }

    fn read_exports(&self) -> Option<BTreeMap<String, u32>> {
        let (rva, size) = self.directory(DIRECTORY_EXPORT)?;
        let end = rva.checked_add(size)?;
        if end > self.size {
            return None;
        }
        // Everything the directory points to lies in it, by the linkers' habit; what does not is read on its own.
        let mut bytes = vec![0u8; size as usize];
        self.read_rva(rva, &mut bytes).ok()?;
        let directory = Bytes(&bytes);
        let table = |at: usize, count: usize, width: usize| -> Option<Vec<u8>> {
            let start = directory.u32(at)?;
            let len = count.checked_mul(width).filter(|len| *len <= self.size as usize)?;
            let mut table = vec![0u8; len];
            self.read_rva(start, &mut table).ok()?;
            Some(table)
        };
        let functions = table(28, directory.u32(20)? as usize, 4)?;
        let count = directory.u32(24)? as usize;
        let (names, ordinals) = (table(32, count, 4)?, table(36, count, 2)?);
        let mut exports = BTreeMap::new();
        for index in 0..count {
            let name_rva = Bytes(&names).u32(index * 4)?;
            let ordinal = usize::from(Bytes(&ordinals).u16(index * 2)?);
            let Some(function) = Bytes(&functions).u32(ordinal * 4) else { continue };
            if function == 0 || (rva..end).contains(&function) {
                continue;
            }
            if let Some(name) = self.name_at(name_rva, rva, &bytes) {
                exports.insert(name, function);
            }
        }
        Some(exports)
    }

    /// A zero-terminated name, from the bytes of a directory at `rva` or else from the file.
    fn name_at(&self, at: u32, rva: u32, directory: &[u8]) -> Option<String> {
        let until_zero = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            String::from_utf8(bytes.get(..end)?.to_vec()).ok()
        };
        let inside = at.checked_sub(rva).and_then(|offset| directory.get(offset as usize..));
        if let Some(name) = inside.and_then(until_zero) {
            return Some(name);
        }
        let mut bytes = [0u8; 512];
        self.read_rva(at, &mut bytes).ok()?;
        until_zero(&bytes)
    }

    /// The places that hold addresses, in order. An image without the directory has none.
    pub fn relocations(&self) -> NtResult<&[Relocation]> {
        self.relocations
            .get_or_init(|| self.read_relocations())
            .as_deref()
            .map_err(|status| *status)
    }

    fn read_relocations(&self) -> NtResult<Vec<Relocation>> {
        let Some((rva, size)) = self.directory(DIRECTORY_BASE_RELOCATION) else {
            return Ok(Vec::new());
        };
        if rva.checked_add(size).is_none_or(|end| end > self.size) {
            return Err(STATUS_INVALID_IMAGE_FORMAT);
        }
        let mut bytes = vec![0u8; size as usize];
        self.read_rva(rva, &mut bytes)?;
        let bytes = Bytes(&bytes);
        let mut places = Vec::new();
        let mut at = 0usize;
        while let (Some(page), Some(len)) = (bytes.u32(at), bytes.u32(at + 4)) {
            let len = len as usize;
            if len < 8 {
                // A zero block ends the list; linkers pad with it.
                break;
            }
            for entry in (at + 8..at + len).step_by(2) {
                let Some(entry) = bytes.u16(entry) else { break };
                let kind = (entry >> 12) as u8;
                match kind {
                    IMAGE_REL_BASED_ABSOLUTE => {}
                    IMAGE_REL_BASED_HIGH
                    | IMAGE_REL_BASED_LOW
                    | IMAGE_REL_BASED_HIGHLOW
                    | IMAGE_REL_BASED_DIR64 => {
                        let rva = page.wrapping_add(u32::from(entry & 0xFFF));
                        places.push(Relocation { rva, kind });
                    }
                    _ => return Err(STATUS_INVALID_IMAGE_FORMAT),
                }
            }
            at = at.saturating_add(len);
        }
        places.sort_unstable();
        Ok(places)
    }
}
