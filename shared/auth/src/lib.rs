//! Callers and their permissions. A caller exists only as the result of verifying a token.

mod caller;
mod keys;
mod metrics;
mod verifier;

pub use caller::{Access, Caller, Forbidden, Permission};
pub use keys::KeysUnavailable;
pub use verifier::{AuthError, Verifier};
