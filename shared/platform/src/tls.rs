//! TLS for what is not the AWS SDK: the database, and the issuer of tokens.
//!
//! The system's roots are hundreds of files. Reading them takes longer than all else of a function's start, so that waits
//! for the first connection.

use std::sync::{LazyLock, Once};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

static SYSTEM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// A client that verifies certificates against the system's roots and these, by the process-wide crypto provider.
pub fn client_config(more: &[CertificateDer<'static>]) -> ClientConfig {
    install_crypto();
    let mut roots = SYSTEM_ROOTS.clone();
    roots.add_parsable_certificates(more.iter().cloned());
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// Makes aws-lc the crypto provider of every rustls user in the process, once.
pub fn install_crypto() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails only when one is installed already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}
