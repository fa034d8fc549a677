//! The template, with archives in place of the code to build.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result, bail, ensure};

use super::Architecture;

/// What SAM builds.
const BINARY: &str = "Binary:";
const CODE: &str = "CodeUri: .";
const LOCATION: &str = "Location: ";
/// The parameter that must fit the archives.
const PARAMETER: &str = "  Architecture:";

/// The text of `template.yaml`, with the name of the binary for each line that names a function's code.
#[derive(Debug)]
pub(super) struct Template {
    lines: Vec<(String, Option<String>)>,
}

impl Template {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        Self::parse(&text)
    }

    /// Pairs each `CodeUri` with the `Binary` before it. The text stays as it is otherwise, comments included.
    fn parse(text: &str) -> Result<Self> {
        let mut binary = None;
        let mut lines = Vec::new();
        for line in text.lines() {
            let words = line.trim();
            if let Some(name) = words.strip_prefix(BINARY) {
                let earlier = binary.replace(name.trim().to_owned());
                ensure!(earlier.is_none(), "the function of {earlier:?} has no `{CODE}`");
            }
            let code = match words {
                CODE => Some(binary.take().context("a function's code has no `Binary` before it")?),
                other if other.starts_with("CodeUri:") => bail!("the release builds no `{other}`"),
                _ => None,
            };
            lines.push((line.to_owned(), code));
        }
        ensure!(binary.is_none(), "the function of {binary:?} has no `{CODE}`");
        let template = Self { lines };
        ensure!(!template.functions().is_empty(), "the template has no function");
        Ok(template)
    }

    /// The names of the binaries.
    pub(super) fn functions(&self) -> BTreeSet<String> {
        self.lines.iter().filter_map(|(_, code)| code.clone()).collect()
    }

    /// The files of the templates that are nested in it, relative to its own folder.
    pub(super) fn nested(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|(line, _)| line.trim().strip_prefix(LOCATION)).collect()
    }

    /// The template that `sam deploy` takes without a build: each function's code is the archive beside it, as each nested
    /// template is, and no other architecture than theirs can be chosen.
    pub(super) fn with_zips(&self, architecture: Architecture) -> Result<String> {
        let name = architecture.name();
        let mut text = String::new();
        let mut is_parameter = false;
        let mut settled = 0;
        for (line, code) in &self.lines {
            let words = line.trim();
            if line.len() - line.trim_start().len() <= 2 && !words.is_empty() {
                is_parameter = line.trim_end() == PARAMETER;
            }
            let setting =
                ["AllowedValues: ", "Default: "].iter().find(|name| is_parameter && words.starts_with(**name));
            let line = match (code, setting) {
                (Some(function), _) => line.replace(CODE, &format!("CodeUri: {}", archive(function, architecture))),
                (None, Some(setting)) => {
                    settled += 1;
                    let value = if *setting == "Default: " { name.to_owned() } else { format!("[{name}]") };
                    format!("    {setting}{value}")
                }
                (None, None) => match words.strip_prefix(LOCATION) {
                    Some(path) => line.replace(path, &beside(path, architecture)),
                    None => line.clone(),
                },
            };
            text.push_str(&line);
            text.push('\n');
        }
        ensure!(
            settled == 2,
            "the template's parameter Architecture has no `Default` and `AllowedValues`, each on a line"
        );
        Ok(text)
    }
}

/// The name of a function's archive, different for each architecture, so that those of a release can be in one folder.
pub(super) fn archive(function: &str, architecture: Architecture) -> String {
    format!("{function}-{}.zip", architecture.name())
}

/// The name of a nested template's copy in the folder of a release.
pub(super) fn beside(path: &str, architecture: Architecture) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, kind) = name.split_once('.').unwrap_or((name, "yaml"));
    format!("{stem}-{}.{kind}", architecture.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTIONS: &str = "\
Parameters:
  Level:
    AllowedValues: [INFO]
    Default: INFO
  Architecture:
    Type: String
    AllowedValues: [arm64, x86_64]
    Default: arm64
Resources:
  A:
    Metadata:
      BuildProperties:
        Binary: api
    Properties:
      CodeUri: .
      Handler: bootstrap
  B:
    Metadata:
      BuildProperties:
        Binary: sweep
    Properties:
      CodeUri: .
  C:
    Properties:
      Location: infra/c.yaml
";

    #[test]
    fn each_function_gets_its_own_archive_and_the_architecture_is_settled() {
        let template = Template::parse(FUNCTIONS).expect("a template");
        assert_eq!(template.functions().into_iter().collect::<Vec<_>>(), ["api", "sweep"]);
        assert_eq!(template.nested(), ["infra/c.yaml"]);
        let text = template.with_zips(Architecture::X86_64).expect("a template");
        let expected = FUNCTIONS
            .replacen("CodeUri: .", "CodeUri: api-x86_64.zip", 1)
            .replacen("CodeUri: .", "CodeUri: sweep-x86_64.zip", 1)
            .replace("infra/c.yaml", "c-x86_64.yaml")
            .replace("AllowedValues: [arm64, x86_64]", "AllowedValues: [x86_64]")
            .replace("Default: arm64", "Default: x86_64");
        assert_eq!(text, expected);
    }

    #[test]
    fn an_architecture_that_would_not_be_settled_is_an_error() {
        for lost in ["    Default: arm64\n", "    AllowedValues: [arm64, x86_64]\n", "  Architecture:\n"] {
            let template = Template::parse(&FUNCTIONS.replace(lost, "")).expect("a template");
            assert!(template.with_zips(Architecture::Arm64).is_err(), "{lost}");
        }
    }

    #[test]
    fn a_function_that_would_be_left_out_is_an_error() {
        for (text, error) in [
            ("CodeUri: .\n", "no `Binary`"),
            ("Binary: a\nBinary: b\nCodeUri: .\n", "has no `CodeUri: .`"),
            ("Binary: a\n", "has no `CodeUri: .`"),
            ("Binary: a\nCodeUri: ./folder\n", "builds no"),
            ("Resources: {}\n", "no function"),
        ] {
            let found = Template::parse(text).expect_err(text).to_string();
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn the_template_of_this_checkout_is_understood() {
        let checkout = crate::checkout::Checkout::find().expect("a checkout");
        let functions = Template::read(&checkout.template()).expect("a template").functions();
        let folders = std::fs::read_dir(checkout.root().join("functions")).expect("functions");
        let folders: BTreeSet<_> =
            folders.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(functions, folders);
    }
}
