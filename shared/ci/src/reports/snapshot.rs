//! The transaction that a report reads in.

use std::ops::Deref;

use futures_util::FutureExt as _;
use tokio_postgres::Client;

use super::ReportError;

/// The timeout of one statement, in milliseconds: less than that of the function that asks.
const STATEMENT_TIMEOUT_MS: u32 = 8_000;

/// A read-only transaction with a statement timeout of its own. All its statements see the same rows, and the timeout
/// ends with it: the kept connection serves other requests with other limits.
///
/// A connection has one transaction at a time, so two reports must not share a connection concurrently.
pub(super) struct Snapshot<'a> {
    client: &'a Client,
}

impl<'a> Snapshot<'a> {
    pub(super) async fn begin(client: &'a Client) -> Result<Self, ReportError> {
        // Before the first await: a caller that gives up meanwhile leaves no open transaction behind.
        let snapshot = Self { client };
        let begin = format!(
            "begin isolation level repeatable read read only; set local statement_timeout = {STATEMENT_TIMEOUT_MS}"
        );
        client.batch_execute(&begin).await?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // The first poll queues the statement on the connection, ahead of every later one. Nothing was written, so
        // nobody needs the answer.
        let _ = self.client.batch_execute("rollback").now_or_never();
    }
}

impl Deref for Snapshot<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}
