//! From nothing to the first thread of the first program.

use std::sync::Arc;

use abi::status_table::STATUS_INSUFFICIENT_RESOURCES;
use abi::{NtResult, NtStatus};
use drivers::condrv::FirstConsole;
use drivers::hostfs::Volume;
use guest_mem::{GuestRam, PageTables};
use ntos::cm::BootFacts;
use ntos::host::{Stream, StreamKind};
use ntos::mm::{self, MmState, pool};
use ntos::ob::{HandleTable, ObRef, ObState};
use ntos::ps::Process;
use ntos::ps::create::{self, ProcessRequest, SystemImages, ThreadRequest};
use ntos::ps::params::{CONSOLE_HANDLE_SHELL_NO_WINDOW, ProcessParameters};
use ntos::svc::{Executive, ServiceTable};
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

/// A machine that is ready to run.
pub struct Booted {
    /// The kernel.
    pub executive: Arc<Executive>,
    /// The first program's process.
    pub program: ObRef<Process>,
    /// The drives.
    pub volumes: Vec<(char, Arc<Volume>)>,
}

/// Boots a machine and makes the first program's process, started.
pub fn boot(config: Config, program: &Program) -> Result<Booted, BootError> {
    let mut k = kernel(config)?;
    step("make the object namespace", namespace::initialize(&mut k))?;
    step("make the registry", cm::boot(&mut k, &BootFacts::default()))?;
    let volumes = step("attach the devices", drivers::attach(&mut k))?;
    let console = step("attach the console", drivers::condrv::add(&mut k))?;
    let token = step("make the System token", se::Token::system(&mut k))?;
    let system = step("make the System process", create::create_system_process(&mut k, token))?;
    system_images(&mut k, &system)?;
    let first = first_process(&mut k, &system, program, console.as_ref())
        .map_err(|status| BootError::Program { path: program.path.clone(), status })?;
    Ok(Booted { executive: Executive::new(k), program: first, volumes })
}

fn kernel(config: Config) -> Result<Kernel, BootError> {
    let ram = Arc::new(GuestRam::new(config.memory).map_err(BootError::Memory)?);
    let out_of_memory =
        |_| BootError::Executive { step: "map itself", status: STATUS_INSUFFICIENT_RESOURCES };
    let tables = PageTables::new(&ram).map_err(out_of_memory)?;
    tables.fill_upper_half(&ram, pool::POOL_BASE, pool::POOL_END).map_err(out_of_memory)?;
    let tables = Arc::new(tables);
    let kernel_pool = pool::KernelPool::new(ram.clone(), tables.clone());
    let shared_page = ram.alloc_zeroed().map_err(out_of_memory)?;
    shared_data::initialize(&ram, shared_page, &*config.host);
    let mm = MmState::new(ram.clone(), kernel_pool, tables, shared_page, config.nls);
    let ob: ObState = step("make the root directory", ob::initial_state(&mm.pool))?;
    let mut trace = ntos::trace::Journal::default();
    if let Some(sink) = config.trace {
        trace.start(sink);
    }
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

const NTDLL: &str = r"\SystemRoot\system32\ntdll.dll";
const API_SETS: &str = r"\SystemRoot\system32\apisetschema.dll";

fn system_images(k: &mut Kernel, system: &ObRef<Process>) -> Result<(), BootError> {
    let mut section = |path: &'static str| {
        let path_text = UnicodeString::from(path);
        io::open_image_file(k, system, &path_text)
            .and_then(|file| mm::create_image_section(k, file))
            .map_err(|status| BootError::SystemImage { path, status })
    };
    let images = SystemImages { ntdll: section(NTDLL)?, api_sets: section(API_SETS)? };
    k.ps.system_images = Some(images);
    Ok(())
}

fn first_process(
    k: &mut Kernel,
    system: &ObRef<Process>,
    program: &Program,
    console: Option<&FirstConsole>,
) -> NtResult<ObRef<Process>> {
    let nt_path = UnicodeString::from(format!(r"\??\{}", program.path).as_str());
    let file = io::open_image_file(k, system, &nt_path)?;
    let section = mm::create_image_section(k, file)?;
    let mut handles = HandleTable::default();
    let mut standard = [0; 3];
    for (slot, stream) in standard.iter_mut().zip([Stream::Input, Stream::Output, Stream::Error]) {
        // A machine has a console if its input and output are a terminal; the error stream may go elsewhere.
        let on_terminal = k.host.stream_kind(stream) == StreamKind::Terminal;
        *slot = match (console, stream) {
            (Some(console), Stream::Input) => console.input(k, &mut handles)?,
            (Some(console), _) if on_terminal => console.output(k, &mut handles)?,
            _ => drivers::stream::open_standard(k, &mut handles, stream)?,
        };
    }
    let console_handle = match console {
        Some(console) => console.reference(k, &mut handles)?,
        None => CONSOLE_HANDLE_SHELL_NO_WINDOW,
    };
    let mut directory = program.directory.clone();
    if !directory.ends_with('\\') {
        directory.push('\\');
    }
    let parameters = ProcessParameters {
        console_handle,
        standard,
        current_directory: directory.as_str().into(),
        image_path: program.path.as_str().into(),
        command_line: program.command_line.as_str().into(),
        environment: environment_block(&program.environment),
        window_title: program.path.as_str().into(),
        desktop: r"WinSta0\Default".into(),
        ..ProcessParameters::default()
    };
    let token = se::Token::administrator(k)?;
    let request = ProcessRequest {
        section,
        path: nt_path,
        parameters,
        parent: Some(system.clone()),
        handles,
        token,
    };
    let process = create::create_process(k, request)?;
    let thread_request = ThreadRequest::first(&process)?;
    let thread = create::create_thread(k, &process, &thread_request)?;
    create::start_thread(k, &thread);
    Ok(process)
}
