//! Usage as the rollups count it, and its sums. Money is [`Decimal`]: exact, never floating point.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::ModelId;

/// Decimals of a cost, in a file and in an answer.
pub const COST_SCALE: u32 = 4;

/// One line of an export: what one model used in one time bucket.
///
/// Counts are `i128`: a month's sum of 64-bit counts may itself exceed 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageRow {
    /// The first instant of the bucket.
    pub bucket_start: Timestamp,
    /// The model, or `None` where the rollup covers all models.
    pub model_id: Option<ModelId>,
    /// Requests in the bucket.
    pub request_count: i128,
    /// Tokens, input and output.
    pub tokens_total: i128,
    /// Requests that ended in an error.
    pub error_count: i128,
    /// Cost in dollars, with at most [`COST_SCALE`] decimals; negative for a credit.
    pub cost_total: Decimal,
}

/// The control totals of a file: the sum of each of its four measure columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Sum of `request_count`.
    pub request_count: i128,
    /// Sum of `tokens_total`.
    pub tokens_total: i128,
    /// Sum of `error_count`.
    pub error_count: i128,
    /// Sum of `cost_total`, in dollars.
    pub cost_total: Decimal,
}

/// A sum left the range that can be kept exactly: 38 digits for counts, 28 for costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sum of column {column} is too large to be kept exactly")]
pub struct TotalOverflow {
    /// The CSV column.
    pub column: &'static str,
}

impl Totals {
    /// Adds one row to the sums.
    ///
    /// # Errors
    /// When a sum can no longer be kept exactly. The totals are of no use after that.
    pub fn add(&mut self, row: &UsageRow) -> Result<(), TotalOverflow> {
        let count = |sum: &mut i128, value: i128, column| match sum.checked_add(value) {
            Some(total) => {
                *sum = total;
                Ok(())
            }
            None => Err(TotalOverflow { column }),
        };
        count(&mut self.request_count, row.request_count, "request_count")?;
        count(&mut self.tokens_total, row.tokens_total, "tokens_total")?;
        count(&mut self.error_count, row.error_count, "error_count")?;
        let cost = self.cost_total.checked_add(row.cost_total).filter(|cost| {
            // A sum that no longer fits drops decimals instead of failing.
            cost.scale() >= self.cost_total.scale().max(row.cost_total.scale())
        });
        self.cost_total = cost.ok_or(TotalOverflow { column: "cost_total" })?;
        Ok(())
    }
}

/// A cost as text with exactly [`COST_SCALE`] decimals, such as `-3.2500`.
///
/// The cost has at most that many decimals; see [`UsageRow::cost_total`].
pub fn cost_text(cost: Decimal) -> String {
    let mut cost = cost;
    cost.rescale(COST_SCALE);
    // There is no negative zero in money.
    if cost.is_zero() { "0.0000".to_owned() } else { cost.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(count: i128, cost: &str) -> UsageRow {
        UsageRow {
            bucket_start: Timestamp::UNIX_EPOCH,
            model_id: None,
            request_count: count,
            tokens_total: count,
            error_count: count,
            cost_total: cost.parse().unwrap(),
        }
    }

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
    fn sums_are_exact_beyond_64_bits() {
        let mut totals = Totals::default();
        for _ in 0..10 {
            totals.add(&row(i64::MAX.into(), "9999999999.9999")).unwrap();
        }
        assert_eq!(totals.tokens_total, i128::from(i64::MAX) * 10);
        assert_eq!(cost_text(totals.cost_total), "99999999999.9990");
    }

    #[test]
    fn a_sum_that_cannot_be_exact_is_an_error() {
        let mut totals = Totals::default();
        totals.add(&row(i128::MAX, "0")).unwrap();
        assert_eq!(totals.add(&row(1, "0")), Err(TotalOverflow { column: "request_count" }));

        let mut totals = Totals::default();
        totals.add(&row(0, "7922816251426433759354395.0335")).unwrap();
        assert_eq!(totals.add(&row(0, "7922816251426433759354395.0335")), Err(TotalOverflow { column: "cost_total" }));
    }
}
