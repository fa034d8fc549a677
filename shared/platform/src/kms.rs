//! Signatures by a key in AWS KMS.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    aws::SdkConfig,
    config::ConfigError,
    signed::{CallError, Service},
};

/// A key of KMS that signs by ES256: ECDSA on the curve P-256, over a SHA-256.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    service: Service,
}

/// A call of KMS that failed.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// KMS was not called, or did not do what it was asked for.
    #[error("KMS did not answer {call}")]
    Call {
        /// The name of the call.
        call: &'static str,
        /// The reason: the key's id, its kind, its state or a right may be wrong.
        source: CallError,
    },
    /// The answer has another form.
    #[error("the answer of KMS to {0} is not as expected")]
    Malformed(&'static str),
}

impl KmsError {
    /// Reports whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.is_transient())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Public {
    public_key: String,
}

impl SigningKey {
    /// Makes the signer by a key; `id` is its id or ARN. Its endpoint follows the SDK's standard variables.
    ///
    /// # Errors
    /// When the region or the credentials are missing.
    pub fn with(sdk: &SdkConfig, id: String) -> Result<Self, ConfigError> {
        Ok(Self { id, service: Service::with(sdk, "kms", "AWS_ENDPOINT_URL_KMS")? })
    }

    /// Signs a SHA-256. Returns the signature in DER, as OpenSSL reads it.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub async fn sign(&self, sha256: &[u8]) -> Result<Vec<u8>, KmsError> {
        let body = json!({
            "KeyId": self.id,
            "Message": BASE64_STANDARD.encode(sha256),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        });
        let Signed { signature } = self.call("Sign", &body).await?;
        BASE64_STANDARD.decode(signature).map_err(|_| KmsError::Malformed("Sign"))
    }

    /// Returns the public key in DER (`SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// See [`KmsError`].
    pub async fn public_key(&self) -> Result<Vec<u8>, KmsError> {
        let Public { public_key } = self.call("GetPublicKey", &json!({"KeyId": self.id})).await?;
        BASE64_STANDARD.decode(public_key).map_err(|_| KmsError::Malformed("GetPublicKey"))
    }

    async fn call<T: DeserializeOwned>(&self, call: &'static str, body: &Value) -> Result<T, KmsError> {
        let target = format!("TrentService.{call}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let answer = self.service.post(&headers, Bytes::from(body.to_string())).await;
        let answer = answer.map_err(|source| KmsError::Call { call, source })?;
        serde_json::from_slice(&answer).map_err(|_| KmsError::Malformed(call))
    }
}
