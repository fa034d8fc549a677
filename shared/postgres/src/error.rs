//! Errors of the database, without the rows that PostgreSQL quotes in some of them.

use std::{error::Error, fmt};

use platform::secret::SecretError;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::{connection::CONNECT_TIMEOUT, schema::LAST_MIGRATION};

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection came up in time, or a kept one did not answer.
    #[error("the database did not answer in {} s", CONNECT_TIMEOUT.as_secs())]
    NoAnswer,
    /// The server is a standby, which may lack the latest rows.
    #[error(
        "the database is a standby, whose rows may be behind; use the primary, name all hosts with \
         target_session_attrs=read-write, or accept a standby's figures with target_session_attrs=read-only"
    )]
    Standby,
    /// The database lacks migrations that this version needs.
    #[error("the database has migration {version}, and this version needs {LAST_MIGRATION}; run the migrations")]
    Outdated {
        /// The number of the last migration that it has; 0 if it has none.
        version: i32,
    },
    /// No connection could be made.
    #[error("could not connect to the database")]
    Connect(#[from] std::io::Error),
    /// The secret with the database's user and password could not be read.
    #[error("could not log in to the database")]
    Secret(#[from] SecretError),
    /// PostgreSQL reported an error.
    #[error("database error")]
    Server(#[source] Box<ServerError>),
    /// The driver reported an error: the connection broke, or a value has another type than expected.
    #[error("database error")]
    Driver(#[source] tokio_postgres::Error),
}

/// An error that PostgreSQL reported.
///
/// The detail is left out: it quotes rows and keys, which may be personal data and must not reach a log. The server's
/// own log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    severity: String,
    code: SqlState,
    message: String,
    hint: Option<String>,
    table: Option<String>,
    column: Option<String>,
    constraint: Option<String>,
    ends_session: bool,
}

impl DatabaseError {
    /// Finds the server's error among the causes of another crate's error, which would show the detail.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<DbError>() {
                return Some(Self::Server(Box::new(error.into())));
            }
            cause = error.source();
        }
        None
    }

    /// Reports whether the same work may succeed later. A missing table or column, a value that cannot be converted and
    /// a refused permission are permanent; everything else is transient.
    pub fn is_transient(&self) -> bool {
        match self {
            // A failover makes the standby the primary.
            // A secret that cannot be read is mended without the job's help, as a server is.
            Self::NoAnswer | Self::Standby | Self::Outdated { .. } | Self::Connect(_) | Self::Secret(_) => true,
            // Classes by Appendix A of the PostgreSQL manual: 22 data exception, 42 syntax or access rule, 0A not
            // supported. Of class 3D and 3F, the database or schema is missing.
            Self::Server(error) => {
                !["22", "42", "0A", "3D", "3F"].iter().any(|class| error.code.code().starts_with(class))
            }
            // A broken connection is transient, a value that could not be read is not.
            Self::Driver(error) => {
                error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>())
            }
        }
    }

    /// Returns the server's message about a value that it will always refuse: the value is too large, or of no form
    /// that the column accepts. `None` of every other error.
    pub fn refused_value(&self) -> Option<&str> {
        let Self::Server(error) = self else { return None };
        // 22 data exception, 54 program limit exceeded.
        let code = error.code.code();
        (code.starts_with("22") || code.starts_with("54")).then_some(error.message.as_str())
    }

    /// Returns the SQLSTATE of an error that the server reported.
    pub fn code(&self) -> Option<&SqlState> {
        if let Self::Server(error) = self { Some(&error.code) } else { None }
    }

    /// Returns the name of the constraint that refused a row.
    pub fn constraint(&self) -> Option<&str> {
        if let Self::Server(error) = self { error.constraint.as_deref() } else { None }
    }

    /// Returns the name of the table that the server's error is about.
    pub fn table(&self) -> Option<&str> {
        if let Self::Server(error) = self { error.table.as_deref() } else { None }
    }

    /// Returns the name of the column that the server's error is about.
    pub fn column(&self) -> Option<&str> {
        if let Self::Server(error) = self { error.column.as_deref() } else { None }
    }

    /// Reports whether the server ended the session with the error.
    pub fn ends_session(&self) -> bool {
        if let Self::Server(error) = self { error.ends_session } else { false }
    }

    /// Reports whether the object does not support the operation.
    pub fn is_wrong_object(&self) -> bool {
        self.code() == Some(&SqlState::WRONG_OBJECT_TYPE)
    }

    /// Reports whether a right is missing, or a policy would hide rows.
    pub fn is_refused_access(&self) -> bool {
        self.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
    }

    /// Reports whether the server refused the user or the password.
    pub(crate) fn is_refused_login(&self) -> bool {
        matches!(self.code(), Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
    }

    /// Reports whether the server ended a statement at its timeout.
    pub fn is_timeout(&self) -> bool {
        self.code() == Some(&SqlState::QUERY_CANCELED)
    }

    /// Reports whether the statement was refused because an earlier one of the transaction had failed. The earlier
    /// error is the cause.
    pub fn is_consequence(&self) -> bool {
        self.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::find(&error).unwrap_or(Self::Driver(error))
    }
}

impl From<&DbError> for ServerError {
    fn from(error: &DbError) -> Self {
        Self {
            severity: error.severity().to_owned(),
            code: error.code().clone(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            table: error.table().map(str::to_owned),
            column: error.column().map(str::to_owned),
            constraint: error.constraint().map(str::to_owned),
            ends_session: matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (SQLSTATE {})", self.severity, self.message, self.code.code())?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str) -> DatabaseError {
        DatabaseError::Server(Box::new(ServerError {
            severity: "ERROR".to_owned(),
            code: SqlState::from_code(code),
            message: "a message".to_owned(),
            hint: None,
            table: None,
            column: None,
            constraint: None,
            ends_session: false,
        }))
    }

    #[test]
    fn permanent_errors_are_known_by_their_class() {
        for (code, transient) in [
            ("22003", false),
            ("42P01", false),
            ("0A000", false),
            ("3D000", false),
            ("3F000", false),
            ("57014", true),
            ("40001", true),
            ("53300", true),
            ("25P02", true),
        ] {
            assert_eq!(error(code).is_transient(), transient, "{code}");
        }
        assert!(DatabaseError::NoAnswer.is_transient());
        assert!(error("25P02").is_consequence() && !error("57014").is_consequence());
        assert_eq!(error("22003").refused_value(), Some("a message"));
        assert_eq!(error("23505").refused_value(), None);
    }
}
