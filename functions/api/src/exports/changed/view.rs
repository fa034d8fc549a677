//! The changes as JSON.

use domain::{
    Granularity, Job, JobId, ModelId, OrgId, TimeRange,
    changes::{Change, ChangeKind, Counts, Figures, Key, Level},
};
use jiff::Timestamp;
use manifest::{CompletenessView, TotalsView};
use platform::cursor;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Against, Sources, plan::Plan};
use crate::{instant::whole_second, problem::Problem};

/// The changes between two files of a request, or between a file and the present figures.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Changes)]
pub(crate) struct ChangesView {
    /// The organization.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// The job of the old file.
    #[schema(value_type = Uuid)]
    job_id: JobId,
    /// The job of the new file, or `current`.
    #[schema(example = "current")]
    against: String,
    /// The length of the buckets.
    granularity: Granularity,
    /// The range of the buckets.
    time_range: TimeRange,
    /// What the changes are of.
    level: LevelView,
    /// The time of the comparison.
    #[schema(value_type = String, format = DateTime)]
    compared_at: Timestamp,
    /// The sums of both files, and of all changes.
    totals: BothView,
    /// The numbers of rows, or of days and models.
    rows: RowsView,
    /// The changes, in the order of the files.
    items: Vec<ChangeView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// The completeness of the present figures; absent for two files.
    #[serde(skip_serializing_if = "Option::is_none")]
    completeness: Option<CompletenessView>,
    /// Limitations of the comparison.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    notes: Vec<String>,
}

/// What changes are of.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ChangesLevel)]
enum LevelView {
    /// Bucket and model: the rows of the files.
    Row,
    /// UTC day and model.
    DayModel,
    /// UTC day.
    Day,
}

/// Sums before and after.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedTotals)]
struct BothView {
    /// Those of the old file.
    old: TotalsView,
    /// Those of the new file.
    new: TotalsView,
    /// The new ones minus the old ones.
    difference: TotalsView,
}

/// Numbers of rows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedRows)]
struct RowsView {
    /// Those that only the new file has.
    added: u64,
    /// Those that only the old file has.
    vanished: u64,
    /// Those that both have with other figures.
    changed: u64,
    /// Those that both have with the same figures. A row of zeros is as no row.
    unchanged: u64,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ChangeKind)]
enum KindView {
    /// Only the new file has it.
    Added,
    /// Only the old file has it.
    Vanished,
    /// Both have it, with other figures.
    Changed,
}

/// A change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Change)]
struct ChangeView {
    /// The first instant of the bucket, or of the day.
    #[schema(value_type = String, format = DateTime)]
    bucket_start: Timestamp,
    /// The model; absent for usage without a model, and for all models of a day together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    model_id: Option<Uuid>,
    /// The kind.
    change: KindView,
    /// The figures of the old file; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<TotalsView>,
    /// The figures of the new file; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<TotalsView>,
    /// The new figures minus the old ones.
    difference: TotalsView,
}

/// A page of changes.
pub(super) struct Page {
    /// The place after which it begins.
    pub(super) after: Option<Key>,
    pub(super) limit: usize,
    pub(super) items: Vec<Change>,
    pub(super) has_more: bool,
}

impl Page {
    /// Adds a change, if it is of this page.
    pub(super) fn add(&mut self, change: Change) {
        if self.after.is_some_and(|after| change.key <= after) {
            return;
        }
        if self.items.len() < self.limit {
            self.items.push(change);
        } else {
            self.has_more = true;
        }
    }

    fn next(&self, list: &str) -> Option<String> {
        let Key { bucket, model } = self.items.last().filter(|_| self.has_more)?.key;
        let model: Option<ModelId> = model;
        Some(cursor::encode(&(bucket.as_microsecond(), model), list))
    }
}

impl ChangesView {
    #[expect(clippy::too_many_arguments, reason = "the parts of the answer")]
    pub(super) fn new(
        old: &Job,
        against: Against,
        now: Timestamp,
        plan: &Plan,
        counts: Counts,
        page: Page,
        sources: &Sources,
        list: &str,
    ) -> Result<Self, Problem> {
        let [of_old, of_new] = &sources.facts;
        let difference = of_new.totals.minus(of_old.totals).map_err(Problem::inexact)?;
        let completeness = sources.new.completeness();
        let mut notes = plan.notes.clone();
        notes.extend(completeness.iter().flat_map(|completeness| completeness.warnings()));
        let Counts { added, vanished, changed, unchanged } = counts;
        let next_cursor = page.next(list);
        let items: Result<Vec<ChangeView>, Problem> = page.items.into_iter().map(ChangeView::new).collect();
        Ok(Self {
            org_id: old.org(),
            job_id: old.id(),
            against: against.to_string(),
            granularity: old.request().granularity,
            time_range: old.request().range,
            level: plan.level.into(),
            compared_at: whole_second(now),
            totals: BothView {
                old: figures(of_old.totals)?,
                new: figures(of_new.totals)?,
                difference: figures(difference)?,
            },
            rows: RowsView { added, vanished, changed, unchanged },
            items: items?,
            next_cursor,
            completeness: completeness.map(CompletenessView::from),
            notes,
        })
    }
}

impl ChangeView {
    fn new(change: Change) -> Result<Self, Problem> {
        let Change { key, kind, old, new, difference } = change;
        Ok(Self {
            bucket_start: key.bucket,
            model_id: key.model.map(ModelId::uuid),
            change: kind.into(),
            old: if kind == ChangeKind::Added { None } else { Some(figures(old)?) },
            new: if kind == ChangeKind::Vanished { None } else { Some(figures(new)?) },
            difference: figures(difference)?,
        })
    }
}

fn figures(figures: Figures) -> Result<TotalsView, Problem> {
    figures.totals().map(TotalsView::from).map_err(Problem::inexact)
}

impl From<Level> for LevelView {
    fn from(level: Level) -> Self {
        match level {
            Level::Row => Self::Row,
            Level::DayAndModel => Self::DayModel,
            Level::Day => Self::Day,
        }
    }
}

impl From<ChangeKind> for KindView {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Added => Self::Added,
            ChangeKind::Vanished => Self::Vanished,
            ChangeKind::Changed => Self::Changed,
        }
    }
}
