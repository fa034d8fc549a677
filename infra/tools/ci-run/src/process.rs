//! The command's process: its signals, its end, and how long it took.

use std::{
    ffi::OsString,
    io::{ErrorKind, IsTerminal as _, stdin},
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal as Arrivals, SignalKind, signal},
};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
    /// With this exit status, after a signal had told it to end.
    Interrupted(u8),
    /// Not at all: it could not be started. The shell's exit status for that.
    NotStarted(u8),
}

/// A command that ran.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) started_at: Timestamp,
    /// By a clock that nobody sets.
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// Runs a command with the streams of this process, and passes on the signals that ask this one to end.
pub(crate) async fn run(command: &[OsString]) -> Ran {
    let (started_at, start) = (Timestamp::now(), Instant::now());
    let outcome = outcome(command).await;
    Ran { started_at, took: start.elapsed(), outcome }
}

async fn outcome(command: &[OsString]) -> Outcome {
    let Some((program, arguments)) = command.split_first() else { return Outcome::NotStarted(127) };
    // Before the command starts, so that none is missed.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return not_started(program, &error),
    };
    let mut child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => return not_started(program, &error),
    };
    let mut is_interrupted = false;
    loop {
        tokio::select! {
            biased;
            ended = child.wait() => return match ended {
                Ok(status) => ended_with(status, is_interrupted),
                Err(error) => not_started(program, &error),
            },
            signal = signals.next() => {
                is_interrupted = true;
                pass_on(&child, signal);
            }
        }
    }
}

fn not_started(program: &OsString, error: &std::io::Error) -> Outcome {
    terminal::failure(&format!("ci-run: can't run {}: {error}", program.display()));
    Outcome::NotStarted(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
}

fn ended_with(status: ExitStatus, is_interrupted: bool) -> Outcome {
    match (status.code().and_then(|code| u8::try_from(code).ok()), status.signal()) {
        (Some(code), _) if is_interrupted => Outcome::Interrupted(code),
        (Some(code), _) => Outcome::Exited(code),
        (None, Some(signal)) => Outcome::Killed(signal),
        // The system reports no other end.
        (None, None) => Outcome::Exited(1),
    }
}

/// Sends the child a signal that this process got, unless the terminal has sent it to both.
fn pass_on(child: &Child, signal: Signal) {
    if signal == Signal::INT && stdin().is_terminal() {
        return;
    }
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // It fails only for a child that has just ended.
        let _ = kill_process(id, signal);
    }
}

/// The signals that ask a process to end.
struct Signals {
    interrupt: Arrivals,
    terminate: Arrivals,
    hang_up: Arrivals,
    quit: Arrivals,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
            _ = self.quit.recv() => Signal::QUIT,
        }
    }
}

impl Outcome {
    /// The status in documents. A command that was told to end is cancelled, whatever it made of that.
    pub(crate) const fn status(self) -> &'static str {
        match self {
            Self::Exited(0) => "success",
            Self::Exited(_) | Self::NotStarted(_) => "failure",
            Self::Killed(_) | Self::Interrupted(_) => "cancelled",
        }
    }

    /// Ends this process as the command ended.
    pub(crate) fn repeat(self) -> ExitCode {
        match self {
            Self::Exited(code) | Self::Interrupted(code) | Self::NotStarted(code) => ExitCode::from(code),
            Self::Killed(signal) => {
                // It returns only for a signal that ends no process.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
                ExitCode::from(u8::try_from(signal).map_or(u8::MAX, |signal| signal.saturating_add(128)))
            }
        }
    }
}
