//! Cuts a range into slices of about the same number of rows.

use jiff::Timestamp;

use domain::{Granularity, TimeRange};

/// The rows of a slice: about 3 MB of lines, which a connection may read ahead. With more, a connection would wait for
/// earlier slices to be consumed; with fewer, for its next statement.
const ROWS_PER_SLICE: u64 = 24_000;

/// A part of the range: `start ≤ bucket < end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// The slices of a range, in order. The rows of earlier slices determine the length of the next.
#[derive(Debug)]
pub(super) struct Slices {
    next: Timestamp,
    end: Timestamp,
    /// Seconds of a bucket.
    bucket: i64,
    /// Buckets of the next slice.
    buckets: i64,
}

impl Slice {
    pub(super) fn of(range: TimeRange) -> Self {
        Self { start: range.start(), end: range.end() }
    }

    fn seconds(self) -> i64 {
        self.end.as_second() - self.start.as_second()
    }
}

impl Slices {
    /// Creates one slice of the whole range.
    pub(super) fn one(range: TimeRange) -> Self {
        Self { next: range.start(), end: range.end(), bucket: 1, buckets: i64::MAX }
    }

    /// Creates slices of about [`ROWS_PER_SLICE`] rows of a range that has about `rows`.
    pub(super) fn many(range: TimeRange, granularity: Granularity, rows: u64) -> Self {
        let bucket = match granularity {
            Granularity::Hourly => 3600,
            Granularity::Daily | Granularity::Monthly => 86_400,
        };
        let mut slices = Self { next: range.start(), end: range.end(), bucket, buckets: 1 };
        slices.buckets = slices.fitting(Slice::of(range), rows);
        slices
    }

    /// Returns the next slice.
    pub(super) fn next(&mut self) -> Option<Slice> {
        if self.next >= self.end {
            return None;
        }
        let start = self.next;
        // Slices end on a bucket's boundary: one between two buckets would be empty.
        let first = start.as_second().div_euclid(self.bucket);
        let end = first.saturating_add(self.buckets).saturating_mul(self.bucket);
        self.next = Timestamp::from_second(end).map_or(self.end, |end| end.min(self.end));
        Some(Slice { start, end: self.next })
    }

    /// Adjusts the length to the rows that a slice had, at most by a factor of two, since usage is uneven.
    pub(super) fn learn(&mut self, slice: Slice, rows: u64) {
        if self.buckets != i64::MAX {
            let fitting = self.fitting(slice, rows);
            self.buckets = fitting.clamp((self.buckets / 2).max(1), self.buckets.saturating_mul(2));
        }
    }

    /// Returns the number of buckets with about [`ROWS_PER_SLICE`] rows, if `slice` has `rows`.
    fn fitting(&self, slice: Slice, rows: u64) -> i64 {
        let per_bucket = i128::from(rows.max(1)) * i128::from(self.bucket);
        let buckets = i128::from(slice.seconds()) * i128::from(ROWS_PER_SLICE) / per_bucket;
        i64::try_from(buckets).unwrap_or(i64::MAX - 1).clamp(1, 31 * 24)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: i64, seconds: i64) -> TimeRange {
        let at = |second| Timestamp::from_second(second).unwrap();
        TimeRange::new(at(start), at(start + seconds)).unwrap()
    }

    #[test]
    fn even_usage_gives_even_slices() {
        // 10,000 rows in each of 744 hours.
        let mut slices = Slices::many(range(0, 744 * 3600), Granularity::Hourly, 7_440_000);
        let mut hours = Vec::new();
        while let Some(slice) = slices.next() {
            hours.push(slice.seconds() / 3600);
            slices.learn(slice, 10_000 * (slice.seconds() as u64 / 3600));
        }
        assert_eq!(hours, [2; 372]);
    }

    #[test]
    fn a_wrong_estimate_is_soon_made_good() {
        let mut slices = Slices::many(range(0, 31 * 86_400), Granularity::Hourly, 1);
        assert_eq!(slices.buckets, 744);
        for _ in 0..9 {
            slices.learn(Slice::of(range(0, 3600)), 24_000);
        }
        assert_eq!(slices.buckets, 1);
    }

    proptest! {
        /// Whatever the row counts, the slices cover the range: none is empty, none overlaps, and there is no gap.
        #[test]
        fn slices_cover_the_range(
            start in -62_167_219_200i64..=250_000_000_000,
            seconds in 1i64..=31 * 86_400,
            granularity in prop::sample::select(vec![Granularity::Hourly, Granularity::Daily]),
            rows in any::<u64>(),
            learned in prop::collection::vec(any::<u64>(), 0..800),
            whole in any::<bool>(),
        ) {
            let range = range(start, seconds);
            let mut slices = if whole { Slices::one(range) } else { Slices::many(range, granularity, rows) };
            let mut learned = learned.into_iter();
            let mut reached = range.start();
            let mut count = 0;
            while let Some(slice) = slices.next() {
                prop_assert_eq!(slice.start, reached);
                prop_assert!(slice.end > slice.start);
                reached = slice.end;
                count += 1;
                if let Some(rows) = learned.next() {
                    slices.learn(slice, rows);
                }
            }
            prop_assert_eq!(reached, range.end());
            prop_assert!(count <= 746 && !(whole && count > 1));
        }
    }
}
