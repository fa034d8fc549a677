//! What the kernel says of a process: its CPU time and its memory.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// User and system time so far, of all its threads. The kernel counts it exactly and tells it in ticks of 10 ms.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let fields = stat(self.0)?;
        Ok(ticks(&fields, UTIME)? + ticks(&fields, STIME)?)
    }

    /// The CPU time of this process so far, and of its children that have ended.
    pub(crate) fn own_cpu() -> Result<Duration> {
        let fields = stat(std::process::id())?;
        let all = [UTIME, STIME, CHILDREN_UTIME, CHILDREN_STIME];
        all.into_iter().map(|field| ticks(&fields, field)).sum()
    }

    /// The most memory that was resident at once, in bytes.
    pub(crate) fn peak_memory(self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory that is resident now, in bytes.
    pub(crate) fn memory(self) -> Result<u64> {
        self.status("VmRSS:")
    }

    fn status(self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0)).context("the process is gone")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} is no number"))?;
        Ok(kib << 10)
    }
}

/// The CPU time of a PostgreSQL server so far, by its data folder: that of the server, of the sessions that have ended,
/// and of those that go on.
pub(crate) fn postgres_cpu(data: &Path) -> Result<Duration> {
    let file = data.join("postmaster.pid");
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    let server: u32 = text.lines().next().unwrap_or_default().parse().context("the server has no process id")?;
    let fields = stat(server)?;
    let all = [UTIME, STIME, CHILDREN_UTIME, CHILDREN_STIME];
    let mut sum: Duration = all.into_iter().map(|field| ticks(&fields, field)).sum::<Result<_>>()?;
    let children = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A session may end while we look: it is then among those that have ended, at the next look.
    let sessions = children.filter_map(|child| Some((child, stat(child).ok()?)));
    for (child, _) in sessions.filter(|(_, fields)| fields.get(PARENT) == Some(&server.to_string())) {
        sum += Process(child).cpu().unwrap_or_default();
    }
    Ok(sum)
}

// Positions in `/proc/<pid>/stat` after the name in parentheses; see proc_pid_stat(5).
const PARENT: usize = 1;
const UTIME: usize = 11;
const STIME: usize = 12;
const CHILDREN_UTIME: usize = 13;
const CHILDREN_STIME: usize = 14;

fn stat(pid: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    let (_, fields) = text.rsplit_once(')').context("a process without a name")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], field: usize) -> Result<Duration> {
    let ticks: u64 = fields.get(field).and_then(|field| field.parse().ok()).context("no CPU time")?;
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}
