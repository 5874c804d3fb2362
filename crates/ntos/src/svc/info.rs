//! Replies of `NtQueryInformation…`: length rules in one place.

use abi::NtResult;
use abi::status_table::*;
use guest_mem::Va;
use zerocopy::{Immutable, IntoBytes};

use super::{Out, ServiceCx};

/// Where a query's answer goes.
#[derive(Clone, Copy)]
pub struct Reply {
    /// The caller's buffer.
    pub buffer: Va,
    /// Its length in bytes.
    pub length: u32,
    /// Where the length of the answer goes, if asked for.
    pub return_length: Option<Out<u32>>,
}

impl Reply {
    /// An answer of fixed size: any other buffer length is `STATUS_INFO_LENGTH_MISMATCH`.
    pub fn exact<T: IntoBytes + Immutable>(&self, cx: &mut ServiceCx<'_>, value: &T) -> NtResult {
        let bytes = value.as_bytes();
        if self.length as usize != bytes.len() {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        cx.write_bytes(self.buffer, bytes)?;
        self.store_length(cx, bytes.len())
    }

    /// An answer of fixed size for which a longer buffer is accepted.
    pub fn at_least<T: IntoBytes + Immutable>(
        &self,
        cx: &mut ServiceCx<'_>,
        value: &T,
    ) -> NtResult {
        let bytes = value.as_bytes();
        if (self.length as usize) < bytes.len() {
            self.store_length(cx, bytes.len())?;
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        cx.write_bytes(self.buffer, bytes)?;
        self.store_length(cx, bytes.len())
    }

    /// An answer of varying size: a short buffer gets `short` and the needed length, and nothing else.
    pub fn whole(&self, cx: &mut ServiceCx<'_>, bytes: &[u8], short: abi::NtStatus) -> NtResult {
        self.store_length(cx, bytes.len())?;
        if (self.length as usize) < bytes.len() {
            return Err(short);
        }
        cx.write_bytes(self.buffer, bytes)?;
        Ok(STATUS_SUCCESS)
    }

    /// A `UNICODE_STRING` followed by its text; the pointer is to the caller's buffer.
    pub fn unicode_string(&self, cx: &mut ServiceCx<'_>, text: &[u16]) -> NtResult {
        let size = size_of::<abi::ob::UNICODE_STRING>();
        let bytes = text.len() * 2;
        let mut answer = Vec::with_capacity(size + bytes + 2);
        let header = abi::ob::UNICODE_STRING {
            Length: bytes as u16,
            MaximumLength: (bytes + 2) as u16,
            _pad: 0,
            Buffer: self.buffer.0.wrapping_add(size as u64),
        };
        answer.extend_from_slice(header.as_bytes());
        answer.extend(text.iter().flat_map(|unit| unit.to_le_bytes()));
        answer.extend([0, 0]);
        self.whole(cx, &answer, STATUS_INFO_LENGTH_MISMATCH)
    }

    /// Stores the length of the answer where the caller wants it.
    pub(super) fn store_length(&self, cx: &mut ServiceCx<'_>, length: usize) -> NtResult {
        if let Some(out) = self.return_length {
            out.write(cx, &(length as u32))?;
        }
        Ok(STATUS_SUCCESS)
    }
}
