//! The two services of win32k that console programs reach when `user32` starts. There is no window system.

use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos_macros::service;

use super::ServiceCx;

/// Takes the addresses of `user32`'s client procedures. Nothing calls them: there are no windows.
#[service(Partial("the procedures are never called, since there are no windows"))]
fn nt_user_initialize_client_pfn_arrays(
    _cx: &mut ServiceCx<'_>,
    _procs_a: Va,
    _procs_w: Va,
    _procs_worker: Va,
    _user_module: Va,
) -> NtResult {
    Ok(NtStatus::SUCCESS)
}

/// The dots per inch that the process draws for: 96, the unscaled value.
#[service]
fn nt_user_get_system_dpi_for_process(_cx: &mut ServiceCx<'_>, _process: u64) -> NtResult {
    Ok(NtStatus(96))
}

crate::service_table! {
    SERVICES: nt_user_initialize_client_pfn_arrays, nt_user_get_system_dpi_for_process,
}
