//! Coherence of mapped files with reads and writes of the same files.
//!
//! I/O calls these with a file's identity: [`overlay_read`] after it read, [`file_written`] after it wrote,
//! [`flush_file`] to flush, [`check_resize`] and [`file_resized`] around a change of size.

use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;

use crate::Kernel;
use crate::ob::ObRef;
use crate::ps::Process;

use super::segment::DataSegment;
use super::space::with_space;
use super::vad::{Content, Vad};

/// How a file is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mapped {
    /// Sections or views of its bytes exist: it must not be cut.
    pub data: bool,
    /// It is in use as an image: it must not be written or deleted.
    pub image: bool,
}

/// How a file is mapped now.
pub fn mapped(k: &Kernel, identity: (u64, u64)) -> Mapped {
    Mapped { data: segment(k, identity).is_some(), image: k.mm.images.is_in_use(identity) }
}

fn segment(k: &Kernel, identity: (u64, u64)) -> Option<Arc<DataSegment>> {
    k.mm.files.get(&identity)?.upgrade()
}

/// Puts bytes that were just written to a file into its mapped pages.
pub fn file_written(k: &mut Kernel, identity: (u64, u64), offset: u64, bytes: &[u8]) {
    k.mm.images.forget(identity);
    if let Some(segment) = segment(k, identity) {
        segment.file_written(offset, bytes);
    }
}

/// Lays a file's mapped pages over bytes that were just read from it.
pub fn overlay_read(k: &mut Kernel, identity: (u64, u64), offset: u64, bytes: &mut [u8]) {
    if let Some(segment) = segment(k, identity) {
        segment.overlay_read(offset, bytes);
    }
}

/// Fails with `STATUS_USER_MAPPED_FILE` if a file cannot get a new size because it is mapped.
pub fn check_resize(k: &Kernel, identity: (u64, u64), old: u64, new: u64) -> NtResult<()> {
    let mapped = mapped(k, identity);
    if mapped.image || (mapped.data && new < old) {
        return Err(STATUS_USER_MAPPED_FILE);
    }
    Ok(())
}

/// A file has a new size: mapped bytes beyond it are zero.
pub fn file_resized(k: &mut Kernel, identity: (u64, u64), size: u64) {
    if let Some(segment) = segment(k, identity) {
        segment.file_cut(size);
    }
}

/// Writes what views have written to a file back to it.
pub fn flush_file(k: &mut Kernel, identity: (u64, u64)) -> NtResult<()> {
    let Some(segment) = segment(k, identity) else { return Ok(()) };
    let processes: Vec<ObRef<Process>> = k.ps.processes.values().cloned().collect();
    for process in processes {
        harvest(
            k,
            &process,
            |vad| matches!(&vad.content, Content::Data { segment: other, .. } if Arc::ptr_eq(other, &segment)),
        );
    }
    segment.write_back(0..u64::MAX).map_err(|_| STATUS_UNEXPECTED_IO_ERROR)
}

/// Notes the dirty pages of some views of a process in their segments.
fn harvest(k: &mut Kernel, process: &Process, wanted: impl Fn(&Vad) -> bool) {
    with_space(k, process, |space| {
        let views: Vec<Vad> = space.vads.iter().filter(|vad| wanted(vad)).cloned().collect();
        for vad in views {
            space.harvest(&vad, vad.start..vad.end);
        }
    });
}

/// Writes back what a process wrote to the view at an address (`NtFlushVirtualMemory`).
///
/// `size` 0 means to the end of the view. Returns the range that was flushed.
pub fn flush_view(k: &mut Kernel, process: &Process, at: u64, size: u64) -> NtResult<(u64, u64)> {
    let start = super::vad::page_down(at);
    let (segment, pages, end) = with_space(k, process, |space| {
        let vad = space.vads.find(at).ok_or(STATUS_NOT_MAPPED_VIEW)?.clone();
        let Content::Data { segment, .. } = &vad.content else {
            return Err(STATUS_NOT_MAPPED_DATA);
        };
        let end = match size {
            0 => vad.end,
            size => {
                at.checked_add(size).and_then(super::vad::page_up).ok_or(STATUS_NOT_MAPPED_VIEW)?
            }
        };
        if end > vad.end {
            return Err(STATUS_NOT_MAPPED_VIEW);
        }
        space.harvest(&vad, start..end);
        Ok((segment.clone(), vad.content_page(start)..vad.content_page(end), end))
    })?;
    segment.write_back(pages).map_err(|_| STATUS_UNEXPECTED_IO_ERROR)?;
    Ok((start, end - start))
}
