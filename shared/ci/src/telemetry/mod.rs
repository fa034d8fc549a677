//! CI telemetry: documents in the metrics bucket in, runs in PostgreSQL out.
//!
//! [`ingest`] takes one version of one object. It may be called for any version, any number of times, in any order and by
//! several at once: what the tables hold in the end is the same.

mod bucket;
mod table;

use jiff::Timestamp;
use tokio_postgres::Client;

pub use bucket::{Found, LARGEST, MetricsBucket};
pub use table::{Stored, store_rejection, store_run};

use crate::{CiRun, InvalidDocument, ObjectVersion, Sequencer};
use platform::StoreError;
use postgres::DatabaseError;

/// What the log says of a new rejection. The template's metric counts the lines that say so.
pub const REJECTED: &str = "rejected a document";

/// A version of an object that somebody told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// The key, decoded.
    pub key: String,
    /// The version; the newest if unknown.
    pub version: Option<String>,
    /// As the event told it.
    pub sequencer: Sequencer,
}

/// What came of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It tells of a run.
    Run(Stored),
    /// It is no valid document, which is now recorded, or was `before`.
    Rejected {
        /// Whether it had been rejected before.
        before: bool,
    },
    /// It is no longer there.
    Gone,
}

/// Why a version could not be taken now. It may be another time.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The bucket.
    #[error(transparent)]
    Object(#[from] StoreError),
    /// The tables.
    #[error("could not store what is in object {key:?}")]
    Database {
        /// The object.
        key: String,
        /// What the database said.
        source: DatabaseError,
    },
}

/// Reads a version and stores the run that it tells of, or why it tells of none.
///
/// # Errors
/// When the bucket or the database fails. Nothing is stored then.
pub async fn ingest(tip: Tip, bucket: &MetricsBucket, client: &Client) -> Result<Outcome, IngestError> {
    let (object, document) = match bucket.read(tip).await? {
        Found::Document(object, bytes) => (object, CiRun::from_document(&bytes, Timestamp::now())),
        Found::TooLarge(object, size) => (object, Err(too_large(size))),
        Found::Gone => return Ok(Outcome::Gone),
    };
    let stored = match &document {
        Ok(run) => match store_run(client, run, &object).await {
            Ok(stored) => Ok(Outcome::Run(stored)),
            Err(error) => match error.refused_value() {
                Some(why) => reject(client, &object, &not_kept(why)).await,
                None => Err(error),
            },
        },
        Err(invalid) => reject(client, &object, invalid).await,
    };
    stored.map_err(|source| IngestError::Database { key: object.key, source })
}

/// What is JSON but nothing that `jsonb` can hold, such as a number with 20,000 decimals. To try again would not help.
fn not_kept(why: &str) -> InvalidDocument {
    InvalidDocument::new(format!("the database cannot keep a value of the document: {why}"))
}

fn too_large(size: u64) -> InvalidDocument {
    InvalidDocument::new(format!("the document must be at most {LARGEST} bytes long; it has {size}"))
}

async fn reject(client: &Client, object: &ObjectVersion, why: &InvalidDocument) -> Result<Outcome, DatabaseError> {
    let reason = why.to_string();
    let new = store_rejection(client, object, &reason).await?;
    if new {
        tracing::warn!(key = object.key, version = object.version, reason, "{REJECTED}");
    }
    Ok(Outcome::Rejected { before: !new })
}
