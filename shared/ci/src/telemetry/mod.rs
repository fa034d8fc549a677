//! From documents in the metrics bucket to runs, and the results of their tests, in PostgreSQL.
//!
//! [`ingest`] takes one version of one object. It may be called for any version, any number of times, in any order and
//! concurrently: the tables end in the same state.

mod bucket;
mod key;
pub mod s3;
mod table;
mod test_table;

use jiff::Timestamp;
use platform::StoreError;
use postgres::DatabaseError;
use tokio_postgres::Client;

pub use bucket::{Found, MetricsBucket};
pub use table::{REPLACED, Stored, store_rejection, store_run};
pub use test_table::store_tests;

use self::key::Kind;
use crate::{CiRun, InvalidDocument, ObjectVersion, Sequencer, TestRun};

/// A reference to a version of an object, as an event or a listing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// The key, decoded.
    pub key: String,
    /// The version; `None` for the newest one.
    pub version: Option<String>,
    /// The sequencer of the event.
    pub sequencer: Sequencer,
}

/// The result of ingesting a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The document describes a run.
    Run(Stored),
    /// The document has the results of a run's tests.
    Tests(Stored),
    /// The document is invalid, and a rejection of it is recorded.
    Rejected {
        /// True if the rejection was recorded before.
        before: bool,
    },
    /// The version no longer exists.
    Gone,
}

/// A version could not be ingested now. A later attempt may succeed.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The bucket could not be read.
    #[error(transparent)]
    Object(#[from] StoreError),
    /// The tables could not be written.
    #[error("could not store the content of object {key:?}")]
    Database {
        /// The object's key.
        key: String,
        /// The error of the database.
        source: DatabaseError,
    },
}

/// Reads a version, and stores the run that it describes, or its tests, or the reasons for which it describes none. `now` is
/// the time of the reading, against which the document's own times are checked.
///
/// # Errors
/// When the bucket or the database fails. Nothing is stored then.
pub async fn ingest(
    object: ObjectRef,
    bucket: &MetricsBucket,
    client: &Client,
    now: Timestamp,
) -> Result<Outcome, IngestError> {
    let kind = Kind::of(&object.key);
    let (object, document) = match bucket.read(object).await? {
        Found::Document(object, bytes) => {
            let document = Document::read(kind, &object.key, &bytes, now);
            (object, document)
        }
        Found::TooLarge(object, size) => (object, Err(too_large(kind, size))),
        Found::Gone => return Ok(Outcome::Gone),
    };
    let stored = match &document {
        Ok(document) => match document.store(client, &object).await {
            Ok(stored) => Ok(stored),
            Err(error) => match error.refused_value() {
                Some(why) => reject(client, &object, &not_storable(why)).await,
                None => Err(error),
            },
        },
        Err(invalid) => reject(client, &object, invalid).await,
    };
    stored.map_err(|source| IngestError::Database { key: object.key, source })
}

/// A valid document.
enum Document {
    Run(CiRun),
    Tests(TestRun),
}

impl Document {
    fn read(kind: Kind, key: &str, bytes: &[u8], now: Timestamp) -> Result<Self, InvalidDocument> {
        Ok(match kind {
            Kind::Run => {
                let run = CiRun::from_document(bytes, now)?;
                key::check(key, &run.service, &run.run_id)?;
                Self::Run(run)
            }
            Kind::Tests => {
                let run = TestRun::from_document(bytes, now)?;
                key::check(key, &run.service, &run.run_id)?;
                Self::Tests(run)
            }
        })
    }

    async fn store(&self, client: &Client, object: &ObjectVersion) -> Result<Outcome, DatabaseError> {
        match self {
            Self::Run(run) => store_run(client, run, object).await.map(Outcome::Run),
            Self::Tests(run) => store_tests(client, run, object).await.map(Outcome::Tests),
        }
    }
}

/// The error of valid JSON that `jsonb` cannot hold, such as a number with 20,000 decimals. A retry would not help.
fn not_storable(why: &str) -> InvalidDocument {
    InvalidDocument::new(format!("the database cannot keep a value of the document: {why}"))
}

fn too_large(kind: Kind, size: u64) -> InvalidDocument {
    InvalidDocument::new(format!("the document must be at most {} bytes long; it has {size}", kind.max_bytes()))
}

async fn reject(client: &Client, object: &ObjectVersion, why: &InvalidDocument) -> Result<Outcome, DatabaseError> {
    let reason = why.to_string();
    let new = store_rejection(client, object, &reason).await?;
    if new {
        tracing::warn!(key = object.key, version = object.version, reason, "rejected a document");
    }
    Ok(Outcome::Rejected { before: !new })
}
