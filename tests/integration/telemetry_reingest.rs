//! The command `reingest`.

use tests::{Service, Stack, program::program};

/// Runs the command. Returns its exit status, its stdout and its stderr.
async fn reingest(arguments: Vec<String>) -> (Option<i32>, String, String) {
    let output =
        tokio::task::spawn_blocking(move || program("reingest").args(arguments).output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Puts ten runs, an invalid document, and a file that is no document, then removes their rows.
async fn prepare(service: &Service<'_>) {
    for number in 0..10 {
        let run = format!("{number:02}");
        // One key with characters that listings and notifications encode.
        let name = if number == 3 { "03 +%2B é&".to_owned() } else { run.clone() };
        service.put(&service.key(&name), service.document(name.as_str()).to_string()).await;
    }
    service.put(&service.key("10-bad"), "{").await;
    service.put(&(service.key("11") + ".txt"), "notes").await;
    service.wait("all are stored", |runs| runs.len() == 10).await;
    service.rejection(&service.key("10-bad")).await;
    forget(service).await;
}

async fn forget(service: &Service<'_>) {
    let client = &service.stack.database.client;
    client.execute("delete from ci_runs where service = $1", &[&service.name]).await.unwrap();
    client.execute("delete from ci_rejections where object_key = $1", &[&service.key("10-bad")]).await.unwrap();
}

fn prefix(service: &Service<'_>) -> String {
    format!("metrics/2025/11/08/{}/", service.name)
}

#[tokio::test]
async fn a_prefix_is_read_again_and_again_changes_nothing() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    prepare(&service).await;
    let arguments = vec!["--prefix".to_owned(), prefix(&service)];
    let (status, answer, said) = reingest(arguments.clone()).await;
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(answer, "12 documents: 10 new, 0 replaced, 0 unchanged, 1 rejected, 1 passed over\n");
    let runs = service.runs().await;
    assert!(runs.len() == 10 && runs.iter().all(|run| run.object_version.is_some()), "{runs:?}");
    assert_eq!(service.rejections(&service.key("10-bad")).await.len(), 1);

    let (_, answer, _) = reingest(arguments).await;
    assert_eq!(answer, "12 documents: 0 new, 0 replaced, 10 unchanged, 1 rejected, 1 passed over\n");
    assert_eq!(service.runs().await, runs);
}

#[tokio::test]
async fn days_and_a_key_bound_what_is_read() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    prepare(&service).await;
    let within = |more: &[&str]| {
        ["--prefix", &prefix(&service)].iter().chain(more).map(|argument| (*argument).to_owned()).collect::<Vec<_>>()
    };
    for (more, total) in [
        (&["--since", "2025-11-09"][..], 0),
        (&["--until", "2025-11-07"], 0),
        (&["--since", "2025-11-08", "--until", "2025-11-08", "--after", &service.key("07")], 4),
    ] {
        let (status, answer, said) = reingest(within(more)).await;
        assert_eq!(status, Some(0), "{said}");
        assert!(answer.starts_with(&format!("{total} documents: ")), "{more:?}: {answer}");
    }
    assert_eq!(service.runs().await.len(), 2);
}

#[tokio::test]
async fn an_interrupted_run_resumes_at_its_position() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    prepare(&service).await;
    let file = std::env::temp_dir().join(format!("{}.state", service.name));
    std::fs::write(&file, service.key("05") + "\n").unwrap();
    let arguments = ["--prefix", &prefix(&service), "--state", file.to_str().unwrap()].map(str::to_owned).to_vec();
    let (status, answer, said) = reingest(arguments.clone()).await;
    assert_eq!((status, answer.starts_with("6 documents: 4 new")), (Some(0), true), "{answer}{said}");
    assert!(said.contains(&format!("going on after {}", service.key("05"))), "{said}");
    assert!(!file.exists(), "nothing is left to resume");
    let (_, answer, _) = reingest(arguments).await;
    assert!(answer.starts_with("12 documents: 6 new, 0 replaced, 4 unchanged"), "{answer}");
}

#[tokio::test]
async fn the_state_of_another_prefix_is_refused() {
    let file = std::env::temp_dir().join(format!("{}.state", uuid::Uuid::new_v4()));
    std::fs::write(&file, "metrics/2025/11/08/a.json\n").unwrap();
    let arguments = ["--prefix", "metrics/2024/", "--state", file.to_str().unwrap()].map(str::to_owned).to_vec();
    let (status, answer, said) = reingest(arguments).await;
    assert_eq!((status, answer.as_str()), (Some(1), ""), "{said}");
    assert!(said.contains("metrics/2025/11/08/a.json is no key with the prefix metrics/2024/"), "{said}");
    assert!(file.exists(), "the other run can still be resumed");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_failure_says_how_to_resume() {
    let output = tokio::task::spawn_blocking(|| {
        program("reingest")
            .args(["--after", "metrics/2025/it's"])
            .env("METRICS_BUCKET", "no-such-bucket")
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("can't list the bucket") && said.contains(r"--after 'metrics/2025/it'\''s'"), "{said}");
}
