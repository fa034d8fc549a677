//! The machine of the measurement.

use std::{fs, process::Command};

use anyhow::Result;

use crate::{report::mib, stack::Stack};

/// The machine and the versions, a line each.
pub(crate) fn describe(stack: &Stack) -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&processors, "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&memory, "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let postgres = stack.runtime.block_on(async {
        let row = stack.database.client().await?.query_one("show server_version", &[]).await?;
        anyhow::Ok(row.try_get::<_, String>(0)?)
    })?;
    let lines = [
        format!("Processor: {model}, {cores} cores"),
        format!("Memory: {}", mib(kib.unwrap_or_default() << 10)),
        format!("Linux {}", kernel.trim()),
        format!("PostgreSQL {postgres}"),
        version("rustc"),
    ];
    Ok(lines.map(|line| format!("- {line}\n")).concat())
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| format!("{program} unknown"))
}
