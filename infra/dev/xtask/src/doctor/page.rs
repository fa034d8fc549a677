//! The page: a line for each question, then what needs a person; or the same as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    facts::Facts,
    verdict::{Finding, Row},
};

/// The file of the runbook, in the checkout.
const RUNBOOK: &str = "docs/runbooks/analytics-incident-response.md";

/// The ANSI codes of the page.
const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";

/// Writes the page. `paint` colours a text by its code.
pub(super) fn text(facts: &Facts, rows: &[Row], paint: impl Fn(&str, &str) -> String) -> String {
    let mut page = paint(BOLD, &format!("{} in {}", facts.name, facts.region));
    page.push_str("\n\n");
    let width = rows.iter().map(|row| row.label.len()).max().unwrap_or(0);
    for Row { label, text, findings } in rows {
        let mark = if findings.is_empty() { paint(GREEN, "✓") } else { paint(RED, "✗") };
        let _ = writeln!(page, "  {mark} {label:<width$}  {text}");
    }
    let findings: Vec<&Finding> = findings(rows).collect();
    if findings.is_empty() {
        page.push_str("\nNothing needs a person.");
        return page;
    }
    let _ = write!(page, "\n{}", paint(BOLD, "A person is needed:"));
    for Finding { sentence, anchor } in findings {
        let _ = write!(page, "\n  - {sentence}\n    {RUNBOOK}#{anchor}");
    }
    page
}

/// Returns the verdict and all answers.
pub(super) fn json(facts: &Value, rows: &[Row]) -> Value {
    let findings: Vec<Value> = findings(rows)
        .map(|Finding { sentence, anchor }| {
            json!({"sentence": sentence, "anchor": anchor, "runbook": format!("{RUNBOOK}#{anchor}")})
        })
        .collect();
    json!({"healthy": findings.is_empty(), "findings": findings, "facts": facts})
}

fn findings(rows: &[Row]) -> impl Iterator<Item = &Finding> {
    rows.iter().flat_map(|row| &row.findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::Answer, sample::healthy, verdict::judge};

    fn plain(_: &str, text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_healthy_stack_needs_nobody() {
        let facts = healthy();
        let rows = judge(&facts);
        let page = text(&facts, &rows, plain);
        assert!(page.starts_with("analytics-exports in us-east-1\n"), "{page}");
        assert!(page.ends_with("\nNothing needs a person."), "{page}");
        assert!(!page.contains('✗') && page.lines().count() < 30, "{page}");
        assert_eq!(json(&Value::Null, &rows)["healthy"], true);
    }

    #[test]
    fn a_service_that_fails_leaves_the_other_lines() {
        let well = judge(&healthy()).len();
        let mut facts = healthy();
        facts.due = Answer::Failed("AccessDenied: not you".to_owned());
        let rows = judge(&facts);
        assert_eq!(rows.len(), well);
        let page = text(&facts, &rows, plain);
        assert!(page.contains("due jobs") && page.contains("no answer: AccessDenied: not you"), "{page}");
        assert!(page.ends_with("The table of jobs did not answer: AccessDenied: not you\n    docs/runbooks/analytics-incident-response.md#run-doctor"), "{page}");
        let json = json(&Value::Null, &rows);
        assert_eq!((&json["healthy"], &json["findings"][0]["anchor"]), (&json!(false), &json!("run-doctor")));
    }

    #[test]
    fn every_anchor_of_the_code_is_a_heading_of_the_runbook() {
        let runbook = include_str!("../../../../../docs/runbooks/analytics-incident-response.md");
        let headings = runbook.lines().filter_map(|line| line.strip_prefix("## ").or(line.strip_prefix("### ")));
        let headings: Vec<String> = headings.map(|heading| heading.to_lowercase().replace(' ', "-")).collect();
        for code in [include_str!("work.rs"), include_str!("service.rs"), include_str!("verdict.rs")] {
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            let words = code.split('"').filter(|word| {
                word.ends_with("alarm") || ["a-bad-deploy", "database-failover", "run-doctor"].contains(word)
            });
            let mut found = 0;
            for anchor in words {
                found += 1;
                assert!(headings.iter().any(|heading| heading == anchor), "{anchor} is no heading");
            }
            assert!(found > 0, "no anchor in a file");
        }
    }
}
