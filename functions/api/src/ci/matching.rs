//! Changes that were told, and those that the search of this request finds in its range: one list of both.

use changepoints::Settings;
use ci::{
    Regression,
    reports::{Filter, SeriesRuns},
};
use jiff::Timestamp;

use super::told::Told;

/// Returns the changes of a series that are as large as the settings ask for, oldest first: those that were told, in the
/// range of a filter, and those of `found` that are none of them. A found change is a told one if it has its direction
/// and is fewer runs away than each side of a change has.
pub(super) fn matched(
    series: &SeriesRuns,
    found: Vec<Regression>,
    told: Vec<Told>,
    filter: &Filter,
    settings: &Settings,
) -> Vec<Told> {
    let place = |at: Timestamp| series.runs.partition_point(|run| run.started_at < at);
    let is_same = |one: &Regression, other: &Regression| {
        let is_near = place(one.changed_at).abs_diff(place(other.changed_at)) < settings.side;
        is_near && (one.change_percent > 0.0) == (other.change_percent > 0.0)
    };
    let is_new = |change: &Regression| !told.iter().any(|told| is_same(&told.change, change));
    let new: Vec<Told> = found.into_iter().filter(is_new).map(Told::from).collect();
    let is_in_range = |at: Timestamp| filter.from.is_none_or(|from| from <= at) && filter.to.is_none_or(|to| at < to);
    let is_listed = |told: &Told| is_in_range(told.change.changed_at) && is_large(&told.change, settings);
    let mut all: Vec<Told> = told.into_iter().filter(is_listed).chain(new).collect();
    all.sort_by_key(|told| told.change.changed_at);
    all
}

/// Reports whether a change is as large as the settings ask for.
#[allow(clippy::float_arithmetic, reason = "durations, no money")]
fn is_large(change: &Regression, settings: &Settings) -> bool {
    let size = (change.after_median_seconds - change.before_median_seconds).abs();
    size >= settings.absolute && size >= settings.relative * change.before_median_seconds
}

#[cfg(test)]
mod tests {
    use changepoints::{Reason, State};
    use ci::{Series, SeriesRun};
    use jiff::ToSpan as _;

    use super::{super::told::tests::told, *};

    fn start() -> Timestamp {
        "2025-11-01T00:00:00Z".parse().unwrap()
    }

    fn series() -> SeriesRuns {
        let run = |hours: i64| SeriesRun {
            started_at: start() + hours.hours(),
            duration_seconds: 100.0,
            run_id: String::new(),
            commit_sha: String::new(),
            collector_version: String::new(),
        };
        let name = Series { service: String::new(), command: String::new(), environment: String::new() };
        SeriesRuns { series: name, count: 100, runs: (0..100).map(run).collect(), neighbours: Vec::new() }
    }

    fn at(mut told: Told, hours: i64, percent: f64) -> Told {
        told.change.changed_at = start() + hours.hours();
        told.change.change_percent = percent;
        told
    }

    /// Returns the hours and the words of the changes.
    fn list(found: &[(i64, f64)], told: Vec<Told>, settings: &Settings) -> Vec<(i64, &'static str)> {
        let found =
            found.iter().map(|(hours, percent)| at(self::told(State::Confirmed, None), *hours, *percent).change);
        let filter = Filter { from: Some(start()), to: Some(start() + 100.hours()), ..Filter::default() };
        let all = matched(&series(), found.collect(), told, &filter, settings);
        all.iter()
            .map(|told| ((told.change.changed_at.as_second() - start().as_second()) / 3600, told.word()))
            .collect()
    }

    #[test]
    fn a_found_change_is_the_told_one_near_it_in_its_direction() {
        let settings = Settings::default();
        let known = |hours| at(told(State::Confirmed, Some("expected")), hours, 30.0);
        assert_eq!(list(&[(50, 30.0)], vec![known(50)], &settings), [(50, "confirmed, acknowledged")]);
        assert_eq!(list(&[(61, 30.0)], vec![known(50)], &settings), [(50, "confirmed, acknowledged")]);
        assert_eq!(
            list(&[(62, 30.0)], vec![known(50)], &settings),
            [(50, "confirmed, acknowledged"), (62, "confirmed")]
        );
        assert_eq!(
            list(&[(45, -30.0)], vec![known(50)], &settings),
            [(45, "confirmed"), (50, "confirmed, acknowledged")]
        );
        let withdrawn = at(told(State::Withdrawn(Reason::Chance), None), 50, 30.0);
        assert_eq!(list(&[(52, 30.0)], vec![withdrawn], &settings), [(50, "withdrawn")]);
    }

    #[test]
    fn what_is_smaller_or_elsewhere_is_not_listed() {
        let known = |hours| at(told(State::Provisional, None), hours, 30.0);
        let settings = Settings::default();
        assert_eq!(list(&[], vec![known(0), known(99)], &settings), [(0, "provisional"), (99, "provisional")]);
        assert_eq!(list(&[], vec![known(-1), known(100)], &settings), []);
        assert_eq!(list(&[], vec![known(50)], &Settings { relative: 0.31, ..settings }), []);
        assert_eq!(list(&[], vec![known(50)], &Settings { absolute: 31.0, ..settings }), []);
        assert_eq!(
            list(&[], vec![known(50)], &Settings { relative: 0.3, absolute: 30.0, ..settings }),
            [(50, "provisional")]
        );
    }
}
