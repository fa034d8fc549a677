//! The connection to PostgreSQL: TLS, settings, and its life between invocations.

use std::{
    sync::{Arc, Once},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore};
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::{Client, Config, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    config::{self, ConfigError},
    log::Causes,
};

/// How long a connection may take to come up, and a kept one to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection, made when it is first needed and kept between invocations.
///
/// A function handles one request at a time per process, so one connection is all that it can use.
pub struct Database {
    config: Config,
    tls: MakeRustlsConnect,
    client: Mutex<Option<Arc<Client>>>,
}

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection could be made, or it did not answer in time.
    #[error("the database did not answer in {} s", PATIENCE.as_secs())]
    Silent,
    /// PostgreSQL or the connection to it reported an error.
    #[error("database error")]
    Postgres(#[from] tokio_postgres::Error),
}

impl DatabaseError {
    /// Whether the same work may succeed later. A missing table or column, a value that cannot be converted and a
    /// refused permission stay as they are; everything else is the weather.
    pub fn can_pass(&self) -> bool {
        let Self::Postgres(error) = self else { return true };
        match error.code() {
            // Classes by Appendix A of the PostgreSQL manual: 22 data exception, 42 syntax or access rule, 0A not
            // supported. Of class 3D and 3F, the database or schema is missing.
            Some(code) => !["22", "42", "0A", "3D", "3F"].iter().any(|class| code.code().starts_with(class)),
            // No SQLSTATE: either the connection broke, which passes, or a value could not be read, which does not.
            None => {
                error.is_closed()
                    || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
            }
        }
    }

    /// Whether the server ended a statement for taking too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::QUERY_CANCELED))
    }
}

impl Database {
    /// Reads `DATABASE_URL`: a `postgres://` URL or a key=value string. Connects to nothing yet.
    ///
    /// TLS is used when the server offers it (`sslmode=prefer`, the default) or demanded with `sslmode=require`;
    /// a certificate is always verified, against the system's roots and those in the PEM file named by
    /// `PGSSLROOTCERT`, if set.
    ///
    /// # Errors
    /// When a variable is missing or unusable. The error does not hold the URL.
    pub fn from_env(application: &str) -> Result<Self, ConfigError> {
        let mut config: Config = config::parsed("DATABASE_URL", "a PostgreSQL connection URL")?;
        // Dates become instants at midnight UTC, whatever the server's own zone is.
        let options = [config.get_options().unwrap_or_default(), "-c timezone=UTC"].join(" ");
        config
            .application_name(application)
            .connect_timeout(PATIENCE)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(30))
            .options(options);
        Ok(Self { config, tls: MakeRustlsConnect::new(tls_config()?), client: Mutex::new(None) })
    }

    /// The kept connection if it still answers, else a new one.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn client(&self) -> Result<Arc<Client>, DatabaseError> {
        let mut kept = self.client.lock().await;
        if let Some(client) = kept.take()
            // A function may sleep for hours between invocations, and a peer that went away meanwhile says nothing.
            && !client.is_closed()
            && matches!(timeout(PATIENCE, client.check_connection()).await, Ok(Ok(())))
        {
            return Ok(kept.insert(client).clone());
        }
        Ok(kept.insert(Arc::new(self.connect().await?)).clone())
    }

    /// A new connection, for the caller alone.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Result<Client, DatabaseError> {
        let connecting = self.config.connect(self.tls.clone());
        let (client, connection) = timeout(PATIENCE, connecting).await.map_err(|_| DatabaseError::Silent)??;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = %Causes(&error), "database connection lost");
            }
        });
        Ok(client)
    }

    /// Forgets the kept connection. After a query was given up in the middle, this ends it on the server too,
    /// where otherwise all its rows would still have to be read.
    pub async fn disconnect(&self) {
        self.client.lock().await.take();
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let client = self.client().await?;
        timeout(PATIENCE, client.simple_query("")).await.map_err(|_| DatabaseError::Silent)??;
        Ok(())
    }
}

/// An instant as the driver takes it.
pub fn instant(at: Timestamp) -> SystemTime {
    let since_epoch = at.as_duration();
    match since_epoch.is_negative() {
        false => SystemTime::UNIX_EPOCH + since_epoch.unsigned_abs(),
        true => SystemTime::UNIX_EPOCH - since_epoch.unsigned_abs(),
    }
}

/// TLS with the system's roots and those of `PGSSLROOTCERT`, by the process-wide crypto provider.
fn tls_config() -> Result<ClientConfig, ConfigError> {
    install_crypto();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = config::optional("PGSSLROOTCERT") {
        let invalid =
            ConfigError::Invalid { name: "PGSSLROOTCERT", expected: "the path of a PEM file of certificates" };
        let certificates = rustls_native_certs::load_certs_from_paths(Some(path.as_ref()), None).certs;
        if certificates.is_empty() {
            return Err(invalid);
        }
        roots.add_parsable_certificates(certificates);
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Makes aws-lc the crypto provider of every rustls user in the process, once.
pub(crate) fn install_crypto() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails only when one is installed already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Database").finish_non_exhaustive()
    }
}
