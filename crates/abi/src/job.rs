//! Job objects: rights, limits and information structures, as `winnt.h` declares them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const JOB_OBJECT_ASSIGN_PROCESS: u32 = 0x1;
pub const JOB_OBJECT_SET_ATTRIBUTES: u32 = 0x2;
pub const JOB_OBJECT_QUERY: u32 = 0x4;
pub const JOB_OBJECT_TERMINATE: u32 = 0x8;
pub const JOB_OBJECT_SET_SECURITY_ATTRIBUTES: u32 = 0x10;
pub const JOB_OBJECT_ALL_ACCESS: u32 = 0x1F_003F;

pub const JOB_OBJECT_LIMIT_WORKINGSET: u32 = 0x1;
pub const JOB_OBJECT_LIMIT_PROCESS_TIME: u32 = 0x2;
pub const JOB_OBJECT_LIMIT_JOB_TIME: u32 = 0x4;
pub const JOB_OBJECT_LIMIT_ACTIVE_PROCESS: u32 = 0x8;
pub const JOB_OBJECT_LIMIT_AFFINITY: u32 = 0x10;
pub const JOB_OBJECT_LIMIT_PRIORITY_CLASS: u32 = 0x20;
pub const JOB_OBJECT_LIMIT_PRESERVE_JOB_TIME: u32 = 0x40;
pub const JOB_OBJECT_LIMIT_SCHEDULING_CLASS: u32 = 0x80;
pub const JOB_OBJECT_LIMIT_PROCESS_MEMORY: u32 = 0x100;
pub const JOB_OBJECT_LIMIT_JOB_MEMORY: u32 = 0x200;
pub const JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION: u32 = 0x400;
pub const JOB_OBJECT_LIMIT_BREAKAWAY_OK: u32 = 0x800;
pub const JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK: u32 = 0x1000;
pub const JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE: u32 = 0x2000;
pub const JOB_OBJECT_LIMIT_SUBSET_AFFINITY: u32 = 0x4000;
/// Limits that `JobObjectBasicLimitInformation` can set.
pub const JOB_OBJECT_BASIC_LIMIT_VALID_FLAGS: u32 = 0xFF;
/// Limits that `JobObjectExtendedLimitInformation` can set.
pub const JOB_OBJECT_EXTENDED_LIMIT_VALID_FLAGS: u32 = 0x7FFF;

/// `JOB_OBJECT_UILIMIT_…`, all of them.
pub const JOB_OBJECT_UI_VALID_FLAGS: u32 = 0xFF;

pub const JOB_OBJECT_TERMINATE_AT_END_OF_JOB: u32 = 0;
pub const JOB_OBJECT_POST_AT_END_OF_JOB: u32 = 1;

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JOBOBJECT_BASIC_LIMIT_INFORMATION {
    pub PerProcessUserTimeLimit: i64,
    pub PerJobUserTimeLimit: i64,
    pub LimitFlags: u32,
    pub _pad0: u32,
    pub MinimumWorkingSetSize: u64,
    pub MaximumWorkingSetSize: u64,
    pub ActiveProcessLimit: u32,
    pub _pad1: u32,
    pub Affinity: u64,
    pub PriorityClass: u32,
    pub SchedulingClass: u32,
}
const _: () = assert!(size_of::<JOBOBJECT_BASIC_LIMIT_INFORMATION>() == 0x40);

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
    pub BasicLimitInformation: JOBOBJECT_BASIC_LIMIT_INFORMATION,
    /// `IO_COUNTERS`: operations and bytes read, written, other.
    pub IoInfo: [u64; 6],
    pub ProcessMemoryLimit: u64,
    pub JobMemoryLimit: u64,
    pub PeakProcessMemoryUsed: u64,
    pub PeakJobMemoryUsed: u64,
}
const _: () = assert!(size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>() == 0x90);

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JOBOBJECT_BASIC_ACCOUNTING_INFORMATION {
    pub TotalUserTime: i64,
    pub TotalKernelTime: i64,
    pub ThisPeriodTotalUserTime: i64,
    pub ThisPeriodTotalKernelTime: i64,
    pub TotalPageFaultCount: u32,
    pub TotalProcesses: u32,
    pub ActiveProcesses: u32,
    pub TotalTerminatedProcesses: u32,
}
const _: () = assert!(size_of::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>() == 0x30);

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION {
    pub BasicInfo: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    /// `IO_COUNTERS`.
    pub IoInfo: [u64; 6],
}
const _: () = assert!(size_of::<JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION>() == 0x60);

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JOBOBJECT_ASSOCIATE_COMPLETION_PORT {
    pub CompletionKey: u64,
    pub CompletionPort: u64,
}
const _: () = assert!(size_of::<JOBOBJECT_ASSOCIATE_COMPLETION_PORT>() == 0x10);
