//! Public keys, and signatures by ES256.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde::{Deserialize, de::DeserializeOwned};

use crate::outcome::Outcome;

/// The length of the point of a P-256 key, which is the end of its DER.
const POINT: usize = 65;

/// The keys of a PEM file.
#[derive(Debug)]
pub(crate) struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Reads a PEM file with one or more public keys.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        Ok(Self::parse(&text).ok_or_else(|| {
            let name = path.display();
            Outcome::WrongUsage(format!("--key: {name} has no public key in PEM (-----BEGIN PUBLIC KEY-----)"))
        })?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let keys: Result<Vec<_>, _> = SubjectPublicKeyInfoDer::pem_slice_iter(text).collect();
        let keys = keys.ok()?.into_iter().map(|key| Some(key.as_ref().last_chunk::<POINT>()?.to_vec()));
        keys.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty()).map(Self)
    }

    /// Makes the keys of one point.
    #[cfg(test)]
    pub(super) fn of(point: &[u8]) -> Self {
        Self(vec![point.to_vec()])
    }

    /// Reports whether one of the keys made the signature, in DER, of these bytes.
    pub(super) fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.0
            .iter()
            .any(|point| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(bytes, signature).is_ok())
    }

    /// Returns the payload of a JWS of this type in the compact form, if one of the keys signed it by ES256.
    pub(crate) fn verify_jws<T: DeserializeOwned>(&self, jws: &str, kind: &str) -> Option<T> {
        let (signed, signature) = jws.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
        let Header { alg, typ } = serde_json::from_slice(&decode(header)?).ok()?;
        let signature = decode(signature)?;
        let is_by = |point: &Vec<u8>| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
        };
        if alg != "ES256" || typ != kind || !self.0.iter().any(is_by) {
            return None;
        }
        serde_json::from_slice(&decode(payload)?).ok()
    }
}

/// The part of a header that is checked. What else it may say changes nothing: a key is one of those that are given.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use serde_json::{Value, json};

    use super::*;

    fn jws(key: &EcdsaKeyPair, header: &Value, payload: &Value) -> String {
        let [header, payload] = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{payload}");
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    #[test]
    fn a_jws_is_of_its_key_its_algorithm_and_its_type() {
        let [key, other] = [0; 2].map(|_| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        let keys = Keys::of(key.public_key().as_ref());
        let header = json!({"alg": "ES256", "typ": "t", "kid": "k"});
        let payload = json!({"seq": 1});
        let good = jws(&key, &header, &payload);
        assert_eq!(keys.verify_jws::<Value>(&good, "t"), Some(payload.clone()));
        assert_eq!(keys.verify_jws::<Value>(&good, "u"), None);
        assert_eq!(keys.verify_jws::<Value>(&jws(&other, &header, &payload), "t"), None);
        let none = jws(&key, &json!({"alg": "none", "typ": "t"}), &payload);
        assert_eq!(keys.verify_jws::<Value>(&none, "t"), None);
        for index in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[index] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(keys.verify_jws::<Value>(&changed, "t"), None, "{index}");
        }
    }
}
