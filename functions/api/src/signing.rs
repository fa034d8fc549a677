//! Signatures under what the service states, and the public keys that verify them.

use axum::http::HeaderName;
use platform::{aws::SdkConfig, config::ConfigError};
use signatures::{PublicKey, SignError, Signature, Signer, retired_from_env};

use crate::problem::{Kind, Problem};

/// The header with the id of the key that signed an answer.
pub(crate) const KEY_ID: HeaderName = HeaderName::from_static("key-id");

/// The key that signs, and those that signed before.
#[derive(Debug)]
pub(crate) struct Signing {
    signer: Option<Signer>,
    retired: Vec<PublicKey>,
}

impl Signing {
    /// Reads the variables of [`Signer::from_env`] and [`retired_from_env`].
    ///
    /// # Errors
    /// When a variable is unusable.
    pub(crate) fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { signer: Signer::from_env(sdk)?, retired: retired_from_env()? })
    }

    /// Reports whether there is a key to sign with.
    pub(crate) const fn signs(&self) -> bool {
        self.signer.is_some()
    }

    /// Signs bytes by ES256.
    ///
    /// # Errors
    /// A problem when there is no key, or KMS does not sign.
    pub(crate) async fn sign(&self, bytes: &[u8]) -> Result<Signature, Problem> {
        let signer = self.signer.as_ref().ok_or_else(|| {
            let detail = "This deployment has no key to sign with. Ask an administrator of the platform for one; \
                          checksums and totals of the manifest can be compared without a signature.";
            Problem::new(Kind::NotSigned, detail)
        })?;
        Ok(signer.sign(bytes).await?)
    }

    /// Returns the public keys, the one that signs first.
    ///
    /// # Errors
    /// A problem when KMS does not answer.
    pub(crate) async fn keys(&self) -> Result<Vec<PublicKey>, Problem> {
        let mut keys = Vec::new();
        if let Some(signer) = &self.signer {
            keys.push(signer.public_key().await?.clone());
        }
        keys.extend(self.retired.iter().filter(|retired| !keys.contains(retired)).cloned().collect::<Vec<_>>());
        Ok(keys)
    }
}

impl From<SignError> for Problem {
    fn from(error: SignError) -> Self {
        if error.is_transient() { Self::unavailable(error) } else { Self::internal(error) }
    }
}
