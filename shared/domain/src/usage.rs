//! The sums of usage. Money is [`Decimal`]: exact, never floating point.

use rust_decimal::Decimal;

/// Decimals of a cost, in a file and in an answer.
pub const COST_SCALE: u32 = 4;

/// The control totals of a file: the sum of each of its four measure columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Sum of `request_count`.
    pub request_count: i128,
    /// Sum of `tokens_total`.
    pub tokens_total: i128,
    /// Sum of `error_count`.
    pub error_count: i128,
    /// Sum of `cost_total`, in dollars, with at most [`COST_SCALE`] decimals; negative if credits prevail.
    pub cost_total: Decimal,
}

/// A sum left the range that can be kept exactly: 38 digits for counts, 28 for costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sum of column {column} is too large to be kept exactly")]
pub struct TotalOverflow {
    /// The CSV column.
    pub column: &'static str,
}

/// A cost as text with exactly [`COST_SCALE`] decimals, such as `-3.2500`.
///
/// The cost has at most that many decimals; see [`Totals::cost_total`].
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
}
