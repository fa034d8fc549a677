//! The keys to read. A key holds its day from the year down, so keys sort by day, and days are bounds on keys.

use jiff::{ToSpan as _, civil::Date};

/// The folder of the results of tests, which sort behind all days of runs.
const TESTS: &str = "metrics/tests/";

/// A range of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    prefix: String,
    /// The exclusive lower bound.
    after: String,
    /// The exclusive upper bound; empty for no bound.
    before: String,
}

impl Keys {
    /// Creates the range of the keys with `prefix` of the days from `since` to `until`, both included. Days are those of
    /// runs, or of tests if the prefix is theirs.
    pub(crate) fn new(prefix: String, since: Option<Date>, until: Option<Date>) -> Self {
        let folder = if prefix.starts_with(TESTS) { TESTS } else { "metrics/" };
        let day = |date: Date| format!("{folder}{}", date.strftime("%Y/%m/%d"));
        let end = || (since.is_some() && folder != TESTS).then(|| TESTS.to_owned());
        let before = until.and_then(|date| date.checked_add(1.day()).ok()).map(day).or_else(end);
        Self { prefix, after: since.map(day).unwrap_or_default(), before: before.unwrap_or_default() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the key after which to list, once everything up to `done` is done.
    pub(crate) fn after<'a>(&'a self, done: &'a str) -> &'a str {
        done.max(&self.after)
    }

    /// Reports whether this key, and so each that follows, is beyond the range.
    pub(crate) fn is_beyond(&self, key: &str) -> bool {
        !self.before.is_empty() && key >= self.before.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_bound_keys() {
        let keys = Keys::new("metrics/".to_owned(), "2025-02-28".parse().ok(), "2025-02-28".parse().ok());
        for (key, is_in) in [
            ("metrics/2025/02/27/z.json", false),
            ("metrics/2025/02/28/a.json", true),
            ("metrics/2025/02/28/service/z.json", true),
            ("metrics/2025/03/01/a.json", false),
        ] {
            assert_eq!(key > keys.after("") && !keys.is_beyond(key), is_in, "{key}");
        }
        assert_eq!(keys.after("metrics/2025/02/28/b.json"), "metrics/2025/02/28/b.json");
        let all = Keys::new("metrics/".to_owned(), None, None);
        assert!(all.after("").is_empty() && !all.is_beyond("metrics/tests/9999/12/31/z.json"));
    }

    #[test]
    fn days_are_those_of_runs_or_of_tests() {
        let day = || "2025-02-28".parse().ok();
        let runs = Keys::new("metrics/".to_owned(), day(), None);
        assert!(runs.is_beyond("metrics/tests/2025/03/01/a.json") && !runs.is_beyond("metrics/2025/03/01/a.json"));
        let tests = Keys::new("metrics/tests/".to_owned(), day(), day());
        for (key, is_in) in [
            ("metrics/tests/2025/02/27/z.json", false),
            ("metrics/tests/2025/02/28/a.json", true),
            ("metrics/tests/2025/03/01/a.json", false),
        ] {
            assert_eq!(key > tests.after("") && !tests.is_beyond(key), is_in, "{key}");
        }
    }
}
