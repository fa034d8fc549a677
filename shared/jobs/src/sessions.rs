//! What is kept of people who sign in, or are signed in, for a while: values that end by themselves, and can be taken away
//! before.
//!
//! Nothing of this is a job. It is in the same table since that has a TTL, consistent reads and the API's rights already.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{Put, ReturnValue},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    CorruptItem, Item, JobsError, JobsTable, item,
    transaction::{self, Refused},
};

/// The attribute that is taken away.
const VALUE: &str = "value";

/// The place of a value. Whoever knows the secret that its digest is of can find it, and nobody else: the table holds no
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pk: String,
    sk: String,
}

impl Place {
    /// The place of an attempt to sign in, by the digest of its state and its browser.
    pub fn of_login(digest: &str) -> Self {
        Self { pk: format!("LOGIN#{digest}"), sk: "LOGIN".to_owned() }
    }

    /// The place of a session, by the pseudonym of its subject and the digest of its secret. All sessions of a subject are
    /// in one partition, so that they can be found and ended together.
    pub fn of_session(pseudonym: &str, digest: &str) -> Self {
        Self { pk: format!("SESSIONS#{pseudonym}"), sk: digest.to_owned() }
    }

    fn key(&self) -> Item {
        item::primary_key(self.pk.clone(), self.sk.clone())
    }
}

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    pk: String,
    sk: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<T>,
    ttl: i64,
}

fn read<T: DeserializeOwned>(attributes: Item, now: Timestamp) -> Result<Option<T>, CorruptItem> {
    let kept: Kept<T> = item::read(attributes)?;
    // DynamoDB deletes hours after the TTL.
    Ok(kept.value.filter(|_| kept.ttl > now.as_second()))
}

impl JobsTable {
    /// Keeps a value until an instant, at a place where nothing is.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn keep<T: Serialize>(&self, place: &Place, value: T, until: Timestamp) -> Result<(), JobsError> {
        const ACTION: &str = "keep a session";
        let Place { pk, sk } = place.clone();
        let kept = Kept { pk, sk, value: Some(value), ttl: until.as_second() };
        let put = Put::builder().table_name(&self.name).set_item(Some(item::write(kept)?));
        let put = transaction::put(put.condition_expression("attribute_not_exists(pk)"))?;
        match self.write(vec![put], ACTION).await {
            Ok(()) => Ok(()),
            // Places are random numbers.
            Err(Refused::Condition(_)) => Err(JobsError::Contended { action: ACTION }),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Returns the value of a place, unless it has ended or was taken away.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is another one.
    pub async fn kept<T: DeserializeOwned>(&self, place: &Place, now: Timestamp) -> Result<Option<T>, JobsError> {
        let item = self.get_item(place.key(), "read a session").await?;
        item.map_or(Ok(None), |item| Ok(read(item, now)?))
    }

    /// Takes the value of a place away, and returns it. Of several who try at once, one gets it. After an answer that was
    /// lost, nobody does.
    ///
    /// The item stays until its TTL, without the value: no function may delete from the table.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it, or the item is another one.
    pub async fn take<T: DeserializeOwned>(&self, place: &Place, now: Timestamp) -> Result<Option<T>, JobsError> {
        let update = self.client.update_item().table_name(&self.name).set_key(Some(place.key()));
        let taking = update
            .update_expression("remove #value")
            .condition_expression("attribute_exists(#value)")
            .expression_attribute_names("#value", VALUE)
            .return_values(ReturnValue::AllOld);
        match taking.send().await {
            Ok(answer) => answer.attributes.map_or(Ok(None), |item| Ok(read(item, now)?)),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(JobsError::table("end a session", error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(value: serde_json::Value, ttl: i64) -> Item {
        let item = Kept { pk: "SESSIONS#a".to_owned(), sk: "b".to_owned(), value: Some(value), ttl };
        serde_dynamo::to_item(item).unwrap()
    }

    #[test]
    fn a_value_ends_at_its_instant_whenever_the_table_deletes_it() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let value = json!({"a": [1, "b"]});
        assert_eq!(read(item(value.clone(), now.as_second() + 1), now).unwrap(), Some(value.clone()));
        for ttl in [0, now.as_second() - 1, now.as_second()] {
            assert_eq!(read::<serde_json::Value>(item(value.clone(), ttl), now).unwrap(), None, "{ttl}");
        }
    }

    #[test]
    fn a_value_that_was_taken_is_none() {
        let mut item = item(json!(1), i64::MAX);
        item.remove(VALUE);
        assert_eq!(read::<i32>(item, Timestamp::UNIX_EPOCH).unwrap(), None);
    }

    #[test]
    fn places_do_not_meet() {
        let places = [Place::of_login("a"), Place::of_session("a", "LOGIN"), Place::of_session("LOGIN", "a")];
        assert!(places.iter().all(|place| places.iter().filter(|other| place == *other).count() == 1));
    }
}
