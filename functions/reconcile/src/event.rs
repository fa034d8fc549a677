//! The event of an invocation.

use domain::OrgId;
use lambda::Code;
use serde_json::Value;

/// The request of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The organizations whose turn it is.
    Sample,
    /// A person's: this organization.
    One(OrgId),
}

/// An event of another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event is neither a schedule's nor {{\"organization\": \"<id>\"}}")]
pub(crate) struct BadEvent;

impl Code for BadEvent {
    fn code(&self) -> &'static str {
        "event_unknown"
    }
}

/// Reads `{"organization": "<id>"}`, the event of a schedule's rule, or an empty one, which requests the same.
pub(crate) fn read(event: &Value) -> Result<Order, BadEvent> {
    let fields = event.as_object().ok_or(BadEvent)?;
    if fields.is_empty() || fields.get("source").is_some_and(|source| source == "aws.events") {
        return Ok(Order::Sample);
    }
    match (fields.get("organization"), fields.len()) {
        (Some(Value::String(id)), 1) => id.parse().map(Order::One).map_err(|_| BadEvent),
        _ => Err(BadEvent),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ORG: &str = "123e4567-e89b-12d3-a456-426614174000";

    #[test]
    fn an_event_means_a_sample_or_one_organization() {
        let schedule = serde_json::from_str(include_str!("../../../events/reconcile-schedule.json")).unwrap();
        assert_eq!((read(&schedule), read(&json!({}))), (Ok(Order::Sample), Ok(Order::Sample)));
        assert_eq!(read(&json!({"organization": ORG})), Ok(Order::One(ORG.parse().unwrap())));
    }

    #[test]
    fn any_other_event_is_refused() {
        for event in [
            json!(null),
            json!([]),
            json!({"organisation": ORG}),
            json!({"organization": "x"}),
            json!({"organization": ORG, "month": "2024-01"}),
        ] {
            assert_eq!(read(&event), Err(BadEvent), "{event}");
        }
    }
}
