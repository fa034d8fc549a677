//! The statements.
//!
//! `COPY` takes no bound parameters. This module writes the values into the text itself. They are UUIDs and whole
//! seconds, which cannot hold anything that needs quoting.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{Client, Column, SimpleQueryMessage, Statement, types::Type};

use super::{RollupError, slices::Slice};
use copy::CountType;
use domain::{
    ExportRequest, Granularity, Measures, OrgId,
    measures::{COUNTS, NAMES},
};
use postgres::{DatabaseError, tables};

/// The statements that read the rows of one export.
#[derive(Debug)]
pub(super) struct Query {
    table: &'static str,
    monthly: bool,
    /// `where` and its conditions, except for the range.
    condition: String,
}

/// The select list and how each count is encoded.
#[derive(Debug)]
pub(super) struct Columns {
    select: String,
    pub(super) counts: [CountType; COUNTS],
    /// True if no two rows have the same bucket and model.
    are_rows_unique: bool,
}

/// A description of the tables, in the transaction that reads them.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) columns: Columns,
    pub(super) estimate: Estimate,
}

/// The minimum number of rows for which a range is cut. Fewer rows are read sooner than further connections are made.
const MIN_ROWS_TO_CUT: u64 = 100_000;

/// The planner's estimate of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) rows: u64,
    /// True if the scan of a whole table takes more than a small part of the cost. Each slice would repeat the scan.
    scans_tables: bool,
    /// True if the plan has a foreign scan, whose snapshot connections can't share.
    is_foreign: bool,
}

impl Query {
    pub(super) fn new(org: OrgId, request: &ExportRequest) -> Self {
        let mut condition = format!("where r.organization_id = '{org}'::uuid");
        if let Some(models) = &request.models {
            let models: Vec<String> = models.iter().map(ToString::to_string).collect();
            let _ = write!(condition, " and r.model_id = any('{{{}}}'::uuid[])", models.join(","));
        }
        let table = tables::rollups(request.granularity);
        Self { table, monthly: request.granularity == Granularity::Monthly, condition }
    }

    pub(super) const fn table(&self) -> &'static str {
        self.table
    }

    /// Reports whether the parts of a range have the rows of the whole. A month may lie in two parts.
    pub(super) const fn can_be_cut(&self) -> bool {
        !self.monthly
    }

    /// Asks for the columns' types, the planner's estimate and the unique indexes, without a wait between the
    /// questions.
    pub(super) async fn describe(&self, client: &Client, slice: Slice) -> Result<Description, RollupError> {
        let columns =
            format!("select r.bucket_start, r.model_id, {} from {} r", tables::list(tables::columns()), self.table);
        let explain = format!("explain (format json) {columns} {}", self.ordered(slice, true));
        let unique = is_unique(self.table);
        let answers =
            tokio::join!(client.prepare(&columns), first_value(client, &explain), first_value(client, &unique));
        let (statement, plan, unique) = match answers {
            (Ok(statement), Ok(plan), Ok(unique)) => (statement, plan, unique),
            (statement, plan, unique) => {
                let errors = [statement.err().map(DatabaseError::from), plan.err(), unique.err()];
                return Err(first_cause(errors).map_or(RollupError::Description, RollupError::from));
            }
        };
        let estimate = plan.as_deref().and_then(Estimate::read).ok_or(RollupError::Description)?;
        Ok(Description { columns: self.columns(&statement, unique.as_deref() == Some("t"))?, estimate })
    }

    /// Returns the statement that sends the rows of a slice.
    pub(super) fn copy(&self, columns: &Columns, slice: Slice) -> String {
        let select = &columns.select;
        let table = self.table;
        let rest = if self.monthly {
            format!(
                "{} {} group by month, r.model_id order by month, r.model_id nulls last",
                self.condition,
                within(slice)
            )
        } else {
            self.ordered(slice, columns.are_rows_unique)
        };
        format!("copy (select {select} from {table} r {rest}) to stdout (format binary)")
    }

    /// Returns the conditions and the order of the file. Neither casts, since no index covers a cast.
    ///
    /// The index of our own tables has the order by bucket and model, and is read without a sort. Where several rows
    /// may have the same bucket and model, the measures order them, so that the same rows always make the same bytes.
    fn ordered(&self, slice: Slice, are_rows_unique: bool) -> String {
        let order = format!("{} {} order by r.bucket_start, r.model_id nulls last", self.condition, within(slice));
        if are_rows_unique { order } else { format!("{order}, {}", tables::list(tables::columns())) }
    }

    /// Makes the select list. Columns of a type that the reader knows are selected as they are: a cast costs the server
    /// more than the rest of the row. Types that hold no exact numbers are refused.
    fn columns(&self, statement: &Statement, are_rows_unique: bool) -> Result<Columns, RollupError> {
        let [bucket, model, request_count, tokens_total, error_count, cost_total] = statement.columns() else {
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
        let measures = Measures { request_count, tokens_total, error_count, cost_total }.try_map(count, cost)?;
        let counts = measures.clone().into_parts().0.map(|(_, kind)| kind);
        let values = measures.map(|(value, _)| value, |cost| cost);
        if self.monthly {
            let month = format!("date_trunc('month', {bucket}, 'UTC') as month");
            let select = format!("{month}, r.model_id, {}", tables::list(values.map(sum, sum)));
            return Ok(Columns { select, counts: [CountType::Numeric; COUNTS], are_rows_unique: true });
        }
        Ok(Columns { select: format!("{bucket}, r.model_id, {}", tables::list(values)), counts, are_rows_unique })
    }
}

fn count(column: &Column) -> Result<(String, CountType), RollupError> {
    match *column.type_() {
        Type::INT8 => Ok((format!("r.{}", column.name()), CountType::Int8)),
        Type::INT4 | Type::INT2 => Ok((format!("r.{}::int8", column.name()), CountType::Int8)),
        Type::NUMERIC => Ok((format!("r.{}", column.name()), CountType::Numeric)),
        _ => Err(unknown_type(column)),
    }
}

/// Every digit of a cost is sent: the reader rounds it.
fn cost(column: &Column) -> Result<String, RollupError> {
    match *column.type_() {
        Type::NUMERIC => Ok(format!("r.{}", NAMES.cost_total)),
        Type::INT8 | Type::INT4 | Type::INT2 => Ok(format!("r.{}::numeric", NAMES.cost_total)),
        _ => Err(unknown_type(column)),
    }
}

/// Returns the first value of a query's answer.
pub(super) async fn first_value(client: &Client, query: &str) -> Result<Option<String>, DatabaseError> {
    let answer = client.simple_query(query).await?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

/// Returns the first error that is not the consequence of another, or else the first. A statement of several messages,
/// such as to prepare, may end as the consequence of one that was sent after it began.
pub(super) fn first_cause(errors: impl IntoIterator<Item = Option<DatabaseError>>) -> Option<DatabaseError> {
    let errors = errors.into_iter().flatten();
    errors.reduce(|first, next| if first.is_consequence() && !next.is_consequence() { next } else { first })
}

/// Returns the query whether an index allows no two rows of one organization, bucket and model. Its key has some of
/// these columns and no others, and none of them can be null, unless nulls count as one value.
///
/// An index of a table with children covers the table alone. `indnullsnotdistinct` is read through JSON, since
/// PostgreSQL 14 lacks it.
fn is_unique(table: &str) -> String {
    format!(
        "select exists (
             select from pg_index i
             join pg_class c on c.oid = i.indrelid
             where i.indrelid = to_regclass('{table}') and i.indisunique and i.indisvalid and i.indpred is null
               and (c.relkind = 'p' or c.relkind = 'r' and not c.relhassubclass)
               and not exists (
                   select from unnest(i.indkey::int2[]) with ordinality k (attnum, n)
                   left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                   where k.n <= i.indnkeyatts
                     and (a.attname is null
                          or a.attname not in ('organization_id', 'bucket_start', 'model_id')
                          or not a.attnotnull and to_jsonb(i) ->> 'indnullsnotdistinct' is distinct from 'true')))"
    )
}

/// Returns the sum of some values. Null if one of them is null, which `sum` alone would skip.
fn sum(value: String) -> String {
    format!("case when count({value}) = count(*) then sum({value})::numeric end")
}

fn unknown_type(column: &Column) -> RollupError {
    RollupError::ColumnType { column: column.name().to_owned(), kind: column.type_().name().to_owned() }
}

/// Returns the condition of a slice, in seconds, since PostgreSQL can't read every instant as text, such as the year 0.
/// The function is immutable: the planner knows the bounds, and prunes partitions by them.
fn within(slice: Slice) -> String {
    let second = Timestamp::as_second;
    format!(
        "and r.bucket_start >= to_timestamp({}) and r.bucket_start < to_timestamp({})",
        second(slice.start),
        second(slice.end)
    )
}

impl Estimate {
    /// Reports whether several connections would read the rows sooner than one.
    pub(super) const fn is_worth_cutting(&self) -> bool {
        self.rows >= MIN_ROWS_TO_CUT && !self.scans_tables && !self.is_foreign
    }

    /// Reads the answer of `explain (format json)`.
    fn read(plan: &str) -> Option<Self> {
        let plan: Value = serde_json::from_str(plan).ok()?;
        let root = &plan[0]["Plan"];
        let mut leaves = Vec::new();
        find_leaves(root, &mut leaves);
        // An empty partition among full ones is scanned too, but costs nothing.
        let cost = |node: &Value| node["Total Cost"].as_f64().map(|cost| cost as u64);
        let most = cost(root)? / 10;
        let is_scan = |leaf: &&Value| leaf["Node Type"] == "Seq Scan" && cost(leaf).is_none_or(|cost| cost > most);
        let scans_tables = leaves.iter().any(is_scan);
        let is_foreign = leaves.iter().any(|leaf| leaf["Node Type"] == "Foreign Scan");
        Some(Self { rows: root["Plan Rows"].as_u64()?, scans_tables, is_foreign })
    }
}

/// Finds the nodes of a plan that have no child.
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
