//! One direction of a pipe: what was written and not yet read, and who waits for it.
//!
//! Key types: [`Queue`], [`Ended`]. Readers wait while the queue is empty, writers while it holds more than its quota.
//! A write is one chunk, which is a message where the pipe has messages.

use std::collections::VecDeque;
use std::sync::Arc;

use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::Kernel;
use ntos::io::irp::{Irp, Request, UserBuffer};

/// Requests to complete, with status and information.
pub type Ended = Vec<(Arc<Irp>, NtStatus, u64)>;

struct Chunk {
    data: Vec<u8>,
    /// Bytes read already.
    at: usize,
    /// Who waits for it to be read.
    writer: Option<Arc<Irp>>,
}

impl Chunk {
    fn left(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }
}

/// One direction of a pipe.
#[derive(Default)]
pub struct Queue {
    chunks: VecDeque<Chunk>,
    readers: VecDeque<Arc<Irp>>,
    flushers: Vec<Arc<Irp>>,
    /// Bytes it holds before writers wait.
    pub quota: usize,
}

/// What a read took.
pub struct Taken {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// `STATUS_BUFFER_OVERFLOW` if a message has more.
    pub status: NtStatus,
}

/// Where a reading request wants its bytes: a read, or the answer of a transaction.
pub fn target(irp: &Irp) -> NtResult<&UserBuffer> {
    match &irp.request {
        Request::Read { buffer, .. } => Ok(buffer),
        Request::Control { output, .. } => Ok(output),
        _ => Err(STATUS_INVALID_DEVICE_REQUEST),
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(quota: usize) -> Self {
        Queue { quota, ..Queue::default() }
    }

    /// Drops what was cancelled meanwhile.
    fn purge(&mut self) {
        self.readers.retain(|irp| !irp.is_done());
        self.flushers.retain(|irp| !irp.is_done());
        self.chunks.retain(|chunk| !chunk.writer.as_ref().is_some_and(|irp| irp.is_done()));
    }

    /// True if there is nothing to read.
    pub fn is_empty(&mut self) -> bool {
        self.purge();
        self.chunks.is_empty()
    }

    /// Bytes to read.
    pub fn bytes(&mut self) -> usize {
        self.purge();
        self.chunks.iter().map(|chunk| chunk.left().len()).sum()
    }

    /// Writes to read, and bytes left of the first.
    pub fn messages(&mut self) -> (usize, usize) {
        self.purge();
        (self.chunks.len(), self.chunks.front().map_or(0, |chunk| chunk.left().len()))
    }

    /// Up to `len` bytes without taking them.
    pub fn peek(&mut self, len: usize, message_mode: bool) -> Vec<u8> {
        self.purge();
        let chunks = if message_mode { 1 } else { self.chunks.len() };
        let bytes = self.chunks.iter().take(chunks).flat_map(|chunk| chunk.left());
        bytes.take(len).copied().collect()
    }

    /// Takes up to `len` bytes, of one message in message mode. Writers whose bytes are all read end.
    pub fn take(&mut self, len: usize, message_mode: bool, ended: &mut Ended) -> Taken {
        let mut bytes = Vec::new();
        let mut status = STATUS_SUCCESS;
        while let Some(chunk) = self.chunks.front_mut() {
            let left = chunk.left();
            let count = left.len().min(len - bytes.len());
            bytes.extend_from_slice(left.get(..count).unwrap_or_default());
            chunk.at += count;
            if chunk.at < chunk.data.len() {
                if message_mode {
                    status = STATUS_BUFFER_OVERFLOW;
                }
                break;
            }
            if let Some(done) = self.chunks.pop_front()
                && let Some(writer) = done.writer
            {
                ended.push((writer, STATUS_SUCCESS, done.data.len() as u64));
            }
            if message_mode || bytes.len() == len {
                break;
            }
        }
        self.release_writers(ended);
        Taken { bytes, status }
    }

    /// Ends writers whose bytes fit the quota now, and flushers of an empty queue.
    fn release_writers(&mut self, ended: &mut Ended) {
        let mut held = 0;
        for chunk in &mut self.chunks {
            held += chunk.left().len();
            if held <= self.quota
                && let Some(writer) = chunk.writer.take()
            {
                ended.push((writer, STATUS_SUCCESS, chunk.data.len() as u64));
            }
        }
        if self.chunks.is_empty() {
            ended.extend(self.flushers.drain(..).map(|irp| (irp, STATUS_SUCCESS, 0)));
        }
    }

    /// Makes a reader wait.
    pub fn wait_to_read(&mut self, irp: &Arc<Irp>) {
        self.readers.push_back(irp.clone());
    }

    /// Makes a flusher wait until all is read; false if it need not.
    pub fn wait_to_flush(&mut self, irp: &Arc<Irp>) -> bool {
        let waits = !self.is_empty();
        if waits {
            self.flushers.push(irp.clone());
        }
        waits
    }

    /// Adds a write and serves waiting readers with it. True if the writer must wait: its request is kept.
    pub fn put(
        &mut self,
        k: &mut Kernel,
        data: Vec<u8>,
        writer: &Arc<Irp>,
        message_mode: bool,
        ended: &mut Ended,
    ) -> bool {
        self.purge();
        self.chunks.push_back(Chunk { data, at: 0, writer: None });
        self.serve(k, message_mode, ended);
        let held: usize = self.chunks.iter().map(|chunk| chunk.left().len()).sum();
        match self.chunks.back_mut() {
            Some(chunk) if held > self.quota => {
                chunk.writer = Some(writer.clone());
                true
            }
            _ => false,
        }
    }

    /// Keeps the last write whoever made it: its request ends otherwise.
    pub fn keep_unowned(&mut self) {
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.writer = None;
        }
    }

    /// Takes the last write back as far as it does not fit; returns how much of it was accepted.
    pub fn cut(&mut self, whole: bool) -> usize {
        let held: usize = self.chunks.iter().map(|chunk| chunk.left().len()).sum();
        let over = held.saturating_sub(self.quota);
        let Some(mut last) = self.chunks.pop_back() else { return 0 };
        let kept = last.data.len() - over.min(last.left().len());
        if (whole && over > 0) || kept == last.at {
            return last.at;
        }
        last.data.truncate(kept);
        last.writer = None;
        self.chunks.push_back(last);
        kept
    }

    /// Gives what is there to readers that wait.
    fn serve(&mut self, k: &mut Kernel, message_mode: bool, ended: &mut Ended) {
        while !self.chunks.is_empty()
            && let Some(reader) = self.readers.pop_front()
        {
            let room = target(&reader).map_or(0, |buffer| buffer.len);
            let taken = self.take(room, message_mode, ended);
            let stored = target(&reader).and_then(|buffer| buffer.write(k, 0, &taken.bytes));
            let status = stored.err().unwrap_or(taken.status);
            ended.push((reader, status, taken.bytes.len() as u64));
        }
    }

    /// The writing end is gone: readers of an empty queue end. What was written stays.
    pub fn writer_left(&mut self, ended: &mut Ended) {
        self.purge();
        if self.chunks.is_empty() {
            ended.extend(self.readers.drain(..).map(|irp| (irp, STATUS_PIPE_BROKEN, 0)));
        }
        for chunk in &mut self.chunks {
            // The requests of a closed file are cancelled; their bytes were accepted.
            chunk.writer = None;
        }
    }

    /// The reading end is gone: what is there is lost, writers and flushers end.
    pub fn reader_left(&mut self, ended: &mut Ended) {
        self.end_all(STATUS_PIPE_BROKEN, ended);
    }

    /// Everything in the queue is lost and everyone who waits ends.
    pub fn end_all(&mut self, status: NtStatus, ended: &mut Ended) {
        self.purge();
        let writers = self.chunks.drain(..).filter_map(|chunk| chunk.writer);
        let all = writers.chain(self.readers.drain(..)).chain(self.flushers.drain(..));
        ended.extend(all.map(|irp| (irp, status, 0)));
    }
}
