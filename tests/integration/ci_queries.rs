//! Invalid queries about CI telemetry: refused, with every mistake named.

use jiff::Timestamp;
use serde_json::Value;
use tests::{CiRun, Stack, ci_runs::unique};

#[tokio::test]
async fn an_invalid_query_is_refused_with_every_mistake_named() {
    let stack = Stack::from_env().await;
    let long = format!("service={}", "x".repeat(1025));
    let filters: [(&str, &[&str]); 13] = [
        ("service=", &["/query/service"]),
        ("service=a%00b", &["/query/service"]),
        (&long, &["/query/service"]),
        ("service=a&service=b", &["/query/service"]),
        ("Service=a", &["/query/Service"]),
        ("from=yesterday", &["/query/from"]),
        ("from=2025-11-31", &["/query/from"]),
        ("from=2025-11", &["/query/from"]),
        ("to=2025-11-08T00:00:00", &["/query/to"]),
        ("to=2025-11-08T00:00:00.5Z", &["/query/to"]),
        ("from=2025-11-09&to=2025-11-08", &["/query/to"]),
        ("from=2025-11-08T00:00:00Z&to=2025-11-08T00:00:00Z", &["/query/to"]),
        ("command=&from=x&to=y&environment=", &["/query/command", "/query/environment", "/query/from", "/query/to"]),
    ];
    for route in ["runs", "trends", "regressions", "report"] {
        for (query, pointers) in filters {
            let problem = stack.ci(&format!("{route}?{query}")).await.problem(400, "invalid-request");
            assert_eq!(problem.pointers(), pointers, "{route} {query}");
        }
    }
    let lists: [(&str, &[&str]); 7] = [
        ("limit=0", &["/query/limit"]),
        ("limit=1001", &["/query/limit"]),
        ("limit=1.5", &["/query/limit"]),
        ("cursor=", &["/query/cursor"]),
        ("cursor=abc", &["/query/cursor"]),
        ("offset=1", &["/query/offset"]),
        ("limit=x&cursor=z", &["/query/limit", "/query/cursor"]),
    ];
    for route in ["runs", "trends", "regressions", "rejections"] {
        for (query, pointers) in lists {
            let problem = stack.ci(&format!("{route}?{query}")).await.problem(400, "invalid-request");
            assert_eq!(problem.pointers(), pointers, "{route} {query}");
        }
    }
    for query in ["limit=101", "status=done", "status=SUCCESS"] {
        stack.ci(&format!("runs?{query}")).await.problem(400, "invalid-request");
    }
    stack.ci("rejections?service=a").await.problem(400, "invalid-request");
    for month in ["", "?month=", "?month=2025-13", "?month=2025-11-08", "?month=november", "?month=2025-11&service=a"] {
        stack.ci(&format!("evidence{month}")).await.problem(400, "invalid-request");
    }
    stack.ci("report?month=2025").await.problem(400, "invalid-request");
    for route in ["regressions", "report"] {
        let problem = stack.ci(&format!("{route}?minPercent=0&minSeconds=x")).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), ["/query/minPercent", "/query/minSeconds"], "{route}");
    }
    for range in ["from=2024-01-01T00:00:00Z&to=2025-01-01T00:00:01Z", "from=2000-01-01"] {
        let problem = stack.ci(&format!("report?{range}")).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), ["/query/from"], "{range}");
    }
    stack.ci("report?service=none&from=2024-01-01&to=2024-12-31").await.expect(200);
    stack.ci("nothing").await.problem(404, "no-such-route");
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list_and_to_no_other() {
    let stack = Stack::from_env().await;
    let service = unique("cursors");
    let start: Timestamp = "2025-11-08T00:00:00Z".parse().unwrap();
    let mut runs = CiRun::series(&service, start, &[5.0; 3]);
    runs[1].environment = "jenkins".to_owned();
    stack.database.insert_runs(&runs).await;
    let cursor = async |route: &str, query: &str| -> String {
        let page: Value = stack.ci(&format!("{route}?service={service}&limit=1{query}")).await.expect(200).json();
        page["nextCursor"].as_str().unwrap_or_else(|| panic!("{route}: no second page: {page}")).to_owned()
    };
    for route in ["runs", "trends", "regressions"] {
        let good = cursor(route, "").await;
        let ask = async |query: &str| stack.ci(&format!("{route}?{query}")).await;
        ask(&format!("service={service}&cursor={good}")).await.expect(200);
        let changed = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'Q' } else { 'A' });
        let other = cursor(route, "&from=2025-11-08").await;
        for query in [
            format!("cursor={good}"),
            format!("service={service}&cursor={changed}"),
            format!("service={service}&cursor={good}AAAA"),
            format!("service={service}&cursor={}", &good[4..]),
            format!("service={service}&cursor={other}"),
            format!("service={service}&from=2025-11-07&cursor={good}"),
        ] {
            let problem = ask(&query).await.problem(400, "invalid-request");
            assert_eq!(problem.pointers(), ["/query/cursor"], "{route} {query}");
        }
        for another in ["runs", "trends", "regressions"] {
            let answer = stack.ci(&format!("{another}?service={service}&cursor={good}")).await;
            assert_eq!(answer.status, if another == route { 200 } else { 400 }, "{route} {another}");
        }
    }
}
