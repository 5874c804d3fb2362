//! Between Linux times and NT times: 100 ns since 1601, UTC.

use rustix::time::{ClockId, clock_gettime};

/// Seconds from 1601 to 1970.
const EPOCH: i64 = 11_644_473_600;

/// 100 ns in a second.
const SECOND: i64 = 10_000_000;

/// NT time of a Unix time.
pub(crate) fn to_nt(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_add(EPOCH).saturating_mul(SECOND).saturating_add(nanoseconds / 100)
}

/// Seconds and nanoseconds since 1970 of an NT time.
pub(crate) fn from_nt(time: i64) -> (i64, i64) {
    (time.div_euclid(SECOND) - EPOCH, time.rem_euclid(SECOND) * 100)
}

/// The system's clock.
pub(crate) fn now() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    to_nt(now.tv_sec, now.tv_nsec)
}

/// Nanoseconds of a clock that never goes back.
pub(crate) fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// Minutes to add to local time to get UTC, as of now.
pub(crate) fn bias() -> i32 {
    let offset = jiff::tz::TimeZone::system().to_offset(jiff::Timestamp::now());
    -(offset.seconds() / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_round_trip() {
        assert_eq!(to_nt(0, 0), 116_444_736_000_000_000);
        for (seconds, nanoseconds) in [(0, 0), (1_700_000_000, 123_456_700), (-5, 900)] {
            assert_eq!(from_nt(to_nt(seconds, nanoseconds)), (seconds, nanoseconds));
        }
    }
}
