//! LocalStack without Docker. It has S3, SQS, EventBridge and CloudFormation so, but no Lambda, DynamoDB or HTTP API.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::postgres::free_port;
use crate::{
    checkout::Checkout,
    client,
    command::Output,
    process::{Child, wait_for},
    run_folder::RunFolder,
    venv,
};

/// The secret of every access key: LocalStack verifies signed links with this one alone.
pub(crate) const SECRET: &str = "test";

/// A running LocalStack.
#[derive(Debug)]
pub(crate) struct LocalStack {
    server: Child,
    port: u16,
    log: PathBuf,
}

impl LocalStack {
    /// Starts these services, separated by commas. They are not ready yet.
    pub(crate) fn start(checkout: &Checkout, run: &RunFolder, services: &str) -> Result<Self> {
        let environment = checkout.root().join(".venv-localstack");
        venv::ensure_folder(checkout, &environment, &folder(checkout).join("requirements.txt"))?;
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let scratch = |name: &str| -> Result<PathBuf> {
            let path = run.path("localstack").join(name);
            std::fs::create_dir_all(&path)?;
            Ok(path)
        };
        let spec = run.tool(environment.join("bin/python")).args(["-m", "localstack.runtime.main"]);
        let spec = spec
            .folder(scratch("run")?)
            .env("TMPDIR", scratch("tmp")?)
            .env("FILESYSTEM_ROOT", scratch("root")?)
            .env("XDG_CACHE_HOME", scratch("cache")?)
            .env("OVERRIDE_IN_DOCKER", "0")
            .env("GATEWAY_SERVER", "hypercorn")
            .env("GATEWAY_LISTEN", &listen)
            .env("LOCALSTACK_HOST", &listen)
            .env("SERVICES", services)
            .env("SQS_ENDPOINT_STRATEGY", "path")
            .env("S3_SKIP_SIGNATURE_VALIDATION", "0")
            .env("DNS_ADDRESS", "0")
            .env("DISABLE_EVENTS", "1")
            .env("SKIP_SSL_CERT_DOWNLOAD", "1");
        let log = run.log("localstack");
        let server = spec.spawn(&Output::File(&log))?;
        Ok(Self { server, port, log })
    }

    /// Waits until it answers.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let url = format!("{}/_localstack/health", self.url());
        wait_for("LocalStack", Duration::from_secs(120), || {
            self.check()?;
            Ok(ureq::get(&url).call().is_ok())
        })
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check_alive(&self.log)
    }

    /// The process, for those that only keep it running.
    pub(crate) fn into_process(self) -> Child {
        self.server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The program that invokes functions for LocalStack's messages and schedules.
#[derive(Debug)]
pub(crate) struct Triggers {
    program: Child,
    log: PathBuf,
}

impl Triggers {
    /// Starts it. `sources` are the queues, and `invoke` is the address that serves invocations.
    pub(crate) fn start(
        checkout: &Checkout,
        run: &RunFolder,
        environment: Vec<(String, String)>,
        sources: &Value,
        invoke: &str,
    ) -> Result<Self> {
        let list = run.path("sources.json");
        std::fs::write(&list, sources.to_string())?;
        let log = run.log("triggers");
        let spec = run.tool(checkout.tool("python")).envs(environment).arg(folder(checkout).join("triggers.py"));
        let program = spec.arg(list).arg(invoke).spawn(&Output::File(&log))?;
        Ok(Self { program, log })
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.program.check_alive(&self.log)
    }
}

/// Applies the migrations, which CloudFormation does where it has Lambda.
pub(crate) fn migrate(invoke: &str) -> Result<()> {
    let url = format!("{invoke}/2015-03-31/functions/migrate/invocations");
    let response = client::agent().post(&url).send("{}").context("can't invoke the migrations")?;
    client::read_json(response, 200).context("the migrations failed").map(drop)
}

/// The folder of LocalStack's programs and locks.
pub(crate) fn folder(checkout: &Checkout) -> PathBuf {
    checkout.root().join("infra/dev/localstack")
}
