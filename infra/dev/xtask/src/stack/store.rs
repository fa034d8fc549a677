//! An object store beside the emulator, for the files of exports: Ceph's RADOS gateway or LocalStack's S3.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{deploy::BUCKET, issuer, postgres::free_port};
use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    process::{Child, tail, wait_for},
    run_folder::RunFolder,
    venv,
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
        let port = free_port()?;
        // LocalStack checks signed links against this secret alone.
        let secret = if self == Self::LocalStack { "test".to_owned() } else { issuer::secret()? };
        let log = run.log("store");
        let (server, ready) = match self {
            Self::Ceph => (ceph(checkout, run, port, &secret), ""),
            Self::LocalStack => (local_stack(checkout, run, port)?, "/_localstack/health"),
        };
        let mut server = server.spawn(&Output::PipeAndFile(&log))?;
        let endpoint = format!("http://127.0.0.1:{port}");
        match self {
            // It makes its user after the gateway answers.
            Self::Ceph => {
                let output = server.take_stdout().context("the store has no output")?;
                let mut line = String::new();
                BufReader::new(output).read_line(&mut line)?;
                if line.trim() != "ready" {
                    bail!("{} did not start\n{}", self.name(), tail(&log, 20));
                }
            }
            Self::LocalStack => {
                let url = format!("{endpoint}{ready}");
                wait_for(self.name(), Duration::from_secs(120), || {
                    server.check_alive(&log)?;
                    Ok(ureq::get(&url).call().is_ok())
                })?;
            }
        }
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

fn ceph(checkout: &Checkout, run: &RunFolder, port: u16, secret: &str) -> Spec {
    let spec = Spec::new(checkout.tool("python")).arg(folder(checkout).join("ceph.py"));
    spec.arg(run.path("ceph")).args([&port.to_string(), ACCESS_KEY, secret])
}

fn local_stack(checkout: &Checkout, run: &RunFolder, port: u16) -> Result<Spec> {
    let environment = checkout.root().join(".venv-localstack");
    venv::ensure_folder(checkout, &environment, &folder(checkout).join("localstack.txt"))?;
    let listen = format!("127.0.0.1:{port}");
    let scratch = |name: &str| -> Result<PathBuf> {
        let path = run.path("localstack").join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    };
    let spec = run.tool(environment.join("bin/python")).args(["-m", "localstack.runtime.main"]);
    Ok(spec
        .folder(scratch("run")?)
        .env("TMPDIR", scratch("tmp")?)
        .env("FILESYSTEM_ROOT", scratch("root")?)
        .env("XDG_CACHE_HOME", scratch("cache")?)
        .env("OVERRIDE_IN_DOCKER", "0")
        .env("GATEWAY_SERVER", "hypercorn")
        .env("GATEWAY_LISTEN", &listen)
        .env("LOCALSTACK_HOST", &listen)
        .env("SERVICES", "s3")
        .env("S3_SKIP_SIGNATURE_VALIDATION", "0")
        .env("DNS_ADDRESS", "0")
        .env("DISABLE_EVENTS", "1")
        .env("SKIP_SSL_CERT_DOWNLOAD", "1"))
}
