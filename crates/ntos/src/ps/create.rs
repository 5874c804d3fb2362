//! How processes and threads are made.
//!
//! A process: an address space, `ntdll`, the image, the PEB, the parameters. A thread: a TEB, a stack, and a first
//! context that enters `ntdll!LdrInitializeThunk` with the context of `RtlUserThreadStart` to continue at.
//! Layouts: observation of the DLLs that read them, and the public TEB and PEB layouts.

use abi::NtResult;
use abi::context::{CONTEXT, CONTEXT_ALL};
use abi::ob::OBJ_INHERIT;
use abi::ps::{peb, teb};
use abi::status_table::*;
use cpu::{CpuState, reg, sreg};
use guest_mem::Va;
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::guarded::Guarded;
use crate::ke::{context, sched};
use crate::mm::{self, Section};
use crate::ob::{self, HandleEntry, HandleTable, ObRef};
use crate::se::Token;
use crate::svc::table::USERLAND_CALL;
use crate::ustr::UnicodeString;

use super::params::ProcessParameters;
use super::process::NtdllEntries;
use super::{Process, ProcessState, Thread};

/// Smallest stack: `ntdll` clears 0xF0000 bytes below a new thread's context.
const MINIMUM_STACK: u64 = 0x10_0000;

/// The system DLLs that every process maps.
pub struct SystemImages {
    /// `ntdll.dll`.
    pub ntdll: ObRef<Section>,
    /// `apisetschema.dll`, whose `.apiset` section is the PEB's `ApiSetMap`.
    pub api_sets: ObRef<Section>,
}

/// What a new process is made from.
pub struct ProcessRequest {
    /// The image.
    pub section: ObRef<Section>,
    /// Its NT path as the creator gave it.
    pub path: UnicodeString,
    /// Parameters.
    pub parameters: ProcessParameters,
    /// Who it inherits from.
    pub parent: Option<ObRef<Process>>,
    /// Its handles.
    pub handles: HandleTable,
    /// Its token.
    pub token: ObRef<Token>,
}

/// What a new thread is made from.
pub struct ThreadRequest {
    /// Where it starts, after `ntdll`.
    pub start: Va,
    /// The argument.
    pub argument: u64,
    /// Bytes of stack to commit; 0 for the image's.
    pub stack_commit: u64,
    /// Bytes of stack to reserve; 0 for the image's.
    pub stack_reserve: u64,
}

impl ThreadRequest {
    /// The first thread of a process: the image's entry point, with the PEB as argument.
    pub fn first(process: &ObRef<Process>) -> NtResult<Self> {
        let state = process.state.open();
        let image = state.image.as_ref().ok_or(STATUS_INVALID_IMAGE_FORMAT)?;
        Ok(ThreadRequest {
            start: Va(state.image_base.0 + u64::from(image.entry_rva)),
            argument: state.peb.0,
            stack_commit: 0,
            stack_reserve: 0,
        })
    }
}

/// The handles a child gets: the inheritable ones (or those of a list), and its standard handles.
pub fn inherited_handles(
    parent: &ObRef<Process>,
    parameters: &ProcessParameters,
    inherit: bool,
    list: Option<&[u64]>,
) -> HandleTable {
    let table = parent.handles.open();
    let wanted = |handle: u64, entry: &HandleEntry| {
        // The console goes to the child in any case.
        let console = parameters.console_handle == handle && handle != 0;
        let standard = parameters.standard.contains(&handle) || console;
        if inherit {
            console
                || entry.attributes & OBJ_INHERIT != 0
                    && list.is_none_or(|list| list.contains(&handle))
        } else {
            // A console child without inheritance still gets its standard handles, as NT duplicates them.
            standard
        }
    };
    table.inherit_where(wanted)
}

fn allocate(k: &mut Kernel, process: &Process, size: u64, protect: u32) -> NtResult<Va> {
    let (base, _) = mm::allocate(k, process, None, size, true, protect, Default::default())?;
    Ok(base)
}

fn put<T: IntoBytes + zerocopy::Immutable>(
    k: &mut Kernel,
    process: &Process,
    at: u64,
    value: T,
) -> NtResult<()> {
    mm::copy_to(k, process, Va(at), value.as_bytes())
}

/// The id of the System process, as on NT.
const SYSTEM_PID: u64 = 4;

/// `PROCESS_PRIORITY_CLASS_NORMAL`.
const NORMAL_CLASS: u8 = 2;

/// Makes a process without threads.
pub fn create_process(k: &mut Kernel, request: ProcessRequest) -> NtResult<ObRef<Process>> {
    let ProcessRequest { section, path, parameters, parent, handles, token } = request;
    let image = section.image().ok_or(STATUS_INVALID_IMAGE_FORMAT)?;
    let (tables, space) = mm::new_address_space(k)?;
    let pid = k.ps.allocate_id();
    let created = k.system_time();
    let mut cookie = [0u8; 4];
    k.host.entropy(&mut cookie);
    let (hard_error_mode, parents_class) = match &parent {
        Some(parent) if parent.pid != SYSTEM_PID => {
            let state = parent.state.open();
            (state.hard_error_mode, state.priority_class)
        }
        // Nobody is there to answer a fault box, as for a service.
        _ => (SEM_NOGPFAULTERRORBOX, NORMAL_CLASS),
    };
    // Only the classes below normal, idle and below normal, are handed down.
    let priority_class = if matches!(parents_class, 1 | 5) { parents_class } else { NORMAL_CLASS };
    let session = token.state.open().session;
    // `CREATE_NEW_PROCESS_GROUP` begins a group of its own, and so does the first process.
    let group = match &parent {
        Some(parent) if parent.pid != SYSTEM_PID && parameters.console_flags & 1 == 0 => {
            parent.state.open().console_group
        }
        _ => pid as u32,
    };
    let state = ProcessState {
        image_path: path,
        win32_path: parameters.image_path.clone(),
        command_line: parameters.command_line.clone(),
        image: Some(image),
        image_section: Some(section.clone()),
        created,
        priority_class,
        hard_error_mode,
        session,
        console_group: group,
        cookie: u32::from_le_bytes(cookie),
        ..ProcessState::default()
    };
    let process = ob::create(
        k,
        Process {
            pid,
            parent_pid: parent.map(|parent| parent.pid).unwrap_or_default(),
            tables,
            space: Guarded::new(space),
            handles: Guarded::new(handles),
            token: Guarded::new(token),
            state: Guarded::new(state),
        },
    )?;
    process.header.dispatcher().initialize(&k.ram, abi::ke::PROCESS, 0);
    match fill(k, &process, &section, &parameters) {
        Ok(()) => {
            k.ps.processes.insert(pid, process.clone());
            Ok(process)
        }
        Err(status) => {
            let handles = process.handles.open().take_all();
            for entry in handles {
                ob::closed(k, entry);
            }
            mm::rundown(k, &process);
            Err(status)
        }
    }
}

/// Makes the System process, whose handles and token the kernel uses for itself.
pub fn create_system_process(k: &mut Kernel, token: ObRef<Token>) -> NtResult<ObRef<Process>> {
    let (tables, space) = mm::new_address_space(k)?;
    let created = k.system_time();
    let process = ob::create(
        k,
        Process {
            pid: SYSTEM_PID,
            parent_pid: 0,
            tables,
            space: Guarded::new(space),
            handles: Guarded::default(),
            token: Guarded::new(token),
            state: Guarded::new(ProcessState {
                image_path: "System".into(),
                created,
                priority_class: 2,
                ..ProcessState::default()
            }),
        },
    )?;
    process.header.dispatcher().initialize(&k.ram, abi::ke::PROCESS, 0);
    k.ps.processes.insert(SYSTEM_PID, process.clone());
    Ok(process)
}

/// Maps the images and writes PEB and parameters.
fn fill(
    k: &mut Kernel,
    process: &ObRef<Process>,
    section: &ObRef<Section>,
    parameters: &ProcessParameters,
) -> NtResult<()> {
    let (ntdll, api_sets) = match &k.ps.system_images {
        Some(images) => (images.ntdll.clone(), images.api_sets.clone()),
        None => return Err(STATUS_DLL_NOT_FOUND),
    };
    let ntdll_base = mm::map_image(k, process, &ntdll)?;
    let image_base = mm::map_image(k, process, section)?;
    let api_set_base = mm::map_image(k, process, &api_sets)?;
    let api_set_image = api_sets.image().ok_or(STATUS_INVALID_IMAGE_FORMAT)?;
    let api_set_section = api_set_image.section(".apiset").ok_or(STATUS_INVALID_IMAGE_FORMAT)?;
    let api_set_map = api_set_base.0 + u64::from(api_set_section.rva);

    let ntdll_image = ntdll.image().ok_or(STATUS_INVALID_IMAGE_FORMAT)?;
    let export = |name: &str| ntdll_image.export(name).map(|rva| Va(ntdll_base.0 + u64::from(rva)));
    let required = |name: &str| export(name).ok_or(STATUS_ENTRYPOINT_NOT_FOUND);
    let entries = NtdllEntries {
        base: ntdll_base,
        ldr_initialize_thunk: required("LdrInitializeThunk")?,
        rtl_user_thread_start: required("RtlUserThreadStart")?,
        ki_user_exception_dispatcher: required("KiUserExceptionDispatcher")?,
        ki_user_apc_dispatcher: required("KiUserApcDispatcher")?,
        ki_user_callback_dispatcher: required("KiUserCallbackDispatcher")?,
        ki_raise_user_exception_dispatcher: required("KiRaiseUserExceptionDispatcher")?,
        ctrl_routine: export("__wine_ctrl_routine"),
    };
    // Only the Wine DLLs have these two: the way to what would be their Unix half.
    if let Some(at) = export("__wine_unix_call_dispatcher") {
        let stub = unix_call_stub(k, process)?;
        put(k, process, at.0, stub.0)?;
    }
    if let Some(at) = export("__wine_unixlib_handle") {
        put(k, process, at.0, crate::svc::NTDLL_LIBRARY)?;
    }

    let block = parameters.to_block(Va(0));
    let params_base = allocate(k, process, block.len() as u64, abi::mm::PAGE_READWRITE)?;
    mm::copy_to(k, process, params_base, &parameters.to_block(params_base))?;

    let peb_base = allocate(k, process, peb::BLOCK, abi::mm::PAGE_READWRITE)?;
    let at = |offset: u64| peb_base.0 + offset;
    let (subsystem, major, minor) = {
        let mut state = process.state.open();
        state.peb = peb_base;
        state.ntdll = entries;
        state.image_base = image_base;
        let image = state.image.as_ref().ok_or(STATUS_INVALID_IMAGE_FORMAT)?;
        (image.subsystem, image.subsystem_major, image.subsystem_minor)
    };
    let session = process.state.open().session;
    put(k, process, at(peb::IMAGE_BASE_ADDRESS), image_base.0)?;
    put(k, process, at(peb::PROCESS_PARAMETERS), params_base.0)?;
    put(k, process, at(peb::API_SET_MAP), api_set_map)?;
    put(k, process, at(peb::NUMBER_OF_PROCESSORS), 1u32)?;
    put(k, process, at(peb::CRITICAL_SECTION_TIMEOUT), CRITICAL_SECTION_TIMEOUT)?;
    put(k, process, at(peb::OS_MAJOR_VERSION), 10u32)?;
    put(k, process, at(peb::OS_MINOR_VERSION), 0u32)?;
    put(k, process, at(peb::OS_BUILD_NUMBER), crate::ex::BUILD_NUMBER as u16)?;
    put(k, process, at(peb::OS_PLATFORM_ID), 2u32)?;
    put(k, process, at(peb::IMAGE_SUBSYSTEM), u32::from(subsystem))?;
    put(k, process, at(peb::IMAGE_SUBSYSTEM_MAJOR), u32::from(major))?;
    put(k, process, at(peb::IMAGE_SUBSYSTEM_MINOR), u32::from(minor))?;
    put(k, process, at(peb::SESSION_ID), session)?;
    put(k, process, at(peb::DEBUG_OPTIONS), LOADER_ERRORS)?;
    Ok(())
}

/// `SetErrorMode`: a crash shows no box and starts no debugger.
const SEM_NOGPFAULTERRORBOX: u32 = 2;

/// Thirty days, negative, in 100 ns: NT's default of the Session Manager's `CriticalSectionTimeout`.
const CRITICAL_SECTION_TIMEOUT: i64 = -25_920_000_000_000;

/// The Wine DLLs' debug options: flags and channel name, sixteen bytes an entry, ended by an entry without a name. Only
/// errors (bit 1) of the loader's channel are on: they say which DLL or function is missing.
const LOADER_ERRORS: [u8; 16] = *b"\x02module\0\0\0\0\0\0\0\0\0";

/// `mov r10, rcx; mov eax, USERLAND_CALL; syscall; ret` in a page of its own.
fn unix_call_stub(k: &mut Kernel, process: &Process) -> NtResult<Va> {
    let page = allocate(k, process, guest_mem::PAGE_SIZE, abi::mm::PAGE_READWRITE)?;
    let mut code = vec![0x4C, 0x8B, 0xD1, 0xB8];
    code.extend(USERLAND_CALL.to_le_bytes());
    code.extend([0x0F, 0x05, 0xC3]);
    mm::copy_to(k, process, page, &code)?;
    mm::protect(k, process, page, guest_mem::PAGE_SIZE, abi::mm::PAGE_EXECUTE_READ)?;
    Ok(page)
}

/// Makes a thread; [`start_thread`] lets it run.
pub fn create_thread(
    k: &mut Kernel,
    process: &ObRef<Process>,
    request: &ThreadRequest,
) -> NtResult<ObRef<Thread>> {
    if process.is_exiting() {
        return Err(STATUS_PROCESS_IS_TERMINATING);
    }
    let (entries, peb_base, reserve) = {
        let state = process.state.open();
        let image_reserve = state.image.as_ref().map_or(0, |image| image.stack_reserve);
        (state.ntdll, state.peb, image_reserve)
    };
    let wanted = match request.stack_reserve {
        0 => reserve.max(request.stack_commit),
        size => size,
    };
    let size = wanted.max(MINIMUM_STACK).next_multiple_of(0x10000);
    let tid = k.ps.allocate_id();
    let teb_base = allocate(k, process, teb::BLOCK, abi::mm::PAGE_READWRITE)?;
    let (stack, limit) = match mm::allocate_stack(k, process, size) {
        Ok(stack) => stack,
        Err(status) => {
            mm::free(k, process, teb_base)?;
            return Err(status);
        }
    };
    let top = stack.0 + size;
    write_teb(k, process, teb_base.0, tid, peb_base, stack.0, limit.0, top)?;

    let mut first = CpuState::user_mode();
    first.rip = entries.rtl_user_thread_start.0;
    first.gpr[reg::RCX] = request.start.0;
    first.gpr[reg::RDX] = request.argument;
    first.gpr[reg::RSP] = top - 0x28;
    let record = context::capture(&first, CONTEXT_ALL);
    let at = ((top - 0x28) & !0xF) - size_of::<CONTEXT>() as u64;
    mm::copy_to(k, process, Va(at), record.as_bytes())?;

    let mut cpu = first;
    cpu.rip = entries.ldr_initialize_thunk.0;
    cpu.gpr[reg::RCX] = at;
    cpu.gpr[reg::RDX] = entries.base.0;
    cpu.gpr[reg::RSP] = at - 8;
    if let Some(gs) = cpu.seg.get_mut(sreg::GS) {
        gs.base = teb_base.0;
    }
    let base_priority = base_priority(process.state.open().priority_class);
    let body = Thread::new(tid, process.clone(), teb_base, request.start, cpu, base_priority);
    let thread = ob::create(k, body)?;
    thread.header.dispatcher().initialize(&k.ram, abi::ke::THREAD, 0);
    {
        let mut data = thread.state.open();
        data.created = k.host.system_time();
        data.stack = stack;
    }
    k.ps.threads.insert(tid, thread.clone());
    process.state.open().threads.push(thread.clone());
    Ok(thread)
}

/// The base priority of a `PROCESS_PRIORITY_CLASS`.
pub fn base_priority(class: u8) -> i32 {
    match class {
        1 => 4,
        3 => 13,
        4 => 24,
        5 => 6,
        6 => 10,
        _ => 8,
    }
}

/// The base priority of a thread: its process's with the thread's increment, of which ±15 means the very end.
pub fn thread_base_priority(class: u8, increment: i32) -> i32 {
    let (lowest, highest) = if class == REALTIME_CLASS { (16, 31) } else { (1, 15) };
    match increment {
        15.. => highest,
        ..=-15 => lowest,
        _ => (base_priority(class) + increment).clamp(lowest, highest),
    }
}

/// `PROCESS_PRIORITY_CLASS_REALTIME`.
pub const REALTIME_CLASS: u8 = 4;

/// Changes the priority class of a process, and with it the priorities of its threads.
pub fn set_priority_class(process: &Process, class: u8) {
    let threads = {
        let mut state = process.state.open();
        state.priority_class = class;
        state.threads.clone()
    };
    for thread in &threads {
        let increment = thread.state.open().priority_increment;
        let base = thread_base_priority(class, increment);
        let mut sched = thread.sched.open();
        (sched.base_priority, sched.priority) = (base, base);
    }
}

fn write_teb(
    k: &mut Kernel,
    process: &ObRef<Process>,
    base: u64,
    tid: u64,
    peb_base: Va,
    stack: u64,
    limit: u64,
    top: u64,
) -> NtResult<()> {
    let at = |offset: u64| base + offset;
    put(k, process, at(teb::STACK_BASE), top)?;
    put(k, process, at(teb::STACK_LIMIT), limit)?;
    put(k, process, at(teb::SELF), base)?;
    put(k, process, at(teb::CLIENT_ID), [process.pid, tid])?;
    put(k, process, at(teb::REAL_CLIENT_ID), [process.pid, tid])?;
    put(k, process, at(teb::PEB), peb_base.0)?;
    put(k, process, at(teb::CURRENT_LOCALE), 0x409u32)?;
    let activation = at(teb::ACTIVATION_CONTEXT_STACK);
    put(k, process, at(teb::ACTIVATION_CONTEXT_STACK_POINTER), activation)?;
    // The stack's frame list is an empty doubly linked list behind its first pointer.
    put(k, process, activation + 8, [activation + 8, activation + 8])?;
    let buffer = at(teb::STATIC_UNICODE_BUFFER);
    put(k, process, at(teb::STATIC_UNICODE_STRING), [0x20A_0000u64, buffer])?;
    put(k, process, at(teb::DEALLOCATION_STACK), stack)
}

/// Lets a new thread run, unless it is suspended.
pub fn start_thread(k: &mut Kernel, thread: &ObRef<Thread>) {
    if thread.sched.open().suspended == 0 {
        sched::make_ready(k, thread);
    } else {
        thread.sched.open().state = sched::ThreadState::Waiting;
    }
}
