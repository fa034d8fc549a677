//! What changed between two files of one request: a merge of their lines, which stand in the same order.
//!
//! [`Merge`] holds one line of each file, so that files of any size can be compared. It does no I/O: it asks for the next
//! bytes of a side. [`Adjustment`] writes the changes as lines of the same seven columns, whose numbers may be negative:
//! the old file's line plus the adjustment's is the new file's.
//!
//! A line of zeros says the same as no line: neither is a change of the other.

mod adjustment;
mod line;
mod merge;
mod side;

pub use self::{
    adjustment::{Adjustment, write_line},
    line::{HEADER, Key, NotAFile},
    merge::{Change, ChangeError, ChangeKind, Counts, Merge, Step, Which},
    side::{Facts, Level},
};
use super::{
    Measures, Totals,
    measures::{COST_SCALE, NAMES, TotalOverflow},
};
use rust_decimal::Decimal;

/// Measures of a line, or sums of several: the cost is in ten-thousandths of a dollar.
pub type Figures = Measures<i128>;

impl Figures {
    /// Adds others.
    ///
    /// # Errors
    /// When a sum has more than 127 bits.
    #[inline]
    pub fn plus(self, other: Self) -> Result<Self, TotalOverflow> {
        self.try_add_with(other, i128::checked_add)
    }

    /// Subtracts others.
    ///
    /// # Errors
    /// When a difference has more than 127 bits.
    #[inline]
    pub fn minus(self, other: Self) -> Result<Self, TotalOverflow> {
        self.zip(other).zip(NAMES).try_map(
            |((one, other), column)| one.checked_sub(other).ok_or(TotalOverflow { column }),
            |((one, other), column)| one.checked_sub(other).ok_or(TotalOverflow { column }),
        )
    }

    /// Returns the measures with the cost as a decimal.
    ///
    /// # Errors
    /// When the cost has more than 28 digits.
    pub fn totals(self) -> Result<Totals, TotalOverflow> {
        self.try_map(Ok, |cost| {
            let exact = Decimal::try_from_i128_with_scale(cost, COST_SCALE);
            exact.map_err(|_| TotalOverflow { column: NAMES.cost_total })
        })
    }
}

impl Totals {
    /// Subtracts others.
    ///
    /// # Errors
    /// When a difference cannot be kept exactly.
    pub fn minus(self, other: Self) -> Result<Self, TotalOverflow> {
        self.zip(other).zip(NAMES).try_map(
            |((one, other), column)| one.checked_sub(other).ok_or(TotalOverflow { column }),
            |((one, other), column)| one.checked_sub(other).ok_or(TotalOverflow { column }),
        )
    }
}

#[cfg(test)]
mod tests;
