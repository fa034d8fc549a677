//! Packs without a stack.

use ci::{Measure, Target, Targets, Verdict, reports::EvidenceObject, target::Measured};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{super::targets::Judge, *};

fn object(key: &str, sha256: Option<u8>) -> EvidenceObject {
    EvidenceObject {
        key: key.to_owned(),
        version: Some("v1".to_owned()),
        etag: "tag".to_owned(),
        sha256: sha256.map(|byte| vec![byte; 32]),
        replacements: 0,
    }
}

fn evidence(service: &str, runs: u64, objects: Vec<EvidenceObject>) -> Evidence {
    let target = Target {
        id: "t".to_owned(),
        service: service.to_owned(),
        command: "make check".to_owned(),
        measure: Measure::P95DurationSeconds,
        bound: "180".parse().unwrap(),
        minimum_runs: 1,
    };
    let measured = Measured { value: Some("180.0000001".parse().unwrap()), runs };
    Evidence { target, measured, verdict: Verdict::Fail, replaced_runs: 0, objects }
}

fn content(evidence: Vec<Evidence>) -> Content {
    let in_force = InForce { targets: Targets::built_in().unwrap(), judge: Judge::BuiltIn };
    Content { month: "2025-11".parse().unwrap(), is_over: true, in_force, evidence, max: 7 }
}

fn manifest(content: &Content) -> Value {
    serde_json::to_value(Manifest::of(content, &content.files().unwrap())).unwrap()
}

fn file(content: &Content, name: &str) -> String {
    let files = content.files().unwrap();
    let (_, bytes) = files.into_iter().find(|(found, _)| *found == name).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_manifest_has_the_checksums_of_files_and_documents() {
    let objects = vec![object("metrics/b", None), object("metrics/a", Some(1))];
    let content = content(vec![evidence("s", 2, objects.clone()), evidence("s", 2, objects)]);
    let manifest = manifest(&content);
    for (name, bytes) in content.files().unwrap() {
        let stated = manifest["files"].as_array().unwrap().iter().find(|file| file["name"] == name).unwrap();
        assert_eq!(stated["sha256"], hex::encode(Sha256::digest(&bytes)), "{name}");
    }
    let documents = manifest["documents"].as_array().unwrap();
    let keys: Vec<&str> = documents.iter().map(|document| document["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["metrics/a", "metrics/b"], "each once, by key");
    assert_eq!(documents[0]["sha256"], "01".repeat(32));
    assert_eq!(documents[1].get("sha256"), None);
    assert_eq!(manifest["documentsWithoutSha256"], 1);
    assert!(file(&content, "README.txt").contains("1 documents have no sha256"));
}

#[test]
fn what_was_left_out_is_told_in_every_file() {
    let content = content(vec![evidence("s", 5, vec![object("metrics/a", Some(1))])]);
    assert_eq!(manifest(&content)["documentsLeftOut"], 4);
    assert!(file(&content, "README.txt").contains("the first 7 are named, by key; 4 are not"));
    assert!(file(&content, "evidence.json").contains("\"objectsLeftOut\": 4"));
    assert!(file(&content, "evidence.html").contains("Not all documents are named."));
    let whole = super::tests::content(vec![evidence("s", 1, vec![object("metrics/a", Some(1))])]);
    for name in ["README.txt", "evidence.json", "evidence.html"] {
        let text = file(&whole, name);
        assert!(!text.contains("LeftOut") && !text.contains("too many"), "{name}: {text}");
    }
}

#[test]
fn the_month_that_runs_is_told_in_every_file() {
    let content = Content { is_over: false, ..content(vec![evidence("s", 0, Vec::new())]) };
    assert_eq!(manifest(&content)["isMonthOver"], false);
    for name in ["README.txt", "evidence.html"] {
        assert!(file(&content, name).contains("The month was not over when this was made"), "{name}");
    }
}

#[test]
fn no_name_adds_markup_or_turns_text_around() {
    let page = file(&content(vec![evidence("<script>\u{202e}", 1, Vec::new())]), "evidence.html");
    assert!(
        page.contains("&lt;script&gt;⟨U+202E⟩") && !page.contains("<script") && !page.contains('\u{202e}'),
        "{page}"
    );
    assert!(page.contains("180.0000001 s") && page.contains("✗ fail"), "{page}");
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let zip = || {
        let content = content(vec![evidence("s", 1, vec![object("metrics/a", Some(1))])]);
        let mut archive = Archive::default();
        for (name, bytes) in content.files().unwrap() {
            archive.add(name, &bytes).unwrap();
        }
        archive.finish().unwrap()
    };
    assert_eq!(zip(), zip());
}

/// The longest keys that a store takes, with characters that JSON escapes.
#[test]
fn the_largest_pack_leaves_a_function() {
    let key = |n: usize| format!("metrics/{n:05}{}", "\"".repeat(1000));
    let objects: Vec<EvidenceObject> = (0..MAX_OBJECTS).map(|n| object(&key(n), Some(1))).collect();
    let mut all: Vec<Evidence> = (0..4).map(|_| evidence("s", 4000, objects.clone())).collect();
    for (n, evidence) in all.iter_mut().enumerate() {
        evidence.objects.iter_mut().for_each(|object| object.key.push_str(&n.to_string()));
    }
    let max = fit(&mut all);
    assert!(max > 100 && all.iter().all(|evidence| evidence.objects.len() == max), "{max}");
    let content = Content { max, ..content(all) };
    let files = content.files().unwrap();
    let mut archive = Archive::default();
    for (name, bytes) in &files {
        archive.add(name, bytes).unwrap();
    }
    archive.add("manifest.json", &json(&Manifest::of(&content, &files)).unwrap()).unwrap();
    let sent = archive.finish().unwrap().len().div_ceil(3) * 4;
    assert!(sent < 6_000_000, "{sent} bytes");
}
