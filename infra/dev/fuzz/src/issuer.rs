//! An issuer of tokens on this machine, with one key that everybody knows. What it signs is worth nothing elsewhere.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "analytics";

/// The organization of the tokens, and of the sample events.
pub(crate) const ORGANIZATION: &str = "123e4567-e89b-12d3-a456-426614174000";

/// An issuer whose key set can be replaced.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    key: SigningKey,
    key_set: Arc<Mutex<Vec<u8>>>,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let x = BASE64_URL_SAFE_NO_PAD.encode(key.verifying_key().to_bytes());
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "key", "x": x}]});
        let key_set = Arc::new(Mutex::new(set.to_string().into_bytes()));
        let served = Arc::clone(&key_set);
        loopback::serve(listener, move |_| {
            let body = served.lock().ok()?.clone();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            Some([head.into_bytes(), body].concat())
        });
        Self { url, key, key_set }
    }

    /// Returns the settings of a second issuer with the same key, whose claims are elsewhere, and of one at which people sign
    /// in.
    pub(crate) fn further(&self) -> String {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.key.verifying_key().to_bytes());
        let entry = json!({
            "issuer": "https://partner.example",
            "jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "key", "x": x}]},
            "audienceClaim": "client_id",
            "audience": "portal",
            "require": {"token_use": "access"},
            "organizationClaims": ["/org/id"],
            "permissionClaims": ["scope"],
            "permissionPrefix": "x/",
            "permissionsBy": {"cognito:groups": {"Auditors": "auditor"}},
        });
        let of_people = json!({"issuer": self.origin(), "audience": AUDIENCE, "jwks": entry["jwks"]});
        json!([entry, of_people]).to_string()
    }

    /// Returns the settings of the pages. Their provider is this server, which says nothing of where to sign in.
    pub(crate) fn login(&self) -> String {
        json!({"client": "pages", "issuer": self.origin(), "url": "https://costs.example.com"}).to_string()
    }

    fn origin(&self) -> &str {
        self.url.trim_end_matches("/keys")
    }

    /// Replaces the key set.
    pub(crate) fn serve(&self, key_set: &[u8]) {
        *self.key_set.lock().expect("no holder panicked") = key_set.to_vec();
    }

    /// Signs a header and claims, whatever they are.
    pub(crate) fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", encode(header), encode(claims));
        format!("{message}.{}", encode(&self.key.sign(message.as_bytes()).to_bytes()))
    }

    /// Returns a good token with these scopes and roles.
    pub(crate) fn token(&self, scope: &str, roles: &[&str]) -> String {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "key"});
        let claims: Value = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "user", "org_id": ORGANIZATION, "scope": scope, "roles": roles,
            "iat": now(), "exp": now() + 86_400,
        });
        self.sign(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }
}

/// Seconds since 1970, the same during the whole process, so that an input gives the same result again.
pub(crate) fn now() -> u64 {
    static NOW: OnceLock<u64> = OnceLock::new();
    *NOW.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
