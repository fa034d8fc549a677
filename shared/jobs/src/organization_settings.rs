//! The settings of organizations. A change is a new version; no version is ever changed or deleted.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{AuditRecord, OrgId, Settings, SettingsVersion, Subject};

/// Maximum number of versions of an organization's settings. Each has at most about 1.5 kB, so all take at most 15 MB.
pub const MAX_SETTINGS_VERSIONS: u32 = 10_000;

/// The reason why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They are no longer those that the caller changed: another request was faster.
    #[error("the settings have version {0} now")]
    Changed(u32),
    /// The organization has as many versions as it may.
    #[error("the organization has {MAX_SETTINGS_VERSIONS} versions of its settings, which is the most it may have")]
    TooMany,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

#[derive(Serialize, Deserialize)]
struct SettingsItem {
    pk: String,
    sk: String,
    version: u32,
    settings: Settings,
    at: Timestamp,
    subject: Subject,
}

/// The beginning of the sort keys.
const PREFIX: &str = "VERSION#";

fn partition(org: OrgId) -> String {
    format!("SETTINGS#{org}")
}

fn sort(version: u32) -> String {
    format!("{PREFIX}{version:05}")
}

fn read(attributes: Item) -> Result<SettingsVersion, CorruptItem> {
    let SettingsItem { version, settings, at, subject, .. } = item::read(attributes)?;
    Ok(SettingsVersion { version, settings, at, subject })
}

impl JobsTable {
    /// Returns the present settings of an organization; `None` if it never set any. Those are [`Settings::default`].
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not of settings.
    pub async fn settings(&self, org: OrgId) -> Result<Option<SettingsVersion>, JobsError> {
        let newest = self.all_items(partition(org), PREFIX, false, 1).await?.into_iter().next();
        Ok(newest.map(read).transpose()?)
    }

    /// Returns a version of an organization's settings, if it exists.
    ///
    /// # Errors
    /// As [`settings`](Self::settings).
    pub async fn settings_version(&self, org: OrgId, version: u32) -> Result<Option<SettingsVersion>, JobsError> {
        let item = self.get_item(primary_key(partition(org), sort(version)), "read settings").await?;
        Ok(item.map(read).transpose()?)
    }

    /// Changes an organization's settings from the version that the caller read, 0 for none, with the record of it. The
    /// same settings as at present, from the same version or again by the same subject after a lost answer, add no
    /// version.
    ///
    /// # Errors
    /// When the present version is another, the organization has [`MAX_SETTINGS_VERSIONS`], or DynamoDB did not confirm
    /// it.
    pub async fn change_settings(
        &self,
        org: OrgId,
        from: u32,
        settings: Settings,
        record: &AuditRecord,
    ) -> Result<SettingsVersion, SettingsError> {
        let present = self.settings(org).await?;
        let number = present.as_ref().map_or(0, |present| present.version);
        if let Some(present) = present.as_ref().filter(|present| present.settings == settings)
            && (from == number || (from.checked_add(1) == Some(number) && present.subject == record.subject))
        {
            return Ok(present.clone());
        }
        if from != number {
            return Err(SettingsError::Changed(number));
        }
        if number >= MAX_SETTINGS_VERSIONS {
            return Err(SettingsError::TooMany);
        }
        let before = present.and_then(|present| present.settings.own_schedule());
        let next = SettingsVersion { version: number + 1, settings, at: record.at, subject: record.subject.clone() };
        let mut items = vec![self.put_settings(org, &next)?, self.put_record(record)?];
        let schedule = next.settings.own_schedule();
        if before.is_some() || schedule.is_some() {
            items.push(self.put_schedule(org, schedule)?);
        }
        match self.write(items, "change settings").await {
            Ok(()) => Ok(next),
            // Another request wrote this version in between.
            Err(Refused::Condition(_)) => Err(SettingsError::Changed(next.version)),
            Err(Refused::Table(error)) => Err(error.into()),
        }
    }

    /// Returns the write of a version that does not exist.
    fn put_settings(&self, org: OrgId, next: &SettingsVersion) -> Result<TransactWriteItem, JobsError> {
        let SettingsVersion { version, settings, at, subject } = next.clone();
        let item = SettingsItem { pk: partition(org), sk: sort(version), version, settings, at, subject };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
        transaction::put(put.condition_expression("attribute_not_exists(pk)"))
    }
}
