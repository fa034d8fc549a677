//! The verdict over the answers: for each question a row of the page, with what needs a person.

use super::{
    facts::{Answer, Facts},
    service, work,
};

/// The section of the runbook that says what to do about a question that was not answered.
pub(super) const UNANSWERED: &str = "run-doctor";

/// A line of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) text: String,
    pub(crate) findings: Vec<Finding>,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The trouble, as a sentence.
    pub(crate) sentence: String,
    /// The section of the runbook that says what to do.
    pub(crate) anchor: String,
}

/// Judges all answers. Without a finding, nothing needs a person.
pub(crate) fn judge(facts: &Facts) -> Vec<Row> {
    let mut rows = vec![service::ready(facts), work::due(facts)];
    rows.extend(work::queues(facts));
    rows.push(work::lag(facts));
    rows.push(work::month(facts));
    rows.extend(service::runs(facts));
    rows.push(service::versions(facts));
    rows.push(service::alarms(facts));
    rows
}

impl Row {
    pub(super) fn new(label: &str, text: impl Into<String>) -> Self {
        Self { label: label.to_owned(), text: text.into(), findings: Vec::new() }
    }

    /// Adds a finding.
    #[must_use]
    pub(super) fn needs(mut self, sentence: impl Into<String>, anchor: &str) -> Self {
        self.findings.push(Finding { sentence: sentence.into(), anchor: anchor.to_owned() });
        self
    }

    /// Makes the row of an answer; `what` is the subject of the sentence that tells of none.
    pub(super) fn of<T>(label: &str, what: &str, answer: &Answer<T>, row: impl FnOnce(Self, &T) -> Self) -> Self {
        match answer {
            Answer::Ok(found) => row(Self::new(label, ""), found),
            Answer::Unasked(why) => Self::new(label, format!("not asked: {why}")),
            Answer::Failed(why) => {
                Self::new(label, format!("no answer: {why}")).needs(format!("{what} did not answer: {why}"), UNANSWERED)
            }
        }
    }

    #[must_use]
    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

/// Returns a time as people say it.
pub(super) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Returns a number with its noun: `1 job`, `2 jobs`.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_needs_a_person_and_one_for_nobody_does_not() {
        let failed: Answer<()> = Answer::Failed("no route".to_owned());
        let row = Row::of("jobs", "The table of jobs", &failed, |row, ()| row);
        assert_eq!(row.text, "no answer: no route");
        assert_eq!(row.findings[0].sentence, "The table of jobs did not answer: no route");
        let unasked: Answer<()> = Answer::Unasked("DATABASE_URL is not set".to_owned());
        let row = Row::of("usage", "The database", &unasked, |row, ()| row);
        assert_eq!((row.text.as_str(), row.findings.len()), ("not asked: DATABASE_URL is not set", 0));
    }

    #[test]
    fn times_and_numbers_are_said_as_people_say_them() {
        let said = [-1, 119, 120, 7199, 7200, 172_799, 172_800].map(span);
        assert_eq!(said, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
        assert_eq!([count(0, "job"), count(1, "job"), count(2, "job")], ["0 jobs", "1 job", "2 jobs"]);
    }
}
