//! The API function under load: one process, one request at a time, as Lambda runs it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use terminal::Progress;

use crate::{
    function::Function,
    plan::Plan,
    report::{Section, Table, count, mib, millis},
    stack::{Cost, Stack, expect},
    statistics::Sample,
};

/// The growth of the process over all requests but the first tenth: what an allocator keeps in hand. A request
/// that kept a hundred bytes would need twenty times as much.
const MAX_GROWTH: u64 = 1 << 20;

/// One kind of request, measured.
struct Measured {
    name: &'static str,
    latency: Sample,
    wall: Duration,
    cost: Cost,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let mut api = stack.start("api")?;
    let org = stack.organization()?;
    let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"});
    let request = json!({"timeRange": range, "granularity": "daily"});
    // The first request also fetches the issuer's keys and connects to everything.
    let job = stack.create(&mut api, org, &request)?;
    let exports = format!("/orgs/{org}/exports");
    let create = stack.request("POST", &exports, Some(&request))?;
    let status = stack.request("GET", &format!("{exports}/{job}"), None)?;
    let refused = stack.request("POST", &exports, Some(&json!({"timeRange": range, "granularity": "yearly"})))?;
    let health = stack.request("GET", "/status/healthz", None)?;

    let full = plan.api_requests();
    let many = plan.api_memory_requests();
    let mut load = |name, event: &[u8], code, requests| load(stack, &mut api, name, event, code, requests);
    let measured = [
        load("create", &create, 202, full / 4)?,
        load("status", &status, 200, full)?,
        load("create, refused: 400", &refused, 400, full)?,
        load("healthz", &health, 200, full)?,
    ];
    let (before, after) = memory(&mut api, [(&refused, 400), (&health, 200)], many)?;
    Ok(section(&measured, many, before, after))
}

/// Sends the same request again and again, each after the last one's answer.
fn load(
    stack: &Stack,
    api: &mut Function,
    name: &'static str,
    event: &[u8],
    status: u16,
    requests: u64,
) -> Result<Measured> {
    let mut step = Progress::start(format!("API: {name}"));
    let mut latency = Sample::default();
    let before = stack.cost(api)?;
    let start = Instant::now();
    for request in 1..=requests {
        let answer = api.invoke(event)?;
        latency.add(answer.took);
        expect(&answer, status)?;
        if request % 100 == 0 {
            step.at(format!("{} of {}", count(request), count(requests)));
        }
    }
    let wall = start.elapsed();
    let cost = stack.cost(api)?.since(before);
    step.done(&format!("{} requests, median {}", count(requests), millis(latency.median())));
    Ok(Measured { name, latency, wall, cost })
}

/// The memory after a tenth of many requests, and after all of them.
fn memory(api: &mut Function, events: [(&Vec<u8>, u16); 2], requests: u64) -> Result<(u64, u64)> {
    let mut step = Progress::start("API: memory");
    let mut before = 0;
    for request in 1..=requests {
        let (event, status) = events[usize::try_from(request % 2)?];
        let answer = api.invoke(event)?;
        expect(&answer, status)?;
        if request == requests / 10 {
            before = api.process().memory()?;
        }
        if request % 100 == 0 {
            step.at(format!("{} of {}", count(request), count(requests)));
        }
    }
    let after = api.process().memory()?;
    ensure!(before > 0, "too few requests");
    step.done(&format!("{} requests, {} → {}", count(requests), mib(before), mib(after)));
    Ok((before, after))
}

fn section(measured: &[Measured], many: u64, before: u64, after: u64) -> Section {
    let header = ["request", "requests", "per second", "p50", "p99", "function's CPU", "its share", "emulator's CPU"];
    let mut table = Table::new(header);
    for Measured { name, latency, wall, cost } in measured {
        let requests = latency.len() as f64;
        table.row([
            (*name).to_owned(),
            count(latency.len() as u64),
            format!("{:.0}", requests / wall.as_secs_f64()),
            millis(latency.median()),
            millis(latency.percentile(99)),
            millis(cost.function.div_f64(requests)),
            format!("{:.0} %", 100.0 * cost.function.as_secs_f64() / wall.as_secs_f64()),
            millis(cost.emulator.div_f64(requests)),
        ]);
    }
    let mut memory = Table::new(["memory of the function", "resident"]);
    memory.row([format!("after {} requests", count(many / 10)), mib(before)]);
    memory.row([format!("after {} requests", count(many)), mib(after)]);
    let grown = after.saturating_sub(before);
    let broken = (grown > MAX_GROWTH).then(|| {
        format!("the API grew by {} over {} requests, more than {}", mib(grown), count(many), mib(MAX_GROWTH))
    });
    Section {
        title: "API",
        method: vec![
            "One process of the release binary, which gets the next request when it has answered the last one, from \
             the Runtime API that the bench serves on the same cores: Lambda runs as many processes as there are \
             requests at once. p50 and p99 are from the handing over to the answer. The function's CPU per request \
             is what an instance pays for; the rest is waiting, here for the emulator, whose CPU per request stands \
             beside it and which AWS would answer in a few milliseconds."
                .to_owned(),
            format!(
                "Memory is measured over requests that need no other service, since the emulator would take an hour: \
                 in turns a create that is authenticated, read and refused, and `/status/healthz`, after the \
                 requests of the table. Growth by more than {} fails the run.",
                mib(MAX_GROWTH)
            ),
        ],
        tables: vec![table, memory],
        broken: broken.into_iter().collect(),
    }
}
