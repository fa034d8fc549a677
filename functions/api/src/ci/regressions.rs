//! `GET /ci/regressions`: lasting changes of the durations of commands.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use changepoints::{Settings, State as Certainty};
use ci::{
    Series,
    change::ToldChange,
    reports::{self, Filter, SeriesCursor},
};
use platform::Deadline;
use postgres::Connection;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    markdown::markdown,
    regression_view::{InsufficientView, RegressionView},
    searching::{end_of_search, log},
};
use crate::{accept, context::Context, problem::Problem, query::Query, scope::CiReader};

/// The parameters with which changes are searched for anew.
const SEARCH: [&str; 4] = ["from", "to", "minPercent", "minSeconds"];

/// The changes of a page of series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegressionList {
    /// The changes, by service, command, environment and time.
    pub(super) items: Vec<RegressionView>,
    /// The series with too few successful runs for a verdict.
    pub(super) insufficient: Vec<InsufficientView>,
    /// `true` if the changes were searched for anew for this answer, `false` if they are those that were told.
    pub(super) searched: bool,
    /// The number of series of the page with runs that were not looked at yet: the next pass, within minutes, may tell
    /// other changes of them. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<usize>,
    /// The number of series of the page.
    pub(super) series: usize,
    /// The cursor of the next page of series; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// Lists the changes in the duration of successful runs, for each service, command and environment, that were told: those
/// of the median by at least 5 % and 2 seconds for which a permutation test rejects chance (p ≤ 0.001), and large ones of
/// the last runs, which are provisional. They are kept with their ids and states, by a pass every five minutes over the
/// latest 1,000 successful runs of each series with new ones.
///
/// With `from`, `to`, `minPercent` or `minSeconds` the changes are searched for anew in these runs, and `searched` is
/// `true`; those that were told have their id and state besides. A page may then cover fewer series than `limit`: the
/// server searches for at most two seconds.
///
/// With `Accept: text/markdown` the answer is a summary of the page for a comment, the worst changes first.
#[utoipa::path(
    get, path = "/ci/regressions", tag = "ci", operation_id = "listRegressions",
    params(
        Filter,
        (
            "minPercent" = Option<f64>, Query, minimum = 0.01, maximum = 1000,
            description = "Minimum change of the median, in percent; 5 by default",
        ),
        (
            "minSeconds" = Option<f64>, Query, minimum = 0.01, maximum = 86400,
            description = "Minimum change of the median, in seconds; 2 by default",
        ),
        (
            "state" = inline(Option<StateFilter>), Query,
            description = "Only changes of this state; provisional and confirmed ones by default. Not with a search",
        ),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of series; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page, with the same filters",
        ),
    ),
    responses((
        status = 200, description = "A page of the changes",
        content((RegressionList = "application/json"), (String = "text/markdown")),
    )),
    security(("bearer" = [])),
)]
pub(crate) async fn regressions(
    State(context): State<Arc<Context>>,
    _: CiReader,
    headers: HeaderMap,
    Extension(deadline): Extension<Deadline>,
    query: Query,
) -> Result<Response, Problem> {
    let question = read(query)?;
    let client = context.database.client().await?;
    let list = match question.kind {
        Asked::Told(state) => told(&client, &question, state, deadline).await?,
        Asked::Search(settings) => search(&context, &client, &question, &settings, deadline).await?,
    };
    let vary = (header::VARY, "Accept");
    if accept::prefers(&headers, "text/markdown") {
        let kind = (header::CONTENT_TYPE, "text/markdown; charset=utf-8");
        return Ok(([vary, kind], markdown(&list)).into_response());
    }
    Ok(([vary], Json(list)).into_response())
}

/// Lists the changes that were told.
async fn told(
    client: &Connection,
    question: &Question,
    state: Option<StateFilter>,
    deadline: Deadline,
) -> Result<RegressionList, Problem> {
    let Question { filter, limit, after, .. } = question;
    let page = reports::series_changes(client, filter, *limit, after.clone(), deadline.left()).await?;
    let waiting = page.series.iter().filter(|series| series.is_unseen).count();
    let mut list = RegressionList::new(false, page.series.len());
    list.waiting = Some(waiting).filter(|waiting| *waiting > 0);
    list.next_cursor = page.next;
    let least = 2 * Settings::default().side;
    for series in page.series {
        if usize::try_from(series.runs).is_ok_and(|runs| runs < least) {
            list.insufficient.push(InsufficientView::new(&series.series, usize::try_from(series.runs).unwrap_or(0)));
        }
        let changes = series.changes.into_iter().filter(|change| StateFilter::admits(state, change.state));
        list.items.extend(changes.map(RegressionView::told));
    }
    Ok(list)
}

/// Searches for changes, and names those that were told.
async fn search(
    context: &Context,
    client: &Connection,
    question: &Question,
    settings: &Settings,
    deadline: Deadline,
) -> Result<RegressionList, Problem> {
    let Question { filter, limit, after, .. } = question;
    let page = reports::series(client, filter, *limit, after.clone(), deadline.left()).await?;
    let names: Vec<Series> = page.series.iter().map(|series| series.series.clone()).collect();
    let mut told = reports::changes_of(client, &names, deadline.left()).await?;
    let mut list = RegressionList::new(true, 0);
    let mut search = context.searches.begin();
    let end = end_of_search(deadline);
    for (at, series) in page.series.iter().enumerate() {
        list.series += 1;
        match search.find(&series.runs, &series.neighbours, settings) {
            Ok(found) => {
                let mut told = by_run(told.remove(&series.series).unwrap_or_default());
                let items = found.into_iter().map(|change| {
                    let told = told.remove(&change.first_run_id);
                    RegressionView::new(&series.series, change).with(told)
                });
                list.items.extend(items);
            }
            Err(few) => list.insufficient.push(InsufficientView::new(&series.series, few.runs)),
        }
        let last = at + 1 == page.series.len();
        if last && page.more || !last && Instant::now() > end {
            list.next_cursor = Some(page.cursor_after(&series.series));
            break;
        }
    }
    log(&search);
    Ok(list)
}

/// Returns changes by their first run. Of several at one run, that which holds counts, then the latest.
fn by_run(mut told: Vec<ToldChange>) -> BTreeMap<String, ToldChange> {
    told.sort_by_key(|change| (!matches!(change.state, Certainty::Withdrawn(_)), change.told_at));
    told.into_iter().map(|change| (change.change.first_run_id.clone(), change)).collect()
}

struct Question {
    filter: Filter,
    kind: Asked,
    limit: usize,
    after: Option<SeriesCursor>,
}

/// What a request asks for.
enum Asked {
    /// The changes that were told, of these states.
    Told(Option<StateFilter>),
    /// The changes by these thresholds.
    Search(Settings),
}

/// The states of changes that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum StateFilter {
    Provisional,
    Confirmed,
    Withdrawn,
    All,
}

impl StateFilter {
    /// Reports whether changes of a state are asked for. By default these are the ones that hold.
    fn admits(asked: Option<Self>, state: Certainty) -> bool {
        match asked {
            None => !matches!(state, Certainty::Withdrawn(_)),
            Some(Self::Provisional) => state == Certainty::Provisional,
            Some(Self::Confirmed) => state == Certainty::Confirmed,
            Some(Self::Withdrawn) => matches!(state, Certainty::Withdrawn(_)),
            Some(Self::All) => true,
        }
    }
}

impl FromStr for StateFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "provisional" => Ok(Self::Provisional),
            "confirmed" => Ok(Self::Confirmed),
            "withdrawn" => Ok(Self::Withdrawn),
            "all" => Ok(Self::All),
            _ => Err("must be one of: provisional, confirmed, withdrawn, all"),
        }
    }
}

fn read(mut query: Query) -> Result<Question, Problem> {
    let is_search = query.has_any(&SEARCH);
    let filter = query.filter();
    let settings = query.settings();
    let has_state = query.has_any(&["state"]);
    let state = query.optional("state");
    if is_search && has_state {
        query.add("state", format!("is for changes that were told: leave it out, or leave out {}", SEARCH.join(", ")));
    }
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| reports::series_cursor(text, &filter));
    let kind = if is_search { Asked::Search(settings) } else { Asked::Told(state) };
    query.finish(Some(Question { filter, kind, limit, after }))
}

impl RegressionList {
    const fn new(searched: bool, series: usize) -> Self {
        Self { items: Vec::new(), insufficient: Vec::new(), searched, waiting: None, series, next_cursor: None }
    }
}
