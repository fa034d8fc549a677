//! The HTTP function's environment.

use std::sync::OnceLock;

use auth::{Login, Verifier};
use ci::search::Searches;
use domain::{Retention, settings::BucketPatterns};
use jobs::{DailyLimits, JobsTable, ResendPolicy, delivery_buckets_from_env, queue::ExportQueue, retention_from_env};
use objects::ExportStore;
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
    http::HttpClient,
};
use postgres::Database;

use crate::{signing::Signing, status::Readiness};

/// The function's clients, made once per process.
#[derive(Debug)]
pub struct Context {
    pub(crate) verifier: Verifier,
    /// The way in which people sign in; `None` serves no pages.
    pub(crate) login: Option<Login>,
    pub(crate) jobs: JobsTable,
    pub(crate) queue: ExportQueue,
    pub(crate) store: ExportStore,
    /// Created at the first check of links.
    pub(crate) http: OnceLock<HttpClient>,
    pub(crate) signing: Signing,
    pub(crate) readiness: Readiness,
    pub(crate) database: Database,
    pub(crate) searches: Searches,
    /// Maximum number of an organization's unfinished jobs.
    pub(crate) open_jobs_cap: u32,
    pub(crate) daily_limits: DailyLimits,
    pub(crate) resend: ResendPolicy,
    pub(crate) retention: Retention,
    /// The buckets to which files may be delivered.
    pub(crate) delivery_buckets: BucketPatterns,
}

impl Context {
    /// Creates the clients. Reads the variables of [`Verifier::from_env`], [`Login::from_env`], [`JobsTable::from_env`],
    /// [`ExportQueue::from_env`], [`ExportStore::from_env`], [`Database::from_env`], [`ResendPolicy::from_env`] and
    /// [`retention_from_env`], and these:
    ///
    /// - `SIGNING_KEY` and `RETIRED_SIGNING_KEYS`, optional: the key in AWS KMS that signs manifests, and public keys of
    ///   before;
    /// - `DELIVERY_BUCKETS`, optional: ARNs of the buckets to which files may be delivered;
    /// - `OPEN_JOBS_CAP`: maximum number of an organization's unfinished jobs;
    /// - `DAILY_LIMITS`: maximum numbers of an organization's exports, downloads and queries on one day.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let verifier = Verifier::from_env()?;
        Ok(Self {
            login: Login::from_env(&verifier, sdk)?,
            verifier,
            jobs: JobsTable::from_env(sdk)?,
            queue: ExportQueue::from_env(sdk)?,
            store: ExportStore::from_env(sdk)?,
            signing: Signing::from_env(sdk)?,
            http: OnceLock::new(),
            readiness: Readiness::default(),
            database: Database::from_env("analytics-exports-api")?,
            searches: Searches::default(),
            open_jobs_cap: config::parsed("OPEN_JOBS_CAP", "a whole number")?,
            daily_limits: config::parsed("DAILY_LIMITS", "three whole numbers with commas between them")?,
            resend: ResendPolicy::from_env()?,
            retention: retention_from_env()?,
            delivery_buckets: delivery_buckets_from_env()?,
        })
    }

    /// Begins to fetch what the first request would wait for. Needs a Tokio runtime.
    pub fn fetch_ahead(&self) {
        self.verifier.fetch_keys_ahead();
    }
}
