//! The fuzzer, on one target after the other.

use std::{
    env,
    fs::{create_dir_all, read_to_string},
    path::Path,
};

use anyhow::{Context as _, Result, bail};

use super::session::Session;
use crate::{
    binaries,
    command::{Output, Spec},
    run_folder::RunFolder,
};

/// The variable with the seconds that all targets have together.
const SECONDS: &str = "FUZZ_SECONDS";
const DEFAULT_SECONDS: u32 = 600;

/// The time after which one input counts as endless, in seconds.
const INPUT_TIMEOUT: u32 = 20;

/// Memory of the fuzzer, with all inputs that it keeps, after which the last input counts as too much, in MiB.
const MEMORY: u32 = 2048;

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    let seconds = match env::var(SECONDS) {
        Ok(text) => text.parse().with_context(|| format!("{SECONDS} is no whole number"))?,
        Err(_) => DEFAULT_SECONDS,
    };
    let checkout = session.checkout().clone();
    terminal::heading("fuzz");
    let program = session.time("fuzz build", || Ok((binaries::build_fuzzer(&checkout)?, true)))?;
    let folder = checkout.root().join("infra/dev/fuzz");
    let targets = targets(&folder.join("corpus"), session.arguments())?;
    let share = (seconds / u32::try_from(targets.len())?).max(1);
    let run = RunFolder::start(&checkout, "fuzz")?;
    let mut all_passed = true;
    for target in &targets {
        // What this machine found stays, and makes the next run start further.
        let found = checkout.local().join("fuzz").join(target);
        create_dir_all(&found).with_context(|| format!("can't create {}", found.display()))?;
        let fuzz = Spec::new(&program)
            .env("FUZZ_TARGET", target)
            .arg(format!("-max_total_time={share}"))
            .arg(format!("-timeout={INPUT_TIMEOUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/{target}-", run.path("logs").display()))
            .arg(format!("-dict={}", folder.join("words.dict").display()))
            .args([found, folder.join("corpus").join(target)]);
        let log = run.log(target);
        let passed = session.time(target, || {
            let fuzzed = terminal::step(&format!("Fuzzing {target} for {share} s"), |_| {
                fuzz.run(&Output::File(&log))?;
                Ok(((), summary(&log)?))
            });
            crate::process::check()?;
            Ok((fuzzed.is_ok(), fuzzed.is_ok()))
        })?;
        all_passed &= passed;
    }
    if !all_passed && let Some(logs) = run.keep_logs() {
        terminal::note(&format!("the inputs and the logs are in {}", checkout.short(logs)));
    }
    Ok(())
}

/// Returns the names of the targets, those of the arguments or all.
fn targets(corpus: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for folder in corpus.read_dir().with_context(|| format!("can't read {}", corpus.display()))? {
        all.push(folder?.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    all.retain(|name| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)));
    if all.is_empty() {
        bail!("no target has such a name");
    }
    Ok(all)
}

/// Returns what the fuzzer says at its end: the number of runs, and of edges of the code that were reached.
fn summary(log: &Path) -> Result<String> {
    let text = read_to_string(log).with_context(|| format!("can't read {}", log.display()))?;
    let runs = text.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
    let runs = runs.context("the fuzzer wrote no number of runs")?;
    let edges = text.rsplit("cov: ").next().and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    Ok(format!("{} runs, {edges} edges", runs.trim()))
}
