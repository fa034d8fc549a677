//! `GET /ci/badge.svg`: whether a command became slower, as an image.
//!
//! Whoever may read CI telemetry may read it: an image in a README cannot send a token, so CI fetches it and publishes the
//! file, or does not.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, header},
    response::IntoResponse,
};
use changepoints::{Settings, State as Certainty};
use ci::{
    change::ToldChange,
    reports::{self, Filter, SeriesChanges},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use platform::Deadline;

use super::axis::{day_of, percent};
use crate::{context::Context, problem::Problem, query::Query, scope::CiReader, visible::visible};

/// Maximum number of environments that are considered.
const MAX_SERIES: usize = 100;
/// The time for which a change is shown that needs no attention.
const SHOWN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Maximum length of the command, in characters; the title has all of it.
const MAX_COMMAND: usize = 40;
/// The width of a character, and the space on either side of a text.
const CHARACTER: usize = 7;
const SPACE: usize = 6;

/// Returns whether a command became slower, as an SVG image without scripts whose text says the same: such as `12 % slower
/// since 2026-11-08`, `steady`, or `too few runs`. A confirmed slowdown that needs attention is always shown, other changes
/// for 30 days. Without `environment` the worst one counts.
#[utoipa::path(
    get, path = "/ci/badge.svg", tag = "ci", operation_id = "showBadge",
    params(
        ("service" = String, Query, min_length = 1, max_length = 1024, description = "The service"),
        ("command" = String, Query, min_length = 1, max_length = 1024, description = "The command"),
        (
            "environment" = Option<String>, Query, min_length = 1, max_length = 1024,
            description = "Only this environment",
        ),
    ),
    responses((status = 200, description = "The image", body = String, content_type = "image/svg+xml")),
    security(("bearer" = [])),
)]
pub(crate) async fn badge(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    mut query: Query,
) -> Result<impl IntoResponse, Problem> {
    let filter = query.names();
    let command = filter.command.clone().unwrap_or_default();
    let filter = query.finish(Some(filter))?;
    let client = context.database.client().await?;
    let page = reports::series_changes(&client, &filter, MAX_SERIES, None, deadline.left()).await?;
    let verdict = Verdict::of(&page.series, Timestamp::now());
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        // For a while, and in no cache that others use.
        (header::CACHE_CONTROL, "private, max-age=300"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    Ok((headers, visible(&image(&command, &verdict).into_string())))
}

impl Query {
    /// Reads the names of a badge: service, command and, if it is given, environment.
    fn names(&mut self) -> Filter {
        Filter {
            service: self.required("service", "the name of a service", super::filter::name),
            command: self.required("command", "a command", super::filter::name),
            environment: self.optional_with("environment", super::filter::name),
            from: None,
            to: None,
        }
    }
}

/// The text of a badge, which says all, and its colour, which repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    text: String,
    colour: &'static str,
}

/// Colours on which white text can be read: a contrast of 4.5 or more.
const RED: &str = "#b3261e";
const GREEN: &str = "#1b6e3a";
const GREY: &str = "#5f6368";

impl Verdict {
    fn of(series: &[SeriesChanges], now: Timestamp) -> Self {
        let say = |text: &str, colour| Self { text: text.to_owned(), colour };
        let least = u64::try_from(2 * Settings::default().side).unwrap_or(u64::MAX);
        let is_shown = |change: &&ToldChange| {
            let holds = !matches!(change.state, Certainty::Withdrawn(_)) && !change.is_over;
            holds && (change.needs_attention || now.duration_since(change.change.changed_at) <= SHOWN)
        };
        let shown: Vec<&ToldChange> = series.iter().flat_map(|one| &one.changes).filter(is_shown).collect();
        let by_size = |a: &&&ToldChange, b: &&&ToldChange| a.change.change_percent.total_cmp(&b.change.change_percent);
        let worst = shown
            .iter()
            .filter(|change| change.change.change_percent > 0.0)
            .max_by(|a, b| a.needs_attention.cmp(&b.needs_attention).then_with(|| by_size(a, b)));
        if let Some(worst) = worst {
            return Self::of_change(worst);
        }
        if series.is_empty() {
            say("no runs", GREY)
        } else if series.iter().all(|one| one.runs < least) {
            say("too few runs", GREY)
        } else if let Some(latest) = shown.iter().max_by_key(|change| change.change.changed_at) {
            Self::of_change(latest)
        } else {
            say("steady", GREEN)
        }
    }

    fn of_change(told: &ToldChange) -> Self {
        let change = percent(told.change.change_percent);
        let size = change.trim_start_matches(['+', '−']);
        let is_slower = told.change.change_percent > 0.0;
        let direction = if is_slower { "slower" } else { "faster" };
        let mut text = format!("{size} {direction} since {}", day_of(told.change.changed_at));
        if told.state == Certainty::Provisional {
            text.push_str(", provisional");
        }
        if told.low_confidence {
            text.push_str(", low confidence");
        }
        if told.acknowledgement.is_some() {
            text.push_str(", acknowledged");
        }
        let colour = match (is_slower, told.needs_attention) {
            (true, true) => RED,
            (true, false) => GREY,
            (false, _) => GREEN,
        };
        Self { text, colour }
    }
}

fn image(command: &str, Verdict { text, colour }: &Verdict) -> Markup {
    // Control characters have no place in XML, also as numbers.
    let plain: String = command.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect();
    let mut label: String = plain.chars().take(MAX_COMMAND).collect();
    if plain.chars().nth(MAX_COMMAND).is_some() {
        label.push('…');
    }
    let width = |text: &str| CHARACTER * text.chars().count() + 2 * SPACE;
    let (left, right) = (width(&label), width(text));
    let title = format!("{plain}: {text}");
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(left + right) height="20" role="img" aria-label=(title) {
            title { (title) }
            rect width=(left) height="20" fill="#3c4043" {}
            rect x=(left) width=(right) height="20" fill=(colour) {}
            g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11" aria-hidden="true" {
                text x=(SPACE) y="14" textLength=(left - 2 * SPACE) lengthAdjust="spacingAndGlyphs" { (label) }
                text x=(left + SPACE) y="14" textLength=(right - 2 * SPACE) lengthAdjust="spacingAndGlyphs" { (text) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use changepoints::Reason;
    use ci::{Regression, Series, change::Acknowledgement};
    use uuid::Uuid;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-27T00:00:00Z".parse().unwrap()
    }

    fn told(change_percent: f64, changed_at: &str, state: Certainty) -> ToldChange {
        ToldChange {
            id: Uuid::nil(),
            series: Series { service: "s".to_owned(), command: "c".to_owned(), environment: "e".to_owned() },
            change: Regression {
                changed_at: changed_at.parse().unwrap(),
                first_run_id: "run".to_owned(),
                first_commit_sha: "sha".to_owned(),
                before_median_seconds: 100.0,
                after_median_seconds: 130.0,
                change_percent,
                p_value: 0.001,
                possible_causes: Vec::new(),
            },
            state,
            low_confidence: false,
            told_at: now(),
            confirmed_at: None,
            withdrawn_at: None,
            is_over: false,
            needs_attention: change_percent > 0.0 && state == Certainty::Confirmed,
            acknowledgement: None,
        }
    }

    fn text(changes: &[ToldChange], runs: u64) -> String {
        let series = told(0.0, "2026-11-01T00:00:00Z", Certainty::Confirmed).series;
        let one = SeriesChanges { series, runs, changes: changes.to_vec(), is_unseen: false };
        Verdict::of(&[one], now()).text
    }

    #[test]
    fn a_badge_says_the_worst() {
        let slower = told(12.0, "2026-11-08T10:00:00Z", Certainty::Confirmed);
        assert_eq!(text(std::slice::from_ref(&slower), 60), "12.0 % slower since 2026-11-08");
        let worse = told(40.0, "2026-11-20T10:00:00Z", Certainty::Provisional);
        assert_eq!(
            text(&[slower.clone(), worse.clone()], 60),
            "12.0 % slower since 2026-11-08",
            "certain before large"
        );
        assert_eq!(text(std::slice::from_ref(&worse), 60), "40.0 % slower since 2026-11-20, provisional");
        let answer = Acknowledgement { version: 1, note: "ok".to_owned(), at: now(), by: Uuid::nil() };
        let answered = ToldChange { acknowledgement: Some(answer), needs_attention: false, ..slower.clone() };
        assert_eq!(text(std::slice::from_ref(&answered), 60), "12.0 % slower since 2026-11-08, acknowledged");
        let faster = told(-20.0, "2026-11-09T10:00:00Z", Certainty::Confirmed);
        assert_eq!(text(&[faster], 60), "20.0 % faster since 2026-11-09");
    }

    #[test]
    fn a_badge_shows_what_is_over_no_longer() {
        let at = "2026-11-08T10:00:00Z";
        let over = ToldChange { is_over: true, needs_attention: false, ..told(12.0, at, Certainty::Confirmed) };
        let withdrawn = told(12.0, at, Certainty::Withdrawn(Reason::Chance));
        let old = ToldChange { needs_attention: false, ..told(12.0, "2026-09-01T00:00:00Z", Certainty::Confirmed) };
        assert_eq!(text(&[over, withdrawn, old], 60), "steady");
        let unanswered = told(12.0, "2026-09-01T00:00:00Z", Certainty::Confirmed);
        assert_eq!(text(&[unanswered], 60), "12.0 % slower since 2026-09-01");
        assert_eq!((text(&[], 60), text(&[], 23)), ("steady".to_owned(), "too few runs".to_owned()));
        assert_eq!(Verdict::of(&[], now()).text, "no runs");
    }

    #[test]
    fn no_name_is_markup() {
        let verdict = Verdict { text: "steady".to_owned(), colour: GREEN };
        let image = image("<script>\u{1}\"'&</text>", &verdict).into_string();
        assert_eq!(image.matches("<text").count(), 2, "{image}");
        assert!(!image.contains("<script") && !image.contains('\u{1}') && !image.contains("\"'&<"), "{image}");
        assert!(image.contains("role=\"img\"") && image.contains("<title>"), "{image}");
    }
}
