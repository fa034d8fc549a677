//! Valid and invalid tokens.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Answer, api::Api, stack::variable};

/// An issuer that the stack trusts, and its private key.
#[derive(Debug)]
pub struct Issuer {
    /// The `iss` of its tokens.
    pub name: String,
    /// The `aud` of its tokens.
    pub audience: String,
    /// Its published key.
    pub public: PublicKey,
    private: Vec<u8>,
}

/// A published Ed25519 key.
#[derive(Debug, Clone, Deserialize)]
pub struct PublicKey {
    /// The id of the key.
    pub kid: String,
    /// The key, in URL-safe base64.
    pub x: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: [PublicKey; 1],
}

impl Issuer {
    /// Reads `ISSUER`, `AUDIENCE`, the private key in `ISSUER_KEY_FILE` and the public one at `JWKS_URL`.
    pub(crate) async fn from_env(api: &Api) -> Self {
        let name = variable("ISSUER");
        Self::read(api, name, variable("AUDIENCE"), "ISSUER_KEY_FILE", &variable("JWKS_URL")).await
    }

    /// Reads the second issuer: `PARTNER_ISSUER`, `PARTNER_CLIENT` as its audience, the private key in `PARTNER_KEY_FILE`
    /// and the public one of its key set.
    pub async fn partner(api: &Api) -> Self {
        let name = variable("PARTNER_ISSUER");
        let keys = format!("{name}/.well-known/jwks.json");
        Self::read(api, name, variable("PARTNER_CLIENT"), "PARTNER_KEY_FILE", &keys).await
    }

    async fn read(api: &Api, name: String, audience: String, key_file: &str, keys: &str) -> Self {
        let path = variable(key_file);
        let pem = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("can't read {path}: {error}"));
        let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let set: KeySet = Answer::to(api.get_url(keys)).await.expect(200).json();
        let [public] = set.keys;
        let private = BASE64_STANDARD.decode(base64).expect("the issuer's key is PEM");
        Self { name, audience, public, private }
    }

    /// Returns the claims of a token that is valid for ten minutes, for these organizations and with this scope.
    pub fn claims(&self, subject: &str, organizations: &[Uuid], scope: &str) -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": self.name, "aud": self.audience, "sub": subject, "org_id": organizations, "scope": scope,
            "iat": now, "nbf": now, "exp": now + 600,
        })
    }

    /// Returns the header of a valid token.
    pub fn header(&self) -> Header {
        Header { kid: Some(self.public.kid.clone()), ..Header::new(Algorithm::EdDSA) }
    }

    /// Returns the private key.
    pub fn key(&self) -> EncodingKey {
        EncodingKey::from_ed_der(&self.private)
    }

    /// Signs a token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        sign(&self.header(), claims, &self.key())
    }

    /// Signs a valid token of a platform administrator.
    pub fn platform_admin(&self, subject: &str, organizations: &[Uuid]) -> String {
        let mut claims = self.claims(subject, organizations, "");
        claims["roles"] = json!(["platform-admin"]);
        self.sign(&claims)
    }

    /// Signs a valid token.
    pub fn token(&self, subject: &str, organizations: &[Uuid], scope: &str) -> String {
        self.sign(&self.claims(subject, organizations, scope))
    }
}

/// Signs a token with any header, claims and key.
pub fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).expect("the token can be signed")
}
