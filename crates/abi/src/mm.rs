//! Memory manager structures: allocation types, page protections, section attributes, and what the query services of
//! memory and sections return.
//!
//! Source: `winnt.h`, `ntifs.h`, the Windows SDK and driver documentation.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const PAGE_NOACCESS: u32 = 0x01;
pub const PAGE_READONLY: u32 = 0x02;
pub const PAGE_READWRITE: u32 = 0x04;
pub const PAGE_WRITECOPY: u32 = 0x08;
pub const PAGE_EXECUTE: u32 = 0x10;
pub const PAGE_EXECUTE_READ: u32 = 0x20;
pub const PAGE_EXECUTE_READWRITE: u32 = 0x40;
pub const PAGE_EXECUTE_WRITECOPY: u32 = 0x80;
pub const PAGE_GUARD: u32 = 0x100;
pub const PAGE_NOCACHE: u32 = 0x200;
pub const PAGE_WRITECOMBINE: u32 = 0x400;
/// Also `PAGE_TARGETS_NO_UPDATE`: about control flow guard only.
pub const PAGE_TARGETS_INVALID: u32 = 0x4000_0000;

pub const MEM_COALESCE_PLACEHOLDERS: u32 = 0x1;
pub const MEM_PRESERVE_PLACEHOLDER: u32 = 0x2;
pub const MEM_COMMIT: u32 = 0x1000;
pub const MEM_RESERVE: u32 = 0x2000;
pub const MEM_DECOMMIT: u32 = 0x4000;
/// The same bit in an allocation type.
pub const MEM_REPLACE_PLACEHOLDER: u32 = 0x4000;
pub const MEM_RELEASE: u32 = 0x8000;
pub const MEM_FREE: u32 = 0x1_0000;
pub const MEM_PRIVATE: u32 = 0x2_0000;
pub const MEM_MAPPED: u32 = 0x4_0000;
pub const MEM_RESERVE_PLACEHOLDER: u32 = 0x4_0000;
pub const MEM_RESET: u32 = 0x8_0000;
pub const MEM_TOP_DOWN: u32 = 0x10_0000;
pub const MEM_WRITE_WATCH: u32 = 0x20_0000;
pub const MEM_PHYSICAL: u32 = 0x40_0000;
pub const MEM_DIFFERENT_IMAGE_BASE_OK: u32 = 0x80_0000;
pub const MEM_RESET_UNDO: u32 = 0x100_0000;
pub const MEM_IMAGE: u32 = 0x100_0000;
pub const MEM_LARGE_PAGES: u32 = 0x2000_0000;
pub const MEM_DOS_LIM: u32 = 0x4000_0000;

pub const SEC_BASED: u32 = 0x20_0000;
pub const SEC_NO_CHANGE: u32 = 0x40_0000;
pub const SEC_FILE: u32 = 0x80_0000;
pub const SEC_IMAGE: u32 = 0x100_0000;
pub const SEC_PROTECTED_IMAGE: u32 = 0x200_0000;
pub const SEC_RESERVE: u32 = 0x400_0000;
pub const SEC_COMMIT: u32 = 0x800_0000;
pub const SEC_NOCACHE: u32 = 0x1000_0000;
pub const SEC_IMAGE_NO_EXECUTE: u32 = SEC_IMAGE | SEC_NOCACHE;
pub const SEC_WRITECOMBINE: u32 = 0x4000_0000;
pub const SEC_LARGE_PAGES: u32 = 0x8000_0000;

pub const SECTION_QUERY: u32 = 0x1;
pub const SECTION_MAP_WRITE: u32 = 0x2;
pub const SECTION_MAP_READ: u32 = 0x4;
pub const SECTION_MAP_EXECUTE: u32 = 0x8;
pub const SECTION_EXTEND_SIZE: u32 = 0x10;
pub const SECTION_ALL_ACCESS: u32 = 0xF_001F;

pub const VIEW_SHARE: u32 = 1;
pub const VIEW_UNMAP: u32 = 2;

/// `NtLockVirtualMemory`: in the working set, or in memory altogether.
pub const MAP_PROCESS: u32 = 1;
pub const MAP_SYSTEM: u32 = 2;

pub const WRITE_WATCH_FLAG_RESET: u32 = 1;

pub const IMAGE_FILE_MACHINE_I386: u16 = 0x014C;
pub const IMAGE_FILE_MACHINE_AMD64: u16 = 0x8664;
pub const IMAGE_FILE_RELOCS_STRIPPED: u16 = 0x0001;
pub const IMAGE_FILE_EXECUTABLE_IMAGE: u16 = 0x0002;
pub const IMAGE_FILE_LARGE_ADDRESS_AWARE: u16 = 0x0020;
pub const IMAGE_FILE_DLL: u16 = 0x2000;

pub const IMAGE_SCN_CNT_CODE: u32 = 0x20;
pub const IMAGE_SCN_MEM_SHARED: u32 = 0x1000_0000;
pub const IMAGE_SCN_MEM_EXECUTE: u32 = 0x2000_0000;
pub const IMAGE_SCN_MEM_READ: u32 = 0x4000_0000;
pub const IMAGE_SCN_MEM_WRITE: u32 = 0x8000_0000;

/// Class 0 of `NtQueryVirtualMemory`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MEMORY_BASIC_INFORMATION {
    pub BaseAddress: u64,
    pub AllocationBase: u64,
    pub AllocationProtect: u32,
    pub PartitionId: u16,
    pub _pad0: u16,
    pub RegionSize: u64,
    pub State: u32,
    pub Protect: u32,
    pub Type: u32,
    pub _pad1: u32,
}
const _: () = assert!(size_of::<MEMORY_BASIC_INFORMATION>() == 0x30);

/// Class 3 of `NtQueryVirtualMemory`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MEMORY_REGION_INFORMATION {
    pub AllocationBase: u64,
    pub AllocationProtect: u32,
    /// `MEMORY_REGION_*` bits.
    pub RegionType: u32,
    pub RegionSize: u64,
    pub CommitSize: u64,
    pub PartitionId: u64,
    pub NodePreference: u64,
}
const _: () = assert!(size_of::<MEMORY_REGION_INFORMATION>() == 0x30);

pub const MEMORY_REGION_PRIVATE: u32 = 1;
pub const MEMORY_REGION_MAPPED_DATA_FILE: u32 = 2;
pub const MEMORY_REGION_MAPPED_IMAGE: u32 = 4;
pub const MEMORY_REGION_MAPPED_PAGE_FILE: u32 = 8;

/// One element of class 4 of `NtQueryVirtualMemory`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MEMORY_WORKING_SET_EX_INFORMATION {
    pub VirtualAddress: u64,
    /// Valid 1, ShareCount 3, Win32Protection 11, Shared 1, Node 6, Locked 1, LargePage 1 bits.
    pub VirtualAttributes: u64,
}
const _: () = assert!(size_of::<MEMORY_WORKING_SET_EX_INFORMATION>() == 0x10);

/// Class 6 of `NtQueryVirtualMemory`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MEMORY_IMAGE_INFORMATION {
    pub ImageBase: u64,
    pub SizeOfImage: u64,
    /// Bit 0 partial map, bit 1 not executable, bits 2 to 5 signing level.
    pub ImageFlags: u32,
    pub _pad: u32,
}
const _: () = assert!(size_of::<MEMORY_IMAGE_INFORMATION>() == 0x18);

/// Class 0 of `NtQuerySection`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SECTION_BASIC_INFORMATION {
    pub BaseAddress: u64,
    pub AllocationAttributes: u32,
    pub _pad: u32,
    pub MaximumSize: i64,
}
const _: () = assert!(size_of::<SECTION_BASIC_INFORMATION>() == 0x18);

/// Class 1 of `NtQuerySection`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SECTION_IMAGE_INFORMATION {
    pub TransferAddress: u64,
    pub ZeroBits: u32,
    pub _pad: u32,
    pub MaximumStackSize: u64,
    pub CommittedStackSize: u64,
    pub SubSystemType: u32,
    pub SubSystemMinorVersion: u16,
    pub SubSystemMajorVersion: u16,
    pub MajorOperatingSystemVersion: u16,
    pub MinorOperatingSystemVersion: u16,
    pub ImageCharacteristics: u16,
    pub DllCharacteristics: u16,
    pub Machine: u16,
    pub ImageContainsCode: u8,
    /// `IMAGE_FLAGS_*` bits.
    pub ImageFlags: u8,
    pub LoaderFlags: u32,
    pub ImageFileSize: u32,
    pub CheckSum: u32,
}
const _: () = assert!(size_of::<SECTION_IMAGE_INFORMATION>() == 0x40);

pub const IMAGE_FLAGS_DYNAMICALLY_RELOCATED: u8 = 0x4;
pub const IMAGE_FLAGS_MAPPED_FLAT: u8 = 0x8;
pub const IMAGE_FLAGS_BASE_BELOW_4GB: u8 = 0x10;

/// An element of the parameter arrays of `NtAllocateVirtualMemoryEx` and `NtMapViewOfSectionEx`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MEM_EXTENDED_PARAMETER {
    /// The type in the low eight bits.
    pub Type: u64,
    pub Value: u64,
}
const _: () = assert!(size_of::<MEM_EXTENDED_PARAMETER>() == 0x10);

pub const MEM_EXTENDED_PARAMETER_ADDRESS_REQUIREMENTS: u64 = 1;
pub const MEM_EXTENDED_PARAMETER_NUMA_NODE: u64 = 2;
pub const MEM_EXTENDED_PARAMETER_ATTRIBUTE_FLAGS: u64 = 5;
pub const MEM_EXTENDED_PARAMETER_IMAGE_MACHINE: u64 = 6;

/// What [`MEM_EXTENDED_PARAMETER_ADDRESS_REQUIREMENTS`] points to.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MEM_ADDRESS_REQUIREMENTS {
    pub LowestStartingAddress: u64,
    /// Inclusive; 0 for none.
    pub HighestEndingAddress: u64,
    pub Alignment: u64,
}
const _: () = assert!(size_of::<MEM_ADDRESS_REQUIREMENTS>() == 0x18);

/// An element of the range array of `NtSetInformationVirtualMemory`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MEMORY_RANGE_ENTRY {
    pub VirtualAddress: u64,
    pub NumberOfBytes: u64,
}
const _: () = assert!(size_of::<MEMORY_RANGE_ENTRY>() == 0x10);
