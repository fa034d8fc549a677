//! The event of a file that was made, as the event bus hands it over.

use domain::{EventKind, event::Detail};
use jobs::EVENT_SOURCE;
use serde::Deserialize;

/// A message that is not such an event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEvent {
    /// It is of another form.
    #[error("the message is not an event")]
    Form(#[from] serde_json::Error),
    /// It tells of something else.
    #[error("the event is of another source or kind: {0} {1}")]
    Other(String, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope {
    source: String,
    detail_type: String,
    detail: Detail,
}

/// Reads the body of a message.
pub(crate) fn read(body: &str) -> Result<Detail, NoEvent> {
    let Envelope { source, detail_type, detail } = serde_json::from_str(body)?;
    if source == EVENT_SOURCE && EventKind::of_detail_type(&detail_type) == Some(EventKind::ExportSucceeded) {
        Ok(detail)
    } else {
        Err(NoEvent::Other(source, detail_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_was_made_is_delivered() {
        assert!(read(include_str!("../../../events/bus-export-succeeded.json")).is_ok());
        for other in [
            include_str!("../../../events/bus-export-failed.json"),
            include_str!("../../../events/bus-period-final.json"),
            "{}",
            "x",
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }
}
