//! The lines that functions log.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{aws, function::is_metric};

/// Lines of Lambda itself, which are text on the emulator.
const PLATFORM: [&str; 4] = ["INIT_START ", "START ", "END ", "REPORT "];

/// The beginning of the names of the stack's log groups. Tests make others meanwhile, of stacks of their own.
pub const GROUPS: &str = "/aws/lambda/analytics-exports-";

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
    let mut lines = lines_since(function, since).await;
    lines.retain(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    lines.iter().map(Value::to_string).collect()
}

/// Returns the lines of a function, by its short name such as `sweep`, that have a metric, since a moment, the oldest
/// first.
///
/// # Panics
/// When the logs cannot be read.
pub async fn metrics(function: &str, name: &str, since: Timestamp) -> Vec<Value> {
    let mut lines = lines_since(function, since).await;
    let at = |line: &Value| line["timestamp"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    lines.retain(|line| is_metric(line, name) && at(line).is_some_and(|at| at >= since));
    lines.sort_by_key(at);
    lines
}

/// Returns the lines of a function since a moment. Earlier ones, which may be thousands, are not read.
async fn lines_since(function: &str, since: Timestamp) -> Vec<Value> {
    let group = format!("{GROUPS}{function}");
    let groups = aws::logs("DescribeLogGroups", &json!({"logGroupNamePrefix": group})).await;
    // A function that has not run yet may have none.
    if groups["logGroups"].as_array().is_none_or(Vec::is_empty) {
        return Vec::new();
    }
    let mut request = json!({"logGroupName": group, "startTime": since.as_millisecond()});
    let mut lines = Vec::new();
    loop {
        let page = aws::logs("FilterLogEvents", &request).await;
        let messages = page["events"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
        lines.extend(messages.filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        match page["nextToken"].as_str() {
            Some(token) => request["nextToken"] = json!(token),
            None => return lines,
        }
    }
}
