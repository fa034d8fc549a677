//! Many creates at once, on functions that have just started.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use terminal::Progress;

use crate::{
    function::{Binary, Function},
    plan::Plan,
    report::{Section, Table, goal, millis},
    stack::{Stack, variable, variables},
    statistics::Sample,
};

const CLIENTS: usize = 64;
/// The clients share so many organizations.
const ORGANIZATIONS: usize = 8;
/// The times that the issuer takes to give out its keys. The last is just within what the API waits for.
const ISSUER_DELAYS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(9)];
/// The API's time, as in the template.
const API_TIMEOUT: Duration = Duration::from_secs(15);

/// The answers of one burst.
#[derive(Default)]
struct Burst {
    statuses: BTreeMap<u64, usize>,
    /// From the start of the process to its first answer.
    cold: Sample,
    /// Of later requests.
    warm: Sample,
    took: Duration,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let creates = plan.burst_creates();
    let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"});
    let request = json!({"timeRange": range, "granularity": "daily"});
    let events = (0..ORGANIZATIONS).map(|_| {
        let path = format!("/orgs/{}/exports", stack.organization()?);
        stack.request("POST", &path, Some(&request))
    });
    let events: Vec<Vec<u8>> = events.collect::<Result<_>>()?;
    let queue = crate::queue::Queue::create(stack, "bench-burst")?;
    let keys = variable("JWKS_URL")?;
    let mut step = Progress::start("Burst");
    let mut bursts = Vec::new();
    for delay in ISSUER_DELAYS {
        step.at(format!("{creates} creates, the issuer takes {} s", delay.as_secs()));
        let mut variables = variables(&queue.url);
        variables.push(("JWKS_URL", slow(&keys, delay)?));
        bursts.push(burst(stack.binary("api")?, &variables, &events, creates)?);
    }
    step.done(&format!("{} bursts of {creates}", bursts.len()));
    Ok(section(&bursts))
}

/// Returns the address of the issuer's keys behind a relay that delays them.
fn slow(keys: &str, delay: Duration) -> Result<String> {
    let address = keys.strip_prefix("http://").context("the issuer is not on this machine")?;
    let (host, path) = address.split_once('/').context("an address without a path")?;
    let issuer: SocketAddr = host.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let relay = listener.local_addr()?;
    loopback::serve(listener, move |arrival| {
        thread::sleep(delay);
        loopback::forward(&arrival.request, issuer).ok()
    });
    Ok(format!("http://{relay}/{path}"))
}

/// Has the clients create jobs until there are enough, each with a process of its own, as Lambda starts one for each
/// request that finds all others busy.
fn burst(api: &Binary, variables: &[(&str, String)], events: &[Vec<u8>], creates: usize) -> Result<Burst> {
    let taken = AtomicUsize::new(0);
    let client = || -> Result<Vec<(u64, bool, Duration)>> {
        let mut answers = Vec::new();
        let mut instance: Option<Function> = None;
        loop {
            let number = taken.fetch_add(1, Ordering::Relaxed);
            if number >= creates {
                return Ok(answers);
            }
            let asked = Instant::now();
            let is_cold = instance.is_none();
            let function = match &mut instance {
                Some(function) => function,
                none => none.insert(Function::start(api, variables)?),
            };
            function.timeout = API_TIMEOUT;
            let answer = function.invoke(&events[number % events.len()])?;
            let response: Value = serde_json::from_slice(&answer.body)?;
            let status = response["statusCode"].as_u64().context("an answer without a status")?;
            answers.push((status, is_cold, answer.at - asked));
        }
    };
    let start = Instant::now();
    let answers = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let joined = clients.into_iter().map(|client| client.join().ok().context("a thread panicked")?);
        joined.collect::<Result<Vec<_>>>()
    })?;
    let mut burst = Burst { took: start.elapsed(), ..Burst::default() };
    for (status, is_cold, took) in answers.into_iter().flatten() {
        *burst.statuses.entry(status).or_default() += 1;
        if is_cold { burst.cold.add(took) } else { burst.warm.add(took) }
    }
    Ok(burst)
}

fn section(bursts: &[Burst]) -> Section {
    let mut table = Table::new([
        "the issuer takes",
        "answers by status",
        "cold p50",
        "cold most",
        "warm p50",
        "warm p99",
        "all",
        "goal",
    ]);
    for (delay, Burst { statuses, cold, warm, took }) in ISSUER_DELAYS.iter().zip(bursts) {
        let answers: Vec<String> = statuses.iter().map(|(status, number)| format!("{status}: {number}")).collect();
        table.row([
            format!("{} s", delay.as_secs()),
            answers.join(", "),
            millis(cold.median()),
            millis(cold.most()),
            millis(warm.median()),
            millis(warm.percentile(99)),
            format!("{:.1} s", took.as_secs_f64()),
            goal("no 503", !statuses.contains_key(&503)),
        ]);
    }
    let broken =
        bursts.iter().zip(ISSUER_DELAYS).filter(|(burst, _)| burst.statuses.keys().any(|status| *status != 202));
    Section {
        title: "Burst",
        method: vec![format!(
            "{CLIENTS} clients create jobs of {ORGANIZATIONS} organizations at once, each with the next request when it \
             has the last answer, by a process of the release binary of its own: Lambda starts one for each request that \
             finds all others busy, up to `ApiConcurrency` where that is reserved. Cold is from exec to the first answer, \
             with {CLIENTS} processes on these cores; warm are the later requests. The issuer's keys come through a relay \
             that delays them. Each process is told the {} s of the API. Any answer but 202 fails the run.",
            API_TIMEOUT.as_secs()
        )],
        tables: vec![table],
        broken: broken
            .map(|(burst, delay)| {
                format!("with an issuer that takes {} s, creates were answered {:?}", delay.as_secs(), burst.statuses)
            })
            .collect(),
    }
}
