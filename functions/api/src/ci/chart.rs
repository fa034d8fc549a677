//! The chart of a series: every run, the medians, the changes, and the success rate of each day.
//!
//! Own code: an SVG of five kinds of elements is shorter than the use of a plotting crate, and far smaller in the
//! binary.

#![allow(clippy::float_arithmetic, reason = "durations and places in a picture, no money")]

use changepoints::median;
use ci::{Regression, SeriesRun, reports::Trend};
use domain::instant::start_of_day;
use jiff::{Timestamp, civil};
use maud::{Markup, html};

/// The size of the chart, in pixels at full width. It is narrow, so that its text is readable on a phone.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 222.0;
/// The area of the durations.
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 150.0;
/// The area of the success rates.
const DAYS_TOP: f64 = 166.0;
const DAYS_BOTTOM: f64 = 192.0;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// The chart of a series.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    /// An id that is unique on the page.
    pub(super) id: String,
    /// The name of the series.
    pub(super) name: String,
    /// The successful runs, oldest first.
    pub(super) runs: &'a [SeriesRun],
    pub(super) changes: &'a [Regression],
    pub(super) days: &'a [Trend],
    pub(super) frame: Frame,
}

/// The time range of all charts of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    start: f64,
    end: f64,
}

impl Frame {
    /// Creates the range from the first day to the last, both complete.
    pub(super) fn around<'a>(days: impl Iterator<Item = &'a Trend>) -> Self {
        let starts: Vec<f64> = days.filter_map(|day| day_start(&day.day)).collect();
        let first = starts.iter().copied().reduce(f64::min).unwrap_or_default();
        let last = starts.iter().copied().reduce(f64::max).unwrap_or_default();
        Self { start: first, end: last + SECONDS_PER_DAY }
    }

    fn x(self, time: f64) -> f64 {
        let share = ((time - self.start) / (self.end - self.start)).clamp(0.0, 1.0);
        LEFT + share * (RIGHT - LEFT)
    }
}

impl Chart<'_> {
    pub(super) fn draw(&self) -> Markup {
        let title = format!("{}-title", self.id);
        let about = format!("{}-about", self.id);
        let scale = self.scale();
        html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby={ (title) " " (about) } {
                title id=(title) { "Durations of " (self.name) }
                desc id=(about) { (self.in_words()) }
                text.label x=(px(LEFT - 6.0)) y=(px(TOP - 12.0)) text-anchor="end" { "duration" }
                @for share in [0.0, 0.5, 1.0] {
                    @let y = px(BOTTOM - share * (BOTTOM - TOP));
                    line.grid x1=(px(LEFT)) x2=(px(RIGHT)) y1=(y) y2=(y) {}
                    text.label x=(px(LEFT - 6.0)) y=(y) dy="4" text-anchor="end" { (short(share * scale, scale)) }
                }
                path.run d=(self.dots(scale, |duration| duration <= scale)) {}
                path.beyond d=(self.dots(scale, |duration| duration > scale)) {}
                @for (from, to, median) in self.medians() {
                    line.median x1=(px(from)) x2=(px(to)) y1=(px(y(median, scale))) y2=(px(y(median, scale))) {}
                }
                @for change in self.changes {
                    @let x = self.frame.x(seconds(change.changed_at));
                    @let is_slower = change.change_percent > 0.0;
                    @let label_x = px(x.clamp(LEFT + 20.0, RIGHT - 20.0));
                    line.change.slower[is_slower] x1=(px(x)) x2=(px(x)) y1=(px(TOP - 4.0)) y2=(px(BOTTOM)) {}
                    text.change.slower[is_slower] x=(label_x) y=(px(TOP - 8.0)) text-anchor="middle" {
                        (percent(change.change_percent))
                    }
                }
                @let days_y = px(f64::midpoint(DAYS_TOP, DAYS_BOTTOM));
                text.label x=(px(LEFT - 6.0)) y=(days_y) dy="4" text-anchor="end" { "success" }
                @for day in self.days {
                    (self.day(day))
                }
                @let axis_y = px(HEIGHT - 10.0);
                @let middle = px(f64::midpoint(LEFT, RIGHT));
                text.label x=(px(LEFT)) y=(axis_y) { (date(self.frame.start)) }
                text.label x=(middle) y=(axis_y) text-anchor="middle" { "day of the run’s start" }
                text.label x=(px(RIGHT)) y=(axis_y) text-anchor="end" { (date(self.frame.end - SECONDS_PER_DAY)) }
            }
        }
    }

    /// Returns the maximum of the duration axis. A run that hung must not flatten all others: it is drawn at the top.
    fn scale(&self) -> f64 {
        let mut sorted: Vec<f64> = self.runs.iter().map(|run| run.duration_seconds).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let usual = sorted.get(sorted.len() * 95 / 100).copied().unwrap_or_default();
        let highest = self.changes.iter().map(|change| change.before_median_seconds.max(change.after_median_seconds));
        round_up(1.25 * highest.fold(usual, f64::max))
    }

    /// Draws some of the runs, each as a dot: a line of length zero with a round end.
    fn dots(&self, scale: f64, wanted: impl Fn(f64) -> bool) -> String {
        let runs = self.runs.iter().filter(|run| wanted(run.duration_seconds));
        let dot = |run: &SeriesRun| {
            format!("M{} {}h0", px(self.frame.x(seconds(run.started_at))), px(y(run.duration_seconds, scale)))
        };
        runs.map(dot).collect()
    }

    /// Returns the start, the end and the height of the line of each median.
    fn medians(&self) -> Vec<(f64, f64, f64)> {
        let x = |run: Option<&SeriesRun>| run.map_or(LEFT, |run| self.frame.x(seconds(run.started_at)));
        let first = x(self.runs.first());
        let last = x(self.runs.last());
        let Some(change) = self.changes.first() else {
            let durations: Vec<f64> = self.runs.iter().map(|run| run.duration_seconds).collect();
            return if durations.is_empty() { Vec::new() } else { vec![(first, last, median(&durations))] };
        };
        let bounds: Vec<f64> = self.changes.iter().map(|change| self.frame.x(seconds(change.changed_at))).collect();
        let ends = bounds.iter().skip(1).copied().chain([last]);
        let after = self.changes.iter().zip(&bounds).zip(ends);
        let after = after.map(|((change, from), to)| (*from, to, change.after_median_seconds));
        std::iter::once((first, bounds[0], change.before_median_seconds)).chain(after).collect()
    }

    /// Draws the share of a day's failed runs above that of its successful ones.
    fn day(&self, day: &Trend) -> Markup {
        let (Some(start), Some(rate)) = (day_start(&day.day), day.success_rate) else { return html! {} };
        let x = self.frame.x(start);
        let width = (self.frame.x(start + SECONDS_PER_DAY) - x).max(1.0);
        let border = DAYS_BOTTOM - rate * (DAYS_BOTTOM - DAYS_TOP);
        html! {
            @for (name, top, bottom) in [("failed", DAYS_TOP, border), ("succeeded", border, DAYS_BOTTOM)] {
                @if top < bottom {
                    rect class=(name) x=(px(x)) y=(px(top)) width=(px(width)) height=(px(bottom - top)) {}
                }
            }
        }
    }

    fn in_words(&self) -> String {
        let runs = format!("{} successful runs, one dot each.", self.runs.len());
        let change = |change: &Regression| {
            format!(
                " On {} the median went from {} to {}, {}.",
                date(seconds(change.changed_at)),
                exact(change.before_median_seconds),
                exact(change.after_median_seconds),
                percent(change.change_percent)
            )
        };
        let changes: String = self.changes.iter().map(change).collect();
        format!("{runs}{changes} Below, the share of each day's runs that succeeded. The table has the numbers by day.")
    }
}

fn y(duration: f64, scale: f64) -> f64 {
    BOTTOM - (duration / scale).clamp(0.0, 1.0) * (BOTTOM - TOP)
}

fn px(place: f64) -> String {
    format!("{place:.1}")
}

#[allow(clippy::cast_precision_loss, reason = "seconds of our era are far below 2^53")]
fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

fn day_start(day: &str) -> Option<f64> {
    day.parse::<civil::Date>().ok().map(|day| seconds(start_of_day(day)))
}

#[allow(clippy::cast_possible_truncation, reason = "the time of a run")]
fn date(at: f64) -> String {
    Timestamp::from_second(at as i64).map_or_else(|_| String::new(), day_of)
}

/// Formats the UTC day of an instant.
pub(super) fn day_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Formats a duration with a tenth of a second: `122.3 s`.
pub(super) fn exact(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

/// Returns the unit of a duration: its length in seconds, and its name.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        seconds if seconds < 120.0 => (1.0, "s"),
        seconds if seconds < 7200.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    }
}

/// Rounds a duration up to a round number of its unit.
fn round_up(seconds: f64) -> f64 {
    let (unit, _) = unit(seconds);
    let value = (seconds / unit).max(0.01);
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
    let step = steps.into_iter().find(|step| step * power >= value).unwrap_or(10.0);
    step * power * unit
}

/// Formats a duration briefly, in the unit of `scale`: `90 s`, `12 min`, `1.5 h`.
fn short(seconds: f64, scale: f64) -> String {
    let (unit, name) = unit(scale);
    format!("{} {name}", (100.0 * seconds / unit).round() / 100.0)
}

/// Formats a change with its sign: `+30.1 %`, `−12.0 %`.
pub(super) fn percent(change: f64) -> String {
    let sign = if change < 0.0 { '−' } else { '+' };
    format!("{sign}{:.1} %", change.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_of_its_unit() {
        for (seconds, end, half) in [
            (9.1, "10 s", "5 s"),
            (61.0, "80 s", "40 s"),
            (121.0, "3 min", "1.5 min"),
            (850.0, "15 min", "7.5 min"),
            (7300.0, "3 h", "1.5 h"),
        ] {
            let scale = round_up(seconds);
            assert!(scale >= seconds);
            assert_eq!((short(scale, scale).as_str(), short(scale / 2.0, scale).as_str()), (end, half));
        }
        assert!(round_up(0.0) > 0.0, "a scale of zero would be a division by zero");
    }

    #[test]
    fn a_change_has_its_sign() {
        assert_eq!(percent(30.04), "+30.0 %");
        assert_eq!(percent(-12.0), "−12.0 %");
    }
}
