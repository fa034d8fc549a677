//! The functions under `cargo lambda watch`: an edit is live on the next request.
//!
//! The deployed functions stay, so that the HTTP API, the queue and every other trigger reach them as ever; only their
//! invocations are forwarded. Cargo Lambda starts up to four processes per function, as they are needed.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    deploy::Deployed,
    emulator::Emulator,
    process::Child,
    run::Run,
};

/// The functions, by the names of their binaries.
const FUNCTIONS: [&str; 2] = ["api", "worker"];

/// A running `cargo lambda watch`.
#[derive(Debug)]
pub(crate) struct Watch {
    server: Child,
    log: PathBuf,
}

impl Watch {
    /// Where each function is invoked.
    pub(crate) fn addresses(port: u16) -> BTreeMap<String, String> {
        let address = |name| format!("http://127.0.0.1:{port}/2015-03-31/functions/{name}/invocations");
        FUNCTIONS.into_iter().map(|name| (name.to_owned(), address(name))).collect()
    }

    /// Starts it. A function starts with its first invocation.
    pub(crate) fn start(
        checkout: &Checkout,
        run: &Run,
        emulator: &Emulator,
        deployed: &Deployed,
        port: u16,
    ) -> Result<Self> {
        let log = run.log("watch");
        let mut spec = Spec::new(checkout.tool("cargo-lambda"))
            .folder(checkout.root())
            .args(["lambda", "watch", "--invoke-address", "127.0.0.1", "--concurrency", "4", "--invoke-port"])
            .arg(port.to_string());
        // One environment for all: what the deployed functions have, but for the key that signs downloads. It may
        // not write, and the worker would use it too. The administrator's credentials sign as well.
        for name in FUNCTIONS {
            for (name, value) in deployed.variables(name) {
                if !name.starts_with("EXPORTS_ACCESS_KEY") && !name.starts_with("EXPORTS_SECRET_ACCESS_KEY") {
                    spec = spec.env(name, value);
                }
            }
        }
        for (name, value) in emulator.environment() {
            spec = spec.env(name, value);
        }
        let server = spec.spawn(&Output::File(&log))?;
        Ok(Self { server, log })
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check_alive(&self.log)
    }
}
