//! The statements.
//!
//! `COPY` takes no bound parameters. What varies is written into the text by this module alone, from values that cannot
//! hold anything else: UUIDs and whole seconds.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{Client, Column, SimpleQueryMessage, Statement, types::Type};

use super::{RollupError, slices::Slice};
use copy::CountType;
use domain::{ExportRequest, Granularity, OrgId, usage::COST_SCALE};

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

/// From this many rows on a range is cut. Fewer are read sooner than further connections are made.
const WORTH_CUTTING: u64 = 100_000;

/// What the planner thinks of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) rows: u64,
    /// Whether more than a small part of it would be the reading of whole tables. Each slice would read them anew.
    scans_tables: bool,
    /// Whether rows come from somewhere else, of which two connections would have two snapshots.
    is_foreign: bool,
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

    pub(super) const fn table(&self) -> &'static str {
        self.table
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
    /// more than the rest of the row. Types that hold no exact numbers, or other things than expected, are refused.
    fn columns(&self, statement: &Statement) -> Result<Columns, RollupError> {
        let [bucket, model, requests, tokens, errors, cost] = statement.columns() else {
            return Err(RollupError::Description);
        };
        let bucket = match *bucket.type_() {
            Type::TIMESTAMPTZ => "r.bucket_start",
            // In UTC, the session's zone; of a date, midnight.
            Type::TIMESTAMP | Type::DATE => "r.bucket_start::timestamptz",
            _ => return Err(unknown_type(bucket)),
        };
        if *model.type_() != Type::UUID {
            return Err(unknown_type(model));
        }
        // A month's cost is the sum of the rounded costs of its days, so that the totals of a range are the same at every
        // granularity, also over tables with more than four decimals.
        let cost = match *cost.type_() {
            Type::NUMERIC if has_decimals(cost.type_modifier()) => "r.cost_total",
            Type::NUMERIC | Type::INT8 | Type::INT4 | Type::INT2 => "round(r.cost_total::numeric, 4)",
            _ => return Err(unknown_type(cost)),
        };
        let count = |column: &Column| match *column.type_() {
            Type::INT8 => Ok((format!("r.{}", column.name()), CountType::Int8)),
            Type::INT4 | Type::INT2 => Ok((format!("r.{}::int8", column.name()), CountType::Int8)),
            Type::NUMERIC => Ok((format!("r.{}", column.name()), CountType::Numeric)),
            _ => Err(unknown_type(column)),
        };
        let [requests, tokens, errors] = [count(requests)?, count(tokens)?, count(errors)?];
        if self.monthly {
            let month = format!("date_trunc('month', {bucket}, 'UTC') as month");
            let [requests, tokens, errors, cost] = [&requests.0, &tokens.0, &errors.0, cost].map(sum);
            let select = format!("{month}, r.model_id, {requests}, {tokens}, {errors}, {cost}");
            return Ok(Columns { select, counts: [CountType::Numeric; 3] });
        }
        let select = format!("{bucket}, r.model_id, {}, {}, {}, {cost}", requests.0, tokens.0, errors.0);
        Ok(Columns { select, counts: [requests.1, tokens.1, errors.1] })
    }
}

/// The sum of some values; null if one of them is, which `sum` would pass over.
fn sum(value: &str) -> String {
    format!("case when count({value}) = count(*) then sum({value})::numeric end")
}

fn unknown_type(column: &Column) -> RollupError {
    RollupError::ColumnType { column: column.name().to_owned(), kind: column.type_().name().to_owned() }
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
    /// Whether several connections would read the rows sooner than one.
    pub(super) const fn is_worth_cutting(&self) -> bool {
        self.rows >= WORTH_CUTTING && !self.scans_tables && !self.is_foreign
    }

    /// Reads the answer of `explain (format json)`.
    fn read(plan: &str) -> Option<Self> {
        let plan: Value = serde_json::from_str(plan).ok()?;
        let root = &plan[0]["Plan"];
        let mut leaves = Vec::new();
        find_leaves(root, &mut leaves);
        // In the planner's own unit. An empty partition among full ones is scanned too, but costs nothing.
        let cost = |node: &Value| node["Total Cost"].as_f64().map(|cost| cost as u64);
        let most = cost(root)? / 10;
        let is_scan = |leaf: &&Value| leaf["Node Type"] == "Seq Scan" && cost(leaf).is_none_or(|cost| cost > most);
        let scans_tables = leaves.iter().any(is_scan);
        let is_foreign = leaves.iter().any(|leaf| leaf["Node Type"] == "Foreign Scan");
        Some(Self { rows: root["Plan Rows"].as_u64()?, scans_tables, is_foreign })
    }
}

/// The nodes that have none below them.
fn find_leaves<'a>(node: &'a Value, found: &mut Vec<&'a Value>) {
    match node["Plans"].as_array() {
        Some(nodes) => nodes.iter().for_each(|node| find_leaves(node, found)),
        None => found.push(node),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn a_plan_says_whether_to_cut() {
        let index = ("Index Only Scan", 9000.5);
        for (rows, leaves, expected) in [
            (5_000_000, vec![index], true),
            (99_999, vec![index], false),
            (100_000, vec![index, index], true),
            // An empty partition, and a table without an index.
            (5_000_000, vec![index, ("Seq Scan", 0.0)], true),
            (5_000_000, vec![("Seq Scan", 9000.5)], false),
            (5_000_000, vec![index, ("Seq Scan", 9000.5)], false),
            (5_000_000, vec![index, ("Foreign Scan", 1.0)], false),
        ] {
            let nodes = leaves.iter().map(|(kind, cost)| json!({"Node Type": kind, "Total Cost": cost}));
            let append = json!({"Node Type": "Append", "Plans": nodes.collect::<Vec<_>>()});
            let sort = json!({"Node Type": "Sort", "Plan Rows": rows, "Total Cost": 20_000.25, "Plans": [append]});
            let estimate = Estimate::read(&json!([{ "Plan": sort }]).to_string()).unwrap();
            assert_eq!((estimate.rows, estimate.is_worth_cutting()), (rows, expected), "{leaves:?}");
        }
        assert_eq!(Estimate::read("[]"), None);
    }
}
