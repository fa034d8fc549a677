//! The constants of the model of `docs/scale.md`, and a check of the model by a load that is not the one that they come
//! from.

mod constants;
mod cost;
mod document;
mod load;
mod scratch;

use anyhow::Result;
use terminal::Progress;

use self::{
    constants::Constants,
    load::Workload,
    scratch::{Events, Scratch, Took},
};
use crate::{
    plan::Plan,
    report::{Section, Table, goal},
    stack::Stack,
};

/// The maximum difference of the model from the measurement.
const TOLERANCE: f64 = 0.25;

pub(crate) fn measure(stack: &Stack, plan: &Plan) -> Result<Section> {
    let constants = Constants::read()?;
    let mut step = Progress::start("Scale");
    step.at("constants");
    let (table, now) = measure_constants(stack, plan, &constants)?;
    step.at("a mixed load");
    let (mixed, work) = measure_mixed(stack, plan)?;
    step.done(&format!("{:.2} of what the model says", mixed.cpu / work.cpu_seconds(&constants)));
    println!("The tables of docs/scale.md, by the constants of now:");
    for (_, table) in document::tables(&now) {
        println!("\n{table}");
    }
    Ok(section(table, &constants, &now, mixed, work, plan))
}

/// Measures each constant alone. Returns them beside those of the file.
fn measure_constants(stack: &Stack, plan: &Plan, before: &Constants) -> Result<(Table, Constants)> {
    let mut scratch = Scratch::create(stack)?;
    let mut now = before.clone();
    let measured = &mut now.measured;
    // Many events an hour, and one: what an event costs and what an hour costs are told apart.
    let dense = Events { organizations: 50, each: plan.scale_events() / 50, seed: 1 };
    let sparse = Events { organizations: plan.scale_events() / 240, each: 24, seed: 2 };
    let count = f64::from(dense.count());
    let ingest = scratch.ingest(dense)?;
    measured.ingest_cpu_us.value = ingest.cpu * 1e6 / count;
    measured.ingest_wal_bytes.value = ingest.wal_bytes / count;
    let day =
        "(select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'usage_events'::regclass)";
    measured.plain_bytes.value = scratch.number(day)? / count;
    measured.key_bytes.value = scratch.number("pg_total_relation_size('usage_event_keys')")? / count;
    measured.key_index_bytes.value = scratch.number("pg_indexes_size('usage_event_keys')")? / count;

    let (of_dense, dense_hours) = scratch.refresh()?;
    scratch.ingest(sparse)?;
    let (of_sparse, sparse_hours) = scratch.refresh()?;
    let (event, hour) = solve(
        (count, dense_hours as f64, of_dense.cpu),
        (f64::from(sparse.count()), sparse_hours as f64, of_sparse.cpu),
    );
    measured.refresh_event_cpu_us.value = event * 1e6;
    measured.refresh_hour_cpu_us.value = hour * 1e6;
    let rollups = scratch.number("select count(*) from analytics_hourly_rollups")?;
    let size = "(select sum(pg_total_relation_size(inhrelid)) from pg_inherits
                 where inhparent = 'analytics_hourly_rollups'::regclass)";
    measured.rollup_bytes.value = scratch.number(size)? / rollups;

    let all = dense.count() + sparse.count();
    let pack = scratch.pack(all.into())?;
    measured.pack_cpu_us.value = pack.cpu * 1e6 / f64::from(all);
    measured.pack_wal_bytes.value = pack.wal_bytes / f64::from(all);
    let packed = "(select sum(pg_total_relation_size(inhrelid)) from pg_inherits
                   where inhparent = 'usage_events_packed'::regclass)";
    measured.packed_bytes.value = scratch.number(packed)? / f64::from(all);
    scratch.remove()?;

    let mut table = Table::new(["constant", "in constants.json", "now", "unit"]);
    for ((what, unit, before), (_, _, now)) in before.measured.list().iter().zip(now.measured.list()) {
        table.row([
            (*what).to_owned(),
            format!("{:.2}", before.value),
            format!("{:.2}", now.value),
            (*unit).to_owned(),
        ]);
    }
    Ok((table, now))
}

/// Two equations `events × a + hours × b = seconds`; neither cost is less than nothing.
fn solve(one: (f64, f64, f64), other: (f64, f64, f64)) -> (f64, f64) {
    let determinant = one.0 * other.1 - other.0 * one.1;
    let event = (one.2 * other.1 - other.2 * one.1) / determinant;
    let hour = (one.0 * other.2 - other.0 * one.2) / determinant;
    (event.max(0.0), hour.max(0.0))
}

/// Takes events in, refreshes, takes more in for the same hours, refreshes, and packs all.
fn measure_mixed(stack: &Stack, plan: &Plan) -> Result<(Took, Workload)> {
    let mut scratch = Scratch::create(stack)?;
    let half = Events { organizations: 200, each: plan.scale_events() / 400, seed: 3 };
    let mut took = Took::default();
    let mut work = Workload { ingested: 0.0, refreshed: 0.0, hours: 0.0, packed: 0.0 };
    for _ in 0..2 {
        took += scratch.ingest(half)?;
        work.ingested += f64::from(half.count());
        let (of_refresh, hours) = scratch.refresh()?;
        took += of_refresh;
        // All events of an hour are read again.
        work.refreshed += work.ingested;
        work.hours += hours as f64;
    }
    took += scratch.pack(u64::from(half.count()) * 2)?;
    work.packed = work.ingested;
    scratch.remove()?;
    Ok((took, work))
}

fn section(table: Table, constants: &Constants, now: &Constants, mixed: Took, work: Workload, plan: &Plan) -> Section {
    let mut check = Table::new(["the mixed load, by the constants", "model", "measured", "measured ÷ model", "goal"]);
    let mut broken = Vec::new();
    for (name, constants, counts) in [("of constants.json", constants, plan.check), ("of now", now, false)] {
        let model = work.cpu_seconds(constants);
        let ratio = mixed.cpu / model;
        let holds = (ratio - 1.0).abs() <= TOLERANCE;
        if counts && !holds {
            broken.push(format!("the mixed load takes {ratio:.2} of what the model says"));
        }
        check.row([
            name.to_owned(),
            format!("{model:.2} s"),
            format!("{:.2} s", mixed.cpu),
            format!("{ratio:.2}"),
            goal("within 25 %", holds),
        ]);
    }
    Section {
        title: "The model of docs/scale.md",
        method: vec![
            "CPU time of the server, all its processes: other work on the machine changes it little. The constants are \
             measured each alone: 50 organizations with many events an hour, then many with one. The mixed load is \
             another: 200 organizations whose hours receive events twice, are refreshed twice, and are packed."
                .to_owned(),
            format!("The mixed load took {:.1} s.", mixed.seconds),
        ],
        tables: vec![table, check],
        broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_of_an_event_and_of_an_hour_are_told_apart() {
        let (event, hour) =
            solve((1000.0, 10.0, 1000.0 * 2.0 + 10.0 * 30.0), (100.0, 100.0, 100.0 * 2.0 + 100.0 * 30.0));
        assert!((event - 2.0).abs() < 1e-9 && (hour - 30.0).abs() < 1e-9, "{event} {hour}");
    }

    #[test]
    fn the_model_adds_up_the_work() {
        let constants = Constants::read().expect("constants");
        let measured = &constants.measured;
        let work = Workload { ingested: 1e6, refreshed: 2e6, hours: 1e6, packed: 1e6 };
        let expected = measured.ingest_cpu_us.value
            + 2.0 * measured.refresh_event_cpu_us.value
            + measured.refresh_hour_cpu_us.value
            + measured.pack_cpu_us.value;
        assert!((work.cpu_seconds(&constants) - expected).abs() < 1e-6);
    }
}
