//! A function's own binary, started as Lambda starts it. This program is Lambda to it: it serves the Runtime API and
//! hands out one event at a time.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use loopback::{Call, Invocation, NextEvent, RuntimeApi};
use uuid::Uuid;

use crate::process::Process;

/// The time that an invocation may take, unless a function is given another.
const TIMEOUT: Duration = Duration::from_secs(300);
const MEMORY_MIB: u32 = 512;
/// Files with all root certificates of a system. Amazon Linux has no others; Debian has each in a file of its own as well,
/// and a program that is not told which to take reads both, for 3 ms.
const ROOT_CERTIFICATES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// One function's program.
#[derive(Debug, Clone)]
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The file of its log.
    pub(crate) log: PathBuf,
}

/// A running function.
pub(crate) struct Function {
    name: String,
    child: Child,
    api: RuntimeApi,
    /// The function's open call for an event.
    next: Option<NextEvent>,
    /// The time that an invocation may take. It is also the stated deadline.
    pub(crate) timeout: Duration,
    /// From its start to its first call for an event.
    pub(crate) ready_after: Duration,
    started: Instant,
}

/// A function's answer.
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// From the moment when the event was handed over.
    pub(crate) took: Duration,
    pub(crate) at: Instant,
}

impl Function {
    /// Starts the binary with these variables besides our own, and waits until it asks for its first event.
    pub(crate) fn start(binary: &Binary, variables: &[(&str, String)]) -> Result<Self> {
        let api = RuntimeApi::start().context("no free port")?;
        let log = File::options().create(true).append(true).open(&binary.log)?;
        let mut command = Command::new(&binary.path);
        command
            .envs(api.environment(&binary.name, MEMORY_MIB))
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .env_remove("SSL_CERT_DIR")
            .envs(ROOT_CERTIFICATES.iter().find(|path| Path::new(path).is_file()).map(|path| ("SSL_CERT_FILE", path)))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("can't start {}", binary.path.display()))?;
        let mut function = Self {
            name: binary.name.clone(),
            child,
            api,
            next: None,
            timeout: TIMEOUT,
            ready_after: Duration::ZERO,
            started,
        };
        function.await_next()?;
        function.ready_after = started.elapsed();
        Ok(function)
    }

    /// Hands over an event and waits for the answer.
    pub(crate) fn invoke(&mut self, event: &[u8]) -> Result<Answer> {
        let handed_over = self.hand_over(event)?;
        let call = self.receive()?;
        self.answered(call, handed_over)
    }

    /// Hands over an event and, unless the answer comes before, kills the process after this time, as the kernel does when
    /// memory is short. `None` if it was killed: the function is then no more.
    pub(crate) fn invoke_or_kill(&mut self, event: &[u8], after: Duration) -> Result<Option<Answer>> {
        let handed_over = self.hand_over(event)?;
        match self.api.receive(after)? {
            Some(call) => self.answered(call, handed_over).map(Some),
            None => {
                self.child.kill()?;
                self.child.wait()?;
                Ok(None)
            }
        }
    }

    fn hand_over(&mut self, event: &[u8]) -> Result<Instant> {
        let next = self.next.take().context("the function did not ask for an event")?;
        let id = Uuid::new_v4().to_string();
        let handed_over = Instant::now();
        next.hand_over(&Invocation { id: &id, function: &self.name, event, timeout: self.timeout })?;
        Ok(handed_over)
    }

    fn answered(&mut self, call: Call, handed_over: Instant) -> Result<Answer> {
        let (body, at) = match call {
            Call::Succeeded { body, at } => (body, at),
            Call::Failed { body } => bail!("{} failed: {}", self.name, String::from_utf8_lossy(&body)),
            Call::Next(_) => bail!("{} asks for another event before it answers", self.name),
        };
        self.await_next()?;
        Ok(Answer { body, took: at - handed_over, at })
    }

    /// From the start of the process to this answer.
    pub(crate) fn since_start(&self, answer: &Answer) -> Duration {
        answer.at - self.started
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn await_next(&mut self) -> Result<()> {
        match self.receive()? {
            Call::Next(next) => self.next = Some(next),
            Call::Succeeded { body, .. } | Call::Failed { body } => {
                bail!("{} does not ask for an event but answers {}", self.name, String::from_utf8_lossy(&body))
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Call> {
        let end = Instant::now() + self.timeout;
        while Instant::now() < end {
            if let Some(call) = self.api.receive(Duration::from_secs(1))? {
                return Ok(call);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.name);
            }
        }
        bail!("{} did not call for {} s", self.name, self.timeout.as_secs())
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
