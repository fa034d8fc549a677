//! Keys that sign tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode, jwk::Jwk};
use serde_json::{Value, json};

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key of an issuer.
pub(crate) struct Signer {
    id: String,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl Signer {
    /// A new key for an algorithm.
    pub(crate) fn new(id: &str, algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let private = match algorithm {
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
                EncodingKey::from_ec_der(pair.as_ref())
            }
            Algorithm::EdDSA => EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&random).unwrap().as_ref()),
            _ => {
                let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
                let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                // Of PKCS#8, the library takes the key inside, which is that of PKCS#1, behind 26 bytes.
                EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
            }
        };
        Self { id: id.to_owned(), algorithm, private }
    }

    /// Returns the key set with this key alone, without the name of its algorithm.
    pub(crate) fn set(&self) -> Value {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.private, self.algorithm).unwrap()).unwrap();
        key.as_object_mut().unwrap().remove("alg");
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        json!({"keys": [key]})
    }

    /// Signs claims as they are, with these changes of the header.
    pub(crate) fn sign_as(&self, change: impl FnOnce(&mut Header), claims: &Value) -> String {
        let mut header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        change(&mut header);
        encode(&header, claims, &self.private).unwrap()
    }

    /// Signs the text of claims, whatever it is.
    pub(crate) fn sign_text(&self, claims: &str) -> String {
        let header = json!({"alg": self.algorithm, "kid": self.id}).to_string();
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = crypto::sign(message.as_bytes(), &self.private, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// Signs claims, whose times are added.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let times = json!({"iat": now(), "exp": now() + 3600});
        let claims = super::with(&times, claims.clone());
        self.sign_as(|_| (), &claims)
    }
}
