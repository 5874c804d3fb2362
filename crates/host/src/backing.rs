//! A host file as a section's backing, for what a machine maps without a volume: the NLS tables.

use std::io::Result;
use std::sync::Arc;

use ntos::host::files::{HostFile, HostFolder};
use ntos::mm::FileBacking;
use ntos::ustr::UnicodeString;

use crate::files::LinuxFolder;

struct Backing {
    file: Arc<dyn HostFile>,
    name: String,
}

/// Opens a file of a folder for mapping.
pub fn open_backing(folder: &LinuxFolder, name: &str) -> Result<Arc<dyn FileBacking>> {
    let file = folder.open(name.as_bytes(), ntos::host::files::HostAccess::Read)?;
    Ok(Arc::new(Backing { file, name: name.to_owned() }))
}

impl FileBacking for Backing {
    fn identity(&self) -> (u64, u64) {
        self.file.metadata().map_or((0, 0), |metadata| (metadata.device, metadata.inode))
    }

    fn size(&self) -> Result<u64> {
        Ok(self.file.metadata()?.size)
    }

    fn modified(&self) -> Result<i64> {
        Ok(self.file.metadata()?.modified)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.file.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<()> {
        self.file.write_at(offset, from)
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.file.set_size(size)
    }

    fn path(&self) -> UnicodeString {
        UnicodeString::from(format!(r"\NLS\{}", self.name).as_str())
    }
}
