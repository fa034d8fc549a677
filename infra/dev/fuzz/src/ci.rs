//! What CI writes: documents, and their addresses.

use ci::{
    CiRun, TestRun,
    telemetry::{Found, MetricsBucket, ObjectRef, s3},
};
use jiff::Timestamp;

use crate::{input::Input, world::World};

/// 2025-11-09, after the times of the sample documents.
const NOW: Timestamp = Timestamp::constant(1_762_700_000, 0);

/// The input is a document. One that is accepted can be sent to the database as JSON; results of tests read back as they were.
pub(crate) fn document(bytes: &[u8]) {
    if let Ok(run) = TestRun::from_document(bytes, NOW) {
        let written = run.to_document().expect("it can be written");
        let again = TestRun::from_document(written.as_bytes(), NOW).expect("what is written can be read");
        assert_eq!(again.results, run.results);
    }
    match CiRun::from_document(bytes, NOW) {
        Ok(run) => {
            let extra: serde_json::Value = serde_json::from_str(&run.extra).expect("the other fields are JSON");
            assert!(extra.is_object(), "{extra}");
            assert!(run.started_at <= run.finished_at && !run.duration_seconds.is_sign_negative());
        }
        Err(invalid) => assert!(!invalid.mistakes().is_empty()),
    }
}

thread_local! {
    static BUCKET: (World, MetricsBucket) = {
        let world = World::start();
        let bucket = world.make(MetricsBucket::from_env);
        (world, bucket)
    };
}

/// The head of the input is a key as a notification has it, cut by a line from its sequencer; AWS answers with the rest.
pub(crate) fn object(bytes: &[u8]) {
    let input = Input::new(bytes);
    let head = String::from_utf8_lossy(input.head);
    let (key, sequencer) = head.split_once('\n').unwrap_or((&head, ""));
    let Some(key) = s3::decode_key(key) else { return };
    let version = s3::version_id(Some(sequencer.to_owned()));
    let object = ObjectRef { key, version, sequencer: s3::sequencer(sequencer) };
    BUCKET.with(|(world, bucket)| {
        if let Ok(Found::Document(_, document_bytes)) = world.run(input, bucket.read(object)) {
            document(&document_bytes);
        }
        let _ = world.run(input, bucket.keys("metrics/", ""));
    });
}
