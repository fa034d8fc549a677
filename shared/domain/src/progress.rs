//! The progress of a running export.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::TimeRange;

/// The rows and bytes written so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Number of rows, without the header.
    pub rows: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// The part of the time range that they cover, in thousandths: 0 to 1000. It grows unevenly where usage is uneven.
    pub thousandths: u16,
}

impl Progress {
    /// Creates the progress of an export of `range` that has reached the bucket `reached`.
    pub fn new(rows: u64, bytes: u64, range: TimeRange, reached: Timestamp) -> Self {
        let seconds = |duration: SignedDuration| duration.as_secs().max(0);
        let done = seconds(reached.duration_since(range.start()));
        // A range is neither empty nor longer than a month: the product fits.
        let thousandths = done * 1000 / seconds(range.end().duration_since(range.start())).max(1);
        Self { rows, bytes, thousandths: u16::try_from(thousandths.min(1000)).unwrap_or(1000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_by_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let range = TimeRange::new(at(1000), at(3000)).unwrap();
        for (reached, thousandths) in
            [(0, 0), (1000, 0), (1001, 0), (2000, 500), (2999, 999), (3000, 1000), (9999, 1000)]
        {
            assert_eq!(Progress::new(1, 2, range, at(reached)).thousandths, thousandths, "{reached}");
        }
    }
}
