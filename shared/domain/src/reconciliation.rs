//! Comparing sums: the exact difference of two, as a percentage and against a tolerance.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::measures::{COST_SCALE, COUNTS, NAMES, Totals};

/// Percentages are counted in millionths of a percent.
const MILLIONTHS: u128 = 1_000_000;

/// The factor between a share and millionths of a percent. A number too large to be multiplied by it is first cut to 30
/// digits, which doesn't change the first six decimals of a percentage.
const FACTOR: u128 = 100 * MILLIONTHS;

/// The largest accepted difference of two sums, from 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tolerance {
    millionths: u128,
}

/// Text that is not a tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number of percent from 0 to 100, with at most 6 decimals, such as 0.5")]
pub struct InvalidTolerance;

impl Default for Tolerance {
    /// One percent.
    fn default() -> Self {
        Self { millionths: MILLIONTHS }
    }
}

impl FromStr for Tolerance {
    type Err = InvalidTolerance;

    fn from_str(text: &str) -> Result<Self, InvalidTolerance> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let mut percent = Decimal::from_str_exact(text).map_err(|_| InvalidTolerance)?;
        if !plain || percent > Decimal::ONE_HUNDRED || percent.normalize().scale() > 6 {
            return Err(InvalidTolerance);
        }
        percent.rescale(6);
        Ok(Self { millionths: percent.mantissa().unsigned_abs() })
    }
}

impl TryFrom<String> for Tolerance {
    type Error = InvalidTolerance;

    fn try_from(text: String) -> Result<Self, InvalidTolerance> {
        text.parse()
    }
}

impl From<Tolerance> for String {
    fn from(tolerance: Tolerance) -> Self {
        tolerance.to_string()
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, false, self.millionths)
    }
}

/// The difference of a sum from another, its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    is_negative: bool,
    amount: u128,
    base: u128,
}

impl Difference {
    /// Compares `sum` with `base`, both counted in the same unit.
    pub const fn new(sum: i128, base: i128) -> Self {
        let mut amount = sum.abs_diff(base);
        let mut size = base.unsigned_abs();
        while amount > u128::MAX / FACTOR || size > u128::MAX / FACTOR {
            amount /= 10;
            size /= 10;
        }
        Self { is_negative: sum < base, amount, base: size }
    }

    /// Returns the difference in percent of the base's size: positive when the sum is more. `None` when the base is
    /// zero and the sum is not: there is no percentage of zero.
    pub fn percent(self) -> Option<Percent> {
        if self.amount == 0 {
            return Some(Percent { is_negative: false, millionths: 0 });
        }
        let scaled = self.amount * FACTOR;
        // Half a millionth is rounded up, and a difference is never shown as zero.
        let millionths = scaled.checked_div(self.base)?;
        let rest = scaled - millionths * self.base;
        let millionths = (millionths + u128::from(rest >= self.base - rest)).max(1);
        Some(Percent { is_negative: self.is_negative, millionths })
    }

    /// Reports whether the difference is at most the tolerance, exactly. Of a zero base nothing is tolerated.
    pub const fn is_within(self, tolerance: Tolerance) -> bool {
        self.amount * FACTOR <= tolerance.millionths * self.base
    }
}

/// A signed percentage with up to six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent {
    is_negative: bool,
    millionths: u128,
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, self.is_negative, self.millionths)
    }
}

fn write_millionths(f: &mut fmt::Formatter<'_>, is_negative: bool, millionths: u128) -> fmt::Result {
    let sign = if is_negative { "-" } else { "" };
    let decimals = format!("{:06}", millionths % MILLIONTHS);
    match decimals.trim_end_matches('0') {
        "" => write!(f, "{sign}{}", millionths / MILLIONTHS),
        decimals => write!(f, "{sign}{}.{decimals}", millionths / MILLIONTHS),
    }
}

/// Returns the sums in the order of the CSV's columns, with their names, as whole numbers: the cost in ten-thousandths
/// of a dollar.
pub fn columns(totals: &Totals) -> [(&'static str, i128); COUNTS + 1] {
    let units = totals.map(|count| count, ten_thousandths);
    NAMES.zip(units).into_array()
}

fn ten_thousandths(mut cost: Decimal) -> i128 {
    cost.rescale(COST_SCALE);
    cost.mantissa()
}

/// Returns a value of [`columns`] as the CSV writes it.
pub fn column_text(column: &str, value: i128) -> String {
    if column != NAMES.cost_total {
        return value.to_string();
    }
    let whole = value.unsigned_abs() / 10_000;
    let decimals = value.unsigned_abs() % 10_000;
    format!("{}{whole}.{decimals:04}", if value < 0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(sum: i128, base: i128) -> Option<String> {
        Difference::new(sum, base).percent().map(|percent| percent.to_string())
    }

    fn tolerance(text: &str) -> Tolerance {
        text.parse().unwrap()
    }

    #[test]
    fn a_difference_is_a_signed_share_of_the_base() {
        for (sum, base, expected) in [
            (100, 100, Some("0")),
            (0, 0, Some("0")),
            (101, 100, Some("1")),
            (99, 100, Some("-1")),
            (1, 3, Some("-66.666667")),
            (200, 100, Some("100")),
            (0, 100, Some("-100")),
            (1, 0, None),
            // Of a credit, less credit is more.
            (-8, -10, Some("20")),
            (8, -10, Some("180")),
            // What is not nothing is not shown as nothing.
            (1_000_000_000_001, 1_000_000_000_000, Some("0.000001")),
            (i128::MAX - 1, i128::MAX, Some("0")),
            (i128::MAX, i128::MIN, Some("200")),
        ] {
            assert_eq!(percent(sum, base).as_deref(), expected, "{sum} of {base}");
        }
    }

    #[test]
    fn the_tolerance_is_exact() {
        let within = |sum, base, text| Difference::new(sum, base).is_within(tolerance(text));
        assert!(within(101, 100, "1") && within(99, 100, "1.0"));
        assert!(!within(1_010_000_001, 1_000_000_000, "1"), "one ten-millionth of a percent too much");
        assert!(within(100, 100, "0") && !within(100_001, 100_000, "0"));
        assert!(within(0, 0, "0") && !within(1, 0, "100"));
        assert!(within(-99, -100, "1") && !within(-98, -100, "1"));
    }

    #[test]
    fn a_tolerance_is_a_plain_number() {
        for (text, expected) in [("1", "1"), ("0", "0"), ("0.50", "0.5"), ("100", "100"), ("0.000001", "0.000001")] {
            assert_eq!(tolerance(text).to_string(), expected);
        }
        for text in ["", "-1", "+1", "100.000001", "1e1", "0.0000001", "1%", "NaN", " 1", "1_0"] {
            assert_eq!(text.parse::<Tolerance>(), Err(InvalidTolerance), "{text}");
        }
        assert_eq!(Tolerance::default(), tolerance("1"));
    }

    #[test]
    fn columns_are_written_as_in_the_file() {
        let totals = Totals::new([1, -2, 0], "-3.25".parse().unwrap());
        let written = columns(&totals).map(|(column, value)| column_text(column, value));
        assert_eq!(written, ["1", "-2", "0", "-3.2500"]);
    }

    proptest! {
        /// Against rational arithmetic done in another way: by comparing products instead of dividing.
        #[test]
        fn a_percentage_is_the_nearest_there_is(sum in any::<i64>(), base in any::<i64>().prop_filter("zero", |base| *base != 0)) {
            let sum = i128::from(sum);
            let base = i128::from(base);
            let shown = Difference::new(sum, base).percent().unwrap();
            let exact = (sum - base).unsigned_abs() * FACTOR;
            let off = (shown.millionths * base.unsigned_abs()).abs_diff(exact);
            prop_assert!(off * 2 <= base.unsigned_abs() || shown.millionths == 1);
            prop_assert_eq!(shown.is_negative, sum < base);
            prop_assert_eq!(shown.millionths == 0, sum == base);
        }

        #[test]
        fn no_pair_of_sums_panics(sum in any::<i128>(), base in any::<i128>(), text in "\\PC{0,12}|[0-9.]{0,12}") {
            let difference = Difference::new(sum, base);
            let _ = (difference.percent(), difference.is_within(text.parse().unwrap_or_default()));
        }

        #[test]
        fn costs_keep_their_text(cost in any::<i64>()) {
            let totals = Totals { cost_total: Decimal::new(cost, 4), ..Totals::default() };
            let (column, value) = columns(&totals)[3];
            prop_assert_eq!(column_text(column, value), super::super::measures::cost_text(totals.cost_total));
        }
    }
}
