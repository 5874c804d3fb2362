//! Argument types of the I/O services: flag words and information classes with their names.

use abi::io::*;

crate::flags_arg! {
    /// `ACCESS_MASK` of a file.
    FileAccess {
        GENERIC_READ = abi::ob::GENERIC_READ, GENERIC_WRITE = abi::ob::GENERIC_WRITE,
        GENERIC_EXECUTE = abi::ob::GENERIC_EXECUTE, GENERIC_ALL = abi::ob::GENERIC_ALL,
        MAXIMUM_ALLOWED = abi::ob::MAXIMUM_ALLOWED, FILE_ALL_ACCESS = FILE_ALL_ACCESS,
        FILE_READ_DATA = FILE_READ_DATA, FILE_WRITE_DATA = FILE_WRITE_DATA,
        FILE_APPEND_DATA = FILE_APPEND_DATA, FILE_READ_EA = FILE_READ_EA,
        FILE_WRITE_EA = FILE_WRITE_EA, FILE_EXECUTE = FILE_EXECUTE,
        FILE_DELETE_CHILD = FILE_DELETE_CHILD, FILE_READ_ATTRIBUTES = FILE_READ_ATTRIBUTES,
        FILE_WRITE_ATTRIBUTES = FILE_WRITE_ATTRIBUTES, DELETE = abi::ob::DELETE,
        READ_CONTROL = abi::ob::READ_CONTROL, WRITE_DAC = abi::ob::WRITE_DAC,
        WRITE_OWNER = abi::ob::WRITE_OWNER, SYNCHRONIZE = abi::ob::SYNCHRONIZE,
    }
}

crate::flags_arg! {
    /// `ShareAccess`.
    ShareMode {
        FILE_SHARE_READ = FILE_SHARE_READ, FILE_SHARE_WRITE = FILE_SHARE_WRITE,
        FILE_SHARE_DELETE = FILE_SHARE_DELETE,
    }
}

crate::flags_arg! {
    /// `FileAttributes`.
    FileAttributes {
        FILE_ATTRIBUTE_READONLY = FILE_ATTRIBUTE_READONLY,
        FILE_ATTRIBUTE_HIDDEN = FILE_ATTRIBUTE_HIDDEN,
        FILE_ATTRIBUTE_SYSTEM = FILE_ATTRIBUTE_SYSTEM,
        FILE_ATTRIBUTE_ARCHIVE = FILE_ATTRIBUTE_ARCHIVE,
        FILE_ATTRIBUTE_NORMAL = FILE_ATTRIBUTE_NORMAL,
        FILE_ATTRIBUTE_TEMPORARY = FILE_ATTRIBUTE_TEMPORARY,
    }
}

crate::enum_arg! {
    /// `CreateDisposition`.
    Disposition {
        FILE_SUPERSEDE = 0, FILE_OPEN = 1, FILE_CREATE = 2, FILE_OPEN_IF = 3, FILE_OVERWRITE = 4,
        FILE_OVERWRITE_IF = 5,
    }
}

crate::flags_arg! {
    /// `CreateOptions`.
    CreateOptions {
        FILE_DIRECTORY_FILE = FILE_DIRECTORY_FILE, FILE_WRITE_THROUGH = FILE_WRITE_THROUGH,
        FILE_SEQUENTIAL_ONLY = FILE_SEQUENTIAL_ONLY,
        FILE_NO_INTERMEDIATE_BUFFERING = FILE_NO_INTERMEDIATE_BUFFERING,
        FILE_SYNCHRONOUS_IO_ALERT = FILE_SYNCHRONOUS_IO_ALERT,
        FILE_SYNCHRONOUS_IO_NONALERT = FILE_SYNCHRONOUS_IO_NONALERT,
        FILE_NON_DIRECTORY_FILE = FILE_NON_DIRECTORY_FILE,
        FILE_RANDOM_ACCESS = FILE_RANDOM_ACCESS, FILE_DELETE_ON_CLOSE = FILE_DELETE_ON_CLOSE,
        FILE_OPEN_BY_FILE_ID = FILE_OPEN_BY_FILE_ID,
        FILE_OPEN_FOR_BACKUP_INTENT = FILE_OPEN_FOR_BACKUP_INTENT,
        FILE_OPEN_REPARSE_POINT = FILE_OPEN_REPARSE_POINT,
    }
}

crate::enum_arg! {
    /// `FILE_INFORMATION_CLASS`.
    FileClass {
        FileDirectoryInformation = 1, FileFullDirectoryInformation = 2,
        FileBothDirectoryInformation = 3, FileBasicInformation = 4, FileStandardInformation = 5,
        FileInternalInformation = 6, FileEaInformation = 7, FileAccessInformation = 8,
        FileNameInformation = 9, FileRenameInformation = 10, FileLinkInformation = 11,
        FileNamesInformation = 12, FileDispositionInformation = 13, FilePositionInformation = 14,
        FileFullEaInformation = 15, FileModeInformation = 16, FileAlignmentInformation = 17,
        FileAllInformation = 18, FileAllocationInformation = 19, FileEndOfFileInformation = 20,
        FileAlternateNameInformation = 21, FileStreamInformation = 22, FilePipeInformation = 23,
        FilePipeLocalInformation = 24, FilePipeRemoteInformation = 25,
        FileMailslotQueryInformation = 26, FileMailslotSetInformation = 27,
        FileCompressionInformation = 28, FileObjectIdInformation = 29,
        FileCompletionInformation = 30, FileMoveClusterInformation = 31,
        FileQuotaInformation = 32, FileReparsePointInformation = 33,
        FileNetworkOpenInformation = 34, FileAttributeTagInformation = 35,
        FileTrackingInformation = 36, FileIdBothDirectoryInformation = 37,
        FileIdFullDirectoryInformation = 38, FileValidDataLengthInformation = 39,
        FileShortNameInformation = 40, FileIoCompletionNotificationInformation = 41,
        FileIoStatusBlockRangeInformation = 42, FileIoPriorityHintInformation = 43,
        FileHardLinkInformation = 46, FileProcessIdsUsingFileInformation = 47,
        FileNormalizedNameInformation = 48, FileNetworkPhysicalNameInformation = 49,
        FileIdGlobalTxDirectoryInformation = 50, FileIsRemoteDeviceInformation = 51,
        FileStandardLinkInformation = 54, FileRemoteProtocolInformation = 55,
        FileVolumeNameInformation = 58, FileIdInformation = 59,
        FileIdExtdDirectoryInformation = 60, FileReplaceCompletionInformation = 61,
        FileHardLinkFullIdInformation = 62, FileIdExtdBothDirectoryInformation = 63,
        FileDispositionInformationEx = 64, FileRenameInformationEx = 65,
        FileStatInformation = 68, FileStatLxInformation = 70, FileCaseSensitiveInformation = 71,
        FileLinkInformationEx = 72,
    }
}

crate::enum_arg! {
    /// `FS_INFORMATION_CLASS`.
    VolumeClass {
        FileFsVolumeInformation = 1, FileFsLabelInformation = 2, FileFsSizeInformation = 3,
        FileFsDeviceInformation = 4, FileFsAttributeInformation = 5, FileFsControlInformation = 6,
        FileFsFullSizeInformation = 7, FileFsObjectIdInformation = 8,
        FileFsDriverPathInformation = 9, FileFsVolumeFlagsInformation = 10,
        FileFsSectorSizeInformation = 11,
    }
}

crate::enum_arg! {
    /// A file system control code.
    FsControlCode {
        FSCTL_PIPE_DISCONNECT = 0x11_0004, FSCTL_PIPE_LISTEN = 0x11_0008,
        FSCTL_PIPE_PEEK = 0x11_400C, FSCTL_PIPE_TRANSCEIVE = 0x11_C017,
        FSCTL_PIPE_WAIT = 0x11_0018, FSCTL_PIPE_IMPERSONATE = 0x11_001C,
        FSCTL_IS_VOLUME_MOUNTED = 0x9_0028, FSCTL_GET_COMPRESSION = 0x9_003C,
        FSCTL_SET_COMPRESSION = 0x9_C040, FSCTL_GET_OBJECT_ID = 0x9_009C,
        FSCTL_GET_REPARSE_POINT = 0x9_00A8, FSCTL_CREATE_OR_GET_OBJECT_ID = 0x9_00C0,
        FSCTL_SET_SPARSE = 0x9_00C4, FSCTL_SET_ZERO_DATA = 0x9_80C8,
    }
}
