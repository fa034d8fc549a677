//! The stack under test, found by the variables that `cargo xtask test` sets.

use aws_config::BehaviorVersion;
use jobs::JobsTable;
use uuid::Uuid;

use crate::{Organization, Service, api::Api, database::Database, objects::Objects, queue::Queue, token::Issuer};

/// A running stack. Each test has clients of its own, since they belong to the runtime that made them.
#[derive(Debug)]
pub struct Stack {
    /// The HTTP API.
    pub api: Api,
    /// The issuer of its tokens.
    pub issuer: Issuer,
    /// The rollups.
    pub database: Database,
    /// The jobs, as the functions see them.
    pub jobs: JobsTable,
    /// The table of the jobs, item by item.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The files.
    pub objects: Objects,
    /// The queue and its dead letters.
    pub queue: Queue,
    /// The bucket of CI's documents.
    pub metrics: Objects,
    /// The queue of notifications about them, and its dead letters.
    pub notifications: Queue,
}

impl Stack {
    /// Connects to the stack of the environment.
    ///
    /// # Panics
    /// When there is none.
    pub async fn from_env() -> Self {
        let api = Api::new(variable("API_URL"));
        let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
        Self {
            issuer: Issuer::from_env(&api).await,
            database: Database::connect(&variable("DATABASE_URL")).await,
            jobs: JobsTable::new(dynamodb.clone(), variable("JOBS_TABLE")),
            dynamodb,
            objects: Objects::of_exports(&sdk, variable("EXPORTS_BUCKET")),
            queue: Queue::new(&sdk, variable("EXPORTS_QUEUE_URL"), variable("EXPORTS_DLQ_URL")),
            metrics: Objects::new(&sdk, variable("METRICS_BUCKET")),
            notifications: Queue::new(&sdk, variable("TELEMETRY_QUEUE_URL"), variable("TELEMETRY_DLQ_URL")),
            api,
        }
    }

    /// Returns a new organization with an administrator.
    pub fn organization(&self) -> Organization<'_> {
        Organization::new(self, Uuid::new_v4())
    }

    /// Returns a new service that CI builds.
    pub fn service(&self) -> Service<'_> {
        Service::new(self)
    }
}

/// Returns a variable of the stack.
///
/// # Panics
/// When it is not set: without a stack a test fails instead of passing unseen.
pub fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!("no stack to test: {name} is not set; run `cargo xtask test`"),
    }
}
