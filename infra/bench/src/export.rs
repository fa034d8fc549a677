//! How fast an export is, beside what a user would do without this project.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    dataset::{Dataset, Organization},
    paths,
    plan::Plan,
    progress::Step,
    report::{Section, Table, count, goal},
    stack::{Cost, Stack, variable},
    statistics::Sample,
};

/// The ways that are compared, in the order of the table.
const PATHS: [&str; 6] = [
    "psql \\copy | sha256sum",
    "naive: query rows, csv, rust_decimal",
    "engine, 1 connection, discarding sink",
    "engine, default connections, discarding sink",
    "worker, upload to the emulator",
    "server: COPY (FORMAT binary) to /dev/null",
];
const PSQL: usize = 0;
const ENGINE: usize = 2;
const PARALLEL: usize = 3;
const WORKER: usize = 4;
const SERVER: usize = 5;

/// What one path took, and whose CPU.
#[derive(Default)]
struct Measured {
    wall: Sample,
    postgres: Duration,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan, dataset: &Dataset) -> Result<Section> {
    let organization = dataset.of(plan.export_rows())?;
    let rounds = plan.export_rounds();
    let connections = variable("EXPORT_CONNECTIONS")?.parse()?;
    let (mut api, mut worker) = (stack.start("api")?, stack.start("worker")?);
    let mut measured: [Measured; PATHS.len()] = Default::default();
    let mut cost = Cost::default();
    let mut step = Step::start("Export");
    // The first round warms caches and connections; it is not counted.
    for round in 0..=rounds {
        let mut expected = None;
        for (path, name) in PATHS.into_iter().enumerate() {
            step.at(if round == 0 { format!("warm-up: {name}") } else { format!("{round} of {rounds}: {name}") });
            let before = stack.postgres_cpu()?;
            let start = Instant::now();
            let mut took = None;
            let checksum = match path {
                PSQL => Some(paths::psql(&organization)?),
                ENGINE => Some(paths::engine(stack, &organization, 1)?),
                PARALLEL => Some(paths::engine(stack, &organization, connections)?),
                WORKER => {
                    let export = stack.export(&mut api, &mut worker, organization.id, &organization.hourly()?)?;
                    took = Some(export.took);
                    if round > 0 {
                        cost += export.cost;
                    }
                    Some(export.checksum)
                }
                SERVER => paths::server(stack, &organization).map(|()| None)?,
                _ => Some(paths::naive(stack, &organization)?),
            };
            let took = took.unwrap_or_else(|| start.elapsed());
            if let Some(checksum) = checksum {
                let expected = expected.get_or_insert_with(|| checksum.clone());
                ensure!(checksum == *expected, "{name} wrote {checksum}, {} wrote {expected}", PATHS[PSQL]);
            }
            if round > 0 {
                measured[path].wall.add(took);
                measured[path].postgres += stack.postgres_cpu()?.saturating_sub(before);
            }
        }
    }
    step.done(&format!("{rounds} rounds of {} rows, all checksums equal", count(organization.rows)));
    Ok(section(&organization, &measured, rounds, cost))
}

fn section(organization: &Organization, measured: &[Measured; PATHS.len()], rounds: usize, cost: Cost) -> Section {
    let mut table = Table::new(["path", "median", "spread", "M rows/s", "× psql", "× server", "server CPU", "goal"]);
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    for (path, name) in PATHS.into_iter().enumerate() {
        let Measured { wall, postgres } = &measured[path];
        let ratio = wall.speed_up_from(&measured[PSQL].wall);
        let bound = 1.0 / wall.speed_up_from(&measured[SERVER].wall);
        let goal = match path {
            ENGINE => format!("{}, {}", goal("≥ 2.5 psql", ratio >= 2.5), goal("≤ 1.6 server", bound <= 1.6)),
            PARALLEL => format!("{}, {}", goal("≥ 4 psql", ratio >= 4.0), goal("≤ 1.6 server", bound <= 1.6)),
            _ => String::new(),
        };
        table.row([
            name.to_owned(),
            seconds(wall.median()),
            format!("{} – {}", seconds(wall.least()), seconds(wall.most())),
            format!("{:.2}", organization.rows as f64 / 1e6 / wall.median().as_secs_f64()),
            format!("{ratio:.2}"),
            format!("{bound:.2}"),
            seconds(postgres.div_f64(rounds as f64)),
            goal,
        ]);
    }
    let each = |time: Duration| seconds(time.div_f64(rounds as f64));
    Section {
        title: "Export",
        method: vec![
            format!(
                "{} hourly rows of one organization among several, ordered, all cached; server and client on the same \
                 cores. {rounds} interleaved rounds after one to warm up; medians, and ratios as the median of the \
                 rounds' ratios. `× psql` is how many times faster than psql, more is better; `× server` is the time as \
                 a multiple of the server's own bound, less is better. Every path that writes CSV wrote the same \
                 bytes: the checksums were compared.",
                count(organization.rows)
            ),
            format!(
                "The worker is the release binary, from the message's handing over to its answer. Of that time its own \
                 CPU takes {}, the emulator's {}: on these cores they compete.",
                each(cost.function),
                each(cost.emulator)
            ),
        ],
        tables: vec![table],
        broken: Vec::new(),
    }
}
