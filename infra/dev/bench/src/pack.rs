//! The compression of a day of raw events by the retention, beside what the server needs to read and to move them.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use terminal::Progress;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    events::{NIGHT, connect, day, load, partition},
    plan::Plan,
    report::{Section, Table, count, goal, mib},
    stack::Stack,
};

/// The memory that the retention may take.
const MAX_MEMORY: u64 = 96 << 20;
const GOAL: f64 = 250_000.0;
const ORGANIZATIONS: usize = 20;
/// The number of events in a step of the statement that packed before.
const STEP: i32 = 50_000;

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let events = plan.pack_events();
    let organizations: Vec<Uuid> = (0..ORGANIZATIONS).map(|_| Uuid::new_v4()).collect();
    let mut step = Progress::start("Pack");
    let mut retention = stack.start("retention")?;
    // The first night makes the partitions that are to come.
    retention.invoke(NIGHT)?;
    let client = stack.runtime.block_on(connect(stack))?;
    let days = [day(stack, 0)?, day(stack, 1)?, day(stack, 2)?];
    stack.runtime.block_on(async {
        // The nightly audit leaves these organizations out: it would take longer than what is measured.
        let cut = "insert into usage_cut_overs (organization_id, complete_from) select unnest($1::uuid[]), date_trunc('day', now(), 'UTC')";
        client.execute(cut, &[&organizations]).await?;
        for day in days {
            step.at(format!("loading {day}"));
            load(&client, day, events, &organizations).await?;
        }
        client.batch_execute("checkpoint").await?;
        anyhow::Ok(())
    })?;

    step.at("the limits");
    let read = stack.runtime.block_on(read(&client, &partition(days[0])))?;
    let moved = stack.runtime.block_on(move_plain(&client, &partition(days[0])))?;
    step.at("the statement of before");
    let (statement, statement_bytes) = stack.runtime.block_on(by_statement(&client, &partition(days[1])))?;

    step.at("the retention");
    let packed = retention.invoke(NIGHT)?;
    let report: Value = serde_json::from_slice(&packed.body)?;
    ensure!(report["eventsPacked"] == events, "not {events} events were packed: {report}");
    let bytes = report["bytesAfter"].as_u64().unwrap_or_default();
    let idle = retention.invoke(NIGHT)?.took;
    let peak = retention.process().peak_memory()?;
    let took = packed.took.saturating_sub(idle);
    step.done(&format!("{} events, {:.0} per second", count(events), per_second(events, took)));

    let mut table =
        Table::new(["of the same events", "per second", "the retention's share", "bytes per event", "goal"]);
    let retention = per_second(events, took);
    let mut row = |name: &str, time: Duration, bytes: Option<u64>, goal: String| {
        let speed = per_second(events, time);
        let bytes = bytes.map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / events as f64));
        table.row([name.to_owned(), format!("{speed:.0}"), format!("{:.0} %", 100.0 * retention / speed), bytes, goal]);
    };
    row("the retention", took, Some(bytes), goal("≥ 250,000", retention >= GOAL));
    row("one statement, as before", statement, Some(statement_bytes), String::new());
    row("COPY (binary) out of the partition, by organization and time", read, None, String::new());
    row("delete, and insert into a plain table", moved, None, String::new());
    let mut memory = Table::new(["memory of the function", "peak"]);
    memory.row(["the retention".to_owned(), mib(peak)]);
    let broken =
        (peak > MAX_MEMORY).then(|| format!("the retention took {}, more than {}", mib(peak), mib(MAX_MEMORY)));
    Ok(Section {
        title: "Pack",
        method: vec![format!(
            "Days of {} events of {ORGANIZATIONS} organizations and 20 models, one for each way. The retention is its \
             release binary: from the event's handing over to the answer, less the time of a night without such a day. \
             The bytes are those of the packed rows and control sums on disk.",
            count(events)
        )],
        tables: vec![table, memory],
        broken: broken.into_iter().collect(),
    })
}

fn per_second(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}

/// Reads all events of a partition, in the order and form in which the retention reads them.
async fn read(client: &Client, partition: &str) -> Result<Duration> {
    let start = Instant::now();
    let copy = format!(
        "copy (select ctid, * from {partition} order by organization_id, occurred_at) to stdout (format binary)"
    );
    let mut stream = pin!(client.copy_out(&copy).await?);
    while stream.try_next().await?.is_some() {}
    Ok(start.elapsed())
}

/// Moves all events of a partition into a table without indexes.
async fn move_plain(client: &Client, partition: &str) -> Result<Duration> {
    client.batch_execute(&format!("create temporary table moved (like {partition})")).await?;
    let start = Instant::now();
    let mv = format!("with gone as (delete from {partition} returning *) insert into moved select * from gone");
    client.execute(&mv, &[]).await?;
    let took = start.elapsed();
    client.batch_execute("drop table moved").await?;
    Ok(took)
}

/// Packs all events of a partition by the statement that did so before, and returns the size of the packed rows too.
async fn by_statement(client: &Client, partition: &str) -> Result<(Duration, u64)> {
    let packed = partition.replace("usage_events", "usage_events_packed");
    let day = format!("to_date('{}', 'YYYYMMDD')::timestamptz", &partition["usage_events_".len()..]);
    let create =
        format!("select usage_create_partition('usage_events_packed', '{packed}', {day}, {day} + interval '24 hours')");
    client.batch_execute(&create).await?;
    let start = Instant::now();
    let pack = format!("select usage_pack('{partition}', {day}, {STEP})");
    while client.query_one(&pack, &[]).await?.try_get::<_, i64>(0)? > 0 {}
    let took = start.elapsed();
    let size = format!("select pg_total_relation_size('{packed}')");
    Ok((took, client.query_one(&size, &[]).await?.try_get::<_, i64>(0)?.unsigned_abs()))
}
