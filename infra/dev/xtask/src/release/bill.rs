//! The bill of materials of a function, in CycloneDX 1.6.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::crates::{Crate, Crates, Id};
use crate::{checkout::Checkout, command::Output, run_folder::RunFolder, venv};

/// The standard library's name among the components.
const STANDARD_LIBRARY: &str = "std";

/// A list of what is linked into one function: crates with versions, licenses and checksums, and the standard library.
///
/// It has no time and no random number: the same commit gives the same bill.
#[derive(Debug)]
pub(super) struct Bill {
    function: Value,
    components: Vec<Value>,
    dependencies: Vec<Value>,
}

impl Bill {
    pub(super) fn of(crates: &Crates, function: &str) -> Result<Self> {
        let root = crates.member(function)?;
        let closure = crates.closure(root)?;
        let license = &closure.get(root).context("a crate is not in its own closure")?.license;
        let mut bill = Self {
            function: json!({
                "type": "application",
                "bom-ref": reference(root),
                "name": root.name,
                "version": root.version,
                "licenses": [{"expression": license}],
            }),
            components: vec![standard_library(&crates.compiler)],
            dependencies: vec![json!({"ref": STANDARD_LIBRARY})],
        };
        for (id, found) in closure {
            if id != root {
                bill.components.push(component(id, found));
            }
            let linked = found.dependencies.iter().map(reference).chain([STANDARD_LIBRARY.to_owned()]);
            bill.dependencies.push(json!({"ref": reference(id), "dependsOn": linked.collect::<Vec<_>>()}));
        }
        Ok(bill)
    }

    /// The same with the digest of the function's `bootstrap`.
    pub(super) fn of_file(mut self, bootstrap: &[u8]) -> Self {
        self.function["hashes"] = hashes(&hex::encode(Sha256::digest(bootstrap)));
        self
    }

    pub(super) fn to_json(&self) -> Result<String> {
        let mut document = json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"lifecycles": [{"phase": "build"}], "component": self.function},
            "components": self.components,
            "dependencies": self.dependencies,
        });
        // Another content is another bill.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, document.to_string().as_bytes());
        document["serialNumber"] = json!(id.urn().to_string());
        Ok(serde_json::to_string_pretty(&document).context("can't write a bill")? + "\n")
    }
}

/// The name of a component in its bill.
fn reference(id: &Id) -> String {
    format!("{}@{}", id.name, id.version)
}

fn hashes(sha256: &str) -> Value {
    json!([{"alg": "SHA-256", "content": sha256}])
}

fn component(id: &Id, found: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(id),
        "name": id.name,
        "version": id.version,
        "licenses": [{"expression": found.license}],
    });
    // Crates of this workspace have no address: a crate of that name on crates.io is another one.
    if let Some(checksum) = &found.checksum {
        // A `+` would be read as a space.
        component["purl"] = json!(format!("pkg:cargo/{}@{}", id.name, id.version.replace('+', "%2B")));
        component["hashes"] = hashes(checksum);
    }
    component
}

/// The standard library, whose crates are compiled already and in no Cargo.lock.
fn standard_library(compiler: &str) -> Value {
    json!({
        "type": "library",
        "bom-ref": STANDARD_LIBRARY,
        "name": STANDARD_LIBRARY,
        "version": compiler,
        "description": "The standard library of Rust, as its release contains it",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": format!("pkg:generic/rust@{compiler}"),
    })
}

/// Checks bills against the schema of CycloneDX, by its own library for Python.
pub(crate) fn validate(checkout: &Checkout, run: &RunFolder, bills: &[PathBuf]) -> Result<()> {
    let python = venv::hardening(checkout)?.join("python");
    let program = checkout.root().join("infra/dev/hardening/bills.py");
    run.tool(python).arg(program).args(bills).run(&Output::Inherit)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{super::crates, *};

    const TARGET: &str = "aarch64-unknown-linux-gnu";

    /// The output of a program of the toolchain, in this checkout.
    fn output(program: &str, arguments: &[&str]) -> String {
        let root = Checkout::find().expect("a checkout").root().to_owned();
        let output = std::process::Command::new(program).current_dir(root).args(arguments).output().expect(program);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn crates() -> Crates {
        let tree = output("cargo", &[crates::TREE.as_slice(), &["--target", TARGET]].concat());
        let checkout = Checkout::find().expect("a checkout");
        Crates::parse(&tree, &output("rustc", &["-vV"]), checkout.root()).expect("crates")
    }

    fn bill(function: &str) -> Value {
        let bill = Bill::of(&crates(), function).expect("a bill");
        serde_json::from_str(&bill.to_json().expect("text")).expect("JSON")
    }

    fn names(bill: &Value) -> BTreeSet<String> {
        let components = bill["components"].as_array().expect("components");
        components.iter().map(|component| component["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The crates that Cargo links when the function is all that it builds.
    fn built_alone(function: &str) -> BTreeSet<String> {
        let tree = ["tree", "--locked", "--package", function, "--target", TARGET, "--prefix", "none"];
        let edges = ["--edges", "normal,no-proc-macro", "--format", "{p}"];
        let text = output("cargo", &[tree.as_slice(), &edges].concat());
        text.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    #[test]
    fn a_bill_has_what_is_linked_and_no_more() {
        for function in ["refresh", "sweep", "worker"] {
            let names = names(&bill(function));
            let missing: Vec<_> = built_alone(function).difference(&names).cloned().collect();
            assert!(missing.is_empty(), "{function} lacks {missing:?}");
            for other in ["cc", "clap", "proc-macro2", "proptest", "serde_derive", "syn", "winapi", "xtask", function] {
                assert!(!names.contains(other), "{function} has {other}");
            }
        }
        assert!(names(&bill("sweep")).contains("aws-sdk-sqs"));
        assert!(!names(&bill("refresh")).contains("aws-sdk-sqs"), "refresh is linked with no AWS SDK");
    }

    #[test]
    fn each_component_has_a_license_and_an_origin() {
        let bill = bill("api");
        for component in bill["components"].as_array().expect("components") {
            let name = &component["name"];
            assert!(!component["licenses"][0]["expression"].as_str().unwrap_or_default().is_empty(), "{name}");
            let is_ours = component["version"] == env!("CARGO_PKG_VERSION") && component.get("purl").is_none();
            let is_pinned = component["hashes"][0]["content"].as_str().is_some_and(|digest| digest.len() == 64);
            assert!(is_ours || is_pinned || name == STANDARD_LIBRARY, "{name} has no checksum");
        }
    }

    #[test]
    fn every_dependency_is_a_component() {
        let bill = bill("telemetry");
        let mut known: BTreeMap<&str, bool> = BTreeMap::new();
        let components = bill["components"].as_array().expect("components").iter();
        for component in components.chain([&bill["metadata"]["component"]]) {
            let twice = known.insert(component["bom-ref"].as_str().expect("a reference"), true);
            assert!(twice.is_none(), "{} is there twice", component["bom-ref"]);
        }
        for dependency in bill["dependencies"].as_array().expect("dependencies") {
            let linked = dependency["dependsOn"].as_array().into_iter().flatten();
            for name in linked.chain([&dependency["ref"]]) {
                assert!(known.contains_key(name.as_str().expect("a reference")), "{name} is no component");
            }
        }
    }

    #[test]
    fn the_bill_of_another_file_is_another_bill() {
        let crates = crates();
        let text = |file: &[u8]| {
            let bill = Bill::of(&crates, "sweep").expect("a bill").of_file(file).to_json().expect("text");
            serde_json::from_str::<Value>(&bill).expect("JSON")["serialNumber"].clone()
        };
        assert_eq!(text(b"1"), text(b"1"));
        assert_ne!(text(b"1"), text(b"2"));
    }
}
