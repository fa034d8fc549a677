//! Plays the inputs of `corpus` and the sample events: an input that once found a fault finds it again on each run.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, which names the file that it fails at")]

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

/// The fuzzer's inputs are short. These are as long as an event may be, or as a body that is read.
#[test]
fn deep_and_long_inputs_are_answered() {
    let post = "POST /analytics/v1/orgs/ORG/exports\nauthorization: Bearer TOKEN\ncontent-type: application/json\n\n";
    let heads = [
        ("api-event", ""),
        ("api-request", post),
        ("api-cursor", "/analytics/v1/orgs/ORG/exports?cursor=CURSOR\njobs\n"),
        ("token", "{\"alg\":\"EdDSA\",\"kid\":\"key\"}\n\n"),
        ("token", ""),
        ("key-set", "{\"keys\":"),
        ("worker", ""),
        ("worker", "message\n\n"),
        ("telemetry", "{\"Records\":"),
        ("telemetry", "message\n\n"),
        ("ci-document", ""),
        ("monthly", ""),
        ("migrate", "{\"ResponseURL\":"),
    ];
    for (name, head) in heads {
        for (unit, length) in [("[", 65_000), ("{\"a\":", 65_000), ("[", 1 << 20), ("{\"Records\":[", 1 << 20)] {
            target(name).unwrap()((head.to_owned() + &unit.repeat(length / unit.len())).as_bytes());
        }
    }
    let request = target("api-request").unwrap();
    let token = "authorization: Bearer TOKEN\n";
    // API Gateway takes 10 KiB of request line and headers.
    request(format!("GET /analytics/v1/orgs/ORG/exports?{}\n{token}", "a&".repeat(5000)).as_bytes());
    let members: Vec<_> = (0..6000).map(|number| format!("\"{number:x}\":0")).collect();
    request(format!("{post}{{{}}}", members.join(",")).as_bytes());
    let models = vec!["0"; 30_000].join(",");
    request(format!("{post}{{\"models\":[{models}]}}").as_bytes());
}
