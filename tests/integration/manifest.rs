//! Manifests, their signatures and keys, and packs.

use std::{collections::BTreeSet, io::Read as _, path::Path, process::Command};

use jiff::ToSpan as _;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Export, Organization, Problem, Rollup, Stack, Table, organization::export_of, program::program};
use uuid::Uuid;

/// A finished export of two lines.
async fn exported(org: &Organization<'_>) -> Export {
    let rollups = [
        Rollup::new("2024-01-01T00:00:00Z", Some(Uuid::new_v4()), [10, 200, 1], "1.5000"),
        Rollup::new("2024-01-31T00:00:00Z", None, [1, 2, 0], "-0.2500"),
    ];
    org.insert(Table::Daily, &rollups).await;
    org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await
}

async fn manifest(org: &Organization<'_>, job: Uuid) -> Answer {
    org.get(&format!("/{job}/manifest")).await.expect(200)
}

async fn keys(stack: &Stack) -> Vec<Value> {
    let answer = Answer::to(stack.api.request(Method::GET, "/keys")).await.expect(200);
    answer.json::<Value>()["keys"].as_array().unwrap().clone()
}

async fn pem(stack: &Stack, id: &str) -> Vec<u8> {
    Answer::to(stack.api.request(Method::GET, &format!("/keys/{id}"))).await.expect(200).body
}

/// A folder of a test's own.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(Uuid::new_v4().to_string());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    /// Runs a program in the folder; returns its exit status and all that it wrote.
    fn run(&self, mut command: Command) -> (Option<i32>, String) {
        let output = command.current_dir(&self.0).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    fn tool(&self, line: &str) -> (Option<i32>, String) {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        self.run(command)
    }

    fn verify(&self, arguments: &str) -> (Option<i32>, String) {
        let mut command = program("analytics");
        // Nothing but files: no address, no token.
        command.env_clear().arg("verify").args(arguments.split_whitespace());
        self.run(command)
    }

    /// Unpacks a zip into the folder; returns the names.
    fn unpack(&self, zip: &[u8]) -> BTreeSet<String> {
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
        let mut names = BTreeSet::new();
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).unwrap();
            let name = entry.name().unwrap().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            drop(entry);
            self.write(&name, &bytes);
            names.insert(name);
        }
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_manifest_states_what_the_job_does_and_is_the_same_each_time() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let export = exported(&org).await;
    let job = &export.job;
    let first = manifest(&org, job.job_id).await;
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(manifest(&org, job.job_id).await.body, first.body);
    let stated: Value = first.json();
    assert_eq!(stated["schemaVersion"], 1);
    assert_eq!((&stated["jobId"], &stated["orgId"]), (&json!(job.job_id), &json!(org.id)));
    assert_eq!((&stated["origin"], &stated["initiatedBy"]), (&json!("user"), &json!(org.user)));
    assert_eq!(stated["softwareVersion"], "dev");
    assert_eq!(stated["timeZone"], "UTC");
    assert_eq!(
        stated["request"],
        json!({
            "timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}, "granularity": "daily",
        })
    );
    assert_eq!(stated["file"]["bytes"], export.bytes.len());
    assert_eq!(format!("sha256:{}", stated["file"]["sha256"].as_str().unwrap()), job.checksum.clone().unwrap());
    assert_eq!(stated["file"]["rowCount"], 2);
    assert_eq!(
        stated["totals"],
        json!({"requestCount": 11, "tokensTotal": 202, "errorCount": 1, "costTotal": "1.2500"})
    );
    assert_eq!(stated["completeness"]["status"], job.completeness.as_ref().unwrap().status);
    let columns = stated["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap());
    assert_eq!(columns.collect::<Vec<_>>().join(","), export.text().lines().next().unwrap());
    assert_eq!(stated["columns"][6]["unit"], "USD");

    // Usage that changes later changes nothing that was stated.
    org.insert(Table::Daily, &[Rollup::new("2024-01-02T00:00:00Z", None, [1, 1, 0], "1.0000")]).await;
    assert_eq!(manifest(&org, job.job_id).await.body, first.body);
    // Nor does the end of the file.
    expire(&stack, &org, job.job_id).await;
    assert_eq!(manifest(&org, job.job_id).await.body, first.body);
    org.get(&format!("/{}/pack", job.job_id)).await.expect(404);
}

/// Lets a job's file expire in its record.
async fn expire(stack: &Stack, org: &Organization<'_>, job: Uuid) {
    use aws_sdk_dynamodb::types::AttributeValue;
    let past = jiff::Timestamp::now().checked_sub(1.hour()).unwrap();
    let update = stack.dynamodb.update_item().table_name(tests::stack::variable("JOBS_TABLE"));
    let update = update.key("pk", AttributeValue::S(format!("ORG#{}", org.id)));
    let update = update.key("sk", AttributeValue::S(format!("JOB#{job}")));
    let update =
        update.condition_expression("attribute_exists(expires_at)").update_expression("set expires_at = :past");
    update.expression_attribute_values(":past", AttributeValue::S(past.to_string())).send().await.unwrap();
    assert_eq!(org.show(job).await.status, "expired");
}

#[tokio::test]
async fn a_manifest_needs_a_file_and_the_permission_to_read() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let waits = org.add_unqueued().await.id();
    for path in ["manifest", "manifest/signature", "pack"] {
        let answer = org.get(&format!("/{waits}/{path}")).await.expect(404);
        assert_eq!(answer.json::<Problem>().slug(), "export-not-ready", "{path}");
    }
    let user = Uuid::new_v4().to_string();
    for (permission, path, status) in [
        ("analytics:exports:read", "manifest", 404),
        ("analytics:exports:download", "manifest", 403),
        ("analytics:exports:read", "pack", 403),
        ("analytics:exports:read analytics:exports:download", "pack", 403),
        ("analytics:exports:read analytics:exports:download analytics:audit:read", "pack", 404),
    ] {
        let token = stack.issuer.token(&user, &[org.id], permission);
        let answer = stack.api.get(&org.path(&format!("/{waits}/{path}")), &token).await;
        assert_eq!(answer.status, status, "{permission} {path}: {}", answer.text());
    }
}

#[tokio::test]
async fn openssl_verifies_a_signature_by_the_published_key() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = exported(&org).await.job.job_id;
    let folder = Folder::new();
    folder.write("manifest.json", &manifest(&org, job).await.body);
    let signature = org.get(&format!("/{job}/manifest/signature")).await.expect(200);
    folder.write("manifest.sig", &signature.body);
    let id = signature.header("key-id").unwrap();
    let keys = keys(&stack).await;
    assert!(keys.iter().any(|key| key["kid"] == id && key["alg"] == "ES256" && key.get("d").is_none()), "{keys:?}");
    folder.write("key.pem", &pem(&stack, id).await);
    let openssl = "openssl dgst -sha256 -verify key.pem -signature manifest.sig manifest.json";
    let (status, told) = folder.tool(openssl);
    assert_eq!((status, told.trim()), (Some(0), "Verified OK"));
    folder.write("manifest.json", b"{}");
    assert_eq!(folder.tool(openssl).0, Some(1));
    let missing = Answer::to(stack.api.request(Method::GET, "/keys/none")).await.expect(404);
    assert_eq!(missing.json::<Problem>().slug(), "no-such-key");
}

#[tokio::test]
async fn a_pack_verifies_offline_and_every_changed_file_is_named() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let export = exported(&org).await;
    let job = export.job.job_id;
    let pack = org.get(&format!("/{job}/pack")).await.expect(200);
    assert_eq!(pack.header("content-type"), Some("application/zip"));
    let folder = Folder::new();
    let names = folder.unpack(&pack.body);
    let csv = names.iter().find(|name| Path::new(name).extension().is_some_and(|kind| kind == "csv")).unwrap().clone();
    let others = ["README.txt", "SHA256SUMS", "audit.json", "manifest.json", "manifest.sig", "reconciliation.json"];
    assert_eq!(names, others.map(str::to_owned).into_iter().chain([csv.clone()]).collect());
    let (status, told) = folder.tool("sha256sum -c SHA256SUMS");
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(std::fs::read(folder.0.join(&csv)).unwrap(), export.bytes);
    assert_eq!(std::fs::read(folder.0.join("manifest.json")).unwrap(), manifest(&org, job).await.body);
    let text = String::from_utf8_lossy(&pack.body);
    assert!(!text.contains(&org.token) && !text.contains("Signature="), "a pack has no secret");

    let id = keys(&stack).await[0]["kid"].as_str().unwrap().to_owned();
    folder.write("key.pem", &pem(&stack, &id).await);
    folder.write("pack.zip", &pack.body);
    for what in [".", "pack.zip"] {
        let (status, told) = folder.verify(&format!("{what} --key key.pem"));
        assert_eq!(status, Some(0), "{told}");
        assert!(told.contains("verified") && told.contains(&job.to_string()), "{told}");
    }
    for name in [csv.as_str(), "manifest.json", "manifest.sig", "audit.json"] {
        let bytes = std::fs::read(folder.0.join(name)).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        folder.write(name, &flipped);
        let (status, told) = folder.verify(". --key key.pem --json");
        assert_eq!(status, Some(4), "{told}");
        let answer: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert_eq!((&answer["status"], &answer["findings"][0]["file"]), (&json!("different"), &json!(name)), "{told}");
        folder.write(name, &bytes);
    }

    let trail = org.get(&format!("/{job}/audit")).await.expect(200).json::<Value>();
    let packs = trail["items"].as_array().unwrap().iter().filter(|record| record["action"] == "pack");
    let subjects: Vec<_> = packs.map(|record| record["subject"].clone()).collect();
    assert_eq!(subjects, [json!(org.user)]);
    let packed: Value = serde_json::from_slice(&std::fs::read(folder.0.join("audit.json")).unwrap()).unwrap();
    // A sweep may link the records in between.
    let without_links = |mut trail: Value| {
        for record in trail["items"].as_array_mut().unwrap() {
            record.as_object_mut().unwrap().remove("link");
        }
        trail
    };
    assert_eq!(without_links(packed), without_links(trail.clone()), "the pack's own record is in it");

    // A pack is one call in an organization of others, though it has their reconciliation in it.
    let outsider = stack.issuer.platform_admin("operator", &[]);
    stack.api.get(&org.path(&format!("/{job}/pack")), &outsider).await.expect(200);
    let trail = org.get(&format!("/{job}/audit")).await.expect(200).json::<Value>();
    let actions = trail["items"].as_array().unwrap().iter().filter(|record| record["subject"] == "operator");
    let mut actions: Vec<_> = actions.map(|record| record["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["cross-organization-access", "pack"], "{trail}");
}

#[tokio::test]
async fn a_file_of_any_size_is_packed_into_a_folder() {
    let stack = Stack::from_env().await;
    let small = stack.organization();
    let small_job = exported(&small).await.job.job_id;
    let large = stack.organization();
    let insert = format!(
        "insert into analytics_hourly_rollups
         select timestamptz '2024-05-01T00:00:00Z' + hour * interval '1 hour', '{}',
                ('00000000-0000-4000-8000-' || lpad(to_hex(model), 12, '0'))::uuid, hour, model, 0, hour::numeric / 100
         from generate_series(0, 743) as hour, generate_series(1, 45) as model",
        large.id
    );
    stack.database.client.batch_execute(&insert).await.unwrap();
    let export = large.export(&export_of("2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z", "hourly")).await;
    assert!(export.bytes.len() > 3 << 20, "too small to be left out: {}", export.bytes.len());

    let folder = Folder::new();
    let id = keys(&stack).await[0]["kid"].as_str().unwrap().to_owned();
    folder.write("key.pem", &pem(&stack, &id).await);
    for (org, job, name) in [(&small, small_job, "small"), (&large, export.job.job_id, "large")] {
        let mut command = program("analytics");
        command.env("ANALYTICS_URL", tests::stack::variable("API_URL"));
        command.env("ANALYTICS_ORGANIZATION", org.id.to_string()).env("ANALYTICS_TOKEN", &org.token);
        command.args(["export", "pack", &job.to_string(), "--out", name]);
        let (status, told) = folder.run(command);
        assert_eq!(status, Some(0), "{told}");
        let (status, told) = folder.verify(&format!("{name} --key key.pem"));
        assert_eq!(status, Some(0), "{told}");
        let sums = std::process::Command::new("sha256sum")
            .args(["-c", "--quiet", "SHA256SUMS"])
            .current_dir(folder.0.join(name))
            .status();
        assert!(sums.unwrap().success(), "{name}");
    }
    let names = folder.unpack(&large.get(&format!("/{}/pack", export.job.job_id)).await.expect(200).body);
    assert!(!names.iter().any(|name| Path::new(name).extension().is_some_and(|kind| kind == "csv")), "{names:?}");
}
