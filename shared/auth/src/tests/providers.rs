//! Tokens in the shape of each provider, under the settings that `docs/identity.md` gives for it.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{AUDIT, AUDITOR, CREATE, DOWNLOAD, ORG, OTHER_ORG, READ, Signer, refused, rights, verifier, with};

const GUIDE: &str = include_str!("../../../../docs/identity.md");

/// Returns the settings of a provider.
fn settings(provider: &str) -> Value {
    let section = GUIDE.split(&format!("\n## {provider}\n")).nth(1).expect("the provider has a section");
    let section = section.split("\n## ").next().unwrap();
    let json = section.split("```json\n").nth(1).expect("the section has settings").split("```").next().unwrap();
    serde_json::from_str(json).expect("the settings are JSON")
}

/// Verifies tokens under a provider's settings: good ones with their permissions, and bad ones with the reason.
async fn check(provider: &str, algorithm: Algorithm, good: &[(&str, Value, &[&str])], bad: &[(&str, Value, &str)]) {
    let [signer, forger] = [(); 2].map(|()| Signer::new("2025-11", algorithm));
    let verifier = verifier(&[with(&settings(provider), json!({"jwks": signer.set()}))]);
    for (what, claims, expected) in good {
        let caller = verifier.verify(&signer.sign(claims)).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(rights(&caller, ORG), *expected, "{provider}, {what}");
        assert!(rights(&caller, OTHER_ORG).is_empty(), "{provider}, {what}");
        assert_eq!(json!(caller.subject().name), claims["sub"]);
        assert_eq!(json!(caller.subject().issuer), claims["iss"]);
        // A signature proves nothing for an issuer that is not configured, nor another key anything for this one.
        let of_another = with(claims, json!({"iss": "https://issuer.example"}));
        assert_eq!(refused(verifier.verify(&signer.sign(&of_another)).await), "of an unknown issuer");
        assert_eq!(refused(verifier.verify(&forger.sign(claims)).await), "InvalidSignature", "{provider}, {what}");
    }
    for (what, claims, reason) in bad {
        assert_eq!(refused(verifier.verify(&signer.sign(claims)).await), *reason, "{provider}, {what}");
    }
}

#[tokio::test]
async fn cognito() {
    let person = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "device_key": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "cognito:groups": ["acme-auditors"],
        "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123",
        "version": 2, "client_id": "1h57kf5cpq17m0eml12example", "origin_jti": "a", "event_id": "b", "jti": "c",
        "token_use": "access", "scope": "openid profile", "auth_time": 1_676_312_777, "username": "ada",
    });
    let machine = json!({
        "sub": "7r4u8m2machine0client0example", "token_use": "access",
        "scope": "analytics/analytics:exports:create analytics/analytics:exports:read other/analytics:audit:read",
        "auth_time": 1_676_312_777, "iss": person["iss"], "version": 2, "jti": "d",
        "client_id": "7r4u8m2machine0client0example",
    });
    let id_token = with(
        &person,
        json!({
            "client_id": null, "scope": null, "aud": "1h57kf5cpq17m0eml12example", "token_use": "id",
            "email": "ada@example.com", "cognito:username": "ada",
        }),
    );
    let groups = |groups: &[&str]| with(&person, json!({"cognito:groups": groups}));
    check(
        "Amazon Cognito",
        Algorithm::RS256,
        &[
            ("a person of the group", person.clone(), AUDITOR),
            ("a machine", machine.clone(), &[CREATE, READ]),
            ("a person of no group", with(&person, json!({"cognito:groups": null})), &[]),
            ("groups that are called like roles", groups(&["admin", "platform-admin", "auditor", READ]), &[]),
            ("a group more", groups(&["us-east-1_Other", "acme-auditors"]), AUDITOR),
            ("a scope without its server", with(&machine, json!({"scope": "analytics:exports:read"})), &[]),
        ],
        &[
            ("the ID token", id_token.clone(), "for another audience"),
            (
                "an ID token with the client's id",
                with(&id_token, json!({"client_id": id_token["aud"]})),
                "a token of another kind",
            ),
            ("another client", with(&person, json!({"client_id": "other"})), "for another audience"),
            ("no client", with(&person, json!({"client_id": null})), "for another audience"),
            ("no use", with(&person, json!({"token_use": null})), "without a claim that is required"),
        ],
    )
    .await;
}

#[tokio::test]
async fn auth0() {
    let token = json!({
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|6553da60a54af58e29493993",
        "aud": ["https://analytics.example.com", "https://example.eu.auth0.com/userinfo"],
        "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "scope": "openid profile email analytics:exports:create",
        "org_id": "org_9ybsU1dN2dKfDkBi",
        "https://example.com/org_id": ORG, "https://example.com/roles": ["admin"],
        "permissions": [READ, DOWNLOAD, AUDIT],
    });
    let id_token = with(&token, json!({"aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "nonce": "n", "permissions": null}));
    check(
        "Auth0",
        Algorithm::RS256,
        &[
            ("a person with the auditors' permissions", token.clone(), AUDITOR),
            (
                "a machine",
                with(&token, json!({"sub": "awZfdIir@clients", "gty": "client-credentials", "permissions": [CREATE]})),
                &[CREATE],
            ),
            ("what the client asked for", with(&token, json!({"permissions": []})), &[]),
            (
                "Auth0's own id of the organization",
                with(&token, json!({"https://example.com/org_id": "org_9ybsU1dN2dKfDkBi"})),
                &[],
            ),
            ("several organizations", with(&token, json!({"https://example.com/org_id": ["a", ORG]})), AUDITOR),
        ],
        &[
            ("the ID token", id_token.clone(), "for another audience"),
            (
                "an ID token for the API",
                with(&id_token, json!({"aud": "https://analytics.example.com"})),
                "a token of another kind",
            ),
            ("another API", with(&token, json!({"aud": ["https://other.example.com"]})), "for another audience"),
            (
                "an organization that is a number",
                with(&token, json!({"https://example.com/org_id": 7})),
                "a claim is neither a string nor a list of strings",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn okta() {
    let token = json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": "https://example.okta.com/oauth2/default", "aud": "api://default",
        "cid": "0oabskvc6442nkvQO0h7", "uid": "00u5t60iloOHN9pBi0h7", "auth_time": 1_676_312_777,
        "scp": ["openid", READ, DOWNLOAD], "sub": "ada@example.com", "groups": ["Everyone"], "org_id": ORG,
    });
    let grouped = with(&token, json!({"scp": ["openid"], "groups": ["Everyone", "Analytics Auditors"]}));
    check(
        "Okta",
        Algorithm::RS256,
        &[
            ("scopes", token.clone(), &[READ, DOWNLOAD]),
            ("a person of the group", grouped.clone(), AUDITOR),
            ("a group with another case", with(&grouped, json!({"groups": ["analytics auditors"]})), &[]),
            ("a part of the group's name", with(&grouped, json!({"groups": ["Auditors"]})), &[]),
            ("groups that are called like permissions", with(&grouped, json!({"groups": [READ, "admin"]})), &[]),
            (
                "a scope that is called like a role",
                with(&grouped, json!({"scp": ["admin", "auditor"], "groups": []})),
                &[],
            ),
        ],
        &[
            (
                "the org authorization server",
                with(&token, json!({"iss": "https://example.okta.com"})),
                "of an unknown issuer",
            ),
            (
                "the ID token",
                with(&token, json!({"aud": token["cid"], "scp": null, "at_hash": "h"})),
                "for another audience",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn entra() {
    let tenant = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
    let token = json!({
        "aud": "00001111-aaaa-2222-bbbb-3333cccc4444",
        "iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        "nbf": super::now(), "aio": "AXQAi/8TAAAA", "azp": "11112222-bbbb-3333-cccc-4444dddd5555", "azpacr": "0",
        "name": "Ada", "oid": "22223333-cccc-4444-dddd-5555eeee6666", "preferred_username": "ada@example.com",
        "rh": "0.AAA", "roles": ["Analytics.Auditor"], "scp": "access_as_user analytics:exports:create",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": tenant, "uti": "u", "ver": "2.0",
        "groups": ["33334444-dddd-5555-eeee-6666ffff7777"],
    });
    // A registration that is client and API at once.
    let id_token = with(&token, json!({"azp": null, "azpacr": null, "scp": null}));
    check(
        "Microsoft Entra ID",
        Algorithm::RS256,
        &[
            ("a person with the app role", token.clone(), AUDITOR),
            ("an application", with(&token, json!({"scp": null, "roles": [CREATE, READ]})), &[CREATE, READ]),
            ("a person without a role", with(&token, json!({"roles": null})), &[]),
            ("roles of other names", with(&token, json!({"roles": ["admin", "Analytics.auditor"]})), &[]),
        ],
        &[
            ("the ID token", id_token.clone(), "without a claim that is required"),
            (
                "the ID token of a sign-in with a nonce",
                with(&id_token, json!({"nonce": "n"})),
                "a token of another kind",
            ),
            ("another client", with(&token, json!({"azp": "other"})), "without a claim that is required"),
            (
                "version 1",
                with(&token, json!({"iss": format!("https://sts.windows.net/{tenant}/")})),
                "of an unknown issuer",
            ),
            (
                "another tenant",
                with(&token, json!({"iss": "https://login.microsoftonline.com/other/v2.0"})),
                "of an unknown issuer",
            ),
            ("Graph", with(&token, json!({"aud": "00000003-0000-0000-c000-000000000000"})), "for another audience"),
        ],
    )
    .await;
}

#[tokio::test]
async fn keycloak() {
    let token = json!({
        "auth_time": 1_676_312_777, "jti": "j", "iss": "https://sso.example.com/realms/example",
        "aud": ["analytics-exports", "account"], "sub": "f1c4f64e-2c0c-4cda-8c9f-9f3f8f3a2b0e", "typ": "Bearer",
        "azp": "finance-portal", "sid": "s", "acr": "1", "scope": "openid profile analytics:exports:create",
        "realm_access": {"roles": ["default-roles-example", "offline_access", "admin"]},
        "resource_access": {
            "analytics-exports": {"roles": [READ, DOWNLOAD]},
            "account": {"roles": ["manage-account", AUDIT]},
        },
        "org_id": [ORG],
    });
    let realm = |roles: &[&str]| with(&token, json!({"resource_access": null, "realm_access": {"roles": roles}}));
    for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
        check(
            "Keycloak",
            algorithm,
            &[
                ("client roles", token.clone(), &[READ, DOWNLOAD]),
                ("the realm role", realm(&["admin", "analytics-auditor"]), AUDITOR),
                ("the realm's administrator", realm(&["admin", "platform-admin"]), &[]),
                ("no roles", with(&token, json!({"resource_access": null, "realm_access": null})), &[]),
            ],
            &[
                ("the ID token", with(&token, json!({"typ": "ID", "aud": "finance-portal"})), "for another audience"),
                ("an ID token for the API", with(&token, json!({"typ": "ID"})), "a token of another kind"),
                ("a refresh token", with(&token, json!({"typ": "Refresh"})), "without a claim that is required"),
                ("the token of another client", with(&token, json!({"aud": "account"})), "for another audience"),
                (
                    "another realm",
                    with(&token, json!({"iss": "https://sso.example.com/realms/master"})),
                    "of an unknown issuer",
                ),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn google() {
    let client = "1234567890-abc123def456.apps.googleusercontent.com";
    let token = json!({
        "iss": "https://accounts.google.com", "azp": client, "aud": client, "sub": "110169484474386276334",
        "hd": "example.com", "email": "ada@example.com", "email_verified": true, "at_hash": "h", "nonce": "n",
        "name": "Ada",
    });
    let service = with(
        &token,
        json!({"hd": null, "at_hash": null, "nonce": null, "sub": "112010400000000710080", "azp": "112010400000000710080"}),
    );
    check(
        "Google",
        Algorithm::RS256,
        &[
            ("a person who is named", token.clone(), AUDITOR),
            ("a person of the domain", with(&token, json!({"sub": "110169484474386276335"})), &[]),
            (
                "scopes and roles, which Google does not write",
                with(&token, json!({"sub": "1", "scope": READ, "roles": [READ]})),
                &[],
            ),
        ],
        &[
            ("a service account, for this audience", service, "without a claim that is required"),
            ("another domain", with(&token, json!({"hd": "example.org"})), "without a claim that is required"),
            ("another client", with(&token, json!({"aud": "other"})), "for another audience"),
            ("an issuer without https", with(&token, json!({"iss": "accounts.google.com"})), "of an unknown issuer"),
        ],
    )
    .await;
}
