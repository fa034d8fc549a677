//! The summary of changes as Markdown, for a comment.
//!
//! Names come from documents of CI. Each character of them that could mean something in Markdown or HTML is written as a
//! number, so that a name is nothing but its characters, in any dialect, also within a table.

use super::{
    axis::{day_of, exact, percent},
    changes::StateView,
    regression_view::{InsufficientView, RegressionView},
    regressions::RegressionList,
};
use crate::visible::visible;

/// Maximum number of changes in the table.
const MAX_ROWS: usize = 50;
/// Maximum number of series that are named as too short.
const MAX_SHORT: usize = 10;
/// Maximum length of a name, in characters.
const MAX_NAME: usize = 200;
/// The possible cause that says that a change is not certain.
const LOW_CONFIDENCE: &str = "low confidence";

/// Returns the summary of a list.
pub(super) fn markdown(list: &RegressionList) -> String {
    let mut items: Vec<&RegressionView> = list.items.iter().collect();
    items.sort_by(|a, b| b.change_percent.total_cmp(&a.change_percent));
    let mut lines = vec![format!("### CI durations: {}", verdict(list, &items)), String::new()];
    if !items.is_empty() {
        lines.push("| Change | Command | Service | Environment | Since | Median | State |".to_owned());
        lines.push("|:--|:--|:--|:--|:--|:--|:--|".to_owned());
        lines.extend(items.iter().take(MAX_ROWS).map(|item| row(item)));
        lines.push(String::new());
    }
    if items.len() > MAX_ROWS {
        lines.extend([format!("{} further changes are not shown.", items.len() - MAX_ROWS), String::new()]);
    }
    if items.iter().any(|item| is_uncertain(item)) {
        let text = "Low confidence: the noise of these series is correlated, so that waves of it look like changes.";
        lines.extend([text.to_owned(), String::new()]);
    }
    if !list.insufficient.is_empty() {
        lines.extend([too_few(&list.insufficient), String::new()]);
    }
    if let Some(waiting) = list.waiting {
        let text = format!("{} new runs that were not looked at yet.", count(waiting, "series has", "series have"));
        lines.extend([text, String::new()]);
    }
    if list.next_cursor.is_some() {
        lines.extend(["There are more series than these; the next page has them.".to_owned(), String::new()]);
    }
    if list.searched {
        lines.extend(["Searched anew, by the thresholds and the range of the request.".to_owned(), String::new()]);
    }
    visible(&lines.join("\n"))
}

/// Says what is the matter in a few words.
fn verdict(list: &RegressionList, items: &[&RegressionView]) -> String {
    let is_slower = |item: &&&RegressionView| item.change_percent > 0.0 && item.state != Some(StateView::Withdrawn);
    let slower = items.iter().filter(is_slower).count();
    let open = items.iter().filter(|item| item.needs_attention == Some(true)).count();
    match (list.series, slower, open) {
        (0, ..) => "no runs are known".to_owned(),
        _ if items.is_empty() && list.insufficient.len() == list.series => "too few runs for a verdict".to_owned(),
        _ if items.is_empty() => "no lasting change".to_owned(),
        (_, 0, _) => "nothing became slower".to_owned(),
        (_, slower, 0) => count(slower, "slowdown", "slowdowns"),
        (_, slower, open) => format!("{}, {open} not acknowledged", count(slower, "slowdown", "slowdowns")),
    }
}

fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

fn row(item: &RegressionView) -> String {
    let direction = if item.change_percent > 0.0 { "slower" } else { "faster" };
    let change = format!("{} {direction}", percent(item.change_percent).trim_start_matches(['+', '−']));
    let change = if item.needs_attention == Some(true) { format!("**{change}**") } else { change };
    let mut commit = item.first_commit_sha.clone();
    if commit.len() == 40 && commit.is_ascii() {
        commit.truncate(12);
    }
    format!(
        "| {change} | {} | {} | {} | {}, commit {} | {} → {} | {} |",
        name(&item.command),
        name(&item.service),
        name(&item.environment),
        day_of(item.changed_at),
        name(&commit),
        exact(item.before_median_seconds),
        exact(item.after_median_seconds),
        state(item),
    )
}

fn state(item: &RegressionView) -> String {
    let mut words = vec![match item.state {
        None => "not told".to_owned(),
        Some(StateView::Provisional) => "provisional".to_owned(),
        Some(StateView::Confirmed) => "confirmed".to_owned(),
        Some(StateView::Withdrawn) => "withdrawn".to_owned(),
    }];
    if is_uncertain(item) {
        words.push("low confidence".to_owned());
    }
    if let Some(answer) = &item.acknowledgement {
        words.push(format!("acknowledged: {}", name(&answer.note)));
    }
    words.join(", ")
}

fn is_uncertain(item: &RegressionView) -> bool {
    item.possible_causes.iter().any(|cause| cause.contains(LOW_CONFIDENCE))
}

fn too_few(short: &[InsufficientView]) -> String {
    let named: Vec<String> = short
        .iter()
        .take(MAX_SHORT)
        .map(|one| {
            let InsufficientView { service, command, environment, runs } = one;
            format!("{} of {} in {} ({runs})", name(command), name(service), name(environment))
        })
        .collect();
    let more = match short.len().saturating_sub(MAX_SHORT) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("Too few successful runs for a verdict, which needs 24: {}{more}.", named.join(", "))
}

/// Writes a name so that it stays one: letters, digits, spaces, `-` and `/` as they are, all else as numbers of characters.
fn name(text: &str) -> String {
    let mut written = String::from("<code>");
    let mut characters = text.chars();
    for character in characters.by_ref().take(MAX_NAME) {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '/' => written.push(character),
            // Line breaks and others that are not shown: no number of a character may stand for some of them.
            character if character.is_control() => written.push('\u{fffd}'),
            character if character.is_ascii() => written.push_str(&format!("&#{};", u32::from(character))),
            character => written.push(character),
        }
    }
    if characters.next().is_some() {
        written.push('…');
    }
    written.push_str("</code>");
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_means_something() {
        let all: String = (0..=0xFF).filter_map(char::from_u32).collect();
        for hostile in ["</code><script>", "a|b", "`x`", "[a](b)", "@team #1 www.evil.example", "a\nb\r\n| c", &all] {
            let written = name(hostile);
            let inner = written.strip_prefix("<code>").unwrap().strip_suffix("</code>").unwrap();
            for part in inner.split('&').skip(1) {
                let (number, _) = part.strip_prefix('#').unwrap().split_once(';').unwrap();
                assert!(number.parse::<u32>().is_ok_and(|number| (0x20..0x7F).contains(&number)), "{inner}");
            }
            let is_plain = |one: char| one.is_alphanumeric() || " -/&#;\u{fffd}".contains(one) || !one.is_ascii();
            assert!(inner.chars().all(is_plain), "{inner}");
        }
        assert_eq!(name("make check"), "<code>make check</code>");
        assert_eq!(name(&"a".repeat(300)).chars().filter(|one| *one == 'a').count(), MAX_NAME);
    }
}
