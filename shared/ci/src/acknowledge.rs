//! Answers of people to changes. Each is a row that is never changed: the last of a change counts.

use std::time::Duration;

use domain::Subject;
use jiff::Timestamp;
use postgres::{LimitedReads, LimitedWrites};
use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

use crate::{
    change::{Note, ToldChange},
    reports::{ReportError, read_answer, read_one, read_time},
    sql::Parameters,
};

/// Maximum number of answers to a change.
pub const MAX_ANSWERS: u32 = 100;

/// An answer, or that one was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The number, from 1.
    pub version: u32,
    /// What the person said; `None` takes the answer before back.
    pub note: Option<String>,
    /// The time.
    pub at: Timestamp,
    /// The person or program, as [`Acknowledgement::by`](crate::change::Acknowledgement::by).
    pub by: Uuid,
}

/// An answer was not kept.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgeError {
    /// There is no change of this id.
    #[error("there is no change {0}")]
    NoChange(Uuid),
    /// The change has [`MAX_ANSWERS`].
    #[error("the change has {MAX_ANSWERS} answers")]
    TooMany,
    /// The database failed. The answer may have been kept; the same one may be given again.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl From<tokio_postgres::Error> for AcknowledgeError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Report(error.into())
    }
}

impl From<postgres::DatabaseError> for AcknowledgeError {
    fn from(error: postgres::DatabaseError) -> Self {
        Self::Report(error.into())
    }
}

/// Answers to a change, or takes the answer back with `None`. Returns the change, and whether this changed anything: the
/// same answer again does not.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When there is no such change, it has too many answers, or the database fails.
pub async fn acknowledge(
    client: &Client,
    id: Uuid,
    note: Option<&Note>,
    subject: &Subject,
    timeout: Duration,
) -> Result<(ToldChange, bool), AcknowledgeError> {
    let writes = LimitedWrites::begin(client, timeout).await?;
    // One answer to a change at a time, so that each has the next number. Not by 0 and 1, by which others lock.
    let lock = "select pg_advisory_xact_lock(hashtextextended($1, 2))";
    writes.query_typed_one(lock, &[(&id.to_string(), Type::TEXT)]).await?;
    let change = read_one(&writes, id).await?.ok_or(AcknowledgeError::NoChange(id))?;
    let present = change.acknowledgement.as_ref().map(|answer| answer.note.as_str());
    if present == note.map(Note::as_str) {
        return Ok((change, false));
    }
    let subject = serde_json::to_string(subject).map_err(|_| ReportError::Row("ci_acknowledgements"))?;
    let mut parameters = Parameters::default();
    let change = parameters.push(Type::UUID, id);
    let note = parameters.text(note.map(Note::as_str));
    let subject = parameters.text(subject);
    let most = parameters.push(Type::INT8, i64::from(MAX_ANSWERS));
    let statement = format!(
        "insert into ci_acknowledgements (change_id, version, note, subject)
         select {change}, coalesce(max(version), 0) + 1, {note}, {subject}::jsonb from ci_acknowledgements
         where change_id = {change}
         having count(*) < {most}"
    );
    if writes.execute_typed(&statement, &parameters.typed()).await? == 0 {
        return Err(AcknowledgeError::TooMany);
    }
    let change = read_one(&writes, id).await?.ok_or(AcknowledgeError::NoChange(id))?;
    writes.commit().await?;
    Ok((change, true))
}

/// Reads the answers to a change, newest first.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn answers(client: &Client, id: Uuid, timeout: Duration) -> Result<Vec<Answer>, ReportError> {
    let reads = LimitedReads::begin(client, timeout).await?;
    let query = "select version, note, subject::text as subject, made_at from ci_acknowledgements
                 where change_id = $1 order by version desc";
    let rows = reads.query_typed(query, &[(&id, Type::UUID)]).await?;
    let answer = |row: &tokio_postgres::Row| {
        let (version, by) = read_answer(row, "version")?;
        Ok(Answer { version, note: row.try_get("note")?, at: read_time(row, "made_at")?, by })
    };
    rows.iter().map(answer).collect()
}
