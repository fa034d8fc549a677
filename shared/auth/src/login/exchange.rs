//! The exchange of a code for tokens, by RFC 6749, section 4.1.3, and RFC 7636.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use platform::secret::{Secret, SecretError};
use serde::Deserialize;

use super::{
    attempt::Attempt,
    error::LoginError,
    provider::{Endpoints, Provider},
    settings::Settings,
};

/// Maximum length of an error's name in the log.
const MAX_ERROR: usize = 60;

/// The tokens of a person. They are verified, and then forgotten.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) id_token: String,
    token_type: String,
}

/// The value of the secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientSecret {
    client_secret: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Exchanges a code for tokens.
pub(super) async fn exchange(
    settings: &Settings,
    secret: Option<&Secret>,
    provider: &Provider,
    endpoints: &Endpoints,
    attempt: &Attempt,
    code: &str,
) -> Result<Tokens, LoginError> {
    let secret = secret_of(secret).await?;
    let request = request(settings, secret.as_deref(), endpoints, attempt, code);
    let request = request.map_err(|error| LoginError::Unavailable(error.into()))?;
    let (status, body) = provider.http().send(request).await.map_err(LoginError::Unavailable)?;
    if !status.is_success() {
        return Err(match serde_json::from_slice::<Refusal>(&body) {
            Ok(Refusal { error }) if status.is_client_error() => LoginError::RefusedByProvider(name(&error)),
            _ => LoginError::Unavailable(format!("it answered {status}").into()),
        });
    }
    // The parser's error could quote a token.
    let tokens: Tokens =
        serde_json::from_slice(&body).map_err(|_| LoginError::Refused("the provider's answer lacks a token"))?;
    if !tokens.token_type.eq_ignore_ascii_case("bearer") {
        return Err(LoginError::Refused("the provider's token is no bearer token"));
    }
    Ok(tokens)
}

async fn secret_of(secret: Option<&Secret>) -> Result<Option<String>, SecretError> {
    let Some(secret) = secret else { return Ok(None) };
    // Read each time: people sign in rarely, and a secret that was rotated counts at once.
    let ClientSecret { client_secret } = secret.current().await?;
    Ok(Some(client_secret))
}

fn request(
    settings: &Settings,
    secret: Option<&str>,
    endpoints: &Endpoints,
    attempt: &Attempt,
    code: &str,
) -> http::Result<Request<Full<Bytes>>> {
    let client = settings.client.as_str();
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", settings.callback.as_str()),
        ("code_verifier", attempt.verifier.as_str()),
    ];
    if let Some(resource) = &settings.resource {
        form.push(("resource", resource));
    }
    let mut request = Request::post(&endpoints.token)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json");
    match secret {
        None => form.push(("client_id", client)),
        Some(secret) if endpoints.secret_in_body => form.extend([("client_id", client), ("client_secret", secret)]),
        Some(secret) => request = request.header(header::AUTHORIZATION, basic(client, secret)),
    }
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    request.body(Full::new(Bytes::from(body)))
}

/// Returns the header of a client with a secret, by RFC 6749, section 2.3.1.
fn basic(client: &str, secret: &str) -> String {
    let [client, secret] =
        [client, secret].map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    format!("Basic {}", BASE64_STANDARD.encode(format!("{client}:{secret}")))
}

/// Returns the name of an error as it may stand in the log: RFC 6749 allows letters, spaces and more.
fn name(error: &str) -> String {
    error.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '_').take(MAX_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(secret_in_body: bool) -> Endpoints {
        Endpoints {
            authorization: "https://issuer.example/authorize".parse().unwrap(),
            token: "https://issuer.example/token".parse().unwrap(),
            end_session: None,
            names_itself: false,
            secret_in_body,
        }
    }

    fn fields(secret: Option<&str>, in_body: bool, resource: &str) -> (Option<String>, Vec<String>) {
        let settings = serde_json::json!({"client": "a b", "url": "https://costs.example.com", "resource": resource});
        let settings = Settings::parse(&settings.to_string()).unwrap().unwrap();
        let attempt = Attempt::new().unwrap();
        let request = request(&settings, secret, &endpoints(in_body), &attempt, "c&d").unwrap();
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(http_body_util::BodyExt::collect(request.into_body())).unwrap().to_bytes();
        let fields = form_urlencoded::parse(&body).filter(|(name, _)| name != "code_verifier");
        (authorization, fields.map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn a_client_shows_its_secret_as_the_provider_wants_it() {
        let common =
            ["grant_type=authorization_code", "code=c&d", "redirect_uri=https://costs.example.com/finance/callback"];
        let with = |more: &[&'static str]| [&common[..], more].concat();
        assert_eq!(fields(None, false, ""), (None, with(&["client_id=a b"]).into_iter().map(str::to_owned).collect()));
        let (authorization, body) = fields(Some("s:%"), false, "r");
        // base64 of a+b:s%3A%25
        assert_eq!(authorization.as_deref(), Some("Basic YStiOnMlM0ElMjU="));
        assert_eq!(body, with(&["resource=r"]));
        let (authorization, body) = fields(Some("s:%"), true, "");
        assert_eq!(
            (authorization, body),
            (None, with(&["client_id=a b", "client_secret=s:%"]).into_iter().map(str::to_owned).collect())
        );
    }

    #[test]
    fn an_error_is_a_name_in_the_log() {
        assert_eq!(name("invalid_grant"), "invalid_grant");
        assert_eq!(name("a\n<b> \u{202e}"), "ab");
        assert_eq!(name(&"a".repeat(100)).len(), MAX_ERROR);
    }
}
