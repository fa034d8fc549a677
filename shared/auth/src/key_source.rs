//! The place where an issuer publishes its keys.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;

use platform::http::{HttpClient, client};

use crate::{
    key::{Key, usable},
    keys::MAX_AGE,
};

/// Maximum size of a key set, and of the document that names its address, in bytes.
const MAX_BYTES: usize = 256 << 10;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A client that all issuers share, made at the first fetch.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedClient(Arc<OnceLock<HttpClient>>);

/// The source of a key set.
#[derive(Debug)]
pub(super) enum Source {
    /// A key set at this address.
    At(Uri),
    /// A key set whose address is in the issuer's configuration, by OpenID Connect Discovery 1.0, section 4.
    Discovered {
        /// The issuer, which the configuration must name.
        issuer: String,
        /// The address of the configuration.
        configuration: Uri,
    },
}

/// The address of the key set that the configuration named, and the time of that.
#[derive(Debug, Default)]
pub(super) struct Discovered(Option<(Uri, Instant)>);

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// Reads an address of keys: `https`, or `http` of this machine.
pub(super) fn address(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let is_local = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme_str() {
        Some("https") => Some(url),
        Some("http") if is_local => Some(url),
        _ => None,
    }
}

impl Source {
    /// Returns the source of an issuer whose configuration names its key set. None if the issuer is no address.
    pub(super) fn of_issuer(issuer: &str) -> Option<Self> {
        let configuration = address(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
        Some(Self::Discovered { issuer: issuer.to_owned(), configuration })
    }

    /// Fetches the keys. What was discovered is kept in `discovered` even if this is cancelled meanwhile, so that an
    /// issuer whose two answers together take too long has answered after the next try.
    pub(super) async fn fetch(&self, http: &SharedClient, discovered: &mut Discovered) -> Result<Vec<Key>, BoxError> {
        let (issuer, configuration) = match self {
            Self::At(url) => return key_set(http, url).await,
            Self::Discovered { issuer, configuration } => (issuer, configuration),
        };
        let known = discovered.0.as_ref().filter(|(_, at)| at.elapsed() <= MAX_AGE);
        let url = match known {
            Some((url, _)) => url.clone(),
            None => {
                let url = discover(http, issuer, configuration).await?;
                discovered.0 = Some((url.clone(), Instant::now()));
                url
            }
        };
        let keys = key_set(http, &url).await;
        // The issuer may have moved its keys.
        if keys.is_err() {
            discovered.0 = None;
        }
        keys
    }
}

async fn discover(http: &SharedClient, issuer: &str, configuration: &Uri) -> Result<Uri, BoxError> {
    let body = http.get(configuration).await?;
    let found: Configuration = serde_json::from_slice(&body)?;
    if found.issuer != issuer {
        return Err("the configuration is that of another issuer".into());
    }
    Ok(named(configuration, &found.jwks_uri).ok_or("the configuration names no https address of keys")?)
}

/// Reads an address that a configuration names. Only an issuer of this machine may name an address of this machine
/// without TLS.
pub(super) fn named(configuration: &Uri, text: &str) -> Option<Uri> {
    address(text).filter(|url| url.scheme() == configuration.scheme() || url.scheme_str() == Some("https"))
}

async fn key_set(http: &SharedClient, url: &Uri) -> Result<Vec<Key>, BoxError> {
    let keys = usable(serde_json::from_slice(&http.get(url).await?)?);
    if keys.is_empty() { Err("no key of the set verifies signatures".into()) } else { Ok(keys) }
}

impl SharedClient {
    /// Returns the body of the answer. A connection that fails is tried once more: it may have been kept for too long, or
    /// be one of too many at once. Redirects are not followed, since only the configuration names the source of
    /// keys.
    pub(super) async fn get(&self, url: &Uri) -> Result<Bytes, BoxError> {
        let http = self.0.get_or_init(client);
        let response = match http.get(url.clone()).await {
            Ok(response) => response,
            Err(_) => http.get(url.clone()).await?,
        };
        if !response.status().is_success() {
            return Err(format!("the issuer answered {}", response.status()).into());
        }
        Ok(Limited::new(response.into_body(), MAX_BYTES).collect().await?.to_bytes())
    }

    /// Makes the client, on another thread: that reads hundreds of files.
    pub(super) async fn make(&self) {
        let made = Arc::clone(&self.0);
        // It is made by the first request otherwise.
        let _ = tokio::task::spawn_blocking(move || _ = made.get_or_init(client)).await;
    }

    /// Returns the status and the body of the answer to a request, which is sent once.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), BoxError> {
        let response = self.0.get_or_init(client).request(request).await?;
        let status = response.status();
        Ok((status, Limited::new(response.into_body(), MAX_BYTES).collect().await?.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_tls_or_are_of_this_machine() {
        for good in ["https://issuer.example/keys", "http://127.0.0.1:9/keys", "http://localhost", "http://[::1]:9/"] {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in
            ["", "keys", "/keys", "http://issuer.example/keys", "http://127.0.0.2", "ftp://localhost", "file:///k"]
        {
            assert!(address(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_configuration_is_below_the_issuer() {
        let path = |issuer: &str| match Source::of_issuer(issuer) {
            Some(Source::Discovered { configuration, .. }) => configuration.to_string(),
            found => panic!("{found:?}"),
        };
        let whole = "https://issuer.example/realms/a/.well-known/openid-configuration";
        assert_eq!(path("https://issuer.example/realms/a"), whole);
        assert_eq!(path("https://issuer.example/realms/a/"), whole);
        assert!(Source::of_issuer("http://issuer.example").is_none());
    }
}
