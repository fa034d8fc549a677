//! The time from the start of a function to its first answer, and its size.

use anyhow::Result;
use terminal::Progress;

use crate::{
    plan::Plan,
    report::{Section, Table, goal, mib, millis},
    stack::Stack,
    statistics::Sample,
};

/// The least that a queue or a bucket can say. Functions on a schedule pass over it and do their work.
const NO_RECORDS: &[u8] = br#"{"Records": []}"#;
/// A month in which nobody used anything.
const NO_USAGE: &[u8] = br#"{"month": "2000-01"}"#;
/// The reconciliation refuses what is no schedule's event. It finds no export here.
const NIGHT: &[u8] = include_bytes!("../../../../events/reconcile-schedule.json");

#[derive(Default)]
struct Measured {
    ready: Sample,
    answered: Sample,
    memory: u64,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let runs = plan.start_runs();
    let mut step = Progress::start("Start");
    let mut measured: Vec<Measured> = stack.binaries.iter().map(|_| Measured::default()).collect();
    // The first round reads the binaries from the disk; it is not counted.
    for run in 0..=runs {
        step.at(format!("{run} of {runs}"));
        for (binary, measured) in stack.binaries.iter().zip(&mut measured) {
            let mut function = stack.start_binary(binary)?;
            let answer = match binary.name.as_str() {
                "api" => function.invoke(&stack.request("GET", "/status/healthz", None)?)?,
                "monthly" => function.invoke(NO_USAGE)?,
                "reconcile" => function.invoke(NIGHT)?,
                _ => function.invoke(NO_RECORDS)?,
            };
            if run > 0 {
                measured.ready.add(function.ready_after);
                measured.answered.add(function.since_start(&answer));
                measured.memory = measured.memory.max(function.process().peak_memory()?);
            }
        }
    }
    step.done(&format!("{} functions", measured.len()));

    let mut table = Table::new(["function", "ready", "first answer", "p90", "binary", "resident", "goal"]);
    for (binary, Measured { ready, answered, memory }) in stack.binaries.iter().zip(&measured) {
        let size = binary.path.metadata()?.len();
        let goals = match binary.name.as_str() {
            "api" => [
                goal("≤ 6 ms", answered.median().as_micros() <= 6000),
                goal("≤ 12 MiB", size <= 12 << 20),
                goal("≤ 12 MiB", *memory <= 12 << 20),
            ]
            .join(", "),
            _ => String::new(),
        };
        table.row([
            binary.name.clone(),
            millis(ready.median()),
            millis(answered.median()),
            millis(answered.percentile(90)),
            mib(size),
            mib(*memory),
            goals,
        ]);
    }
    Ok(Section {
        title: "Start",
        method: vec![format!(
            "From exec, medians of {runs}, functions in turns, binaries in the page cache: until the function asks the \
             Runtime API for its first event (ready), and until its answer to it has arrived. The API answers \
             `/status/healthz`; functions of queues and buckets a batch without records; functions on a schedule do \
             their work, with what the emulator and PostgreSQL take for it. Root certificates are in one file, as in \
             Amazon Linux. Resident is the most of all runs, after the answer (`VmHWM`)."
        )],
        tables: vec![table],
        broken: Vec::new(),
    })
}
