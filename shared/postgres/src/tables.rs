//! The names of the rollup tables, and the measures in statements. The columns are those of
//! [`domain::measures::NAMES`]; the rollup table is called `r`.

use domain::{
    Granularity, Measures,
    measures::{COST_SCALE, NAMES},
};

/// The rollups by hour.
pub const HOURLY_ROLLUPS: &str = "analytics_hourly_rollups";

/// The rollups by day.
pub const DAILY_ROLLUPS: &str = "analytics_daily_rollups";

/// Returns the table that exports of a granularity read.
pub const fn rollups(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Hourly => HOURLY_ROLLUPS,
        Granularity::Daily | Granularity::Monthly => DAILY_ROLLUPS,
    }
}

/// Returns the columns: `r.request_count, …`.
pub fn columns() -> Measures<String> {
    NAMES.map(column, column)
}

fn column(name: &str) -> String {
    format!("r.{name}")
}

/// Joins expressions to a list in the order of the columns.
pub fn list(measures: Measures<String>) -> String {
    measures.into_array().join(", ")
}

/// Returns the exact sums of some rows; null where there is no row.
pub fn sums() -> Measures<String> {
    let sum = |column| format!("sum({column})");
    columns().map(sum, sum)
}

/// Returns the sums of the lines that an export would have of some rows.
pub fn sums_of_lines() -> Measures<String> {
    columns().map(|count| format!("sum({count})"), |cost| format!("sum({})", rounded(&cost)))
}

/// Returns measures as text. Sums may be longer than any type of the driver.
pub fn as_text(measures: Measures<String>) -> Measures<String> {
    let text = |value| format!("({value})::text");
    measures.map(text, text)
}

/// Returns a comparison that is true if all measures of two rows are the same.
pub fn are_equal(left: &str, right: &str) -> String {
    let equal = |name: &str| format!("{left}.{name} = {right}.{name}");
    NAMES.map(equal, equal).into_array().join(" and ")
}

/// Returns an expression for a cost as a line states it: with four decimals, half to even. PostgreSQL's own `round`
/// takes half away from zero.
pub fn rounded(cost: &str) -> String {
    let unit = format!("1e-{COST_SCALE}");
    let ten_thousand = format!("1e{COST_SCALE}");
    let scaled = format!("(({cost})::numeric * {ten_thousand})");
    // Half of an odd number, rounded and doubled, is the even neighbour.
    format!(
        "(case when abs({scaled} - trunc({scaled})) = 0.5 then 2 * round({scaled} * 0.5) else round({scaled}) end * {unit})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_the_order_of_the_columns() {
        assert_eq!(list(columns()), "r.request_count, r.tokens_total, r.error_count, r.cost_total");
        assert_eq!(list(sums()), "sum(r.request_count), sum(r.tokens_total), sum(r.error_count), sum(r.cost_total)");
        assert_eq!(
            are_equal("a", "b"),
            "a.request_count = b.request_count and a.tokens_total = b.tokens_total \
             and a.error_count = b.error_count and a.cost_total = b.cost_total"
        );
    }
}
