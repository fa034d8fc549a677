//! The lines that functions log.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{aws, function::is_metric};

/// Lines of Lambda itself, which are text on the emulator.
const PLATFORM: [&str; 4] = ["INIT_START ", "START ", "END ", "REPORT "];

/// Returns all lines of the log groups with a prefix, each with its group.
///
/// # Panics
/// When the logs cannot be read.
pub async fn lines(prefix: &str) -> Vec<(String, String)> {
    let groups = aws::logs("DescribeLogGroups", &json!({"logGroupNamePrefix": prefix})).await;
    let mut lines = Vec::new();
    for group in groups["logGroups"].as_array().expect("log groups") {
        let name = group["logGroupName"].as_str().expect("a name");
        let mut request = json!({"logGroupName": name});
        loop {
            let page = aws::logs("FilterLogEvents", &request).await;
            let messages =
                page["events"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
            let own = messages.filter(|line| !PLATFORM.iter().any(|prefix| line.starts_with(prefix)));
            lines.extend(own.filter(|line| !line.trim().is_empty()).map(|line| (name.to_owned(), line.to_owned())));
            match page["nextToken"].as_str() {
                Some(token) => request["nextToken"] = json!(token),
                None => break,
            }
        }
    }
    lines
}

/// Returns the warnings and errors of a function, by its short name such as `sweep`, since a moment.
///
/// # Panics
/// When the logs cannot be read.
pub async fn troubles(function: &str, since: Timestamp) -> Vec<String> {
    let groups = aws::logs("DescribeLogGroups", &json!({"logGroupNamePrefix": "/aws/lambda/"})).await;
    let mut names =
        groups["logGroups"].as_array().into_iter().flatten().filter_map(|group| group["logGroupName"].as_str());
    let group = names.find(|name| name.ends_with(&format!("-{function}"))).expect("each function has a log group");
    let mut request = json!({"logGroupName": group, "startTime": since.as_millisecond()});
    let mut troubles = Vec::new();
    loop {
        let page = aws::logs("FilterLogEvents", &request).await;
        let messages = page["events"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
        let is_trouble = |line: &&str| {
            serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"] == "WARN" || line["level"] == "ERROR")
        };
        troubles.extend(messages.filter(is_trouble).map(str::to_owned));
        match page["nextToken"].as_str() {
            Some(token) => request["nextToken"] = json!(token),
            None => return troubles,
        }
    }
}

/// Returns the lines of a function, by its short name such as `sweep`, that have a metric, since a moment, the oldest
/// first.
///
/// # Panics
/// When the logs cannot be read.
pub async fn metrics(function: &str, name: &str, since: Timestamp) -> Vec<Value> {
    let end = format!("-{function}");
    let lines = lines("/aws/lambda/").await.into_iter().filter(|(group, _)| group.ends_with(&end));
    let lines = lines.filter_map(|(_, line)| serde_json::from_str::<Value>(&line).ok());
    let at = |line: &Value| line["timestamp"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let mut lines: Vec<Value> =
        lines.filter(|line| is_metric(line, name) && at(line).is_some_and(|at| at >= since)).collect();
    lines.sort_by_key(at);
    lines
}
