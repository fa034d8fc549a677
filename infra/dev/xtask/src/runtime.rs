//! One invocation of a function's own program on this machine, by the API through which Lambda gives work to it.
//!
//! So a task runs against any database by the very program that AWS runs, which has no second entry point for that.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use loopback::{Call, Invocation, RuntimeApi};
use serde_json::Value;

use crate::{
    command::{Output, Spec},
    process::{self, tail},
};

const FUNCTION: &str = "by-hand";
const MEMORY_MIB: u32 = 256;
/// The time that an invocation may take.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Invokes the program once with `event` and returns its answer. It logs to `log`.
pub(crate) fn invoke(program: &Path, variables: &BTreeMap<String, String>, event: &Value, log: &Path) -> Result<Value> {
    let api = RuntimeApi::start().context("can't open a port for the program")?;
    let spec = Spec::new(program).envs(api.environment(FUNCTION, MEMORY_MIB)).envs(variables);
    let mut child = spec.spawn(&Output::File(log))?;
    let event = event.to_string();
    let end = Instant::now() + TIMEOUT;
    loop {
        process::check()?;
        match api.receive(Duration::from_millis(50))? {
            Some(Call::Next(next)) => next.hand_over(&Invocation {
                id: FUNCTION,
                function: FUNCTION,
                event: event.as_bytes(),
                timeout: TIMEOUT,
            })?,
            Some(Call::Succeeded { body, .. }) => {
                return serde_json::from_slice(&body).context("the program's answer is not JSON");
            }
            Some(Call::Failed { body }) => {
                let answer = serde_json::from_slice(&body).context("the program's error is not JSON")?;
                return Err(error(&answer));
            }
            None if child.ended()?.is_some() => bail!("the program ended without an answer\n{}", tail(log, 20)),
            None if Instant::now() > end => bail!("no answer after {} s", TIMEOUT.as_secs()),
            None => {}
        }
    }
}

/// A function's error, in its own words.
pub(crate) fn error(answer: &Value) -> anyhow::Error {
    anyhow!("{}", answer["errorMessage"].as_str().map_or_else(|| answer.to_string(), str::to_owned))
}
