//! `cargo xtask run`: the scheduled tasks by hand.

use std::{collections::BTreeMap, process::ExitCode, str::FromStr as _};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use domain::{Month, OrgId};
use serde_json::{Value, json};

use crate::{binaries, checkout::Checkout, run_folder::RunFolder, runtime, stack::function_variable, stack_env, venv};

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Create one daily export of a month for every organization with usage in it
    ///
    /// Nothing is created twice: run it again to continue after a failure, for organizations whose usage arrived late,
    /// or to recreate exports that failed.
    Monthly {
        /// The month; the one before this one unless given
        #[arg(long, value_name = "YYYY-MM", value_parser = Month::from_str)]
        month: Option<Month>,
        /// Create a further edition: a new export of each organization, beside the ones that exist
        #[arg(long, requires = "month")]
        again: bool,
        /// Only this organization's further edition
        #[arg(long, value_name = "UUID", requires = "again")]
        organization: Option<OrgId>,
    },
    /// Recompute the rollups of new raw events
    Refresh(Database),
    /// Resend lost messages, resolve expired leases, expire files
    Sweep,
    /// Compare the newest export of some organizations with the present figures
    Reconcile {
        /// Only this organization's
        #[arg(long, value_name = "UUID")]
        organization: Option<OrgId>,
    },
    /// Look at the series of CI with new runs, and tell changes of their durations
    Changes,
    /// Compress and drop old usage, and create partitions ahead of time
    Retention(Database),
    /// Apply the migrations that the database does not have
    Migrate(Database),
}

/// The database of the task.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// Another database than the stack's
    #[arg(long = "database-url", value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// Runs the task, on the stack that is up or against the named database, and prints its result.
pub(crate) fn run(task: &Task) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    venv::ensure(&checkout)?;
    let run = RunFolder::start(&checkout, "task")?;
    let (binary, event, database_url) = parts(task);
    let done = match database_url {
        None => on_stack(&checkout, &run, binary, &event),
        Some(url) => on_database(&checkout, &run, binary, &event, url),
    };
    match done {
        Ok(summary) => {
            terminal::answer(&serde_json::to_string_pretty(&summary)?);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            if let Some(logs) = run.keep_logs() {
                terminal::note(&format!("the logs are in {}", checkout.short(logs)));
            }
            Err(error)
        }
    }
}

/// The function's binary, its event, and the database if it is not the stack's.
fn parts(task: &Task) -> (&'static str, Value, Option<&str>) {
    match task {
        Task::Monthly { month, again, organization } => {
            let mut event = month.map_or(json!({}), |month| json!({"month": month}));
            if *again {
                event["again"] = json!(true);
            }
            if let Some(organization) = organization {
                event["organization"] = json!(organization);
            }
            ("monthly", event, None)
        }
        Task::Sweep => ("sweep", json!({}), None),
        Task::Reconcile { organization } => {
            ("reconcile", organization.map_or(json!({}), |id| json!({"organization": id})), None)
        }
        Task::Changes => ("telemetry", json!({"source": "aws.events"}), None),
        Task::Refresh(database) => ("refresh", json!({}), database.url.as_deref()),
        Task::Retention(database) => ("retention", json!({}), database.url.as_deref()),
        Task::Migrate(database) => ("migrate", json!({}), database.url.as_deref()),
    }
}

/// Invokes the deployed function.
fn on_stack(checkout: &Checkout, run: &RunFolder, binary: &str, event: &Value) -> Result<Value> {
    let variables = stack_env::variables(checkout)?;
    let function = variables.get(&function_variable(binary)).with_context(|| format!("the stack has no {binary}"))?;
    terminal::step(&format!("Running {function}"), |_| {
        let spec = run.tool(checkout.tool("python")).arg(checkout.infra("invoke.py"));
        let spec = spec.arg(function.clone()).arg(event.to_string());
        let spec = spec.envs(variables.iter().filter(|(name, _)| name.starts_with("AWS_")));
        let answer: Value =
            serde_json::from_str(&spec.read(&run.log("invoke"))?).context("invoke.py gave no answer")?;
        if answer["failed"] == true {
            return Err(runtime::error(&answer["payload"]));
        }
        Ok((answer["payload"].clone(), String::new()))
    })
}

/// Runs the function's program here. Its settings are the template's, unless the environment has others.
fn on_database(checkout: &Checkout, run: &RunFolder, binary: &str, event: &Value, url: &str) -> Result<Value> {
    let program = binaries::build(checkout)?.remove(binary).with_context(|| format!("there is no program {binary}"))?;
    terminal::step(&format!("Running {binary}"), |_| {
        let spec = run.tool(checkout.tool("python")).arg(checkout.infra("variables.py"));
        let text = spec.arg(checkout.template()).arg(binary).read(&run.log("variables"))?;
        let mut variables: BTreeMap<String, String> =
            serde_json::from_str(&text).context("variables.py gave no answer")?;
        variables.retain(|name, _| std::env::var_os(name).is_none());
        variables.insert("DATABASE_URL".to_owned(), url.to_owned());
        variables.remove("DATABASE_SECRET");
        Ok((runtime::invoke(&program, &variables, event, &run.log(binary))?, String::new()))
    })
}
