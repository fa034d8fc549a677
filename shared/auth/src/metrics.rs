//! The line of a fetch of an issuer's keys that failed.

use metrique::unit_of_work::metrics;
use platform::{log::Causes, metrics::write};
use tracing::Level;

use crate::keys::KeysUnavailable;

#[metrics(rename_all = "PascalCase")]
struct Fetch {
    issuer_fetch_failed: u64,
    #[metrics(name = "issuer")]
    issuer: String,
    #[metrics(name = "error")]
    error: String,
}

/// Writes that the keys of an issuer could not be fetched. Cached keys stay in use.
pub(crate) fn fetch_failed(issuer: &str, error: &KeysUnavailable) {
    let line = Fetch { issuer_fetch_failed: 1, issuer: issuer.to_owned(), error: Causes(error).to_string() };
    write(Level::WARN, "issuer's keys not fetched", line);
}
