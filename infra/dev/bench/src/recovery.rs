//! The time by which a lost worker delays its job.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::Value;
use terminal::Progress;
use uuid::Uuid;

use crate::{
    dataset::Dataset,
    plan::Plan,
    queue::{Delivery, Queue},
    report::{Section, Table, count, goal},
    stack::{Stack, expect},
    statistics::Sample,
    workers::{How, WORKERS, Workers},
};

/// Exports without a disturbance, which tell how long one takes.
const UNDISTURBED: usize = 3;
/// The part of an export's time within which its worker is killed. Later, it may have ended.
const KILLED_WITHIN: f64 = 0.8;
const MAX_MEDIAN: Duration = Duration::from_secs(45);
const MAX_WORST: Duration = Duration::from_secs(90);

pub(crate) fn measure(stack: &Stack, plan: &Plan, dataset: &Dataset) -> Result<Section> {
    let organization = dataset.of(plan.recovery_rows())?;
    let request = organization.hourly()?;
    let queue = Queue::create(stack, "bench-recovery")?;
    let mut api = stack.start_on("api", &queue)?;
    let mut step = Progress::start("Recovery");

    let mut undisturbed = Sample::default();
    for _ in 0..UNDISTURBED {
        stack.create(&mut api, organization.id, &request)?;
    }
    Workers::new(stack, &queue)?.run(|ended| {
        undisturbed.add(ended.took);
        step.at(format!("undisturbed, {} of {UNDISTURBED}", undisturbed.len()));
        stack.remove_file(organization.id, ended.job, ended.receives)?;
        Ok(undisturbed.len() < UNDISTURBED)
    })?;

    let kills = plan.recovery_kills();
    let mut moments = BTreeMap::new();
    for kill in 0..kills {
        let share = KILLED_WITHIN * (kill as f64 + 0.5) / kills as f64;
        let job = stack.create(&mut api, organization.id, &request)?;
        moments.insert(job, undisturbed.least().mul_f64(share));
    }
    let kill = |delivery: &Delivery| moments.get(&delivery.job).copied().filter(|_| delivery.receives == 1);
    let mut killed: BTreeMap<Uuid, Instant> = BTreeMap::new();
    let mut recovered = Sample::default();
    let mut ended_before = 0;
    Workers::new(stack, &queue)?.killed(&kill).run(|ended| {
        match (ended.how, killed.get(&ended.job)) {
            (How::Killed, _) => drop(killed.insert(ended.job, ended.at)),
            (How::Done, Some(at)) => recovered.add(ended.at - *at),
            (How::Done, None) => ended_before += 1,
            (How::Returned, _) => {}
        }
        if ended.how == How::Done {
            stack.remove_file(organization.id, ended.job, ended.receives)?;
        }
        step.at(format!("{} killed, {} recovered, of {kills}", killed.len(), recovered.len()));
        Ok(recovered.len() + ended_before < kills)
    })?;
    for job in moments.keys() {
        let shown = api.invoke(&stack.request("GET", &format!("/orgs/{}/exports/{job}", organization.id), None)?)?;
        let shown: Value = expect(&shown, 200)?;
        ensure!(shown["status"] == "succeeded", "job {job} did not succeed: {shown}");
    }
    ensure!(recovered.len() > 0, "no worker was killed in time");
    step.done(&format!("{} workers killed, median {:.1} s", recovered.len(), recovered.median().as_secs_f64()));
    Ok(section(organization.rows, &undisturbed, &recovered))
}

fn section(rows: u64, undisturbed: &Sample, recovered: &Sample) -> Section {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let mut table = Table::new(["until `succeeded`", "exports", "least", "median", "most", "goal"]);
    let goals =
        [goal("median < 45 s", recovered.median() < MAX_MEDIAN), goal("most < 90 s", recovered.most() < MAX_WORST)];
    let rows_of = [
        ("from receipt, undisturbed", undisturbed, String::new()),
        ("from the kill of its worker", recovered, goals.join(", ")),
    ];
    for (name, sample, goal) in rows_of {
        table.row([
            name.to_owned(),
            sample.len().to_string(),
            seconds(sample.least()),
            seconds(sample.median()),
            seconds(sample.most()),
            goal,
        ]);
    }
    Section {
        title: "Recovery",
        method: vec![format!(
            "{WORKERS} workers of the release binary export {} rows for each job. The bench plays Lambda's poller: it \
             receives the messages from a queue of the emulator, hands them over, deletes them after the answer, and \
             starts a new process for one that is gone. Each worker is killed once per job by SIGKILL, at moments that \
             are spread over the first {:.0} % of the time that an export takes; the message returns when the worker \
             that hid it no longer does. No sweep runs. All jobs are created before, so that those whose messages \
             return together wait for each other, too.",
            count(rows),
            100.0 * KILLED_WITHIN
        )],
        tables: vec![table],
        broken: Vec::new(),
    }
}
