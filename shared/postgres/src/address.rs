//! The address of a database: a connection URL, with libpq's parameters of TLS.

use std::{net::IpAddr, path::Path, str::FromStr};

use percent_encoding::percent_decode_str;
use platform::config::{self, ConfigError};
use rustls::pki_types::CertificateDer;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

const NAME: &str = "DATABASE_URL";

/// The address of a database, and what its connections demand of the server.
#[derive(Clone)]
pub struct Address {
    pub(crate) config: Config,
    mode: Mode,
    pub(crate) roots: Roots,
}

/// The parameter `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Without TLS.
    Disable,
    /// With verified TLS, but on this machine without. Also `allow` and `prefer`, which leave the choice to whoever
    /// answers, and with it the password.
    Default,
    /// With verified TLS. Also `require`, by which libpq verifies nothing unless it has a root certificate.
    VerifyFull,
    /// With TLS and a certificate of any name.
    VerifyCa,
}

/// The certificates that a server's own must be issued by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    System,
    /// Those of the parameter `sslrootcert`, or else of the variable `PGSSLROOTCERT`, and no others.
    Only(Vec<CertificateDer<'static>>),
}

/// The protection of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// None is needed: the connection stays on this machine.
    Local,
    /// None, by request. The password is not sent in the clear.
    Unencrypted,
    /// TLS with a certificate of the host's name.
    Verified,
    /// TLS with a certificate of any name.
    AnyName,
}

impl Address {
    /// Reads `DATABASE_URL`, and `PGSSLROOTCERT` where the URL has no `sslrootcert`.
    ///
    /// # Errors
    /// When a variable is missing or unusable. The error does not hold the URL.
    pub fn from_env() -> Result<Self, ConfigError> {
        let mut address = Self::read(&config::required(NAME)?)?;
        if let (Roots::System, Some(path)) = (&address.roots, config::optional("PGSSLROOTCERT")) {
            address.roots = Roots::read(&path, "PGSSLROOTCERT")?;
        }
        address.checked()
    }

    /// Parses a URL or a key=value string; the latter with the driver's parameters alone.
    fn read(text: &str) -> Result<Self, ConfigError> {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let (base, query) = text.split_once('?').filter(|_| is_url).unwrap_or((text, ""));
        let own = |pair: &&str| matches!(pair.split('=').next(), Some("sslmode" | "sslrootcert"));
        let (ours, rest): (Vec<&str>, Vec<&str>) = query.split('&').filter(|pair| !pair.is_empty()).partition(own);
        let rest = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let config: Config = rest.parse().map_err(|_| invalid("a PostgreSQL connection URL"))?;
        let mut address = Self::from(config);
        for pair in ours {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| invalid("a URL in UTF-8"))?;
            if name == "sslmode" {
                address.mode = Mode::read(&value)?;
            } else {
                address.roots = Roots::read(&value, NAME)?;
            }
        }
        Ok(address)
    }

    fn checked(self) -> Result<Self, ConfigError> {
        if self.mode == Mode::VerifyCa && self.roots == Roots::System {
            // Anybody can have a certificate of a public authority.
            return Err(invalid("a URL that has sslrootcert besides sslmode=verify-ca"));
        }
        Ok(self)
    }

    /// Returns the protection that a connection to a host of this name or address needs.
    pub(crate) fn protection(&self, host: &Host) -> Protection {
        let is_local = match host {
            Host::Tcp(name) => is_loopback(name),
            #[cfg(unix)]
            Host::Unix(_) => return Protection::Local,
        };
        match self.mode {
            Mode::Disable | Mode::Default if is_local => Protection::Local,
            Mode::Disable => Protection::Unencrypted,
            Mode::Default | Mode::VerifyFull => Protection::Verified,
            Mode::VerifyCa => Protection::AnyName,
        }
    }
}

impl FromStr for Address {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::read(text)?.checked()
    }
}

/// A configuration as it is; its `sslmode` has only the driver's three values.
impl From<Config> for Address {
    fn from(config: Config) -> Self {
        let mode = match config.get_ssl_mode() {
            SslMode::Disable => Mode::Disable,
            SslMode::Require => Mode::VerifyFull,
            _ => Mode::Default,
        };
        Self { config, mode, roots: Roots::System }
    }
}

impl Mode {
    fn read(name: &str) -> Result<Self, ConfigError> {
        match name {
            "disable" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Default),
            "require" | "verify-full" => Ok(Self::VerifyFull),
            "verify-ca" => Ok(Self::VerifyCa),
            _ => Err(invalid("a URL whose sslmode is disable, allow, prefer, require, verify-ca or verify-full")),
        }
    }
}

impl Roots {
    /// Reads a PEM file; `variable` is where its path comes from.
    fn read(path: &str, variable: &'static str) -> Result<Self, ConfigError> {
        if path == "system" {
            return Ok(Self::System);
        }
        let certificates = rustls_native_certs::load_certs_from_paths(Some(Path::new(path)), None).certs;
        if certificates.is_empty() {
            let expected = if variable == NAME {
                "a URL whose sslrootcert is system or the path of a PEM file of certificates"
            } else {
                "system or the path of a PEM file of certificates"
            };
            return Err(ConfigError::Invalid { name: variable, expected });
        }
        Ok(Self::Only(certificates))
    }
}

fn invalid(expected: &'static str) -> ConfigError {
    ConfigError::Invalid { name: NAME, expected }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Address").field("mode", &self.mode).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protections(url: &str) -> Vec<Protection> {
        let address = Address::read(url).unwrap();
        address.config.get_hosts().iter().map(|host| address.protection(host)).collect()
    }

    #[test]
    fn tls_is_verified_unless_the_server_is_here_or_the_url_refuses_tls() {
        for (mode, here, away) in [
            ("", Protection::Local, Protection::Verified),
            ("?sslmode=disable", Protection::Local, Protection::Unencrypted),
            ("?sslmode=allow", Protection::Local, Protection::Verified),
            ("?sslmode=prefer", Protection::Local, Protection::Verified),
            ("?sslmode=require", Protection::Verified, Protection::Verified),
            ("?sslmode=verify%2Dfull", Protection::Verified, Protection::Verified),
            ("?sslmode=verify-ca", Protection::AnyName, Protection::AnyName),
            ("?connect_timeout=3&sslmode=disable", Protection::Local, Protection::Unencrypted),
        ] {
            for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
                assert_eq!(protections(&format!("postgres://u:p@{host}:1/d{mode}")), [here], "{host} {mode}");
            }
            for host in ["db.example.com", "10.0.0.7", "localhost.example.com", "[2001:db8::1]"] {
                assert_eq!(protections(&format!("postgresql://u:p@{host}/d{mode}")), [away], "{host} {mode}");
            }
        }
        assert_eq!(protections("postgres:///d?host=/run/postgresql&sslmode=require"), [Protection::Local]);
        assert_eq!(protections("postgres://u@localhost,db/d"), [Protection::Local, Protection::Verified]);
        assert_eq!(protections("host=db user=u sslmode=disable"), [Protection::Unencrypted]);
    }

    #[test]
    fn an_address_that_is_not_understood_is_refused_without_its_password() {
        for url in [
            "postgres://u:hush@db/d?sslmode=verify",
            "postgres://u:hush@db/d?sslmode",
            "postgres://u:hush@db/d?sslrootcert=/nonexistent.pem",
            "postgres://u:hush@db/d?sslmode=%FF",
            "postgres://u:hush@db/d?surprise=1",
            "mysql://u:hush@db/d",
        ] {
            let error = Address::read(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
        let address: Address = "postgres://u:hush@db/d?sslmode=verify-full&sslrootcert=system".parse().unwrap();
        assert!(!format!("{address:?}").contains("hush"));
        // Any certificate of a public authority would do.
        "postgres://u:hush@db/d?sslmode=verify-ca&sslrootcert=system".parse::<Address>().unwrap_err();
    }
}
