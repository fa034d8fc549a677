//! The speed of an export, beside the ways that a user has without this project.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use terminal::Progress;

use crate::{
    dataset::{Dataset, Organization},
    paths,
    peers::{self, PEERS},
    plan::Plan,
    process::Process,
    report::{Section, Table, count, goal},
    stack::{Cost, Stack, variable},
    statistics::Sample,
};

/// The ways that are compared, in the order of the table.
const PATHS: [&str; 6] = [
    "psql \\copy to sha256sum",
    "naive: query rows, csv, rust_decimal",
    "engine, 1 connection, discarding sink",
    "engine, default connections, discarding sink",
    "worker, upload",
    "server: COPY (FORMAT binary) to /dev/null",
];
const PSQL: usize = 0;
const ENGINE: usize = 2;
const PARALLEL: usize = 3;
const WORKER: usize = 4;
const SERVER: usize = 5;

/// The method for the libraries.
const PEERS_METHOD: &str = "ConnectorX with Polars and ADBC with Arrow CSV read the rows over one connection, each by a \
                            script with the start of its Python, and write the same bytes to a digest. Costs are text in \
                            their SQL, since neither has an exact type for them; times and ids are text in that of ADBC, \
                            since Arrow writes them in another form.";

/// The time and the CPU of one path.
#[derive(Default)]
struct Measured {
    wall: Sample,
    /// CPU time of PostgreSQL.
    server: Duration,
    /// CPU time of what reads from it.
    client: Duration,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan, dataset: &Dataset) -> Result<Section> {
    let organization = dataset.of(plan.export_rows())?;
    let rounds = plan.export_rounds();
    let connections = variable("EXPORT_CONNECTIONS")?.parse()?;
    let mut api = stack.start("api")?;
    let mut worker = stack.start("worker")?;
    let peers = PEERS.iter().filter(|_| plan.peers);
    let names: Vec<&str> = PATHS.into_iter().chain(peers.map(|(name, _)| *name)).collect();
    let mut measured: Vec<Measured> = names.iter().map(|_| Measured::default()).collect();
    let mut worker_cost = Cost::default();
    let mut emulator = Duration::ZERO;
    let mut step = Progress::start("Export");
    // The first round warms caches and connections; it is not counted.
    for round in 0..=rounds {
        let mut expected = None;
        for (path, name) in names.iter().enumerate() {
            step.at(if round == 0 { format!("warm-up: {name}") } else { format!("{round} of {rounds}: {name}") });
            let before = (stack.postgres_cpu()?, Process::own_cpu()?);
            let start = Instant::now();
            let mut took = None;
            let checksum = match path {
                PSQL => Some(paths::psql(&organization)?),
                ENGINE => Some(paths::engine(stack, &organization, 1)?),
                PARALLEL => Some(paths::engine(stack, &organization, connections)?),
                WORKER => {
                    let export = stack.export(&mut api, &mut worker, organization.id, &organization.hourly()?)?;
                    took = Some(export.took);
                    worker_cost = export.cost;
                    Some(export.checksum)
                }
                SERVER => paths::server(stack, &organization).map(|()| None)?,
                peer if peer >= PATHS.len() => Some(peers::run(PEERS[peer - PATHS.len()].1, &organization)?),
                _ => Some(paths::naive(stack, &organization)?),
            };
            let took = took.unwrap_or_else(|| start.elapsed());
            if let Some(checksum) = checksum {
                let expected = expected.get_or_insert_with(|| checksum.clone());
                ensure!(checksum == *expected, "{name} wrote {checksum}, {} wrote {expected}", PATHS[PSQL]);
            }
            if round > 0 {
                measured[path].wall.add(took);
                measured[path].server += stack.postgres_cpu()?.saturating_sub(before.0);
                if path == WORKER {
                    measured[path].client += worker_cost.function;
                    emulator += worker_cost.emulator;
                } else {
                    measured[path].client += Process::own_cpu()?.saturating_sub(before.1);
                }
            }
        }
    }
    step.done(&format!("{rounds} rounds of {} rows, all checksums equal", count(organization.rows)));
    Ok(section(stack.store.as_deref(), &organization, &names, &measured, rounds, emulator))
}

fn section(
    store: Option<&str>,
    organization: &Organization,
    names: &[&str],
    measured: &[Measured],
    rounds: usize,
    emulator: Duration,
) -> Section {
    let mut table = Table::new([
        "path",
        "median",
        "spread",
        "M rows/s",
        "× psql",
        "× server",
        "server's CPU",
        "client's CPU",
        "goal",
    ]);
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let each = |time: Duration| seconds(time.div_f64(rounds as f64));
    for (path, name) in names.iter().enumerate() {
        let Measured { wall, server, client } = &measured[path];
        let ratio = wall.speed_up_from(&measured[PSQL].wall);
        let bound = 1.0 / wall.speed_up_from(&measured[SERVER].wall);
        let goal = match path {
            ENGINE => format!("{}, {}", goal("≥ 2.5 psql", ratio >= 2.5), goal("≤ 1.6 server", bound <= 1.6)),
            PARALLEL => format!("{}, {}", goal("≥ 4 psql", ratio >= 4.0), goal("≤ 1.6 server", bound <= 1.6)),
            _ => String::new(),
        };
        table.row([
            (*name).to_owned(),
            seconds(wall.median()),
            format!("{} – {}", seconds(wall.least()), seconds(wall.most())),
            format!("{:.2}", organization.rows as f64 / 1e6 / wall.median().as_secs_f64()),
            format!("{ratio:.2}"),
            format!("{bound:.2}"),
            each(*server),
            each(*client),
            goal,
        ]);
    }
    Section {
        title: if store.is_none() { "Export" } else { "Export to another store" },
        method: vec![
            format!(
                "{} hourly rows of one organization among several, ordered, all cached; server and client on the same \
                 cores. {rounds} interleaved rounds after one to warm up; medians, and ratios as the median of the \
                 rounds' ratios. `× psql` is how many times faster than psql, more is better; `× server` is the time \
                 as a multiple of the server's own bound, less is better. Every path that writes CSV wrote the same \
                 bytes: the checksums were compared.",
                count(organization.rows)
            ),
            match store {
                None => format!(
                    "The worker is the release binary, from the message's handing over to its answer; the emulator that it \
                     uploads to takes another {} of CPU on the same cores.",
                    each(emulator)
                ),
                Some(store) => format!(
                    "The worker is the release binary, from the message's handing over to its answer. It uploads to \
                     {store}, which runs on the same cores; the emulator has the jobs alone."
                ),
            },
        ]
        .into_iter()
        .chain((names.len() > PATHS.len()).then(|| PEERS_METHOD.to_owned()))
        .collect(),
        tables: vec![table],
        broken: Vec::new(),
    }
}
