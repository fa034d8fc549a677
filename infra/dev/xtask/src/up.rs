//! `cargo xtask up`: the stack in the foreground.

use std::{
    fmt::Write,
    fs::TryLockError,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    checkout::Checkout,
    demo::ORGANIZATION,
    process::{interrupted, pause},
    progress,
    run::write_private,
    stack::{Kind, Stack},
};

/// Runs the stack until a signal asks us to stop, which is its normal end.
pub(crate) fn run(watch: bool) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let lock = checkout.lock_file("up.lock")?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "a stack of this checkout is already up; its addresses are in {}. Stop it with Ctrl-C where it runs",
            checkout.short(&checkout.stack_env())
        ),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // One that was killed could not remove its own.
    let _ = std::fs::remove_file(checkout.stack_env());
    let mut stack = Stack::start(checkout, "up", if watch { Kind::Watched } else { Kind::Plain })?;
    let _published = Published::write(&stack)?;
    describe(&stack, watch);
    loop {
        if let Err(error) = stack.check() {
            if interrupted() {
                return Ok(ExitCode::SUCCESS);
            }
            stack.keep_logs();
            return Err(error);
        }
        if pause(Duration::from_millis(500)).is_err() {
            progress::line("\nstopping");
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// `.local/stack.env`, removed when this is dropped.
#[derive(Debug)]
struct Published(PathBuf);

impl Published {
    fn write(stack: &Stack) -> Result<Self> {
        let path = stack.checkout().stack_env();
        let mut text = String::from("# The stack of `cargo xtask up`, for a shell to source. Gone when it stops.\n");
        for (name, value) in stack.variables() {
            writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"))?;
        }
        write_private(&path, &text)?;
        Ok(Self(path))
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn describe(stack: &Stack, watch: bool) {
    let checkout = stack.checkout();
    let env = checkout.stack_env();
    let watched = watch.then(|| ("functions", format!("cargo lambda watch; log in {}", log(stack, "watch"))));
    let rows = [
        ("API", format!("{}/analytics/v1", stack.api_url())),
        ("AWS", stack.emulator().url()),
        ("database", stack.postgres().url()),
        ("issuer", stack.issuer().url().to_owned()),
        ("variables", checkout.short(&env).to_string()),
        ("logs", checkout.short(&stack.run().path("logs")).to_string()),
    ];
    progress::answer("");
    for (name, value) in rows.into_iter().chain(watched) {
        progress::answer(&format!("  {name:<10} {value}"));
    }
    progress::answer(&format!(
        r#"
In another shell, from {root}:

  . {env}
  ORG={ORGANIZATION}
  TOKEN=$(cargo xtask token --org $ORG)
  "$PSQL" "$DATABASE_URL" -v org=$ORG -f infra/dev/local/sample.sql
  curl -sS $API_URL/analytics/v1/orgs/$ORG/exports -H "Authorization: Bearer $TOKEN" \
    -H 'Content-Type: application/json' \
    -d '{{"timeRange": {{"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}}, "granularity": "daily"}}'
  curl -sS $API_URL/analytics/v1/orgs/$ORG/exports -H "Authorization: Bearer $TOKEN"
  curl -sSL $API_URL/analytics/v1/orgs/$ORG/exports/<jobId>/download -H "Authorization: Bearer $TOKEN"

Ctrl-C stops everything and removes its data."#,
        root = checkout.root().display(),
        env = checkout.short(&env),
    ));
}

fn log(stack: &Stack, name: &str) -> String {
    let path: &Path = &stack.run().log(name);
    stack.checkout().short(path).to_string()
}
