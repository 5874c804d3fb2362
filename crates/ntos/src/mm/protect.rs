//! Page protections: which values are valid, what they allow, and the page table bits that say so.
//!
//! Key type: [`Protection`]. Source: the SDK's "Memory Protection Constants".

use abi::NtResult;
use abi::mm::*;
use abi::status_table::STATUS_INVALID_PAGE_PROTECTION;
use guest_mem::{Access, Pfn, Pte};

/// A valid page protection: one access kind and modifiers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protection(u32);

const KINDS: u32 = 0xFF;
const MODIFIERS: u32 = PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE;

/// Set in a not-present entry that keeps a frame whose access is refused for now (a software bit; bit 11).
const PARKED: u64 = 1 << 11;

impl Protection {
    /// `PAGE_NOACCESS`.
    pub const NO_ACCESS: Protection = Protection(PAGE_NOACCESS);
    /// `PAGE_READONLY`.
    pub const READ_ONLY: Protection = Protection(PAGE_READONLY);
    /// `PAGE_READWRITE`.
    pub const READ_WRITE: Protection = Protection(PAGE_READWRITE);

    /// Checks a value that a guest gave. `PAGE_TARGETS_INVALID` is accepted and dropped: it is about control flow
    /// guard's bitmap only.
    pub fn new(value: u32) -> NtResult<Self> {
        let value = value & !PAGE_TARGETS_INVALID;
        let kind = value & KINDS;
        let modifiers = value & !KINDS;
        let valid = kind.is_power_of_two()
            && modifiers & !MODIFIERS == 0
            && (kind != PAGE_NOACCESS || modifiers == 0)
            && (modifiers & PAGE_WRITECOMBINE == 0 || modifiers & (PAGE_GUARD | PAGE_NOCACHE) == 0);
        if valid { Ok(Protection(value)) } else { Err(STATUS_INVALID_PAGE_PROTECTION) }
    }

    /// The value as guests see it.
    pub const fn value(self) -> u32 {
        self.0
    }

    const fn kind(self) -> u32 {
        self.0 & KINDS
    }

    const fn with_kind(self, kind: u32) -> Self {
        Protection((self.0 & !KINDS) | kind)
    }

    /// `PAGE_GUARD` is set.
    pub const fn is_guard(self) -> bool {
        self.0 & PAGE_GUARD != 0
    }

    /// The same without `PAGE_GUARD`.
    pub const fn without_guard(self) -> Self {
        Protection(self.0 & !PAGE_GUARD)
    }

    /// The same with `PAGE_GUARD`.
    pub const fn with_guard(self) -> Self {
        Protection(self.0 | PAGE_GUARD)
    }

    /// A write gives the writer a page of its own.
    pub const fn is_write_copy(self) -> bool {
        self.kind() & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY) != 0
    }

    /// A write changes the page that others see.
    pub const fn is_write_shared(self) -> bool {
        self.kind() & (PAGE_READWRITE | PAGE_EXECUTE_READWRITE) != 0
    }

    /// Instructions may be fetched.
    pub const fn is_executable(self) -> bool {
        self.kind()
            & (PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY)
            != 0
    }

    /// Some access is allowed.
    pub const fn is_accessible(self) -> bool {
        self.kind() != PAGE_NOACCESS
    }

    /// Read-write kinds as their copy-on-write kinds: what views of images and private views have.
    pub fn to_write_copy(self) -> Self {
        match self.kind() {
            PAGE_READWRITE => self.with_kind(PAGE_WRITECOPY),
            PAGE_EXECUTE_READWRITE => self.with_kind(PAGE_EXECUTE_WRITECOPY),
            _ => self,
        }
    }

    /// Copy-on-write kinds as their read-write kinds: what a page has once it was copied.
    pub fn to_written(self) -> Self {
        match self.kind() {
            PAGE_WRITECOPY => self.with_kind(PAGE_READWRITE),
            PAGE_EXECUTE_WRITECOPY => self.with_kind(PAGE_EXECUTE_READWRITE),
            _ => self,
        }
    }

    /// True if the access is allowed. On x86 a page that can be executed can be read.
    pub fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => self.is_accessible(),
            Access::Write => self.is_write_copy() || self.is_write_shared(),
            Access::Execute => self.is_executable(),
        }
    }

    /// True if a view made with `self` may be given `new`: rights that `self` lacks cannot be gained, except that a
    /// private copy never harms anyone.
    pub fn is_compatible(self, new: Protection) -> bool {
        let rights = |kind: u32| match kind {
            PAGE_READONLY => 0b001,
            PAGE_READWRITE => 0b011,
            PAGE_WRITECOPY => 0b001,
            PAGE_EXECUTE => 0b100,
            PAGE_EXECUTE_READ => 0b101,
            PAGE_EXECUTE_READWRITE => 0b111,
            PAGE_EXECUTE_WRITECOPY => 0b101,
            _ => 0u32,
        };
        rights(new.kind()) & !rights(self.kind()) == 0
    }

    /// The entry of a page that is resident in `pfn`.
    ///
    /// `shared` says that the frame belongs to a section. A protection that allows nothing now gives a not-present
    /// entry that keeps the frame.
    pub fn entry(self, pfn: Pfn, shared: bool) -> Pte {
        let mut bits = Pte::USER;
        if !self.is_executable() {
            bits |= Pte::NO_EXECUTE;
        }
        if shared {
            bits |= Pte::SHARED;
        }
        if self.is_write_shared() || (self.is_write_copy() && !shared) {
            bits |= Pte::WRITE;
        } else if self.is_write_copy() {
            bits |= Pte::COPY_ON_WRITE;
        }
        if self.is_accessible() && !self.is_guard() {
            Pte::new(pfn, bits)
        } else {
            Pte((Pte::new(pfn, bits).0 & !Pte::PRESENT) | PARKED)
        }
    }
}

/// What a page table entry of user space holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resident {
    /// No frame.
    No,
    /// A frame of this address space alone.
    Private(Pfn),
    /// A frame of a section.
    Shared(Pfn),
}

/// Reads an entry that [`Protection::entry`] made.
pub fn resident(pte: Pte) -> Resident {
    if pte.0 == 0 {
        Resident::No
    } else if pte.has(Pte::SHARED) {
        Resident::Shared(pte.pfn())
    } else {
        Resident::Private(pte.pfn())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_the_documented_one() {
        for good in [1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x104, 0x204, 0x404, 0x4000_0040] {
            assert!(Protection::new(good).is_ok(), "{good:#x}");
        }
        for bad in [0, 3, 6, 0x101, 0x201, 0x100, 0x704, 0x604, 0x804, 0x8000_0004] {
            assert!(Protection::new(bad).is_err(), "{bad:#x}");
        }
    }

    #[test]
    fn a_refused_page_keeps_its_frame() {
        let guard = Protection::new(PAGE_READWRITE | PAGE_GUARD).unwrap();
        for (protection, present) in
            [(guard, false), (Protection::NO_ACCESS, false), (Protection::READ_ONLY, true)]
        {
            let pte = protection.entry(Pfn(7), false);
            assert_eq!(pte.is_present(), present);
            assert_eq!(resident(pte), Resident::Private(Pfn(7)));
        }
        assert_eq!(resident(Protection::READ_ONLY.entry(Pfn(9), true)), Resident::Shared(Pfn(9)));
    }

    #[test]
    fn copy_on_write_is_writable_only_when_private() {
        let copy = Protection::new(PAGE_WRITECOPY).unwrap();
        assert!(!copy.entry(Pfn(1), true).has(Pte::WRITE));
        assert!(copy.entry(Pfn(1), true).has(Pte::COPY_ON_WRITE));
        assert!(copy.entry(Pfn(1), false).has(Pte::WRITE));
        assert_eq!(copy.to_written(), Protection::READ_WRITE);
    }

    #[test]
    fn a_view_cannot_gain_rights() {
        let read = Protection::READ_ONLY;
        assert!(!read.is_compatible(Protection::READ_WRITE));
        assert!(read.is_compatible(Protection::new(PAGE_WRITECOPY).unwrap()));
        assert!(!read.is_compatible(Protection::new(PAGE_EXECUTE_READ).unwrap()));
        assert!(Protection::READ_WRITE.is_compatible(Protection::NO_ACCESS));
    }
}
