//! The store of exports, whichever it is: uploads of any size, attempts that are aborted, lost or late, and signed links.

use aws_config::BehaviorVersion;
use aws_sdk_s3::presigning::PresigningConfig;
use domain::{Claim, ClaimedJob, ExportFile, Retention, Totals};
use jiff::{SignedDuration, Timestamp};
use objects::{ExportObject, ExportStore, Upload};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tests::{Answer, Organization, Stack, poll::until};

const MIB: usize = 1 << 20;
const RETENTION: Retention = Retention { rollups_months: 13, files_days: 90 };

async fn store() -> ExportStore {
    platform::tls::install_crypto();
    ExportStore::from_env(&aws_config::load_defaults(BehaviorVersion::latest()).await).unwrap()
}

#[tokio::test]
async fn a_link_that_the_store_refuses_is_found_before_a_person_follows_one() {
    platform::tls::install_crypto();
    let http = platform::http::client();
    store().await.check_links(&http).await.unwrap();
    // A key of the store's own would take precedence over the wrong one.
    if std::env::var_os("EXPORTS_ACCESS_KEY_ID").is_some() {
        return;
    }
    let id = std::env::var("AWS_ACCESS_KEY_ID").unwrap();
    let wrong = aws_credential_types::Credentials::new(id, "wrong", None, None, "test");
    let sdk = aws_config::defaults(BehaviorVersion::latest()).credentials_provider(wrong).load().await;
    let refused = ExportStore::from_env(&sdk).unwrap().check_links(&http).await.unwrap_err();
    assert!(refused.is_refused(), "{refused:?}");
}

/// The bytes of a file, different for each attempt, and its facts.
fn file(size: usize, attempt: u8) -> (Vec<u8>, ExportFile) {
    let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8 ^ attempt).collect();
    let file = ExportFile {
        software: None,
        checksum: format!("sha256:{}", hex::encode(Sha256::digest(&bytes))),
        bytes: size as u64,
        row_count: 0,
        totals: Totals::default(),
        rounding_difference: None,
        completeness: None,
        days: None,
        tag: None,
    };
    (bytes, file)
}

/// Claims the job as a worker does after the lease before has expired.
async fn claim(org: &Organization<'_>, claimed: &ClaimedJob) -> ClaimedJob {
    let job = claimed.job();
    let now = Timestamp::now() + SignedDuration::from_hours(2);
    let claim = Claim { now, lease_until: now + SignedDuration::from_hours(1), sent_at: now };
    org.stack.jobs.claim(job.org(), job.id(), claim).await.unwrap()
}

async fn write(upload: &mut Upload, bytes: &[u8]) {
    for piece in bytes.chunks(MIB + 1) {
        upload.write(piece).await.unwrap();
    }
}

async fn read(store: &ExportStore, object: &ExportObject) -> Option<String> {
    let mut bytes = store.read(object).await.unwrap()?;
    let mut hash = Sha256::new();
    while let Some(piece) = bytes.next().await.unwrap() {
        hash.update(&piece);
    }
    Some(format!("sha256:{}", hex::encode(hash.finalize())))
}

/// Waits until an organization's prefix has this many objects and unfinished uploads.
async fn left_over(org: &Organization<'_>, objects: usize, uploads: usize) {
    let prefix = format!("analytics/exports/{}/", org.id);
    until("the store has what it should", Duration::from_secs(10), async || {
        let found = (org.stack.objects.keys(&prefix).await.len(), org.stack.objects.open_uploads(&prefix).await.len());
        if found == (objects, uploads) { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test]
async fn files_of_every_size_are_stored_whole() {
    let stack = Stack::from_env().await;
    let store = store().await;
    // Around the size of a part, and of 17 parts.
    for size in [1, 8 * MIB, 8 * MIB + 1, 130 * MIB] {
        let org = stack.organization();
        let claimed = org.claim(&org.add_unqueued().await).await;
        let (bytes, file) = file(size, 0);
        let mut upload = store.upload(&claimed);
        write(&mut upload, &bytes).await;
        upload.finish(&file).await.unwrap_or_else(|error| panic!("{size}: {error:?}"));
        left_over(&org, 1, 0).await;
        let found = read(&store, &ExportObject::of_attempt(&claimed)).await;
        assert_eq!(found.as_ref(), Some(&file.checksum), "{size}");
        upload.remove().await;
        left_over(&org, 0, 0).await;
    }
}

#[tokio::test]
async fn an_upload_of_another_size_than_the_file_is_an_error_and_leaves_nothing() {
    let stack = Stack::from_env().await;
    let store = store().await;
    for size in [5, 9 * MIB] {
        let org = stack.organization();
        let claimed = org.claim(&org.add_unqueued().await).await;
        let (bytes, mut file) = file(size, 0);
        file.bytes += 1;
        let mut upload = store.upload(&claimed);
        write(&mut upload, &bytes).await;
        let error = upload.finish(&file).await.unwrap_err();
        assert!(platform::log::Causes(&error).to_string().contains("bytes"), "{error:?}");
        upload.abort().await;
        left_over(&org, 0, 0).await;
    }
}

#[tokio::test]
async fn an_attempt_that_is_aborted_or_lost_leaves_nothing_for_long() {
    let stack = Stack::from_env().await;
    let store = store().await;
    let org = stack.organization();
    let first = org.claim(&org.add_unqueued().await).await;
    let (bytes, file) = file(20 * MIB, 0);
    let mut upload = store.upload(&first);
    write(&mut upload, &bytes).await;
    upload.abort().await;
    left_over(&org, 0, 0).await;

    // Killed amid its parts, and once it was whole.
    let mut amid = store.upload(&first);
    write(&mut amid, &bytes).await;
    left_over(&org, 0, 1).await;
    drop(amid);
    let mut whole = store.upload(&first);
    write(&mut whole, &bytes).await;
    whole.finish(&file).await.unwrap();
    left_over(&org, 1, 1).await;
    drop(whole);
    let second = claim(&org, &first).await;
    store.upload(&second).remove_earlier_attempts().await;
    left_over(&org, 0, 0).await;
}

#[tokio::test]
async fn a_late_attempt_changes_nothing_of_the_winners() {
    let stack = Stack::from_env().await;
    let store = store().await;
    for size in [5, 9 * MIB] {
        let org = stack.organization();
        let first = org.claim(&org.add_unqueued().await).await;
        let (late_bytes, late_file) = file(size, 1);
        let mut late = store.upload(&first);
        write(&mut late, &late_bytes).await;

        let second = claim(&org, &first).await;
        let (bytes, file) = file(size, 2);
        let mut upload = store.upload(&second);
        write(&mut upload, &bytes).await;
        upload.finish(&file).await.unwrap();
        let done = second.complete(file.clone(), Timestamp::now(), RETENTION);
        let done = stack.jobs.finish(done).await.unwrap();

        late.finish(&late_file).await.unwrap();
        let refused = stack.jobs.finish(first.complete(late_file, Timestamp::now(), RETENTION)).await;
        assert!(refused.is_err(), "the claim is lost");
        let object = ExportObject::of(&done);
        assert_eq!(read(&store, &object).await.as_ref(), Some(&file.checksum), "{size}");
        late.remove().await;
        left_over(&org, 1, 0).await;
        assert_eq!(read(&store, &object).await, Some(file.checksum), "{size}");
        // The link leads to the winner's file, too.
        let link = org.link(done.id().uuid()).await;
        assert_eq!(Answer::to(stack.api.get_url(&link)).await.expect(200).body, bytes);
    }
}

#[tokio::test]
async fn a_large_file_is_verified_by_what_its_store_said_at_the_upload() {
    let stack = Stack::from_env().await;
    let store = store().await;
    let org = stack.organization();
    let claimed = org.claim(&org.add_unqueued().await).await;
    // More than is read: the last of nine parts has a byte.
    let (mut bytes, mut file) = file(64 * MIB + 1, 0);
    let upload = async |bytes: &[u8]| {
        let mut upload = store.upload(&claimed);
        write(&mut upload, bytes).await;
        upload.finish(&file).await.unwrap()
    };
    let tag = upload(&bytes).await;
    assert!(tag.is_some(), "every store has tags");
    bytes[40 * MIB] ^= 1;
    let replaced = upload(&bytes).await;
    assert_ne!(replaced, tag, "a byte of a part in the middle");
    file.tag = tag;
    let done = stack.jobs.finish(claimed.complete(file.clone(), Timestamp::now(), RETENTION)).await.unwrap();

    let path = format!("/{}/reconciliation?verify=file", done.id());
    let verify = async || -> Value { org.get(&path).await.expect(200).json() };
    let found = verify().await;
    assert_eq!(
        (&found["status"], &found["file"]),
        (&json!("mismatch"), &json!({"method": "store", "isIntact": false}))
    );
    let note = found["notes"][0].as_str().unwrap();
    assert!(note.contains("another size, tag or checksum") && note.contains("Download the file"), "{note}");

    bytes[40 * MIB] ^= 1;
    let mut again = store.upload(&claimed);
    write(&mut again, &bytes).await;
    assert_eq!(again.finish(&file).await.unwrap(), file.tag, "the same bytes in the same parts");
    let found = verify().await;
    assert_eq!(
        (&found["status"], &found["file"]),
        (&json!("reconciled"), &json!({"method": "store", "isIntact": true}))
    );

    again.remove().await;
    let found = verify().await;
    assert_eq!(
        (&found["status"], &found["file"]),
        (&json!("mismatch"), &json!({"method": "store", "isIntact": false}))
    );
}

#[tokio::test]
async fn a_link_ends_with_its_time() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let claimed = org.claim(&org.add_unqueued().await).await;
    let (bytes, file) = file(5, 0);
    let mut upload = store().await.upload(&claimed);
    write(&mut upload, &bytes).await;
    upload.finish(&file).await.unwrap();
    let objects = &stack.objects;
    let request = objects.client.get_object().bucket(&objects.bucket).key(ExportObject::of_attempt(&claimed).key());
    let link = request.presigned(PresigningConfig::expires_in(Duration::from_secs(2)).unwrap()).await.unwrap();
    let get = async || Answer::to(stack.api.get_url(link.uri())).await.status;
    assert_eq!(get().await, 200);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(get().await, 403);
}
