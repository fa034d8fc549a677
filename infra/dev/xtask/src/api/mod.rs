//! The life of the API: its OpenAPI document beside that of the last release.
//!
//! A change is breaking if a client that was right by the old document may be wrong by the new one: what it sends may be
//! refused, or what it reads may be missing, or of another kind. Requests may become wider, answers may become narrower.
//! This service refuses what it does not know, so a parameter or a field of a request that is gone is refused, too. And
//! generated clients refuse a value that their document does not have, so a new value in an answer breaks them.

mod changelog;
mod operations;
mod schema;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// The document of the last release.
const RELEASED: &str = "docs/api/released.json";
/// The breaks that were decided, with the reason of each.
const ACCEPTED: &str = "docs/api/accepted.json";
/// The policy, and the changelog of the API.
const CHANGELOG: &str = "docs/api.md";
/// The document of the code.
const PRESENT: &str = "functions/api/openapi.json";

/// A break that was decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    /// The break, as the check names it.
    change: String,
    /// The reason, for those whom it concerns.
    reason: String,
}

/// Compares the document of the code with that of the last release, and with the changelog. Returns what is wrong.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("can't read {path}"));
    let json = |path: &str| -> Result<Value> {
        serde_json::from_str(&read(path)?).with_context(|| format!("{path} is not JSON"))
    };
    let (released, present) = (json(RELEASED)?, json(PRESENT)?);
    let accepted: Vec<Accepted> =
        serde_json::from_str(&read(ACCEPTED)?).with_context(|| format!("{ACCEPTED} is not a list of breaks"))?;
    let mut wrong = unaccepted(&operations::breaks(&released, &present), &accepted);
    wrong.extend(changelog::missing(&released, &present, &read(CHANGELOG)?));
    Ok(wrong)
}

/// Returns the breaks that nobody decided, and the decisions that decide nothing.
fn unaccepted(breaks: &BTreeSet<String>, accepted: &[Accepted]) -> Vec<String> {
    let is_accepted = |change: &String| accepted.iter().any(|accepted| accepted.change == *change);
    let open = breaks.iter().filter(|change| !is_accepted(change)).map(|change| format!("breaking: {change}"));
    let idle = accepted.iter().filter_map(|accepted| {
        let Accepted { change, reason } = accepted;
        if !breaks.contains(change) {
            Some(format!("{ACCEPTED}: {change:?} is no break any more; remove it"))
        } else if reason.trim().is_empty() {
            Some(format!("{ACCEPTED}: {change:?} has no reason"))
        } else {
            None
        }
    });
    open.chain(idle).collect()
}
