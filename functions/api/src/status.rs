//! Whether the function lives, and whether what it depends on answers.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use platform::log::Causes;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
};

/// How long a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// The answer when all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// Whether the function lives.
#[utoipa::path(get, path = "/status/healthz", tag = "status", responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    OK
}

/// Whether everything that exports depend on answers. If not, `detail` names what does not.
#[utoipa::path(
    get, path = "/status/readyz", tag = "status",
    responses(
        (status = 200, body = Health),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn readyz(State(context): State<Arc<Context>>) -> Result<Json<Health>, Problem> {
    let answers = tokio::join!(
        answers("database", context.database.ping()),
        answers("jobs table", context.jobs.ping()),
        answers("exports queue", context.queue.ping()),
        answers("exports bucket", context.store.ping()),
    );
    let down: Vec<&str> = [answers.0, answers.1, answers.2, answers.3].into_iter().flatten().collect();
    if down.is_empty() {
        return Ok(OK);
    }
    let detail = format!("Wait until all dependencies answer. These do not: {}.", down.join(", "));
    Err(Problem::new(Kind::Unavailable, detail))
}

/// The name of a dependency that does not answer.
async fn answers<E: Error + 'static>(
    name: &'static str,
    ping: impl Future<Output = Result<(), E>>,
) -> Option<&'static str> {
    match timeout(PATIENCE, ping).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::error!(dependency = name, error = %Causes(&error), "a dependency is down");
            Some(name)
        }
        Err(_) => {
            tracing::error!(dependency = name, "a dependency is silent");
            Some(name)
        }
    }
}
