//! The outer of our two processes: it outlives the inner one and leaves nothing behind.
//!
//! The inner process does the work and cleans up after itself. If it is killed, its children are ours, because on Linux
//! we are their subreaper, and are killed here. If we are killed, the kernel tells the inner process. Elsewhere than on
//! Linux there is only one process.

use std::process::ExitCode;

#[cfg(not(target_os = "linux"))]
pub(crate) fn supervise() -> Option<ExitCode> {
    None
}

/// In the outer process: runs the inner one and returns its exit status. In the inner process: `None`.
#[cfg(target_os = "linux")]
pub(crate) fn supervise() -> Option<ExitCode> {
    linux::supervise()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Command, ExitCode},
        sync::atomic::{AtomicUsize, Ordering},
        time::{Duration, Instant},
    };

    use rustix::process::{
        Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_child_subreaper, set_parent_process_death_signal,
        wait,
    };

    /// Names the outer process to the inner one.
    const SUPERVISOR: &str = "XTASK_SUPERVISOR";

    pub(super) fn supervise() -> Option<ExitCode> {
        if let Some(supervisor) = std::env::var(SUPERVISOR).ok().and_then(|pid| pid.parse().ok())
            && getppid().map(Pid::as_raw_pid) == Some(supervisor)
        {
            let _ = set_parent_process_death_signal(Some(Signal::TERM));
            return None;
        }
        match run() {
            Ok(status) => Some(status),
            Err(error) => {
                terminal::failure(&format!("can't start: {error}"));
                Some(ExitCode::FAILURE)
            }
        }
    }

    fn run() -> std::io::Result<ExitCode> {
        set_child_subreaper(Some(getpid()))?;
        let mut child = Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .env(SUPERVISOR, std::process::id().to_string())
            .spawn()?;
        let inner = Pid::from_raw(child.id().cast_signed());
        let signals = AtomicUsize::new(0);
        let handler = move || {
            // The third time somebody means it.
            let signal = if signals.fetch_add(1, Ordering::SeqCst) < 2 { Signal::TERM } else { Signal::KILL };
            if let Some(inner) = inner {
                let _ = kill_process(inner, signal);
            }
        };
        ctrlc::set_handler(handler).map_err(std::io::Error::other)?;
        let status = child.wait()?;
        sweep();
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }

    /// Kills what the inner process left. The children of what dies become ours in turn.
    fn sweep() {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            for child in children() {
                let _ = kill_process(child, Signal::KILL);
            }
            loop {
                match wait(WaitOptions::NOHANG) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn children() -> Vec<Pid> {
        let own = std::process::id().to_string();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| {
                let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                // The name in parentheses may hold anything; the parent is the second field after it.
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(own.as_str())
            })
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
            .collect()
    }
}
