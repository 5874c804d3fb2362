//! Services about the system as a whole: information classes, time, locale.
//!
//! The larger information classes are in files of this folder.

use abi::NtResult;
use abi::ex::SYSTEM_BASIC_INFORMATION;
use abi::status_table::*;
use guest_mem::{PAGE_SIZE, Va};
use ntos_macros::service;

use super::cx::USER_END;
use super::query::{store_length, system_information};
use super::{Out, ServiceCx};

crate::enum_arg! {
    /// `SYSTEM_INFORMATION_CLASS`.
    SystemInformationClass {
        SystemBasicInformation = 0,
        SystemInterruptInformation = 23,
        SystemWineVersionInformation = 1000,
    }
}

/// Reports facts about the system.
#[service]
pub(super) fn nt_query_system_information(
    cx: &mut ServiceCx<'_>,
    system_information_class: SystemInformationClass,
    system_information: Va,
    system_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let request =
        Query { buffer: system_information, length: system_information_length, return_length };
    match system_information_class.0 {
        SystemInformationClass::SystemBasicInformation => {
            let information = basic_information(cx);
            request.answer(cx, &information)
        }
        SystemInformationClass::SystemInterruptInformation => request.random(cx),
        class => {
            if class != SystemInformationClass::SystemWineVersionInformation {
                let text = format!("NtQuerySystemInformation class {class} is not implemented");
                cx.k.notice_once(text);
            }
            Err(STATUS_INVALID_INFO_CLASS)
        }
    }
}

/// Where an answer goes.
#[derive(Clone, Copy)]
struct Query {
    buffer: Va,
    length: u32,
    return_length: Option<Out<u32>>,
}

impl Query {
    /// Stores a structure; `STATUS_INFO_LENGTH_MISMATCH` if it does not fit.
    fn answer<T: guest_mem::Scalar>(&self, cx: &mut ServiceCx<'_>, value: &T) -> NtResult {
        system_information(cx, self.buffer, self.length, self.return_length, value)
    }

    /// `SystemInterruptInformation`: 24 bytes a processor. User mode takes them as entropy, so they are random.
    fn random(&self, cx: &mut ServiceCx<'_>) -> NtResult {
        let mut bytes = [0u8; 24];
        store_length(cx, self.return_length, bytes.len())?;
        if (self.length as usize) < bytes.len() {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        cx.k.host.entropy(&mut bytes);
        cx.write_bytes(self.buffer, &bytes)?;
        Ok(STATUS_SUCCESS)
    }
}

fn basic_information(cx: &ServiceCx<'_>) -> SYSTEM_BASIC_INFORMATION {
    let pages = cx.k.ram.total_frames() as u32;
    SYSTEM_BASIC_INFORMATION {
        TimerResolution: 156_250,
        PageSize: PAGE_SIZE as u32,
        NumberOfPhysicalPages: pages,
        LowestPhysicalPageNumber: 1,
        HighestPhysicalPageNumber: pages.saturating_sub(1),
        AllocationGranularity: 0x1_0000,
        MinimumUserModeAddress: 0x1_0000,
        MaximumUserModeAddress: USER_END - 0x1_0001,
        ActiveProcessorsAffinityMask: 1,
        NumberOfProcessors: 1,
        ..Default::default()
    }
}

/// Reports the time: 100 ns since 1601, UTC.
#[service]
pub(super) fn nt_query_system_time(cx: &mut ServiceCx<'_>, system_time: Out<i64>) -> NtResult {
    let now = cx.k.system_time();
    system_time.write(cx, &now)?;
    Ok(STATUS_SUCCESS)
}

/// Ticks a second of [`nt_query_performance_counter`]: it counts interrupt time.
const PERFORMANCE_FREQUENCY: i64 = 10_000_000;

/// Reports a counter of 100 ns since boot, and its frequency.
#[service]
pub(super) fn nt_query_performance_counter(
    cx: &mut ServiceCx<'_>,
    performance_counter: Out<i64>,
    performance_frequency: Option<Out<i64>>,
) -> NtResult {
    let counter = cx.k.host.interrupt_time() as i64;
    performance_counter.write(cx, &counter)?;
    if let Some(out) = performance_frequency {
        out.write(cx, &PERFORMANCE_FREQUENCY)?;
    }
    Ok(STATUS_SUCCESS)
}

/// Reports the default locale of the user or of the system.
#[service]
pub(super) fn nt_query_default_locale(
    cx: &mut ServiceCx<'_>,
    user_profile: bool,
    default_locale_id: Out<u32>,
) -> NtResult {
    let locale = cx.k.ex.locale;
    default_locale_id.write(cx, if user_profile { &locale.user } else { &locale.system })?;
    Ok(STATUS_SUCCESS)
}

/// Sets the default locale of the user or of the system.
#[service]
pub(super) fn nt_set_default_locale(
    cx: &mut ServiceCx<'_>,
    user_profile: bool,
    default_locale_id: u32,
) -> NtResult {
    let locale = &mut cx.k.ex.locale;
    *(if user_profile { &mut locale.user } else { &mut locale.system }) = default_locale_id;
    Ok(STATUS_SUCCESS)
}

/// Reports the user interface language.
#[service(name = "NtQueryDefaultUILanguage")]
pub(super) fn nt_query_default_ui_language(
    cx: &mut ServiceCx<'_>,
    default_ui_language_id: Out<u16>,
) -> NtResult {
    let language = cx.k.ex.locale.ui_language;
    default_ui_language_id.write(cx, &language)?;
    Ok(STATUS_SUCCESS)
}

/// Sets the user interface language.
#[service(name = "NtSetDefaultUILanguage")]
pub(super) fn nt_set_default_ui_language(
    cx: &mut ServiceCx<'_>,
    default_ui_language_id: u16,
) -> NtResult {
    cx.k.ex.locale.ui_language = default_ui_language_id;
    Ok(STATUS_SUCCESS)
}

/// Reports the language that the system was installed with.
#[service(name = "NtQueryInstallUILanguage")]
pub(super) fn nt_query_install_ui_language(
    cx: &mut ServiceCx<'_>,
    install_ui_language_id: Out<u16>,
) -> NtResult {
    let language = cx.k.ex.locale.install_language;
    install_ui_language_id.write(cx, &language)?;
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES:
    nt_query_system_information, nt_query_system_time, nt_query_performance_counter,
    nt_query_default_locale, nt_set_default_locale, nt_query_default_ui_language,
    nt_set_default_ui_language, nt_query_install_ui_language,
}
