//! The keys of these tests sign nothing else.

use rustls::crypto::aws_lc_rs::default_provider;

use super::*;

const ADDRESS: &str = "https://d111111abcdef8.cloudfront.net/analytics/exports/123e4567-e89b-12d3-a456-426614174000/\
    550e8400-e29b-41d4-a716-446655440000.csv";

const EC: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWeERI/amKiEWDo2r
WddDHkMB4x/QnoGptj2U2tdjsZ2hRANCAAQcqaII+Yfi1e0x0sV9IfsC0VfyOj7s
4DKajva8yEYS5Kxy5v9L/2UBJ3jyxFLSZR7uf4D9QO3F3y/UVUGcrQ6R
-----END PRIVATE KEY-----";
const EC_PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHKmiCPmH4tXtMdLFfSH7AtFX8jo+7OAymo72vMhGEuSscub/S/9lASd48sRS0mUe7n+A/UDtxd8v1FVBnK0OkQ==";

const RSA: &str = "-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCePpY2rqN0cB+A
aecdBI81K8TP+09mUEgw6nJ5PvXt3vfP6W70wRAW6D6FBdPx9qbKKUyDQO2JmNWm
fTzPjX6rO95YlM7ttRZCZLJhDi8T0qsydCGdPlMP2EudEDTWIt6dQKhCVWCxgMnk
hiOtUGGPGqySO0hqf/ne3Fa4slMJXhFGHjCP2+/4o04YAOwxTl3sSdTD1rljVB7u
m5lWivqWWaT16oPKraOf1tDWUe0t2cSFGV1XxYy43LPzX7H46B8kp/+2yZKZRLA4
rxyrZtl+B6stSQAvQRjoQT3MHdgvN9gubMDRv3lBEtOPxOiMhCui3oQPQiHkcmAg
6btTgy21AgMBAAECggEAHlPn5ZiARqlTfECvtMnCKYJXMLYdMEJsJ4XTRSX6K6nb
LCt0oq9apk1B6CwnA91N93pFSfV4YPHb5pHjhPK9B1PMyATTCM83MifK4Rt/DclH
Gr8TjyeZ8zQ0v6gSvESIDjLNXJMw2iwQ5X2I2mdIn0zRLKB0f0bCLIJlk3XHwMhL
ijcuDHq4KT0BDXk29XyPX+uc0Pu4zyYUh8OKmMAPgnVoNmjgTSxuZDe3X/OEV75W
4JSRNUGSUUpe9wL9UzWmB5/YUoqL46HHaROJVPk9SsrFIm209Q9BFVTOvK0xsdqX
icVqphn3rzZyxd/5INKJZMInqvmJdf0sgsOt/qZ8EQKBgQDRESAdqvRc4nTZghY0
c/PKRddApcSuO4nClVGi3upzzSFSU02CPbxVr7z5iLhRrASyDjt+ZVPQHumcXtfQ
0oy4losDGFy3Lw76ar3uZPeBRe9qOCsgGVrxUQFcyVSYDGReiNCp2PEVc8C1JrlL
0laVeTjSjjlv7D/cwJnlFprIkQKBgQDBxL7ijOvXd+NkxmEWD/XwhnGA85ll4eNt
ORRFFYA/J2fj7NtuW4mdsummzSLRCiWbskPuiFIp88srUoPjU52CUdjPlnF+z9Mi
B4rDqG8gC910MCaOIVGWzqeLViOE1O+5/BcoC92qTdCbuJM3k6XpNlv/4SPVtqgy
jblASvOE5QKBgQCw1aRtk7EXc7BUXdT8TutxNrvIAa6nlNKEFJq1gYmbo3FA2hcg
R6mqbHgSNNN6uV5LYQBve7N1wP/l9M7k4YKHi0ZPuuaJRzOLGohGQX6cCJRmKtZH
U0r5/IODgQOdjDXFREICt+3LMFpan0Nx35q+2Yb3ibcJdTHbPcmt3P3VEQKBgFdL
YMfFvvZab5pV+SUsWZtbpkT2+dO5eXEadvRMpHNPOHGpoo3MNWpTUQoxfo74aEsF
e685wPJff9drnDlM0TgF0Yxr9YOw8yhwh2ZwOmgQkFso2iXMAurS/Q4751KPb9S1
KmWDOwDff6y38bLnFKbFM5tKfY9pc8saqCu72Iu1AoGBAID8AqkqG8fWgm7oONR6
+X2M+LbeLg/Niy3jzsMBOT+Wo+reVS68GzOSwEsHRBNnZlyQ/ZR6LTzK+jML00iW
CW0yfOMDoBh+U5pk591+66b/j8qOW/4fT3Dp5QnJp3mGA1ZvzXhOxJYpC+rmqtNs
VItmLb+mE/mUchDOt6HULeQm
-----END PRIVATE KEY-----";
const RSA_PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAnj6WNq6jdHAfgGnnHQSPNSvEz/tPZlBIMOpyeT717d73z+lu9MEQFug+\
    hQXT8famyilMg0DtiZjVpn08z41+qzveWJTO7bUWQmSyYQ4vE9KrMnQhnT5TD9hLnRA01iLenUCoQlVgsYDJ5IYjrVBhjxqskjtI\
    an/53txWuLJTCV4RRh4wj9vv+KNOGADsMU5d7EnUw9a5Y1Qe7puZVor6llmk9eqDyq2jn9bQ1lHtLdnEhRldV8WMuNyz81+x+Ogf\
    JKf/tsmSmUSwOK8cq2bZfgerLUkAL0EY6EE9zB3YLzfYLmzA0b95QRLTj8TojIQrot6ED0Ih5HJgIOm7U4MttQIDAQAB";

/// Made by `openssl dgst -sha256 -sign` of the policy, which [`policy()`] spells out.
const RSA_SIGNATURE: &str = "ePvX6gOy9cKw8CpwEFM86sMqj9Fnafv2w8bFWgmxWsmiAkUveaJUPB1dHAoz6vlhDCRAWShON-Z1Vdo8QzP4WGZUEMDvSw9jmgqW\
    YjgtPIMY9APBq-a~2oqBby3XunFxf20suh-fCZDd1sw5SSVeqrSn~Z5-AathY4dRLExz2vyvPB0Ad5hUScDsATn4Y~3a0jIQ1vUt\
    66vQDI8ZQniFhgHBdoL2c399dk1-Kl8JHHLlEDg303MzxsUr1ef1XOr7cXCwdO4qpiM6KIdXnxb86Qvygs8G-68HS~Ycav9qLvyM\
    ZwBIEuXVtKFkm9DpIBubslLew7cglFUL~ImMxWpNLw__";

const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEILUXDbouoaLtydSHk+2dHVU3u47UT5dy6asm2oJSpRea
-----END PRIVATE KEY-----";

fn trusted() -> TrustedKeys {
    format!("K1={RSA_PUBLIC},K2={EC_PUBLIC}").parse().unwrap()
}

fn policy(until: u64) -> String {
    [
        r#"{"Statement":[{"Resource":""#,
        ADDRESS,
        r#"","Condition":{"DateLessThan":{"AWS:EpochTime":"#,
        &until.to_string(),
        "}}}]}",
    ]
    .concat()
}

#[test]
fn a_link_is_the_one_that_openssl_signs() {
    let link = trusted().key(RSA).unwrap().link(ADDRESS, 1_767_290_400).unwrap();
    let query = format!("Expires=1767290400&Signature={RSA_SIGNATURE}&Key-Pair-Id=K1&Hash-Algorithm=SHA256");
    assert_eq!(link, format!("{ADDRESS}?{query}"));
}

#[test]
fn a_key_of_a_curve_signs_the_policy_and_no_other() {
    let key = trusted().key(EC).unwrap();
    assert_eq!(key.id, "K2");
    let link = key.link(ADDRESS, 1_767_290_400).unwrap();
    let part = |name: &str| link.split(['?', '&']).find_map(|part| part.strip_prefix(name)).unwrap();
    assert_eq!((part("Expires="), part("Key-Pair-Id="), part("Hash-Algorithm=")), ("1767290400", "K2", "SHA256"));
    let signature = part("Signature=").replace('-', "+").replace('_', "=").replace('~', "/");
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    let point = &BASE64_STANDARD.decode(EC_PUBLIC).unwrap()[26..];
    let known = default_provider().signature_verification_algorithms.mapping;
    let scheme = known.iter().find(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256).unwrap();
    let verify = |policy: &str| scheme.1[0].verify_signature(point, policy.as_bytes(), &signature);
    verify(&policy(1_767_290_400)).unwrap();
    assert!(verify(&policy(1_767_290_401)).is_err(), "another time");
    assert!(verify(&policy(1_767_290_400).replace("550e8400", "550e8401")).is_err(), "another object");
}

#[test]
fn the_id_is_that_of_the_private_keys_own_public_key() {
    assert_eq!(trusted().key(RSA).unwrap().id, "K1");
    let others: TrustedKeys = format!("K1={RSA_PUBLIC}").parse().unwrap();
    let error = others.key(EC).unwrap_err();
    assert!(matches!(error, LinkError::Untrusted), "{error}");
}

#[test]
fn what_is_no_private_key_is_an_error_that_does_not_show_it() {
    for text in ["", "hunter2", EC_PUBLIC, &EC.replace("MIGH", "MIGI")] {
        let error = trusted().key(text).unwrap_err();
        assert!(matches!(error, LinkError::NoKey), "{error}");
        assert!(text.is_empty() || !format!("{error:?} {error}").contains(text));
    }
    // A key of a kind that CloudFront does not know is trusted by no distribution.
    assert!(matches!(trusted().key(ED25519), Err(LinkError::Untrusted)));
}

#[test]
fn trusted_keys_have_ids() {
    for text in ["", EC_PUBLIC, "K1", "K1=*"] {
        assert!(text.parse::<TrustedKeys>().is_err(), "{text}");
    }
}
