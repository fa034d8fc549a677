//! The pass over series with new runs: it tells changes of durations, and what waits to be told on the event bus.
//!
//! Two passes may run at the same time, and a pass may end at any point: each series is one transaction, and an event
//! stays in its outbox until the bus has confirmed it.

use std::time::Duration;

use ci::{
    Series,
    change::EVENT_SOURCE,
    reports::ReportError,
    watch::{self, ChangeEvent, Looked, Standing},
};
use jiff::Timestamp;
use lambda::Code;
use platform::{
    Deadline,
    bus::{BusError, BusEvent, MAX_ENTRIES},
    log::Causes,
};
use postgres::{DatabaseError, LimitedWrites};
use serde::Serialize;
use tracing::{error, info, warn};

use crate::{context::Context, metrics};

/// Maximum number of series that are listed at once.
const LISTED: usize = 200;

/// The time in which what is left has to be read, after the end of the work: a part of the reserve.
const STANDING_TIME: Duration = Duration::from_secs(2);

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// The series that were looked at.
    pub(crate) series: u32,
    /// Those of them that failed; they are looked at again.
    pub(crate) failed: u32,
    /// Changes that were not told before.
    pub(crate) told: u32,
    /// Changes that were confirmed.
    pub(crate) confirmed: u32,
    /// Changes that were withdrawn.
    pub(crate) withdrawn: u32,
    /// Events that the bus confirmed.
    pub(crate) events: u32,
    /// Events that it did not confirm; they are told again.
    pub(crate) events_failed: u32,
    /// `true` if the time was over before every series was looked at.
    pub(crate) unfinished: bool,
}

/// The reason why a pass failed. What it did before is done.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The database failed.
    #[error("could not look at the series with new runs")]
    Report(#[from] ReportError),
    /// Series could not be looked at, or events could not be told. The log has the errors.
    #[error("{series} series could not be looked at and {events} events not be told; the next pass tries again")]
    Left {
        /// The number of series.
        series: u32,
        /// The number of events.
        events: u32,
    },
}

impl From<DatabaseError> for PassError {
    fn from(error: DatabaseError) -> Self {
        Self::Report(error.into())
    }
}

impl Code for PassError {
    fn code(&self) -> &'static str {
        match self {
            Self::Report(_) => "changes_unavailable",
            Self::Left { .. } => "changes_left",
        }
    }
}

/// The reason why events were not told.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl From<DatabaseError> for TellError {
    fn from(error: DatabaseError) -> Self {
        Self::Report(error.into())
    }
}

/// Looks at series with new runs, the longest wait first, until none is left or the time is over, and tells of changes as
/// soon as they are kept.
///
/// # Errors
/// When the database fails, a series could not be looked at, or an event could not be told.
pub(crate) async fn pass(deadline: Deadline, context: &Context) -> Result<Pass, PassError> {
    let mut pass = Pass::default();
    // What a pass before left.
    tell(context, deadline, &mut pass).await;
    let mut tried: Vec<Series> = Vec::new();
    loop {
        let client = context.database.client().await?;
        // Those that were tried and are still there failed, or another pass is at them.
        let found = watch::unseen(&client, LISTED + tried.len(), deadline.left()).await?;
        let new: Vec<Series> = found.into_iter().filter(|series| !tried.contains(series)).collect();
        if new.is_empty() {
            break;
        }
        for series in new {
            if deadline.left().is_zero() {
                pass.unfinished = true;
                break;
            }
            look(context, &series, deadline, &mut pass).await;
            tried.push(series);
        }
        if pass.unfinished {
            break;
        }
    }
    let client = context.database.client().await?;
    let standing: Standing = watch::standing(&client, STANDING_TIME).await?;
    metrics::of_pass(&pass, &standing, Timestamp::now());
    let Pass { failed, events_failed, .. } = pass;
    if failed > 0 || events_failed > 0 {
        return Err(PassError::Left { series: failed, events: events_failed });
    }
    Ok(pass)
}

/// Looks at a series, and tells of what changed. A failure is counted: it keeps nobody from the other series.
async fn look(context: &Context, series: &Series, deadline: Deadline, pass: &mut Pass) {
    let looked = async {
        let client = context.database.client().await?;
        watch::look(&client, series, Timestamp::now(), deadline.left()).await
    };
    match looked.await {
        Ok(None) => {}
        Ok(Some(Looked { told, confirmed, withdrawn, events })) => {
            pass.series += 1;
            pass.told += told;
            pass.confirmed += confirmed;
            pass.withdrawn += withdrawn;
            if events > 0 {
                tell(context, deadline, pass).await;
            }
        }
        Err(error) => {
            let Series { service, command, environment } = series;
            error!(error = %Causes(&error), service, command, environment, "could not look at a series");
            pass.failed += 1;
        }
    }
}

/// Tells the events in the outbox, until none is left, the bus confirms none of them, or the time is over.
async fn tell(context: &Context, deadline: Deadline, pass: &mut Pass) {
    loop {
        if deadline.left().is_zero() {
            return;
        }
        match tell_some(context, deadline).await {
            Ok((0, 0)) => return,
            Ok((told, failed)) => {
                pass.events += told;
                pass.events_failed += failed;
                if told == 0 {
                    return;
                }
            }
            Err(error) => {
                warn!(error = %Causes(&error), "events of changes not told, they stay in the outbox");
                pass.events_failed += 1;
                return;
            }
        }
    }
}

/// Tells some events. Returns how many the bus confirmed, and how many not. A pass that ends before they are marked tells
/// them again, with the same ids.
async fn tell_some(context: &Context, deadline: Deadline) -> Result<(u32, u32), TellError> {
    let client = context.database.client().await?;
    let writes = LimitedWrites::begin(&client, deadline.left()).await?;
    let events = watch::untold(&writes, MAX_ENTRIES).await?;
    if events.is_empty() {
        return Ok((0, 0));
    }
    let entries: Vec<BusEvent<'_>> = events.iter().map(on_bus).collect();
    let answer = context.bus.put(&entries).await?;
    let mut told = Vec::new();
    for (event, result) in events.iter().zip(&answer) {
        match result {
            Ok(()) => told.push(event.id),
            Err(reason) => warn!(event_id = %event.id, reason, "event not taken by the bus"),
        }
    }
    watch::mark_told(&writes, &told, Timestamp::now()).await?;
    writes.commit().await?;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    info!(told = told.len(), "events of changes told");
    Ok((count(told.len()), count(events.len() - told.len())))
}

fn on_bus(event: &ChangeEvent) -> BusEvent<'_> {
    BusEvent {
        source: EVENT_SOURCE,
        detail_type: event.kind.detail_type(),
        detail: &event.detail,
        occurred_at: event.occurred_at,
    }
}
