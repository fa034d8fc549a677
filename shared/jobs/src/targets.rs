//! The targets by which CI's runs are judged. A change is a new version; no version is ever changed or deleted.
//!
//! This crate keeps their text and does not read it. Somebody may have written an item by hand: what cannot be read is
//! returned as such, and a further version replaces it.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CorruptItem, Item, JobsError, JobsTable, audit,
    item::{self, primary_key},
    transaction::{self, Refused},
};
use domain::{AuditRecord, Subject};

/// Maximum number of versions. Each has at most 64 KiB, and usually 1 or 2.
pub const MAX_TARGETS_VERSIONS: u32 = 500;

/// The partition of all versions.
const PARTITION: &str = "TARGETS#CI";

/// The beginning of the sort keys.
const PREFIX: &str = "VERSION#";

/// A version of the targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetsVersion {
    /// The targets, as JSON.
    pub text: String,
    /// The time from which on they apply: that of the change, and never before that of the version before.
    pub at: Timestamp,
    /// The person or program that changed them.
    pub subject: Subject,
}

/// A version as the table has it.
#[derive(Debug)]
pub struct StoredTargets {
    /// The number of the version, from 1 on.
    pub version: u32,
    /// The version, or why it cannot be read.
    pub found: Result<TargetsVersion, CorruptItem>,
}

/// The reason why targets were not changed.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// They are no longer those that the caller changed: another request was faster.
    #[error("the targets have version {0} now")]
    Changed(u32),
    /// There are as many versions as there may be.
    #[error("the targets have {MAX_TARGETS_VERSIONS} versions, which is the most that is kept")]
    TooMany,
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

#[derive(Serialize, Deserialize)]
struct TargetsItem {
    pk: String,
    sk: String,
    targets: String,
    at: Timestamp,
    subject: Subject,
}

fn sort(version: u32) -> String {
    format!("{PREFIX}{version:05}")
}

fn read(attributes: Item) -> Result<StoredTargets, CorruptItem> {
    let key = audit::sort_key(&attributes)?;
    let version = key.strip_prefix(PREFIX).and_then(|version| version.parse().ok());
    let version = version.ok_or_else(|| CorruptItem::new(&format!("{PARTITION}/{key}"), None))?;
    let found = item::read(attributes);
    let found = found.map(|TargetsItem { targets, at, subject, .. }| TargetsVersion { text: targets, at, subject });
    Ok(StoredTargets { version, found })
}

/// Returns the last of all versions, newest first, that may be from before `end`.
fn last_before(mut versions: Vec<StoredTargets>, end: Timestamp) -> Option<StoredTargets> {
    let earliest = |from: usize| versions[from..].iter().find_map(|stored| stored.found.as_ref().ok()).map(|it| it.at);
    let last = (0..versions.len()).find(|from| earliest(*from).is_none_or(|at| at < end))?;
    Some(versions.swap_remove(last))
}

impl JobsTable {
    /// Returns the present targets; `None` if none were ever stored.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the newest item has no number.
    pub async fn targets(&self) -> Result<Option<StoredTargets>, JobsError> {
        Ok(self.newest_targets(1).await?.into_iter().next())
    }

    /// Returns a version of the targets, if it exists.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn targets_version(&self, version: u32) -> Result<Option<StoredTargets>, JobsError> {
        let item = self.get_item(primary_key(PARTITION.to_owned(), sort(version)), "read targets").await?;
        Ok(item.map(read).transpose()?)
    }

    /// Returns all versions, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item has no number.
    pub async fn targets_versions(&self) -> Result<Vec<StoredTargets>, JobsError> {
        self.newest_targets(usize::MAX).await
    }

    /// Returns the last version from before `end`; `None` if none was stored by then. A version that cannot be read is from
    /// after the one before it, and is returned if it may be from before `end`.
    ///
    /// # Errors
    /// As [`targets_versions`](Self::targets_versions).
    pub async fn targets_before(&self, end: Timestamp) -> Result<Option<StoredTargets>, JobsError> {
        match self.targets().await? {
            Some(StoredTargets { version, found: Ok(found) }) if found.at < end => {
                Ok(Some(StoredTargets { version, found: Ok(found) }))
            }
            None => Ok(None),
            Some(_) => Ok(last_before(self.targets_versions().await?, end)),
        }
    }

    /// Changes the targets from the version that the caller read, 0 for none, with the record of it. The same targets as at
    /// present, from the same version or again by the same subject after a lost answer, add no version.
    ///
    /// # Errors
    /// When the present version is another, there are [`MAX_TARGETS_VERSIONS`], or DynamoDB did not confirm it.
    pub async fn change_targets(
        &self,
        from: u32,
        text: String,
        record: &AuditRecord,
    ) -> Result<StoredTargets, TargetsError> {
        let present = self.targets().await?;
        let number = present.as_ref().map_or(0, |present| present.version);
        let mut at = record.at;
        if let Some(Ok(found)) = present.as_ref().map(|present| &present.found) {
            let is_again = from.checked_add(1) == Some(number) && found.subject == record.subject;
            if found.text == text && (from == number || is_again) {
                return Ok(StoredTargets { version: number, found: Ok(found.clone()) });
            }
            at = at.max(found.at);
        }
        if from != number {
            return Err(TargetsError::Changed(number));
        }
        if number >= MAX_TARGETS_VERSIONS {
            return Err(TargetsError::TooMany);
        }
        let version = number + 1;
        let next = TargetsVersion { text, at, subject: record.subject.clone() };
        let items = vec![self.put_targets(version, &next)?, self.put_record(record)?];
        match self.write(items, "change the targets").await {
            Ok(()) => Ok(StoredTargets { version, found: Ok(next) }),
            // Another request wrote this version in between.
            Err(Refused::Condition(_)) => Err(TargetsError::Changed(version)),
            Err(Refused::Table(error)) => Err(error.into()),
        }
    }

    async fn newest_targets(&self, max: usize) -> Result<Vec<StoredTargets>, JobsError> {
        let items = self.all_items(PARTITION.to_owned(), PREFIX, false, max).await?;
        Ok(items.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Returns the write of a version that does not exist.
    fn put_targets(&self, version: u32, next: &TargetsVersion) -> Result<TransactWriteItem, JobsError> {
        let TargetsVersion { text, at, subject } = next.clone();
        let item = TargetsItem { pk: PARTITION.to_owned(), sk: sort(version), targets: text, at, subject };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(item)?));
        transaction::put(put.condition_expression("attribute_not_exists(pk)"))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    fn item(sk: &str) -> Item {
        let at = "2026-11-01T00:00:00Z".parse().unwrap();
        let subject = Subject::new("https://issuer.example", "ada");
        let item = TargetsItem { pk: PARTITION.to_owned(), sk: sk.to_owned(), targets: "{}".to_owned(), at, subject };
        item::write(item).unwrap()
    }

    #[test]
    fn what_was_written_by_hand_keeps_its_number() {
        let good = read(item(&sort(7))).unwrap();
        assert_eq!((good.version, good.found.unwrap().text.as_str()), (7, "{}"));
        let mut other = item(&sort(12));
        other.insert("at".to_owned(), AttributeValue::S("yesterday".to_owned()));
        let stored = read(other).unwrap();
        assert_eq!(stored.version, 12);
        assert!(stored.found.unwrap_err().to_string().contains("TARGETS#CI/VERSION#00012"));
        assert!(read(item("VERSION#x")).is_err());
    }

    #[test]
    fn a_version_without_a_time_may_be_from_any_after_the_one_before_it() {
        let day = |day: u32| format!("2026-11-{day:02}T00:00:00Z").parse::<Timestamp>().unwrap();
        // Version 3 cannot be read.
        let versions = |last: u32| {
            let all = (1..=last).rev().map(|version| {
                let mut item = item(&sort(version));
                let at = if version == 3 { "unknown".to_owned() } else { day(10 * version).to_string() };
                item.insert("at".to_owned(), AttributeValue::S(at));
                read(item).unwrap()
            });
            all.collect::<Vec<_>>()
        };
        let before = |last, end| last_before(versions(last), end).map(|stored| stored.version);
        assert_eq!(before(2, day(10)), None, "not from before its own time");
        assert_eq!([11, 20, 21].map(|end| before(2, day(end))), [Some(1), Some(1), Some(2)]);
        assert_eq!([10, 20, 21, 30].map(|end| before(3, day(end))), [None, Some(1), Some(3), Some(3)]);
        let only = vec![read(Item::from_iter(item(&sort(1)).into_iter().filter(|(name, _)| name != "at"))).unwrap()];
        assert_eq!(last_before(only, day(1)).map(|stored| stored.version), Some(1));
    }

    #[test]
    fn versions_sort_by_their_numbers() {
        let keys: Vec<String> = (1..=MAX_TARGETS_VERSIONS).map(sort).collect();
        assert!(keys.is_sorted());
    }
}
