//! The lines that functions log, in the form that Lambda filters by level.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{lambda, logs, poll::until, stack::variable};

const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

#[tokio::test]
async fn every_line_is_an_object_with_time_level_and_message() {
    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let lines = until("the sweep has logged", Duration::from_secs(30), async || {
        let lines = logs::lines("/aws/lambda/").await;
        if lines.iter().any(|(group, _)| group.ends_with("-sweep")) { Ok(lines) } else { Err(lines.len()) }
    })
    .await;
    // Among them are those of all functions that other tests have invoked until now.
    for (group, line) in &lines {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{group}: {error}: {line}"));
        let text = |name: &str| object[name].as_str().unwrap_or_else(|| panic!("{group}: no {name}: {line}"));
        assert!(text("timestamp").parse::<Timestamp>().is_ok(), "{group}: {line}");
        assert!(LEVELS.contains(&text("level")), "{group}: {line}");
        assert!(!text("message").is_empty(), "{group}: {line}");
        let nested: Vec<_> =
            ["fields", "span", "spans"].into_iter().filter(|name| object.get(name).is_some()).collect();
        assert!(nested.is_empty(), "{group}: {nested:?}: {line}");
    }
}
