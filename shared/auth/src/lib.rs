//! Callers and their permissions. A caller exists only as the result of verifying a token, or as what a session kept of
//! one.

mod caller;
mod claim;
mod issuer;
mod key;
mod key_source;
mod keys;
mod login;
mod members;
mod metrics;
mod permission;
mod settings;
mod stored;
#[cfg(test)]
mod tests;
mod unique;
mod verifier;

pub use caller::{Access, Caller, Forbidden};
pub use keys::KeysUnavailable;
pub use login::{Attempt, Login, LoginError, SignedIn, random};
pub use permission::Permission;
pub use stored::StoredCaller;
pub use verifier::{AuthError, Verifier};
