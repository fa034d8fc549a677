//! Tokens and the key set that verifies them.

use auth::{Caller, Permission, Verifier};
use domain::OrgId;

use crate::{
    input::{Input, cut},
    issuer::ORGANIZATION,
    world::World,
};

struct Door {
    world: World,
    verifier: Verifier,
}

thread_local! {
    static DOOR: Door = {
        let world = World::start();
        let verifier = world.make(|_| Verifier::from_env());
        Door { world, verifier }
    };
}

/// The input is a token or, cut by an empty line, a header and claims that the issuer signs.
pub(crate) fn token(bytes: &[u8]) {
    DOOR.with(|Door { world, verifier }| {
        let token = match cut(bytes, b"\n\n") {
            (header, Some(claims)) => world.issuer.sign(header, claims),
            (token, None) => String::from_utf8_lossy(token).into_owned(),
        };
        if let Ok(caller) = world.run(Input::new(b""), verifier.verify(&token)) {
            use_rights(&caller);
        }
    });
}

/// The input is a key set. A token of each of its keys, which the issuer did not sign with it, is refused.
pub(crate) fn key_set(bytes: &[u8]) {
    DOOR.with(|Door { world, .. }| {
        world.issuer.serve(bytes);
        let verifier = world.make(|_| Verifier::from_env());
        for algorithm in ["EdDSA", "RS256", "ES256"] {
            let header = format!("{{\"alg\":\"{algorithm}\",\"kid\":\"key\"}}");
            let token = world.issuer.sign(header.as_bytes(), b"{\"sub\":\"user\",\"exp\":1}");
            assert!(world.run(Input::new(b""), verifier.verify(&token)).is_err(), "an expired token");
        }
    });
}

/// Asks for each permission in the organization of the tokens.
fn use_rights(caller: &Caller) {
    let org: OrgId = ORGANIZATION.parse().expect("an id");
    assert!(!caller.subject().name.trim().is_empty());
    for permission in [Permission::CreateExports, Permission::ReadAudit, Permission::ReadUsage] {
        let _ = caller.authorize(permission, org);
    }
    let _ = caller.authorize_on_platform(Permission::ReadCi);
}
