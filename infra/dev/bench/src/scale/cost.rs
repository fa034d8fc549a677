//! What a month costs on AWS. Amounts are exact; the quantities are those of the model, as whole numbers.

use rust_decimal::Decimal;

use super::{
    constants::{Constants, Price},
    load::{self, Rates, loads},
};

/// Hours of a month, as AWS counts.
const HOURS: f64 = 730.0;
/// Seconds of a month.
const SECONDS: f64 = HOURS * 3600.0;
/// The memory of the worker, of the API, and of functions on a schedule, in gigabytes.
const WORKER_GB: f64 = 1.769;
const API_GB: f64 = 0.512;
const TASK_GB: f64 = 0.256;
/// Seconds of a request to the API.
const REQUEST_SECONDS: f64 = 0.02;
/// Seconds of a run of the sweep, which finds nothing to do.
const SWEEP_SECONDS: f64 = 1.0;
/// Requests to the API for an export: create, a few looks, the download.
const JOB_REQUESTS: f64 = 6.0;
/// Requests to the queue for an export: send, receive, some renewals, delete.
const JOB_MESSAGES: f64 = 5.0;
/// Requests to a queue in a month without messages: 5 pollers that wait for 20 s.
const POLLS: f64 = 5.0 * SECONDS / 20.0;
/// Bytes of a file of a monthly export.
const FILE_BYTES: f64 = 60_000.0;
/// Months for which files, and jobs, are kept; jobs for ever, of which this counts the first year.
const FILE_MONTHS: f64 = 3.0;
const JOB_MONTHS: f64 = 12.0;

/// One line of the bill.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) quantity: Decimal,
    pub(crate) unit: &'static str,
    pub(crate) price: Decimal,
    /// The part of the unit that one of the quantity is: prices may be for a million.
    per: Decimal,
}

impl Line {
    pub(crate) fn amount(&self) -> Decimal {
        self.quantity * self.price / self.per
    }
}

/// The servers of the assumed size that a number of events needs, each with a stack of its own: as many as the most
/// loaded resource says.
pub(crate) fn stacks(events: f64, constants: &Constants) -> f64 {
    loads(events, constants).iter().map(|load| load.part).fold(1.0, f64::max).ceil()
}

/// The lines of the bill.
pub(crate) fn bill(events: f64, constants: &Constants) -> Vec<Line> {
    let prices = &constants.prices;
    let rates = Rates::of(events, constants);
    let stacks = stacks(events, constants);
    let storage: f64 = load::storage(events, constants).iter().map(|(_, gigabytes)| gigabytes).sum();
    let requests = rates.organizations * constants.usage.daily_reads * 30.0 + rates.jobs * JOB_REQUESTS;
    let runs = stacks * SECONDS / constants.settings.refresh_seconds;
    let refresh = load::refresh_seconds(events, constants) / constants.usage.peak;
    let pack =
        rates.events_per_day * constants.measured.pack_cpu_us.value / 1e6 * 30.0 / constants.settings.pack_connections;
    let worker = rates.jobs * constants.measured.job_time_us.value / 1e6 * WORKER_GB;
    let compute = worker
        + requests * REQUEST_SECONDS * API_GB
        + (runs / stacks * refresh + runs * SWEEP_SECONDS + pack) * TASK_GB;
    let item = 2.0 * constants.measured.job_item_bytes.value + 200.0;
    let line = |what, quantity: f64, unit, price: &Price| Line {
        what,
        quantity: whole(quantity),
        unit,
        price: price.usd,
        per: Decimal::ONE,
    };
    let per_million = |what, quantity, price| Line { per: Decimal::from(1_000_000), ..line(what, quantity, "", price) };
    vec![
        line("PostgreSQL, with a standby", stacks * 2.0 * HOURS, "hours", &prices.server_hour),
        line("its storage, twice", storage * 2.0, "GB", &prices.storage_gb_month),
        line("Lambda", compute, "GB-seconds", &prices.lambda_gb_second),
        per_million("Lambda, invocations", requests + rates.jobs + 2.0 * runs, &prices.lambda_million),
        per_million("DynamoDB, writes", rates.jobs * constants.usage.job_writes, &prices.table_write_million),
        per_million("DynamoDB, reads", rates.jobs * constants.usage.job_reads, &prices.table_read_million),
        line("DynamoDB, jobs of a year", rates.jobs * JOB_MONTHS * item / 1e9, "GB", &prices.table_gb_month),
        per_million("SQS", rates.jobs * JOB_MESSAGES + stacks * 2.0 * POLLS, &prices.queue_million),
        per_million("HTTP API", requests, &prices.gateway_million),
        line("S3", rates.jobs * FILE_MONTHS * FILE_BYTES / 1e9, "GB", &prices.object_gb_month),
    ]
}

/// A quantity as a whole number, rounded up.
fn whole(quantity: f64) -> Decimal {
    format!("{:.0}", quantity.ceil()).parse().unwrap_or(Decimal::MAX)
}
