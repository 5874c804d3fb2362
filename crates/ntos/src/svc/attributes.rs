//! Attribute lists: what the creators of processes and threads say beside the arguments.
//!
//! Key types: [`AttributeList`], [`PS_ATTRIBUTE`]. Layout and numbers: public headers of ntdll.

use abi::NtResult;
use abi::ps::CLIENT_ID;
use abi::status_table::*;
use guest_mem::Va;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ob::ObRef;
use crate::ps::Thread;

use super::thread::client_id;
use super::{Handle, ServiceCx};

/// `PS_ATTRIBUTE_LIST` entries that creators pass.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct PS_ATTRIBUTE {
    pub attribute: u64,
    pub size: u64,
    pub value: u64,
    pub return_length: u64,
}

/// `PsAttributeClientId` with its thread and output bits.
const PS_ATTRIBUTE_CLIENT_ID: u64 = 0x1_0003;
/// `PsAttributeTebAddress`.
const PS_ATTRIBUTE_TEB_ADDRESS: u64 = 0x1_0004;

/// A `PPS_ATTRIBUTE_LIST` argument; null is an empty list.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttributeList(Va);

/// Numbers of attributes, without the bits that say how they are passed.
const ATTRIBUTE_NAMES: &[&str] = &[
    "ParentProcess",
    "DebugObject",
    "Token",
    "ClientId",
    "TebAddress",
    "ImageName",
    "ImageInfo",
    "MemoryReserve",
    "PriorityClass",
    "ErrorMode",
    "StdHandleInfo",
    "HandleList",
    "GroupAffinity",
    "PreferredNode",
    "IdealProcessor",
    "UmsThread",
    "MitigationOptions",
    "ProtectionLevel",
    "SecureProcess",
    "JobList",
];

impl super::Arg for AttributeList {
    fn decode(cursor: &mut super::ArgCursor<'_>) -> Self {
        AttributeList(Va(cursor.next_raw()))
    }

    fn describe(&self, name: &'static str, trace: &mut super::ArgTrace<'_, '_>) {
        trace.input(name, |cx| {
            let list = read_attributes(cx, *self).unwrap_or_default();
            let texts: Vec<String> = list.iter().map(|entry| show_attribute(cx, entry)).collect();
            format!("{{{}}}", texts.join(", "))
        });
    }
}

fn show_attribute(cx: &mut ServiceCx<'_>, entry: &PS_ATTRIBUTE) -> String {
    let number = (entry.attribute & 0xFFFF) as usize;
    let name = ATTRIBUTE_NAMES.get(number).copied().unwrap_or("?");
    let at = Va(entry.value);
    let (size, words) = (entry.size as usize, (entry.size / 8).min(16));
    match name {
        "ImageName" => {
            let bytes = cx.read_vec(at, size).unwrap_or_default();
            let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
            format!("{name} {:?}", String::from_utf16_lossy(&units.collect::<Vec<_>>()))
        }
        "ParentProcess" | "DebugObject" | "Token" => {
            format!("{name} {}", cx.show_handle(Handle(entry.value)))
        }
        "HandleList" | "JobList" => {
            let shown = (0..words).map(|index| {
                let handle = cx.read(Va(at.0.wrapping_add(index * 8))).unwrap_or_default();
                cx.show_handle(Handle(handle))
            });
            format!("{name} [{}]", shown.collect::<Vec<_>>().join(", "))
        }
        "?" => format!("{:#x}", entry.attribute),
        _ => name.to_owned(),
    }
}

/// Reads a `PS_ATTRIBUTE_LIST`.
pub(super) fn read_attributes(
    cx: &mut ServiceCx<'_>,
    AttributeList(list): AttributeList,
) -> NtResult<Vec<PS_ATTRIBUTE>> {
    if list.0 == 0 {
        return Ok(Vec::new());
    }
    let total = cx.read::<u64>(list)?;
    let count = total.checked_sub(8).ok_or(STATUS_INVALID_PARAMETER)? / 32;
    if count > 64 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    (0..count).map(|n| cx.read::<PS_ATTRIBUTE>(Va(list.0.wrapping_add(8 + n * 32)))).collect()
}

/// Answers the outputs that an attribute list asks of a new thread.
pub(super) fn answer_attributes(
    cx: &mut ServiceCx<'_>,
    attributes: &[PS_ATTRIBUTE],
    thread: &ObRef<Thread>,
) -> NtResult<()> {
    for attribute in attributes {
        let written = match attribute.attribute {
            PS_ATTRIBUTE_CLIENT_ID => {
                let id = client_id(thread);
                cx.write(Va(attribute.value), &id)?;
                size_of::<CLIENT_ID>() as u64
            }
            PS_ATTRIBUTE_TEB_ADDRESS => {
                cx.write(Va(attribute.value), &thread.teb.0)?;
                8
            }
            _ => continue,
        };
        if attribute.return_length != 0 {
            cx.write(Va(attribute.return_length), &written)?;
        }
    }
    Ok(())
}
