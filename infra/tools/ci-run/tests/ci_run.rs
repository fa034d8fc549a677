//! The program as CI runs it, with real processes and signals, and the stack's store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use serde_json::{Value, json};
use uuid::Uuid;

/// A folder of the test's own, removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Self {
        let path = std::env::temp_dir().join(format!("ci-run-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Starts the program here, outside of any CI system.
    fn start(&self, options: &[&str], command: &[&str], variables: &[(&str, &str)]) -> Child {
        let systems = ["GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "JENKINS_URL", "CI_RUN_BUCKET"];
        let mut program = Command::new(env!("CARGO_BIN_EXE_ci-run"));
        systems.iter().for_each(|name| {
            program.env_remove(name);
        });
        program
            .args(options)
            .args(command)
            .envs(variables.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, options: &[&str], command: &[&str]) -> Output {
        let options = [&["--service", "web", "--quiet"], options].concat();
        self.start(&options, &[&["--"], command].concat(), &[]).wait_with_output().unwrap()
    }

    /// The documents that are left, with their keys.
    fn documents(&self) -> Vec<(String, Value)> {
        let root = self.0.join(".ci-run");
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "json") {
                    let key = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                    found.push((key, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()));
                }
            }
        }
        found
    }

    /// The only document.
    #[track_caller]
    fn document(&self) -> Value {
        let [(_, document)] = <[_; 1]>::try_from(self.documents()).unwrap();
        document
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn s3() -> Client {
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    Client::from_conf(aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build())
}

async fn create_bucket(s3: &Client) -> String {
    let bucket = format!("ci-run-{}", Uuid::new_v4().simple());
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    bucket
}

async fn keys(s3: &Client, bucket: &str) -> Vec<String> {
    let listed = s3.list_objects_v2().bucket(bucket).send().await.unwrap();
    listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

#[test]
fn output_and_exit_status_pass_through_unchanged() {
    let folder = Folder::create();
    let script = r"printf 'a\000\377b'; printf 'told\n' >&2; exit 3";
    let output = folder.run(&["--name", "unit"], &["sh", "-c", script]);
    assert_eq!(output.stdout, b"a\0\xffb");
    assert_eq!(output.stderr, b"told\n");
    assert_eq!(output.status.code(), Some(3));
    let document = folder.document();
    let fields = ["service", "command", "status", "exit_code", "environment"].map(|name| document[name].clone());
    assert_eq!(fields, [json!("web"), json!("unit"), json!("failure"), json!(3), json!("local")]);
    assert!(Path::new(&folder.0).join(".ci-run/.gitignore").exists());
}

#[test]
fn input_reaches_the_command() {
    let folder = Folder::create();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ci-run"))
        .args(["--service", "web", "--quiet", "--", "cat"])
        .current_dir(&folder.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"given").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"given");
}

#[test]
fn the_time_is_that_of_the_command() {
    let folder = Folder::create();
    let start = Instant::now();
    let output = folder.run(&[], &["sleep", "1.2"]);
    let limit = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    let document = folder.document();
    let milliseconds = document["duration_seconds"].to_string().replace('.', "").parse::<u64>().unwrap();
    assert!((1200..=limit.as_millis() as u64).contains(&milliseconds), "{document}");
    assert_eq!(document["status"], "success");
}

#[test]
fn a_killed_command_is_cancelled_and_its_signal_repeated() {
    for signal in [9, 15] {
        let folder = Folder::create();
        let output = folder.run(&[], &["sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(output.status.signal(), Some(signal), "{output:?}");
        let document = folder.document();
        assert_eq!((&document["status"], &document["signal"]), (&json!("cancelled"), &json!(signal)));
    }
}

#[test]
fn a_signal_reaches_the_command_which_may_end_as_it_wants() {
    for signal in ["TERM", "INT", "HUP"] {
        let folder = Folder::create();
        let ready = folder.0.join("ready");
        let script = format!("trap 'echo told; exit 7' {signal}; touch ready; while :; do sleep 0.1; done");
        let options = ["--service", "web", "--quiet"];
        let child = folder.start(&options, &["--", "sh", "-c", &script], &[]);
        let start = Instant::now();
        while !ready.exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "the command does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), b"told\n".as_slice()), "{signal}");
        let document = folder.document();
        assert_eq!((&document["status"], &document["exit_code"]), (&json!("cancelled"), &json!(7)));
    }
}

#[test]
fn a_command_that_cannot_run_has_the_shells_status() {
    let folder = Folder::create();
    assert_eq!(folder.run(&[], &["/no/such/command"]).status.code(), Some(127));
    assert_eq!(folder.run(&[], &["/tmp"]).status.code(), Some(126));
    let documents = folder.documents();
    assert!(documents.len() == 2 && documents.iter().all(|(_, run)| run["status"] == "failure"), "{documents:?}");
}

#[test]
fn a_script_is_recorded_as_one_line_that_the_service_accepts() {
    let folder = Folder::create();
    let script = format!("\n\t: {}\nexit 4\n", "é".repeat(2000));
    let output = folder.run(&["--junit", "*.xml"], &["sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let documents = folder.documents();
    let commands: Vec<_> = documents.iter().map(|(_, document)| document["command"].as_str().unwrap()).collect();
    let [one, other] = commands.as_slice() else { panic!("{documents:?}, {output:?}") };
    assert!(one == other && one.starts_with("sh -c   : éé") && one.len() <= 1024, "{one}");
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused_and_the_build_goes_on() {
    for option in ["--run-id=../../../../../x", "--run-id=/x"] {
        let folder = Folder::create();
        let output = folder.run(&[option], &["true"]);
        assert!(output.status.success() && folder.documents().is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("no paths that lead elsewhere"), "{output:?}");
    }
}

/// Writes a report, one that is cut off, and one of something else.
const REPORTING: &str = r#"mkdir -p out/deep
    echo '<testsuite name="s"><testcase classname="c" name="a" time="1,234.5"/><testcase classname="c" name="b"><failure/></testcase></testsuite>' > out/deep/new.xml
    echo '<testsuite name="s"><testcase name="lost"' > out/cut.xml
    echo '<coverage/>' > out/coverage.xml"#;

#[test]
fn tests_that_the_command_reports_have_a_document_and_the_others_are_named() {
    let folder = Folder::create();
    std::fs::create_dir(folder.0.join("out")).unwrap();
    let old = "<testsuite name='s'><testcase name='old'/></testsuite>";
    std::fs::write(folder.0.join("out/old.xml"), old).unwrap();
    let script = format!("{REPORTING}; exit 3");
    let output = folder.run(&["--junit", "out/**/*.xml", "--run-id", "r-1"], &["sh", "-c", &script]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "can't be read as reports of tests: out/cut.xml (",
        "the command did not write them: out/old.xml",
        "are no reports of tests: out/coverage.xml (its root is coverage)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let mut documents = folder.documents();
    documents.sort_by(|one, other| one.0.cmp(&other.0));
    let [(run_key, run), (tests_key, tests)] = documents.as_slice() else { panic!("{documents:?}") };
    let day = &run_key["metrics/".len().."metrics/YYYY/MM/DD".len()];
    assert_eq!(*tests_key, format!("metrics/tests/{day}/web/r-1.json"));
    let files = json!({"read": 1, "unreadable": 1, "older": 1, "other": 1});
    assert_eq!(run["junit"], json!({"tests": 2, "left_out": 0, "files": files}));
    let expected =
        json!([{"name": "c", "tests": [{"name": "a", "ms": 1_234_500}, {"name": "b", "outcome": "failed"}]}]);
    assert_eq!((&tests["suites"], &tests["files"]), (&expected, &files));
}

#[test]
fn a_command_that_reports_nothing_says_so_and_ends_as_it_did() {
    let folder = Folder::create();
    let output = folder.run(&["--junit", "out/*.xml"], &["sh", "-c", "exit 5"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no file matches --junit"), "{output:?}");
    let documents = folder.documents();
    assert!(documents.len() == 2 && documents.iter().any(|(_, run)| run["junit"]["tests"] == 0), "{documents:?}");
    // A mistake in the pattern is told before the command runs.
    let output = folder.run(&["--junit", "a**"], &["touch", "ran"]);
    assert!(output.status.code() == Some(2) && !folder.0.join("ran").exists(), "{output:?}");
}

#[tokio::test]
async fn the_documents_of_tests_reach_the_bucket_and_are_what_the_service_reads() {
    let s3 = s3().await;
    let bucket = create_bucket(&s3).await;
    let folder = Folder::create();
    let to = ["--bucket", &bucket, "--path-style", "--run-id", "r-1", "--junit", "out/**/*.xml"];
    for layout in ["service", "flat"] {
        let output = folder.run(&[&to[..], &["--layout", layout]].concat(), &["sh", "-c", REPORTING]);
        assert!(output.status.success(), "{output:?}");
    }
    let keys = keys(&s3, &bucket).await;
    let day = keys[0]["metrics/".len()..].trim_end_matches("/r-1.json");
    let expected = ["", "/web"].map(|service| format!("metrics/{day}{service}/r-1.json"));
    let of_tests = ["", "/web"].map(|service| format!("metrics/tests/{day}{service}/r-1.json"));
    assert_eq!(keys, [expected, of_tests].concat());
    assert!(folder.documents().is_empty());
    let key = keys.iter().find(|key| key.starts_with("metrics/tests/")).unwrap();
    let object = s3.get_object().bucket(&bucket).key(key).send().await.unwrap();
    let now = jiff::Timestamp::now();
    let run = ci::TestRun::from_document(&object.body.collect().await.unwrap().into_bytes(), now).unwrap();
    assert_eq!((run.service.as_str(), run.run_id.as_str(), run.results.len()), ("web", "r-1", 2));
}

#[tokio::test]
async fn a_document_reaches_the_bucket_at_either_key_and_leaves_the_folder() {
    let s3 = s3().await;
    let bucket = create_bucket(&s3).await;
    let folder = Folder::create();
    let to = ["--bucket", &bucket, "--path-style", "--run-id", "r-1"];
    for layout in ["service", "flat"] {
        let output = folder.run(&[&to[..], &["--layout", layout]].concat(), &["true"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    let keys = keys(&s3, &bucket).await;
    // Behind the day.
    let ends: Vec<&str> = keys.iter().map(|key| &key["metrics/YYYY/MM/DD/".len()..]).collect();
    assert_eq!(ends, ["r-1.json", "web/r-1.json"]);
    assert!(folder.documents().is_empty());
    let object = s3.get_object().bucket(&bucket).key(&keys[0]).send().await.unwrap();
    assert_eq!(object.content_type(), Some("application/json"));
    let now = jiff::Timestamp::now();
    let run = ci::CiRun::from_document(&object.body.collect().await.unwrap().into_bytes(), now).unwrap();
    assert_eq!((run.service.as_str(), run.run_id.as_str()), ("web", "r-1"));
}

#[tokio::test]
async fn without_the_store_the_build_goes_on_and_the_document_is_sent_later() {
    let s3 = s3().await;
    let bucket = create_bucket(&s3).await;
    let folder = Folder::create();
    let to = ["--service", "web", "--quiet", "--bucket", &bucket, "--path-style", "--timeout", "5"];
    // Nobody listens there.
    let away = [("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:9")];
    let run = |options: &[&str], command: &[&str]| {
        let options = [&to[..], options].concat();
        folder.start(&options, &[&["--"], command].concat(), &away).wait_with_output().unwrap()
    };
    let output = run(&[], &["true"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the document stays in") && told.contains("ci-run upload"), "{told}");
    assert_eq!(run(&["--require-upload"], &["true"]).status.code(), Some(1));
    assert_eq!(
        run(&["--require-upload"], &["sh", "-c", "exit 9"]).status.code(),
        Some(9),
        "the command's own comes first"
    );

    let left = folder.documents();
    assert_eq!(left.len(), 3);
    let upload = ["upload", "--bucket", &bucket, "--path-style", "--timeout", "5"];
    let failed = folder.start(&upload, &[], &away).wait_with_output().unwrap();
    assert_eq!((failed.status.code(), folder.documents().len()), (Some(1), 3), "{failed:?}");
    let sent = folder.start(&upload, &[], &[]).wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "3 documents uploaded\n", "{sent:?}");
    assert!(folder.documents().is_empty());
    let mut expected: Vec<String> = left.into_iter().map(|(key, _)| key).collect();
    expected.sort();
    assert_eq!(keys(&s3, &bucket).await, expected);
}
