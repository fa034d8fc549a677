//! The connections to a server: encrypted, or to this machine.

use std::{net::IpAddr, time::Duration};

use ureq::{
    Agent, Proxy,
    http::Uri,
    tls::{RootCerts, TlsConfig},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time without a byte after which a connection is given up. The service answers within 30 seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Encrypted.
    Tls,
    /// Plain, to this machine.
    Loopback,
}

/// An address that must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("an address must have the form https://host or https://host:port/path, without a user")]
    Form,
    #[error("plain http to {0} would show the token or the file to the network; use https")]
    Plain(String),
}

impl Transport {
    /// Returns the way to the server of an absolute address.
    pub(crate) fn of(url: &str) -> Result<Self, UrlError> {
        let uri: Uri = url.parse().map_err(|_| UrlError::Form)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(UrlError::Form) };
        // `http://127.0.0.1@elsewhere` is a user on another host.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(UrlError::Form);
        }
        match scheme {
            "https" => Ok(Self::Tls),
            "http" if is_loopback(authority.host()) => Ok(Self::Loopback),
            "http" => Err(UrlError::Plain(authority.host().to_owned())),
            _ => Err(UrlError::Form),
        }
    }

    /// Creates a client that follows no redirect, so that a token stays with the server it was sent to.
    pub(crate) fn agent(self) -> Agent {
        platform::tls::install_crypto();
        let proxy = match self {
            Self::Tls => Proxy::try_from_env(),
            // A proxy would be another host, and could read the request.
            Self::Loopback => None,
        };
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .https_only(self == Self::Tls)
            .proxy(proxy)
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .user_agent(concat!("analytics/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(READ_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .timeout_per_write(Some(READ_TIMEOUT))
            .build()
            .new_agent()
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in ["http://localhost", "http://LOCALHOST:80/x", "http://127.0.0.1:4566", "http://[::1]:80/a?b=c"] {
            assert_eq!(Transport::of(url), Ok(Transport::Loopback), "{url}");
        }
        for host in ["example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0"] {
            assert_eq!(Transport::of(&format!("http://{host}/x")), Err(UrlError::Plain(host.to_owned())), "{host}");
        }
        assert_eq!(Transport::of("https://example.com/stage"), Ok(Transport::Tls));
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for url in ["", "example.com", "/x", "ftp://localhost", "https://a@example.com", "http://127.0.0.1@example.com"]
        {
            assert_eq!(Transport::of(url), Err(UrlError::Form), "{url}");
        }
    }
}
