//! The functions under `cargo lambda watch`: an edit is live on the next request.
//!
//! The deployed functions stay, so that the HTTP API, the queue and every other trigger reach them as ever; only their
//! invocations are forwarded. Cargo Lambda starts up to four processes per function, as they are needed.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    process::Child,
    run_folder::RunFolder,
};

use super::{deploy::Deployed, emulator::Emulator};

/// A running `cargo lambda watch`.
#[derive(Debug)]
pub(crate) struct Watch {
    server: Child,
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
        emulator: &Emulator,
        deployed: &Deployed,
        port: u16,
    ) -> Result<Self> {
        let log = run.log("watch");
        let spec = Spec::new(checkout.tool("cargo-lambda"))
            .folder(checkout.root())
            .args(["lambda", "watch", "--invoke-address", "127.0.0.1", "--concurrency", "4", "--invoke-port"])
            .arg(port.to_string())
            // One environment for all.
            .envs(deployed.variables())
            .envs(emulator.environment());
        let server = spec.spawn(&Output::File(&log))?;
        Ok(Self { server, log })
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check_alive(&self.log)
    }
}
