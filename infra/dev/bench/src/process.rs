//! The CPU time and the memory of processes, from the kernel.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use procfs_core::{
    FromRead as _,
    process::{Stat, Status},
};

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// User and system time so far, of all its threads. The kernel counts exactly and reports ticks of 10 ms.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let stat = self.stat()?;
        Ok(ticks(stat.utime + stat.stime))
    }

    /// The CPU time of this process so far, and of its children that have ended.
    pub(crate) fn own_cpu() -> Result<Duration> {
        with_children(&Self(std::process::id()).stat()?)
    }

    /// The peak of the resident memory, in bytes.
    pub(crate) fn peak_memory(self) -> Result<u64> {
        self.status()?.vmhwm.map(|kib| kib << 10).context("no VmHWM")
    }

    /// The resident memory, in bytes.
    pub(crate) fn memory(self) -> Result<u64> {
        self.status()?.vmrss.map(|kib| kib << 10).context("no VmRSS")
    }

    fn stat(self) -> Result<Stat> {
        let path = format!("/proc/{}/stat", self.0);
        Stat::from_file(&path).with_context(|| format!("can't read {path}"))
    }

    fn status(self) -> Result<Status> {
        let path = format!("/proc/{}/status", self.0);
        Status::from_file(&path).with_context(|| format!("can't read {path}"))
    }
}

/// The CPU time of a PostgreSQL server so far, by its data folder: of the server, of the sessions that have ended, and
/// of those that go on.
pub(crate) fn postgres_cpu(data: &Path) -> Result<Duration> {
    let file = data.join("postmaster.pid");
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    let server: u32 = text.lines().next().unwrap_or_default().parse().context("the server has no process id")?;
    let mut sum = with_children(&Process(server).stat()?)?;
    let processes = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A session that ends meanwhile is among those that have ended at the next reading.
    for stat in processes.filter_map(|process| Process(process).stat().ok()) {
        if u32::try_from(stat.ppid).is_ok_and(|parent| parent == server) {
            sum += ticks(stat.utime + stat.stime);
        }
    }
    Ok(sum)
}

/// The CPU time of a process and of its children that have ended.
fn with_children(stat: &Stat) -> Result<Duration> {
    let children = u64::try_from(stat.cutime + stat.cstime).context("a negative CPU time")?;
    Ok(ticks(stat.utime + stat.stime + children))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}
