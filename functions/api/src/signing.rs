//! Signatures under what the service states, and the public keys that verify them.

use std::fmt::Write as _;

use axum::http::HeaderName;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
    kms::{KmsError, SigningKey},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::problem::{Kind, Problem};

/// The header with the id of the key that signed an answer.
pub(crate) const KEY_ID: HeaderName = HeaderName::from_static("key-id");

/// The bytes of DER before the point of a public key of the curve P-256, with the byte of an uncompressed point.
const PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The length of a coordinate, in bytes.
const COORDINATE: usize = 32;

/// The key that signs, and those that signed before.
#[derive(Debug)]
pub(crate) struct Signing {
    key: Option<SigningKey>,
    /// Asked of KMS once per process: another key is another value of the variable, and so another process.
    public: OnceCell<PublicKey>,
    retired: Vec<PublicKey>,
}

/// A signature in DER, and the id of the key that made it.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) der: Vec<u8>,
    pub(crate) key_id: String,
}

/// A public key of the curve P-256, in DER (`SubjectPublicKeyInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey(Vec<u8>);

/// Bytes that are not a public key of the curve P-256.
#[derive(Debug, thiserror::Error)]
#[error("the key of KMS is not a public key of the curve P-256: it must be of the kind ECC_NIST_P256")]
struct NotP256;

impl Signing {
    /// Reads two optional variables:
    ///
    /// - `SIGNING_KEY`: the id or ARN of a key of AWS KMS of the kind `ECC_NIST_P256`. Without it nothing is signed;
    /// - `RETIRED_SIGNING_KEYS`: public keys that signed before, each in base64 of its DER, with commas between several.
    ///
    /// # Errors
    /// When a variable is unusable.
    pub(crate) fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        const RETIRED: &str = "RETIRED_SIGNING_KEYS";
        let key = config::optional("SIGNING_KEY").map(|id| SigningKey::with(sdk, id)).transpose()?;
        let invalid = ConfigError::Invalid { name: RETIRED, expected: "public keys of P-256 in base64 of their DER" };
        let read = |text: &str| BASE64_STANDARD.decode(text.trim()).ok().and_then(PublicKey::of);
        let retired = config::optional(RETIRED).map(|text| text.split(',').map(read).collect());
        let retired = retired.unwrap_or_else(|| Some(Vec::new())).ok_or(invalid)?;
        Ok(Self { key, public: OnceCell::new(), retired })
    }

    /// Reports whether there is a key to sign with.
    pub(crate) const fn signs(&self) -> bool {
        self.key.is_some()
    }

    /// Signs bytes by ES256.
    ///
    /// # Errors
    /// A problem when there is no key, or KMS does not sign.
    pub(crate) async fn sign(&self, bytes: &[u8]) -> Result<Signature, Problem> {
        let key = self.key.as_ref().ok_or_else(|| {
            let detail = "This deployment has no key to sign with. Ask an administrator of the platform for one; \
                          checksums and totals of the manifest can be compared without a signature.";
            Problem::new(Kind::NotSigned, detail)
        })?;
        let key_id = self.public(key).await?.id();
        Ok(Signature { der: key.sign(&Sha256::digest(bytes)).await?, key_id })
    }

    /// Returns the public keys, the one that signs first.
    ///
    /// # Errors
    /// A problem when KMS does not answer.
    pub(crate) async fn keys(&self) -> Result<Vec<PublicKey>, Problem> {
        let mut keys = Vec::new();
        if let Some(key) = &self.key {
            keys.push(self.public(key).await?.clone());
        }
        keys.extend(self.retired.iter().filter(|retired| !keys.contains(retired)).cloned().collect::<Vec<_>>());
        Ok(keys)
    }

    async fn public(&self, key: &SigningKey) -> Result<&PublicKey, Problem> {
        let read = async || PublicKey::of(key.public_key().await?).ok_or_else(|| Problem::internal(NotP256));
        self.public.get_or_try_init(read).await
    }
}

impl PublicKey {
    /// Returns the key of these bytes, if it is one of the curve P-256.
    fn of(der: Vec<u8>) -> Option<Self> {
        (der.len() == PREFIX.len() + 2 * COORDINATE && der.starts_with(&PREFIX)).then_some(Self(der))
    }

    /// Returns the key's id: its thumbprint by RFC 7638, so that anybody can compute it from the key.
    pub(crate) fn id(&self) -> String {
        let [x, y] = self.coordinates();
        let members = json!({"crv": "P-256", "kty": "EC", "x": x, "y": y});
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members.to_string()))
    }

    /// Returns the two coordinates, as JSON Web Keys have them.
    pub(crate) fn coordinates(&self) -> [String; 2] {
        let (x, y) = self.0[PREFIX.len()..].split_at(COORDINATE);
        [x, y].map(|coordinate| BASE64_URL_SAFE_NO_PAD.encode(coordinate))
    }

    /// Returns the key in PEM, as OpenSSL reads it.
    pub(crate) fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.0);
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for line in text.as_bytes().chunks(64) {
            let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
        }
        pem + "-----END PUBLIC KEY-----\n"
    }
}

impl From<KmsError> for Problem {
    fn from(error: KmsError) -> Self {
        if error.is_transient() { Self::unavailable(error) } else { Self::internal(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 7515, appendix A.3.
    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn key() -> PublicKey {
        let point = [X, Y].map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).concat();
        PublicKey::of([PREFIX.to_vec(), point].concat()).unwrap()
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        assert_eq!(key().coordinates(), [X, Y]);
        // Computed by another implementation: jwcrypto of Python.
        assert_eq!(key().id(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        let pem = key().pem();
        let lines: Vec<&str> = pem.lines().collect();
        assert_eq!((lines[0], lines[3]), ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"));
        assert_eq!((lines[1].len(), lines[2].len(), lines.len()), (64, 60, 4));
    }

    #[test]
    fn only_keys_of_the_curve_are_taken() {
        let PublicKey(der) = key();
        assert!(PublicKey::of(der[1..].to_vec()).is_none());
        assert!(PublicKey::of([der.clone(), vec![0]].concat()).is_none());
        assert!(PublicKey::of(Vec::new()).is_none());
    }
}
