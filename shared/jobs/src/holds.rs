//! Legal holds on files: the present one is a part of the job, and every change is kept.

use aws_sdk_dynamodb::types::Put;
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable, item,
    transaction::{self, Refused},
};
use domain::{AuditRecord, HoldChange, Job, JobId, OrgId, Transition};

/// Maximum number of changes of a job's hold. Each has at most about 1 KB.
pub const MAX_HOLD_CHANGES: u32 = 100;

/// The beginning of the sort keys of changes.
const PREFIX: &str = "CHANGE#";

/// The reason why a hold was not changed.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The job has as many changes of its hold as it may.
    #[error("the hold was changed {MAX_HOLD_CHANGES} times, which is the most that is kept")]
    TooMany,
    /// The job, or its hold, was changed at the same moment.
    #[error("the job was changed at the same moment")]
    Raced,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

#[derive(Serialize, Deserialize)]
struct ChangeItem {
    pk: String,
    sk: String,
    change: HoldChange,
}

fn partition(org: OrgId, job: JobId) -> String {
    format!("HOLDS#{org}#{job}")
}

fn read(attributes: Item) -> Result<HoldChange, CorruptItem> {
    item::read(attributes).map(|ChangeItem { change, .. }| change)
}

impl JobsTable {
    /// Writes a change of a job's hold, with its entry in the history and its record.
    ///
    /// # Errors
    /// When the job has [`MAX_HOLD_CHANGES`] changes, it was changed meanwhile, or DynamoDB did not confirm it.
    pub async fn change_hold(
        &self,
        transition: Transition,
        change: HoldChange,
        record: &AuditRecord,
    ) -> Result<Job, HoldError> {
        if change.version > MAX_HOLD_CHANGES {
            return Err(HoldError::TooMany);
        }
        let next = transition.next();
        let (pk, sk) = (partition(next.org(), next.id()), format!("{PREFIX}{:05}", change.version));
        let entry = item::write(ChangeItem { pk, sk, change })?;
        let entry = Put::builder().table_name(&self.name).set_item(Some(entry));
        let mut items = vec![
            self.put_job(Some(transition.expected()), next)?,
            transaction::put(entry.condition_expression("attribute_not_exists(pk)")).map_err(HoldError::Jobs)?,
            self.put_record(record)?,
        ];
        items.extend(self.put_models(next)?);
        match self.write(items, "change a hold").await {
            Ok(()) => Ok(transition.into_next()),
            Err(Refused::Condition(_)) => Err(HoldError::Raced),
            Err(Refused::Table(error)) => Err(error.into()),
        }
    }

    /// Returns all changes of a job's hold, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a change.
    pub async fn hold_changes(&self, org: OrgId, job: JobId) -> Result<Vec<HoldChange>, JobsError> {
        let items = self.all_items(partition(org, job), PREFIX, false, MAX_HOLD_CHANGES as usize).await?;
        let changes: Result<Vec<HoldChange>, CorruptItem> = items.into_iter().map(read).collect();
        Ok(changes?)
    }
}
