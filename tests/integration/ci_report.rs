//! The report as a page: safe with any document, and true.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use tests::{
    Answer, CiRun, Stack,
    ci_runs::{around, unique},
};

fn start() -> Timestamp {
    "2025-09-01T00:00:00Z".parse().unwrap()
}

/// Returns the report on one service and the time of the tests' runs.
async fn report(stack: &Stack, service: &str, more: &str) -> Answer {
    let request = stack.api.request(reqwest::Method::GET, &format!("/ci/report?from=2025-08-01&to=2025-10-31{more}"));
    Answer::to(request.query(&[("service", service)]).bearer_auth(stack.ci_token())).await.expect(200)
}

/// Returns the text between two texts.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start} in {text}")) + start.len();
    let length = text[from..].find(end).unwrap_or_else(|| panic!("no {end} after {start}"));
    &text[from..from + length]
}

#[tokio::test]
async fn the_page_may_load_nothing_and_run_nothing() {
    let stack = Stack::from_env().await;
    let answer = report(&stack, &unique("nothing"), "").await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let page = answer.text();
    let style = between(&page, "<style>", "</style>");
    let digest = BASE64_STANDARD.encode(Sha256::digest(style));
    let policy = format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'");
    assert_eq!(answer.header("content-security-policy").unwrap(), format!("{policy}; frame-ancestors 'none'"));
    let in_page = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    assert_eq!(in_page, policy, "a saved page keeps it");
    for absent in
        ["<script", "javascript:", "http://", "https://", " style=", "url(", "@import", "<img", "<link", "<iframe"]
    {
        assert!(!page.contains(absent), "{absent}");
    }
    let verdict = between(&page, "<div class=\"verdict\">", "</p>");
    assert!(verdict.contains("– No runs") && !page.contains('✓'), "nothing is no good news: {page}");
}

#[tokio::test]
async fn what_documents_say_stays_text() {
    let stack = Stack::from_env().await;
    let hostile =
        |name: &str| format!("{}<script>alert('{name}')</script>\"'&lt;]]>--><!--{{{{1}}}}\u{202e}", unique(name));
    let service = hostile("service");
    let mut runs = CiRun::series(&service, start(), &[around(100.0, 30), around(150.0, 30)].concat());
    let short = CiRun::series(&service, start(), &[5.0]);
    for run in &mut runs {
        run.command = "<img src=x onerror=alert(1)>".to_owned();
        run.environment = "</title></svg></style><script>".to_owned();
        run.collector_version = "<b>1".to_owned();
        run.commit_sha = "\"><script src=//evil.example>".to_owned();
        run.run_id = format!("<script>{}", run.run_id);
        run.actor = "<i>mail@example.com</i>".to_owned();
    }
    runs[30..].iter_mut().for_each(|run| run.collector_version = "<b>2".to_owned());
    stack.database.insert_runs(&[runs, short].concat()).await;
    let page = report(&stack, &service, "").await.text();
    for absent in ["<script", "<img", "<b>", "<i>", "</svg></style>", "<!--", "mail@example.com"] {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
    for present in [
        "&lt;script&gt;alert('service')&lt;/script&gt;&quot;'&amp;lt;]]&gt;",
        "&lt;img src=x onerror=alert(1)&gt;",
        "&lt;/title&gt;&lt;/svg&gt;&lt;/style&gt;&lt;script&gt;",
        "&quot;&gt;&lt;script src=//evil.example&gt;",
        "collector_version changed from &lt;b&gt;1 to &lt;b&gt;2",
    ] {
        assert!(page.contains(present), "{present}: {page}");
    }
    assert_eq!(page.matches("</style>").count(), 1);
    assert_eq!(page.matches("</svg>").count(), 2);
}

#[tokio::test]
async fn the_page_tells_what_the_other_routes_tell() {
    let stack = Stack::from_env().await;
    let service = unique("told");
    let mut runs = CiRun::series(&service, start(), &[around(100.0, 40), around(130.0, 30)].concat());
    let mut steady = CiRun::series(&service, start(), &around(50.0, 40));
    steady.iter_mut().for_each(|run| run.environment = "steady".to_owned());
    let mut faster = CiRun::series(&service, start(), &[around(100.0, 40), around(60.0, 30)].concat());
    faster.iter_mut().for_each(|run| run.environment = "faster".to_owned());
    let mut short = CiRun::series(&service, start(), &around(50.0, 5));
    short.iter_mut().for_each(|run| run.environment = "short".to_owned());
    let first = runs[40].clone();
    runs.extend([steady, faster, short].concat());
    stack.database.insert_runs(&runs).await;
    let page = report(&stack, &service, "&month=1999-12").await.text();
    let verdict = between(&page, "<div class=\"verdict\">", "</div>");
    for told in [
        format!("▲ Slower: {service} · make check · github-actions, +30.0 %</span> since 2025-09-02."),
        "– Targets of 1999-12: no verdict.".to_owned(),
        "Looked at 4 series, ".to_owned(),
        "Slowdowns: 1, speed-ups: 1, series with too few runs for a verdict: 1.".to_owned(),
    ] {
        assert!(verdict.contains(&told), "{told}: {verdict}");
    }
    for told in [
        &first.run_id,
        &first.commit_sha,
        "+30.0 % slower",
        "100.2 s",
        "130.3 s",
        "−40.0 % faster",
        "≤ 0.001",
        "not enough runs",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(page.contains(&format!("{service} · make check · short: 5")), "{page}");
    // The worst first.
    let place = |environment: &str| {
        let heading = format!("<h3>{service} · make check · {environment}</h3>");
        page.find(&heading).unwrap_or_else(|| panic!("no {heading}"))
    };
    let places = ["github-actions", "faster", "steady", "short"].map(place);
    assert!(places.is_sorted(), "{places:?}");
    assert!(page.contains("Evidence for 1999-12") && !page.contains("The month is not over"), "{page}");
    let this_month = Timestamp::now().strftime("%Y-%m");
    let so_far = report(&stack, &service, &format!("&month={this_month}")).await.text();
    assert!(so_far.contains("The month is not over"), "{so_far}");
    let one = report(&stack, &service, "&environment=steady").await.text();
    assert!(!one.contains("faster</h3>") && one.contains("steady</h3>"), "{one}");
    assert!(one.contains("✓ Nothing became slower."), "{one}");
    let short = report(&stack, &service, "&environment=short").await.text();
    assert!(short.contains("– Durations: no verdict.") && !short.contains('✓'), "{short}");
    let large = report(&stack, &service, "&minPercent=35&environment=github-actions").await.text();
    assert!(large.contains("✓ Nothing became slower.") && large.contains("by at least 35 % and 2 s"), "{large}");
}

#[tokio::test]
async fn hundreds_of_series_make_a_page_of_the_worst() {
    let stack = Stack::from_env().await;
    let service = unique("hundreds");
    let mut runs = Vec::new();
    for n in 0..120 {
        let durations = if n == 77 { [around(50.0, 12), around(80.0, 12)].concat() } else { around(50.0, 3) };
        let mut series = CiRun::series(&service, start() + SignedDuration::from_mins(n), &durations);
        series.iter_mut().for_each(|run| run.environment = format!("environment-{n}"));
        runs.extend(series);
    }
    stack.database.insert_runs(&runs).await;
    let page = report(&stack, &service, "").await.text();
    assert_eq!(page.matches("<svg ").count(), 24);
    assert!(page.contains("There are 120; these have the most runs."), "{page}");
    assert!(page.contains("Looked at 100 series"), "{page}");
    assert!(page.contains("76 more series have no chart here"), "{page}");
    let first = between(&page, "<h3>", "</h3>");
    assert!(first.ends_with("environment-77"), "{first}");
}

#[tokio::test]
async fn a_busy_series_is_drawn_in_steps_and_says_what_is_left_out() {
    let stack = Stack::from_env().await;
    let service = unique("busy");
    let insert = format!(
        "insert into ci_runs (run_id, service, command, status, started_at, finished_at, duration_seconds, commit_sha, actor,
                              environment, collector_version, extra, object_key, object_version, object_etag, object_time)
         select '{service}-' || n, '{service}', case when n % 5 = 0 then 'make check' else 'make all' end, 'success',
                start, start, case n when 5000 then 9999 else 100 + n % 7 end, 'sha', 'dev@example.com', 'linux', '1.0.0',
                '{{}}', '{service}/' || n, '1', 'etag', start
         from (select n, timestamptz '2025-09-01' + interval '6 minutes' * n as start from generate_series(1, 13000) n) runs"
    );
    stack.database.client.batch_execute(&insert).await.unwrap();
    let all = report(&stack, &service, "&command=make%20all").await.text();
    assert!(all.contains("10000 successful runs in steps of 1 day"), "{all}");
    assert!(all.contains("The range has more: these are the latest."), "{all}");
    assert!(all.contains("Changes are looked for among the latest 1000."), "{all}");
    let some = report(&stack, &service, "&command=make%20check").await.text();
    assert!(some.contains("2600 successful runs in steps of 1 day"), "{some}");
    assert!(!some.contains("The range has more"), "{some}");
    assert!(some.contains("<td>9999.0 s</td>"), "the longest run is in the table: {some}");
    let counted: u32 = between(&some, "Numbers of the chart", "</details>")
        .split("<tr><th scope=\"row\">")
        .skip(1)
        .map(|row| between(row, "<td>", "</td>").parse::<u32>().unwrap())
        .sum();
    assert_eq!(counted, 2600, "every run is in one step");
}
