//! JSON Web Signatures by ES256 in the compact form (RFC 7515, RFC 7518).
//!
//! Own code, since the crates for it sign with a private key that they are given, and KMS gives none.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::json;

/// The length of each of the two numbers of a signature, in bytes.
const NUMBER: usize = 32;

/// The tags of DER.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// Returns what is signed: header and payload.
pub(crate) fn signing_input(kind: &str, key_id: &str, payload: &impl Serialize) -> Result<String, serde_json::Error> {
    let header = json!({"alg": "ES256", "kid": key_id, "typ": kind}).to_string();
    let payload = serde_json::to_vec(payload)?;
    Ok(format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(payload)))
}

/// Adds the signature. `None` if it is not one of DER.
pub(crate) fn compact(signed: String, der: &[u8]) -> Option<String> {
    Some(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(numbers(der)?)))
}

/// Converts a signature from DER, a sequence of two integers, to the two numbers with a fixed length each.
fn numbers(der: &[u8]) -> Option<[u8; 2 * NUMBER]> {
    let (body, rest) = value(der, SEQUENCE)?;
    let (first, body) = value(body, INTEGER)?;
    let (second, end) = value(body, INTEGER)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let mut numbers = [0; 2 * NUMBER];
    for (number, place) in [first, second].into_iter().zip(numbers.chunks_exact_mut(NUMBER)) {
        // An integer whose first bit is set has a zero before it, and one that begins with zeros is shorter.
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        let start = NUMBER.checked_sub(number.len())?;
        place.get_mut(start..)?.copy_from_slice(number);
    }
    Some(numbers)
}

/// Returns the bytes of the value that `der` begins with, and those after it. No part of a signature has more than 127.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    let is_short = *length < 0x80;
    if *found == tag && is_short { rest.split_at_checked(usize::from(*length)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_two_numbers_of_a_fixed_length() {
        let long = [&[0x00][..], &[0x80; 32]].concat();
        let short = [0x01; 31];
        let integer = |bytes: &[u8]| [&[INTEGER, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let sequence = |bytes: &[u8]| [&[SEQUENCE, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let der = sequence(&[integer(&long), integer(&short)].concat());
        let expected = [&[0x80; 32][..], &[0], &short].concat();
        assert_eq!(numbers(&der).unwrap().as_slice(), expected);
        for end in 0..der.len() {
            assert!(numbers(&der[..end]).is_none(), "{end}");
        }
        assert!(numbers(&[der.clone(), vec![0]].concat()).is_none());
        assert!(numbers(&sequence(&[integer(&[1; 33]), integer(&short)].concat())).is_none());
        assert!(numbers(&sequence(&integer(&short))).is_none());
    }

    #[test]
    fn the_header_names_algorithm_key_and_type() {
        let input = signing_input("audit-head+jws", "k", &json!({"seq": 1})).unwrap();
        let parts: Vec<_> = input.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let header: serde_json::Value = serde_json::from_slice(&parts[0]).unwrap();
        assert_eq!(header, json!({"alg": "ES256", "kid": "k", "typ": "audit-head+jws"}));
        assert_eq!(parts[1], br#"{"seq":1}"#);
    }
}
