//! Public keys of the curve P-256.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The bytes of DER before the point of a public key of the curve P-256, with the byte of an uncompressed point.
const PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The length of a coordinate, in bytes.
const COORDINATE: usize = 32;

/// A public key of the curve P-256, in DER (`SubjectPublicKeyInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Returns the key of these bytes, if it is one of the curve P-256.
    pub fn of(der: Vec<u8>) -> Option<Self> {
        (der.len() == PREFIX.len() + 2 * COORDINATE && der.starts_with(&PREFIX)).then_some(Self(der))
    }

    /// Returns the key's id: its thumbprint by RFC 7638, so that anybody can compute it from the key.
    pub fn id(&self) -> String {
        let [x, y] = self.coordinates();
        let members = json!({"crv": "P-256", "kty": "EC", "x": x, "y": y});
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members.to_string()))
    }

    /// Returns the two coordinates, as JSON Web Keys have them.
    pub fn coordinates(&self) -> [String; 2] {
        let (x, y) = self.0[PREFIX.len()..].split_at(COORDINATE);
        [x, y].map(|coordinate| BASE64_URL_SAFE_NO_PAD.encode(coordinate))
    }

    /// Returns the key in PEM, as OpenSSL reads it.
    pub fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.0);
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for line in text.as_bytes().chunks(64) {
            let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
        }
        pem + "-----END PUBLIC KEY-----\n"
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
