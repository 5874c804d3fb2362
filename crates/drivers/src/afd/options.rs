//! Socket options: one code gets, one sets.
//!
//! Key type: [`OPTIONS`], the table of codes, defaults and what they change. Values are kept as given; those that the
//! transport knows are given to it. What has no effect here is refused. Codes are observed; defaults are those that
//! Windows documents.

use abi::status_table::*;
use abi::{NtResult, NtStatus};
use ntos::Kernel;
use ntos::io::irp::{IoResult, Irp, Outcome};

use super::address::word;
use super::endpoint::{Kind, Tuning};
use super::socket::Socket;

/// A code's number: its place in the device's own range.
const fn get(number: u32) -> u32 {
    0x12_0000 | number << 2
}

/// `SO_LINGER`: the switch in the low half, seconds in the high one.
pub const LINGER: u32 = get(225);
/// `SO_RCVTIMEO`, milliseconds.
pub const RECEIVE_TIMEOUT: u32 = get(232);
/// `SO_SNDTIMEO`, milliseconds.
pub const SEND_TIMEOUT: u32 = get(237);
/// `SO_REUSEADDR`.
pub const REUSE: u32 = get(233);
/// `SO_EXCLUSIVEADDRUSE`.
pub const EXCLUSIVE: u32 = get(297);

const ACCEPT_CONNECTIONS: u32 = get(219);
const ERROR: u32 = get(222);
const CONNECT_TIME: u32 = get(292);

struct Known {
    get: u32,
    set: u32,
    default: u32,
    tuning: Option<Tuning>,
}

const fn known(get_number: u32, set_number: u32, default: u32, tuning: Option<Tuning>) -> Known {
    Known { get: get(get_number), set: get(set_number), default, tuning }
}

const OPTIONS: &[Known] = &[
    known(220, 221, 0, Some(Tuning::Broadcast)),
    known(223, 224, 0, Some(Tuning::KeepAlive)),
    known(225, 226, 0, None),
    known(230, 229, 65_536, Some(Tuning::ReceiveBuffer)),
    known(232, 231, 0, None),
    known(233, 234, 0, None),
    known(236, 235, 65_536, Some(Tuning::SendBuffer)),
    known(237, 238, 0, None),
    // IP_DONTFRAGMENT, IP_MULTICAST_LOOP, IP_MULTICAST_TTL, IP_TOS, IP_TTL.
    known(242, 243, 0, None),
    known(250, 251, 1, None),
    known(252, 253, 1, None),
    known(258, 259, 0, None),
    known(260, 261, 128, Some(Tuning::TimeToLive)),
    // IPV6_DONTFRAG, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_UNICAST_HOPS, IPV6_V6ONLY.
    known(266, 267, 0, None),
    known(269, 270, 1, None),
    known(273, 274, 1, None),
    known(275, 276, 128, Some(Tuning::TimeToLive)),
    known(279, 280, 1, Some(Tuning::V6Only)),
    known(284, 285, 0, Some(Tuning::NoDelay)),
    known(297, 298, 0, None),
    // TCP_KEEPIDLE, TCP_KEEPCNT, TCP_KEEPINTVL.
    known(299, 300, 7200, None),
    known(301, 302, 10, None),
    known(303, 304, 1, None),
];

/// The Winsock error that a status stands for, as `SO_ERROR` gives it.
fn winsock_error(status: NtStatus) -> u32 {
    match status {
        STATUS_SUCCESS => 0,
        STATUS_CONNECTION_REFUSED => 10061,
        STATUS_CONNECTION_RESET => 10054,
        STATUS_NETWORK_UNREACHABLE => 10051,
        STATUS_HOST_UNREACHABLE => 10065,
        STATUS_IO_TIMEOUT => 10060,
        STATUS_INVALID_ADDRESS_COMPONENT => 10049,
        _ => 10050,
    }
}

impl Socket {
    /// Gets or sets an option; `None` if the code is none of one.
    pub fn option_code(
        &self,
        k: &mut Kernel,
        irp: &Irp,
        code: u32,
        input: &[u8],
    ) -> Option<IoResult> {
        if let Some(option) = OPTIONS.iter().find(|option| option.get == code) {
            let value = self.state.open().options.get(&code).copied().unwrap_or(option.default);
            return Some(short_answer(k, irp, value));
        }
        if let Some(option) = OPTIONS.iter().find(|option| option.set == code) {
            return Some(self.set_option(option, input));
        }
        let value = match code {
            ACCEPT_CONNECTIONS => u32::from(self.state.open().listening),
            ERROR => {
                let failed = self.state.open().connect_error;
                let status = failed.or_else(|| self.endpoint().take_error());
                winsock_error(status.unwrap_or(STATUS_SUCCESS))
            }
            CONNECT_TIME => match self.state.open().connected_at {
                Some(at) if self.kind == Kind::Stream => {
                    let seconds = k.host.interrupt_time().saturating_sub(at) / 10_000_000;
                    u32::try_from(seconds).unwrap_or(u32::MAX - 1)
                }
                _ => u32::MAX,
            },
            _ => return None,
        };
        Some(short_answer(k, irp, value))
    }

    fn set_option(&self, option: &Known, input: &[u8]) -> IoResult {
        let value = word_or_less(input)?;
        if let Some(tuning) = option.tuning {
            self.endpoint().tune(tuning, value as i32)?;
        }
        if option.get == REUSE || option.get == EXCLUSIVE {
            let other = if option.get == REUSE { EXCLUSIVE } else { REUSE };
            let taken = self.state.open().options.get(&other).is_some_and(|other| *other != 0);
            if value != 0 && taken {
                return Err(STATUS_INVALID_PARAMETER);
            }
        }
        self.state.open().options.insert(option.get, value);
        Outcome::ok(0)
    }
}

/// A value that the caller may have given in fewer bytes than four.
fn word_or_less(input: &[u8]) -> NtResult<u32> {
    if input.is_empty() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let mut bytes = input.to_vec();
    bytes.resize(bytes.len().max(4), 0);
    word(&bytes, 0)
}

/// Answers with as much of a value as the caller has room for.
fn short_answer(k: &mut Kernel, irp: &Irp, value: u32) -> IoResult {
    let (_, _, output) = irp.control()?;
    let bytes = value.to_le_bytes();
    let part = bytes.get(..output.len.min(4)).unwrap_or_default();
    irp.answer(k, part)
}
