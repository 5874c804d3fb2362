//! The tables: from a number of the guest's own DLLs to a service.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;

use abi::NtStatus;

use super::{ArgTrace, AsyncCx, RawArgs, ServiceCx};

/// A service in progress.
pub type ServiceFuture = Pin<Box<dyn Future<Output = NtStatus> + Send>>;

/// How a service is called.
pub enum Handler {
    /// It cannot wait.
    Sync(fn(&mut ServiceCx<'_>, &RawArgs) -> NtStatus),
    /// It may wait.
    Async(fn(AsyncCx, RawArgs) -> ServiceFuture),
}

/// How much of a service there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// Documented behaviour.
    Implemented,
    /// The text says what is missing.
    Partial(&'static str),
}

/// A declared service; `#[service]` makes it.
pub struct ServiceDef {
    /// NT's name.
    pub name: &'static str,
    /// Names and Rust types of the arguments.
    pub arguments: &'static [(&'static str, &'static str)],
    /// Raw values that the arguments take.
    pub slots: usize,
    /// Support level.
    pub support: Support,
    /// The declaration's documentation.
    pub documentation: &'static str,
    /// `file:line` of the declaration.
    pub source: &'static str,
    /// Dispatch.
    pub handler: Handler,
    /// Trace text of the arguments.
    pub describe: fn(&mut ArgTrace<'_, '_>, &RawArgs),
}

/// A service call that waits, on its thread's stack of calls.
pub struct Call {
    /// The service.
    pub def: &'static ServiceDef,
    /// Its state.
    pub future: ServiceFuture,
    /// Trace text of the inputs, when tracing.
    pub trace: Option<crate::trace::PendingCall>,
    /// The arguments, for the trace of outputs.
    pub raw: RawArgs,
}

/// Every declared service.
pub fn all() -> impl Iterator<Item = &'static ServiceDef> {
    [
        super::alert::SERVICES,
        super::atom::SERVICES,
        super::debug::SERVICES,
        super::event::SERVICES,
        super::file::SERVICES,
        super::job::SERVICES,
        super::key::SERVICES,
        super::keyed::SERVICES,
        super::locale::SERVICES,
        super::machine::SERVICES,
        super::memory::SERVICES,
        super::memory_access::SERVICES,
        super::memory_query::SERVICES,
        super::nls::SERVICES,
        super::object::SERVICES,
        super::object_query::SERVICES,
        super::power::SERVICES,
        super::process::SERVICES,
        super::process_create::SERVICES,
        super::section::SERVICES,
        super::security::SERVICES,
        super::sync::SERVICES,
        super::system::SERVICES,
        super::thread::SERVICES,
        super::time::SERVICES,
        super::timer::SERVICES,
        super::token::SERVICES,
        super::unique::SERVICES,
        super::userland::SERVICES,
        super::win32k::SERVICES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// One number of a table.
#[derive(Clone)]
pub enum Entry {
    /// No such number.
    Vacant,
    /// A declared service.
    Service(&'static ServiceDef),
    /// The guest's DLL has it and nten does not.
    Missing(String),
}

/// The number that the unix-call stub page uses: outside every table of the guest's DLLs.
pub const USERLAND_CALL: u32 = 0x3000;

/// What system service numbers mean in this machine.
pub struct ServiceTable {
    entries: Vec<Entry>,
    reported: BTreeSet<u32>,
    wine: bool,
}

impl ServiceTable {
    /// Builds the table from names and numbers read from the guest's own DLLs.
    pub fn new(numbers: &[(String, u32)]) -> Self {
        let declared: HashMap<&str, &'static ServiceDef> =
            all().map(|def| (def.name, def)).collect();
        let mut entries = vec![Entry::Vacant; 0x4000];
        // In user mode the Zw names are aliases of the Nt names.
        for (name, number) in numbers.iter().filter(|(name, _)| !name.starts_with("Zw")) {
            if let Some(slot) = entries.get_mut(*number as usize) {
                *slot = match declared.get(name.as_str()) {
                    Some(def) => Entry::Service(def),
                    None => Entry::Missing(name.clone()),
                };
            }
        }
        if let (Some(slot), Some(def)) =
            (entries.get_mut(USERLAND_CALL as usize), declared.get("NtenUserlandCall"))
        {
            *slot = Entry::Service(def);
        }
        let wine = numbers.iter().any(|(name, _)| name.starts_with("wine_"));
        ServiceTable { entries, reported: BTreeSet::new(), wine }
    }

    /// What a number means.
    #[inline]
    pub fn get(&self, number: u32) -> &Entry {
        self.entries.get(number as usize).unwrap_or(&Entry::Vacant)
    }

    /// True if the guest's DLLs are Wine's, which they show by services of Wine's own. Where these DLLs want to be told
    /// something else than Windows tells, this decides.
    pub fn is_wine(&self) -> bool {
        self.wine
    }

    /// True the first time a number is reported as missing.
    pub fn report_once(&mut self, number: u32) -> bool {
        self.reported.insert(number)
    }

    /// Every number that means something.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| !matches!(entry, Entry::Vacant))
            .map(|(number, entry)| (number as u32, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_declared_once() {
        let mut names = BTreeSet::new();
        for def in all() {
            assert!(names.insert(def.name), "{} is declared twice: {}", def.name, def.source);
        }
    }
}
