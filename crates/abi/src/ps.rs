//! Process and thread structures: offsets in the TEB, the PEB, the process parameters and `KUSER_SHARED_DATA`, and the
//! information classes of processes and threads.
//!
//! These blocks are written field by field, so they are given as offsets. Source: `winternl.h`, public symbols,
//! and the DLLs that read them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A process and thread id pair.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CLIENT_ID {
    pub UniqueProcess: u64,
    pub UniqueThread: u64,
}

/// Offsets in the 64-bit TEB.
pub mod teb {
    pub const EXCEPTION_LIST: u64 = 0x000;
    pub const STACK_BASE: u64 = 0x008;
    pub const STACK_LIMIT: u64 = 0x010;
    pub const SELF: u64 = 0x030;
    pub const CLIENT_ID: u64 = 0x040;
    pub const PEB: u64 = 0x060;
    pub const LAST_ERROR: u64 = 0x068;
    pub const CURRENT_LOCALE: u64 = 0x108;
    pub const ACTIVATION_CONTEXT_STACK: u64 = 0x290;
    pub const EXCEPTION_CODE: u64 = 0x2C0;
    pub const ACTIVATION_CONTEXT_STACK_POINTER: u64 = 0x2C8;
    pub const REAL_CLIENT_ID: u64 = 0x7D8;
    pub const LAST_STATUS: u64 = 0x1250;
    pub const STATIC_UNICODE_STRING: u64 = 0x1258;
    pub const STATIC_UNICODE_BUFFER: u64 = 0x1268;
    pub const DEALLOCATION_STACK: u64 = 0x1478;
    pub const GUARANTEED_STACK_BYTES: u64 = 0x1748;
    /// Bytes reserved for one TEB: TEB64, TEB32 and the DLLs' debug buffers.
    pub const BLOCK: u64 = 0x10000;
}

/// Offsets in the 64-bit PEB.
pub mod peb {
    pub const BEING_DEBUGGED: u64 = 0x002;
    pub const IMAGE_BASE_ADDRESS: u64 = 0x010;
    pub const LDR: u64 = 0x018;
    pub const PROCESS_PARAMETERS: u64 = 0x020;
    pub const API_SET_MAP: u64 = 0x068;
    pub const NUMBER_OF_PROCESSORS: u64 = 0x0B8;
    pub const NT_GLOBAL_FLAG: u64 = 0x0BC;
    pub const CRITICAL_SECTION_TIMEOUT: u64 = 0x0C0;
    pub const OS_MAJOR_VERSION: u64 = 0x118;
    pub const OS_MINOR_VERSION: u64 = 0x11C;
    pub const OS_BUILD_NUMBER: u64 = 0x120;
    pub const OS_PLATFORM_ID: u64 = 0x124;
    pub const IMAGE_SUBSYSTEM: u64 = 0x128;
    pub const IMAGE_SUBSYSTEM_MAJOR: u64 = 0x12C;
    pub const IMAGE_SUBSYSTEM_MINOR: u64 = 0x130;
    pub const SESSION_ID: u64 = 0x2C0;
    pub const BLOCK: u64 = 0x10000;
    /// Where the Wine DLLs look for their debug channel options.
    pub const DEBUG_OPTIONS: u64 = 0x2000;
}

/// Offsets in `RTL_USER_PROCESS_PARAMETERS` (0x410 bytes).
pub mod params {
    pub const MAXIMUM_LENGTH: u64 = 0x000;
    pub const LENGTH: u64 = 0x004;
    pub const FLAGS: u64 = 0x008;
    pub const CONSOLE_HANDLE: u64 = 0x010;
    pub const CONSOLE_FLAGS: u64 = 0x018;
    pub const STANDARD_INPUT: u64 = 0x020;
    pub const STANDARD_OUTPUT: u64 = 0x028;
    pub const STANDARD_ERROR: u64 = 0x030;
    pub const CURRENT_DIRECTORY: u64 = 0x038;
    pub const CURRENT_DIRECTORY_HANDLE: u64 = 0x048;
    pub const DLL_PATH: u64 = 0x050;
    pub const IMAGE_PATH_NAME: u64 = 0x060;
    pub const COMMAND_LINE: u64 = 0x070;
    pub const ENVIRONMENT: u64 = 0x080;
    pub const SHOW_WINDOW: u64 = 0x0A8;
    pub const WINDOW_TITLE: u64 = 0x0B0;
    pub const DESKTOP_INFO: u64 = 0x0C0;
    pub const SHELL_INFO: u64 = 0x0D0;
    pub const RUNTIME_INFO: u64 = 0x0E0;
    pub const ENVIRONMENT_SIZE: u64 = 0x3F0;
    pub const PROCESS_GROUP_ID: u64 = 0x408;
    pub const SIZE: u64 = 0x410;
    /// `Flags`: pointers are absolute.
    pub const NORMALIZED: u32 = 1;
}

/// Offsets in `KUSER_SHARED_DATA`, mapped read-only at [`USER_SHARED_DATA`] in every process.
pub mod shared {
    pub const TICK_COUNT_MULTIPLIER: u64 = 0x004;
    pub const INTERRUPT_TIME: u64 = 0x008;
    pub const SYSTEM_TIME: u64 = 0x014;
    pub const TIME_ZONE_BIAS: u64 = 0x020;
    pub const NT_SYSTEM_ROOT: u64 = 0x030;
    pub const LARGE_PAGE_MINIMUM: u64 = 0x244;
    pub const NT_BUILD_NUMBER: u64 = 0x260;
    pub const NT_PRODUCT_TYPE: u64 = 0x264;
    pub const PRODUCT_TYPE_IS_VALID: u64 = 0x268;
    pub const NATIVE_PROCESSOR_ARCHITECTURE: u64 = 0x26A;
    pub const NT_MAJOR_VERSION: u64 = 0x26C;
    pub const NT_MINOR_VERSION: u64 = 0x270;
    pub const PROCESSOR_FEATURES: u64 = 0x274;
    pub const SUITE_MASK: u64 = 0x2D0;
    pub const NX_SUPPORT_POLICY: u64 = 0x2D5;
    pub const NUMBER_OF_PHYSICAL_PAGES: u64 = 0x2E8;
    pub const SYSTEM_CALL: u64 = 0x308;
    pub const TICK_COUNT: u64 = 0x320;
    pub const ACTIVE_PROCESSOR_COUNT: u64 = 0x3C0;
    pub const ACTIVE_GROUP_COUNT: u64 = 0x3C4;
    pub const QPC_FREQUENCY: u64 = 0x300;
}

/// The user-mode address of `KUSER_SHARED_DATA`.
pub const USER_SHARED_DATA: u64 = 0x7FFE_0000;

pub const PROCESS_TERMINATE: u32 = 0x1;
pub const PROCESS_CREATE_THREAD: u32 = 0x2;
pub const PROCESS_VM_OPERATION: u32 = 0x8;
pub const PROCESS_VM_READ: u32 = 0x10;
pub const PROCESS_VM_WRITE: u32 = 0x20;
pub const PROCESS_DUP_HANDLE: u32 = 0x40;
pub const PROCESS_CREATE_PROCESS: u32 = 0x80;
pub const PROCESS_SET_QUOTA: u32 = 0x100;
pub const PROCESS_SET_INFORMATION: u32 = 0x200;
pub const PROCESS_QUERY_INFORMATION: u32 = 0x400;
pub const PROCESS_SUSPEND_RESUME: u32 = 0x800;
pub const PROCESS_QUERY_LIMITED_INFORMATION: u32 = 0x1000;
pub const PROCESS_ALL_ACCESS: u32 = 0x1F_FFFF;

pub const THREAD_TERMINATE: u32 = 0x1;
pub const THREAD_SUSPEND_RESUME: u32 = 0x2;
pub const THREAD_ALERT: u32 = 0x4;
pub const THREAD_GET_CONTEXT: u32 = 0x8;
pub const THREAD_SET_CONTEXT: u32 = 0x10;
pub const THREAD_SET_INFORMATION: u32 = 0x20;
pub const THREAD_QUERY_INFORMATION: u32 = 0x40;
pub const THREAD_QUERY_LIMITED_INFORMATION: u32 = 0x800;
pub const THREAD_ALL_ACCESS: u32 = 0x1F_FFFF;
