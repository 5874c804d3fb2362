//! How information classes hand out data: length rules and `ReturnLength`.

use abi::NtResult;
use abi::status_table::*;
use guest_mem::{Scalar, Va};

use super::{Out, ServiceCx};

/// Stores a structure whose length the caller must give exactly, else `STATUS_INFO_LENGTH_MISMATCH`.
pub(super) fn fixed_information<T: Scalar>(
    cx: &mut ServiceCx<'_>,
    buffer: Va,
    length: u32,
    return_length: Option<Out<u32>>,
    value: &T,
) -> NtResult {
    if length as usize != size_of::<T>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    cx.write(buffer, value)?;
    store_length(cx, return_length, length as usize)?;
    Ok(STATUS_SUCCESS)
}

/// Stores bytes if the buffer is large enough, else `too_small`; `ReturnLength` is what there is, in both cases.
pub(super) fn variable_information(
    cx: &mut ServiceCx<'_>,
    buffer: Va,
    length: u32,
    return_length: Option<Out<u32>>,
    bytes: &[u8],
    too_small: abi::NtStatus,
) -> NtResult {
    store_length(cx, return_length, bytes.len())?;
    if (length as usize) < bytes.len() {
        return Err(too_small);
    }
    cx.write_bytes(buffer, bytes)?;
    Ok(STATUS_SUCCESS)
}

/// [`variable_information`] of one structure, with `STATUS_INFO_LENGTH_MISMATCH`.
pub(super) fn system_information<T: Scalar>(
    cx: &mut ServiceCx<'_>,
    buffer: Va,
    length: u32,
    return_length: Option<Out<u32>>,
    value: &T,
) -> NtResult {
    let bytes = value.as_bytes();
    variable_information(cx, buffer, length, return_length, bytes, STATUS_INFO_LENGTH_MISMATCH)
}

/// Stores `ReturnLength` where the caller wants it.
pub(super) fn store_length(
    cx: &mut ServiceCx<'_>,
    return_length: Option<Out<u32>>,
    length: usize,
) -> NtResult<()> {
    match return_length {
        Some(out) => out.write(cx, &u32::try_from(length).unwrap_or(u32::MAX)),
        None => Ok(()),
    }
}
