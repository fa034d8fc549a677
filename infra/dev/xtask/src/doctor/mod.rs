//! `cargo xtask doctor`: everything that on-call needs to know of a stack, on one page.
//!
//! `infra/dev/local/doctor.py` asks the services, each for itself, and `verdict` judges the answers.

mod facts;
mod page;
#[cfg(test)]
mod sample;
mod service;
mod verdict;
mod work;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::{
    checkout::Checkout,
    command::Spec,
    run_folder::RunFolder,
    stack::{self, deploy::STACK},
    stack_env, venv,
};
use facts::Facts;

/// The variables that name resources of the local stack.
const OF_THE_STACK: [&str; 11] = [
    "JOBS_TABLE",
    "API_URL",
    "EXPORTS_QUEUE_URL",
    "EXPORTS_DLQ_URL",
    "EVENTS_QUEUE_URL",
    "EVENTS_DLQ_URL",
    "DELIVERIES_QUEUE_URL",
    "DELIVERIES_DLQ_URL",
    "TELEMETRY_QUEUE_URL",
    "TELEMETRY_DLQ_URL",
    "FUNCTIONS_LOG",
];

/// The stack to look at.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// A stack on AWS, by the account and region of the standard variables; without it, the stack of `up`
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// The stack's region, unless a variable or the profile has it
    #[arg(long, value_name = "REGION", requires = "stack")]
    region: Option<String>,
    /// The profile of the AWS configuration
    #[arg(long, value_name = "NAME", requires = "stack")]
    profile: Option<String>,
    /// Print the verdict and all answers as JSON
    #[arg(long)]
    json: bool,
}

/// Asks, judges and prints. The exit status says whether a person is needed.
pub(crate) fn run(doctor: &Doctor) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    venv::ensure(&checkout)?;
    let run = RunFolder::start(&checkout, "doctor")?;
    let answers = ask(&checkout, &run, doctor)?;
    let facts: Facts = serde_json::from_str(&answers).context("doctor.py gave other answers than expected")?;
    let rows = verdict::judge(&facts);
    if doctor.json {
        let answers: Value = serde_json::from_str(&answers)?;
        terminal::answer(&serde_json::to_string_pretty(&page::json(&answers, &rows))?);
    } else {
        let is_plain = !std::io::stdout().is_terminal();
        let paint = |code: &str, text: &str| if is_plain { text.to_owned() } else { terminal::paint(code, text) };
        terminal::answer(&page::text(&facts, &rows, paint));
    }
    let is_healthy = rows.iter().all(|row| row.findings.is_empty());
    Ok(if is_healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the program that asks the services, and returns its answers as JSON.
fn ask(checkout: &Checkout, run: &RunFolder, doctor: &Doctor) -> Result<String> {
    let python = checkout.tool("python");
    let spec = match &doctor.stack {
        Some(name) => on_aws(python, doctor).arg(checkout.infra("doctor.py")).arg(name),
        None => {
            let spec = run.tool(python).envs(stack_env::variables(checkout)?);
            spec.arg(checkout.infra("doctor.py")).arg(STACK)
        }
    };
    let spec = spec.env("PSQL", stack::psql(checkout)?);
    spec.read(&run.log("doctor")).context("can't ask the services")
}

/// A program that reads the caller's AWS configuration. CloudFormation names all resources for it.
fn on_aws(program: PathBuf, doctor: &Doctor) -> Spec {
    let spec = Spec::new(program).env("PYTHONDONTWRITEBYTECODE", "1");
    let spec = OF_THE_STACK.into_iter().fold(spec, Spec::env_remove);
    let region = doctor.region.iter().flat_map(|region| [("AWS_REGION", region), ("AWS_DEFAULT_REGION", region)]);
    let profile = doctor.profile.iter().map(|profile| ("AWS_PROFILE", profile));
    let spec = spec.envs(region.chain(profile));
    // Keys in the environment would precede the profile's.
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    if doctor.profile.is_some() { keys.into_iter().fold(spec, Spec::env_remove) } else { spec }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = include_str!("../../../local/doctor.py");

    /// Returns the quoted names and texts of a dictionary of the program, each entry by the texts in its line.
    fn entries(dictionary: &str) -> Vec<Vec<&'static str>> {
        let (_, rest) = PROGRAM.split_once(&format!("\n{dictionary} = {{\n")).expect(dictionary);
        let (body, _) = rest.split_once("\n}").expect("its end");
        body.lines().map(|line| line.split('"').skip(1).step_by(2).collect()).collect()
    }

    #[test]
    fn no_variable_of_the_local_stack_names_a_part_of_another_stack() {
        for entry in entries("VARIABLES") {
            assert!(OF_THE_STACK.contains(&entry[1]), "{entry:?}");
        }
    }

    #[test]
    fn the_lines_that_are_looked_for_are_those_that_the_functions_write() {
        let runs = entries("RUNS");
        assert_eq!(runs.len(), 5);
        for run in runs {
            let folder = format!("{}/../../../functions/{}/src", env!("CARGO_MANIFEST_DIR"), run[0]);
            let files = sources(&folder);
            assert!(files.iter().any(|text| text.contains(&format!("\"{}", run[1]))), "{run:?}");
        }
    }

    fn sources(folder: &str) -> Vec<String> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }
}
