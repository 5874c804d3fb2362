//! From nothing to the first thread of the first program.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use abi::{NtResult, NtStatus};
use guest_mem::{GuestRam, PageTables};
use ntos::host::{Host, Stream};
use ntos::mm::{self, FileBacking, MmState, pool};
use ntos::ob::{HandleTable, ObRef, ObState};
use ntos::ps::create::{self, ProcessRequest, SystemImages, ThreadRequest};
use ntos::ps::params::{CONSOLE_HANDLE_SHELL_NO_WINDOW, ProcessParameters};
use ntos::ps::{Process, Thread};
use ntos::svc::{AsyncCx, Executive, Mode, ServiceTable};
use ntos::ustr::UnicodeString;
use ntos::{Kernel, cm, io, ob, se};

use crate::command_line::environment_block;
use crate::{Config, Program, namespace, shared_data};

/// Why a machine did not boot.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The host gave no memory.
    #[error("no memory for the machine")]
    Memory(#[source] std::io::Error),
    /// A step of the executive's initialization failed.
    #[error("the executive could not {step}: {status}")]
    Executive {
        /// What it was doing.
        step: &'static str,
        /// Why not.
        status: NtStatus,
    },
    /// A system DLL is not usable.
    #[error("{path} cannot be used: {status}")]
    SystemImage {
        /// The guest path.
        path: &'static str,
        /// Why not.
        status: NtStatus,
    },
    /// The program's image is not usable.
    #[error("{path} cannot run: {status}")]
    Program {
        /// The guest path.
        path: String,
        /// Why not.
        status: NtStatus,
    },
}

fn step<T>(step: &'static str, result: NtResult<T>) -> Result<T, BootError> {
    result.map_err(|status| BootError::Executive { step, status })
}

/// Boots a machine and makes the first program's process, started.
pub fn boot(
    config: Config,
    program: &Program,
) -> Result<(Arc<Executive>, ObRef<Process>), BootError> {
    let mut k = kernel(config)?;
    step("make the object namespace", namespace::initialize(&mut k))?;
    step("make the registry", cm::boot(&mut k))?;
    step("attach the devices", drivers::attach(&mut k))?;
    let (process, thread) = step("make the System process", system_process(&mut k))?;
    let executive = Executive::new(k);
    let cx = AsyncCx { executive: executive.clone(), thread, mode: Mode::Kernel };
    system_images(&cx)?;
    let first = first_process(&cx, &process, program)
        .map_err(|status| BootError::Program { path: program.path.clone(), status })?;
    Ok((executive, first))
}

fn kernel(config: Config) -> Result<Kernel, BootError> {
    let ram = Arc::new(GuestRam::new(config.memory).map_err(BootError::Memory)?);
    let out_of_memory =
        |_| BootError::Executive { step: "map itself", status: NtStatus(0xC000_0017) };
    let tables = PageTables::new(&ram).map_err(out_of_memory)?;
    tables.fill_upper_half(&ram, pool::POOL_BASE, pool::POOL_END).map_err(out_of_memory)?;
    let tables = Arc::new(tables);
    let kernel_pool = pool::KernelPool::new(ram.clone(), tables.clone());
    let shared_page = ram.alloc_zeroed().map_err(out_of_memory)?;
    shared_data::initialize(&ram, shared_page, &*config.host);
    let ob: ObState = step("make the root directory", ob::initial_state(&kernel_pool))?;
    let mut trace = ntos::trace::Journal::default();
    if let Some(sink) = config.trace {
        trace.start(sink);
    }
    let mm = MmState::new(ram.clone(), kernel_pool, tables, shared_page, config.nls);
    Ok(Kernel {
        ram,
        host: config.host,
        ke: Default::default(),
        ob,
        mm,
        ps: Default::default(),
        io: Default::default(),
        cm: Default::default(),
        se: Default::default(),
        ex: Default::default(),
        services: ServiceTable::new(&config.services),
        trace,
        noticed: Default::default(),
    })
}

/// The process that owns system threads and whose token the kernel acts with.
fn system_process(k: &mut Kernel) -> NtResult<(ObRef<Process>, ObRef<Thread>)> {
    let token = se::Token::system(k)?;
    create::create_system_process(k, token)
}

/// Finishes a future that does not wait: nothing that boots a machine does.
fn now<T>(future: impl Future<Output = NtResult<T>>) -> NtResult<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(NtStatus(0x0000_0103)),
    }
}

fn open(cx: &AsyncCx, path: &str) -> NtResult<Arc<dyn FileBacking>> {
    now(io::open_image_file(cx, &UnicodeString::from(path)))
}

const NTDLL: &str = r"\SystemRoot\system32\ntdll.dll";
const API_SETS: &str = r"\SystemRoot\system32\apisetschema.dll";

fn system_images(cx: &AsyncCx) -> Result<(), BootError> {
    let section = |path: &'static str| {
        open(cx, path)
            .and_then(|file| cx.with(|cx| mm::create_image_section(cx.k, file)))
            .map_err(|status| BootError::SystemImage { path, status })
    };
    let images = SystemImages { ntdll: section(NTDLL)?, api_sets: section(API_SETS)? };
    cx.with(|cx| cx.k.ps.system_images = Some(images));
    Ok(())
}

fn first_process(
    cx: &AsyncCx,
    system: &ObRef<Process>,
    program: &Program,
) -> NtResult<ObRef<Process>> {
    let nt_path = UnicodeString::from(format!(r"\??\{}", program.path).as_str());
    let file = now(io::open_image_file(cx, &nt_path))?;
    cx.with(|cx| {
        let section = mm::create_image_section(cx.k, file)?;
        let mut handles = HandleTable::default();
        let mut standard = [0; 3];
        for (slot, stream) in
            standard.iter_mut().zip([Stream::Input, Stream::Output, Stream::Error])
        {
            *slot = io::open_stream(cx.k, &mut handles, stream)?;
        }
        let mut directory = program.directory.clone();
        if !directory.ends_with('\\') {
            directory.push('\\');
        }
        let parameters = ProcessParameters {
            console_handle: CONSOLE_HANDLE_SHELL_NO_WINDOW,
            standard,
            current_directory: directory.as_str().into(),
            image_path: program.path.as_str().into(),
            command_line: program.command_line.as_str().into(),
            environment: environment_block(&program.environment),
            window_title: program.path.as_str().into(),
            desktop: r"WinSta0\Default".into(),
            ..ProcessParameters::default()
        };
        let token = se::Token::administrator(cx.k)?;
        let request = ProcessRequest {
            section,
            path: nt_path,
            parameters,
            parent: Some(system.clone()),
            handles,
            token,
        };
        let process = create::create_process(cx.k, request)?;
        let thread_request = ThreadRequest::first(&process)?;
        let thread = create::create_thread(cx.k, &process, &thread_request)?;
        create::start_thread(cx.k, &thread);
        Ok(process)
    })
}
