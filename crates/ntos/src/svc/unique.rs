//! Services that give out numbers no one else has: LUIDs and ranges of the UUID clock.

use abi::NtResult;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use super::{Out, ServiceCx};

/// Gives out a locally unique id.
#[service]
fn nt_allocate_locally_unique_id(cx: &mut ServiceCx<'_>, luid: Out<u64>) -> NtResult {
    luid.probe(cx)?;
    let id = cx.k.ex.allocate_luid();
    luid.write(cx, &id)?;
    Ok(STATUS_SUCCESS)
}

/// Gives out a range of the UUID clock, with the clock sequence and the six bytes of the node number.
#[service]
fn nt_allocate_uuids(
    cx: &mut ServiceCx<'_>,
    time: Out<u64>,
    range: Out<u32>,
    sequence: Out<u32>,
    seed: Va,
) -> NtResult {
    let host = cx.k.host.clone();
    let given = cx.k.ex.uuids.allocate(&*host);
    time.write(cx, &given.time)?;
    range.write(cx, &given.count)?;
    sequence.write(cx, &given.sequence)?;
    cx.write_bytes(seed, &given.node)?;
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES: nt_allocate_locally_unique_id, nt_allocate_uuids }
