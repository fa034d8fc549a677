//! Problem details, and the rules that each of them follows.

use serde::Deserialize;

use crate::Answer;

/// The common beginning of every type.
const TYPE_BASE: &str = "https://api.ai-aas.local/problems/";

/// Text that no caller may see: places in the code, the machinery behind the API, and the words of its errors.
const SECRETS: [&str; 18] = [
    "127.0.0.1",
    "localhost",
    "://",
    "panicked",
    "backtrace",
    ".rs:",
    "stack",
    "select ",
    "insert ",
    "postgres",
    "sqlstate",
    "dynamodb",
    "analytics_",
    "sqs",
    "s3.",
    "arn:",
    "bucket",
    "thread",
];

/// The body of an answer that is a problem.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of RFC 9457 and the API")]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub instance: String,
    pub request_id: String,
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
}

/// One mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the API's")]
pub struct FieldProblem {
    pub pointer: String,
    pub detail: String,
}

impl Problem {
    /// Returns the last part of the type.
    pub fn slug(&self) -> &str {
        self.kind.strip_prefix(TYPE_BASE).expect("every type has the same base")
    }

    /// Returns the places of the mistakes.
    pub fn pointers(&self) -> Vec<&str> {
        self.errors.iter().map(|error| error.pointer.as_str()).collect()
    }
}

impl Answer {
    /// Parses the answer as a problem.
    ///
    /// # Panics
    /// When it is no problem, has another status or type, or breaks a rule for texts that callers read.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Problem {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{text}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{text}");
        let problem: Problem = self.json();
        assert_eq!((problem.status, problem.slug()), (status, slug), "{text}");
        assert!(!problem.title.is_empty() && !problem.request_id.is_empty(), "{text}");
        assert!(problem.instance.starts_with('/'), "{text}");
        assert!(is_sentence(&problem.detail), "no sentence: {text}");
        // Each completes a sentence that begins with its pointer: "/timeRange/end must be …".
        let reads_on = |detail: &str| detail.starts_with("is ") || detail.starts_with("must ");
        assert!(problem.errors.iter().all(|error| reads_on(&error.detail)), "{text}");
        let said =
            [&problem.title, &problem.detail].into_iter().chain(problem.errors.iter().map(|error| &error.detail));
        for said in said {
            // A pointer is a word of the caller's own.
            let said = problem.errors.iter().fold(said.clone(), |said, error| said.replace(&error.pointer, ""));
            let said = said.to_lowercase();
            let secret = SECRETS.iter().find(|secret| said.contains(*secret));
            assert_eq!(secret, None, "{text}");
        }
        problem
    }
}

/// Reports whether a text begins and ends as a sentence, with or without a code in parentheses, and has a few words.
fn is_sentence(text: &str) -> bool {
    let words = text.split_once(" (code: ").map_or(text, |(words, _)| words);
    words.starts_with(char::is_uppercase) && words.ends_with('.') && words.split_whitespace().count() >= 4
}
