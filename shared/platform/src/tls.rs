//! TLS of connections that the AWS SDK does not make: to the database, and to the issuer of tokens.
//!
//! The system's root certificates are read at the first connection: these are hundreds of files, and reading them takes
//! longer than the rest of a function's start.

use std::sync::{Arc, LazyLock, Once};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

static SYSTEM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Returns a client configuration that trusts these root certificates alone, or the system's. Uses the crypto provider
/// of the process.
pub fn client_config(roots: Option<&[CertificateDer<'static>]>) -> ClientConfig {
    install_crypto();
    let roots = roots.map_or_else(|| SYSTEM_ROOTS.clone(), store);
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// Returns a client configuration that trusts every certificate which these root certificates issued, whatever its
/// name.
///
/// # Errors
/// When there is no usable root certificate.
pub fn client_config_for_any_name(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
    install_crypto();
    let verifier = WebPkiServerVerifier::builder(Arc::new(store(roots))).build();
    let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(AnyName(verifier)));
    Ok(config.with_no_client_auth())
}

fn store(certificates: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    roots
}

/// Verifies all of a certificate but its name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The issuer and the dates are verified before the name.
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Installs aws-lc as the crypto provider of the process, unless one is installed.
pub fn install_crypto() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails only when a provider is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}
