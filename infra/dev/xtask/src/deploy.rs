//! `template.yaml`, deployed to the emulator by `infra/dev/local/deploy.py`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    binaries::Binaries,
    checkout::Checkout,
    command::Spec,
    emulator::Emulator,
    issuer::{AUDIENCE, Issuer},
    run::Run,
    stack::Stack,
};

/// Name of the stack.
pub(crate) const STACK: &str = "analytics-exports";
/// Name of the bucket of the CSV files.
const BUCKET: &str = "analytics-exports";
/// Name of the bucket of CI's documents.
const METRICS_BUCKET: &str = "ai-aas-build-metrics";

/// The variable that deploy.py adds to a function whose invocations are forwarded.
const PROXY: &str = "MINISTACK_LAMBDA_PROXY_URL";

/// What one stack has otherwise than others.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// Parameters of the template.
    pub(crate) parameters: BTreeMap<&'static str, &'static str>,
    /// Variables of functions, by the name of the binary, changed after the deploy.
    pub(crate) changes: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
}

/// A deployed stack, as CloudFormation and Lambda describe it.
#[derive(Debug)]
pub(crate) struct Deployed {
    answer: Value,
}

impl Deployed {
    /// An output of the template.
    pub(crate) fn output(&self, name: &str) -> Result<String> {
        text(&self.answer["outputs"][name]).with_context(|| format!("template.yaml has no output {name}"))
    }

    /// The names of the functions, each by that of its binary.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&str, String)> {
        let functions = self.answer["functions"].as_object().into_iter().flatten();
        functions.filter_map(|(binary, name)| Some((binary.as_str(), text(name)?)))
    }

    /// What all functions together read: for one of them that is started by hand, or by `cargo lambda watch`.
    ///
    /// Without the key that signs downloads. It may not write, and the worker would use it too; the administrator's
    /// credentials sign as well.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let functions = self.answer["variables"].as_object().into_iter().flatten();
        let variables = functions.filter_map(|(_, variables)| variables.as_object()).flatten();
        variables
            .filter(|(name, _)| !matches!(name.as_str(), "EXPORTS_ACCESS_KEY_ID" | "EXPORTS_SECRET_ACCESS_KEY"))
            .filter(|(name, _)| *name != PROXY)
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect()
    }

    /// The id of the HTTP API, which is the first label of its address.
    pub(crate) fn api_id(&self) -> Result<String> {
        let url = self.output("ApiUrl")?;
        let id = url.split("//").nth(1).and_then(|host| host.split('.').next());
        id.map(str::to_owned).with_context(|| format!("{url} is no address of an API"))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Deploys the template; `invoke` is the address that serves all invocations in place of the binaries.
#[expect(clippy::too_many_arguments, reason = "each is one part of a stack")]
pub(crate) fn deploy(
    checkout: &Checkout,
    run: &Run,
    emulator: &Emulator,
    issuer: &Issuer,
    database_url: &str,
    binaries: &Binaries,
    invoke: Option<&str>,
    settings: &Settings,
) -> Result<Deployed> {
    let mut request = json!({
        "template": checkout.template(),
        "stack": STACK,
        "parameters": {
            "DatabaseUrl": database_url,
            "Issuer": issuer.url(),
            "Audience": AUDIENCE,
            "JwksUrl": issuer.keys_url(),
            "ExportsBucketName": BUCKET,
            "MetricsBucketName": METRICS_BUCKET,
            "Architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" },
            "WorkerTimeout": "300",
            "QueueVisibilityTimeout": "1800",
            // What the emulator has not: a stack that outlives its run, TLS, and access keys from templates.
            "DeletionProtection": "false",
            "RequireTls": "false",
            "CreateDownloadKey": "false",
        },
        "binaries": binaries,
        "invoke": invoke,
        "changes": settings.changes,
    });
    for (name, value) in &settings.parameters {
        request["parameters"][name] = json!(value);
    }
    let path: PathBuf = run.path("deploy.json");
    crate::run::write_private(&path, &request.to_string())?;
    let spec = python(checkout, run, emulator).arg(checkout.infra("deploy.py")).arg(path);
    let answer = spec.read(&run.log("deploy")).context("can't deploy template.yaml")?;
    let answer = serde_json::from_str(&answer).context("deploy.py gave no answer")?;
    Ok(Deployed { answer })
}

/// Saves what the functions logged beside the other logs.
pub(crate) fn save_function_logs(checkout: &Checkout, run: &Run, emulator: &Emulator) -> Result<()> {
    let spec = python(checkout, run, emulator).arg(checkout.infra("logs.py"));
    let text = spec.read(&run.log("logs"))?;
    Ok(std::fs::write(run.log("functions"), text)?)
}

/// Puts the objects of a file into the metrics bucket.
pub(crate) fn put_objects(stack: &Stack, file: &Path) -> Result<()> {
    let (checkout, run) = (stack.checkout(), stack.run());
    let spec = python(checkout, run, stack.emulator()).env("METRICS_BUCKET", METRICS_BUCKET);
    spec.arg(checkout.infra("put.py")).arg(file).read(&run.log("put")).context("can't put the objects").map(drop)
}

/// The Python of `.venv`, as administrator of the emulator.
fn python(checkout: &Checkout, run: &Run, emulator: &Emulator) -> Spec {
    let python = run.tool(checkout.tool("python"));
    emulator.environment().into_iter().fold(python, |spec, (name, value)| spec.env(name, value))
}
