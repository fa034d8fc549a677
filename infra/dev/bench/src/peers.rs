//! Other libraries that make a CSV of rows in PostgreSQL: a script for each, in a process of its own.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::{dataset::Organization, stack::variable};

/// The scripts, with their names in the table.
pub(crate) const PEERS: [(&str, &str); 2] =
    [("ConnectorX with Polars", "through_connectorx.py"), ("ADBC with Arrow CSV", "through_adbc.py")];

/// Runs a script with the Python of `BENCH_PEERS`, and returns the checksum of what it wrote.
pub(crate) fn run(script: &str, organization: &Organization) -> Result<String> {
    let mut command = Command::new(variable("BENCH_PEERS")?);
    let command = command.arg(format!("{}/{script}", variable("BENCH_PEERS_SCRIPTS")?));
    let output = command.arg(organization.condition()?).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} failed: {errors}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
