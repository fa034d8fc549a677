//! An organization's settings: its schedule, the delivery of its files, its tolerance, when its months become final, and
//! its webhook. Each change is a new version; versions are never changed or deleted.

mod delivery;
mod schedule;
mod secret;
mod webhook;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    delivery::{AccountId, BucketName, BucketPatterns, Destination, InvalidPatterns, KeyPrefix, Region},
    schedule::{Due, LAST_DAY, Schedule, When},
    secret::{OVERLAP_HOURS, PreviousSecret, WebhookSecret, WebhookSecrets},
    webhook::{Webhook, WebhookUrl},
};
use super::{
    Granularity, Subject,
    ledger::read_tolerance,
    reconciliation::Tolerance,
    request::{Errors, FieldError},
};

/// Maximum number of days by which an organization may delay that its figures are final.
pub const MAX_FINAL_AFTER_DAYS: u8 = 15;

/// The settings of an organization. The default ones are those of an organization that never set any.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// The schedule of the organization's monthly file; `None` for the platform's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The place to which scheduled files are copied; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Destination>,
    /// The largest accepted difference where a comparison or a reconciliation names none.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// The number of days after its end for which a range stays provisional, from 0 to [`MAX_FINAL_AFTER_DAYS`].
    #[serde(default)]
    pub final_after_days: u8,
    /// The receiver of events; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A version of an organization's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsVersion {
    /// The number of the version, from 1 on.
    pub version: u32,
    /// The settings.
    pub settings: Settings,
    /// The time of the change.
    pub at: Timestamp,
    /// The person or program that changed them.
    pub subject: Subject,
}

impl Settings {
    /// Reads settings from a JSON body. It is the whole of them: what is left out has its default.
    ///
    /// # Errors
    /// All mistakes at once: unknown fields of an object first, then its fields in the order of the documentation.
    pub fn from_json(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let known = ["schedule", "delivery", "tolerancePercent", "finalAfterDays", "webhook"];
        let Some(fields) = errors.object(body, "", &known) else { return Err(errors.0) };
        let settings = Self {
            schedule: fields.get("schedule").and_then(|value| Schedule::read(value, &mut errors)),
            delivery: fields.get("delivery").and_then(|value| Destination::read(value, &mut errors)),
            tolerance: read_tolerance(fields, &mut errors).unwrap_or_default(),
            final_after_days: fields.get("finalAfterDays").map_or(0, |value| read_days(value, &mut errors)),
            webhook: fields.get("webhook").and_then(|value| Webhook::read(value, &mut errors)),
        };
        settings.check_days(&mut errors);
        if errors.0.is_empty() { Ok(settings) } else { Err(errors.0) }
    }

    /// Returns the schedule of the organization's monthly file; `None` if it is the platform's. An organization whose
    /// months become final later, and that names no day, gets its file when they are.
    pub fn own_schedule(&self) -> Option<Schedule> {
        let when_final = Schedule { when: When::WhenFinal, granularity: Granularity::default() };
        self.schedule.or_else(|| (self.final_after_days > 0).then_some(when_final))
    }

    /// Returns the first instant at which figures of a range that ends at `end` may be final.
    pub fn final_from(&self, end: Timestamp) -> Timestamp {
        end.saturating_add(SignedDuration::from_hours(24 * i64::from(self.final_after_days))).unwrap_or(Timestamp::MAX)
    }

    /// A file of a day on which its month cannot be final yet would always be provisional.
    fn check_days(&self, errors: &mut Errors) {
        if let Some(Schedule { when: When::Day(day), .. }) = self.schedule
            && day <= self.final_after_days
        {
            let first = self.final_after_days.saturating_add(1);
            let detail = format!(
                "must be at least {first}: with finalAfterDays {}, the month before is provisional until then",
                self.final_after_days
            );
            errors.add::<()>("/schedule/day", detail);
        }
    }
}

fn read_days(value: &Value, errors: &mut Errors) -> u8 {
    let days = value.as_u64().and_then(|days| u8::try_from(days).ok()).filter(|days| *days <= MAX_FINAL_AFTER_DAYS);
    let wrong = format!("must be a whole number of days from 0 to {MAX_FINAL_AFTER_DAYS}");
    days.or_else(|| errors.add("/finalAfterDays", wrong)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
