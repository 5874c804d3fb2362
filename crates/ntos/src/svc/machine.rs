//! Services that concern the machine itself: processors, write buffers, messages, firmware variables, shutdown.

use std::fmt::Write as _;

use abi::ex::PROCESSOR_NUMBER;
use abi::ob::UNICODE_STRING;
use abi::se::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;
use ntos_macros::service;

use crate::ps::exit;
use crate::se::require_privilege;

use super::{GuestValue, In, InOut, Out, ServiceCx};

impl GuestValue for PROCESSOR_NUMBER {
    fn show(&self, _cx: &mut ServiceCx<'_>) -> String {
        format!("{}:{}", self.Group, self.Number)
    }
}

/// The group and number of the processor that runs the thread: there is one. The number is also the result.
#[service]
fn nt_get_current_processor_number_ex(
    cx: &mut ServiceCx<'_>,
    processor_number: Option<Out<PROCESSOR_NUMBER>>,
) -> NtResult {
    if let Some(out) = processor_number {
        out.write(cx, &PROCESSOR_NUMBER::default())?;
    }
    Ok(NtStatus(0))
}

/// Makes this processor's writes visible; they are.
#[service]
fn nt_flush_write_buffer(_cx: &mut ServiceCx<'_>) -> NtResult {
    Ok(STATUS_SUCCESS)
}

/// Shows a text to whoever watches the machine boot: a line on stderr. Requires `SeTcbPrivilege`.
#[service]
fn nt_display_string(cx: &mut ServiceCx<'_>, string: In<UNICODE_STRING>) -> NtResult {
    require_privilege(cx.thread, SE_TCB_PRIVILEGE)?;
    let string = string.read(cx)?;
    let text = cx.capture_string(&string)?;
    cx.k.notice(text.to_string_lossy().trim_end_matches(['\r', '\n']));
    Ok(STATUS_SUCCESS)
}

/// Parameters that a hard error can have.
const MAXIMUM_HARDERROR_PARAMETERS: u32 = 5;
/// `OptionShutdownSystem`, the last of the responses that can be asked for that needs a privilege.
const OPTION_SHUTDOWN_SYSTEM: u32 = 6;
/// `OptionCancelTryContinue`, the last one.
const OPTION_LAST: u32 = 8;
/// `ResponseReturnToCaller`.
const RESPONSE_RETURN_TO_CALLER: u32 = 0;

/// Reports an error that a user should decide about. It is said on stderr; nobody decides, so the response is always
/// `ResponseReturnToCaller`.
#[service(Partial("shutting the system down in response is refused"))]
fn nt_raise_hard_error(
    cx: &mut ServiceCx<'_>,
    error_status: u32,
    number_of_parameters: u32,
    unicode_string_parameter_mask: u32,
    parameters: Va,
    valid_response_options: u32,
    response: Out<u32>,
) -> NtResult {
    if number_of_parameters > MAXIMUM_HARDERROR_PARAMETERS {
        return Err(STATUS_INVALID_PARAMETER_2);
    }
    if number_of_parameters != 0 && parameters.0 == 0 {
        return Err(STATUS_INVALID_PARAMETER_4);
    }
    match valid_response_options {
        OPTION_SHUTDOWN_SYSTEM => {
            require_privilege(cx.thread, SE_SHUTDOWN_PRIVILEGE)?;
            let what = "NtRaiseHardError with OptionShutdownSystem is not implemented";
            cx.k.notice_once(what.to_owned());
            return Err(STATUS_NOT_IMPLEMENTED);
        }
        0..=OPTION_LAST => {}
        _ => return Err(STATUS_INVALID_PARAMETER_5),
    }
    response.probe(cx)?;
    let image = cx.process().image_name();
    let mut text = format!("{image}: hard error {:?}", NtStatus(error_status));
    for index in 0..number_of_parameters {
        let value = cx.read::<u64>(Va(parameters.0.wrapping_add(u64::from(index) * 8)))?;
        let separator = if index == 0 { ": " } else { ", " };
        if unicode_string_parameter_mask >> index & 1 != 0 {
            let parameter = cx.capture_string_at(Va(value))?;
            let _ = write!(text, "{separator}{parameter}");
        } else {
            let _ = write!(text, "{separator}{value:#x}");
        }
    }
    cx.k.notice(&text);
    response.write(cx, &RESPONSE_RETURN_TO_CALLER)?;
    Ok(STATUS_SUCCESS)
}

/// The id of the System process.
const SYSTEM_PROCESS: u64 = 4;

/// Ends the machine: every process but System ends. Requires `SeShutdownPrivilege`.
#[service(Partial("a restart ends the machine too"))]
fn nt_shutdown_system(cx: &mut ServiceCx<'_>, action: u32) -> NtResult {
    let last_action = 2;
    if action > last_action {
        return Err(STATUS_INVALID_PARAMETER);
    }
    require_privilege(cx.thread, SE_SHUTDOWN_PRIVILEGE)?;
    let processes: Vec<_> = cx.k.ps.processes.values().cloned().collect();
    for process in processes.iter().filter(|process| process.pid != SYSTEM_PROCESS) {
        exit::terminate_process(cx.k, process, STATUS_SYSTEM_SHUTDOWN);
    }
    Ok(STATUS_SUCCESS)
}

/// A variable of UEFI firmware. There is none, which NT tells, on a machine with an older firmware, so.
fn no_firmware(cx: &ServiceCx<'_>) -> NtResult {
    require_privilege(cx.thread, SE_SYSTEM_ENVIRONMENT_PRIVILEGE)?;
    Err(STATUS_NOT_IMPLEMENTED)
}

/// Reads a variable of ARC firmware: there is none. Requires `SeSystemEnvironmentPrivilege`.
#[service]
fn nt_query_system_environment_value(
    cx: &mut ServiceCx<'_>,
    _variable_name: In<UNICODE_STRING>,
    _variable_value: Va,
    _value_length: u16,
    _return_length: Option<Out<u16>>,
) -> NtResult {
    no_firmware(cx)
}

/// Reads a variable of UEFI firmware: there is none. Requires `SeSystemEnvironmentPrivilege`.
#[service]
fn nt_query_system_environment_value_ex(
    cx: &mut ServiceCx<'_>,
    _variable_name: In<UNICODE_STRING>,
    _vendor_guid: Va,
    _buffer: Va,
    _buffer_length: InOut<u32>,
    _attributes: Option<Out<u32>>,
) -> NtResult {
    no_firmware(cx)
}

/// Asks the kernel debugger's services: there is no debugger. Requires `SeDebugPrivilege`.
#[service]
fn nt_system_debug_control(
    cx: &mut ServiceCx<'_>,
    _command: u32,
    _input_buffer: Va,
    _input_buffer_length: u32,
    _output_buffer: Va,
    _output_buffer_length: u32,
    _return_length: Option<Out<u32>>,
) -> NtResult {
    require_privilege(cx.thread, SE_DEBUG_PRIVILEGE)?;
    Err(STATUS_DEBUGGER_INACTIVE)
}

crate::service_table! { SERVICES:
    nt_get_current_processor_number_ex,
    nt_flush_write_buffer, nt_display_string, nt_raise_hard_error,
    nt_shutdown_system, nt_query_system_environment_value, nt_query_system_environment_value_ex,
    nt_system_debug_control,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA, TestMachine, out};

    #[test]
    fn a_hard_error_is_said_with_its_parameters() {
        let machine = TestMachine::new();
        let name = machine.string(0x100, "missing.dll");
        machine.put(0x200, &[name.0, 0x42]);
        let raise = |count, options| {
            machine.with(|cx| {
                let status = STATUS_DLL_NOT_FOUND.0;
                nt_raise_hard_error(cx, status, count, 1, Va(DATA + 0x200), options, out(0))
            })
        };
        assert_eq!(raise(2, 1), Ok(STATUS_SUCCESS));
        assert_eq!(
            *machine.host.diagnostics.lock(),
            ["test.exe: hard error STATUS_DLL_NOT_FOUND (0xC0000135): missing.dll, 0x42"]
        );
        assert_eq!(raise(6, 1), Err(STATUS_INVALID_PARAMETER_2));
        assert_eq!(raise(0, 9), Err(STATUS_INVALID_PARAMETER_5));
    }

    #[test]
    fn shutting_down_takes_a_privilege_and_ends_everyone() {
        let machine = TestMachine::new();
        let shutdown = || machine.with(|cx| nt_shutdown_system(cx, 0));
        assert_eq!(shutdown(), Err(STATUS_PRIVILEGE_NOT_HELD));
        {
            let token = machine.process.token.open();
            let mut state = token.state.open();
            for privilege in &mut state.privileges {
                privilege.attributes |= SE_PRIVILEGE_ENABLED;
            }
        }
        assert_eq!(shutdown(), Ok(STATUS_SUCCESS));
        assert!(machine.thread.is_terminating());
    }
}
