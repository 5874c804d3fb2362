//! Host files as sections see them.

use std::io::{Error, Result};
use std::sync::Arc;

use ntos::mm::FileBacking;
use ntos::ustr::UnicodeString;

use super::fcb::Fcb;

/// A file behind a section. It keeps the host file open after its last handle is closed.
pub struct HostBacking {
    fcb: Arc<Fcb>,
    path: UnicodeString,
}

impl HostBacking {
    /// The backing of an open file.
    pub fn new(fcb: Arc<Fcb>, device: &UnicodeString) -> Self {
        let mut path = device.clone();
        path.0.extend_from_slice(&fcb.name());
        HostBacking { fcb, path }
    }
}

fn other(status: abi::NtStatus) -> Error {
    Error::other(status.to_string())
}

impl FileBacking for HostBacking {
    fn identity(&self) -> (u64, u64) {
        match self.fcb.metadata() {
            Ok(metadata) => (metadata.device, metadata.inode),
            // The file is open, so its facts can be had; without them it is like no other.
            Err(_) => (u64::MAX, Arc::as_ptr(&self.fcb) as usize as u64),
        }
    }

    fn size(&self) -> Result<u64> {
        Ok(self.fcb.metadata().map_err(other)?.size)
    }

    fn modified(&self) -> Result<i64> {
        Ok(self.fcb.metadata().map_err(other)?.modified)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.fcb.reader().map_err(other)?.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<()> {
        self.fcb.writer().map_err(other)?.write_at(offset, from)
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.fcb.writer().map_err(other)?.set_size(size)
    }

    fn path(&self) -> UnicodeString {
        self.path.clone()
    }
}
