//! System service dispatch: from a service number to a Rust function with typed arguments.
//!
//! Key types: [`ServiceDef`] (what `#[service]` makes), [`ServiceCx`] and [`AsyncCx`] (what a service is given),
//! [`Arg`] (how an argument is decoded and shown), [`ServiceTable`] (numbers of the guest's own `ntdll`).
//!
//! Invariants: a service is the only door from user mode; addresses from user mode are probed before use and read
//! once; a service that waits is `async` and holds nothing across an await.
//!
//! A worked path, "`NtCreateFile`": the run loop ([`crate::run`]) sees the processor exit with a system call, takes the
//! number from EAX and the arguments from R10, RDX, R8, R9 and the stack ([`RawArgs`]), finds the [`ServiceDef`],
//! and calls its handler. The handler, made by `#[service]`, decodes each argument and calls
//! `svc::file::nt_create_file`, an `async fn`; it runs to its end at once or is kept in the thread's
//! [`Call`] stack and polled when its wait is over. The status goes to RAX.

pub mod args;
pub mod cx;
pub mod table;

mod alert;
mod atom;
mod attributes;
mod debug;
mod event;
mod file;
#[cfg(test)]
mod garbage;
mod info;
mod job;
mod key;
mod keyed;
mod locale;
mod machine;
mod memory;
mod memory_access;
mod memory_query;
mod nls;
mod object;
mod object_query;
mod power;
mod process;
mod process_create;
mod section;
mod security;
mod sync;
mod system;
mod thread;
mod time;
mod timer;
mod token;
mod unique;
mod userland;
mod win32k;

pub use args::{Arg, ArgCursor, ArgTrace, GuestValue, Handle, In, InOut, Out, RawArgs};
pub use cx::{AsyncCx, Executive, Mode, ObjectAttributes, ServiceCx};
pub use table::{Call, Handler, ServiceDef, ServiceFuture, ServiceTable, Support};
pub use userland::NTDLL_LIBRARY;

/// Collects the services of a file: `service_table! { SERVICES: nt_close, nt_create_event }`.
#[macro_export]
macro_rules! service_table {
    ($table:ident: $($service:ident),* $(,)?) => {
        /// The services declared in this file.
        pub(super) static $table: &[&$crate::svc::ServiceDef] = &[$(&$service::DEF),*];
    };
}
