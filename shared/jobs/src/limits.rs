//! How often an organization's callers may do something on one day.

use std::str::FromStr;

use aws_sdk_dynamodb::{operation::update_item::UpdateItemError, types::AttributeValue};
use domain::OrgId;
use jiff::{SignedDuration, Timestamp};

use super::{JobsError, JobsTable, item::primary_key};

/// The time for which a day's counts are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(48);

/// The calls that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Requests for an export, also repeated ones.
    Exports,
    /// Links to files.
    Downloads,
    /// Usage and reconciliations, which read the database.
    Queries,
}

impl Counted {
    const fn attribute(self) -> &'static str {
        match self {
            Self::Exports => "exports",
            Self::Downloads => "downloads",
            Self::Queries => "queries",
        }
    }
}

/// The maximum numbers of calls per organization and UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyLimits {
    exports: u32,
    downloads: u32,
    queries: u32,
}

impl DailyLimits {
    /// Returns the maximum number of calls of a kind.
    pub const fn of(self, counted: Counted) -> u32 {
        match counted {
            Counted::Exports => self.exports,
            Counted::Downloads => self.downloads,
            Counted::Queries => self.queries,
        }
    }
}

/// Text that is not three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not three whole numbers from 1 on, with commas between them")]
pub struct InvalidLimits;

impl FromStr for DailyLimits {
    type Err = InvalidLimits;

    /// Parses the numbers of exports, downloads and queries, such as `1000,5000,20000`.
    fn from_str(text: &str) -> Result<Self, InvalidLimits> {
        let numbers = text.split(',').map(|number| number.parse().ok().filter(|number| *number > 0));
        let numbers: Option<Vec<u32>> = numbers.collect();
        let [exports, downloads, queries] = numbers.ok_or(InvalidLimits)?.try_into().map_err(|_| InvalidLimits)?;
        Ok(Self { exports, downloads, queries })
    }
}

/// The reason why a call is not made.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The organization has used up its calls of this kind until the next UTC day.
    #[error("the organization has made all of today's calls of this kind")]
    Reached(Counted),
    /// The table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

impl JobsTable {
    /// Counts a call of an organization.
    ///
    /// # Errors
    /// When the limit of the day is reached, or DynamoDB did not confirm the count. The call must then not be made.
    pub async fn count(
        &self,
        org: OrgId,
        counted: Counted,
        limits: DailyLimits,
        now: Timestamp,
    ) -> Result<(), LimitError> {
        let day = now.strftime("%Y-%m-%d");
        let number = |number: i64| AttributeValue::N(number.to_string());
        let update = self.client.update_item().table_name(&self.name);
        // In a partition of its own: an item collection with a local index has a size limit.
        let update = update.set_key(Some(primary_key(format!("LIMIT#{org}"), format!("DAY#{day}"))));
        let counting = update
            .update_expression("add #counted :one set #ttl = if_not_exists(#ttl, :ttl)")
            .condition_expression("attribute_not_exists(#counted) or #counted < :limit")
            .expression_attribute_names("#counted", counted.attribute())
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":limit", number(limits.of(counted).into()))
            .expression_attribute_values(
                ":ttl",
                number(now.saturating_add(KEPT).unwrap_or(Timestamp::MAX).as_second()),
            );
        // An answer that is lost counts twice; nothing else depends on it.
        match counting.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Err(LimitError::Reached(counted)),
                _ => Err(JobsError::table("count a call", error).into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_three_numbers() {
        let limits: DailyLimits = "1,20,300".parse().unwrap();
        let of = [Counted::Exports, Counted::Downloads, Counted::Queries].map(|counted| limits.of(counted));
        assert_eq!(of, [1, 20, 300]);
        for wrong in ["", "1", "1,2", "1,2,3,4", "1,2,0", "1,2,-3", "1, 2,3", "a,b,c"] {
            assert_eq!(wrong.parse::<DailyLimits>(), Err(InvalidLimits), "{wrong}");
        }
    }
}
