//! The functions under `cargo lambda watch`: an edit is live on the next request.
//!
//! The deployed functions stay, so that the HTTP API, the queue and every other trigger reach them as ever; only their
//! invocations are forwarded. Cargo Lambda starts up to four processes per function, as they are needed.

use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use anyhow::Result;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    process::{Child, wait_for},
    run_folder::RunFolder,
};

use super::{aws::Aws, deploy::Deployed, postgres::Postgres};

/// A running `cargo lambda watch`.
#[derive(Debug)]
pub(crate) struct Watch {
    server: Child,
    port: u16,
    log: PathBuf,
}

impl Watch {
    /// Its address at this port.
    pub(crate) fn address(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// Starts it. A function starts with its first invocation.
    pub(crate) fn start(
        checkout: &Checkout,
        run: &RunFolder,
        aws: &Aws,
        deployed: &Deployed,
        postgres: &Postgres,
        port: u16,
    ) -> Result<Self> {
        let log = run.log("watch");
        let spec = Spec::new(checkout.tool("cargo-lambda"))
            .folder(checkout.root())
            .args(["lambda", "watch", "--invoke-address", "127.0.0.1", "--concurrency", "4", "--invoke-port"])
            .arg(port.to_string())
            // One environment for all: so one login, too.
            .envs(deployed.variables())
            .env("DATABASE_URL", postgres.url())
            .envs(aws.environment());
        let server = spec.spawn(&Output::File(&log))?;
        Ok(Self { server, port, log })
    }

    /// The address at which it serves invocations, and the API.
    pub(crate) fn url(&self) -> String {
        Self::address(self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it listens.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        wait_for("cargo lambda watch", Duration::from_secs(60), || {
            self.check()?;
            Ok(TcpStream::connect(address).is_ok())
        })
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check_alive(&self.log)
    }
}
