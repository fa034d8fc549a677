//! Signatures under what the service states, by ES256 with a key of AWS KMS, and the public keys that verify them.

mod jws;
mod public_key;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
    kms::{KmsError, SigningKey},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

pub use public_key::PublicKey;

/// The key that signs.
#[derive(Debug)]
pub struct Signer {
    key: SigningKey,
    /// Asked of KMS once per process: another key is another value of the variable, and so another process.
    public: OnceCell<PublicKey>,
}

/// A signature in DER, and the id of the key that made it.
#[derive(Debug)]
pub struct Signature {
    /// The signature, as OpenSSL reads it.
    pub der: Vec<u8>,
    /// The thumbprint of the public key.
    pub key_id: String,
}

/// The reason why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// KMS does not sign.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// The key is of another kind.
    #[error("the key of KMS is not a public key of the curve P-256: it must be of the kind ECC_NIST_P256")]
    NotP256,
    /// The signature is not one of DER.
    #[error("the signature of KMS is not of the form of ECDSA on P-256")]
    Malformed,
    /// The statement cannot be written as JSON.
    #[error("could not write what is to be signed")]
    Statement(#[source] serde_json::Error),
}

impl SignError {
    /// Reports whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Kms(error) if error.is_transient())
    }
}

impl Signer {
    /// Reads `SIGNING_KEY`, optional: the id or ARN of a key of AWS KMS of the kind `ECC_NIST_P256`. Without it nothing is
    /// signed.
    ///
    /// # Errors
    /// When the region or the credentials are missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Option<Self>, ConfigError> {
        let key = config::optional("SIGNING_KEY").map(|id| SigningKey::with(sdk, id)).transpose()?;
        Ok(key.map(|key| Self { key, public: OnceCell::new() }))
    }

    /// Signs bytes.
    ///
    /// # Errors
    /// See [`SignError`].
    pub async fn sign(&self, bytes: &[u8]) -> Result<Signature, SignError> {
        let key_id = self.public_key().await?.id();
        Ok(Signature { der: self.key.sign(&Sha256::digest(bytes)).await?, key_id })
    }

    /// Signs a statement, and returns it as a JWS of this type in the compact form.
    ///
    /// # Errors
    /// See [`SignError`].
    pub async fn jws(&self, kind: &str, statement: &(impl Serialize + Sync)) -> Result<String, SignError> {
        let key_id = self.public_key().await?.id();
        let signed = jws::signing_input(kind, &key_id, statement).map_err(SignError::Statement)?;
        let der = self.key.sign(&Sha256::digest(&signed)).await?;
        jws::compact(signed, &der).ok_or(SignError::Malformed)
    }

    /// Returns the public key.
    ///
    /// # Errors
    /// See [`SignError`].
    pub async fn public_key(&self) -> Result<&PublicKey, SignError> {
        let read = async || PublicKey::of(self.key.public_key().await?).ok_or(SignError::NotP256);
        self.public.get_or_try_init(read).await
    }
}

/// Reads `RETIRED_SIGNING_KEYS`, optional: public keys that signed before, each in base64 of its DER, with commas between
/// several.
///
/// # Errors
/// When one is not a key of the curve P-256.
pub fn retired_from_env() -> Result<Vec<PublicKey>, ConfigError> {
    const NAME: &str = "RETIRED_SIGNING_KEYS";
    let invalid = ConfigError::Invalid { name: NAME, expected: "public keys of P-256 in base64 of their DER" };
    let read = |text: &str| BASE64_STANDARD.decode(text.trim()).ok().and_then(PublicKey::of);
    let keys = config::optional(NAME).map(|text| text.split(',').map(read).collect());
    keys.unwrap_or_else(|| Some(Vec::new())).ok_or(invalid)
}
