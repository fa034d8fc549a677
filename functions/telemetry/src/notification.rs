//! Notifications of S3 about changed objects.

use ci::telemetry::{ObjectRef, s3};
use serde::Deserialize;

/// The prefix and the suffix of the keys of CI's documents. The bucket's notification has the same filter; an event
/// that was sent by hand, or by another rule, need not.
const PREFIX: &str = "metrics/";
const SUFFIX: &str = ".json";

/// A notification. Fields that are not needed here are ignored, since S3 may add more.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Notification {
    /// Changes of objects.
    Changes {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    /// The test event that S3 sends when notifications are configured.
    Test {
        #[serde(rename = "Event")]
        event: TestEvent,
    },
}

/// The name of the test event.
#[derive(Debug, Deserialize)]
pub enum TestEvent {
    #[serde(rename = "s3:TestEvent")]
    Test,
}

/// A change of one object.
#[derive(Debug, Deserialize)]
pub struct Record {
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

/// The reason for which a record is ignored.
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
    /// Returns the records. A test event has none.
    pub(crate) fn into_records(self) -> impl Iterator<Item = Record> {
        let records = match self {
            Self::Changes { records } => records,
            Self::Test { event: TestEvent::Test } => Vec::new(),
        };
        records.into_iter()
    }
}

impl Record {
    /// Returns the new document in `bucket` that the record is about.
    pub(crate) fn object(&self, bucket: &str) -> Result<ObjectRef, Irrelevant> {
        // Notifications have no prefix; messages that come by way of other services have one.
        if !self.event.trim_start_matches("s3:").starts_with("ObjectCreated:") {
            return Err(Irrelevant::NotCreated);
        }
        if self.s3.bucket.name != bucket {
            return Err(Irrelevant::OtherBucket);
        }
        let object = &self.s3.object;
        let key = s3::decode_key(&object.key).filter(|key| key.starts_with(PREFIX) && key.ends_with(SUFFIX));
        Ok(ObjectRef {
            key: key.ok_or(Irrelevant::OtherKey)?,
            version: s3::version_id(object.version_id.clone()),
            sequencer: s3::sequencer(&object.sequencer),
        })
    }

    /// Returns the key as it was sent, for the log.
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

    fn object(key: &str) -> Result<ObjectRef, Irrelevant> {
        record("ObjectCreated:Put", "bucket", json!({"key": key, "size": 1})).object("bucket")
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
            assert_eq!(object(sent).map(|object| object.key).as_deref(), Ok(key), "{sent}");
        }
    }

    #[test]
    fn a_record_names_a_version() {
        let value = json!({"key": "metrics/a.json", "versionId": "v1", "sequencer": "0055AED6DCD90281E0"});
        let found = record("s3:ObjectCreated:CompleteMultipartUpload", "bucket", value).object("bucket").unwrap();
        let sequencer = s3::sequencer("0055AED6DCD90281E");
        assert_eq!(found, ObjectRef { key: "metrics/a.json".to_owned(), version: Some("v1".to_owned()), sequencer });
        let unversioned = record("ObjectCreated:Copy", "bucket", json!({"key": "metrics/a.json", "versionId": "null"}));
        assert_eq!(unversioned.object("bucket").unwrap().version, None);
    }

    #[test]
    fn records_of_other_changes_are_ignored() {
        for key in ["metrics/a.txt", "other/a.json", "metrics/%FF.json", "metrics/%00.json", "", "metrics/a.json%20"] {
            assert_eq!(object(key), Err(Irrelevant::OtherKey), "{key}");
        }
        let value = json!({"key": "metrics/a.json"});
        for event in ["ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "ObjectRestore:Completed"] {
            assert_eq!(record(event, "bucket", value.clone()).object("bucket"), Err(Irrelevant::NotCreated), "{event}");
        }
        assert_eq!(record("ObjectCreated:Put", "other", value).object("bucket"), Err(Irrelevant::OtherBucket));
    }

    #[test]
    fn a_test_event_has_no_records() {
        let test = json!({
            "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2025-11-08T15:06:08.000Z",
            "Bucket": "bucket", "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3e",
        });
        let notification: Notification = serde_json::from_value(test).unwrap();
        assert_eq!(notification.into_records().count(), 0);
        for other in [json!({}), json!({"Event": "s3:Other"}), json!({"Records": [{}]}), json!([])] {
            assert!(serde_json::from_value::<Notification>(other.clone()).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn an_encoded_key_is_decoded_to_itself(name in "[^\\x00]{1,20}") {
            let key = format!("metrics/{name}.json");
            // The encoding of S3: spaces become plus signs, slashes stay.
            let sent = utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string().replace("%20", "+").replace("%2F", "/");
            prop_assert_eq!(object(&sent).map(|object| object.key), Ok(key));
        }

        #[test]
        fn no_key_makes_the_reader_panic(key in "\\PC{0,30}|[%0-9A-Fa-f+]{0,30}") {
            let _ = object(&key);
        }
    }
}
