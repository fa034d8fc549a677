//! One invocation: by CloudFormation, which waits for an answer at an address, or by a person, who waits for the result.

use std::time::Duration;

use lambda_runtime::Error;
use migrate::{MigrateError, Migrated, migrate};
use serde_json::{Value, json};
use shared::{
    config::{self, ConfigError},
    database::{Database, DatabaseError},
    log::Causes,
};
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

use crate::cloudformation::{Request, Status};

/// What is kept back of an invocation's time, to answer.
const RESERVE: Duration = Duration::from_secs(30);

/// Why an invocation did not migrate.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("could not connect to the database")]
    Connect(#[from] DatabaseError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("the time ran out")]
    OutOfTime,
    #[error("the migration broke off; see the log")]
    Broken(#[from] tokio::task::JoinError),
}

/// Migrates, and answers whoever asked. Any event that is none of CloudFormation's asks for the same.
pub(crate) async fn handle(event: Value) -> Result<Value, Error> {
    let Some(request) = Request::read(event)? else { return Ok(json!(run().await?)) };
    if request.is_delete() {
        // The data outlives the stack.
        request.answer(Status::Success, "nothing is undone", Vec::new()).await?;
        return Ok(Value::Null);
    }
    match run().await {
        Ok(migrated) => {
            let data = [("Version", migrated.version.to_string()), ("Applied", migrated.applied.join(" "))];
            request.answer(Status::Success, "migrated", data.map(|(name, value)| (name.to_owned(), value))).await?;
            Ok(json!(migrated))
        }
        // Answered is answered: an error here would make Lambda run it again for nobody.
        Err(error) => {
            request.answer(Status::Failed, &Causes(&error).to_string(), Vec::new()).await?;
            Ok(Value::Null)
        }
    }
}

/// Reads `MIGRATE_SECONDS`, the function's timeout, and the variables of [`Database::from_env`], and migrates.
async fn run() -> Result<Migrated, RunError> {
    let work = async {
        let until = Instant::now() + config::seconds("MIGRATE_SECONDS")?.saturating_sub(RESERVE);
        let database = Database::from_env("analytics-exports-migrate")?;
        let work = async {
            let mut client = database.connect().await?;
            Ok(migrate(&mut client, until).await?)
        };
        timeout_at(until, work).await.map_err(|_| RunError::OutOfTime)?
    };
    // In a task of its own, a panic is an error like others.
    let done = tokio::spawn(work).await.unwrap_or_else(|error| Err(error.into()));
    match &done {
        Ok(migrated) => info!(?migrated, "migrated"),
        Err(error) => error!(error = %Causes(error), "not migrated"),
    }
    done
}
