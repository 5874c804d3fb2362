//! The I/O manager: devices, file objects, requests, completion.
//!
//! Key types: [`Device`] and [`Driver`] (who serves a name), [`FileObject`] and [`OpenFile`] (an open instance),
//! [`Irp`] (a request), [`IoCompletion`] (a completion port). The file systems are built-in drivers in the `drivers`
//! crate; the services are in [`crate::svc`].
//!
//! Invariants: a request is completed once, by [`irp::complete`] or by the service that dispatched it; a driver that
//! answers [`Outcome::Pending`] keeps the request and completes it later; what is completed already is skipped in
//! queues; the last handle's close calls [`OpenFile::cleanup`] once.
//!
//! A worked path, "`NtCreateFile` of `\??\C:\a.txt`": the service captures the name, [`create::create_file`] looks it up
//! in the namespace, which ends at the device `\Device\HarddiskVolume1` with `\a.txt` left over; the device's driver
//! resolves that ([`Driver::create`]) and returns what it wants to know about the open file, an [`OpenFile`]; it
//! becomes a [`FileObject`] and a handle.

pub mod completion;
pub mod create;
pub mod device;
pub mod directory;
pub mod expression;
pub mod facts;
pub mod file;
pub mod irp;
pub mod lock;
pub mod share;

pub use completion::IoCompletion;
pub use create::{CreateKind, CreateRequest, open_image_file};
pub use device::{Created, Device, Driver, OpenFile};
pub use facts::{FileFacts, VolumeFacts};
pub use file::FileObject;
pub use irp::{IoResult, Irp, Outcome, Request, UserBuffer};

use std::sync::Arc;

use indexmap::IndexMap;

use crate::Kernel;
use crate::host::Stream;
use crate::ob::{AnyRef, ObRef, downcast};
use crate::ps::Thread;

/// State of the I/O manager.
#[derive(Default)]
pub struct IoState {
    /// Requests in flight, by number.
    pending: IndexMap<u64, Arc<Irp>>,
    /// Those of them that wait for input of a host stream.
    stream_readers: Vec<(Stream, Arc<Irp>)>,
    next_irp: u64,
    /// Who hears of the terminal.
    pub terminal: Option<Arc<dyn TerminalListener>>,
    /// Volumes made so far: the number in `\Device\HarddiskVolumeN`.
    pub volumes: u32,
}

/// A console that shows on the host's terminal.
pub trait TerminalListener: Send + Sync {
    /// Something was typed, or the terminal has another size.
    fn terminal_event(&self, k: &mut Kernel);

    /// The machine has ended: the terminal goes back to whoever had it.
    fn leave_terminal(&self, k: &mut Kernel);
}

/// The terminal has input or another size.
pub fn terminal_ready(k: &mut Kernel) {
    if let Some(listener) = k.io.terminal.clone() {
        listener.terminal_event(k);
    }
}

impl IoState {
    /// True while something waits for the host: a request for standard input, or a console, where the user can always
    /// press Ctrl-C.
    pub fn waits_for_host(&self) -> bool {
        self.terminal.is_some() || self.stream_readers.iter().any(|(_, irp)| !irp.is_done())
    }
}

/// Makes a read wait for a host stream: it is dispatched again when the stream has something.
pub fn wait_for_stream(k: &mut Kernel, stream: Stream, irp: &Arc<Irp>) {
    k.io.stream_readers.retain(|(_, other)| !other.is_done());
    k.io.stream_readers.push((stream, irp.clone()));
}

/// A standard stream that was asked for input has some.
pub fn stream_ready(k: &mut Kernel, stream: Stream) {
    let all = std::mem::take(&mut k.io.stream_readers);
    let (ready, rest) = all.into_iter().partition::<Vec<_>, _>(|(of, _)| *of == stream);
    k.io.stream_readers = rest;
    for (_, irp) in ready {
        if irp.is_done() {
            continue;
        }
        match irp.file.ops.read(k, &irp) {
            Ok(Outcome::Pending) => {}
            Ok(Outcome::Done(status, information)) => {
                irp::complete(k, &irp, status, information);
            }
            Err(status) => irp::complete(k, &irp, status, 0),
        }
    }
}

/// Cancels what an ending thread has in flight, except what a completion port will hear of: that belongs to no thread.
pub fn thread_exits(k: &mut Kernel, thread: &ObRef<Thread>) {
    let by_port = |irp: &Irp| irp.target.apc_routine.0 == 0 && irp.file.state.open().port.is_some();
    irp::cancel(k, |irp| Arc::ptr_eq(&irp.thread, thread) && !by_port(irp));
}

/// Trace text of a file or device object.
pub fn describe_object(object: &AnyRef) -> Option<String> {
    match object.object_type().name {
        "File" => Some(downcast::<FileObject>(object.clone()).ok()?.full_name().to_string()),
        "Device" => Some(downcast::<Device>(object.clone()).ok()?.name.to_string()),
        _ => None,
    }
}
