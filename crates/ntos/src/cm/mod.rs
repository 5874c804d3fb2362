//! The configuration manager: the registry.

use crate::ob::AnyRef;

/// State of the configuration manager.
#[derive(Default)]
pub struct CmState {}

/// Trace text of a key object.
pub fn describe_object(_object: &AnyRef) -> Option<String> {
    None
}
