//! The numbers of a chart as tables.

#![allow(clippy::float_arithmetic, reason = "a share of runs, no money")]

use ci::reports::Trend;
use maud::{Markup, html};

use super::{
    axis::{exact, minute},
    density::{Content, Density, Dot, Spread},
    tables::scroll,
};

/// Renders what a chart shows of its runs.
pub(super) fn of_chart(density: &Density, name: &str) -> Markup {
    match density {
        Density::Dots(dots) => scroll(
            &format!("Runs of {name}"),
            &html! {
                table.days {
                    thead { tr { th scope="col" { "Start, UTC" } th scope="col" { "Duration" } } }
                    tbody {
                        @for dot in dots { tr { th scope="row" { (minute(dot.at)) } td { (exact(dot.seconds)) } } }
                    }
                }
            },
        ),
        Density::Steps { steps, .. } => scroll(
            &format!("Steps of {name}"),
            &html! {
                table.days {
                    thead {
                        tr {
                            @for name in ["From, UTC", "Runs", "Shortest", "p10", "Median", "p90", "Longest"] {
                                th scope="col" { (name) }
                            }
                        }
                    }
                    tbody {
                        @for step in steps {
                            tr {
                                th scope="row" { (minute(step.start)) }
                                td { (step.runs) }
                                (step_cells(&step.content))
                            }
                        }
                    }
                }
            },
        ),
    }
}

fn step_cells(content: &Content) -> Markup {
    html! {
        @match content {
            Content::Many(Spread { shortest, p10, median, p90, longest }) => {
                @for value in [shortest.seconds, *p10, *median, *p90, longest.seconds] { td { (exact(value)) } }
            }
            Content::Few(dots) => {
                @let all: Vec<String> = dots.iter().map(|Dot { seconds, .. }| exact(*seconds)).collect();
                td colspan="5" { "each: " (all.join(", ")) }
            }
        }
    }
}

/// Renders the days of a series.
pub(super) fn by_day(days: &[Trend], name: &str) -> Markup {
    let table = html! {
        table.days {
            thead {
                tr {
                    @for name in ["Day", "Runs", "Success", "p50", "p95", "Max"] {
                        th scope="col" { (name) }
                    }
                }
            }
            tbody {
                @for day in days {
                    tr {
                        th scope="row" { (day.day) }
                        td { (day.runs) }
                        td { @if let Some(rate) = day.success_rate { (format!("{:.0} %", whole(rate))) } @else { "–" } }
                        @match day.durations {
                            Some(durations) => {
                                @for value in [durations.p50, durations.p95, durations.max] { td { (exact(value)) } }
                            }
                            None => { @for _ in 0..3 { td { "–" } } }
                        }
                    }
                }
            }
        }
    };
    scroll(&format!("Days of {name}"), &table)
}

/// Returns a share in percent, rounded down, so that it is 100 only if all runs succeeded.
fn whole(share: f64) -> f64 {
    (100.0 * share).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert!(whole(0.9999) < 100.0);
    }

    #[test]
    fn the_table_has_each_number_of_the_picture() {
        let dot = |at: f64, seconds: f64| Dot { at, seconds };
        let few = of_chart(&Density::Dots(vec![dot(0.0, 1.0), dot(60.0, 2.5)]), "a").into_string();
        for part in ["1970-01-01 00:00", "1.0 s", "1970-01-01 00:01", "2.5 s", "aria-label=\"Runs of a\""] {
            assert!(few.contains(part), "{part}: {few}");
        }
        let runs: Vec<Dot> = (0..300_u16).map(|n| dot(86_400.0 * f64::from(n % 100), f64::from(n))).collect();
        let density = Density::of(&runs[..297], 0.0, 100.0 * 86_400.0);
        let table = of_chart(&density, "a").into_string();
        // Two days with three runs each.
        for part in ["0.0 s", "1.0 s", "201.0 s", "each: 98.0 s, 99.0 s, 198.0 s, 199.0 s"] {
            assert!(table.contains(part), "{part}: {table}");
        }
    }
}
