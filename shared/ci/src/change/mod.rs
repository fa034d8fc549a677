//! Changes of durations as they were told: each has an identity, a state, and the answer of people to it.

mod detail;
mod note;

use changepoints::{Reason, State};
use jiff::Timestamp;
use uuid::Uuid;

pub use detail::{ChangeDetail, Direction, EVENT_SOURCE, EventKind};
pub use note::{InvalidNote, Note};

use crate::{Regression, Series};

/// A change as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldChange {
    /// The id, which it keeps.
    pub id: Uuid,
    /// The series.
    pub series: Series,
    /// What is known of it now.
    pub change: Regression,
    /// How certain it is.
    pub state: State,
    /// Whether noise in the series looks like changes; then `possible_causes` say so, too.
    pub low_confidence: bool,
    /// The time at which it was first told.
    pub told_at: Timestamp,
    /// The time since which it is confirmed, or was before it was withdrawn.
    pub confirmed_at: Option<Timestamp>,
    /// The time since which it is withdrawn.
    pub withdrawn_at: Option<Timestamp>,
    /// Whether a later confirmed change took back at least half of it.
    pub is_over: bool,
    /// Whether it is a confirmed slowdown that is not over and to which nobody has answered. One that was found by the
    /// first look at its series, and was old then, needs none.
    pub needs_attention: bool,
    /// The answer to it.
    pub acknowledgement: Option<Acknowledgement>,
}

/// The answer of a person to a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The number of the answer, from 1; those that were taken back count.
    pub version: u32,
    /// What the person said.
    pub note: String,
    /// The time.
    pub at: Timestamp,
    /// The person or program: the token's subject if it is a UUID, else a UUID derived from issuer and subject.
    pub by: Uuid,
}

impl ToldChange {
    /// Returns the name of the state.
    pub const fn state_name(&self) -> &'static str {
        state_name(self.state)
    }

    /// Returns why it was withdrawn, as a part of a sentence; `None` if it is not.
    pub const fn reason_text(&self) -> Option<&'static str> {
        reason_text(self.state)
    }
}

/// Returns why a change of this state was withdrawn, as a part of a sentence; `None` if it is not.
pub const fn reason_text(state: State) -> Option<&'static str> {
    match state {
        State::Withdrawn(Reason::Chance) => Some("with the runs since then it may be chance"),
        State::Withdrawn(Reason::Smaller) => Some("too little of it is left"),
        State::Provisional | State::Confirmed => None,
    }
}

/// Returns the name of a state in answers, events and the table.
pub const fn state_name(state: State) -> &'static str {
    match state {
        State::Provisional => "provisional",
        State::Confirmed => "confirmed",
        State::Withdrawn(_) => "withdrawn",
    }
}

/// Returns the name of a reason in answers, events and the table.
pub const fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Chance => "chance",
        Reason::Smaller => "smaller",
    }
}

/// Returns the state of these names.
#[cfg(feature = "reports")]
pub(crate) fn state_named(state: &str, reason: Option<&str>) -> Option<State> {
    let reasons = [Reason::Chance, Reason::Smaller].map(State::Withdrawn);
    [State::Provisional, State::Confirmed].into_iter().chain(reasons).find(|known| {
        let known_reason = if let State::Withdrawn(reason) = known { Some(reason_name(*reason)) } else { None };
        state_name(*known) == state && known_reason == reason
    })
}

/// Returns the id of a change: that of its place among those of its series, in the order in which they were told, and of
/// the run after it that was first told.
#[cfg(feature = "reports")]
pub(crate) fn change_id(series: &Series, number: usize, told_run_id: &str) -> Uuid {
    let Series { service, command, environment } = series;
    let parts = [service, command, environment, told_run_id];
    // The lengths separate series whose joined names are equal.
    let name: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{number}:{name}").as_bytes())
}

#[cfg(all(test, feature = "reports"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for state in [State::Provisional, State::Confirmed] {
            assert_eq!(state_named(state_name(state), None), Some(state));
            assert_eq!(state_named(state_name(state), Some("chance")), None);
        }
        for reason in [Reason::Chance, Reason::Smaller] {
            assert_eq!(state_named("withdrawn", Some(reason_name(reason))), Some(State::Withdrawn(reason)));
        }
        assert_eq!(state_named("withdrawn", None), None);
    }

    #[test]
    fn each_place_in_each_series_has_an_id() {
        let series = |service: &str, command: &str| Series {
            service: service.to_owned(),
            command: command.to_owned(),
            environment: "ci".to_owned(),
        };
        let id = change_id(&series("a", "b"), 0, "run");
        assert_eq!(id, change_id(&series("a", "b"), 0, "run"));
        for other in [
            change_id(&series("a", "b"), 1, "run"),
            change_id(&series("a", "b"), 0, "other"),
            change_id(&series("ab", ""), 0, "run"),
        ] {
            assert_ne!(id, other);
        }
    }
}
