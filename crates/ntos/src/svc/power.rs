//! Services of power management: a machine on mains, with one processor, that never sleeps.

use abi::NtResult;
use abi::ex::{PROCESSOR_POWER_INFORMATION, SYSTEM_BATTERY_STATE};
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::ex::clock::NOMINAL_MHZ;

use super::{Out, ServiceCx};

crate::enum_arg! {
    /// `POWER_INFORMATION_LEVEL`.
    PowerInformationLevel {
        SystemPowerPolicyAc = 0, SystemPowerPolicyDc = 1, SystemPowerCapabilities = 4,
        SystemBatteryState = 5, SystemPowerStateHandler = 6, ProcessorInformation = 11,
        SystemPowerInformation = 12, LastWakeTime = 14, LastSleepTime = 15,
        SystemExecutionState = 16,
    }
}

crate::flags_arg! {
    /// `EXECUTION_STATE`.
    ExecutionState {
        ES_SYSTEM_REQUIRED = 1, ES_DISPLAY_REQUIRED = 2, ES_USER_PRESENT = 4,
        ES_AWAYMODE_REQUIRED = 0x40, ES_CONTINUOUS = 0x8000_0000,
    }
}

/// `ES_CONTINUOUS`: the other flags hold until the next call.
const ES_CONTINUOUS: u32 = 0x8000_0000;
/// Every flag there is.
const ES_VALID: u32 = ES_CONTINUOUS | 0x47;

/// Bytes of `SYSTEM_POWER_CAPABILITIES`.
const CAPABILITIES_SIZE: usize = 76;

/// Reports about power. Nothing about it can be set.
#[service(Partial("policies and all settings are refused"))]
fn nt_power_information(
    cx: &mut ServiceCx<'_>,
    information_level: PowerInformationLevel,
    input_buffer: Va,
    input_buffer_length: u32,
    output_buffer: Va,
    output_buffer_length: u32,
) -> NtResult {
    let bytes: Vec<u8> = match information_level.0 {
        PowerInformationLevel::ProcessorInformation => PROCESSOR_POWER_INFORMATION {
            Number: 0,
            MaxMhz: NOMINAL_MHZ,
            CurrentMhz: NOMINAL_MHZ,
            MhzLimit: NOMINAL_MHZ,
            MaxIdleState: 0,
            CurrentIdleState: 0,
        }
        .as_bytes()
        .to_vec(),
        PowerInformationLevel::SystemBatteryState => {
            SYSTEM_BATTERY_STATE { AcOnLine: 1, ..Default::default() }.as_bytes().to_vec()
        }
        // No button, no lid, no sleep state, no battery.
        PowerInformationLevel::SystemPowerCapabilities => vec![0; CAPABILITIES_SIZE],
        // The machine has not slept.
        PowerInformationLevel::LastWakeTime | PowerInformationLevel::LastSleepTime => vec![0; 8],
        PowerInformationLevel::SystemExecutionState => {
            (cx.k.ex.execution_state & !ES_CONTINUOUS).to_le_bytes().to_vec()
        }
        level => {
            cx.k.notice_once(format!("NtPowerInformation level {level} is not implemented"));
            return Err(STATUS_NOT_IMPLEMENTED);
        }
    };
    if input_buffer.0 != 0 || input_buffer_length != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if output_buffer.0 == 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if (output_buffer_length as usize) < bytes.len() {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    cx.write_bytes(output_buffer, &bytes)?;
    Ok(STATUS_SUCCESS)
}

/// Says what must stay awake, which here everything does; reports what was said before.
///
/// `STATUS_INVALID_PARAMETER` for unknown flags.
#[service]
fn nt_set_thread_execution_state(
    cx: &mut ServiceCx<'_>,
    new_flags: ExecutionState,
    previous_flags: Out<u32>,
) -> NtResult {
    if new_flags.0 & !ES_VALID != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let previous = cx.k.ex.execution_state | ES_CONTINUOUS;
    previous_flags.write(cx, &previous)?;
    if new_flags.0 & ES_CONTINUOUS != 0 {
        cx.k.ex.execution_state = new_flags.0;
    }
    Ok(STATUS_SUCCESS)
}

/// False: the machine has never been woken.
#[service]
fn nt_is_system_resume_automatic(_cx: &mut ServiceCx<'_>) -> NtResult {
    // The service's result is a BOOLEAN in place of a status.
    Ok(STATUS_SUCCESS)
}

crate::service_table! { SERVICES:
    nt_power_information, nt_set_thread_execution_state, nt_is_system_resume_automatic,
}
