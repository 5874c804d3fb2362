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

mod resolver;

/// The handle of `ntdll`'s own library.
pub const NTDLL_LIBRARY: u64 = 1;

/// Codes of `ntdll`'s library.
mod code {
    pub const LOAD_SO_DLL: u32 = 0;
    pub const UNWIND_BUILTIN_DLL: u32 = 1;
    pub const DBG_WRITE: u32 = 2;
    pub const SYSTEM_TIME_PRECISE: u32 = 7;
    /// The only code of `win32u`'s library.
    pub const WIN32U_INIT: u32 = 0;
}

/// A call from a DLL of the userland to what would be its Unix half.
#[service(Partial(
    "only ntdll's debug output and precise time, ws2_32's names; no other DLL has a Unix half"
))]
fn nten_userland_call(cx: &mut ServiceCx<'_>, library: u64, code: u32, arguments: Va) -> NtResult {
    if library != NTDLL_LIBRARY {
        let name = cx.k.mm.userland_library(library).unwrap_or_default();
        // Registers win32k's system services, which this kernel's table has from the start.
        if name == "win32u.dll" && code == code::WIN32U_INIT {
            return Ok(STATUS_SUCCESS);
        }
        if name == "ws2_32.dll" {
            return resolver::call(cx, code, arguments);
        }
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
            let text = String::from_utf8_lossy(&bytes);
            match loader_message(&text) {
                Some(message) => cx.k.notice(&message),
                None => {
                    let _ = cx.k.host.stream_write(crate::host::Stream::Error, &bytes);
                }
            }
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

/// What the DLLs' loader says on its debug channel, as a message of nten's:
/// `0024:err:module:import_dll Library a.dll (which is needed by L"D:\\b.exe") not found`.
fn loader_message(text: &str) -> Option<String> {
    let rest = text.split_once(":err:module:")?.1;
    let (_, message) = rest.split_once(' ')?;
    let message = message.trim_end().replace("L\"", "\"").replace("\\\\", "\\");
    Some(format!("the program's loader: {message}"))
}

/// Gives the Unix name of a file: there is none, as on Windows.
#[service(name = "wine_nt_to_unix_file_name", Partial("files have no Unix names in a machine"))]
fn wine_nt_to_unix_file_name(
    _cx: &mut ServiceCx<'_>,
    _object_attributes: Va,
    _name_buffer: Va,
    _size: Va,
    _disposition: u32,
) -> NtResult {
    Err(STATUS_OBJECT_NAME_NOT_FOUND)
}

/// Gives the NT name of a Unix file: there is none, as on Windows.
#[service(name = "wine_unix_to_nt_file_name", Partial("files have no Unix names in a machine"))]
fn wine_unix_to_nt_file_name(
    _cx: &mut ServiceCx<'_>,
    _name: Va,
    _buffer: Va,
    _size: Va,
) -> NtResult {
    Err(STATUS_OBJECT_NAME_NOT_FOUND)
}

crate::service_table! {
    SERVICES: nten_userland_call, wine_nt_to_unix_file_name, wine_unix_to_nt_file_name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loader_messages_are_made_readable() {
        let line = "000c:err:module:import_dll Library a.dll (which is needed by L\"D:\\\\b.exe\") not found\n";
        assert_eq!(
            loader_message(line).as_deref(),
            Some(
                "the program's loader: Library a.dll (which is needed by \"D:\\b.exe\") not found"
            )
        );
        assert_eq!(loader_message("000c:fixme:file:x y\n"), None);
    }
}
