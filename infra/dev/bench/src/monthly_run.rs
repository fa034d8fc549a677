//! The exports of a month for many organizations, from the start of the monthly function to the last file.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::{Value, json};
use terminal::Progress;
use uuid::Uuid;

use crate::{
    dataset::{self, MODELS},
    function::Function,
    plan::Plan,
    queue::Queue,
    report::{Section, Table, count, goal, millis},
    stack::{Stack, variable},
    statistics::Sample,
    workers::{How, WORKERS, Workers},
};

/// The models of each organization, besides none.
const MODELS_EACH: u32 = 5;
/// The exports of a person on an idle queue.
const IDLE: usize = 5;
/// The shares of the files after which a person creates an export.
const MOMENTS: [f64; 3] = [0.25, 0.5, 0.75];
/// The monthly function's time, as in the template.
const MONTHLY_TIMEOUT: Duration = Duration::from_secs(900);
/// The number of organizations and the time of the goal.
const GOAL: (u64, Duration) = (10_000, Duration::from_secs(15 * 60));

/// A run, measured.
#[derive(Default)]
struct Measured {
    /// Until the function had created all jobs.
    created: Duration,
    /// Until the last file.
    last: Duration,
    /// The times of the workers for the files of the run.
    files: Sample,
    /// The times from the answer to a person's create until the file.
    idle: Sample,
    amid: Sample,
    emulator: Duration,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let organizations = plan.monthly_organizations();
    let mut step = Progress::start("Monthly run");
    step.at(format!("usage of {} organizations", count(organizations.into())));
    let month = load(stack, organizations)?;
    let person = dataset::load_month(stack, MODELS)?;
    let request = person.daily()?;
    let queue = Queue::create(stack, "bench-monthly-run")?;
    let mut api = stack.start_on("api", &queue)?;
    let mut measured = Measured::default();
    let mut asked = BTreeMap::new();
    let mut ask = |asked: &mut BTreeMap<Uuid, Instant>| -> Result<()> {
        asked.insert(stack.create(&mut api, person.id, &request)?, Instant::now());
        Ok(())
    };

    ask(&mut asked)?;
    Workers::new(stack, &queue)?.run(|ended| {
        ensure!(ended.how == How::Done, "a worker returned the message of job {}", ended.job);
        measured.idle.add(ended.at - asked.remove(&ended.job).context("an unknown job")?);
        if measured.idle.len() < IDLE {
            ask(&mut asked)?;
        }
        Ok(measured.idle.len() < IDLE)
    })?;

    let total = usize::try_from(organizations)?;
    let mut moments = MOMENTS.map(|share| (total as f64 * share) as usize).into_iter().peekable();
    let before = stack.emulator_cpu()?;
    let is_over = AtomicBool::new(false);
    let monthly = stack.start_on("monthly", &queue)?;
    let sweep = stack.start_on("sweep", &queue)?;
    let start = Instant::now();
    thread::scope(|scope| {
        let creating = scope.spawn(|| create(monthly, &month, organizations));
        let sweeping = scope.spawn(|| sweep_on_schedule(sweep, &is_over));
        let run = Workers::new(stack, &queue)?.run(|ended| {
            if ended.how != How::Done {
                return Ok(true);
            }
            if let Some(at) = asked.remove(&ended.job) {
                measured.amid.add(ended.at - at);
            } else {
                measured.files.add(ended.took);
                measured.last = ended.at - start;
            }
            let files = measured.files.len();
            if moments.next_if(|moment| files >= *moment).is_some() {
                ask(&mut asked)?;
            }
            if files % 50 == 0 {
                step.at(format!("{} of {} files", count(files as u64), count(organizations.into())));
            }
            Ok(files < total || !asked.is_empty())
        });
        is_over.store(true, Ordering::Relaxed);
        sweeping.join().ok().context("a thread panicked")??;
        run?;
        measured.created = creating.join().ok().context("a thread panicked")?? - start;
        anyhow::Ok(())
    })?;
    measured.emulator = stack.emulator_cpu()?.saturating_sub(before);
    ensure!(measured.amid.len() == MOMENTS.len(), "{} of a person's exports came", measured.amid.len());
    step.done(&format!("{} files in {:.0} s", count(organizations.into()), measured.last.as_secs_f64()));
    Ok(section(&measured, organizations.into()))
}

/// Adds usage of so many organizations in a month in which nobody else has any, and returns the month.
fn load(stack: &Stack, organizations: u32) -> Result<String> {
    let start = TimeZone::UTC.to_datetime(stack.month).checked_sub(1.month())?;
    let (first, end): (Timestamp, Timestamp) = (TimeZone::UTC.to_timestamp(start)?, stack.month);
    let insert = format!(
        "insert into analytics_daily_rollups
             (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
         select day, md5('monthly run ' || number)::uuid, case when model > 0 then md5(model::text)::uuid end,
             1000 + model, 100000 * (1 + model), model, 1.2345 * (1 + model)
         from generate_series(1, {organizations}) as number
         cross join generate_series(timestamptz '{first}', timestamptz '{end}' - interval '1 day', '1 day') as day
         cross join generate_series(0, {MODELS_EACH}) as model"
    );
    stack.runtime.block_on(async {
        let client = stack.database.connect().await?;
        client.batch_execute(&insert).await?;
        client.batch_execute("vacuum analyze analytics_daily_rollups").await?;
        anyhow::Ok(())
    })?;
    Ok(start.strftime("%Y-%m").to_string())
}

/// Has the monthly function create all exports, and returns the time of its answer.
fn create(mut monthly: Function, month: &str, organizations: u32) -> Result<Instant> {
    monthly.timeout = MONTHLY_TIMEOUT;
    let answer = monthly.invoke(json!({"month": month}).to_string().as_bytes())?;
    let run: Value = serde_json::from_slice(&answer.body)?;
    ensure!(run["created"] == organizations, "the monthly function says {run}");
    Ok(answer.at)
}

/// Runs the sweep on its schedule: it sends the messages that the monthly function put off.
fn sweep_on_schedule(mut sweep: Function, is_over: &AtomicBool) -> Result<()> {
    let interval = Duration::from_secs(60 * variable("SWEEP_MINUTES")?.parse::<u64>()?);
    let mut last = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(200));
        if last.elapsed() >= interval {
            last = Instant::now();
            sweep.invoke(b"{}")?;
        }
    }
    Ok(())
}

fn section(measured: &Measured, organizations: u64) -> Section {
    let Measured { created, last, files, idle, amid, emulator } = measured;
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let bound = files.sum().div_f64(WORKERS as f64);
    let of_goal = last.mul_f64(GOAL.0 as f64 / organizations as f64);
    let mut table = Table::new(["from the start of the function", "time", "× the workers' bound", "goal"]);
    let ratio = |time: Duration| format!("{:.1}", time.as_secs_f64() / bound.as_secs_f64());
    let as_goal = format!("≤ {} min", GOAL.1.as_secs() / 60);
    let measured_goal = if organizations == GOAL.0 { goal(&as_goal, *last <= GOAL.1) } else { String::new() };
    let rows = [
        ("all jobs created".to_owned(), *created, String::new()),
        (format!("the last of {} files", count(organizations)), *last, measured_goal),
        ("the workers' bound: their time for the files, shared".to_owned(), bound, String::new()),
        ("the emulator's CPU".to_owned(), *emulator, String::new()),
    ];
    for (name, time, goal) in rows {
        table.row([name, seconds(time), ratio(time), goal]);
    }
    if organizations != GOAL.0 {
        let name = format!("at this rate, {} files", count(GOAL.0));
        table.row([name, seconds(of_goal), String::new(), goal(&as_goal, of_goal <= GOAL.1)]);
    }
    let mut person = Table::new(["a person's export, from the answer to the file", "exports", "median", "most"]);
    for (name, sample) in [("on an idle queue", idle), ("amid the run", amid)] {
        let [median, most] = [sample.median(), sample.most()].map(millis);
        person.row([name.to_owned(), sample.len().to_string(), median, most]);
    }
    Section {
        title: "Monthly run",
        method: vec![
            format!(
                "The monthly function's release binary creates the exports of {} organizations with usage of {} lines a \
                 day; {WORKERS} workers take them from a queue of the emulator, by a poller as for the recovery, and the \
                 sweep runs on its schedule. The function spreads the messages over time by itself, so the total is its \
                 pace where the workers are fast enough. `× the workers' bound` is a time as a multiple of what {WORKERS} \
                 workers without any wait would take. Amid the run, after a quarter, a half and three quarters of the \
                 files, a person creates a daily export of {MODELS} models.",
                count(organizations),
                MODELS_EACH + 1
            ),
            "The emulator delivers messages in the order of their arrival, so that a person's export waits behind all \
             that are visible: thousands after a sweep, which sends them as fast as the emulator can and leaves the \
             workers little of it. SQS delivers the groups in turns. An idle queue of the emulator is looked at every \
             0.1 s, which is in both waits."
                .to_owned(),
        ],
        tables: vec![table, person],
        broken: Vec::new(),
    }
}
