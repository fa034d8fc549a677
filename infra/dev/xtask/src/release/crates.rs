//! The crates of the workspace, as a build of the functions selects them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use cargo_lock::Lockfile;

use crate::command::Spec;

/// A crate's name and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) name: String,
    pub(super) version: String,
}

/// What Cargo says about a crate.
#[derive(Debug)]
pub(super) struct Crate {
    /// An SPDX expression.
    pub(super) license: String,
    /// The SHA-256 digest of the downloaded crate; none for one of this workspace.
    pub(super) checksum: Option<String>,
    /// The crates that it is linked with.
    pub(super) dependencies: BTreeSet<Id>,
}

/// The crates that are linked for one target, and the compiler whose standard library is linked as well.
#[derive(Debug)]
pub(super) struct Crates {
    all: BTreeMap<Id, Crate>,
    pub(super) compiler: String,
}

/// The whole workspace, since `cargo lambda build --bin` chooses features for all of it. Procedural macros and what build
/// scripts use run in the compiler alone.
pub(super) const TREE: [&str; 9] = [
    "tree",
    "--locked",
    "--workspace",
    "--edges",
    "normal,no-proc-macro",
    "--prefix",
    "depth",
    "--format",
    "\t{p}\t{l}\t",
];

impl Crates {
    /// Asks Cargo. `cargo metadata` would not do: its features are those of tests and build scripts as well.
    pub(super) fn read(source: &Path, target: &str, errors: &Path) -> Result<Self> {
        // Of the toolchain that rust-toolchain.toml names, as the build is.
        let program = |name: &str| Spec::new(name).folder(source).env_remove("RUSTUP_TOOLCHAIN");
        let tree = program("cargo").args(TREE).args(["--target", target]).read(errors)?;
        let compiler = program("rustc").arg("-vV").read(errors)?;
        Self::parse(&tree, &compiler, source)
    }

    /// Reads what `cargo tree` and `rustc -vV` wrote, and the checksums of a workspace's Cargo.lock.
    pub(super) fn parse(tree: &str, compiler: &str, source: &Path) -> Result<Self> {
        let compiler = compiler.lines().find_map(|line| line.strip_prefix("release: "));
        let compiler = compiler.context("rustc does not tell its version")?.to_owned();
        let mut crates = Self { all: linked(tree)?, compiler };
        let lock = Lockfile::load(source.join("Cargo.lock")).context("can't read Cargo.lock")?;
        for package in lock.packages {
            let id = Id { name: package.name.to_string(), version: package.version.to_string() };
            if let Some(found) = crates.all.get_mut(&id) {
                found.checksum = package.checksum.map(|checksum| checksum.to_string());
                let is_ours = package.source.is_none();
                ensure!(is_ours || found.checksum.is_some(), "Cargo.lock has no checksum of {}", id.name);
            }
        }
        Ok(crates)
    }

    /// A crate of this workspace.
    pub(super) fn member(&self, name: &str) -> Result<&Id> {
        let found = self.all.iter().find(|(id, found)| id.name == name && found.checksum.is_none());
        found.map(|(id, _)| id).with_context(|| format!("the workspace has no crate {name}"))
    }

    /// A crate with all that are linked with it, the crate itself included.
    pub(super) fn closure<'a>(&'a self, root: &'a Id) -> Result<BTreeMap<&'a Id, &'a Crate>> {
        let mut seen = BTreeMap::new();
        let mut next = vec![root];
        while let Some(id) = next.pop() {
            let found = self.all.get(id).with_context(|| format!("cargo tree does not describe {}", id.name))?;
            if seen.insert(id, found).is_none() {
                next.extend(&found.dependencies);
            }
        }
        Ok(seen)
    }
}

/// Reads the lines of `cargo tree`: a depth, a crate with its version, a license, and `(*)` where a crate was described
/// before.
fn linked(tree: &str) -> Result<BTreeMap<Id, Crate>> {
    let mut all: BTreeMap<Id, Crate> = BTreeMap::new();
    let mut path: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.split('\t');
        let mut field = || fields.next().with_context(|| format!("cargo tree wrote {line:?}"));
        let depth: usize = field()?.parse().with_context(|| format!("cargo tree wrote {line:?}"))?;
        let (package, license) = (field()?, field()?);
        let (name, rest) = package.split_once(" v").with_context(|| format!("cargo tree wrote {line:?}"))?;
        let version = rest.split(' ').next().unwrap_or_default();
        let id = Id { name: name.to_owned(), version: version.to_owned() };
        ensure!(depth <= path.len(), "cargo tree wrote {line:?} below nothing");
        path.truncate(depth);
        if let Some(parent) = path.last().and_then(|parent| all.get_mut(parent)) {
            parent.dependencies.insert(id.clone());
        }
        all.entry(id.clone()).or_insert_with(|| Crate {
            // The notation of old crates.
            license: license.replace('/', " OR "),
            checksum: None,
            dependencies: BTreeSet::new(),
        });
        path.push(id);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
0\ta v0.1.0 (/x/a)\tMIT\t
1\tb v1.0.0\tMIT/Apache-2.0\t
2\tc v2.0.0\tISC\t
1\tc v3.0.0\tISC\t
0\td v0.1.0 (/x/d)\tMIT\t
1\tb v1.0.0\tMIT/Apache-2.0\t (*)
";

    fn names(ids: &BTreeSet<Id>) -> Vec<String> {
        ids.iter().map(|id| format!("{} {}", id.name, id.version)).collect()
    }

    #[test]
    fn a_tree_tells_what_is_linked_with_what() {
        let all = linked(LINES).expect("a tree");
        let of = |name: &str| all.iter().find(|(id, _)| id.name == name).expect(name).1;
        assert_eq!(names(&of("a").dependencies), ["b 1.0.0", "c 3.0.0"]);
        assert_eq!(names(&of("b").dependencies), ["c 2.0.0"]);
        assert_eq!(names(&of("d").dependencies), ["b 1.0.0"]);
        assert_eq!(of("b").license, "MIT OR Apache-2.0");
    }

    #[test]
    fn an_unknown_line_is_an_error() {
        for text in ["a v1.0.0\n", "x\ta v1.0.0\tMIT\t\n", "0\ta\tMIT\t\n", "1\ta v1.0.0\tMIT\t\n"] {
            assert!(linked(text).is_err(), "{text:?}");
        }
    }
}
