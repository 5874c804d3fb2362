//! The time zone classes.
//!
//! The host tells the present offset from UTC only. Where it is zero the zone is `UTC`, which the registry knows; any
//! other offset is a zone of its own without daylight time.

use abi::ex::{RTL_DYNAMIC_TIME_ZONE_INFORMATION, RTL_TIME_ZONE_INFORMATION, TIME_FIELDS};

use crate::Kernel;

/// `SystemDynamicTimeZoneInformation`; its first part is `SystemCurrentTimeZoneInformation`.
pub(super) fn current(k: &Kernel) -> RTL_DYNAMIC_TIME_ZONE_INFORMATION {
    let bias = k.host.time_zone_bias();
    let (name, key) = match bias {
        0 => ("Coordinated Universal Time".to_owned(), "UTC".to_owned()),
        _ => {
            let name = offset_name(bias);
            (name.clone(), name)
        }
    };
    RTL_DYNAMIC_TIME_ZONE_INFORMATION {
        Zone: RTL_TIME_ZONE_INFORMATION {
            Bias: bias,
            StandardName: units(&name),
            StandardStart: TIME_FIELDS::default(),
            StandardBias: 0,
            DaylightName: units(&name),
            DaylightStart: TIME_FIELDS::default(),
            DaylightBias: 0,
        },
        TimeZoneKeyName: units(&key),
        DynamicDaylightTimeDisabled: 0,
        _pad: [0; 3],
    }
}

/// `UTC+01:00` for a bias of -60 minutes.
fn offset_name(bias: i32) -> String {
    let sign = if bias <= 0 { '+' } else { '-' };
    let minutes = bias.unsigned_abs();
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A text in a fixed array, cut if need be, with a terminating zero.
fn units<const N: usize>(text: &str) -> [u16; N] {
    let mut array = [0; N];
    for (slot, unit) in array.iter_mut().take(N - 1).zip(text.encode_utf16()) {
        *slot = unit;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_named_from_the_clock_s_side() {
        assert_eq!((offset_name(-60), offset_name(210)), ("UTC+01:00".into(), "UTC-03:30".into()));
        assert_eq!(units::<4>("abcdef"), [97, 98, 99, 0]);
    }
}
