//! The OpenAPI document against the running service: a linter, clients that are generated from it, and generated
//! requests.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

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
    let node = stack.run().path("typescript");
    let modules = node.join("node_modules/.bin");
    // The generators find Node and formatters there, and npm a shell.
    let path = std::env::join_paths([tools.join("bin"), "/usr/bin".into(), "/bin".into()])?;
    let program = |program: PathBuf| -> Spec {
        let tool = stack.run().tool(program).env("PATH", &path).env("REDOCLY_TELEMETRY", "off");
        let tool = tool.env("API_URL", stack.api_url()).env("TOKEN", &token).env("ORGANIZATION", ORGANIZATION);
        tool.folder(&node)
    };
    let tool = |name: &str| program(tools.join("bin").join(name));
    let module = |name: &str| program(modules.join(name));
    std::fs::create_dir_all(&node)?;
    for name in ["package.json", "package-lock.json", ".npmrc", "redocly.yaml", "tsconfig.json", "flow.ts"] {
        std::fs::copy(folder.join(name), node.join(name)).with_context(|| format!("can't copy {name}"))?;
    }
    // With the user's environment, as pip has it: it says how the network is reached.
    let npm = Spec::new(tools.join("bin/npm")).env("PATH", &path).folder(&node);
    session.program("npm ci", npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    session.program("redocly", module("redocly").arg("lint").arg(&document))?;
    let types = module("openapi-typescript").arg(&document).args(["--output", "schema.d.ts"]);
    session.program("TypeScript client", types)?;
    session.program("its types", module("tsc"))?;
    session.program("its flow", tool("node").arg("flow.ts"))?;
    let generate = tool("openapi-python-client").args(["generate", "--fail-on-warning", "--path"]).arg(&document);
    session.program("Python client", generate.arg("--output-path").arg(&client))?;
    let flow = tool("python").arg(folder.join("flow.py")).arg(&client);
    session.program("its flow", flow)?;
    let checks = tool("schemathesis").arg("--config-file").arg(folder.join("schemathesis.toml"));
    let checks = checks.args(["run", "--checks", "all", "--exclude-checks", &EXCLUDED_CHECKS.join(",")]);
    let checks = checks.args(session.arguments()).arg(&document);
    session.program("schemathesis", checks)?;
    drop(stack);
    Ok(())
}
