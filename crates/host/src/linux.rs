//! The real world: the system's clock, entropy and streams.

use std::io::Result;
use std::sync::Arc;
use std::time::Duration;

use ntos::host::files::{HostFile, VolumeSpec};
use ntos::host::{Host, HostEvent, Stream, StreamKind};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::clock;
use crate::events::Events;
use crate::streams::{self, Watcher};
use crate::terminal::Terminal;

/// The host of a machine that lives in real time.
pub struct LinuxHost {
    started: u64,
    bias: i32,
    events: Arc<Events>,
    watcher: Watcher,
    volumes: Vec<VolumeSpec>,
    terminal: Option<Terminal>,
}

impl LinuxHost {
    /// A host with the volumes that the user gave.
    pub fn new(volumes: Vec<VolumeSpec>) -> Self {
        let events = Arc::new(Events::default());
        let watcher = Watcher::new(events.clone());
        let (started, bias, terminal) = (clock::monotonic(), clock::bias(), None);
        LinuxHost { started, bias, events, watcher, volumes, terminal }
    }

    /// Takes the terminal over for a console, if standard input and output are one. It is restored when the host goes.
    pub fn take_terminal(&mut self) -> Result<()> {
        self.terminal = Terminal::open(&self.events)?;
        Ok(())
    }

    /// Turns SIGINT (Ctrl-C) and SIGTERM into [`HostEvent::Interrupt`] for this machine.
    pub fn catch_interrupts(&self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let events = self.events.clone();
        std::thread::Builder::new().name("nten-signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                events.push(HostEvent::Interrupt);
            }
        })?;
        Ok(())
    }

    fn elapsed_nanoseconds(&self) -> u64 {
        clock::monotonic().saturating_sub(self.started)
    }
}

impl Host for LinuxHost {
    fn system_time(&self) -> i64 {
        clock::now()
    }

    fn interrupt_time(&self) -> u64 {
        self.elapsed_nanoseconds() / 100
    }

    fn time_zone_bias(&self) -> i32 {
        self.bias
    }

    fn entropy(&self, into: &mut [u8]) {
        let mut rest = into;
        while !rest.is_empty() {
            match rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                // Linux without getrandom (before 3.17) is not supported: openat2 is newer by far.
                Err(error) => {
                    self.diagnostic(&format!("the host gives no entropy: {error}"));
                    return;
                }
            }
        }
    }

    fn stream_kind(&self, stream: Stream) -> StreamKind {
        streams::kind(stream)
    }

    fn stream_file(&self, stream: Stream) -> Option<(Arc<dyn HostFile>, u64)> {
        streams::file(stream)
    }

    fn stream_read(&self, stream: Stream, into: &mut [u8]) -> Result<Option<usize>> {
        self.watcher.read(stream, into)
    }

    fn stream_write(&self, stream: Stream, bytes: &[u8]) -> Result<()> {
        streams::write(stream, bytes)
    }

    fn terminal_read(&self) -> Vec<u8> {
        self.terminal.as_ref().map(Terminal::take).unwrap_or_default()
    }

    fn terminal_size(&self) -> Option<(u16, u16)> {
        self.terminal.as_ref().map(Terminal::size)
    }

    fn wait(&self, timeout: Option<Duration>) -> Option<HostEvent> {
        self.events.wait(timeout)
    }

    fn poll(&self) -> Option<HostEvent> {
        self.events.poll()
    }

    fn tsc(&self, _instructions: u64) -> u64 {
        // A time stamp counter of 1 GHz.
        self.elapsed_nanoseconds()
    }

    fn diagnostic(&self, text: &str) {
        let line = format!("nten: {text}\n");
        if self.terminal.as_ref().is_some_and(|terminal| terminal.keep(line.as_bytes())) {
            return;
        }
        // Nothing is left to tell it to when standard error is gone.
        let _ = streams::write(Stream::Error, line.as_bytes());
    }

    fn volumes(&self) -> Vec<VolumeSpec> {
        self.volumes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupt_time_goes_on_and_entropy_differs() {
        let host = LinuxHost::new(Vec::new());
        let before = host.interrupt_time();
        assert_eq!(host.wait(Some(Duration::from_millis(2))), None);
        assert!(host.interrupt_time() >= before + 20_000);
        let (mut a, mut b) = ([0u8; 16], [0u8; 16]);
        host.entropy(&mut a);
        host.entropy(&mut b);
        assert_ne!(a, b);
    }
}
