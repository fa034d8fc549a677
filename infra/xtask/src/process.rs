//! Child processes that never outlive us.
//!
//! Every child leads a process group of its own. The group is stopped when its [`Child`] is dropped, which covers
//! success, errors and panics, and on SIGINT, SIGTERM and SIGHUP by [`watch_signals`]. On Linux a child also asks the
//! kernel for SIGKILL at our death, and [`crate::supervisor`] collects whatever still slips through.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// First argument of the copy of this program that turns into a child.
#[cfg(target_os = "linux")]
const BECOME: &str = "__become";

/// How long a child may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<(Pid, Signal)>> = Mutex::new(Vec::new());

/// Whether a signal asked us to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// An error once a signal asked us to stop. Every loop that waits calls this.
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

/// Asks again and again until the answer is yes; an error once the limit is over.
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

/// From now on a signal stops all children, so that whoever waits for one returns.
pub(crate) fn watch_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            return;
        }
        signal_groups(None);
        std::thread::sleep(PATIENCE);
        signal_groups(Some(Signal::KILL));
        // By now everything that waits has returned; this is for what does not.
        std::thread::sleep(PATIENCE);
        std::process::exit(130);
    })
    .context("can't watch for signals")
}

fn signal_groups(signal: Option<Signal>) {
    let groups = GROUPS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for (group, own) in groups {
        let _ = kill_process_group(group, signal.unwrap_or(own));
    }
}

/// In the copy that turns into a child: never returns, unless it fails. Elsewhere: `None`.
pub(crate) fn become_child() -> Option<ExitCode> {
    #[cfg(target_os = "linux")]
    {
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
        crate::progress::failure(&format!("can't run {}: {error}", program.display()));
        Some(ExitCode::from(127))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Where a child's output goes.
#[derive(Debug)]
pub(crate) enum Output<'a> {
    /// To our own stdout and stderr.
    Inherit,
    /// Both to the end of a file.
    File(&'a Path),
    /// stdout to a pipe that the caller reads, stderr to ours.
    Pipe,
    /// Both to one pipe each, of which the caller reads stdout and the file has stderr.
    PipeAndFile(&'a Path),
}

/// A command line that has not been started.
#[derive(Debug)]
pub(crate) struct Spec {
    program: std::ffi::OsString,
    arguments: Vec<std::ffi::OsString>,
    environment: Vec<(std::ffi::OsString, Option<std::ffi::OsString>)>,
    clean: bool,
    folder: Option<std::path::PathBuf>,
    user: Option<u32>,
    stop: Signal,
}

impl Spec {
    pub(crate) fn new(program: impl Into<std::ffi::OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            clean: false,
            folder: None,
            user: None,
            stop: Signal::TERM,
        }
    }

    pub(crate) fn arg(mut self, argument: impl Into<std::ffi::OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn args<A: Into<std::ffi::OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: impl Into<std::ffi::OsString>, value: impl Into<std::ffi::OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    pub(crate) fn env_remove(mut self, name: impl Into<std::ffi::OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// Starts with an empty environment, except for PATH.
    pub(crate) fn clean(mut self) -> Self {
        self.clean = true;
        self
    }

    pub(crate) fn folder(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs as this user and as the group of the same number.
    pub(crate) fn user(mut self, user: Option<u32>) -> Self {
        self.user = user;
        self
    }

    /// The signal that asks this program to stop.
    pub(crate) fn stop(mut self, signal: Signal) -> Self {
        self.stop = signal;
        self
    }

    fn command(&self) -> Command {
        // The copy is addressed by what we run from, even when a build has replaced the file meanwhile.
        #[cfg(target_os = "linux")]
        let mut command = {
            let mut command = Command::new("/proc/self/exe");
            command.arg(BECOME).arg(std::process::id().to_string()).arg(&self.program);
            command
        };
        #[cfg(not(target_os = "linux"))]
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).process_group(0);
        if self.clean {
            command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> String {
        let file = Path::new(&self.program).file_name().unwrap_or(&self.program);
        file.to_string_lossy().into_owned()
    }

    /// Starts the program. Call it on the main thread only: the kernel ties a child's life to the thread.
    pub(crate) fn spawn(self, output: &Output<'_>) -> Result<Child> {
        check()?;
        let mut command = self.command();
        match output {
            Output::Inherit => {}
            Output::File(path) => {
                let file = append(path)?;
                command.stderr(file.try_clone()?).stdout(file);
            }
            Output::Pipe => {
                command.stdout(Stdio::piped());
            }
            Output::PipeAndFile(path) => {
                command.stdout(Stdio::piped()).stderr(append(path)?);
            }
        }
        let name = self.name();
        let inner = command.spawn().with_context(|| format!("can't start {name}; is it installed?"))?;
        let group = Pid::from_raw(inner.id().cast_signed()).context("a process without an id")?;
        let child = Child { name, inner, group, stop: self.stop, status: None };
        GROUPS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((group, self.stop));
        // A signal between the first check and the line above found no such group.
        check()?;
        Ok(child)
    }

    /// Runs the program to its end; an error unless it succeeds.
    pub(crate) fn run(self, output: &Output<'_>) -> Result<()> {
        let mut child = self.spawn(output)?;
        let status = child.wait()?;
        if !status.success() {
            bail!("{} failed: {}", child.name, describe(status));
        }
        Ok(())
    }

    /// Runs the program to its end and returns its stdout; an error unless it succeeds.
    pub(crate) fn read(self, errors: &Path) -> Result<String> {
        let mut child = self.spawn(&Output::PipeAndFile(errors))?;
        let text = match child.inner.stdout.take() {
            Some(pipe) => std::io::read_to_string(pipe).context("can't read a program's output")?,
            None => String::new(),
        };
        let status = child.wait()?;
        if !status.success() {
            bail!("{} failed: {}\n{}", child.name, describe(status), tail(errors, 20));
        }
        Ok(text)
    }
}

fn append(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    options.open(path).with_context(|| format!("can't write {}", path.display()))
}

/// The last lines of a file, for an error message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn describe(status: ExitStatus) -> String {
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

    /// An error if the program has ended, with the end of its log.
    pub(crate) fn check_alive(&mut self, log: &Path) -> Result<()> {
        check()?;
        if self.status.is_none() {
            self.status = self.inner.try_wait()?;
        }
        match self.status {
            Some(status) => bail!("{} ended: {}\n{}", self.name, describe(status), tail(log, 20)),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        if self.status.is_none() {
            let _ = kill_process_group(self.group, self.stop);
            let deadline = Instant::now() + PATIENCE;
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
        GROUPS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|(group, _)| *group != self.group);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}
