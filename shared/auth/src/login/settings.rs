//! The settings of the sign-in.

use http::Uri;

use crate::{
    key_source::address,
    members::{self, Members},
};

/// The path to which the provider sends the browser back.
const CALLBACK: &str = "/finance/callback";
const DEFAULT_SCOPE: &str = "openid";

/// The service as a client of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The id of the client.
    pub(super) client: String,
    /// The name or ARN of the secret with the client's secret, unless the client is a public one.
    pub(super) secret: Option<String>,
    pub(super) scope: String,
    /// The service for which the access token is asked.
    pub(super) resource: Option<String>,
    /// The issuer at which people sign in; the first one unless given.
    pub(super) issuer: Option<String>,
    /// The origin of the service's own pages.
    pub(super) url: String,
    pub(super) callback: String,
    /// Whether signing out ends the session at the provider, too.
    pub(super) ends_at_provider: bool,
}

impl Settings {
    /// Reads a JSON object whose members are texts, of which an empty one counts as none. Returns `None` if no client is
    /// named.
    ///
    /// # Errors
    /// All mistakes, each with the place where it is.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Vec<String>> {
        let object = members::parse(text).map_err(|error| vec![error.to_string()])?;
        let mut mistakes = Vec::new();
        let mut members = Members::of(String::new(), object, &mut mistakes);
        let mut text = |name| members.optional(name, |value| value.as_str().map(str::to_owned), "a text");
        let [client, secret, scope, resource, issuer, url, end] =
            ["client", "secret", "scope", "resource", "issuer", "url", "end"]
                .map(|name| text(name).filter(|text| !text.is_empty()));
        let Some(client) = client else {
            members.end();
            return if mistakes.is_empty() { Ok(None) } else { Err(mistakes) };
        };
        let scope = scope.unwrap_or_else(|| DEFAULT_SCOPE.to_owned());
        if !scope.split(' ').any(|word| word == DEFAULT_SCOPE) {
            members.mistake("scope", "has no openid, without which there is no ID token");
        }
        let ends_at_provider = match end.as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => {
                members.mistake("end", "is neither true nor false");
                true
            }
        };
        let url = url.unwrap_or_default();
        if origin(&url).is_none() {
            members.mistake("url", "is not an https URL without a path");
        }
        members.end();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let callback = format!("{url}{CALLBACK}");
        Ok(Some(Self { client, secret, scope, resource, issuer, url, callback, ends_at_provider }))
    }
}

/// Reads an origin as browsers write it: in lower case, without a slash at the end.
fn origin(text: &str) -> Option<Uri> {
    let url = address(text)?;
    let is_origin = format!("{}://{}", url.scheme_str()?, url.authority()?) == text;
    let is_as_browsers_write_it = text == text.to_ascii_lowercase() && !text.contains('@') && !text.ends_with(":443");
    (is_origin && is_as_browsers_write_it).then_some(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: &Value) -> Result<Option<Settings>, Vec<String>> {
        Settings::parse(&value.to_string())
    }

    #[test]
    fn empty_members_are_none() {
        let all = ["client", "secret", "scope", "resource", "issuer", "url", "end"];
        let empty: serde_json::Map<_, _> = all.into_iter().map(|name| (name.to_owned(), json!(""))).collect();
        assert_eq!(parse(&json!(empty)), Ok(None));
        let mut least = empty;
        least.insert("client".to_owned(), json!("c"));
        least.insert("url".to_owned(), json!("https://costs.example.com"));
        let found = parse(&json!(least)).unwrap().unwrap();
        assert_eq!((found.scope.as_str(), found.secret, found.ends_at_provider), ("openid", None, true));
        assert_eq!(found.callback, "https://costs.example.com/finance/callback");
    }

    #[test]
    fn mistakes_are_named() {
        for (value, place) in [
            (json!([]), ": is not an object"),
            (json!({"client": 1}), "/client: "),
            (json!({"client": "c"}), "/url: "),
            (json!({"client": "c", "url": "https://a.example", "scope": "email"}), "/scope: "),
            (json!({"client": "c", "url": "https://a.example", "end": "no"}), "/end: "),
            (json!({"client": "c", "url": "https://a.example", "Scope": "openid"}), "/Scope: "),
        ] {
            let mistakes = parse(&value).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(place), "{value}: {mistakes:?}");
        }
        for url in [
            "http://a.example",
            "https://a.example/",
            "https://a.example/x",
            "https://a.example?b",
            "https://A.example",
            "https://u@a.example",
            "https://a.example:443",
            "a.example",
            "https://",
        ] {
            assert!(parse(&json!({"client": "c", "url": url})).is_err(), "{url}");
        }
        for url in ["https://a.example", "https://a.example:8443", "http://127.0.0.1:8080"] {
            assert!(parse(&json!({"client": "c", "url": url})).is_ok(), "{url}");
        }
    }
}
