//! Transactions on a shared connection, with statement timeouts that end with them.

use std::{
    ops::Deref,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use tokio_postgres::Client;
use tracing::{Span, info_span};

use crate::DatabaseError;

/// A read-only transaction of one snapshot on a shared connection, in which the server ends each statement after a
/// limit. Dropping it ends the transaction, and with it the limit.
#[derive(Debug)]
pub struct LimitedReads<'a> {
    client: &'a Client,
    /// The span of the transaction, which closes with it.
    _span: Span,
}

impl<'a> LimitedReads<'a> {
    /// Begins the transaction. The client must be outside of any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(client: &'a Client, limit: Duration) -> Result<Self, DatabaseError> {
        // Made first: a caller that stops waiting for the answer must leave no transaction behind.
        let span = info_span!("read", otel.kind = "client", db.system.name = "postgresql");
        let limited = Self { client, _span: span };
        client
            .batch_execute(&format!(
                "begin isolation level repeatable read read only; {}",
                set_statement_timeout(limit)
            ))
            .await?;
        Ok(limited)
    }
}

impl Deref for LimitedReads<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}

impl Drop for LimitedReads<'_> {
    fn drop(&mut self) {
        roll_back(self.client);
    }
}

/// A transaction on a shared connection, in which the server ends each statement after a limit. Dropping it without a
/// commit undoes it.
#[derive(Debug)]
pub struct LimitedWrites<'a> {
    client: &'a Client,
    is_open: bool,
    /// The span of the transaction, which closes with it.
    _span: Span,
}

impl<'a> LimitedWrites<'a> {
    /// Begins the transaction, in which each statement sees what was committed before it. The client must be outside of
    /// any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(client: &'a Client, limit: Duration) -> Result<Self, DatabaseError> {
        let span = info_span!("write", otel.kind = "client", db.system.name = "postgresql");
        // Made first, as for reads.
        let limited = Self { client, is_open: true, _span: span };
        client.batch_execute(&format!("begin; {}", set_statement_timeout(limit))).await?;
        Ok(limited)
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// When the database did not confirm it: then nobody knows whether it was committed.
    pub async fn commit(mut self) -> Result<(), DatabaseError> {
        self.client.batch_execute("commit").await?;
        self.is_open = false;
        Ok(())
    }
}

impl Deref for LimitedWrites<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}

impl Drop for LimitedWrites<'_> {
    fn drop(&mut self) {
        if self.is_open {
            roll_back(self.client);
        }
    }
}

/// Sends the end of a transaction. The first poll sends the statement; nothing waits for its answer. Later statements of
/// the connection follow it.
fn roll_back(client: &Client) {
    let _ = pin!(client.batch_execute("rollback")).poll(&mut Context::from_waker(Waker::noop()));
}

/// Returns the statement that limits the statements of the current transaction.
pub fn set_statement_timeout(limit: Duration) -> String {
    format!("set local statement_timeout = {}", milliseconds(limit))
}

/// Returns a limit as PostgreSQL takes it, where 0 would be none.
pub fn milliseconds(limit: Duration) -> u128 {
    limit.as_millis().clamp(1, i32::MAX.unsigned_abs().into())
}
