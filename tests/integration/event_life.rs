//! Fifteen months of events, from their arrival to the end of what was made of them, by a clock that the test moves:
//! late, sent again, ahead of their time, without a model, around the ends of days, months and years and where clocks
//! change. Now and then the rollup tables refuse an organization's hours, or a policy hides rows from the refresh; one
//! writer never stops.
//!
//! At every step the rollups are what an independent count of the events makes of them.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{ExportRequest, Totals};
use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{Date, Time},
    tz::TimeZone,
};
use postgres::Connection;
use postgres::LimitedReads;
use tests::{
    Event, Table, UsageDatabase,
    organization::export_of,
    rollup::instant,
    usage::{PERIODS, expected_rollups, kept_events, rollups, send, system_time},
};
use tokio_postgres::Client;
use usage::{
    maintenance::{
        refresh::refresh,
        retention::{RetentionReport, retention},
    },
    series,
};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(120);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The organizations whose events the test sends, and counts at every step.
const ORGS: std::ops::Range<u128> = 1..4;

/// The organization of the writer that never stops.
const BUSY: Uuid = Uuid::from_u128(9);

/// The time zones of the writers' sessions, which must not matter: some are half an hour off, some change their clocks.
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
    client: Connection,
    /// Every event that was ever accepted, by what makes it one.
    accepted: BTreeMap<(Uuid, Uuid), Event>,
    /// The first day whose raw events are kept, and the first month whose rollups are.
    events_from: Timestamp,
    rollups_from: Timestamp,
    sent: usize,
    refused: usize,
    packed: u64,
    dropped: u64,
    /// Events that came more than a day ahead of their receipt and were not accepted since.
    ahead: BTreeMap<(Uuid, Uuid), Event>,
    /// The organization whose hours the rollup tables refuse now.
    refusing: Option<Uuid>,
    /// Hours that were refused, at all steps.
    failed: u64,
}

#[tokio::test]
async fn fifteen_months_are_counted_right_at_every_step() {
    let start = Instant::now();
    let database = UsageDatabase::create().await;
    let mut life = Life::begin(database.client().await, instant("2023-12-10T00:00:00Z")).await;
    let clock = Arc::new(AtomicI64::new(life.now.as_second()));
    let busy = tokio::spawn(write_without_end(database.client().await, clock.clone()));
    // Over February 29, two ends of a year, and every change of clocks in between.
    let end = instant("2025-03-12T12:00:00Z");
    let mut steps = 0;
    while life.now < end {
        let month = day(life.now).first_of_month();
        life.advance();
        clock.store(life.now.as_second(), Ordering::Relaxed);
        life.receive().await;
        life.refuse_or_allow().await;
        if steps % 8 == 3 {
            life.hide().await;
        }
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
    busy.abort();
    let _ = busy.await;
    // Until the last retry of what was refused.
    life.allow().await;
    life.now += SignedDuration::from_hours(25);
    life.refresh().await;
    life.night().await;
    life.check_rollups().await;
    life.check_events().await;
    life.check_busy().await;
    assert!(life.dropped > 40 && life.refused > 0 && life.packed > 1000, "the time was long enough");
    assert!(!life.ahead.is_empty() && life.failed > 0, "there was trouble");
    eprintln!(
        "{steps} steps: {} events sent, {} accepted, {} refused, {} ahead of their time, {} hours refused, {} \
         compressed, in {} s",
        life.sent,
        life.accepted.len(),
        life.refused,
        life.ahead.len(),
        life.failed,
        life.packed,
        start.elapsed().as_secs(),
    );
    database.drop().await;
}

impl Life {
    async fn begin(client: Connection, now: Timestamp) -> Self {
        // Refuses the hours of the organization that stands in a table of the test's own.
        let refuse = "create table refusing (organization_id uuid, since timestamptz);
             create function refuse() returns trigger language plpgsql as $$
             begin
                 if exists (select from refusing
                            where organization_id = new.organization_id and since < new.bucket_start) then
                     raise 'refused';
                 end if;
                 return new;
             end $$;
             create trigger refuse before insert or update on analytics_hourly_rollups
             for each row execute function refuse()";
        client.batch_execute(refuse).await.unwrap();
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
            ahead: BTreeMap::new(),
            refusing: None,
            failed: 0,
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

    /// Sends the events that arrive by now: of the last days, late, and again.
    async fn receive(&mut self) {
        let zone = self.random.choice(ZONES).unwrap();
        self.client.batch_execute(&format!("set timezone = '{zone}'")).await.unwrap();
        for _ in 0..3 {
            let mut events: Vec<Event> = (0..self.random.usize(1..30)).map(|_| self.event()).collect();
            for _ in 0..self.random.usize(0..6) {
                events.extend(self.again());
                events.extend(self.in_time());
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
        // A clock that is ahead, or milliseconds taken for seconds.
        let ahead = SignedDuration::from_hours(self.random.i64(25..10_000));
        let before = SignedDuration::from_micros(self.random.i64(0..2 * 24 * 3600 * 1_000_000));
        let occurred_at = match self.random.u8(0..11) {
            // The first and the last instant of a day, and just where the late ones are.
            0 => midnight(day(latest)),
            1 => midnight(day(latest)) - SignedDuration::from_micros(1),
            2 => latest,
            3 => self.now + ahead,
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
            ..Event::at(Uuid::from_u128(self.random.u128(ORGS)), occurred_at)
        }
    }

    /// An event that was sent before. If that was lately, perhaps with another time and cost.
    fn again(&mut self) -> Option<Event> {
        let skip = self.random.usize(..self.accepted.len().max(1));
        let mut event = self.accepted.values().nth(skip)?.clone();
        let lately = event.occurred_at.max(event.received_at) > self.now - SignedDuration::from_hours(24 * 7);
        event.received_at = self.now;
        if lately && self.random.bool() {
            event.occurred_at -= SignedDuration::from_mins(self.random.i64(0..5_000));
            event.cost += 1;
        }
        Some(event)
    }

    /// An event that came ahead of its time, now with the right one.
    fn in_time(&mut self) -> Option<Event> {
        let skip = self.random.usize(..self.ahead.len().max(1));
        let event = self.ahead.values().nth(skip).filter(|_| self.random.u8(0..8) == 0)?.clone();
        Some(Event { occurred_at: self.now, received_at: self.now, ..event })
    }

    /// Returns the number of these events that must be accepted, in their order.
    fn accept(&mut self, events: &[Event]) -> u64 {
        let mut accepted = 0;
        for event in events {
            let id = (event.organization_id, event.event_id);
            if event.occurred_at > event.received_at + SignedDuration::from_hours(24) {
                self.ahead.insert(id, event.clone());
                continue;
            }
            let Entry::Vacant(vacant) = self.accepted.entry(id) else { continue };
            self.ahead.remove(&id);
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
        assert_eq!((report.kept, report.unfinished), (0, false), "{}", self.now);
        assert!(self.refusing.is_some() || report.failed == 0, "{}: {report:?}", self.now);
        self.failed += report.failed;
    }

    /// Now and then, lets the rollup tables refuse the hours of an organization, or accept them again.
    async fn refuse_or_allow(&mut self) {
        if self.refusing.is_some() {
            return self.allow().await;
        }
        if self.random.u8(0..6) == 0 {
            let org = Uuid::from_u128(self.random.u128(ORGS));
            // Not of the days that a night may drop.
            let since = system_time(self.now - SignedDuration::from_hours(60 * 24));
            self.client.execute("insert into refusing values ($1, $2)", &[&org, &since]).await.unwrap();
            self.refusing = Some(org);
        }
    }

    async fn allow(&mut self) {
        self.client.batch_execute("delete from refusing").await.unwrap();
        self.refusing = None;
    }

    /// The organizations of which an hour was refused and not computed since.
    async fn troubled(&self) -> BTreeSet<Uuid> {
        let troubled = "select distinct organization_id from usage_troubles where kind = 'failed'";
        self.client.query(troubled, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// A policy hides all events from the refresh, which has to fail and leave every mark.
    async fn hide(&mut self) {
        let role = format!("hidden_{}", Uuid::new_v4().simple());
        let hide = format!(
            "create role {role}; grant all on all tables in schema public to {role};
             create policy nothing on usage_events to {role} using (false);
             alter table usage_events enable row level security;
             set row_security = off; set role {role}"
        );
        self.client.batch_execute(&hide).await.unwrap();
        let marks = "select count(*) from usage_dirty_hours where organization_id <> $1";
        let count = async |client: &Client| client.query_one(marks, &[&BUSY]).await.unwrap().get::<_, i64>(0);
        let before = count(&self.client).await;
        let refreshed = refresh(&mut self.client, self.now, LONG).await;
        let show = format!(
            "reset role; reset row_security; alter table usage_events disable row level security;
             drop policy nothing on usage_events; drop owned by {role}; drop role {role}"
        );
        self.client.batch_execute(&show).await.unwrap();
        assert!(!matches!(&refreshed, Ok(report) if report.rollups_written > 0), "{refreshed:?}");
        assert_eq!(count(&self.client).await, before, "{refreshed:?}");
        self.client.batch_execute("delete from usage_troubles where kind = 'failed'").await.unwrap();
    }

    async fn night(&mut self) -> RetentionReport {
        let report =
            retention(&mut self.client, &mut [], self.now, &PERIODS, LONG).await.expect("the retention succeeds");
        assert!(!report.unfinished, "{}: {report:?}", self.now);
        assert!(report.postponed == 0 || !self.troubled().await.is_empty(), "{}: {report:?}", self.now);
        // Counted by hand: whole days of 24 hours, and whole months.
        self.events_from = midnight(day(self.now - SignedDuration::from_hours(400 * 24)));
        self.rollups_from = midnight(day(self.now).saturating_sub(13.months()).first_of_month());
        self.packed += report.events_packed;
        self.dropped += report.event_partitions_dropped;
        report
    }

    /// The rollups are those of all events that were accepted, but for the months that are gone, and for organizations
    /// of which an hour was refused.
    async fn check_rollups(&self) {
        let troubled = self.troubled().await;
        let is_counted = |org: Uuid| org != BUSY && !troubled.contains(&org);
        let counted = || {
            let events = self.accepted.values().filter(|event| event.occurred_at >= self.rollups_from);
            events.filter(|event| is_counted(event.organization_id))
        };
        for (table, seconds) in [(Table::Hourly, HOUR), (Table::Daily, DAY)] {
            let mut found = rollups(&self.client, table).await;
            found.retain(|(org, ..), _| is_counted(*org));
            let expected = expected_rollups(counted(), seconds);
            let wrong = expected.iter().find(|(key, sums)| found.get(key) != Some(sums));
            assert_eq!(wrong.map(|(key, sums)| (key, found.get(key), sums)), None, "{table:?} at {}", self.now);
            assert_eq!(found.len(), expected.len(), "{table:?} at {}", self.now);
        }
    }

    /// The raw events are those that were accepted, but for the days that are gone.
    async fn check_events(&self) {
        let expected: Vec<&Event> =
            self.accepted.values().filter(|event| event.occurred_at >= self.events_from).collect();
        let mut found = kept_events(&self.client).await;
        found.retain(|event| event.organization_id != BUSY);
        assert_eq!(found.len(), expected.len());
        let wrong = found.iter().zip(expected).find(|(found, expected)| found != expected);
        assert_eq!(wrong, None);
    }

    /// Checks a month that is over: its exports, by hour, day and month, have the same totals.
    async fn month_ended(&self, month: Date) {
        let start = midnight(month);
        let end = midnight(month.saturating_add(1.month()));
        let troubled = self.troubled().await;
        for org in ORGS.map(Uuid::from_u128).filter(|org| !troubled.contains(org)) {
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
                let reads = LimitedReads::begin(&self.client, LONG).await.unwrap();
                let series = series(&reads, org.into(), &request, None, usize::MAX).await.unwrap().entries;
                let totals =
                    series.iter().try_fold(Totals::default(), |totals, entry| totals.try_add(entry.sums)).unwrap();
                assert_eq!(totals, expected, "{granularity} of {month}");
            }
        }
        self.check_events().await;
    }

    /// The events of the busy writer are all counted.
    async fn check_busy(&self) {
        let count = "select (select count(*) from usage_events_all where organization_id = $1 and occurred_at >= $2),
                            (select sum(request_count)::bigint from analytics_daily_rollups
                             where organization_id = $1 and bucket_start >= $2)";
        let from = system_time(self.rollups_from.max(self.events_from));
        let row = self.client.query_one(count, &[&BUSY, &from]).await.unwrap();
        let events: i64 = row.get(0);
        assert!(events > 1000 && row.get::<_, Option<i64>>(1) == Some(events), "{events} events: {row:?}");
    }
}

/// Inserts events of the present hour, one after the other, until it is aborted.
async fn write_without_end(client: Connection, clock: Arc<AtomicI64>) {
    let insert = "insert into usage_events (event_id, organization_id, occurred_at, received_at, input_tokens,
                                            output_tokens, status, cost_usd)
                  values (gen_random_uuid(), $1, $2, $2, 1, 1, 'success', 0.0001)";
    loop {
        let now = Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap();
        client.execute(insert, &[&BUSY, &system_time(now)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn day(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

fn midnight(day: Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight())).unwrap()
}
