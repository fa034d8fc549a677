//! The OpenAPI document against the running service: a client that is generated from it, and generated requests.

use anyhow::Result;

use super::session::Session;
use crate::{
    command::{Output, Spec},
    stack::{Kind, Stack, issuer::Claims},
    venv,
};

const ORGANIZATION: &str = "7f3c2a10-5b7e-4d8f-9a61-0c2d4e6f8a1b";
const USER: &str = "1c7e9a52-4c1e-4b8e-9a67-5a3f1c2b8d11";
/// The checks that cannot hold. A schema cannot say that a range ends after its start and within 31 days, or which cursor
/// belongs to a list, so valid data may be refused; and a job's file is there once the job has succeeded, not once it was
/// created.
const EXCLUDED_CHECKS: [&str; 2] = ["positive_data_acceptance", "ensure_resource_availability"];
const SCOPE: &str = "admin analytics:ci:read";

pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    terminal::heading("contract");
    let checkout = session.checkout().clone();
    let folder = checkout.root().join("infra/dev/contract");
    let tools = checkout.root().join(".venv-contract");
    venv::ensure_folder(&checkout, &tools, &folder.join("requirements.txt"))?;
    let stack = Stack::start(checkout.clone(), "contract", Kind::Plain)?;
    let claims = Claims {
        issuer: stack.issuer().url(),
        subject: USER,
        organizations: vec![ORGANIZATION.to_owned()],
        scope: SCOPE,
    };
    let token = stack.key().token(&claims)?;
    let sample = stack.postgres().query().args(["--set", &format!("org={ORGANIZATION}"), "--file"]);
    sample.arg(checkout.infra("sample.sql")).run(&Output::File(&stack.run().log("sample")))?;
    let document = checkout.root().join("functions/api/openapi.json");
    let client = stack.run().path("client");
    let tool = |name: &str| -> Spec {
        stack
            .run()
            .tool(tools.join("bin").join(name))
            // The generator formats what it made.
            .env("PATH", std::env::join_paths([tools.join("bin")]).unwrap_or_default())
            .env("API_URL", stack.api_url())
            .env("TOKEN", &token)
            .env("ORGANIZATION", ORGANIZATION)
            .folder(stack.run().path("tmp"))
    };
    let generate = tool("openapi-python-client").args(["generate", "--fail-on-warning", "--path"]).arg(&document);
    session.program("client", generate.arg("--output-path").arg(&client))?;
    let flow = tool("python").arg(folder.join("flow.py")).arg(&client);
    session.program("client's flow", flow)?;
    let checks = tool("schemathesis").arg("--config-file").arg(folder.join("schemathesis.toml"));
    let checks = checks.args(["run", "--checks", "all", "--exclude-checks", &EXCLUDED_CHECKS.join(",")]);
    let checks = checks.args(session.arguments()).arg(&document);
    session.program("schemathesis", checks)?;
    drop(stack);
    Ok(())
}
