//! A map from page ranges to values: which pages of a region are committed and with what protection.
//!
//! Key type: [`Runs`]. Neighbouring runs of equal value are one run, so a sparse gigabyte costs a few nodes.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint ranges of numbers (page numbers here), each with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs<V> {
    /// Start to end (exclusive) and value; never empty, never overlapping, equal neighbours merged.
    map: BTreeMap<u64, (u64, V)>,
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Runs { map: BTreeMap::new() }
    }
}

impl<V: Copy + PartialEq> Runs<V> {
    /// The run that holds `at`.
    pub fn run(&self, at: u64) -> Option<(Range<u64>, V)> {
        let (start, (end, value)) = self.map.range(..=at).next_back()?;
        (at < *end).then_some((*start..*end, *value))
    }

    /// The value at `at`.
    pub fn get(&self, at: u64) -> Option<V> {
        self.run(at).map(|(_, value)| value)
    }

    /// True if nothing has a value.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The runs that meet `range`, cut to it, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, V)> + '_ {
        let first = self.run(range.start).map_or(range.start, |(run, _)| run.start);
        self.map.range(first..range.end.max(first)).filter_map(move |(start, (end, value))| {
            let cut = (*start).max(range.start)..(*end).min(range.end);
            (cut.start < cut.end).then_some((cut, *value))
        })
    }

    /// Numbers of `range` that have a value.
    pub fn count(&self, range: Range<u64>) -> u64 {
        self.within(range).map(|(run, _)| run.end - run.start).sum()
    }

    /// True if every number of `range` has a value.
    pub fn covers(&self, range: Range<u64>) -> bool {
        let len = range.end.saturating_sub(range.start);
        self.count(range) == len
    }

    /// Gives every number of `range` the value.
    pub fn set(&mut self, range: Range<u64>, value: V) {
        if range.start >= range.end {
            return;
        }
        self.remove(range.clone());
        let (mut start, mut end) = (range.start, range.end);
        if let Some((left, (left_end, left_value))) = self.map.range(..start).next_back()
            && *left_end == start
            && *left_value == value
        {
            start = *left;
        }
        if let Some((right_end, right_value)) = self.map.get(&end)
            && *right_value == value
        {
            let right_end = *right_end;
            self.map.remove(&end);
            end = right_end;
        }
        self.map.insert(start, (end, value));
    }

    /// Takes the values of `range` away.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let touched: Vec<(u64, (u64, V))> = {
            let first = self.run(range.start).map_or(range.start, |(run, _)| run.start);
            self.map.range(first..range.end).map(|(start, run)| (*start, *run)).collect()
        };
        for (start, (end, value)) in touched {
            self.map.remove(&start);
            if start < range.start {
                self.map.insert(start, (range.start, value));
            }
            if end > range.end {
                self.map.insert(range.end, (end, value));
            }
        }
    }

    /// Moves the values at and above `at` out.
    pub fn split_off(&mut self, at: u64) -> Self {
        let mut upper = Runs { map: self.map.split_off(&at) };
        if let Some((_, (end, value))) = self.map.range_mut(..at).next_back()
            && *end > at
        {
            upper.map.insert(at, (*end, *value));
            *end = at;
        }
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_behave_like_an_array() {
        let mut model = [None::<u8>; 64];
        let mut runs = Runs::default();
        let mut seed = 1u64;
        let mut next = |limit: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        for _ in 0..4000 {
            let (a, b) = (next(65), next(65));
            let range = a.min(b)..a.max(b);
            let value = next(4) as u8;
            let part = &mut model[range.start as usize..range.end as usize];
            if value == 3 {
                runs.remove(range);
                part.fill(None);
            } else {
                runs.set(range, value);
                part.fill(Some(value));
            }
            for (at, expected) in model.iter().enumerate() {
                assert_eq!(runs.get(at as u64), *expected);
            }
            let ends: Vec<_> = runs.within(0..64).collect();
            for pair in ends.windows(2) {
                assert!(pair[0].0.end <= pair[1].0.start);
                assert!(pair[0].0.end != pair[1].0.start || pair[0].1 != pair[1].1, "not merged");
            }
            let (a, b) = (next(65), next(65));
            let range = a.min(b)..a.max(b);
            let expected = model[range.start as usize..range.end as usize]
                .iter()
                .filter(|v| v.is_some())
                .count();
            assert_eq!(runs.count(range), expected as u64);
        }
        let upper = runs.clone().split_off(31);
        for at in 0..64 {
            assert_eq!(upper.get(at), if at < 31 { None } else { model[at as usize] });
        }
    }
}
