//! `settings`: the organization's schedule, delivery, tolerance, days until final, and webhook.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{api::read, file, session::Session, text::pairs};

#[derive(Debug, Subcommand)]
pub(crate) enum Settings {
    /// Show the present settings, or those of a version of before
    Get {
        /// Number of the version; the present one unless given
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        version: Option<u32>,
    },
    /// Set the whole of the settings from a JSON file; what it leaves out has its default
    Set(Set),
    /// Make another secret for the webhook, and show it this once
    ///
    /// The secret before it stays valid for 24 hours.
    RotateSecret,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// File with the settings; `-` for standard input
    file: PathBuf,
    /// Version that the file was made from, 0 if none were ever set: refused if others changed the settings since
    ///
    /// Unless given, the present version is read first, and what others changed before is replaced.
    #[arg(long, value_name = "NUMBER")]
    from: Option<u32>,
}

pub(crate) fn run(session: &Session, command: &Settings) -> Result<()> {
    match command {
        Settings::Get { version } => {
            let query: Vec<_> = version.iter().map(|version| ("version", version.to_string())).collect();
            show(session, &session.api.get("/settings", &query)?)
        }
        Settings::Set(arguments) => set(session, arguments),
        Settings::RotateSecret => rotate(session),
    }
}

/// Sets the settings.
fn set(session: &Session, arguments: &Set) -> Result<()> {
    let text = file::text(&arguments.file)?;
    let body: Value = serde_json::from_str(&text).context("the settings are not JSON")?;
    let from = match arguments.from {
        Some(from) => u64::from(from),
        None => read::<Value>(&session.api.get("/settings", &[])?)?["version"].as_u64().unwrap_or_default(),
    };
    show(session, &session.api.put_if_match("/settings", &body, &format!("\"{from}\""))?)
}

/// Makes another secret.
fn rotate(session: &Session) -> Result<()> {
    let body = session.api.post_once("/settings/webhook/secret")?;
    let made: Value = read(&body)?;
    let mut lines = vec![("secret", text(&made["secret"]))];
    if made["previousValidUntil"].is_string() {
        lines.push(("previous valid until", text(&made["previousValidUntil"])));
    }
    session.answer(&body, || pairs(&lines));
    Ok(())
}

fn show(session: &Session, body: &str) -> Result<()> {
    let found: Value = read(body)?;
    session.answer(body, || shown(&found));
    Ok(())
}

/// Returns the settings in lines, those that are not set too.
fn shown(found: &Value) -> String {
    let or = |value: &Value, none: &str| if value.is_null() { none.to_owned() } else { text(value) };
    let schedule = &found["schedule"];
    let delivery = &found["delivery"];
    let webhook = &found["webhook"];
    let lines = [
        ("version", text(&found["version"])),
        ("changed", or(&found["changedAt"], "never")),
        (
            "schedule",
            if schedule.is_null() {
                "the platform's".to_owned()
            } else {
                format!("monthly, day {}, {}", text(&schedule["day"]), text(&schedule["granularity"]))
            },
        ),
        (
            "delivery",
            if delivery.is_null() {
                "none".to_owned()
            } else {
                let [bucket, prefix, account] = ["bucket", "prefix", "accountId"].map(|name| text(&delivery[name]));
                format!("s3://{bucket}/{prefix} of account {account}")
            },
        ),
        ("tolerance", format!("{} %", text(&found["tolerancePercent"]))),
        ("final after", format!("{} days", text(&found["finalAfterDays"]))),
        (
            "webhook",
            if webhook.is_null() {
                "none".to_owned()
            } else {
                let events = webhook["events"].as_array().map(|events| events.iter().map(text).collect::<Vec<_>>());
                format!("{} ({})", text(&webhook["url"]), events.unwrap_or_default().join(", "))
            },
        ),
        ("secret made", or(&found["webhookSecretMadeAt"], "never")),
    ];
    let mut shown = pairs(&lines);
    for note in found["notes"].as_array().into_iter().flatten() {
        shown = format!("{}\nnote: {}", shown.trim_end(), text(note));
    }
    shown
}

/// Returns a text without quotes, or any other value as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_set_and_what_is_not_is_shown() {
        let none = shown(&json!({"version": 0, "tolerancePercent": 1, "finalAfterDays": 0, "notes": ["defaults"]}));
        for word in ["the platform's", "none", "never", "note: defaults"] {
            assert!(none.contains(word), "{word} is missing: {none}");
        }
        let set = shown(&json!({
            "version": 3, "changedAt": "2024-02-01T08:00:00Z", "tolerancePercent": 0.5, "finalAfterDays": 2,
            "schedule": {"kind": "monthly", "day": "whenFinal", "granularity": "daily"},
            "delivery": {"bucket": "acme", "prefix": "costs/", "accountId": "123456789012"},
            "webhook": {"url": "https://a.example/", "events": ["export.failed", "period.final"]},
        }));
        for word in ["whenFinal, daily", "s3://acme/costs/", "0.5 %", "2 days", "(export.failed, period.final)"] {
            assert!(set.contains(word), "{word} is missing: {set}");
        }
    }
}
