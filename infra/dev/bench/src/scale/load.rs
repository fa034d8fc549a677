//! The model: how much of each resource a number of events a month takes.
//!
//! Every load grows in proportion to the events, since the number of organizations does.

use super::constants::Constants;

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Days of a month, as the model counts.
const MONTH: f64 = 30.0;
/// The part of the memory that may hold the index of keys; the rest is for what is read beside it.
const INDEX_PART: f64 = 0.75;
/// Write units that one partition of DynamoDB takes in a second.
const PARTITION_WRITES: f64 = 1000.0;
/// Entries of unfinished jobs that a job writes to the index of due jobs or deletes from it: one as it is created, two as
/// it is claimed, one as it ends.
const INDEX_WRITES: f64 = 4.0;
/// Messages that a standard queue may have in flight.
const IN_FLIGHT: f64 = 120_000.0;

/// The load on a resource.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) resource: &'static str,
    /// The limit that the load is a part of.
    pub(crate) limit: String,
    /// 1 is all of it.
    pub(crate) part: f64,
}

/// Rates of a number of events a month.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// Events in a second of the busiest hour.
    pub(crate) peak: f64,
    pub(crate) events_per_day: f64,
    pub(crate) organizations: f64,
    /// Exports in a month, with the scheduled ones.
    pub(crate) jobs: f64,
}

/// The server's CPU time for a workload, in seconds: what the bench measures to check the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) ingested: f64,
    /// Events that refreshes read.
    pub(crate) refreshed: f64,
    /// Hours of organizations that refreshes compute.
    pub(crate) hours: f64,
    pub(crate) packed: f64,
}

impl Workload {
    pub(crate) fn cpu_seconds(&self, constants: &Constants) -> f64 {
        let measured = &constants.measured;
        let micros = self.ingested * measured.ingest_cpu_us.value
            + self.refreshed * measured.refresh_event_cpu_us.value
            + self.hours * measured.refresh_hour_cpu_us.value
            + self.packed * measured.pack_cpu_us.value;
        micros / 1e6
    }
}

impl Rates {
    pub(crate) fn of(events: f64, constants: &Constants) -> Self {
        let organizations = events / constants.usage.events_per_organization;
        Self {
            peak: events / (MONTH * DAY) * constants.usage.peak,
            events_per_day: events / MONTH,
            organizations,
            jobs: organizations * (constants.usage.exports + 1.0),
        }
    }
}

/// The gigabytes of the database, by what they hold.
pub(crate) fn storage(events: f64, constants: &Constants) -> [(&'static str, f64); 4] {
    let (measured, settings) = (&constants.measured, &constants.settings);
    let rates = Rates::of(events, constants);
    let gigabytes = |bytes: f64| bytes / 1e9;
    let hours = settings.rollup_months * MONTH * 24.0;
    [
        // The day that is running, too.
        ("plain events", gigabytes((settings.plain_days + 1.0) * rates.events_per_day * measured.plain_bytes.value)),
        ("keys", gigabytes(settings.key_days * rates.events_per_day * measured.key_bytes.value)),
        ("packed events", gigabytes(settings.kept_days * rates.events_per_day * measured.packed_bytes.value)),
        ("rollups", gigabytes(rates.organizations * constants.usage.models * hours * measured.rollup_bytes.value)),
    ]
}

/// Seconds that a pass of the refresh takes in the busiest hour. It reads the events of the running hour again, of which
/// half have come on average, for every organization.
pub(crate) fn refresh_seconds(events: f64, constants: &Constants) -> f64 {
    let rates = Rates::of(events, constants);
    Workload { ingested: 0.0, refreshed: rates.peak * 1800.0, hours: rates.organizations, packed: 0.0 }
        .cpu_seconds(constants)
}

/// The loads of a number of events a month.
pub(crate) fn loads(events: f64, constants: &Constants) -> Vec<Load> {
    let Constants { measured, settings, usage, server, .. } = constants;
    let rates = Rates::of(events, constants);
    let cores = |seconds: f64| seconds / server.cpus;
    let refresh = refresh_seconds(events, constants);
    let pack = rates.events_per_day * measured.pack_cpu_us.value / 1e6;
    let ingest = rates.peak * measured.ingest_cpu_us.value / 1e6;
    // People export in a third of the day.
    let exports = rates.jobs / MONTH / (DAY / 3.0) * measured.job_cpu_us.value / 1e6;
    let wal = rates.peak * measured.ingest_wal_bytes.value / 1e6;
    let disk: f64 = storage(events, constants).iter().map(|(_, gigabytes)| gigabytes).sum();
    let index = settings.key_days * rates.events_per_day * measured.key_index_bytes.value / 1e9;
    let monthly = rates.organizations * (measured.job_time_us.value / settings.workers).max(settings.send_interval_us);
    let per_second = f64::min(1e6 / settings.send_interval_us, settings.workers * 1e6 / measured.job_time_us.value);
    let due = per_second * INDEX_WRITES + settings.workers * 2.0 / settings.renewal_seconds;
    let busiest = f64::min(due, rates.jobs * INDEX_WRITES);
    let load = |resource, limit: String, part| Load { resource, limit, part };
    vec![
        load("CPU: writers", format!("{} CPUs, in the busiest hour", server.cpus), cores(ingest)),
        load(
            "CPU: writers, refresh and exports",
            format!("{} CPUs, in the busiest hour", server.cpus),
            cores(ingest + refresh.min(settings.refresh_seconds) / settings.refresh_seconds + exports),
        ),
        load("WAL", format!("{} MB/s, in the busiest hour", server.write_mb), wal / server.write_mb),
        load("disk", format!("{} GB", server.storage_gb), disk / server.storage_gb),
        load(
            "index of keys",
            format!("{:.0} % of {} GB of memory", INDEX_PART * 100.0, server.memory_gb),
            index / (INDEX_PART * server.memory_gb),
        ),
        load(
            "refresh",
            format!("{} s a pass, one connection", settings.refresh_seconds),
            refresh / settings.refresh_seconds,
        ),
        load(
            "packing",
            format!("{} s a night, {} connections", settings.pack_seconds, settings.pack_connections),
            pack / settings.pack_connections / settings.pack_seconds,
        ),
        load(
            "monthly exports",
            format!("{:.0} h, {} workers", settings.monthly_seconds / 3600.0, settings.workers),
            monthly / 1e6 / settings.monthly_seconds,
        ),
        load(
            "index of due jobs",
            format!("{PARTITION_WRITES} writes a second of a partition"),
            busiest / PARTITION_WRITES,
        ),
        load(
            "queue",
            format!("{IN_FLIGHT} messages in flight"),
            settings.workers.min(rates.jobs) * usage.peak / IN_FLIGHT,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_the_events_are_ten_times_the_load() {
        let constants = Constants::read().expect("constants");
        for (one, ten) in loads(1e8, &constants).iter().zip(loads(1e9, &constants)) {
            // Two resources are limited by the workers and not by the events.
            if !["index of due jobs", "queue", "CPU: writers, refresh and exports"].contains(&one.resource) {
                assert!((ten.part / one.part - 10.0).abs() < 1e-6, "{}", one.resource);
            }
        }
    }
}
