//! Comparisons of files with amounts of the books. They are written once, and never changed or deleted.
//!
//! The key of a comparison is the digest of what was asked, so a request that is repeated after a lost answer finds the
//! comparison of its first attempt. A file's sums never change, so the result would be the same.

use aws_sdk_dynamodb::types::{AttributeValue, Put, Update};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{
    AuditRecord, Comparison, JobId, LedgerEntry, OrgId, Subject,
    ledger::{Amount, Reference},
};

/// Maximum number of comparisons of a job. Each has about 500 bytes, so a job's take at most about 50 KB.
pub const MAX_COMPARISONS: usize = 100;

/// The outcome of a comparison.
#[derive(Debug)]
pub enum Compared {
    /// The comparison is new.
    New(Comparison),
    /// The same was compared before: this is the comparison of that time.
    Existing(Comparison),
}

/// The reason why a comparison was not kept.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The job has as many comparisons as it may.
    #[error("the job has {MAX_COMPARISONS} comparisons, which is the most it may have")]
    TooMany,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// The attributes. Decimals are text.
#[derive(Serialize, Deserialize)]
struct ComparisonItem {
    pk: String,
    sk: String,
    job_id: JobId,
    amount: Amount,
    reference: Reference,
    tolerance: String,
    cost_total: String,
    at: Timestamp,
    subject: Subject,
}

/// The beginning of the sort keys.
const PREFIX: &str = "ENTRY#";

fn partition(org: OrgId, job: JobId) -> String {
    format!("COMPARISONS#{org}#{job}")
}

fn read(attributes: Item) -> Result<Comparison, CorruptItem> {
    let item: ComparisonItem = item::read(attributes)?;
    let corrupt = || CorruptItem::new(&format!("{}/{}", item.pk, item.sk), None);
    Ok(Comparison {
        job: item.job_id,
        cost_total: Decimal::from_str_exact(&item.cost_total).map_err(|_| corrupt())?,
        at: item.at,
        entry: LedgerEntry {
            tolerance: item.tolerance.parse().map_err(|_| corrupt())?,
            amount: item.amount,
            reference: item.reference,
        },
        subject: item.subject,
    })
}

impl JobsTable {
    /// Keeps a comparison with the record of it, unless the same was compared with the job before.
    ///
    /// # Errors
    /// When the job has [`MAX_COMPARISONS`], or DynamoDB did not confirm it.
    pub async fn compare(
        &self,
        org: OrgId,
        comparison: Comparison,
        record: &AuditRecord,
    ) -> Result<Compared, CompareError> {
        let LedgerEntry { amount, reference, tolerance } = comparison.entry.clone();
        let pk = partition(org, comparison.job);
        let sk = format!("{PREFIX}{}", comparison.entry.digest());
        let item = ComparisonItem {
            pk: pk.clone(),
            sk: sk.clone(),
            job_id: comparison.job,
            amount,
            reference,
            tolerance: tolerance.to_string(),
            cost_total: comparison.cost_total.to_string(),
            at: comparison.at,
            subject: comparison.subject.clone(),
        };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
        // In a partition of its own: the comparisons themselves may not be updated.
        let counted = primary_key(format!("COMPARED#{org}#{}", comparison.job), "COUNT".to_owned());
        let count = Update::builder()
            .table_name(&self.name)
            .set_key(Some(counted))
            .update_expression("add comparisons :one")
            .condition_expression("attribute_not_exists(comparisons) or comparisons < :max")
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":max", AttributeValue::N(MAX_COMPARISONS.to_string()));
        // The first condition that fails is reported: what exists takes precedence over the maximum.
        let items = vec![
            transaction::put(put.condition_expression("attribute_not_exists(pk)"))?,
            transaction::update(count)?,
            self.put_record(record)?,
        ];
        match self.write(items, "keep a comparison").await {
            Ok(()) => Ok(Compared::New(comparison)),
            Err(Refused::Condition(0)) => {
                let found = self.get_item(primary_key(pk, sk), "read a comparison").await?;
                // Nothing deletes it.
                let found = found.ok_or(JobsError::Contended { action: "keep a comparison" })?;
                Ok(Compared::Existing(read(found).map_err(JobsError::from)?))
            }
            Err(Refused::Condition(_)) => Err(CompareError::TooMany),
            Err(Refused::Table(error)) => Err(error.into()),
        }
    }

    /// Returns all comparisons of a job, oldest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a comparison.
    pub async fn comparisons(&self, org: OrgId, job: JobId) -> Result<Vec<Comparison>, JobsError> {
        let items = self.all_items(partition(org, job), PREFIX, true, MAX_COMPARISONS).await?;
        let comparisons: Result<Vec<Comparison>, CorruptItem> = items.into_iter().map(read).collect();
        let mut comparisons = comparisons?;
        comparisons.sort_by_key(|comparison| comparison.at);
        Ok(comparisons)
    }
}
