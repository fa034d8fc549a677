//! Audit records in the table. They are written and read, and there is nothing here that changes or deletes one.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use serde::{Deserialize, Serialize};
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

/// Records have a partition of their own: they outgrow the jobs, and an item collection with a local index has a limit.
pub(super) fn partition(org: OrgId) -> String {
    format!("AUDIT#{org}")
}

pub(super) fn job_prefix(job: JobId) -> String {
    format!("JOB#{job}#")
}

/// The key of the record with this id, a UUIDv7.
pub(super) fn key(org: OrgId, job: JobId, id: Uuid) -> Item {
    primary_key(partition(org), format!("{}{id}", job_prefix(job)))
}

/// A record and its id, read from an item.
pub(super) fn read(attributes: Item) -> Result<(Uuid, AuditRecord), CorruptItem> {
    let AuditItem { sk, record, .. } = item::read(attributes)?;
    let id = sk.rsplit('#').next().and_then(|id| id.parse().ok()).unwrap_or_default();
    Ok((id, record))
}

impl JobsTable {
    /// Keeps a record.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it. What the record is about must not happen then.
    pub async fn record(&self, record: &AuditRecord) -> Result<(), JobsError> {
        match self.write(vec![self.put_record(record)], "keep an audit record").await {
            // Nothing is written over: the condition fails only when this very record is there.
            Ok(()) | Err(Refused::Condition(_)) => Ok(()),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    pub(super) fn put_record(&self, record: &AuditRecord) -> TransactWriteItem {
        let id = Uuid::now_v7();
        let sk = match record.job {
            Some(job) => format!("{}{id}", job_prefix(job)),
            None => format!("ORG#{id}"),
        };
        let item = AuditItem { pk: partition(record.org), sk, record: record.clone() };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)));
        transaction::put(put.condition_expression("attribute_not_exists(pk)"))
    }
}
