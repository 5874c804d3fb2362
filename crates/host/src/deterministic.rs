//! A host whose clock and entropy depend on nothing but what the guest does.
//!
//! Key type: [`DeterministicHost`]. Time is executed instructions plus time waited for; a wait advances the clock at
//! once. Input is waited for where it is read, so that its arrival time cannot change the course of a run.

use std::io::Result;
use std::sync::Arc;
use std::time::Duration;

use ntos::host::files::{HostFile, HostFolder, VolumeSpec};
use ntos::host::{Host, HostEvent, Stream, StreamKind};
use parking_lot::Mutex;

/// Instructions in 100 ns of virtual time: a processor of 1 GHz that does one a cycle.
const INSTRUCTIONS_PER_TICK: u64 = 100;

/// 2024-01-01 00:00 UTC, in 100 ns since 1601.
const DEFAULT_START: i64 = 133_485_408_000_000_000;

/// A host with a virtual clock over another one that brings streams and files.
pub struct DeterministicHost {
    inner: Arc<dyn Host>,
    start: i64,
    state: Mutex<State>,
}

struct State {
    instructions: u64,
    waited: u64,
    random: u64,
    interrupted: bool,
}

impl DeterministicHost {
    /// Wraps a host; runs with the same seed and the same input are the same.
    pub fn new(inner: Arc<dyn Host>, seed: u64) -> Self {
        let state = State { instructions: 0, waited: 0, random: seed, interrupted: false };
        DeterministicHost { inner, start: DEFAULT_START, state: Mutex::new(state) }
    }

    /// Starts the clock at a time, 100 ns since 1601.
    pub fn starting_at(mut self, start: i64) -> Self {
        self.start = start;
        self
    }
}

/// The next number of SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Host for DeterministicHost {
    fn system_time(&self) -> i64 {
        self.start.saturating_add(self.interrupt_time() as i64)
    }

    fn interrupt_time(&self) -> u64 {
        let state = self.state.lock();
        state.instructions / INSTRUCTIONS_PER_TICK + state.waited
    }

    fn time_zone_bias(&self) -> i32 {
        0
    }

    fn entropy(&self, into: &mut [u8]) {
        let mut state = self.state.lock();
        for chunk in into.chunks_mut(8) {
            let bytes = next(&mut state.random).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = from;
            }
        }
    }

    fn stream_kind(&self, stream: Stream) -> StreamKind {
        self.inner.stream_kind(stream)
    }

    fn stream_file(&self, stream: Stream) -> Option<(Arc<dyn HostFile>, u64)> {
        self.inner.stream_file(stream)
    }

    fn stream_read(&self, stream: Stream, into: &mut [u8]) -> Result<Option<usize>> {
        loop {
            if let Some(count) = self.inner.stream_read(stream, into)? {
                return Ok(Some(count));
            }
            if self.inner.wait(None) == Some(HostEvent::Interrupt) {
                self.state.lock().interrupted = true;
                return Ok(None);
            }
        }
    }

    fn stream_write(&self, stream: Stream, bytes: &[u8]) -> Result<()> {
        self.inner.stream_write(stream, bytes)
    }

    fn wait(&self, timeout: Option<Duration>) -> Option<HostEvent> {
        if let Some(event) = self.poll() {
            return Some(event);
        }
        match timeout {
            Some(timeout) => {
                let ticks = timeout.as_nanos().div_ceil(100);
                self.state.lock().waited += u64::try_from(ticks).unwrap_or(u64::MAX >> 1);
                None
            }
            None => self.inner.wait(None),
        }
    }

    fn poll(&self) -> Option<HostEvent> {
        if std::mem::take(&mut self.state.lock().interrupted) {
            return Some(HostEvent::Interrupt);
        }
        // Of the outside world only the user's wish to stop comes through.
        self.inner.poll().filter(|event| *event == HostEvent::Interrupt)
    }

    fn executed(&self, instructions: u64) {
        self.state.lock().instructions += instructions;
    }

    fn tsc(&self, instructions: u64) -> u64 {
        let waited = self.state.lock().waited;
        instructions.wrapping_add(waited.wrapping_mul(INSTRUCTIONS_PER_TICK))
    }

    fn diagnostic(&self, text: &str) {
        self.inner.diagnostic(text);
    }

    fn volumes(&self) -> Vec<VolumeSpec> {
        self.inner.volumes()
    }

    fn hives(&self) -> Option<Arc<dyn HostFolder>> {
        self.inner.hives()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(seed: u64) -> DeterministicHost {
        DeterministicHost::new(Arc::new(crate::LinuxHost::new(Vec::new())), seed)
    }

    #[test]
    fn time_is_instructions_and_waits() {
        let host = host(1);
        host.executed(1_000);
        assert_eq!(host.interrupt_time(), 10);
        assert_eq!(host.wait(Some(Duration::from_secs(60))), None);
        assert_eq!(host.interrupt_time(), 10 + 600_000_000);
        assert_eq!(host.system_time(), DEFAULT_START + 600_000_010);
    }

    #[test]
    fn entropy_depends_on_the_seed_alone() {
        let draw = |seed| {
            let mut bytes = [0u8; 20];
            host(seed).entropy(&mut bytes);
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
