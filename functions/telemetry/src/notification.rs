//! What S3 says when objects change.

use ci::{Sequencer, object::decode_key, telemetry::Tip};
use serde::Deserialize;

/// Where CI writes, and what its documents end in. The bucket's notification has the same filter; an event sent by hand,
/// or by another rule, need not.
const PREFIX: &str = "metrics/";
const SUFFIX: &str = ".json";

/// A notification, of which only what is needed here is read: S3 adds fields as it likes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Notification {
    /// Changes of objects.
    Changes {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    /// What S3 sends once, when notifications are configured.
    Test {
        #[serde(rename = "Event")]
        event: TestEvent,
    },
}

/// The name of the test event.
#[derive(Debug, Deserialize)]
pub(crate) enum TestEvent {
    #[serde(rename = "s3:TestEvent")]
    Test,
}

/// A change of one object.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    #[serde(rename = "eventName")]
    event: String,
    s3: Entity,
}

#[derive(Debug, Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    /// Encoded as in an HTML form: `+` is a space, and `%2B` a plus.
    key: String,
    version_id: Option<String>,
    #[serde(default)]
    sequencer: String,
}

/// Why a record is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Irrelevant {
    #[error("nothing was created")]
    NotCreated,
    #[error("it is of another bucket")]
    OtherBucket,
    #[error("its key is not of the form metrics/….json")]
    OtherKey,
}

impl Notification {
    /// The records; none of a test event.
    pub(crate) fn into_records(self) -> impl Iterator<Item = Record> {
        let records = match self {
            Self::Changes { records } => records,
            Self::Test { event: TestEvent::Test } => Vec::new(),
        };
        records.into_iter()
    }
}

impl Record {
    /// The document in `bucket` that is new by this record.
    pub(crate) fn tip(&self, bucket: &str) -> Result<Tip, Irrelevant> {
        // With the prefix in messages that S3 relays through other services, without it in notifications.
        if !self.event.trim_start_matches("s3:").starts_with("ObjectCreated:") {
            return Err(Irrelevant::NotCreated);
        }
        if self.s3.bucket.name != bucket {
            return Err(Irrelevant::OtherBucket);
        }
        let object = &self.s3.object;
        let key = decode_key(&object.key).filter(|key| key.starts_with(PREFIX) && key.ends_with(SUFFIX));
        Ok(Tip {
            key: key.ok_or(Irrelevant::OtherKey)?,
            version: object.version_id.clone().filter(|version| version != "null"),
            sequencer: Sequencer::new(&object.sequencer),
        })
    }

    /// The key as it was sent, for the log.
    pub(crate) fn raw_key(&self) -> &str {
        &self.s3.object.key
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn record(event: &str, bucket: &str, object: Value) -> Record {
        let record = json!({"eventName": event, "eventVersion": "9.9",
                            "s3": {"bucket": {"name": bucket, "new": 1}, "object": object}});
        serde_json::from_value(record).unwrap()
    }

    fn tip(key: &str) -> Result<Tip, Irrelevant> {
        record("ObjectCreated:Put", "bucket", json!({"key": key, "size": 1})).tip("bucket")
    }

    #[test]
    fn a_key_is_decoded_once() {
        for (sent, key) in [
            ("metrics/2025/11/08/ci-001.json", "metrics/2025/11/08/ci-001.json"),
            ("metrics/2025/11/08/user-org-service/ci-001.json", "metrics/2025/11/08/user-org-service/ci-001.json"),
            ("metrics/a+b.json", "metrics/a b.json"),
            ("metrics/a%20b.json", "metrics/a b.json"),
            ("metrics/a%2Bb.json", "metrics/a+b.json"),
            ("metrics/a%252Bb.json", "metrics/a%2Bb.json"),
            ("metrics/caf%C3%A9.json", "metrics/café.json"),
            ("metrics%2Fa.json", "metrics/a.json"),
            ("metrics/100%.json", "metrics/100%.json"),
        ] {
            assert_eq!(tip(sent).map(|tip| tip.key).as_deref(), Ok(key), "{sent}");
        }
    }

    #[test]
    fn a_record_tells_of_a_version() {
        let object = json!({"key": "metrics/a.json", "versionId": "v1", "sequencer": "0055AED6DCD90281E0"});
        let tip = record("s3:ObjectCreated:CompleteMultipartUpload", "bucket", object).tip("bucket").unwrap();
        let sequencer = Sequencer::new("0055AED6DCD90281E");
        assert_eq!(tip, Tip { key: "metrics/a.json".to_owned(), version: Some("v1".to_owned()), sequencer });
        let unversioned = record("ObjectCreated:Copy", "bucket", json!({"key": "metrics/a.json", "versionId": "null"}));
        assert_eq!(unversioned.tip("bucket").unwrap().version, None);
    }

    #[test]
    fn what_is_no_new_document_is_passed_over() {
        for key in ["metrics/a.txt", "other/a.json", "metrics/%FF.json", "metrics/%00.json", "", "metrics/a.json%20"] {
            assert_eq!(tip(key), Err(Irrelevant::OtherKey), "{key}");
        }
        let object = json!({"key": "metrics/a.json"});
        for event in ["ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "ObjectRestore:Completed"] {
            assert_eq!(record(event, "bucket", object.clone()).tip("bucket"), Err(Irrelevant::NotCreated), "{event}");
        }
        assert_eq!(record("ObjectCreated:Put", "other", object).tip("bucket"), Err(Irrelevant::OtherBucket));
    }

    #[test]
    fn a_test_event_has_no_records() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2025-11-08T15:06:08.000Z",
                          "Bucket": "bucket", "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3e"});
        let notification: Notification = serde_json::from_value(test).unwrap();
        assert_eq!(notification.into_records().count(), 0);
        for other in [json!({}), json!({"Event": "s3:Other"}), json!({"Records": [{}]}), json!([])] {
            assert!(serde_json::from_value::<Notification>(other.clone()).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_s3_encodes_is_read_as_it_was(name in "[^\\x00]{1,20}") {
            let key = format!("metrics/{name}.json");
            // As S3 does it: spaces become plus signs, slashes stay.
            let sent = utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string().replace("%20", "+").replace("%2F", "/");
            prop_assert_eq!(tip(&sent).map(|tip| tip.key), Ok(key));
        }

        #[test]
        fn no_key_makes_the_reader_panic(key in "\\PC{0,30}|[%0-9A-Fa-f+]{0,30}") {
            let _ = tip(&key);
        }
    }
}
