//! The object namespace as it is when the first process starts.
//!
//! Names: "Windows Internals", chapter 8, and what `kernelbase` opens.

use abi::NtResult;
use ntos::Kernel;
use ntos::ex::event::create_event;
use ntos::ob;

/// Directories, parents first.
const DIRECTORIES: &[&str] = &[
    r"\Device",
    r"\Driver",
    r"\FileSystem",
    r"\GLOBAL??",
    r"\KernelObjects",
    r"\KnownDlls",
    r"\NLS",
    r"\ObjectTypes",
    r"\RPC Control",
    r"\Security",
    r"\BaseNamedObjects",
    r"\Sessions",
    r"\Sessions\0",
    r"\Sessions\0\DosDevices",
    r"\Sessions\1",
    r"\Sessions\1\BaseNamedObjects",
    r"\Sessions\1\DosDevices",
    r"\Sessions\1\Windows",
    r"\Sessions\1\Windows\WindowStations",
    r"\Windows",
];

/// Symbolic links and their targets.
const LINKS: &[(&str, &str)] = &[
    (r"\??", r"\GLOBAL??"),
    (r"\DosDevices", r"\??"),
    (r"\SystemRoot", r"\??\C:\windows"),
    (r"\GLOBAL??\GLOBALROOT", r""),
    (r"\GLOBAL??\Global", r"\GLOBAL??"),
    (r"\GLOBAL??\NUL", r"\Device\Null"),
    (r"\GLOBAL??\PIPE", r"\Device\NamedPipe"),
    (r"\GLOBAL??\MAILSLOT", r"\Device\MailSlot"),
    (r"\GLOBAL??\CONIN$", r"\Device\ConDrv\CurrentIn"),
    (r"\GLOBAL??\CONOUT$", r"\Device\ConDrv\CurrentOut"),
    (r"\GLOBAL??\CON", r"\Device\ConDrv\Console"),
    (r"\Sessions\0\BaseNamedObjects", r"\BaseNamedObjects"),
    (r"\BaseNamedObjects\Global", r"\BaseNamedObjects"),
    (r"\BaseNamedObjects\Local", r"\BaseNamedObjects"),
    (r"\BaseNamedObjects\Session", r"\Sessions"),
    (r"\Sessions\1\BaseNamedObjects\Global", r"\BaseNamedObjects"),
    (r"\Sessions\1\BaseNamedObjects\Local", r"\Sessions\1\BaseNamedObjects"),
    (r"\Sessions\1\BaseNamedObjects\Session", r"\Sessions"),
];

/// Events of the memory manager and others, by name.
const KERNEL_EVENTS: &[(&str, bool)] = &[
    (r"\KernelObjects\LowMemoryCondition", false),
    (r"\KernelObjects\HighMemoryCondition", true),
    (r"\KernelObjects\LowPagedPoolCondition", false),
    (r"\KernelObjects\HighPagedPoolCondition", true),
    (r"\KernelObjects\LowNonPagedPoolCondition", false),
    (r"\KernelObjects\HighNonPagedPoolCondition", true),
    (r"\KernelObjects\LowCommitCondition", false),
    (r"\KernelObjects\HighCommitCondition", false),
    (r"\KernelObjects\MaximumCommitCondition", false),
];

/// Makes the boot-time namespace.
pub fn initialize(k: &mut Kernel) -> NtResult<()> {
    for path in DIRECTORIES {
        ob::make_directory(k, path)?;
    }
    for (path, target) in LINKS {
        ob::make_link(k, path, target)?;
    }
    for (path, signaled) in KERNEL_EVENTS {
        let event = create_event(k, abi::ke::NOTIFICATION_EVENT, *signaled)?;
        event.header.set_permanent(true);
        ob::insert_at(k, path, &event)?;
    }
    Ok(())
}
