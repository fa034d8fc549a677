//! Audit records in the table. They are written and read, and never changed or deleted. Each is linked to its
//! organization's chain later; see [`chain`](super::chain).

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    CorruptItem, Item, JobsError, JobsTable,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{AuditRecord, JobId, OrgId};

#[derive(Serialize, Deserialize)]
struct AuditItem {
    pk: String,
    sk: String,
    record: AuditRecord,
}

/// Returns the partition of an organization's records. It is separate from that of the jobs, since an item collection
/// with a local index has a size limit.
pub(super) fn partition(org: OrgId) -> String {
    format!("AUDIT#{org}")
}

/// Returns the beginning of the sort keys of a job's records, or of those of no job.
pub(super) fn prefix(job: Option<JobId>) -> String {
    job.map_or_else(|| "ORG#".to_owned(), |job| format!("JOB#{job}#"))
}

/// Returns the key of the record with this id, a UUIDv7.
pub(super) fn key(org: OrgId, job: Option<JobId>, id: Uuid) -> Item {
    primary_key(partition(org), sort(job, id))
}

/// Returns the sort key of the record with this id.
pub(super) fn sort(job: Option<JobId>, id: Uuid) -> String {
    format!("{}{id}", prefix(job))
}

/// Returns the organization of a partition of records; `None` of another partition, an error if it names none.
pub(super) fn org_of(pk: &str) -> Option<Result<OrgId, ()>> {
    pk.strip_prefix("AUDIT#").map(|org| org.parse().map_err(|_| ()))
}

/// Returns the time at which the record of a sort key was written, to the millisecond: that of its UUIDv7.
pub(super) fn written_at(sk: &str) -> Option<Timestamp> {
    let id: Uuid = sk.rsplit('#').next()?.parse().ok()?;
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

/// Returns the sort key of an item.
pub(super) fn sort_key(item: &Item) -> Result<String, CorruptItem> {
    let sk = item.get("sk").and_then(|value| value.as_s().ok()).cloned();
    sk.ok_or_else(|| CorruptItem::new("of the audit trail", None))
}

/// Returns a record as the table has it, also one that no version wrote.
pub(super) fn stored(item: Item) -> Result<Value, CorruptItem> {
    #[derive(Deserialize)]
    struct StoredItem {
        #[serde(default)]
        record: Value,
    }
    item::read(item).map(|StoredItem { record }| record)
}

/// Reads a record and its id from an item.
pub(super) fn read(attributes: Item) -> Result<(Uuid, AuditRecord), CorruptItem> {
    let AuditItem { pk, sk, record } = item::read(attributes)?;
    let id = sk.rsplit('#').next().and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| CorruptItem::new(&format!("{pk}/{sk}"), None))?;
    Ok((id, record))
}

impl JobsTable {
    /// Stores a record.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it. The recorded action must then not happen.
    pub async fn record(&self, record: &AuditRecord) -> Result<(), JobsError> {
        match self.write(vec![self.put_record(record)?], "store an audit record").await {
            // Ids are unique: the condition fails only if this record is already stored.
            Ok(()) | Err(Refused::Condition(_)) => Ok(()),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    pub(super) fn put_record(&self, record: &AuditRecord) -> Result<TransactWriteItem, JobsError> {
        let id = Uuid::now_v7();
        let item = AuditItem { pk: partition(record.org), sk: sort(record.job, id), record: record.clone() };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
        transaction::put(put.condition_expression("attribute_not_exists(pk)"))
    }
}
