//! Services of national language tables: what `ntdll` and `kernelbase` map when a process starts.

use abi::NtResult;
use abi::status_table::STATUS_SUCCESS;
use guest_mem::Va;
use ntos_macros::service;

use crate::mm::nls;

use super::{Out, ServiceCx};

crate::enum_arg! {
    /// The kinds of tables.
    NlsSectionType {
        NlsSectionSortKeys = 9, NlsSectionCaseMap = 10, NlsSectionCodePage = 11,
        NlsSectionNormalize = 12,
    }
}

/// Maps a table of national languages: sort keys, case map, a code page, a normalization form.
///
/// `STATUS_INVALID_PARAMETER_1` for an unknown kind, `STATUS_OBJECT_NAME_NOT_FOUND` for a table there is no file of.
#[service]
pub(super) fn nt_get_nls_section_ptr(
    cx: &mut ServiceCx<'_>,
    section_type: NlsSectionType,
    section_data: u32,
    _context_data: Va,
    section_pointer: Out<u64>,
    section_size: Option<Out<u32>>,
) -> NtResult {
    let name = nls::file_name(section_type.0, section_data)?;
    section_pointer.probe(cx)?;
    let process = cx.process();
    let (base, size) = nls::map_table(cx.k, process, &name)?;
    section_pointer.write(cx, &base.0)?;
    if let Some(out) = section_size {
        out.write(cx, &u32::try_from(size).unwrap_or(u32::MAX))?;
    }
    Ok(STATUS_SUCCESS)
}

/// Maps the table of locales and tells the system's default locale.
#[service]
pub(super) fn nt_initialize_nls_files(
    cx: &mut ServiceCx<'_>,
    base_address: Out<u64>,
    default_locale_id: Out<u32>,
    default_casing_table_size: Option<Out<i64>>,
) -> NtResult {
    base_address.probe(cx)?;
    default_locale_id.probe(cx)?;
    let process = cx.process();
    let (base, size) = nls::map_table(cx.k, process, "locale.nls")?;
    let locale = cx.k.ex.locale.system;
    base_address.write(cx, &base.0)?;
    default_locale_id.write(cx, &locale)?;
    if let Some(out) = default_casing_table_size {
        out.write(cx, &i64::try_from(size).unwrap_or(i64::MAX))?;
    }
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES: nt_get_nls_section_ptr, nt_initialize_nls_files }
