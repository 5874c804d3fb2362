//! What an address space says of its addresses: the information classes of `NtQueryVirtualMemory`.

use abi::NtResult;
use abi::mm::*;
use abi::status_table::*;
use guest_mem::{PAGE_SIZE, Va};

use crate::Kernel;
use crate::ps::Process;
use crate::ustr::UnicodeString;

use super::protect::{Resident, resident};
use super::space::{Space, bytes, with_space};
use super::vad::{Content, USER_END, Vad, page_down, vpn};

impl Space<'_> {
    /// `MemoryBasicInformation`.
    pub fn basic_information(&self, at: u64) -> NtResult<MEMORY_BASIC_INFORMATION> {
        if at >= USER_END {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let start = page_down(at);
        let Some(vad) = self.vads.find(at) else {
            return Ok(MEMORY_BASIC_INFORMATION {
                BaseAddress: start,
                RegionSize: self.vads.next_start(start) - start,
                State: MEM_FREE,
                Protect: PAGE_NOACCESS,
                ..MEMORY_BASIC_INFORMATION::default()
            });
        };
        let state = self.reported_protection(vad, start);
        let end = self.run_end(vad, start);
        Ok(MEMORY_BASIC_INFORMATION {
            BaseAddress: start,
            AllocationBase: vad.start,
            AllocationProtect: vad.protect.value(),
            RegionSize: end - start,
            State: if state.is_some() { MEM_COMMIT } else { MEM_RESERVE },
            Protect: state.map_or(0, |protect| protect.value()),
            Type: vad.memory_type(),
            ..MEMORY_BASIC_INFORMATION::default()
        })
    }

    /// The end of the pages from `start` that queries show alike: in a copy-on-write run, those that were copied and
    /// those that were not are not.
    fn run_end(&self, vad: &Vad, start: u64) -> u64 {
        let (end, protect) = vad.state_run(start);
        if !protect.is_some_and(|protect| protect.is_write_copy()) {
            return end;
        }
        let is_copied = |at: u64| matches!(self.resident(at), Resident::Private(_));
        if is_copied(start) {
            let mut at = start + PAGE_SIZE;
            while at < end && is_copied(at) {
                at += PAGE_SIZE;
            }
            return at.min(end);
        }
        let mut first_copied = end;
        self.tables.update_range(self.ram, Va(start), Va(end), |va, pte| {
            if matches!(resident(pte), Resident::Private(_)) {
                first_copied = first_copied.min(va.0);
            }
            pte
        });
        first_copied
    }

    /// `MemoryRegionInformation`; `None` for a free address.
    pub fn region_information(&self, at: u64) -> Option<MEMORY_REGION_INFORMATION> {
        let vad = self.vads.find(at)?;
        let committed = match &vad.content {
            Content::Data { segment, first } => {
                let pages = vpn(vad.end) - vpn(vad.start);
                segment.committed_pages(*first..first.saturating_add(pages))
            }
            _ => vad.pages.count(vad.page_range()),
        };
        let kind = match &vad.content {
            Content::Private | Content::Fixed(_) => MEMORY_REGION_PRIVATE,
            Content::Image(_) => MEMORY_REGION_MAPPED_IMAGE,
            Content::Data { segment, .. } if segment.identity().is_some() => {
                MEMORY_REGION_MAPPED_DATA_FILE
            }
            Content::Data { .. } => MEMORY_REGION_MAPPED_PAGE_FILE,
        };
        Some(MEMORY_REGION_INFORMATION {
            AllocationBase: vad.start,
            AllocationProtect: vad.protect.value(),
            RegionType: kind,
            RegionSize: vad.end - vad.start,
            CommitSize: bytes(committed),
            ..MEMORY_REGION_INFORMATION::default()
        })
    }

    /// The attribute word of `MemoryWorkingSetExInformation`.
    pub fn working_set_attributes(&self, at: u64) -> u64 {
        let resident = self.resident(at);
        let Some(vad) = self.vads.find(at).filter(|_| resident != Resident::No) else { return 0 };
        let Some(protect) = self.reported_protection(vad, at) else { return 0 };
        let shared = matches!(resident, Resident::Shared(_));
        let locked = self.vads.locked.get(vpn(at)).is_some();
        1 | (u64::from(shared) << 1)
            | (u64::from(protect.value() & 0x7FF) << 4)
            | (u64::from(shared) << 15)
            | (u64::from(locked) << 22)
    }

    /// The path of the file that is mapped at an address; `STATUS_INVALID_ADDRESS` if none is.
    pub fn mapped_file_name(&self, at: u64) -> NtResult<UnicodeString> {
        let vad = self.vads.find(at).ok_or(STATUS_INVALID_ADDRESS)?;
        match &vad.content {
            Content::Image(image) => Ok(image.info.file().path()),
            Content::Data { segment, .. } => Ok(segment.file().ok_or(STATUS_FILE_INVALID)?.path()),
            _ => Err(STATUS_INVALID_ADDRESS),
        }
    }
}

/// An address as `module+offset`, for messages; an address outside of images as it is.
pub fn describe_address(_k: &Kernel, process: &Process, at: Va) -> String {
    let space = process.space.open();
    match space.find(at.0).map(|vad| (vad, &vad.content)) {
        Some((vad, Content::Image(image))) => {
            let path = image.info.file().path().to_string_lossy();
            let name = path.rsplit('\\').next().unwrap_or_default();
            format!("{name}+{:#x}", at.0 - vad.start)
        }
        _ => format!("{at:#x}"),
    }
}

/// The handle that the userland's own calls use for the module that holds an address (`MemoryWineUnixFuncs`).
///
/// The DLL must be one of the userland's; a handle is `0x1000 +` the module's place in the list of those that asked.
pub fn userland_handle(k: &mut Kernel, process: &Process, at: Va) -> NtResult<u64> {
    let image =
        with_space(k, process, |space| match space.vads.find(at.0).map(|vad| &vad.content) {
            Some(Content::Image(image)) => Ok(image.info.clone()),
            _ => Err(STATUS_INVALID_ADDRESS),
        })?;
    if !image.is_userland_builtin() {
        return Err(STATUS_INVALID_ADDRESS);
    }
    let path = image.file().path().to_string_lossy();
    let name = path.rsplit('\\').next().unwrap_or_default().to_ascii_lowercase();
    let modules = &mut k.mm.userland_modules;
    let index = modules.iter().position(|known| *known == name).unwrap_or_else(|| {
        modules.push(name);
        modules.len() - 1
    });
    Ok(0x1000 + index as u64)
}

impl super::MmState {
    /// The lower-case file name of the module that a handle of [`userland_handle`] stands for.
    pub fn userland_library(&self, handle: u64) -> Option<String> {
        let index = usize::try_from(handle.checked_sub(0x1000)?).ok()?;
        self.userland_modules.get(index).cloned()
    }
}
