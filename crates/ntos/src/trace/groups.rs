//! Groups of services that filters name: `%file`, `%registry`, ….
//!
//! A service may be in several groups, or in none.

/// A group: its name and patterns of service names; those that start with `!` are left out.
pub(super) struct Group {
    /// The name without `%`.
    pub name: &'static str,
    /// Patterns in which `*` stands for any text.
    patterns: &'static [&'static str],
}

/// Every group.
pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "file",
        patterns: &[
            "Nt*File*",
            "Nt*IoCompletion*",
            "NtCancelIo*",
            "NtCancelSynchronousIo*",
            "!NtAreMapped*",
        ],
    },
    Group { name: "registry", patterns: &["Nt*Key*", "!Nt*KeyedEvent*"] },
    Group {
        name: "memory",
        patterns: &[
            "Nt*VirtualMemory*",
            "Nt*Section*",
            "Nt*WriteWatch",
            "Nt*PhysicalPages*",
            "NtFlushInstructionCache",
            "NtAreMappedFilesTheSame",
            "NtGetNlsSectionPtr",
        ],
    },
    Group {
        name: "process",
        patterns: &[
            "Nt*Process*",
            "Nt*Job*",
            "!NtFlushProcessWriteBuffers",
            "!NtGetCurrentProcessor*",
        ],
    },
    Group {
        name: "thread",
        patterns: &["Nt*Thread*", "NtContinue*", "NtTestAlert", "NtYieldExecution"],
    },
    Group {
        name: "sync",
        patterns: &[
            "Nt*Event",
            "Nt*Semaphore",
            "Nt*Mutant",
            "Nt*Timer",
            "NtSetTimerEx",
            "NtWaitFor*",
            "NtSignalAndWait*",
            "NtDelayExecution",
            "NtYieldExecution",
            "Nt*Alert*",
            "NtQueueApc*",
        ],
    },
    Group {
        name: "object",
        patterns: &[
            "NtClose",
            "Nt*Object",
            "Nt*ObjectEx",
            "Nt*Objects",
            "!NtWaitFor*",
            "!NtSignal*",
        ],
    },
    Group {
        name: "security",
        patterns: &[
            "Nt*Token*",
            "NtAccessCheck*",
            "Nt*Security*",
            "NtPrivilege*",
            "NtImpersonate*",
        ],
    },
    Group {
        name: "time",
        patterns: &[
            "NtQuerySystemTime",
            "NtSetSystemTime",
            "NtQueryPerformanceCounter",
            "Nt*Timer*",
            "NtDelayExecution",
        ],
    },
    Group {
        name: "system",
        patterns: &[
            "NtQuerySystem*",
            "NtSetSystem*",
            "Nt*Locale",
            "Nt*UILanguage",
            "NtPower*",
            "NtShutdownSystem",
            "NtRaiseHardError",
            "Nt*Atom",
            "NtAllocateLocallyUniqueId",
            "NtAllocateUuids",
        ],
    },
    Group {
        name: "ipc",
        patterns: &["Nt*Port", "NtAlpc*", "NtCreateNamedPipeFile", "NtCreateMailslotFile"],
    },
    Group { name: "driver", patterns: &["Nt*Driver", "NtDeviceIoControlFile"] },
    Group { name: "win32k", patterns: &["NtUser*", "NtGdi*"] },
];

impl Group {
    /// True if a service belongs to the group.
    pub fn contains(&self, service: &str) -> bool {
        let matches = |pattern: &&str| matches_glob(pattern, service);
        let (out, into): (Vec<&str>, Vec<&str>) =
            self.patterns.iter().partition(|pattern| pattern.starts_with('!'));
        into.iter().any(matches)
            && !out.iter().any(|pattern| matches(&pattern.trim_start_matches('!')))
    }
}

/// Matches a pattern in which `*` is any text and `?` any character.
pub(super) fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            starts.into_iter().any(|at| text.get(at..).is_some_and(|tail| matches_glob(rest, tail)))
        }
        Some(wanted) => {
            let mut text_rest = text.chars();
            match text_rest.next() {
                Some(found) if wanted == '?' || wanted == found => {
                    matches_glob(pattern_rest.as_str(), text_rest.as_str())
                }
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group_of(service: &str) -> Vec<&'static str> {
        GROUPS.iter().filter(|group| group.contains(service)).map(|group| group.name).collect()
    }

    #[test]
    fn services_are_grouped_by_what_they_touch() {
        assert_eq!(group_of("NtCreateFile"), ["file"]);
        assert_eq!(group_of("NtOpenKeyEx"), ["registry"]);
        assert_eq!(group_of("NtWaitForKeyedEvent"), ["sync"]);
        assert_eq!(group_of("NtMapViewOfSection"), ["memory"]);
        assert_eq!(group_of("NtOpenDirectoryObject"), ["object"]);
        assert_eq!(group_of("NtWaitForSingleObject"), ["sync"]);
        assert_eq!(group_of("NtOpenProcessToken"), ["process", "security"]);
        assert_eq!(group_of("NtGetCurrentProcessorNumber"), [""; 0]);
    }

    #[test]
    fn every_group_of_declared_services_has_one() {
        let services: Vec<&str> = crate::svc::table::all().map(|def| def.name).collect();
        for name in ["process", "thread", "sync", "object", "time", "system"] {
            let group = GROUPS.iter().find(|group| group.name == name).unwrap();
            assert!(services.iter().any(|service| group.contains(service)), "{name}");
        }
    }

    #[test]
    fn globs_match_whole_names() {
        assert!(matches_glob("Nt*File", "NtCreateFile") && !matches_glob("Nt*File", "NtFileX"));
        assert!(matches_glob("Nt?lose", "NtClose") && matches_glob("*", ""));
    }
}
