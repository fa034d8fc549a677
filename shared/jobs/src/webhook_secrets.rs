//! The secrets of organizations' webhooks. They are apart from the settings, whose versions anybody who may read them
//! sees, and are replaced in place: a secret that is valid no longer is kept nowhere.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use serde::{Deserialize, Serialize};

use super::{
    Item, JobsError, JobsTable,
    item::{self, MAX_COUNT, primary_key},
    transaction::{self, Refused},
};
use domain::{
    AuditRecord, OrgId,
    settings::{WebhookSecret, WebhookSecrets},
};

/// Maximum number of attempts at a rotation while others rotate at the same moment.
const MAX_ATTEMPTS: u32 = 10;

#[derive(Serialize, Deserialize)]
struct SecretItem {
    pk: String,
    sk: String,
    /// The number of rotations.
    version: u64,
    secrets: WebhookSecrets,
}

fn key(org: OrgId) -> Item {
    primary_key(partition(org), SORT.to_owned())
}

fn partition(org: OrgId) -> String {
    format!("WEBHOOK#{org}")
}

const SORT: &str = "SECRET";

impl JobsTable {
    /// Returns the secrets of an organization's webhook; `None` if none was ever made.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not of secrets.
    pub async fn webhook_secrets(&self, org: OrgId) -> Result<Option<WebhookSecrets>, JobsError> {
        Ok(self.secret_item(org).await?.map(|item| item.secrets))
    }

    /// Replaces the secret of an organization's webhook, or makes the first, with the record of it.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it. The secret may be the present one all the same; another rotation replaces it.
    pub async fn rotate_secret(
        &self,
        org: OrgId,
        secret: WebhookSecret,
        record: &AuditRecord,
    ) -> Result<WebhookSecrets, JobsError> {
        for _ in 0..MAX_ATTEMPTS {
            let present = self.secret_item(org).await?;
            let before = present.as_ref().map_or(0, |item| item.version);
            let secrets = match present {
                Some(item) => item.secrets.rotated(secret.clone(), record.at),
                None => WebhookSecrets::first(secret.clone(), record.at),
            };
            // No organization rotates this often: the count of an item that says so is not one that was counted.
            let version = before.min(MAX_COUNT) + 1;
            let item = SecretItem { pk: partition(org), sk: SORT.to_owned(), version, secrets: secrets.clone() };
            let put = Put::builder()
                .table_name(&self.name)
                .set_item(Some(item::write(item)?))
                .condition_expression("attribute_not_exists(pk) or version = :before")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string()));
            match self.write(vec![transaction::put(put)?, self.put_record(record)?], "rotate a secret").await {
                Ok(()) => return Ok(secrets),
                // Another request rotated in between.
                Err(Refused::Condition(_)) => {}
                Err(Refused::Table(error)) => return Err(error),
            }
        }
        Err(JobsError::Contended { action: "rotate a secret" })
    }

    async fn secret_item(&self, org: OrgId) -> Result<Option<SecretItem>, JobsError> {
        let item = self.get_item(key(org), "read the secret of a webhook").await?;
        Ok(item.map(item::read).transpose()?)
    }
}
