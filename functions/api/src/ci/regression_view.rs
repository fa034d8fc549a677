//! A change of a duration in answers.

use ci::{Regression, Series, change::ToldChange};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::changes::{AcknowledgementView, ReasonView, StateView, link};
use crate::instant::whole_second;

/// A lasting change of the duration of a command.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Regression)]
pub(crate) struct RegressionView {
    /// The service.
    pub(super) service: String,
    /// The command.
    pub(super) command: String,
    /// The environment.
    pub(super) environment: String,
    /// The start of the first run after the change.
    #[schema(value_type = String, format = DateTime)]
    pub(super) changed_at: Timestamp,
    /// The first run after the change.
    first_run_id: String,
    /// The commit of that run.
    pub(super) first_commit_sha: String,
    /// The median duration between the previous change and this one.
    pub(super) before_median_seconds: f64,
    /// The median duration between this change and the next one.
    pub(super) after_median_seconds: f64,
    /// The change of the median, in percent; positive is slower.
    pub(super) change_percent: f64,
    /// The probability of a change as clear as this one by chance, by a permutation test; at least 0.001 of a confirmed
    /// one.
    p_value: f64,
    /// Other explanations: another version of the collector, or the start or end of runs in another environment, at the
    /// same point; or `noise is correlated: low confidence`, where neighbouring runs are alike all over the series, so
    /// that waves of it look like changes.
    pub(super) possible_causes: Vec<String>,
    /// The id of the change, which it keeps; absent if it was found by this search and was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Uuid>,
    /// The certainty; absent if it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<StateView>,
    /// Why it was withdrawn; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReasonView>,
    /// The time at which it was first told; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    first_told_at: Option<Timestamp>,
    /// The time since which it is confirmed, or was before it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    confirmed_at: Option<Timestamp>,
    /// The time since which it is withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    withdrawn_at: Option<Timestamp>,
    /// `true` if it is a confirmed slowdown that nobody has acknowledged and no later change has taken back: an alarm goes
    /// on until then. Absent if it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) needs_attention: Option<bool>,
    /// What a person answered to it; absent if nobody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acknowledgement: Option<AcknowledgementView>,
    /// The address of the change on the host of this document; absent if it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// A series too short for a verdict.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InsufficientSeries)]
pub(super) struct InsufficientView {
    /// The service.
    pub(super) service: String,
    /// The command.
    pub(super) command: String,
    /// The environment.
    pub(super) environment: String,
    /// The number of successful runs: fewer than 24, which are 12 on either side of a change.
    pub(super) runs: usize,
}

impl RegressionView {
    pub(super) fn new(series: &Series, change: Regression) -> Self {
        let Series { service, command, environment } = series.clone();
        Self {
            service,
            command,
            environment,
            changed_at: whole_second(change.changed_at),
            first_run_id: change.first_run_id,
            first_commit_sha: change.first_commit_sha,
            before_median_seconds: change.before_median_seconds,
            after_median_seconds: change.after_median_seconds,
            change_percent: change.change_percent,
            p_value: change.p_value,
            possible_causes: change.possible_causes,
            id: None,
            state: None,
            reason: None,
            first_told_at: None,
            confirmed_at: None,
            withdrawn_at: None,
            needs_attention: None,
            acknowledgement: None,
            link: None,
        }
    }

    /// Creates the view of a change that was told.
    pub(super) fn told(told: ToldChange) -> Self {
        Self::new(&told.series.clone(), told.change.clone()).with(Some(told))
    }

    /// Adds what is kept of the change, if it was told.
    pub(super) fn with(self, told: Option<ToldChange>) -> Self {
        let Some(told) = told else { return self };
        let (state, reason) = StateView::of(told.state);
        Self {
            id: Some(told.id),
            state: Some(state),
            reason,
            first_told_at: Some(whole_second(told.told_at)),
            confirmed_at: told.confirmed_at.map(whole_second),
            withdrawn_at: told.withdrawn_at.map(whole_second),
            needs_attention: Some(told.needs_attention),
            acknowledgement: told.acknowledgement.map(AcknowledgementView::from),
            link: Some(link(told.id)),
            ..self
        }
    }
}

impl InsufficientView {
    pub(super) fn new(series: &Series, runs: usize) -> Self {
        let Series { service, command, environment } = series.clone();
        Self { service, command, environment, runs }
    }
}
