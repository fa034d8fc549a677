//! The keys to read. A key holds its day from the year down, so keys sort by day, and days are bounds on keys.

use jiff::{ToSpan as _, civil::Date};

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
    /// Creates the range of the keys with `prefix` of the days from `since` to `until`, both included.
    pub(crate) fn new(prefix: String, since: Option<Date>, until: Option<Date>) -> Self {
        let day = |date: Date| date.strftime("metrics/%Y/%m/%d").to_string();
        let before = until.and_then(|date| date.checked_add(1.day()).ok()).map(day);
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
        assert!(all.after("").is_empty() && !all.is_beyond("metrics/9999/12/31/z.json"));
    }
}
