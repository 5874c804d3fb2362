//! The configuration manager: the registry.
//!
//! It owns the hives ([`registry`], [`hive`]: plain data), the Key object type ([`key`]), change notification
//! ([`notify`]), the files that hives are kept in ([`store`], [`image`]), and what a machine's registry holds at first
//! boot ([`seeds`], [`time_zones`], [`boot()`]).
//!
//! Invariants: a key object names its key by [`registry::KeyId`], so a key that was deleted under an open handle answers
//! `STATUS_KEY_DELETED` and nothing else; every change goes through [`key`], which tells [`store`] and [`notify`].
//!
//! A worked path, "`NtOpenKey` of `\Registry\Machine\System\CurrentControlSet\Control`": the object manager's lookup
//! meets the Key object `\REGISTRY` and leaves the rest of the path to it; [`registry::Registry::find`] steps through
//! the hives and follows the link `CurrentControlSet`; the key's own descriptor is checked, and a new Key object for
//! the cell it ended at is entered in the handle table.

pub mod boot;
pub mod hive;
pub mod image;
pub mod information;
pub mod key;
pub mod notify;
pub mod registry;
pub mod seeds;
pub mod store;
pub mod time_zones;

pub use boot::{BootFacts, boot};
pub use key::Key;
pub use registry::{KeyId, Registry};

use std::sync::Arc;

use crate::Kernel;
use crate::ob::{AnyRef, downcast};

/// State of the configuration manager.
pub struct CmState {
    /// The hives.
    pub registry: Registry,
    /// Who waits for changes.
    pub notify: notify::NotifyState,
    /// Where hives are kept.
    pub store: store::Store,
}

impl Default for CmState {
    /// A registry with the key `\REGISTRY` alone; [`boot()`] fills it.
    fn default() -> Self {
        let name: Vec<u16> = "REGISTRY".encode_utf16().collect();
        let root = hive::KeyCell::new(&name, hive::Storage::Volatile, 0, Arc::default());
        CmState {
            registry: Registry::new(root),
            notify: Default::default(),
            store: Default::default(),
        }
    }
}

/// Trace text of a key object: its path.
pub fn describe_object(k: &Kernel, object: &AnyRef) -> Option<String> {
    if object.object_type().name != "Key" {
        return None;
    }
    let key = downcast::<Key>(object.clone()).ok()?;
    match k.cm.registry.path(key.id) {
        Ok(path) => Some(path.to_string()),
        Err(status) => Some(format!("Key#{} ({status})", key.header.id)),
    }
}
