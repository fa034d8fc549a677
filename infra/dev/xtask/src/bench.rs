//! `cargo xtask bench`: the release binaries, measured on a stack of their own by `infra/dev/bench`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bench_options::{self as options, Options};
use serde_json::json;
use uuid::Uuid;

use crate::{
    binaries::{self, Binaries},
    checkout::Checkout,
    command::Spec,
    run_folder::RunFolder,
    stack::{
        Kind, Stack,
        issuer::Claims,
        store::{Product, Store},
    },
    venv,
};

/// The program that measures.
const PROGRAM: &str = "bench";
const USER: &str = "2c5f8f0e-6a0b-4d0e-8a57-1f0c3c1d9b7e";
/// The organizations that it gets; it loads different usage for each.
const ORGANIZATIONS: usize = 32;

/// Runs it. The exit status is that of the bounds that are no timings.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let folder = checkout.root().join("infra/dev/bench");
    let peers = options.peers.then(|| checkout.root().join(".venv-peers"));
    if let Some(peers) = &peers {
        venv::ensure_folder(&checkout, peers, &folder.join("requirements.txt"))?;
    }
    let mut functions = binaries::build_release(&checkout)?;
    let program = functions.remove(PROGRAM).context("the workspace has no program `bench`")?;
    let load = functions.remove("load").context("the workspace has no program `load`")?;
    let (mut stack, _store) = start(checkout, options.store)?;
    // The bench starts the functions itself.
    stack.deployer().stand_still()?;
    terminal::heading("Measuring");
    let mut spec = Spec::new(program).args(options.arguments()).envs(environment(&stack, &functions)?);
    spec = spec.env("BENCH_LOAD", load.display().to_string());
    if let Some(peers) = peers {
        spec = spec.env("BENCH_PEERS", peers.join("bin/python")).env("BENCH_PEERS_SCRIPTS", folder.join("peers"));
    }
    let held = stack.attend(spec)?;
    if !held {
        stack.keep_logs();
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the stack, and the store of its files if that is not the emulator.
fn start(checkout: Checkout, store: Option<options::Store>) -> Result<(Stack, Option<(Store, RunFolder)>)> {
    let product = match store {
        None => return Ok((Stack::start(checkout, "bench", Kind::Plain)?, None)),
        Some(options::Store::Ceph) => Product::Ceph,
        Some(options::Store::LocalStack) => Product::LocalStack,
    };
    if let Some(reason) = product.missing() {
        bail!("{} can't be started: {reason}", product.name());
    }
    venv::ensure(&checkout)?;
    let run = RunFolder::start(&checkout, "store")?;
    let store = terminal::step(&format!("Starting {}", product.name()), |_| {
        Ok((product.start(&checkout, &run)?, String::new()))
    })?;
    Ok((Stack::start_on(checkout, "bench", &store)?, Some((store, run))))
}

fn environment(stack: &Stack, functions: &Binaries) -> Result<Vec<(String, String)>> {
    let organizations: Vec<String> = (0..ORGANIZATIONS).map(|_| Uuid::new_v4().to_string()).collect();
    let list = organizations.join(",");
    let claims = Claims { issuer: stack.issuer().url(), subject: USER, organizations, scope: "admin" };
    let more = [
        ("BENCH_FUNCTIONS", json!(functions).to_string()),
        ("BENCH_LOGS", stack.run().path("logs").display().to_string()),
        ("BENCH_ORGANIZATIONS", list),
        ("BENCH_RESULTS", stack.checkout().root().join("infra/dev/bench/RESULTS.md").display().to_string()),
        ("BENCH_TOKEN", stack.key().token(&claims)?),
        ("EMULATOR_PID", stack.aws().emulator().process().to_string()),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value));
    Ok(stack.variables().iter().cloned().chain(more).collect())
}
