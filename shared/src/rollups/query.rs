//! The statements.
//!
//! `COPY` takes no bound parameters. What varies is written into the text by this module alone, from values that cannot
//! hold anything else: UUIDs and whole seconds.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage, Statement, types::Type};

use super::{RollupError, slices::Slice};
use crate::{
    copy::CountType,
    domain::{ExportRequest, Granularity, OrgId, usage::COST_SCALE},
};

/// The rows of one export, whatever part of its range they are in.
#[derive(Debug)]
pub(super) struct Query {
    table: &'static str,
    monthly: bool,
    /// `where` and what follows, but for the range.
    condition: String,
}

/// What the columns are, and what of that the statement depends on.
#[derive(Debug)]
pub(super) struct Columns {
    select: String,
    pub(super) counts: [CountType; 3],
}

/// What the planner thinks of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) rows: u64,
    /// Whether it would read a whole table, and so would each part of it.
    pub(super) scans_table: bool,
}

impl Query {
    pub(super) fn new(org: OrgId, request: &ExportRequest) -> Self {
        let mut condition = format!("where r.organization_id = '{org}'::uuid");
        if let Some(models) = &request.models {
            let models: Vec<String> = models.iter().map(ToString::to_string).collect();
            let _ = write!(condition, " and r.model_id = any('{{{}}}'::uuid[])", models.join(","));
        }
        let table = match request.granularity {
            Granularity::Hourly => "analytics_hourly_rollups",
            Granularity::Daily | Granularity::Monthly => "analytics_daily_rollups",
        };
        Self { table, monthly: request.granularity == Granularity::Monthly, condition }
    }

    /// Whether parts of the range, one after the other, have the rows of the whole.
    pub(super) const fn can_be_cut(&self) -> bool {
        !self.monthly
    }

    /// Asks for the columns' types and, at the same time, for the planner's estimate.
    pub(super) async fn describe(&self, client: &Client, slice: Slice) -> Result<(Columns, Estimate), RollupError> {
        let columns = format!(
            "select r.bucket_start, r.model_id, r.request_count, r.tokens_total, r.error_count, r.cost_total from {} r",
            self.table
        );
        let explain = format!("explain (format json) {columns} {}", self.ordered(slice));
        let (statement, plan) = tokio::try_join!(client.prepare(&columns), client.simple_query(&explain))?;
        let plan = plan.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let estimate = plan.and_then(Estimate::read).ok_or(RollupError::Description)?;
        Ok((self.columns(&statement)?, estimate))
    }

    /// The statement that sends the rows of a slice.
    pub(super) fn copy(&self, columns: &Columns, slice: Slice) -> String {
        format!("copy ({}) to stdout (format binary)", self.select(columns, slice))
    }

    /// The query of the rows of a slice.
    pub(super) fn select(&self, columns: &Columns, slice: Slice) -> String {
        let (select, table) = (&columns.select, self.table);
        let rest = match self.monthly {
            false => self.ordered(slice),
            true => format!(
                "{} {} group by month, r.model_id order by month, r.model_id nulls last",
                self.condition,
                within(slice)
            ),
        };
        format!("select {select} from {table} r {rest}")
    }

    /// In the order of the index and of the file: neither casts, since an index knows nothing of casts.
    fn ordered(&self, slice: Slice) -> String {
        format!("{} {} order by r.bucket_start, r.model_id nulls last", self.condition, within(slice))
    }

    /// What the columns are selected as: as they are, where that is a type that the reader knows. A cast costs the server
    /// more than the rest of the row.
    fn columns(&self, statement: &Statement) -> Result<Columns, RollupError> {
        let [bucket, _, requests, tokens, errors, cost] = statement.columns() else {
            return Err(RollupError::Description);
        };
        let bucket = match *bucket.type_() {
            Type::TIMESTAMPTZ => "r.bucket_start",
            // Midnight UTC: the session's zone.
            _ => "r.bucket_start::timestamptz",
        };
        // A month's cost is the sum of the rounded costs of its days, so that the totals of a range are the same at every
        // granularity, also over tables with more than four decimals.
        let cost = match *cost.type_() == Type::NUMERIC && has_decimals(cost.type_modifier()) {
            true => "r.cost_total",
            false => "round(r.cost_total::numeric, 4)",
        };
        if self.monthly {
            let month = format!("date_trunc('month', {bucket}, 'UTC') as month");
            let counts = "sum(r.request_count)::numeric, sum(r.tokens_total)::numeric, sum(r.error_count)::numeric";
            let select = format!("{month}, r.model_id, {counts}, sum({cost})");
            return Ok(Columns { select, counts: [CountType::Numeric; 3] });
        }
        let count = |column: &tokio_postgres::Column| match *column.type_() {
            Type::INT8 => (format!("r.{}", column.name()), CountType::Int8),
            Type::INT4 | Type::INT2 => (format!("r.{}::int8", column.name()), CountType::Int8),
            _ => (format!("r.{}::numeric", column.name()), CountType::Numeric),
        };
        let [requests, tokens, errors] = [requests, tokens, errors].map(count);
        let select = format!("{bucket}, r.model_id, {}, {}, {}, {cost}", requests.0, tokens.0, errors.0);
        Ok(Columns { select, counts: [requests.1, tokens.1, errors.1] })
    }
}

/// Seconds, since text of an instant has its limits in PostgreSQL, such as the year 0. The function is immutable: the
/// planner knows the bounds, and prunes partitions by them.
fn within(slice: Slice) -> String {
    let second = Timestamp::as_second;
    format!(
        "and r.bucket_start >= to_timestamp({}) and r.bucket_start < to_timestamp({})",
        second(slice.start),
        second(slice.end)
    )
}

/// Whether a numeric of this type modifier has at most the decimals of a file. Without a modifier it may have any.
const fn has_decimals(modifier: i32) -> bool {
    // As `make_numeric_typmod` of PostgreSQL packs it: 4 bytes, of which the low 11 bits hold the scale.
    let scale = (modifier - 4) & 0x7FF;
    modifier >= 4 && (scale <= COST_SCALE as i32 || scale >= 0x400)
}

impl Estimate {
    /// Reads the answer of `explain (format json)`.
    fn read(plan: &str) -> Option<Self> {
        let plan: Value = serde_json::from_str(plan).ok()?;
        let root = &plan[0]["Plan"];
        Some(Self { rows: root["Plan Rows"].as_u64()?, scans_table: scans_table(root) })
    }
}

fn scans_table(node: &Value) -> bool {
    node["Node Type"] == "Seq Scan" || node["Plans"].as_array().is_some_and(|nodes| nodes.iter().any(scans_table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_known_by_the_type_modifier() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7FF)) + 4;
        for (modifier, expected) in [
            (modifier(20, 4), true),
            (modifier(20, 0), true),
            (modifier(5, -2), true),
            (modifier(20, 5), false),
            (modifier(1000, 1000), false),
            (-1, false),
        ] {
            assert_eq!(has_decimals(modifier), expected, "{modifier}");
        }
    }

    #[test]
    fn a_plan_is_read() {
        let plan = r#"[{"Plan": {"Node Type": "Sort", "Plan Rows": 7, "Plans": [{"Node Type": "Seq Scan"}]}}]"#;
        assert_eq!(Estimate::read(plan), Some(Estimate { rows: 7, scans_table: true }));
        let plan = r#"[{"Plan": {"Node Type": "Index Only Scan", "Plan Rows": 5000000}}]"#;
        assert_eq!(Estimate::read(plan), Some(Estimate { rows: 5_000_000, scans_table: false }));
        assert_eq!(Estimate::read("[]"), None);
    }
}
