//! Kernel dispatcher objects: what drivers touch by field or inline macro.
//!
//! Source: `wdm.h` documentation; offsets checked by the layout tests.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A doubly linked list entry or head.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LIST_ENTRY {
    pub Flink: u64,
    pub Blink: u64,
}

/// The head of every object that can be waited for.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DISPATCHER_HEADER {
    pub Type: u8,
    pub Signalling: u8,
    pub Size: u8,
    pub Reserved1: u8,
    pub SignalState: i32,
    pub WaitListHead: LIST_ENTRY,
}
const _: () = assert!(size_of::<DISPATCHER_HEADER>() == 0x18);

/// Offset of [`DISPATCHER_HEADER::SignalState`].
pub const SIGNAL_STATE: u64 = 4;

/// `KOBJECTS` values stored in [`DISPATCHER_HEADER::Type`].
pub const NOTIFICATION_EVENT: u8 = 0;
pub const SYNCHRONIZATION_EVENT: u8 = 1;
pub const MUTANT: u8 = 2;
pub const PROCESS: u8 = 3;
pub const QUEUE: u8 = 4;
pub const SEMAPHORE: u8 = 5;
pub const THREAD: u8 = 6;
pub const NOTIFICATION_TIMER: u8 = 8;
pub const SYNCHRONIZATION_TIMER: u8 = 9;

/// `KSEMAPHORE`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KSEMAPHORE {
    pub Header: DISPATCHER_HEADER,
    pub Limit: i32,
    pub _pad: u32,
}
const _: () = assert!(size_of::<KSEMAPHORE>() == 0x20);

/// `KMUTANT`. `Header.SignalState` is 1 when free, and 1 minus the recursion count while owned.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KMUTANT {
    pub Header: DISPATCHER_HEADER,
    pub MutantListEntry: LIST_ENTRY,
    pub OwnerThread: u64,
    pub Abandoned: u8,
    pub ApcDisable: u8,
    pub _pad: [u8; 6],
}
const _: () = assert!(size_of::<KMUTANT>() == 0x38);
/// Offset of [`KMUTANT::OwnerThread`].
pub const MUTANT_OWNER_THREAD: u64 = 0x28;
/// Offset of [`KMUTANT::Abandoned`].
pub const MUTANT_ABANDONED: u64 = 0x30;

pub const EVENT_QUERY_STATE: u32 = 1;
pub const EVENT_MODIFY_STATE: u32 = 2;
pub const EVENT_ALL_ACCESS: u32 = 0x1F_0003;
pub const SEMAPHORE_QUERY_STATE: u32 = 1;
pub const SEMAPHORE_MODIFY_STATE: u32 = 2;
pub const SEMAPHORE_ALL_ACCESS: u32 = 0x1F_0003;
pub const MUTANT_QUERY_STATE: u32 = 1;
pub const MUTANT_ALL_ACCESS: u32 = 0x1F_0001;
pub const TIMER_QUERY_STATE: u32 = 1;
pub const TIMER_MODIFY_STATE: u32 = 2;
pub const TIMER_ALL_ACCESS: u32 = 0x1F_0003;
