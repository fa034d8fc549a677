//! The stack on LocalStack: S3, SQS, EventBridge and CloudFormation of LocalStack, the functions under `cargo lambda
//! watch`.

use anyhow::Result;

use super::session::Session;
use crate::stack::{Kind, Stack};

/// The tests that say how requests, messages, notifications and schedules reach functions, and files the store.
const TESTS: [&str; 8] =
    ["delivery::", "download::", "files::", "guide::", "lists::", "localstack::", "reconciliation::", "telemetry::"];

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    terminal::heading("localstack");
    let checkout = session.checkout().clone();
    let tests = session.cargo().args(["test", "--workspace", "--test", "integration", "--", "--include-ignored"]);
    let tests = if session.arguments().is_empty() { tests.args(TESTS) } else { tests.args(session.arguments()) };
    session.time("localstack", || {
        let mut stack = Stack::start(checkout, "localstack", Kind::LocalStack)?;
        let passed = stack.attend(tests.envs(stack.variables().to_vec()))?;
        if !passed {
            stack.keep_logs();
        }
        Ok(((), passed))
    })
}
