//! One connection: TLS, settings, keepalives, and the task that drives it.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::{Arc, OnceLock},
    time::Duration,
};

use platform::{log::Causes, tls};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    Client, CopyOutStream, NoTls, SimpleQueryMessage,
    config::{Host, SslMode, TargetSessionAttrs},
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{Instrument as _, info_span};

use crate::{
    DatabaseError,
    address::{Address, Protection, Roots},
    coalesce::{Coalesce, CoalesceTls, Switch},
    guard::Guard,
    login::{Login, Logins},
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
    address: Address,
    /// The login, where it is not the address's own.
    logins: Option<Arc<Logins>>,
    /// For verified names and for any name, each made on first use.
    tls: Arc<[OnceLock<MakeRustlsConnect>; 2]>,
}

/// A host to connect to.
#[derive(Debug)]
struct Target {
    host: Host,
    /// The address or name to call; that of the host unless the configuration has another one.
    call: String,
    port: u16,
    protection: Protection,
}

/// A connection. Dropping it closes it at once, and the server stops what it was doing for it.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    driver: Driver,
    joining: Switch,
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
        let Self { client, mut driver, .. } = self;
        drop(client);
        let _ = timeout(CONNECT_TIMEOUT, &mut driver.0).await;
    }

    /// Begins a `COPY … TO STDOUT`, and joins its messages, since the driver's cost is per message. From then on the
    /// connection joins those of each `COPY`, so it may no longer be read by the driver's own `BinaryCopyOutStream`, which
    /// passes over all rows of a message but the first.
    ///
    /// # Errors
    /// When the server refuses the statement or does not answer.
    pub async fn copy_out_joined(&self, statement: &str) -> Result<CopyOutStream, DatabaseError> {
        self.joining.join();
        Ok(self.client.copy_out(statement).await?)
    }
}

impl Connector {
    /// Adds the settings of every connection to an address.
    pub(crate) fn new(mut address: Address, logins: Option<Logins>, application: &str) -> Self {
        let config = &mut address.config;
        // Dates become instants at midnight UTC, whatever the server's own zone is. A row-level policy is an error
        // where it would hide rows.
        let options = [config.get_options().unwrap_or_default(), "-c timezone=UTC -c row_security=off"].join(" ");
        config
            .application_name(application)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(PEER_TIMEOUT)
            .tcp_user_timeout(PEER_TIMEOUT)
            .options(options);
        Self { address, logins: logins.map(Arc::new), tls: Arc::default() }
    }

    /// Makes a connection to the first host that accepts it. When the database refuses a login that is kept in a secret,
    /// the secret is read again, since it may have been rotated.
    ///
    /// # Errors
    /// When the database cannot be reached, no host is as the address demands, or the secret cannot be read.
    pub async fn connect(&self) -> Result<Connection, DatabaseError> {
        let span = info_span!("connect", otel.kind = "client", db.system.name = "postgresql");
        self.log_in().instrument(span).await
    }

    async fn log_in(&self) -> Result<Connection, DatabaseError> {
        let Some(logins) = &self.logins else { return self.connect_as(None).await };
        let login = logins.current().await?;
        let refused = match self.connect_as(Some(&login)).await {
            Err(error) if error.is_refused_login() => error,
            other => return other,
        };
        for other in logins.others(&login).await? {
            if let Ok(connection) = self.connect_as(Some(&other)).await {
                tracing::info!("the database's login was rotated");
                logins.keep(other).await;
                return Ok(connection);
            }
        }
        Err(refused)
    }

    async fn connect_as(&self, login: Option<&Login>) -> Result<Connection, DatabaseError> {
        let targets = self.targets();
        // A host that does not answer leaves time for the others.
        let share = CONNECT_TIMEOUT / u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
        let mut failed = DatabaseError::from(io::Error::other("the address has no host"));
        for target in targets {
            let connecting = async {
                let connection = self.connect_to(&target, login).await?;
                self.check_session(&connection).await?;
                Ok(connection)
            };
            match timeout(share, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed = error,
                Err(_) => failed = DatabaseError::NoAnswer,
            }
        }
        Err(failed)
    }

    /// Returns the hosts of the address, in its order.
    fn targets(&self) -> Vec<Target> {
        let Address { config, .. } = &self.address;
        let calls = config.get_hostaddrs();
        let named = config.get_hosts().iter().cloned();
        // An address without a name is the name that its certificate must have.
        let unnamed = calls.iter().skip(named.len()).map(|call| Host::Tcp(call.to_string()));
        let target = |(index, host): (usize, Host)| {
            let call = calls.get(index).map(ToString::to_string);
            let call = call.unwrap_or_else(|| if let Host::Tcp(name) = &host { name.clone() } else { String::new() });
            let port = config.get_ports().get(index).or(config.get_ports().first()).copied().unwrap_or(5432);
            Target { protection: self.address.protection(&host), host, call, port }
        };
        named.chain(unnamed).enumerate().map(target).collect()
    }

    async fn connect_to(&self, target: &Target, login: Option<&Login>) -> Result<Connection, DatabaseError> {
        let name = match &target.host {
            Host::Tcp(name) => name,
            #[cfg(unix)]
            Host::Unix(folder) => {
                let stream = UnixStream::connect(folder.join(format!(".s.PGSQL.{}", target.port))).await?;
                return self.speak(stream, "localhost", target.protection, login).await;
            }
        };
        let stream = TcpStream::connect((target.call.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        let config = &self.address.config;
        let keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle()).with_interval(KEEPALIVE_INTERVAL);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
        self.speak(stream, name, target.protection, login).await
    }

    /// Begins the protocol on a stream as the driver would, with [`Guard`] and [`Coalesce`] in between.
    async fn speak<S>(
        &self,
        stream: S,
        name: &str,
        protection: Protection,
        login: Option<&Login>,
    ) -> Result<Connection, DatabaseError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match protection {
            Protection::Local => self.begin(SslMode::Disable, Guard::passing(stream), NoTls, login).await,
            Protection::Unencrypted => self.begin(SslMode::Disable, Guard::watching(stream), NoTls, login).await,
            Protection::Verified | Protection::AnyName => {
                let Ok(tls) = MakeTlsConnect::<Guard<S>>::make_tls_connect(&mut self.tls(protection)?, name);
                self.begin(SslMode::Require, Guard::passing(stream), tls, login).await
            }
        }
    }

    async fn begin<S, T>(
        &self,
        mode: SslMode,
        stream: Guard<S>,
        tls: T,
        login: Option<&Login>,
    ) -> Result<Connection, DatabaseError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: TlsConnect<Guard<S>> + Send,
        T::Stream: Send + 'static,
        T::Future: Send + 'static,
    {
        let joining = Switch::default();
        let mut config = self.address.config.clone();
        config.ssl_mode(mode);
        if let Some(login) = login {
            login.apply(&mut config);
        }
        let tls = CoalesceTls(tls, joining.clone());
        let (client, driver) = config.connect_raw(Coalesce::new(stream, joining.clone()), tls).await?;
        joining.separate();
        Ok(Connection { client, driver: drive(driver), joining })
    }

    /// Returns TLS for a protection.
    fn tls(&self, protection: Protection) -> Result<MakeRustlsConnect, DatabaseError> {
        let roots = match &self.address.roots {
            Roots::System => None,
            Roots::Only(roots) => Some(roots.as_slice()),
        };
        let [verified, any_name] = &*self.tls;
        if protection != Protection::AnyName {
            return Ok(verified.get_or_init(|| MakeRustlsConnect::new(tls::client_config(roots))).clone());
        }
        if let Some(made) = any_name.get() {
            return Ok(made.clone());
        }
        let config = tls::client_config_for_any_name(roots.unwrap_or_default()).map_err(io::Error::other)?;
        Ok(any_name.get_or_init(|| MakeRustlsConnect::new(config)).clone())
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
        match self.address.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite if is_true(0) => refused("the database does not allow writes"),
            TargetSessionAttrs::ReadOnly if !is_true(0) => refused("the database is not read-only"),
            TargetSessionAttrs::Any if is_true(1) => Err(DatabaseError::Standby),
            _ => Ok(()),
        }
    }
}

/// Spawns the task that drives a connection.
fn drive<S, T>(driver: tokio_postgres::Connection<S, T>) -> Driver
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Driver(tokio::spawn(async move {
        if let Err(error) = driver.await {
            let error = DatabaseError::from(error);
            tracing::warn!(error = %Causes(&error), "database connection lost");
        }
    }))
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
