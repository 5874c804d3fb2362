//! Directory enumeration and change notification.

use abi::NtResult;
use abi::io::FILE_LIST_DIRECTORY;
use abi::ob::{IO_STATUS_BLOCK, UNICODE_STRING};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;

use crate::io::directory::{EntryClass, Pattern, Scan, pack};
use crate::io::irp::{Outcome, Request};
use crate::io::{FileObject, IoResult, UserBuffer};
use crate::ob::ObRef;
use crate::svc::args::optional_string;
use crate::svc::{AsyncCx, Handle, In, Out, ServiceCx};
use crate::ustr::UnicodeString;

use super::args::FileClass;
use super::{Asked, submit, user_buffer};

const RESTART_SCAN: u32 = 1;
const RETURN_SINGLE_ENTRY: u32 = 2;

/// What one query asks for.
struct Query {
    class: EntryClass,
    name: Option<UnicodeString>,
    restart: bool,
    single: bool,
}

/// Answers one query from the handle's scan, which the first query and a restart make anew.
fn answer(
    cx: &mut ServiceCx<'_>,
    file: &ObRef<FileObject>,
    query: &Query,
    buffer: &UserBuffer,
) -> IoResult {
    let old = file.state.open().scan.take();
    // Later queries keep the first one's pattern; a restart may bring a new one.
    let pattern = match (&old, &query.name) {
        (Some(scan), None) => scan.pattern.clone(),
        (Some(scan), Some(_)) if !query.restart => scan.pattern.clone(),
        (_, Some(name)) => Pattern::new(name),
        (None, None) => Pattern::All,
    };
    let mut scan = match old {
        Some(scan) if !query.restart => scan,
        _ => {
            let entries = file.ops.list(cx.k, &pattern)?.into();
            Scan { pattern, entries, first: true }
        }
    };
    let packed = pack(&mut scan, query.class, buffer.len, query.single);
    file.state.open().scan = Some(scan);
    let packed = packed?;
    buffer.write(cx.k, 0, &packed.bytes)?;
    Ok(Outcome::Done(packed.status, packed.bytes.len() as u64))
}

async fn query(
    cx: &AsyncCx,
    asked: Asked,
    buffer: (Va, u32),
    class: u32,
    flags: u32,
    name: Option<In<UNICODE_STRING>>,
) -> NtResult {
    let Some(class_of) = EntryClass::new(class) else {
        cx.with(|cx| {
            cx.k.notice_once(format!("NtQueryDirectoryFile class {class} is not implemented"));
        });
        return Err(STATUS_INVALID_INFO_CLASS);
    };
    if (buffer.1 as usize) < class_of.minimum() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let (file, target, name, buffer) = cx.with(|cx| -> NtResult<_> {
        let (file, target) = asked.capture(cx, FILE_LIST_DIRECTORY)?;
        if !file.ops.is_directory() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let name = optional_string(cx, name)?.filter(|name| !name.is_empty());
        Ok((file, target, name, user_buffer(cx, buffer.0, buffer.1)?))
    })?;
    let asked = Query {
        class: class_of,
        name,
        restart: flags & RESTART_SCAN != 0,
        single: flags & RETURN_SINGLE_ENTRY != 0,
    };
    let answer_to = buffer.clone();
    submit(
        cx,
        &file,
        target,
        |_, _| Ok(Request::Query { buffer }),
        |cx, file, _| answer(cx, file, &asked, &answer_to),
    )
    .await
}

/// Returns names in a directory with what is known of them, as many as fit.
///
/// Requires `FILE_LIST_DIRECTORY`. The first call's pattern stays until a restart. `STATUS_NO_SUCH_FILE` if nothing
/// matches, `STATUS_NO_MORE_FILES` at the end, `STATUS_BUFFER_OVERFLOW` with a cut name if not even one entry fits.
#[service(Partial("classes 1, 2, 3, 12, 37, 38, 50, 60, 63"))]
async fn nt_query_directory_file(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    file_information: Va,
    length: u32,
    file_information_class: FileClass,
    return_single_entry: bool,
    file_name: Option<In<UNICODE_STRING>>,
    restart_scan: bool,
) -> NtResult {
    let asked =
        Asked { file: file_handle, event, apc_routine, apc_context, status_block: io_status_block };
    let single = if return_single_entry { RETURN_SINGLE_ENTRY } else { 0 };
    let flags = single | if restart_scan { RESTART_SCAN } else { 0 };
    let buffer = (file_information, length);
    query(cx, asked, buffer, file_information_class.0, flags, file_name).await
}

/// [`nt_query_directory_file`] with its switches in one word.
#[service(Partial(
    "SL_INDEX_SPECIFIED, SL_RETURN_ON_DISK_ENTRIES_ONLY and SL_NO_CURSOR_UPDATE are ignored"
))]
async fn nt_query_directory_file_ex(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    file_information: Va,
    length: u32,
    file_information_class: FileClass,
    query_flags: u32,
    file_name: Option<In<UNICODE_STRING>>,
) -> NtResult {
    let asked =
        Asked { file: file_handle, event, apc_routine, apc_context, status_block: io_status_block };
    let buffer = (file_information, length);
    query(cx, asked, buffer, file_information_class.0, query_flags, file_name).await
}

/// Tells when something changes in a directory.
///
/// Requires `FILE_LIST_DIRECTORY`.
#[service(Partial("changes made by the host are not seen"))]
async fn nt_notify_change_directory_file(
    cx: &AsyncCx,
    file_handle: Handle,
    event: Handle,
    apc_routine: Va,
    apc_context: u64,
    io_status_block: Out<IO_STATUS_BLOCK>,
    buffer: Va,
    length: u32,
    completion_filter: u32,
    watch_tree: bool,
) -> NtResult {
    if completion_filter == 0 || completion_filter & !0xFFF != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let asked =
        Asked { file: file_handle, event, apc_routine, apc_context, status_block: io_status_block };
    let (file, target, buffer) = cx.with(|cx| -> NtResult<_> {
        let (file, target) = asked.capture(cx, FILE_LIST_DIRECTORY)?;
        if !file.ops.is_directory() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        Ok((file, target, user_buffer(cx, buffer, length)?))
    })?;
    submit(
        cx,
        &file,
        target,
        |_, _| Ok(Request::Notify { buffer, filter: completion_filter, tree: watch_tree }),
        |cx, file, irp| file.ops.notify_directory(cx.k, irp),
    )
    .await
}
