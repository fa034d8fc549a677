//! One connection: TLS, settings, keepalives, and the task that drives it.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::{Arc, OnceLock},
    time::Duration,
};

use platform::{
    config::{self, ConfigError},
    log::Causes,
    tls,
};
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    Client, Config, SimpleQueryMessage,
    config::{Host, TargetSessionAttrs},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    DatabaseError,
    coalesce::{Coalesce, CoalesceTls, Switch},
};

/// The time in which a connection must be made, or a kept one must answer.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The idle time after which a peer is probed, and the time in which it has to acknowledge what is sent.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// The time between probes of a silent peer. The system's default is more than a minute: a worker that waits for rows
/// of a lost server would notice after a third of its time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Makes connections to one database. Cheap to clone, for tasks that outlive a borrow of the database.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    more_roots: Vec<CertificateDer<'static>>,
    /// Made on first use.
    tls: Arc<OnceLock<MakeRustlsConnect>>,
}

/// A connection. Dropping it closes it at once, and the server stops what it was doing for it.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    driver: Driver,
}

/// The task that reads and writes for a client. Without the abort it would read a dropped client's answers to their
/// end.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Connection {
    /// Closes an idle connection as the protocol prescribes.
    pub async fn close(self) {
        let Self { client, mut driver } = self;
        drop(client);
        let _ = timeout(CONNECT_TIMEOUT, &mut driver.0).await;
    }
}

impl Connector {
    /// Adds the settings of every connection to a configuration.
    ///
    /// # Errors
    /// When `PGSSLROOTCERT` is unusable.
    pub(crate) fn new(mut config: Config, application: &str) -> Result<Self, ConfigError> {
        // Dates become instants at midnight UTC, whatever the server's own zone is. A row-level policy is an error
        // where it would hide rows.
        let options = [config.get_options().unwrap_or_default(), "-c timezone=UTC -c row_security=off"].join(" ");
        config
            .application_name(application)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(PEER_TIMEOUT)
            .tcp_user_timeout(PEER_TIMEOUT)
            .options(options);
        Ok(Self { config, more_roots: more_roots()?, tls: Arc::default() })
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Result<Connection, DatabaseError> {
        let tls = self.tls.get_or_init(|| MakeRustlsConnect::new(tls::client_config(&self.more_roots)));
        let connecting = async {
            let connection = match self.config.get_hosts() {
                [Host::Tcp(host)] if self.config.get_hostaddrs().is_empty() => {
                    self.connect_to(host, tls.clone()).await?
                }
                // With sockets and several hosts the driver does more than to connect. Their messages are not joined.
                _ => {
                    let (client, driver) = self.config.connect(tls.clone()).await?;
                    drive(client, driver)
                }
            };
            self.check_session(&connection).await?;
            Ok(connection)
        };
        timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| DatabaseError::NoAnswer)?
    }

    /// Connects to one host as the driver would, with the stream of [`Coalesce`] in between.
    async fn connect_to(&self, host: &str, mut tls: MakeRustlsConnect) -> Result<Connection, DatabaseError> {
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        let keepalive =
            TcpKeepalive::new().with_time(self.config.get_keepalives_idle()).with_interval(KEEPALIVE_INTERVAL);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(self.config.get_tcp_user_timeout().copied())?;

        let switch = Switch::default();
        let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, host);
        let tls = CoalesceTls(tls, switch.clone());
        let (client, driver) = self.config.connect_raw(Coalesce::new(stream, switch.clone()), tls).await?;
        switch.on();
        Ok(drive(client, driver))
    }

    /// Checks `target_session_attrs`, which the driver itself looks at only where it chooses between hosts. Without it,
    /// a standby is refused: its rows may be behind, and nothing in them tells.
    async fn check_session(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let refused = |problem| Err(io::Error::new(io::ErrorKind::PermissionDenied, problem).into());
        let session = "select current_setting('transaction_read_only') = 'on', pg_is_in_recovery()";
        let answer = connection.simple_query(session).await?;
        let is_true = |column| {
            let mut rows = answer.iter();
            rows.any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(column) == Some("t")))
        };
        match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite if is_true(0) => refused("the database does not allow writes"),
            TargetSessionAttrs::ReadOnly if !is_true(0) => refused("the database is not read-only"),
            TargetSessionAttrs::Any if is_true(1) => Err(DatabaseError::Standby),
            _ => Ok(()),
        }
    }
}

/// Spawns the task that drives a connection.
fn drive<S, T>(client: Client, driver: tokio_postgres::Connection<S, T>) -> Connection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let driver = tokio::spawn(async move {
        if let Err(error) = driver.await {
            let error = DatabaseError::from(error);
            tracing::warn!(error = %Causes(&error), "database connection lost");
        }
    });
    Connection { client, driver: Driver(driver) }
}

/// Reads the certificates in the PEM file named by `PGSSLROOTCERT`, if that is set.
fn more_roots() -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let Some(path) = config::optional("PGSSLROOTCERT") else { return Ok(Vec::new()) };
    let certificates = rustls_native_certs::load_certs_from_paths(Some(path.as_ref()), None).certs;
    if certificates.is_empty() {
        return Err(ConfigError::Invalid { name: "PGSSLROOTCERT", expected: "the path of a PEM file of certificates" });
    }
    Ok(certificates)
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
