//! Numbers of the format: sizes, signatures, flags, and the checksum of the base block.

use crate::tree::upcase;

/// Bytes of the base block; bins start behind it.
pub const BASE_BLOCK: usize = 4096;
/// Bins are multiples of this.
pub const BIN_UNIT: usize = 4096;
/// Bytes of a bin's header.
pub const BIN_HEADER: usize = 32;
/// Bytes of the size in front of a cell.
pub const CELL_HEADER: usize = 4;
/// An offset that names no cell.
pub const NO_CELL: u32 = u32::MAX;
/// Bytes of a key cell in front of its name.
pub const KEY_HEADER: usize = 76;
/// Bytes of a value cell in front of its name.
pub const VALUE_HEADER: usize = 20;
/// Bytes of a security cell in front of the descriptor.
pub const SECURITY_HEADER: usize = 20;
/// Data of more bytes than this is cut into segments from version 1.4 on.
pub const BIG_DATA_SEGMENT: usize = 16344;
/// The bit of a value's data size that says that the offset field is the data.
pub const RESIDENT: u32 = 0x8000_0000;
/// Bytes that can be resident.
pub const MAX_RESIDENT: usize = 4;
/// Subkeys in one list that fits a bin of one unit; more are spread over several.
pub const MAX_LEAF: usize = 507;

/// The key is the root.
pub const KEY_HIVE_ENTRY: u16 = 0x0004;
/// The key cannot be deleted.
pub const KEY_NO_DELETE: u16 = 0x0008;
/// The key is a symbolic link.
pub const KEY_SYM_LINK: u16 = 0x0010;
/// The key's name has one byte for a character.
pub const KEY_COMP_NAME: u16 = 0x0020;
/// The value's name has one byte for a character.
pub const VALUE_COMP_NAME: u16 = 0x0001;

/// The base block's checksum: the XOR of the words in front of it, two values left out.
pub fn checksum(base: &[u8]) -> u32 {
    let words = base.as_chunks::<4>().0.iter().take(127);
    match words.fold(0, |sum, word| sum ^ u32::from_le_bytes(*word)) {
        u32::MAX => u32::MAX - 1,
        0 => 1,
        sum => sum,
    }
}

/// The hash of a name in a hash leaf.
pub fn name_hash(name: &[u16]) -> u32 {
    name.iter()
        .fold(0u32, |hash, unit| hash.wrapping_mul(37).wrapping_add(u32::from(upcase(*unit))))
}
