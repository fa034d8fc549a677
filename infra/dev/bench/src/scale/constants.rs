//! The constants of the model, from `constants.json`: what was measured, what the template sets, and what is assumed.

use anyhow::{Context, Result};
use rust_decimal::Decimal;
use serde::Deserialize;

/// All constants.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Constants {
    /// The day of the measurement.
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) measured: Measured,
    pub(crate) settings: Settings,
    pub(crate) usage: Usage,
    pub(crate) server: Server,
    pub(crate) prices: Prices,
}

/// A measured value.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Value {
    pub(crate) value: f64,
    /// True if the code that it was measured of is about to change.
    pub(crate) renew: bool,
}

/// CPU is that of the server, in microseconds; bytes are those of its files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    pub(crate) ingest_cpu_us: Value,
    pub(crate) ingest_wal_bytes: Value,
    pub(crate) plain_bytes: Value,
    pub(crate) key_bytes: Value,
    pub(crate) key_index_bytes: Value,
    pub(crate) refresh_event_cpu_us: Value,
    pub(crate) refresh_hour_cpu_us: Value,
    pub(crate) pack_cpu_us: Value,
    pub(crate) pack_wal_bytes: Value,
    pub(crate) packed_bytes: Value,
    pub(crate) rollup_bytes: Value,
    pub(crate) export_row_cpu_us: Value,
    pub(crate) job_cpu_us: Value,
    pub(crate) job_time_us: Value,
    pub(crate) job_item_bytes: Value,
}

/// Settings of the template and of the code.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) plain_days: f64,
    pub(crate) kept_days: f64,
    pub(crate) key_days: f64,
    pub(crate) rollup_months: f64,
    /// From one refresh to the next.
    pub(crate) refresh_seconds: f64,
    /// For which the retention runs each night.
    pub(crate) pack_seconds: f64,
    /// The sessions that pack at the same time.
    pub(crate) pack_connections: f64,
    /// Exports at a time.
    pub(crate) workers: f64,
    /// From the first monthly run to the last.
    pub(crate) monthly_seconds: f64,
    /// From one scheduled export to the next.
    pub(crate) send_interval_us: f64,
    /// From one renewal of a running job's lease to the next.
    pub(crate) renewal_seconds: f64,
}

/// The assumed use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Usage {
    pub(crate) events_per_organization: f64,
    /// Models that an organization uses in an hour.
    pub(crate) models: f64,
    /// The busiest hour, as a multiple of the mean.
    pub(crate) peak: f64,
    /// Exports of an organization in a month, by people.
    pub(crate) exports: f64,
    /// Write units and read units of the jobs table that a job takes in its life, with its copies in the indexes.
    pub(crate) job_writes: f64,
    pub(crate) job_reads: f64,
    /// Other requests of an organization in a day.
    pub(crate) daily_reads: f64,
}

/// The server that the loads are of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) cpus: f64,
    pub(crate) memory_gb: f64,
    pub(crate) storage_gb: f64,
    /// Megabytes that its storage takes in a second.
    pub(crate) write_mb: f64,
}

/// The prices of a region.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    pub(crate) region: String,
    pub(crate) server_hour: Price,
    pub(crate) storage_gb_month: Price,
    pub(crate) lambda_gb_second: Price,
    pub(crate) lambda_million: Price,
    pub(crate) table_write_million: Price,
    pub(crate) table_read_million: Price,
    pub(crate) table_gb_month: Price,
    pub(crate) queue_million: Price,
    pub(crate) gateway_million: Price,
    pub(crate) object_gb_month: Price,
}

/// A price in dollars.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) usd: Decimal,
    /// The source, or that it is an assumption.
    pub(crate) source: String,
}

impl Constants {
    /// The constants of `constants.json`.
    pub(crate) fn read() -> Result<Self> {
        serde_json::from_str(include_str!("constants.json")).context("constants.json is not as this program reads it")
    }
}

impl Measured {
    /// The values with their meanings and units.
    pub(crate) const fn list(&self) -> [(&'static str, &'static str, Value); 15] {
        [
            ("to take an event in", "µs of the server's CPU", self.ingest_cpu_us),
            ("WAL of an event that comes in", "bytes", self.ingest_wal_bytes),
            ("a plain event, with its index", "bytes", self.plain_bytes),
            ("a key, with its index", "bytes", self.key_bytes),
            ("the index of a key", "bytes", self.key_index_bytes),
            ("to read an event in a refresh", "µs of the server's CPU", self.refresh_event_cpu_us),
            ("to compute an hour of an organization, and its day", "µs of the server's CPU", self.refresh_hour_cpu_us),
            ("to pack an event", "µs of the server's CPU", self.pack_cpu_us),
            ("WAL of an event that is packed", "bytes", self.pack_wal_bytes),
            ("a packed event", "bytes", self.packed_bytes),
            ("a rollup, with its index", "bytes", self.rollup_bytes),
            ("to read a row of an export", "µs of the server's CPU", self.export_row_cpu_us),
            ("a monthly export of 620 rows", "µs of the server's CPU", self.job_cpu_us),
            ("a monthly export of 620 rows, from receipt to end", "µs", self.job_time_us),
            ("a job in DynamoDB", "bytes", self.job_item_bytes),
        ]
    }
}
