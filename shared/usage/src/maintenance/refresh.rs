//! Rollups from raw events: every hour that received events is recomputed as a whole, and each day from its hours.
//!
//! The table `usage_dirty_hours` lists these hours, in rows that the writers' own transactions added. A batch takes
//! some of the rows, writes their rollups, and commits both together, so an hour stays dirty until its rollups are
//! correct. The events of a transaction that is still open make their hour dirty when it commits.
//!
//! A run computes the hours that were due when it began, each once, with the organizations in turn. An hour that cannot
//! be computed does not affect the others.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::{Timestamp, civil::Date};
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::warn;
use uuid::Uuid;

use super::{
    batch::{self, Done, Source},
    failure::{self, Failure},
    queue::{self, Due, Picture},
    rollup, slices, trouble, watermark,
};
use crate::at::At;
use postgres::DatabaseError;

/// Maximum number of hours in one batch: few enough for a batch to take a second, and enough that a day is not computed
/// once for each of its hours.
const MAX_BATCH: usize = 2048;
/// Number of hours in the first batch. It is small, so that slow hours are noticed early.
const FIRST_BATCH: usize = 64;
/// Target time of a batch. A slower one is followed by a smaller one.
const BATCH_TIME: Duration = Duration::from_secs(2);
/// The part of the run's time that one statement may take. A batch that needs more is retried in smaller ones.
const STATEMENT_PART: u32 = 8;
/// Maximum number of failed hours of one organization in a run. Its other hours then wait for the next run.
const MAX_FAILURES: u32 = 8;

/// The counts of a refresh.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshReport {
    /// Transactions that wrote rollups.
    pub batches: u64,
    /// Hours of organizations that were computed.
    pub hours: u64,
    /// Days of organizations that were computed.
    pub days: u64,
    /// Rollups that were written, without those that were already correct.
    pub rollups_written: u64,
    /// Hours and days left as they are, since their rollups count more than the raw events or were computed
    /// elsewhere.
    pub kept: u64,
    /// Hours skipped, since their rollups or raw events are dropped.
    pub too_old: u64,
    /// Hours skipped, since they are before their organization's cut-over.
    pub before_cut_over: u64,
    /// Hours that could not be computed. They are retried at growing intervals.
    pub failed: u64,
    /// Hours left to the next refresh, since another session conflicted or their organization failed too often.
    pub postponed: u64,
    /// Hours with events that are in no rollup at the end of the run.
    pub dirty_hours: u64,
    /// The seconds for which the oldest of these events has waited at the end of the run.
    pub oldest_wait_seconds: u64,
    /// `true` if a rollup table accepts no rows. Then nothing was done.
    pub read_only: bool,
    /// `true` if the time limit was reached first. The next refresh continues.
    pub unfinished: bool,
}

/// A refresh in progress.
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

/// Computes the hours that are due, or as many as `time` allows. `now` is recorded as the time of the refresh.
///
/// # Errors
/// When the database fails. Committed batches remain.
pub async fn refresh(client: &mut Client, now: Timestamp, time: Duration) -> Result<RefreshReport, DatabaseError> {
    let start = Instant::now();
    let mut run = Run {
        now,
        end: start + time,
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
    let left = queue::left(client, now.saturating_add(start.elapsed()).unwrap_or(now)).await?;
    run.report.dirty_hours = left.hours;
    run.report.oldest_wait_seconds = left.oldest_wait_seconds;
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
        // Last, since their steps use all the time that is left.
        let large = std::mem::take(&mut self.large);
        let turns = slices::in_turns(client, large, self.now, self.end).await?;
        self.report.unfinished |= turns.is_unfinished;
        turns.done.iter().for_each(|done| self.report.add(done));
        for (due, error) in turns.failed {
            self.failed(client, &due, &error).await?;
        }
        Ok(())
    }

    /// Computes hours of one day, and splits them in halves if they fail together.
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

    /// Reports whether the time limit is reached, and records it.
    fn is_over(&mut self) -> bool {
        let is_over = Instant::now() > self.end;
        self.report.unfinished |= is_over;
        is_over
    }

    /// Records that all organizations are up to date if no hour was left.
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
}
