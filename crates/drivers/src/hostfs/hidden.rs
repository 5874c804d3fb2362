//! Names deleted from layers that cannot be written: remembered, and kept in the writable layer.
//!
//! Key type: [`Hidden`]. A hidden name hides everything beneath it in lower layers for good: what is made under the
//! same name later is new.

use std::collections::BTreeMap;

use abi::NtResult;
use ntos::host::files::{HostAccess, HostFolder, status_of};
use ntos::ustr::UnicodeString;

use super::names;
use super::tree::Path;

/// The file in the writable layer's root that keeps the names. The guest does not see it.
pub const MARKER: &[u8] = b".nten-hidden";

/// Most bytes that the file may have.
const MAX_SIZE: u64 = 64 << 20;

/// The hidden names by their upper case.
#[derive(Default)]
pub struct Hidden {
    names: BTreeMap<Path, Path>,
}

fn folded(path: &[UnicodeString]) -> Path {
    path.iter().map(UnicodeString::folded).collect()
}

impl Hidden {
    /// Reads the names that an earlier machine hid.
    pub fn load(upper: &dyn HostFolder) -> Self {
        let mut bytes = Vec::new();
        if let Ok(file) = upper.open(MARKER, HostAccess::Read)
            && let Ok(metadata) = file.metadata()
            && metadata.size <= MAX_SIZE
        {
            bytes.resize(metadata.size as usize, 0);
            let count = file.read_at(0, &mut bytes).unwrap_or(0);
            bytes.truncate(count);
        }
        let paths = bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        let names = paths.map(|path| {
            let parts = path.split(|byte| *byte == b'/');
            let path: Path = parts.map(|part| UnicodeString(names::from_host(part))).collect();
            (folded(&path), path)
        });
        Hidden { names: names.collect() }
    }

    /// True if nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// True if the name or a folder above it is hidden.
    pub fn hides(&self, path: &[UnicodeString]) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let mut prefix: Path = Vec::with_capacity(path.len());
        path.iter().any(|part| {
            prefix.push(part.folded());
            self.names.contains_key(&prefix)
        })
    }

    /// Hides a name and keeps it in the writable layer.
    pub fn hide(&mut self, path: &[UnicodeString], upper: &dyn HostFolder) -> NtResult<()> {
        self.names.insert(folded(path), path.to_vec());
        self.store(upper).map_err(|error| status_of(&error))
    }

    /// The hidden names in order, without those beneath another one.
    pub fn outermost(&self) -> Vec<Path> {
        let mut last: Option<&Path> = None;
        let mut names = Vec::new();
        for (folded, path) in &self.names {
            // A name sorts before everything beneath it.
            if last.is_none_or(|last| !folded.starts_with(last)) {
                last = Some(folded);
                names.push(path.clone());
            }
        }
        names
    }

    fn store(&self, upper: &dyn HostFolder) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        for path in self.names.values() {
            let parts: Vec<Vec<u8>> = path.iter().filter_map(|part| names::to_host(part)).collect();
            bytes.extend(parts.join(&b'/'));
            bytes.push(0);
        }
        let file = match upper.open(MARKER, HostAccess::ReadWrite) {
            Ok(file) => file,
            Err(_) => upper.open(MARKER, HostAccess::CreateNew)?,
        };
        file.write_at(0, &bytes)?;
        file.set_size(bytes.len() as u64)
    }
}
