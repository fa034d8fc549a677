//! A typical monthly export: 31 days of 20 models.

use std::time::Duration;

use anyhow::{Result, ensure};
use terminal::Progress;

use crate::{
    dataset::{self, DAYS, MODELS},
    plan::Plan,
    report::{Section, Table, millis},
    stack::{Cost, Stack},
    statistics::Sample,
};

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let organization = dataset::load_month(stack, MODELS)?;
    let request = organization.daily()?;
    let mut api = stack.start("api")?;
    let runs = plan.monthly_runs();
    let mut step = Progress::start("Monthly export");
    let mut new = Sample::default();
    let mut kept = Sample::default();
    let mut cost = Cost::default();
    for run in 1..=runs.div_ceil(4) {
        step.at(format!("new process, {run}"));
        let mut worker = stack.start("worker")?;
        let export = stack.export(&mut api, &mut worker, organization.id, &request)?;
        new.add(worker.ready_after + export.took);
    }
    let mut worker = stack.start("worker")?;
    stack.export(&mut api, &mut worker, organization.id, &request)?;
    for run in 1..=runs {
        step.at(format!("kept process, {run} of {runs}"));
        let export = stack.export(&mut api, &mut worker, organization.id, &request)?;
        ensure!(export.rows == DAYS * MODELS, "the export has {} rows", export.rows);
        kept.add(export.took);
        cost += export.cost;
    }
    step.done(&format!("median {}", millis(kept.median())));
    Ok(section(&new, &kept, cost))
}

fn section(new: &Sample, kept: &Sample, cost: Cost) -> Section {
    let mut table = Table::new(["from receipt to `succeeded`", "runs", "median", "p90"]);
    for (name, sample) in [("kept process", kept), ("new process, from exec", new)] {
        table.row([name.to_owned(), sample.len().to_string(), millis(sample.median()), millis(sample.percentile(90))]);
    }
    let each = |time: Duration| time.div_f64(kept.len() as f64);
    let mean = each(kept.sum());
    let emulator = each(cost.emulator);
    let mut parts = Table::new(["of the mean of the kept process", "time"]);
    for (name, time) in [
        ("all", mean),
        ("the emulator's CPU", emulator),
        ("without it", mean.saturating_sub(emulator)),
        ("the worker's CPU", each(cost.function)),
        ("PostgreSQL's CPU", each(cost.postgres)),
    ] {
        parts.row([name.to_owned(), millis(time)]);
    }
    Section {
        title: "A typical monthly export",
        method: vec![
            format!(
                "{DAYS} days of {MODELS} models, daily: {} rows. The message is handed to the worker by the Runtime \
                 API that the bench serves, and the worker's answer, which follows the write of `succeeded`, is the \
                 end: no queue and no polling, which would count the emulator a second time.",
                DAYS * MODELS
            ),
            "The emulator's own part, its calls of DynamoDB and S3, is told apart by the CPU time of its process: the \
             worker waits for one call after the other."
                .to_owned(),
        ],
        tables: vec![table, parts],
        broken: Vec::new(),
    }
}
