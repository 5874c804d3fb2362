//! Services that tell when keys change; who watches what is in [`crate::cm::notify`].

use std::sync::Arc;

use abi::NtResult;
use abi::cm::*;
use abi::ke::{EVENT_MODIFY_STATE, SYNCHRONIZATION_EVENT};
use abi::ob::IO_STATUS_BLOCK;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::cm::{Key, key, notify};
use crate::ex::event::{Event, create_event};
use crate::ke::apc::UserApc;
use crate::ke::{WaitType, event::ke_reset_event, wait};
use crate::ob::ObRef;
use crate::svc::{AsyncCx, Handle, In, Mode, Out};

use super::NotifyFilter;

/// Tells when a key changes. Requires `KEY_NOTIFY`.
///
/// Asynchronous requests return `STATUS_PENDING` and complete through event, APC and status block, with
/// `STATUS_NOTIFY_ENUM_DIR` for a change and `STATUS_NOTIFY_CLEANUP` when the handle is closed.
#[service(Partial("no list of changes is written to the buffer, as on Windows"))]
pub(in crate::svc) async fn nt_notify_change_key(
    cx: &AsyncCx,
    key_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    completion_filter: NotifyFilter,
    watch_tree: bool,
    buffer: Va,
    buffer_size: u32,
    asynchronous: bool,
) -> NtResult {
    nt_notify_change_multiple_keys(
        cx,
        key_handle,
        0,
        Va(0),
        event,
        apc_routine,
        apc_context,
        io_status_block,
        completion_filter,
        watch_tree,
        buffer,
        buffer_size,
        asynchronous,
    )
    .await
}

/// Tells when a key or one more key changes. Requires `KEY_NOTIFY`.
#[service(Partial("no list of changes is written to the buffer, as on Windows"))]
pub(in crate::svc) async fn nt_notify_change_multiple_keys(
    cx: &AsyncCx,
    master_key_handle: Handle,
    count: u32,
    subordinate_objects: Va,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    completion_filter: NotifyFilter,
    watch_tree: bool,
    _buffer: Va,
    _buffer_size: u32,
    asynchronous: bool,
) -> NtResult {
    let started = cx.with(|cx| {
        let filter = completion_filter.0;
        if filter == 0 || filter & !REG_LEGAL_CHANGE_FILTER != 0 || count > 1 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let key = cx.reference::<Key>(master_key_handle, KEY_NOTIFY)?;
        cx.k.cm.registry.get(key.id)?;
        let mut others = Vec::new();
        if count == 1 {
            let attributes = cx.require_attributes(Some(In::new(subordinate_objects)))?;
            let id = key::find_existing(cx, &attributes)?;
            others.push(key::open_watched(cx, id)?);
        }
        io_status_block.probe(cx)?;
        let told = match event.non_null() {
            Some(event) if asynchronous => Some(cx.reference::<Event>(event, EVENT_MODIFY_STATE)?),
            _ if asynchronous => None,
            _ => Some(create_event(cx.k, SYNCHRONIZATION_EVENT, false)?),
        };
        if let Some(event) = &told {
            ke_reset_event(cx.k, event.header.dispatcher());
        }
        let arguments = [apc_context, io_status_block.at.0, 0];
        let apc = UserApc { routine: apc_routine, arguments };
        let has_apc = asynchronous && apc_routine.0 != 0 && cx.mode == Mode::User;
        let post = Arc::new(notify::Post {
            event: told,
            apc: has_apc.then_some(apc),
            thread: cx.thread.clone(),
            ends_with_thread: filter & REG_NOTIFY_THREAD_AGNOSTIC == 0,
            status_block: io_status_block.at,
            others,
            outcome: Default::default(),
        });
        let watched: Vec<ObRef<Key>> =
            std::iter::once(key).chain(post.others.iter().cloned()).collect();
        for key in &watched {
            if notify::request(cx.k, key, filter, watch_tree, &post) {
                break;
            }
        }
        Ok(post)
    });
    let post = started?;
    if asynchronous {
        return Ok(STATUS_PENDING);
    }
    let Some(event) = &post.event else { return Err(STATUS_INTERNAL_ERROR) };
    let waited = wait(cx, &[event.header.dispatcher()], WaitType::Any, false, None).await;
    let outcome = *post.outcome.open();
    match outcome {
        // The userland takes any status but success for an error here.
        Some(STATUS_NOTIFY_ENUM_DIR) => Ok(STATUS_SUCCESS),
        Some(status) => status.into_result(),
        None => {
            cx.with(|cx| notify::withdraw(cx.k, &post));
            waited.into_result()
        }
    }
}
