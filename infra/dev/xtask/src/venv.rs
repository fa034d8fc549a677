//! Tools from PyPI, pinned and hashed by a lock, in a folder of their own: those of every stack in `.venv`, by
//! `infra/dev/local/requirements.txt`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use terminal::Progress;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    process::tail,
};

/// Written last, so that a half-made `.venv` is not mistaken for a whole one.
const MARKER: &str = ".installed";

/// Makes sure that `.venv` is what the lock says; repairs it otherwise.
pub(crate) fn ensure(checkout: &Checkout) -> Result<()> {
    ensure_folder(checkout, &checkout.venv(), &checkout.infra("requirements.txt"))
}

/// Makes sure that the tools are there that check templates, workflows, bills of materials and advisories. They are large,
/// and not needed to run anything. Returns the folder of their programs.
pub(crate) fn hardening(checkout: &Checkout) -> Result<PathBuf> {
    let venv = checkout.root().join(".venv-hardening");
    ensure_folder(checkout, &venv, &checkout.root().join("infra/dev/hardening/requirements.txt"))?;
    Ok(venv.join("bin"))
}

/// Makes sure that a folder has the tools of a lock; repairs it otherwise. What PyPI has as source alone is in a second
/// lock beside it, `sources.txt`.
pub(crate) fn ensure_folder(checkout: &Checkout, venv: &Path, requirements: &Path) -> Result<()> {
    let name = venv.file_name().unwrap_or_default().to_string_lossy();
    // Beside another run in this checkout, one installs and the other waits.
    let lock = checkout.lock_file("venv.lock")?;
    lock.lock().with_context(|| format!("can't lock {name}"))?;
    let mut text = std::fs::read(requirements).with_context(|| format!("can't read {}", requirements.display()))?;
    let sources = Some(requirements.with_file_name("sources.txt")).filter(|path| path.exists());
    if let Some(sources) = &sources {
        text.extend(std::fs::read(sources)?);
    }
    let wanted = hex::encode(Sha256::digest(&text));
    let marker = venv.join(MARKER);
    if std::fs::read_to_string(&marker).is_ok_and(|found| found == mark(&wanted, venv))
        && works(&venv.join("bin/python"))
    {
        return Ok(());
    }
    terminal::step(&format!("Installing the tools from PyPI into {name}"), |step| {
        install(checkout, venv, requirements, sources.as_deref(), step)?;
        std::fs::write(&marker, mark(&wanted, venv))?;
        Ok(((), String::new()))
    })
}

/// The lock's hash, and the place: scripts in a moved `.venv` point to the old one.
fn mark(wanted: &str, venv: &Path) -> String {
    format!("{wanted} {}\n", venv.display())
}

fn install(
    checkout: &Checkout,
    venv: &Path,
    requirements: &Path,
    sources: Option<&Path>,
    step: &mut Progress,
) -> Result<()> {
    let tool = venv.join("bin/python");
    let log = checkout.local().join("venv.log");
    let _ = std::fs::remove_file(&log);
    if venv.exists() {
        std::fs::remove_dir_all(venv).with_context(|| format!("can't remove {}", venv.display()))?;
    }
    let python = python()?;
    step.at("creating the environment");
    let create = |option: &[&str]| {
        let spec = Spec::new(&python).args(["-m", "venv"]).args(option.iter().copied()).arg(venv);
        spec.run(&Output::File(&log))
    };
    // Some distributions split off what puts pip into a new environment; then the outer pip does it.
    let pip = match create(&[]) {
        Ok(()) => Spec::new(&tool).args(["-m", "pip"]),
        Err(_) => {
            create(&["--clear", "--without-pip"])?;
            Spec::new(&python).args(["-m", "pip", "--python"]).arg(&tool)
        }
    };
    // What an interrupted pip leaves goes with the rest.
    let scratch = venv.join("tmp");
    std::fs::create_dir_all(&scratch)?;
    let lock = std::fs::read_to_string(requirements)?;
    let total = lock.lines().filter(|line| line.contains("==")).count();
    let pip = pip
        .args(["install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"])
        .args(["--require-hashes", "--no-deps"])
        .env("PYTHONUNBUFFERED", "1")
        .env("TMPDIR", &scratch);
    let binary = pip.clone().args(["--only-binary", ":all:", "-r"]).arg(requirements);
    let mut child = binary.spawn(&Output::PipeAndFile(&log))?;
    let Some(output) = child.take_stdout() else { bail!("pip has no output") };
    let mut seen = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.trim_start().split_once(' ') {
            Some(("Collecting" | "Ignoring" | "Processing", rest)) => {
                seen += 1;
                let package = rest.split([' ', ':', '(']).next().unwrap_or_default();
                step.at(format!("{}/{total} {package}", seen.min(total)));
            }
            Some(("Installing", _)) => step.at(format!("{total}/{total} unpacking")),
            _ => {}
        }
    }
    let mut installed = child.wait()?.success();
    if let Some(sources) = sources.filter(|_| installed) {
        // Built by what is installed: what an isolated build fetches is in no lock.
        let build = pip.args(["--no-build-isolation", "-r"]).arg(sources);
        installed = build.run(&Output::File(&log)).is_ok();
    }
    if !installed {
        bail!(
            "pip can't install the tools; the log is {}\n{}\nIf Python has no pip or venv module, install them \
             (on Debian and Ubuntu: python3-venv).",
            log.display(),
            tail(&log, 15)
        );
    }
    Ok(std::fs::remove_dir_all(&scratch)?)
}

/// The newest Python on the PATH that is 3.10 or newer.
fn python() -> Result<PathBuf> {
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"]
        .into_iter()
        .map(PathBuf::from)
        .find(|name| works(name))
        .context("Python 3.10 or newer is needed, as python3 on the PATH")
}

fn works(python: &Path) -> bool {
    std::process::Command::new(python)
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 10))"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
