//! `cargo xtask run`: the scheduled tasks by hand.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    binaries, checkout::Checkout, cli::Task, progress, published, run::Run, runtime, stack::function_variable,
};

/// Runs the task, on the stack that is up or against the database that was named, and prints what it did.
pub(crate) fn run(task: &Task) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    crate::venv::ensure(&checkout)?;
    let run = Run::start(&checkout, "task")?;
    let (binary, event, database_url) = parts(task);
    let done = match database_url {
        None => on_stack(&checkout, &run, binary, &event),
        Some(url) => on_database(&checkout, &run, binary, &event, url),
    };
    match done {
        Ok(summary) => {
            progress::answer(&serde_json::to_string_pretty(&summary)?);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            if let Some(logs) = run.keep_logs() {
                progress::note(&format!("the logs are in {}", checkout.short(logs)));
            }
            Err(error)
        }
    }
}

/// The function's binary, its event, and the database if it is not the stack's.
fn parts(task: &Task) -> (&'static str, Value, Option<&str>) {
    match task {
        Task::Monthly { month } => ("monthly", month.as_ref().map_or(json!({}), |month| json!({"month": month})), None),
        Task::Sweep => ("sweep", json!({}), None),
        Task::Refresh(database) => ("refresh", json!({}), database.url.as_deref()),
        Task::Retention(database) => ("retention", json!({}), database.url.as_deref()),
        Task::Migrate(database) => ("migrate", json!({}), database.url.as_deref()),
    }
}

/// Invokes the deployed function.
fn on_stack(checkout: &Checkout, run: &Run, binary: &str, event: &Value) -> Result<Value> {
    let variables = published::variables(checkout)?;
    let function = variables.get(&function_variable(binary)).with_context(|| format!("the stack has no {binary}"))?;
    progress::step(&format!("Running {function}"), |_| {
        let spec = run.tool(checkout.tool("python")).arg(checkout.infra("invoke.py"));
        let spec = spec.arg(function.clone()).arg(event.to_string());
        let aws = variables.iter().filter(|(name, _)| name.starts_with("AWS_"));
        let spec = aws.fold(spec, |spec, (name, value)| spec.env(name, value));
        let answer: Value =
            serde_json::from_str(&spec.read(&run.log("invoke"))?).context("invoke.py gave no answer")?;
        match answer["failed"] == true {
            true => Err(runtime::error(&answer["payload"])),
            false => Ok((answer["payload"].clone(), String::new())),
        }
    })
}

/// Runs the function's program here. Its settings are the template's, unless the environment has others.
fn on_database(checkout: &Checkout, run: &Run, binary: &str, event: &Value, url: &str) -> Result<Value> {
    let program = binaries::build(checkout)?.remove(binary).with_context(|| format!("there is no program {binary}"))?;
    progress::step(&format!("Running {binary}"), |_| {
        let spec = run.tool(checkout.tool("python")).arg(checkout.infra("variables.py"));
        let text = spec.arg(checkout.template()).arg(binary).read(&run.log("variables"))?;
        let mut variables: BTreeMap<String, String> =
            serde_json::from_str(&text).context("variables.py gave no answer")?;
        variables.retain(|name, _| std::env::var_os(name).is_none());
        variables.insert("DATABASE_URL".to_owned(), url.to_owned());
        Ok((runtime::invoke(&program, &variables, event, &run.log(binary))?, String::new()))
    })
}
