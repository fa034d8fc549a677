//! The connection to PostgreSQL: TLS, settings, and its life between invocations.

mod coalesce;

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{Client, Config, config::Host, error::SqlState, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::coalesce::{Coalesce, CoalesceTls, Switch};
use platform::{
    config::{self, ConfigError},
    log::Causes,
    tls,
};

/// How long a connection may take to come up, and a kept one to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a silent peer is asked whether it is there. The system's own interval is more than a minute: a worker that
/// waits for rows of a server that is gone would notice after a third of its time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// One connection, made when it is first needed and kept between invocations.
///
/// A function handles one request at a time per process, so one connection is all that has to be kept.
#[derive(Debug)]
pub struct Database {
    connector: Connector,
    kept: Mutex<Option<Arc<Connection>>>,
}

/// Makes connections.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    more_roots: Vec<CertificateDer<'static>>,
    /// Made when it is first needed.
    tls: Arc<OnceLock<MakeRustlsConnect>>,
}

/// A connection. When it is dropped it is gone at once, also on the server, with whatever it was doing.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    driver: Driver,
}

/// The task that reads and writes for a client. By itself it would read to its end what nobody wants any more.
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
    /// Ends an idle connection in the way that the server expects.
    pub async fn close(self) {
        let Self { client, mut driver } = self;
        drop(client);
        let _ = timeout(PATIENCE, &mut driver.0).await;
    }
}

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection could be made, or it did not answer in time.
    #[error("the database did not answer in {} s", PATIENCE.as_secs())]
    Silent,
    /// No connection could be made.
    #[error("could not connect to the database")]
    Connect(#[from] std::io::Error),
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

    /// What the server says against a value that it was given, which it will say every time: the value is too large, or of
    /// no form that a column keeps. `None` of every other error.
    pub fn refused_value(&self) -> Option<&str> {
        let Self::Postgres(error) = self else { return None };
        let error = error.as_db_error()?;
        // 22 data exception, 54 program limit exceeded. The message alone: details may quote the value.
        let code = error.code().code();
        (code.starts_with("22") || code.starts_with("54")).then(|| error.message())
    }

    /// Whether something was asked of an object that its kind cannot do.
    pub fn is_wrong_object(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::WRONG_OBJECT_TYPE))
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
        Self::new(config::parsed("DATABASE_URL", "a PostgreSQL connection URL")?, application)
    }

    /// The database of a configuration, with what every connection of ours has; see [`from_env`](Self::from_env).
    ///
    /// # Errors
    /// When `PGSSLROOTCERT` is unusable.
    pub fn new(mut config: Config, application: &str) -> Result<Self, ConfigError> {
        // Dates become instants at midnight UTC, whatever the server's own zone is.
        let options = [config.get_options().unwrap_or_default(), "-c timezone=UTC"].join(" ");
        config
            .application_name(application)
            .connect_timeout(PATIENCE)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(30))
            .options(options);
        let connector = Connector { config, more_roots: more_roots()?, tls: Arc::default() };
        Ok(Self { connector, kept: Mutex::new(None) })
    }

    /// The kept connection if it still answers, else a new one, which is kept from then on.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn client(&self) -> Result<Arc<Connection>, DatabaseError> {
        let mut kept = self.kept.lock().await;
        let connection = self.checked(kept.take()).await?;
        Ok(kept.insert(connection).clone())
    }

    /// The same for the caller alone, until [`keep`](Self::keep) gives it back. If it is dropped instead, as where
    /// something failed half-way, the next caller gets a new one.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn take(&self) -> Result<Arc<Connection>, DatabaseError> {
        let kept = self.kept.lock().await.take();
        self.checked(kept).await
    }

    /// Keeps a connection for the next caller. It must be idle and outside of any transaction.
    pub async fn keep(&self, connection: Arc<Connection>) {
        *self.kept.lock().await = Some(connection);
    }

    /// A new connection, for the caller alone.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Result<Connection, DatabaseError> {
        self.connector.connect().await
    }

    /// What makes connections to this database, for tasks of their own.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
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

    async fn checked(&self, kept: Option<Arc<Connection>>) -> Result<Arc<Connection>, DatabaseError> {
        if let Some(connection) = kept
            // A function may sleep for hours between invocations, and a peer that went away meanwhile says nothing.
            && !connection.is_closed()
            && matches!(timeout(PATIENCE, connection.check_connection()).await, Ok(Ok(())))
        {
            return Ok(connection);
        }
        self.connect().await.map(Arc::new)
    }
}

impl Connector {
    /// A new connection.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Result<Connection, DatabaseError> {
        let tls = self.tls.get_or_init(|| MakeRustlsConnect::new(tls::client_config(&self.more_roots)));
        let connecting = async {
            match self.config.get_hosts() {
                [Host::Tcp(host)] if self.config.get_hostaddrs().is_empty() => self.connect_to(host, tls.clone()).await,
                // What the driver does with sockets and several hosts is more than to connect. Its messages stay single.
                _ => {
                    let (client, driver) = self.config.connect(tls.clone()).await?;
                    Ok(drive(client, driver))
                }
            }
        };
        timeout(PATIENCE, connecting).await.map_err(|_| DatabaseError::Silent)?
    }

    /// Connects to one host, in the driver's own way but with the stream of [`coalesce`] in between.
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
}

/// Lets a connection's two halves work.
fn drive<S, T>(client: Client, driver: tokio_postgres::Connection<S, T>) -> Connection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let driver = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::warn!(error = %Causes(&error), "database connection lost");
        }
    });
    Connection { client, driver: Driver(driver) }
}

/// An instant as the driver takes it.
pub fn instant(at: Timestamp) -> SystemTime {
    let since_epoch = at.as_duration();
    match since_epoch.is_negative() {
        false => SystemTime::UNIX_EPOCH + since_epoch.unsigned_abs(),
        true => SystemTime::UNIX_EPOCH - since_epoch.unsigned_abs(),
    }
}

/// The certificates in the PEM file named by `PGSSLROOTCERT`, if that is set.
fn more_roots() -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let Some(path) = config::optional("PGSSLROOTCERT") else { return Ok(Vec::new()) };
    let certificates = rustls_native_certs::load_certs_from_paths(Some(path.as_ref()), None).certs;
    match certificates.is_empty() {
        true => Err(ConfigError::Invalid { name: "PGSSLROOTCERT", expected: "the path of a PEM file of certificates" }),
        false => Ok(certificates),
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
