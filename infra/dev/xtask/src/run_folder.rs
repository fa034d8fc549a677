//! The folder of one run: its data while it lasts, its logs for longer when it failed.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{checkout::Checkout, command::Spec};

/// Logs of failed runs that are kept.
const KEPT_LOGS: usize = 5;

/// `.local/<kind>-<pid>`, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct RunFolder {
    folder: PathBuf,
    kept_logs: PathBuf,
    /// Locked while the run lasts: so that others know that it does.
    _lock: File,
}

impl RunFolder {
    /// Makes the folder, after removing those of runs that ended without doing so.
    pub(crate) fn start(checkout: &Checkout, kind: &str) -> Result<Self> {
        remove_stale(checkout);
        let name = format!("{kind}-{}", std::process::id());
        let folder = checkout.local().join("runs").join(&name);
        for part in ["home", "logs", "tmp"] {
            let part = folder.join(part);
            std::fs::create_dir_all(&part).with_context(|| format!("can't create {}", part.display()))?;
        }
        let lock = File::create(folder.join("lock"))?;
        lock.lock().context("can't lock the run's folder")?;
        Ok(Self { folder, kept_logs: checkout.logs().join(name), _lock: lock })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// A Python tool that neither reads the user's configuration nor writes outside of this folder.
    pub(crate) fn tool(&self, program: PathBuf) -> Spec {
        Spec::new(program)
            .clean()
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SAM_CLI_TELEMETRY", "0")
    }

    /// Moves the logs to where they stay, and says where that is.
    pub(crate) fn keep_logs(&self) -> Option<&Path> {
        let _ = std::fs::create_dir_all(self.kept_logs.parent()?);
        std::fs::rename(self.folder.join("logs"), &self.kept_logs).ok()?;
        Some(&self.kept_logs)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn remove_stale(checkout: &Checkout) {
    for folder in entries(&checkout.local().join("runs")) {
        let Ok(lock) = File::open(folder.join("lock")) else { continue };
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
    let mut logs = entries(&checkout.logs());
    logs.sort_by_key(|folder| folder.metadata().and_then(|metadata| metadata.modified()).ok());
    for folder in logs.iter().rev().skip(KEPT_LOGS) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map_or_else(|_| Vec::new(), |all| all.flatten().map(|entry| entry.path()).collect())
}
