//! The standard streams of the process as files.
//!
//! A terminal or pipe shows itself as a pipe, a redirected file as a disk file, a closed stream as the null device:
//! what `GetFileType` then says is what the C runtimes expect. Console controls fail with `STATUS_NOT_SUPPORTED`, so
//! that programs use `NtWriteFile`.

use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::ob::OBJ_INHERIT;
use abi::status_table::*;
use ntos::Kernel;
use ntos::host::files::{HostFile, status_of};
use ntos::host::{Stream, StreamKind};
use ntos::io::device::{Created, Device, Driver, FILE_ACCESS, OpenFile, add_device};
use ntos::io::file::create_object;
use ntos::io::irp::{IoResult, Irp, Outcome, Request};
use ntos::io::{CreateRequest, FileFacts, FileObject, wait_for_stream};
use ntos::ob::{HandleEntry, HandleTable, ObRef};
use ntos::ustr::UnicodeString;
use zerocopy::IntoBytes;

use crate::npfs::{FILE_PIPE_INFORMATION, FILE_PIPE_LOCAL};

/// Bytes taken from the host or the guest at a time.
const PIECE: usize = 0x1_0000;

/// The driver: its device has no name that can be opened.
struct Streams;

/// An open standard stream.
struct StreamFile {
    stream: Stream,
    kind: StreamKind,
    /// What it is redirected to. Input is read at the file's position, as programs that seek in it expect; output goes
    /// through the stream, whose position other streams may share.
    content: Option<Arc<dyn HostFile>>,
}

/// Opens a standard stream: a synchronous file object to enter in the first process's handle table.
pub fn open(k: &mut Kernel, stream: Stream) -> NtResult<ObRef<FileObject>> {
    let kind = k.host.stream_kind(stream);
    let device_type = match kind {
        StreamKind::Terminal | StreamKind::Pipe => FILE_DEVICE_NAMED_PIPE,
        StreamKind::File => FILE_DEVICE_DISK,
        StreamKind::Null => FILE_DEVICE_NULL,
    };
    let device = add_device(k, "", device_type, 0, Arc::new(Streams))?;
    let (content, position) = k.host.stream_file(stream).unzip();
    let file = Box::new(StreamFile { stream, kind, content });
    let file = create_object(k, &device, file, FILE_SYNCHRONOUS_IO_NONALERT)?;
    file.moved_to(position.unwrap_or_default());
    Ok(file)
}

/// Opens a standard stream in a handle table: the handle is inherited by child processes.
pub fn open_standard(k: &mut Kernel, handles: &mut HandleTable, stream: Stream) -> NtResult<u64> {
    let access = match stream {
        Stream::Input => FILE_ACCESS.read,
        Stream::Output | Stream::Error => FILE_ACCESS.write | FILE_READ_ATTRIBUTES,
    };
    let file = open(k, stream)?;
    handles.insert(HandleEntry { object: file, access, attributes: OBJ_INHERIT })
}

impl Driver for Streams {
    fn name(&self) -> &'static str {
        "stream"
    }

    fn create(
        &self,
        _k: &mut Kernel,
        _device: &ObRef<Device>,
        _request: &CreateRequest,
    ) -> NtResult<Created> {
        Err(STATUS_OBJECT_NAME_NOT_FOUND)
    }
}

/// The size of a Linux pipe's buffer, which is what is behind most streams.
const PIPE_QUOTA: u32 = 0x1_0000;

impl StreamFile {
    fn is_pipe(&self) -> bool {
        matches!(self.kind, StreamKind::Pipe | StreamKind::Terminal)
    }
}

impl OpenFile for StreamFile {
    fn name(&self) -> UnicodeString {
        UnicodeString::from(match self.stream {
            Stream::Input => "\\StandardInput",
            Stream::Output => "\\StandardOutput",
            Stream::Error => "\\StandardError",
        })
    }

    fn is_seekable(&self) -> bool {
        self.stream == Stream::Input && self.content.is_some()
    }

    fn read(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Read { buffer, offset, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        if buffer.len == 0 {
            return Outcome::ok(0);
        }
        let mut bytes = vec![0; buffer.len.min(PIECE)];
        if let Some(content) = &self.content {
            let count = content.read_at(*offset, &mut bytes).map_err(|error| status_of(&error))?;
            if count == 0 {
                return Err(STATUS_END_OF_FILE);
            }
            buffer.write(k, 0, bytes.get(..count).unwrap_or_default())?;
            irp.file.moved_to(offset.saturating_add(count as u64));
            return Outcome::ok(count as u64);
        }
        match k.host.stream_read(self.stream, &mut bytes) {
            Ok(Some(0)) if self.kind == StreamKind::Pipe => Err(STATUS_PIPE_BROKEN),
            Ok(Some(0)) => Err(STATUS_END_OF_FILE),
            Ok(Some(count)) => {
                buffer.write(k, 0, bytes.get(..count).unwrap_or_default())?;
                Outcome::ok(count as u64)
            }
            Ok(None) => {
                wait_for_stream(k, self.stream, irp);
                Ok(Outcome::Pending)
            }
            Err(error) => Err(status_of(&error)),
        }
    }

    fn write(&self, k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        let Request::Write { buffer, .. } = &irp.request else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        };
        let mut piece = vec![0; buffer.len.min(PIECE)];
        let mut done = 0;
        while done < buffer.len {
            let count = piece.len().min(buffer.len - done);
            let part = piece.get_mut(..count).unwrap_or_default();
            buffer.read(k, done, part)?;
            let written = k.host.stream_write(self.stream, part);
            written.map_err(|error| match status_of(&error) {
                // Nobody reads any more: a writer is told so in other words than a reader.
                STATUS_PIPE_BROKEN => STATUS_PIPE_CLOSING,
                status => status,
            })?;
            done += count;
        }
        let position = irp.file.state.open().position.max(0) as u64;
        irp.file.moved_to(position.saturating_add(done as u64));
        Outcome::ok(done as u64)
    }

    fn device_control(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_NOT_SUPPORTED)
    }

    fn flush(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Outcome::ok(0)
    }

    /// A stream that is shown as a pipe is one of bytes, connected, whose reads wait.
    fn query_own(&self, k: &mut Kernel, class: u32) -> NtResult<Vec<u8>> {
        match class {
            FILE_PIPE_INFORMATION if self.is_pipe() => Ok(vec![0; 8]),
            FILE_PIPE_LOCAL if self.is_pipe() => {
                let (inbound, outbound) = match self.stream {
                    Stream::Input => (PIPE_QUOTA, 0),
                    Stream::Output | Stream::Error => (0, PIPE_QUOTA),
                };
                let information = FILE_PIPE_LOCAL_INFORMATION {
                    NamedPipeConfiguration: u32::from(self.stream != Stream::Input),
                    MaximumInstances: 1,
                    CurrentInstances: 1,
                    InboundQuota: inbound,
                    OutboundQuota: outbound,
                    WriteQuotaAvailable: outbound,
                    NamedPipeState: FILE_PIPE_CONNECTED_STATE,
                    ..FILE_PIPE_LOCAL_INFORMATION::default()
                };
                Ok(information.as_bytes().to_vec())
            }
            _ => {
                k.notice_once(format!("stream: information class {class} is not implemented"));
                Err(STATUS_INVALID_PARAMETER)
            }
        }
    }

    fn set_own(&self, _k: &mut Kernel, class: u32, bytes: &[u8]) -> NtResult<()> {
        // The one mode there is may be set again.
        match (class, bytes) {
            (FILE_PIPE_INFORMATION, [0, 0, 0, 0, 0, 0, 0, 0]) if self.is_pipe() => Ok(()),
            _ => Err(STATUS_INVALID_PARAMETER),
        }
    }

    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        let attributes = FILE_ATTRIBUTE_NORMAL;
        let facts = FileFacts { attributes, links: 1, ..FileFacts::default() };
        let Some(content) = &self.content else { return Ok(facts) };
        let metadata = content.metadata().map_err(|error| status_of(&error))?;
        Ok(FileFacts {
            created: metadata.created,
            accessed: metadata.accessed,
            modified: metadata.modified,
            changed: metadata.changed,
            size: metadata.size,
            allocated: metadata.allocated,
            id: metadata.inode,
            ..facts
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Machine, STATUS, Scratch};
    use ntos::svc::Handle;
    use ntos::testing::DATA;

    #[test]
    fn output_goes_to_the_host_and_console_controls_fail() {
        let m = Machine::new(&Scratch::new());
        let open = |stream| {
            m.machine.with(|cx| {
                let mut handles = std::mem::take(&mut *cx.process().handles.open());
                let handle = open_standard(cx.k, &mut handles, stream).unwrap();
                *cx.process().handles.open() = handles;
                Handle(handle)
            })
        };
        let (input, output) = (open(Stream::Input), open(Stream::Output));
        assert_eq!(m.write(output, None, b"some "), Ok(5));
        assert_eq!(m.write(output, Some(0), b"text"), Ok(4));
        assert_eq!(*m.machine.host.written.lock(), b"some text");
        assert_eq!(m.read(input, None, 5), Err(STATUS_END_OF_FILE));
        assert_eq!(m.write(input, None, b"x"), Err(STATUS_ACCESS_DENIED));
        let control = [output.0, 0, 0, 0, DATA + STATUS, 0x50_8078, 0, 0, 0, 0];
        assert_eq!(m.call("NtDeviceIoControlFile", &control), Err(STATUS_NOT_SUPPORTED));
        let volume = [output.0, DATA + STATUS, DATA + crate::testing::BUFFER, 8, 4];
        m.call("NtQueryVolumeInformationFile", &volume).unwrap();
        // The test host's streams are closed.
        assert_eq!(m.bytes(4), FILE_DEVICE_NULL.to_le_bytes());
    }
}
