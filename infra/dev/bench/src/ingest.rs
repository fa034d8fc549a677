//! The taking in of events: the program `load`, and a plain writer, beside a plain COPY of the same file.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    pin::pin,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::Value;
use terminal::Progress;
use usage::maintenance::retention::{Periods, retention};

use crate::{
    plan::Plan,
    report::{Section, Table, count, goal},
    stack::{Stack, variable},
    statistics::Sample,
};

/// The part of a plain COPY's speed that the loader is to reach.
const MIN_SPEED: f64 = 0.6;
/// Maximum number of bytes of keys for each event of a month.
const MAX_KEY_BYTES: f64 = 40.0;
/// The periods of the template.
const PERIODS: Periods = Periods {
    events_plain_days: 7,
    events_kept_days: 400,
    keys_kept_days: 8,
    rollups_kept_months: 13,
    tests_kept_days: 90,
};
/// The part of the events that come through the trigger, one by one.
const SINGLE_PART: u64 = 10;

/// A table as any platform would have it, without any of what `usage_events` does.
const PLAIN: &str = "
    create table ingest_plain (
        event_id uuid, organization_id uuid, model_id uuid, occurred_at timestamptz, input_tokens bigint,
        output_tokens bigint, status text, cost_usd numeric
    );
    create index on ingest_plain (organization_id, occurred_at)";
const EMPTY: &str = "truncate ingest_plain, usage_events, usage_event_keys, usage_dirty_hours, usage_events_refused";

/// A file of events in the order of their times, and how fast each way took it in.
struct Load {
    name: &'static str,
    file: PathBuf,
    events: u64,
    plain: Sample,
    loader: Sample,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let (events, rounds) = (plan.ingest_events(), plan.ingest_rounds());
    let folder = std::env::temp_dir().join(format!("bench-ingest-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let done = rounds_in(&folder, stack, events, rounds);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn rounds_in(folder: &Path, stack: &Stack, events: u64, rounds: usize) -> Result<Section> {
    let mut step = Progress::start("Ingest");
    step.at("files");
    let file = |name: &str, events, from: &str, length: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        stack.runtime.block_on(write(stack, &path, events, from, length))?;
        Ok(path)
    };
    let load = |name, file, events| Load { name, file, events, plain: Sample::default(), loader: Sample::default() };
    let today = file("today.csv", events, "now() - interval '6 hours'", "6 hours")?;
    let (from, length) = ("date_trunc('day', now(), 'UTC') - interval '60 days'", "20 days");
    let history = file("history.csv", events, from, length)?;
    let packed = file("packed.csv", events, from, length)?;
    let single = file("single.csv", events / SINGLE_PART, "now() - interval '6 hours'", "6 hours")?;
    let mut today = load("today", today, events);
    let mut history = load("40 to 60 days ago, with as many packed", history, events);
    let mut trigger = Sample::default();
    execute(stack, PLAIN)?;

    for round in 0..=rounds {
        step.at(format!("today, {round} of {rounds}"));
        today.round(stack, round)?;
        let took = copy(stack, "usage_events", &single)?;
        if round > 0 {
            trigger.add(took);
        }
    }
    execute(stack, EMPTY)?;
    loader(&today.file, events)?;
    let key_bytes = key_bytes(stack)? / events as f64;

    step.at("history is packed");
    execute(stack, EMPTY)?;
    loader(&packed, events)?;
    // Nothing is to be computed.
    execute(stack, "delete from usage_dirty_hours")?;
    stack.runtime.block_on(async {
        let mut client = stack.database.connect().await?;
        retention(&mut client, &mut [], Timestamp::now(), &PERIODS, Duration::from_secs(600)).await?;
        anyhow::Ok(())
    })?;
    for round in 0..=rounds {
        step.at(format!("history, {round} of {rounds}"));
        history.round(stack, round)?;
    }
    execute(stack, "drop table ingest_plain; truncate usage_events, usage_events_packed, usage_event_keys")?;
    step.done(&format!("{rounds} rounds of {} events", count(events)));
    Ok(section(&[today, history], &trigger, events / SINGLE_PART, key_bytes, rounds))
}

impl Load {
    /// One after the other, from empty tables. The first round is not counted.
    fn round(&mut self, stack: &Stack, round: usize) -> Result<()> {
        execute(stack, EMPTY)?;
        let plain = copy(stack, "ingest_plain", &self.file)?;
        let loader = loader(&self.file, self.events)?;
        if round > 0 {
            self.plain.add(plain);
            self.loader.add(loader);
        }
        Ok(())
    }
}

/// Writes a file of events of 100 organizations and 6 models, with ids that are random.
async fn write(stack: &Stack, path: &Path, events: u64, from: &str, length: &str) -> Result<()> {
    let copy = format!(
        r#"copy (
            select gen_random_uuid() as event_id,
                   ('00000000-0000-4000-8000-' || lpad(floor(random() * 100)::int::text, 12, '0'))::uuid as organization_id,
                   ('00000000-0000-4000-9000-' || lpad((i % 6)::text, 12, '0'))::uuid as model_id,
                   to_char(({from} + interval '{length}' * (i::float8 / {events})) at time zone 'UTC',
                           'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as occurred_at,
                   (200 + 12000 * random() ^ 4)::bigint as input_tokens, (3000 * random())::bigint as output_tokens,
                   case when random() < 0.97 then 'success' else 'error' end as status,
                   round((random() / 2)::numeric, 6) as cost_usd
            from generate_series(0, {events} - 1) i
        ) to stdout csv header"#
    );
    let client = stack.database.connect().await?;
    let mut file = std::io::BufWriter::new(File::create(path)?);
    let mut parts = pin!(client.copy_out(&copy).await?);
    while let Some(part) = parts.try_next().await? {
        file.write_all(&part)?;
    }
    Ok(file.flush()?)
}

fn execute(stack: &Stack, sql: &str) -> Result<()> {
    stack.runtime.block_on(async { Ok(stack.database.connect().await?.batch_execute(sql).await?) })
}

fn key_bytes(stack: &Stack) -> Result<f64> {
    stack.runtime.block_on(async {
        let client = stack.database.connect().await?;
        let row = client.query_one("select pg_total_relation_size('usage_event_keys')", &[]).await?;
        Ok(row.try_get::<_, i64>(0)? as f64)
    })
}

/// A plain COPY of the file by psql.
fn copy(stack: &Stack, table: &str, file: &Path) -> Result<Duration> {
    // The server may still write pages of the round before: they are not to be counted in this one.
    execute(stack, "checkpoint")?;
    let copy = format!(
        r"\copy {table} (event_id, organization_id, model_id, occurred_at, input_tokens, output_tokens, status, cost_usd) from '{}' csv header",
        file.display()
    );
    let mut psql = Command::new(variable("PSQL")?);
    psql.args(["--no-psqlrc", "--quiet", &variable("DATABASE_URL")?, "-c", &copy]);
    let start = Instant::now();
    let output = psql.output()?;
    let took = start.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && errors.is_empty(), "psql failed: {errors}");
    Ok(took)
}

/// The loader, which has to find every event new.
fn loader(file: &Path, events: u64) -> Result<Duration> {
    let start = Instant::now();
    let output = Command::new(variable("BENCH_LOAD")?).arg(file).output()?;
    let took = start.elapsed();
    ensure!(output.status.success(), "the loader failed: {}", String::from_utf8_lossy(&output.stderr));
    let sums: Value = serde_json::from_slice(&output.stdout).context("the loader prints no sums")?;
    ensure!(sums["accepted"] == events, "the loader of {events} events prints {sums}");
    Ok(took)
}

fn section(loads: &[Load], trigger: &Sample, single: u64, key_bytes: f64, rounds: usize) -> Section {
    let mut table = Table::new(["events", "way", "median", "events/s", "of plain COPY", "goal"]);
    let speed = |events: u64, took: Duration| (events as f64 / took.as_secs_f64()) as u64;
    let mut row = |events: &str, way: &str, number, took: &Sample, part: Option<f64>, goal: String| {
        let part = part.map(|part| format!("{:.0} %", part * 100.0)).unwrap_or_default();
        let median = format!("{:.2} s", took.median().as_secs_f64());
        table.row([events.to_owned(), way.to_owned(), median, count(speed(number, took.median())), part, goal]);
    };
    for Load { name, events, plain, loader, .. } in loads {
        row(name, "plain COPY, one index", *events, plain, None, String::new());
        let part = loader.speed_up_from(plain);
        row(name, "load", *events, loader, Some(part), goal("≥ 60 %", part >= MIN_SPEED));
    }
    if let Some(today) = loads.first() {
        let part = speed(single, trigger.median()) as f64 / speed(today.events, today.plain.median()) as f64;
        row(today.name, "COPY into usage_events", single, trigger, Some(part), String::new());
    }
    // The keys of the present day come to those of the days before, until the next night: half a day of them on average.
    let days = f64::from(PERIODS.keys_kept_days) + 0.5;
    let month = key_bytes * days / 30.0;
    let mut keys = Table::new(["keys", "bytes", "goal"]);
    keys.row(["of an event".to_owned(), format!("{key_bytes:.0}"), String::new()]);
    let limit = goal("≤ 40", month <= MAX_KEY_BYTES);
    keys.row([format!("of an event of a month, for {days} days"), format!("{month:.1}"), limit]);
    Section {
        title: "Ingest",
        method: vec![format!(
            "The same CSV file of {} events, in the order of time, of 100 organizations, with random ids: by `psql \\copy` \
             into a table with one index and nothing else, and by `load` into `usage_events`. Server and client on the same \
             cores, {rounds} interleaved rounds after one to warm up, from empty tables; the ratio is the median of the \
             rounds' ratios. `COPY into usage_events` is a plain writer, whose {} events the trigger takes one by one.",
            count(loads.first().map_or(0, |load| load.events)),
            count(single),
        )],
        tables: vec![table, keys],
        broken: Vec::new(),
    }
}
