//! The event of an invocation.

use domain::{Month, OrgId, month::InvalidMonth};
use jiff::{Timestamp, tz::TimeZone};
use lambda::Code;
use serde_json::Value;

/// The request of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The month to export.
    pub month: Month,
    /// The kind of request.
    pub kind: Kind,
    /// The time that the request is about: the event's of the schedule, else the present.
    pub at: Timestamp,
}

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The schedule's. Organizations whose figures are not final wait for the next one, unless it `is_last`.
    Scheduled {
        /// `true` at the last hour of the schedule.
        is_last: bool,
    },
    /// The schedule's, on a day on which only organizations with a schedule of their own get their exports.
    Daily {
        /// `true` at the last hour of the schedule.
        is_last: bool,
    },
    /// A person's: for the organizations that have no export yet, whether or not their figures are final.
    ByHand,
    /// A person's, for a further edition: of all organizations, or of one. The earlier exports stay.
    Again(Option<OrgId>),
}

impl Order {
    /// Reports whether organizations with a schedule of their own get their exports by it: those of the last month. Of an
    /// older one, which a person requests, they get them with everybody.
    pub(crate) fn has_own_schedules(&self) -> bool {
        !matches!(self.kind, Kind::Again(_)) && self.month == Month::last_complete(self.at)
    }

    /// Reports whether a later hour of the schedule continues what is left.
    pub fn is_continued(&self) -> bool {
        matches!(self.kind, Kind::Scheduled { is_last: false } | Kind::Daily { is_last: false })
    }
}

/// An event without a month that can be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEvent {
    /// It is of no known form.
    #[error(
        "the event is neither a schedule's nor {{\"month\": \"2024-01\"}}, with \"again\": true for a further \
         edition, of one \"organization\" or of all"
    )]
    Unknown,
    /// Its month is none.
    #[error("{0:?} {1}")]
    NoMonth(String, InvalidMonth),
    /// Its month has not ended.
    #[error("the month {0} is not over yet")]
    NotOver(Month),
}

impl Code for BadEvent {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "event_unknown",
            Self::NoMonth(..) => "no_month",
            Self::NotOver(_) => "month_not_over",
        }
    }
}

/// Reads `{"month": "2024-01"}`, or the event of a schedule's rule, which requests the month before the event's time. On
/// the 1st of a month it is for all organizations, on other days for those with a schedule of their own.
/// An empty event requests the month before `now`. `last_hour` is the last hour of the schedule, in UTC.
///
/// # Errors
/// When the event is of another form, or its month is not over.
pub fn read(event: &Value, last_hour: i8, now: Timestamp) -> Result<Order, BadEvent> {
    let fields = event.as_object().ok_or(BadEvent::Unknown)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).ok_or(BadEvent::Unknown);
    let order = if fields.is_empty() {
        Order { month: Month::last_complete(now), kind: Kind::ByHand, at: now }
    } else if fields.get("source").is_some_and(|source| source == "aws.events") {
        let at: Timestamp = text("time")?.parse().map_err(|_| BadEvent::Unknown)?;
        let time = TimeZone::UTC.to_datetime(at);
        let is_last = time.hour() >= last_hour;
        let kind = if time.day() == 1 { Kind::Scheduled { is_last } } else { Kind::Daily { is_last } };
        Order { month: Month::last_complete(at), kind, at }
    } else {
        let month = text("month")?;
        let month = month.parse().map_err(|invalid| BadEvent::NoMonth(month.to_owned(), invalid))?;
        let known = ["month", "again", "organization"];
        if fields.keys().any(|name| !known.contains(&name.as_str())) {
            return Err(BadEvent::Unknown);
        }
        let organization = match fields.get("organization") {
            None => None,
            Some(Value::String(id)) => Some(id.parse().map_err(|_| BadEvent::Unknown)?),
            Some(_) => return Err(BadEvent::Unknown),
        };
        let kind = match (fields.get("again"), organization) {
            (None | Some(Value::Bool(false)), None) => Kind::ByHand,
            (Some(Value::Bool(true)), organization) => Kind::Again(organization),
            _ => return Err(BadEvent::Unknown),
        };
        Order { month, kind, at: now }
    };
    if order.month < Month::of(now) { Ok(order) } else { Err(BadEvent::NotOver(order.month)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ORG: &str = "123e4567-e89b-12d3-a456-426614174000";
    const FIRST: Kind = Kind::Scheduled { is_last: false };

    fn order(event: Value) -> Result<(String, Kind), BadEvent> {
        let now = "2024-03-01T03:00:07Z".parse().unwrap();
        read(&event, 8, now).map(|order| (order.month.to_string(), order.kind))
    }

    #[test]
    fn the_schedule_means_the_month_before_its_time() {
        let event = |time: &str| {
            let kind = "Scheduled Event";
            json!({"version": "0", "source": "aws.events", "detail-type": kind, "detail": {}, "time": time})
        };
        assert_eq!(order(event("2024-03-01T03:00:00Z")), Ok(("2024-02".to_owned(), FIRST)));
        let sample = serde_json::from_str(include_str!("../../../events/monthly-schedule.json")).unwrap();
        assert_eq!(order(sample), Ok(("2024-01".to_owned(), FIRST)));
        // Delivered late, it means what it meant.
        assert_eq!(order(event("2024-01-01T07:59:59Z")), Ok(("2023-12".to_owned(), FIRST)));
        let last = Kind::Scheduled { is_last: true };
        assert_eq!(order(event("2024-01-01T08:00:00Z")), Ok(("2023-12".to_owned(), last)));
        let daily = |is_last| Kind::Daily { is_last };
        assert_eq!(order(event("2024-01-15T03:00:00Z")), Ok(("2023-12".to_owned(), daily(false))));
        assert_eq!(order(event("2024-02-29T08:00:00Z")), Ok(("2024-01".to_owned(), daily(true))));
        assert_eq!(order(event("yesterday")), Err(BadEvent::Unknown));
    }

    #[test]
    fn a_person_names_the_month() {
        assert_eq!(order(json!({"month": "2024-01"})), Ok(("2024-01".to_owned(), Kind::ByHand)));
        assert_eq!(order(json!({})), Ok(("2024-02".to_owned(), Kind::ByHand)));
        let error = order(json!({"month": "2024-13"})).unwrap_err();
        assert_eq!(error.to_string(), "\"2024-13\" is not a month; write it as 2024-01");
        for event in [json!({"mnoth": "2024-01"}), json!({"month": 1}), json!([]), json!(null)] {
            assert_eq!(order(event.clone()), Err(BadEvent::Unknown), "{event}");
        }
        assert_eq!(order(json!({"month": "2024-01", "force": true})), Err(BadEvent::Unknown));
    }

    #[test]
    fn a_person_may_request_a_further_edition() {
        let january = "2024-01".to_owned();
        let again =
            |organization: Value| order(json!({"month": "2024-01", "again": true, "organization": organization}));
        assert_eq!(order(json!({"month": "2024-01", "again": true})), Ok((january.clone(), Kind::Again(None))));
        assert_eq!(again(json!(ORG)), Ok((january, Kind::Again(Some(ORG.parse().unwrap())))));
        for organization in [json!("x"), json!(null), json!(1)] {
            assert_eq!(again(organization.clone()), Err(BadEvent::Unknown), "{organization}");
        }
        assert_eq!(order(json!({"month": "2024-01", "organization": ORG})), Err(BadEvent::Unknown));
        assert_eq!(order(json!({"month": "2024-01", "again": "yes"})), Err(BadEvent::Unknown));
    }

    #[test]
    fn a_month_has_to_be_over() {
        let not_over = |month: &str| Err(BadEvent::NotOver(month.parse().unwrap()));
        assert_eq!(order(json!({"month": "2024-03"})), not_over("2024-03"));
        assert_eq!(order(json!({"month": "2024-04"})), not_over("2024-04"));
    }
}
