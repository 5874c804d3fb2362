//! What the drivers' tests share: a machine whose `C:` is a scratch folder, and services called by name.
//!
//! Key types: [`Machine`], [`Scratch`]. The process's one page holds, from [`DATA`]: a handle, a status block, two
//! offsets, object attributes, and from [`BUFFER`] on the data.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::io::*;
use abi::ob::{IO_STATUS_BLOCK, OBJ_CASE_INSENSITIVE, SYNCHRONIZE};
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use host::LinuxFolder;
use ntos::host::files::VolumeSpec;
use ntos::ob::{self, ObRef};
use ntos::ps::Thread;
use ntos::svc::table::{Handler, all};
use ntos::svc::{Handle, RawArgs, ServiceFuture};
use ntos::testing::{DATA, TestMachine};

use crate::hostfs::{Volume, add_volume};

/// Where the data of requests lies.
pub const BUFFER: u64 = 0x400;
/// How much there can be.
pub const ROOM: usize = 0xC00;
/// Where the status block lies.
pub const STATUS: u64 = 0x10;
const OFFSET: u64 = 0x20;
const ATTRIBUTES: u64 = 0x40;

/// A folder that is removed with its content.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes an empty folder.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nten-drivers-{}-{number}", std::process::id());
        let at = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&at).unwrap();
        Scratch(at)
    }

    /// Writes a file.
    pub fn file(&self, name: &str, content: &str) {
        let at = self.0.join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
    }

    /// The folder for a volume.
    pub fn folder(&self) -> Arc<LinuxFolder> {
        LinuxFolder::open(&self.0).unwrap()
    }

    /// A file's content.
    pub fn content(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A machine with a volume.
pub struct Machine {
    /// The machine.
    pub machine: TestMachine,
    /// The volume.
    pub volume: Arc<Volume>,
}

/// A service call in progress.
pub struct Call {
    future: ServiceFuture,
    /// The status, once it has ended.
    pub status: Option<NtStatus>,
}

impl Call {
    /// Goes on as far as it can.
    pub fn step(&mut self) -> Option<NtStatus> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if self.status.is_none()
            && let std::task::Poll::Ready(status) = self.future.as_mut().poll(&mut context)
        {
            self.status = Some(status);
        }
        self.status
    }
}

impl Machine {
    /// A machine whose `C:` is a folder.
    pub fn new(scratch: &Scratch) -> Self {
        Self::with(&VolumeSpec::folder('C', scratch.folder(), true))
    }

    /// A machine with a volume.
    pub fn with(spec: &VolumeSpec) -> Self {
        let machine = TestMachine::new();
        let volume = machine.with(|cx| {
            ob::make_directory(cx.k, "\\Device").unwrap();
            ob::make_directory(cx.k, "\\??").unwrap();
            let (device, volume) = add_volume(cx.k, spec).unwrap();
            ob::make_link(cx.k, "\\??\\C:", &device.to_string()).unwrap();
            crate::null::add(cx.k).unwrap();
            crate::npfs::add(cx.k).unwrap();
            ob::make_link(cx.k, "\\??\\PIPE", "\\Device\\NamedPipe").unwrap();
            volume
        });
        Machine { machine, volume }
    }

    /// Starts a service as a thread.
    pub fn start(&self, thread: &ObRef<Thread>, name: &str, arguments: &[u64]) -> Call {
        let def = all().find(|def| def.name == name).unwrap();
        assert_eq!(def.slots, arguments.len(), "{name}");
        let raw = RawArgs(arguments.into());
        let mut call = match def.handler {
            Handler::Sync(call) => {
                let status = self.machine.with_thread(thread, |cx| call(cx, &raw));
                Call { future: Box::pin(async { STATUS_SUCCESS }), status: Some(status) }
            }
            Handler::Async(start) => {
                Call { future: start(self.machine.cx(thread), raw), status: None }
            }
        };
        call.step();
        call
    }

    /// Calls a service that does not block.
    pub fn call(&self, name: &str, arguments: &[u64]) -> NtResult {
        let status = self.start(&self.machine.thread, name, arguments).status;
        status.expect("the service blocks").into_result()
    }

    /// The information of the last status block.
    pub fn information(&self) -> u64 {
        self.machine.get::<IO_STATUS_BLOCK>(STATUS).Information
    }

    /// Bytes of the data area.
    pub fn bytes(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.machine.with(|cx| cx.read_bytes(Va(DATA + BUFFER), &mut bytes)).unwrap();
        bytes
    }

    /// Puts bytes in the data area.
    pub fn put(&self, bytes: &[u8]) {
        self.machine.with(|cx| cx.write_bytes(Va(DATA + BUFFER), bytes)).unwrap();
    }

    /// Puts object attributes and returns their address.
    pub fn attributes(&self, root: Handle, name: &str) -> u64 {
        self.machine.attributes(ATTRIBUTES, root, name, OBJ_CASE_INSENSITIVE);
        DATA + ATTRIBUTES
    }

    /// `NtCreateFile`: the handle and what happened. Files are synchronous if `access` has `SYNCHRONIZE`.
    pub fn create(
        &self,
        name: &str,
        access: u32,
        share: u32,
        disposition: u32,
        options: u32,
    ) -> NtResult<(Handle, u64)> {
        self.create_at(Handle(0), &format!("\\??\\C:\\{name}"), access, share, disposition, options)
    }

    /// [`Machine::create`] of a full or relative name.
    pub fn create_at(
        &self,
        root: Handle,
        name: &str,
        access: u32,
        share: u32,
        disposition: u32,
        options: u32,
    ) -> NtResult<(Handle, u64)> {
        let attributes = self.attributes(root, name);
        let synchronous = if access & SYNCHRONIZE != 0 { FILE_SYNCHRONOUS_IO_NONALERT } else { 0 };
        let words = [access, 0, 0, share, disposition, options | synchronous];
        let [access, _, file_attributes, share, disposition, options] = words.map(u64::from);
        self.call(
            "NtCreateFile",
            &[
                DATA,
                access,
                attributes,
                DATA + STATUS,
                0,
                file_attributes,
                share,
                disposition,
                options,
                0,
                0,
            ],
        )?;
        Ok((self.machine.handle_at(0), self.information()))
    }

    /// Opens a synchronous file for reading and writing that shares everything.
    pub fn open(&self, name: &str) -> NtResult<Handle> {
        let access = FILE_READ_DATA
            | FILE_WRITE_DATA
            | FILE_READ_ATTRIBUTES
            | FILE_WRITE_ATTRIBUTES
            | abi::ob::DELETE
            | SYNCHRONIZE;
        Ok(self.create(name, access, 7, FILE_OPEN, 0)?.0)
    }

    /// Makes a file with content and closes it.
    pub fn make(&self, name: &str, content: &[u8]) -> NtResult<()> {
        let access = FILE_WRITE_DATA | SYNCHRONIZE;
        let (handle, _) = self.create(name, access, 7, FILE_CREATE, 0)?;
        self.write(handle, None, content)?;
        self.close(handle);
        Ok(())
    }

    /// Closes a handle.
    pub fn close(&self, handle: Handle) {
        self.machine.with(|cx| ob::close(cx.k, cx.process(), handle.0)).unwrap();
    }

    fn offset(&self, offset: Option<i64>) -> u64 {
        offset.map_or(0, |offset| self.machine.put(OFFSET, &offset).0)
    }

    /// `NtReadFile`.
    pub fn read(&self, handle: Handle, offset: Option<i64>, len: usize) -> NtResult<Vec<u8>> {
        let offset = self.offset(offset);
        let arguments = [handle.0, 0, 0, 0, DATA + STATUS, DATA + BUFFER, len as u64, offset, 0];
        self.call("NtReadFile", &arguments)?;
        Ok(self.bytes(self.information() as usize))
    }

    /// `NtWriteFile`: the bytes written.
    pub fn write(&self, handle: Handle, offset: Option<i64>, bytes: &[u8]) -> NtResult<u64> {
        let offset = self.offset(offset);
        self.put(bytes);
        let len = bytes.len() as u64;
        let arguments = [handle.0, 0, 0, 0, DATA + STATUS, DATA + BUFFER, len, offset, 0];
        self.call("NtWriteFile", &arguments)?;
        Ok(self.information())
    }

    /// `NtQueryInformationFile`.
    pub fn query(&self, handle: Handle, class: u64, room: usize) -> NtResult<Vec<u8>> {
        let arguments = [handle.0, DATA + STATUS, DATA + BUFFER, room as u64, class];
        self.call("NtQueryInformationFile", &arguments)?;
        Ok(self.bytes(self.information() as usize))
    }

    /// `NtSetInformationFile`.
    pub fn set(&self, handle: Handle, class: u64, bytes: &[u8]) -> NtResult {
        self.put(bytes);
        let arguments = [handle.0, DATA + STATUS, DATA + BUFFER, bytes.len() as u64, class];
        self.call("NtSetInformationFile", &arguments)
    }

    /// The names that one directory query of class 12 returns.
    pub fn list(&self, handle: Handle, pattern: &str, restart: bool) -> NtResult<Vec<String>> {
        let name = match pattern {
            "" => 0,
            pattern => self.machine.string(ATTRIBUTES, pattern).0,
        };
        let restart = u64::from(restart);
        let room = ROOM as u64;
        let arguments =
            [handle.0, 0, 0, 0, DATA + STATUS, DATA + BUFFER, room, 12, 0, name, restart];
        self.call("NtQueryDirectoryFile", &arguments)?;
        let bytes = self.bytes(self.information() as usize);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (mut names, mut at) = (Vec::new(), 0);
        loop {
            let name = &bytes[at + 12..at + 12 + word(at + 8)];
            let units: Vec<u16> =
                name.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            names.push(String::from_utf16(&units).unwrap());
            match word(at) {
                0 => return Ok(names),
                step => at += step,
            }
        }
    }

    /// Opens a directory to list it.
    pub fn directory(&self, name: &str) -> NtResult<Handle> {
        let access = FILE_LIST_DIRECTORY | SYNCHRONIZE;
        Ok(self.create(name, access, 7, FILE_OPEN, FILE_DIRECTORY_FILE)?.0)
    }

    /// The bytes of a rename or link request.
    pub fn rename_request(&self, target: &str, flags: u32) -> Vec<u8> {
        let name: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut bytes = u64::from(flags).to_le_bytes().to_vec();
        bytes.extend([0; 8]);
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend(name);
        bytes.resize(bytes.len().max(0x18), 0);
        bytes
    }
}
