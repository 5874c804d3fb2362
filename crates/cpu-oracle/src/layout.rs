//! Where a case's code and data lie in guest-virtual memory: the same on the host and on the emulator.
//!
//! Everything is below 2 GiB, so that 32-bit addresses and displacements reach it. Pages that are not named here are
//! not mapped. The bytes a case can see are [`SPACE`] bytes long: data A, data B, read-only, stack, in this order;
//! offsets in [`crate::case::Poke`] count in it.

/// Bytes in a page.
pub const PAGE: u64 = 0x1000;

/// First byte of the data: two writable pages, then one that is read-only, then nothing.
pub const DATA: u64 = 0x1000_1000;
/// First byte of the read-only page, directly behind the writable ones.
pub const READ_ONLY: u64 = DATA + 2 * PAGE;
/// The writable stack page, with nothing mapped on either side.
pub const STACK: u64 = 0x1000_7000;
/// Two executable and writable pages, with nothing mapped on either side.
pub const CODE: u64 = 0x3A5C_7000;
/// Bytes of code pages.
pub const CODE_LEN: u64 = 2 * PAGE;
/// The case has finished when execution arrives here.
pub const EXIT: u64 = 0x2B00_0000;

/// The case has finished when 32-bit execution arrives here.
pub const EXIT_32: u64 = EXIT + 0x10;

/// Bytes of memory that belong to a case: data A, data B, read-only, stack.
pub const SPACE: usize = 4 * PAGE as usize;
/// Offset of the read-only page in a case's memory.
pub const READ_ONLY_OFFSET: usize = 2 * PAGE as usize;
/// Offset of the stack page in a case's memory.
pub const STACK_OFFSET: usize = 3 * PAGE as usize;

/// What fills the code pages outside the code: `int3`.
pub const FILLER: u8 = 0xCC;

/// The guest address of a byte of a case's memory.
pub const fn address_of(offset: usize) -> u64 {
    if offset < STACK_OFFSET {
        DATA + offset as u64
    } else {
        STACK + (offset - STACK_OFFSET) as u64
    }
}

/// The offset in a case's memory of a guest address, if it is mapped data.
pub const fn offset_of(address: u64) -> Option<usize> {
    if address >= DATA && address < READ_ONLY + PAGE {
        Some((address - DATA) as usize)
    } else if address >= STACK && address < STACK + PAGE {
        Some((address - STACK) as usize + STACK_OFFSET)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_addresses_are_inverse() {
        for offset in [0, 1, READ_ONLY_OFFSET, STACK_OFFSET - 1, STACK_OFFSET, SPACE - 1] {
            assert_eq!(offset_of(address_of(offset)), Some(offset));
        }
        assert_eq!(offset_of(DATA - 1), None);
        assert_eq!(offset_of(STACK + PAGE), None);
    }
}
