//! Plays the inputs of `corpus` and the sample events: an input that once found a fault finds it again on each run.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeSet, fs, path::Path};

use fuzz::{TARGETS, target};

/// Runs a target on each file of a folder, and returns how many there are.
fn play(name: &str, folder: &Path) -> usize {
    let run = target(name).unwrap();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in &files {
        // A test that panics shows what it wrote before.
        println!("{}", file.display());
        run(&fs::read(file).unwrap());
    }
    files.len()
}

#[test]
fn every_input_of_the_corpus_is_answered() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let folders: BTreeSet<_> =
        fs::read_dir(&corpus).unwrap().map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, _) in TARGETS {
        assert!(play(name, &corpus.join(name)) > 0, "{name} has no inputs");
    }
}

#[test]
fn every_sample_event_is_answered_by_every_function() {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../events");
    for name in ["api-event", "worker", "telemetry", "monthly", "sweep", "migrate"] {
        assert!(play(name, &events) > 0);
    }
}
