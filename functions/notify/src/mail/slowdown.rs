//! The mail of a slowdown of CI.

use ci::change::ChangeDetail;

/// The name of the event in the message's attributes.
pub(super) const EVENT: &str = "ci.change.confirmed";
/// Maximum length of the command in a subject, which has at most 100 characters.
const MAX_NAME: usize = 40;

/// Returns the subject: at most 100 ASCII characters in one line, as SNS requires.
pub(super) fn subject(detail: &ChangeDetail) -> String {
    let plain = |character: char| if character.is_ascii_graphic() || character == ' ' { character } else { '?' };
    let mut command: String = detail.command.chars().take(MAX_NAME).map(plain).collect();
    if detail.command.chars().nth(MAX_NAME).is_some() {
        command.push_str("...");
    }
    let since = detail.changed_at.strftime("%Y-%m-%d");
    // SNS wants a letter, a digit or a punctuation mark first.
    format!("CI: {} is {} % slower since {since}", command.trim(), percent(detail))
}

/// Returns the text.
pub(super) fn text(detail: &ChangeDetail, base: &str) -> String {
    let ChangeDetail { before_median_seconds: before, after_median_seconds: after, .. } = detail;
    let mut lines = vec![
        format!("The runs of a command take {} % longer since {:.0}.", percent(detail), detail.changed_at),
        String::new(),
        format!("Command:      {}", line(&detail.command)),
        format!("Service:      {}", line(&detail.service)),
        format!("Environment:  {}", line(&detail.environment)),
        format!("Median:       {before:.1} s before, {after:.1} s now"),
        format!("First run:    {}", line(&detail.first_run_id)),
        format!("Its commit:   {}", line(&detail.first_commit_sha)),
    ];
    lines.extend(detail.possible_causes.iter().map(|cause| format!("Also:         {}", line(cause))));
    lines.extend([
        String::new(),
        "Until somebody acknowledges it, an alarm goes on. The change, which asks for a token:".to_owned(),
        format!("{base}/analytics/v1/ci/changes/{}", detail.change_id),
        String::new(),
        format!("Event {} at {}", detail.event_id, detail.occurred_at),
    ]);
    lines.join("\n")
}

/// Returns the change in percent, to a tenth. Runs that took no time become slower by more than a mail needs to say.
fn percent(detail: &ChangeDetail) -> String {
    if detail.change_percent < 1e6 { format!("{:.1}", detail.change_percent) } else { "more than 1000000".to_owned() }
}

/// Returns a name in one line, whatever it has.
fn line(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn sample() -> ChangeDetail {
        let body = include_str!("../../../../events/bus-ci-change-confirmed.json");
        let Event::Slowdown(detail) = Event::read(body).unwrap() else { panic!("a slowdown") };
        *detail
    }

    #[test]
    fn a_text_says_what_since_when_and_how_to_end_the_alarm() {
        assert_eq!(subject(&sample()), "CI: make check is 30.0 % slower since 2026-11-08");
        assert_eq!(
            text(&sample(), "https://analytics.example.com"),
            "The runs of a command take 30.0 % longer since 2026-11-08T15:04:05Z.\n\
             \n\
             Command:      make check\n\
             Service:      user-org-service\n\
             Environment:  github-actions\n\
             Median:       100.0 s before, 130.0 s now\n\
             First run:    ci-2026-11-08-001\n\
             Its commit:   abcdef1234567890\n\
             Also:         collector_version changed from 1.0.0 to 1.1.0\n\
             \n\
             Until somebody acknowledges it, an alarm goes on. The change, which asks for a token:\n\
             https://analytics.example.com/analytics/v1/ci/changes/3b7f5a52-5b0c-5c6e-9b1e-2f1d7c9e8a10\n\
             \n\
             Event 7c2e1f0a-8d4b-5e3f-a6c7-9b0d1e2f3a4b at 2026-11-09T03:10:00Z"
        );
    }

    #[test]
    fn no_name_breaks_a_subject_or_a_line() {
        let hostile = "größer\nBcc: a@example.com\u{7}".repeat(20);
        let detail = ChangeDetail { command: hostile.clone(), service: hostile, change_percent: 1e300, ..sample() };
        let subject = subject(&detail);
        assert!(subject.len() <= 100 && subject.is_ascii() && !subject.contains('\n'), "{subject}");
        let text = text(&detail, "https://analytics.example.com");
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
    }
}
