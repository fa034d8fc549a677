//! The command-line client `analytics`: files, and what is said about them.

mod requests;

use std::{io::Write as _, path::PathBuf, process::Stdio};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tests::{
    ExportJob, Organization, Rollup, Stack, Table,
    job::JobList,
    lambda,
    organization::export_of,
    poll::{WAIT_TIMEOUT, until},
    program::program,
    rollup::expected_file,
    stack::variable,
};
use uuid::Uuid;

/// The result of a command.
#[derive(Debug)]
struct Done {
    status: Option<i32>,
    out: Vec<u8>,
    err: String,
}

/// A command of an organization's administrator.
struct Command<'a> {
    org: &'a Organization<'a>,
    variables: Vec<(&'static str, String)>,
    input: Vec<u8>,
}

impl<'a> Command<'a> {
    fn of(org: &'a Organization<'a>) -> Self {
        let variables = vec![
            ("ANALYTICS_URL", variable("API_URL")),
            ("ANALYTICS_ORGANIZATION", org.id.to_string()),
            ("ANALYTICS_TOKEN", org.token.clone()),
        ];
        Self { org, variables, input: Vec::new() }
    }

    /// Sets a variable; without a value it counts as missing.
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    async fn run_owned(self, arguments: String) -> Done {
        self.run(&arguments).await
    }

    /// Runs it with arguments that are separated by spaces.
    async fn run(self, arguments: &str) -> Done {
        let mut command = program("analytics");
        command.args(arguments.split_whitespace()).envs(self.variables);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = self.input;
        let run = move || {
            let mut child = command.spawn().unwrap();
            // A command that does not read it may have ended.
            let _ = child.stdin.take().unwrap().write_all(&input);
            child.wait_with_output().unwrap()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        for text in [&err, out.as_ref()] {
            assert!(!text.contains(&self.org.token) && !text.contains("X-Amz-Signature"), "a secret is shown: {text}");
        }
        Done { status: output.status.code(), out: output.stdout, err }
    }
}

impl Done {
    /// The output, once the exit status was found to be this.
    #[track_caller]
    fn expect(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{}\n{}", self.text(), self.err);
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    #[track_caller]
    fn json<T: DeserializeOwned>(self) -> T {
        let text = self.expect(0);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

async fn run(org: &Organization<'_>, arguments: &str) -> Done {
    Command::of(org).run(arguments).await
}

/// Adds usage of January 2024 and returns the file that it is exported as.
async fn add_usage(org: &Organization<'_>) -> String {
    let model = Some(Uuid::new_v4());
    let rollups = [
        Rollup::new("2024-01-01T00:00:00Z", model, [10, 200, 1], "1.5000"),
        Rollup::new("2024-01-31T00:00:00Z", model, [i64::MAX, i64::MAX, 0], "-0.2500"),
        Rollup::new("2024-02-01T00:00:00Z", model, [1, 1, 1], "1.0000"),
    ];
    org.insert(Table::Daily, &rollups).await;
    expected_file(org.id, &rollups[..2])
}

/// A folder of a test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(Uuid::new_v4().to_string());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The id of the organization's only job.
async fn only_job(org: &Organization<'_>) -> Uuid {
    let list: JobList = org.get("").await.expect(200).json();
    let [job] = list.items.as_slice() else { panic!("not one job: {list:?}") };
    job.job_id
}

#[tokio::test]
async fn a_file_is_compared_with_the_books_and_booked() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_usage(&org).await;
    run(&org, "export create --month 2024-01 --wait").await.expect(0);
    let job = only_job(&org).await;
    for filter in ["--month 2024-01", "--period 2024-01", "--origin user", &format!("--initiated-by {}", org.user)] {
        let list: JobList = run(&org, &format!("export list {filter} --json")).await.json();
        assert_eq!(list.ids(), [job], "{filter}");
    }
    let none: JobList = run(&org, "export list --month 2024-02 --json").await.json();
    assert_eq!(none.ids(), [] as [Uuid; 0]);

    let compare = |more: &str| format!("ledger compare {job} --reference JE-1017 {more}");
    let far = run(&org, &compare("--amount 1.20")).await.expect(4);
    for word in ["1.20 USD", "1.2500 USD", "0.0500", "4.166667", "MISMATCH", "tolerance of 1"] {
        assert!(far.contains(word), "{word} is missing: {far}");
    }
    assert!(run(&org, &compare("--amount 1.20 --tolerance 4.5")).await.expect(0).contains("ok"));
    run(&org, &compare("--amount 1,20")).await.expect(2);
    let all: Value = run(&org, &format!("ledger comparisons {job} --json")).await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
    assert_eq!(run(&org, &format!("ledger comparisons {job}")).await.expect(0).lines().count(), 3);

    run(&org, "ledger booking --month 2024-01").await.expect(1);
    run(&org, &format!("ledger book {job} --month 2024-02 --reference JE-1017")).await.expect(1);
    for reference in ["JE-1017", "JE-1018", "JE-1018"] {
        run(&org, &format!("ledger book {job} --month 2024-01 --reference {reference}")).await.expect(0);
    }
    let booked = run(&org, "ledger booking --month 2024-01").await.expect(0);
    let lines: Vec<Vec<&str>> = booked.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines.len(), lines[0][0], lines[0][2]), (2, "2", "JE-1018"), "{booked}");
    assert_eq!((lines[1][0], lines[1][2], lines[1][3]), ("1", "JE-1017", "1.2500"), "{booked}");
}

#[tokio::test]
async fn a_month_is_exported_verified_and_reconciled() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let expected = add_usage(&org).await;
    let folder = Folder::new();
    let path = folder.path("january.csv");

    let created = run(&org, &format!("export create --month 2024-01 --wait --out {path}")).await;
    assert!(created.err.contains("The figures are provisional"), "warnings go to stderr: {}", created.err);
    let told = created.expect(0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(folder.files(), ["january.csv"]);
    for word in ["succeeded", "9223372036854775817", "9223372036854776007", "1.2500", "provisional"] {
        assert!(told.contains(word), "{word} is missing: {told}");
    }

    let job = only_job(&org).await;
    let told = run(&org, &format!("verify {path} --job {job}")).await.expect(0);
    assert_eq!(told.matches(" equal").count(), 6, "{told}");
    assert!(run(&org, &format!("export reconcile {job} --verify-file")).await.expect(0).contains("reconciled"));
    assert!(run(&org, &format!("export show {job}")).await.expect(0).contains("sha256:"));
    assert!(run(&org, "export list").await.expect(0).contains(&job.to_string()));
    assert!(run(&org, "usage --month 2024-01").await.expect(0).contains("9223372036854776007"));

    // The rollups change by far less than the default tolerance.
    org.insert(Table::Daily, &[Rollup::new("2024-01-02T00:00:00Z", None, [1, 1, 0], "0.0001")]).await;
    assert_eq!(run(&org, &format!("export reconcile {job}")).await.status, Some(0));
    let changed = run(&org, &format!("export reconcile {job} --tolerance 0")).await;
    assert!(changed.err.contains("The rollups changed after the export"), "{}", changed.err);
    assert!(changed.expect(4).contains("MISMATCH"));
}

#[tokio::test]
async fn changes_are_shown_and_make_the_new_file() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let old = add_usage(&org).await;
    let folder = Folder::new();
    let (old_path, new_path) = (folder.path("old.csv"), folder.path("new.csv"));
    run(&org, &format!("export create --month 2024-01 --note late --out {old_path}")).await.expect(0);
    let job = only_job(&org).await;
    let shown = run(&org, &format!("export show {job}")).await.expect(0);
    assert!(shown.contains("version") && shown.contains("late"), "{shown}");
    let none = run(&org, &format!("changes {job} --against current")).await.expect(0);
    assert!(none.contains("rows: 0 added, 0 vanished, 0 changed"), "{none}");

    org.insert(Table::Daily, &[Rollup::new("2024-01-20T00:00:00Z", None, [3, 4, 0], "15.5598")]).await;
    let table = run(&org, &format!("changes {job} --against current")).await.expect(0);
    let row = table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(row, ["2024-01-20T00:00:00Z", "added", "+3", "+4", "+0", "+15.5598"], "{table}");
    let json: Value = run(&org, &format!("--json changes {job} --against current --level day")).await.json();
    assert_eq!((&json["level"], &json["rows"]["added"]), (&json!("day-model"), &json!(1)));
    let csv = run(&org, &format!("changes {job} --against current --csv")).await.expect(0);
    assert_eq!(csv.lines().count(), 2);
    assert!(csv.ends_with(&format!("2024-01-20T00:00:00Z,{},,3,4,0,15.5598\n", org.id)), "{csv}");

    // The same of the files, without the service.
    run(&org, &format!("export create --month 2024-01 --out {new_path}")).await.expect(0);
    let alone = |arguments: String| {
        Command::of(&org).with("ANALYTICS_URL", "").with("ANALYTICS_TOKEN", "").run_owned(arguments)
    };
    assert_eq!(alone(format!("changes --old {old_path} --new {new_path} --csv")).await.expect(0), csv);
    let same = alone(format!("changes --old {old_path} --new {old_path} --csv")).await.expect(0);
    assert_eq!(same, old.lines().next().unwrap().to_owned() + "\n");
    let told = alone(format!("changes --old {old_path} --new {new_path}")).await.expect(0);
    assert!(told.contains("+15.5598") && told.contains("rows: 1 added"), "{told}");
    std::fs::write(&new_path, "not a file\n").unwrap();
    let refused = alone(format!("changes --old {old_path} --new {new_path}")).await;
    assert!(refused.err.contains("line 1"), "{}", refused.err);
    refused.expect(1);
}

#[tokio::test]
async fn a_file_that_is_not_the_jobs_is_a_mismatch() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let file = add_usage(&org).await;
    run(&org, "export create --month 2024-01 --wait").await.expect(0);
    let job = only_job(&org).await;
    let folder = Folder::new();
    let path = folder.path("january.csv");
    for (text, told) in [
        (file.replace(",10,200,", ",11,200,"), "different: checksum, request_count"),
        (file.lines().take(2).map(|line| line.to_owned() + "\n").collect(), "different: checksum, rows,"),
        (file.trim_end().to_owned(), "line 3 is not a line of an export's file"),
        (file.replace("bucket_start,", "bucket,"), "line 1 is not a line of an export's file"),
        (String::new(), "line 1 is not a line of an export's file"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let done = run(&org, &format!("verify {path} --job {job}")).await;
        assert!(done.err.contains(told), "{told}: {}", done.err);
        done.expect(4);
        let done = run(&org, &format!("verify {path} --job {job} --json")).await;
        let answer: Value = serde_json::from_str(&done.text()).unwrap();
        assert_eq!(answer["status"], "different", "{answer}");
        done.expect(4);
    }
    assert_eq!(run(&org, &format!("verify /no/such/file --job {job}")).await.status, Some(1));
}

#[tokio::test]
async fn json_is_the_answer_of_the_api() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_usage(&org).await;
    let job: ExportJob = run(&org, "export create --month 2024-01 --wait --json").await.json();
    assert_eq!(job, org.show(job.job_id).await);
    assert_eq!(job.totals.as_ref().unwrap().tokens_total, i128::from(i64::MAX) + 200);
    assert_eq!(run(&org, &format!("export show {} --json", job.job_id)).await.json::<ExportJob>(), job);
    assert_eq!(run(&org, "export list --json").await.json::<JobList>().ids(), [job.job_id]);
    let found: Value = run(&org, &format!("--json export reconcile {}", job.job_id)).await.json();
    assert_eq!(found["status"], "reconciled", "{found}");
    let usage: Value = run(&org, "usage --month 2024-01 --granularity daily --json").await.json();
    assert_eq!(usage["series"].as_array().unwrap().len(), 2, "{usage}");
    let accepted: ExportJob = run(&org, "export create --month 2024-02 --json").await.json();
    assert_eq!(accepted.status, "pending");
}

#[tokio::test]
async fn a_file_can_be_piped_from_one_command_to_the_next() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let expected = add_usage(&org).await;
    let piped = run(&org, "export create --month 2024-01 --out -").await;
    assert_eq!(piped.expect(0), expected, "stdout is the file and nothing else");
    let job = only_job(&org).await;
    assert_eq!(run(&org, &format!("export download {job} --out -")).await.expect(0), expected);
    let mut verify = Command::of(&org);
    verify.input = expected.into_bytes();
    verify.run(&format!("verify - --job {job}")).await.expect(0);
    assert_eq!(run(&org, &format!("export download {job} --out - --json")).await.status, Some(2));
}

#[tokio::test]
async fn an_existing_file_is_replaced_only_by_force() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let expected = add_usage(&org).await;
    let folder = Folder::new();
    let path = folder.path("january.csv");
    std::fs::write(&path, "mine").unwrap();
    let refused = run(&org, &format!("export create --month 2024-01 --out {path}")).await;
    assert!(refused.err.contains("--force"), "{}", refused.err);
    refused.expect(1);
    let list: JobList = org.get("").await.expect(200).json();
    assert_eq!(list.items, [], "it is refused before a job is made");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    run(&org, &format!("export create --month 2024-01 --out {path} --force")).await.expect(0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}

#[tokio::test]
async fn a_job_that_failed_has_an_exit_status_of_its_own() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert_not_a_number().await;
    let folder = Folder::new();
    let path = folder.path("january.csv");
    let failed = run(&org, &format!("export create --month 2024-01 --out {path}")).await;
    assert!(failed.err.contains("cannot be stated exactly"), "{}", failed.err);
    assert!(failed.expect(3).contains("failed"), "the job is shown all the same");
    let job = only_job(&org).await;
    for command in [format!("export download {job} --out {path}"), format!("export reconcile {job}")] {
        let done = run(&org, &command).await;
        assert_eq!(done.status, Some(3), "{command}: {}", done.err);
    }
    assert_eq!(folder.files(), [""; 0]);
}

#[tokio::test]
async fn figures_that_are_not_final_are_refused_where_they_must_be() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_usage(&org).await;
    let folder = Folder::new();
    let path = folder.path("january.csv");
    let refused = run(&org, &format!("export create --month 2024-01 --require-final --out {path}")).await;
    assert!(refused.err.contains("another pipeline"), "the reason is given: {}", refused.err);
    refused.expect(5);
    assert_eq!(folder.files(), [""; 0]);

    // An open transaction of another test may hold the watermark for a moment.
    let empty = stack.organization();
    until("the figures are final", WAIT_TIMEOUT, async || {
        // An error while an hour of another test can't be computed; this organization's watermark moves all the same.
        let _ = lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await;
        let done = run(&empty, &format!("export create --month 2024-01 --require-final --out {path}")).await;
        if done.status == Some(0) { Ok(()) } else { Err(done) }
    })
    .await;
    assert_eq!(folder.files(), ["january.csv"]);
}

#[tokio::test]
async fn deliveries_are_listed_with_their_states() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    export_again(&org).await;
    let listed = until("the mail is sent", WAIT_TIMEOUT, async || {
        let listed = run(&org, "deliveries").await.expect(0);
        if listed.contains("delivered") { Ok(listed) } else { Err(listed) }
    })
    .await;
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 2, "{listed}");
    assert_eq!(rows[1][2..], ["mail", "mail", "delivered", "1"], "{listed}");
    let all: Value = run(&org, "deliveries --json --limit 1").await.json();
    assert_eq!(all["items"][0]["kind"], "mail", "{all}");
}

async fn export_again(org: &Organization<'_>) {
    let job = org.create(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await;
    org.ended(job.job_id).await;
}
