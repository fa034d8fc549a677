//! The form of the report of CI. Its state is the address of the page, so that a link shows what the sender saw.

use ci::reports::{Choices, Names};
use domain::{instant::day_of, request::FieldError};
use jiff::{ToSpan as _, civil::Date};
use maud::{Markup, html};

use super::{
    ci::PATH,
    shell::Shell,
    texts::{Texts, say},
};
use crate::query::Query;

/// The number of names that a field offers. With more, the field is one to type in.
pub(super) const MAX_NAMES: usize = 200;

/// The lengths of a range that one press chooses, in days, with the present one.
const RANGES: [i32; 4] = [7, 30, 90, 365];

/// The parameters of the address, in the order of the form.
const FIELDS: [&str; 8] = ["service", "command", "environment", "from", "to", "month", "minPercent", "minSeconds"];

/// What the address says, with its mistakes.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The fields that are not empty, in the order of the form.
    values: Vec<(&'static str, String)>,
    pub(super) mistakes: Vec<FieldError>,
}

impl Choice {
    pub(super) fn of(query: &Query) -> Self {
        let given = |name| query.given(name).map(|value| (name, value.to_owned()));
        Self { values: FIELDS.into_iter().filter_map(given).collect(), mistakes: Vec::new() }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Returns the query of this choice.
    pub(super) fn query(&self) -> String {
        self.address("").trim_start_matches('?').to_owned()
    }

    /// Returns a path with this choice.
    pub(super) fn address(&self, path: &str) -> String {
        address(path, self.values.iter().map(|(name, value)| (*name, value.as_str())))
    }

    /// Returns the page with this choice and the range of so many days up to now.
    fn with_range(&self, today: Date, days: i32) -> String {
        let first = first_day(today, days);
        let others = self.values.iter().filter(|(name, _)| !matches!(*name, "from" | "to"));
        address(PATH, others.map(|(name, value)| (*name, value.as_str())).chain([("from", first.as_str())]))
    }

    fn mistakes_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let pointer = format!("/query/{name}");
        self.mistakes.iter().filter(move |mistake| mistake.pointer == pointer).map(|mistake| mistake.detail.as_str())
    }

    /// Names all mistakes, each with a link to its field. The focus moves there.
    pub(super) fn mistakes(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        html! {
            @if !self.mistakes.is_empty() {
                div.mistakes role="alert" tabindex="-1" autofocus {
                    p { strong { (texts.correct) } }
                    ul {
                        @for mistake in &self.mistakes {
                            @let name = mistake.pointer.trim_start_matches("/query/");
                            li {
                                @match FIELDS.into_iter().find(|field| *field == name) {
                                    Some(field) => {
                                        a href={ "#" (field) } { (label(texts, field)) }
                                        ": " span lang="en" { (mistake.detail) }
                                    }
                                    None => { code { (name) } " " span lang="en" { (mistake.detail) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Shows the fields.
    pub(super) fn fields(&self, shell: &Shell, choices: &Choices) -> Markup {
        let texts = shell.texts();
        let today = day_of(shell.now);
        html! {
            form.card method="get" action=(PATH) aria-label=(texts.ci_choose) {
                @if shell.is_named { input type="hidden" name="lang" value=(shell.language.code()); }
                div.fields {
                    (self.choice(texts, "service", &choices.services))
                    (self.choice(texts, "command", &choices.commands))
                    (self.choice(texts, "environment", &choices.environments))
                }
                div.fields {
                    (self.day(texts, "from", texts.ci_from_hint))
                    (self.day(texts, "to", texts.ci_to_hint))
                    (self.text(texts, "month", texts.ci_month_hint))
                    (self.text(texts, "minPercent", texts.ci_min_percent_hint))
                    (self.text(texts, "minSeconds", texts.ci_min_seconds_hint))
                }
                div.actions {
                    button { (texts.show) }
                    a.button.quiet href=(shell.href(PATH)) { (texts.ci_clear) }
                    @for days in RANGES {
                        @let is_chosen = self.value("to").is_none() && self.value("from") == Some(&first_day(today, days));
                        a href=(shell.href(self.with_range(today, days))) aria-current=[is_chosen.then_some("true")] {
                            (say(texts.ci_last_days, &[("days", &days)]))
                        }
                    }
                }
            }
        }
    }

    /// A choice among names; a field to type in where there are more than are offered.
    fn choice(&self, texts: &Texts, name: &'static str, found: &Names) -> Markup {
        let chosen = self.value(name).unwrap_or_default();
        let is_known = chosen.is_empty() || found.names.iter().any(|known| known == chosen);
        let list = format!("{name}-names");
        html! {
            div {
                label for=(name) { (label(texts, name)) }
                @if found.more {
                    input id=(name) name=(name) list=(list) autocomplete="off" value=(chosen)
                        aria-invalid=[self.is_wrong(name)] aria-describedby={ (name) "-hint" };
                    datalist id=(list) { @for known in &found.names { option value=(known) {} } }
                    span.hint id={ (name) "-hint" } {
                        (say(texts.ci_more_names, &[("count", &found.names.len())])) (self.wrong(name))
                    }
                } @else {
                    select id=(name) name=(name) aria-invalid=[self.is_wrong(name)] aria-describedby={ (name) "-hint" } {
                        option value="" { (texts.any) }
                        @if !is_known { option value=(chosen) selected { (say(texts.ci_no_runs, &[("name", &chosen)])) } }
                        @for known in &found.names { option value=(known) selected[known == chosen] { (known) } }
                    }
                    span.hint id={ (name) "-hint" } { (self.wrong(name)) }
                }
            }
        }
    }

    /// A day. What is no day is kept as it was typed, which a field for days would not do.
    fn day(&self, texts: &Texts, name: &'static str, hint: &str) -> Markup {
        let value = self.value(name).unwrap_or_default();
        let is_day = value.is_empty() || value.len() == 10 && value.parse::<Date>().is_ok();
        self.field(texts, name, hint, if is_day { "date" } else { "text" })
    }

    fn text(&self, texts: &Texts, name: &'static str, hint: &str) -> Markup {
        self.field(texts, name, hint, "text")
    }

    fn field(&self, texts: &Texts, name: &'static str, hint: &str, kind: &str) -> Markup {
        html! {
            div {
                label for=(name) { (label(texts, name)) }
                input id=(name) type=(kind) name=(name) autocomplete="off" value=[self.value(name)]
                    aria-invalid=[self.is_wrong(name)] aria-describedby={ (name) "-hint" };
                span.hint id={ (name) "-hint" } { (hint) (self.wrong(name)) }
            }
        }
    }

    fn is_wrong(&self, name: &str) -> Option<&'static str> {
        self.mistakes_of(name).next().map(|_| "true")
    }

    /// The mistakes of a field, for those who are at it.
    fn wrong(&self, name: &str) -> Markup {
        html! { @for mistake in self.mistakes_of(name) { " " span.bad lang="en" { "✕ " (mistake) } } }
    }
}

const fn label(texts: &Texts, name: &str) -> &'static str {
    match name.as_bytes() {
        b"service" => texts.ci_service,
        b"command" => texts.ci_command,
        b"environment" => texts.ci_environment,
        b"from" => texts.from,
        b"to" => texts.to,
        b"month" => texts.ci_month,
        b"minPercent" => texts.ci_min_percent,
        _ => texts.ci_min_seconds,
    }
}

/// Returns the first day of a range that ends today.
fn first_day(today: Date, days: i32) -> String {
    today.checked_sub((days - 1).days()).unwrap_or(today).to_string()
}

fn address<'a>(path: &str, values: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn form(values: &[(&'static str, &str)], mistakes: &[(&str, &str)]) -> Choice {
        let mistake = |(name, detail): &(&str, &str)| FieldError {
            pointer: format!("/query/{name}"),
            detail: (*detail).to_owned(),
        };
        Choice {
            values: values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            mistakes: mistakes.iter().map(mistake).collect(),
        }
    }

    fn shown(form: &Choice, names: &[&str], more: bool) -> String {
        let names = Names { names: names.iter().map(|name| (*name).to_owned()).collect(), more };
        let choices = Choices { services: names, ..Choices::default() };
        html! { (form.mistakes(&sample::shell())) (form.fields(&sample::shell(), &choices)) }.into_string()
    }

    #[test]
    fn a_mistake_is_at_its_field_and_keeps_the_input() {
        let page = shown(
            &form(&[("from", "2025-13-01"), ("minPercent", "<b>")], &[("from", "must be a day"), ("x", "is unknown")]),
            &[],
            false,
        );
        assert!(page.contains("<a href=\"#from\">From (UTC day)</a>: <span lang=\"en\">must be a day"), "{page}");
        assert!(page.contains("<code>x</code> <span lang=\"en\">is unknown"), "{page}");
        assert!(page.contains("id=\"from\" type=\"text\" name=\"from\" autocomplete=\"off\" value=\"2025-13-01\" aria-invalid=\"true\""), "{page}");
        assert!(page.contains("id=\"to\" type=\"date\"") && page.contains("value=\"&lt;b&gt;\""), "{page}");
    }

    #[test]
    fn a_name_without_runs_stays_chosen() {
        let page = shown(&form(&[("service", "a&b")], &[]), &["c", "d"], false);
        assert!(page.contains("<option value=\"a&amp;b\" selected>a&amp;b (no runs here)</option>"), "{page}");
        let page = shown(&form(&[("service", "d")], &[]), &["c", "d"], false);
        assert!(page.contains("<option value=\"d\" selected>d</option>") && !page.contains("no runs here"), "{page}");
        let page = shown(&form(&[("service", "e")], &[]), &["c", "d"], true);
        assert!(page.contains("list=\"service-names\"") && page.contains("value=\"e\""), "{page}");
    }

    #[test]
    fn a_range_keeps_the_rest_of_the_choice() {
        let page = shown(&form(&[("service", "a b"), ("from", "2026-11-20"), ("month", "2026-10")], &[]), &[], false);
        // The clock of the test is at 2026-11-26.
        assert!(page.contains("href=\"/finance/platform/ci?service=a+b&amp;month=2026-10&amp;from=2026-11-20\" aria-current=\"true\">Last 7 days"), "{page}");
        assert!(page.contains("from=2026-10-28\">Last 30 days"), "{page}");
    }
}
