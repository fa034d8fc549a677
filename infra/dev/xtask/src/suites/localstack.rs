//! The stack on LocalStack: S3, SQS, EventBridge and CloudFormation of LocalStack, the functions under `cargo lambda
//! watch`.

use anyhow::Result;

use super::{readme, session::Session};
use crate::{
    stack::{Kind, Stack},
    up,
};

/// The tests that say how requests, messages, notifications and schedules reach functions, and files the store.
const TESTS: [&str; 8] =
    ["delivery::", "download::", "files::", "guide::", "lists::", "localstack::", "reconciliation::", "telemetry::"];

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    terminal::heading("localstack");
    let checkout = session.checkout().clone();
    let tests = session.cargo().args(["test", "--workspace", "--test", "integration", "--", "--include-ignored"]);
    let tests = if session.arguments().is_empty() { tests.args(TESTS) } else { tests.args(session.arguments()) };
    let has_commands = session.arguments().is_empty();
    let _lock = up::lock(&checkout)?;
    session.time("localstack", || {
        let mut stack = Stack::start(checkout, "localstack", Kind::LocalStack)?;
        let mut passed = stack.attend(tests.envs(stack.variables().to_vec()))?;
        if has_commands {
            passed &= readme::play(&mut stack, &["README.md"], |section| {
                [readme::EXPORT, readme::LOCALSTACK].contains(&section)
            })?;
        }
        if !passed {
            stack.keep_logs();
        }
        Ok(((), passed))
    })
}
