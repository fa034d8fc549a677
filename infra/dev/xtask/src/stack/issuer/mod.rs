//! The local token issuers: an Ed25519 key per checkout for each, its public half served as a JSON Web Key Set. At the first
//! one, people can sign in.

mod authorization;
mod identity;
mod sign_in;

use std::{
    io::Write,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding},
};
use loopback::{answer, answer_json};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::checkout::Checkout;
pub(crate) use sign_in::Client;
use sign_in::SignIn;

/// The `aud` of every token.
pub(crate) const AUDIENCE: &str = "analytics-exports";
/// The `client_id` of every token of the second issuer.
pub(crate) const PARTNER_CLIENT: &str = "partner-portal";
/// The validity of a token, in seconds.
const LIFETIME: u64 = 3600;

/// The claims of a token.
#[derive(Debug)]
pub(crate) struct Claims<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) organizations: Vec<String>,
    pub(crate) scope: &'a str,
}

/// The key that signs.
#[derive(Debug, Clone)]
pub(crate) struct Key(SigningKey);

impl Key {
    /// Reads the checkout's key; makes it at first use.
    pub(crate) fn of(checkout: &Checkout) -> Result<Self> {
        Self::at(checkout, &checkout.issuer_key())
    }

    /// Reads the key of the second issuer; makes it at first use.
    pub(crate) fn of_partner(checkout: &Checkout) -> Result<Self> {
        Self::at(checkout, &checkout.partner_key())
    }

    fn at(checkout: &Checkout, path: &Path) -> Result<Self> {
        // Two first uses at once must agree.
        let lock = checkout.lock_file("issuer.lock")?;
        lock.lock().context("can't lock the issuer's key")?;
        if !path.exists() {
            create(path).with_context(|| format!("can't write {}", path.display()))?;
        }
        let pem = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        let key = SigningKey::from_pkcs8_pem(&pem)
            .map_err(|error| anyhow!("can't read {}: {error}; remove it to get a new one", path.display()))?;
        Ok(Self(key))
    }

    /// Signs a token that is valid from now on.
    pub(crate) fn token(&self, claims: &Claims<'_>) -> Result<String> {
        let now = now()?;
        let organizations = match claims.organizations.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        Ok(self.sign(&json!({
            "iss": claims.issuer,
            "aud": AUDIENCE,
            "sub": claims.subject,
            "org_id": organizations,
            "scope": claims.scope,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
        })))
    }

    /// Signs a token with these claims.
    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.id()});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes())
    }

    /// The key's thumbprint by RFC 7638.
    fn id(&self) -> String {
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.public());
        URL_SAFE_NO_PAD.encode(Sha256::digest(members))
    }

    fn set(&self) -> Value {
        let key = json!({
            "kty": "OKP", "crv": "Ed25519", "x": self.public(), "kid": self.id(), "use": "sig", "alg": "EdDSA",
        });
        json!({"keys": [key]})
    }
}

fn create(path: &Path) -> Result<()> {
    let mut secret_key = [0; 32];
    getrandom::fill(&mut secret_key)?;
    // Without the public half: the form that every tool reads.
    let pair = KeypairBytes { secret_key, public_key: None };
    let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| anyhow!("{error}"))?;
    let mut file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(pem.as_bytes())?)
}

/// A running issuer. Its thread ends with the process.
#[derive(Debug)]
pub(crate) struct Issuer {
    url: String,
}

impl Issuer {
    /// Serves the key set on a free loopback port and, for a client, what people need to sign in.
    pub(crate) fn start(key: &Key, client: Option<Client>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
        let url = format!("http://{}", listener.local_addr()?);
        let issuer = Self { url: url.clone() };
        let set = key.set().to_string();
        let mut configuration = json!({
            "issuer": url,
            "jwks_uri": issuer.keys_url(),
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        let sign_in = client.map(|client| SignIn::new(&url, key.clone(), client));
        if let (Some(sign_in), Some(members)) = (&sign_in, configuration.as_object_mut()) {
            members.extend(sign_in.configuration());
        }
        let configuration = configuration.to_string();
        loopback::serve(listener, move |arrival| {
            Some(match arrival.request.target.as_str() {
                "/.well-known/jwks.json" => answer_json(&set),
                "/.well-known/openid-configuration" => answer_json(&configuration),
                _ => {
                    let answered = sign_in.as_ref().and_then(|sign_in| sign_in.answer(&arrival.request));
                    answered.unwrap_or_else(|| answer("404 Not Found", ""))
                }
            })
        });
        Ok(issuer)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn keys_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.url)
    }

    /// The template's parameter `TokenIssuers` with this as the second issuer. Its tokens are like those of Amazon Cognito,
    /// and its keys are discovered.
    pub(crate) fn partner_settings(&self) -> Value {
        json!([{
            "issuer": self.url,
            "audienceClaim": "client_id",
            "audience": PARTNER_CLIENT,
            "require": {"token_use": "access"},
            "organizationClaims": ["/tenant/org_id"],
            "permissionClaims": ["scope"],
            "permissionPrefix": "analytics/",
            "permissionsBy": {"cognito:groups": {"Auditors": "auditor"}},
        }])
    }
}

/// The seconds since 1970.
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs())
}

/// A random password or secret.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).replace(['-', '_'], "x"))
}
