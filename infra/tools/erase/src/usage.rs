//! The usage in PostgreSQL, table by table, each in a transaction of its own.

use anyhow::{Context as _, Result};
use domain::OrgId;
use postgres::Connection;

use crate::report::Report;

/// The organization's usage.
pub(crate) struct Usage {
    client: Connection,
    org: OrgId,
}

impl Usage {
    pub(crate) const fn new(client: Connection, org: OrgId) -> Self {
        Self { client, org }
    }

    /// From now on no event of the organization is stored.
    pub(crate) async fn begin(&self) -> Result<()> {
        // A writer that takes long would keep all others waiting.
        self.client.batch_execute("set lock_timeout = '3s'").await?;
        let begin = "select usage_erase_begin($1)";
        self.client.query_one(begin, &[&self.org.uuid()]).await.context("writers of events are at work")?;
        Ok(())
    }

    /// Counts the rows of each table, and deletes them if that is wanted.
    pub(crate) async fn erase(&self, deletes: bool, report: &mut Report) -> Result<()> {
        let statement = if deletes { "select usage_erase($1, $2)" } else { "select usage_erasable_rows($1, $2)" };
        for (parent, child) in self.tables().await? {
            let rows: i64 = self.client.query_one(statement, &[&self.org.uuid(), &child]).await?.try_get(0)?;
            report.deleted("database", &parent, rows.unsigned_abs());
        }
        Ok(())
    }

    /// Returns the number of rows that are there.
    pub(crate) async fn left(&self) -> Result<u64> {
        let mut left = 0;
        for (_, child) in self.tables().await? {
            let count = "select usage_erasable_rows($1, $2)";
            left +=
                self.client.query_one(count, &[&self.org.uuid(), &child]).await?.try_get::<_, i64>(0)?.unsigned_abs();
        }
        Ok(left)
    }

    /// Returns the number of events that came after the erasure.
    pub(crate) async fn late_events(&self) -> Result<u64> {
        let events = "select refused from usage_erasures where organization_id = $1";
        let row = self.client.query_opt(events, &[&self.org.uuid()]).await?;
        Ok(row.map(|row| row.try_get::<_, i64>(0)).transpose()?.unwrap_or(0).unsigned_abs())
    }

    async fn tables(&self) -> Result<Vec<(String, String)>> {
        let rows = self.client.query("select parent, child from usage_erasable()", &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}
