//! Packing of raw events and their control sums: nothing is lost, doubled or changed, whatever the events are and
//! whenever it ends.

use std::{collections::BTreeMap, time::Duration};

use domain::ExportRequest;
use jiff::SignedDuration;
use postgres::LimitedReads;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use tests::{
    Event, UsageDatabase,
    organization::export_of,
    poll::until,
    rollup::instant,
    usage::{PERIODS, send},
};
use tokio_postgres::Client;
use usage::{
    Sums,
    maintenance::retention::{RetentionReport, retention},
    raw_sums,
};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(120);
const DAY: &str = "2024-06-02T00:00:00Z";
const NIGHT: &str = "2024-06-12T02:30:00Z";
const NEXT_NIGHT: &str = "2024-06-13T02:30:00Z";

/// The sums of packed events with and without control sums, and the plain ones, beside those of the events themselves.
const DIFFERING: &str = "
    with organizations as (select distinct organization_id from usage_events_all),
    summed as (
        select organization_id, hour, model_id, sum(events), sum(errors), sum(tokens), sum(cost)
        from organizations
        cross join usage_sums_between(organization_id, '2024-06-01T00:00:00Z', '2024-06-10T00:00:00Z')
        group by 1, 2, 3
    ),
    direct as (
        select organization_id, date_trunc('hour', occurred_at, 'UTC'), model_id, count(*)::numeric,
               count(*) filter (where status <> 'success')::numeric, sum(input_tokens::numeric + output_tokens),
               sum(cost_usd)
        from usage_events_all group by 1, 2, 3
    )
    select count(*) from ((table summed except all table direct) union all (table direct except all table summed)) d";

async fn retained(client: &mut Client, now: &str) -> RetentionReport {
    retention(client, &mut [], instant(now), &PERIODS, LONG).await.expect("the retention succeeds")
}

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.expect("a number").get(0)
}

/// All events, wherever they are, to the last digit.
async fn events(client: &Client) -> Vec<String> {
    let all =
        "select concat_ws('|', event_id, organization_id, coalesce(model_id::text, '-'), occurred_at, received_at,
                                input_tokens, output_tokens, status, trim_scale(cost_usd))
               from usage_events_all order by 1";
    client.query(all, &[]).await.expect("the events are read").iter().map(|row| row.get(0)).collect()
}

/// An event as any writer may send it, with a cost of any digits.
#[derive(Debug, Clone)]
struct Sent {
    event: Event,
    cost: String,
}

fn sent() -> impl Strategy<Value = Sent> {
    let tokens = || prop_oneof![4 => 0..5000_i64, 1 => 0..=i64::MAX, 1 => Just(i64::MAX)];
    let cost = prop_oneof![
        4 => (0..100_000_i64).prop_map(|units| format!("{}.{:06}", units / 1_000_000, units % 1_000_000)),
        1 => (any::<bool>(), 0..9_999_999_999_i64, 0..10_i64.pow(18)).prop_map(|(negative, whole, part)| {
            format!("{}{whole}.{part:018}", if negative { "-" } else { "" })
        }),
        1 => Just("-9999999999.999999999999999999".to_owned()),
        1 => Just("0.000000000000000001".to_owned()),
    ];
    // Most events of few hours, so that some rows have control sums.
    let occurred = prop_oneof![8 => 0..7_200_000_000_i64, 1 => 0..86_400_000_000_i64, 1 => Just(86_399_999_999)];
    let received = prop_oneof![4 => 0..60_000_000_i64, 1 => -86_000_000_000..0_i64, 1 => 0..(1_i64 << 55)];
    let status = prop::sample::select(vec!["success", "success", "error", "timeout", "throttled"]);
    (0..3_u128, 0..4_u128, occurred, received, tokens(), tokens(), status, cost).prop_map(
        |(organization, model, occurred, received, input_tokens, output_tokens, status, cost)| {
            let occurred_at = instant(DAY) + SignedDuration::from_micros(occurred);
            let event = Event {
                model_id: (model > 0).then(|| Uuid::from_u128(model)),
                received_at: occurred_at + SignedDuration::from_micros(received),
                input_tokens,
                output_tokens,
                status: status.to_owned(),
                ..Event::at(Uuid::from_u128(organization), occurred_at)
            };
            Sent { event, cost }
        },
    )
}

async fn send_all(client: &Client, sent: &[Sent]) {
    let events: Vec<Event> = sent.iter().map(|sent| sent.event.clone()).collect();
    assert_eq!(send(client, &events).await, sent.len() as u64);
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let costs: Vec<&str> = sent.iter().map(|sent| sent.cost.as_str()).collect();
    let set = "update usage_events set cost_usd = cost::numeric
               from unnest($1::uuid[], $2::text[]) sent (id, cost) where event_id = id";
    client.execute(set, &[&ids, &costs]).await.unwrap();
}

#[tokio::test]
async fn any_events_read_and_sum_as_before() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let mut runner = TestRunner::new(Config::default());
    for size in [1, 2, 40, 700, 18_000] {
        let sample = prop::collection::vec(sent(), size).new_tree(&mut runner).unwrap().current();
        send_all(&client, &sample).await;
        // The sums may be too large for a rollup, which is not the subject.
        client.batch_execute("delete from usage_dirty_hours").await.unwrap();
        let before = events(&client).await;
        let report = retained(&mut client, NIGHT).await;
        assert_eq!(report.events_packed, size as u64, "{sample:?}");
        assert_eq!(number(&client, "select count(*) from usage_events").await, 0);
        assert!(events(&client).await == before, "an event of these changed: {sample:?}");
        assert_eq!(number(&client, DIFFERING).await, 0, "{sample:?}");
    }
    let summed = "select count(*) filter (where is_summed) from usage_events_packed";
    assert!(number(&client, summed).await > 0, "some rows have control sums");
    assert!(number(&client, &summed.replace("where", "where not")).await > 0, "and some have none");
    assert_eq!(number(&client, "select max(events)::bigint from usage_events_packed").await, 5000);
    database.drop().await;
}

/// Events of two models and of none, in all statuses.
fn dense(start: &str, count: i64, seconds: i64) -> Vec<Event> {
    let statuses = ["success", "error", "timeout", "throttled"];
    (0..count)
        .map(|index| Event {
            model_id: (index % 3 > 0).then(|| Uuid::from_u128(u128::try_from(index % 3).unwrap())),
            status: statuses[usize::try_from(index % 4).unwrap()].to_owned(),
            input_tokens: index,
            cost: index * 7 - 100,
            ..Event::at(Uuid::from_u128(1), instant(start) + SignedDuration::from_secs(index * seconds))
        })
        .collect()
}

/// The raw side of reconciliations of several ranges, granularities and models.
async fn raw_sides(client: &Client) -> BTreeMap<String, Option<Sums>> {
    let mut sides = BTreeMap::new();
    for granularity in ["hourly", "daily", "monthly"] {
        for (start, end) in
            [("2024-06-01T00:00:00Z", "2024-06-05T00:00:00Z"), ("2024-06-01T03:04:05Z", "2024-06-03T00:30:00Z")]
        {
            for models in [None, Some(Uuid::from_u128(1))] {
                let mut body = export_of(start, end, granularity);
                if let Some(model) = models {
                    body["models"] = serde_json::json!([model]);
                }
                let request = ExportRequest::from_json(&body).unwrap();
                let reads = LimitedReads::begin(client, LONG).await.unwrap();
                let sums = raw_sums(&reads, Uuid::from_u128(1).into(), &request).await.unwrap();
                sides.insert(format!("{granularity} {start} {models:?}"), sums);
            }
        }
    }
    sides
}

#[tokio::test]
async fn control_sums_follow_late_events_old_rows_and_drops() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    send(&client, &dense("2024-06-02T00:10:00Z", 3000, 5)).await;
    send(&client, &dense("2024-06-03T00:10:00Z", 300, 5)).await;
    // As the version before packed them: without control sums.
    client
        .batch_execute("select usage_create_partition('usage_events_packed', 'usage_events_packed_20240602', '2024-06-02', '2024-06-03')")
        .await
        .unwrap();
    let source = "select tableoid::regclass::text from usage_events where occurred_at < '2024-06-03' limit 1";
    let source: String = client.query_one(source, &[]).await.unwrap().get(0);
    assert_eq!(number(&client, &format!("select usage_pack('{source}', '2024-06-02', 1000)")).await, 1000);
    let report = usage::maintenance::refresh::refresh(&mut client, instant(NIGHT), LONG).await.unwrap();
    assert_eq!(report.failed, 0);
    let before = (events(&client).await, raw_sides(&client).await);
    assert!(before.1.values().all(|sums| sums.is_some_and(|sums| sums.lines.request_count > 0)), "{before:?}");

    assert_eq!(retained(&mut client, NIGHT).await.events_packed, 2300);
    let of_rows = "select count(*) from usage_events_packed where day = '2024-06-02' and is_summed";
    assert_eq!(number(&client, of_rows).await, 1);
    assert_eq!(number(&client, &of_rows.replace("is_summed", "not is_summed")).await, 1);
    assert_eq!((events(&client).await, raw_sides(&client).await), before);
    assert_eq!(number(&client, DIFFERING).await, 0);

    // Late ones of both days, many and few.
    send(&client, &dense("2024-06-02T01:00:00Z", 200, 1)).await;
    send(&client, &dense("2024-06-03T01:00:00Z", 2, 1)).await;
    usage::maintenance::refresh::refresh(&mut client, instant(NIGHT), LONG).await.unwrap();
    let before = (events(&client).await, raw_sides(&client).await);
    assert_eq!(number(&client, DIFFERING).await, 0);
    let report = retained(&mut client, NEXT_NIGHT).await;
    assert_eq!((report.events_packed, report.days_repaired, report.days_damaged), (202, 0, 0), "{report:?}");
    assert_eq!((events(&client).await, raw_sides(&client).await), before);
    assert_eq!(number(&client, DIFFERING).await, 0);

    // 400 days after June 2 ended.
    let sums = "select count(*) from usage_events_packed_sums";
    let kept = "select count(*) from usage_events_packed_sums where hour >= '2024-06-03'";
    let kept = number(&client, kept).await;
    assert!(number(&client, sums).await > kept && kept > 0);
    retained(&mut client, "2025-07-08T02:30:00Z").await;
    assert_eq!(number(&client, sums).await, kept);
    assert_eq!(number(&client, DIFFERING).await, 0);
    retained(&mut client, "2025-07-09T02:30:00Z").await;
    assert_eq!(number(&client, sums).await, 0);
    let partitions = "select count(*) from pg_inherits where inhparent = 'usage_events_packed_sums'::regclass
                      and inhrelid::regclass::text < 'usage_events_packed_sums_20240604'";
    assert_eq!(number(&client, partitions).await, 0);
    database.drop().await;
}

#[tokio::test]
async fn a_pack_that_is_killed_loses_and_doubles_nothing() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let other = database.client().await;
    send(&client, &dense("2024-06-02T00:00:00Z", 100, 5)).await;
    retained(&mut client, NIGHT).await;
    drop(client);
    // Late events, of which the first step writes packed rows, control sums, and deletes. Each ends at one of these.
    send(&other, &dense("2024-06-02T10:00:00Z", 1000, 5)).await;
    for table in ["usage_events_packed", "usage_events_packed_sums", "usage_events_default"] {
        let before = events(&other).await;
        let mut client = database.client().await;
        let pid = number(&client, "select pg_backend_pid()::bigint").await;
        let blocker = database.client().await;
        blocker.batch_execute(&format!("begin; lock table {table} in share mode")).await.unwrap();
        let killed =
            tokio::spawn(async move { retention(&mut client, &mut [], instant(NIGHT), &PERIODS, LONG).await.is_err() });
        let waits = format!(
            "select count(*) from pg_locks where pid = {pid} and not granted and relation::regclass::text like 'usage_events%'"
        );
        until("the pack waits", Duration::from_secs(20), async || {
            (number(&other, &waits).await > 0).then_some(()).ok_or("not yet")
        })
        .await;
        assert_eq!(events(&other).await, before, "{table}: readers see nothing of it");
        assert_eq!(number(&other, &format!("select pg_terminate_backend({pid})::int::bigint")).await, 1);
        assert!(killed.await.unwrap(), "{table}: it was in the middle");
        blocker.batch_execute("commit").await.unwrap();
        assert_eq!(events(&other).await, before, "{table}");
        assert_eq!(number(&other, DIFFERING).await, 0, "{table}");
    }
    let before = events(&other).await;
    let mut client = database.client().await;
    assert_eq!(retained(&mut client, NIGHT).await.events_packed, 1000);
    assert_eq!(events(&client).await, before);
    assert_eq!(number(&client, DIFFERING).await, 0);
    database.drop().await;
}

/// Lets sessions go on that [`hold_writes`] holds.
const GO_ON: &str = "select pg_advisory_unlock(42)";

/// Holds each session that packs, when it has read events and writes them. They try for a lock again and again, since a wait
/// for one would end after two seconds.
async fn hold_writes(client: &Client) {
    let hold = "create or replace function hold() returns trigger language plpgsql as $$
                begin
                    while not pg_try_advisory_xact_lock_shared(42) loop perform pg_sleep(0.05); end loop;
                    return new;
                end $$;
                create or replace trigger hold before insert on usage_events_packed
                    for each row execute function hold();
                select pg_advisory_lock(42)";
    client.batch_execute(hold).await.unwrap();
}

async fn until_writing(client: &Client, sessions: i64) {
    let writing = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    until("the sessions write", Duration::from_secs(60), async || {
        (number(client, writing).await == sessions).then_some(()).ok_or("not yet")
    })
    .await;
}

#[tokio::test]
async fn events_that_arrive_behind_the_walk_are_packed_in_the_same_night() {
    let database = UsageDatabase::create().await;
    let (mut client, watcher) = (database.client().await, database.client().await);
    // Makes the day's partition.
    retained(&mut client, "2024-06-03T02:30:00Z").await;
    send(&client, &dense("2024-06-02T10:00:00Z", 100, 5)).await;
    hold_writes(&watcher).await;
    let night =
        tokio::spawn(async move { retention(&mut client, &mut [], instant(NIGHT), &PERIODS, LONG).await.unwrap() });
    until_writing(&watcher, 1).await;
    send(&watcher, &dense("2024-06-02T09:00:00Z", 3, 5)).await;
    watcher.batch_execute(GO_ON).await.unwrap();
    let report = night.await.unwrap();
    assert_eq!((report.events_packed, report.days_packed, report.postponed), (103, 1, 0), "{report:?}");
    let partition = "select count(*) from pg_class where relname = 'usage_events_20240602'";
    assert_eq!(number(&watcher, partition).await, 0, "it is dropped");
    assert_eq!(number(&watcher, "select count(*) from usage_events_all").await, 103);
    database.drop().await;
}

#[tokio::test]
async fn sessions_that_pack_together_lose_and_double_nothing_when_one_is_killed() {
    let database = UsageDatabase::create().await;
    let mut watcher = database.client().await;
    // The tables of the day exist then.
    send(&watcher, &dense("2024-06-02T00:00:00Z", 100, 5)).await;
    retained(&mut watcher, NIGHT).await;
    let insert = "set session_replication_role = replica;
        insert into usage_events (event_id, organization_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd)
        select md5(i::text)::uuid, md5((i % 7)::text)::uuid, timestamptz '2024-06-02T10:00:00Z' + i / 3 * interval '1 us',
               '2024-06-02T11:00:00Z', i, 1, 'success', 0.5
        from generate_series(1, 250000) i;
        reset session_replication_role";
    watcher.batch_execute(insert).await.unwrap();
    let sums = "select (sum(input_tokens) * 1000 + count(*) + count(distinct event_id))::bigint from usage_events_all";
    let before = number(&watcher, sums).await;
    for first in [true, false] {
        let (mut client, other) = (database.client().await, database.client().await);
        let pid = number(if first { &client } else { &other }, "select pg_backend_pid()::bigint").await;
        hold_writes(&watcher).await;
        let killed =
            tokio::spawn(
                async move { retention(&mut client, &mut [other], instant(NIGHT), &PERIODS, LONG).await.is_err() },
            );
        until_writing(&watcher, 2).await;
        assert_eq!(number(&watcher, &format!("select pg_terminate_backend({pid})::int::bigint")).await, 1);
        watcher.batch_execute(GO_ON).await.unwrap();
        assert!(killed.await.unwrap(), "first: {first}");
        assert_eq!(number(&watcher, sums).await, before, "first: {first}");
        assert_eq!(number(&watcher, DIFFERING).await, 0, "first: {first}");
    }
    let mut client = database.client().await;
    let mut others = [database.client().await];
    let report = retention(&mut client, &mut others, instant(NIGHT), &PERIODS, LONG).await.unwrap();
    assert_eq!((report.events_packed, report.postponed), (250_000, 0));
    assert_eq!(number(&watcher, sums).await, before);
    assert_eq!(number(&watcher, DIFFERING).await, 0);
    database.drop().await;
}

#[tokio::test]
async fn an_audit_finds_damaged_control_sums_and_packed_events() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    send(&client, &dense("2024-06-02T00:10:00Z", 300, 5)).await;
    let report = retained(&mut client, NIGHT).await;
    assert_eq!((report.events_packed, report.days_audited, report.days_damaged), (300, 1, 0), "{report:?}");
    let notices = "select count(*) from usage_notices where subject like 'packed events of %'";
    for (damage, repair) in [
        (
            "update usage_events_packed_sums set cost = cost + 0.000001",
            "update usage_events_packed_sums set cost = cost - 0.000001",
        ),
        (
            "update usage_events_packed set statuses[1] = case statuses[1] when 's' then 'e' else 's' end::\"char\"",
            "update usage_events_packed set statuses[1] = case statuses[1] when 's' then 'e' else 's' end::\"char\"",
        ),
    ] {
        client.batch_execute(damage).await.unwrap();
        let report = retained(&mut client, NEXT_NIGHT).await;
        assert_eq!(report.days_damaged, 1, "{damage}: {report:?}");
        assert_eq!(number(&client, notices).await, 1, "{damage}");
        client.batch_execute(repair).await.unwrap();
        client.batch_execute("delete from usage_dirty_hours").await.unwrap();
        assert_eq!(retained(&mut client, NEXT_NIGHT).await.days_damaged, 0);
        assert_eq!(number(&client, notices).await, 0, "it is listed no longer: {damage}");
    }
    database.drop().await;
}

#[tokio::test]
async fn a_day_of_several_steps_and_a_crowd_at_one_instant_are_packed_whole() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    // More events of one organization and instant than a step takes.
    let insert = "set session_replication_role = replica;
        insert into usage_events (event_id, organization_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd)
        select md5(i::text)::uuid, md5((i / 120000)::text)::uuid, timestamptz '2024-06-02T10:00:00Z' + i / 230000 * interval '1 us',
               '2024-06-02T11:00:00Z', i, 1, 'success', 0.5
        from generate_series(1, 250000) i;
        reset session_replication_role";
    client.batch_execute(insert).await.unwrap();
    let sum = "select (sum(input_tokens) * 1000 + count(distinct event_id))::bigint from usage_events_all";
    let before = number(&client, sum).await;
    let mut others = [database.client().await, database.client().await];
    let report = retention(&mut client, &mut others, instant(NIGHT), &PERIODS, LONG).await.unwrap();
    assert_eq!((report.events_packed, report.postponed), (250_000, 0));
    assert_eq!(number(&client, "select count(*) from usage_events").await, 0);
    assert_eq!(number(&client, sum).await, before);
    assert_eq!(number(&client, "select count(*) from usage_events_all").await, 250_000);
    assert_eq!(number(&client, DIFFERING).await, 0);
    // Rows of 5,000, but for the ends of steps and organizations.
    assert!(number(&client, "select count(*) from usage_events_packed").await <= 55);
    database.drop().await;
}
