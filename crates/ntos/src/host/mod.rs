//! The host behind one trait: clock, entropy, standard streams, files.
//!
//! Everything that enters a machine enters here, so that a run can be made deterministic and, later, journalled.
//! Implementations: `machine::host`. Files are in [`files`].

pub mod files;

use std::sync::Arc;
use std::time::Duration;

/// A standard stream of the nten process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// What a standard stream is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamKind {
    /// A terminal.
    Terminal,
    /// A pipe or socket.
    Pipe,
    /// A regular file.
    File,
    /// The null device, or closed.
    Null,
}

/// Something the host tells a machine that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostEvent {
    /// A stream that was asked for input has some, or has ended.
    Readable(Stream),
    /// The terminal has input or another size.
    Terminal,
    /// The user asked the machine to end (Ctrl-C).
    Interrupt,
}

/// The outside world.
pub trait Host: Send + Sync {
    /// 100 ns since 1601, UTC.
    fn system_time(&self) -> i64;

    /// 100 ns since the machine started; never goes back.
    fn interrupt_time(&self) -> u64;

    /// Minutes to add to local time to get UTC.
    fn time_zone_bias(&self) -> i32;

    /// Fills a buffer with random bytes.
    fn entropy(&self, into: &mut [u8]);

    /// What a standard stream is.
    fn stream_kind(&self, stream: Stream) -> StreamKind;

    /// The content of a stream that is a regular file, and the position it has been read or written to.
    fn stream_file(&self, _stream: Stream) -> Option<(Arc<dyn files::HostFile>, u64)> {
        None
    }

    /// Reads what is there; `Ok(None)` if nothing is there yet (then [`HostEvent::Readable`] follows), `Ok(Some(0))`
    /// at the end.
    fn stream_read(&self, stream: Stream, into: &mut [u8]) -> std::io::Result<Option<usize>>;

    /// Writes all bytes.
    fn stream_write(&self, stream: Stream, bytes: &[u8]) -> std::io::Result<()>;

    /// Takes what was typed at the terminal; nothing if there is no terminal in use.
    fn terminal_read(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Columns and rows of the terminal that the machine's console shows on; `None` without one.
    fn terminal_size(&self) -> Option<(u16, u16)> {
        None
    }

    /// Waits for an event until the time is over; `None` waits for ever. A virtual clock advances instead.
    fn wait(&self, timeout: Option<Duration>) -> Option<HostEvent>;

    /// An event that is there already, without waiting.
    fn poll(&self) -> Option<HostEvent>;

    /// Tells a virtual clock that guest instructions were executed.
    fn executed(&self, _instructions: u64) {}

    /// The time stamp counter after that many guest instructions.
    fn tsc(&self, instructions: u64) -> u64;

    /// One line of nten's own words for the user, without the `nten:` prefix.
    fn diagnostic(&self, text: &str);

    /// The volumes that the user gave, opened beneath their roots.
    fn volumes(&self) -> Vec<files::VolumeSpec>;
}
