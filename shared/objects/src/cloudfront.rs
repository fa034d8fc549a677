//! Links by CloudFront: URLs of a distribution, each signed by a private key whose public key the distribution trusts.
//!
//! A link grants one object until a time, which CloudFront calls a canned policy. The object's own headers, such as the name of
//! the file, pass through. While a key is replaced, the distribution trusts two, and links of both work.
//!
//! Own code, since the crates that sign such links use SHA-1 and bring a second library for cryptography.

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
    secret::{Secret, SecretError},
};
use rustls::{
    SignatureScheme,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    sign::SigningKey,
};
use serde::Deserialize;

use crate::rotated::Rotated;

/// The signatures that CloudFront verifies, with SHA-256. An elliptic curve makes links that are shorter by 250 characters.
const SCHEMES: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PKCS1_SHA256];

/// The signer of links by CloudFront.
#[derive(Debug)]
pub(crate) struct CloudFront {
    /// The host name of the distribution.
    domain: String,
    trusted: TrustedKeys,
    key: Rotated<Arc<Key>>,
}

/// The public keys that the distribution trusts, each with the id that CloudFront gave it.
#[derive(Debug)]
struct TrustedKeys(Vec<(String, Vec<u8>)>);

/// The key that signs, and its id.
#[derive(Debug)]
struct Key {
    id: String,
    private: Arc<dyn SigningKey>,
}

/// The value of the secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    private_key: String,
}

/// The reason why no link was signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the secret's member privateKey is no private key in PEM, of the curve P-256 or of RSA")]
    NoKey,
    #[error("the distribution trusts no public key of the secret's private key")]
    Untrusted,
    #[error("the private key did not sign")]
    Unsigned(#[from] rustls::Error),
}

impl CloudFront {
    /// Reads the variables of [`ExportStore::from_env`](crate::ExportStore::from_env).
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub(crate) fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            domain: config::required("EXPORTS_LINK_DOMAIN")?,
            trusted: config::parsed("EXPORTS_LINK_KEYS", "a list of ids and public keys")?,
            key: Rotated::new(Secret::with(sdk, config::required("EXPORTS_LINK_SECRET")?)),
        })
    }

    /// Signs a link to an object. Keys of objects are made of ids, so that no character of them is to be escaped.
    pub(crate) async fn sign(&self, object: &str, lifetime: Duration) -> Result<String, LinkError> {
        let key = self.key.get(|Value { private_key }| self.trusted.key(&private_key).map(Arc::new)).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        key.link(&format!("https://{}/{object}", self.domain), (now + lifetime).as_secs())
    }
}

impl TrustedKeys {
    /// Reads a private key, and finds the id of its public key.
    fn key(&self, private: &str) -> Result<Key, LinkError> {
        let private = PrivateKeyDer::from_pem_slice(private.as_bytes()).map_err(|_| LinkError::NoKey)?;
        let private = any_supported_type(&private).map_err(|_| LinkError::NoKey)?;
        let public = private.public_key().ok_or(LinkError::NoKey)?;
        let trusted = self.0.iter().find(|(_, trusted)| trusted == public.as_ref());
        let (id, _) = trusted.ok_or(LinkError::Untrusted)?;
        Ok(Key { id: id.clone(), private })
    }
}

impl FromStr for TrustedKeys {
    type Err = &'static str;

    /// Reads `<id>=<public key in base64>`, with commas between several.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let key = |part: &str| {
            let (id, key) = part.split_once('=')?;
            Some((id.to_owned(), BASE64_STANDARD.decode(key).ok()?))
        };
        let keys: Option<Vec<_>> = text.split(',').map(key).collect();
        keys.map(Self).ok_or("must be <id>=<public key>, with commas between several")
    }
}

impl Key {
    /// Signs the address of an object, which then works until this second since 1970.
    fn link(&self, address: &str, until: u64) -> Result<String, LinkError> {
        let policy = format!(
            r#"{{"Statement":[{{"Resource":"{address}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{until}}}}}}}]}}"#
        );
        let signer = self.private.choose_scheme(SCHEMES).ok_or(LinkError::NoKey)?;
        let signature = BASE64_STANDARD.encode(signer.sign(policy.as_bytes())?);
        // CloudFront's own form of base64 in a URL.
        let signature = signature.replace('+', "-").replace('=', "_").replace('/', "~");
        let id = &self.id;
        Ok(format!("{address}?Expires={until}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256"))
    }
}

#[cfg(test)]
mod tests;
