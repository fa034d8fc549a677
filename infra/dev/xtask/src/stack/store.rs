//! An object store beside the emulator, for the files of exports: Ceph's RADOS gateway or LocalStack's S3.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};

use super::{
    deploy::BUCKET,
    issuer,
    local_stack::{self, LocalStack},
    postgres::free_port,
};
use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    process::{Child, tail},
    run_folder::RunFolder,
};

const ACCESS_KEY: &str = "exports";

/// The programs of Ceph, of the Debian packages that [`Product::missing`] names.
const CEPH: [&str; 6] = ["ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw"];

/// The stores that a stack may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Ceph,
    LocalStack,
}

/// A running store with an empty bucket.
#[derive(Debug)]
pub(crate) struct Store {
    _server: Child,
    name: &'static str,
    endpoint: String,
    secret: String,
}

impl Product {
    pub(crate) const ALL: [Self; 2] = [Self::Ceph, Self::LocalStack];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ceph => "Ceph RGW",
            Self::LocalStack => "LocalStack S3",
        }
    }

    /// Returns the reason why the store cannot be started here, if there is one.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let is_there = |program: &&str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        match self {
            Self::Ceph if !CEPH.iter().all(is_there) => {
                Some("it is not installed; `apt-get install ceph-mon ceph-osd radosgw ceph-common` installs it")
            }
            Self::Ceph if !rustix::process::geteuid().is_root() => Some("it runs as root alone"),
            _ => None,
        }
    }

    /// Starts the store and creates the bucket.
    pub(crate) fn start(self, checkout: &Checkout, run: &RunFolder) -> Result<Store> {
        let (server, endpoint, secret) = match self {
            Self::Ceph => {
                let secret = issuer::secret()?;
                let (server, endpoint) = ceph(checkout, run, &secret)?;
                (server, endpoint, secret)
            }
            Self::LocalStack => {
                let mut server = LocalStack::start(checkout, run, "s3")?;
                server.wait()?;
                let endpoint = server.url();
                (server.into_process(), endpoint, local_stack::SECRET.to_owned())
            }
        };
        let bucket = run.tool(checkout.tool("python")).arg(folder(checkout).join("bucket.py"));
        bucket.args([&endpoint, ACCESS_KEY, &secret, BUCKET]).run(&Output::File(&run.log("bucket")))?;
        Ok(Store { _server: server, name: self.name(), endpoint, secret })
    }
}

impl Store {
    /// The template's parameters.
    pub(crate) fn parameters(&self) -> [(&'static str, String); 3] {
        [
            ("ObjectStoreEndpoint", self.endpoint.clone()),
            ("ObjectStoreAccessKeyId", ACCESS_KEY.to_owned()),
            ("ObjectStoreSecretAccessKey", self.secret.clone()),
        ]
    }

    /// The variables of programs that use the store.
    pub(crate) fn variables(&self) -> [(String, String); 4] {
        [
            ("EXPORTS_STORE", self.name.to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint.clone()),
            ("EXPORTS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("EXPORTS_SECRET_ACCESS_KEY", self.secret.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}

fn folder(checkout: &Checkout) -> PathBuf {
    checkout.root().join("infra/dev/stores")
}

/// Starts the gateway and waits until it has its user, which it makes after it answers.
fn ceph(checkout: &Checkout, run: &RunFolder, secret: &str) -> Result<(Child, String)> {
    let port = free_port()?;
    let log = run.log("store");
    let spec = Spec::new(checkout.tool("python")).arg(folder(checkout).join("ceph.py"));
    let spec = spec.arg(run.path("ceph")).args([&port.to_string(), ACCESS_KEY, secret]);
    let mut server = spec.spawn(&Output::PipeAndFile(&log))?;
    let output = server.take_stdout().context("the store has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if line.trim() != "ready" {
        bail!("Ceph's gateway did not start\n{}", tail(&log, 20));
    }
    Ok((server, format!("http://127.0.0.1:{port}")))
}
