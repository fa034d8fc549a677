//! What the key of a document says about it.

use crate::{InvalidDocument, document::MAX_DOCUMENT_BYTES, test_results::MAX_TESTS_DOCUMENT_BYTES};

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run, at `metrics/YYYY/MM/DD/…`.
    Run,
    /// The tests of a run, at `metrics/tests/YYYY/MM/DD/…`. No document of a run could ever be there.
    Tests,
}

const TESTS: &str = "metrics/tests/";

impl Kind {
    /// Returns what the document at a key is about.
    pub(super) fn of(key: &str) -> Self {
        if key.starts_with(TESTS) { Self::Tests } else { Self::Run }
    }

    /// Returns the maximum size of such a document, in bytes.
    pub(super) const fn max_bytes(self) -> usize {
        match self {
            Self::Run => MAX_DOCUMENT_BYTES,
            Self::Tests => MAX_TESTS_DOCUMENT_BYTES,
        }
    }

    /// Returns the folder of the days, with its slash.
    const fn folder(self) -> &'static str {
        match self {
            Self::Run => "metrics/",
            Self::Tests => TESTS,
        }
    }
}

/// Refuses a run that is not the one of its key: `…/YYYY/MM/DD/<run_id>.json` or `…/YYYY/MM/DD/<service>/<run_id>.json`.
/// Rights to write are given by keys: without this, whoever may write one service's documents, or one run's, could
/// replace others.
///
/// Names are compared byte by byte: another case, a look-alike and a space at the end are other names.
///
/// # Errors
/// When the service or the run id differs, or the key is of neither form.
pub(super) fn check(key: &str, service: &str, run_id: &str) -> Result<(), InvalidDocument> {
    let folder = Kind::of(key).folder();
    let Some(name) = name(key, folder) else {
        let mistake = format!(
            "the document must be at {folder}YYYY/MM/DD/<run_id>.json or {folder}YYYY/MM/DD/<service>/<run_id>.json"
        );
        return Err(InvalidDocument::new(mistake));
    };
    let Some((folder, _)) = name.split_once('/') else {
        return if name == run_id { Ok(()) } else { Err(other_run(name)) };
    };
    // A service, and a run id, may itself have a slash.
    let rest = name.strip_prefix(service).and_then(|rest| rest.strip_prefix('/'));
    match rest {
        None => Err(InvalidDocument::new(format!("service must be {folder:?}, as the folder of the document says"))),
        Some(rest) if rest == run_id => Ok(()),
        Some(rest) => Err(other_run(rest)),
    }
}

fn other_run(expected: &str) -> InvalidDocument {
    InvalidDocument::new(format!("run_id must be {expected:?}, as the name of the document says"))
}

/// Returns what follows the day in a key, without the suffix.
fn name<'a>(key: &'a str, folder: &str) -> Option<&'a str> {
    let mut parts = key.strip_prefix(folder)?.strip_suffix(".json")?.splitn(4, '/');
    let day = [parts.next()?, parts.next()?, parts.next()?];
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_day = is_number(day[0], 4) && is_number(day[1], 2) && is_number(day[2], 2);
    parts.next().filter(|_| is_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(key: &str, service: &str, run_id: &str) -> Option<String> {
        check(key, service, run_id).err().map(|error| error.to_string())
    }

    #[test]
    fn a_document_tells_of_the_run_of_its_key() {
        for (name, service, run_id) in [
            ("ci-1", "user-org-service", "ci-1"),
            ("user-org-service/ci-1", "user-org-service", "ci-1"),
            ("a/b/1", "a/b", "1"),
            ("a/b/1", "a", "b/1"),
            ("a/1.json", "a", "1.json"),
            ("実行 1", "a", "実行 1"),
        ] {
            for folder in ["metrics", "metrics/tests"] {
                assert_eq!(mistake(&format!("{folder}/2025/11/08/{name}.json"), service, run_id), None, "{name}");
            }
        }
    }

    #[test]
    fn names_that_only_look_alike_are_others() {
        for (name, expected) in [
            ("a/2", "run_id must be \"2\""),
            ("a/x/1", "run_id must be \"x/1\""),
            ("2", "run_id must be \"2\""),
            // Cyrillic, full width, another case, spaces, an encoding that nobody decodes, a name after a slash.
            ("\u{430}/1", "service must be"),
            ("ａ/1", "service must be"),
            ("A/1", "service must be"),
            ("a /1", "service must be"),
            ("%61/1", "service must be"),
            ("/1", "service must be \"\""),
            ("ab/1", "service must be \"ab\""),
            ("x/a/1", "service must be \"x\""),
            ("a/１", "run_id must be"),
            ("a/1 ", "run_id must be"),
            ("a/ 1", "run_id must be"),
            ("a/%31", "run_id must be"),
            ("a//1", "run_id must be"),
            ("a/1\u{200b}", "run_id must be"),
            ("a/1.json", "run_id must be"),
        ] {
            let mistake = mistake(&format!("metrics/2025/11/08/{name}.json"), "a", "1");
            assert!(mistake.as_deref().is_some_and(|found| found.contains(expected)), "{name}: {mistake:?}");
        }
    }

    #[test]
    fn a_run_id_with_a_slash_does_not_pass_for_a_folder() {
        let found = mistake("metrics/2025/11/08/attacker/1.json", "a", "attacker/1");
        assert!(found.is_some_and(|found| found.contains("service must be \"attacker\"")));
    }

    #[test]
    fn a_key_of_neither_form_is_refused() {
        for key in [
            "metrics/1.json",
            "metrics/2025/nov/08/a/1.json",
            "metrics/2025/1/08/1.json",
            "metrics/2025/11/08/1.JSON",
            "Metrics/2025/11/08/1.json",
            "metrics//2025/11/08/1.json",
            "metrics/x/2025/11/08/1.json",
            "metrics/tests/1.json",
            "metrics/tests/tests/2025/11/08/1.json",
            "metrics/Tests/2025/11/08/1.json",
        ] {
            let found = mistake(key, "a", "1");
            assert!(found.is_some_and(|found| found.contains("the document must be at metrics/")), "{key}");
        }
    }
}
