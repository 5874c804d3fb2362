//! Time-based UUIDs: ranges of the UUID clock that are given out once.
//!
//! Source: RFC 9562, version 1. The clock counts 100 ns since 15 October 1582; a machine has a random node number and
//! clock sequence, made when the first range is asked for.

use crate::host::Host;

/// 100 ns between the start of the UUID clock and 1601.
const EPOCH_DIFFERENCE: u64 = 5_748_192_000_000_000;

/// Ticks in a range.
const RANGE: u32 = 10_000;

/// What has been given out.
#[derive(Default)]
pub struct UuidState {
    identity: Option<([u8; 6], u32)>,
    next: u64,
}

/// A range of the UUID clock.
pub struct UuidRange {
    /// The first tick.
    pub time: u64,
    /// Ticks.
    pub count: u32,
    /// The clock sequence.
    pub sequence: u32,
    /// The node.
    pub node: [u8; 6],
}

impl UuidState {
    /// Gives out a range that no earlier call was given.
    pub fn allocate(&mut self, host: &dyn Host) -> UuidRange {
        let (node, sequence) = *self.identity.get_or_insert_with(|| {
            let mut random = [0; 8];
            host.entropy(&mut random);
            let [a, b, c, d, e, f, low, high] = random;
            // The multicast bit marks a node that is no network card's.
            ([a | 1, b, c, d, e, f], u32::from(u16::from_le_bytes([low, high]) & 0x3FFF))
        });
        let now = (host.system_time() as u64).wrapping_add(EPOCH_DIFFERENCE);
        let time = now.max(self.next);
        self.next = time + u64::from(RANGE);
        UuidRange { time, count: RANGE, sequence, node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestHost;

    #[test]
    fn ranges_do_not_overlap_when_the_clock_stands_still() {
        let (host, mut state) = (TestHost::default(), UuidState::default());
        let [first, second] = [state.allocate(&host), state.allocate(&host)];
        assert!(second.time >= first.time + u64::from(first.count));
        assert_eq!((first.node, first.sequence), (second.node, second.sequence));
        assert_eq!(first.node[0] & 1, 1);
    }
}
