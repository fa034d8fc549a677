//! The jobs table: what is deleted of an organization, and what stays.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::OrgId;
use platform::config;

use crate::report::Report;

type Item = HashMap<String, AttributeValue>;

/// Partitions with things of an organization that law or the rights of others keep, each with the reason.
const KEPT: [(&str, &str, &str); 7] = [
    ("AUDIT", "audit records", "proof of who did what; subjects are the pseudonyms of the identity provider"),
    ("RECEIPT", "receipts of audit records", "they tell that a record was there"),
    ("CHAIN", "links of the audit chain", "without them no record can be verified; they hold hashes"),
    ("HEAD", "head of the audit chain", "as above"),
    ("HEADS", "signed heads of the audit chain", "as above; also in the bucket below analytics/audit-heads/"),
    ("BOOKINGS", "bookings", "accounting records: amounts, checksums and references of the books"),
    ("LIMIT", "counts of calls of a day", "DynamoDB deletes them within days"),
];

/// What is there of an organization.
pub(crate) struct Found {
    items: Vec<Item>,
    unfinished: usize,
    held: usize,
}

/// The organization's items.
pub(crate) struct Table {
    client: Client,
    name: String,
    org: OrgId,
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

impl Found {
    /// Returns the reason why nothing may be deleted, if there is one.
    pub(crate) fn refusal(&self) -> Option<String> {
        match (self.unfinished, self.held) {
            (0, 0) => None,
            (0, held) => Some(format!("{held} files are held; release them first")),
            (jobs, _) => Some(format!("{jobs} exports are unfinished; wait until they have ended")),
        }
    }

    fn jobs(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| text(item, "job_id").filter(|_| item.contains_key("status_job")))
    }
}

impl Table {
    pub(crate) fn from_env(sdk: &SdkConfig, org: OrgId) -> Result<Self> {
        Ok(Self { client: Client::new(sdk), name: config::required("JOBS_TABLE")?, org })
    }

    /// Reads all items of the organization's partition.
    pub(crate) async fn look(&self) -> Result<Found> {
        let items = self.items(&format!("ORG#{}", self.org)).await?;
        let status = |item: &Item| text(item, "status_job").and_then(|key| key.split('#').next()).map(str::to_owned);
        let unfinished =
            items.iter().filter(|item| matches!(status(item).as_deref(), Some("pending" | "running"))).count();
        let held = items.iter().filter(|item| item.contains_key("hold")).count();
        Ok(Found { items, unfinished, held })
    }

    /// Counts the items, and deletes them if that is wanted.
    pub(crate) async fn erase(&self, deletes: bool, found: &Found, report: &mut Report) -> Result<()> {
        for (what, items) in self.erasable(found).await? {
            for item in items.iter().filter(|_| deletes) {
                self.delete(item).await?;
            }
            report.deleted("table", what, items.len() as u64);
        }
        for (partition, what, why) in KEPT {
            let count = self.items(&format!("{partition}#{}", self.org)).await?.len() as u64;
            report.kept(what, count, why);
        }
        let mut comparisons = 0;
        let mut holds = 0;
        for job in found.jobs() {
            comparisons += self.items(&format!("COMPARISONS#{}#{job}", self.org)).await?.len() as u64;
            holds += self.items(&format!("HOLDS#{}#{job}", self.org)).await?.len() as u64;
        }
        report.kept("comparisons with the books", comparisons, "accounting records, as bookings");
        report.kept("changes of legal holds", holds, "proof of what was held, when and why");
        Ok(())
    }

    /// Returns the number of items that are there and should not be.
    pub(crate) async fn left(&self) -> Result<u64> {
        let found = self.look().await?;
        Ok(self.erasable(&found).await?.values().map(|items| items.len() as u64).sum())
    }

    /// Returns the items to delete by kind. Those of the organization's own partition come last: by them the others are
    /// found, also after an interruption.
    async fn erasable(&self, found: &Found) -> Result<BTreeMap<&'static str, Vec<Item>>> {
        let org = self.org;
        let mut all: BTreeMap<&'static str, Vec<Item>> = BTreeMap::new();
        for job in found.jobs() {
            for (what, partition) in
                [("1 models and notes of jobs", "MODELS"), ("1 numbers of comparisons", "COMPARED")]
            {
                all.entry(what).or_default().extend(self.items(&format!("{partition}#{org}#{job}")).await?);
            }
        }
        // First of all, so that no further export is made.
        let schedule = self.item("SCHEDULES", &format!("ORG#{org}")).await?;
        all.insert("0 schedules", schedule.into_iter().collect());
        for (what, partition) in [
            ("2 numbers of versions", "VERSIONS"),
            ("2 settings", "SETTINGS"),
            ("2 secrets of webhooks", "WEBHOOK"),
            ("2 states of deliveries", "DELIVERIES"),
        ] {
            all.insert(what, self.items(&format!("{partition}#{org}")).await?);
        }
        let mut months = Vec::new();
        for booking in self.items(&format!("BOOKINGS#{org}")).await? {
            let month = text(&booking, "sk").and_then(|key| key.split('#').next()).unwrap_or_default();
            months.extend(self.item(&format!("BOOKED#{month}"), &format!("ORG#{org}")).await?);
        }
        months.dedup_by_key(|item| text(item, "pk").map(str::to_owned));
        all.insert("3 booked months to compare", months);
        let mut scheduled = Vec::new();
        for key in found.items.iter().filter_map(|item| text(item, "sk")) {
            let Some(rest) = key.strip_prefix("MONTHLY#") else { continue };
            let (month, edition) = rest.split_once('#').unwrap_or((rest, "1"));
            let sort = format!("ORG#{org}#{edition}");
            scheduled.extend(self.item(&format!("MONTHLY#{month}#UNSUCCEEDED"), &sort).await?);
        }
        all.insert("4 scheduled exports that have not ended well", scheduled);
        let (jobs, others) = found.items.iter().cloned().partition(|item| item.contains_key("status_job"));
        all.insert("5 keys and counters", others);
        all.insert("6 jobs", jobs);
        Ok(all)
    }

    async fn item(&self, pk: &str, sk: &str) -> Result<Option<Item>> {
        let get = self.client.get_item().table_name(&self.name).consistent_read(true);
        let get = get.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
        Ok(get.send().await.context("can't read an item")?.item)
    }

    async fn items(&self, pk: &str) -> Result<Vec<Item>> {
        let query = self.client.query().table_name(&self.name).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let pages = query.expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        let items = pages.into_paginator().items().send();
        items.collect::<Result<_, _>>().await.context("can't read items")
    }

    async fn delete(&self, item: &Item) -> Result<()> {
        let mut delete = self.client.delete_item().table_name(&self.name);
        for name in ["pk", "sk"] {
            delete = delete.key(name, item.get(name).cloned().context("an item without a key")?);
        }
        delete.send().await.context("can't delete an item")?;
        Ok(())
    }
}
