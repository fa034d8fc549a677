//! The AWS emulator for one run: on a free loopback port, with signatures and policies enforced.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    process::{Child, tail, wait_for},
    run_folder::RunFolder,
};

use super::postgres::free_port;

/// The region that the stack is in.
pub(crate) const REGION: &str = "us-east-1";
/// The administrator's access key; its secret is another one in every run.
pub(crate) const ACCESS_KEY: &str = "local";

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    server: Child,
    port: u16,
    secret: String,
    /// The file of its decisions about calls of the functions.
    decisions: PathBuf,
    log: PathBuf,
}

impl Emulator {
    /// Starts it; it is not ready yet.
    pub(crate) fn start(checkout: &Checkout, run: &RunFolder, secret: String) -> Result<Self> {
        let port = free_port()?;
        let log = run.log("emulator");
        let decisions = run.path("decisions.jsonl");
        // The functions inherit this environment, so nothing of ours is in it. Each gets credentials of its own role.
        let server = Spec::new(checkout.tool("python"))
            .arg("-I")
            .arg(checkout.infra("emulator.py"))
            .clean()
            .folder(run.path("tmp"))
            .env("HOME", run.path("home"))
            .env("TMPDIR", run.path("tmp"))
            .env("STATE_DIR", run.path("tmp/state"))
            .env("S3_DATA_DIR", run.path("tmp/s3"))
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", &secret)
            .env("MINISTACK_REGION", REGION)
            .env("AUTH", "true")
            .env("DECISIONS", &decisions)
            .env("PERSIST_STATE", "0")
            .env("S3_PERSIST", "0")
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            // It would remove containers that it takes for its own.
            .env("DOCKER_HOST", "unix:///nonexistent")
            // As Lambda sets them for functions whose LogFormat is JSON.
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .spawn(&Output::File(&log))?;
        Ok(Self { server, port, secret, decisions, log })
    }

    /// Waits until it answers. Starts it again if somebody else took its port first.
    pub(crate) fn ready(mut self, checkout: &Checkout, run: &RunFolder) -> Result<Self> {
        let mut attempts = 0;
        loop {
            match self.wait() {
                Ok(()) => return Ok(self),
                Err(_) if attempts < 2 && tail(&self.log, 5).contains("already in use") => attempts += 1,
                Err(error) => return Err(error),
            }
            self = Self::start(checkout, run, self.secret.clone())?;
        }
    }

    fn wait(&mut self) -> Result<()> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build().new_agent();
        let url = format!("{}/_ministack/health", self.url());
        wait_for("the AWS emulator", Duration::from_secs(60), || {
            self.check()?;
            Ok(agent.get(&url).call().is_ok())
        })?;
        // The answer may have been another's.
        self.check()
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check_alive(&self.log)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The file of its decisions about calls of the functions.
    pub(crate) fn decisions(&self) -> &Path {
        &self.decisions
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.server.id()
    }

    /// The variables of AWS tools and SDKs, for the administrator.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
