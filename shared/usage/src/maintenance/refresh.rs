//! Rollups from raw events: every hour that received some is computed again, whole, and the days above from their hours.
//!
//! Which hours those are is in `usage_dirty_hours`, in rows that the writers' own transactions added. A batch takes some
//! of these rows, writes their rollups, and commits both together: an hour is dirty until its rollups are right, and what
//! a transaction that is still open has written makes its hour dirty when it commits.
//!
//! A run computes what was due when it began, each hour of an organization once, in turns of organizations. An hour that
//! cannot be computed fails alone.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::{Timestamp, civil::Date};
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    batch::{self, Done, Source},
    failure::{self, Failure},
    queue::{self, Due, Picture},
    rollup, slices, trouble, watermark,
};
use crate::at::At;
use postgres::DatabaseError;

/// The most hours in one batch: few enough that a batch takes a second, and many enough that the days above them are not
/// computed once for each of their hours.
const MAX_BATCH: usize = 2048;
/// The first batch: hours of very many events show before much is spent on them.
const FIRST_BATCH: usize = 64;
/// A batch that took longer than this is followed by a smaller one.
const BATCH_TIME: Duration = Duration::from_secs(2);
/// The part of the time that one statement may take; what takes longer is tried in smaller batches.
const STATEMENT_PART: u32 = 8;
/// The failures of one organization in a run; its other hours wait for the next one.
const MAX_FAILURES: u32 = 8;

/// What a refresh did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshReport {
    /// Transactions that wrote rollups.
    pub batches: u64,
    /// Hours of organizations that were computed.
    pub hours: u64,
    /// Days of organizations that were computed.
    pub days: u64,
    /// Rollups that were written; those that were right already are not.
    pub rollups_written: u64,
    /// Hours and days left as they are, since their rollups count more than the raw events or were made elsewhere.
    pub kept: u64,
    /// Hours left out, since their rollups or raw events are dropped.
    pub too_old: u64,
    /// Hours left out, since they are before their organization's cut-over.
    pub before_cut_over: u64,
    /// Hours that could not be computed. They are tried again in growing intervals.
    pub failed: u64,
    /// Hours left to the next refresh, since another session was in between or their organization failed too often.
    pub postponed: u64,
    /// The seconds that the oldest event still waits, now that the run is over.
    pub oldest_wait_seconds: u64,
    /// Whether the rollup tables take no rows. Then nothing was done.
    pub read_only: bool,
    /// Whether the time was up before all was done. The next refresh goes on.
    pub unfinished: bool,
}

/// A refresh that is under way.
struct Run {
    now: Timestamp,
    end: Instant,
    report: RefreshReport,
    failures: HashMap<Uuid, u32>,
    /// Organizations that failed too often.
    skipped: HashSet<Uuid>,
    /// Hours that one statement cannot sum in time.
    large: std::collections::VecDeque<Due>,
}

/// Computes what is due, or as much as `time` allows. `now` is what the freshness states.
///
/// # Errors
/// When the database fails. What was done until then stays done.
pub async fn refresh(client: &mut Client, now: Timestamp, time: Duration) -> Result<RefreshReport, DatabaseError> {
    let mut run = Run {
        now,
        end: Instant::now() + time,
        report: RefreshReport::default(),
        failures: HashMap::new(),
        skipped: HashSet::new(),
        large: std::collections::VecDeque::new(),
    };
    let limit = (time / STATEMENT_PART).as_millis().max(10_000);
    client.batch_execute(&format!("set statement_timeout = {limit}")).await?;
    batch::prepare(client).await?;
    if rollup::take_writes(client, now).await? {
        watermark::know_days(client).await?;
        watermark::record(client).await?;
        let picture = queue::picture(client, now).await?;
        run.compute(client, picture).await?;
        run.close(client).await?;
    } else {
        run.report.read_only = true;
    }
    run.report.oldest_wait_seconds = queue::oldest_wait(client, now).await?;
    run.report.log();
    Ok(run.report)
}

impl Run {
    async fn compute(&mut self, client: &mut Client, mut picture: Picture) -> Result<(), DatabaseError> {
        self.large = picture.take_large();
        self.report.unfinished = picture.is_cut;
        let mut size = FIRST_BATCH;
        while !self.is_over()
            && let Some(days) = picture.next(size, &self.skipped)
        {
            let start = Instant::now();
            for (day, hours) in days {
                self.day(client, day, hours).await?;
            }
            size = if start.elapsed() > BATCH_TIME { (size / 2).max(1) } else { (size * 2).min(MAX_BATCH) };
        }
        // After all others: their steps take as long as they are given.
        let large = std::mem::take(&mut self.large);
        let turns = slices::in_turns(client, large, self.now, self.end).await?;
        self.report.unfinished |= turns.is_unfinished;
        turns.done.iter().for_each(|done| self.report.add(done));
        for (due, error) in turns.failed {
            self.failed(client, &due, &error).await?;
        }
        Ok(())
    }

    /// Computes hours of one day, in halves where all of them together fail.
    async fn day(&mut self, client: &mut Client, day: Date, hours: Vec<Due>) -> Result<(), DatabaseError> {
        let mut parts = vec![hours];
        while let Some(mut part) = parts.pop() {
            part.retain(|due| !self.skipped.contains(&due.organization_id));
            if part.is_empty() || self.is_over() {
                continue;
            }
            let error = match batch::compute(client, self.now, day, &part, Source::Events).await {
                Ok(done) => {
                    done.iter().for_each(|done| self.report.add(done));
                    continue;
                }
                Err(error) => error,
            };
            match (Failure::of(&error), part.as_slice()) {
                (Failure::Lost, _) => return Err(error),
                (Failure::Contended, _) => {
                    let (_, reason) = failure::reason(&error);
                    warn!(hours = part.len(), reason, "hours left to the next refresh");
                    self.report.postponed += part.len() as u64;
                }
                (Failure::TimedOut, [due]) => self.large.push_back(due.clone()),
                (Failure::OfAnHour, [due]) => self.failed(client, due, &error).await?,
                (Failure::TimedOut | Failure::OfAnHour, _) => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
            }
        }
        Ok(())
    }

    async fn failed(&mut self, client: &Client, due: &Due, error: &DatabaseError) -> Result<(), DatabaseError> {
        trouble::record_failure(client, due, error, self.now).await?;
        self.report.failed += 1;
        let failures = self.failures.entry(due.organization_id).or_default();
        *failures += 1;
        if *failures == MAX_FAILURES {
            warn!(org_id = %due.organization_id, failures, "other hours of the organization left to the next refresh");
            self.skipped.insert(due.organization_id);
        }
        Ok(())
    }

    /// Reports whether the time is up.
    fn is_over(&mut self) -> bool {
        let is_over = Instant::now() > self.end;
        self.report.unfinished |= is_over;
        is_over
    }

    /// States that all organizations are up to date, where nothing was left.
    async fn close(&mut self, client: &Client) -> Result<(), DatabaseError> {
        let report = &self.report;
        if !report.unfinished && report.failed == 0 && report.postponed == 0 && self.skipped.is_empty() {
            let refreshed = "update usage_state set refreshed_at = greatest(refreshed_at, $1)";
            client.execute(refreshed, &[&At(self.now)]).await?;
        }
        Ok(())
    }
}

impl RefreshReport {
    fn add(&mut self, done: &Done) {
        self.batches += 1;
        self.hours += done.hours;
        self.days += done.days;
        self.rollups_written += done.rollups_written;
        self.kept += done.kept;
        self.too_old += done.too_old;
        self.before_cut_over += done.before_cut_over;
    }

    fn log(&self) {
        info!(
            batches = self.batches,
            hours = self.hours,
            days = self.days,
            rollups_written = self.rollups_written,
            kept = self.kept,
            too_old = self.too_old,
            before_cut_over = self.before_cut_over,
            failed = self.failed,
            postponed = self.postponed,
            oldest_wait_seconds = self.oldest_wait_seconds,
            read_only = self.read_only,
            unfinished = self.unfinished,
            "rollups refreshed"
        );
    }
}
