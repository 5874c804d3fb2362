//! The process object.

use std::sync::Arc;

use abi::NtStatus;
use guest_mem::{PageTables, Va};

use crate::guarded::Guarded;
use crate::mm::AddressSpace;
use crate::ob::{AccessMap, HandleTable, ObRef, ObjectBody, TypeInfo};
use crate::se::Token;
use crate::ustr::UnicodeString;

use super::Thread;

/// A process: an address space, handles, a token, threads.
pub struct Process {
    /// The process id.
    pub pid: u64,
    /// The id of the process that made this one.
    pub parent_pid: u64,
    /// The page tables; mm edits them, processors walk them.
    pub tables: PageTables,
    /// What the address space contains.
    pub space: Guarded<AddressSpace>,
    /// Open handles.
    pub handles: Guarded<HandleTable>,
    /// The primary token.
    pub token: Guarded<ObRef<Token>>,
    /// Everything else.
    pub state: Guarded<ProcessState>,
}

/// State of a process that is not in a part of its own.
#[derive(Default)]
pub struct ProcessState {
    /// Threads that have not ended.
    pub threads: Vec<ObRef<Thread>>,
    /// Set when the process starts to end.
    pub exit_status: Option<NtStatus>,
    /// Address of the PEB.
    pub peb: Va,
    /// NT path of the image.
    pub image_path: UnicodeString,
    /// The main image as mapped.
    pub image: Option<Arc<crate::mm::ImageInfo>>,
    /// The section it was mapped from.
    pub image_section: Option<ObRef<crate::mm::Section>>,
    /// Where the main image is mapped.
    pub image_base: Va,
    /// Addresses in this process's `ntdll`.
    pub ntdll: NtdllEntries,
    /// When it was made, 100 ns since 1601.
    pub created: i64,
    /// When it ended, 100 ns since 1601.
    pub exited: i64,
    /// The console process group: the id of the process that began it.
    pub console_group: u32,
    /// `PROCESS_PRIORITY_CLASS`, 2 is normal.
    pub priority_class: u8,
    /// Hard error mode.
    pub hard_error_mode: u32,
    /// The session.
    pub session: u32,
    /// DOS path of the image, as the creator gave it.
    pub win32_path: UnicodeString,
    /// The command line it was started with.
    pub command_line: UnicodeString,
    /// `ProcessCookie`: the key of `RtlEncodePointer`.
    pub cookie: u32,
    /// Instructions executed by threads that have ended.
    pub instructions: u64,
    /// The job it is in, the innermost one.
    pub job: Option<ObRef<super::job::Job>>,
    /// Who debugs it.
    pub debugger: Option<ObRef<crate::dbgk::DebugObject>>,
    /// Its children are not debugged by its debugger.
    pub no_debug_inherit: bool,
}

/// Addresses in `ntdll` that the kernel enters.
#[derive(Clone, Copy, Default, Debug)]
pub struct NtdllEntries {
    /// Base of the module.
    pub base: Va,
    /// First instruction of every thread.
    pub ldr_initialize_thunk: Va,
    /// Start routine of every thread.
    pub rtl_user_thread_start: Va,
    /// Exceptions.
    pub ki_user_exception_dispatcher: Va,
    /// User APCs.
    pub ki_user_apc_dispatcher: Va,
    /// Callbacks from win32k.
    pub ki_user_callback_dispatcher: Va,
    /// An exception raised by a service.
    pub ki_raise_user_exception_dispatcher: Va,
    /// Where the thread that brings Ctrl-C starts; only the Wine DLLs have it.
    pub ctrl_routine: Option<Va>,
}

impl ObjectBody for Process {
    const DISPATCHER: Option<u64> = Some(0);
    const TYPE: &'static TypeInfo = &TypeInfo {
        name: "Process",
        access: AccessMap {
            read: 0x2_0410,
            write: 0x2_0BEA,
            execute: 0x12_1001,
            all: abi::ps::PROCESS_ALL_ACCESS,
        },
        body_size: 0x438,
    };
}

impl Process {
    /// True once the process has started to end.
    pub fn is_exiting(&self) -> bool {
        self.state.open().exit_status.is_some()
    }

    /// True once the last thread is gone.
    pub fn has_ended(&self) -> bool {
        let state = self.state.open();
        state.exit_status.is_some() && state.threads.is_empty()
    }

    /// Instructions that its threads have executed, those that ended included.
    pub fn instructions(&self) -> u64 {
        let (ended, threads) = {
            let state = self.state.open();
            (state.instructions, state.threads.clone())
        };
        threads.iter().fold(ended, |sum, thread| {
            let instructions = thread.sched.open().instructions;
            sum.saturating_add(instructions)
        })
    }

    /// The image's file name without its path.
    pub fn image_name(&self) -> String {
        let path = self.state.open().image_path.to_string_lossy();
        path.rsplit('\\').next().unwrap_or_default().to_owned()
    }
}
