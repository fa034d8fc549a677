//! The page to which a person comes back after the sign-in.

use std::{fmt, str::FromStr};

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::{super::owns, CALLBACK, LOGIN, LOGOUT};

/// Maximum length, in bytes.
const MAX_BYTES: usize = 1024;

/// A path of a page, with its query. It leads nowhere else, whatever a browser makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ReturnPath(String);

/// A text that is not the path of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the path of a page below /finance")]
pub(crate) struct NotAPage;

impl ReturnPath {
    /// The first page.
    pub(super) fn first() -> Self {
        Self(super::super::BASE.to_owned())
    }

    /// Returns the page of a request, or the first page if one cannot come back to it.
    pub(super) fn of(uri: &Uri) -> Self {
        uri.path_and_query().and_then(|path| path.as_str().parse().ok()).unwrap_or_else(Self::first)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path by which one signs in and comes back.
    pub(super) fn sign_in(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("to", &self.0).finish();
        format!("{LOGIN}?{query}")
    }
}

impl FromStr for ReturnPath {
    type Err = NotAPage;

    /// Parses a path. Browsers take a backslash for a slash, `//` for the beginning of a host, and remove dots, tabs and line
    /// feeds: none of these is in it.
    fn from_str(text: &str) -> Result<Self, NotAPage> {
        let (path, query) = text.split_once('?').map_or((text, ""), |(path, query)| (path, query));
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'<' | b'>' | b'"' | b'`');
        let lower = path.to_ascii_lowercase();
        let is_safe = text.len() <= MAX_BYTES
            && text.bytes().all(is_plain)
            && !query.contains("//")
            && !["//", "%2f", "%5c", "%25"].iter().any(|hidden| lower.contains(hidden))
            && lower.split('/').all(|part| !matches!(part.replace("%2e", ".").as_str(), "." | ".."));
        let is_of_sign_in = [LOGIN, CALLBACK, LOGOUT].contains(&path.trim_end_matches('/'));
        if is_safe && owns(path) && !is_of_sign_in { Ok(Self(text.to_owned())) } else { Err(NotAPage) }
    }
}

impl TryFrom<String> for ReturnPath {
    type Error = NotAPage;

    fn try_from(text: String) -> Result<Self, NotAPage> {
        text.parse()
    }
}

impl From<ReturnPath> for String {
    fn from(path: ReturnPath) -> Self {
        path.0
    }
}

impl fmt::Display for ReturnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_a_path_and_nothing_else() {
        for good in [
            "/finance",
            "/finance/",
            "/finance?a=b",
            "/finance/123e4567-e89b-12d3-a456-426614174000/2026-10?zone=Europe%2FBerlin&cursor=a_-.~",
            "/finance/a.b/..c/...",
        ] {
            assert_eq!(good.parse::<ReturnPath>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "finance",
            "/financed",
            "/Finance",
            "//evil.example",
            "//evil.example/finance/",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/finance/",
            "javascript:alert(1)",
            "/finance//evil.example",
            "/finance/..",
            "/finance/../x",
            "/finance/./x",
            "/finance/%2e%2E/x",
            "/finance/.%2e",
            "/finance/%2f/x",
            "/finance/%5Cx",
            "/finance/%252e%252e/x",
            "/finance/\\..\\x",
            "/finance/a\tb",
            "/finance/a\nb",
            "/finance/a b",
            "/finance/é",
            "/finance#a",
            "/finance/<script>",
            "/finance?to=//evil.example",
            " /finance",
            "/finance/login",
            "/finance/login?to=/finance",
            "/finance/callback?code=a",
            "/finance/logout/",
        ] {
            assert_eq!(bad.parse::<ReturnPath>(), Err(NotAPage), "{bad:?}");
        }
        assert!(format!("/finance/{}", "a".repeat(2000)).parse::<ReturnPath>().is_err());
    }

    #[test]
    fn the_way_back_is_in_the_query() {
        let path: ReturnPath = "/finance/a?b=c&d=e".parse().unwrap();
        assert_eq!(path.sign_in(), "/finance/login?to=%2Ffinance%2Fa%3Fb%3Dc%26d%3De");
        assert_eq!(ReturnPath::of(&"/finance/a?b".parse().unwrap()).as_str(), "/finance/a?b");
        assert_eq!(ReturnPath::of(&"/finance//a".parse().unwrap()), ReturnPath::first());
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_on_this_host(text in "(/finance)?[/\\\\.%25eF?:@a\\t]{0,12}") {
            if let Ok(path) = text.parse::<ReturnPath>() {
                let uri: Uri = path.as_str().parse().unwrap();
                prop_assert_eq!(uri.host(), None);
                prop_assert!(uri.path().starts_with("/finance"));
                prop_assert!(!uri.path().contains("//"));
            }
        }
    }
}
