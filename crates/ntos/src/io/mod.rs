//! The I/O manager.

use abi::NtResult;

use crate::Kernel;
use crate::ob::{AnyRef, ObRef};
use crate::ps::Thread;

/// State of the I/O manager.
#[derive(Default)]
pub struct IoState {}

impl IoState {
    /// True while a request waits for the host: standard input.
    pub fn waits_for_host(&self) -> bool {
        false
    }
}

/// A standard stream that was asked for input has some.
pub fn stream_ready(_k: &mut Kernel, _stream: crate::host::Stream) {}

/// Cancels what an ending thread has in flight.
pub fn thread_exits(_k: &mut Kernel, _thread: &ObRef<Thread>) -> NtResult<()> {
    Ok(())
}

/// Trace text of a file or device object.
pub fn describe_object(_object: &AnyRef) -> Option<String> {
    None
}
