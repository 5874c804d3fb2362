//! The numbers of object types.
//!
//! NT numbers its types in the order of their creation, from 2. Here a type has one number whether or not this machine
//! has made an object of it; the order is that of recent Windows versions, so that tools find `File` above `Event`.

/// Types by number; the first is number 2.
const NAMES: &[&str] = &[
    "Type",
    "Directory",
    "SymbolicLink",
    "Token",
    "Job",
    "Process",
    "Thread",
    "Partition",
    "UserApcReserve",
    "IoCompletionReserve",
    "DebugObject",
    "Event",
    "Mutant",
    "Callback",
    "Semaphore",
    "Timer",
    "Profile",
    "KeyedEvent",
    "WindowStation",
    "Desktop",
    "TpWorkerFactory",
    "Adapter",
    "Controller",
    "Device",
    "Driver",
    "IoCompletion",
    "WaitCompletionPacket",
    "File",
    "TmTm",
    "TmTx",
    "TmRm",
    "TmEn",
    "Section",
    "Session",
    "Key",
    "ALPC Port",
    "PowerRequest",
    "WmiGuid",
    "EtwRegistration",
    "EtwConsumer",
    "FilterConnectionPort",
    "FilterCommunicationPort",
];

/// The number of the first type.
const FIRST: usize = 2;

/// The number of a type; 0, which no type has, for one that is not listed.
pub fn type_index(name: &str) -> u8 {
    NAMES.iter().position(|known| *known == name).map_or(0, |index| (index + FIRST) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_start_at_two_and_strangers_have_none() {
        assert_eq!((type_index("Type"), type_index("Event"), type_index("Poodle")), (2, 13, 0));
    }
}
