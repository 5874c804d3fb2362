//! System service numbers, read from the stubs of a system DLL.
//!
//! Every set of DLLs numbers its services differently, so the numbers are data: [`ServiceNumbers::read`] looks at each
//! export of `ntdll.dll` or `win32u.dll` and takes the immediate of `mov r10, rcx; mov eax, N`
//! (bytes `4c 8b d1 b8 imm32`), the form of every x64 system call stub. Bits 12 and 13 of a number choose the service
//! table, the low 12 bits the service.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::read::pe::{ExportTarget, PeFile64};

use crate::locate::UserlandError;

/// The first bytes of a stub: `mov r10, rcx; mov eax, imm32`.
const STUB: [u8; 4] = [0x4c, 0x8b, 0xd1, 0xb8];

/// The service numbers of one DLL, by export name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceNumbers {
    numbers: BTreeMap<String, u32>,
}

impl ServiceNumbers {
    /// Reads the stubs of a DLL.
    pub fn read(dll: &Path) -> Result<Self, UserlandError> {
        let data = fs::read(dll).map_err(|error| UserlandError::io("read", dll, error))?;
        Self::parse(&data).map_err(|cause| UserlandError::BadDll { path: dll.to_owned(), cause })
    }

    /// Reads the stubs of a DLL's bytes, as they are in the file.
    pub fn parse(data: &[u8]) -> Result<Self, String> {
        let file = PeFile64::parse(data).map_err(|error| error.to_string())?;
        let sections = file.section_table();
        let exports = file
            .export_table()
            .map_err(|error| error.to_string())?
            .ok_or("it exports nothing")?
            .exports()
            .map_err(|error| error.to_string())?;
        let mut numbers = BTreeMap::new();
        for export in exports {
            let (Some(name), ExportTarget::Address(rva)) = (export.name, export.target) else {
                continue;
            };
            let code = sections.pe_data_at(data, rva).and_then(|code| code.get(..8));
            if let (Some(number), Ok(name)) = (code.and_then(number), str::from_utf8(name)) {
                numbers.insert(name.to_owned(), number);
            }
        }
        if numbers.is_empty() {
            return Err("none of its exports is a system call stub".to_owned());
        }
        Ok(Self { numbers })
    }

    /// The number of a service; both `NtClose` and `ZwClose` are known if the DLL exports both.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// All services, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.numbers.iter().map(|(name, number)| (name.as_str(), *number))
    }

    /// How many exports are stubs.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether no export is a stub; a set that was read is never empty.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// The service number a stub loads.
fn number(code: &[u8]) -> Option<u32> {
    let rest = code.strip_prefix(&STUB)?;
    Some(u32::from_le_bytes(rest.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Userland;

    #[test]
    fn reads_a_stub() {
        assert_eq!(number(&[0x4c, 0x8b, 0xd1, 0xb8, 0x0f, 0x10, 0, 0, 0xf6]), Some(0x100f));
        assert_eq!(number(&[0x4c, 0x8b, 0xd1, 0xb8, 0x0f]), None);
        assert_eq!(number(&[0x48, 0x8b, 0xd1, 0xb8, 0x0f, 0, 0, 0]), None);
    }

    #[test]
    fn refuses_what_is_no_system_dll() {
        assert!(ServiceNumbers::parse(b"MZ").is_err());
        assert!(ServiceNumbers::parse(&[]).is_err());
    }

    /// Numbers of Wine 10.0 as Debian trixie ships it; read from a disassembly, not by this code.
    const WINE_10_0: &[(&str, u32)] = &[
        ("NtAcceptConnectPort", 0),
        ("NtAllocateVirtualMemory", 12),
        ("NtClose", 22),
        ("NtCreateFile", 33),
        ("NtWaitForSingleObject", 234),
        ("NtWriteFile", 235),
        ("NtYieldExecution", 238),
        ("NtGdiAbortDoc", 0x1000),
        ("NtUserWaitMessage", 4522),
    ];

    #[test]
    fn numbers_of_the_installed_userland() {
        let userland = Userland::locate(None).expect("run `nten setup` before the tests");
        let ntdll = ServiceNumbers::read(&userland.ntdll()).unwrap();
        let win32u = ServiceNumbers::read(&userland.win32u()).unwrap();
        assert!(ntdll.iter().all(|(_, number)| number < 0x1000));
        assert!(win32u.iter().all(|(_, number)| (0x1000..0x2000).contains(&number)));
        assert!(ntdll.get("ZwClose").is_some());
        for (name, number) in ntdll.iter() {
            // Not every service has both names; where it has, they are one.
            if let Some(other) =
                name.strip_prefix("Zw").and_then(|rest| ntdll.get(&format!("Nt{rest}")))
            {
                assert_eq!(other, number, "{name}");
            }
        }
        if userland.version.as_deref() == Some("10.0~repack-6") {
            for (name, number) in WINE_10_0 {
                let found = ntdll.get(name).or_else(|| win32u.get(name));
                assert_eq!(found, Some(*number), "{name}");
            }
        }
    }
}
