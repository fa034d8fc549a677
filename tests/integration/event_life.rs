//! Fifteen months of events, from their arrival to the end of what was made of them, by a clock that the test moves:
//! late, sent again, without a model, around the ends of days, months and years and where clocks change.
//!
//! At every step the rollups are what an independent count of the events makes of them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use domain::{ExportRequest, Totals};
use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{Date, Time},
    tz::TimeZone,
};
use tests::{
    Event, Table, UsageDatabase,
    organization::export_of,
    rollup::instant,
    usage::{expected_rollups, kept_events, rollups, send},
};
use tokio_postgres::Client;
use usage::{
    maintenance::{
        refresh::refresh,
        retention::{Periods, RetentionReport, retention},
    },
    series,
};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(120);
const PERIODS: Periods =
    Periods { events_plain_days: 7, events_kept_days: 400, keys_kept_days: 35, rollups_kept_months: 13 };
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Where the writers' sessions are: none of it may matter, be it half an hour off or about to change its clocks.
const ZONES: [&str; 5] = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"];

/// When clocks change in these.
const CHANGES: [&str; 6] = [
    "2024-03-10T07:00:00Z",
    "2024-03-31T01:00:00Z",
    "2024-04-06T15:00:00Z",
    "2024-10-27T01:00:00Z",
    "2024-11-03T06:00:00Z",
    "2025-03-09T07:00:00Z",
];

struct Life {
    now: Timestamp,
    /// Around when late events occurred that come now.
    late: Timestamp,
    random: fastrand::Rng,
    client: Client,
    /// Every event that was ever accepted, by what makes it one.
    accepted: BTreeMap<(Uuid, Uuid), Event>,
    /// The first day whose raw events are kept, and the first month whose rollups are.
    events_from: Timestamp,
    rollups_from: Timestamp,
    sent: usize,
    refused: usize,
    packed: u64,
    dropped: u64,
}

#[tokio::test]
async fn fifteen_months_are_counted_right_at_every_step() {
    let start = Instant::now();
    let database = UsageDatabase::create().await;
    let mut life = Life::begin(database.client().await, instant("2023-12-10T00:00:00Z"));
    // Over February 29, two ends of a year, and every change of clocks in between.
    let end = instant("2025-03-12T12:00:00Z");
    let mut steps = 0;
    while life.now < end {
        let month = day(life.now).first_of_month();
        life.advance();
        life.receive().await;
        life.refresh().await;
        if steps % 2 == 0 {
            life.night().await;
        }
        life.check_rollups().await;
        if day(life.now).first_of_month() != month {
            life.month_ended(month).await;
        }
        steps += 1;
    }
    life.night().await;
    life.check_rollups().await;
    life.check_events().await;
    assert!(life.dropped > 40 && life.refused > 0 && life.packed > 1000, "the time was long enough");
    eprintln!(
        "{steps} steps: {} events sent, {} accepted, {} refused, {} compressed, in {} s",
        life.sent,
        life.accepted.len(),
        life.refused,
        life.packed,
        start.elapsed().as_secs(),
    );
    database.drop().await;
}

impl Life {
    fn begin(client: Client, now: Timestamp) -> Self {
        Self {
            now,
            late: now,
            random: fastrand::Rng::with_seed(2024),
            client,
            accepted: BTreeMap::new(),
            events_from: Timestamp::MIN,
            rollups_from: Timestamp::MIN,
            sent: 0,
            refused: 0,
            packed: 0,
            dropped: 0,
        }
    }

    /// Moves the clock on by up to a week; now and then to the very end of a day.
    fn advance(&mut self) {
        self.now += SignedDuration::from_mins(self.random.i64(60..7 * 24 * 60));
        if self.random.u8(..) < 32 {
            self.now = midnight(day(self.now).tomorrow().unwrap());
        }
        self.late = self.now
            - match self.random.u8(0..3) {
                0 => SignedDuration::from_hours(self.random.i64(0..430 * 24)),
                _ => SignedDuration::from_hours(self.random.i64(0..60 * 24)),
            };
        if self.random.u8(0..4) == 0 {
            let change = instant(self.random.choice(CHANGES).unwrap());
            self.late = if change < self.now { change } else { self.late };
        }
    }

    /// What comes in by now: of the last days, late, and again.
    async fn receive(&mut self) {
        let zone = self.random.choice(ZONES).unwrap();
        self.client.batch_execute(&format!("set timezone = '{zone}'")).await.unwrap();
        for _ in 0..3 {
            let mut events: Vec<Event> = (0..self.random.usize(1..30)).map(|_| self.event()).collect();
            for _ in 0..self.random.usize(0..6) {
                events.extend(self.again());
            }
            self.random.shuffle(&mut events);
            let accepted = self.accept(&events);
            assert_eq!(send(&self.client, &events).await, accepted, "{zone}, {}", self.now);
            self.sent += events.len();
        }
        self.client.batch_execute("set timezone = 'UTC'").await.unwrap();
    }

    /// A new event: of the last days, or late.
    fn event(&mut self) -> Event {
        let latest = if self.random.u8(0..6) == 0 { self.late } else { self.now };
        let before = SignedDuration::from_micros(self.random.i64(0..2 * 24 * 3600 * 1_000_000));
        let occurred_at = match self.random.u8(0..10) {
            // The first and the last instant of a day, and just where the late ones are.
            0 => midnight(day(latest)),
            1 => midnight(day(latest)) - SignedDuration::from_micros(1),
            2 => latest,
            _ => latest - before,
        };
        Event {
            model_id: self.random.u8(..4).checked_sub(1).map(|model| Uuid::from_u128(0xA0 + u128::from(model))),
            received_at: self.now,
            input_tokens: self.random.i64(0..100_000),
            output_tokens: self.random.i64(0..5_000),
            status: self.random.choice(["success", "success", "error", "timeout", "throttled"]).unwrap().to_owned(),
            cost: self.random.i64(-5_000..2_000_000),
            event_id: Uuid::from_u128(self.random.u128(..)),
            ..Event::at(Uuid::from_u128(self.random.u128(1..4)), occurred_at)
        }
    }

    /// An event that was sent before. If that was lately, perhaps with another time and cost.
    fn again(&mut self) -> Option<Event> {
        let skip = self.random.usize(..self.accepted.len().max(1));
        let mut event = self.accepted.values().nth(skip)?.clone();
        let lately = event.occurred_at.max(event.received_at) > self.now - SignedDuration::from_hours(24 * 30);
        event.received_at = self.now;
        if lately && self.random.bool() {
            event.occurred_at -= SignedDuration::from_mins(self.random.i64(0..5_000));
            event.cost += 1;
        }
        Some(event)
    }

    /// What a writer must find accepted of these, in their order.
    fn accept(&mut self, events: &[Event]) -> u64 {
        let mut accepted = 0;
        for event in events {
            let entry = self.accepted.entry((event.organization_id, event.event_id));
            let Entry::Vacant(vacant) = entry else { continue };
            if event.occurred_at < self.events_from {
                self.refused += 1;
            } else {
                vacant.insert(event.clone());
                accepted += 1;
            }
        }
        accepted
    }

    async fn refresh(&mut self) {
        let report = refresh(&mut self.client, self.now, LONG).await.expect("the refresh succeeds");
        assert_eq!((report.failed, report.kept, report.unfinished), (0, 0, false), "{}", self.now);
    }

    async fn night(&mut self) -> RetentionReport {
        let report = retention(&mut self.client, self.now, &PERIODS, LONG).await.expect("the retention succeeds");
        assert_eq!((report.postponed, report.unfinished), (0, false), "{}: {report:?}", self.now);
        // Counted by hand: whole days of 24 hours, and whole months.
        self.events_from = midnight(day(self.now - SignedDuration::from_hours(400 * 24)));
        self.rollups_from = midnight(day(self.now).saturating_sub(13.months()).first_of_month());
        self.packed += report.events_packed;
        self.dropped += report.event_partitions_dropped;
        report
    }

    /// The rollups are those of all events that were accepted, but for the months that are gone.
    async fn check_rollups(&self) {
        let counted = || self.accepted.values().filter(|event| event.occurred_at >= self.rollups_from);
        for (table, seconds) in [(Table::Hourly, HOUR), (Table::Daily, DAY)] {
            let (found, expected) = (rollups(&self.client, table).await, expected_rollups(counted(), seconds));
            let wrong = expected.iter().find(|(key, sums)| found.get(key) != Some(sums));
            assert_eq!(wrong.map(|(key, sums)| (key, found.get(key), sums)), None, "{table:?} at {}", self.now);
            assert_eq!(found.len(), expected.len(), "{table:?} at {}", self.now);
        }
    }

    /// The raw events are those that were accepted, but for the days that are gone.
    async fn check_events(&self) {
        let expected: Vec<&Event> =
            self.accepted.values().filter(|event| event.occurred_at >= self.events_from).collect();
        let found = kept_events(&self.client).await;
        assert_eq!(found.len(), expected.len());
        let wrong = found.iter().zip(expected).find(|(found, expected)| found != expected);
        assert_eq!(wrong, None);
    }

    /// What is done when a month is over: its exports, by hour, day and month, have the same totals.
    async fn month_ended(&self, month: Date) {
        let (start, end) = (midnight(month), midnight(month.saturating_add(1.month())));
        for org in (1..4).map(Uuid::from_u128) {
            let mut expected = Totals::default();
            for event in self.accepted.values().filter(|event| event.organization_id == org) {
                if (start..end).contains(&event.occurred_at) {
                    expected.request_count += 1;
                    expected.tokens_total += i128::from(event.input_tokens + event.output_tokens);
                    expected.error_count += i128::from(event.status != "success");
                    expected.cost_total += rust_decimal::Decimal::new(event.cost, 4);
                }
            }
            for granularity in ["hourly", "daily", "monthly"] {
                let body = export_of(&start.to_string(), &end.to_string(), granularity);
                let request = ExportRequest::from_json(&body).expect("a month is a range");
                let series = series(&self.client, org.into(), &request, usize::MAX, LONG).await.unwrap();
                let totals =
                    series.iter().try_fold(Totals::default(), |totals, entry| totals.try_add(entry.sums)).unwrap();
                assert_eq!(totals, expected, "{granularity} of {month}");
            }
        }
        self.check_events().await;
    }
}

fn day(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

fn midnight(day: Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight())).unwrap()
}
