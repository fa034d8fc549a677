//! The chains of audit records, as somebody who may write the table sees them.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Action, AuditRecord, Origin, Subject};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    Organization, lambda,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};

/// The attributes of an item.
pub type Attributes = std::collections::HashMap<String, AttributeValue>;

fn key(pk: &str, sk: &str) -> Attributes {
    [("pk", pk), ("sk", sk)].map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).into()
}

impl Organization<'_> {
    /// Adds audit records as a function does.
    ///
    /// # Panics
    /// When the table refuses one.
    pub async fn record(&self, count: usize) {
        for number in 0..count {
            let record = AuditRecord {
                at: Timestamp::now(),
                action: Action::Download,
                subject: Subject::new(&self.stack.issuer.name, &format!("person-{number}")),
                org: self.id.into(),
                job: None,
                origin: Origin::of_service(&format!("request-{number}")),
            };
            self.stack.jobs.record(&record).await.expect("a record is written");
        }
    }

    /// Sweeps until none of the organization's records waits to be linked, and returns their number.
    pub async fn linked(&self) -> u64 {
        until("all records are linked", WAIT_TIMEOUT, async || {
            lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
            let waiting = self.items("RECEIPT").await.iter().filter(|item| item.contains_key("due")).count();
            if waiting == 0 { Ok(()) } else { Err(waiting) }
        })
        .await;
        self.items("CHAIN").await.len() as u64
    }

    /// The items of one of the organization's partitions, such as `AUDIT`, in the order of their keys.
    ///
    /// # Panics
    /// When the table does not answer.
    pub async fn items(&self, partition: &str) -> Vec<Attributes> {
        let query = self.stack.dynamodb.query().table_name(variable("JOBS_TABLE")).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let pk = AttributeValue::S(format!("{partition}#{}", self.id));
        let pages = query.expression_attribute_values(":pk", pk).into_paginator().items().send();
        pages.collect::<Result<_, _>>().await.expect("the table answers")
    }

    /// Writes an item in the place of what is there.
    ///
    /// # Panics
    /// When the table refuses it.
    pub async fn put_item(&self, item: Attributes) {
        let put = self.stack.dynamodb.put_item().table_name(variable("JOBS_TABLE"));
        put.set_item(Some(item)).send().await.expect("the item is written");
    }

    /// Deletes an item.
    ///
    /// # Panics
    /// When the table refuses it.
    pub async fn delete_item(&self, item: &Attributes) {
        let [pk, sk] = ["pk", "sk"].map(|name| item[name].as_s().expect("a text"));
        let delete = self.stack.dynamodb.delete_item().table_name(variable("JOBS_TABLE"));
        delete.set_key(Some(key(pk, sk))).send().await.expect("the item is deleted");
    }

    /// Lets the organization's head be due for its signature, as on the next day.
    ///
    /// # Panics
    /// When the chain has no head.
    pub async fn next_day(&self) {
        let past = Timestamp::now() - SignedDuration::from_hours(1);
        let update = self.stack.dynamodb.update_item().table_name(variable("JOBS_TABLE"));
        let update = update
            .set_key(Some(key(&format!("HEAD#{}", self.id), "HEAD")))
            .condition_expression("attribute_exists(sign_at)")
            // The version, so that no sweep writes the head as it read it before.
            .update_expression("set sign_at = :past, due = :heads, due_at = :at, version = version + :one")
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":past", AttributeValue::S(past.to_string()))
            .expression_attribute_values(":heads", AttributeValue::S("heads".to_owned()))
            .expression_attribute_values(":at", AttributeValue::N(past.as_millisecond().to_string()));
        update.send().await.expect("the chain has grown");
    }

    /// The JSON of a path below the organization's audit trail.
    pub async fn audit(&self, path: &str) -> Value {
        self.stack.api.get(&format!("/orgs/{}/audit{path}", self.id), &self.token).await.expect(200).json()
    }
}
