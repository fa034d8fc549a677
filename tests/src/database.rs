//! The rollups, written without the product.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio_postgres::{Client, NoTls, types::ToSql};
use uuid::Uuid;

use crate::Rollup;

/// A connection to the database of the rollups.
#[derive(Debug)]
pub struct Database {
    /// The connection, for what has no function here.
    pub client: Client,
}

/// One of the rollup tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `analytics_hourly_rollups`.
    Hourly,
    /// `analytics_daily_rollups`.
    Daily,
}

impl Table {
    /// The table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hourly => "analytics_hourly_rollups",
            Self::Daily => "analytics_daily_rollups",
        }
    }
}

impl Database {
    /// Connects to `url`. The local stack offers no TLS.
    pub async fn connect(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database answers");
        tokio::spawn(connection);
        Self { client }
    }

    /// Adds rollups of an organization. Not as text, so that what is stored is what the test holds.
    pub async fn insert_rollups(&self, table: Table, org: Uuid, rollups: &[Rollup]) {
        let buckets: Vec<SystemTime> = rollups.iter().map(|rollup| system_time(rollup.bucket_start)).collect();
        let models: Vec<Option<Uuid>> = rollups.iter().map(|rollup| rollup.model_id).collect();
        let requests: Vec<i64> = rollups.iter().map(|rollup| rollup.request_count).collect();
        let tokens: Vec<i64> = rollups.iter().map(|rollup| rollup.tokens_total).collect();
        let errors: Vec<i64> = rollups.iter().map(|rollup| rollup.error_count).collect();
        let costs: Vec<String> = rollups.iter().map(|rollup| rollup.cost_total.to_string()).collect();
        let statement = format!(
            "insert into {} (organization_id, bucket_start, model_id, request_count, tokens_total, error_count,
                 cost_total)
             select $1, * from unnest($2::timestamptz[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[],
                  $7::text[]::numeric[])",
            table.name()
        );
        let columns: [&(dyn ToSql + Sync); 7] = [&org, &buckets, &models, &requests, &tokens, &errors, &costs];
        let added = self.client.execute(&statement, &columns).await.expect("the rollups are added");
        assert_eq!(added, rollups.len() as u64);
    }
}

/// Converts an instant of this century, like all in the tests, for the driver.
fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_second().unsigned_abs())
}
