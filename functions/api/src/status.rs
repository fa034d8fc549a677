//! The health of the function and of its dependencies.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use platform::{http, log::Causes};
use postgres::DatabaseError;
use serde::Serialize;
use tokio::{sync::Mutex, time::timeout};
use utoipa::ToSchema;

use crate::{
    context::Context,
    problem::{Kind, Problem, ProblemBody},
};

/// Maximum time of a dependency's answer. All are asked at once, so that the answer is well within a request's
/// deadline.
const PING_TIMEOUT: Duration = Duration::from_secs(4);

/// The times for which a look holds.
const READY_LIFETIME: Duration = Duration::from_secs(5);
const DOWN_LIFETIME: Duration = Duration::from_secs(1);

/// The answer of a healthy service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// Reports that the function is alive.
#[utoipa::path(
    get, path = "/status/healthz", tag = "status",
    responses((status = 200, description = "The function answers", body = Health)),
    security(()),
)]
pub(crate) async fn healthz() -> Json<Health> {
    OK
}

/// Reports whether all dependencies of exports answer. If not, `detail` names those that do not.
#[utoipa::path(
    get, path = "/status/readyz", tag = "status",
    responses(
        (status = 200, description = "All dependencies answer", body = Health),
        (
            status = 503, description = "A dependency does not answer",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(()),
)]
pub(crate) async fn readyz(State(context): State<Arc<Context>>) -> Result<Json<Health>, Problem> {
    let down = context.readiness.down(&context).await;
    if down.is_empty() {
        return Ok(OK);
    }
    let detail = format!("Wait until all dependencies answer. These do not: {}.", down.join(", "));
    Err(Problem::new(Kind::Unavailable, detail))
}

/// The last look at the dependencies. Anybody may ask, so not every request makes one.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Vec<&'static str>)>>);

impl Readiness {
    /// Returns the names of the dependencies that do not answer.
    async fn down(&self, context: &Context) -> Vec<&'static str> {
        let mut last = self.0.lock().await;
        if let Some((at, down)) = &*last
            && at.elapsed() < if down.is_empty() { READY_LIFETIME } else { DOWN_LIFETIME }
        {
            return down.clone();
        }
        let down = look(context).await;
        *last = Some((Instant::now(), down.clone()));
        down
    }
}

/// Asks all dependencies at once.
async fn look(context: &Context) -> Vec<&'static str> {
    let (database, jobs, queue, store, links) = tokio::join!(
        database(context),
        ping("jobs table", context.jobs.ping()),
        ping("exports queue", context.queue.ping()),
        ping("exports bucket", context.store.ping()),
        ping("download links", context.store.check_links(context.http.get_or_init(http::client))),
    );
    [database, jobs, queue, store, links].into_iter().filter_map(Result::err).collect()
}

/// Asks the database, and tells one that does not answer from one that an older version's migrations made.
async fn database(context: &Context) -> Result<(), &'static str> {
    let mut is_outdated = false;
    let answer = async {
        context.database.ping().await.inspect_err(|error| is_outdated = matches!(error, DatabaseError::Outdated { .. }))
    };
    let pinged = ping("database", answer).await;
    pinged.map_err(|name| if is_outdated { "database, which lacks migrations of this version" } else { name })
}

/// Returns the name of a dependency as the error if it does not answer in time.
async fn ping<E: Error + 'static>(
    name: &'static str,
    answer: impl Future<Output = Result<(), E>>,
) -> Result<(), &'static str> {
    match timeout(PING_TIMEOUT, answer).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::error!(dependency = name, error = %Causes(&error), "dependency failed");
            Err(name)
        }
        Err(_) => {
            tracing::error!(dependency = name, "dependency did not answer in time");
            Err(name)
        }
    }
}
