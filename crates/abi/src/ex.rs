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

guest! {
    /// `EventBasicInformation`.
    EVENT_BASIC_INFORMATION, 8 {
        EventType: u32, EventState: i32,
    }
}
guest! {
    /// `SemaphoreBasicInformation`.
    SEMAPHORE_BASIC_INFORMATION, 8 {
        CurrentCount: i32, MaximumCount: i32,
    }
}
guest! {
    /// `MutantBasicInformation`.
    MUTANT_BASIC_INFORMATION, 8 {
        CurrentCount: i32, OwnedByCaller: u8, AbandonedState: u8, _pad: [u8; 2],
    }
}
guest! {
    /// `TimerBasicInformation`.
    TIMER_BASIC_INFORMATION, 16 {
        RemainingTime: i64, TimerState: u8, _pad: [u8; 7],
    }
}
guest! {
    /// `TimerSetCoalescableTimer` of `NtSetTimerEx`.
    TIMER_SET_COALESCABLE_TIMER_INFO, 0x30 {
        DueTime: i64, TimerApcRoutine: u64, TimerContext: u64, WakeContext: u64, Period: u32,
        TolerableDelay: u32, PreviousState: u64,
    }
}

guest! {
    /// `ObjectBasicInformation`.
    OBJECT_BASIC_INFORMATION, 0x38 {
        Attributes: u32, GrantedAccess: u32, HandleCount: u32, PointerCount: u32,
        PagedPoolCharge: u32, NonPagedPoolCharge: u32, Reserved: [u32; 3], NameInfoSize: u32,
        TypeInfoSize: u32, SecurityDescriptorSize: u32, CreationTime: i64,
    }
}
guest! {
    /// `ObjectTypeInformation`.
    OBJECT_TYPE_INFORMATION, 0x68 {
        TypeName: UNICODE_STRING, TotalNumberOfObjects: u32, TotalNumberOfHandles: u32,
        TotalPagedPoolUsage: u32, TotalNonPagedPoolUsage: u32, TotalNamePoolUsage: u32,
        TotalHandleTableUsage: u32, HighWaterNumberOfObjects: u32, HighWaterNumberOfHandles: u32,
        HighWaterPagedPoolUsage: u32, HighWaterNonPagedPoolUsage: u32, HighWaterNamePoolUsage: u32,
        HighWaterHandleTableUsage: u32, InvalidAttributes: u32, GenericMapping: [u32; 4],
        ValidAccessMask: u32, SecurityRequired: u8, MaintainHandleCount: u8, TypeIndex: u8,
        ReservedByte: u8, PoolType: u32, DefaultPagedPoolCharge: u32,
        DefaultNonPagedPoolCharge: u32,
    }
}
guest! {
    /// `ObjectHandleFlagInformation`.
    OBJECT_HANDLE_FLAG_INFORMATION, 2 {
        Inherit: u8, ProtectFromClose: u8,
    }
}
guest! {
    /// An entry of `NtQueryDirectoryObject`.
    OBJECT_DIRECTORY_INFORMATION, 0x20 {
        Name: UNICODE_STRING, TypeName: UNICODE_STRING,
    }
}

guest! {
    /// `SystemBasicInformation`.
    SYSTEM_BASIC_INFORMATION, 0x40 {
        Reserved: u32, TimerResolution: u32, PageSize: u32, NumberOfPhysicalPages: u32,
        LowestPhysicalPageNumber: u32, HighestPhysicalPageNumber: u32, AllocationGranularity: u32,
        _pad0: u32, MinimumUserModeAddress: u64, MaximumUserModeAddress: u64,
        ActiveProcessorsAffinityMask: u64, NumberOfProcessors: u8, _pad1: [u8; 7],
    }
}
guest! {
    /// `SystemProcessorInformation`.
    SYSTEM_PROCESSOR_INFORMATION, 12 {
        ProcessorArchitecture: u16, ProcessorLevel: u16, ProcessorRevision: u16,
        MaximumProcessors: u16, ProcessorFeatureBits: u32,
    }
}
guest! {
    /// `SystemPerformanceInformation`, without what Windows 8 and later append.
    SYSTEM_PERFORMANCE_INFORMATION, 0x138 {
        IdleProcessTime: i64, IoReadTransferCount: i64, IoWriteTransferCount: i64,
        IoOtherTransferCount: i64, IoReadOperationCount: u32, IoWriteOperationCount: u32,
        IoOtherOperationCount: u32, AvailablePages: u32, CommittedPages: u32, CommitLimit: u32,
        PeakCommitment: u32, PageFaultCount: u32, CopyOnWriteCount: u32, TransitionCount: u32,
        CacheTransitionCount: u32, DemandZeroCount: u32, PageReadCount: u32, PageReadIoCount: u32,
        CacheReadCount: u32, CacheIoCount: u32, DirtyPagesWriteCount: u32, DirtyWriteIoCount: u32,
        MappedPagesWriteCount: u32, MappedWriteIoCount: u32, PagedPoolPages: u32,
        NonPagedPoolPages: u32, PagedPoolAllocs: u32, PagedPoolFrees: u32, NonPagedPoolAllocs: u32,
        NonPagedPoolFrees: u32, FreeSystemPtes: u32, ResidentSystemCodePage: u32,
        TotalSystemDriverPages: u32, TotalSystemCodePages: u32, NonPagedPoolLookasideHits: u32,
        PagedPoolLookasideHits: u32, AvailablePagedPoolPages: u32, ResidentSystemCachePage: u32,
        ResidentPagedPoolPage: u32, ResidentSystemDriverPage: u32, Cache: [u32; 30],
        ContextSwitches: u32, FirstLevelTbFills: u32, SecondLevelTbFills: u32, SystemCalls: u32,
    }
}
guest! {
    /// `SystemTimeOfDayInformation`.
    SYSTEM_TIMEOFDAY_INFORMATION, 0x30 {
        BootTime: i64, CurrentTime: i64, TimeZoneBias: i64, TimeZoneId: u32, Reserved: u32,
        BootTimeBias: u64, SleepTimeBias: u64,
    }
}
guest! {
    /// The fixed part of an entry of `SystemProcessInformation`.
    SYSTEM_PROCESS_INFORMATION, 0x100 {
        NextEntryOffset: u32, NumberOfThreads: u32, WorkingSetPrivateSize: i64,
        HardFaultCount: u32, NumberOfThreadsHighWatermark: u32, CycleTime: u64, CreateTime: i64,
        UserTime: i64, KernelTime: i64, ImageName: UNICODE_STRING, BasePriority: i32, _pad0: u32,
        UniqueProcessId: u64, InheritedFromUniqueProcessId: u64, HandleCount: u32, SessionId: u32,
        UniqueProcessKey: u64, PeakVirtualSize: u64, VirtualSize: u64, PageFaultCount: u32,
        _pad1: u32, PeakWorkingSetSize: u64, WorkingSetSize: u64, QuotaPeakPagedPoolUsage: u64,
        QuotaPagedPoolUsage: u64, QuotaPeakNonPagedPoolUsage: u64, QuotaNonPagedPoolUsage: u64,
        PagefileUsage: u64, PeakPagefileUsage: u64, PrivatePageCount: u64, ReadOperationCount: i64,
        WriteOperationCount: i64, OtherOperationCount: i64, ReadTransferCount: i64,
        WriteTransferCount: i64, OtherTransferCount: i64,
    }
}
guest! {
    /// A thread within `SystemProcessInformation`.
    SYSTEM_THREAD_INFORMATION, 0x50 {
        KernelTime: i64, UserTime: i64, CreateTime: i64, WaitTime: u32, _pad0: u32,
        StartAddress: u64, UniqueProcess: u64, UniqueThread: u64, Priority: i32, BasePriority: i32,
        ContextSwitches: u32, ThreadState: u32, WaitReason: u32, _pad1: u32,
    }
}
guest! {
    /// `SystemExtendedProcessInformation` appends this to each thread.
    SYSTEM_EXTENDED_THREAD_TAIL, 0x38 {
        StackBase: u64, StackLimit: u64, Win32StartAddress: u64, TebBase: u64, Reserved: [u64; 3],
    }
}
guest! {
    /// A processor of `SystemProcessorPerformanceInformation`.
    SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION, 0x30 {
        IdleTime: i64, KernelTime: i64, UserTime: i64, DpcTime: i64, InterruptTime: i64,
        InterruptCount: u32, _pad: u32,
    }
}
guest! {
    /// An entry of `SystemHandleInformation`.
    SYSTEM_HANDLE_TABLE_ENTRY_INFO, 0x18 {
        UniqueProcessId: u16, CreatorBackTraceIndex: u16, ObjectTypeIndex: u8,
        HandleAttributes: u8, HandleValue: u16, Object: u64, GrantedAccess: u32, _pad: u32,
    }
}
guest! {
    /// An entry of `SystemExtendedHandleInformation`.
    SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX, 0x28 {
        Object: u64, UniqueProcessId: u64, HandleValue: u64, GrantedAccess: u32,
        CreatorBackTraceIndex: u16, ObjectTypeIndex: u16, HandleAttributes: u32, Reserved: u32,
    }
}
guest! {
    /// A transition between standard and daylight time: `TIME_FIELDS`.
    TIME_FIELDS, 16 {
        Year: i16, Month: i16, Day: i16, Hour: i16, Minute: i16, Second: i16, Milliseconds: i16,
        Weekday: i16,
    }
}
guest! {
    /// `RTL_TIME_ZONE_INFORMATION`.
    RTL_TIME_ZONE_INFORMATION, 0xAC {
        Bias: i32, StandardName: [u16; 32], StandardStart: TIME_FIELDS, StandardBias: i32,
        DaylightName: [u16; 32], DaylightStart: TIME_FIELDS, DaylightBias: i32,
    }
}
/// `RTL_DYNAMIC_TIME_ZONE_INFORMATION`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RTL_DYNAMIC_TIME_ZONE_INFORMATION {
    pub Zone: RTL_TIME_ZONE_INFORMATION,
    pub TimeZoneKeyName: [u16; 128],
    pub DynamicDaylightTimeDisabled: u8,
    pub _pad: [u8; 3],
}
const _: () = assert!(size_of::<RTL_DYNAMIC_TIME_ZONE_INFORMATION>() == 0x1B0);
guest! {
    /// An entry of `SystemLogicalProcessorInformation`; the last two fields are a union.
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION, 0x20 {
        ProcessorMask: u64, Relationship: u32, _pad: u32, First: u64, Second: u64,
    }
}
guest! {
    /// `GROUP_AFFINITY`.
    GROUP_AFFINITY, 0x10 {
        Mask: u64, Group: u16, Reserved: [u16; 3],
    }
}
guest! {
    /// `PROCESSOR_RELATIONSHIP` of a core or a package in one group, with its header.
    PROCESSOR_RELATIONSHIP, 0x30 {
        Relationship: u32, Size: u32, Flags: u8, EfficiencyClass: u8, Reserved: [u8; 20],
        GroupCount: u16, GroupMask: GROUP_AFFINITY,
    }
}
guest! {
    /// `NUMA_NODE_RELATIONSHIP` of one group, with its header.
    NUMA_NODE_RELATIONSHIP, 0x30 {
        Relationship: u32, Size: u32, NodeNumber: u32, Reserved: [u8; 18], GroupCount: u16,
        GroupMask: GROUP_AFFINITY,
    }
}
guest! {
    /// `GROUP_RELATIONSHIP` of one group, with its header.
    GROUP_RELATIONSHIP, 0x50 {
        Relationship: u32, Size: u32, MaximumGroupCount: u16, ActiveGroupCount: u16,
        Reserved: [u32; 5], MaximumProcessorCount: u8, ActiveProcessorCount: u8,
        Reserved2: [u16; 19], ActiveProcessorMask: u64,
    }
}
guest! {
    /// `SystemProcessIdInformation`: the caller gives the id and room for the name.
    SYSTEM_PROCESS_ID_INFORMATION, 0x18 {
        ProcessId: u64, ImageName: UNICODE_STRING,
    }
}
guest! {
    /// `SystemMemoryUsageInformation`.
    SYSTEM_MEMORY_USAGE_INFORMATION, 0x38 {
        TotalPhysicalBytes: u64, AvailableBytes: u64, ResidentAvailableBytes: i64,
        CommittedBytes: u64, SharedCommittedBytes: u64, CommitLimitBytes: u64,
        PeakCommitmentBytes: u64,
    }
}
guest! {
    /// `SystemBootEnvironmentInformation`.
    SYSTEM_BOOT_ENVIRONMENT_INFORMATION, 0x20 {
        BootIdentifier: [u8; 16], FirmwareType: u32, _pad: u32, BootFlags: u64,
    }
}
guest! {
    /// `SystemCodeIntegrityInformation`; the caller sets `Length`.
    SYSTEM_CODEINTEGRITY_INFORMATION, 8 {
        Length: u32, CodeIntegrityOptions: u32,
    }
}
guest! {
    /// What `SystemFirmwareTableInformation` starts with.
    SYSTEM_FIRMWARE_TABLE_INFORMATION, 0x10 {
        ProviderSignature: u32, Action: u32, TableID: u32, TableBufferLength: u32,
    }
}
guest! {
    /// A processor of the `ProcessorInformation` power level.
    PROCESSOR_POWER_INFORMATION, 0x18 {
        Number: u32, MaxMhz: u32, CurrentMhz: u32, MhzLimit: u32, MaxIdleState: u32,
        CurrentIdleState: u32,
    }
}
guest! {
    /// `SYSTEM_BATTERY_STATE`.
    SYSTEM_BATTERY_STATE, 0x20 {
        AcOnLine: u8, BatteryPresent: u8, Charging: u8, Discharging: u8, Spare1: [u8; 3], Tag: u8,
        MaxCapacity: u32, RemainingCapacity: u32, Rate: u32, EstimatedTime: u32,
        DefaultAlert1: u32, DefaultAlert2: u32,
    }
}
guest! {
    /// `PROCESSOR_NUMBER`.
    PROCESSOR_NUMBER, 4 {
        Group: u16, Number: u8, Reserved: u8,
    }
}
guest! {
    /// The head of `AtomBasicInformation`; the name follows.
    ATOM_BASIC_INFORMATION, 6 {
        UsageCount: u16, Flags: u16, NameLength: u16,
    }
}
