//! Measures the functions on a running stack: the program of `cargo xtask bench`.
//!
//! Timings are printed beside their goals and never fail a run. Bounds that do not depend on the machine's speed do:
//! wrong bytes, and memory that grows.

#![allow(clippy::float_arithmetic, reason = "durations and ratios, no money")]
#![allow(clippy::print_stdout, reason = "the report is this program's answer")]

mod api;
mod burst;
mod dataset;
mod event;
mod events;
mod export;
mod function;
mod growth;
mod ingest;
mod machine;
mod monthly;
mod monthly_run;
mod pack;
mod paths;
mod peers;
mod plan;
mod process;
mod queue;
mod reconcile;
mod recovery;
mod refresh;
mod report;
mod results;
mod scale;
mod stack;
mod start;
mod statistics;
mod usage;
mod workers;

use std::process::ExitCode;

use anyhow::Result;
use bench_options::{Options, Part};
use clap::Parser;

use dataset::Dataset;
use plan::Plan;
use stack::Stack;

/// Measures the functions on the stack of `cargo xtask bench`, which starts this program.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            terminal::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures and returns whether all bounds hold.
fn run() -> Result<bool> {
    let plan = Plan::new(&Cli::parse().options);
    let stack = Stack::from_env()?;
    let machine = machine::describe(&stack)?;
    let dataset = Dataset::load(&stack, &plan.sizes())?;
    let mut sections = Vec::new();
    for part in &plan.parts {
        sections.push(match part {
            Part::Export => export::measure(&stack, &plan, &dataset)?,
            Part::Growth => growth::measure(&stack, &plan, &dataset)?,
            Part::Monthly => monthly::measure(&stack, &plan)?,
            Part::Start => start::measure(&stack, &plan)?,
            Part::Api => api::measure(&stack, &plan)?,
            Part::Usage => usage::measure(&stack, &plan)?,
            Part::Recovery => recovery::measure(&stack, &plan, &dataset)?,
            Part::MonthlyRun => monthly_run::measure(&stack, &plan)?,
            Part::Burst => burst::measure(&stack, &plan)?,
            Part::Scale => scale::measure(&stack, &plan)?,
            Part::Ingest => ingest::measure(&stack, &plan)?,
            Part::Pack => pack::measure(&stack, &plan)?,
            Part::Reconcile => reconcile::measure(&stack, &plan)?,
            Part::Refresh => refresh::measure(&stack, &plan)?,
        });
        // After each part: a failure in the next one loses nothing.
        if !plan.quick {
            results::write(&machine, &sections)?;
        }
    }
    println!("\n{machine}");
    for section in &sections {
        println!("{section}");
    }
    Ok(sections.iter().all(|section| section.broken.is_empty()))
}
