//! `cargo xtask release`: the functions as they are deployed, to the byte the same wherever they are built.

mod archive;
mod bill;
mod build;
mod crates;
mod recorder;
mod second;
mod template;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use bill::Bill;
pub(crate) use bill::validate;
use build::Place;
use crates::Crates;
use template::Template;

use crate::{checkout::Checkout, command::Spec, run_folder::RunFolder, venv};

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The processor architecture of the functions
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    architecture: Architecture,
    /// Build only this function, without the template; may be repeated. A release's bytes come from a whole build alone:
    /// compare a selection with the same selection
    #[arg(long, value_name = "FUNCTION")]
    only: Vec<String>,
    /// Build the commit a second time, in a clone with folders of its own, and fail unless every byte is the same
    #[arg(long)]
    check: bool,
    /// Build `ci-run` instead, the recorder of CI's commands: one file that runs on any Linux of this architecture
    #[arg(long, conflicts_with_all = ["only", "check"])]
    recorder: bool,
}

/// The processor architecture, by the names of the template's parameter `Architecture`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    #[value(name = "arm64")]
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// The default of the template's parameter.
    pub(crate) const DEFAULT: Self = Self::Arm64;

    const fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The compiler's name of the processor.
    const fn processor(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The compiler's name.
    const fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// The option of cargo-lambda that `sam build` gives.
    const fn option(self) -> &'static str {
        match self {
            Self::Arm64 => "--arm64",
            Self::X86_64 => "--x86-64",
        }
    }
}

/// Builds, and with `--check` builds again and compares.
pub(crate) fn run(release: &Release) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    venv::ensure(&checkout)?;
    let run = RunFolder::start(&checkout, "release")?;
    if second::has_changes(&checkout, &run)? {
        ensure!(!release.check, "the checkout has changes that are in no commit, so a clone would lack them");
        terminal::note("the checkout has changes that are in no commit; nobody else can build the same");
    }
    let place = Place::of(&checkout)?;
    let kind = if release.recorder { "target/release-recorder" } else { "target/release-zips" };
    let folder = checkout.root().join(kind).join(release.architecture.name());
    let sums = if release.recorder {
        recorder::make(&checkout, &run, &place, &folder, release.architecture)?
    } else {
        make(&checkout, &run, &place, &folder, release)?
    };
    terminal::answer(sums.trim_end());
    terminal::note(&format!("they are in {}", checkout.short(&folder)));
    if release.check {
        second::check(&checkout, &run, &folder, release)?;
        terminal::note("a second build, elsewhere, gave the same bytes");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the functions of a place and writes the release's files. Returns the list of their digests.
fn make(checkout: &Checkout, run: &RunFolder, place: &Place, folder: &Path, release: &Release) -> Result<String> {
    let template = Template::read(&place.source().join("template.yaml"))?;
    let functions = chosen(&template, &release.only)?;
    let binaries = build::run(checkout, run, place, &[release.architecture.option()], &functions)?;
    begin(folder)?;
    let crates = Crates::read(place.source(), release.architecture.target(), &run.log("tree"))?;
    let mut bills = Vec::new();
    for function in functions {
        let path = binaries.join(&function).join("bootstrap");
        let bootstrap = std::fs::read(&path).with_context(|| format!("the build made no {}", path.display()))?;
        place.check_traces(&function, &bootstrap)?;
        std::fs::write(folder.join(template::archive(&function, release.architecture)), archive::zip(&bootstrap)?)?;
        let bill = folder.join(format!("{function}-{}.cdx.json", release.architecture.name()));
        std::fs::write(&bill, Bill::of(&crates, &function)?.of_file(&bootstrap).to_json()?)?;
        bills.push(bill);
    }
    validate(checkout, run, &bills)?;
    if release.only.is_empty() {
        let name = format!("template-{}.yaml", release.architecture.name());
        std::fs::write(folder.join(name), template.with_zips(release.architecture)?)?;
        for path in template.nested() {
            let source = place.source().join(path);
            std::fs::copy(&source, folder.join(template::beside(path, release.architecture)))
                .with_context(|| format!("can't copy {}", source.display()))?;
        }
    }
    write_sums(folder, release.architecture)
}

/// The functions to build; an error if one of them is not in the template.
fn chosen(template: &Template, only: &[String]) -> Result<BTreeSet<String>> {
    let all = template.functions();
    if let Some(unknown) = only.iter().find(|name| !all.contains(*name)) {
        let all: Vec<_> = all.into_iter().collect();
        bail!("template.yaml has no function `{unknown}`; it has {}", all.join(", "));
    }
    Ok(if only.is_empty() { all } else { only.iter().cloned().collect() })
}

/// Creates an empty folder in the place of an earlier one.
fn begin(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("can't remove {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))
}

/// Writes the digests of the other files, as `sha256sum --check` reads them.
fn write_sums(folder: &Path, architecture: Architecture) -> Result<String> {
    let mut sums = String::new();
    for path in files(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        sums.push_str(&format!("{}  {name}\n", hex::encode(Sha256::digest(std::fs::read(&path)?))));
    }
    std::fs::write(folder.join(format!("SHA256SUMS-{}", architecture.name())), &sums)?;
    Ok(sums)
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Writes the bill of each function, without a build, and checks them against the schema.
pub(crate) fn check_bills(checkout: &Checkout, run: &RunFolder) -> Result<()> {
    let template = Template::read(&checkout.template())?;
    let crates = Crates::read(checkout.root(), Architecture::DEFAULT.target(), &run.log("tree"))?;
    let mut bills = Vec::new();
    for function in template.functions() {
        let path = run.path(&format!("{function}.cdx.json"));
        std::fs::write(&path, Bill::of(&crates, &function)?.to_json()?)?;
        bills.push(path);
    }
    validate(checkout, run, &bills)
}

/// Git, in a folder.
fn git(folder: &Path) -> Spec {
    Spec::new("git").folder(folder)
}
