//! Runs of the scheduled exports. They are never deleted.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use serde::{Deserialize, Serialize};

use super::{
    JobsError, JobsTable, item,
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
        Ok(last.map(item::read::<RunItem>).transpose()?.map(|item| item.run))
    }
}
