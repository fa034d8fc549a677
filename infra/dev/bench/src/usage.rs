//! `GET …/usage` of a daily month, beside the database's own time for the sums.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use terminal::Progress;

use crate::{
    dataset::{self, DAYS, MODELS, Organization},
    function::Function,
    plan::Plan,
    report::{Section, Table, count, millis},
    stack::{Cost, Stack, expect},
    statistics::Sample,
};

/// More than an answer of a function can have entries of.
const MANY_MODELS: u64 = 2000;

/// The usage of one organization, read again and again.
#[derive(Default)]
struct Measured {
    models: u64,
    entries: u64,
    pages: u64,
    /// The sums, with one entry.
    totals: Sample,
    /// The first page, with as many entries as it may have.
    first: Sample,
    /// All pages, one after the other.
    all: Sample,
    /// The sums in SQL.
    sums: Sample,
    /// Of all pages.
    cost: Cost,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let mut api = stack.start("api")?;
    let mut step = Progress::start("Usage");
    let mut measured = Vec::new();
    for models in [MODELS, MANY_MODELS] {
        step.at(format!("{} models", count(models)));
        let organization = dataset::load_month(stack, models)?;
        measured.push(read(stack, &mut api, &organization, models, plan.usage_runs())?);
    }
    step.done(&format!("{} months", measured.len()));
    Ok(section(&measured, plan.usage_runs()))
}

fn read(stack: &Stack, api: &mut Function, organization: &Organization, models: u64, runs: usize) -> Result<Measured> {
    let (start, end) = organization.range()?;
    let path = format!("/orgs/{}/usage?start={start}&end={end}&granularity=daily", organization.id);
    let mut measured = Measured { models, ..Measured::default() };
    // The first round connects and warms the caches; it is not counted.
    for run in 0..=runs {
        let sums = sums(stack, organization, start, end)?;
        let asked = Instant::now();
        page(stack, api, &format!("{path}&limit=1"))?;
        let totals = asked.elapsed();
        let before = stack.cost(api)?;
        let asked = Instant::now();
        let mut first = None;
        let (mut entries, mut pages, mut next) = (0, 0, Some(path.clone()));
        while let Some(target) = next {
            let (found, cursor) = page(stack, api, &target)?;
            first.get_or_insert_with(|| asked.elapsed());
            entries += found;
            pages += 1;
            next = cursor.map(|cursor| format!("{path}&cursor={cursor}"));
        }
        let all = asked.elapsed();
        let cost = stack.cost(api)?.since(before);
        ensure!(entries == organization.rows, "the pages have {entries} of {} entries", organization.rows);
        if run > 0 {
            measured.sums.add(sums);
            measured.totals.add(totals);
            measured.first.add(first.context("no page")?);
            measured.all.add(all);
            measured.cost += cost;
        }
        (measured.entries, measured.pages) = (entries, pages);
    }
    Ok(measured)
}

/// Reads one page. Returns the number of its entries and the next page's cursor.
fn page(stack: &Stack, api: &mut Function, path: &str) -> Result<(u64, Option<String>)> {
    let usage = expect(&api.invoke(&stack.request("GET", path, None)?)?, 200)?;
    let entries = usage["series"].as_array().context("usage without a series")?.len();
    Ok((entries as u64, usage["nextCursor"].as_str().map(str::to_owned)))
}

/// The time of the sums of all entries in the database, with the way there and back.
fn sums(stack: &Stack, organization: &Organization, start: Timestamp, end: Timestamp) -> Result<Duration> {
    let query = format!(
        "select sum(request_count), sum(tokens_total), sum(error_count), sum(cost_total)::text
         from analytics_daily_rollups
         where organization_id = '{}' and bucket_start >= '{start}' and bucket_start < '{end}'",
        organization.id
    );
    stack.runtime.block_on(async {
        let client = stack.database.client().await?;
        let asked = Instant::now();
        client.query_one(&query, &[]).await?;
        Ok(asked.elapsed())
    })
}

fn section(measured: &[Measured], runs: usize) -> Section {
    let mut table = Table::new([
        "daily month",
        "entries",
        "sums in SQL",
        "totals",
        "× sums",
        "first page",
        "all pages",
        "× sums",
        "per entry",
        "function's CPU",
    ]);
    for Measured { models, entries, pages, totals, first, all, sums, cost } in measured {
        let ratio = |sample: &Sample| format!("{:.1}", 1.0 / sample.speed_up_from(sums));
        table.row([
            format!(
                "{} models, {}",
                count(*models),
                if *pages == 1 { "1 page".to_owned() } else { format!("{pages} pages") }
            ),
            count(*entries),
            millis(sums.median()),
            millis(totals.median()),
            ratio(totals),
            millis(first.median()),
            millis(all.median()),
            ratio(all),
            format!("{:.1} µs", all.median().as_secs_f64() * 1e6 / *entries as f64),
            millis(cost.function.div_f64(runs as f64)),
        ]);
    }
    Section {
        title: "Usage",
        method: vec![format!(
            "{DAYS} days by `GET …/usage`, medians of {runs} interleaved rounds after one to warm up, one process of the \
             release binary. `sums in SQL` is the least that any answer takes: the four sums of the same rows, asked of \
             the database by itself. `totals` is a page of one entry, which has the sums of the whole range, the \
             freshness and the completeness, and counts the call against the day's limit in the emulator. All pages are \
             read one after the other; pages after the first have the sums, too."
        )],
        tables: vec![table],
        broken: Vec::new(),
    }
}
