//! The x64 `CONTEXT` record, `EXCEPTION_RECORD`, and the frames that the user-mode dispatchers expect.
//!
//! Source: `winnt.h` documentation. The frames are those `ntdll!KiUserExceptionDispatcher` and
//! `KiUserApcDispatcher` read.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The machine context of an x64 thread.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CONTEXT {
    pub P1Home: u64,
    pub P2Home: u64,
    pub P3Home: u64,
    pub P4Home: u64,
    pub P5Home: u64,
    pub P6Home: u64,
    pub ContextFlags: u32,
    pub MxCsr: u32,
    pub SegCs: u16,
    pub SegDs: u16,
    pub SegEs: u16,
    pub SegFs: u16,
    pub SegGs: u16,
    pub SegSs: u16,
    pub EFlags: u32,
    pub Dr0: u64,
    pub Dr1: u64,
    pub Dr2: u64,
    pub Dr3: u64,
    pub Dr6: u64,
    pub Dr7: u64,
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15: the hardware's numbering.
    pub Gpr: [u64; 16],
    pub Rip: u64,
    /// `XMM_SAVE_AREA32`: the FXSAVE image.
    pub FltSave: [u8; 512],
    pub VectorRegister: [[u64; 2]; 26],
    pub VectorControl: u64,
    pub DebugControl: u64,
    pub LastBranchToRip: u64,
    pub LastBranchFromRip: u64,
    pub LastExceptionToRip: u64,
    pub LastExceptionFromRip: u64,
}
const _: () = assert!(size_of::<CONTEXT>() == 0x4D0);

pub const CONTEXT_AMD64: u32 = 0x0010_0000;
pub const CONTEXT_CONTROL: u32 = CONTEXT_AMD64 | 1;
pub const CONTEXT_INTEGER: u32 = CONTEXT_AMD64 | 2;
pub const CONTEXT_SEGMENTS: u32 = CONTEXT_AMD64 | 4;
pub const CONTEXT_FLOATING_POINT: u32 = CONTEXT_AMD64 | 8;
pub const CONTEXT_DEBUG_REGISTERS: u32 = CONTEXT_AMD64 | 0x10;
pub const CONTEXT_FULL: u32 = CONTEXT_AMD64 | 0xB;
pub const CONTEXT_ALL: u32 = CONTEXT_AMD64 | 0x1F;

/// An exception as the dispatchers and debuggers see it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EXCEPTION_RECORD {
    pub ExceptionCode: u32,
    pub ExceptionFlags: u32,
    pub ExceptionRecord: u64,
    pub ExceptionAddress: u64,
    pub NumberParameters: u32,
    pub _pad: u32,
    pub ExceptionInformation: [u64; 15],
}
const _: () = assert!(size_of::<EXCEPTION_RECORD>() == 0x98);

pub const EXCEPTION_NONCONTINUABLE: u32 = 1;

/// What an interrupt pushes; `iretq` takes it back.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MACHINE_FRAME {
    pub Rip: u64,
    pub SegCs: u64,
    pub EFlags: u64,
    pub Rsp: u64,
    pub SegSs: u64,
}

/// `CONTEXT_EX`: where the parts of an extended context lie, relative to itself.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CONTEXT_EX {
    pub AllOffset: i32,
    pub AllLength: u32,
    pub LegacyOffset: i32,
    pub LegacyLength: u32,
    pub XStateOffset: i32,
    pub XStateLength: u32,
    pub _pad: [u64; 1],
}
const _: () = assert!(size_of::<CONTEXT_EX>() == 0x20);

/// The stack frame at RSP when `KiUserExceptionDispatcher` starts; RSP is 64-byte aligned.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EXCEPTION_FRAME {
    pub Context: CONTEXT,
    pub ContextEx: CONTEXT_EX,
    pub Record: EXCEPTION_RECORD,
    pub _pad: u64,
    pub Machine: MACHINE_FRAME,
    pub _tail: u64,
}
const _: () = assert!(size_of::<EXCEPTION_FRAME>() == 0x5C0);

/// The stack frame at RSP when `KiUserApcDispatcher` starts; RSP is 16-byte aligned.
///
/// `P1Home` to `P3Home` of the context are the routine's arguments, `P4Home` the routine.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct APC_FRAME {
    pub Context: CONTEXT,
    pub Machine: MACHINE_FRAME,
    pub _pad: u64,
}
const _: () = assert!(size_of::<APC_FRAME>() == 0x500);

/// Selectors of NT's flat segments.
pub const SEG_CODE64: u16 = 0x33;
pub const SEG_CODE32: u16 = 0x23;
pub const SEG_DATA: u16 = 0x2B;
pub const SEG_TEB32: u16 = 0x53;
