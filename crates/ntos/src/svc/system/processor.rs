//! What the processor is and how busy it was. There is one, in one core, package, node and group.

use abi::NtResult;
use abi::ex::*;
use abi::ps::PROCESS_QUERY_LIMITED_INFORMATION;
use abi::status_table::*;
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::ex::clock::uptime;
use crate::ps::Process;
use crate::ps::cpu_time;
use crate::svc::info::Reply;
use crate::svc::{Handle, ServiceCx};

/// `PROCESSOR_ARCHITECTURE_AMD64`.
const ARCHITECTURE_AMD64: u16 = 9;
/// `IMAGE_FILE_MACHINE_AMD64`.
const MACHINE_AMD64: u32 = 0x8664;

/// Bits of `ProcessorFeatureBits` (`KF_…`), by bit of CPUID leaf 1 EDX.
const FEATURES: &[(u32, u32)] = &[
    (4, 0x2),       // RDTSC
    (15, 0x8),      // CMOV
    (8, 0x80),      // CMPXCHG8B
    (23, 0x100),    // MMX
    (24, 0x800),    // FXSR
    (11, 0x1000),   // fast system call
    (25, 0x2000),   // SSE
    (26, 0x1_0000), // SSE2
];

/// `SystemProcessorInformation`, from CPUID.
pub(super) fn identity() -> SYSTEM_PROCESSOR_INFORMATION {
    let [signature, _, _, edx] = cpu::cpuid(1, 0);
    let family = signature >> 8 & 0xF;
    let model = (signature >> 12 & 0xF0) | (signature >> 4 & 0xF);
    let stepping = signature & 0xF;
    let features = FEATURES.iter().filter(|(bit, _)| edx >> bit & 1 != 0);
    SYSTEM_PROCESSOR_INFORMATION {
        ProcessorArchitecture: ARCHITECTURE_AMD64,
        ProcessorLevel: family as u16,
        ProcessorRevision: (model << 8 | stepping) as u16,
        MaximumProcessors: 1,
        ProcessorFeatureBits: features.fold(0, |bits, (_, feature)| bits | feature),
    }
}

/// `SystemProcessorBrandString`, with its terminating zero.
pub(super) fn brand() -> Vec<u8> {
    let leaves = (0x8000_0002..=0x8000_0004).flat_map(|leaf| cpu::cpuid(leaf, 0));
    let mut text: Vec<u8> =
        leaves.flat_map(u32::to_le_bytes).take_while(|byte| *byte != 0).collect();
    text.push(0);
    text
}

/// Time that the processor was idle and that it ran guest code, in 100 ns since boot.
pub(in crate::svc) fn idle_and_busy(k: &Kernel) -> (u64, u64) {
    let ended: u64 = k.ps.processes.values().map(|p| p.state.open().instructions).sum();
    let living: u64 = k.ps.threads.values().map(|t| t.sched.open().instructions).sum();
    let busy = cpu_time(ended + living);
    (uptime(k).saturating_sub(busy), busy)
}

/// `SystemProcessorPerformanceInformation`: idle time is part of kernel time, as NT counts it.
pub(super) fn performance(k: &Kernel) -> SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION {
    let (idle, busy) = idle_and_busy(k);
    SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION {
        IdleTime: idle as i64,
        KernelTime: idle as i64,
        UserTime: busy as i64,
        ..Default::default()
    }
}

/// `LOGICAL_PROCESSOR_RELATIONSHIP`.
mod relation {
    pub const CORE: u32 = 0;
    pub const NUMA_NODE: u32 = 1;
    pub const CACHE: u32 = 2;
    pub const PACKAGE: u32 = 3;
    pub const GROUP: u32 = 4;
    pub const NUMA_NODE_EX: u32 = 6;
    pub const ALL: u32 = 0xFFFF;
}

/// `SystemLogicalProcessorInformation`.
pub(super) fn logical() -> Vec<u8> {
    [relation::CORE, relation::NUMA_NODE, relation::PACKAGE]
        .into_iter()
        .flat_map(|relationship| {
            let entry = SYSTEM_LOGICAL_PROCESSOR_INFORMATION {
                ProcessorMask: 1,
                Relationship: relationship,
                ..Default::default()
            };
            entry.as_bytes().to_vec()
        })
        .collect()
}

/// `SystemLogicalProcessorAndGroupInformation`: the entries of one relationship, or of all.
pub(super) fn relationships(wanted: u32) -> NtResult<Vec<u8>> {
    let affinity = GROUP_AFFINITY { Mask: 1, ..Default::default() };
    let processor = |relationship| PROCESSOR_RELATIONSHIP {
        Relationship: relationship,
        Size: size_of::<PROCESSOR_RELATIONSHIP>() as u32,
        GroupCount: 1,
        GroupMask: affinity,
        ..Default::default()
    };
    let node = NUMA_NODE_RELATIONSHIP {
        Relationship: relation::NUMA_NODE,
        Size: size_of::<NUMA_NODE_RELATIONSHIP>() as u32,
        GroupCount: 1,
        GroupMask: affinity,
        ..Default::default()
    };
    let group = GROUP_RELATIONSHIP {
        Relationship: relation::GROUP,
        Size: size_of::<GROUP_RELATIONSHIP>() as u32,
        MaximumGroupCount: 1,
        ActiveGroupCount: 1,
        Reserved: [0; 5],
        MaximumProcessorCount: 1,
        ActiveProcessorCount: 1,
        Reserved2: [0; 19],
        ActiveProcessorMask: 1,
    };
    let one = |relationship: u32| match relationship {
        relation::CORE | relation::PACKAGE => processor(relationship).as_bytes().to_vec(),
        relation::NUMA_NODE | relation::NUMA_NODE_EX => node.as_bytes().to_vec(),
        relation::GROUP => group.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    match wanted {
        relation::ALL => {
            let all = [relation::CORE, relation::PACKAGE, relation::NUMA_NODE, relation::GROUP];
            Ok(all.into_iter().flat_map(one).collect())
        }
        // The emulated processor has no cache to tell of.
        relation::CORE..=relation::NUMA_NODE_EX => Ok(one(wanted)),
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

/// `SystemSupportedProcessorArchitectures`: machines with bits for kernel mode, user mode, native and this process,
/// ended by zero.
pub(super) fn architectures(cx: &mut ServiceCx<'_>, request: Reply, process: Handle) -> NtResult {
    let (kernel, user, native, this_process) = (1 << 16, 1 << 17, 1 << 18, 1 << 19);
    let mut machine = MACHINE_AMD64 | kernel | user | native;
    if process.0 != 0 {
        cx.reference::<Process>(process, PROCESS_QUERY_LIMITED_INFORMATION)?;
        machine |= this_process;
    }
    request.at_least(cx, &[machine, 0])
}

const _: () = assert!(relation::CACHE < relation::PACKAGE);
