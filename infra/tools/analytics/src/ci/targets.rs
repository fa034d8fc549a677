//! `ci targets`: the targets by which CI's runs are judged.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use domain::request::FieldError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::read,
    file,
    outcome::Outcome,
    session::Session,
    text::{Align, pairs, table},
};

const PATH: &str = "/ci/targets";

#[derive(Debug, Subcommand)]
pub(crate) enum Targets {
    /// Print the present targets, or those of a version of before, as the JSON that `put` reads
    Get {
        /// Number of the version, 0 for the targets of the service itself; the present one unless given
        #[arg(long, value_name = "NUMBER")]
        version: Option<u32>,
    },
    /// Set the whole of the targets from a JSON file
    Put {
        /// File with the targets; `-` for standard input
        file: PathBuf,
        /// Version that the file was made from, 0 if none were ever stored: refused if others changed the targets since
        ///
        /// Unless given, the present version is read first, and what others changed before is replaced.
        #[arg(long, value_name = "NUMBER")]
        from: Option<u32>,
    },
    /// List the versions, newest first
    Versions,
    /// Check a file without the service: names every mistake, and ends with exit status 4 if there are any
    Check {
        /// File with the targets; `-` for standard input
        file: PathBuf,
    },
}

/// Targets as the service answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    version: u32,
    source: String,
    changed_at: Option<String>,
    targets: Option<Vec<Value>>,
    #[serde(default)]
    mistakes: Vec<Mistake>,
    stored_text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Mistake {
    pointer: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Versions {
    items: Vec<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: u32,
    changed_at: Option<String>,
    changed_by: Option<String>,
    is_usable: bool,
    targets: Option<u64>,
}

pub(super) fn run(session: &Session, command: &Targets) -> Result<()> {
    match command {
        Targets::Get { version } => get(session, *version),
        Targets::Put { file, from } => put(session, file, *from),
        Targets::Versions => versions(session),
        Targets::Check { file } => check(file, session.json),
    }
}

fn get(session: &Session, version: Option<u32>) -> Result<()> {
    let query: Vec<_> = version.iter().map(|version| ("version", version.to_string())).collect();
    let body = session.api.get(PATH, &query)?;
    let Answer { version, source, changed_at, targets, mistakes, stored_text } = read(&body)?;
    let Some(targets) = targets else {
        session.answer(&body, || stored_text.unwrap_or_default());
        let named: String = mistakes.iter().map(|mistake| line(&mistake.pointer, &mistake.detail)).collect();
        bail!("version {version} of the targets cannot be used, and nothing is judged by others:{named}");
    };
    let text = serde_json::to_string_pretty(&json!({"targets": targets}))?;
    session.answer(&body, || text);
    let changed = changed_at.map(|at| format!(", set at {at}")).unwrap_or_default();
    terminal::note(&format!("version {version}, {source}{changed}; change it by put --from {version}"));
    Ok(())
}

fn put(session: &Session, file: &Path, from: Option<u32>) -> Result<()> {
    let body: Value = serde_json::from_str(&file::text(file)?).context("the targets are not JSON")?;
    let from = match from {
        Some(from) => from,
        None => read::<Answer>(&session.api.get(PATH, &[])?)?.version,
    };
    let answer = session.api.put_if_match(PATH, &body, &format!("\"{from}\""))?;
    let Answer { version, changed_at, targets, .. } = read(&answer)?;
    let targets = targets.with_context(|| format!("the answer to the change has no targets, but version {version}"))?;
    session.answer(&answer, || {
        pairs(&[
            ("version", version.to_string()),
            ("changed", changed_at.unwrap_or_default()),
            ("targets", targets.len().to_string()),
        ])
    });
    Ok(())
}

fn versions(session: &Session) -> Result<()> {
    let body = session.api.get("/ci/targets/versions", &[])?;
    let Versions { items } = read(&body)?;
    let rows: Vec<[String; 4]> = items
        .into_iter()
        .map(|version| {
            let count = version.targets.map_or_else(|| "cannot be used".to_owned(), |count| count.to_string());
            let count = if version.is_usable { count } else { "cannot be used".to_owned() };
            let [at, by] = [version.changed_at, version.changed_by].map(Option::unwrap_or_default);
            [version.version.to_string(), at, by, count]
        })
        .collect();
    let columns = [("version", Align::Right), ("changed", Align::Left), ("by", Align::Left), ("targets", Align::Right)];
    session.answer(&body, || table(columns, &rows));
    Ok(())
}

/// Checks a file by the rules of this program's version.
pub(super) fn check(file: &Path, is_json: bool) -> Result<()> {
    let found = ci::Targets::parse(&file::text(file)?);
    let name = file.display();
    let mistakes = found.as_ref().err().map(Vec::as_slice).unwrap_or_default();
    if is_json {
        let named = |mistake: &FieldError| json!({"pointer": mistake.pointer, "detail": mistake.detail});
        let status = if found.is_ok() { "usable" } else { "mistaken" };
        let answer = json!({"status": status, "mistakes": mistakes.iter().map(named).collect::<Vec<_>>()});
        terminal::answer(&answer.to_string());
    } else if let Ok(targets) = &found {
        terminal::answer(&format!("{name}: {} targets, no mistakes", targets.list().len()));
    }
    if mistakes.is_empty() {
        return Ok(());
    }
    let named: String = mistakes.iter().map(|mistake| line(&mistake.pointer, &mistake.detail)).collect();
    Err(Outcome::Mismatch(format!("{name} has {} mistakes:{named}", mistakes.len())).into())
}

/// Returns a mistake as a line of its own.
fn line(pointer: &str, detail: &str) -> String {
    format!("\n  {}: {detail}", if pointer.is_empty() { "the whole" } else { pointer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<()> {
        let path = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::write(&path, text).unwrap();
        let result = check(&path, false);
        std::fs::remove_file(path).unwrap();
        result
    }

    #[test]
    fn every_mistake_of_a_file_is_named_without_the_service() {
        let good = ci::Targets::built_in().unwrap().to_json().unwrap();
        assert!(checked(&good).is_ok());
        let error = checked(r#"{"targets": [{"id": "a", "bound": 0}], "x": 1}"#).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Outcome::Mismatch(_))), "{error:?}");
        let text = error.to_string();
        for pointer in ["/x", "/targets/0/service", "/targets/0/command", "/targets/0/measure", "/targets/0/bound"] {
            assert!(text.contains(&format!("\n  {pointer}: ")), "{pointer}: {text}");
        }
    }
}
