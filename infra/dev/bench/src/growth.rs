//! Time and memory as exports grow.

use std::time::Duration;

use anyhow::{Result, ensure};
use terminal::Progress;

use crate::{
    dataset::Dataset,
    plan::Plan,
    report::{Section, Table, count, goal, mib},
    stack::{Cost, Stack},
    statistics::Sample,
};

/// The resident memory of a worker, whatever it exports.
const MAX_MEMORY: u64 = 96 << 20;
/// The difference of the peaks.
const MAX_SPREAD: f64 = 0.1;
/// The rise of the time per row.
const MAX_RISE: f64 = 0.2;
/// From this size on, the time per row is not to rise. It falls, as what each export takes is shared by more rows.
const TIME_FROM: u64 = 100_000;
/// From this size on, the memory is to be flat: a smaller file fits into the parts that are in flight.
const MEMORY_FROM: u64 = 1_000_000;

struct Size {
    rows: u64,
    wall: Sample,
    cost: Cost,
    peak: u64,
}

pub(crate) fn measure(stack: &Stack, plan: &Plan, dataset: &Dataset) -> Result<Section> {
    let mut api = stack.start("api")?;
    let mut sizes = Vec::new();
    let mut step = Progress::start("Growth");
    for rows in plan.growth_rows() {
        let organization = dataset.of(rows)?;
        // A process of its own: the kernel remembers the peak of a process, not of an export.
        let mut worker = stack.start("worker")?;
        let runs = plan.growth_runs(rows);
        let mut size = Size { rows, wall: Sample::default(), cost: Cost::default(), peak: 0 };
        for run in 1..=runs {
            step.at(format!("{} rows, {run} of {runs}", count(rows)));
            let export = stack.export(&mut api, &mut worker, organization.id, &organization.hourly()?)?;
            ensure!(export.rows == rows, "the export of {rows} rows has {}", export.rows);
            size.wall.add(export.took);
            size.cost += export.cost;
        }
        size.peak = worker.process().peak_memory()?;
        sizes.push(size);
    }
    step.done(&format!("{} sizes", sizes.len()));
    Ok(section(&sizes))
}

fn section(sizes: &[Size]) -> Section {
    let mut table =
        Table::new(["rows", "runs", "median", "per row", "worker's CPU per row", "emulator's", "peak memory"]);
    for Size { rows, wall, cost, peak } in sizes {
        let each = |time: Duration| format!("{:.0} ns", per_row(*rows, time) / wall.len() as f64);
        table.row([
            count(*rows),
            wall.len().to_string(),
            format!("{:.3} s", wall.median().as_secs_f64()),
            format!("{:.0} ns", per_row(*rows, wall.median())),
            each(cost.function),
            each(cost.emulator),
            mib(*peak),
        ]);
    }
    let times = sizes.iter().filter(|size| size.rows >= TIME_FROM).map(|size| per_row(size.rows, size.wall.median()));
    let peaks = || sizes.iter().filter(|size| size.rows >= MEMORY_FROM).map(|size| size.peak as f64);
    let mut flat = Table::new(["as exports grow", "measured", "goal"]);
    let mut row = |name: String, spread: f64, most: f64| {
        let limit = goal(&format!("≤ {:.0} %", most * 100.0), spread <= most);
        flat.row([name, format!("{:.1} %", spread * 100.0), limit]);
    };
    row(format!("largest rise of the time per row, from {} rows", count(TIME_FROM)), rise(times), MAX_RISE);
    row(format!("difference of the peaks, from {} rows", count(MEMORY_FROM)), spread(peaks()), MAX_SPREAD);
    let too_large = sizes.iter().filter(|size| size.peak > MAX_MEMORY);
    let mut broken: Vec<String> = too_large
        .map(|size| {
            format!("a worker took {} for {} rows, more than {}", mib(size.peak), count(size.rows), mib(MAX_MEMORY))
        })
        .collect();
    if spread(peaks()) > MAX_SPREAD {
        broken.push(format!("a worker's memory grows with the export: by {:.1} %", spread(peaks()) * 100.0));
    }
    Section {
        title: "Growth",
        method: vec![format!(
            "Hourly exports by the worker's release binary, a new process for each size, uploaded to the emulator, \
             which shares the cores. Time from the message's handing over to the worker's answer; the peak is the \
             kernel's `VmHWM`. More than {} fails the run, and so do peaks that differ by more than {:.0} %.",
            mib(MAX_MEMORY),
            MAX_SPREAD * 100.0
        )],
        tables: vec![table, flat],
        broken,
    }
}

/// In nanoseconds.
fn per_row(rows: u64, time: Duration) -> f64 {
    time.as_secs_f64() * 1e9 / rows as f64
}

/// The most by which a value exceeds one before it; 0 if each is smaller than the one before.
fn rise(values: impl Iterator<Item = f64>) -> f64 {
    let (_, rise) = values.fold((f64::INFINITY, 0.0_f64), |(least, rise), value| {
        let least = least.min(value);
        (least, rise.max(value / least - 1.0))
    });
    rise
}

/// The part by which the largest value exceeds the smallest.
fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let (least, most) =
        values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    if most > 0.0 { most / least - 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_from_a_value_to_a_later_one() {
        assert!(rise([2.0, 1.0, 0.5].into_iter()).abs() < 1e-9);
        assert!((rise([2.0, 1.0, 1.5, 1.25].into_iter()) - 0.5).abs() < 1e-9);
        assert!((spread([2.0, 1.0, 1.5].into_iter()) - 1.0).abs() < 1e-9);
    }
}
