//! I/O structures and constants: create options, information classes, volume information.
//!
//! Source: Windows driver documentation (`ntifs.h`, `wdm.h`) and [MS-FSCC], which gives the offsets. Structures that
//! end in a name stop before it; the name follows at the size of the structure here (`NAME_AT` where padding differs).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

// Specific rights of files and folders.
pub const FILE_READ_DATA: u32 = 0x1;
pub const FILE_WRITE_DATA: u32 = 0x2;
pub const FILE_APPEND_DATA: u32 = 0x4;
pub const FILE_READ_EA: u32 = 0x8;
pub const FILE_WRITE_EA: u32 = 0x10;
pub const FILE_EXECUTE: u32 = 0x20;
pub const FILE_DELETE_CHILD: u32 = 0x40;
pub const FILE_READ_ATTRIBUTES: u32 = 0x80;
pub const FILE_WRITE_ATTRIBUTES: u32 = 0x100;
pub const FILE_LIST_DIRECTORY: u32 = 0x1;
pub const FILE_ALL_ACCESS: u32 = 0x1F_01FF;

pub const FILE_SHARE_READ: u32 = 1;
pub const FILE_SHARE_WRITE: u32 = 2;
pub const FILE_SHARE_DELETE: u32 = 4;

// Create dispositions.
pub const FILE_SUPERSEDE: u32 = 0;
pub const FILE_OPEN: u32 = 1;
pub const FILE_CREATE: u32 = 2;
pub const FILE_OPEN_IF: u32 = 3;
pub const FILE_OVERWRITE: u32 = 4;
pub const FILE_OVERWRITE_IF: u32 = 5;

// `IoStatus.Information` of a create.
pub const FILE_SUPERSEDED: u64 = 0;
pub const FILE_OPENED: u64 = 1;
pub const FILE_CREATED: u64 = 2;
pub const FILE_OVERWRITTEN: u64 = 3;

// Create options.
pub const FILE_DIRECTORY_FILE: u32 = 0x1;
pub const FILE_WRITE_THROUGH: u32 = 0x2;
pub const FILE_SEQUENTIAL_ONLY: u32 = 0x4;
pub const FILE_NO_INTERMEDIATE_BUFFERING: u32 = 0x8;
pub const FILE_SYNCHRONOUS_IO_ALERT: u32 = 0x10;
pub const FILE_SYNCHRONOUS_IO_NONALERT: u32 = 0x20;
pub const FILE_NON_DIRECTORY_FILE: u32 = 0x40;
pub const FILE_CREATE_TREE_CONNECTION: u32 = 0x80;
pub const FILE_COMPLETE_IF_OPLOCKED: u32 = 0x100;
pub const FILE_NO_EA_KNOWLEDGE: u32 = 0x200;
pub const FILE_RANDOM_ACCESS: u32 = 0x800;
pub const FILE_DELETE_ON_CLOSE: u32 = 0x1000;
pub const FILE_OPEN_BY_FILE_ID: u32 = 0x2000;
pub const FILE_OPEN_FOR_BACKUP_INTENT: u32 = 0x4000;
pub const FILE_NO_COMPRESSION: u32 = 0x8000;
pub const FILE_OPEN_REQUIRING_OPLOCK: u32 = 0x1_0000;
pub const FILE_DISALLOW_EXCLUSIVE: u32 = 0x2_0000;
pub const FILE_RESERVE_OPFILTER: u32 = 0x10_0000;
pub const FILE_OPEN_REPARSE_POINT: u32 = 0x20_0000;
pub const FILE_OPEN_NO_RECALL: u32 = 0x40_0000;
pub const FILE_OPEN_FOR_FREE_SPACE_QUERY: u32 = 0x80_0000;
/// Every create option that has a meaning.
pub const FILE_VALID_OPTION_FLAGS: u32 = 0x00FF_FFFF;

pub const FILE_ATTRIBUTE_READONLY: u32 = 0x1;
pub const FILE_ATTRIBUTE_HIDDEN: u32 = 0x2;
pub const FILE_ATTRIBUTE_SYSTEM: u32 = 0x4;
pub const FILE_ATTRIBUTE_DIRECTORY: u32 = 0x10;
pub const FILE_ATTRIBUTE_ARCHIVE: u32 = 0x20;
pub const FILE_ATTRIBUTE_NORMAL: u32 = 0x80;
pub const FILE_ATTRIBUTE_TEMPORARY: u32 = 0x100;
pub const FILE_ATTRIBUTE_SPARSE_FILE: u32 = 0x200;
pub const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
pub const FILE_ATTRIBUTE_NOT_CONTENT_INDEXED: u32 = 0x2000;
/// Attributes that a caller may set.
pub const FILE_ATTRIBUTE_SETTABLE: u32 = 0x31A7;

pub const FILE_DEVICE_DISK: u32 = 0x7;
pub const FILE_DEVICE_DISK_FILE_SYSTEM: u32 = 0x8;
pub const FILE_DEVICE_NAMED_PIPE: u32 = 0x11;
pub const FILE_DEVICE_NULL: u32 = 0x15;
pub const FILE_DEVICE_CONSOLE: u32 = 0x50;

pub const FILE_READ_ONLY_DEVICE: u32 = 0x2;
pub const FILE_DEVICE_IS_MOUNTED: u32 = 0x20;

/// `ByteOffset` that appends.
pub const FILE_WRITE_TO_END_OF_FILE: i64 = -1;
/// `ByteOffset` that means the file's own position.
pub const FILE_USE_FILE_POINTER_POSITION: i64 = -2;

/// `FILE_BASIC_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_BASIC_INFORMATION {
    pub CreationTime: i64,
    pub LastAccessTime: i64,
    pub LastWriteTime: i64,
    pub ChangeTime: i64,
    pub FileAttributes: u32,
    pub _pad: u32,
}
const _: () = assert!(size_of::<FILE_BASIC_INFORMATION>() == 0x28);

/// `FILE_STANDARD_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_STANDARD_INFORMATION {
    pub AllocationSize: i64,
    pub EndOfFile: i64,
    pub NumberOfLinks: u32,
    pub DeletePending: u8,
    pub Directory: u8,
    pub _pad: u16,
}
const _: () = assert!(size_of::<FILE_STANDARD_INFORMATION>() == 0x18);

/// `FILE_NETWORK_OPEN_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_NETWORK_OPEN_INFORMATION {
    pub CreationTime: i64,
    pub LastAccessTime: i64,
    pub LastWriteTime: i64,
    pub ChangeTime: i64,
    pub AllocationSize: i64,
    pub EndOfFile: i64,
    pub FileAttributes: u32,
    pub _pad: u32,
}
const _: () = assert!(size_of::<FILE_NETWORK_OPEN_INFORMATION>() == 0x38);

/// The fixed part of `FILE_ALL_INFORMATION`; the name follows at 0x64.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_ALL_INFORMATION {
    pub Basic: FILE_BASIC_INFORMATION,
    pub Standard: FILE_STANDARD_INFORMATION,
    pub IndexNumber: i64,
    pub EaSize: u32,
    pub AccessFlags: u32,
    pub CurrentByteOffset: i64,
    pub Mode: u32,
    pub AlignmentRequirement: u32,
    pub FileNameLength: u32,
    pub _pad: u32,
}
const _: () = assert!(size_of::<FILE_ALL_INFORMATION>() == 0x68);
/// Where the name of [`FILE_ALL_INFORMATION`] starts.
pub const FILE_ALL_NAME_AT: usize = 0x64;

/// `FILE_STAT_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_STAT_INFORMATION {
    pub FileId: i64,
    pub CreationTime: i64,
    pub LastAccessTime: i64,
    pub LastWriteTime: i64,
    pub ChangeTime: i64,
    pub AllocationSize: i64,
    pub EndOfFile: i64,
    pub FileAttributes: u32,
    pub ReparseTag: u32,
    pub NumberOfLinks: u32,
    pub EffectiveAccess: u32,
}
const _: () = assert!(size_of::<FILE_STAT_INFORMATION>() == 0x48);

/// `FILE_STAT_LX_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_STAT_LX_INFORMATION {
    pub Stat: FILE_STAT_INFORMATION,
    pub LxFlags: u32,
    pub LxUid: u32,
    pub LxGid: u32,
    pub LxMode: u32,
    pub LxDeviceIdMajor: u32,
    pub LxDeviceIdMinor: u32,
}
const _: () = assert!(size_of::<FILE_STAT_LX_INFORMATION>() == 0x60);

/// The part that the directory information classes 1, 2, 3, 37, 38, 50 and 60 share.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_DIRECTORY_INFORMATION {
    pub NextEntryOffset: u32,
    pub FileIndex: u32,
    pub CreationTime: i64,
    pub LastAccessTime: i64,
    pub LastWriteTime: i64,
    pub ChangeTime: i64,
    pub EndOfFile: i64,
    pub AllocationSize: i64,
    pub FileAttributes: u32,
    pub FileNameLength: u32,
}
const _: () = assert!(size_of::<FILE_DIRECTORY_INFORMATION>() == 0x40);

/// `FILE_STREAM_INFORMATION` without the name.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_STREAM_INFORMATION {
    pub NextEntryOffset: u32,
    pub StreamNameLength: u32,
    pub StreamSize: i64,
    pub StreamAllocationSize: i64,
}
const _: () = assert!(size_of::<FILE_STREAM_INFORMATION>() == 0x18);

/// `FILE_COMPLETION_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_COMPLETION_INFORMATION {
    pub Port: u64,
    pub Key: u64,
}
const _: () = assert!(size_of::<FILE_COMPLETION_INFORMATION>() == 0x10);

/// `FILE_IO_COMPLETION_INFORMATION`: one entry of `NtRemoveIoCompletionEx`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_IO_COMPLETION_INFORMATION {
    pub KeyContext: u64,
    pub ApcContext: u64,
    pub IoStatusBlock: super::ob::IO_STATUS_BLOCK,
}
const _: () = assert!(size_of::<FILE_IO_COMPLETION_INFORMATION>() == 0x20);

/// The head of `FILE_RENAME_INFORMATION` and `FILE_LINK_INFORMATION`; the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_RENAME_INFORMATION {
    /// `ReplaceIfExists` in the low byte, or the flags of the extended classes.
    pub Flags: u32,
    pub _pad: u32,
    pub RootDirectory: u64,
    pub FileNameLength: u32,
    /// The name's first two units.
    pub FileName: u32,
}
const _: () = assert!(size_of::<FILE_RENAME_INFORMATION>() == 0x18);
/// Where the name of [`FILE_RENAME_INFORMATION`] starts.
pub const FILE_RENAME_NAME_AT: usize = 0x14;

pub const FILE_RENAME_REPLACE_IF_EXISTS: u32 = 1;
pub const FILE_RENAME_POSIX_SEMANTICS: u32 = 2;
pub const FILE_RENAME_IGNORE_READONLY_ATTRIBUTE: u32 = 0x40;

pub const FILE_DISPOSITION_DELETE: u32 = 1;
pub const FILE_DISPOSITION_POSIX_SEMANTICS: u32 = 2;
pub const FILE_DISPOSITION_FORCE_IMAGE_SECTION_CHECK: u32 = 4;
pub const FILE_DISPOSITION_ON_CLOSE: u32 = 8;
pub const FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE: u32 = 0x10;

pub const FILE_SKIP_COMPLETION_PORT_ON_SUCCESS: u32 = 1;
pub const FILE_SKIP_SET_EVENT_ON_HANDLE: u32 = 2;
pub const FILE_SKIP_SET_USER_EVENT_ON_FAST_IO: u32 = 4;

/// `FILE_FS_VOLUME_INFORMATION` before the label.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_FS_VOLUME_INFORMATION {
    pub VolumeCreationTime: i64,
    pub VolumeSerialNumber: u32,
    pub VolumeLabelLength: u32,
    pub SupportsObjects: u8,
    pub _pad: [u8; 7],
}
const _: () = assert!(size_of::<FILE_FS_VOLUME_INFORMATION>() == 0x18);
/// Where the label of [`FILE_FS_VOLUME_INFORMATION`] starts.
pub const FILE_FS_LABEL_AT: usize = 0x12;

/// `FILE_FS_SIZE_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_FS_SIZE_INFORMATION {
    pub TotalAllocationUnits: i64,
    pub AvailableAllocationUnits: i64,
    pub SectorsPerAllocationUnit: u32,
    pub BytesPerSector: u32,
}
const _: () = assert!(size_of::<FILE_FS_SIZE_INFORMATION>() == 0x18);

/// `FILE_FS_FULL_SIZE_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_FS_FULL_SIZE_INFORMATION {
    pub TotalAllocationUnits: i64,
    pub CallerAvailableAllocationUnits: i64,
    pub ActualAvailableAllocationUnits: i64,
    pub SectorsPerAllocationUnit: u32,
    pub BytesPerSector: u32,
}
const _: () = assert!(size_of::<FILE_FS_FULL_SIZE_INFORMATION>() == 0x20);

/// `FILE_FS_DEVICE_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_FS_DEVICE_INFORMATION {
    pub DeviceType: u32,
    pub Characteristics: u32,
}
const _: () = assert!(size_of::<FILE_FS_DEVICE_INFORMATION>() == 8);

/// `FILE_FS_ATTRIBUTE_INFORMATION` before the name.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_FS_ATTRIBUTE_INFORMATION {
    pub FileSystemAttributes: u32,
    pub MaximumComponentNameLength: i32,
    pub FileSystemNameLength: u32,
}
const _: () = assert!(size_of::<FILE_FS_ATTRIBUTE_INFORMATION>() == 0xC);

/// `FILE_FS_SECTOR_SIZE_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_FS_SECTOR_SIZE_INFORMATION {
    pub LogicalBytesPerSector: u32,
    pub PhysicalBytesPerSectorForAtomicity: u32,
    pub PhysicalBytesPerSectorForPerformance: u32,
    pub FileSystemEffectivePhysicalBytesPerSectorForAtomicity: u32,
    pub Flags: u32,
    pub ByteOffsetForSectorAlignment: u32,
    pub ByteOffsetForPartitionAlignment: u32,
}
const _: () = assert!(size_of::<FILE_FS_SECTOR_SIZE_INFORMATION>() == 0x1C);

pub const FILE_CASE_SENSITIVE_SEARCH: u32 = 0x1;
pub const FILE_CASE_PRESERVED_NAMES: u32 = 0x2;
pub const FILE_UNICODE_ON_DISK: u32 = 0x4;
pub const FILE_SUPPORTS_SPARSE_FILES: u32 = 0x40;
pub const FILE_SUPPORTS_REPARSE_POINTS: u32 = 0x80;
pub const FILE_READ_ONLY_VOLUME: u32 = 0x8_0000;
pub const FILE_SUPPORTS_HARD_LINKS: u32 = 0x40_0000;
pub const FILE_SUPPORTS_POSIX_UNLINK_RENAME: u32 = 0x400;

pub const FSCTL_PIPE_DISCONNECT: u32 = 0x11_0004;
pub const FSCTL_PIPE_LISTEN: u32 = 0x11_0008;
pub const FSCTL_PIPE_PEEK: u32 = 0x11_400C;
pub const FSCTL_PIPE_TRANSCEIVE: u32 = 0x11_C017;
pub const FSCTL_PIPE_WAIT: u32 = 0x11_0018;
pub const FSCTL_PIPE_IMPERSONATE: u32 = 0x11_001C;
pub const FSCTL_IS_VOLUME_MOUNTED: u32 = 0x9_0028;
pub const FSCTL_GET_COMPRESSION: u32 = 0x9_003C;
pub const FSCTL_SET_COMPRESSION: u32 = 0x9_C040;
pub const FSCTL_GET_OBJECT_ID: u32 = 0x9_009C;
pub const FSCTL_GET_REPARSE_POINT: u32 = 0x9_00A8;
pub const FSCTL_CREATE_OR_GET_OBJECT_ID: u32 = 0x9_00C0;
pub const FSCTL_SET_SPARSE: u32 = 0x9_00C4;
pub const FSCTL_SET_ZERO_DATA: u32 = 0x9_80C8;

pub const IO_REPARSE_TAG_SYMLINK: u32 = 0xA000_000C;
pub const SYMLINK_FLAG_RELATIVE: u32 = 1;

pub const IO_COMPLETION_QUERY_STATE: u32 = 1;
pub const IO_COMPLETION_MODIFY_STATE: u32 = 2;
pub const IO_COMPLETION_ALL_ACCESS: u32 = 0x1F_0003;

/// `FILE_PIPE_LOCAL_INFORMATION`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_PIPE_LOCAL_INFORMATION {
    pub NamedPipeType: u32,
    pub NamedPipeConfiguration: u32,
    pub MaximumInstances: u32,
    pub CurrentInstances: u32,
    pub InboundQuota: u32,
    pub ReadDataAvailable: u32,
    pub OutboundQuota: u32,
    pub WriteQuotaAvailable: u32,
    pub NamedPipeState: u32,
    pub NamedPipeEnd: u32,
}
const _: () = assert!(size_of::<FILE_PIPE_LOCAL_INFORMATION>() == 0x28);

/// `FILE_PIPE_PEEK_BUFFER` before the data.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FILE_PIPE_PEEK_BUFFER {
    pub NamedPipeState: u32,
    pub ReadDataAvailable: u32,
    pub NumberOfMessages: u32,
    pub MessageLength: u32,
}
const _: () = assert!(size_of::<FILE_PIPE_PEEK_BUFFER>() == 0x10);

/// `FILE_PIPE_WAIT_FOR_BUFFER` before the name, which follows at 0xE.
pub const FILE_PIPE_WAIT_NAME_AT: usize = 0xE;

pub const FILE_PIPE_DISCONNECTED_STATE: u32 = 1;
pub const FILE_PIPE_LISTENING_STATE: u32 = 2;
pub const FILE_PIPE_CONNECTED_STATE: u32 = 3;
pub const FILE_PIPE_CLOSING_STATE: u32 = 4;
