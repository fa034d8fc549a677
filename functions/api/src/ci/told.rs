//! A change as the page tells it. Its state has a word and a shape, so that nobody needs a colour to tell states apart.

use changepoints::State;
use ci::{
    Regression,
    change::{Acknowledgement, ToldChange, reason_text},
};
use maud::{Markup, html};
use uuid::Uuid;

use super::axis::{day_of, percent};

/// A change of a series, with its state and the answer to it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(super) change: Regression,
    pub(super) state: State,
    /// Its public id; `None` if the search of this request found it and nobody was told yet.
    pub(crate) id: Option<Uuid>,
    pub(crate) acknowledged: Option<Acknowledgement>,
    /// `true` if a later change took back at least half of it.
    pub(super) is_over: bool,
}

/// The shape of a change in a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    HollowDiamond,
    Diamond,
    Check,
    Cross,
}

impl From<Regression> for Told {
    /// Takes a change that the search found, which has enough runs on either side.
    fn from(change: Regression) -> Self {
        Self { change, state: State::Confirmed, id: None, acknowledged: None, is_over: false }
    }
}

impl From<ToldChange> for Told {
    fn from(told: ToldChange) -> Self {
        let ToldChange { id, change, state, is_over, acknowledgement, .. } = told;
        Self { change, state, id: Some(id), acknowledged: acknowledgement, is_over }
    }
}

impl Told {
    pub(super) fn is_slower(&self) -> bool {
        self.change.change_percent > 0.0
    }

    /// Reports whether the change is one, as far as is known.
    pub(crate) const fn holds(&self) -> bool {
        !matches!(self.state, State::Withdrawn(_))
    }

    /// Reports whether it is a slowdown that lasts and that nobody has acknowledged.
    pub(super) fn is_open(&self) -> bool {
        self.is_slower() && self.holds() && !self.is_over && self.acknowledged.is_none()
    }

    /// Returns the shape in the chart: a check mark for what was acknowledged and holds, else that of the state.
    pub(super) const fn shape(&self) -> Shape {
        match self.state {
            State::Withdrawn(_) => Shape::Cross,
            _ if self.acknowledged.is_some() => Shape::Check,
            State::Provisional => Shape::HollowDiamond,
            State::Confirmed => Shape::Diamond,
        }
    }

    /// Names the state.
    pub(super) const fn word(&self) -> &'static str {
        match (self.state, self.acknowledged.is_some()) {
            (State::Withdrawn(_), _) => "withdrawn",
            (State::Provisional, false) => "provisional",
            (State::Provisional, true) => "provisional, acknowledged",
            (State::Confirmed, false) => "confirmed",
            (State::Confirmed, true) => "confirmed, acknowledged",
        }
    }

    /// Says why a change was withdrawn.
    pub(super) const fn reason(&self) -> Option<&'static str> {
        reason_text(self.state)
    }

    /// Renders the state: the shape, the word, and why.
    pub(super) fn badge(&self) -> Markup {
        html! {
            span.state { span aria-hidden="true" { (self.shape().character()) } " " (self.word()) }
            @if let Some(reason) = self.reason() { ": " (reason) }
            @if self.is_over { ", and taken back by a later change" }
            @if let Some(Acknowledgement { note, at, by, .. }) = &self.acknowledged {
                ": " q { (note) } " " span.soft { (person(*by)) ", " (day_of(*at)) }
            }
        }
    }

    /// Renders the change of the median: an arrow, the sign and a word.
    pub(super) fn effect(&self) -> Markup {
        let change = percent(self.change.change_percent);
        html! {
            @if self.is_slower() {
                span.slower { span aria-hidden="true" { "▲ " } (change) " slower" }
            } @else {
                span.faster { span aria-hidden="true" { "▼ " } (change) " faster" }
            }
        }
    }
}

/// Names a person by the first digits of the pseudonym.
fn person(id: Uuid) -> String {
    format!("user {}", id.to_string().chars().take(8).collect::<String>())
}

impl Shape {
    /// Every shape, with what it says.
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::HollowDiamond, "provisional"),
        (Self::Diamond, "confirmed"),
        (Self::Check, "acknowledged"),
        (Self::Cross, "withdrawn"),
    ];

    /// Returns the shape in text.
    pub(super) const fn character(self) -> char {
        match self {
            Self::HollowDiamond => '◇',
            Self::Diamond => '◆',
            Self::Check => '✓',
            Self::Cross => '✕',
        }
    }

    /// Returns the class of its line and its shape in a chart.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::HollowDiamond => "provisional",
            Self::Diamond => "confirmed",
            Self::Check => "acknowledged",
            Self::Cross => "withdrawn",
        }
    }

    /// Returns the outline around a place in a chart.
    pub(super) fn path(self, x: &str, y: &str) -> String {
        match self {
            Self::HollowDiamond | Self::Diamond => format!("M{x} {y}m0 -6l6 6l-6 6l-6 -6z"),
            Self::Check => format!("M{x} {y}m-6 0l4 5l8 -10"),
            Self::Cross => format!("M{x} {y}m-5 -5l10 10m0 -10l-10 10"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use changepoints::Reason;

    use super::*;

    /// A change of a state, slower by 30 %.
    pub(crate) fn told(state: State, note: Option<&str>) -> Told {
        let at: jiff::Timestamp = "2025-11-08T10:00:00Z".parse().unwrap();
        let change = Regression {
            changed_at: at,
            first_run_id: "run-1".to_owned(),
            first_commit_sha: "abc".to_owned(),
            before_median_seconds: 100.0,
            after_median_seconds: 130.0,
            change_percent: 30.0,
            p_value: 0.001,
            possible_causes: Vec::new(),
        };
        let by = Uuid::nil();
        let acknowledged = note.map(|note| Acknowledgement { version: 1, note: note.to_owned(), at, by });
        Told { change, state, id: None, acknowledged, is_over: false }
    }

    /// The same as one that was told under an id.
    pub(crate) fn named(id: Uuid, state: State, note: Option<&str>) -> Told {
        Told { id: Some(id), ..told(state, note) }
    }

    #[test]
    fn states_differ_in_shape_character_word_and_class() {
        let all = [
            told(State::Provisional, None),
            told(State::Confirmed, None),
            told(State::Confirmed, Some("expected: new test suite")),
            told(State::Withdrawn(Reason::Chance), None),
        ];
        let count = |texts: Vec<String>| texts.into_iter().collect::<BTreeSet<_>>().len();
        assert_eq!(count(all.iter().map(|one| one.word().to_owned()).collect()), 4);
        assert_eq!(count(all.iter().map(|one| one.shape().character().to_string()).collect()), 4);
        assert_eq!(count(all.iter().map(|one| one.shape().class().to_owned()).collect()), 4);
        assert_eq!(all.iter().map(Told::is_open).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(Shape::ALL.map(|(shape, name)| (shape.class(), name)).map(|(class, name)| class == name), [true; 4]);
    }

    #[test]
    fn a_note_is_text() {
        let badge = told(State::Provisional, Some("<b>expected</b>")).badge().into_string();
        assert!(
            badge.contains("provisional, acknowledged</span>: ")
                && badge.contains("<q>&lt;b&gt;expected&lt;/b&gt;</q>"),
            "{badge}"
        );
        let withdrawn = told(State::Withdrawn(Reason::Smaller), Some("expected")).badge().into_string();
        assert!(withdrawn.contains("✕</span> withdrawn</span>: too little of it is left"), "{withdrawn}");
    }
}
