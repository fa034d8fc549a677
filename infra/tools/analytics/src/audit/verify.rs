//! `verify-audit`: a trail's file, without the service.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};
use domain::chain::HeadStatement;
use serde::Serialize;

use super::{
    line::{Line, VERSION},
    trail::{Finding, Trail},
};
use crate::{cli::VerifyAudit, offline::Keys, outcome::Outcome};

/// The answer with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// `verified` or `different`.
    status: &'static str,
    /// The number of linked records.
    records: u64,
    /// How many of them, from the first, a signed head covers.
    signed: u64,
    /// Records that wait to be linked, of which nothing is proven.
    waiting: usize,
    /// What was found wrong, the first record first.
    findings: Vec<Finding>,
}

/// Verifies a trail.
pub(crate) fn run(arguments: &VerifyAudit, json: bool) -> Result<()> {
    let keys = Keys::read(&arguments.key)?;
    let heads = arguments.heads.iter().map(|path| read_head(path)).collect::<Result<Vec<_>>>()?;
    let name = arguments.path.display();
    let trail = read(&arguments.path, &keys, &heads).with_context(|| format!("can't verify {name}"))?;
    let (records, signed, waiting) = (trail.links(), trail.signed, trail.waits());
    let findings = trail.finish();
    let verdict = match findings.first() {
        None => Ok(()),
        Some(first) => Err(Outcome::Mismatch(first.to_string())),
    };
    let status = if verdict.is_ok() { "verified" } else { "different" };
    let answer = Answer { status, records, signed, waiting, findings };
    terminal::answer(if json { serde_json::to_string(&answer)? } else { answer.text() }.trim_end());
    if signed < records {
        let from = signed + 1;
        terminal::note(&format!(
            "no signed head covers the records from {from} on: the chain alone holds them together"
        ));
    }
    verdict.with_context(|| name.to_string())
}

fn read_head(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// Reads a file of a trail, and finds what is wrong.
fn read(path: &Path, keys: &Keys, heads: &[String]) -> Result<Trail> {
    let mut lines = (1_u64..).zip(BufReader::new(File::open(path)?).lines());
    let mut next = || -> Result<Option<Line>> {
        let Some((number, line)) = lines.next() else { return Ok(None) };
        let unreadable = || format!("line {number} is not one of a trail");
        Ok(Some(serde_json::from_str(&line?).with_context(unreadable)?))
    };
    let bad = |what: &str| Outcome::Mismatch(what.to_owned());
    let Some(Line::Trail(first)) = next()? else { return Err(bad("the first line is not that of a trail").into()) };
    if first.version != VERSION {
        let what = format!("the file has version {}, this program knows {VERSION}", first.version);
        return Err(Outcome::WrongUsage(what).into());
    }
    let mut trail = Trail::of(first.org_id);
    let mut counts = [0_u64; 3];
    let mut signed = heads.to_vec();
    loop {
        match next()? {
            Some(Line::Record(record)) => {
                counts[0] += 1;
                trail.record(record);
            }
            Some(Line::Link(link)) => {
                counts[1] += 1;
                trail.link(&link);
            }
            Some(Line::Head { jws }) => {
                counts[2] += 1;
                signed.push(jws);
            }
            Some(Line::End { records, links, heads }) if [records, links, heads] == counts => break,
            Some(Line::End { .. }) => return Err(bad("the file has not the lines that its end counts").into()),
            Some(Line::Trail(_)) => return Err(bad("the file has two beginnings").into()),
            None => return Err(bad("the file has no end: it is not whole").into()),
        }
    }
    trail.end_of_links();
    for jws in signed {
        match keys.verify_jws::<HeadStatement>(&jws, HeadStatement::TYPE) {
            Some(head) if head.schema_version == HeadStatement::VERSION => trail.head(&head),
            _ => trail.findings.push(Finding {
                seq: None,
                key: None,
                kind: "not signed",
                reason: "a head has no signature by a key of --key: it was altered, or the key is another".to_owned(),
            }),
        }
    }
    Ok(trail)
}

impl Answer {
    fn text(&self) -> String {
        let Self { records, signed, waiting, findings, .. } = self;
        let mut lines = Vec::new();
        if findings.is_empty() {
            lines.push(format!("verified: {records} records, of which a signed head covers {signed}"));
        }
        if *waiting > 0 {
            lines.push(format!("{waiting} records wait to be linked; nothing is proven of them yet"));
        }
        lines.extend(findings.iter().map(|finding| format!("DIFFERENT {finding}")));
        lines.join("\n")
    }
}
