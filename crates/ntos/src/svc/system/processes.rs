//! `SystemProcessInformation`: every process with its threads.
//!
//! An entry is the fixed part, the threads, the image name; `NextEntryOffset` chains the entries. Memory numbers are
//! counted from the page tables; I/O numbers are not kept and are zero.

use abi::ex::{SYSTEM_EXTENDED_THREAD_TAIL, SYSTEM_PROCESS_INFORMATION, SYSTEM_THREAD_INFORMATION};
use abi::ob::UNICODE_STRING;
use guest_mem::{PAGE_SIZE, Pte, Va};
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::ke::sched::ThreadState;
use crate::mm;
use crate::ob::ObRef;
use crate::ps::cpu_time;
use crate::ps::create::base_priority;
use crate::ps::{Process, Thread};
use crate::svc::cx::USER_END;

/// Which class is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// `SystemProcessInformation`.
    Plain,
    /// `SystemExtendedProcessInformation`: stacks and TEBs too.
    Extended,
}

/// All entries, for a buffer at `buffer`: the names are pointed to.
pub(super) fn list(k: &Kernel, buffer: Va, detail: Detail) -> Vec<u8> {
    let mut bytes = Vec::new();
    let last = k.ps.processes.len().saturating_sub(1);
    for (index, process) in k.ps.processes.values().enumerate() {
        let at = Va(buffer.0.wrapping_add(bytes.len() as u64));
        bytes.extend(entry(k, process, at, detail, index == last));
    }
    bytes
}

fn entry(k: &Kernel, process: &ObRef<Process>, at: Va, detail: Detail, last: bool) -> Vec<u8> {
    let threads: Vec<ObRef<Thread>> = process.state.open().threads.clone();
    let mut tail: Vec<u8> = Vec::new();
    let mut instructions = 0;
    for thread in &threads {
        instructions += thread.sched.open().instructions;
        tail.extend_from_slice(thread_entry(thread).as_bytes());
        if detail == Detail::Extended {
            let more = SYSTEM_EXTENDED_THREAD_TAIL {
                Win32StartAddress: thread.start_address.0,
                TebBase: thread.teb.0,
                ..Default::default()
            };
            tail.extend_from_slice(more.as_bytes());
        }
    }
    let fixed = size_of::<SYSTEM_PROCESS_INFORMATION>();
    let name: Vec<u16> = process.image_name().encode_utf16().collect();
    let name_at = at.0.wrapping_add((fixed + tail.len()) as u64);
    tail.extend(name.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()));
    tail.resize(tail.len().next_multiple_of(8), 0);

    let pages = count_pages(k, process);
    let (virtual_size, committed) = mm::usage(process);
    let state = process.state.open();
    instructions += state.instructions;
    let length = name.len() as u16 * 2;
    let information = SYSTEM_PROCESS_INFORMATION {
        NextEntryOffset: if last { 0 } else { (fixed + tail.len()) as u32 },
        NumberOfThreads: threads.len() as u32,
        NumberOfThreadsHighWatermark: threads.len() as u32,
        WorkingSetPrivateSize: (pages.private * PAGE_SIZE) as i64,
        CycleTime: instructions,
        CreateTime: state.created,
        UserTime: cpu_time(instructions) as i64,
        ImageName: UNICODE_STRING {
            Length: length,
            MaximumLength: length + 2,
            _pad: 0,
            Buffer: name_at,
        },
        BasePriority: base_priority(state.priority_class),
        UniqueProcessId: process.pid,
        InheritedFromUniqueProcessId: process.parent_pid,
        HandleCount: process.handles.open().len() as u32,
        SessionId: state.session,
        UniqueProcessKey: process.pid,
        PeakVirtualSize: virtual_size,
        VirtualSize: virtual_size,
        PeakWorkingSetSize: pages.present * PAGE_SIZE,
        WorkingSetSize: pages.present * PAGE_SIZE,
        PagefileUsage: committed,
        PeakPagefileUsage: committed,
        PrivatePageCount: committed,
        ..Default::default()
    };
    let mut bytes = information.as_bytes().to_vec();
    bytes.extend(tail);
    bytes
}

fn thread_entry(thread: &ObRef<Thread>) -> SYSTEM_THREAD_INFORMATION {
    let (state, reason) = state_and_reason(thread);
    let sched = thread.sched.open();
    SYSTEM_THREAD_INFORMATION {
        UserTime: cpu_time(sched.instructions) as i64,
        CreateTime: thread.state.open().created,
        StartAddress: thread.start_address.0,
        UniqueProcess: thread.process.pid,
        UniqueThread: thread.tid,
        Priority: sched.priority,
        BasePriority: sched.base_priority,
        ThreadState: state,
        WaitReason: reason,
        ..Default::default()
    }
}

/// `KTHREAD_STATE` and `KWAIT_REASON`.
fn state_and_reason(thread: &ObRef<Thread>) -> (u32, u32) {
    let (executive, delay, suspended, user_request, alert_by_id) = (0, 4, 5, 6, 37);
    let by_id = thread.state.open().waits_for_alert;
    let sched = thread.sched.open();
    match sched.state {
        ThreadState::Initialized => (0, executive),
        ThreadState::Ready => (1, executive),
        ThreadState::Running => (2, executive),
        ThreadState::Terminated => (4, executive),
        ThreadState::Waiting => match &sched.wait {
            _ if by_id => (5, alert_by_id),
            Some(wait) if wait.objects.is_empty() => (5, delay),
            Some(_) => (5, user_request),
            None if sched.suspended > 0 => (5, suspended),
            None => (5, executive),
        },
    }
}

/// Pages of a process that are in memory.
struct Pages {
    present: u64,
    /// Those that no section shares.
    private: u64,
}

fn count_pages(k: &Kernel, process: &Process) -> Pages {
    let mut pages = Pages { present: 0, private: 0 };
    process.tables.update_range(&k.ram, Va(0), Va(USER_END), |_, pte| {
        if pte.is_present() {
            pages.present += 1;
            pages.private += u64::from(pte.0 & (Pte::SHARED | Pte::COPY_ON_WRITE) == 0);
        }
        pte
    });
    pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA, TestMachine, process};
    use zerocopy::FromBytes;

    #[test]
    fn entries_are_chained_and_name_their_images() {
        let machine = TestMachine::new();
        machine.new_thread();
        machine.put(0, &1u8);
        machine.executive.with(|k| process(k, "child.exe"));
        let bytes = machine.with(|cx| list(cx.k, Va(DATA), Detail::Plain));
        let (first, _) = SYSTEM_PROCESS_INFORMATION::read_from_prefix(&bytes).unwrap();
        assert_eq!((first.NumberOfThreads, first.WorkingSetSize), (2, PAGE_SIZE));
        let next = first.NextEntryOffset as usize;
        let (second, _) = SYSTEM_PROCESS_INFORMATION::read_from_prefix(&bytes[next..]).unwrap();
        assert_eq!((second.NextEntryOffset, second.ImageName.Length), (0, 18));
        let name = &bytes[(second.ImageName.Buffer - DATA) as usize..][..18];
        let units: Vec<u16> =
            name.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        assert_eq!(String::from_utf16(&units).unwrap(), "child.exe");
        let extended = machine.with(|cx| list(cx.k, Va(DATA), Detail::Extended));
        assert_eq!(extended.len(), bytes.len() + 2 * 0x38);
    }
}
