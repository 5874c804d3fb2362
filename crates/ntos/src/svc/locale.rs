//! Services of the default locale and the user interface language. The settings are in [`crate::ex::locale`].

use abi::NtResult;
use abi::status_table::*;
use ntos_macros::service;

use super::{Out, ServiceCx};

/// Reports the default locale of the user or of the system.
#[service]
fn nt_query_default_locale(
    cx: &mut ServiceCx<'_>,
    user_profile: bool,
    default_locale_id: Out<u32>,
) -> NtResult {
    let locale = cx.k.ex.locale;
    default_locale_id.write(cx, if user_profile { &locale.user } else { &locale.system })?;
    Ok(STATUS_SUCCESS)
}

/// Sets the default locale of the user or of the system, for this run of the machine.
#[service]
fn nt_set_default_locale(
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
fn nt_query_default_ui_language(
    cx: &mut ServiceCx<'_>,
    default_ui_language_id: Out<u16>,
) -> NtResult {
    let language = cx.k.ex.locale.ui_language;
    default_ui_language_id.write(cx, &language)?;
    Ok(STATUS_SUCCESS)
}

/// Sets the user interface language, for this run of the machine.
#[service(name = "NtSetDefaultUILanguage")]
fn nt_set_default_ui_language(cx: &mut ServiceCx<'_>, default_ui_language_id: u16) -> NtResult {
    cx.k.ex.locale.ui_language = default_ui_language_id;
    Ok(STATUS_SUCCESS)
}

/// Reports the language that the system was installed with.
#[service(name = "NtQueryInstallUILanguage")]
fn nt_query_install_ui_language(
    cx: &mut ServiceCx<'_>,
    install_ui_language_id: Out<u16>,
) -> NtResult {
    let language = cx.k.ex.locale.install_language;
    install_ui_language_id.write(cx, &language)?;
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES:
    nt_query_default_locale, nt_set_default_locale, nt_query_default_ui_language,
    nt_set_default_ui_language, nt_query_install_ui_language,
}
