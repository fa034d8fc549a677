//! The keys of a set.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// A key set whose keys are read one by one, since one that is malformed must not take the others away.
#[derive(Debug, Deserialize)]
pub(super) struct KeySet {
    keys: Vec<Value>,
}

/// A key that verifies signatures by the algorithms of its own kind or, if it names one, by that one.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// Returns the keys of a set that verify signatures by asymmetric algorithms. Others are passed over, since a set may
/// serve other services too.
pub(super) fn usable(set: KeySet) -> Vec<Key> {
    set.keys.into_iter().filter_map(read).collect()
}

/// Returns a key if it verifies signatures by asymmetric algorithms.
pub(super) fn read(value: Value) -> Option<Key> {
    match serde_json::from_value::<Jwk>(value) {
        Ok(jwk) => key(&jwk),
        Err(error) => {
            tracing::warn!(%error, "a key of the issuer's set passed over");
            None
        }
    }
}

fn key(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !is_for_signatures || !verifies {
        return None;
    }
    let mut algorithms = algorithms(jwk)?.to_vec();
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
    }
    let id = common.key_id.clone()?;
    (!algorithms.is_empty()).then_some(Key { id, algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
}

/// Returns the algorithms of a key, whatever algorithm a token claims. All are asymmetric, so that a public key never
/// serves as an HMAC secret.
fn algorithms(jwk: &Jwk) -> Option<&'static [Algorithm]> {
    use jsonwebtoken::jwk::{AlgorithmParameters as P, EllipticCurve as C};
    match &jwk.algorithm {
        P::RSA(_) => Some(&[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ]),
        P::EllipticCurve(curve) => match curve.curve {
            C::P256 => Some(&[Algorithm::ES256]),
            C::P384 => Some(&[Algorithm::ES384]),
            _ => None,
        },
        P::OctetKeyPair(_) => Some(&[Algorithm::EdDSA]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(set: Value) -> Vec<(String, Vec<Algorithm>)> {
        let usable = usable(serde_json::from_value(set).unwrap());
        usable.into_iter().map(|key| (key.id, key.algorithms)).collect()
    }

    /// A key of RFC 8037, with more members.
    fn ed25519(more: &Value) -> Value {
        let mut key = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    }

    #[test]
    fn a_key_that_cannot_be_used_takes_no_other_away() {
        let unusable = [
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "a"}),
            json!({"kty": "unheard of", "kid": "a"}),
            json!("no key"),
            json!({"kty": "oct", "kid": "a", "k": "AAAA"}),
            json!({"kty": "EC", "crv": "P-521", "kid": "a", "x": "AA", "y": "AA"}),
            ed25519(&json!({"use": "enc"})),
            ed25519(&json!({"use": "tls"})),
            ed25519(&json!({"key_ops": ["sign"]})),
            ed25519(&json!({"key_ops": []})),
            ed25519(&json!({"alg": "RS256"})),
            ed25519(&json!({"kid": null})),
        ];
        let mut all = unusable.to_vec();
        all.push(ed25519(&json!({"kid": "good"})));
        let found = keys(json!({"keys": all}));
        assert_eq!(found, [("good".to_owned(), vec![Algorithm::EdDSA])]);
    }

    #[test]
    fn a_key_is_for_the_algorithm_that_it_names() {
        let rsa = |alg: Option<&str>| {
            let mut key =
                json!({"kty": "RSA", "kid": "a", "e": "AQAB", "n": "sXchTQ", "use": "sig", "key_ops": ["verify"]});
            if let Some(alg) = alg {
                key["alg"] = alg.into();
            }
            key
        };
        let found = keys(json!({"keys": [rsa(Some("PS384")), rsa(None), rsa(Some("HS256"))]}));
        let algorithms: Vec<_> = found.iter().map(|(_, algorithms)| algorithms.len()).collect();
        assert_eq!(algorithms, [1, 6]);
        assert_eq!(found[0], ("a".to_owned(), vec![Algorithm::PS384]));
    }
}
