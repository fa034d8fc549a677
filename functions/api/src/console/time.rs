//! Times and days on a page, always in UTC, and always saying so.

use domain::{Month, instant::day_of};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use maud::{Markup, html};

use super::texts::{Texts, say};

/// Shows an instant to the minute.
pub(super) fn at(texts: &Texts, at: Timestamp) -> Markup {
    let time = TimeZone::UTC.to_datetime(at);
    let date = time.date();
    let clock = format!("{:02}:{:02}", time.hour(), time.minute());
    let month = name(&texts.months_short, date);
    let values: [(&str, &dyn maud::Render); 4] =
        [("day", &date.day()), ("month", &month), ("year", &date.year()), ("time", &clock)];
    html! { time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) { (say(texts.time_of, &values)) } }
}

/// Shows a day of a year.
pub(super) fn date(texts: &Texts, date: Date) -> Markup {
    say(texts.date, &[("day", &date.day()), ("month", &name(&texts.months_short, date)), ("year", &date.year())])
}

/// Shows a day of a month that is known.
pub(super) fn day(texts: &Texts, date: Date) -> Markup {
    say(texts.day_of, &[("day", &date.day()), ("month", &name(&texts.months_short, date))])
}

/// Returns the name of a month.
pub(super) fn month(texts: &Texts, month: Month) -> String {
    let first = day_of(month.start());
    let filled = say(texts.month_of, &[("month", &name(&texts.months, first)), ("year", &first.year())]);
    // Names of months and numbers have no characters to escape.
    filled.into_string()
}

fn name(names: &[&'static str; 12], date: Date) -> &'static str {
    let index = usize::try_from(date.month() - 1).unwrap_or_default();
    names.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::texts::Language, *};

    #[test]
    fn times_say_that_they_are_utc() {
        let instant: Timestamp = "2026-11-26T01:43:59Z".parse().unwrap();
        let texts = Language::English.texts();
        assert_eq!(
            at(texts, instant).into_string(),
            "<time datetime=\"2026-11-26T01:43:59Z\">26 Nov 2026 01:43 UTC</time>"
        );
        let german = Language::German.texts();
        assert!(at(german, instant).into_string().contains("26. Nov. 2026 01:43 UTC"));
        assert_eq!(month(texts, "2026-10".parse().unwrap()), "October 2026");
        assert_eq!(month(german, "2026-03".parse().unwrap()), "März 2026");
        assert_eq!(day(texts, day_of(instant)).into_string(), "26 Nov");
    }
}
