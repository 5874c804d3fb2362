//! Information structures of executive objects and of the system as a whole.
//!
//! Source: `winternl.h`, the driver documentation and Geoff Chappell's and the PHNT project's public descriptions of
//! the information classes; x64 layout.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ob::UNICODE_STRING;

/// Declares a structure of guest memory with its size.
macro_rules! guest {
    ($(#[$doc:meta])* $name:ident, $size:literal { $($field:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name {
            $(pub $field: $ty,)*
        }
        const _: () = assert!(size_of::<$name>() == $size);
    };
}

guest!(
    /// `EventBasicInformation`.
    EVENT_BASIC_INFORMATION, 8 { EventType: u32, EventState: i32 });
guest!(
    /// `SemaphoreBasicInformation`.
    SEMAPHORE_BASIC_INFORMATION, 8 { CurrentCount: i32, MaximumCount: i32 });
guest!(
/// `MutantBasicInformation`.
MUTANT_BASIC_INFORMATION, 8 {
    CurrentCount: i32, OwnedByCaller: u8, AbandonedState: u8, _pad: [u8; 2],
});
guest!(
    /// `TimerBasicInformation`.
    TIMER_BASIC_INFORMATION, 16 { RemainingTime: i64, TimerState: u8, _pad: [u8; 7] });
guest!(
/// `TimerSetCoalescableTimer` of `NtSetTimerEx`.
TIMER_SET_COALESCABLE_TIMER_INFO, 0x30 {
    DueTime: i64, TimerApcRoutine: u64, TimerContext: u64, WakeContext: u64, Period: u32,
    TolerableDelay: u32, PreviousState: u64,
});

guest!(
/// `ObjectBasicInformation`.
OBJECT_BASIC_INFORMATION, 0x38 {
    Attributes: u32, GrantedAccess: u32, HandleCount: u32, PointerCount: u32,
    PagedPoolCharge: u32, NonPagedPoolCharge: u32, Reserved: [u32; 3], NameInfoSize: u32,
    TypeInfoSize: u32, SecurityDescriptorSize: u32, CreationTime: i64,
});
guest!(
/// `ObjectTypeInformation`.
OBJECT_TYPE_INFORMATION, 0x68 {
    TypeName: UNICODE_STRING, TotalNumberOfObjects: u32, TotalNumberOfHandles: u32,
    TotalPagedPoolUsage: u32, TotalNonPagedPoolUsage: u32, TotalNamePoolUsage: u32,
    TotalHandleTableUsage: u32, HighWaterNumberOfObjects: u32, HighWaterNumberOfHandles: u32,
    HighWaterPagedPoolUsage: u32, HighWaterNonPagedPoolUsage: u32,
    HighWaterNamePoolUsage: u32, HighWaterHandleTableUsage: u32, InvalidAttributes: u32,
    GenericMapping: [u32; 4], ValidAccessMask: u32, SecurityRequired: u8,
    MaintainHandleCount: u8, TypeIndex: u8, ReservedByte: u8, PoolType: u32,
    DefaultPagedPoolCharge: u32, DefaultNonPagedPoolCharge: u32,
});
guest!(
    /// `ObjectHandleFlagInformation`.
    OBJECT_HANDLE_FLAG_INFORMATION, 2 { Inherit: u8, ProtectFromClose: u8 });
guest!(
    /// An entry of `NtQueryDirectoryObject`.
    OBJECT_DIRECTORY_INFORMATION, 0x20 { Name: UNICODE_STRING, TypeName: UNICODE_STRING });

guest!(
/// `SystemBasicInformation`.
SYSTEM_BASIC_INFORMATION, 0x40 {
    Reserved: u32, TimerResolution: u32, PageSize: u32, NumberOfPhysicalPages: u32,
    LowestPhysicalPageNumber: u32, HighestPhysicalPageNumber: u32,
    AllocationGranularity: u32, _pad0: u32, MinimumUserModeAddress: u64,
    MaximumUserModeAddress: u64, ActiveProcessorsAffinityMask: u64, NumberOfProcessors: u8,
    _pad1: [u8; 7],
});
