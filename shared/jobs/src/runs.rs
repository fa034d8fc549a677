//! Runs of the scheduled exports. They are never deleted.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable,
    item::{self, MAX_COUNT},
    transaction::{self, Refused},
};
use domain::{Month, MonthlyRun, monthly::FIRST_EDITION};

#[derive(Serialize, Deserialize)]
struct RunItem {
    pk: String,
    sk: String,
    version: u64,
    run: MonthlyRun,
}

/// Returns the partition of the runs of the first edition, or of all further ones.
fn partition(month: Month, edition: u32) -> String {
    if edition == FIRST_EDITION { format!("MONTHLY#{month}") } else { format!("MONTHLY#{month}#AGAIN") }
}

/// Reads a run, whose counts can be counted up.
fn read(attributes: Item) -> Result<MonthlyRun, CorruptItem> {
    let RunItem { pk, sk, run, .. } = item::read(attributes)?;
    let MonthlyRun { edition, created, already_there, failed, waiting, provisional, version, .. } = run;
    let counts = [edition.into(), created, already_there, failed, waiting, provisional, version];
    let is_countable = edition < u32::MAX && counts.iter().all(|count| *count <= MAX_COUNT);
    if is_countable { Ok(run) } else { Err(CorruptItem::new(&format!("{pk}/{sk}"), None)) }
}

impl JobsTable {
    /// Writes the next version of a run and reports whether it did: not if another invocation wrote that version first.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn write_run(&self, run: &mut MonthlyRun) -> Result<bool, JobsError> {
        let before = run.version;
        run.version += 1;
        let item = RunItem {
            pk: partition(run.month, run.edition),
            sk: format!("RUN#{}", run.id),
            version: run.version,
            run: run.clone(),
        };
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item::write(item)?))
            .condition_expression("attribute_not_exists(pk) or version = :before")
            .expression_attribute_values(":before", AttributeValue::N(before.to_string()));
        match self.write(vec![transaction::put(put)?], "store a monthly run").await {
            Ok(()) => Ok(true),
            Err(Refused::Condition(_)) => Ok(false),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Returns the newest run of the first edition of a month, if there is one.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not a run.
    pub async fn last_run(&self, month: Month) -> Result<Option<MonthlyRun>, JobsError> {
        self.newest_run(partition(month, FIRST_EDITION)).await
    }

    /// Returns the newest run of a further edition of a month, if there is one.
    ///
    /// # Errors
    /// As [`last_run`](Self::last_run).
    pub async fn last_run_again(&self, month: Month) -> Result<Option<MonthlyRun>, JobsError> {
        self.newest_run(partition(month, FIRST_EDITION + 1)).await
    }

    async fn newest_run(&self, partition: String) -> Result<Option<MonthlyRun>, JobsError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk and begins_with(sk, :runs)")
            .expression_attribute_values(":pk", AttributeValue::S(partition))
            .expression_attribute_values(":runs", AttributeValue::S("RUN#".to_owned()))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(1);
        let answer = query.send().await.map_err(|error| JobsError::table("read the monthly runs", error))?;
        let last = answer.items.unwrap_or_default().into_iter().next();
        Ok(last.map(read).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_run_whose_counts_cannot_be_counted_up_is_an_error() {
        let month = "2024-01".parse().unwrap();
        let run = || MonthlyRun::new(Uuid::nil(), month, Timestamp::UNIX_EPOCH);
        let read = |run: MonthlyRun| {
            let item = RunItem { pk: "MONTHLY#2024-01".to_owned(), sk: "RUN#0".to_owned(), version: 0, run };
            read(item::write(item).unwrap())
        };
        assert_eq!(read(run()).unwrap(), run());
        for bad in [
            MonthlyRun { version: u64::MAX, ..run() },
            MonthlyRun { edition: u32::MAX, ..run() },
            MonthlyRun { created: u64::MAX, ..run() },
            MonthlyRun { already_there: u64::MAX, ..run() },
            MonthlyRun { failed: u64::MAX, ..run() },
            MonthlyRun { waiting: u64::MAX, ..run() },
            MonthlyRun { provisional: u64::MAX, ..run() },
        ] {
            let error = read(bad.clone()).unwrap_err();
            assert!(error.to_string().starts_with("item MONTHLY#2024-01/RUN#0 "), "{bad:?}: {error}");
        }
    }
}
