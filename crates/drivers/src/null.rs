//! `\Device\Null`: reads are at the end of the file, writes vanish.

use std::sync::Arc;

use abi::NtResult;
use abi::io::{FILE_ALL_ACCESS, FILE_DEVICE_NULL, FILE_OPENED};
use abi::ob::MAXIMUM_ALLOWED;
use abi::status_table::*;
use ntos::Kernel;
use ntos::io::device::{Created, Device, Driver, OpenFile, add_device};
use ntos::io::irp::{IoResult, Irp, Outcome, Request};
use ntos::io::{CreateRequest, FileFacts};
use ntos::ob::ObRef;

/// The driver.
struct Null;

/// An open instance.
pub struct NullFile;

/// Makes `\Device\Null`.
pub fn add(k: &mut Kernel) -> NtResult<ObRef<Device>> {
    add_device(k, "\\Device\\Null", FILE_DEVICE_NULL, 0, Arc::new(Null))
}

impl Driver for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn create(
        &self,
        _k: &mut Kernel,
        _device: &ObRef<Device>,
        request: &CreateRequest,
    ) -> NtResult<Created> {
        if !request.path.is_empty() {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        }
        let access = match request.access {
            access if access & MAXIMUM_ALLOWED != 0 => FILE_ALL_ACCESS,
            access => access,
        };
        Ok(Created { ops: Box::new(NullFile), information: FILE_OPENED, access })
    }
}

impl OpenFile for NullFile {
    fn read(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Err(STATUS_END_OF_FILE)
    }

    fn write(&self, _k: &mut Kernel, irp: &Arc<Irp>) -> IoResult {
        match &irp.request {
            Request::Write { buffer, .. } => Outcome::ok(buffer.len as u64),
            _ => Err(STATUS_INVALID_DEVICE_REQUEST),
        }
    }

    fn flush(&self, _k: &mut Kernel, _irp: &Arc<Irp>) -> IoResult {
        Outcome::ok(0)
    }

    fn facts(&self, _k: &mut Kernel) -> NtResult<FileFacts> {
        Ok(FileFacts {
            attributes: abi::io::FILE_ATTRIBUTE_NORMAL,
            links: 1,
            ..FileFacts::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Machine, Scratch};
    use abi::io::{FILE_OPEN, FILE_READ_DATA, FILE_WRITE_DATA};
    use abi::ob::SYNCHRONIZE;
    use ntos::svc::Handle;

    #[test]
    fn writes_vanish_and_reads_end() {
        let m = Machine::new(&Scratch::new());
        let access = FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE;
        let open = |name: &str| m.create_at(Handle(0), name, access, 0, FILE_OPEN, 0);
        let (null, _) = open("\\Device\\Null").unwrap();
        assert_eq!(m.write(null, None, b"anything"), Ok(8));
        assert_eq!(m.read(null, None, 8), Err(STATUS_END_OF_FILE));
        assert_eq!(open("\\Device\\Null\\x"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    }
}
