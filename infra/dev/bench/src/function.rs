//! A function's own binary, started as Lambda starts it. This program is Lambda to it: it serves the Runtime API on a
//! loopback port and hands out one event at a time.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::{
    http::{Request, Server},
    process::Process,
    stack::Binary,
};

/// How long an invocation may take: the longest that the template gives a function. It is also the stated deadline.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A running function.
pub(crate) struct Function {
    name: String,
    child: Child,
    server: Server,
    /// The function's open question for an event.
    question: Option<Request>,
    /// From its start to its first question.
    pub(crate) ready_after: Duration,
    started: Instant,
}

/// What a function answered.
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// From the moment when the event was handed over.
    pub(crate) took: Duration,
    /// When the answer had arrived.
    at: Instant,
}

impl Function {
    /// Starts the binary with these variables besides our own, and waits until it asks for its first event.
    pub(crate) fn start(binary: &Binary, variables: &[(&str, String)]) -> Result<Self> {
        let server = Server::start().context("no free port")?;
        let log = File::options().create(true).append(true).open(&binary.log)?;
        let mut command = Command::new(&binary.path);
        command
            .env("AWS_LAMBDA_RUNTIME_API", server.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &binary.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("can't start {}", binary.path.display()))?;
        let mut function =
            Self { name: binary.name.clone(), child, server, question: None, ready_after: Duration::ZERO, started };
        function.await_question()?;
        function.ready_after = started.elapsed();
        Ok(function)
    }

    /// Hands it an event and waits for its answer.
    pub(crate) fn invoke(&mut self, event: &[u8]) -> Result<Answer> {
        let question = self.question.take().context("the function asked for nothing")?;
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + TIMEOUT;
        let headers = [
            ("Content-Type", "application/json".to_owned()),
            ("Lambda-Runtime-Aws-Request-Id", Uuid::new_v4().to_string()),
            ("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string()),
            (
                "Lambda-Runtime-Invoked-Function-Arn",
                format!("arn:aws:lambda:us-east-1:000000000000:function:{}", self.name),
            ),
        ];
        let handed_over = Instant::now();
        question.answer("200 OK", &headers, event)?;
        let request = self.receive()?;
        let at = Instant::now();
        let (failed, body) = (!request.path.ends_with("/response"), request.body.clone());
        request.answer("202 Accepted", &[], b"")?;
        if failed {
            bail!("{} failed: {}", self.name, String::from_utf8_lossy(&body));
        }
        self.await_question()?;
        Ok(Answer { body, took: at - handed_over, at })
    }

    /// From the start of the process to this answer.
    pub(crate) fn since_start(&self, answer: &Answer) -> Duration {
        answer.at - self.started
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn await_question(&mut self) -> Result<()> {
        let request = self.receive()?;
        if request.method != "GET" || !request.path.ends_with("/invocation/next") {
            let body = String::from_utf8_lossy(&request.body);
            bail!("{} does not ask for an event but says {} {body}", self.name, request.path);
        }
        self.question = Some(request);
        Ok(())
    }

    fn receive(&mut self) -> Result<Request> {
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end {
            if let Some(request) = self.server.receive(Duration::from_secs(1))? {
                return Ok(request);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.name);
            }
        }
        bail!("{} says nothing for {} s", self.name, TIMEOUT.as_secs())
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
