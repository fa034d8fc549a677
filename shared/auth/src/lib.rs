//! Who calls, and what they may do. A caller exists only as the outcome of a verified token: there is no way around it.

mod caller;
mod keys;
mod verifier;

pub use caller::{Access, Caller, Forbidden, Permission};
pub use keys::KeysUnavailable;
pub use verifier::{AuthError, Verifier};
