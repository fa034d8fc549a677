//! A request of the pages to sign somebody in (OpenID Connect Core 1.0, section 3.1.2.1), and the page that asks who.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{identity::Identity, sign_in::Client};
use crate::demo::ORGANIZATION;

/// The parameters that the page passes on in hidden fields.
const PASSED: [&str; 9] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
];

/// A request with a client and a redirect URI that are known, so that an error may be sent back there.
#[derive(Debug, Clone)]
pub(super) struct Authorization {
    fields: Vec<(String, String)>,
}

impl Authorization {
    /// Reads the parameters of a client.
    pub(super) fn read(text: &str, client: &Client) -> Result<Self, &'static str> {
        let request = Self { fields: form_urlencoded::parse(text.as_bytes()).into_owned().collect() };
        if request.field("client_id") != Some(&client.id) {
            return Err("The client is unknown.");
        }
        if request.field("redirect_uri") != Some(&client.redirect_uri()) {
            return Err("The redirect URI is not one of the client's.");
        }
        Ok(request)
    }

    /// The error by which the request is refused, if it is.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        let is = |name, value| self.field(name) == Some(value);
        if !is("response_type", "code") {
            Some("unsupported_response_type")
        } else if !self.field("scope").is_some_and(|scope| scope.split(' ').any(|word| word == "openid")) {
            Some("invalid_scope")
        } else if !is("code_challenge_method", "S256") || self.field("code_challenge").is_none() {
            Some("invalid_request")
        } else {
            None
        }
    }

    /// The value of a parameter that is there once.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether a verifier is the one whose challenge the request had.
    pub(super) fn is_verified_by(&self, verifier: &str) -> bool {
        self.field("code_challenge") == Some(&URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)))
    }

    /// The address to which the browser is sent back, with these parameters.
    pub(super) fn back(&self, issuer: &str, answer: (&str, &str)) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(answer.0, answer.1).append_pair("iss", issuer);
        if let Some(state) = self.field("state") {
            query.append_pair("state", state);
        }
        format!("{}?{}", self.field("redirect_uri").unwrap_or_default(), query.finish())
    }

    /// The page that asks who signs in.
    pub(super) fn page(&self, mistake: &str) -> String {
        let passed = PASSED.iter().filter_map(|name| Some((*name, self.field(name)?)));
        let hidden: String = passed
            .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escaped(value)))
            .collect();
        let roles: String = Identity::roles().map(|role| format!("<option>{role}</option>")).collect();
        let mistake =
            if mistake.is_empty() { String::new() } else { format!("<p role=\"alert\">{}</p>", escaped(mistake)) };
        format!(
            r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in locally</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto; padding: 0 1rem }}
label, input, select, button {{ display: block; width: 100%; box-sizing: border-box; font: inherit }}
label {{ margin-top: 1rem }}
input, select, button {{ padding: .5rem }}
button {{ margin-top: 1.5rem }}
</style>
</head>
<body>
<main>
<h1>Sign in locally as</h1>
<p>This issuer is a part of the local stack. It asks for no password.</p>
{mistake}
<form method="post" action="/authorize">
{hidden}<label for="subject">Subject</label>
<input id="subject" name="subject" value="finance.user@example.com" required>
<label for="organizations">Organizations, with spaces between them</label>
<input id="organizations" name="organizations" value="{ORGANIZATION}">
<label for="role">Role</label>
<select id="role" name="role">{roles}</select>
<label for="lifetime">Seconds until the token ends</label>
<input id="lifetime" name="lifetime" value="3600" inputmode="numeric">
<button>Sign in</button>
</form>
</main>
</body>
</html>
"#
        )
    }
}

/// Writes text so that it is no markup.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
