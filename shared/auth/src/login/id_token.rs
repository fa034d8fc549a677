//! What an ID token must say, by OpenID Connect Core 1.0, section 3.1.3.7.

use serde_json::Value;

/// The sign-in that an ID token must be of.
#[derive(Debug)]
pub(crate) struct IdTokenRules<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client: &'a str,
    pub(crate) nonce: &'a str,
}

impl IdTokenRules<'_> {
    /// Checks the claims of a token, whose signature and times are verified already, of this issuer.
    ///
    /// # Errors
    /// The reason, for the log.
    pub(crate) fn check(&self, issuer: &str, claims: &Value) -> Result<(), &'static str> {
        if issuer != self.issuer {
            return Err("an ID token of another issuer than that of the sign-in");
        }
        let is_client = |value: &Value| value.as_str() == Some(self.client);
        let (is_for_us, is_for_others) = match &claims["aud"] {
            Value::Array(audiences) => (audiences.iter().any(is_client), audiences.len() > 1),
            audience => (is_client(audience), false),
        };
        if !is_for_us {
            return Err("an ID token for another client");
        }
        let party = claims.get("azp");
        if (is_for_others && party.is_none()) || !party.is_none_or(is_client) {
            return Err("an ID token that another client asked for");
        }
        if claims["nonce"].as_str() != Some(self.nonce) {
            return Err("an ID token of another sign-in");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://issuer.example";

    fn check(issuer: &str, claims: &Value) -> Result<(), &'static str> {
        IdTokenRules { issuer: ISSUER, client: "us", nonce: "n" }.check(issuer, claims)
    }

    #[test]
    fn only_a_token_of_this_sign_in_counts() {
        for good in [
            json!({"aud": "us", "nonce": "n"}),
            json!({"aud": ["us"], "nonce": "n"}),
            json!({"aud": ["them", "us"], "azp": "us", "nonce": "n"}),
        ] {
            assert_eq!(check(ISSUER, &good), Ok(()), "{good}");
        }
        for bad in [
            json!({}),
            json!({"nonce": "n"}),
            json!({"aud": "them", "nonce": "n"}),
            json!({"aud": [], "nonce": "n"}),
            json!({"aud": ["them", "us"], "nonce": "n"}),
            json!({"aud": "us", "azp": "them", "nonce": "n"}),
            json!({"aud": "us"}),
            json!({"aud": "us", "nonce": "N"}),
            json!({"aud": "us", "nonce": ["n"]}),
            json!({"aud": "us", "nonce": null}),
        ] {
            assert!(check(ISSUER, &bad).is_err(), "{bad}");
        }
        assert!(check("https://other.example", &json!({"aud": "us", "nonce": "n"})).is_err());
    }
}
