//! The memory manager: address spaces, sections, faults.
//!
//! It owns the regions of each process ([`vad`]), the page tables of user space, sections ([`section`]) with their
//! segments ([`segment`], [`image`]), and the kernel pool ([`pool`]). Frames and tables themselves are
//! `guest_mem`'s; files come in as [`FileBacking`].
//!
//! Invariants: a present or parked entry of user space lies in a region and in a committed page of it; an entry marked
//! `SHARED` holds a frame of the region's segment, any other a frame of its own; a translation that was present and is
//! changed is in [`MmState::shootdown`]; a resident page of a file's segment is newer than the file.
//!
//! A worked path, "a program's first store to a global variable": the processor finds the page of the image read-only
//! and faults; [`resolve_fault`] finds the image's region and its protection, copy on write; the frame of the
//! [`image::ImageSegment`], which all processes share, is copied to a frame of this process, the entry is made
//! writable, the old translation goes to the shootdown list, and the processor runs the store again.

pub mod backing;
pub mod cache;
mod copy;
mod fault;
pub mod image;
mod life;
pub mod nls;
pub mod pe;
pub mod pe_tables;
pub mod pool;
pub mod protect;
pub mod query;
pub mod region;
pub mod runs;
pub mod section;
pub mod segment;
pub mod space;
#[cfg(test)]
mod tests;
pub mod vad;
pub mod view;

pub use abi::mm::{PAGE_EXECUTE_READ, PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE};
pub use backing::FileBacking;
pub use cache::{check_resize, file_resized, file_written, flush_file, mapped, overlay_read};
pub use copy::{copy_from, copy_prefix, copy_to, probe_write};
pub use fault::resolve_fault;
pub use life::{
    allocate, allocate_stack, free, free_thread_memory, image_bases, new_address_space, protect,
    rundown, usage,
};
pub use pe::ImageInfo;
pub use protect::Protection;
pub use query::{describe_address, userland_handle};
pub use section::{Section, create_data_section, create_image_section, image_information};
pub use space::with_space;
pub use vad::{AddressSpace, Limits};
pub use view::{MapRequest, map_image, map_section, unmap_view};

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use guest_mem::{GuestRam, PageTables, Va};

/// State of the memory manager.
pub struct MmState {
    /// Pool for objects.
    pub pool: Arc<pool::KernelPool>,
    /// The kernel's half of every address space.
    pub kernel_tables: Arc<PageTables>,
    /// The frame of `KUSER_SHARED_DATA`.
    pub shared_data: Option<guest_mem::Pfn>,
    /// Translations that processors must forget before guest code runs on.
    pub shootdown: Shootdown,
    /// Pages promised.
    pub commit: Arc<space::Commit>,
    /// Images in use.
    pub images: image::ImageCache,
    /// Files whose bytes are mapped, by identity.
    pub files: BTreeMap<(u64, u64), Weak<segment::DataSegment>>,
    /// Code pages and other tables of national languages.
    pub nls: nls::NlsState,
    /// Userland DLLs that asked for their handle, in order: lower-case file names.
    pub userland_modules: Vec<String>,
}

impl MmState {
    /// The memory manager of a machine that boots.
    ///
    /// `kernel_tables` map the pool; `shared_data` is the frame of `KUSER_SHARED_DATA`; `nls` finds tables of national
    /// languages by file name.
    pub fn new(
        ram: Arc<GuestRam>,
        pool: Arc<pool::KernelPool>,
        kernel_tables: Arc<PageTables>,
        shared_data: guest_mem::Pfn,
        nls: nls::NlsSource,
    ) -> Self {
        MmState {
            pool,
            kernel_tables,
            shared_data: Some(shared_data),
            shootdown: Shootdown::default(),
            // As if there were a paging file as large as memory: much is committed and never touched.
            commit: space::Commit::new(ram.total_frames() * 2),
            images: image::ImageCache::new((ram.total_frames() / 8) as usize),
            files: BTreeMap::new(),
            nls: nls::NlsState::new(nls),
            userland_modules: Vec::new(),
        }
    }
}

/// Translations to forget.
#[derive(Default, Debug)]
pub struct Shootdown {
    /// Single pages.
    pub pages: Vec<Va>,
    /// Everything.
    pub all: bool,
}
