//! Debug objects: rights, flags and the structure of `NtWaitForDebugEvent`, as public headers of ntdll declare them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const DEBUG_READ_EVENT: u32 = 0x1;
pub const DEBUG_PROCESS_ASSIGN: u32 = 0x2;
pub const DEBUG_SET_INFORMATION: u32 = 0x4;
pub const DEBUG_ALL_ACCESS: u32 = 0x1F_000F;

/// `DEBUG_KILL_ON_CLOSE` of `NtCreateDebugObject`.
pub const DEBUG_KILL_ON_CLOSE: u32 = 0x1;

/// `DBG_STATE`.
pub mod state {
    pub const CREATE_THREAD: u32 = 2;
    pub const CREATE_PROCESS: u32 = 3;
    pub const EXIT_THREAD: u32 = 4;
    pub const EXIT_PROCESS: u32 = 5;
    pub const EXCEPTION: u32 = 6;
    pub const BREAKPOINT: u32 = 7;
    pub const SINGLE_STEP: u32 = 8;
    pub const LOAD_DLL: u32 = 9;
    pub const UNLOAD_DLL: u32 = 10;
}

/// `DBGUI_WAIT_STATE_CHANGE`: what happened and to whom; the rest depends on the state.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DBGUI_WAIT_STATE_CHANGE {
    pub NewState: u32,
    pub _pad: u32,
    pub AppClientId: crate::ps::CLIENT_ID,
    pub StateInfo: [u64; 20],
}
const _: () = assert!(size_of::<DBGUI_WAIT_STATE_CHANGE>() == 0xB8);
