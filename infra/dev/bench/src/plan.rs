//! The numbers of rows, rounds and requests.

use std::time::Duration;

use bench_options::{Options, Part};

/// The parts to measure, and whether a rough look is enough.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    pub(crate) quick: bool,
    /// `true` if other libraries are measured beside the export.
    pub(crate) peers: bool,
    /// The organizations of the monthly run, if they were given.
    organizations: Option<u32>,
    /// The model of `docs/scale.md` has to be within its tolerance.
    pub(crate) check: bool,
}

impl Plan {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            parts: options.parts(),
            quick: options.quick,
            check: options.check,
            peers: options.peers,
            organizations: options.organizations,
        }
    }

    /// The sizes of the organizations that are needed.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let mut sizes = self.growth_rows();
        if !self.parts.contains(&Part::Growth) {
            // For the export: one organization among several.
            sizes.retain(|rows| *rows < self.export_rows());
        }
        sizes.push(self.export_rows());
        if !self.parts.contains(&Part::Export) && !self.parts.contains(&Part::Growth) {
            sizes.clear();
        }
        if self.parts.contains(&Part::Recovery) {
            sizes.push(self.recovery_rows());
        }
        sizes
    }

    pub(crate) fn export_rows(&self) -> u64 {
        if self.quick { 500_000 } else { 5_000_000 }
    }

    pub(crate) fn export_rounds(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    pub(crate) fn growth_rows(&self) -> Vec<u64> {
        let all = [10_000, 100_000, 1_000_000, 5_000_000, 20_000_000];
        all[..if self.quick { 3 } else { 5 }].to_vec()
    }

    /// As many as fit into a few seconds for each size.
    pub(crate) fn growth_runs(&self, rows: u64) -> usize {
        match rows {
            _ if self.quick => 2,
            0..=100_000 => 15,
            100_001..=1_000_000 => 7,
            1_000_001..=5_000_000 => 3,
            _ => 1,
        }
    }

    pub(crate) fn monthly_runs(&self) -> usize {
        if self.quick { 12 } else { 100 }
    }

    pub(crate) fn ingest_events(&self) -> u64 {
        if self.quick { 200_000 } else { 1_000_000 }
    }

    pub(crate) fn ingest_rounds(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    pub(crate) fn start_runs(&self) -> usize {
        if self.quick { 10 } else { 40 }
    }

    /// Requests of each kind that is measured.
    pub(crate) fn api_requests(&self) -> u64 {
        if self.quick { 200 } else { 2000 }
    }

    /// Events of each load that the model is measured with.
    pub(crate) fn scale_events(&self) -> u32 {
        if self.quick { 240_000 } else { 1_200_000 }
    }

    /// Requests over which the memory is watched.
    pub(crate) fn api_memory_requests(&self) -> u64 {
        if self.quick { 10_000 } else { 200_000 }
    }

    /// The months of each kind that are read.
    pub(crate) fn usage_runs(&self) -> usize {
        if self.quick { 10 } else { 50 }
    }

    pub(crate) fn recovery_rows(&self) -> u64 {
        if self.quick { 100_000 } else { 1_000_000 }
    }

    /// The workers that are killed.
    pub(crate) fn recovery_kills(&self) -> usize {
        if self.quick { 4 } else { 20 }
    }

    /// The organizations of the monthly run.
    pub(crate) fn monthly_organizations(&self) -> u32 {
        self.organizations.unwrap_or(if self.quick { 500 } else { 10_000 })
    }

    pub(crate) fn burst_creates(&self) -> usize {
        if self.quick { 256 } else { 1000 }
    }

    /// Events of the day that is packed.
    pub(crate) fn pack_events(&self) -> u64 {
        if self.quick { 100_000 } else { 1_000_000 }
    }

    /// The sizes to which the table of events grows.
    pub(crate) fn refresh_events(&self) -> Vec<u64> {
        if self.quick { vec![100_000, 1_000_000] } else { vec![1_000_000, 10_000_000, 100_000_000] }
    }

    pub(crate) fn refresh_passes(&self) -> usize {
        if self.quick { 3 } else { 9 }
    }

    /// The time between two passes.
    pub(crate) fn refresh_interval(&self) -> Duration {
        Duration::from_secs(if self.quick { 5 } else { 20 })
    }

    /// Events of the months that are summed.
    pub(crate) fn reconcile_events(&self) -> Vec<u64> {
        if self.quick { vec![31_000, 310_000] } else { vec![310_000, 3_100_000] }
    }
}
