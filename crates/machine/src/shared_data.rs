//! The initial contents of `KUSER_SHARED_DATA`, the page that every process can read at 0x7FFE0000.
//!
//! Times are kept by `ntos::ex::clock`. Offsets: `abi::ps::shared`.

use abi::ps::shared;
use guest_mem::{GuestRam, Pfn};

/// `PF_…` indices of what the emulated processor has, for `IsProcessorFeaturePresent`.
const PROCESSOR_FEATURES: [u64; 14] = [
    2,  // CMPXCHG8B
    3,  // MMX
    6,  // SSE
    8,  // RDTSC
    9,  // PAE
    10, // SSE2
    12, // NX
    13, // SSE3
    14, // CMPXCHG16B
    22, // RDFSBASE
    23, // fast fail
    36, // SSSE3
    37, // SSE4.1
    38, // SSE4.2
];

/// Fills the page.
pub fn initialize(ram: &GuestRam, page: Pfn, host: &dyn ntos::host::Host) {
    ram.store(page.at(shared::TICK_COUNT_MULTIPLIER), 1u32 << 24);
    let root: Vec<u8> = "C:\\windows\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    ram.write(page.at(shared::NT_SYSTEM_ROOT), &root);
    ram.store(page.at(shared::LARGE_PAGE_MINIMUM), 0x20_0000u32);
    ram.store(page.at(shared::NT_BUILD_NUMBER), ntos::ex::BUILD_NUMBER);
    // A workstation.
    ram.store(page.at(shared::NT_PRODUCT_TYPE), 1u32);
    ram.store(page.at(shared::PRODUCT_TYPE_IS_VALID), 1u8);
    // PROCESSOR_ARCHITECTURE_AMD64.
    ram.store(page.at(shared::NATIVE_PROCESSOR_ARCHITECTURE), 9u16);
    ram.store(page.at(shared::NT_MAJOR_VERSION), 10u32);
    ram.store(page.at(shared::NT_MINOR_VERSION), 0u32);
    for feature in PROCESSOR_FEATURES {
        ram.store(page.at(shared::PROCESSOR_FEATURES + feature), 1u8);
    }
    // VER_SUITE_SINGLEUSERTS.
    ram.store(page.at(shared::SUITE_MASK), 0x100u32);
    // NX is on for programs that opt in.
    ram.store(page.at(shared::NX_SUPPORT_POLICY), 2u8);
    ram.store(page.at(shared::NUMBER_OF_PHYSICAL_PAGES), ram.total_frames() as u32);
    // Zero: the DLLs make real system calls.
    ram.store(page.at(shared::SYSTEM_CALL), 0u32);
    ram.store(page.at(shared::ACTIVE_PROCESSOR_COUNT), 1u32);
    ram.store(page.at(shared::ACTIVE_GROUP_COUNT), 1u8);
    ram.store(page.at(shared::QPC_FREQUENCY), 10_000_000u64);
    let bias = i64::from(host.time_zone_bias()) * 600_000_000;
    ram.store(page.at(shared::TIME_ZONE_BIAS), bias as u32);
    ram.store(page.at(shared::TIME_ZONE_BIAS + 4), (bias >> 32) as u32);
    ram.store(page.at(shared::TIME_ZONE_BIAS + 8), (bias >> 32) as u32);
}
