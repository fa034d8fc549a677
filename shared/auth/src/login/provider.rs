//! The provider's endpoints, by OpenID Connect Discovery 1.0, section 4.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Uri;
use platform::log::Causes;
use serde::Deserialize;
use tokio::{sync::Mutex, time::timeout};

use super::{TIMEOUT, error::LoginError};
use crate::{
    key_source::{BoxError, SharedClient, Source, named},
    keys::MAX_AGE,
};

/// Minimum time after a try that failed, however many people want to sign in.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// An issuer at which people sign in.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: String,
    configuration: Uri,
    http: SharedClient,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    known: Option<(Instant, Arc<Endpoints>)>,
    failed: Option<Instant>,
}

/// The endpoints of a provider, and what it says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) authorization: Uri,
    pub(super) token: Uri,
    pub(super) end_session: Option<Uri>,
    /// Whether the provider names itself in each answer (RFC 9207).
    pub(super) names_itself: bool,
    /// Whether the client's secret is sent in the body and not in a header.
    pub(super) secret_in_body: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
}

impl Provider {
    /// Returns the provider of this name; `None` if it is no address.
    pub(super) fn new(issuer: &str, http: &SharedClient) -> Option<Self> {
        let Some(Source::Discovered { issuer, configuration }) = Source::of_issuer(issuer) else { return None };
        Some(Self { issuer, configuration, http: http.clone(), cache: Mutex::default() })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) const fn http(&self) -> &SharedClient {
        &self.http
    }

    /// Returns the endpoints, which are asked for once an hour. While the provider does not answer, those of before stay in
    /// use.
    pub(super) async fn endpoints(&self) -> Result<Arc<Endpoints>, LoginError> {
        let mut cache = self.cache.lock().await;
        let known = cache.known.clone();
        if let Some((at, endpoints)) = &known
            && at.elapsed() <= MAX_AGE
        {
            return Ok(Arc::clone(endpoints));
        }
        if cache.failed.is_some_and(|at| at.elapsed() < RETRY_INTERVAL) {
            let known = known.map(|(_, endpoints)| endpoints);
            return known.ok_or_else(|| LoginError::Unavailable("it did not answer moments ago".into()));
        }
        let found = timeout(TIMEOUT, self.fetch()).await.unwrap_or_else(|_| Err("it did not answer in time".into()));
        match (found, known) {
            (Ok(endpoints), _) => {
                let endpoints = Arc::new(endpoints);
                *cache = Cache { known: Some((Instant::now(), Arc::clone(&endpoints))), failed: None };
                Ok(endpoints)
            }
            (Err(error), Some((_, endpoints))) => {
                cache.failed = Some(Instant::now());
                tracing::warn!(issuer = self.issuer, error = %Causes(error.as_ref()), "provider's endpoints not renewed");
                Ok(endpoints)
            }
            (Err(error), None) => {
                cache.failed = Some(Instant::now());
                Err(LoginError::Unavailable(error))
            }
        }
    }

    async fn fetch(&self) -> Result<Endpoints, BoxError> {
        self.read(&self.http.get(&self.configuration).await?)
    }

    fn read(&self, body: &[u8]) -> Result<Endpoints, BoxError> {
        let found: Document = serde_json::from_slice(body)?;
        if found.issuer != self.issuer {
            return Err("the configuration is that of another issuer".into());
        }
        let named = |text: &str| named(&self.configuration, text);
        let lists =
            |list: &Option<Vec<String>>, name: &str| list.as_ref().map(|list| list.iter().any(|one| one == name));
        // Many providers know it and do not say so.
        if lists(&found.code_challenge_methods_supported, "S256") == Some(false) {
            return Err("the provider does not know PKCE with S256".into());
        }
        let end_session = match &found.end_session_endpoint {
            Some(text) => Some(named(text).ok_or("the configuration names no https address to sign out")?),
            None => None,
        };
        Ok(Endpoints {
            authorization: named(&found.authorization_endpoint)
                .ok_or("the configuration names no https address to sign in")?,
            token: named(&found.token_endpoint).ok_or("the configuration names no https address of tokens")?,
            end_session,
            names_itself: found.authorization_response_iss_parameter_supported,
            secret_in_body: lists(&found.token_endpoint_auth_methods_supported, "client_secret_basic") == Some(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://issuer.example";

    fn read(changes: Value) -> Result<Endpoints, String> {
        let mut document = json!({
            "issuer": ISSUER, "authorization_endpoint": "https://issuer.example/authorize?a=b",
            "token_endpoint": "https://issuer.example/token", "jwks_uri": "https://issuer.example/keys",
        });
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let provider = Provider::new(ISSUER, &SharedClient::default()).unwrap();
        provider.read(document.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_configuration_says_where_to_sign_in() {
        let found = read(json!({})).unwrap();
        assert_eq!(found.authorization, "https://issuer.example/authorize?a=b");
        assert_eq!((found.end_session, found.names_itself, found.secret_in_body), (None, false, false));
        let found = read(json!({
            "end_session_endpoint": "https://issuer.example/end",
            "authorization_response_iss_parameter_supported": true,
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "code_challenge_methods_supported": ["plain", "S256"],
        }));
        let found = found.unwrap();
        assert!(found.end_session.is_some() && found.names_itself && found.secret_in_body);
        let both = json!({"token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"]});
        assert!(!read(both).unwrap().secret_in_body);
    }

    #[test]
    fn another_issuer_plain_http_and_no_pkce_are_refused() {
        for wrong in [
            json!({"issuer": "https://issuer.example/"}),
            json!({"issuer": "https://other.example"}),
            json!({"authorization_endpoint": "http://issuer.example/authorize"}),
            json!({"authorization_endpoint": "http://127.0.0.1/authorize"}),
            json!({"authorization_endpoint": "javascript:alert(1)"}),
            json!({"authorization_endpoint": null}),
            json!({"token_endpoint": "http://127.0.0.1:1/token"}),
            json!({"end_session_endpoint": "http://issuer.example/end"}),
            json!({"code_challenge_methods_supported": ["plain"]}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
