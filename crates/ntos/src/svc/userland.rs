//! The private door of the Wine DLLs: unix calls, which come by one system service of our own.
//!
//! `ntdll`'s data export `__wine_unix_call_dispatcher` points to a stub that makes service
//! [`super::table::USERLAND_CALL`] with (library handle, code, arguments). Only calls that need no Unix library are
//! answered; the others say so. Source: observation of the 10.0 DLLs.

use abi::NtResult;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use super::ServiceCx;

/// The handle of `ntdll`'s own library.
pub const NTDLL_LIBRARY: u64 = 1;

/// Codes of `ntdll`'s library.
mod code {
    pub const LOAD_SO_DLL: u32 = 0;
    pub const UNWIND_BUILTIN_DLL: u32 = 1;
    pub const DBG_WRITE: u32 = 2;
    pub const SYSTEM_TIME_PRECISE: u32 = 7;
}

/// A call from a DLL of the userland to what would be its Unix half.
#[service(Partial("only ntdll's debug output and precise time; no DLL has a Unix half here"))]
fn nten_userland_call(cx: &mut ServiceCx<'_>, library: u64, code: u32, arguments: Va) -> NtResult {
    if library != NTDLL_LIBRARY {
        let name = cx.k.mm.userland_library(library).unwrap_or_default();
        cx.k.notice_once(format!("{name}: unix call {code} is not implemented"));
        return Err(STATUS_NOT_IMPLEMENTED);
    }
    match code {
        // No module of this userland is a Unix library.
        code::LOAD_SO_DLL => Err(STATUS_INVALID_IMAGE_FORMAT),
        // "No unwind information there": the caller goes on with the rule for leaf functions.
        code::UNWIND_BUILTIN_DLL => Err(STATUS_UNSUCCESSFUL),
        code::DBG_WRITE => {
            let at = cx.read::<u64>(arguments)?;
            let length = cx.read::<u32>(Va(arguments.0.wrapping_add(8)))?;
            let bytes = cx.read_vec(Va(at), length.min(0x10000) as usize)?;
            let _ = cx.k.host.stream_write(crate::host::Stream::Error, &bytes);
            Ok(abi::NtStatus(length))
        }
        code::SYSTEM_TIME_PRECISE => {
            let now = cx.k.system_time();
            cx.write(arguments, &now)?;
            Ok(STATUS_SUCCESS)
        }
        other => {
            cx.k.notice_once(format!("ntdll: unix call {other} is not implemented"));
            Err(STATUS_NOT_IMPLEMENTED)
        }
    }
}

crate::service_table! { SERVICES: nten_userland_call }
