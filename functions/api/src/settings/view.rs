//! Settings as requests and answers have them.

use std::collections::BTreeSet;

use domain::{
    EventKind, Granularity, OrgId, Settings, SettingsVersion,
    settings::{Destination, Schedule, Webhook, WebhookSecrets, When},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Number, Value, json};
use utoipa::{
    ToSchema,
    openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type},
};
use uuid::Uuid;

use crate::{instant::whole_second, problem::Problem};

/// The whole of an organization's settings. What is left out has its default.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase", as = ChangeSettings)]
#[expect(dead_code, reason = "it describes what `Settings::from_json` reads")]
pub(crate) struct SettingsBody {
    /// The schedule of the monthly file. Left out, the file is made on the 1st, when the figures are final or at 08:00 UTC;
    /// with `finalAfterDays`, when they are final.
    schedule: Option<ScheduleView>,
    /// The bucket to which scheduled files are copied. Left out, they are copied to none.
    delivery: Option<DeliveryView>,
    /// The largest accepted difference where a comparison or a reconciliation names none, in percent, with at most 6
    /// decimals; 1 by default.
    #[schema(minimum = 0, maximum = 100)]
    tolerance_percent: Option<f64>,
    /// The number of days after its end for which a range stays provisional, since usage may still arrive; 0 by default.
    #[schema(minimum = 0, maximum = 15)]
    final_after_days: Option<u8>,
    /// The receiver of events. Left out, none are sent.
    webhook: Option<WebhookView>,
}

/// A version of an organization's settings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Settings)]
pub(crate) struct SettingsView {
    /// The organization.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// The number of the version, from 1 on; 0 if none were ever set. The ETag is this number in quotes.
    version: u32,
    /// `true` if none were ever set: all values are the defaults.
    is_default: bool,
    /// The time of the change; absent if none were ever set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    changed_at: Option<Timestamp>,
    /// The person or program that changed them: the token's subject if it is a UUID, else a UUID derived from issuer and
    /// subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<Uuid>,
    /// The schedule of the monthly file; absent if it is the platform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleView>,
    /// The bucket to which scheduled files are copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryView>,
    /// The largest accepted difference where a comparison or a reconciliation names none, in percent.
    #[schema(value_type = f64)]
    tolerance_percent: Number,
    /// The number of days after its end for which a range stays provisional.
    final_after_days: u8,
    /// The receiver of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookView>,
    /// The time at which the present secret of the webhook was made; absent if there is none, and in versions of before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    webhook_secret_made_at: Option<Timestamp>,
    /// What is still to be done for the settings to work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    notes: Vec<String>,
}

/// The schedule of an organization's monthly file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Schedule)]
struct ScheduleView {
    /// The kind of schedule.
    #[schema(value_type = ScheduleKind)]
    kind: &'static str,
    /// The day of the next month, from 1 to 28, in UTC: the file is made from 03:00 on, when the figures are final or at
    /// 08:00. Or `whenFinal`: on the day on which they are final, and on the 28th if they are not.
    #[schema(schema_with = day_schema)]
    day: Value,
    /// The length of the buckets; `daily` by default.
    #[schema(required = false)]
    granularity: Granularity,
}

/// Describes a day of the month, or the one on which the figures are final.
fn day_schema() -> Schema {
    let day = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(28));
    let when_final = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["whenFinal"]));
    OneOfBuilder::new().item(day).item(when_final).into()
}

/// The kinds of schedules.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
enum ScheduleKind {
    #[expect(dead_code, reason = "it only describes")]
    Monthly,
}

/// The bucket to which an organization's scheduled files are copied. The operator has to admit it, and its owner proves by
/// the object `<prefix>.analytics-<orgId>` in it that it is the organization's.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
struct DeliveryView {
    /// The bucket.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", example = "acme-costs")]
    bucket: String,
    /// The beginning of the keys: empty, or ends with a slash; empty by default.
    #[schema(required = false, max_length = 200, example = "usage/")]
    prefix: String,
    /// The AWS account that owns the bucket.
    #[schema(pattern = "^[0-9]{12}$", example = "123456789012")]
    account_id: String,
    /// The bucket's region; by default that of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "eu-central-1")]
    region: Option<String>,
}

/// The receiver of an organization's events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
struct WebhookView {
    /// The address: https, the public name of a host, and no port but 443.
    #[schema(max_length = 500, example = "https://finance.example.com/hooks")]
    url: String,
    /// The kinds of events that it receives, each once.
    #[schema(min_items = 1)]
    events: BTreeSet<EventKind>,
}

impl SettingsView {
    /// Creates the view of a version; `None` is that of an organization that never set any. `secrets` is `None` for a
    /// version of before, whose secret is not known.
    pub(super) fn of(
        org: OrgId,
        found: Option<SettingsVersion>,
        secrets: Option<Option<&WebhookSecrets>>,
    ) -> Result<Self, Problem> {
        let notes = notes(found.as_ref().map(|found| &found.settings), secrets);
        let version = found.as_ref().map_or(0, |found| found.version);
        let changed_at = found.as_ref().map(|found| whole_second(found.at));
        let changed_by = found.as_ref().map(|found| found.subject.id());
        let Settings { schedule, delivery, tolerance, final_after_days, webhook } =
            found.map(|found| found.settings).unwrap_or_default();
        Ok(Self {
            org_id: org,
            version,
            is_default: version == 0,
            changed_at,
            changed_by,
            schedule: schedule.map(ScheduleView::from),
            delivery: delivery.map(DeliveryView::from),
            tolerance_percent: tolerance.to_string().parse().map_err(Problem::internal)?,
            final_after_days,
            webhook: webhook.map(WebhookView::from),
            webhook_secret_made_at: secrets.flatten().map(|secrets| whole_second(secrets.made_at)),
            notes,
        })
    }

    /// Returns the number of the version.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }
}

fn notes(settings: Option<&Settings>, secrets: Option<Option<&WebhookSecrets>>) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(settings) = settings else {
        notes.push("The organization never set any: these are the defaults.".to_owned());
        return notes;
    };
    if settings.webhook.is_some() && secrets == Some(None) {
        notes.push(
            "The webhook receives nothing until it has a secret: POST …/settings/webhook/secret makes one.".to_owned(),
        );
    }
    notes
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        let day = match schedule.when {
            When::Day(day) => json!(day),
            When::WhenFinal => json!("whenFinal"),
        };
        Self { kind: "monthly", day, granularity: schedule.granularity }
    }
}

impl From<Destination> for DeliveryView {
    fn from(delivery: Destination) -> Self {
        Self {
            bucket: delivery.bucket.into(),
            prefix: delivery.prefix.into(),
            account_id: delivery.account.into(),
            region: delivery.region.map(String::from),
        }
    }
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        Self { url: webhook.url.into(), events: webhook.events }
    }
}
