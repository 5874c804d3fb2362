//! The userland: the user-mode system DLLs a machine runs, where they are, and what they say about themselves.
//!
//! nten has no user-mode code of its own for the Win32 API; it runs the PE builds of Wine 10 or any other set of
//! system DLLs. This crate finds such a set ([`Userland::locate`]), fetches one when there is none
//! ([`setup::run`]), reads the system service numbers out of its stubs ([`ServiceNumbers`]), and says of any file
//! whether it is a program a machine can start ([`image::inspect`]).
//!
//! Invariants: a located [`Userland`] has an `ntdll.dll` and its NLS tables; the user's data folder changes in one
//! rename, so an interrupted set-up leaves either the old userland or none; bytes of a file never cause a panic.
//!
//! A worked path, "`nten setup` on a bare Debian machine": [`setup::run`] finds no Wine, asks [`setup::mirror`] for
//! the archive the machine itself uses, lets apt download and verify the packages inside a private state
//! ([`setup::apt`]), unpacks them beside the final folder, renames, and writes the [`locate::Manifest`] last.

pub mod image;
pub mod locate;
pub mod services;
pub mod setup;

pub use locate::{Userland, UserlandError};
pub use services::ServiceNumbers;
