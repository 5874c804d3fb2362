//! Services of keyed events. The object is in [`crate::ex::keyed`].

use abi::NtResult;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::status_table::*;
use ntos_macros::service;

use crate::ex::keyed::{self, KeyedEvent, Side};
use crate::ke::WaitType;
use crate::ob::ObRef;

use super::args::{AccessMask, HandleValue};
use super::object::{create_object, open_by_name};
use super::sync::{begin, finish, read_timeout};
use super::time::Timeout;
use super::{AsyncCx, Handle, In, Out, ServiceCx};

/// Creates a keyed event. `flags` must be zero (`STATUS_INVALID_PARAMETER_4`).
#[service]
pub(super) fn nt_create_keyed_event(
    cx: &mut ServiceCx<'_>,
    keyed_event_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    flags: u32,
) -> NtResult {
    if flags != 0 {
        return Err(STATUS_INVALID_PARAMETER_4);
    }
    create_object(cx, keyed_event_handle, desired_access, object_attributes, keyed::create)
}

/// Opens a keyed event by name.
#[service]
pub(super) fn nt_open_keyed_event(
    cx: &mut ServiceCx<'_>,
    keyed_event_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<KeyedEvent>(cx, keyed_event_handle, desired_access, object_attributes)
}

/// Waits for a release of the same key by a thread of this process.
///
/// A null handle names the machine's own keyed event. Requires `KEYEDEVENT_WAIT`; an odd key gives
/// `STATUS_INVALID_PARAMETER_1`.
#[service]
pub(super) async fn nt_wait_for_keyed_event(
    cx: &AsyncCx,
    keyed_event_handle: Handle,
    key_value: u64,
    alertable: bool,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    meet(cx, keyed_event_handle, key_value, alertable, timeout, Side::Wait).await
}

/// Releases one waiter of a key, waiting for it to come if there is none. Requires `KEYEDEVENT_WAKE`.
#[service]
pub(super) async fn nt_release_keyed_event(
    cx: &AsyncCx,
    keyed_event_handle: Handle,
    key_value: u64,
    alertable: bool,
    timeout: Option<In<Timeout>>,
) -> NtResult {
    meet(cx, keyed_event_handle, key_value, alertable, timeout, Side::Release).await
}

async fn meet(
    cx: &AsyncCx,
    handle: Handle,
    key: u64,
    alertable: bool,
    timeout: Option<In<Timeout>>,
    side: Side,
) -> NtResult {
    if key & 1 != 0 {
        return Err(STATUS_INVALID_PARAMETER_1);
    }
    let (event, begun) = cx.with(|cx| {
        let timeout = read_timeout(cx, timeout)?;
        let event: ObRef<KeyedEvent> = match handle.non_null() {
            Some(handle) => cx.reference(handle, side.access())?,
            None => keyed::default_event(cx.k)?,
        };
        if keyed::take_partner(cx.k, &event, cx.thread, key, side) {
            return Ok((event, Some(STATUS_SUCCESS)));
        }
        let begun = begin(cx, &[], WaitType::Any, alertable, timeout);
        if begun.is_none() {
            keyed::enlist(&event, cx.thread, key, side);
        }
        NtResult::Ok((event, begun))
    })?;
    let outcome = finish(cx, begun).await;
    keyed::leave(&event, &cx.thread);
    outcome.into_result()
}

crate::service_table! { SERVICES:
    nt_create_keyed_event, nt_open_keyed_event, nt_wait_for_keyed_event, nt_release_keyed_event,
}
