//! Registry constants: access rights, options, value types, notification filters.
//!
//! Source: `winnt.h`, `wdm.h` and `ntddk.h` as the Windows SDK and WDK document them.

pub const KEY_QUERY_VALUE: u32 = 0x01;
pub const KEY_SET_VALUE: u32 = 0x02;
pub const KEY_CREATE_SUB_KEY: u32 = 0x04;
pub const KEY_ENUMERATE_SUB_KEYS: u32 = 0x08;
pub const KEY_NOTIFY: u32 = 0x10;
pub const KEY_CREATE_LINK: u32 = 0x20;
pub const KEY_WOW64_64KEY: u32 = 0x100;
pub const KEY_WOW64_32KEY: u32 = 0x200;
pub const KEY_WOW64_RES: u32 = 0x300;
pub const KEY_READ: u32 = 0x2_0019;
pub const KEY_WRITE: u32 = 0x2_0006;
pub const KEY_EXECUTE: u32 = 0x2_0019;
pub const KEY_ALL_ACCESS: u32 = 0xF_003F;

pub const REG_OPTION_VOLATILE: u32 = 0x01;
pub const REG_OPTION_CREATE_LINK: u32 = 0x02;
pub const REG_OPTION_BACKUP_RESTORE: u32 = 0x04;
pub const REG_OPTION_OPEN_LINK: u32 = 0x08;
pub const REG_OPTION_DONT_VIRTUALIZE: u32 = 0x10;
pub const REG_LEGAL_OPTION: u32 = 0x1F;

pub const REG_CREATED_NEW_KEY: u32 = 1;
pub const REG_OPENED_EXISTING_KEY: u32 = 2;

pub const REG_NONE: u32 = 0;
pub const REG_SZ: u32 = 1;
pub const REG_EXPAND_SZ: u32 = 2;
pub const REG_BINARY: u32 = 3;
pub const REG_DWORD: u32 = 4;
pub const REG_DWORD_BIG_ENDIAN: u32 = 5;
pub const REG_LINK: u32 = 6;
pub const REG_MULTI_SZ: u32 = 7;
pub const REG_RESOURCE_LIST: u32 = 8;
pub const REG_FULL_RESOURCE_DESCRIPTOR: u32 = 9;
pub const REG_RESOURCE_REQUIREMENTS_LIST: u32 = 10;
pub const REG_QWORD: u32 = 11;

pub const REG_NOTIFY_CHANGE_NAME: u32 = 0x1;
pub const REG_NOTIFY_CHANGE_ATTRIBUTES: u32 = 0x2;
pub const REG_NOTIFY_CHANGE_LAST_SET: u32 = 0x4;
pub const REG_NOTIFY_CHANGE_SECURITY: u32 = 0x8;
pub const REG_NOTIFY_THREAD_AGNOSTIC: u32 = 0x1000_0000;
pub const REG_LEGAL_CHANGE_FILTER: u32 = 0x1000_000F;

/// Longest key name, in characters.
pub const MAX_KEY_NAME: usize = 255;
/// Longest value name, in characters.
pub const MAX_VALUE_NAME: usize = 16383;
/// Most levels of keys.
pub const MAX_KEY_DEPTH: usize = 512;
