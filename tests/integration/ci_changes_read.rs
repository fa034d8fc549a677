//! Changes that were told, as they are read: as JSON, as Markdown, as a badge; and who may answer them.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::{
    Answer, CiRun, Stack,
    ci_runs::{around, lately, unique},
};
use uuid::Uuid;

/// A name that would be a link, a mention, a table's cell and markup if it could.
const HOSTILE: &str = "a|b `c` <img src=x onerror=alert(1)> [d](https://evil.example) @team **e** \u{202e}f";

/// Inserts runs of a service with this command up to now, which became slower, and lets them be looked at.
async fn slowed(stack: &Stack, service: &str, command: &str) {
    let mut runs = CiRun::series(service, lately(70), &[around(100.0, 40), around(150.0, 30)].concat());
    runs.iter_mut().for_each(|run| command.clone_into(&mut run.command));
    stack.database.insert_runs(&runs).await;
    stack.look(service).await;
}

fn get(stack: &Stack, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
    stack.api.request(Method::GET, path).query(query).bearer_auth(stack.ci_token())
}

async fn markdown(stack: &Stack, service: &str) -> String {
    let request = get(stack, "/ci/regressions", &[("service", service)]).header("accept", "text/markdown");
    let answer = Answer::to(request).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/markdown; charset=utf-8"));
    assert_eq!(answer.header("vary"), Some("Accept"));
    answer.text()
}

async fn acknowledge(stack: &Stack, id: &str, token: &str, body: &Value) -> Answer {
    let request = stack.api.request(Method::PUT, &format!("/ci/changes/{id}/acknowledgement"));
    Answer::to(request.bearer_auth(token).json(body)).await
}

#[tokio::test]
async fn a_search_names_the_changes_that_were_told() {
    let stack = Stack::from_env().await;
    let service = unique("named");
    slowed(&stack, &service, "make check").await;
    let list = async |query: &str| -> Value {
        stack.ci(&format!("regressions?service={service}{query}")).await.expect(200).json()
    };
    let (told, searched) = (list("").await, list("&minPercent=5").await);
    assert_eq!((&told["searched"], &searched["searched"]), (&json!(false), &json!(true)));
    assert_eq!((told.get("waiting"), &told["series"]), (None, &json!(1)));
    for same in ["id", "state", "firstRunId", "link", "firstToldAt"] {
        assert_eq!(told["items"][0][same], searched["items"][0][same], "{same}");
    }
    let none = list("&state=provisional").await;
    assert_eq!(none["items"], json!([]));
    let problem = stack.ci(&format!("regressions?service={service}&state=all&minPercent=5")).await;
    assert_eq!(problem.problem(400, "invalid-request").pointers(), ["/query/state"]);

    let id = told["items"][0]["id"].as_str().unwrap();
    let one: Value = stack.ci(&format!("changes/{id}")).await.expect(200).json();
    assert_eq!(one, json!({"change": told["items"][0], "history": []}));
    stack.ci(&format!("changes/{}", Uuid::new_v4())).await.problem(404, "no-such-change");
    for wrong in ["1", &id.replace('-', "")] {
        stack.ci(&format!("changes/{wrong}")).await.problem(400, "invalid-request");
    }

    stack.database.insert_runs(&[CiRun::new(&service, lately(1), 150.into())]).await;
    assert_eq!(list("").await["waiting"], 1, "it says that it is not the last word");
}

#[tokio::test]
async fn only_who_has_the_permission_answers_a_change() {
    let stack = Stack::from_env().await;
    let service = unique("answered");
    slowed(&stack, &service, "make check").await;
    let change = stack.told(&service).await.remove(0);
    let id = change["id"].as_str().unwrap();
    let note = json!({"note": "expected"});
    let token = |scope: &str| stack.issuer.token("someone", &[], scope);
    for scope in ["analytics:ci:read", "analytics:ci:read analytics:ci:pii", "admin", ""] {
        let problem = acknowledge(&stack, id, &token(scope), &note).await.problem(403, "forbidden");
        assert!(problem.detail.contains("analytics:ci:write"), "{problem:?}");
    }
    assert_eq!(stack.told(&service).await[0], change, "nothing was changed");
    // Who may answer does not learn more by it than who may read.
    let writer = token("analytics:ci:write");
    acknowledge(&stack, id, &writer, &note).await.expect(200);
    stack.api.get(&format!("/ci/changes/{id}"), &writer).await.problem(403, "forbidden");
    acknowledge(&stack, id, &stack.issuer.platform_admin("someone", &[]), &json!({"note": "another"}))
        .await
        .expect(200);
    for wrong in [json!({}), json!({"note": ""}), json!({"note": "a\nb"}), json!({"note": "a", "by": "me"})] {
        acknowledge(&stack, id, &writer, &wrong).await.problem(400, "invalid-request");
    }
    let unknown = Uuid::new_v4().to_string();
    acknowledge(&stack, &unknown, &writer, &note).await.problem(404, "no-such-change");
    let one: Value = stack.ci(&format!("changes/{id}")).await.expect(200).json();
    let history: Vec<&str> =
        one["history"].as_array().unwrap().iter().map(|answer| answer["note"].as_str().unwrap()).collect();
    assert_eq!(history, ["another", "expected"]);
    assert!(!one.to_string().contains("someone"), "the subject is no part of answers: {one}");
}

#[tokio::test]
async fn a_summary_is_a_table_in_which_a_name_is_nothing_but_a_name() {
    let stack = Stack::from_env().await;
    let service = unique("summary");
    slowed(&stack, &service, HOSTILE).await;
    let text = markdown(&stack, &service).await;
    assert!(text.starts_with("### CI durations: 1 slowdown, 1 not acknowledged\n"), "{text}");
    let row = text.lines().find(|line| line.contains("slower")).expect("a row");
    assert_eq!(row.matches('|').count(), 8, "seven cells: {row}");
    assert!(row.contains("confirmed") && row.contains("100.2 s → 150.3 s"), "{row}");
    for markup in ["<img", "`c`", "](", "@team", "**e**", "https:", "\u{202e}"] {
        assert!(!text.contains(markup), "{markup}: {text}");
    }
    let change = stack.told(&service).await.remove(0);
    let note = json!({"note": "expected | <b>all</b> of it"});
    acknowledge(&stack, change["id"].as_str().unwrap(), &stack.ci_writer_token(), &note).await.expect(200);
    let text = markdown(&stack, &service).await;
    assert!(
        text.starts_with("### CI durations: 1 slowdown\n") && text.contains("acknowledged: <code>expected "),
        "{text}"
    );
    assert!(!text.contains("<b>"), "{text}");
}

#[tokio::test]
async fn a_summary_says_so_when_there_is_nothing_to_tell() {
    let stack = Stack::from_env().await;
    let (steady, short) = (unique("steady"), unique("short"));
    stack.database.insert_runs(&CiRun::series(&steady, lately(60), &around(100.0, 60))).await;
    stack.database.insert_runs(&CiRun::series(&short, lately(10), &around(100.0, 10))).await;
    for service in [&steady, &short] {
        stack.look(service).await;
    }
    assert!(markdown(&stack, &steady).await.contains("no lasting change"));
    let text = markdown(&stack, &short).await;
    assert!(text.contains("too few runs for a verdict") && text.contains("(10)"), "{text}");
    assert!(markdown(&stack, &unique("unknown")).await.contains("no runs are known"));
}

#[tokio::test]
async fn a_badge_says_the_same_in_words() {
    let stack = Stack::from_env().await;
    let service = unique("badge");
    slowed(&stack, &service, HOSTILE).await;
    let badge = async |service: &str, command: &str| {
        let request = get(&stack, "/ci/badge.svg", &[("service", service), ("command", command)]);
        let answer = Answer::to(request).await.expect(200);
        assert_eq!(answer.header("content-type"), Some("image/svg+xml"));
        assert_eq!(answer.header("cache-control"), Some("private, max-age=300"));
        answer.text()
    };
    let change = stack.told(&service).await.remove(0);
    let day = &change["changedAt"].as_str().unwrap()[..10];
    let text = badge(&service, HOSTILE).await;
    assert!(text.contains(&format!("% slower since {day}</title>")), "{text}");
    assert!(text.contains("role=\"img\"") && !text.contains("<img") && !text.contains("<script"), "{text}");
    let note = json!({"note": "expected"});
    acknowledge(&stack, change["id"].as_str().unwrap(), &stack.ci_writer_token(), &note).await.expect(200);
    assert!(badge(&service, HOSTILE).await.contains(", acknowledged</title>"));
    assert!(badge(&service, "make nothing").await.contains(": no runs</title>"));

    let service = unique("steady");
    stack.database.insert_runs(&CiRun::series(&service, lately(60), &around(100.0, 60))).await;
    assert!(badge(&service, "make check").await.contains(": steady</title>"));
    let service = unique("short");
    stack.database.insert_runs(&CiRun::series(&service, lately(9), &around(100.0, 9))).await;
    assert!(badge(&service, "make check").await.contains(": too few runs</title>"));
    stack.ci("badge.svg?service=only").await.problem(400, "invalid-request");
}
