//! Sign-in at a provider that a test plays.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use jsonwebtoken::Algorithm;
use loopback::{answer, answer_json};
use serde_json::{Value, json};

use super::{ORG, READ, Signer, now, rights, with};
use crate::{Login, LoginError, SignedIn, Verifier, key_source::SharedClient, login::Attempt, settings};

const CLIENT: &str = "console";

/// A provider with one key, and what it answers to the next code.
struct Provider {
    url: String,
    signer: Signer,
    configuration: Arc<Mutex<Value>>,
    tokens: Arc<Mutex<(u16, Value)>>,
    /// The forms that the token endpoint received.
    forms: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let configuration = json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"),
            "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
            "end_session_endpoint": format!("{url}/end"), "authorization_response_iss_parameter_supported": true,
        });
        let signer = Signer::new("key", Algorithm::EdDSA);
        let provider = Self {
            url,
            configuration: Arc::new(Mutex::new(configuration)),
            tokens: Arc::new(Mutex::new((500, Value::Null))),
            forms: Arc::default(),
            signer,
        };
        let keys = provider.signer.set().to_string();
        let (configuration, tokens, forms) =
            (provider.configuration.clone(), provider.tokens.clone(), provider.forms.clone());
        loopback::serve(listener, move |arrival| {
            Some(match arrival.request.target.as_str() {
                "/keys" => answer_json(&keys),
                "/.well-known/openid-configuration" => answer_json(&configuration.lock().unwrap().to_string()),
                "/token" => {
                    forms.lock().unwrap().push(String::from_utf8(arrival.request.body).unwrap());
                    let (status, body) = tokens.lock().unwrap().clone();
                    answer(&format!("{status} x"), &body.to_string())
                }
                _ => answer("404 Not Found", ""),
            })
        });
        provider
    }

    fn verifier(&self, more: Value) -> Verifier {
        let entry = with(&json!({"issuer": self.url, "audience": "analytics"}), more);
        let http = SharedClient::default();
        let mut issuers = Vec::new();
        settings::add(&mut issuers, &json!([entry]).to_string(), &http).unwrap();
        Verifier::new(issuers, 86_400, http)
    }

    fn login(&self, verifier: &Verifier) -> Login {
        let settings =
            json!({"client": CLIENT, "url": "https://costs.example.com", "scope": "openid a", "resource": "r"});
        Login::of(verifier, &settings.to_string()).unwrap()
    }

    fn access(&self) -> Value {
        json!({
            "iss": self.url, "aud": "analytics", "sub": "ada", "org_id": ORG, "scope": READ, "iat": now(),
            "exp": now() + 600,
        })
    }

    fn id(&self, attempt: &Attempt) -> Value {
        json!({
            "iss": self.url, "aud": CLIENT, "sub": "ada", "nonce": attempt.nonce(), "iat": now(), "exp": now() + 60,
        })
    }

    fn give(&self, access: &Value, id: &Value) {
        let tokens = json!({
            "access_token": self.signer.sign(access), "id_token": self.signer.sign(id), "token_type": "bearer",
        });
        *self.tokens.lock().unwrap() = (200, tokens);
    }
}

fn reason(result: Result<SignedIn, LoginError>) -> String {
    match result {
        Err(LoginError::Token(error)) => super::refused(Err(error)),
        Err(error) => error.to_string(),
        Ok(signed_in) => panic!("signed in: {signed_in:?}"),
    }
}

#[tokio::test]
async fn the_browser_is_sent_with_all_that_binds_the_answer_to_the_attempt() {
    let provider = Provider::start();
    let verifier = provider.verifier(json!({}));
    let login = provider.login(&verifier);
    let attempt = Attempt::new().unwrap();
    let address = login.address(&attempt, false).await.unwrap();
    let (path, query) = address.split_once('?').unwrap();
    assert_eq!(path, format!("{}/authorize", provider.url));
    let query: std::collections::BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://costs.example.com/finance/callback"),
        ("scope", "openid a"),
        ("state", &attempt.state),
        ("nonce", attempt.nonce()),
        ("code_challenge_method", "S256"),
        ("resource", "r"),
        ("audience", "r"),
    ] {
        assert_eq!(query[name], value, "{name}");
    }
    assert_eq!(query["code_challenge"].len(), 43);
    assert!(!query.contains_key("prompt") && !address.contains(attempt.verifier()));
    assert!(login.address(&attempt, true).await.unwrap().ends_with("&prompt=none"));
    let end = login.end_address("/finance/logout").await.unwrap().unwrap();
    let back = "client_id=console&post_logout_redirect_uri=https%3A%2F%2Fcosts.example.com%2Ffinance%2Flogout";
    assert_eq!(end, format!("{}/end?{back}", provider.url));
}

#[tokio::test]
async fn whoever_signs_in_may_what_the_access_token_says_and_for_as_long() {
    let provider = Provider::start();
    let verifier = provider.verifier(json!({}));
    let login = provider.login(&verifier);
    let attempt = Attempt::new().unwrap();
    let access = provider.access();
    provider.give(&access, &provider.id(&attempt));
    let SignedIn { caller, token_ends } = login.finish(&verifier, &attempt, "c").await.unwrap();
    assert_eq!((rights(&caller, ORG), token_ends), (vec![READ], access["exp"].as_i64().unwrap()));
    let form = provider.forms.lock().unwrap().pop().unwrap();
    let form: std::collections::BTreeMap<_, _> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!((form["code"].as_str(), form["code_verifier"].as_str()), ("c", attempt.verifier()));
    assert_eq!((form["client_id"].as_str(), form["grant_type"].as_str()), (CLIENT, "authorization_code"));
}

#[tokio::test]
async fn a_token_that_no_client_could_send_signs_nobody_in() {
    let provider = Provider::start();
    let verifier = provider.verifier(json!({}));
    let login = provider.login(&verifier);
    let attempt = Attempt::new().unwrap();
    let (access, id) = (provider.access(), provider.id(&attempt));
    for (access, id, expected) in [
        (with(&access, json!({"aud": "other"})), id.clone(), "for another audience"),
        (with(&access, json!({"exp": now() - 60})), id.clone(), "ExpiredSignature"),
        (with(&access, json!({"exp": now() + 90_000})), id.clone(), "valid for longer than TOKEN_MAX_SECONDS"),
        (with(&access, json!({"sub": ""})), id.clone(), "no subject"),
        // An ID token is no access token.
        (with(&id, json!({"aud": "analytics"})), id.clone(), "a token of another kind"),
        (access.clone(), with(&id, json!({"nonce": "another"})), "an ID token of another sign-in"),
        (access.clone(), with(&id, json!({"nonce": null})), "an ID token of another sign-in"),
        (access.clone(), with(&id, json!({"aud": "other"})), "an ID token for another client"),
        (access.clone(), with(&id, json!({"exp": now() - 60})), "ExpiredSignature"),
        (access.clone(), access.clone(), "an ID token for another client"),
    ] {
        provider.give(&access, &id);
        assert_eq!(reason(login.finish(&verifier, &attempt, "c").await), expected, "{access} {id}");
    }
    // A stranger's key, under the id of the provider's.
    let stranger = Signer::new("key", Algorithm::EdDSA);
    for (access, id) in
        [(stranger.sign(&access), provider.signer.sign(&id)), (provider.signer.sign(&access), stranger.sign(&id))]
    {
        *provider.tokens.lock().unwrap() =
            (200, json!({"access_token": access, "id_token": id, "token_type": "Bearer"}));
        assert_eq!(reason(login.finish(&verifier, &attempt, "c").await), "InvalidSignature");
    }
}

#[tokio::test]
async fn an_issuer_of_id_tokens_signs_in_by_them() {
    let provider = Provider::start();
    let verifier = provider.verifier(json!({"audience": CLIENT, "tokens": "id"}));
    let login = provider.login(&verifier);
    let attempt = Attempt::new().unwrap();
    let id = with(&provider.id(&attempt), json!({"org_id": ORG, "scope": READ}));
    *provider.tokens.lock().unwrap() =
        (200, json!({"access_token": "opaque", "id_token": provider.signer.sign(&id), "token_type": "Bearer"}));
    let signed_in = login.finish(&verifier, &attempt, "c").await.unwrap();
    assert_eq!(rights(&signed_in.caller, ORG), [READ]);
}

#[tokio::test]
async fn what_the_provider_refuses_is_told_from_what_it_cannot_answer() {
    let provider = Provider::start();
    let verifier = provider.verifier(json!({}));
    let login = provider.login(&verifier);
    let attempt = Attempt::new().unwrap();
    for (status, body, expected) in [
        (
            400,
            json!({"error": "invalid_grant", "error_description": "ada@example.com"}),
            "the provider refused the code: invalid_grant",
        ),
        (401, json!({"error": "invalid_client"}), "the provider refused the code: invalid_client"),
        (400, json!("x"), "the provider could not be asked"),
        (503, json!({"error": "invalid_grant"}), "the provider could not be asked"),
        (302, json!({}), "the provider could not be asked"),
        (
            200,
            json!({"access_token": "a", "token_type": "bearer"}),
            "the sign-in was refused: the provider's answer lacks a token",
        ),
        (
            200,
            json!({"access_token": "a", "id_token": "b", "token_type": "DPoP"}),
            "the sign-in was refused: the provider's token is no bearer token",
        ),
    ] {
        *provider.tokens.lock().unwrap() = (status, body);
        assert_eq!(reason(login.finish(&verifier, &attempt, "c").await), expected, "{status}");
    }
}

#[tokio::test]
async fn an_answer_names_its_issuer() {
    let provider = Provider::start();
    let verifier = provider.verifier(json!({}));
    let login = provider.login(&verifier);
    assert!(login.check_issuer(Some(&provider.url)).await.is_ok());
    for other in [None, Some(""), Some("https://issuer.example"), Some(&*format!("{}/", provider.url))] {
        assert!(matches!(login.check_issuer(other).await, Err(LoginError::Refused(_))), "{other:?}");
    }
    // A provider that does not know RFC 9207 names none.
    provider.configuration.lock().unwrap()["authorization_response_iss_parameter_supported"] = json!(false);
    let login = provider.login(&verifier);
    assert!(login.check_issuer(None).await.is_ok());
    assert!(matches!(login.check_issuer(Some("https://issuer.example")).await, Err(LoginError::Refused(_))));
}

#[tokio::test]
async fn a_configuration_of_another_issuer_sends_nobody_anywhere() {
    let provider = Provider::start();
    provider.configuration.lock().unwrap()["issuer"] = json!("https://issuer.example");
    let verifier = provider.verifier(json!({}));
    let login = provider.login(&verifier);
    let attempt = Attempt::new().unwrap();
    for _ in 0..2 {
        assert!(matches!(login.address(&attempt, false).await, Err(LoginError::Unavailable(_))));
    }
}

#[test]
fn the_issuer_of_the_sign_in_is_one_of_the_verifiers() {
    let provider = Provider::start();
    let verifier = provider.verifier(json!({}));
    let of = |issuer: &str| {
        let settings = json!({"client": CLIENT, "url": "https://costs.example.com", "issuer": issuer});
        Login::of(&verifier, &settings.to_string()).is_ok()
    };
    assert!(of(&provider.url) && of(""));
    assert!(!of("https://issuer.example"));
}
