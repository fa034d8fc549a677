//! The paths of this checkout.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The checkout that this program was built in.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// Finds the checkout and makes its `.local`.
    pub(crate) fn find() -> Result<Self> {
        // Cargo says at run time where the package is; the compile-time answer is for a binary started by hand.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.ancestors().nth(3).unwrap_or(&package);
        let root = root.canonicalize().with_context(|| format!("no checkout at {}", root.display()))?;
        let checkout = Self { root };
        let local = checkout.local();
        std::fs::create_dir_all(&local).with_context(|| format!("can't create {}", local.display()))?;
        Ok(checkout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Data of runs, never committed.
    pub(crate) fn local(&self) -> PathBuf {
        self.root.join(".local")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.local().join("logs")
    }

    /// The tools from PyPI.
    pub(crate) fn venv(&self) -> PathBuf {
        self.root.join(".venv")
    }

    /// A tool from PyPI.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.venv().join("bin").join(name)
    }

    /// A file of `infra/dev/local`.
    pub(crate) fn infra(&self, name: &str) -> PathBuf {
        self.root.join("infra/dev/local").join(name)
    }

    pub(crate) fn template(&self) -> PathBuf {
        self.root.join("template.yaml")
    }

    pub(crate) fn issuer_key(&self) -> PathBuf {
        self.local().join("issuer.key")
    }

    /// The key of the second issuer.
    pub(crate) fn partner_key(&self) -> PathBuf {
        self.local().join("partner.key")
    }

    /// The variables that `up` writes for shells.
    pub(crate) fn stack_env(&self) -> PathBuf {
        self.local().join("stack.env")
    }

    /// A path for people to read: relative to the checkout if it is inside.
    pub(crate) fn short<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// Opens a file to lock.
    pub(crate) fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.local().join(name);
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        options.open(&path).with_context(|| format!("can't write {}", path.display()))
    }
}
