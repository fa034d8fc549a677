//! Folders in which one thing was changed.

use std::{fs, path::PathBuf};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use sha2::{Digest as _, Sha256};

use super::*;

const CSV: &str = "usage.csv";
const HEADER: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total";
const ORGANIZATION: &str = "123e4567-e89b-12d3-a456-426614174000";
const MODEL: &str = "550e8400-e29b-41d4-a716-446655440000";

/// A folder with a file, its manifest and signature, and their sums.
struct Folder {
    path: PathBuf,
    key: EcdsaKeyPair,
}

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&path).unwrap();
        let folder = Self { path, key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap() };
        let csv = format!(
            "{HEADER}\n2024-01-01T00:00:00Z,{ORGANIZATION},{MODEL},1000,100000,5,10.5000\n\
             2024-01-02T00:00:00Z,{ORGANIZATION},,1,2,3,-0.2500\n"
        );
        let columns: Vec<String> = HEADER.split(',').map(|name| format!(r#"{{"name": "{name}"}}"#)).collect();
        let manifest = format!(
            r#"{{"schemaVersion": 1, "jobId": "018cc251-f400-7000-8000-000000000000", "orgId": "{ORGANIZATION}",
            "request": {{"timeRange": {{"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}},
            "granularity": "daily"}},
            "file": {{"name": "{CSV}", "bytes": {}, "sha256": "{}", "rowCount": 2}},
            "totals": {{"requestCount": 1001, "tokensTotal": 100002, "errorCount": 8, "costTotal": "10.2500"}},
            "columns": [{}]}}"#,
            csv.len(),
            hex::encode(Sha256::digest(&csv)),
            columns.join(", ")
        );
        folder.write(CSV, csv.as_bytes());
        folder.write(MANIFEST, manifest.as_bytes());
        folder.sign();
        folder.sum();
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path.join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path.join(name)).unwrap()
    }

    fn sign(&self) {
        let signature = self.key.sign(&SystemRandom::new(), &self.read(MANIFEST)).unwrap();
        self.write(SIGNATURE, signature.as_ref());
    }

    fn sum(&self) {
        let lines = [CSV, MANIFEST, SIGNATURE]
            .map(|name| format!("{}  {name}\n", hex::encode(Sha256::digest(self.read(name)))));
        self.write(SUMS, lines.concat().as_bytes());
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.read(name)).unwrap();
        assert!(text.contains(from), "{text}");
        self.write(name, text.replacen(from, to, 1).as_bytes());
    }

    fn findings(&self) -> Vec<Finding> {
        let keys = Keys::of(self.key.public_key().as_ref());
        verify(&mut Archive::open(&self.path).unwrap(), &keys).unwrap().1
    }

    fn told(&self) -> Vec<String> {
        self.findings().iter().map(Finding::to_string).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[test]
fn what_is_whole_is_verified_with_and_without_sums() {
    let folder = Folder::new();
    assert_eq!(folder.told(), Vec::<String>::new());
    folder.write("key.pem", b"kept beside it");
    assert_eq!(folder.told(), Vec::<String>::new());
    fs::remove_file(folder.path.join(SUMS)).unwrap();
    assert_eq!(folder.told(), Vec::<String>::new());
}

#[test]
fn every_flipped_bit_is_found_in_its_file() {
    let folder = Folder::new();
    for name in [CSV, MANIFEST, SIGNATURE] {
        let bytes = folder.read(name);
        for index in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << (index % 8);
            folder.write(name, &flipped);
            let findings = folder.findings();
            assert!(findings.iter().any(|finding| finding.file == name), "{name}, byte {index}: {findings:?}");
        }
        folder.write(name, &bytes);
    }
    assert_eq!(folder.told(), Vec::<String>::new());
}

#[test]
fn a_flipped_bit_is_found_without_sums() {
    let folder = Folder::new();
    fs::remove_file(folder.path.join(SUMS)).unwrap();
    for name in [CSV, MANIFEST, SIGNATURE] {
        let bytes = folder.read(name);
        for index in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << (index % 8);
            folder.write(name, &flipped);
            assert!(!folder.told().is_empty(), "{name}, byte {index}");
        }
        folder.write(name, &bytes);
    }
}

#[test]
fn a_line_that_is_wrong_is_named_with_its_byte_and_column() {
    let line_2 = HEADER.len() + 1;
    for (from, to, told) in [
        (",1000,", ",1O00,", format!("usage.csv, line 2, byte {}, column request_count: is not a count", line_2 + 95)),
        (
            "2024-01-02T00",
            "2024-02-02T00",
            "usage.csv, line 3, byte 205, column bucket_start: is not in the range of the manifest".to_owned(),
        ),
        (
            ORGANIZATION,
            "223e4567-e89b-12d3-a456-426614174000",
            format!(
                "usage.csv, line 2, byte {}, column organization_id: is not the organization of the manifest",
                line_2 + 21
            ),
        ),
        ("10.5000", "10.500", "is not an amount with four decimals".to_owned()),
        (
            "bucket_start",
            "bucket",
            "usage.csv, line 1, byte 0: the header has not the columns of the manifest".to_owned(),
        ),
        (",-0.2500\n", ",-0.2500", "the file ends within this line".to_owned()),
        (",3,", ",", "the line has not 7 fields".to_owned()),
    ] {
        let folder = Folder::new();
        folder.replace(CSV, from, to);
        let first = &folder.told()[0];
        assert!(first.contains(&told), "{from} -> {to}: {first}, not {told}");
    }
}

#[test]
fn another_value_is_named_by_its_column_and_another_id_by_its_file() {
    let folder = Folder::new();
    folder.replace(CSV, ",1000,", ",1001,");
    assert_eq!(folder.told()[0], "usage.csv, column request_count: the column's sum is 1002, the manifest states 1001");
    let folder = Folder::new();
    folder.replace(CSV, MODEL, "650e8400-e29b-41d4-a716-446655440000");
    assert!(folder.told()[0].starts_with("usage.csv: its SHA-256 is not that of the manifest"), "{:?}", folder.told());
}

#[test]
fn a_manifest_of_another_key_is_not_verified_even_if_all_sums_fit() {
    let folder = Folder::new();
    // A forger changes the figures, and signs by a key of their own.
    folder.replace(CSV, "10.5000", "11.5000");
    let sha256 = hex::encode(Sha256::digest(folder.read(CSV)));
    let manifest = String::from_utf8(folder.read(MANIFEST)).unwrap();
    let stated = manifest.split("\"sha256\": \"").nth(1).unwrap()[..64].to_owned();
    folder.replace(MANIFEST, &stated, &sha256);
    folder.replace(MANIFEST, "10.2500", "11.2500");
    let forger = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let signature = forger.sign(&SystemRandom::new(), &folder.read(MANIFEST)).unwrap();
    folder.write(SIGNATURE, signature.as_ref());
    folder.sum();
    let told = folder.told();
    assert!(
        told.len() == 1 && told[0].starts_with("manifest.sig: the signature is not one of manifest.json"),
        "{told:?}"
    );
}

#[test]
fn what_is_missing_is_named() {
    for name in [CSV, MANIFEST, SIGNATURE] {
        let folder = Folder::new();
        fs::remove_file(folder.path.join(name)).unwrap();
        assert!(folder.told().iter().any(|told| told.starts_with(name) && told.contains("missing")), "{name}");
    }
}

#[test]
fn a_manifest_leads_to_no_file_elsewhere() {
    let folder = Folder::new();
    folder.replace(MANIFEST, "\"name\": \"usage.csv\"", "\"name\": \"../usage.csv\"");
    folder.sign();
    folder.sum();
    assert!(folder.told()[0].starts_with("../usage.csv: is missing"), "{:?}", folder.told());
}

/// Returns a folder with a pack of evidence, whose manifest is signed.
fn evidence() -> Folder {
    let folder = Folder::new();
    folder.write("evidence.json", b"{\"verdict\": \"fail\"}");
    let sha256 = hex::encode(Sha256::digest(folder.read("evidence.json")));
    let manifest = format!(
        r#"{{"schemaVersion": 1, "kind": "ci-evidence", "month": "2026-10", "documentsLeftOut": 0,
        "documentsWithoutSha256": 3, "files": [{{"name": "evidence.json", "bytes": 19, "sha256": "{sha256}"}}]}}"#
    );
    folder.write(MANIFEST, manifest.as_bytes());
    folder.sign();
    folder.sum();
    folder
}

#[test]
fn a_pack_of_evidence_is_known_by_its_manifest() {
    let folder = evidence();
    let keys = Keys::of(folder.key.public_key().as_ref());
    let (manifest, findings) = verify(&mut Archive::open(&folder.path).unwrap(), &keys).unwrap();
    assert_eq!(findings, []);
    let text = as_text(manifest.as_ref(), &findings);
    assert!(text.contains("the evidence of 2026-10") && text.contains("3 documents have no SHA-256"), "{text}");
}

#[test]
fn evidence_that_was_altered_or_left_out_is_named() {
    let folder = evidence();
    folder.replace("evidence.json", "fail", "pass");
    folder.sum();
    assert_eq!(folder.told(), ["evidence.json: its SHA-256 is not that of the manifest"]);
    fs::remove_file(folder.path.join("evidence.json")).unwrap();
    assert_eq!(folder.told(), ["evidence.json: is in the manifest and missing"]);
    let folder = evidence();
    folder.replace(MANIFEST, "2026-10", "2026-11");
    folder.sum();
    assert!(folder.told()[0].contains("the signature is not one of manifest.json"), "{:?}", folder.told());
    let folder = evidence();
    folder.replace(MANIFEST, "\"schemaVersion\": 1", "\"schemaVersion\": 2");
    folder.sign();
    folder.sum();
    assert!(folder.told()[0].contains("the form of version 2"), "{:?}", folder.told());
}
