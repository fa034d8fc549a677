//! `.local/stack.env`: the variables of the stack that is up, for shells and for other commands.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use anyhow::{Result, bail};

use crate::{checkout::Checkout, private_file};

/// The file, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct StackEnv(PathBuf);

impl StackEnv {
    /// Writes the variables of a stack.
    pub(crate) fn write(checkout: &Checkout, variables: &[(String, String)]) -> Result<Self> {
        let path = checkout.stack_env();
        let mut text = String::from("# The stack of `cargo xtask up`, for a shell to source. Gone when it stops.\n");
        for (name, value) in variables {
            writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"))?;
        }
        private_file::write(&path, &text)?;
        Ok(Self(path))
    }
}

impl Drop for StackEnv {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reads the variables of the stack that is up in this checkout.
pub(crate) fn variables(checkout: &Checkout) -> Result<BTreeMap<String, String>> {
    let path = checkout.stack_env();
    let Ok(text) = std::fs::read_to_string(&path) else {
        bail!(
            "no stack is up in this checkout ({} is missing); start one with `cargo xtask up`",
            checkout.short(&path)
        );
    };
    Ok(text.lines().filter_map(read).collect())
}

fn read(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((name.to_owned(), value.replace(r"'\''", "'")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_reads_back() {
        let pair = Some(("NAME".to_owned(), "it's = a 'value'".to_owned()));
        assert_eq!(super::read(r"export NAME='it'\''s = a '\''value'\'''"), pair);
        assert_eq!(super::read("# a comment"), None);
    }
}
