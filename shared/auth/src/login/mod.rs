//! Sign-in of people: OpenID Connect, the authorization code flow with PKCE (S256), done by the service itself.
//!
//! No token reaches the browser. The access token goes through the same [`Verifier`] as that of any client, so that whoever
//! signed in may do neither more nor longer than with the token. Own code over the existing verifier and HTTP client:
//! [ADR 0018](../../../../docs/adr/0018-sign-in-by-own-code.md) has the reasons.

mod attempt;
mod error;
mod exchange;
mod id_token;
mod provider;
mod settings;

use std::{sync::Arc, time::Duration};

use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
    secret::Secret,
};
use tokio::time::timeout;

use crate::{caller::Caller, issuer::TokenKind, verifier::Verifier};
pub use attempt::{Attempt, random};
pub use error::LoginError;
pub(crate) use id_token::IdTokenRules;
use provider::{Endpoints, Provider};
use settings::Settings;

/// Maximum time of the provider's answers to one request of a person. The function has 14 seconds in all.
const TIMEOUT: Duration = Duration::from_secs(9);

/// The variable with the settings.
const LOGIN: &str = "LOGIN";

/// The way in which people sign in.
#[derive(Debug)]
pub struct Login {
    settings: Settings,
    provider: Provider,
    /// The kind of tokens that the verifier takes of this issuer.
    token: TokenKind,
    /// The secret of the client, unless the client is a public one.
    secret: Option<Secret>,
}

/// A person who signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// What the person may do.
    pub caller: Caller,
    /// The end of the token that says so, in seconds since 1970.
    pub token_ends: i64,
}

impl Login {
    /// Reads `LOGIN`, a JSON object as `docs/identity.md` describes it: `client`, `url`, and optionally `secret`, `scope`,
    /// `resource`, `issuer` and `end`. Returns `None` if it is absent, or names no client: then nobody signs in.
    ///
    /// # Errors
    /// When it has mistakes, all of which are named, or names an issuer that the verifier does not know.
    pub fn from_env(verifier: &Verifier, sdk: &SdkConfig) -> Result<Option<Self>, ConfigError> {
        let Some(text) = config::optional(LOGIN) else { return Ok(None) };
        let invalid = |mistakes| ConfigError::Mistakes { name: LOGIN, mistakes };
        let Some(settings) = Settings::parse(&text).map_err(invalid)? else { return Ok(None) };
        let secret = settings.secret.clone().map(|id| Secret::with(sdk, id));
        Self::new(verifier, settings, secret).map(Some).map_err(|mistake| invalid(vec![mistake]))
    }

    /// Makes the way to sign in by settings that name a client without a secret.
    #[cfg(test)]
    pub(crate) fn of(verifier: &Verifier, text: &str) -> Result<Self, String> {
        let settings = Settings::parse(text).map_err(|mistakes| mistakes.join("; "))?;
        Self::new(verifier, settings.ok_or("no client")?, None)
    }

    fn new(verifier: &Verifier, settings: Settings, secret: Option<Secret>) -> Result<Self, String> {
        let is_it = |name: &str| settings.issuer.as_deref().is_none_or(|wanted| wanted == name);
        let issuer = verifier.issuers.iter().find(|issuer| is_it(&issuer.name));
        let issuer = issuer.ok_or("/issuer: is not the name of an issuer of tokens")?;
        let provider = Provider::new(&issuer.name, &verifier.http);
        let provider = provider.ok_or("/issuer: is no https URL, so that its configuration cannot be asked for")?;
        Ok(Self { settings, provider, token: issuer.rules.tokens.unwrap_or(TokenKind::Access), secret })
    }

    /// Returns the origin of the service's own pages, such as `https://costs.example.com`, as browsers write it.
    pub fn origin(&self) -> &str {
        &self.settings.url
    }

    /// Returns the address to which the browser is sent to sign in. With `is_silent`, the provider asks the person nothing,
    /// and answers with an error if it has to.
    ///
    /// # Errors
    /// When the provider's configuration cannot be had.
    pub async fn address(&self, attempt: &Attempt, is_silent: bool) -> Result<String, LoginError> {
        let endpoints = self.endpoints().await?;
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", &self.settings.client),
            ("redirect_uri", &self.settings.callback),
            ("scope", &self.settings.scope),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
        ];
        let challenge = attempt.challenge();
        parameters.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        if let Some(resource) = &self.settings.resource {
            // RFC 8707, and the name of Auth0 for it. Providers pass over parameters that they do not know.
            parameters.extend([("resource", resource.as_str()), ("audience", resource.as_str())]);
        }
        if is_silent {
            parameters.push(("prompt", "none"));
        }
        Ok(with_query(&endpoints.authorization, &parameters))
    }

    /// Checks the issuer that an answer of the provider names (RFC 9207), so that no other provider's code is taken to this
    /// one.
    ///
    /// # Errors
    /// When it is another one, or is absent although the provider says that it names itself.
    pub async fn check_issuer(&self, issuer: Option<&str>) -> Result<(), LoginError> {
        let names_itself = self.endpoints().await?.names_itself;
        match issuer {
            Some(issuer) if issuer == self.provider.issuer() => Ok(()),
            Some(_) => Err(LoginError::Refused("the answer is that of another issuer")),
            None if names_itself => Err(LoginError::Refused("the answer names no issuer")),
            None => Ok(()),
        }
    }

    /// Exchanges a code for tokens, verifies them, and returns the person.
    ///
    /// # Errors
    /// When the provider does not answer or refuses the code, or when a token is not as it has to be.
    pub async fn finish(&self, verifier: &Verifier, attempt: &Attempt, code: &str) -> Result<SignedIn, LoginError> {
        let issuer = self.provider.issuer();
        let endpoints = self.endpoints().await?;
        let exchange =
            exchange::exchange(&self.settings, self.secret.as_ref(), &self.provider, &endpoints, attempt, code);
        let tokens = timeout(TIMEOUT, exchange).await.map_err(|_| LoginError::no_answer())??;
        let rules = IdTokenRules { issuer, client: &self.settings.client, nonce: &attempt.nonce };
        verifier.verify_id(&tokens.id_token, &rules).await?;
        let token = match self.token {
            TokenKind::Access => &tokens.access_token,
            TokenKind::Id => &tokens.id_token,
        };
        let (caller, token_ends) = verifier.verify_of(issuer, token).await?;
        Ok(SignedIn { caller, token_ends })
    }

    /// Returns the address at which the person's session at the provider ends too, if the provider has one. The browser is
    /// sent back to `path` of this service.
    ///
    /// # Errors
    /// When the provider's configuration cannot be had.
    pub async fn end_address(&self, path: &str) -> Result<Option<String>, LoginError> {
        if !self.settings.ends_at_provider {
            return Ok(None);
        }
        let back = format!("{}{path}", self.settings.url);
        let parameters = [("client_id", self.settings.client.as_str()), ("post_logout_redirect_uri", back.as_str())];
        Ok(self.endpoints().await?.end_session.as_ref().map(|address| with_query(address, &parameters)))
    }

    async fn endpoints(&self) -> Result<Arc<Endpoints>, LoginError> {
        self.provider.endpoints().await
    }
}

/// Returns an address with parameters added to its query.
fn with_query(address: &http::Uri, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let separator = if address.query().is_some() { '&' } else { '?' };
    format!("{address}{separator}{query}")
}
