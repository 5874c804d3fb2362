//! The files that hives are kept in: loading, lazy writing, flushing.
//!
//! Key types: [`Store`], [`Loaded`], [`LoadError`]. [`load`] and [`save`] work on one file and need no kernel; the rest
//! binds them to the registry.
//!
//! Invariant: at every moment `NAME` is a whole hive. A hive is written to `NAME.new`, synced, and renamed; the one
//! before stays as `NAME.bak`, from which a machine boots when `NAME` is damaged. So a kill at any point loses nothing
//! that was flushed.

use std::io;
use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;

use crate::Kernel;
use crate::host::files::{HostAccess, HostFile, HostFolder, status_of};

use super::hive::Hive;
use super::image;
use super::registry::{HiveFile, KeyId};

/// How long a change may wait before it is written, 100 ns.
const LAZY_FLUSH: u64 = 5 * 10_000_000;

/// No hive is larger: offsets have 31 bits.
const MAX_FILE: u64 = 1 << 31;

/// When hives are written.
#[derive(Default)]
pub struct Store {
    /// The interrupt time at which changes are written.
    due: Option<u64>,
}

impl Store {
    /// When the next lazy write is due, in interrupt time.
    pub fn next_due(&self) -> Option<u64> {
        self.due
    }
}

/// A hive that was read from its file.
pub struct Loaded {
    /// The keys.
    pub hive: Hive,
    /// The file.
    pub file: HiveFile,
}

/// Why a hive file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The host says so.
    #[error("{0}")]
    Host(#[from] io::Error),
    /// Its structure is damaged.
    #[error("{0}")]
    Format(#[from] regf::Error),
}

fn read_whole(folder: &dyn HostFolder, name: &str) -> io::Result<Vec<u8>> {
    let file = folder.open(name.as_bytes(), HostAccess::Read)?;
    let size = file.metadata()?.size;
    if size > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than a hive can be"));
    }
    let mut bytes = vec![0; size as usize];
    let len = file.read_at(0, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn remove(folder: &dyn HostFolder, name: &str) -> io::Result<()> {
    match folder.remove_file(name.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_whole(folder: &dyn HostFolder, name: &str, bytes: &[u8]) -> io::Result<()> {
    remove(folder, name)?;
    let write = |file: Arc<dyn HostFile>| {
        file.write_at(0, bytes)?;
        file.sync()
    };
    let written = folder.open(name.as_bytes(), HostAccess::CreateNew).and_then(write);
    if written.is_err() {
        // Room on a full disk is worth having; the error that is told is the first one.
        let _ = remove(folder, name);
    }
    written
}

/// Reads a hive file.
pub fn load(folder: &dyn HostFolder, name: &str) -> Result<regf::Hive, LoadError> {
    Ok(regf::Hive::parse(&read_whole(folder, name)?)?)
}

/// Writes a hive file: whole or not at all. The one before is kept as `NAME.bak`.
pub fn save(folder: &dyn HostFolder, name: &str, hive: &regf::Hive) -> io::Result<()> {
    let bytes = hive.to_bytes().map_err(io::Error::other)?;
    let [new, old, last] = ["new", "old", "bak"].map(|end| format!("{name}.{end}"));
    write_whole(folder, &new, &bytes)?;
    remove(folder, &old)?;
    match folder.hard_link(name.as_bytes(), old.as_bytes()) {
        Ok(()) => folder.rename(old.as_bytes(), last.as_bytes(), true)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // File systems without hard links.
        Err(_) => {
            write_whole(folder, &old, &read_whole(folder, name)?)?;
            folder.rename(old.as_bytes(), last.as_bytes(), true)?;
        }
    }
    folder.rename(new.as_bytes(), name.as_bytes(), true)?;
    folder.sync_names()
}

/// The names of the hive files, and what Windows writes into them as their own names.
pub const FILES: &[(&str, &str)] = &[
    ("SAM", r"\SystemRoot\System32\Config\SAM"),
    ("SECURITY", r"\SystemRoot\System32\Config\SECURITY"),
    ("SOFTWARE", r"\SystemRoot\System32\Config\SOFTWARE"),
    ("SYSTEM", r"\SystemRoot\System32\Config\SYSTEM"),
    ("DEFAULT", r"\SystemRoot\System32\Config\DEFAULT"),
    ("NTUSER.DAT", r"\??\C:\Users\nten\ntuser.dat"),
    ("UsrClass.dat", r"\??\C:\Users\nten\AppData\Local\Microsoft\Windows\UsrClass.dat"),
];

/// Reads every hive file that is there; `None` for a machine that is not kept.
///
/// A damaged file is told and put aside as `NAME.damaged`, and the last good one is taken. If that is damaged too, the
/// machine does not boot: `STATUS_REGISTRY_CORRUPT`.
pub fn load_all(k: &Kernel) -> NtResult<Option<Vec<Loaded>>> {
    let Some(folder) = k.host.hives() else { return Ok(None) };
    let mut all = Vec::new();
    for (name, _) in FILES {
        all.extend(load_or_last_good(k, &*folder, name)?);
    }
    Ok(Some(all))
}

fn load_or_last_good(
    k: &Kernel,
    folder: &dyn HostFolder,
    name: &'static str,
) -> NtResult<Option<Loaded>> {
    let place = folder.place();
    let missing = |error: &str| error.is_empty();
    let first = match try_load(folder, name, name) {
        Ok(loaded) => return Ok(Some(loaded)),
        Err(error) => error,
    };
    let last = format!("{name}.bak");
    let second = try_load(folder, &last, name);
    if !missing(&first) {
        k.notice(&format!("the hive {place}/{name} is damaged: {first}"));
    }
    match second {
        Ok(mut loaded) => {
            if !missing(&first) {
                let aside = format!("{name}.damaged");
                let moved = folder.rename(name.as_bytes(), aside.as_bytes(), true);
                moved.map_err(|error| status_of(&error))?;
            }
            k.notice(&format!("the last good one is used: {place}/{last}"));
            loaded.file.is_dirty = true;
            Ok(Some(loaded))
        }
        Err(second) if missing(&first) && missing(&second) => Ok(None),
        Err(second) => {
            if !missing(&second) {
                k.notice(&format!("the hive {place}/{last} is damaged: {second}"));
            }
            Err(STATUS_REGISTRY_CORRUPT)
        }
    }
}

/// Reads one file; the error is what is wrong, empty if there is no such file.
fn try_load(folder: &dyn HostFolder, file: &str, name: &'static str) -> Result<Loaded, String> {
    let hive = match load(folder, file) {
        Ok(hive) => hive,
        Err(LoadError::Host(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(String::new());
        }
        Err(error) => return Err(error.to_string()),
    };
    let sequence = hive.sequence;
    let file = HiveFile { name, sequence, is_dirty: false, was_loaded: true };
    Ok(Loaded { hive: image::from_file(hive.root)?, file })
}

/// A key changed: its hive is written within five seconds.
pub fn touch(k: &mut Kernel, id: KeyId) {
    if k.cm.registry.touch(id) && k.cm.store.due.is_none() {
        k.cm.store.due = Some(k.host.interrupt_time().saturating_add(LAZY_FLUSH));
    }
}

/// Writes what is due.
pub fn tick(k: &mut Kernel) {
    if k.cm.store.due.is_some_and(|due| due <= k.ke.interrupt_time) {
        // What could not be written was said, stays to be written, and is tried again.
        let _ = flush(k);
    }
}

/// Writes every hive that changed.
pub fn flush(k: &mut Kernel) -> NtResult<()> {
    let names = k.cm.registry.kept().filter(|(_, file)| file.is_dirty).map(|(_, file)| file.name);
    let names: Vec<_> = names.collect();
    k.cm.store.due = None;
    // One that fails does not keep the others from being written.
    let mut result = Ok(());
    for name in names {
        result = result.and(write(k, name));
    }
    result
}

/// Writes the hive of a key if it changed.
pub fn flush_hive(k: &mut Kernel, id: KeyId) -> NtResult<()> {
    match k.cm.registry.file(id) {
        Some(file) if file.is_dirty => {
            let name = file.name;
            write(k, name)
        }
        _ => Ok(()),
    }
}

fn write(k: &mut Kernel, name: &'static str) -> NtResult<()> {
    let Some(folder) = k.host.hives() else { return Ok(()) };
    let written = k.system_time();
    let Some((hive, file)) = k.cm.registry.kept().find(|(_, file)| file.name == name) else {
        return Ok(());
    };
    let file_name = FILES.iter().find(|(file, _)| *file == name).map(|(_, own)| (*own).to_owned());
    let sequence = file.sequence.wrapping_add(1);
    let image = regf::Hive {
        sequence,
        written,
        file_name: file_name.unwrap_or_default(),
        ..regf::Hive::new(image::to_file(hive)?)
    };
    match save(&*folder, name, &image) {
        Ok(()) => {
            file.sequence = sequence;
            file.is_dirty = false;
            Ok(())
        }
        Err(error) => {
            let place = folder.place();
            k.notice_once(format!("cannot write the hive {place}/{name}: {error}"));
            k.cm.store.due = Some(k.host.interrupt_time().saturating_add(LAZY_FLUSH));
            Err(status_of(&error))
        }
    }
}
