//! TLS of connections that the AWS SDK does not make: to the database, and to the issuer of tokens.
//!
//! The system's root certificates are read at the first connection: these are hundreds of files, and reading them takes
//! longer than the rest of a function's start.

use std::sync::{LazyLock, Once};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

static SYSTEM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Returns a client configuration that trusts the system's root certificates and `more`. Uses the crypto provider of
/// the process.
pub fn client_config(more: &[CertificateDer<'static>]) -> ClientConfig {
    install_crypto();
    let mut roots = SYSTEM_ROOTS.clone();
    roots.add_parsable_certificates(more.iter().cloned());
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// Installs aws-lc as the crypto provider of the process, unless one is installed.
pub fn install_crypto() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails only when a provider is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}
