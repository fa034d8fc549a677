//! The chart of a series: its runs, their medians, the changes, and the success rate of each day.
//!
//! Own code: an SVG of a few kinds of elements is shorter than the use of a plotting crate, and far smaller in the
//! binary.

#![allow(clippy::float_arithmetic, reason = "durations and places in a picture, no money")]

use changepoints::median;
use ci::{SeriesRun, reports::Trend};
use maud::{Markup, html};

use super::{
    axis::{date, day_start, exact, percent, round_up, seconds, short},
    density::{Content, Density, Dot, Spread},
    told::Told,
};

/// The size of the chart in units. It is narrow, so that its text is readable on a phone, where the style enlarges it.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 214.0;
/// The area of the durations.
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 152.0;
/// The middle of the shapes of the changes.
const SHAPES: f64 = 28.0;
/// The area of the success rates.
const DAYS_TOP: f64 = 166.0;
const DAYS_BOTTOM: f64 = 188.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
const SECONDS_PER_HOUR: f64 = 3600.0;

/// The chart of a series.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    /// An id that is unique on the page.
    pub(super) id: String,
    /// The name of the series.
    pub(super) name: String,
    /// The successful runs among which changes were looked for, oldest first.
    pub(super) runs: &'a [SeriesRun],
    /// The number of all successful runs that are drawn.
    pub(super) count: usize,
    pub(super) density: &'a Density,
    pub(super) changes: &'a [Told],
    pub(super) days: &'a [Trend],
    pub(super) frame: Frame,
}

/// The time range of all charts of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The bounds, in seconds since 1970.
    pub(super) start: f64,
    pub(super) end: f64,
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
                text.label x="0" y="13" { "duration" }
                @for share in [0.0, 0.5, 1.0] {
                    @let y = px(BOTTOM - share * (BOTTOM - TOP));
                    line.grid x1=(px(LEFT)) x2=(px(RIGHT)) y1=(y) y2=(y) {}
                    text.label x=(px(LEFT - 6.0)) y=(y) dy="4" text-anchor="end" { (short(share * scale, scale)) }
                }
                (self.spreads(scale))
                (self.dots(scale))
                @for (from, to, median) in self.medians() {
                    line.median x1=(px(from)) x2=(px(to)) y1=(px(y(median, scale))) y2=(px(y(median, scale))) {}
                }
                @for (number, told) in (1..).zip(self.changes) { (self.change(number, told)) }
                @let days_y = px(f64::midpoint(DAYS_TOP, DAYS_BOTTOM));
                text.label x=(px(LEFT - 6.0)) y=(days_y) dy="4" text-anchor="end" { "success" }
                @for day in self.days { (self.day(day)) }
                @let axis_y = px(HEIGHT - 6.0);
                @let last = self.frame.end - SECONDS_PER_DAY;
                text.label x=(px(LEFT - 6.0)) y=(axis_y) text-anchor="end" { "day" }
                text.label x=(px(LEFT)) y=(axis_y) { (date(self.frame.start)) }
                @if last > self.frame.start {
                    text.label x=(px(RIGHT)) y=(axis_y) text-anchor="end" { (date(last)) }
                }
            }
        }
    }

    /// Returns the maximum of the duration axis. A run that hung must not flatten all others: it is drawn at the top.
    fn scale(&self) -> f64 {
        let mut sorted: Vec<f64> = match self.density {
            Density::Dots(dots) => dots.iter().map(|dot| dot.seconds).collect(),
            Density::Steps { steps, .. } => steps
                .iter()
                .flat_map(|step| match &step.content {
                    Content::Few(dots) => dots.iter().map(|dot| dot.seconds).collect(),
                    Content::Many(spread) => vec![spread.p90],
                })
                .collect(),
        };
        sorted.sort_unstable_by(f64::total_cmp);
        let usual = sorted.get(sorted.len() * 95 / 100).copied().unwrap_or_default();
        let medians = self.changes.iter().map(|told| &told.change);
        let highest = medians.map(|change| change.before_median_seconds.max(change.after_median_seconds));
        round_up(1.25 * highest.fold(usual, f64::max))
    }

    /// Draws the spread of each step from the 10th to the 90th percentile, and its median.
    fn spreads(&self, scale: f64) -> Markup {
        let Density::Steps { hours, steps } = self.density else { return html! {} };
        let (mut band, mut middle) = (String::new(), String::new());
        for step in steps {
            let Content::Many(Spread { p10, median, p90, .. }) = &step.content else { continue };
            let (from, to) = (self.frame.x(step.start), self.frame.x(step.start + hours * SECONDS_PER_HOUR));
            // A spread of nothing is seen, too.
            let (top, bottom) = (y(*p90, scale), (y(*p10, scale)).max(y(*p90, scale) + 1.0));
            band.push_str(&format!("M{} {}H{}V{}H{}z", px(from), px(top), px(to), px(bottom), px(from)));
            middle.push_str(&format!("M{} {}H{}", px(from), px(y(*median, scale)), px(to)));
        }
        html! { path.band d=(band) {} path.middle d=(middle) {} }
    }

    /// Draws runs, each as a dot: a line of length zero with a round end; a square one at the top if it is beyond the
    /// scale.
    fn dots(&self, scale: f64) -> Markup {
        let dots: Vec<Dot> = match self.density {
            Density::Dots(dots) => dots.clone(),
            Density::Steps { steps, .. } => steps
                .iter()
                .flat_map(|step| match &step.content {
                    Content::Few(dots) => dots.clone(),
                    Content::Many(Spread { shortest, longest, .. }) => vec![*shortest, *longest],
                })
                .collect(),
        };
        let path = |wanted: &dyn Fn(f64) -> bool| -> String {
            let dot = |dot: &Dot| format!("M{} {}h0", px(self.frame.x(dot.at)), px(y(dot.seconds, scale)));
            dots.iter().filter(|dot| wanted(dot.seconds)).map(dot).collect()
        };
        html! {
            path.run d=(path(&|duration| duration <= scale)) {}
            path.beyond d=(path(&|duration| duration > scale)) {}
        }
    }

    /// Draws a change: its line, its shape and its number.
    fn change(&self, number: usize, told: &Told) -> Markup {
        let x = self.frame.x(seconds(told.change.changed_at));
        let shape = told.shape();
        // The number is beside the shape, on the side that has room.
        let (label_x, anchor) = if x > RIGHT - 24.0 { (x - 9.0, "end") } else { (x + 9.0, "start") };
        html! {
            g class=(shape.class()) {
                line.change.slower[told.is_slower()] x1=(px(x)) x2=(px(x)) y1=(px(SHAPES + 6.0)) y2=(px(BOTTOM)) {}
                path.shape.slower[told.is_slower()] d=(shape.path(&px(x), &px(SHAPES))) {}
                text.change x=(px(label_x)) y=(px(SHAPES)) dy="4" text-anchor=(anchor) { (number) }
            }
        }
    }

    /// Returns the start, the end and the height of the line of each median.
    fn medians(&self) -> Vec<(f64, f64, f64)> {
        let x = |run: Option<&SeriesRun>| run.map_or(LEFT, |run| self.frame.x(seconds(run.started_at)));
        let first = x(self.runs.first());
        let last = x(self.runs.last());
        let changes: Vec<&Told> = self.changes.iter().filter(|told| told.holds()).collect();
        let Some(Told { change, .. }) = changes.first() else {
            let durations: Vec<f64> = self.runs.iter().map(|run| run.duration_seconds).collect();
            return if durations.is_empty() { Vec::new() } else { vec![(first, last, median(&durations))] };
        };
        let bounds: Vec<f64> = changes.iter().map(|told| self.frame.x(seconds(told.change.changed_at))).collect();
        let ends = bounds.iter().skip(1).copied().chain([last]);
        let after = changes.iter().zip(&bounds).zip(ends);
        let after = after.map(|((told, from), to)| (*from, to, told.change.after_median_seconds));
        std::iter::once((first.min(bounds[0]), bounds[0], change.before_median_seconds)).chain(after).collect()
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

    /// Says how the runs are drawn.
    pub(super) fn caption(&self) -> String {
        match self.density {
            Density::Dots(_) => format!("{} successful runs, one dot each.", self.count),
            Density::Steps { hours, .. } => format!(
                "{} successful runs in steps of {}: the band has the middle 80 %, its line is their median, dots are the \
                 shortest and the longest run.",
                self.count,
                length(*hours)
            ),
        }
    }

    fn in_words(&self) -> String {
        let change = |told: &Told| {
            let change = &told.change;
            format!(
                " On {} the median went from {} to {}, {}, {}.",
                date(seconds(change.changed_at)),
                exact(change.before_median_seconds),
                exact(change.after_median_seconds),
                percent(change.change_percent),
                told.word()
            )
        };
        let changes: String = self.changes.iter().map(change).collect();
        format!(
            "{}{changes} Below, the share of each day's runs that succeeded. The tables have the numbers.",
            self.caption()
        )
    }
}

/// Names the length of a step: `3 hours`, `1 day`, `2 weeks`.
pub(super) fn length(hours: f64) -> String {
    let (count, unit) = match hours {
        hours if hours % 168.0 == 0.0 => (hours / 168.0, "week"),
        hours if hours % 24.0 == 0.0 => (hours / 24.0, "day"),
        _ => (hours, "hour"),
    };
    format!("{count} {unit}{}", if count > 1.0 { "s" } else { "" })
}

fn y(duration: f64, scale: f64) -> f64 {
    BOTTOM - (duration / scale).clamp(0.0, 1.0) * (BOTTOM - TOP)
}

fn px(place: f64) -> String {
    format!("{place:.1}")
}
