//! The event of an invocation.

use domain::{Month, month::InvalidMonth};
use jiff::Timestamp;
use serde_json::Value;

/// The request of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// The month to export.
    pub(crate) month: Month,
    /// `true` if a person requested it. The schedule's request is done once; a person may repeat it for organizations
    /// whose usage arrived late.
    pub(crate) by_hand: bool,
}

/// An event without a month that can be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEvent {
    #[error("the event is neither a schedule's nor {{\"month\": \"2024-01\"}}")]
    Unknown,
    #[error("{0:?} {1}")]
    NoMonth(String, InvalidMonth),
    #[error("the month {0} is not over yet")]
    NotOver(Month),
}

/// Reads `{"month": "2024-01"}`, or the event of a schedule's rule, which requests the month before the event's time.
/// An empty event requests the month before `now`.
pub(crate) fn read(event: &Value, now: Timestamp) -> Result<Order, BadEvent> {
    let fields = event.as_object().ok_or(BadEvent::Unknown)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).ok_or(BadEvent::Unknown);
    let order = if fields.is_empty() {
        Order { month: Month::last_complete(now), by_hand: true }
    } else if fields.get("source").is_some_and(|source| source == "aws.events") {
        let at: Timestamp = text("time")?.parse().map_err(|_| BadEvent::Unknown)?;
        Order { month: Month::last_complete(at), by_hand: false }
    } else if fields.len() == 1 {
        let month = text("month")?;
        let month = month.parse().map_err(|invalid| BadEvent::NoMonth(month.to_owned(), invalid))?;
        Order { month, by_hand: true }
    } else {
        return Err(BadEvent::Unknown);
    };
    if order.month < Month::of(now) { Ok(order) } else { Err(BadEvent::NotOver(order.month)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(event: Value) -> Result<(String, bool), BadEvent> {
        let now = "2024-03-01T03:00:07Z".parse().unwrap();
        read(&event, now).map(|order| (order.month.to_string(), order.by_hand))
    }

    #[test]
    fn the_schedule_means_the_month_before_its_time() {
        let event = |time: &str| {
            let kind = "Scheduled Event";
            json!({"version": "0", "source": "aws.events", "detail-type": kind, "detail": {}, "time": time})
        };
        assert_eq!(order(event("2024-03-01T03:00:00Z")), Ok(("2024-02".to_owned(), false)));
        let sample = serde_json::from_str(include_str!("../../../events/monthly-schedule.json")).unwrap();
        assert_eq!(order(sample), Ok(("2024-01".to_owned(), false)));
        // Delivered late, it means what it meant.
        assert_eq!(order(event("2024-01-01T03:00:00Z")), Ok(("2023-12".to_owned(), false)));
        assert_eq!(order(event("yesterday")), Err(BadEvent::Unknown));
    }

    #[test]
    fn a_person_names_the_month() {
        assert_eq!(order(json!({"month": "2024-01"})), Ok(("2024-01".to_owned(), true)));
        assert_eq!(order(json!({})), Ok(("2024-02".to_owned(), true)));
        let error = order(json!({"month": "2024-13"})).unwrap_err();
        assert_eq!(error.to_string(), "\"2024-13\" is not a month; write it as 2024-01");
        for event in [json!({"mnoth": "2024-01"}), json!({"month": 1}), json!([]), json!(null)] {
            assert_eq!(order(event.clone()), Err(BadEvent::Unknown), "{event}");
        }
        assert_eq!(order(json!({"month": "2024-01", "force": true})), Err(BadEvent::Unknown));
    }

    #[test]
    fn a_month_has_to_be_over() {
        let not_over = |month: &str| Err(BadEvent::NotOver(month.parse().unwrap()));
        assert_eq!(order(json!({"month": "2024-03"})), not_over("2024-03"));
        assert_eq!(order(json!({"month": "2024-04"})), not_over("2024-04"));
    }
}
