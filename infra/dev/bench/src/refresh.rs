//! Passes of the refresh while events keep coming, as the table of raw events grows.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use postgres::Database;
use serde_json::Value;
use terminal::Progress;
use uuid::Uuid;

use crate::{
    events::{connect, load},
    function::Function,
    plan::Plan,
    report::{Section, Table, count, goal, millis},
    stack::Stack,
    statistics::Sample,
};

/// The schedule's event, which starts a refresh.
const TICK: &[u8] = include_bytes!("../../../../events/refresh-schedule.json");
/// Events a second: a billion a month.
const RATE: u64 = 386;
const ORGANIZATIONS: usize = 100;
/// The days of which raw events are not compressed yet: the table grows by these.
const PLAIN_DAYS: u64 = 7;
const MAX_PASS: Duration = Duration::from_secs(5);
/// The part by which a pass may cost more with the largest table than with the smallest.
const MAX_GROWTH: f64 = 0.2;

/// The passes with a table of one size.
struct Passes {
    events: u64,
    took: Sample,
    cpu: Sample,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let mut step = Progress::start("Refresh");
    let mut refresh = stack.start("refresh")?;
    let mut sizes = Vec::new();
    let mut loaded = 0;
    for events in plan.refresh_events() {
        step.at(format!("loading up to {} events", count(events)));
        grow(stack, events - loaded)?;
        loaded = events;
        step.at(format!("passes beside {} events", count(events)));
        sizes.push(passes(stack, &mut refresh, events, plan)?);
    }
    step.done(&format!("up to {} events", count(loaded)));
    Ok(section(&sizes, plan))
}

/// Adds events of other organizations to the days before today, past the triggers.
fn grow(stack: &Stack, events: u64) -> Result<()> {
    let organizations: Vec<Uuid> = (0..ORGANIZATIONS).map(|_| Uuid::new_v4()).collect();
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let days: Vec<Date> =
        (1..=i64::try_from(PLAIN_DAYS)?).map(|back| today.checked_sub(back.days())).collect::<Result<_, _>>()?;
    stack.runtime.block_on(async {
        // Two at a time, for two cores.
        for two in days.chunks(2) {
            let loads = two.iter().map(|day| async {
                let client = connect(stack).await?;
                load(&client, *day, events / PLAIN_DAYS, &organizations).await
            });
            futures_util::future::try_join_all(loads).await?;
        }
        Ok(stack.database.connect().await?.batch_execute("checkpoint").await?)
    })
}

/// Runs a pass in each interval while a writer goes on, for organizations that have no events yet.
fn passes(stack: &Stack, refresh: &mut Function, events: u64, plan: &Plan) -> Result<Passes> {
    let (ended, database) = (AtomicBool::new(false), &stack.database);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&ended, database));
        let passes = run(stack, refresh, events, plan, || writer.is_finished());
        ended.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| anyhow!("the writer panicked"))?.context("the writer failed")?;
        passes
    })
}

fn run(
    stack: &Stack,
    refresh: &mut Function,
    events: u64,
    plan: &Plan,
    has_stopped: impl Fn() -> bool,
) -> Result<Passes> {
    let (mut took, mut cpu) = (Sample::default(), Sample::default());
    for pass in 0..=plan.refresh_passes() {
        thread::sleep(plan.refresh_interval());
        ensure!(!has_stopped(), "the writer stopped");
        let before = stack.postgres_cpu()?;
        let start = Instant::now();
        let answer = refresh.invoke(TICK)?;
        let end = start.elapsed();
        let report: Value = serde_json::from_slice(&answer.body).context("the refresh answered no report")?;
        ensure!(
            report["failed"] == 0 && report["hours"].as_u64() >= Some(ORGANIZATIONS as u64),
            "the refresh did not compute every organization: {report}"
        );
        // The first begins with what is not in memory yet.
        if pass > 0 {
            took.add(end);
            cpu.add(stack.postgres_cpu()?.saturating_sub(before));
        }
    }
    Ok(Passes { events, took, cpu })
}

/// Inserts events of now as any writer does, once a second. It has a runtime of its own: that of the stack stands still while
/// the bench waits for a function.
fn write_until(ended: &AtomicBool, database: &Database) -> Result<()> {
    let organizations: Vec<Uuid> = (0..ORGANIZATIONS).map(|_| Uuid::new_v4()).collect();
    let rate = i64::try_from(RATE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = database.connect().await?;
        let insert = client
            .prepare(
                "insert into usage_events (event_id, organization_id, model_id, occurred_at, input_tokens,
                                           output_tokens, status, cost_usd)
                 select gen_random_uuid(), ($1::uuid[])[1 + i % cardinality($1)], md5((i % 20)::text)::uuid, now(),
                        (random() * 4000)::int, (random() * 1500)::int, 'success', (random() * 0.2)::numeric(14, 6)
                 from generate_series(1::bigint, $2) i
                 on conflict do nothing",
            )
            .await?;
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        while !ended.load(Ordering::Relaxed) {
            seconds.tick().await;
            client.execute(&insert, &[&organizations, &rate]).await?;
        }
        Ok(())
    })
}

fn section(sizes: &[Passes], plan: &Plan) -> Section {
    let mut table = Table::new(["events in the table", "passes", "median", "most", "server's CPU", "goal"]);
    for Passes { events, took, cpu } in sizes {
        let reached = goal("< 5 s", took.most() < MAX_PASS);
        let cells = [millis(took.median()), millis(took.most()), millis(cpu.median())];
        let [median, most, cpu] = cells;
        table.row([count(*events), took.len().to_string(), median, most, cpu, reached]);
    }
    let mut growth = Table::new(["from the smallest table to the largest", "measured", "goal"]);
    if let (Some(first), Some(last)) = (sizes.first(), sizes.last()) {
        let mut row = |name: &str, first: Duration, last: Duration| {
            let part = last.as_secs_f64() / first.as_secs_f64() - 1.0;
            growth.row([name.to_owned(), format!("{:+.0} %", part * 100.0), goal("≤ 20 %", part <= MAX_GROWTH)]);
        };
        row("time of a pass", first.took.median(), last.took.median());
        row("server's CPU of a pass", first.cpu.median(), last.cpu.median());
    }
    Section {
        title: "Refresh",
        method: vec![format!(
            "A writer inserts {RATE} events a second, as many as a billion a month, for {ORGANIZATIONS} organizations \
             with 20 models, through the triggers. The release binary of the refresh runs {} s after the pass before, \
             from the event's handing over to its answer. The rest of the table are events of other organizations in \
             the {PLAIN_DAYS} days before today, which are not compressed. The server's CPU is that of all its \
             processes during a pass, with the writer's.",
            plan.refresh_interval().as_secs()
        )],
        tables: vec![table, growth],
        broken: Vec::new(),
    }
}
