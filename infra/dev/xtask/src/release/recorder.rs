//! `cargo xtask release --recorder`: `ci-run` as one file that needs no library of the machine it runs on.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result};

use super::{Architecture, Bill, Crates, Place, begin, build, validate, write_sums};
use crate::{checkout::Checkout, run_folder::RunFolder};

const PROGRAM: &str = "ci-run";

/// Builds the program and writes the files of its release. Returns the list of their digests.
pub(super) fn make(
    checkout: &Checkout,
    run: &RunFolder,
    place: &Place,
    folder: &Path,
    architecture: Architecture,
) -> Result<String> {
    // Linked with musl, which is part of the file.
    let target = format!("{}-unknown-linux-musl", architecture.processor());
    let binaries = build::run(checkout, run, place, &["--target", &target], &BTreeSet::from([PROGRAM.to_owned()]))?;
    let path = binaries.join(PROGRAM).join("bootstrap");
    let program = std::fs::read(&path).with_context(|| format!("the build made no {}", path.display()))?;
    place.check_traces(PROGRAM, &program)?;

    begin(folder)?;
    let name = format!("{PROGRAM}-{target}");
    // A copy keeps the right to run it.
    std::fs::copy(&path, folder.join(&name)).with_context(|| format!("can't copy {}", path.display()))?;
    let crates = Crates::read(place.source(), &target, &run.log("tree"))?;
    let bill = folder.join(format!("{name}.cdx.json"));
    std::fs::write(&bill, Bill::of(&crates, PROGRAM)?.of_file(&program).to_json()?)?;
    validate(checkout, run, &[bill])?;
    write_sums(folder, architecture)
}
