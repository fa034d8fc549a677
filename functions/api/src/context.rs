//! What the HTTP function needs from its environment.

use std::time::Duration;

use shared::{
    auth::Verifier,
    aws,
    config::{self, ConfigError},
    database::Database,
    jobs::JobsTable,
    objects::ExportStore,
    queue::ExportQueue,
};

/// The function's clients, made once per process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) verifier: Verifier,
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) store: ExportStore,
    pub(crate) database: Database,
    /// How many unfinished jobs an organization may have.
    pub(crate) open_jobs_cap: u32,
    /// After how long a message is given up for lost.
    pub(crate) resend_after: Duration,
}

impl Context {
    /// Reads, besides the SDK's standard variables and those of [`Verifier::from_env`], [`Database::from_env`] and
    /// [`ExportStore::from_env`]:
    ///
    /// - `JOBS_TABLE`: the name of the jobs table;
    /// - `EXPORTS_QUEUE_URL`: the queue that the worker reads;
    /// - `OPEN_JOBS_CAP`: how many unfinished jobs an organization may have;
    /// - `RESEND_AFTER_SECONDS`: after how long the sweep gives a job's message up for lost.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let sdk = aws::sdk_config()?;
        Ok(Self {
            verifier: Verifier::from_env()?,
            jobs: JobsTable::new(aws_sdk_dynamodb::Client::new(&sdk), config::required("JOBS_TABLE")?),
            queue: ExportQueue::new(aws_sdk_sqs::Client::new(&sdk), config::required("EXPORTS_QUEUE_URL")?),
            store: ExportStore::from_env(&sdk)?,
            database: Database::from_env("analytics-exports-api")?,
            open_jobs_cap: config::parsed("OPEN_JOBS_CAP", "a whole number")?,
            resend_after: config::seconds("RESEND_AFTER_SECONDS")?,
        })
    }
}
