//! Tables of national languages: the `.nls` files that `ntdll` maps through `NtGetNlsSectionPtr`.
//!
//! Key type: [`NlsState`]. The files come from the userland's `nls` folder; each is one section that all processes map.

use std::collections::BTreeMap;
use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;
use guest_mem::Va;

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Process;

use super::FileBacking;
use super::protect::Protection;
use super::section::{Section, create_data_section};
use super::view::{MapRequest, map_section};

/// Finds a file of the `nls` folder by its lower-case name.
pub type NlsSource = Box<dyn Fn(&str) -> Option<Arc<dyn FileBacking>> + Send + Sync>;

/// The tables in use.
pub struct NlsState {
    source: NlsSource,
    sections: BTreeMap<String, ObRef<Section>>,
}

impl NlsState {
    /// No table is in use yet.
    pub fn new(source: NlsSource) -> Self {
        NlsState { source, sections: BTreeMap::new() }
    }

    /// The content of a table, for the kernel's own use.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = (self.source)(name)?;
        let size = usize::try_from(file.size().ok()?).ok()?;
        let mut bytes = vec![0; size];
        let count = file.read_at(0, &mut bytes).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }
}

/// The file of a kind of table (`SectionType` of `NtGetNlsSectionPtr`) and an id.
pub fn file_name(kind: u32, id: u32) -> NtResult<String> {
    Ok(match (kind, id) {
        (9, _) => "sortdefault.nls".to_owned(),
        (10, _) => "l_intl.nls".to_owned(),
        (11, page) => format!("c_{page:03}.nls"),
        (12, 1) => "normnfc.nls".to_owned(),
        (12, 2) => "normnfd.nls".to_owned(),
        (12, 5) => "normnfkc.nls".to_owned(),
        (12, 6) => "normnfkd.nls".to_owned(),
        (12, 13) => "normidna.nls".to_owned(),
        (12, _) => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
        _ => return Err(STATUS_INVALID_PARAMETER_1),
    })
}

/// Maps a table read-only into a process and returns its base and the file's size.
pub fn map_table(k: &mut Kernel, process: &Process, name: &str) -> NtResult<(Va, u64)> {
    let section = match k.mm.nls.sections.get(name) {
        Some(section) => section.clone(),
        None => {
            let file = (k.mm.nls.source)(name).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
            let section =
                create_data_section(k, Some(file), 0, Protection::READ_ONLY, abi::mm::SEC_COMMIT)?;
            k.mm.nls.sections.insert(name.to_owned(), section.clone());
            section
        }
    };
    let (base, _, _) = map_section(k, process, &section, &MapRequest::default())?;
    Ok((base, section.size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_files() {
        assert_eq!(file_name(11, 437).unwrap(), "c_437.nls");
        assert_eq!(file_name(11, 20127).unwrap(), "c_20127.nls");
        assert_eq!(file_name(12, 13).unwrap(), "normidna.nls");
        assert_eq!(file_name(12, 3), Err(STATUS_OBJECT_NAME_NOT_FOUND));
        assert_eq!(file_name(13, 0), Err(STATUS_INVALID_PARAMETER_1));
    }
}
