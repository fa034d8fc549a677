//! The rollup tables: the kind of relation and the owner of each.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::notice;
use postgres::DatabaseError;

/// One of the rollup tables, with the length of its buckets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rollup {
    pub(super) table: &'static str,
    pub(super) bucket: &'static str,
}

pub(super) const HOURLY: Rollup = Rollup { table: "analytics_hourly_rollups", bucket: "hour" };
pub(super) const DAILY: Rollup = Rollup { table: "analytics_daily_rollups", bucket: "day" };
pub(super) const ROLLUPS: [Rollup; 2] = [HOURLY, DAILY];

/// The access of maintenance to a rollup table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Ours: partitions are created and dropped.
    Managed,
    /// A platform's own table: rows are written and deleted.
    Table,
    /// A platform's own view or foreign table that accepts writes.
    Writable,
    /// Rows can only be read.
    ReadOnly,
    /// There is no such table.
    Missing,
}

impl Rollup {
    /// Returns the access of this session's role to the table.
    pub(super) async fn access(self, client: &Client) -> Result<Access, DatabaseError> {
        // 8 is an insert and 16 a delete, as `pg_relation_is_updatable` counts them; triggers are included.
        let access = "select usage_manages($1), relkind in ('r', 'p'),
                             pg_relation_is_updatable(oid, true) & 24 = 24
                             and has_table_privilege(oid, 'insert') and has_table_privilege(oid, 'delete')
                      from pg_class where oid = to_regclass($1)";
        let Some(row) = client.query_opt(access, &[&self.table]).await? else { return Ok(Access::Missing) };
        let is_managed: bool = row.try_get(0)?;
        let is_table: bool = row.try_get(1)?;
        let is_writable: bool = row.try_get(2)?;
        Ok(if !is_writable {
            Access::ReadOnly
        } else if is_managed {
            Access::Managed
        } else if is_table {
            Access::Table
        } else {
            Access::Writable
        })
    }
}

/// Reports whether both rollup tables accept rows, and raises a notice for each that does not.
pub(super) async fn take_writes(client: &Client, now: Timestamp) -> Result<bool, DatabaseError> {
    let mut both = true;
    for rollup in ROLLUPS {
        let subject = format!("refresh of {}", rollup.table);
        let sentence = match rollup.access(client).await? {
            Access::ReadOnly => "the table accepts no rows: raw events are in no rollup",
            Access::Missing => "there is no such table: raw events are in no rollup",
            Access::Managed | Access::Table | Access::Writable => {
                notice::clear(client, &subject).await?;
                continue;
            }
        };
        notice::raise(client, &subject, sentence, now).await?;
        both = false;
    }
    Ok(both)
}
