//! Named pipes: `\Device\NamedPipe`.
//!
//! Key types: [`Npfs`] (the names), `instance::Instance` (a server end, a client end, two queues), `end::PipeEnd` (an
//! open end). Byte and message pipes, blocking and overlapped, anonymous ones by a root handle.
//!
//! Invariants: a queue's requests are completed after the instance is closed again; a name exists as long as an instance
//! of it does.
//!
//! A worked path, "`CreatePipe` and a child that writes": the parent makes an instance and opens its client end, which
//! connects at once; the child's `NtWriteFile` puts a chunk into the inbound queue; the parent's `NtReadFile`, which
//! waited, takes it and is completed; the child's exit closes the client end, and the next read is
//! `STATUS_PIPE_BROKEN`.

mod end;
mod instance;
mod queue;

#[cfg(test)]
mod tests;

pub(crate) use end::{FILE_PIPE_INFORMATION, FILE_PIPE_LOCAL};

use std::collections::BTreeMap;
use std::sync::Arc;

use abi::NtResult;
use abi::io::*;
use abi::ob::MAXIMUM_ALLOWED;
use abi::status_table::*;
use ntos::Kernel;
use ntos::guarded::Guarded;
use ntos::io::create::PipeParameters;
use ntos::io::device::{Created, Device, Driver, add_device};
use ntos::io::irp::{self, Irp};
use ntos::io::{CreateKind, CreateRequest};
use ntos::ob::ObRef;
use ntos::ustr::UnicodeString;

use end::{PipeEnd, PipeRoot};
use instance::{Instance, Pipe, Side};

/// The names of pipes and who waits for them.
#[derive(Default)]
pub struct Npfs {
    names: Guarded<BTreeMap<UnicodeString, Arc<Pipe>>>,
    waiters: Guarded<Vec<(UnicodeString, Arc<Irp>)>>,
}

/// The driver.
struct NpfsDriver(Arc<Npfs>);

/// Makes `\Device\NamedPipe`.
pub fn add(k: &mut Kernel) -> NtResult<ObRef<Device>> {
    let driver = Arc::new(NpfsDriver(Arc::default()));
    add_device(k, "\\Device\\NamedPipe", FILE_DEVICE_NAMED_PIPE, 0, driver)
}

impl Npfs {
    /// The pipe of a name with its leading backslash.
    fn find(&self, name: &UnicodeString) -> Option<Arc<Pipe>> {
        self.names.open().get(&name.folded()).cloned()
    }

    /// Every pipe in name order.
    fn pipes(&self) -> Vec<Arc<Pipe>> {
        self.names.open().values().cloned().collect()
    }

    /// Makes a request wait for a free instance of a name.
    fn wait_for(&self, name: UnicodeString, irp: &Arc<Irp>) {
        let mut waiters = self.waiters.open();
        waiters.retain(|(_, irp)| !irp.is_done());
        waiters.push((name.folded(), irp.clone()));
    }

    /// A client can connect to a name: those who wait for it go on.
    fn instance_is_free(&self, k: &mut Kernel, name: &UnicodeString) {
        let folded = name.folded();
        let all = std::mem::take(&mut *self.waiters.open());
        let (free, rest) = all.into_iter().partition::<Vec<_>, _>(|(name, _)| *name == folded);
        *self.waiters.open() = rest;
        for (_, irp) in free {
            irp::complete(k, &irp, STATUS_SUCCESS, 0);
        }
    }

    /// The server end of an instance is closed: the name goes with the last one.
    fn server_closed(&self, instance: &Arc<Instance>) {
        let Some(pipe) = instance.pipe.upgrade() else { return };
        let last = {
            let mut instances = pipe.instances.open();
            instances.retain(|other| !Arc::ptr_eq(other, instance));
            instances.is_empty()
        };
        if last {
            let mut names = self.names.open();
            let key = pipe.name.folded();
            if names.get(&key).is_some_and(|known| Arc::ptr_eq(known, &pipe)) {
                names.remove(&key);
            }
        }
    }

    /// `NtCreateNamedPipeFile`.
    fn create_server(
        self: &Arc<Self>,
        k: &mut Kernel,
        request: &CreateRequest,
        name: UnicodeString,
        parameters: &PipeParameters,
    ) -> NtResult<Created> {
        if request.share & (FILE_SHARE_READ | FILE_SHARE_WRITE) == 0 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let existing = if name.is_empty() { None } else { self.find(&name) };
        let (pipe, information) = match (existing, request.disposition) {
            (Some(_), FILE_CREATE) => return Err(STATUS_ACCESS_DENIED),
            (Some(pipe), FILE_OPEN | FILE_OPEN_IF) => {
                let same = pipe.share == request.share
                    && pipe.parameters.message_type == parameters.message_type;
                if !same {
                    return Err(STATUS_ACCESS_DENIED);
                }
                if pipe.instances.open().len() >= pipe.parameters.max_instances as usize {
                    return Err(STATUS_INSTANCE_NOT_AVAILABLE);
                }
                (pipe, FILE_OPENED)
            }
            (None, FILE_OPEN) => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
            (None, FILE_CREATE | FILE_OPEN_IF) => {
                let pipe = Arc::new(Pipe {
                    name: name.clone(),
                    parameters: *parameters,
                    share: request.share,
                    instances: Guarded::default(),
                });
                if !name.is_empty() {
                    self.names.open().insert(name.folded(), pipe.clone());
                }
                (pipe, FILE_CREATED)
            }
            _ => return Err(STATUS_INVALID_PARAMETER),
        };
        let instance = Instance::new(&pipe, parameters);
        pipe.instances.open().push(instance.clone());
        self.instance_is_free(k, &name);
        let mut end = PipeEnd::new(self, instance, Side::Server, name);
        if end.is_anonymous() {
            // No name keeps an anonymous pipe: its server end does.
            end.keep(pipe);
        }
        let access = granted(request.access, FILE_ALL_ACCESS);
        Ok(Created { ops: Box::new(end), information, access })
    }

    /// Connects a client to an instance that listens.
    fn connect(
        self: &Arc<Self>,
        k: &mut Kernel,
        request: &CreateRequest,
        pipe: &Pipe,
        instance: Arc<Instance>,
    ) -> NtResult<Created> {
        let mut all = FILE_ALL_ACCESS;
        if pipe.share & FILE_SHARE_READ == 0 {
            all &= !FILE_READ_DATA;
        }
        if pipe.share & FILE_SHARE_WRITE == 0 {
            all &= !(FILE_WRITE_DATA | FILE_APPEND_DATA);
        }
        let access = granted(request.access, all);
        // FILE_APPEND_DATA is FILE_CREATE_PIPE_INSTANCE here, which a client may ask for and never uses.
        let data = FILE_READ_DATA | FILE_WRITE_DATA;
        if access & !all & data != 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        instance.connect(k, request.process.token.open().clone());
        let end = PipeEnd::new(self, instance, Side::Client, pipe.name.clone());
        Ok(Created { ops: Box::new(end), information: FILE_OPENED, access })
    }
}

fn granted(access: u32, all: u32) -> u32 {
    if access & MAXIMUM_ALLOWED != 0 { all } else { access }
}

impl Driver for NpfsDriver {
    fn name(&self) -> &'static str {
        "npfs"
    }

    fn create(
        &self,
        k: &mut Kernel,
        _device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<Created> {
        let npfs = &self.0;
        let backslash = u16::from(b'\\');
        let related = request.related.as_ref();
        // Relative to the root directory a name is given without a backslash, or not at all.
        let mut name = request.path.clone();
        if related.is_some() && !name.is_empty() {
            name.0.insert(0, backslash);
        }
        if let CreateKind::NamedPipe(parameters) = &request.kind {
            if name.0 == [backslash] || (name.is_empty() && related.is_none()) {
                return Err(STATUS_OBJECT_NAME_INVALID);
            }
            return npfs.create_server(k, request, name, parameters);
        }
        if name.is_empty() || name.0 == [backslash] {
            if let Some(end) = related.and_then(|file| as_end(&*file.ops)) {
                // The client end of an anonymous pipe.
                let pipe = end.instance.pipe.upgrade().ok_or(STATUS_PIPE_DISCONNECTED)?;
                if end.side != Side::Server || !end.instance.is_listening() {
                    return Err(STATUS_PIPE_NOT_AVAILABLE);
                }
                return npfs.connect(k, request, &pipe, end.instance.clone());
            }
            let directory = !name.is_empty() || related.is_some();
            if request.options & FILE_DIRECTORY_FILE != 0 && !directory {
                return Err(STATUS_NOT_A_DIRECTORY);
            }
            let ops = Box::new(PipeRoot::new(npfs, directory));
            let access = granted(request.access, FILE_ALL_ACCESS);
            return Ok(Created { ops, information: FILE_OPENED, access });
        }
        if request.options & FILE_DIRECTORY_FILE != 0 {
            return Err(STATUS_NOT_A_DIRECTORY);
        }
        if !matches!(request.disposition, FILE_OPEN | FILE_OPEN_IF) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let pipe = npfs.find(&name).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        let listening = pipe.instances.open().iter().find(|i| i.is_listening()).cloned();
        let instance = listening.ok_or(STATUS_PIPE_NOT_AVAILABLE)?;
        npfs.connect(k, request, &pipe, instance)
    }
}

/// The pipe end behind a file.
fn as_end(ops: &dyn ntos::io::OpenFile) -> Option<&PipeEnd> {
    (ops as &dyn std::any::Any).downcast_ref()
}
