//! Open ends of pipes, and the device's root directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::NtResult;
use abi::io::*;
use abi::status_table::*;
use ntos::Kernel;
use ntos::io::FileFacts;
use ntos::io::device::OpenFile;
use ntos::io::directory::{DirectoryEntry, Pattern};
use ntos::io::irp::{self, IoResult, Irp, Outcome, Request};
use ntos::se::Token;
use ntos::se::token::{TokenKind, TokenState};
use ntos::ustr::UnicodeString;
use zerocopy::IntoBytes;

use super::Npfs;
use super::instance::{EndMode, Instance, Pipe, Side};

/// `SECURITY_IMPERSONATION_LEVEL`: impersonation.
const IMPERSONATION: u32 = 2;

pub(crate) const FILE_PIPE_INFORMATION: u32 = 23;
pub(crate) const FILE_PIPE_LOCAL: u32 = 24;

/// One end of an instance.
pub struct PipeEnd {
    npfs: Arc<Npfs>,
    /// The instance.
    pub instance: Arc<Instance>,
    /// Which end.
    pub side: Side,
    name: UnicodeString,
    closed: AtomicBool,
    /// The pipe, if nothing else keeps it.
    kept: Option<Arc<Pipe>>,
}

impl PipeEnd {
    /// An end that was just opened.
    pub fn new(npfs: &Arc<Npfs>, instance: Arc<Instance>, side: Side, name: UnicodeString) -> Self {
        PipeEnd {
            npfs: npfs.clone(),
            instance,
            side,
            name,
            closed: AtomicBool::new(false),
            kept: None,
        }
    }

    /// True for a pipe without a name.
    pub fn is_anonymous(&self) -> bool {
        self.name.is_empty()
    }

    /// Keeps a pipe that has no name.
    pub fn keep(&mut self, pipe: Arc<Pipe>) {
        self.kept = Some(pipe);
    }

    fn server_only(&self) -> NtResult<()> {
        if self.side == Side::Server { Ok(()) } else { Err(STATUS_ILLEGAL_FUNCTION) }
    }

    /// Gives the calling thread the client's token.
    fn impersonate(&self, k: &mut Kernel, irp: &Irp) -> IoResult {
        let client = self.instance.client_token()?;
        let state = client.state.open().clone();
        let kind = TokenKind::Impersonation(IMPERSONATION);
        let token = Token::create(k, TokenState { kind, ..state })?;
        *irp.thread.impersonation.open() = Some(token);
        Outcome::ok(0)
    }
}

impl OpenFile for PipeEnd {
    fn name(&self) -> UnicodeString {
        self.name.clone()
    }

    fn read(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        self.instance.read(k, self.side, irp)
    }

    fn write(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Write { buffer, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let data = buffer.read_all(k)?;
        self.instance.write(k, self.side, irp, data)
    }

    fn flush(&self, _k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        self.instance.flush(self.side, irp)
    }

    fn fs_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        match irp.control()?.0 {
            FSCTL_PIPE_LISTEN => {
                self.server_only()?;
                let (result, free) = self.instance.listen(irp);
                if free {
                    self.npfs.instance_is_free(k, &self.name);
                }
                result
            }
            FSCTL_PIPE_DISCONNECT => {
                self.server_only()?;
                self.instance.disconnect(k)?;
                Outcome::ok(0)
            }
            FSCTL_PIPE_PEEK => self.instance.peek(k, self.side, irp),
            FSCTL_PIPE_TRANSCEIVE => self.instance.transceive(k, self.side, irp),
            FSCTL_PIPE_IMPERSONATE => {
                self.server_only()?;
                self.impersonate(k, irp)
            }
            code => {
                k.notice_once(format!("npfs: file system control {code:#x} is not implemented"));
                Err(STATUS_INVALID_DEVICE_REQUEST)
            }
        }
    }

    fn device_control(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_NOT_SUPPORTED)
    }

    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        let local = self.instance.local_information(self.side);
        Ok(FileFacts {
            size: local.ReadDataAvailable.into(),
            allocated: u64::from(local.InboundQuota) + u64::from(local.OutboundQuota),
            attributes: FILE_ATTRIBUTE_NORMAL,
            links: 2,
            // NPFS says so of every pipe: it goes with its last handle.
            delete_pending: true,
            ..FileFacts::default()
        })
    }

    fn query_own(&self, k: &mut Kernel, class: u32) -> NtResult<Vec<u8>> {
        match class {
            FILE_PIPE_INFORMATION => {
                let mode = self.instance.mode(self.side);
                let words = [u32::from(mode.message_read), u32::from(mode.nonblocking)];
                Ok(words.as_bytes().to_vec())
            }
            FILE_PIPE_LOCAL => Ok(self.instance.local_information(self.side).as_bytes().to_vec()),
            _ => {
                k.notice_once(format!("npfs: information class {class} is not implemented"));
                Err(STATUS_INVALID_INFO_CLASS)
            }
        }
    }

    fn set_own(&self, _k: &mut Kernel, class: u32, bytes: &[u8]) -> NtResult<()> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or(STATUS_INFO_LENGTH_MISMATCH)
        };
        match (class, word(0)?, word(4)?) {
            (FILE_PIPE_INFORMATION, message @ 0..=1, nonblocking @ 0..=1) => {
                let mode = EndMode { message_read: message != 0, nonblocking: nonblocking != 0 };
                self.instance.set_mode(self.side, mode)
            }
            _ => Err(STATUS_INVALID_PARAMETER),
        }
    }

    fn cleanup(&self, k: &mut Kernel) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        self.instance.close(k, self.side);
        if self.side == Side::Server {
            self.npfs.server_closed(&self.instance);
        }
    }
}

/// The device itself or its root directory.
pub struct PipeRoot {
    npfs: Arc<Npfs>,
    directory: bool,
}

impl PipeRoot {
    /// Opens the device, or its directory `\`.
    pub fn new(npfs: &Arc<Npfs>, directory: bool) -> Self {
        PipeRoot { npfs: npfs.clone(), directory }
    }
}

impl OpenFile for PipeRoot {
    fn name(&self) -> UnicodeString {
        UnicodeString::from(if self.directory { "\\" } else { "" })
    }

    fn is_directory(&self) -> bool {
        self.directory
    }

    fn fs_control(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let (code, input, _) = irp.control()?;
        if code != FSCTL_PIPE_WAIT {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let word = |at: usize| -> NtResult<u32> {
            let bytes = input.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or(STATUS_INVALID_PARAMETER)
        };
        let timeout = i64::from(word(0)?) | i64::from(word(4)? as i32) << 32;
        let length = word(8)? as usize;
        let given = input.get(12).is_some_and(|specified| *specified != 0);
        let end = FILE_PIPE_WAIT_NAME_AT.checked_add(length).ok_or(STATUS_INVALID_PARAMETER)?;
        let name = input.get(FILE_PIPE_WAIT_NAME_AT..end).ok_or(STATUS_INVALID_PARAMETER)?;
        let units = name.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
        let mut path = vec![u16::from(b'\\')];
        path.extend(units);
        let name = UnicodeString(path);
        let pipe = self.npfs.find(&name).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        if pipe.instances.open().iter().any(|instance| instance.is_listening()) {
            return Outcome::ok(0);
        }
        let timeout = if given { timeout } else { pipe.parameters.default_timeout };
        if let Some(deadline) = ntos::ke::timer::deadline(k, Some(timeout)) {
            irp::expire_at(k, irp, deadline, STATUS_IO_TIMEOUT);
        }
        self.npfs.wait_for(name, irp);
        Ok(Outcome::Pending)
    }

    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        let attributes =
            if self.directory { FILE_ATTRIBUTE_DIRECTORY } else { FILE_ATTRIBUTE_NORMAL };
        let directory = self.directory;
        Ok(FileFacts { attributes, directory, links: 1, ..FileFacts::default() })
    }

    fn list(&self, _k: &mut Kernel, pattern: &Pattern) -> NtResult<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for pipe in self.npfs.pipes() {
            let name = UnicodeString::from(pipe.name.get(1..).unwrap_or_default());
            if pattern.shows(&name) {
                // NPFS shows the instances as the size and their limit as the allocation.
                let facts = FileFacts {
                    size: pipe.instances.open().len() as u64,
                    allocated: pipe.parameters.max_instances.into(),
                    attributes: FILE_ATTRIBUTE_NORMAL,
                    links: 1,
                    ..FileFacts::default()
                };
                entries.push(DirectoryEntry { name, facts });
            }
        }
        Ok(entries)
    }
}
