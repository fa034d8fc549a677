//! Callers and their permissions. A caller exists only as the result of verifying a token.

mod caller;
mod claim;
mod issuer;
mod key;
mod key_source;
mod keys;
mod members;
mod metrics;
mod permission;
mod settings;
#[cfg(test)]
mod tests;
mod unique;
mod verifier;

pub use caller::{Access, Caller, Forbidden};
pub use keys::KeysUnavailable;
pub use permission::Permission;
pub use verifier::{AuthError, Verifier};
