//! The user and password of a database, kept in a secret that may be rotated.

use std::{fmt, sync::Arc};

use platform::secret::{Secret, SecretError};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_postgres::Config;

/// A user and a password. The members are those of AWS's own secrets of databases, whose others are passed over: the
/// address says where the database is.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Login {
    username: String,
    password: String,
}

impl Login {
    /// Puts it in the place of the address's own.
    pub(crate) fn apply(&self, config: &mut Config) {
        config.user(&self.username).password(&self.password);
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The login that a secret holds, read once and again when the database refuses it.
#[derive(Debug)]
pub(crate) struct Logins {
    secret: Secret,
    /// Locked while it is read, so that connections which are made at once read it once.
    known: Mutex<Option<Arc<Login>>>,
}

impl Logins {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret, known: Mutex::default() }
    }

    /// Returns the login, read if it is not known.
    pub(crate) async fn current(&self) -> Result<Arc<Login>, SecretError> {
        let mut known = self.known.lock().await;
        if let Some(login) = &*known {
            return Ok(login.clone());
        }
        let login: Arc<Login> = Arc::new(self.secret.current().await?);
        *known = Some(login.clone());
        Ok(login)
    }

    /// Returns the logins to try after the database refused one: the current one if it is another, and the next one,
    /// which counts from the moment at which a rotation gave it to the database.
    pub(crate) async fn others(&self, refused: &Login) -> Result<Vec<Arc<Login>>, SecretError> {
        let current = self.secret.current().await?;
        let pending = self.secret.pending().await?;
        Ok([Some(current), pending].into_iter().flatten().filter(|login| login != refused).map(Arc::new).collect())
    }

    /// Keeps a login that the database accepted.
    pub(crate) async fn keep(&self, login: Arc<Login>) {
        *self.known.lock().await = Some(login);
    }
}
