//! Sets of blocks, as ranges of their numbers.

use std::ops::Range;

use berth_api::Extent;

/// Ranges that are in order, apart from each other, and not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Range<u64>>);

impl Spans {
    /// The blocks of `block` bytes that extents touch, up to byte `end`.
    pub(super) fn touched(extents: &[Extent], block: u64, end: u64) -> Self {
        let ranges = extents.iter().filter_map(|extent| {
            let until = extent.offset.saturating_add(extent.length).min(end);
            (extent.offset < until).then(|| extent.offset / block..until.div_ceil(block))
        });
        Self::of(ranges.collect())
    }

    /// What these ranges cover.
    pub(super) fn of(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_unstable_by_key(|range| range.start);
        let mut spans: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match spans.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => spans.push(range),
            }
        }
        Self(spans)
    }

    /// What is here and not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut others = other.0.iter().peekable();
        for range in &self.0 {
            let mut start = range.start;
            while let Some(hole) = others.peek() {
                if hole.start >= range.end {
                    break;
                }
                if start < hole.start {
                    left.push(start..hole.start);
                }
                start = start.max(hole.end);
                if hole.end > range.end {
                    break;
                }
                others.next();
            }
            if start < range.end {
                left.push(start..range.end);
            }
        }
        Self(left)
    }

    /// What of them lies within `window`, in order.
    pub(super) fn within(&self, window: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.0.partition_point(|range| range.end <= window.start);
        self.0[first..]
            .iter()
            .take_while(move |range| range.start < window.end)
            .map(move |range| range.start.max(window.start)..range.end.min(window.end))
    }

    /// Whether all of `window` is here.
    pub(super) fn covers(&self, window: Range<u64>) -> bool {
        self.within(window.clone()).map(|range| range.end - range.start).sum::<u64>()
            == window.end.saturating_sub(window.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_become_the_blocks_that_they_touch() {
        let extent = |offset, length| Extent { offset, length };
        let extents = [extent(95, 10), extent(10, 1), extent(0, 10), extent(39, 2), extent(50, 0)];
        let spans = Spans::touched(&extents, 10, 101);
        assert_eq!(spans.0, [0..2, 3..5, 9..11]);
        let huge = Spans::touched(&[extent(5, u64::MAX), extent(500, 1)], 10, 101);
        assert_eq!(huge, Spans::of(std::iter::once(0..11).collect()));
    }

    #[test]
    fn sets_are_what_single_blocks_say() {
        // All pairs of sets of six blocks.
        let set = |bits: u64| {
            Spans::of((0..6).filter(|at| bits >> at & 1 == 1).map(|at| at..at + 1).collect())
        };
        for one in 0..64 {
            for other in 0..64 {
                assert_eq!(set(one).without(&set(other)), set(one & !other), "{one} {other}");
            }
            for from in 0..6 {
                for to in from..=6 {
                    let window: Vec<_> = set(one).within(from..to).flatten().collect();
                    let single: Vec<_> = (from..to).filter(|at| one >> at & 1 == 1).collect();
                    assert_eq!(window, single);
                    assert_eq!(set(one).covers(from..to), single.len() as u64 == to - from);
                }
            }
        }
    }
}
