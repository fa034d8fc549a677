//! `cargo xtask up`: the stack in the foreground.

use std::{
    fs::{File, TryLockError},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::{
    checkout::Checkout,
    demo::ORGANIZATION,
    process::{interrupted, pause},
    stack::{Kind, Stack},
    stack_env::StackEnv,
};

/// The kind of stack.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Run the functions under `cargo lambda watch`, so that an edit is live on the next request
    #[arg(long)]
    watch: bool,
    /// The AWS to run on
    #[arg(long, value_enum, value_name = "AWS", default_value_t = AwsName::Emulator)]
    aws: AwsName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AwsName {
    /// The emulator, which has every service of the template
    Emulator,
    /// LocalStack for S3, SQS, EventBridge and CloudFormation, without Docker; the functions are watched. The jobs table
    /// is on the emulator
    #[value(name = "localstack")]
    LocalStack,
}

impl Up {
    fn kind(&self) -> Kind {
        match self.aws {
            AwsName::LocalStack => Kind::LocalStack,
            AwsName::Emulator if self.watch => Kind::Watched,
            AwsName::Emulator => Kind::Plain,
        }
    }
}

/// Runs the stack until a signal asks us to stop, which is its normal end.
pub(crate) fn run(up: &Up) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let _lock = lock(&checkout)?;
    let mut stack = Stack::start(checkout, "up", up.kind())?;
    let _env = StackEnv::write(stack.checkout(), stack.variables())?;
    describe(&stack, up.kind() != Kind::Plain)?;
    loop {
        if let Err(error) = stack.check() {
            if interrupted() {
                return Ok(ExitCode::SUCCESS);
            }
            stack.keep_logs();
            return Err(error);
        }
        if pause(Duration::from_millis(500)).is_err() {
            terminal::line("\nstopping");
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Becomes the only stack of the checkout whose variables are in its file.
pub(crate) fn lock(checkout: &Checkout) -> Result<File> {
    let lock = checkout.lock_file("up.lock")?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "a stack of this checkout is already up; its addresses are in {}. Stop it with Ctrl-C where it runs",
            checkout.short(&checkout.stack_env())
        ),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // A stack that was killed leaves its file.
    let _ = std::fs::remove_file(checkout.stack_env());
    Ok(lock)
}

fn describe(stack: &Stack, watch: bool) -> Result<()> {
    let checkout = stack.checkout();
    let env = checkout.stack_env();
    let watched = watch.then(|| ("functions", format!("cargo lambda watch; log in {}", log(stack, "watch"))));
    let rows = [
        ("API", format!("{}/analytics/v1", stack.api_url())),
        ("pages", format!("{}, where any name signs in", stack.pages_url())),
        ("AWS", stack.aws().url()),
        ("database", stack.postgres().url()),
        ("issuer", stack.issuer().url().to_owned()),
        ("variables", checkout.short(&env).to_string()),
        ("logs", checkout.short(&stack.run().path("logs")).to_string()),
    ];
    terminal::answer("");
    for (name, value) in rows.into_iter().chain(watched) {
        terminal::answer(&format!("  {name:<10} {value}"));
    }
    terminal::answer(&format!(
        r#"
In another shell, from {root}:

  . {env}
  export ANALYTICS_URL=$API_URL ANALYTICS_ORGANIZATION={ORGANIZATION}
  export ANALYTICS_TOKEN_COMMAND='cargo xtask token --org {ORGANIZATION}'
  "$PSQL" "$DATABASE_URL" -v org={ORGANIZATION} -f infra/dev/local/sample.sql
  {analytics} export create --month 2024-01 --out january.csv
  {analytics} export list
  {analytics} --help

Ctrl-C stops everything and removes its data."#,
        root = checkout.root().display(),
        env = checkout.short(&env),
        analytics = checkout.short(stack.program("analytics")?),
    ));
    Ok(())
}

fn log(stack: &Stack, name: &str) -> String {
    let path: &Path = &stack.run().log(name);
    stack.checkout().short(path).to_string()
}
