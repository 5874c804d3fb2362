//! Completion ports: `IoCompletion` objects.
//!
//! Key types: [`IoCompletion`], [`Packet`]. The dispatcher state is the number of queued packets; a waiter that is woken
//! takes a packet or waits again.

use std::collections::VecDeque;

use abi::ke::QUEUE;
use abi::{NtResult, NtStatus};

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ke::dispatcher::wake_waiters;
use crate::ob::{self, AccessMap, ObRef, ObjectBody, TypeInfo};

/// One completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The file's key, or what `NtSetIoCompletion` was given.
    pub key: u64,
    /// The request's context: an `OVERLAPPED` for Win32.
    pub apc_context: u64,
    /// The status.
    pub status: NtStatus,
    /// The information.
    pub information: u64,
}

/// A completion port.
#[derive(Default)]
pub struct IoCompletion {
    packets: Guarded<VecDeque<Packet>>,
}

impl ObjectBody for IoCompletion {
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "IoCompletion",
        access: AccessMap {
            read: 0x2_0001,
            write: 0x2_0002,
            execute: 0x12_0000,
            all: abi::io::IO_COMPLETION_ALL_ACCESS,
        },
        body_size: 0x40,
    };
    const DISPATCHER: Option<u64> = Some(0);
}

impl IoCompletion {
    /// Packets queued.
    pub fn depth(&self) -> usize {
        self.packets.open().len()
    }
}

/// Makes a completion port.
pub fn create(k: &mut Kernel) -> NtResult<ObRef<IoCompletion>> {
    let port = ob::create(k, IoCompletion::default())?;
    port.header.dispatcher().initialize(&k.ram, QUEUE, 0);
    Ok(port)
}

/// Queues a packet.
pub fn post(k: &mut Kernel, port: &ObRef<IoCompletion>, packet: Packet) {
    port.packets.open().push_back(packet);
    update(k, port);
    wake_waiters(k, port.header.dispatcher(), 0);
}

/// Takes up to `max` packets in order.
pub fn take(k: &mut Kernel, port: &ObRef<IoCompletion>, max: usize) -> Vec<Packet> {
    let taken = {
        let mut packets = port.packets.open();
        let count = max.min(packets.len());
        packets.drain(..count).collect()
    };
    update(k, port);
    taken
}

/// Puts packets back at the front: their taker could not store them.
pub fn put_back(k: &mut Kernel, port: &ObRef<IoCompletion>, taken: Vec<Packet>) {
    {
        let mut packets = port.packets.open();
        for packet in taken.into_iter().rev() {
            packets.push_front(packet);
        }
    }
    update(k, port);
    wake_waiters(k, port.header.dispatcher(), 0);
}

fn update(k: &mut Kernel, port: &ObRef<IoCompletion>) {
    let depth = i32::try_from(port.depth()).unwrap_or(i32::MAX);
    port.header.dispatcher().set_state(&k.ram, depth);
}
