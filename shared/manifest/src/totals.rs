//! The sums of a file, as answers state them.

use domain::{Totals, measures::cost_text};
use serde::Serialize;
use utoipa::ToSchema;

/// The sums of a file's four measure columns.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Totals)]
pub struct TotalsView {
    /// The sum of `request_count`.
    #[schema(value_type = i64)]
    request_count: i128,
    /// The sum of `tokens_total`.
    #[schema(value_type = i64)]
    tokens_total: i128,
    /// The sum of `error_count`.
    #[schema(value_type = i64)]
    error_count: i128,
    /// The sum of `cost_total`, in dollars with four decimals.
    #[schema(example = "22.0500")]
    cost_total: String,
}

impl From<Totals> for TotalsView {
    fn from(totals: Totals) -> Self {
        Self {
            request_count: totals.request_count,
            tokens_total: totals.tokens_total,
            error_count: totals.error_count,
            cost_total: cost_text(totals.cost_total),
        }
    }
}
