//! Memory counters of the machine.

use abi::ex::{SYSTEM_MEMORY_USAGE_INFORMATION, SYSTEM_PERFORMANCE_INFORMATION};
use guest_mem::PAGE_SIZE;

use crate::Kernel;

/// `SystemPerformanceInformation`. Counters that nten does not keep (I/O, cache, fault kinds) are zero.
pub(super) fn performance(k: &Kernel) -> SYSTEM_PERFORMANCE_INFORMATION {
    let (total, used) = (k.ram.total_frames(), k.ram.frames_in_use());
    SYSTEM_PERFORMANCE_INFORMATION {
        IdleProcessTime: super::idle_and_busy(k).0 as i64,
        AvailablePages: total.saturating_sub(used) as u32,
        CommittedPages: used as u32,
        CommitLimit: total as u32,
        PeakCommitment: used as u32,
        ..Default::default()
    }
}

/// `SystemMemoryUsageInformation`.
pub(super) fn usage(k: &Kernel) -> SYSTEM_MEMORY_USAGE_INFORMATION {
    let (total, used) = (k.ram.total_frames() * PAGE_SIZE, k.ram.frames_in_use() * PAGE_SIZE);
    let available = total.saturating_sub(used);
    SYSTEM_MEMORY_USAGE_INFORMATION {
        TotalPhysicalBytes: total,
        AvailableBytes: available,
        ResidentAvailableBytes: available as i64,
        CommittedBytes: used,
        SharedCommittedBytes: 0,
        CommitLimitBytes: total,
        PeakCommitmentBytes: used,
    }
}
