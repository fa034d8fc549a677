//! `GET …/exports/{jobId}/changes`: what changed between a file and another one, or the present figures.
//!
//! The files are read side by side, a line of each at a time, so that memory does not grow with them. An answer of the
//! function may have 6 MB and takes at most its time limit: what exceeds either is refused with the way that remains, and
//! nothing is left out without a word.

mod adjustment;
mod plan;
mod source;
mod view;

use std::{str::FromStr, sync::Arc, time::Duration};

use auth::Permission;
use axum::{
    Extension, Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use domain::{
    Job, JobId, ModelId, OrgId, Totals,
    changes::{Change, ChangeError, Counts, Figures, Key, Level, Merge, Step, Which},
    id::InvalidId,
};
use jiff::Timestamp;
use jobs::Counted;
use platform::{
    Deadline,
    cursor::{self, After, InvalidCursor},
};
use tokio::time::timeout;

use self::{
    adjustment::Csv,
    plan::{AskedLevel, Plan, Stored},
    source::Source,
    view::{ChangesView, Page},
};
use super::find;
use crate::{
    accept,
    context::Context,
    problem::{Kind, Problem, ProblemBody},
    query::Query,
    scope::OrgScope,
};

/// Maximum number of changes of a page. A change takes up to 700 bytes, and an answer of a function may have 6 MB.
const MAX_CHANGES: usize = 5000;
const DEFAULT_CHANGES: usize = 1000;

/// The way that remains for files that are too large here.
const BY_HAND: &str = "Ask with level=day for the changes of days and models, or download both files and run \
                       `analytics changes --old old.csv --new new.csv`.";

/// What a file is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    /// The present figures.
    Current,
    /// The file of another job.
    Job(JobId),
}

impl FromStr for Against {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == "current" { Ok(Self::Current) } else { text.parse().map(Self::Job) }
    }
}

impl std::fmt::Display for Against {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Job(job) => job.fmt(f),
        }
    }
}

/// A stored file or sums of days that are not what their job says.
#[derive(Debug, thiserror::Error)]
#[error("what is stored of job {0} is missing or has other figures than were written")]
struct NotIntact(JobId);

/// Returns what changed between the file of this job, the old one, and the file of another job or the present figures:
/// rows that were added, have vanished or have other figures, by bucket and model. Both files have the same range,
/// granularity and models. The totals of both are always stated.
///
/// With `Accept: text/csv` the answer is an adjustment: a file of the same seven columns with signed numbers. The old file
/// plus the adjustment, row by row, is the new file; a row of zeros is as no row. The adjustment of equal files is the
/// header alone. One of more than 5 MiB is refused.
///
/// When a file has expired, the sums of its days are still kept: the changes are then of days and models, or of days, and
/// `level` says so.
#[utoipa::path(
    get, path = "/orgs/{orgId}/exports/{jobId}/changes", tag = "exports", operation_id = "showChanges",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("jobId" = Uuid, Path, description = "The job of the old file"),
        (
            "against" = String, Query, pattern = "^(current|[0-9A-Fa-f-]{36})$", example = "current",
            description = "The job of the new file, or `current` for the present figures",
        ),
        (
            "level" = inline(Option<AskedLevel>), Query,
            description = "`row` for buckets and models, `day` for days and models; by default `row`, or `day` when a file \
                           has expired",
        ),
        (
            "limit" = Option<u16>, Query, minimum = 1, maximum = 5000,
            description = "Maximum number of changes in JSON; 1,000 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same parameters",
        ),
    ),
    responses(
        (
            status = 200, description = "The changes",
            content((ChangesView = "application/json"), (String = "text/csv")),
        ),
        (
            status = 404, description = "There is no such job, or it is not ready, failed or expired; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409,
            description = "The files cannot be compared, or the adjustment is too large; see `type` and `detail`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 429, description = "The organization's calls of this UTC day are used up; see `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn changes(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    headers: HeaderMap,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Response, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let id = scope.job()?;
    let is_csv = accept::prefers(&headers, "text/csv");
    let asked = read(query, is_csv)?;
    let now = Timestamp::now();
    let old = Stored::of(find(&context, org, id).await?, now)?;
    let new = match asked.against {
        Against::Current => None,
        Against::Job(other) => Some(Stored::of(find(&context, org, other).await?, now)?),
    };
    let plan = Plan::make(&old, new.as_ref(), asked.level, is_csv)?;
    let list = format!("changes {org} {id} {} {:?}", asked.against, plan.level);
    let after = asked.cursor.map(|text| place(&text, &list)).transpose()?;
    scope.count(Counted::Queries).await?;
    let work = async {
        if is_csv {
            return adjust(&context, &old, new.as_ref(), asked.against, &plan, deadline).await;
        }
        let mut page = Page { after, limit: asked.limit, items: Vec::new(), has_more: false };
        let (counts, sources) = compare(&context, &old, new.as_ref(), &plan, &mut page, deadline).await?;
        let view = ChangesView::new(&old.job, asked.against, now, &plan, counts, page, &sources, &list)?;
        Ok(Json(view).into_response())
    };
    timeout(deadline.left(), work).await.map_err(|_| too_large())?
}

/// The changes of a file up to the present figures.
#[derive(Debug)]
pub(crate) struct ToPresent {
    /// What the changes are of.
    pub(crate) level: Level,
    /// The first changes, in the order of the file.
    pub(crate) items: Vec<Change>,
    /// The number of all changes.
    pub(crate) count: u64,
    /// The sums of the present figures minus those of the file.
    pub(crate) difference: Totals,
    /// Limitations of the comparison.
    pub(crate) notes: Vec<String>,
}

/// Returns what changed between a file and the present figures, with at most `limit` changes, within `time`. It counts as
/// a call of its own.
///
/// # Errors
/// When the day's readings are used up, the file was never there, it cannot be compared in this time, or the database or the
/// store does not answer.
pub(crate) async fn to_present(
    context: &Context,
    scope: &OrgScope,
    job: Job,
    limit: usize,
    deadline: Deadline,
    time: Duration,
) -> Result<ToPresent, Problem> {
    let old = Stored::of(job, Timestamp::now())?;
    let plan = Plan::make(&old, None, None, false)?;
    scope.count(Counted::Queries).await?;
    let mut page = Page { after: None, limit, items: Vec::new(), has_more: false };
    let work = compare(context, &old, None, &plan, &mut page, deadline);
    let (counts, sources) = timeout(time, work).await.map_err(|_| too_large())??;
    let [of_old, of_new] = &sources.facts;
    let difference = of_new.totals.minus(of_old.totals).and_then(Figures::totals).map_err(Problem::inexact)?;
    let count = counts.added + counts.vanished + counts.changed;
    Ok(ToPresent { level: plan.level, items: page.items, count, difference, notes: plan.notes })
}

/// Returns the adjustment of a file to the present figures. It counts as a call of its own.
///
/// # Errors
/// As [`to_present`], and when the adjustment is too large for an answer.
pub(crate) async fn adjustment_to_present(
    context: &Context,
    scope: &OrgScope,
    job: Job,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let old = Stored::of(job, Timestamp::now())?;
    let plan = Plan::make(&old, None, None, true)?;
    scope.count(Counted::Queries).await?;
    let work = adjust(context, &old, None, Against::Current, &plan, deadline);
    timeout(deadline.left(), work).await.map_err(|_| too_large())?
}

async fn compare(
    context: &Context,
    old: &Stored,
    new: Option<&Stored>,
    plan: &Plan,
    page: &mut Page,
    deadline: Deadline,
) -> Result<(Counts, Sources), Problem> {
    let mut sources = Sources::open(context, old, new, plan, deadline).await?;
    let add = |change: &Change| {
        page.add(*change);
        Ok(())
    };
    let counts = merge(old.job.org(), plan.level, &mut sources, add).await?;
    sources.check(old, new, plan)?;
    Ok((counts, sources))
}

async fn adjust(
    context: &Context,
    old: &Stored,
    new: Option<&Stored>,
    against: Against,
    plan: &Plan,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let mut sources = Sources::open(context, old, new, plan, deadline).await?;
    let mut csv = Csv::new(old.job.org());
    merge(old.job.org(), plan.level, &mut sources, |change| csv.add(change)).await?;
    sources.check(old, new, plan)?;
    Ok(csv.answer(&old.job, against, plan.level))
}

fn too_large() -> Problem {
    let detail = format!("The files are too large to be compared in the time of an answer. {BY_HAND}");
    Problem::new(Kind::TookTooLong, detail)
}

/// What was asked for.
struct Asked {
    against: Against,
    level: Option<AskedLevel>,
    limit: usize,
    cursor: Option<String>,
}

fn read(mut query: Query, is_csv: bool) -> Result<Asked, Problem> {
    let against = query.required("against", "the UUID of a job, or current", str::parse);
    let level = query.optional("level");
    let limit = query.limit_up_to(MAX_CHANGES);
    let cursor: Option<String> = query.optional("cursor");
    if is_csv && (limit.is_some() || cursor.is_some()) {
        query
            .add(if limit.is_some() { "limit" } else { "cursor" }, "is not possible with text/csv, which is never cut");
    }
    query.finish(against.map(|against| Asked { against, level, limit: limit.unwrap_or(DEFAULT_CHANGES), cursor }))
}

/// Reads the place after which a page begins.
fn place(text: &str, list: &str) -> Result<Key, Problem> {
    let invalid = |error| Problem::invalid_field("/query/cursor", error);
    let After((bucket, model)): After<(i64, Option<ModelId>)> = cursor::decode(text, list).map_err(invalid)?;
    let bucket = Timestamp::from_microsecond(bucket).map_err(|_| invalid(InvalidCursor))?;
    Ok(Key { bucket, model })
}

/// The two sides, while they are read.
pub(in crate::exports) struct Sources {
    old: Source,
    new: Source,
    facts: [domain::changes::Facts; 2],
}

impl Sources {
    async fn open(
        context: &Context,
        old: &Stored,
        new: Option<&Stored>,
        plan: &Plan,
        deadline: Deadline,
    ) -> Result<Self, Problem> {
        let old_source = Source::stored(context, &old.job, plan.old).await?;
        let new = match new {
            Some(new) => Source::stored(context, &new.job, plan.new).await?,
            None => Source::current(context, &old.job, deadline).await?,
        };
        Ok(Self { old: old_source, new, facts: Default::default() })
    }

    /// Checks that what was read of stored files is what their jobs say.
    fn check(&self, old: &Stored, new: Option<&Stored>, plan: &Plan) -> Result<(), Problem> {
        let [of_old, of_new] = &self.facts;
        old.check(of_old, plan.old)?;
        new.map_or(Ok(()), |new| new.check(of_new, plan.new))
    }
}

/// Reads both sides to their ends and gives each change to `add`, in the order of the files.
async fn merge(
    org: OrgId,
    level: Level,
    sources: &mut Sources,
    mut add: impl FnMut(&Change) -> Result<(), Problem>,
) -> Result<Counts, Problem> {
    let mut merge = Merge::new(org, level);
    loop {
        match merge.step().map_err(unreadable)? {
            Step::Change(change) => add(&change)?,
            Step::Need(which) => {
                let source = match which {
                    Which::Old => &mut sources.old,
                    Which::New => &mut sources.new,
                };
                if !source.read(which, &mut merge).await? {
                    merge.end(which).map_err(unreadable)?;
                }
            }
            Step::Done => break,
        }
    }
    sources.facts = [merge.facts(Which::Old), merge.facts(Which::New)];
    Ok(merge.counts())
}

fn unreadable(error: ChangeError) -> Problem {
    match error {
        ChangeError::NotAFile { .. } => Problem::internal(error),
        ChangeError::Overflow(_) => Problem::inexact(error),
    }
}

/// Returns the problem of a job whose stored figures are not those that were written.
fn not_intact(job: &Job) -> Problem {
    Problem::internal(NotIntact(job.id()))
}
