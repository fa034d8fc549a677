//! The measures of usage, and their sums. Money is [`Decimal`]: exact, never floating point.
//!
//! The fields are named as the columns of the CSV and of the rollup tables. To add a column:
//!
//! 1. Add it to the rollup tables, and to what is computed for them, in a migration under `infra/migrations`.
//! 2. Add the field to [`Measures`], to [`NAMES`] and to the methods below, and choose whether it is a count or a cost.
//!    Every list of measures in Rust and in SQL (`postgres::tables`) is made by these methods, and the compiler names
//!    each literal that lacks the field.
//! 3. Read the field in `copy::binary`: `FIELDS`, and the row.
//! 4. Write the field in `engine::csv`: `HEADER` and `CsvWriter::write`; read it again in `engine::recount`.
//! 5. Keep it with a job's file (`jobs::item`; items that were written before lack it), show it in the API's
//!    `TotalsView`, and renew `openapi.json`.
//! 6. Follow the tests, which spell the columns themselves on purpose.
//!
//! The header of the CSV changes with it, and with the header the checksum of every file that is made again.

use rust_decimal::Decimal;

/// Decimals of a cost, in a file and in an answer.
pub const COST_SCALE: u32 = 4;

/// The number of measures that are counts.
pub const COUNTS: usize = 3;

/// One value for each measure: counts are of one type, the cost may be of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures<Count, Cost = Count> {
    /// Requests.
    pub request_count: Count,
    /// Tokens, both in and out.
    pub tokens_total: Count,
    /// Requests that failed.
    pub error_count: Count,
    /// Cost in dollars; negative for a credit.
    pub cost_total: Cost,
}

/// The names of the columns.
pub const NAMES: Measures<&str> = Measures {
    request_count: "request_count",
    tokens_total: "tokens_total",
    error_count: "error_count",
    cost_total: "cost_total",
};

/// The control totals of a file: the sum of each column. The cost has at most [`COST_SCALE`] decimals.
pub type Totals = Measures<i128, Decimal>;

/// A sum beyond the range that can be kept exactly: 38 digits for counts, 28 for costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sum of column {column} is too large to be kept exactly")]
pub struct TotalOverflow {
    /// The CSV column.
    pub column: &'static str,
}

impl<Count, Cost> Measures<Count, Cost> {
    /// Makes measures of counts, in the order of the columns, and a cost.
    #[inline]
    pub fn new([request_count, tokens_total, error_count]: [Count; COUNTS], cost_total: Cost) -> Self {
        Self { request_count, tokens_total, error_count, cost_total }
    }

    /// Returns the counts in the order of the columns, and the cost.
    #[inline]
    pub fn into_parts(self) -> ([Count; COUNTS], Cost) {
        ([self.request_count, self.tokens_total, self.error_count], self.cost_total)
    }

    /// Applies one function to each count and another to the cost.
    #[inline]
    pub fn map<C, D>(self, count: impl FnMut(Count) -> C, cost: impl FnOnce(Cost) -> D) -> Measures<C, D> {
        let (counts, cost_total) = self.into_parts();
        Measures::new(counts.map(count), cost(cost_total))
    }

    /// Applies functions that may fail. The first error in the order of the columns ends it.
    ///
    /// # Errors
    /// The error of a function.
    #[inline]
    pub fn try_map<C, D, E>(
        self,
        mut count: impl FnMut(Count) -> Result<C, E>,
        cost: impl FnOnce(Cost) -> Result<D, E>,
    ) -> Result<Measures<C, D>, E> {
        Ok(Measures {
            request_count: count(self.request_count)?,
            tokens_total: count(self.tokens_total)?,
            error_count: count(self.error_count)?,
            cost_total: cost(self.cost_total)?,
        })
    }

    /// Pairs each measure with that of others.
    #[inline]
    pub fn zip<C, D>(self, other: Measures<C, D>) -> Measures<(Count, C), (Cost, D)> {
        Measures {
            request_count: (self.request_count, other.request_count),
            tokens_total: (self.tokens_total, other.tokens_total),
            error_count: (self.error_count, other.error_count),
            cost_total: (self.cost_total, other.cost_total),
        }
    }
}

impl<T> Measures<T> {
    /// Returns all values in the order of the columns.
    pub fn into_array(self) -> [T; COUNTS + 1] {
        [self.request_count, self.tokens_total, self.error_count, self.cost_total]
    }
}

impl<Cost> Measures<i128, Cost> {
    /// Adds others: counts exactly, costs by `add_cost`, which returns `None` when their sum can't be kept.
    ///
    /// # Errors
    /// When a sum can't be kept exactly.
    #[inline]
    pub fn try_add_with(
        self,
        other: Self,
        add_cost: impl FnOnce(Cost, Cost) -> Option<Cost>,
    ) -> Result<Self, TotalOverflow> {
        self.zip(other).zip(NAMES).try_map(
            |((sum, count), column)| sum.checked_add(count).ok_or(TotalOverflow { column }),
            |((sum, cost), column)| add_cost(sum, cost).ok_or(TotalOverflow { column }),
        )
    }
}

impl Totals {
    /// Adds other totals.
    ///
    /// # Errors
    /// When a sum can't be kept exactly.
    pub fn try_add(self, other: Self) -> Result<Self, TotalOverflow> {
        self.try_add_with(other, add_exactly)
    }
}

/// Adds two decimals. `None` when the sum has more than 28 digits.
pub fn add_exactly(sum: Decimal, cost: Decimal) -> Option<Decimal> {
    // A sum that no longer fits drops decimals instead of failing.
    let scale = sum.scale().max(cost.scale());
    sum.checked_add(cost).filter(|sum| sum.scale() >= scale)
}

/// Returns a cost as text with exactly [`COST_SCALE`] decimals, such as `-3.2500`.
///
/// The cost has at most that many decimals; see [`Totals`].
pub fn cost_text(cost: Decimal) -> String {
    let mut cost = cost;
    cost.rescale(COST_SCALE);
    // There is no negative zero in money.
    if cost.is_zero() { "0.0000".to_owned() } else { cost.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_have_four_decimals() {
        for (cost, text) in [
            ("0", "0.0000"),
            ("-0.0000", "0.0000"),
            ("0.0001", "0.0001"),
            ("-3.25", "-3.2500"),
            ("9999999999.9999", "9999999999.9999"),
            ("10.5", "10.5000"),
        ] {
            assert_eq!(cost_text(cost.parse().unwrap()), text);
        }
    }

    #[test]
    fn sums_are_exact_or_none() {
        let of = |count: i128, cost: &str| Totals::new([count; COUNTS], cost.parse().unwrap());
        let both = of(i64::MAX.into(), "9999999999.9999").try_add(of(1, "0.0001")).unwrap();
        assert_eq!((both.tokens_total, both.cost_total.to_string().as_str()), (1 << 63, "10000000000.0000"));
        assert_eq!(of(i128::MAX, "0").try_add(of(1, "0")), Err(TotalOverflow { column: "request_count" }));
        let most = of(0, "7922816251426433759354395.0335");
        assert_eq!(most.try_add(most), Err(TotalOverflow { column: "cost_total" }));
    }

    #[test]
    fn each_measure_keeps_its_place() {
        let numbered = Measures::new([1, 2, 3], 4);
        assert_eq!(numbered.into_array(), [1, 2, 3, 4]);
        assert_eq!(numbered.map(|count| count * 10, |cost| -cost).into_parts(), ([10, 20, 30], -4));
        let named = NAMES.zip(numbered).map(|(name, n)| format!("{name}={n}"), |(name, n)| format!("{name}={n}"));
        assert_eq!(named.into_array().join(" "), "request_count=1 tokens_total=2 error_count=3 cost_total=4");
        let failed = numbered.try_map(|count| if count < 2 { Ok(()) } else { Err(count) }, Err::<(), _>);
        assert_eq!(failed, Err(2));
    }
}
