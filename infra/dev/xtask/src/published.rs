//! `.local/stack.env`, as `up` wrote it.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::checkout::Checkout;

/// The variables of the stack that is up in this checkout.
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
