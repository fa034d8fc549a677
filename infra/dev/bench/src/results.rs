//! `infra/dev/bench/RESULTS.md`: the last measurement of each part, on one machine.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{report::Section, stack::variable};

/// Writes the sections. Those that were not measured now are kept, as long as they are of the same machine and
/// versions.
pub(crate) fn write(machine: &str, sections: &[Section]) -> Result<()> {
    let path = variable("BENCH_RESULTS")?;
    let path = Path::new(&path);
    let before = fs::read_to_string(path).unwrap_or_default();
    let text = merge(&before, machine, sections);
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn merge(before: &str, machine: &str, sections: &[Section]) -> String {
    let head = format!("# Measurements\n\nWritten by `cargo xtask bench`.\n\n{machine}\n");
    let kept = before.strip_prefix(&head).unwrap_or_default();
    let mut parts: Vec<(&str, String)> = kept
        .split("## ")
        .filter_map(|part| Some((part.lines().next()?, format!("## {}\n", part.trim_end()))))
        .collect();
    for section in sections {
        let text = format!("{}\n", section.to_string().trim_end());
        match parts.iter_mut().find(|(title, _)| *title == section.title) {
            Some((_, part)) => *part = text,
            None => parts.push((section.title, text)),
        }
    }
    let texts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    head + &texts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(title: &'static str, text: &str) -> Section {
        Section { title, method: vec![text.to_owned()], tables: Vec::new(), broken: Vec::new() }
    }

    #[test]
    fn what_was_not_measured_is_kept() {
        let first = merge("", "- this\n", &[section("A", "one"), section("B", "two")]);
        assert_eq!(merge(&first, "- this\n", &[]), first);
        let second = merge(&first, "- this\n", &[section("A", "three")]);
        assert_eq!(second, first.replace("one", "three"));
    }

    #[test]
    fn another_machine_starts_anew() {
        let first = merge("", "- this\n", &[section("A", "one"), section("B", "two")]);
        let second = merge(&first, "- that\n", &[section("B", "three")]);
        assert!(second.contains("that") && second.contains("three") && !second.contains("one"), "{second}");
    }
}
