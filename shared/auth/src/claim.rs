//! The places of claims in tokens, and their values.

use serde_json::Value;

/// The place of a claim in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// A name as it stands in the token, whatever dots and slashes it has, such as `https://example.com/org_id`.
    Named(String),
    /// A JSON Pointer (RFC 6901) to a claim within another, such as `/realm_access/roles`.
    Within(String),
}

/// A claim is neither absent nor a string nor a list of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongType;

impl Claim {
    /// Reads a name, or a pointer, which begins with a slash. None if it can be neither.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('/') {
            return (!text.is_empty()).then(|| Self::Named(text.to_owned()));
        }
        // A tilde begins `~0` or `~1`.
        let is_pointer = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])) && !text.ends_with('/');
        is_pointer.then(|| Self::Within(text.to_owned()))
    }

    /// Returns the value of the claim. A `null` counts as none.
    pub(super) fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        let found = match self {
            Self::Named(name) => claims.get(name),
            Self::Within(pointer) => claims.pointer(pointer),
        };
        found.filter(|value| !value.is_null())
    }

    /// Returns the values of the claim: the items of a list, or a string as one value. Only `scope` and `scp` hold
    /// several values in one string, with spaces between them; names of groups have spaces.
    pub(super) fn values<'a>(&self, claims: &'a Value) -> Result<Vec<&'a str>, WrongType> {
        match self.find(claims) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) if self.is_of_scopes() => Ok(text.split_ascii_whitespace().collect()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or(WrongType)).collect(),
            Some(_) => Err(WrongType),
        }
    }

    /// Reports whether the claim holds scopes, for which clients ask themselves.
    pub(super) fn is_of_scopes(&self) -> bool {
        matches!(self.text().rsplit('/').next(), Some("scope" | "scp"))
    }

    /// Returns the name or the pointer.
    pub(super) fn text(&self) -> &str {
        let (Self::Named(text) | Self::Within(text)) = self;
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(claim: &str, claims: &Value) -> Result<Vec<String>, WrongType> {
        let values = Claim::parse(claim).unwrap().values(claims)?;
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn a_name_is_taken_as_it_stands_and_a_pointer_leads_inside() {
        let claims = json!({
            "org_id": "a",
            "https://example.com/org_id": "b",
            "cognito:groups": ["c"],
            "realm.access": "d",
            "realm_access": {"roles": ["e", "f"]},
            "resource_access": {"my/client": {"roles": ["g"]}, "~": "h"},
        });
        for (claim, found) in [
            ("org_id", &["a"][..]),
            ("/org_id", &["a"]),
            ("https://example.com/org_id", &["b"]),
            ("/https:~1~1example.com~1org_id", &["b"]),
            ("cognito:groups", &["c"]),
            ("realm.access", &["d"]),
            ("/realm_access/roles", &["e", "f"]),
            ("/realm_access/roles/1", &["f"]),
            ("/resource_access/my~1client/roles", &["g"]),
            ("/resource_access/~0", &["h"]),
            ("realm_access/roles", &[]),
            ("realm_access.roles", &[]),
            ("/realm_access/roles/2", &[]),
        ] {
            assert_eq!(values(claim, &claims).unwrap(), found, "{claim}");
        }
        for none in ["", "/", "/a/", "/~", "/a~2"] {
            assert_eq!(Claim::parse(none), None, "{none}");
        }
    }

    #[test]
    fn only_scopes_stand_in_one_string() {
        let text = json!({"scope": " a  b\tc ", "scp": "a b", "groups": "a b", "x": {"scp": "a b"}, "roles": ["a b"]});
        assert_eq!(values("scope", &text).unwrap(), ["a", "b", "c"]);
        assert_eq!(values("scp", &text).unwrap(), ["a", "b"]);
        assert_eq!(values("/x/scp", &text).unwrap(), ["a", "b"]);
        assert_eq!(values("groups", &text).unwrap(), ["a b"]);
        assert_eq!(values("roles", &text).unwrap(), ["a b"]);
        assert_eq!(values("scp", &json!({"scp": ["a b", "c"]})).unwrap(), ["a b", "c"]);
        assert_eq!(values("scp", &json!({"scp": null})).unwrap(), [""; 0]);
        for wrong in [json!(1), json!(true), json!({"a": "b"}), json!([1]), json!(["a", null]), json!([["a"]])] {
            assert_eq!(values("roles", &json!({"roles": wrong})), Err(WrongType), "{wrong}");
        }
    }
}
