//! One invocation: by CloudFormation, which expects the answer at a URL, or by a person, who waits for the result.

use lambda::Code;
use migrate::{
    MigrateError, Migrated,
    cloudformation::{Request, Status, Unanswered},
    migrate,
};
use platform::{Deadline, config::ConfigError, log::Causes};
use postgres::{Database, DatabaseError};
use serde_json::{Value, json};
use tokio::time::timeout_at;
use tracing::{Instrument as _, error, info, warn};

/// The reason why an invocation did not migrate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("could not connect to the database")]
    Connect(#[from] DatabaseError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("the migration reached its time limit")]
    OutOfTime,
    #[error("the migration ended unexpectedly; see the log")]
    Broken(#[from] tokio::task::JoinError),
}

/// The reason why an invocation had no answer, or did not migrate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error("the request of CloudFormation cannot be read")]
    Request(#[from] serde_json::Error),
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Code for HandlerError {
    fn code(&self) -> &'static str {
        match self {
            Self::Request(_) => "request_unreadable",
            Self::Unanswered(_) => "request_unanswered",
            Self::Run(RunError::Config(_)) => "configuration_invalid",
            Self::Run(RunError::Connect(_)) => "database_unavailable",
            Self::Run(RunError::Migrate(_)) => "migration_failed",
            Self::Run(RunError::OutOfTime) => "out_of_time",
            Self::Run(RunError::Broken(_)) => "migration_broken",
        }
    }
}

/// Migrates and answers. An event that is not from CloudFormation requests a migration too, whatever it contains.
pub(crate) async fn handle(event: Value, deadline: Deadline) -> Result<Value, HandlerError> {
    let Some(request) = Request::read(event)? else { return Ok(json!(run(deadline).await?)) };
    if request.is_delete() {
        // The database outlives the stack.
        request.answer(Status::Success, "migrations are not undone", Vec::new()).send().await?;
        return Ok(Value::Null);
    }
    answer(request, run(deadline).await).await
}

async fn answer(request: Request, done: Result<Migrated, RunError>) -> Result<Value, HandlerError> {
    match done {
        Ok(migrated) => {
            let data = [("Version", migrated.version.to_string()), ("Applied", migrated.applied.join(" "))];
            let data = data.map(|(name, value)| (name.to_owned(), value));
            request.answer(Status::Success, "migrated", data).send().await?;
            Ok(json!(migrated))
        }
        // CloudFormation has its answer. An error here would only make Lambda retry the invocation.
        Err(error) => {
            request.answer(Status::Failed, &Causes(&error).to_string(), Vec::new()).send().await?;
            Ok(Value::Null)
        }
    }
}

/// Reads the variables of [`Database::from_env`] and migrates.
async fn run(deadline: Deadline) -> Result<Migrated, RunError> {
    let until = deadline.work_until();
    let work = async move {
        let database = Database::from_env("analytics-exports-migrate")?;
        let work = async {
            let mut client = database.connect().await?;
            Ok(migrate(&mut client, until).await?)
        };
        timeout_at(until, work).await.map_err(|_| RunError::OutOfTime)?
    };
    // In a separate task, so that a panic becomes an error.
    let done = tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| Err(error.into()));
    match &done {
        Ok(migrated) => {
            for limit in &migrated.limits {
                warn!(limit, "usage maintenance is limited");
            }
            info!(applied = migrated.applied.len(), version = migrated.version, "database migrated");
        }
        Err(error) => error!(error = %Causes(error), "database not migrated"),
    }
    done
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_failure_is_answered_with_its_reason_even_if_the_first_try_is_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut event: Value =
            serde_json::from_str(include_str!("../../../events/migrate-cloudformation.json")).unwrap();
        event["ResponseURL"] = json!(format!("http://{}/", listener.local_addr().unwrap()));
        let receive = async {
            drop(listener.accept().await.unwrap());
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            loop {
                stream.read_buf(&mut received).await.unwrap();
                let text = String::from_utf8_lossy(&received).into_owned();
                let Some(Ok(body)) = text.split("\r\n\r\n").nth(1).map(serde_json::from_str::<Value>) else { continue };
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                return body;
            }
        };
        let request = Request::read(event).unwrap().unwrap();
        let long = RunError::Config(ConfigError::Invalid { name: "DATABASE_URL", expected: "é".repeat(3000).leak() });
        let (body, done) = tokio::join!(receive, answer(request, Err(long)));
        done.unwrap();
        assert_eq!(
            (&body["Status"], &body["RequestId"]),
            (&json!("FAILED"), &json!("9c1f2e34-5a6b-4c7d-8e9f-0a1b2c3d4e5f"))
        );
        let reason = body["Reason"].as_str().unwrap();
        assert!(reason.starts_with("environment variable DATABASE_URL is not é"), "{reason}");
        assert!(body.to_string().len() < 4096, "CloudFormation accepts no more");
    }
}
