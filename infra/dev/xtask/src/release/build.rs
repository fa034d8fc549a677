//! The build of the functions, by the cargo-lambda that `sam build` calls, with the same options.
//!
//! Beyond those it replaces the folders of this machine in what the compiler writes, and hides from it the variables that
//! would change the result.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
    run_folder::RunFolder,
};

/// The variables that say where tools are and how the network is reached. All others are hidden: `CFLAGS`,
/// `CARGO_PROFILE_RELEASE_LTO` and their like choose what is built, and `RUSTUP_TOOLCHAIN` another compiler than
/// rust-toolchain.toml does.
const PASSED: [&str; 4] = ["HOME", "RUSTUP_HOME", "TMPDIR", "XDG_CACHE_HOME"];
/// The time that a build reads if it reads one: the earliest of an archive, 1980-01-01.
const SOURCE_DATE_EPOCH: &str = "315532800";

/// The folders of one build.
#[derive(Debug)]
pub(super) struct Place {
    source: PathBuf,
    target: PathBuf,
    cargo_home: PathBuf,
    /// The folder of the compiler caches of Zig, unless it is the user's own.
    cache: Option<PathBuf>,
}

impl Place {
    /// This checkout.
    pub(super) fn of(checkout: &Checkout) -> Result<Self> {
        let target = checkout.root().join("target");
        Ok(Self { source: checkout.root().to_owned(), target, cargo_home: cargo_home()?, cache: None })
    }

    /// A clone, with all its folders at other paths than this checkout's.
    pub(super) fn elsewhere(source: PathBuf, target: PathBuf, cargo_home: PathBuf, cache: PathBuf) -> Self {
        Self { source, target, cargo_home, cache: Some(cache) }
    }

    pub(super) fn source(&self) -> &Path {
        &self.source
    }

    /// The folders, each with what the compiler writes in its place. Of two that match, it takes the last.
    fn replaced(&self) -> [(&Path, &'static str); 3] {
        [(&self.source, "/source"), (&self.target, "/target"), (&self.cargo_home, "/cargo")]
    }

    /// An error if a binary names a folder of this machine.
    pub(super) fn check_traces(&self, function: &str, binary: &[u8]) -> Result<()> {
        for (folder, _) in self.replaced() {
            let name = folder.as_os_str().as_encoded_bytes();
            if binary.windows(name.len()).any(|window| window == name) {
                bail!("{function} contains the path {}, so it differs where that differs", folder.display());
            }
        }
        Ok(())
    }
}

/// The folder of Cargo's downloads.
pub(super) fn cargo_home() -> Result<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    named.or_else(home).context("neither CARGO_HOME nor HOME is set")
}

/// Builds functions, or other programs, for the target of these options. Returns the folder with a folder for each, which
/// contains its `bootstrap`.
pub(super) fn run(
    checkout: &Checkout,
    run: &RunFolder,
    place: &Place,
    target: &[&str],
    functions: &BTreeSet<String>,
) -> Result<PathBuf> {
    // With the user's environment, which says how the network is reached; the build itself needs none.
    let fetch = Spec::new("cargo").folder(&place.source).args(["fetch", "--quiet", "--locked"]);
    fetch.env("CARGO_HOME", &place.cargo_home).run(&Output::Inherit)?;
    let folder = run.path("bootstraps");
    let spec = Spec::new(checkout.tool("cargo-lambda")).folder(&place.source).clean();
    let spec = PASSED.into_iter().fold(spec, |spec, name| match std::env::var_os(name) {
        Some(value) => spec.env(name, value),
        None => spec,
    });
    let spec = match &place.cache {
        Some(cache) => spec.env("XDG_CACHE_HOME", cache),
        None => spec,
    };
    let spec = spec
        .env("PATH", path(checkout)?)
        .env("CARGO_HOME", &place.cargo_home)
        .env("CARGO_TARGET_DIR", &place.target)
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .args(["lambda", "build", "--release", "--frozen"])
        .args(target)
        .args(functions.iter().flat_map(|name| ["--bin", name.as_str()]))
        .arg("--lambda-dir")
        .arg(&folder)
        .args(["--config", &flags(place)]);
    terminal::line(&terminal::paint("2", &format!("cargo lambda build --release {}", target.join(" "))));
    spec.run(&Output::Inherit)?;
    Ok(folder)
}

/// The compiler's flags, as a setting of Cargo, which cargo-lambda adds its own to.
fn flags(place: &Place) -> String {
    let flag = |(folder, name): (&Path, &str)| format!("--remap-path-prefix={}={name}", folder.display());
    // JSON's strings and lists are TOML's.
    format!("build.rustflags={}", json!(place.replaced().map(flag)))
}

/// The path of commands, with cargo-lambda's linker first.
fn path(checkout: &Checkout) -> Result<OsString> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(checkout.venv().join("bin")).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).context("the path of commands contains a colon")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::elsewhere("/a/src".into(), "/a/src/target".into(), "/home/u\"x/.cargo".into(), "/c".into())
    }

    #[test]
    fn a_binary_that_names_a_folder_is_refused() {
        let error = place().check_traces("sweep", b"\0panicked at /a/src/shared/x.rs\0").expect_err("a path");
        assert!(error.to_string().contains("sweep contains the path /a/src"), "{error}");
        place().check_traces("sweep", b"\0panicked at /source/shared/x.rs\0").expect("no path");
    }

    #[test]
    fn flags_quote_paths() {
        assert_eq!(
            flags(&place()),
            r#"build.rustflags=["--remap-path-prefix=/a/src=/source","--remap-path-prefix=/a/src/target=/target","--remap-path-prefix=/home/u\"x/.cargo=/cargo"]"#
        );
    }
}
