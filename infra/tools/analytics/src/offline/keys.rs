//! Public keys, and signatures by ES256.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

use crate::outcome::Outcome;

/// The length of the point of a P-256 key, which is the end of its DER.
const POINT: usize = 65;

/// The keys of a PEM file.
#[derive(Debug)]
pub(super) struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Reads a PEM file with one or more public keys.
    pub(super) fn read(path: &Path) -> Result<Self> {
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
}
