//! The completeness of a range's rollups: the watermark, the waiting hours, and the failed ones with their reasons.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::{Source, UsageError, at::At, attached::check_attached};
use domain::{
    Granularity, OrgId, TimeRange,
    completeness::{MAX_LISTED_HOURS, Reason, ReasonCode},
};
use postgres::{DatabaseError, tables};

/// A bucket whose rollups are not what its raw events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// `true` for a day, `false` for an hour.
    pub is_day: bool,
    /// The first instant of the bucket.
    pub bucket_start: Timestamp,
    /// The kind.
    pub kind: TroubleKind,
    /// A sentence for operators, without values of rows.
    pub reason: String,
    /// The number of times it was found so.
    pub attempts: u32,
    /// The raw events that are in no rollup, where they are counted.
    pub events: Option<u64>,
}

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// The events could not be summed, or the rollup table refuses the sums. It is retried.
    Failed,
    /// The rollups were made elsewhere, differ from the raw events, and are kept.
    Adopted,
    /// The rollups count more requests than there are raw events, and are kept.
    FewerEvents,
    /// Events arrived for a bucket before the organization's cut-over.
    BeforeCutOver,
    /// The raw events were dropped before they could be summed.
    Abandoned,
}

impl Completeness {
    /// Returns the completeness of figures that were read in the same snapshot. `has_rows` states whether the range has
    /// any.
    pub fn of_figures(&self, has_rows: bool) -> domain::Completeness {
        domain::Completeness {
            watermark: self.watermark,
            waiting_hours: self.waiting.iter().copied().take(MAX_LISTED_HOURS).collect(),
            reasons: self.reasons(has_rows),
            refused_events: self.refused_dropped + self.refused_future,
            changed_at: self.changed_at,
        }
    }

    fn reasons(&self, has_rows: bool) -> Vec<Reason> {
        let of_kind = |code, kinds: &'static [TroubleKind]| {
            let starts = self.troubles.iter().filter(move |trouble| kinds.contains(&trouble.kind));
            Reason::of_buckets(code, starts.map(|trouble| trouble.bucket_start))
        };
        // Without a row, there may be no usage at all, of any pipeline.
        let is_counted_elsewhere = self.own_pipeline && (has_rows || self.complete_from.is_some());
        let lag = match self.watermark {
            _ if is_counted_elsewhere => Some(ReasonCode::CountedElsewhere),
            None => Some(ReasonCode::NotRefreshed),
            Some(_) if !self.is_reached && !self.reaches_into_running_bucket => Some(ReasonCode::AfterWatermark),
            Some(_) => None,
        };
        let not_over = self.reaches_into_running_bucket.then_some(ReasonCode::RangeNotOver);
        let of_range = [not_over, lag].into_iter().flatten().map(Reason::of_range);
        let of_buckets = [
            Reason::of_buckets(ReasonCode::HoursWaiting, self.waiting.iter().copied()),
            of_kind(ReasonCode::HoursFailed, &[TroubleKind::Failed]),
            of_kind(ReasonCode::RollupsDiffer, &[TroubleKind::Adopted, TroubleKind::FewerEvents]),
            of_kind(ReasonCode::BeforeCutOver, &[TroubleKind::BeforeCutOver]),
            of_kind(ReasonCode::EventsDropped, &[TroubleKind::Abandoned]),
        ];
        of_range.chain(of_buckets.into_iter().flatten()).collect()
    }
}

impl TroubleKind {
    /// Returns the name, as the table has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Adopted => "adopted",
            Self::FewerEvents => "fewer_events",
            Self::BeforeCutOver => "before_cut_over",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The completeness of a range's rollups, read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// All events of the range that were received before are in the rollups. `None` before the first refresh.
    pub watermark: Option<Timestamp>,
    /// `true` if the watermark is at or after the end of the range.
    pub is_reached: bool,
    /// Hours of the range with events that are not in the rollups yet.
    pub waiting: Vec<Timestamp>,
    /// The time at which the oldest of these events was received.
    pub oldest_wait: Option<Timestamp>,
    /// Buckets of the range whose rollups are not what their raw events say.
    pub troubles: Vec<Trouble>,
    /// Events of the range that arrived after their day was dropped.
    pub refused_dropped: u64,
    /// Events of the range that arrived more than a day before their own time.
    pub refused_future: u64,
    /// `true` if all of the range, or all of the organization's usage, was counted elsewhere.
    pub own_pipeline: bool,
    /// `true` if the range reaches into the bucket that is running, or into the future.
    pub reaches_into_running_bucket: bool,
    /// The organization's cut-over, from which its raw events are complete, if one is set.
    pub complete_from: Option<Timestamp>,
    /// The time of the last change of a rollup of the range, to the microsecond, as [`changed_since`] expects it.
    pub changed_at: Option<Timestamp>,
}

/// Returns the completeness of a range's rollups, by the buckets of a granularity.
///
/// Inside a transaction with a snapshot, such as an export's, it reads that snapshot. `now` decides whether the range
/// is over.
///
/// # Errors
/// When partitions of the range are detached, the database does not answer, or it holds a trouble of a kind that this
/// version does not know.
pub async fn completeness(
    client: &Client,
    org: OrgId,
    range: TimeRange,
    granularity: Granularity,
    now: Timestamp,
) -> Result<Completeness, UsageError> {
    let (lower, upper) = buckets(range, granularity);
    check_attached(client, tables::rollups(granularity), lower, upper).await?;
    let query = "select watermark, complete_from, is_rolled_up, waiting, oldest_wait, troubles::text, refused_dropped,
                        refused_future, changed_at
                 from usage_completeness($1, $2, $3)";
    let row = client.query_one(query, &[&org.uuid(), &At(lower), &At(upper)]).await?;
    let instant = |index: usize| row.try_get::<_, Option<At>>(index).map(|at| at.map(|At(at)| at));
    let watermark = instant(0)?;
    let complete_from = instant(1)?;
    let waiting: Vec<At> = row.try_get(3)?;
    let troubles = read_troubles(row.try_get(5)?)?;
    let is_rolled_up: bool = row.try_get(2)?;
    let own_pipeline =
        (!is_rolled_up && waiting.is_empty()) || complete_from.is_some_and(|complete_from| upper <= complete_from);
    let reaches_into_running_bucket = upper > now;
    let is_reached = watermark.is_some_and(|watermark| watermark >= upper);
    Ok(Completeness {
        watermark,
        is_reached,
        waiting: waiting.into_iter().map(|At(hour)| hour).collect(),
        oldest_wait: instant(4)?,
        troubles,
        refused_dropped: row.try_get::<_, i64>(6)?.unsigned_abs(),
        refused_future: row.try_get::<_, i64>(7)?.unsigned_abs(),
        own_pipeline,
        reaches_into_running_bucket,
        complete_from,
        changed_at: instant(8)?,
    })
}

/// The figures of a file, as they were when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// The range of the file.
    pub range: TimeRange,
    /// The length of its buckets.
    pub granularity: Granularity,
    /// The file's [`Completeness::changed_at`]; `None` is before all changes.
    pub changed_at: Option<Timestamp>,
}

/// Reports for each of some files of an organization whether a rollup of its range changed after it was made.
///
/// It reads one row per day of a range and no events. Refreshes write one after the other, so a change that an earlier
/// snapshot lacks is later than all changes in it.
///
/// # Errors
/// When the database does not answer.
pub async fn changed_since(client: &Client, org: OrgId, files: &[Figures]) -> Result<Vec<bool>, DatabaseError> {
    let query = "select exists (
                     select from usage_days
                     where organization_id = $1 and day >= date_trunc('day', lower, 'UTC') and day < upper
                       and changed_at > coalesce(at, '-infinity')
                 )
                 from unnest($2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) with ordinality
                     as file (lower, upper, at, place)
                 order by place";
    let (lower, upper): (Vec<At>, Vec<At>) = files
        .iter()
        .map(|file| buckets(file.range, file.granularity))
        .map(|(lower, upper)| (At(lower), At(upper)))
        .unzip();
    let at: Vec<Option<At>> = files.iter().map(|file| file.changed_at.map(At)).collect();
    let rows = client.query(query, &[&org.uuid(), &lower, &upper, &at]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Returns the first instant of the first bucket, and the first instant after the last. A bucket belongs to the range
/// that contains its start.
pub(crate) fn buckets(range: TimeRange, granularity: Granularity) -> (Timestamp, Timestamp) {
    let Source { seconds, .. } = Source::of(granularity);
    let bucket_from = |at: Timestamp| {
        let past = at.as_second().rem_euclid(seconds);
        let ahead = if past == 0 { 0 } else { seconds - past };
        at.checked_add(SignedDuration::from_secs(ahead)).unwrap_or(at)
    };
    (bucket_from(range.start()), bucket_from(range.end()))
}

/// A trouble as the database function returns it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    bucket: Bucket,
    bucket_start: i64,
    kind: TroubleKind,
    reason: String,
    attempts: u32,
    events: Option<u64>,
}

#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bucket {
    Hour,
    Day,
}

fn read_troubles(json: &str) -> Result<Vec<Trouble>, UsageError> {
    let stated: Vec<Stated> = serde_json::from_str(json)?;
    let trouble = |stated: Stated| {
        Ok(Trouble {
            is_day: stated.bucket == Bucket::Day,
            bucket_start: Timestamp::from_second(stated.bucket_start)
                .map_err(|_| UsageError::Inexact { column: "bucket_start" })?,
            kind: stated.kind,
            reason: stated.reason,
            attempts: stated.attempts,
            events: stated.events,
        })
    };
    stated.into_iter().map(trouble).collect()
}
