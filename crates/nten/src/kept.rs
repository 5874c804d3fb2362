//! A machine that persists: the folder of `--machine DIR`.
//!
//! Key type: [`KeptMachine`]. In the folder are `hives` (the registry), `c` (the machine's own files on `C:`) and `lock`,
//! which is locked while an nten uses the machine and holds its process id.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::LinuxFolder;
use ntos::host::files::HostFolder;

use crate::report::Report;

/// A machine's folder, for this process alone as long as the value lives.
pub struct KeptMachine {
    /// The folder of the hive files.
    pub hives: Arc<dyn HostFolder>,
    /// The folder that holds what the machine wrote on `C:`.
    pub drive: PathBuf,
    _lock: File,
}

impl KeptMachine {
    /// Opens a machine's folder and makes what is missing in it.
    pub fn open(folder: &Path) -> Result<Self, Report> {
        let place = folder.display();
        let failed = |error: io::Error| {
            Report::new(format!("cannot use the machine {place}")).cause(error.to_string())
        };
        let (hives, drive) = (folder.join("hives"), folder.join("c"));
        fs::create_dir_all(&hives).and_then(|()| fs::create_dir_all(&drive)).map_err(failed)?;
        let lock = lock(&folder.join("lock")).map_err(|error| match error {
            LockError::Host(error) => failed(error),
            LockError::Held(holder) => Report::new(format!("the machine {place} is in use"))
                .cause(format!("nten with the process id {holder} runs it"))
                .help("wait for its end, or use another folder"),
        })?;
        let hives = LinuxFolder::open(&hives).map_err(failed)?;
        Ok(KeptMachine { hives, drive, _lock: lock })
    }
}

enum LockError {
    Host(io::Error),
    Held(String),
}

fn lock(path: &Path) -> Result<File, LockError> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path);
    let mut file = file.map_err(LockError::Host)?;
    match file.try_lock() {
        Ok(()) => {
            let id = std::process::id().to_string();
            let written = file.set_len(0).and_then(|()| file.write_all(id.as_bytes()));
            written.map_err(LockError::Host)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.rewind().and_then(|()| file.read_to_string(&mut holder).map(drop));
            read.map_err(LockError::Host)?;
            Err(LockError::Held(holder))
        }
        Err(TryLockError::Error(error)) => Err(LockError::Host(error)),
    }
}
