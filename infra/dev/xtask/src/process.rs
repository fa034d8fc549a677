//! Child processes that never outlive us.
//!
//! Every child leads a process group of its own. The group is stopped when its [`Child`] is dropped, which covers
//! success, errors and panics, and on SIGINT, SIGTERM and SIGHUP by [`watch_signals`]. On Linux a child also asks the
//! kernel for SIGKILL at our death, and [`crate::supervisor`] collects whatever still slips through.
//!
//! process-wrap and duct start groups and kill them, but know neither the signal that a server wants first, nor the
//! list of all groups for a signal handler, nor a parent's death: they would replace three lines of this.

use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// First argument of the copy of this program that turns into a child.
#[cfg(target_os = "linux")]
pub(crate) const BECOME: &str = "__become";

/// The time that a child has to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<(Pid, Signal)>> = Mutex::new(Vec::new());

/// Reports whether a signal asked us to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Returns an error once a signal asked us to stop. Every loop that waits calls this.
pub(crate) fn check() -> Result<()> {
    if interrupted() {
        bail!("stopped by a signal");
    }
    Ok(())
}

/// Sleeps, unless a signal asked us to stop.
pub(crate) fn pause(duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Polls until the answer is yes; an error after the limit.
pub(crate) fn wait_for(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    while !ready()? {
        if Instant::now() > end {
            bail!("{what} is not ready after {} s", limit.as_secs());
        }
        pause(Duration::from_millis(20))?;
    }
    Ok(())
}

/// Stops all children on a signal, so that every wait for one returns.
pub(crate) fn watch_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            return;
        }
        signal_groups(None);
        std::thread::sleep(STOP_TIMEOUT);
        signal_groups(Some(Signal::KILL));
        // By now everything that waits has returned; this is for what does not.
        std::thread::sleep(STOP_TIMEOUT);
        std::process::exit(130);
    })
    .context("can't watch for signals")
}

fn signal_groups(signal: Option<Signal>) {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (group, own) in groups {
        let _ = kill_process_group(group, signal.unwrap_or(own));
    }
}

/// In the copy that turns into a child: never returns, unless it fails. Elsewhere: `None`.
pub(crate) fn become_child() -> Option<ExitCode> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;

        let mut arguments = std::env::args_os().skip(1);
        if arguments.next()? != BECOME {
            return None;
        }
        let parent: i32 = arguments.next()?.to_str()?.parse().ok()?;
        let program = arguments.next()?;
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        if rustix::process::getppid().map(Pid::as_raw_pid) != Some(parent) {
            return Some(ExitCode::FAILURE);
        }
        let error = Command::new(&program).args(arguments).exec();
        terminal::failure(&format!("can't run {}: {error}", program.display()));
        Some(ExitCode::from(127))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The last lines of a file, for an error message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Describes the end of a program, for an error message.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

/// A running program, stopped with its whole group when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    inner: std::process::Child,
    group: Pid,
    stop: Signal,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts the command as the leader of its process group.
    pub(crate) fn start(name: String, mut command: Command, stop: Signal) -> Result<Self> {
        check()?;
        let inner = command.spawn().with_context(|| format!("can't start {name}; is it installed?"))?;
        let group = Pid::from_raw(inner.id().cast_signed()).context("a process without an id")?;
        let child = Self { name, inner, group, stop, status: None };
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push((group, stop));
        // A signal between the first check and the line above found no such group.
        check()?;
        Ok(child)
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.inner.id()
    }

    /// The end of a pipe, if there is one.
    pub(crate) fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.inner.stdout.take()
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let status = match self.status {
            Some(status) => status,
            None => self.inner.wait().with_context(|| format!("can't wait for {}", self.name))?,
        };
        self.status = Some(status);
        check()?;
        Ok(status)
    }

    /// Returns the exit status, if the program has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        check()?;
        if self.status.is_none() {
            self.status = self.inner.try_wait()?;
        }
        Ok(self.status)
    }

    /// An error if the program has ended, with the end of its log.
    pub(crate) fn check_alive(&mut self, log: &Path) -> Result<()> {
        match self.ended()? {
            Some(status) => bail!("{} ended: {}\n{}", self.name, describe(status), tail(log, 20)),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        if self.status.is_none() {
            let _ = kill_process_group(self.group, self.stop);
            let deadline = Instant::now() + STOP_TIMEOUT;
            while Instant::now() < deadline {
                if let Ok(Some(status)) = self.inner.try_wait() {
                    self.status = Some(status);
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        if self.status.is_none() {
            let _ = self.inner.wait();
        }
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|(group, _)| *group != self.group);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}
