//! The checks of the templates.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::session::Session;
use crate::{checkout::Checkout, command::Spec, stack::emulator::REGION};

/// What every template has, in each of its two notations.
const MARKS: [&str; 2] = ["AWSTemplateFormatVersion:", "\"AWSTemplateFormatVersion\""];

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    for template in all(session.checkout())? {
        let sam = session.python_tool("sam")?.args(["validate", "--lint", "--template-file"]).arg(&template);
        session.program("sam validate", region(sam))?;
        let lint = session.python_tool("cfn-lint")?.arg(&template);
        session.program("cfn-lint", region(lint))?;
    }
    Ok(())
}

/// The region that the tools check for.
pub(super) fn region(spec: Spec) -> Spec {
    spec.env("AWS_DEFAULT_REGION", REGION)
}

/// The templates of the checkout, relative to it: the files of its first level and of `infra` that say they are one.
pub(super) fn all(checkout: &Checkout) -> Result<Vec<PathBuf>> {
    let mut templates = Vec::new();
    collect(checkout.root(), false, &mut templates)?;
    collect(&checkout.root().join("infra"), true, &mut templates)?;
    let mut templates: Vec<_> =
        templates.iter().filter_map(|path| path.strip_prefix(checkout.root()).ok()).map(Path::to_owned).collect();
    templates.sort();
    ensure!(!templates.is_empty(), "the checkout has no template");
    Ok(templates)
}

fn collect(folder: &Path, is_deep: bool, templates: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("can't read {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let path = entry.path();
        if entry.file_type().with_context(context)?.is_dir() {
            if is_deep {
                collect(&path, true, templates)?;
            }
        } else if path.extension().is_some_and(|kind| ["json", "template", "yaml", "yml"].iter().any(|it| kind == *it))
        {
            let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
            if text.lines().any(|line| MARKS.iter().any(|mark| line.trim_start().starts_with(mark))) {
                templates.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_found_wherever_they_are_in_infra() {
        let folder = std::env::temp_dir().join(format!("xtask-templates-{}", std::process::id()));
        let deep = folder.join("deep/er");
        std::fs::create_dir_all(&deep).expect("a folder");
        std::fs::write(folder.join("a.yaml"), "# Why\nAWSTemplateFormatVersion: \"2010-09-09\"\n").expect("a file");
        std::fs::write(deep.join("b.json"), "{\n  \"AWSTemplateFormatVersion\": \"2010-09-09\"}\n").expect("a file");
        std::fs::write(deep.join("c.yaml"), "# AWSTemplateFormatVersion: no\n").expect("a file");
        std::fs::write(deep.join("d.md"), "AWSTemplateFormatVersion: x\n").expect("a file");
        let found = |is_deep: bool| {
            let mut templates = Vec::new();
            collect(&folder, is_deep, &mut templates).expect("templates");
            templates.sort();
            templates
        };
        assert_eq!(found(false), [folder.join("a.yaml")]);
        assert_eq!(found(true), [folder.join("a.yaml"), deep.join("b.json")]);
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn the_template_that_is_deployed_is_among_them() {
        let checkout = Checkout::find().expect("a checkout");
        assert!(all(&checkout).expect("templates").contains(&PathBuf::from("template.yaml")));
    }
}
