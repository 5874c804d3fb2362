//! `NtQuerySystemInformation` and its kin: facts about the machine by information class.
//!
//! Each group of classes is a file of this folder: [`handles`], [`memory`], [`processes`], [`processor`], [`zone`].
//! A class that is not here gives `STATUS_INVALID_INFO_CLASS` and is named once on stderr.

mod handles;
mod memory;
mod processes;
mod processor;
mod zone;

use abi::ex::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::{PAGE_SIZE, Va};
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::ex::clock::uptime;

use super::cx::USER_END;
use super::info::Reply;
use super::{Out, ServiceCx};

pub(super) use processor::idle_and_busy;

crate::enum_arg! {
    /// `SYSTEM_INFORMATION_CLASS`.
    SystemInformationClass {
        SystemBasicInformation = 0,
        SystemProcessorInformation = 1,
        SystemPerformanceInformation = 2,
        SystemTimeOfDayInformation = 3,
        SystemProcessInformation = 5,
        SystemProcessorPerformanceInformation = 8,
        SystemFlagsInformation = 9,
        SystemModuleInformation = 11,
        SystemHandleInformation = 16,
        SystemPageFileInformation = 18,
        SystemFileCacheInformation = 21,
        SystemInterruptInformation = 23,
        SystemTimeAdjustmentInformation = 28,
        SystemKernelDebuggerInformation = 35,
        SystemRegistryQuotaInformation = 37,
        SystemCurrentTimeZoneInformation = 44,
        SystemExtendedProcessInformation = 57,
        SystemEmulationBasicInformation = 62,
        SystemEmulationProcessorInformation = 63,
        SystemExtendedHandleInformation = 64,
        SystemLogicalProcessorInformation = 73,
        SystemFirmwareTableInformation = 76,
        SystemProcessorIdleCycleTimeInformation = 83,
        SystemProcessIdInformation = 88,
        SystemBootEnvironmentInformation = 90,
        SystemDynamicTimeZoneInformation = 102,
        SystemCodeIntegrityInformation = 103,
        SystemProcessorBrandString = 105,
        SystemLogicalProcessorAndGroupInformation = 107,
        SystemProcessorCycleTimeInformation = 108,
        SystemSecureBootInformation = 145,
        SystemKernelDebuggerInformationEx = 149,
        SystemSupportedProcessorArchitectures = 181,
        SystemMemoryUsageInformation = 182,
        SystemWineVersionInformation = 1000,
    }
}

/// Reports facts about the system.
///
/// `return_length` is what the class has to say, whether or not the buffer holds it; a buffer that is too small gives
/// `STATUS_INFO_LENGTH_MISMATCH`.
#[service]
pub(super) fn nt_query_system_information(
    cx: &mut ServiceCx<'_>,
    system_information_class: SystemInformationClass,
    system_information: Va,
    system_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let request =
        Reply { buffer: system_information, length: system_information_length, return_length };
    match system_information_class.0 {
        // These take an input that only the extended service has.
        SystemInformationClass::SystemLogicalProcessorAndGroupInformation
        | SystemInformationClass::SystemSupportedProcessorArchitectures => {
            Err(STATUS_INVALID_PARAMETER)
        }
        class => query(cx, class, request),
    }
}

/// [`nt_query_system_information`] for classes that take an input: a relationship, a processor group, a process.
#[service]
pub(super) fn nt_query_system_information_ex(
    cx: &mut ServiceCx<'_>,
    system_information_class: SystemInformationClass,
    input_buffer: Va,
    input_buffer_length: u32,
    system_information: Va,
    system_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let request =
        Reply { buffer: system_information, length: system_information_length, return_length };
    if input_buffer.0 == 0 || input_buffer_length == 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    match system_information_class.0 {
        SystemInformationClass::SystemLogicalProcessorAndGroupInformation => {
            if input_buffer_length < 4 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            let relationship = cx.read::<u32>(input_buffer)?;
            request.whole(cx, &processor::relationships(relationship)?, MISMATCH)
        }
        SystemInformationClass::SystemSupportedProcessorArchitectures => {
            if input_buffer_length < 8 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            let process = super::Handle(cx.read::<u64>(input_buffer)?);
            processor::architectures(cx, request, process)
        }
        class @ (SystemInformationClass::SystemLogicalProcessorInformation
        | SystemInformationClass::SystemProcessorPerformanceInformation
        | SystemInformationClass::SystemInterruptInformation) => {
            if input_buffer_length < 2 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            // The input is a processor group, and there is one.
            if cx.read::<u16>(input_buffer)? != 0 {
                return Err(STATUS_INVALID_PARAMETER);
            }
            query(cx, class, request)
        }
        class => Err(unknown(cx, "NtQuerySystemInformationEx", class)),
    }
}

fn query(cx: &mut ServiceCx<'_>, class: u32, request: Reply) -> NtResult {
    match class {
        SystemInformationClass::SystemBasicInformation
        | SystemInformationClass::SystemEmulationBasicInformation => {
            let information = basic_information(cx);
            request.at_least(cx, &information)
        }
        SystemInformationClass::SystemProcessorInformation
        | SystemInformationClass::SystemEmulationProcessorInformation => {
            request.at_least(cx, &processor::identity())
        }
        SystemInformationClass::SystemPerformanceInformation => {
            let information = memory::performance(cx.k);
            request.at_least(cx, &information)
        }
        SystemInformationClass::SystemTimeOfDayInformation => time_of_day(cx, request),
        SystemInformationClass::SystemProcessInformation => {
            let bytes = processes::list(cx.k, request.buffer, processes::Detail::Plain);
            request.whole(cx, &bytes, MISMATCH)
        }
        SystemInformationClass::SystemExtendedProcessInformation => {
            let bytes = processes::list(cx.k, request.buffer, processes::Detail::Extended);
            request.whole(cx, &bytes, MISMATCH)
        }
        SystemInformationClass::SystemProcessorPerformanceInformation => {
            let information = processor::performance(cx.k);
            request.at_least(cx, &information)
        }
        // No global flag is set.
        SystemInformationClass::SystemFlagsInformation => request.at_least(cx, &0u32),
        // The executive is no image and no driver is loaded.
        SystemInformationClass::SystemModuleInformation => request.at_least(cx, &0u64),
        SystemInformationClass::SystemHandleInformation => {
            let bytes = handles::list(cx.k);
            request.whole(cx, &bytes, MISMATCH)
        }
        SystemInformationClass::SystemExtendedHandleInformation => {
            let bytes = handles::list_extended(cx.k);
            request.whole(cx, &bytes, MISMATCH)
        }
        // There is no page file: the list is empty.
        SystemInformationClass::SystemPageFileInformation => request.whole(cx, &[], MISMATCH),
        SystemInformationClass::SystemInterruptInformation => random(cx, request),
        // Added to the time at each tick, the length of a tick, and that nothing is adjusted.
        SystemInformationClass::SystemTimeAdjustmentInformation => {
            request.at_least(cx, &[TICK, TICK, 1])
        }
        SystemInformationClass::SystemProcessorIdleCycleTimeInformation
        | SystemInformationClass::SystemProcessorCycleTimeInformation => {
            let (idle, busy) = idle_and_busy(cx.k);
            let is_idle = class == SystemInformationClass::SystemProcessorIdleCycleTimeInformation;
            // A cycle is a nanosecond.
            request.at_least(cx, &(100 * if is_idle { idle } else { busy }))
        }
        SystemInformationClass::SystemProcessIdInformation => process_image_name(cx, request),
        // Whether a debugger is enabled, and whether it is absent.
        SystemInformationClass::SystemKernelDebuggerInformation => request.at_least(cx, &[0u8, 1]),
        // Allowed, enabled, present.
        SystemInformationClass::SystemKernelDebuggerInformationEx => {
            request.at_least(cx, &[0u8, 0, 0])
        }
        // Enabled, capable.
        SystemInformationClass::SystemSecureBootInformation => request.at_least(cx, &[0u8, 0]),
        SystemInformationClass::SystemCurrentTimeZoneInformation => {
            let zone = zone::current(cx.k).Zone;
            request.at_least(cx, &zone)
        }
        SystemInformationClass::SystemDynamicTimeZoneInformation => {
            let zone = zone::current(cx.k);
            request.at_least(cx, &zone)
        }
        SystemInformationClass::SystemLogicalProcessorInformation => {
            request.whole(cx, &processor::logical(), MISMATCH)
        }
        SystemInformationClass::SystemFirmwareTableInformation => firmware_table(cx, request),
        SystemInformationClass::SystemBootEnvironmentInformation => {
            // FirmwareTypeUnknown: there is no firmware.
            request.at_least(cx, &SYSTEM_BOOT_ENVIRONMENT_INFORMATION::default())
        }
        SystemInformationClass::SystemCodeIntegrityInformation => code_integrity(cx, request),
        SystemInformationClass::SystemProcessorBrandString => {
            request.whole(cx, &processor::brand(), MISMATCH)
        }
        SystemInformationClass::SystemMemoryUsageInformation => {
            let information = memory::usage(cx.k);
            request.at_least(cx, &information)
        }
        // Wine's own class, which its `ntdll` does without.
        SystemInformationClass::SystemWineVersionInformation => Err(STATUS_INVALID_INFO_CLASS),
        class => Err(unknown(cx, "NtQuerySystemInformation", class)),
    }
}

/// Says once that a class is missing.
fn unknown(cx: &mut ServiceCx<'_>, service: &str, class: u32) -> NtStatus {
    cx.k.notice_once(format!("{service} class {class} is not implemented"));
    STATUS_INVALID_INFO_CLASS
}

/// What a buffer that is too small gets.
const MISMATCH: NtStatus = STATUS_INFO_LENGTH_MISMATCH;

/// `SystemInterruptInformation`: 24 bytes a processor. User mode takes them as entropy, so they are random.
fn random(cx: &mut ServiceCx<'_>, reply: Reply) -> NtResult {
    let mut bytes = [0u8; 24];
    cx.k.host.entropy(&mut bytes);
    reply.at_least(cx, &bytes)
}

/// `SystemTimeOfDayInformation`, which alone gives as much as the caller has room for.
fn time_of_day(cx: &mut ServiceCx<'_>, reply: Reply) -> NtResult {
    let now = cx.k.system_time();
    let uptime = uptime(cx.k) as i64;
    let information = SYSTEM_TIMEOFDAY_INFORMATION {
        BootTime: now.wrapping_sub(uptime),
        CurrentTime: now,
        TimeZoneBias: i64::from(cx.k.host.time_zone_bias()) * 60 * 10_000_000,
        ..Default::default()
    };
    let Some(part) = information.as_bytes().get(..reply.length as usize) else {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    };
    cx.write_bytes(reply.buffer, part)?;
    reply.store_length(cx, part.len())
}

/// `SystemCodeIntegrityInformation`: no image's signature is checked.
fn code_integrity(cx: &mut ServiceCx<'_>, reply: Reply) -> NtResult {
    let size = size_of::<SYSTEM_CODEINTEGRITY_INFORMATION>() as u32;
    if reply.length < size || cx.read::<u32>(reply.buffer)? != size {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let none = SYSTEM_CODEINTEGRITY_INFORMATION { Length: size, CodeIntegrityOptions: 0 };
    reply.at_least(cx, &none)
}

/// `SystemFirmwareTableInformation`: there is no firmware. Known providers list no table, others do not exist.
fn firmware_table(cx: &mut ServiceCx<'_>, reply: Reply) -> NtResult {
    let head = size_of::<SYSTEM_FIRMWARE_TABLE_INFORMATION>();
    if (reply.length as usize) < head {
        reply.store_length(cx, head)?;
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let mut request = cx.read::<SYSTEM_FIRMWARE_TABLE_INFORMATION>(reply.buffer)?;
    if ![*b"IPCA", *b"BMSR", *b"MRIF"].contains(&request.ProviderSignature.to_le_bytes()) {
        return Err(STATUS_NOT_IMPLEMENTED);
    }
    let (enumerate, get) = (0, 1);
    match request.Action {
        action if action == enumerate => {
            request.TableBufferLength = 0;
            reply.at_least(cx, &request)
        }
        action if action == get => Err(STATUS_NOT_FOUND),
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

/// Sets facts about the system.
#[service(Partial("no class can be set"))]
pub(super) fn nt_set_system_information(
    cx: &mut ServiceCx<'_>,
    system_information_class: SystemInformationClass,
    _system_information: Va,
    _system_information_length: u32,
) -> NtResult {
    Err(unknown(cx, "NtSetSystemInformation", system_information_class.0))
}

/// `SystemProcessIdInformation`: the NT path of the image of a process that the caller's structure names by id.
fn process_image_name(cx: &mut ServiceCx<'_>, reply: Reply) -> NtResult {
    if (reply.length as usize) < size_of::<SYSTEM_PROCESS_ID_INFORMATION>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let mut request = cx.read::<SYSTEM_PROCESS_ID_INFORMATION>(reply.buffer)?;
    let process = cx.k.ps.processes.get(&request.ProcessId).cloned().ok_or(STATUS_INVALID_CID)?;
    let path = process.state.open().image_path.clone();
    let bytes: Vec<u8> = path.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()).collect();
    let room = usize::from(request.ImageName.MaximumLength);
    request.ImageName.MaximumLength = bytes.len() as u16;
    if room < bytes.len() {
        cx.write(reply.buffer, &request)?;
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    request.ImageName.Length = bytes.len() as u16 - 2;
    cx.write_bytes(Va(request.ImageName.Buffer), &bytes)?;
    reply.at_least(cx, &request)
}

/// The length of the clock's tick, in 100 ns.
const TICK: u32 = 156_250;

fn basic_information(cx: &ServiceCx<'_>) -> SYSTEM_BASIC_INFORMATION {
    let pages = cx.k.ram.total_frames() as u32;
    SYSTEM_BASIC_INFORMATION {
        TimerResolution: TICK,
        PageSize: PAGE_SIZE as u32,
        NumberOfPhysicalPages: pages,
        LowestPhysicalPageNumber: 1,
        HighestPhysicalPageNumber: pages.saturating_sub(1),
        AllocationGranularity: 0x1_0000,
        MinimumUserModeAddress: 0x1_0000,
        MaximumUserModeAddress: USER_END - 1,
        ActiveProcessorsAffinityMask: 1,
        NumberOfProcessors: 1,
        ..Default::default()
    }
}

crate::service_table! { SERVICES: nt_query_system_information, nt_query_system_information_ex, nt_set_system_information }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA, TestMachine, out};

    fn query(machine: &TestMachine, class: u32, length: u32) -> (NtResult, u32) {
        let class = SystemInformationClass(class);
        machine.put(0, &0u32);
        let status = machine.with(|cx| {
            nt_query_system_information(cx, class, Va(DATA + 0x10), length, Some(out(0)))
        });
        (status, machine.get(0))
    }

    #[test]
    fn fixed_classes_have_nt_s_sizes() {
        let machine = TestMachine::new();
        let sizes = [
            (0, 0x40),
            (1, 12),
            (2, 0x138),
            (8, 0x30),
            (9, 4),
            (23, 24),
            (28, 12),
            (35, 2),
            (44, 0xAC),
            (62, 0x40),
            (73, 3 * 0x20),
            (83, 8),
            (90, 0x20),
            (102, 0x1B0),
            (108, 8),
            (149, 3),
            (182, 0x38),
        ];
        for (class, size) in sizes {
            assert_eq!(query(&machine, class, size - 1), (Err(MISMATCH), size), "class {class}");
            assert_eq!(query(&machine, class, size), (Ok(STATUS_SUCCESS), size), "class {class}");
            assert_eq!(query(&machine, class, size + 9), (Ok(STATUS_SUCCESS), size), "{class}");
        }
    }

    #[test]
    fn an_unknown_class_is_named_once() {
        let machine = TestMachine::new();
        for _ in 0..2 {
            assert_eq!(query(&machine, 9999, 64).0, Err(STATUS_INVALID_INFO_CLASS));
        }
        let said = machine.host.diagnostics.lock().clone();
        assert_eq!(said, ["NtQuerySystemInformation class 9999 is not implemented"]);
    }

    #[test]
    fn interrupt_information_is_fresh_entropy() {
        let machine = TestMachine::new();
        let bytes = || {
            query(&machine, 23, 24).0.unwrap();
            machine.get::<[u8; 24]>(0x10)
        };
        assert_ne!(bytes(), bytes());
    }

    #[test]
    fn a_process_is_named_by_its_id() {
        let machine = TestMachine::new();
        let mut request =
            SYSTEM_PROCESS_ID_INFORMATION { ProcessId: machine.process.pid, ..Default::default() };
        request.ImageName.Buffer = DATA + 0x100;
        machine.put(0x10, &request);
        assert_eq!(query(&machine, 88, 0x18).0, Err(MISMATCH));
        request = machine.get(0x10);
        assert_eq!(request.ImageName.MaximumLength, 2 * 16);
        assert_eq!(query(&machine, 88, 0x18), (Ok(STATUS_SUCCESS), 0x18));
        let name = machine.with(|cx| cx.capture_string_at(Va(DATA + 0x18))).unwrap();
        assert_eq!(name.to_string(), "\\??\\C:\\test.exe");
        request.ProcessId = 0x8888;
        machine.put(0x10, &request);
        assert_eq!(query(&machine, 88, 0x18).0, Err(STATUS_INVALID_CID));
    }

    #[test]
    fn every_handle_is_listed() {
        let machine = TestMachine::new();
        let event = machine.executive.with(|k| crate::ex::event::create_event(k, 0, true)).unwrap();
        let handle = machine.with(|cx| cx.open_handle(&event, 0x10_0000, 0)).unwrap();
        assert_eq!(query(&machine, 64, 0x800), (Ok(STATUS_SUCCESS), 16 + 0x28));
        let entry: SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX = machine.get(0x10 + 16);
        assert_eq!((machine.get::<u64>(0x10), entry.HandleValue), (1, handle));
        assert_eq!((entry.GrantedAccess, entry.Object), (0x10_0000, event.header.address().0));
        assert_eq!(entry.UniqueProcessId, machine.process.pid);
        assert_eq!(query(&machine, 16, 0x800), (Ok(STATUS_SUCCESS), 8 + 0x18));
    }

    #[test]
    fn the_time_of_day_is_cut_to_the_caller_s_room() {
        let machine = TestMachine::new();
        machine.advance(5);
        assert_eq!(query(&machine, 3, 0x31).0, Err(MISMATCH));
        assert_eq!(query(&machine, 3, 16), (Ok(STATUS_SUCCESS), 16));
        let [boot, now]: [i64; 2] = machine.get(0x10);
        let uptime = machine.with(|cx| uptime(cx.k)) as i64;
        assert_eq!((boot + uptime, now), (now, crate::testing::EPOCH + 5));
    }

    #[test]
    fn the_extended_service_takes_an_input() {
        let machine = TestMachine::new();
        let query = |class, input: u64, length| {
            let class = SystemInformationClass(class);
            let input = machine.put(0x800, &input);
            machine.with(|cx| {
                let at = Va(DATA + 0x10);
                nt_query_system_information_ex(cx, class, input, 8, at, length, Some(out(0)))
            })
        };
        assert_eq!(query(107, 0xFFFF, 0x100), Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<u32>(0), 3 * 0x30 + 0x50);
        assert_eq!(query(107, 4, 0x100), Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<[u32; 2]>(0x10), [4, 0x50]);
        assert_eq!(query(107, 99, 0x100), Err(STATUS_INVALID_PARAMETER));
        assert_eq!(query(181, u64::MAX, 0x100), Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<[u32; 2]>(0x10), [0x000F_8664, 0]);
        let plain = SystemInformationClass(107);
        let status =
            machine.with(|cx| nt_query_system_information(cx, plain, Va(DATA + 0x10), 0x100, None));
        assert_eq!(status, Err(STATUS_INVALID_PARAMETER));
    }
}
