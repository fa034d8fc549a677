//! The database of a function, and the connection that is kept between its invocations.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use platform::{
    config::{self, ConfigError},
    secret::Secret,
};
use tokio::time::timeout;

use crate::{
    Address, DatabaseError,
    connection::{CONNECT_TIMEOUT, Connection, Connector},
    login::Logins,
    schema,
};

/// A database, with one connection that is made on first use and kept between invocations.
///
/// A function handles one request at a time per process, so one kept connection is enough.
#[derive(Debug)]
pub struct Database {
    connector: Connector,
    kept: Kept,
}

/// The place of the kept connection.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Option<Arc<Connection>>>>);

impl Kept {
    fn take(&self) -> Option<Arc<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, connection: Arc<Connection>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}

/// The kept connection, lent to one user. Dropping it gives it back; while it is marked as busy, dropping it closes it.
#[derive(Debug)]
pub struct Lease {
    connection: Arc<Connection>,
    kept: Kept,
    is_busy: bool,
}

impl Lease {
    /// Marks the connection as busy, before a transaction begins.
    pub const fn mark_busy(&mut self) {
        self.is_busy = true;
    }

    /// Marks the connection as idle, after its transaction ended.
    pub const fn mark_idle(&mut self) {
        self.is_busy = false;
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_busy {
            self.kept.put(self.connection.clone());
        }
    }
}

impl Database {
    /// Reads `DATABASE_URL`: a `postgres://` URL or a key=value string. Connects to nothing yet.
    ///
    /// Connections use TLS and verify the server's certificate and name, unless the host is this machine or the URL has
    /// `sslmode=disable`. The URL may have libpq's `sslmode`, of which `verify-ca` accepts any name, `sslrootcert` and
    /// `channel_binding`; without `sslrootcert`, the variable `PGSSLROOTCERT` counts. Without TLS no password is sent in
    /// the clear, except on this machine.
    ///
    /// With `DATABASE_SECRET`, the name or ARN of a secret in AWS Secrets Manager, the user and the password are its
    /// members `username` and `password`. They are read with the first connection, and again when the database refuses
    /// them.
    ///
    /// # Errors
    /// When a variable is missing or unusable. The error does not hold the URL.
    pub fn from_env(application: &str) -> Result<Self, ConfigError> {
        let secret = config::optional("DATABASE_SECRET").map(Secret::new).transpose()?;
        Ok(Self::with(Address::from_env()?, secret.map(Logins::new), application))
    }

    /// Makes the database of an address; see [`from_env`](Self::from_env).
    pub fn new(address: impl Into<Address>, application: &str) -> Self {
        Self::with(address.into(), None, application)
    }

    fn with(address: Address, logins: Option<Logins>, application: &str) -> Self {
        Self { connector: Connector::new(address, logins, application), kept: Kept::default() }
    }

    /// Returns the kept connection if it still answers, else a new one, which is then kept.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn client(&self) -> Result<Arc<Connection>, DatabaseError> {
        let connection = self.checked(self.kept.take()).await?;
        self.kept.put(connection.clone());
        Ok(connection)
    }

    /// Lends the kept connection, or a new one, to one user.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn take(&self) -> Result<Lease, DatabaseError> {
        let connection = self.checked(self.kept.take()).await?;
        Ok(Lease { connection, kept: self.kept.clone(), is_busy: false })
    }

    /// Makes a connection that is not kept.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Result<Connection, DatabaseError> {
        self.connector.connect().await
    }

    /// Returns a connector to this database.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Checks that the database answers and has the schema of this version, by a connection that is not kept.
    ///
    /// # Errors
    /// When it does not; [`DatabaseError::Outdated`] when migrations are missing.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        // Its session is looked at as part of connecting.
        let connection = self.connect().await?;
        let checked = schema::check(&connection).await;
        connection.close().await;
        checked
    }

    async fn checked(&self, kept: Option<Arc<Connection>>) -> Result<Arc<Connection>, DatabaseError> {
        if let Some(connection) = kept
            // A function may sleep for hours between invocations, and a peer that is lost meanwhile sends nothing.
            && !connection.is_closed()
            && matches!(timeout(CONNECT_TIMEOUT, connection.check_connection()).await, Ok(Ok(())))
        {
            return Ok(connection);
        }
        self.connect().await.map(Arc::new)
    }
}
