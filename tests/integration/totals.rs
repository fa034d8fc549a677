//! The totals of a range are the same at every granularity, but for the rounding that is stated.

use std::time::Duration;

use domain::{ExportRequest, Totals};
use jiff::{SignedDuration, Timestamp};
use postgres::{Database, LimitedReads};
use rust_decimal::Decimal;
use tests::{UsageDatabase, organization::export_of, rollup::instant, usage::system_time};
use tokio_postgres::Client;
use usage::{maintenance::refresh::refresh, raw_sums, rollup_sums};
use uuid::Uuid;

use super::engine;

const LONG: Duration = Duration::from_secs(60);
const START: &str = "2026-03-01T00:00:00Z";
const END: &str = "2026-04-01T00:00:00Z";

/// Events of one organization, with costs of any sign and of up to 18 decimals.
struct Usage {
    org: Uuid,
    models: Vec<Option<Uuid>>,
    at: Vec<Timestamp>,
    tokens: Vec<i64>,
    errors: Vec<bool>,
    costs: Vec<Decimal>,
}

impl Usage {
    fn random(org: u128, random: &mut fastrand::Rng) -> Self {
        let count = random.usize(1..400);
        let models = random.u128(1..6);
        // Of one scale, or of all.
        let scale = random.bool().then(|| random.u32(0..=18));
        let start = instant(START).as_second();
        let mut times = || Timestamp::from_second(random.i64(start..start + 31 * 86_400)).unwrap();
        let at = (0..count).map(|_| times()).collect();
        let cost = |random: &mut fastrand::Rng| {
            let scale = scale.unwrap_or_else(|| random.u32(0..=18));
            // Now and then in the middle between two lines.
            let digits = random.i64(-10_000_000..10_000_000);
            if random.u8(0..4) == 0 { Decimal::new(digits * 10 + 5, 5) } else { Decimal::new(digits, scale) }
        };
        Self {
            org: Uuid::from_u128(org),
            models: (0..count).map(|_| random.u128(0..models).checked_sub(1).map(Uuid::from_u128)).collect(),
            at,
            tokens: (0..count).map(|_| random.i64(0..1_000_000)).collect(),
            errors: (0..count).map(|_| random.bool()).collect(),
            costs: (0..count).map(|_| cost(random)).collect(),
        }
    }

    async fn insert(&self, client: &Client) {
        let models = &self.models;
        let at: Vec<_> = self.at.iter().map(|at| system_time(*at)).collect();
        let status: Vec<&str> = self.errors.iter().map(|error| if *error { "error" } else { "success" }).collect();
        let costs: Vec<String> = self.costs.iter().map(Decimal::to_string).collect();
        let insert = "insert into usage_events (event_id, organization_id, model_id, occurred_at, input_tokens,
                                                output_tokens, status, cost_usd)
                      select gen_random_uuid(), $1, model, at, tokens, 0, status, cost::numeric
                      from unnest($2::uuid[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[])
                           as event (model, at, tokens, status, cost)";
        let inserted = client.execute(insert, &[&self.org, models, &at, &self.tokens, &status, &costs]).await.unwrap();
        assert_eq!(inserted, self.at.len() as u64);
    }

    /// The counts, and the exact cost, of some models or of all.
    fn sums(&self, models: Option<&[Uuid]>) -> Totals {
        let mut sums = Totals::default();
        for index in 0..self.at.len() {
            let is_chosen = models.is_none_or(|models| self.models[index].is_some_and(|model| models.contains(&model)));
            if is_chosen {
                sums.request_count += 1;
                sums.tokens_total += i128::from(self.tokens[index]);
                sums.error_count += i128::from(self.errors[index]);
                sums.cost_total += self.costs[index];
            }
        }
        sums
    }
}

#[tokio::test]
async fn totals_differ_by_the_stated_rounding_alone() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let own = Database::new(database.url().parse::<postgres::Address>().unwrap(), "tests");
    let mut random = fastrand::Rng::with_seed(2026);
    let all: Vec<Usage> = (1..=24).map(|org| Usage::random(org, &mut random)).collect();
    for usage in &all {
        usage.insert(&client).await;
    }
    let now = instant(END) + SignedDuration::from_hours(3);
    let report = refresh(&mut client, now, LONG).await.unwrap();
    assert_eq!((report.failed, report.unfinished), (0, false), "{report:?}");
    for usage in &all {
        for models in [None, Some(vec![Uuid::from_u128(0), Uuid::from_u128(2)])] {
            let expected = usage.sums(models.as_deref());
            for granularity in ["hourly", "daily", "monthly"] {
                let mut body = export_of(START, END, granularity);
                if let Some(models) = &models {
                    body["models"] = serde_json::json!(models);
                }
                let request = ExportRequest::from_json(&body).unwrap();
                let (_, file) = engine::export(&own, usage.org, &request, 2).await;
                let rounding = file.rounding_difference.unwrap();
                let exact = Totals { cost_total: file.totals.cost_total + rounding, ..file.totals };
                assert_eq!(exact, expected, "{granularity} of {}", usage.org);
                // Each line is rounded by at most half a unit.
                assert!(rounding.abs() <= Decimal::new(5, 5) * Decimal::from(file.row_count), "{rounding}");
                let reads = LimitedReads::begin(&client, LONG).await.unwrap();
                let rolled = rollup_sums(&reads, usage.org.into(), &request).await.unwrap();
                assert_eq!((rolled.lines, rolled.exact_cost), (file.totals, exact.cost_total.normalize()));
                let raw = raw_sums(&reads, usage.org.into(), &request).await.unwrap();
                assert_eq!(raw, (expected.request_count > 0).then_some(rolled), "{granularity} of {}", usage.org);
            }
        }
    }
    drop(client);
    database.drop().await;
}
