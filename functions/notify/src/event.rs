//! Events as the event bus hands them over.

use ci::change::{self, ChangeDetail, Direction};
use domain::{EventKind, event::Detail};
use jobs::EVENT_SOURCE;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An event of a message.
#[derive(Debug)]
pub(crate) enum Event {
    /// Of an organization's exports and months.
    Export(Box<Told>),
    /// A confirmed slowdown of CI, which belongs to no organization.
    Slowdown(Box<ChangeDetail>),
}

/// An event of an organization that is to be told.
#[derive(Debug)]
pub(crate) struct Told {
    /// The kind.
    pub(crate) kind: EventKind,
    /// What it says.
    pub(crate) detail: Detail,
    /// The detail as it came: also with what this version does not know.
    pub(crate) raw: Box<RawValue>,
}

/// A message that is no event of this service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEvent {
    #[error("the message is not an event")]
    Form(#[from] serde_json::Error),
    #[error("the event has another source or kind: {0} {1}")]
    Other(String, String),
}

#[derive(Deserialize)]
struct Envelope {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    detail: Box<RawValue>,
}

impl Event {
    /// Reads the body of a message.
    pub(crate) fn read(body: &str) -> Result<Self, NoEvent> {
        let Envelope { source, detail_type, detail: raw } = serde_json::from_str(body)?;
        if source == change::EVENT_SOURCE && detail_type == change::EventKind::Confirmed.detail_type() {
            let detail: ChangeDetail = serde_json::from_str(raw.get())?;
            if detail.direction == Direction::Slower {
                return Ok(Self::Slowdown(Box::new(detail)));
            }
        }
        let kind = EventKind::of_detail_type(&detail_type).filter(|_| source == EVENT_SOURCE);
        let Some(kind) = kind else { return Err(NoEvent::Other(source, detail_type)) };
        Ok(Self::Export(Box::new(Told { kind, detail: serde_json::from_str(raw.get())?, raw })))
    }
}

#[cfg(test)]
impl Told {
    /// Reads the body of a message about an organization.
    pub(crate) fn read(body: &str) -> Result<Self, NoEvent> {
        match Event::read(body)? {
            Event::Export(told) => Ok(*told),
            Event::Slowdown(_) => panic!("an event of no organization"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_the_bus_sends_it() {
        let told = Told::read(include_str!("../../../events/bus-period-final.json")).unwrap();
        assert_eq!((told.kind, told.detail.period.unwrap().to_string().as_str()), (EventKind::PeriodFinal, "2026-10"));
        let body = include_str!("../../../events/bus-period-final.json");
        for (from, to) in [("ai-aas.exports", "aws.s3"), ("PeriodFinal", "PeriodOver"), ("\"jobId\"", "\"job\"")] {
            assert!(Told::read(&body.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_slowdown_is_read_and_no_other_change() {
        let body = include_str!("../../../events/bus-ci-change-confirmed.json");
        let Event::Slowdown(detail) = Event::read(body).unwrap() else { panic!("a slowdown") };
        assert_eq!((detail.command.as_str(), detail.change_percent), ("make check", 30.0));
        for (from, to) in [("slower", "faster"), ("CiChangeConfirmed", "CiChangeWithdrawn"), ("ai-aas.ci", "other")] {
            assert!(Event::read(&body.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
