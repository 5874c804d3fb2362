//! Services of events, semaphores and mutants.
//!
//! The objects are in [`crate::ex::event`], what setting and releasing them does in [`crate::ke::event`]; waits are in
//! [`super::sync`].

use abi::NtResult;
use abi::ex::{EVENT_BASIC_INFORMATION, MUTANT_BASIC_INFORMATION, SEMAPHORE_BASIC_INFORMATION};
use abi::ke::*;
use abi::ob::OBJECT_ATTRIBUTES;
use abi::ps::CLIENT_ID;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::ex::event::{
    Event, Mutant, Semaphore, create_event, create_mutant, create_semaphore, mutant_owner,
};
use crate::ke::event::{
    EVENT_INCREMENT, ke_pulse_event, ke_release_mutant, ke_release_semaphore, ke_reset_event,
    ke_set_event,
};
use crate::ob::ObRef;

use super::args::{AccessMask, HandleValue};
use super::info::Reply;
use super::object::{create_object, open_by_name};
use super::{Handle, In, Out, ServiceCx};

crate::enum_arg! {
    /// `EVENT_TYPE`.
    EventType { NotificationEvent = 0, SynchronizationEvent = 1 }
}

crate::enum_arg! {
    /// `EVENT_INFORMATION_CLASS`.
    EventInformationClass { EventBasicInformation = 0 }
}

crate::enum_arg! {
    /// `SEMAPHORE_INFORMATION_CLASS`.
    SemaphoreInformationClass { SemaphoreBasicInformation = 0 }
}

crate::enum_arg! {
    /// `MUTANT_INFORMATION_CLASS`.
    MutantInformationClass { MutantBasicInformation = 0, MutantOwnerInformation = 1 }
}

/// Creates an event, or opens the one of that name with `OBJ_OPENIF`.
///
/// Fails with `STATUS_INVALID_PARAMETER` for an unknown type, `STATUS_OBJECT_NAME_COLLISION` if the name is taken;
/// gives `STATUS_OBJECT_NAME_EXISTS` when it opened.
#[service]
pub(super) fn nt_create_event(
    cx: &mut ServiceCx<'_>,
    event_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    event_type: EventType,
    initial_state: bool,
) -> NtResult {
    let kind = match event_type.0 {
        EventType::NotificationEvent => NOTIFICATION_EVENT,
        EventType::SynchronizationEvent => SYNCHRONIZATION_EVENT,
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    create_object(cx, event_handle, desired_access, object_attributes, |k| {
        create_event(k, kind, initial_state)
    })
}

/// Opens an event by name.
#[service]
pub(super) fn nt_open_event(
    cx: &mut ServiceCx<'_>,
    event_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<Event>(cx, event_handle, desired_access, object_attributes)
}

/// Stores a previous state where the caller wants it. The place is probed before anything changes.
fn probe_previous(cx: &mut ServiceCx<'_>, previous: Option<Out<i32>>) -> NtResult<()> {
    previous.map_or(Ok(()), |previous| previous.probe(cx))
}

fn store_previous(
    cx: &mut ServiceCx<'_>,
    previous_state: Option<Out<i32>>,
    previous: i32,
) -> NtResult {
    if let Some(out) = previous_state {
        out.write(cx, &previous)?;
    }
    Ok(STATUS_SUCCESS)
}

fn event_to_modify(cx: &mut ServiceCx<'_>, handle: Handle) -> NtResult<ObRef<Event>> {
    cx.reference::<Event>(handle, EVENT_MODIFY_STATE)
}

/// Sets an event and reports its previous state.
///
/// Requires `EVENT_MODIFY_STATE`. An unwritable `previous_state` fails before the event changes.
#[service]
pub(super) fn nt_set_event(
    cx: &mut ServiceCx<'_>,
    event_handle: Handle,
    previous_state: Option<Out<i32>>,
) -> NtResult {
    probe_previous(cx, previous_state)?;
    let event = event_to_modify(cx, event_handle)?;
    let previous = ke_set_event(cx.k, event.header.dispatcher(), EVENT_INCREMENT);
    store_previous(cx, previous_state, previous)
}

/// Resets an event and reports its previous state. Requires `EVENT_MODIFY_STATE`.
#[service]
pub(super) fn nt_reset_event(
    cx: &mut ServiceCx<'_>,
    event_handle: Handle,
    previous_state: Option<Out<i32>>,
) -> NtResult {
    probe_previous(cx, previous_state)?;
    let event = event_to_modify(cx, event_handle)?;
    let previous = ke_reset_event(cx.k, event.header.dispatcher());
    store_previous(cx, previous_state, previous)
}

/// Resets an event. Requires `EVENT_MODIFY_STATE`.
#[service]
pub(super) fn nt_clear_event(cx: &mut ServiceCx<'_>, event_handle: Handle) -> NtResult {
    let event = event_to_modify(cx, event_handle)?;
    ke_reset_event(cx.k, event.header.dispatcher());
    Ok(STATUS_SUCCESS)
}

/// Lets the present waiters of an event go and resets it. Requires `EVENT_MODIFY_STATE`.
#[service]
pub(super) fn nt_pulse_event(
    cx: &mut ServiceCx<'_>,
    event_handle: Handle,
    previous_state: Option<Out<i32>>,
) -> NtResult {
    probe_previous(cx, previous_state)?;
    let event = event_to_modify(cx, event_handle)?;
    let previous = ke_pulse_event(cx.k, event.header.dispatcher(), EVENT_INCREMENT);
    store_previous(cx, previous_state, previous)
}

/// Reports type and state of an event. Requires `EVENT_QUERY_STATE`.
#[service]
pub(super) fn nt_query_event(
    cx: &mut ServiceCx<'_>,
    event_handle: Handle,
    event_information_class: EventInformationClass,
    event_information: Va,
    event_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    if event_information_class.0 != EventInformationClass::EventBasicInformation {
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    let event = cx.reference::<Event>(event_handle, EVENT_QUERY_STATE)?;
    let header = event.header.dispatcher();
    let information = EVENT_BASIC_INFORMATION {
        EventType: header.kind(&cx.k.ram).into(),
        EventState: header.state(&cx.k.ram),
    };
    Reply { buffer: event_information, length: event_information_length, return_length }
        .exact(cx, &information)
}

/// Creates a semaphore, or opens the one of that name with `OBJ_OPENIF`.
///
/// Fails with `STATUS_INVALID_PARAMETER` unless `0 <= initial_count <= maximum_count` and `maximum_count > 0`.
#[service]
pub(super) fn nt_create_semaphore(
    cx: &mut ServiceCx<'_>,
    semaphore_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    initial_count: i32,
    maximum_count: i32,
) -> NtResult {
    if maximum_count <= 0 || initial_count < 0 || initial_count > maximum_count {
        return Err(STATUS_INVALID_PARAMETER);
    }
    create_object(cx, semaphore_handle, desired_access, object_attributes, |k| {
        create_semaphore(k, initial_count, maximum_count)
    })
}

/// Opens a semaphore by name.
#[service]
pub(super) fn nt_open_semaphore(
    cx: &mut ServiceCx<'_>,
    semaphore_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<Semaphore>(cx, semaphore_handle, desired_access, object_attributes)
}

/// Adds to a semaphore's count and reports the previous one.
///
/// Requires `SEMAPHORE_MODIFY_STATE`. Fails with `STATUS_INVALID_PARAMETER` unless `release_count` is positive and with
/// `STATUS_SEMAPHORE_LIMIT_EXCEEDED`, changing nothing, beyond the maximum.
#[service]
pub(super) fn nt_release_semaphore(
    cx: &mut ServiceCx<'_>,
    semaphore_handle: Handle,
    release_count: i32,
    previous_count: Option<Out<i32>>,
) -> NtResult {
    probe_previous(cx, previous_count)?;
    if release_count <= 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let semaphore = cx.reference::<Semaphore>(semaphore_handle, SEMAPHORE_MODIFY_STATE)?;
    let previous = ke_release_semaphore(cx.k, semaphore.header.dispatcher(), release_count)?;
    store_previous(cx, previous_count, previous)
}

/// Reports count and maximum of a semaphore. Requires `SEMAPHORE_QUERY_STATE`.
#[service]
pub(super) fn nt_query_semaphore(
    cx: &mut ServiceCx<'_>,
    semaphore_handle: Handle,
    semaphore_information_class: SemaphoreInformationClass,
    semaphore_information: Va,
    semaphore_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    if semaphore_information_class.0 != SemaphoreInformationClass::SemaphoreBasicInformation {
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    let semaphore = cx.reference::<Semaphore>(semaphore_handle, SEMAPHORE_QUERY_STATE)?;
    let header = semaphore.header.dispatcher();
    let information = SEMAPHORE_BASIC_INFORMATION {
        CurrentCount: header.state(&cx.k.ram),
        MaximumCount: header.field(&cx.k.ram, size_of::<DISPATCHER_HEADER>() as u64),
    };
    Reply { buffer: semaphore_information, length: semaphore_information_length, return_length }
        .exact(cx, &information)
}

/// Creates a mutant, or opens the one of that name with `OBJ_OPENIF`; only a new one can be owned at once.
#[service]
pub(super) fn nt_create_mutant(
    cx: &mut ServiceCx<'_>,
    mutant_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
    initial_owner: bool,
) -> NtResult {
    let owner = initial_owner.then_some(cx.thread);
    create_object(cx, mutant_handle, desired_access, object_attributes, |k| create_mutant(k, owner))
}

/// Opens a mutant by name.
#[service]
pub(super) fn nt_open_mutant(
    cx: &mut ServiceCx<'_>,
    mutant_handle: Out<HandleValue>,
    desired_access: AccessMask,
    object_attributes: Option<In<OBJECT_ATTRIBUTES>>,
) -> NtResult {
    open_by_name::<Mutant>(cx, mutant_handle, desired_access, object_attributes)
}

/// Gives up one recursion of a mutant that the thread owns and reports the previous state.
///
/// Requires no access, as on NT. Fails with `STATUS_MUTANT_NOT_OWNED` for any other thread.
#[service]
pub(super) fn nt_release_mutant(
    cx: &mut ServiceCx<'_>,
    mutant_handle: Handle,
    previous_count: Option<Out<i32>>,
) -> NtResult {
    probe_previous(cx, previous_count)?;
    let mutant = cx.reference::<Mutant>(mutant_handle, 0)?;
    let previous = ke_release_mutant(cx.k, mutant.header.dispatcher(), cx.thread)?;
    store_previous(cx, previous_count, previous)
}

/// Reports the state or the owner of a mutant. Requires `MUTANT_QUERY_STATE`.
#[service]
pub(super) fn nt_query_mutant(
    cx: &mut ServiceCx<'_>,
    mutant_handle: Handle,
    mutant_information_class: MutantInformationClass,
    mutant_information: Va,
    mutant_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let class = mutant_information_class.0;
    if class > MutantInformationClass::MutantOwnerInformation {
        return Err(STATUS_INVALID_INFO_CLASS);
    }
    let mutant = cx.reference::<Mutant>(mutant_handle, MUTANT_QUERY_STATE)?;
    let header = mutant.header.dispatcher();
    if class == MutantInformationClass::MutantOwnerInformation {
        let owner = mutant_owner(cx.k, header).map_or_else(CLIENT_ID::default, |(pid, tid)| {
            CLIENT_ID { UniqueProcess: pid, UniqueThread: tid }
        });
        return Reply {
            buffer: mutant_information,
            length: mutant_information_length,
            return_length,
        }
        .exact(cx, &owner);
    }
    let owner: u64 = header.field(&cx.k.ram, MUTANT_OWNER_THREAD);
    let information = MUTANT_BASIC_INFORMATION {
        CurrentCount: header.state(&cx.k.ram),
        OwnedByCaller: u8::from(owner == cx.thread.header.address().0),
        AbandonedState: header.field(&cx.k.ram, MUTANT_ABANDONED),
        _pad: [0; 2],
    };
    Reply { buffer: mutant_information, length: mutant_information_length, return_length }
        .exact(cx, &information)
}

crate::service_table! { SERVICES:
    nt_create_event, nt_open_event, nt_set_event, nt_reset_event, nt_clear_event, nt_pulse_event,
    nt_query_event, nt_create_semaphore, nt_open_semaphore, nt_release_semaphore,
    nt_query_semaphore, nt_create_mutant, nt_open_mutant, nt_release_mutant, nt_query_mutant,
}
