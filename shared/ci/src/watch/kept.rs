//! A change as it is kept, and what is told of a series now.

#![allow(clippy::float_arithmetic, reason = "durations, no money")]

use std::collections::HashMap;

use changepoints::{Change, Point, Settings, State, StoredChange, mark_days};
use jiff::{SignedDuration, Timestamp};
use postgres::to_system_time;
use tokio_postgres::{Client, Row, types::Type};
use uuid::Uuid;

use crate::{
    Neighbour, Series, SeriesRun,
    change::{ChangeDetail, Direction, EventKind, change_id, reason_name, state_name, state_named},
    regression::{days, percent, possible_causes},
    reports::{ReportError, read_optional_time, read_time},
    sql::Parameters,
};

/// A change that began before this time when its series was first looked at is history: nobody is told of it. Otherwise
/// the first look of all would tell of years at once.
const NEWS: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A row of `ci_changes`, without the id and the names of its series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) change: StoredChange,
    /// The start of the run at which it begins.
    pub(super) changed_at: Timestamp,
    /// The commit of that run.
    pub(super) commit_sha: String,
    pub(super) low_confidence: bool,
    pub(super) possible_causes: Vec<String>,
    pub(super) is_history: bool,
    pub(super) told_at: Timestamp,
    pub(super) confirmed_at: Option<Timestamp>,
    pub(super) withdrawn_at: Option<Timestamp>,
}

/// Returns the changes to keep now, by number. `runs` are the successful runs of the series, oldest first, and `known`
/// what was kept before. Those whose run is not among the runs stay as they are.
pub(super) fn next(
    known: &[Kept],
    runs: &[SeriesRun],
    neighbours: &[Neighbour],
    is_first: bool,
    now: Timestamp,
) -> Vec<Kept> {
    let points: Vec<Point<'_>> =
        runs.iter().map(|run| Point { id: &run.run_id, value: run.duration_seconds }).collect();
    let places: HashMap<&str, usize> = points.iter().enumerate().map(|(place, point)| (point.id, place)).collect();
    let told: Vec<StoredChange> = known.iter().map(|kept| kept.change.clone()).collect();
    let told = StoredChange::update(&told, &points, &Settings::default());
    let low_confidence = low_confidence(&told, &places, runs);
    let kept = told.into_iter().enumerate().map(|(number, change)| {
        let before = known.get(number);
        let Some(place) = places.get(change.begins.as_str()).copied() else {
            return before.cloned();
        };
        let run = &runs[place];
        let low = low_confidence.get(&number).copied().unwrap_or(change.correlated);
        let is_old = now.duration_since(run.started_at) > NEWS;
        let kept = Kept {
            changed_at: run.started_at,
            commit_sha: run.commit_sha.clone(),
            low_confidence: low,
            possible_causes: possible_causes(runs, place, neighbours, low),
            is_history: before.map_or(is_first && is_old, |before| before.is_history),
            told_at: before.map_or(now, |before| before.told_at),
            confirmed_at: before.and_then(|before| before.confirmed_at),
            withdrawn_at: before.and_then(|before| before.withdrawn_at),
            change,
        };
        Some(kept.after(before.map(|before| before.change.state), now))
    });
    kept.flatten().collect()
}

/// Tells of each change that holds, by number, whether noise or days may have made it.
fn low_confidence(told: &[StoredChange], places: &HashMap<&str, usize>, runs: &[SeriesRun]) -> HashMap<usize, bool> {
    let mut holding: Vec<(usize, usize)> = told
        .iter()
        .enumerate()
        .filter(|(_, change)| !matches!(change.state, State::Withdrawn(_)))
        .filter_map(|(number, change)| Some((*places.get(change.begins.as_str())?, number)))
        .collect();
    holding.sort_unstable();
    holding.dedup_by_key(|(place, _)| *place);
    let change = |(index, number): &(usize, usize)| {
        let &StoredChange { before, after, p_value, correlated, .. } = &told[*number];
        Change { index: *index, before, after, p_value, correlated }
    };
    let mut changes: Vec<Change> = holding.iter().map(change).collect();
    let durations: Vec<f64> = runs.iter().map(|run| run.duration_seconds).collect();
    mark_days(&mut changes, &durations, &days(runs));
    holding.iter().zip(changes).map(|((_, number), change)| (*number, change.correlated)).collect()
}

impl Kept {
    /// Sets the times of its state, which was another one before.
    fn after(self, was: Option<State>, now: Timestamp) -> Self {
        match self.change.state {
            state if was == Some(state) => self,
            State::Provisional => self,
            State::Confirmed => Self { confirmed_at: Some(now), withdrawn_at: None, ..self },
            State::Withdrawn(_) => Self { withdrawn_at: self.withdrawn_at.or(Some(now)), ..self },
        }
    }

    /// Returns the detail of an event that tells of the change.
    pub(super) fn detail(&self, series: &Series, number: usize, kind: EventKind, now: Timestamp) -> ChangeDetail {
        let Series { service, command, environment } = series.clone();
        let StoredChange { id, begins, state, before, after, told, p_value, .. } = &self.change;
        let change_id = change_id(series, number, id);
        ChangeDetail {
            event_id: Uuid::new_v5(&change_id, format!("{} {}", kind.name(), now.as_microsecond()).as_bytes()),
            version: 1,
            occurred_at: now,
            change_id,
            service,
            command,
            environment,
            direction: if *told > 0.0 { Direction::Slower } else { Direction::Faster },
            reason: if let State::Withdrawn(reason) = state { Some(reason_name(*reason).to_owned()) } else { None },
            changed_at: self.changed_at,
            first_run_id: begins.clone(),
            first_commit_sha: self.commit_sha.clone(),
            before_median_seconds: *before,
            after_median_seconds: *after,
            change_percent: percent(*before, *after),
            p_value: *p_value,
            low_confidence: self.low_confidence,
            possible_causes: self.possible_causes.clone(),
        }
    }
}

/// Reads what is kept of a series, by number.
pub(super) async fn read(client: &Client, series: &Series) -> Result<Vec<Kept>, ReportError> {
    let mut parameters = Parameters::default();
    let Series { service, command, environment } = series;
    let [service, command, environment] = [service, command, environment].map(|name| parameters.text(name));
    let query = format!(
        "select * from ci_changes
         where (service, command, environment) = ({service}, {command}, {environment})
         order by number"
    );
    let rows = client.query_typed(&query, &parameters.typed()).await?;
    rows.iter().map(Kept::read).collect()
}

impl Kept {
    fn read(row: &Row) -> Result<Self, ReportError> {
        let state = state_named(row.try_get("state")?, row.try_get("reason")?);
        Ok(Self {
            change: StoredChange {
                id: row.try_get("told_run_id")?,
                begins: row.try_get("run_id")?,
                state: state.ok_or(ReportError::Row("ci_changes"))?,
                before: row.try_get("before_seconds")?,
                after: row.try_get("after_seconds")?,
                told: row.try_get("told")?,
                p_value: row.try_get("p_value")?,
                correlated: row.try_get("correlated")?,
            },
            changed_at: read_time(row, "changed_at")?,
            commit_sha: row.try_get("commit_sha")?,
            low_confidence: row.try_get("low_confidence")?,
            possible_causes: row.try_get("possible_causes")?,
            is_history: row.try_get("is_history")?,
            told_at: read_time(row, "told_at")?,
            confirmed_at: read_optional_time(row, "confirmed_at")?,
            withdrawn_at: read_optional_time(row, "withdrawn_at")?,
        })
    }
}

/// Writes a change that is new, or that says something else than before.
pub(super) async fn write(client: &Client, series: &Series, number: usize, kept: &Kept) -> Result<(), ReportError> {
    let StoredChange { id, begins, state, before, after, told, p_value, correlated } = &kept.change;
    let reason = if let State::Withdrawn(reason) = state { Some(reason_name(*reason)) } else { None };
    let mut parameters = Parameters::default();
    let mut columns = Vec::new();
    let mut add = |name: &'static str, placeholder: String| columns.push((name, placeholder));
    add("id", parameters.push(Type::UUID, change_id(series, number, id)));
    add("service", parameters.text(&series.service));
    add("command", parameters.text(&series.command));
    add("environment", parameters.text(&series.environment));
    add("number", parameters.push(Type::INT4, i32::try_from(number).unwrap_or(i32::MAX)));
    add("told_run_id", parameters.text(id));
    add("run_id", parameters.text(begins));
    add("commit_sha", parameters.text(&kept.commit_sha));
    add("changed_at", parameters.push(Type::TIMESTAMPTZ, to_system_time(kept.changed_at)));
    add("state", parameters.text(state_name(*state)));
    add("reason", parameters.text(reason));
    for (name, value) in [("before_seconds", before), ("after_seconds", after), ("told", told), ("p_value", p_value)] {
        add(name, parameters.push(Type::FLOAT8, *value));
    }
    add("correlated", parameters.push(Type::BOOL, *correlated));
    add("low_confidence", parameters.push(Type::BOOL, kept.low_confidence));
    add("possible_causes", parameters.push(Type::TEXT_ARRAY, &kept.possible_causes));
    add("is_history", parameters.push(Type::BOOL, kept.is_history));
    add("told_at", parameters.push(Type::TIMESTAMPTZ, to_system_time(kept.told_at)));
    for (name, at) in [("confirmed_at", kept.confirmed_at), ("withdrawn_at", kept.withdrawn_at)] {
        add(name, parameters.push(Type::TIMESTAMPTZ, at.map(to_system_time)));
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = columns.iter().map(|(_, value)| value.as_str()).collect();
    let updates: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let statement = format!(
        "insert into ci_changes ({}) values ({}) on conflict (id) do update set {}",
        names.join(", "),
        values.join(", "),
        updates.join(", ")
    );
    client.execute_typed(&statement, &parameters.typed()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use changepoints::Reason;
    use jiff::ToSpan as _;

    use super::*;

    fn start() -> Timestamp {
        "2026-11-01T00:00:00Z".parse().unwrap()
    }

    /// Hourly runs with these durations.
    fn runs(durations: &[f64]) -> Vec<SeriesRun> {
        let run = |(index, duration): (i64, &f64)| SeriesRun {
            started_at: start() + index.hours(),
            duration_seconds: *duration,
            run_id: format!("run-{index}"),
            commit_sha: format!("sha-{index}"),
            collector_version: "1.0.0".to_owned(),
        };
        (0..).zip(durations).map(run).collect()
    }

    fn around(base: f64, count: usize) -> Vec<f64> {
        let scatter = [0.0, 0.013, -0.02, 0.007, -0.011, 0.02, -0.004, 0.016, -0.017, 0.002, 0.009];
        scatter.iter().cycle().take(count).map(|share| base * (1.0 + share)).collect()
    }

    /// Looks at a series after each of these numbers of runs.
    fn looks(durations: &[f64], counts: &[usize]) -> Vec<Vec<Kept>> {
        let all = runs(durations);
        let mut kept = Vec::new();
        let look = |(number, count): (usize, &usize)| {
            let now = all[count - 1].started_at + 1.minute();
            kept = next(&kept, &all[..*count], &[], number == 0, now);
            kept.clone()
        };
        counts.iter().enumerate().map(look).collect()
    }

    #[test]
    fn a_slowdown_is_provisional_and_then_confirmed_as_the_same_change() {
        let durations = [around(100.0, 40), around(150.0, 30)].concat();
        let looks = looks(&durations, &[40, 46, 55, 70]);
        assert_eq!(looks[0], []);
        let [provisional] = looks[1].as_slice() else { panic!("{:?}", looks[1]) };
        assert_eq!((provisional.change.state, provisional.confirmed_at), (State::Provisional, None));
        assert_eq!((provisional.change.begins.as_str(), provisional.commit_sha.as_str()), ("run-40", "sha-40"));
        let [confirmed] = looks[2].as_slice() else { panic!("{:?}", looks[2]) };
        assert_eq!((confirmed.change.state, confirmed.told_at), (State::Confirmed, provisional.told_at));
        assert_eq!(confirmed.confirmed_at, Some(start() + 54.hours() + 1.minute()));
        assert_eq!(looks[3][0].confirmed_at, confirmed.confirmed_at, "confirmed once");
        assert!(!confirmed.is_history && !confirmed.low_confidence);
    }

    #[test]
    fn a_slowdown_that_goes_is_withdrawn_with_the_reason() {
        let durations = [around(100.0, 40), around(150.0, 6), around(100.0, 30)].concat();
        let looks = looks(&durations, &[40, 46, 52, 60]);
        assert_eq!(looks[1][0].change.state, State::Provisional);
        let last = &looks[3][0];
        assert!(matches!(last.change.state, State::Withdrawn(Reason::Chance | Reason::Smaller)), "{last:?}");
        assert!(last.withdrawn_at.is_some() && last.confirmed_at.is_none());
    }

    #[test]
    fn the_same_runs_change_nothing() {
        let durations = [around(100.0, 40), around(150.0, 30)].concat();
        let first = &looks(&durations, &[70])[0];
        let again = next(first, &runs(&durations), &[], false, start() + 2000.hours());
        assert_eq!(*first, again);
    }

    #[test]
    fn only_what_is_old_at_the_first_look_is_history() {
        let durations = [around(100.0, 40), around(150.0, 30)].concat();
        let at =
            |is_first, hours: i64| next(&[], &runs(&durations), &[], is_first, start() + hours.hours())[0].is_history;
        assert!(!at(true, 70) && !at(true, 40 + 14 * 24));
        assert!(at(true, 41 + 14 * 24));
        assert!(!at(false, 4000), "a run that arrives late");
    }

    #[test]
    fn a_change_whose_runs_are_no_longer_read_stays_as_it_was() {
        let durations = [around(100.0, 40), around(150.0, 30)].concat();
        let known = &looks(&durations, &[70])[0];
        let later = runs(&durations).split_off(50);
        assert_eq!(next(known, &later, &[], false, start() + 100.hours()), *known);
        assert_eq!(next(known, &[], &[], false, start() + 100.hours()), *known, "all runs are gone");
    }
}
