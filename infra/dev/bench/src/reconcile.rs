//! The raw side of a reconciliation: a month of packed events of one organization, by their control sums, beside the sum
//! of the events themselves.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use domain::{ExportRequest, Granularity, TimeRange};
use jiff::{Timestamp, ToSpan as _};
use postgres::LimitedReads;
use serde_json::Value;
use terminal::Progress;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    dataset::DAYS,
    events::{MODELS, NIGHT, connect, day, load},
    plan::Plan,
    report::{Section, Table, count, goal, millis},
    stack::Stack,
};

const LIMIT: Duration = Duration::from_secs(600);
const GOAL: Duration = Duration::from_secs(2);
/// The events of the organization whose rows stand for themselves: their arrays are empty.
const MANY: u64 = 100_000_000;
/// The numbers of events in a packed row and in a step of the retention.
const ROW: u64 = 5000;
const STEP: u64 = 100_000;

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let mut step = Progress::start("Reconcile");
    let mut retention = stack.start("retention")?;
    let client = stack.runtime.block_on(connect(stack))?;
    let mut organizations = Vec::new();
    for events in plan.reconcile_events() {
        let organization = Uuid::new_v4();
        for index in 0..DAYS {
            step.at(format!("loading {} events, day {} of {DAYS}", count(events), index + 1));
            stack.runtime.block_on(load(&client, day(stack, index)?, events / DAYS, &[organization]))?;
        }
        organizations.push((organization, events / DAYS * DAYS));
    }
    step.at("packing");
    let report: Value = serde_json::from_slice(&retention.invoke(NIGHT)?.body)?;
    let loaded: u64 = organizations.iter().map(|(_, events)| events).sum();
    ensure!(report["eventsPacked"].as_u64() >= Some(loaded), "not all events were packed: {report}");

    let mut table = Table::new(["events", "raw side", "the events themselves", "per second", "goal"]);
    for (organization, events) in &organizations {
        step.at(format!("{} events", count(*events)));
        let raw = stack.runtime.block_on(raw_side(stack, &client, *organization, *events))?;
        let direct = stack.runtime.block_on(direct(stack, &client, *organization, *events))?;
        let speed = format!("{:.0}", *events as f64 / direct.as_secs_f64());
        table.row([count(*events), millis(raw), millis(direct), speed, String::new()]);
    }
    step.at(format!("{} events", count(MANY)));
    let many = Uuid::new_v4();
    stack.runtime.block_on(stand_in(stack, &client, many))?;
    let raw = stack.runtime.block_on(raw_side(stack, &client, many, MANY))?;
    table.row([count(MANY), millis(raw), String::new(), String::new(), goal("< 2 s", raw < GOAL)]);
    step.done(&format!("{} events in {}", count(MANY), millis(raw)));
    Ok(Section {
        title: "Reconcile",
        method: vec![format!(
            "Events of one organization in a month of {DAYS} days with {MODELS} models, packed by the retention, and summed \
             by day as the API sums them. Of {} events only what the sums need is there: their control sums, with one \
             row more wherever a step of the retention ends, and packed rows without events, since rows with control \
             sums are not unpacked.",
            count(MANY)
        )],
        tables: vec![table],
        broken: Vec::new(),
    })
}

fn request(stack: &Stack) -> Result<ExportRequest> {
    let end: Timestamp = stack.month.checked_add((i64::try_from(DAYS)? * 24).hours())?;
    let range = TimeRange::new(stack.month, end).map_err(|_| anyhow::anyhow!("no range"))?;
    Ok(ExportRequest { range, granularity: Granularity::Daily, models: None })
}

async fn raw_side(stack: &Stack, client: &Client, organization: Uuid, events: u64) -> Result<Duration> {
    let request = request(stack)?;
    let reads = LimitedReads::begin(client, LIMIT).await?;
    let start = Instant::now();
    let sums = usage::raw_sums(&reads, organization.into(), &request).await?;
    let took = start.elapsed();
    let summed = sums.map(|sums| sums.lines.request_count);
    ensure!(summed == Some(events.into()), "the raw side has {summed:?} of {events} events");
    Ok(took)
}

async fn direct(stack: &Stack, client: &Client, organization: Uuid, events: u64) -> Result<Duration> {
    let range = request(stack)?.range;
    let start = Instant::now();
    let sum = format!(
        "select sum(n)::bigint from (
             select count(*) as n, sum(input_tokens::numeric + output_tokens), sum(cost_usd)
             from usage_events_between('{organization}', '{}', '{}')
             group by date_trunc('day', occurred_at, 'UTC'), model_id
         ) days",
        range.start(),
        range.end()
    );
    let summed: i64 = client.query_one(&sum, &[]).await?.try_get(0)?;
    ensure!(summed.unsigned_abs() == events, "{summed} of {events} events");
    Ok(start.elapsed())
}

/// Inserts the control sums of [`MANY`] events, and packed rows that hold no events.
async fn stand_in(stack: &Stack, client: &Client, organization: Uuid) -> Result<()> {
    let range = request(stack)?.range;
    let (start, end) = (range.start(), range.end());
    let hours = DAYS * 24;
    let per_sum = MANY / (hours * MODELS);
    let rest = MANY - per_sum * hours * MODELS;
    let insert = format!(
        "insert into usage_events_packed_sums (organization_id, hour, model_id, events, errors, tokens, cost)
         select '{organization}', hour, md5(model::text)::uuid,
                {per_sum} + case when model = 1 and hour = '{start}' then {rest} else 0 end, 100, 5000000, 123.456789
         from generate_series(timestamptz '{start}', timestamptz '{end}' - interval '1 hour', '1 hour') hour,
              generate_series(1, {MODELS}) model;
         insert into usage_events_packed_sums (organization_id, hour, model_id, events, errors, tokens, cost)
         select '{organization}', date_trunc('hour', timestamptz '{start}' + step * (interval '1 hour' * {hours} / {steps})),
                md5(model::text)::uuid, 0, 0, 0, 0
         from generate_series(0, {steps} - 1) step, generate_series(1, {MODELS}) model;
         insert into usage_events_packed (day, organization_id, first_at, last_at, events, event_ids, statuses, is_summed)
         select date_trunc('day', at), '{organization}', at, at, {ROW}, '{{}}', '{{}}', true
         from (select timestamptz '{start}' + n * (interval '1 hour' * {hours} / {rows}) as at
               from generate_series(0, {rows} - 1) n) packed;
         analyze usage_events_packed_sums",
        steps = MANY / STEP,
        rows = MANY / ROW,
    );
    Ok(client.batch_execute(&insert).await?)
}
